"""What every TokenCounter promises."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.models.tokens.bpe import ExactCounter
from farthing.models.tokens.estimate import EstimateCounter
from farthing.protocols import TokenCounter

COUNTERS: tuple[TokenCounter, ...] = (EstimateCounter(), ExactCounter())
every_counter = pytest.mark.parametrize("counter", COUNTERS, ids=lambda counter: type(counter).__name__)


@every_counter
def test_nothing_has_no_tokens_and_something_has_at_least_one(counter: TokenCounter) -> None:
    assert counter.count("", "gpt-4o") == 0
    assert counter.count("a", "gpt-4o") == 1
    assert counter.count(" ", "gpt-4o") >= 1


@every_counter
@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4", "claude-sonnet-5", "no such model", ""])
def test_any_model_gets_a_number_for_ordinary_text_within_a_third_of_the_truth(
    counter: TokenCounter, model: str
) -> None:
    text = "The bank declined my card yesterday, although there was enough money in the account. Why? " * 3
    assert 40 <= counter.count(text, model) <= 72  # 55 or so for every family measured


@every_counter
@given(text=st.text())
@settings(max_examples=60, deadline=None)
def test_any_text_gets_a_number_no_larger_than_its_bytes(counter: TokenCounter, text: str) -> None:
    assert 0 <= counter.count(text, "gpt-4o") <= max(1, len(text.encode("utf-8", "surrogatepass")))


@every_counter
@pytest.mark.parametrize("text", ["<|endoftext|>", "a <|im_start|> b", "\ud800", "\x00", "😀" * 50, "\u202e"])
def test_special_tokens_and_odd_characters_are_plain_text(counter: TokenCounter, text: str) -> None:
    assert counter.count(text, "gpt-4o") >= 1


@every_counter
def test_the_same_text_always_counts_the_same(counter: TokenCounter) -> None:
    text = "def f(x):\n    return x + 1\n" * 100
    assert counter.count(text, "gpt-4o") == counter.count(text, "gpt-4o")
