"""The semantic cache on a bad day: damaged rows, all gone at once, a start in two goes, a full disk."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import apsw
import numpy as np
import pytest
from tests.unit.brain.cache.semantic.store.test_index_file import (
    DIMS,
    entry,
    in_file,
    in_index,
    keep,
    opened,
    with_cache_state,
)

from farthing.brain.cache.semantic.store import entries_file as shelves
from farthing.brain.cache.semantic.store import state as held
from farthing.brain.cache.semantic.store.entries_file import EXPIRED_AT_ONCE, GONE_AT_ONCE, EntryStore, one
from farthing.brain.cache.semantic.store.invalidate import Selection
from farthing.errors import StoreError

DAMAGED = {
    "not a number": np.full(DIMS, np.nan, np.float16).tobytes(),
    "no direction": bytes(2 * DIMS),
    "another width": bytes(10),
    "cut": b"\1" * (2 * DIMS - 1),
}


@pytest.mark.parametrize("harm", DAMAGED)
def test_a_damaged_vector_costs_its_own_entry_and_no_other(
    tmp_path: Path, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "semantic.db"
    with_cache_state(path, lambda cache_state: keep(cache_state, *range(30)), close=False)

    def damage(key: int) -> None:
        db = apsw.Connection(str(path))
        db.execute("UPDATE entries SET vector = ? WHERE id = ?", (DAMAGED[harm], key))
        db.close()

    async def run() -> None:
        damage(7)
        cache_state = opened(path)
        await cache_state.load()
        assert set(in_index(cache_state)) == set(range(1, 31)) - {7}
        other = opened(path)
        await other.load()
        await keep(other, 30, 31)
        damage(31)
        await cache_state.maintain()
        assert set(in_index(cache_state)) == set(range(1, 33)) - {7, 31}
        await other.entry_store.aclose()
        await cache_state.aclose()

    asyncio.run(run())
    assert "entry e7 cannot be found" in caplog.text and "entry e31 cannot be found" in caplog.text


def test_all_that_goes_at_once_is_out_of_every_index_with_the_next_maintain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More of them than are told at once, and more than are kept for others at least."""
    monkeypatch.setattr(shelves, "GONE_MIN", 10)
    for module in (shelves, held):
        monkeypatch.setattr(module, "GONE_AT_ONCE", 40)
    path = tmp_path / "semantic.db"

    async def run() -> None:
        first, second = opened(path), opened(path)
        await first.load()
        await keep(first, *range(300))
        await second.load()
        assert len(in_index(first)) == len(in_index(second)) == 300
        await first.invalidations.invalidate(Selection(endpoint="faq"), who="jo", check=frozenset())
        for cache_state in (first, second):
            await cache_state.maintain()
            assert in_index(cache_state) == {}
        await second.aclose()
        await first.aclose()

    asyncio.run(run())


def test_numbers_of_rows_that_went_do_not_gather_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelves, "GONE_MIN", 10)

    async def run() -> None:
        entry_store = EntryStore(tmp_path / "semantic.db", entries_max=20, bytes_max=10**9)
        for number in range(100):
            await entry_store.put(entry(number), None, per_user_hour_max=10**6)
        await entry_store.maintain()
        assert await entry_store.run(lambda db: one(db, "SELECT count(*) FROM gone")) == 20
        await entry_store.aclose()

    asyncio.run(run())
    assert GONE_AT_ONCE > 40, "or the test before this one shows less than it says"


def test_what_goes_between_two_tries_of_a_start_is_not_in_the_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "semantic.db"
    monkeypatch.setattr("farthing.brain.cache.semantic.store.index_file.VECTOR_ROWS", 20)
    with_cache_state(path, lambda cache_state: keep(cache_state, *range(100)), close=False)

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
        there = set(in_index(cache_state))
        assert there
        db = apsw.Connection(str(path))
        db.execute("DELETE FROM entries WHERE id = ?", (min(there),))
        db.close()
        await cache_state.load()
        await cache_state.maintain()
        assert in_index(cache_state) == await in_file(cache_state) and min(there) not in in_index(cache_state)
        await cache_state.aclose()

    asyncio.run(run())


def test_room_is_made_without_deleting_all_that_expired_in_one_go(tmp_path: Path) -> None:
    now_s, count = [1_000.0], EXPIRED_AT_ONCE + 200

    async def run() -> None:
        path = tmp_path / "semantic.db"
        entry_store = EntryStore(path, entries_max=count, bytes_max=10**9, clock=lambda: now_s[0])
        for number in range(count):
            made = entry(number, created_unix_s=0.0, expires_unix_s=2_000.0)
            await entry_store.put(made, None, per_user_hour_max=10**6)
        now_s[0] = 3_000.0
        await entry_store.put(entry(count, expires_unix_s=9_000.0), None, per_user_hour_max=10**6)
        left = await entry_store.run(lambda db: one(db, "SELECT count(*) FROM entries"))
        assert left == count + 1 - EXPIRED_AT_ONCE
        await entry_store.aclose()

    asyncio.run(run())


def test_an_end_on_a_full_disk_closes_everything_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "semantic.db"

    async def run() -> None:
        cache_state = opened(path)
        await cache_state.load()
        await keep(cache_state, *range(40))
        await cache_state.maintain()
        await cache_state.entry_store.hit(1)
        full = (
            "CREATE TEMP TRIGGER full BEFORE UPDATE ON entries BEGIN SELECT raise(FAIL, 'disk is full'); END"
        )
        await cache_state.entry_store.run(lambda db: db.execute(full).fetchall())
        await cache_state.aclose()
        with pytest.raises(StoreError, match="closed"):
            await cache_state.entry_store.hit(1)

    caplog.set_level(logging.WARNING, "farthing.semantic")
    asyncio.run(run())
    assert "disk is full" in caplog.text


def test_what_looks_after_the_cache_does_not_stop_in_silence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def fault() -> None:
        raise RuntimeError("a fault of ours")

    async def run() -> None:
        cache_state = opened(tmp_path / "semantic.db")
        cache_state.start(also=fault)
        async with asyncio.timeout(60):
            while not any(record.levelno == logging.ERROR for record in caplog.records):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        await cache_state.aclose()

    asyncio.run(run())
    (told,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert told.exc_info is not None and "a fault of ours" in str(told.exc_info[1])
