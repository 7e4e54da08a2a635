"""What the semantic cache's file says about future questions: how often each was asked, and what it cost.

Opens the file itself, next to the process that serves from it, and changes nothing but the counts.
"""

import time
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

import apsw
from msgspec import Struct

from farthing.brain.cache.semantic.store.entries import RequestTemplate, read_recipe
from farthing.brain.cache.semantic.store.tables import SCHEMA
from farthing.stores.sqlite import SqliteFile
from farthing.text.phrase import normalised

ENTRIES_MAX = 5_000  # expiring entries considered, the most used first
_BUSY_MS = 2_000


class Counted(Struct, frozen=True, kw_only=True):
    """A question and its statistics."""

    key: str
    """Equal for the same words in the same context, whatever the policy or embedder at the time."""
    question: str
    recipe: RequestTemplate
    asks: int
    """The larger of the times it was asked and the hits of its entry."""
    expires_unix_s: float | None
    """When its trusted answer expires; None if it has none."""
    cost_nusd: int | None
    """Cost of its answer, else the mean in the same context; None if no price is known."""


class Counts(Struct, frozen=True, kw_only=True):
    """All counted questions, and since when."""

    questions: tuple[Counted, ...]
    since_unix_s: float | None
    """None: nothing was counted."""
    now_unix_s: float
    recipes: tuple[RequestTemplate, ...]
    """The contexts of all questions, most asked first."""


_ROWS = """
SELECT a.partition, a.normalised, a.question, a.count, a.since_s, e.expires_s, e.cost_nusd, e.hits
FROM asked AS a LEFT JOIN entries AS e
    ON e.partition = a.partition AND e.normalised = a.normalised AND e.trust = 'fresh' AND e.expires_s > ?1
"""
_EXPIRING = """
SELECT partition, normalised, question, 0, created_s, expires_s, cost_nusd, hits FROM entries
WHERE trust = 'fresh' AND hits > 0 AND expires_s > ?1 AND expires_s <= ?2
    AND NOT EXISTS (SELECT 1 FROM asked AS a
                    WHERE a.partition = entries.partition AND a.normalised = entries.normalised)
ORDER BY hits DESC LIMIT ?3
"""


class QueryCounts:
    """The counts in the file at `path`.

    Raises:
        StoreError: the file cannot be opened; in every method: the operation failed.
    """

    def __init__(self, path: Path, *, clock_unix_s: Callable[[], float] = time.time) -> None:
        self._clock_unix_s = clock_unix_s
        self._file = SqliteFile(path, SCHEMA, thread="farthing-ahead", busy_ms=_BUSY_MS, beside=True)

    async def counts(self, *, since_unix_s: float | None, lasting_s: float) -> Counts:
        """Every question asked, and every used entry that expires within `lasting_s`.

        `since_unix_s` is when counting began, if known; otherwise the first question decides.
        """
        return await self._file.run(lambda db: self._counts(db, since_unix_s, lasting_s))

    def _counts(self, db: apsw.Connection, since_unix_s: float | None, lasting_s: float) -> Counts:
        now_s = self._clock_unix_s()
        recipes = {
            partition: (encoded, recipe)
            for partition, encoded in db.execute("SELECT partition, recipe FROM partitions")
            if (recipe := read_recipe(encoded)) is not None
        }
        means = dict(
            db.execute("SELECT partition, CAST(avg(cost_nusd) AS INTEGER) FROM entries GROUP BY partition")
        )
        rows = list(db.execute(_ROWS, (now_s,)))
        counted_since_s = min((row[4] for row in rows), default=None)
        rows += db.execute(_EXPIRING, (now_s, now_s + lasting_s, ENTRIES_MAX))
        found: dict[str, Counted] = {}
        asks_of: dict[bytes, int] = {}
        for partition, folded, question, count, since_s, expires_s, cost_nusd, hits in rows:
            if partition not in recipes:
                continue
            encoded, recipe = recipes[partition]
            key = key_of(encoded, folded)
            asks = count
            if count == 0:  # an entry that served hits: counts all hits of its life in this span
                begun_s = counted_since_s if since_unix_s is None else since_unix_s
                lived_s = max(1.0, now_s - since_s)
                asks = round(hits * min(1.0, (now_s - (begun_s or since_s)) / lived_s))
            asks_of[encoded] = asks_of.get(encoded, 0) + asks
            before = found.get(key)
            found[key] = Counted(
                key=key,
                question=question,
                recipe=recipe,
                asks=asks + (0 if before is None else before.asks),
                expires_unix_s=_later(expires_s, None if before is None else before.expires_unix_s),
                cost_nusd=means.get(partition) if cost_nusd is None else cost_nusd,
            )
        by_asks = sorted(asks_of, key=lambda encoded: asks_of[encoded], reverse=True)
        of_encoded = dict(recipes.values())
        return Counts(
            questions=tuple(found.values()),
            since_unix_s=counted_since_s if since_unix_s is None else since_unix_s,
            now_unix_s=now_s,
            recipes=tuple(of_encoded[encoded] for encoded in by_asks),
        )

    async def begin_anew(self, before_unix_s: float) -> None:
        """Forget earlier questions; of a question that was asked since, the last ask stays."""

        def job(db: apsw.Connection) -> None:
            with db:
                db.execute("DELETE FROM asked WHERE last_s < ?", (before_unix_s,))
                db.execute("UPDATE asked SET count = 1, since_s = last_s WHERE since_s < ?", (before_unix_s,))

        await self._file.run(job)

    async def aclose(self) -> None:
        """Safe to call twice."""
        await self._file.aclose()


def key_of(recipe: bytes, question: str) -> str:
    """A short name for a question in its context."""
    folded = normalised(question).encode("utf-8", "replace")
    return blake2b(folded, key=blake2b(recipe, digest_size=32).digest(), digest_size=12).hexdigest()


def _later(one: float | None, other: float | None) -> float | None:
    return max((at for at in (one, other) if at is not None), default=None)
