"""Server-sent events from bytes, as they come over the wire and as nobody should send them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.dialects.events import BadStream, EventSplitter, Framed

TWO = [(b"a", b'{"x":1}'), (b"", b"y")]


def split(data: bytes, at: list[int] | None = None, event_bytes_max: int = 1_000) -> list[Framed]:
    splitter = EventSplitter(event_bytes_max)
    cuts = [0, *sorted(at or []), len(data)]
    found = []
    for start, end in pairwise(cuts):
        found += splitter.feed(data[start:end])
    return found + splitter.end()


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_every_line_end_is_one_wherever_the_pieces_are_cut(end: bytes) -> None:
    data = b'event: a\ndata: {"x":1}\n\ndata: y\n\n'.replace(b"\n", end)
    for cut in range(len(data) + 1):
        assert split(data, [cut]) == TWO
    assert split(data, list(range(len(data)))) == TWO


@given(st.lists(st.integers(0, 60)), st.sampled_from([b"\n", b"\r", b"\r\n"]))
def test_many_cuts_change_nothing(at: list[int], end: bytes) -> None:
    data = b'event: a\ndata: {"x":1}\n\n: hm\n\ndata: y\n\n'.replace(b"\n", end)
    assert split(data, [cut for cut in at if cut <= len(data)]) == TWO


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"data:y\n\n", [(b"", b"y")]),
        (b"data: 1\ndata: 2\n\n", [(b"", b"1\n2")]),
        (b"\xef\xbb\xbfdata: y\n\n", [(b"", b"y")]),
        (b": a comment\n\n", []),
        (b"event: ping\n\n", []),
        (b"id: 7\nretry: 10\nevent: a\ndata: y\n\n", [(b"a", b"y")]),
        (b"data: y", [(b"", b"y")]),
        (b"event: a\r\ndata: y\r\n", [(b"a", b"y")]),
        (b"\n\n\n\n", []),
        (b"", []),
    ],
)
def test_odd_events(data: bytes, found: list[Framed]) -> None:
    assert split(data) == found


def test_a_bare_return_ends_an_event_at_once() -> None:
    assert EventSplitter(100).feed(b"data: y\r\r") == [(b"", b"y")]


def test_an_event_may_not_be_longer_than_the_bound() -> None:
    for data in (b"data: " + b"x" * 100, b"data: " + b"x" * 100 + b"\n\n"):
        with pytest.raises(BadStream, match="longer than 50 bytes"):
            split(data, event_bytes_max=50)
    splitter = EventSplitter(50)
    with pytest.raises(BadStream):
        for _ in range(60):
            splitter.feed(b"x")
