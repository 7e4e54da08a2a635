"""Asked questions, and entries that wait for a fresh answer: the input of background jobs."""

import apsw

from farthing.brain.cache.semantic.store.entries import Doubted, entry_id, read_recipe
from farthing.brain.cache.semantic.store.entries_file import EntryStore, one
from farthing.brain.cache.semantic.store.tables import ASKED

ASKED_MAX = 20_000
ASKED_ROW_BYTES_MAX = 8_192  # with its template; such rows may use an eighth of the space


class Questions:
    """Question counts and doubted entries in the file of `entry_store`. All methods may raise StoreError."""

    def __init__(self, entry_store: EntryStore) -> None:
        self._entry_store = entry_store
        self._asked_max = max(100, min(ASKED_MAX, entry_store.bytes_max // ASKED_ROW_BYTES_MAX // 8))

    async def note_asked(self, counts: dict[tuple[bytes, str], tuple[int, str, bytes | None]]) -> None:
        """Add counts of (partition, normalised question) -> count, question, template; the rarest are
        evicted."""

        def job(db: apsw.Connection) -> None:
            now_s = self._entry_store.now_s()
            with db:
                for (partition, normalised), (count, question, recipe) in counts.items():
                    if recipe is not None and len(recipe) <= ASKED_ROW_BYTES_MAX:
                        db.execute(
                            "INSERT OR IGNORE INTO partitions VALUES (?, ?, ?)",
                            (partition, recipe, len(recipe) + 80),
                        )
                    db.execute(ASKED, (partition, normalised, question, count, now_s, now_s))
                over = one(db, "SELECT count(*) FROM asked") - self._asked_max
                if over > 0:  # delete a tenth more than needed, so that this is rare
                    db.execute(
                        "DELETE FROM asked WHERE rowid IN"
                        " (SELECT rowid FROM asked ORDER BY count, last_s LIMIT ?)",
                        (over + self._asked_max // 10,),
                    )
                self._entry_store.make_room(db, now_s)

        await self._entry_store.run(job)

    async def doubted(self, count: int) -> list[Doubted]:
        """The most used entries that wait for a fresh answer and can be asked again. Reads all of them,
        without blocking lookups."""

        def job(db: apsw.Connection) -> list[Doubted]:
            rows = db.execute(
                "SELECT id, question, recipe, cost_nusd, hits FROM entries JOIN partitions USING (partition)"
                " WHERE trust = 'doubted' AND expires_s > ? ORDER BY hits DESC, priority DESC LIMIT ?",
                (self._entry_store.now_s(), count),
            )
            found = []
            for key, question, encoded, cost_nusd, hits in rows:
                recipe = read_recipe(encoded)
                if recipe is not None:
                    found.append(
                        Doubted(
                            entry=entry_id(key),
                            question=question,
                            recipe=recipe,
                            cost_nusd=cost_nusd,
                            hits=hits,
                        )
                    )
            return found

        return await self._entry_store.read_aside(job)
