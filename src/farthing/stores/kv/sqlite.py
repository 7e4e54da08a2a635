"""Values in one SQLite file. Survives a restart; shared by the processes of one machine.

All work is done by one thread of the store's own, so the event loop never waits for a disk. The file is
in WAL mode with `synchronous = NORMAL`: a commit costs no fsync, a crash of the machine may take the
newest entries, and neither damages the file. A file found damaged, at the start or later, is set aside as
`NAME.corrupt-TIMESTAMP`, and the store goes on with a new one: what it holds can be bought again.
"""

import asyncio
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import apsw

from farthing.errors import StoreError

T = TypeVar("T")

_CHECK_BYTES_MAX = 64 * 1024 * 1024  # a whole check reads the file: about 0.1 s at this size
_BUSY_MS = 250  # another process writes; longer is a miss
_PENDING_MAX = 1_000  # jobs waiting for the thread; beyond, the store is not keeping up
_TOUCHED_MAX = 1_000  # reads whose order of use is kept in memory before it is written
_EVICT_ROWS = 64

_SCHEMA = """
CREATE TABLE IF NOT EXISTS kv (
    key BLOB PRIMARY KEY, value BLOB NOT NULL, expires_s REAL NOT NULL, used INTEGER NOT NULL,
    bytes INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS kv_used ON kv (used);
CREATE INDEX IF NOT EXISTS kv_expires ON kv (expires_s);
CREATE TABLE IF NOT EXISTS total (one INTEGER PRIMARY KEY CHECK (one = 1), entries INTEGER, bytes INTEGER);
INSERT OR IGNORE INTO total SELECT 1, count(*), coalesce(sum(bytes), 0) FROM kv;
CREATE TRIGGER IF NOT EXISTS kv_insert AFTER INSERT ON kv BEGIN
    UPDATE total SET entries = entries + 1, bytes = bytes + new.bytes;
END;
CREATE TRIGGER IF NOT EXISTS kv_delete AFTER DELETE ON kv BEGIN
    UPDATE total SET entries = entries - 1, bytes = bytes - old.bytes;
END;
CREATE TRIGGER IF NOT EXISTS kv_update AFTER UPDATE OF bytes ON kv BEGIN
    UPDATE total SET bytes = bytes + new.bytes - old.bytes;
END;
"""
ROW_BYTES = 96  # what a row costs beside its key and value: columns, two index entries, page slack
_PUT = """
INSERT INTO kv (key, value, expires_s, used, bytes) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET
    value = excluded.value, expires_s = excluded.expires_s, used = excluded.used, bytes = excluded.bytes
"""


class SqliteStore:
    """Holds at most `entries_max` entries and `bytes_max` bytes in the file at `path`.

    Opens the file when constructed. `clock` gives Unix seconds: entries outlive the process, so only the
    wall clock can tell their age.

    Raises:
        StoreError: the file cannot be opened or created.
    """

    def __init__(
        self, path: Path, *, entries_max: int, bytes_max: int, clock: Callable[[], float] = time.time
    ) -> None:
        if entries_max < 1 or bytes_max < 1:
            raise ValueError("a store needs room for something")
        self._path = path
        self._entries_max = entries_max
        self._bytes_max = bytes_max
        self._clock = clock
        self._touched: dict[bytes, int] = {}
        """Keys read since the order of use was last written; touched by the worker thread only."""
        self._used = 0
        self._pending = 0
        self._closed = False
        self._db: apsw.Connection | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._open_or_replace()
        except (apsw.Error, OSError) as error:
            raise StoreError(f"the cache file {path} cannot be opened: {error}") from error
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="farthing-kv")

    async def get(self, key: bytes) -> bytes | None:
        return await self._run(lambda: self._get(key))

    async def set(self, key: bytes, value: bytes, *, ttl_s: float) -> None:
        """As the Protocol. What was there before is gone, even when `value` is too large to be stored."""
        await self._run(lambda: self._set(key, value, ttl_s))

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(self._worker, self._close)
        self._worker.shutdown(wait=False)

    # -- between the loop and the thread --------------------------------------------------------

    async def _run(self, job: Callable[[], T]) -> T:
        if self._closed:
            raise StoreError("the store is closed")
        if self._pending >= _PENDING_MAX:
            raise StoreError("the store does not keep up with its disk")
        self._pending += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._worker, self._guarded, job)
        finally:
            self._pending -= 1

    def _guarded(self, job: Callable[[], T]) -> T:
        """Run one job in the thread, map its failure, and replace a file that proves to be damaged."""
        try:
            return job()
        except (apsw.CorruptError, apsw.NotADBError) as error:
            self._replace_damaged()
            raise StoreError(f"sqlite: {error}; the file was set aside") from error
        except (apsw.Error, OSError) as error:
            raise StoreError(f"sqlite: {error}") from error

    # -- in the thread --------------------------------------------------------------------------

    def _connection(self) -> apsw.Connection:
        if self._db is None:
            self._db = _opened(self._path)
        return self._db

    def _get(self, key: bytes) -> bytes | None:
        found = self._connection().execute(
            "SELECT value FROM kv WHERE key = ? AND expires_s > ?", (key, self._clock())
        )
        row = next(iter(found), None)
        if row is None:
            return None
        self._touched[key] = self._next_used()
        if len(self._touched) >= _TOUCHED_MAX:
            with self._connection() as db:
                self._write_touched(db)
        value = row[0]
        assert isinstance(value, bytes)
        return value

    def _set(self, key: bytes, value: bytes, ttl_s: float) -> None:
        size_bytes = len(key) + len(value) + ROW_BYTES
        with self._connection() as db:
            self._touched.pop(key, None)
            if size_bytes > self._bytes_max or ttl_s <= 0:
                db.execute("DELETE FROM kv WHERE key = ?", (key,))
                return
            now_s = self._clock()
            db.execute(_PUT, (key, value, now_s + ttl_s, self._next_used(), size_bytes))
            if self._too_full(db):
                self._make_room(db, now_s)

    def _too_full(self, db: apsw.Connection) -> bool:
        entries, size_bytes = next(iter(db.execute("SELECT entries, bytes FROM total")))
        return bool(entries > self._entries_max or size_bytes > self._bytes_max)

    def _make_room(self, db: apsw.Connection, now_s: float) -> None:
        """Delete what has expired, then what was used longest ago, until the rest fits."""
        db.execute("DELETE FROM kv WHERE expires_s <= ?", (now_s,))
        self._write_touched(db)
        while self._too_full(db):
            oldest = list(db.execute("SELECT rowid FROM kv ORDER BY used LIMIT ?", (_EVICT_ROWS,)))
            for row in oldest:
                db.execute("DELETE FROM kv WHERE rowid = ?", row)
                if not self._too_full(db):
                    return

    def _write_touched(self, db: apsw.Connection) -> None:
        rows = [(used, key) for key, used in self._touched.items()]
        self._touched.clear()
        db.executemany("UPDATE kv SET used = ? WHERE key = ?", rows)

    def _next_used(self) -> int:
        """A number larger than all before in this process; across processes it follows the clock."""
        self._used = max(self._used + 1, time.time_ns())
        return self._used

    def _close(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            db.close()

    # -- damage ---------------------------------------------------------------------------------

    def _open_or_replace(self) -> None:
        try:
            self._db = _opened(self._path)
            if self._path.stat().st_size <= _CHECK_BYTES_MAX:
                verdict = next(iter(self._db.execute("PRAGMA quick_check(1)")))[0]
                if verdict != "ok":
                    raise apsw.CorruptError(str(verdict))
        except (apsw.CorruptError, apsw.NotADBError):
            self._replace_damaged()

    def _replace_damaged(self) -> None:
        """Set the file aside, with its WAL so that it can be examined, and open a new one."""
        self._close()
        self._touched.clear()
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        aside = self._path.with_name(f"{self._path.name}.corrupt-{stamp}")
        number = 1
        while aside.exists():
            number += 1
            aside = self._path.with_name(f"{self._path.name}.corrupt-{stamp}-{number}")
        for suffix in ("", "-wal", "-shm"):
            part = self._path.with_name(self._path.name + suffix)
            if part.exists():
                os.replace(part, aside.with_name(aside.name + suffix))
        self._db = _opened(self._path)


def _opened(path: Path) -> apsw.Connection:
    db = apsw.Connection(str(path))
    try:
        db.set_busy_timeout(_BUSY_MS)
        db.execute("PRAGMA journal_mode = WAL").fetchall()
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute(_SCHEMA)
    except apsw.Error:
        db.close()
        raise
    os.chmod(path, 0o600)  # answers are somebody's text
    return db
