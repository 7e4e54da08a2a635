"""A body is read once and completely, or refused with a reason a person can act on."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.edge.body import read_object
from farthing.errors import InvalidRequest

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=15)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


def read(raw: bytes, depth_max: int = 64, nodes_max: int = 100_000) -> dict[str, Any]:
    return read_object(raw, depth_max=depth_max, nodes_max=nodes_max)


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(texts, values, max_size=6),
    st.sampled_from([(",", ":"), (", ", ": "), (" ,", " : ")]),
    st.booleans(),
)
def test_every_object_is_read_as_it_is(
    body: dict[str, Any], separators: tuple[str, str], ascii_only: bool
) -> None:
    raw = json.dumps(body, separators=separators, ensure_ascii=ascii_only).encode()
    assert read(raw) == body


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    try:
        assert isinstance(read(raw), dict)
    except InvalidRequest as error:
        assert str(error)


@settings(max_examples=200, deadline=None)
@given(texts, values, values, st.dictionaries(texts, values, max_size=3), st.integers(0, 3))
def test_a_key_that_is_there_twice_is_found_at_any_depth(
    key: str, one: Any, two: Any, others: dict[str, Any], depth: int
) -> None:
    pairs = [(key, one), *((k, v) for k, v in others.items() if k != key), (key, two)]
    raw = "{" + ",".join(f"{json.dumps(k)}:{json.dumps(v)}" for k, v in pairs) + "}"
    for _ in range(depth):
        raw = f'{{"messages":[{raw}]}}'
    with pytest.raises(InvalidRequest, match="twice"):
        read(raw.encode())


def test_the_same_key_written_in_two_ways_is_the_same_key() -> None:
    with pytest.raises(InvalidRequest, match="`model`"):
        read(rb'{"model":"a","\u006dodel":"b"}')


@pytest.mark.parametrize("depth", [1, 5, 63])
def test_the_depth_is_counted_exactly(depth: int) -> None:
    nested: Any = 0
    for _ in range(depth - 1):
        nested = [nested]
    raw = json.dumps({"x": nested}).encode()
    assert read(raw, depth_max=depth) == {"x": nested}
    if depth > 1:
        with pytest.raises(InvalidRequest, match=f"{depth - 1} levels"):
            read(raw, depth_max=depth - 1)


def test_values_are_counted_and_commas_in_text_are_not() -> None:
    assert read(json.dumps({"x": [0] * 99}).encode(), nodes_max=100)
    with pytest.raises(InvalidRequest, match="100 values"):
        read(json.dumps({"x": [0] * 101}).encode(), nodes_max=100)
    assert read(json.dumps({"x": "," * 390}).encode(), nodes_max=100)
