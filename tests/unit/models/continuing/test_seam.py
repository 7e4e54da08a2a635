"""Where a continuation meets what its client has."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.models.continuing.seam import OVERLAP_CHARS_MIN, Seam

BEGUN = "Once upon a time there lived a fox who could not count beyond three"
LAST = BEGUN[-40:]


def through(seam: Seam, pieces: list[str]) -> str:
    return "".join([*map(seam.feed, pieces), seam.end()])


def cut(text: str, sizes: list[int]) -> list[str]:
    pieces = []
    for size in sizes:
        pieces.append(text[:size])
        text = text[size:]
    return [*pieces, text]


SIZES = st.lists(st.integers(0, 60), max_size=12)
TEXTS = st.text(st.sampled_from("ab \n"), max_size=120)


@settings(max_examples=60, deadline=None)
@given(TEXTS, TEXTS, SIZES)
def test_only_a_long_repetition_is_dropped_however_it_is_cut(begun: str, rest: str, sizes: list[int]) -> None:
    told = through(Seam(begun), cut(rest, sizes))
    assert told == through(Seam(begun), [rest])
    dropped = rest[: len(rest) - len(told)]
    assert rest == dropped + told
    assert not dropped or (begun.endswith(dropped) and len(dropped) >= OVERLAP_CHARS_MIN)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, len(BEGUN)), st.text(max_size=30), SIZES)
def test_the_last_words_are_not_said_twice(size: int, rest: str, sizes: list[int]) -> None:
    repeated = BEGUN[-size:]
    told = through(Seam(BEGUN), cut(repeated + " " + rest, sizes))
    assert told == (" " + rest if size >= OVERLAP_CHARS_MIN else repeated + " " + rest)


def test_what_stands_in_the_text_more_than_once_may_be_meant_again() -> None:
    row = "| a row of a table that repeats itself |\n"
    assert through(Seam(row * 3), [row, row]) == row * 2
    assert through(Seam(f"# title\n{row}"), [row, row]) == row  # once, and said once more


def test_what_cannot_be_a_repetition_goes_on_at_once() -> None:
    seam = Seam(BEGUN)
    assert seam.feed("!") == "!"
    assert seam.feed(LAST) == LAST  # it is no seam any more
    seam = Seam(BEGUN)
    assert seam.feed(LAST[:10]) == ""
    assert seam.feed("?") == LAST[:10] + "?"


def test_the_longest_repetition_counts() -> None:
    begun = f"{LAST} and {LAST}"
    assert through(Seam(begun), [begun, " more"]) == " more"


@pytest.mark.parametrize(
    ("blank", "rest", "told"),
    [
        ("\n\n", "\n\nmore", "more"),
        ("\n", "\n\nmore", "\nmore"),
        ("\n\n", "\nmore", "more"),
        (" ", "more", "more"),
        (" \n", "\tmore", "\tmore"),
        (" ", " ", ""),
        ("\n\n", " \n", " \n"),
    ],
)
def test_white_space_that_was_not_shown_is_not_sent_twice(blank: str, rest: str, told: str) -> None:
    assert through(Seam(BEGUN + blank, blank), [rest]) == told
    assert through(Seam(BEGUN + blank, blank), list(rest)) == told
    assert through(Seam(BEGUN + blank, blank), [LAST, *rest]) == told


@settings(max_examples=40, deadline=None)
@given(st.text(min_size=1, max_size=60), st.sampled_from(["", " ", "\n\n"]), TEXTS, SIZES)
def test_who_repeats_the_whole_beginning_is_not_told_twice(
    begun: str, blank: str, rest: str, sizes: list[int]
) -> None:
    if not begun.strip():
        return
    said = begun + blank
    after = "x" + rest
    for echo in (said, said.rstrip()):
        assert through(Seam(said, echoes=True), cut(echo + after, sizes)) == after
    assert through(Seam(said, echoes=True), cut("!" + begun, sizes)) == "!" + begun or begun[0] == "!"


def test_a_long_beginning_that_is_repeated_whole_is_dropped_in_linear_time() -> None:
    begun = "".join(f"sentence {number}. " for number in range(5_000))
    words = [f"{word} " for word in begun.split(" ")[:-1]]
    for echoes in (True, False):
        assert through(Seam(begun, echoes=echoes), [*words, "And on."]) == "And on."
    assert through(Seam(begun, echoes=True), [*words[:-1], "other"]) == "".join(words[:-1]) + "other"


def test_who_does_not_repeat_the_beginning_may_begin_with_white_space() -> None:
    assert through(Seam("It was\n", echoes=True), ["\nlate"]) == "\nlate"
