"""Many partitions, one index: isolation, memory, growing in the background, and the file."""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from numpy.typing import NDArray

from farthing.errors import StoreError
from farthing.stores.vector.growing import GrowingIndex
from farthing.stores.vector.partitions import PartitionedIndex
from farthing.stores.vector.usearch import UsearchIndex

DIMS = 16
Row = NDArray[np.float32]


def vectors(count: int, seed: int = 0) -> Row:
    rows = np.random.default_rng(seed).standard_normal((count, DIMS)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def made(exact_max: int = 6) -> PartitionedIndex:
    return PartitionedIndex(DIMS, name="test", exact_max=exact_max)


# -- isolation --------------------------------------------------------------------------------------

PARTITIONS = st.sampled_from([b"", b"a", b"b", b"ab", b"\x00", b"tenant-1", b"tenant-2"])
KEYS = st.integers(0, 12)
SEEDS = st.integers(0, 5)  # few, so that other partitions hold the very vector that is asked for


class Isolation(RuleBasedStateMachine):
    """Against a dict of dicts. Keys and vectors are the same in many partitions."""

    def __init__(self) -> None:
        super().__init__()
        self.index = made()
        self.model: dict[bytes, dict[int, int]] = {}

    @rule(partition=PARTITIONS, key=KEYS, seed=SEEDS)
    def add(self, partition: bytes, key: int, seed: int) -> None:
        self.index.add(partition, key, vectors(1, seed)[0])
        self.model.setdefault(partition, {})[key] = seed

    @rule(partition=PARTITIONS, key=KEYS)
    def remove(self, partition: bytes, key: int) -> None:
        self.index.remove(partition, key)
        self.model.get(partition, {}).pop(key, None)

    @rule(partition=PARTITIONS)
    def drop(self, partition: bytes) -> None:
        self.index.drop(partition)
        self.model.pop(partition, None)

    @rule(partition=PARTITIONS, seed=SEEDS, count=st.integers(1, 20))
    def search(self, partition: bytes, seed: int, count: int) -> None:
        kept = self.model.get(partition, {})
        asked = vectors(1, seed)[0]
        found = self.index.search(partition, asked, count)
        assert len(found) == min(count, len(kept))
        for key, cosine in found:
            assert cosine == pytest.approx(float(vectors(1, kept[key])[0] @ asked), abs=0.02)
        if seed in kept.values():
            assert found[0][1] > 0.99, "what is there is found"

    @invariant()
    def sums_agree(self) -> None:
        assert len(self.index) == sum(len(kept) for kept in self.model.values())
        assert set(self.index.partitions()) == {name for name, kept in self.model.items() if kept}
        for name, kept in self.model.items():
            assert self.index.keys(name) == set(kept)
        assert (self.index.bytes_used > 0) == (len(self.index) > 0)


TestIsolation = Isolation.TestCase
TestIsolation.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_memory_that_was_given_back_is_not_counted_any_more() -> None:
    index = made(exact_max=50)
    for number in range(200):
        for key in range(number % 60):
            index.add(b"%d" % number, key, vectors(1, key)[0])
    assert index.bytes_used > len(index) * DIMS
    for partition in index.partitions():
        for key in index.keys(partition):
            index.remove(partition, key)
    assert (len(index), index.bytes_used, index.partitions()) == (0, 0, ())


@pytest.mark.parametrize("key", [-1, 2**63])
def test_a_key_that_a_graph_could_not_hold_is_refused(key: int) -> None:
    index = made()
    with pytest.raises(ValueError):
        index.add(b"a", key, vectors(1)[0])
    assert len(index) == 0


# -- growing beside the event loop ------------------------------------------------------------------


async def settle(index: GrowingIndex) -> None:
    for _ in range(5_000):
        await asyncio.sleep(0.001)
        if index._task is None:
            return
    raise AssertionError("it did not come to rest")


def test_it_becomes_a_graph_in_the_background_and_what_comes_meanwhile_counts_at_once() -> None:
    async def main() -> None:
        index = GrowingIndex(DIMS, exact_max=200)
        rows = vectors(400)
        for key in range(201):
            index.add(key, rows[key])
        assert index._task is not None and not isinstance(index.main, UsearchIndex)
        index.remove(5)
        index.add(7, rows[300])
        for key in range(201, 300):
            index.add(key, rows[key])
        assert len(index) == 299 and 5 not in index and 299 in index
        assert index.search(rows[250], 1)[0][0] == 250, "added while the graph is made"
        assert index.search(rows[300], 1)[0][0] == 7, "replaced while the graph is made"
        assert 5 not in dict(index.search(rows[5], 299)), "removed while the graph is made"
        await settle(index)
        assert isinstance(index.main, UsearchIndex) and index._fresh is None and not index._gone
        assert index.keys() == set(range(300)) - {5}
        assert index.search(rows[250], 1)[0][0] == 250
        assert index.search(rows[300], 1)[0][0] == 7
        assert 5 not in dict(index.search(rows[5], 299))
        await index.aclose()

    asyncio.run(main())


def test_searches_go_on_and_the_loop_is_not_held_while_a_graph_is_built() -> None:
    async def main() -> None:
        index = GrowingIndex(DIMS, exact_max=6_000)
        rows = vectors(6_001)
        for key, row in enumerate(rows):
            index.add(key, row)
        gaps, searches = [], 0
        last_s = time.perf_counter()
        while index._task is not None:
            wanted = searches % len(rows)
            assert index.search(rows[wanted], 1)[0][0] == wanted
            searches += 1
            await asyncio.sleep(0)
            now_s = time.perf_counter()
            gaps.append(now_s - last_s)
            last_s = now_s
        assert searches > 50
        gaps.sort()
        assert gaps[len(gaps) * 9 // 10] < 0.005
        await index.aclose()

    asyncio.run(main())


def test_a_graph_that_shrinks_loses_its_dead_rows_and_becomes_exact_again() -> None:
    async def main() -> None:
        index = GrowingIndex(DIMS, exact_max=100)
        rows = vectors(3_000)
        for key, row in enumerate(rows):
            index.add(key, row)
        await settle(index)
        full = index.bytes_used
        for key in range(1_700):
            index.remove(key)
            assert key not in index
        await settle(index)
        assert isinstance(index.main, UsearchIndex) and index.main.dead <= 1_000 + len(index)
        assert index.bytes_used < full
        for key in range(1_700, 2_980):
            index.remove(key)
        await settle(index)
        assert not isinstance(index.main, UsearchIndex)
        assert index.keys() == set(range(2_980, 3_000))
        for key in range(2_980, 3_000):
            assert index.search(rows[key], 1)[0][0] == key
        await index.aclose()

    asyncio.run(main())


def test_a_graph_makes_room_in_the_background() -> None:
    async def main() -> None:
        index = GrowingIndex(DIMS, exact_max=100)
        rows = vectors(3_000)
        for key, row in enumerate(rows):
            index.add(key, row)
            if key % 100 == 0:
                await settle(index)
        await settle(index)
        assert index.keys() == set(range(3_000))
        found = sum(index.search(rows[key], 1)[0][0] == key for key in range(0, 3_000, 10))
        assert found >= 297, "a graph overlooks one now and then"
        await index.aclose()

    asyncio.run(main())


def test_many_vectors_at_once_are_made_into_one_graph_and_none_is_lost() -> None:
    async def main() -> None:
        index = GrowingIndex(DIMS, exact_max=100)
        rows = vectors(9_000)
        gone: set[int] = set()
        again: set[int] = set()
        for key, row in enumerate(rows):
            index.add(key, row)
            if key % 7 == 3:
                index.remove(key // 2)
                gone.add(key // 2)
            if key % 11 == 5:
                index.add(key // 3, rows[key])
                gone.discard(key // 3)
                again.add(key // 3)
            if key % 500 == 0:
                await asyncio.sleep(0.01)  # the graph of the first is built; the rest comes meanwhile
            assert len(index) == key + 1 - len(gone)
        expected = set(range(9_000)) - gone
        assert index.keys() == expected
        seconds = 0
        while index._task is not None:
            seconds += index._second is not None
            some = 17 * (seconds + 1)
            assert (some in index) == (some in expected)
            await asyncio.sleep(0.001)
        assert seconds > 0, "they were merged"
        assert isinstance(index.main, UsearchIndex) and not index._gone and not index._gone_of_main
        assert index.keys() == expected and len(index) == len(expected)
        asked = [key for key in sorted(expected - again) if key % 10 == 0]
        found = sum(index.search(rows[key], 1)[0][0] == key for key in asked)
        assert found >= len(asked) * 0.9
        for key in sorted(gone)[:200]:
            assert key not in dict(index.search(rows[key], 5))
        await index.aclose()

    asyncio.run(main())


def test_closing_while_a_graph_is_built_ends_it() -> None:
    async def main() -> None:
        index = made(exact_max=3_000)
        for key, row in enumerate(vectors(3_001)):
            index.add(b"a", key, row)
        await index.aclose()
        await index.aclose()
        assert len(index) == 3_001

    asyncio.run(main())


# -- the file ---------------------------------------------------------------------------------------


def filled() -> PartitionedIndex:
    index = made(exact_max=20)
    for number in range(30):
        for key, row in enumerate(vectors(number * 2, seed=number)):
            index.add(b"partition %d" % number, key * 3, row)
    return index


def written(path: Path, stamp: str = "s1") -> PartitionedIndex:
    index = filled()
    asyncio.run(index.save(path, stamp=stamp))
    return index


def load(path: Path, *, name: str = "test", dims: int = DIMS, stamp: str = "s1") -> PartitionedIndex:
    return PartitionedIndex.load(path, dims, name=name, stamp=stamp, exact_max=20)


def test_what_was_saved_is_loaded_and_finds_the_same(tmp_path: Path) -> None:
    before = written(tmp_path / "v")
    after = load(tmp_path / "v")
    assert set(after.partitions()) == set(before.partitions())
    assert len(after) == len(before)
    for number in range(30):
        name = b"partition %d" % number
        assert after.keys(name) == before.keys(name)
        for row in vectors(5, seed=number):
            assert after.search(name, row, 3) == before.search(name, row, 3)
    after.add(b"partition 29", 999, vectors(1, seed=77)[0])
    assert after.search(b"partition 29", vectors(1, seed=77)[0], 1)[0][0] == 999
    assert os.listdir(tmp_path) == ["v"], "nothing is left beside it"


def test_what_changes_while_it_is_saved_is_not_lost(tmp_path: Path) -> None:
    async def main() -> None:
        index = filled()
        saving = asyncio.create_task(index.save(tmp_path / "v", stamp="s1"))
        row = vectors(1, seed=99)[0]
        number = 0
        while not saving.done() and number < 500:
            index.add(b"partition 29", 1_000 + number, row)
            index.remove(b"partition 28", number * 3)
            index.add(b"new %d" % number, 1, row)
            number += 1
            await asyncio.sleep(0)
        await saving
        await asyncio.sleep(0.5)
        assert number > 3
        assert {1_000 + each for each in range(number)} <= index.keys(b"partition 29")
        assert not {each * 3 for each in range(number)} & index.keys(b"partition 28")
        assert len(index) == sum(len(index.keys(name)) for name in index.partitions())
        await index.aclose()
        assert len(load(tmp_path / "v")) > 700

    asyncio.run(main())


def test_a_file_of_another_embedder_width_or_state_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "v")
    with pytest.raises(StoreError, match="vectors of test, not of other"):
        load(tmp_path / "v", name="other")
    with pytest.raises(StoreError, match="vectors of"):
        load(tmp_path / "v", dims=DIMS + 1)
    with pytest.raises(StoreError, match="older or newer"):
        load(tmp_path / "v", stamp="s2")
    with pytest.raises(StoreError):
        load(tmp_path / "absent")


def test_damage_anywhere_is_told(tmp_path: Path) -> None:
    path = tmp_path / "v"
    written(path)
    whole = path.read_bytes()
    for cut in (0, 1, 30, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(StoreError):
            load(path)
    for place in range(0, len(whole), len(whole) // 60):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(StoreError):
            load(path)
    path.write_bytes(whole + b"x")
    with pytest.raises(StoreError):
        load(path)
    path.write_bytes(whole)
    assert len(load(path)) == len(filled())


def test_a_place_that_cannot_be_written_is_a_store_error_and_the_old_file_stays(tmp_path: Path) -> None:
    written(tmp_path / "v")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "x").touch()
    with pytest.raises(StoreError):
        asyncio.run(filled().save(tmp_path / "folder"))
    with pytest.raises(StoreError):
        asyncio.run(filled().save(tmp_path / "v" / "under a file"))
    assert len(load(tmp_path / "v")) == len(filled())


KILLED = """
import asyncio, os, sys
sys.path[:0] = {paths!r}
from pathlib import Path
import farthing.stores.vector.file as file
from tests.unit.test_vector_partitions import filled
place = int(sys.argv[1])
done = 0
real = file.IndexFile._put
def put(self, raw):
    global done
    done += 1
    if done == place:
        self._file.flush()
        os._exit(9)
    real(self, raw)
file.IndexFile._put = put
index = filled()
index.add(b"second", 1, __import__("numpy").ones(16, "f4"))
asyncio.run(index.save(Path(sys.argv[2]), stamp="s1"))
"""


@pytest.mark.parametrize("place", [1, 20, 60])
def test_a_process_that_dies_while_it_saves_leaves_the_old_file(tmp_path: Path, place: int) -> None:
    path = tmp_path / "v"
    written(path)
    script = KILLED.format(paths=[entry for entry in (os.getcwd(), *sys.path) if entry])
    done = subprocess.run([sys.executable, "-c", script, str(place), str(path)], check=False, timeout=50)
    assert done.returncode == 9
    assert b"second" not in load(path).partitions()
    written(path)
    assert len(load(path)) == len(filled())
