"""Unicode normal forms: as everybody else's, in a time that hostile text cannot stretch."""

import unicodedata
from typing import Literal

import pytest
from tests.pace import turns

from farthing.text.phrase import normalised
from farthing.text.unicode_normalize import RUN_MAX, composed

HOSTILE = [
    "a" + "\u0301\u0316" * 40_000,
    "\u0f73" * 80_000,
    "\u30ab" + "\uff9e\u0301" * 40_000,
    "\u0344\u0316" * 40_000,
]


@pytest.mark.parametrize("form", ["NFC", "NFKC"])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain",
        "e\u0301te\u0301",
        "\uff14\uff12 \ufdfa",
        "\u0939\u093f\u0928\u094d\u0926\u0940",
        "q\u0307\u0323",
        "a" + "\u0316\u0301" * (RUN_MAX // 2),
        "\uff76\uff9e",
    ],
)
def test_a_text_of_any_language_is_put_into_the_normal_form(text: str, form: Literal["NFC", "NFKC"]) -> None:
    assert composed(text, form) == unicodedata.normalize(form, text)


@pytest.mark.parametrize("form", ["NFC", "NFKC"])
@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_of_nothing_but_marks_takes_no_time_and_stays_as_it_is(
    text: str, form: Literal["NFC", "NFKC"]
) -> None:
    assert composed(text, form) == text
    assert turns(lambda: composed(text, form), 2) < 25_000_000, "it took 600 million: 13 s"


def test_a_hostile_question_is_folded_in_no_time_and_once_for_all() -> None:
    once = normalised(HOSTILE[0] + " Why?")
    assert turns(lambda: normalised(HOSTILE[0] + " Why?"), 2) < 25_000_000
    assert normalised(once) == once
