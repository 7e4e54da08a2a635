"""One SQLite file with a single worker thread, so that the event loop never waits for a disk.

The file is in WAL mode with `synchronous = NORMAL`: a commit costs no fsync, a machine crash may lose the
newest rows, and neither damages the file. A file found damaged, at start or later, is renamed to
`NAME.corrupt-TIMESTAMP` and replaced by a new one: its content is only a cache.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import apsw

from farthing.errors import StoreError
from farthing.stores.private import make_directory

T = TypeVar("T")

_CHECK_BYTES_MAX = 64 * 1024 * 1024  # a full check reads the file: about 0.1 s at this size
_BUSY_MS = 250  # wait for another process that writes; longer is a miss
_PENDING_MAX = 1_000  # jobs waiting for the thread; beyond it the store is not keeping up


@contextmanager
def writing(db: apsw.Connection) -> Iterator[None]:
    """A transaction that waits for other writers before it reads, for jobs that read and then write. A
    transaction that has already read fails at once if another process has written meanwhile, however long it
    would have waited.

    Not `transaction_mode` of apsw, which holds the GIL while it waits.
    """
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


class SqliteFile:
    """The file at `path` with the tables of `schema`. Opens it when constructed.

    `replaced` is called in the thread after a damaged file was renamed and all rows are gone. `busy_ms` is
    how long a job waits for another process that writes. `beside`: the file belongs to another process, or is
    of another kind; it is used as it is: never created, migrated or renamed.

    Raises:
        StoreError: the file cannot be opened or created.
    """

    def __init__(
        self,
        path: Path,
        schema: str,
        *,
        thread: str,
        replaced: Callable[[], None] | None = None,
        busy_ms: int = _BUSY_MS,
        beside: bool = False,
    ) -> None:
        self.path = path
        self._beside = beside
        self._schema = schema
        self._replaced = replaced
        self._busy_ms = busy_ms
        self._pending = 0
        self._aside = asyncio.Lock()
        self._closed = False
        self._db: apsw.Connection | None = None
        try:
            if beside:
                self._db = self._opened_beside()
            else:
                make_directory(path.parent)
                self._open_or_replace()
        except (apsw.Error, OSError) as error:
            raise StoreError(f"the cache file {path} cannot be opened: {error}") from error
        self._worker = ThreadPoolExecutor(1, thread_name_prefix=thread)

    async def run(self, job: Callable[[apsw.Connection], T]) -> T:
        """Run a job in the thread, after earlier ones.

        Raises:
            StoreError: it failed, the file is closed, or too many jobs wait.
        """
        if self._closed:
            raise StoreError("the store is closed")
        if self._pending >= _PENDING_MAX:
            raise StoreError("the store does not keep up with its disk")
        self._pending += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._worker, self._guarded, job)
        finally:
            self._pending -= 1

    async def read_aside(self, job: Callable[[apsw.Connection], T]) -> T:
        """Run a read-only job on a connection and in a thread of its own, so that long scans do not delay
        other jobs. It sees committed data; these jobs run one after another.

        Raises:
            StoreError: it failed, or the file is closed.
        """
        async with self._aside:
            if self._closed:
                raise StoreError("the store is closed")
            return await asyncio.to_thread(self._read_aside, job)

    async def aclose(self, last: Callable[[apsw.Connection], None] | None = None) -> None:
        """Finish waiting jobs, then run `last`, then close. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        try:
            if last is not None:
                await asyncio.get_running_loop().run_in_executor(self._worker, self._guarded, last)
        finally:
            await asyncio.get_running_loop().run_in_executor(self._worker, self._close)
            self._worker.shutdown(wait=False)

    # -- in the thread --------------------------------------------------------------------------

    def _guarded(self, job: Callable[[apsw.Connection], T]) -> T:
        """Run a job, map its failure, and replace the file if it proves to be damaged."""
        try:
            if self._db is None:
                self._db = self._opened()
            return job(self._db)
        except (apsw.CorruptError, apsw.NotADBError) as error:
            if self._beside:
                raise StoreError(f"sqlite: {error}: {self.path} is damaged") from error
            self._replace_damaged()
            raise StoreError(f"sqlite: {error}; the file was set aside") from error
        except (apsw.Error, OSError) as error:
            raise StoreError(f"sqlite: {error}") from error

    def _read_aside(self, job: Callable[[apsw.Connection], T]) -> T:
        try:
            db = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READONLY)
            try:
                db.set_busy_timeout(self._busy_ms)
                with db:  # one snapshot of the file
                    found = job(db)
            finally:
                db.close()
        except (apsw.Error, OSError) as error:
            raise StoreError(f"sqlite: {error}") from error
        return found

    def _close(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            db.close()

    def _open_or_replace(self) -> None:
        try:
            self._db = self._opened()
            if self.path.stat().st_size <= _CHECK_BYTES_MAX:
                verdict = next(iter(self._db.execute("PRAGMA quick_check(1)")))[0]
                if verdict != "ok":
                    raise apsw.CorruptError(str(verdict))
        except (apsw.CorruptError, apsw.NotADBError):
            self._replace_damaged()

    def _replace_damaged(self) -> None:
        """Rename the file and its WAL, so that they can be examined, and open a new one."""
        self._close()
        if self._replaced is not None:
            self._replaced()
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        aside = self.path.with_name(f"{self.path.name}.corrupt-{stamp}")
        number = 1
        while aside.exists():
            number += 1
            aside = self.path.with_name(f"{self.path.name}.corrupt-{stamp}-{number}")
        for suffix in ("", "-wal", "-shm"):
            part = self.path.with_name(self.path.name + suffix)
            if part.exists():
                os.replace(part, aside.with_name(aside.name + suffix))
        self._db = self._opened()

    def _opened_beside(self) -> apsw.Connection:
        db = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            db.set_busy_timeout(self._busy_ms)
            db.execute("SELECT count(*) FROM sqlite_master").fetchall()  # fails if it is not a database
        except apsw.Error:
            db.close()
            raise
        return db

    def _opened(self) -> apsw.Connection:
        # Answers are private text. SQLite gives its accompanying files the same mode.
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        db = apsw.Connection(str(self.path))
        try:
            db.set_busy_timeout(self._busy_ms)
            db.execute("PRAGMA journal_mode = WAL").fetchall()
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute(self._schema)
        except apsw.Error:
            db.close()
            raise
        return db
