"""What every VectorIndex does. A new index is one more line in INDEXES."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from farthing.protocols import VectorIndex
from farthing.stores.vector.lists import ListedIndex

DIMS = 24
INDEXES: dict[str, Callable[[], VectorIndex]] = {
    "one list": lambda: ListedIndex(DIMS, list_max=1_000),
    "lists": lambda: ListedIndex(DIMS),
    "many lists at once": lambda: ListedIndex(DIMS, list_max=4),
}
OFF_MAX = 0.01
"""What rounding to bytes may cost a cosine of so few dimensions."""
every_index = pytest.mark.parametrize("make", INDEXES.values(), ids=INDEXES)
Make = Callable[[], VectorIndex]


def vectors(count: int, seed: int = 0, dims: int = DIMS) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).standard_normal((count, dims)).astype(np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


@every_index
def test_an_empty_index_finds_nothing(make: Make) -> None:
    index = make()
    assert len(index) == 0
    assert list(index.search(vectors(1)[0], 5)) == []


@every_index
def test_the_nearest_come_first_with_their_cosines(make: Make) -> None:
    index, rows = make(), vectors(300)
    for key, row in enumerate(rows):
        index.add(key + 1000, row)
    asked = vectors(1, seed=1)[0]
    cosines = rows @ asked
    found = index.search(asked, 10)
    assert len(found) == 10
    assert [cosine for _, cosine in found] == sorted((cosine for _, cosine in found), reverse=True)
    for key, cosine in found:
        assert cosine == pytest.approx(cosines[key - 1000], abs=OFF_MAX)
    assert found[0][1] == pytest.approx(cosines.max(), abs=OFF_MAX)


@every_index
def test_a_vector_finds_itself_with_a_cosine_of_one_and_never_more(make: Make) -> None:
    index, rows = make(), vectors(50)
    for key, row in enumerate(rows):
        index.add(key, row)
    for key, row in enumerate(rows):
        (found, cosine) = index.search(row, 1)[0]
        assert found == key
        assert 1.0 - OFF_MAX < cosine <= 1.0


@every_index
def test_adding_a_key_again_replaces_its_vector(make: Make) -> None:
    index, rows = make(), vectors(20)
    for key, row in enumerate(rows):
        index.add(key, row)
    index.add(3, -rows[3])
    assert len(index) == 20
    assert index.search(-rows[3], 1)[0][0] == 3
    assert dict(index.search(rows[3], 20))[3] == pytest.approx(-1.0, abs=OFF_MAX)


@every_index
def test_a_removed_key_is_found_no_more_and_removing_it_again_is_no_error(make: Make) -> None:
    index, rows = make(), vectors(40)
    for key, row in enumerate(rows):
        index.add(key, row)
    for key in range(0, 40, 2):
        index.remove(key)
        index.remove(key)
    index.remove(999)
    assert len(index) == 20
    for row in rows:
        assert {key for key, _ in index.search(row, 40)} == set(range(1, 40, 2))


@every_index
def test_asking_for_more_than_there_are_gives_all_and_for_none_gives_none(make: Make) -> None:
    index, rows = make(), vectors(7)
    for key, row in enumerate(rows):
        index.add(key, row)
    assert sorted(key for key, _ in index.search(rows[0], 50)) == list(range(7))
    assert list(index.search(rows[0], 0)) == []


@every_index
@pytest.mark.parametrize(
    "wrong", [np.zeros(DIMS, np.float32), np.ones(DIMS + 1, np.float32), np.full(DIMS, np.nan, np.float32)]
)
def test_what_has_no_direction_or_another_width_is_refused(make: Make, wrong: NDArray[np.float32]) -> None:
    index = make()
    with pytest.raises(ValueError):
        index.add(1, wrong)
    assert len(index) == 0 and list(index.search(vectors(1)[0], 5)) == []


@every_index
def test_memory_grows_with_what_is_kept(make: Make) -> None:
    index, rows = make(), vectors(600)
    sizes = []
    for key, row in enumerate(rows):
        index.add(key, row)
        if key % 200 == 199:
            sizes.append(index.bytes_used)
    assert sizes == sorted(sizes) and sizes[0] >= 200 * DIMS
    assert sizes[-1] - sizes[0] >= 400 * DIMS
    assert sizes[-1] <= 70_000 + 600 * (DIMS + 600)


@every_index
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["add", "add", "remove"]), st.integers(0, 30), st.integers(0, 10**6)),
        max_size=80,
    )
)
@settings(max_examples=40, deadline=None)
def test_any_order_of_adding_and_removing_leaves_what_was_added_last(
    make: Make, steps: list[tuple[str, int, int]]
) -> None:
    index = make()
    kept: dict[int, NDArray[np.float32]] = {}
    for step, key, seed in steps:
        if step == "add":
            kept[key] = vectors(1, seed)[0]
            index.add(key, kept[key])
        else:
            kept.pop(key, None)
            index.remove(key)
    assert len(index) == len(kept)
    asked = vectors(1, seed=7)[0]
    found = dict(index.search(asked, 100))
    assert found.keys() == kept.keys()
    for key, cosine in found.items():
        assert cosine == pytest.approx(float(kept[key] @ asked), abs=OFF_MAX)
