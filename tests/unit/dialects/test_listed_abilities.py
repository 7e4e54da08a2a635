"""What the catalogue says of a model is believed before what its name suggests."""

from typing import Any

import pytest

from farthing.dialects.chat.models import abilities as of_chat
from farthing.dialects.chat.requests.lowering import lowered
from farthing.dialects.chat.requests.request_reader import read
from farthing.dialects.chat.requests.request_writer import inner
from farthing.dialects.messages.models import abilities as of_messages
from farthing.dialects.messages.requests.request_writer import translate
from farthing.dialects.responses.requests.request_writer import translate as to_responses
from farthing.models.pricing.catalogue import Catalogue
from farthing.types import NOTHING_SAID, Features

HELLO: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "q"}], "max_tokens": 9}


def listed(can: str = "", cannot: str = "", *efforts: str) -> Features:
    return Features(can=frozenset(can.split()), cannot=frozenset(cannot.split()), efforts=efforts)


@pytest.mark.parametrize("model", ["gpt-5", "gpt-4o", "o3", "qwen3", "deepseek-v4", "claude-opus-5-5", "x"])
def test_of_what_no_list_knows_the_name_decides_as_before(model: str) -> None:
    assert of_chat(model) == of_chat(model, NOTHING_SAID) == of_chat(model, listed("vision tools"))
    assert of_messages(model) == of_messages(model, NOTHING_SAID) == of_messages(model, listed("vision"))


def test_a_new_name_that_is_listed_as_reasoning_gets_no_sampling_and_its_own_limit() -> None:
    said = listed("max_completion_tokens reasoning", "sampling")
    assert of_chat("daybreak-blue", said).reasons and not of_chat("daybreak-blue").reasons
    written = lowered(inner(read({**HELLO, "temperature": 0.5})), model="daybreak-blue", listed=said)
    assert "temperature" not in written.body and "temperature" in written.unsaid
    answered = to_responses(read({**HELLO, "temperature": 0.5}), model="daybreak-blue", listed=said)
    assert "temperature" not in answered.body and "temperature" in answered.unsaid


def test_a_name_that_looks_like_reasoning_and_is_listed_otherwise_keeps_its_sampling() -> None:
    said = listed("tools", "max_completion_tokens reasoning")
    assert of_chat("gpt-5-plain").reasons and not of_chat("gpt-5-plain", said).reasons
    written = lowered(inner(read({**HELLO, "temperature": 0.5})), model="gpt-5-plain", listed=said)
    assert written.body["temperature"] == 0.5 and not written.unsaid


@pytest.mark.parametrize(
    ("efforts", "asked", "sent"),
    [
        (("none", "low", "medium", "high", "xhigh", "max"), "max", "max"),
        (("low", "medium", "high", "xhigh"), "max", "xhigh"),
        (("low", "high", "max"), "xhigh", "high"),
        (("low", "medium", "high"), "xhigh", "high"),
        (("low", "medium", "high"), "low", "low"),
        ((), "max", "xhigh"),
    ],
)
def test_an_effort_is_at_most_what_the_list_has(efforts: tuple[str, ...], asked: str, sent: str) -> None:
    body = {"model": "m", "messages": HELLO["messages"], "max_tokens": 9, "reasoning_effort": asked}
    written = lowered(body, model="gpt-5.2", listed=listed("reasoning", "", *efforts))
    assert written.body["reasoning_effort"] == sent


def test_a_claude_is_asked_as_its_entry_says() -> None:
    said = listed(
        "forced_tools structured_output adaptive_thinking", "sampling system_in_place", "low", "high"
    )
    can, guessed = of_messages("claude-opus-9", said), of_messages("claude-opus-9")
    assert can.forced_choice and not guessed.forced_choice
    assert not can.system_in_place and guessed.system_in_place
    assert can.effort == ("low", "high") and can.formats and not can.sampling
    old = listed("sampling", "adaptive_thinking structured_output")
    assert not of_messages("claude-sonnet-4-5", old).formats
    written = translate(
        read({**HELLO, "temperature": 0.5}),
        model="claude-sonnet-4-5",
        output_tokens_max=9,
        listed=listed("", "sampling"),
    )
    assert "temperature" in written.unsaid


def test_no_listed_model_of_openai_or_anthropic_is_asked_otherwise_than_its_name_was_known_to_need() -> None:
    """Where the list and the name disagree, somebody looked: add it here, or mend the list."""
    catalogue = Catalogue.load()
    new = {"chat-latest", "computer-use-preview", "computer-use-preview-2025-03-11", "ft:o4-mini-2025-04-16"}
    for model in catalogue.models("openai"):
        differs = of_chat(model.model, model.features).reasons != of_chat(model.model).reasons
        assert not differs or model.model in new or "daybreak" in model.model, model
    for model in catalogue.models("anthropic"):
        one, other = of_messages(model.model, model.features), of_messages(model.model)
        if model.model not in ("claude-haiku-5-5", "claude-mythos-preview"):
            assert one == other, model
