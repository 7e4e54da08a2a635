"""Values in one SQLite file. Survives a restart; shared by the processes of one machine."""

import time
from collections.abc import Callable
from pathlib import Path

import apsw

from farthing.stores.sqlite import SqliteFile

_TOUCHED_MAX = 1_000  # reads whose order is kept in memory before it is written
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
ROW_BYTES = 96  # overhead of a row besides its key and value: columns, two index entries, page slack
_PUT = """
INSERT INTO kv (key, value, expires_s, used, bytes) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET
    value = excluded.value, expires_s = excluded.expires_s, used = excluded.used, bytes = excluded.bytes
"""


class SqliteStore:
    """Holds at most `entries_max` entries and `bytes_max` bytes in the file at `path`.

    Opens the file when constructed. `clock` gives Unix seconds: entries outlive the process, so their age
    needs the wall clock.

    Raises:
        StoreError: the file cannot be opened or created.
    """

    def __init__(
        self, path: Path, *, entries_max: int, bytes_max: int, clock: Callable[[], float] = time.time
    ) -> None:
        if entries_max < 1 or bytes_max < 1:
            raise ValueError("a store needs room for something")
        self._entries_max = entries_max
        self._bytes_max = bytes_max
        self._clock = clock
        self._touched: dict[bytes, int] = {}
        """Keys read since the order of use was last written; used only by the worker thread."""
        self._used = 0
        self._file = SqliteFile(path, _SCHEMA, thread="farthing-kv", replaced=self._touched.clear)

    async def get(self, key: bytes) -> bytes | None:
        return await self._file.run(lambda db: self._get(db, key))

    async def set(self, key: bytes, value: bytes, *, ttl_s: float) -> None:
        """See `protocols.KeyValueStore`. An earlier value is gone even if `value` is too large to be
        stored."""
        await self._file.run(lambda db: self._set(db, key, value, ttl_s))

    async def aclose(self) -> None:
        await self._file.aclose()

    # -- in the thread --------------------------------------------------------------------------

    def _get(self, db: apsw.Connection, key: bytes) -> bytes | None:
        found = db.execute("SELECT value FROM kv WHERE key = ? AND expires_s > ?", (key, self._clock()))
        row = next(iter(found), None)
        if row is None:
            return None
        self._touched[key] = self._next_used()
        if len(self._touched) >= _TOUCHED_MAX:
            with db:
                self._write_touched(db)
        value = row[0]
        assert isinstance(value, bytes)
        return value

    def _set(self, db: apsw.Connection, key: bytes, value: bytes, ttl_s: float) -> None:
        size_bytes = len(key) + len(value) + ROW_BYTES
        with db:
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
        """Delete expired entries, then the least recently used, until the rest fits."""
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
        """A number larger than all before in this process; between processes it follows the clock."""
        self._used = max(self._used + 1, time.time_ns())
        return self._used
