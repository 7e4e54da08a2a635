"""The text of a custom tool, raised out of the JSON that a model writes for it; arguments of functions."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.dialects.responses.streams.call_text import Arguments, Raised, whole
from farthing.dialects.responses.tools import free_text


def raised(*pieces: str) -> list[str]:
    text = Raised()
    return [*(text.feed(piece) for piece in pieces), text.end()]


def test_the_text_comes_piece_by_piece() -> None:
    found = raised('{"inp', 'ut": "*** Be', "gin\\", 'nto \\"x', '\\""', "}")
    assert found == ["", "*** Be", "gin", '\nto "x', '"', "", ""]


@given(st.text(), st.booleans(), st.lists(st.integers(1, 7), min_size=1), st.sampled_from(["", " ", "\n "]))
def test_it_may_be_cut_anywhere(text: str, ascii_only: bool, sizes: list[int], space: str) -> None:
    said = json.dumps(text.encode("utf-8", "replace").decode(), ensure_ascii=ascii_only)
    written = f'{space}{{{space}"input"{space}:{space}{said}{space}}}'
    pieces, rest, at = [], written, 0
    while rest:
        size = sizes[at % len(sizes)]
        pieces.append(rest[:size])
        rest, at = rest[size:], at + 1
    assert "".join(raised(*pieces)) == json.loads(said) == free_text(written)


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ('{"patch": "do"}', "do"),
        ('"do"', "do"),
        ("do", "do"),
        ('{"other": 1, "input": "do"}', "do"),
        ('{"input": 7}', '{"input": 7}'),
        ("", ""),
        ('{"input": "line\nbreak"}', "line\nbreak"),
        ('{"input": "odd \\q \\uzz"}', "odd \\q \\uzz"),
        ('{"input": "\\ud83d"}', "\ufffd"),
        ('{"input": "\\ud83dx\\ud83d\\ud83d\\ude00"}', "\ufffdx\ufffd\U0001f600"),
        ('{"input": "cut', "cut"),
        ('{"input": "cut\\', "cut\\"),
        ('{"inp', '{"inp'),
        ('{"input": "do"} and so on', "do"),
        (" " * 2_000 + '{"input": "do"}', "do"),
    ],
)
def test_what_is_written_otherwise_is_told_as_far_as_it_can_be_read(written: str, text: str) -> None:
    assert whole(written, Raised()) == "".join(raised(*written)) == text


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("", "{}"),
        (" ", "{}"),
        ("{}", "{}"),
        ('{}{"q":1}', '{"q":1}'),
        ('{ }\n{"q":1}', '{"q":1}'),
        ('{"q":{}}', '{"q":{}}'),
        ("{", "{"),
        ("[1]", "[1]"),
        ("{} x", "{} x"),
    ],
)
def test_arguments_go_on_as_they_are_but_for_an_empty_object_first(written: str, told: str) -> None:
    pieces = Arguments()
    assert "".join([*(pieces.feed(one) for one in written), pieces.end()]) == told
    assert whole(written, Arguments()) == told
