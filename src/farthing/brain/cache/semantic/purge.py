"""Invalidation: look at what a selection comes to, then drop or doubt it, and write down who did."""

import apsw
import msgspec

from farthing.brain.cache.semantic.invalidate import Found, Selection, where
from farthing.brain.cache.semantic.shelf import Shelf, one, row_of
from farthing.brain.cache.semantic.tables import AUDIT
from farthing.types import Json

AUDIT_ROWS_MAX = 10_000
EXAMPLES = 5
LAST_ROWS = "SELECT coalesce(json_extract(what, '$.endpoint'), ''), max(id) FROM audit GROUP BY 1"


class Invalidations:
    """Invalidates entries in the file of `shelf`. Methods raise StoreError."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._last = 0
        self._of_endpoint: dict[str, int] = {}
        """Endpoint (empty: all of them) -> its last row in the log."""

    def forgotten(self, endpoint: str) -> int:
        """Grows with every invalidation that may concern `endpoint`, as of the last `notice`."""
        known = self._of_endpoint
        return max(known.get("", 0), known.get(endpoint, 0)) if known else 0

    async def notice(self) -> None:
        """Learn of the invalidations of others: another process writes beside us."""

        def job(db: apsw.Connection) -> tuple[int, dict[str, int]]:
            last = one(db, "SELECT coalesce(max(id), 0) FROM audit")
            return last, (self._of_endpoint if last == self._last else dict(db.execute(LAST_ROWS)))

        self._last, self._of_endpoint = await self._shelf.run(job)

    async def find(self, selection: Selection) -> Found:
        """What `selection` comes to, with a few examples. Changes nothing."""
        return await self._shelf.run(lambda db: _find(db, selection, self._shelf.now_s()))

    async def invalidate(self, selection: Selection, *, who: str, check: frozenset[str]) -> Found:
        """Drop what `selection` fits, or doubt it where its endpoint is in `check`; write a row of the log.

        Rows that go are found by the next `maintain` of the process that holds the index.
        """

        def job(db: apsw.Connection) -> Found:
            now_s = self._shelf.now_s()
            condition, values = where(selection, now_s)
            assert condition, "a selection by nothing is refused where it is read"
            with db:
                found = _find(db, selection, now_s)
                keep = f"endpoint IN ({','.join('?' * len(check))})"
                db.execute(
                    f"UPDATE entries SET trust = 'doubted' WHERE {condition} AND {keep}", (*values, *check)
                )
                db.execute(f"DELETE FROM entries WHERE {condition} AND NOT {keep}", (*values, *check))
                dropped = db.changes()
                db.execute(
                    AUDIT,
                    (
                        now_s,
                        who,
                        msgspec.json.encode(selection).decode(),
                        dropped,
                        found.entries - dropped,
                        found.bytes,
                    ),
                )
                db.execute("DELETE FROM audit WHERE id <= (SELECT max(id) FROM audit) - ?", (AUDIT_ROWS_MAX,))
            return found

        found = await self._shelf.run(job)
        await self.notice()
        return found

    async def drop_versions(self, versions: dict[str, str], *, check: frozenset[str]) -> int:
        """Drop, or doubt where the endpoint is in `check`, what endpoints keep from another version of their
        documents than they have now; return how many there were. Found again, an entry counts once."""

        def job(db: apsw.Connection) -> int:
            touched = 0
            with db:
                for endpoint, version in versions.items():
                    stale = "endpoint = ? AND documents_version <> ? AND trust <> 'doubted'"
                    found = row_of(
                        db,
                        f"SELECT count(*), coalesce(sum(bytes), 0) FROM entries WHERE {stale}",
                        endpoint,
                        version,
                    )
                    if not found[0]:
                        continue
                    keep = endpoint in check
                    change = "UPDATE entries SET trust = 'doubted'" if keep else "DELETE FROM entries"
                    db.execute(f"{change} WHERE {stale}", (endpoint, version))
                    what = {"endpoint": endpoint, "documents_version_other_than": version}
                    counts = (0, found[0]) if keep else (found[0], 0)
                    row = (
                        self._shelf.now_s(),
                        "the gateway",
                        msgspec.json.encode(what).decode(),
                        *counts,
                        found[1],
                    )
                    db.execute(AUDIT, row)
                    touched += found[0]
            return touched

        return await self._shelf.run(job)

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

        return await self._shelf.run(job)

    async def show(self) -> Json:
        """What is kept, in all and per endpoint."""
        return await self._shelf.run(lambda db: _show(db, self._shelf.now_s()))


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
