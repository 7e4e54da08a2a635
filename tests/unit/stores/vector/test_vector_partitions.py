"""Many partitions, one index: isolation, memory, lists that come and go, and the file."""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from numpy.typing import NDArray
from tests.pace import turn_s

from farthing.errors import StoreError
from farthing.stores.vector.codes import encode
from farthing.stores.vector.gradual import SHARD_KEYS, GradualDict
from farthing.stores.vector.lists import ListedIndex
from farthing.stores.vector.partitions import PartitionedIndex
from farthing.stores.vector.split import halves

DIMS = 16
Row = NDArray[np.float32]
Keys = NDArray[np.int64]


def vectors(count: int, seed: int = 0, dims: int = DIMS) -> Row:
    rows = np.random.default_rng(seed).standard_normal((count, dims)).astype(np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def made(list_max: int = 6) -> PartitionedIndex:
    return PartitionedIndex(DIMS, name="test", list_max=list_max)


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
    index = made(list_max=50)
    for number in range(200):
        for key in range(number % 60):
            index.add(b"%d" % number, key, vectors(1, key)[0])
    assert index.bytes_used > len(index) * DIMS
    for partition in index.partitions():
        for key in index.keys(partition):
            index.remove(partition, key)
    assert (len(index), index.bytes_used, index.partitions()) == (0, 0, ())


@pytest.mark.parametrize("key", [-1, 2**63])
def test_a_key_that_the_index_could_not_hold_is_refused(key: int) -> None:
    index = made()
    with pytest.raises(ValueError):
        index.add(b"a", key, vectors(1)[0])
    assert len(index) == 0


def test_a_vector_that_is_refused_leaves_no_partition_behind() -> None:
    index = made()
    with pytest.raises(ValueError):
        index.add(b"a", 1, np.zeros(DIMS, np.float32))
    assert (index.partitions(), index.bytes_used) == ((), 0)


# -- lists that come and go -------------------------------------------------------------------------


def whole(index: ListedIndex, keys: set[int]) -> None:
    """Every key is in exactly one list, the places know which, and no list is over its size or empty."""
    lists = index.lists()
    there = [key for each in lists for key in each.keys[: each.used].tolist()]
    assert len(there) == len(set(there)) == len(index) and set(there) == keys
    for number, each in enumerate(lists):
        assert each.used <= index._list_max
        assert each.used > index._list_max // 8 or len(lists) == 1
        for key in each.keys[: each.used].tolist():
            assert key in index and (index._places is None or index._places.get(key) == number)
    assert index._bytes_of_lists == sum(each.bytes_used for each in lists)


def test_lists_are_cut_as_they_grow_and_go_as_they_shrink() -> None:
    index, rows = ListedIndex(DIMS, list_max=32), vectors(2_000)
    for key, row in enumerate(rows):
        index.add(key, row)
    whole(index, set(range(2_000)))
    assert 2_000 / 32 < len(index.lists()) < 2_000 / 8
    full = index.bytes_used
    left = set(range(2_000))
    for key in np.random.default_rng(1).permutation(2_000)[:1_990].tolist():
        index.remove(key)
        left.discard(key)
        if len(left) % 100 == 0:
            whole(index, left)
    whole(index, left)
    assert len(index.lists()) == 1 and index.bytes_used < full / 50
    for key in left:
        assert index.search(rows[key], 1)[0][0] == key


def test_the_same_vector_many_times_is_cut_too() -> None:
    index, row = ListedIndex(DIMS, list_max=16), vectors(1)[0]
    for key in range(500):
        index.add(key, row)
    whole(index, set(range(500)))
    assert [key for key, _ in index.search(row, 500)] == list(range(500)), "of equals the smaller key first"


def test_vectors_that_cancel_out_have_a_centre_all_the_same() -> None:
    index, rows = ListedIndex(DIMS, list_max=4), vectors(100)
    for key, row in enumerate(rows):
        index.add(2 * key, row)
        index.add(2 * key + 1, -row)
    whole(index, set(range(200)))


@given(st.integers(2, 80), st.integers(0, 1_000), st.booleans())
@settings(max_examples=60, deadline=None)
def test_neither_half_is_ever_empty_or_less_than_an_eighth(count: int, seed: int, alike: bool) -> None:
    rows = vectors(count, seed)
    if alike:
        rows = np.repeat(rows[:1], count, axis=0)
    codes = np.stack([encode(row, DIMS) for row in rows])
    second = halves(codes, (1 / np.linalg.norm(codes.astype(np.float32), axis=1)).astype(np.float32))
    assert min(int(second.sum()), int((~second).sum())) >= max(1, count // 8)


def test_a_search_that_does_not_read_every_list_still_finds_what_is_near() -> None:
    index = ListedIndex(64, list_max=64, scan_rows=400)
    rows = vectors(5_000, dims=64)
    for key, row in enumerate(rows):
        index.add(key, row)
    near = rows + 0.05 * np.random.default_rng(2).standard_normal(rows.shape).astype(np.float32)
    asked = list(range(0, 5_000, 17))
    found = [index.search(near[key] / np.linalg.norm(near[key]), 1)[0][0] for key in asked]
    right = sum(key == each for key, each in zip(asked, found, strict=True))
    assert len(asked) * 0.7 < right, "of vectors of random numbers, the worst there are"


def test_what_was_removed_is_found_no_more_in_any_list() -> None:
    index, rows = ListedIndex(DIMS, list_max=32, scan_rows=64), vectors(3_000)
    for key, row in enumerate(rows):
        index.add(key, row)
    for key in range(0, 3_000, 3):
        index.remove(key)
    for key in range(0, 3_000, 3):
        assert all(found % 3 for found, _ in index.search(rows[key], 20))


@pytest.mark.slow
def test_no_step_takes_long_however_many_there_are() -> None:
    """What would hold the event loop: not one dict or array is copied as a whole when it is full."""
    index, rows = ListedIndex(4), np.random.default_rng(0).integers(-127, 128, (140_000, 4), np.int8)
    took_s = []
    for key, row in enumerate(rows):
        row[0] |= 1
        began_s = time.thread_time()
        index.put(key, row)
        took_s.append(time.thread_time() - began_s)
    took_s.sort()
    # The worst of all but a few, which the machine may have had a part in.
    assert took_s[-20] < 200_000 * turn_s()


def test_a_dict_of_many_small_ones_is_a_dict() -> None:
    places: GradualDict[int, int] = GradualDict()
    model: dict[int, int] = {}
    rng = np.random.default_rng(0)
    for key, number in zip(rng.integers(0, 50_000, 40_000).tolist(), range(40_000), strict=True):
        places.set(key, number)
        model[key] = number
        if number % 3 == 0:
            assert places.pop(number) == model.pop(number, None)
    assert all(places.get(key) == model.get(key) for key in range(50_000))
    assert len(places) == len(model) and sorted(places) == sorted(model)
    assert len(places._shards) >= len(model) / SHARD_KEYS
    assert max(map(len, places._shards)) < 3 * SHARD_KEYS


# -- the file ---------------------------------------------------------------------------------------


def filled() -> PartitionedIndex:
    index = made(list_max=20)
    for number in range(30):
        for key, row in enumerate(vectors(number * 2, seed=number)):
            index.add(b"partition %d" % number, 100 * number + key, row)
    return index


def live(index: PartitionedIndex) -> Keys:
    keys: set[int] = set().union(*(index.keys(partition) for partition in index.partitions()))
    return np.array(sorted(keys), np.int64)


def written(path: Path, stamp: str = "s1") -> PartitionedIndex:
    index = filled()
    asyncio.run(index.save(path, stamp=stamp))
    return index


def load(
    path: Path, keys: Keys | None = None, *, name: str = "test", dims: int = DIMS, stamp: str = "s1"
) -> tuple[PartitionedIndex, list[int]]:
    """What is in the file of `keys`, and what of them is not."""
    index = PartitionedIndex(dims, name=name, list_max=20)
    wanted = np.arange(10_000, dtype=np.int64) if keys is None else keys
    missing: list[int] = asyncio.run(index.restore(path, stamp=stamp, live=wanted)).tolist()
    return index, missing


def test_what_was_saved_is_loaded_and_finds_the_same(tmp_path: Path) -> None:
    before = written(tmp_path / "v")
    after, missing = load(tmp_path / "v", live(before))
    assert missing == []
    assert set(after.partitions()) == set(before.partitions())
    assert len(after) == len(before)
    for number in range(30):
        name = b"partition %d" % number
        assert after.keys(name) == before.keys(name)
        for row in vectors(5, seed=number):
            assert after.search(name, row, 3) == before.search(name, row, 3)
    after.add(b"partition 29", 999_999, vectors(1, seed=77)[0])
    assert after.search(b"partition 29", vectors(1, seed=77)[0], 1)[0][0] == 999_999
    assert os.listdir(tmp_path) == ["v"], "nothing is left beside it"
    assert (tmp_path / "v").stat().st_mode & 0o077 == 0, "nobody else may read it"


def test_only_live_keys_are_loaded_and_those_that_are_missing_are_named(tmp_path: Path) -> None:
    before = written(tmp_path / "v")
    keys = live(before)
    wanted = np.sort(np.concatenate([keys[::3], np.array([5_000, 7_000])]))
    after, missing = load(tmp_path / "v", wanted)
    assert missing == [5_000, 7_000]
    assert live(after).tolist() == keys[::3].tolist()
    for number in range(30):
        name = b"partition %d" % number
        assert after.keys(name) == before.keys(name) & set(keys[::3].tolist())
    nothing, missing = load(tmp_path / "v", np.empty(0, np.int64))
    assert (len(nothing), nothing.bytes_used, missing) == (0, 0, [])


def test_what_changes_while_it_is_saved_is_not_lost(tmp_path: Path) -> None:
    async def main() -> None:
        index = filled()
        there = set(live(index).tolist())
        saving = asyncio.create_task(index.save(tmp_path / "v", stamp="s1"))
        row = vectors(1, seed=99)[0]
        number = 0
        while not saving.done() and number < 500:
            index.add(b"partition 29", 10_000 + number, row)
            index.remove(b"partition 28", 2_800 + number)
            index.add(b"new %d" % number, 20_000 + number, row)
            number += 1
            await asyncio.sleep(0)
        await saving
        assert number > 3
        assert {10_000 + each for each in range(number)} <= index.keys(b"partition 29")
        assert not {2_800 + each for each in range(number)} & index.keys(b"partition 28")
        now = live(index)
        after = PartitionedIndex(DIMS, name="test", list_max=20)
        missing = set((await after.restore(tmp_path / "v", stamp="s1", live=now)).tolist())
        assert set(live(after).tolist()) == set(now.tolist()) - missing
        assert not missing & there, "what was there all the time is in the file"

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
        load(tmp_path / "none")


def test_a_file_that_is_cut_or_altered_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "v"
    written(path)
    whole_file = path.read_bytes()
    for cut in (0, 1, 30, 100, len(whole_file) // 2, len(whole_file) - 1):
        path.write_bytes(whole_file[:cut])
        with pytest.raises(StoreError):
            load(path)
    for place in range(0, len(whole_file), len(whole_file) // 60):
        changed = bytes([whole_file[place] ^ 1])
        path.write_bytes(whole_file[:place] + changed + whole_file[place + 1 :])
        with pytest.raises(StoreError):
            load(path)
    path.write_bytes(whole_file + b"x")
    with pytest.raises(StoreError):
        load(path)
    path.write_bytes(whole_file)
    assert len(load(path)[0]) == len(filled())


def test_a_place_that_cannot_be_written_is_a_store_error_and_the_old_file_stays(tmp_path: Path) -> None:
    written(tmp_path / "v")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "x").touch()
    with pytest.raises(StoreError):
        asyncio.run(filled().save(tmp_path / "folder", stamp="s1"))
    with pytest.raises(StoreError):
        asyncio.run(filled().save(tmp_path / "v" / "under a file", stamp="s1"))
    assert len(load(tmp_path / "v")[0]) == len(filled())


KILLED = """
import asyncio, os, sys
sys.path[:0] = {paths!r}
from pathlib import Path
import farthing.stores.vector.file as file
from tests.unit.stores.vector.test_vector_partitions import filled
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
    assert b"second" not in load(path)[0].partitions()
    written(path)
    assert len(load(path)[0]) == len(filled())
