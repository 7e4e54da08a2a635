"""Invalidation: preview a selection, then drop or doubt its entries, and log who did it."""

from functools import partial
from typing import Any

import apsw
import msgspec

from farthing.brain.cache.semantic.store.entries_file import EntryStore, one, row_of
from farthing.brain.cache.semantic.store.invalidate import Found, Selection, where
from farthing.brain.cache.semantic.store.tables import AUDIT
from farthing.types import Json

AUDIT_ROWS_MAX = 10_000
AT_ONCE = 25  # rows in one transaction, some 2 ms: a lookup may have to wait that long
EXAMPLES = 5
LAST_ROWS = "SELECT coalesce(json_extract(what, '$.endpoint'), ''), max(id) FROM audit GROUP BY 1"


class Invalidations:
    """Invalidates entries in the file of `entry_store`. All methods may raise StoreError."""

    def __init__(self, entry_store: EntryStore) -> None:
        self._entry_store = entry_store
        self._last = 0
        self._of_endpoint: dict[str, int] = {}
        """Endpoint (empty: all) -> its latest row in the log."""

    def forgotten(self, endpoint: str) -> int:
        """Grows with every invalidation that may concern `endpoint`, as of the last `notice`."""
        known = self._of_endpoint
        return max(known.get("", 0), known.get(endpoint, 0)) if known else 0

    async def notice(self) -> None:
        """Read invalidations made by other processes."""

        def job(db: apsw.Connection) -> tuple[int, dict[str, int]]:
            last = one(db, "SELECT coalesce(max(id), 0) FROM audit")
            return last, (self._of_endpoint if last == self._last else dict(db.execute(LAST_ROWS)))

        self._last, self._of_endpoint = await self._entry_store.run(job)

    async def find(self, selection: Selection) -> Found:
        """What `selection` matches, with a few examples. Changes nothing."""
        return await self._entry_store.read_aside(lambda db: _find(db, selection, self._entry_store.now_s()))

    async def invalidate(self, selection: Selection, *, who: str, check: frozenset[str]) -> Found:
        """Drop the entries that `selection` matches now, or doubt them if their endpoint is in `check`; log
        it.

        Works in small steps, so that lookups run in between; the log row counts progress. Deleted rows are
        found by the next `maintain` of each process that has an index.
        """
        now_s = self._entry_store.now_s()
        condition, values = where(selection, now_s)
        assert condition, "read_selection rejects empty selections"

        def look(db: apsw.Connection) -> tuple[Found, list[int]]:
            return _find(db, selection, now_s), _keys(db, condition, values)

        found, keys = await self._entry_store.read_aside(look)
        await self._drop_or_doubt(keys, who, msgspec.json.encode(selection).decode(), found.bytes, check)
        await self.notice()
        return found

    async def drop_versions(self, versions: dict[str, str], *, check: frozenset[str]) -> int:
        """Drop, or doubt if the endpoint is in `check`, entries of endpoints with another version of their
        documents than now; return how many. An entry that was already doubted is not counted."""
        condition = "endpoint = ? AND documents_version <> ? AND trust <> 'doubted'"
        touched = 0
        for endpoint, version in versions.items():
            values = endpoint, version

            def look(db: apsw.Connection, values: tuple[str, str] = values) -> tuple[list[int], int]:
                return _keys(db, condition, values), _bytes(db, condition, values)

            keys, size = await self._entry_store.read_aside(look)
            if keys:
                what = msgspec.json.encode({"endpoint": endpoint, "documents_version_other_than": version})
                await self._drop_or_doubt(keys, "the gateway", what.decode(), size, check)
                touched += len(keys)
        return touched

    async def _drop_or_doubt(
        self, keys: list[int], who: str, what: str, size: int, check: frozenset[str]
    ) -> None:
        def begin(db: apsw.Connection) -> int:
            with db:
                db.execute(AUDIT, (self._entry_store.now_s(), who, what, 0, 0, size))
                row = db.last_insert_rowid()
                db.execute("DELETE FROM audit WHERE id <= ?", (row - AUDIT_ROWS_MAX,))
            return row

        row = await self._entry_store.run(begin)
        for start in range(0, len(keys), AT_ONCE):
            change = partial(_change, keys=keys[start : start + AT_ONCE], check=tuple(check), row=row)
            await self._entry_store.run(change)

    async def log(self, count: int) -> list[Json]:
        """The newest invalidations, newest first."""

        def job(db: apsw.Connection) -> list[Json]:
            names = ("at_unix_s", "who", "what", "dropped", "doubted", "bytes")
            rows = db.execute(
                "SELECT at_s, who, what, dropped, doubted, bytes FROM audit ORDER BY id DESC LIMIT ?",
                (count,),
            )
            return [
                {**dict(zip(names, row, strict=True)), "what": msgspec.json.decode(row[2])} for row in rows
            ]

        return await self._entry_store.run(job)

    async def show(self) -> Json:
        """Statistics, in total and per endpoint. Reads every entry, in a thread that blocks no lookup."""
        return await self._entry_store.read_aside(lambda db: _show(db, self._entry_store.now_s()))


def _change(db: apsw.Connection, *, keys: list[int], check: tuple[str, ...], row: int) -> None:
    """Drop or doubt a few entries, and count them in a log row."""
    these = f"id IN ({','.join('?' * len(keys))})"
    keep = f"endpoint IN ({','.join('?' * len(check))})"
    with db:
        db.execute(f"UPDATE entries SET trust = 'doubted' WHERE {these} AND {keep}", (*keys, *check))
        doubted = db.changes()
        db.execute(f"DELETE FROM entries WHERE {these} AND NOT {keep}", (*keys, *check))
        dropped = db.changes()
        db.execute(
            "UPDATE audit SET dropped = dropped + ?, doubted = doubted + ? WHERE id = ?",
            (dropped, doubted, row),
        )


def _keys(db: apsw.Connection, condition: str, values: tuple[Any, ...]) -> list[int]:
    return [key for (key,) in db.execute(f"SELECT id FROM entries WHERE {condition}", values)]


def _bytes(db: apsw.Connection, condition: str, values: tuple[Any, ...]) -> int:
    return int(one(db, f"SELECT coalesce(sum(bytes), 0) FROM entries WHERE {condition}", *values))


def _find(db: apsw.Connection, selection: Selection, now_s: float) -> Found:
    condition, values = where(selection, now_s)
    if not condition:
        return Found(entries=0, bytes=0)
    entries, size = row_of(
        db, f"SELECT count(*), coalesce(sum(bytes), 0) FROM entries WHERE {condition}", *values
    )
    rows = db.execute(
        "SELECT 'e' || id, endpoint, tenant, question, target, created_s, hits, request_id, user, trust"
        f" FROM entries WHERE {condition} ORDER BY hits DESC, id LIMIT ?",
        (*values, EXAMPLES),
    )
    names = (
        "entry", "endpoint", "tenant", "question", "model", "created_unix_s", "hits", "request",
        "user", "trust",
    )  # fmt: skip
    examples = tuple(dict(zip(names, row, strict=True)) for row in rows)
    return Found(entries=entries, bytes=size, examples=examples)


def _show(db: apsw.Connection, now_s: float) -> Json:
    names = (
        "endpoint", "entries", "partitions", "bytes", "hits", "agreed", "wrong", "doubted",
        "cost_nusd", "saved_nusd", "oldest_unix_s", "policies",
    )  # fmt: skip
    rows = db.execute(
        "SELECT endpoint, count(*), count(DISTINCT partition), sum(bytes), sum(hits), sum(agreed),"
        " sum(wrong), sum(trust = 'doubted'), sum(cost_nusd), sum(hits * coalesce(cost_nusd, 0)),"
        " min(created_s), count(DISTINCT policy)"
        " FROM entries WHERE expires_s > ? GROUP BY endpoint ORDER BY endpoint",
        (now_s,),
    )
    entries, size = row_of(db, "SELECT entries, bytes FROM total")
    return {
        "entries": entries,
        "bytes": size,
        "asked": one(db, "SELECT count(*) FROM asked"),
        "endpoints": [dict(zip(names, row, strict=True)) for row in rows],
    }
