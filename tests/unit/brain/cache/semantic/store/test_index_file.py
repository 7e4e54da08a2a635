"""The file of the index beside the entries: what a start takes from it, and that nothing gone comes back."""

import asyncio
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import apsw
import numpy as np
import pytest
from tests.semantic import HashedWords, said

from farthing.brain.cache.semantic.store import index_file
from farthing.brain.cache.semantic.store.entries import Entry
from farthing.brain.cache.semantic.store.entries_file import EntryStore
from farthing.brain.cache.semantic.store.index_file import EntryIndex
from farthing.brain.cache.semantic.store.state import SemanticCacheState
from farthing.brain.cache.semantic.store.vector_codec import narrowed, widened
from farthing.errors import StoreError
from farthing.stores.vector.partitions import PartitionedIndex
from farthing.types import replace

DIMS = HashedWords.dims
NAME = HashedWords.name
ROOT = Path(__file__).parents[6]


def entry(number: int, **changes: object) -> Entry:
    row = np.random.default_rng(number).standard_normal(DIMS).astype(np.float32)
    made = Entry(
        partition=b"partition %d" % (number % 7),
        question=f"q{number}",
        normalised=f"q{number}",
        vector=narrowed(row / np.linalg.norm(row)),
        answer=said("Yes."),
        endpoint="faq",
        tenant="acme",
        embedder=NAME,
        created_unix_s=time.time(),
        expires_unix_s=time.time() + 3600,
    )
    changed: Entry = replace(made, **changes)
    return changed


def opened(path: Path) -> SemanticCacheState:
    entry_store = EntryStore(path, entries_max=100_000, bytes_max=10**9)
    return SemanticCacheState(entry_store, PartitionedIndex(DIMS, name=NAME, list_max=32), HashedWords())


async def keep(cache_state: SemanticCacheState, *numbers: int) -> None:
    for number in numbers:
        one = entry(number)
        key, removed = await cache_state.entry_store.put(one, None, per_user_hour_max=10**6)
        assert key is not None
        cache_state._index.add(one.partition, key, widened(one.vector))
        await cache_state._forget(removed)


def in_index(cache_state: SemanticCacheState) -> dict[int, bytes]:
    index = cache_state._index
    assert isinstance(index, PartitionedIndex)
    return {key: partition for partition in index.partitions() for key in index.keys(partition)}


async def in_file(cache_state: SemanticCacheState) -> dict[int, bytes]:
    def job(db: apsw.Connection) -> dict[int, bytes]:
        return dict(db.execute("SELECT id, partition FROM entries WHERE embedder = ?", (NAME,)))

    return await cache_state.entry_store.run(job)


def with_cache_state(
    path: Path, work: Callable[[SemanticCacheState], Awaitable[None]], *, close: bool = True
) -> None:
    """Run `work` between a start and an end; without `close` nothing is saved."""

    async def run() -> None:
        cache_state = opened(path)
        try:
            await cache_state.load()
            assert in_index(cache_state) == await in_file(cache_state), (
                "after a start the index is what the rows are"
            )
            await work(cache_state)
        finally:
            if close:
                await cache_state.aclose()
            else:
                await cache_state.entry_store.aclose()

    asyncio.run(run())


async def nothing(cache_state: SemanticCacheState) -> None:
    return None


def restored(caplog: pytest.LogCaptureFixture) -> int:
    """How many entries the last start took from the file."""
    told = [record for record in caplog.records if "from the file of the index" in record.message]
    assert told and isinstance(told[-1].args, tuple)
    last = told[-1].args[-1]
    assert isinstance(last, int)
    return last


@pytest.fixture(autouse=True)
def _told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "farthing.semantic")


def test_a_clean_end_saves_the_index_and_the_next_start_takes_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "semantic.db"
    with_cache_state(path, lambda cache_state: keep(cache_state, *range(300)))
    assert (tmp_path / "semantic.db.index").exists()

    async def finds(cache_state: SemanticCacheState) -> None:
        for number in range(300):
            one = entry(number)
            ((head, cosine),) = await cache_state.near(one.partition, widened(one.vector), 1, 0.9)
            assert head.question == one.question and cosine > 0.99

    with_cache_state(path, finds)
    assert restored(caplog) == 300


def test_what_came_and_went_after_it_was_saved_is_made_good(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "semantic.db"
    with_cache_state(path, lambda cache_state: keep(cache_state, *range(200)))

    async def change(cache_state: SemanticCacheState) -> None:
        await keep(cache_state, *range(200, 230))
        for key in range(1, 60, 2):
            await cache_state.entry_store.judged(key, agrees=False, keep_doubted=False)

    with_cache_state(path, change, close=False)
    with_cache_state(path, nothing)
    assert restored(caplog) == 170


WRITER = """
import asyncio, sys
from pathlib import Path
from tests.unit.brain.cache.semantic.store.test_index_file import keep, opened

async def main():
    cache_state = opened(Path(sys.argv[1]))
    await cache_state.load()
    number = int(sys.argv[2])
    while True:
        await keep(cache_state, *range(number, number + 20))
        for key in range(number // 2, number // 2 + 8):
            await cache_state.entry_store.judged(key, agrees=False, keep_doubted=False)
        await cache_state.maintain()
        await cache_state._index_file.save()
        print(number, flush=True)
        number += 20

asyncio.run(main())
"""


@pytest.mark.slow
def test_after_kills_at_any_moment_the_index_is_what_the_rows_are(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "semantic.db"
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    number = from_file = 0
    for life in range(8):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(number)], stdout=subprocess.PIPE, env=environment
        )
        assert writer.stdout is not None
        for _ in range(3):
            number = int(writer.stdout.readline()) + 20
        time.sleep(0.004 * life)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        number += 20 * len(writer.stdout.read().splitlines()) + 20
        writer.stdout.close()
        with_cache_state(path, nothing, close=False)  # which compares them
        from_file += restored(caplog)
    assert from_file > 0


def test_a_row_that_another_process_dropped_is_not_taken_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "semantic.db"
    with_cache_state(path, lambda cache_state: keep(cache_state, *range(50)))
    db = apsw.Connection(str(path))
    db.execute("DELETE FROM entries WHERE id <= 10")
    db.execute("UPDATE entries SET expires_s = 1 WHERE id = 11")
    db.close()

    async def look(cache_state: SemanticCacheState) -> None:
        assert min(in_index(cache_state)) == 12

    async def run() -> None:
        cache_state = opened(path)
        await cache_state.load()
        await look(cache_state)
        await cache_state.aclose()

    asyncio.run(run())


@pytest.mark.parametrize("harm", ["cut", "altered", "gone", "older", "another embedder"])
def test_a_file_that_is_of_no_use_is_told_of_and_the_index_built_from_the_rows(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, harm: str
) -> None:
    path, saved = tmp_path / "semantic.db", tmp_path / "semantic.db.index"
    with_cache_state(path, lambda cache_state: keep(cache_state, *range(100)))
    whole = saved.read_bytes()
    if harm == "cut":
        saved.write_bytes(whole[:-100])
    elif harm == "altered":
        saved.write_bytes(whole[:500] + bytes([whole[500] ^ 1]) + whole[501:])
    elif harm == "gone":
        saved.unlink()
    elif harm == "older":
        with_cache_state(path, lambda cache_state: keep(cache_state, *range(100, 150)))
        saved.write_bytes(whole)
    else:
        asyncio.run(PartitionedIndex(DIMS, name="other").save(saved, stamp="s"))
    with_cache_state(path, nothing)
    assert restored(caplog) == 0
    assert any("rebuilding the index from the entries" in record.message for record in caplog.records)


def test_an_older_copy_of_the_entries_that_was_put_back_does_not_get_a_newer_index(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its next rows have numbers that the file of the index knows as others."""
    path = tmp_path / "semantic.db"
    with_cache_state(path, lambda cache_state: keep(cache_state, *range(40)))
    shutil.copy(path, tmp_path / "copy")
    with_cache_state(path, lambda cache_state: keep(cache_state, *range(40, 80)))
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    shutil.copy(tmp_path / "copy", path)
    with_cache_state(path, lambda cache_state: keep(cache_state, *range(500, 520)), close=False)
    assert restored(caplog) == 0

    async def finds(cache_state: SemanticCacheState) -> None:
        one = entry(510)
        ((head, cosine),) = await cache_state.near(one.partition, widened(one.vector), 1, 0.9)
        assert head.question == "q510" and cosine > 0.99

    with_cache_state(path, finds)
    assert restored(caplog) == 0


def test_an_index_of_entries_that_were_replaced_meanwhile_is_not_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "semantic.db"

    async def replaced(cache_state: SemanticCacheState) -> None:
        await keep(cache_state, *range(100))

        def anew(db: apsw.Connection) -> None:  # what a file set aside as damaged leaves
            db.execute("DELETE FROM entries")
            db.execute("DELETE FROM sqlite_sequence")
            db.execute("UPDATE index_stamp SET entries = 'another', stamp = ''")

        await cache_state.entry_store.run(anew)
        await cache_state._index_file.save()
        for number in range(900, 903):
            await cache_state.entry_store.put(entry(number), None, per_user_hour_max=10**6)

    with_cache_state(path, replaced, close=False)

    async def finds(cache_state: SemanticCacheState) -> None:
        assert len(in_index(cache_state)) == 3
        one = entry(902)
        ((head, _),) = await cache_state.near(one.partition, widened(one.vector), 1, 0.9)
        assert head.question == "q902"

    with_cache_state(path, finds)
    assert restored(caplog) == 0


def test_it_is_saved_now_and_then_and_not_more_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "semantic.db"
    monkeypatch.setattr(index_file, "SAVE_FROM", 20)

    async def work(cache_state: SemanticCacheState) -> None:
        kept = EntryIndex(cache_state.entry_store, cache_state._index, NAME)
        await keep(cache_state, *range(50))
        await kept.save_now_and_then()
        assert not kept.path.exists(), "not so soon"
        monkeypatch.setattr(index_file, "SAVE_EVERY_S", -1.0)
        await kept.save_now_and_then()
        written_ns = kept.path.stat().st_mtime_ns
        await keep(cache_state, *range(50, 60))
        await kept.save_now_and_then()
        assert kept.path.stat().st_mtime_ns == written_ns, "too little has changed"
        await keep(cache_state, *range(60, 80))
        await kept.save_now_and_then()
        assert kept.path.stat().st_mtime_ns > written_ns

    with_cache_state(path, work, close=False)


def test_an_end_where_nothing_changed_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "semantic.db"
    with_cache_state(path, lambda cache_state: keep(cache_state, *range(30)))
    written_ns = (tmp_path / "semantic.db.index").stat().st_mtime_ns
    with_cache_state(path, nothing)
    assert (tmp_path / "semantic.db.index").stat().st_mtime_ns == written_ns


def test_a_start_that_failed_half_way_can_be_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "semantic.db"
    monkeypatch.setattr(index_file, "VECTOR_ROWS", 20)

    async def fill(cache_state: SemanticCacheState) -> None:
        await keep(cache_state, *range(100))

    with_cache_state(path, fill, close=False)

    async def run() -> None:
        cache_state = opened(path)
        real, calls = cache_state.entry_store.run, 0

        async def failing(job: Callable[[apsw.Connection], object]) -> object:
            nonlocal calls
            calls += 1
            if calls == 6:
                raise StoreError("the disk does not answer")
            return await real(job)

        monkeypatch.setattr(cache_state.entry_store, "run", failing)
        with pytest.raises(StoreError):
            await cache_state.load()
        assert 0 < len(in_index(cache_state)) < 100 and not cache_state.ready
        await cache_state.load()
        assert in_index(cache_state) == await in_file(cache_state) and cache_state.ready
        await cache_state.aclose()

    asyncio.run(run())
    with_cache_state(path, nothing)
    assert restored(caplog) == 100
