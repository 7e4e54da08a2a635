"""Two writers of one SQLite file, as a gateway and a command beside it."""

import asyncio
from pathlib import Path

import apsw

from farthing.stores.sqlite import SqliteFile, writing

SCHEMA = "CREATE TABLE IF NOT EXISTS counts (number INTEGER)"
EACH = 300


def test_a_job_that_reads_before_it_writes_waits_for_the_other_writer(tmp_path: Path) -> None:
    def add(db: apsw.Connection) -> None:
        with writing(db):
            (most,) = next(db.execute("SELECT coalesce(max(number), 0) FROM counts"))
            db.execute("INSERT INTO counts VALUES (?)", (most + 1,))

    async def many(file: SqliteFile) -> None:
        for _ in range(EACH):
            await file.run(add)

    async def both() -> list[int]:
        path = tmp_path / "counts.db"
        one = SqliteFile(path, SCHEMA, thread="one", busy_ms=20_000)
        other = SqliteFile(path, SCHEMA, thread="other", busy_ms=20_000, beside=True)
        try:
            await asyncio.gather(many(one), many(other))
            return await one.run(
                lambda db: [number for (number,) in db.execute("SELECT number FROM counts ORDER BY number")]
            )
        finally:
            await other.aclose()
            await one.aclose()

    assert asyncio.run(both()) == list(range(1, 2 * EACH + 1))
