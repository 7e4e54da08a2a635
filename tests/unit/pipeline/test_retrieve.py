"""What is counted for a passage decides whether there is room for it."""

import pytest

from farthing.pipeline.retrieve import _tokens
from farthing.types import Passage


@pytest.mark.parametrize(
    ("told", "counted"),
    [(0, 101), (1, 101), (-5, 101), (50, 101), (51, 51), (100, 100), (300, 300)],
    ids=str,
)
def test_a_count_that_cannot_be_right_is_not_believed(told: int, counted: int) -> None:
    assert _tokens(Passage(text="word" * 100, source="a", tokens=told)) == counted


def test_a_short_passage_keeps_its_own_count() -> None:
    assert _tokens(Passage(text="word", source="a", tokens=1)) == 1
