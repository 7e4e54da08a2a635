"""A body is read once and completely, or refused with a reason a person can act on."""

import json
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farthing.edge.http import body as body_module
from farthing.edge.http.body import read_object
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


@pytest.fixture(autouse=True, params=["small", "large"])
def checked_as(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every body is checked in both ways: as a small one, and by its outline as a large one."""
    if request.param == "large":
        monkeypatch.setattr(body_module, "LARGE_BYTES", -1)


def read(raw: bytes, depth_max: int = 64, nodes_max: int = 100_000) -> dict[str, Any]:
    return read_object(raw, depth_max=depth_max, nodes_max=nodes_max)


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    try:
        assert isinstance(read(raw), dict)
    except InvalidRequest as error:
        assert str(error)


@pytest.mark.slow
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
    assert read(json.dumps({"x": ["a"] * 99}).encode(), nodes_max=100)
    lists: list[list[Any]] = [["a"] * 101, [[]] * 101, [{}] * 101, [{"a": 1}] * 60, [["a"]] * 60]
    for many in lists:
        with pytest.raises(InvalidRequest, match=r"100 values.*server\.nodes_max"):
            read(json.dumps({"x": many}).encode(), nodes_max=100)
    for text in ("," * 390, "[]," * 500, '"a",' * 500, '\\",' * 500, "\\" * 501):
        assert read(json.dumps({"x": text}).encode(), nodes_max=100) == {"x": text}


@pytest.mark.parametrize("number", [0, 99_999, -1.5, True, None])
def test_a_number_in_a_list_counts_a_fifth(number: Any) -> None:
    for shape in ([number] * 480, [[number] * 40] * 10, [[number]] * 80):
        assert read(json.dumps({"x": shape}).encode(), nodes_max=100) == {"x": shape}
    for shape in ([number] * 510, [[number] * 60] * 10, [[number]] * 100):
        with pytest.raises(InvalidRequest, match="100 values"):
            read(json.dumps({"x": shape}).encode(), nodes_max=100)
    with pytest.raises(InvalidRequest, match="100 values"):
        read(json.dumps({"x": {f"k{index}": number for index in range(101)}}).encode(), nodes_max=100)


@pytest.mark.slow
def test_three_hundred_thousand_token_ids_are_read_in_any_grouping() -> None:
    ids = [index * 7 % 200_000 for index in range(300_000)]
    for grouped in (
        ids,
        [ids[at : at + 2_000] for at in range(0, len(ids), 2_000)],
        [[one] for one in ids[:80_000]],
    ):
        assert read(json.dumps({"model": "m", "input": grouped}).encode())["input"] == grouped


def test_the_depth_of_long_flat_lists_is_counted_too() -> None:
    nested: Any = [1] * 100_000
    for _ in range(62):
        nested = [*range(100), nested]
    assert read(json.dumps({"x": nested}).encode())
    with pytest.raises(InvalidRequest, match=r"64 levels.*server\.depth_max"):
        read(json.dumps({"x": [nested]}).encode())


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (rb'{"a":"cut \ud83d"}', r"surrogate pair \(\\ud83d at byte 10"),
        (rb'{"a":"\ud83d and on"}', r"\\ud83d at byte 6"),
        (rb'{"a":"\ud83d\ude00 \uDE00"}', r"\\uDE00 at byte 19"),
        (rb'{"a":"\ud83d\u0041"}', r"\\ud83d at byte 6"),
        (b'{"a":"b \xed\xa0\xbd"}', "surrogate pair at byte 8"),
        (b'{"a":"b \xe9"}', "not UTF-8: .* at byte 8"),
        (b'{"a":"cut', "truncated"),
        (rb'{"a":"\\ud83d', "truncated"),
        ('{"a":1}'.encode("utf-16"), "UTF-16"),
        ('{"a":1}'.encode("utf-16-be"), "UTF-16"),
        ('{"a":1}'.encode("utf-32"), "UTF-32"),
    ],
)
def test_what_is_no_text_is_told_by_its_cause(raw: bytes, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        read(raw)


def test_a_byte_order_mark_before_a_body_is_read_over() -> None:
    assert read(b'\xef\xbb\xbf{"a":1}') == {"a": 1}
    with pytest.raises(InvalidRequest, match="JSON"):
        read(b'\xef\xbb\xbf\xef\xbb\xbf{"a":1}' + b"x")


@pytest.mark.parametrize("levels", [256, 512])
def test_the_deepest_schema_that_may_be_configured_is_read(levels: int) -> None:
    deep: Any = {"type": "string"}
    for _ in range((levels - 2) // 2):
        deep = {"type": "object", "properties": {"x": deep}}
    body = {"x": deep}
    assert read(json.dumps(body).encode(), depth_max=levels) == body


@pytest.mark.parametrize(
    "text", [rb"\u0022:", rb"\u0022\u003a", rb"\"\u003A", rb"\"\u0020:", rb"\" :", rb"\":", rb"\\\u0022:"]
)
def test_an_end_of_a_key_that_is_escaped_in_a_text_hides_no_key_that_is_there_twice(text: bytes) -> None:
    once = rb'{"messages":[{"role":"user","content":[{"text":"' + text + rb'"}]}],"system":"a"'
    assert read(once + b"}")["system"] == "a"
    with pytest.raises(InvalidRequest, match="`system`"):
        read(once + rb',"system":"b"}')


@pytest.mark.parametrize(
    "tail", [b"9" * 16_000_000, b'"' + rb"\n" * 8_000_000, b'"' + rb"\ud83d\ude00" * 1_300_000]
)
def test_why_a_large_body_cannot_be_read_is_found_without_looking_through_it(tail: bytes) -> None:
    before_s = time.thread_time()
    with pytest.raises(InvalidRequest, match="not valid JSON"):
        read(b'{"a":' + tail)
    assert time.thread_time() - before_s < 0.4  # to look through it takes more than twice that
