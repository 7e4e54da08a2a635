"""JSON is read as the official clients read it, and written as every parser reads it."""

import json
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.text.lenient_json import NotJson, read_json, write_json


def test_nan_half_a_character_a_mark_and_line_breaks_in_strings_are_read() -> None:
    assert math.isnan(read_json(b'{"x": NaN}')["x"])
    assert read_json(b"[-Infinity]") == [-math.inf]
    assert read_json(b'"\\ud83d"') == "\ud83d"
    assert read_json(b"\xef\xbb\xbf{}") == {}
    assert read_json(b'"a\nb"') == "a\nb"


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"ping", b"\xff", b'"\xff"', b"[" * 100_000, b"1" * 100_000, b"{} {}"]
)
def test_what_is_no_json_is_said_to_be_none(raw: bytes) -> None:
    with pytest.raises(NotJson):
        read_json(raw)


def test_two_halves_are_joined_and_one_is_replaced() -> None:
    assert json.loads(write_json({"a\ud83d\ude00": ["\ud83d", "\ud83d\ude00"]})) == {"a😀": ["\ufffd", "😀"]}
    assert write_json([math.nan, math.inf]) == b"[null,null]"


def test_halves_are_joined_however_deep_they_lie() -> None:
    deep = b'{"a":[' * 450 + b'"\\ud83d"' + b"]}" * 450
    assert json.loads(write_json(read_json(deep))) == json.loads(deep.replace(b"d83d", b"fffd"))


def test_a_raw_value_is_read_as_its_bytes_are() -> None:
    assert read_json(msgspec.Raw(b'"\\ud83d"')) == "\ud83d"


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(values)
def test_whole_values_survive_both_ways(value: object) -> None:
    assert read_json(write_json(value)) == value
