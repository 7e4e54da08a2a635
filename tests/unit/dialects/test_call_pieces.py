"""The arguments of a streamed call: whatever pieces they come in, a client can parse what it has."""

import json
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jiter import from_json
from tests.pace import turns

from farthing.dialects.messages.answers.answer_writer import call_input
from farthing.dialects.messages.streams.call_pieces import HEAD_CHARS_MAX, CallPieces

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('ab"\\{}[]\n é'), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text('ab"\\{}[]\n é'), VALUES, max_size=4)


def told(pieces: list[str], custom: bool = False) -> list[str]:
    call = CallPieces(custom)
    return [*map(call.feed, pieces), call.end()]


def cuts(text: str, at: list[int]) -> list[str]:
    places = sorted(place % (len(text) + 1) for place in at)
    return [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]


@given(OBJECTS, st.sampled_from([None, 2]), st.booleans(), st.lists(st.integers(0), max_size=6))
def test_an_object_arrives_as_it_is_in_any_pieces(
    value: dict[str, object], indent: int | None, ascii_only: bool, at: list[int]
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    for pieces in (cuts(text, at), list(text)):
        found = told(pieces)
        assert json.loads("".join(found)) == value
        for so_far in accumulate(found):  # as Anthropic's client does after each piece
            if so_far:
                from_json(so_far.encode(), partial_mode=True)


@given(st.text('{}[]"\\,: a1\n\x01', max_size=30), st.lists(st.integers(0), max_size=4))
def test_what_is_told_does_not_depend_on_the_pieces(text: str, at: list[int]) -> None:
    assert "".join(told(cuts(text, at))) == "".join(told([text])) == "".join(told(list(text)))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        (" \n", None),
        ("{}", {}),
        ('{}{"q":1}', {"q": 1}),
        ('{ } {"q":1}', {"q": 1}),
        ('{"q":"a\nb\tc"}', {"q": "a\nb\tc"}),
        ('{"q":1}}', {"q": 1, "INVALID_JSON": "}"}),
        ('{"q":1}{"q":2}', {"q": 1, "INVALID_JSON": '{"q":2}'}),
        ('{"q":1} \n', {"q": 1}),
        ("{'q': 1}", {"INVALID_JSON": "{'q': 1}"}),
        ("[1]", {"INVALID_JSON": "[1]"}),
        ("null", {}),
        ('"a"', {"INVALID_JSON": '"a"'}),
        ("ls -l", {"INVALID_JSON": "ls -l"}),
    ],
)
def test_what_servers_send_for_arguments(text: str, value: object) -> None:
    found = "".join(told(list(text)))
    if value is None:
        assert found == text.strip()
    else:
        assert json.loads(found) == value


def test_a_call_that_is_cut_stays_cut() -> None:
    for text in ('{"path":"a","text":"half', '{"a":[1,', '{"a":"\\', "{", '{ "'):
        found = "".join(told(list(text)))
        assert found == text
        with pytest.raises(ValueError):
            json.loads(found)


def test_a_whole_call_is_read_alike() -> None:
    for text in ('{}{"q":1}', "{}", "", "[1]", '{"q":"a\nb"}'):
        assert call_input(text, False) == json.loads("".join(told([text])) or "{}")


def test_the_text_of_a_custom_call_is_told_whole_at_its_end() -> None:
    assert told(["ls ", "-l"], custom=True) == ["", "", '{"input":"ls -l"}']
    assert told(['{"a":1}'], custom=True) == ["", '{"input":"{\\"a\\":1}"}']
    assert told([], custom=True) == ['{"input":""}']


@pytest.mark.parametrize("unit", [" ", "a", "{", "[]", '"', "\\", "\n", '{"a":1}'])
def test_many_pieces_cost_what_one_costs(unit: str) -> None:
    for first in ("", '{"q":"', '{"q":['):
        call = CallPieces(False)
        call.feed(first)
        pieces = 50_000
        assert turns(lambda: [call.feed(unit) for _ in range(pieces)], 1) / pieces < 1_000  # noqa: B023
        call.end()


def test_what_begins_as_nothing_is_told_at_the_end() -> None:
    call = CallPieces(False)
    for _ in range(HEAD_CHARS_MAX):
        assert call.feed(" ") == ""
    assert call.feed('{"q":1}') == "" and call.holds
    assert json.loads(call.end()) == {"q": 1}
