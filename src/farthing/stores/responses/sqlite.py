"""Responses in one SQLite file. They survive a restart, and are shared by the processes of one machine.

The file is opened when it is first needed, and tried again each time while it cannot be: a gateway whose file
is away serves all else. What is deleted is overwritten with zeros, in the log of the file too.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import apsw

from farthing.errors import StoreError
from farthing.protocols import Held, StoredResponse
from farthing.stores.responses.bounds import Bounds, size_of
from farthing.stores.sqlite import SqliteFile, writing

log = logging.getLogger("farthing.stores")

T = TypeVar("T")

_BUSY_MS = 2_000  # another process that writes; a response that is paid for is worth the wait
_AT_ONCE = 100  # rows deleted in one transaction: others wait no longer than for one of these

_SCHEMA = """
CREATE TABLE IF NOT EXISTS responses (
    number INTEGER PRIMARY KEY,  -- in the order in which they came, whatever the clock said
    tenant TEXT NOT NULL, id TEXT NOT NULL, endpoint TEXT NOT NULL,
    created_s REAL NOT NULL, expires_s REAL NOT NULL,
    body BLOB NOT NULL, items BLOB NOT NULL, bytes INTEGER NOT NULL,
    UNIQUE (tenant, id)
);
CREATE INDEX IF NOT EXISTS responses_of_tenant ON responses (tenant, number);
CREATE INDEX IF NOT EXISTS responses_expire ON responses (expires_s);
CREATE TABLE IF NOT EXISTS tenants (
    tenant TEXT PRIMARY KEY, responses INTEGER NOT NULL, bytes INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS total (
    one INTEGER PRIMARY KEY CHECK (one = 1), responses INTEGER NOT NULL, bytes INTEGER NOT NULL,
    probed INTEGER NOT NULL  -- how often it was tried whether anything can be written
);
INSERT OR IGNORE INTO total VALUES (1, 0, 0, 0);
CREATE TRIGGER IF NOT EXISTS response_in AFTER INSERT ON responses BEGIN
    UPDATE total SET responses = responses + 1, bytes = bytes + new.bytes;
    INSERT INTO tenants VALUES (new.tenant, 1, new.bytes)
        ON CONFLICT (tenant) DO UPDATE SET responses = responses + 1, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER IF NOT EXISTS response_out AFTER DELETE ON responses BEGIN
    UPDATE total SET responses = responses - 1, bytes = bytes - old.bytes;
    UPDATE tenants SET responses = responses - 1, bytes = bytes - old.bytes WHERE tenant = old.tenant;
    DELETE FROM tenants WHERE tenant = old.tenant AND responses <= 0;
END;
PRAGMA secure_delete = ON;
"""
_PUT = """
INSERT INTO responses (number, tenant, id, endpoint, created_s, expires_s, body, items, bytes)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_NUMBER = "SELECT number FROM responses WHERE tenant = ? AND id = ?"
_GET = """
SELECT endpoint, created_s, expires_s, body, items FROM responses WHERE tenant = ? AND id = ?
"""
_PAGE = """
SELECT id, endpoint, created_s, expires_s, body, items FROM responses
WHERE tenant = ? AND number {beyond} ? AND expires_s > ? ORDER BY number {order} LIMIT ?
"""
_OLDEST_FIRST = _PAGE.format(beyond=">", order="ASC")
_NEWEST_FIRST = _PAGE.format(beyond="<", order="DESC")
_NUMBER_MAX = 2**63 - 1
_DELETE = "DELETE FROM responses WHERE tenant = ? AND id = ?"
_OLDEST = "SELECT number, bytes FROM responses ORDER BY number LIMIT ?"
_OLDEST_OF = "SELECT number, bytes FROM responses WHERE tenant = ? ORDER BY number LIMIT ?"
_EXPIRE = """
DELETE FROM responses WHERE number IN (SELECT number FROM responses WHERE expires_s <= ? LIMIT ?)
"""
_FORGET = "DELETE FROM responses WHERE number IN (SELECT number FROM responses WHERE tenant = ? LIMIT ?)"


class SqliteResponses:
    """See `protocols.ResponseStore`. `clock` gives Unix seconds."""

    immediate = True

    def __init__(self, path: Path, bounds: Bounds, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._bounds = bounds
        self._clock = clock
        self._opening = asyncio.Lock()
        self._file: SqliteFile | None = None
        self._failed = False
        """The last write did; used only by the worker thread, as the following."""
        self._held = Held()
        self._closed = False

    @property
    def held(self) -> Held:
        return self._held

    async def ready(self) -> None:
        await self._run(self._probe)

    async def put(self, response: StoredResponse) -> bool:
        if not self._bounds.fits(size_of(response)):
            return False
        await self._run(lambda db: self._write(db, lambda: self._put(db, response)))
        return True

    async def get(self, tenant: str, id: str) -> StoredResponse | None:
        return await self._run_if_there(lambda db: self._get(db, tenant, id), None)

    async def page(
        self, tenant: str, *, after: str = "", limit: int, newest_first: bool = False
    ) -> tuple[StoredResponse, ...] | None:
        def job(db: apsw.Connection) -> tuple[StoredResponse, ...] | None:
            return self._page(db, tenant, after, limit, newest_first=newest_first)

        return await self._run_if_there(job, None if after else ())

    async def delete(self, tenant: str, id: str) -> bool:
        return await self._run_if_there(lambda db: self._delete(db, tenant, id), False)

    async def sweep(self) -> int:
        return await self._delete_all(_EXPIRE, self._clock())

    async def tenants(self) -> Mapping[str, Held]:
        none: Mapping[str, Held] = {}
        return await self._run_if_there(_tenants, none)

    async def forget(self, tenant: str) -> int:
        return await self._delete_all(_FORGET, tenant)

    async def aclose(self) -> None:
        self._closed = True
        async with self._opening:
            if self._file is not None:
                await self._file.aclose()

    async def _delete_all(self, statement: str, value: object) -> int:
        """Delete what `statement` selects by `value`, in steps between which others have their turn."""
        gone = 0
        while True:
            deleted = await self._run_if_there(lambda db: self._delete_some(db, statement, value), 0)
            gone += deleted
            if deleted < _AT_ONCE:
                break
        if gone:
            await self._run(_clean_log)
        return gone

    async def _run(self, job: Callable[[apsw.Connection], T]) -> T:
        """Run `job` in the file's thread. Opens the file where it is not open."""
        file = self._file
        if file is None:
            async with self._opening:
                if self._closed:
                    raise StoreError("the store is closed")
                if self._file is None:
                    self._file = await asyncio.to_thread(self._open)
                file = self._file
        return await file.run(job)

    async def _run_if_there(self, job: Callable[[apsw.Connection], T], otherwise: T) -> T:
        """As `_run`; `otherwise` where nothing was ever kept."""
        if self._file is None and not self._closed and not await asyncio.to_thread(self._is_there):
            return otherwise
        return await self._run(job)

    # -- in a thread ----------------------------------------------------------------------------

    def _is_there(self) -> bool:
        """Raises:
        StoreError: nobody can tell.
        """
        try:
            self._path.stat()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StoreError(f"the file {self._path} cannot be opened: {error}") from error
        return True

    def _open(self) -> SqliteFile:
        return SqliteFile(
            self._path, _SCHEMA, thread="farthing-responses", replaced=self._tell_damaged, busy_ms=_BUSY_MS
        )

    def _tell_damaged(self) -> None:
        self._held = Held()
        log.error(
            "%s was damaged and is set aside under another name beside it: the responses in it can no longer "
            "be asked for; delete the file once you have looked at it, for it still holds their texts",
            self._path,
        )

    def _write(self, db: apsw.Connection, work: Callable[[], T]) -> T:
        """Do `work` in one transaction, and note whether anything can be written."""
        self._failed = True
        with writing(db):
            done = work()
        self._failed = False
        responses, size_bytes = next(iter(db.execute("SELECT responses, bytes FROM total")))
        self._held = Held(responses=responses, bytes=size_bytes)
        return done

    def _probe(self, db: apsw.Connection) -> None:
        """Raises an error of SQLite where the last write failed and another one does too."""
        if self._failed:
            self._write(db, lambda: db.execute("UPDATE total SET probed = probed + 1"))

    def _put(self, db: apsw.Connection, response: StoredResponse) -> None:
        bounds, tenant = self._bounds, response.tenant
        place: Any = next(iter(db.execute(_NUMBER, (tenant, response.id))), (None,))
        db.execute(_DELETE, (tenant, response.id))
        db.execute(
            _PUT,
            (
                *(place[0], tenant, response.id, response.endpoint),
                *(response.created_unix_s, response.expires_unix_s),
                *(response.body, response.items, size_of(response)),
            ),
        )
        of_tenant = "SELECT responses, bytes FROM tenants WHERE tenant = ?"
        _make_room(db, _OLDEST_OF, (tenant,), of_tenant, bounds.tenant_responses_max, bounds.tenant_bytes_max)
        in_all = "SELECT responses, bytes FROM total"
        _make_room(db, _OLDEST, (), in_all, bounds.responses_max, bounds.bytes_max)

    def _get(self, db: apsw.Connection, tenant: str, id: str) -> StoredResponse | None:
        row: Any = next(iter(db.execute(_GET, (tenant, id))), None)
        found = None if row is None else _stored(tenant, id, *row)
        return found if found is not None and found.expires_unix_s > self._clock() else None

    def _page(
        self, db: apsw.Connection, tenant: str, after: str, limit: int, *, newest_first: bool
    ) -> tuple[StoredResponse, ...] | None:
        number = _NUMBER_MAX if newest_first else 0
        if after:
            if self._get(db, tenant, after) is None:
                return None
            row: Any = next(iter(db.execute(_NUMBER, (tenant, after))))
            number = row[0]
        statement = _NEWEST_FIRST if newest_first else _OLDEST_FIRST
        rows: Any = db.execute(statement, (tenant, number, self._clock(), limit))
        return tuple([_stored(tenant, *row) for row in rows])

    def _delete(self, db: apsw.Connection, tenant: str, id: str) -> bool:
        there = self._get(db, tenant, id) is not None
        if there:
            self._write(db, lambda: db.execute(_DELETE, (tenant, id)))
            _clean_log(db)
        return there

    def _delete_some(self, db: apsw.Connection, statement: str, value: object) -> int:
        def work() -> int:
            db.execute(statement, (value, _AT_ONCE))
            return db.changes()

        return self._write(db, work)


def _stored(
    tenant: str, id: str, endpoint: str, created_s: float, expires_s: float, body: bytes, items: bytes
) -> StoredResponse:
    """A row."""
    return StoredResponse(
        id=id,
        tenant=tenant,
        endpoint=endpoint,
        created_unix_s=created_s,
        expires_unix_s=expires_s,
        body=body,
        items=items,
    )


def _make_room(
    db: apsw.Connection,
    oldest: str,
    of: tuple[str, ...],
    totals: str,
    responses_max: int,
    bytes_max: int,
) -> None:
    """Delete the rows that `oldest` gives until what `totals` gives fits. The newest of them fits alone."""
    responses, size_bytes = next(iter(db.execute(totals, of)))
    while responses > responses_max or size_bytes > bytes_max:
        for number, row_bytes in list(db.execute(oldest, (*of, _AT_ONCE))):
            db.execute("DELETE FROM responses WHERE number = ?", (number,))
            responses, size_bytes = responses - 1, size_bytes - row_bytes
            if responses <= responses_max and size_bytes <= bytes_max:
                break


def _clean_log(db: apsw.Connection) -> None:
    """Write the log into the file and cut it, so that nothing deleted is left in it. What other processes
    still read stays until one of the next times."""
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _tenants(db: apsw.Connection) -> Mapping[str, Held]:
    rows = db.execute("SELECT tenant, responses, bytes FROM tenants")
    return {tenant: Held(responses=responses, bytes=size_bytes) for tenant, responses, size_bytes in rows}
