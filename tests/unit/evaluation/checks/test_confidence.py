# ruff: noqa: RUF001  (answers in many languages)
"""Which answers are not good enough, and which are left alone."""

import pytest

from farthing.evaluation.checks.confidence import low_confidence


def test_a_plain_answer_is_good_enough() -> None:
    assert low_confidence("A farthing was a quarter of a penny.", "stop") is None
    assert low_confidence("42", "stop", [-0.1, -0.2]) is None


@pytest.mark.parametrize("text", ["", "  \n\t "])
def test_an_empty_answer_is_not(text: str) -> None:
    assert low_confidence(text, "stop") == "empty"


def test_an_answer_that_is_a_tool_call_needs_no_text() -> None:
    assert low_confidence("", "tool_calls") is None


def test_an_answer_cut_off_or_filtered_is_not() -> None:
    assert low_confidence("A farthing was", "length") is not None
    assert low_confidence("A farthing was", "content_filter") is not None


@pytest.mark.parametrize(
    "text",
    [
        "I don’t know the answer to that.",
        "I'm sorry, but I cannot answer this question.",
        "Unfortunately, I do not have enough information to say.",
        "Das weiß ich leider nicht - ich weiß es nicht.",
        "Je ne sais pas.",
        "Lo siento, pero no tengo esa información.",
        "Mi dispiace, ma non posso.",
        "Desculpe, mas não encontrei nada.",
        "Ik weet het niet.",
        "К сожалению, я не могу ответить.",
        "抱歉，我不知道。",
        "申し訳ありませんが、お答えできません。",
        "죄송하지만 답변할 수 없습니다.",
    ],
)
def test_an_answer_that_says_it_is_none_is_not(text: str) -> None:
    assert low_confidence(text, "stop") is not None


def test_the_same_words_far_into_an_answer_do_not_count() -> None:
    answer = "The coin is a farthing of 1917. " * 20 + "I don't know who struck it."
    assert low_confidence(answer, "stop") is None


def test_an_answer_the_model_itself_was_unsure_of_is_not() -> None:
    assert low_confidence("Maybe 1917.", "stop", [-2.5, -1.5]) == "mean logprob -2.00"
    assert low_confidence("Maybe 1917.", "stop", [float("nan")]) is not None
    assert low_confidence("Maybe 1917.", "stop", []) is None
    assert low_confidence("Maybe 1917.", "stop", None) is None
