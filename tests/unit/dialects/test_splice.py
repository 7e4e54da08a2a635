"""Top-level values are changed, and no other byte, whatever the object looks like."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.dialects import splice
from farthing.dialects.splice import REMOVED, spliced
from farthing.types import Json

BLANKS = st.text(" \t\r\n", max_size=3)
NUMBERS = st.sampled_from(
    ["0", "-0", "1.0", "1E+2", "1e-7", "12345678901234567890", "-3", "0.10", "9007199254740993"]
)
WORDS = st.text(st.characters(codec="utf-8") | st.sampled_from('"\\/{}[],: \n\u2028\U0001f600'), max_size=12)
NAMES = st.sampled_from(["model", "stream", "max_tokens", "messages", "future"]) | WORDS


@st.composite
def strings(draw: st.DrawFn, text: str | None = None) -> str:
    """A JSON string with its characters escaped in one way or another."""
    said = draw(WORDS) if text is None else text
    told = []
    for char in said:
        plain = json.dumps(char, ensure_ascii=False)[1:-1]
        escaped = "".join(f"\\u{int(half):04X}" for half in _halves(char))
        forms = [plain, escaped] if char != "/" else ["/", "\\/"]
        told.append(draw(st.sampled_from(forms)))
    return '"' + "".join(told) + '"'


def _halves(char: str) -> list[int]:
    raw = char.encode("utf-16-be")
    return [int.from_bytes(raw[at : at + 2], "big") for at in range(0, len(raw), 2)]


def values(depth: int = 2) -> st.SearchStrategy[str]:
    plain = NUMBERS | strings() | st.sampled_from(["true", "false", "null"])
    if not depth:
        return plain
    inner = values(depth - 1)
    return plain | lists(inner) | objects(inner).map(lambda pieces: "".join(pieces[:-1]))


@st.composite
def lists(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    held = [f"{draw(BLANKS)}{one}{draw(BLANKS)}" for one in draw(st.lists(inner, max_size=3))]
    return f"[{','.join(held)}{draw(BLANKS) if not held else ''}]"


@st.composite
def objects(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> list[str]:
    """An object, in pieces: each value is one of its own."""
    pieces = ["{", draw(BLANKS)]
    for index, name in enumerate(draw(st.lists(NAMES, max_size=6, unique=True))):
        pieces += [",", draw(BLANKS)] if index else []
        pieces += [draw(strings(name)), draw(BLANKS), ":", draw(BLANKS), draw(inner), draw(BLANKS)]
    return [*pieces, "}", draw(BLANKS)]


def read(raw: bytes) -> Json:
    def only_once(pairs: list[tuple[str, Any]]) -> Json:
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    found: Json = json.loads(raw, object_pairs_hook=only_once, parse_float=str, parse_int=str)
    return found


@given(objects(values()), st.data())
def test_a_change_changes_its_value_and_not_a_byte_beside_it(pieces: list[str], data: st.DataObject) -> None:
    raw = "".join(pieces).encode()
    try:
        before = read(raw)
    except AssertionError:  # an object in it has a name twice
        return
    wanted = data.draw(st.lists(st.sampled_from([*before, "model", "stream"]), unique=True))
    changes: dict[str, object] = {name: f"new {place}" for place, name in enumerate(wanted)}
    made = spliced(raw, changes, before)
    assert made is not None
    assert read(made) == {**before, **changes}
    there = [name for name in wanted if name in before]
    kept = list(pieces)
    for name in there:
        kept[_place(pieces, name)] = json.dumps(changes[name])
    new = ",".join(f'"{name}":{json.dumps(value)}' for name, value in changes.items() if name not in before)
    comma = "," if new and before else ""
    lead = len(raw) - len(raw.lstrip())
    assert made == ("{" + new + comma + "".join(kept)[lead + 1 :]).encode(), (pieces, kept, lead)


@pytest.mark.slow
@given(objects(values()), st.data())
def test_what_is_removed_is_gone_with_one_comma(pieces: list[str], data: st.DataObject) -> None:
    raw = "".join(pieces).encode()
    try:
        before = read(raw)
    except AssertionError:
        return
    gone = data.draw(st.lists(st.sampled_from([*before, "absent"]), unique=True))
    made = spliced(raw, {**dict.fromkeys(gone, REMOVED), "added": 1}, before)
    assert made is not None
    left = {name: value for name, value in before.items() if name not in gone}
    assert read(made) == {**left, "added": "1"}


def _place(pieces: list[str], name: str) -> int:
    """Which of the pieces is the value of `name`."""
    for place, piece in enumerate(pieces):
        colon = place + 2 < len(pieces) and pieces[place + 2] == ":"
        if colon and piece.startswith('"') and json.loads(piece) == name and _is_name(pieces, place):
            return place + 4
    raise AssertionError(name)


def _is_name(pieces: list[str], place: int) -> bool:
    return pieces[place - 2] in ("{", ",")


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":[],"a":[]}', b'{"a":[1],"b":2,"a":[11]}', b'{"a":[11],"b":2,"a":[1]}', b"[]", b"1", b"",
        b'{"a":[1],}', b'\xef\xbb\xbf{"a":[1]}', b'{"a":[1]', b'{"a":[NaN]}', b'{"\\u0061":[],"a":[]}',
    ],
)  # fmt: skip
def test_what_cannot_be_changed_in_place_is_left_to_be_written_anew(raw: bytes) -> None:
    assert spliced(raw, {"a": REMOVED}, ["a", "b"]) is None
    assert spliced(raw, {"a": [2]}, ["a"]) is None


def test_names_and_values_inside_of_others_are_no_names() -> None:
    inner = '{"model": "m", "stream": true}'
    raw = json.dumps({"x": inner, "messages": [{"model": "n"}, inner], "model": "k", "y": ', "model": "z"'})
    made = spliced(raw.encode(), {"model": "new"}, json.loads(raw))
    assert made == raw.encode().replace(b'"model": "k"', b'"model": "new"')


def test_what_stands_at_an_end_is_found_without_a_look_at_what_is_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(raw: bytes) -> None:
        raise AssertionError("it was walked through")

    monkeypatch.setattr(splice, "_walked", never)
    large = [{"role": "user", "content": "x" * 9_000}]
    for body in (
        {"model": "m", "max_tokens": 5, "messages": large, "stream": True},
        {"max_tokens": 5, "messages": large, "model": "m", "stream": True},
        {"messages": large, "stream": True, "max_tokens": 5, "model": "m"},
    ):
        raw = json.dumps(body).encode()
        made = spliced(raw, {"model": "n", "max_tokens": 4, "stream": False}, body)
        assert made is not None
        assert json.loads(made) == {**body, "model": "n", "max_tokens": 4, "stream": False}
