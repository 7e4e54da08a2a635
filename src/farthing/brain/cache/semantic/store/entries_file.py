"""The store of entries: one SQLite file, bounded by entries and bytes. Rows are authoritative, not the index.

An entry is served only after its row was read, so an entry that another process deleted or doubted is a miss
from that moment on. A trigger records the numbers of deleted rows in `gone`, from which each process with an
index learns that a vector can go too. A process finds rows that others added by their numbers.

Entries are evicted by value: cost to recreate times expected reuse, over size, as in GreedyDual-Size with
Frequency (Cherkasova 1998, HPL-98-69): priority = clock + uses x cost / bytes, where the clock is the
priority of the last evicted entry. So an entry used now and then outlives an expensive one that is never used
again, and old popularity fades. An answer of unknown cost counts as one of mean cost.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import apsw
import msgspec

from farthing.brain.cache.semantic.store.entries import Entry, Head, Trust
from farthing.brain.cache.semantic.store.tables import EXPIRE, GONE, INSERT, LEAST, SCHEMA, VECTORS
from farthing.stores.sqlite import SqliteFile, writing
from farthing.types import CacheHit

T = TypeVar("T")

ROW_BYTES = 420  # overhead of a row besides its texts, vector and answer: columns, four index entries, slack
COST_NUSD_MIN = 1_000  # a local model charges nothing, but its time is worth something
GONE_MIN = 50_000
"""Numbers of deleted rows are kept for processes that have not seen them yet: this many, or the maximum
number of entries, since all of them can be deleted at once; 50 bytes each."""
GONE_AT_ONCE = 2_000
EXPIRED_AT_ONCE = 500  # takes 10 ms, which a lookup may have to wait for
_EVICT_ROWS = 64
_TOUCHED_MAX = 200
_BUSY_MS = 250

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(CacheHit).decode
_decode_documents = msgspec.json.Decoder(tuple[tuple[str, str], ...]).decode

NO_DOCUMENTS: Mapping[str, str] = MappingProxyType({})

Removed = list[tuple[int, bytes]]
"""Number and partition of deleted rows."""


class EntryStore:
    """Entries in the file at `path`, at most `entries_max` and `bytes_max` in all; `clock` gives Unix
    seconds.

    Raises:
        StoreError: the file cannot be opened or created; in every method: the operation failed.
    """

    def __init__(
        self,
        path: Path,
        *,
        entries_max: int,
        bytes_max: int,
        clock: Callable[[], float] = time.time,
        busy_ms: int = _BUSY_MS,
        beside: bool = False,
    ) -> None:
        """`beside`: the file belongs to another process; see `SqliteFile`."""
        self._entries_max = entries_max
        self.bytes_max = bytes_max
        self._clock = clock
        self._hits: dict[int, int] = {}
        """Hits since they were last written; used only by the worker thread, like the following."""
        self._gone_seen = self._added_seen = self._version = 0
        """How far this process has seen deletions and others' additions, and the version of their commits."""
        self._file = SqliteFile(
            path,
            SCHEMA,
            thread="farthing-semantic",
            replaced=self._begin_anew,
            busy_ms=busy_ms,
            beside=beside,
        )

    def _begin_anew(self) -> None:
        self._hits.clear()
        self._gone_seen = self._added_seen = self._version = 0

    @property
    def path(self) -> Path:
        return self._file.path

    def now_s(self) -> float:
        """Unix seconds."""
        return self._clock()

    async def run(self, job: Callable[[apsw.Connection], T]) -> T:
        """Run a job in the file's thread, after earlier ones."""
        return await self._file.run(job)

    async def read_aside(self, job: Callable[[apsw.Connection], T]) -> T:
        """Run a read-only job that may take long, outside the file's thread."""
        return await self._file.read_aside(job)

    # -- reading ------------------------------------------------------------------------------------

    async def heads(self, partition: bytes, keys: Iterable[int]) -> dict[int, Head]:
        """The live entries of `partition` among `keys`, without their answers. The partition is checked,
        since in a file that replaced a damaged one the index's number may belong to another partition's
        row."""
        wanted = tuple(keys)
        return await self.run(lambda db: self._heads(db, partition, wanted))

    def _heads(self, db: apsw.Connection, partition: bytes, keys: tuple[int, ...]) -> dict[int, Head]:
        marks = ",".join("?" * len(keys))
        rows = db.execute(
            "SELECT id, question, normalised, vector, trust, documents FROM entries"
            f" WHERE id IN ({marks}) AND partition = ? AND expires_s > ?",
            (*keys, partition, self._clock()),
        )
        return {
            key: Head(
                key=key,
                question=question,
                normalised=normalised,
                vector=vector,
                trust=trust,
                documents=_decode_documents(documents),
            )
            for key, question, normalised, vector, trust, documents in rows
        }

    async def answer(self, key: int) -> tuple[CacheHit, Trust] | None:
        """The answer as it is now; None if it is gone, or was written by another version."""
        return await self.run(lambda db: self._answer(db, key))

    def _answer(self, db: apsw.Connection, key: int) -> tuple[CacheHit, Trust] | None:
        rows = db.execute(
            "SELECT answer, trust FROM entries WHERE id = ? AND expires_s > ?", (key, self._clock())
        )
        row = next(iter(rows), None)
        if row is None:
            return None
        try:
            return _decode(row[0]), row[1]
        except msgspec.MsgspecError:
            return None

    async def forget_removed(self) -> None:
        """Skip all additions and deletions so far: an index built from now on contains the former and not the
        latter."""

        def job(db: apsw.Connection) -> None:
            with db:
                self._version = one(db, "PRAGMA data_version")
                self._added_seen = one(db, "SELECT coalesce(max(id), 0) FROM entries")
                self._gone_seen = one(db, "SELECT coalesce(max(number), 0) FROM gone")

        await self.run(job)

    async def added(self, embedder: str, *, count: int) -> list[tuple[int, bytes, bytes]]:
        """Number, partition and vector of the next `count` live rows of one embedder that other processes
        added since `forget_removed` or the last call; fewer at the end. May include rows of this process."""

        def job(db: apsw.Connection) -> list[tuple[int, bytes, bytes]]:
            rows: list[tuple[int, bytes, bytes]] = []
            with db:  # one snapshot of the file
                version = one(db, "PRAGMA data_version")  # changes only with other connections' commits
                if version != self._version:
                    rows = list(db.execute(VECTORS, (self._added_seen, embedder, self._clock(), count)))
                newest = one(db, "SELECT coalesce(max(id), 0) FROM entries")
            if len(rows) < count:
                self._version, self._added_seen = version, max(newest, self._added_seen)
            else:
                self._added_seen = rows[-1][0]
            return rows

        return await self.run(job)

    # -- writing ------------------------------------------------------------------------------------

    async def put(
        self, entry: Entry, recipe: bytes | None, *, per_user_hour_max: int
    ) -> tuple[int | None, Removed]:
        """Store `entry`, replacing one with the same words in its partition, and evict others if needed.

        Returns its number, and the rows that were deleted. None: its user reached the hourly limit, or the
        entry is larger than the whole store.
        """
        return await self.run(lambda db: self._put(db, entry, recipe, per_user_hour_max))

    def _put(
        self, db: apsw.Connection, entry: Entry, recipe: bytes | None, per_user_hour_max: int
    ) -> tuple[int | None, Removed]:
        answer = _encode(entry.answer)
        size = sum(map(len, (entry.question, entry.normalised, entry.vector, answer))) + ROW_BYTES
        now_s = self._clock()
        with writing(db):
            if size > self.bytes_max or self._has_enough(db, entry.user, now_s, per_user_hour_max):
                return None, []
            place = (entry.partition, entry.normalised)
            before = "SELECT coalesce(max(hits), 0) FROM entries WHERE partition = ? AND normalised = ?"
            hits = int(one(db, before, *place))
            db.execute("DELETE FROM entries WHERE partition = ? AND normalised = ?", place)
            if recipe is not None:
                db.execute(
                    "INSERT OR IGNORE INTO partitions VALUES (?, ?, ?)",
                    (entry.partition, recipe, len(recipe) + 80),
                )
            db.execute(INSERT, self._row(db, entry, answer, size))
            key = db.last_insert_rowid()
            if hits:  # the previous answer was useful, so this one will be
                value = priority(_clock_of(db), 1 + hits, self._cost(db, entry.answer.cost_nusd), size)
                db.execute("UPDATE entries SET hits = ?, priority = ? WHERE id = ?", (hits, value, key))
            db.executemany(
                "INSERT OR IGNORE INTO documents VALUES (?, ?, ?)",
                [(document, version, key) for document, version in entry.documents],
            )
            self.make_room(db, now_s)
        removed = self._removed(db)
        gone = any(number == key for number, _ in removed)
        return (None if gone else key), removed

    def _row(self, db: apsw.Connection, entry: Entry, answer: bytes, size: int) -> tuple[Any, ...]:
        return (
            entry.partition,
            entry.normalised,
            entry.question,
            entry.vector,
            answer,
            entry.endpoint,
            entry.tenant,
            entry.language,
            entry.target,
            entry.policy,
            entry.embedder,
            entry.documents_version,
            msgspec.json.encode(entry.documents).decode(),
            msgspec.json.encode(entry.tags).decode(),
            entry.answer.cost_nusd,
            size,
            entry.created_unix_s,
            entry.expires_unix_s,
            entry.request_id,
            entry.user,
            priority(_clock_of(db), 1, self._cost(db, entry.answer.cost_nusd), size),
        )

    def _has_enough(self, db: apsw.Connection, user: str, now_s: float, per_hour_max: int) -> bool:
        """Bound what one user can add, so that nobody can fill the cache alone."""
        if not user:
            return False
        counted = "SELECT count(*) FROM entries WHERE user = ? AND created_s > ?"
        return bool(one(db, counted, user, now_s - 3600) >= per_hour_max)

    def _cost(self, db: apsw.Connection, cost_nusd: int | None) -> float:
        if cost_nusd is None:
            priced, sum_nusd = row_of(db, "SELECT priced, cost_nusd FROM total")
            return max(COST_NUSD_MIN, sum_nusd / priced) if priced else COST_NUSD_MIN
        return max(COST_NUSD_MIN, cost_nusd)

    def make_room(self, db: apsw.Connection, now_s: float) -> None:
        """Delete expired entries, then those of least value, until the rest fits. In a transaction."""
        if not self._too_full(db):
            return
        db.execute(EXPIRE, (now_s, EXPIRED_AT_ONCE))
        self._write_hits(db)
        while self._too_full(db):
            least = list(db.execute(LEAST, (_EVICT_ROWS,)))
            if not least:
                return
            for key, value in least:
                db.execute("DELETE FROM entries WHERE id = ?", (key,))
                db.execute("UPDATE total SET clock = max(clock, ?)", (value,))
                if not self._too_full(db):
                    return

    def _too_full(self, db: apsw.Connection) -> bool:
        entries, size = row_of(db, "SELECT entries, bytes FROM total")
        return bool(entries > self._entries_max or size > self.bytes_max)

    async def hit(self, key: int) -> None:
        """Count one use. Written later; a crash loses the last few."""

        def job(db: apsw.Connection) -> None:
            self._hits[key] = self._hits.get(key, 0) + 1
            if len(self._hits) >= _TOUCHED_MAX:
                with writing(db):
                    self._write_hits(db)

        await self.run(job)

    def _write_hits(self, db: apsw.Connection) -> None:
        clock, now_s = _clock_of(db), self._clock()
        for key, count in self._hits.items():
            row = next(
                iter(db.execute("SELECT hits, cost_nusd, bytes FROM entries WHERE id = ?", (key,))), None
            )
            if row is not None:
                hits, cost_nusd, size = row
                value = priority(clock, 1 + hits + count, self._cost(db, cost_nusd), size)
                db.execute(
                    "UPDATE entries SET hits = hits + ?, last_hit_s = ?, priority = ? WHERE id = ?",
                    (count, now_s, value, key),
                )
        self._hits.clear()

    async def judged(
        self, key: int, *, agrees: bool, keep_doubted: bool, documents: Mapping[str, str] = NO_DOCUMENTS
    ) -> Removed:
        """Record a comparison's result. An entry that agreed is trusted, and valid under the document
        versions, by id, that the fresh answer came from; otherwise it is doubted, or dropped."""

        def job(db: apsw.Connection) -> Removed:
            with db:
                if agrees:
                    db.execute("UPDATE entries SET agreed = agreed + 1, trust = 'fresh' WHERE id = ?", (key,))
                    _renew_documents(db, key, documents)
                elif keep_doubted:
                    db.execute("UPDATE entries SET wrong = wrong + 1, trust = 'doubted' WHERE id = ?", (key,))
                else:
                    db.execute("DELETE FROM entries WHERE id = ?", (key,))
            return self._removed(db)

        return await self.run(job)

    async def doubt(self, key: int) -> None:
        """Stop serving an entry until a fresh answer agrees with it."""

        def job(db: apsw.Connection) -> None:
            db.execute("UPDATE entries SET trust = 'doubted' WHERE id = ?", (key,))

        await self.run(job)

    async def maintain(self) -> Removed:
        """Write the counts, drop expired entries, and return deleted rows, as `removed` does."""

        def job(db: apsw.Connection) -> Removed:
            with writing(db):
                self._write_hits(db)
                db.execute(EXPIRE, (self._clock(), EXPIRED_AT_ONCE))
                last = one(db, "SELECT coalesce(max(number), 0) FROM gone")
                kept = max(GONE_MIN, self._entries_max)
                db.execute("DELETE FROM gone WHERE number <= ?", (last - kept,))
            return self._removed(db)

        return await self.run(job)

    async def removed(self) -> Removed:
        """The next deleted rows, whoever deleted them; empty when all have been returned."""
        return await self.run(self._removed)

    def _removed(self, db: apsw.Connection) -> Removed:
        """The next deleted rows since the last call. Called after the transaction: rolled-back deletions do
        not count."""
        rows = list(db.execute(GONE, (self._gone_seen, GONE_AT_ONCE)))
        if rows:
            self._gone_seen = rows[-1][0]
        return [(key, partition) for _, key, partition in rows]

    async def aclose(self) -> None:
        """Write the counts, then close. Safe to call twice."""

        def last(db: apsw.Connection) -> None:
            with writing(db):
                self._write_hits(db)

        await self._file.aclose(last)


def priority(clock: float, uses: int, cost_nusd: float, size_bytes: int) -> float:
    """GreedyDual-Size with Frequency: the lowest is evicted first."""
    return clock + uses * cost_nusd / size_bytes


def _renew_documents(db: apsw.Connection, key: int, documents: Mapping[str, str]) -> None:
    row = next(iter(db.execute("SELECT documents FROM entries WHERE id = ?", (key,))), None)
    if row is None or not documents:
        return
    before = _decode_documents(row[0])
    now = tuple((name, documents.get(name) or version) for name, version in before)
    if now == before:
        return
    db.execute("UPDATE entries SET documents = ? WHERE id = ?", (msgspec.json.encode(now).decode(), key))
    db.executemany(
        "UPDATE documents SET version = ? WHERE document = ? AND entry = ?",
        [(version, name, key) for name, version in now],
    )


def _clock_of(db: apsw.Connection) -> float:
    return float(one(db, "SELECT clock FROM total"))


def row_of(db: apsw.Connection, sql: str, *values: Any) -> Any:
    return next(iter(db.execute(sql, values)))


def one(db: apsw.Connection, sql: str, *values: Any) -> Any:
    return row_of(db, sql, *values)[0]
