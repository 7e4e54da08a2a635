"""What an agent asks as of the newest Claude, where the gateway chose an older one."""

import json
from typing import Any

import pytest
from tests.faults.messages_request import check
from tests.unit.models.providers.test_bedrock_provider import messages

from farthing.dialects.splice import REMOVED
from farthing.models.providers.anthropic import edits
from farthing.types import Json, Prompt

MANAGED: Json = {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}
ASKED: Json = {
    "model": "auto",
    "max_tokens": 32_000,
    "thinking": {"type": "adaptive", "display": "omitted"},
    "output_config": {"effort": "high"},
    "messages": [
        {"role": "user", "content": "hi"},
        {"role": "system", "content": "be brief"},
        {
            "role": "system",
            "content": [{"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}}],
        },
    ],
}


def asking(**fields: Any) -> Prompt:
    return messages(json.dumps(ASKED | fields).encode())


def told_to(model: str, prompt: Prompt) -> Json:
    """The request as it goes up."""
    assert prompt.sent is not None
    body = {**prompt.sent.body, **edits.changes(prompt, prompt.sent, model)}
    return {name: value for name, value in body.items() if value is not REMOVED}


def gave_way(model: str, prompt: Prompt) -> tuple[str, ...]:
    assert prompt.sent is not None
    return edits.gave_way(prompt, prompt.sent, model)


@pytest.mark.parametrize(
    ("model", "thinking", "config", "gone"),
    [
        ("claude-haiku-4-5", {"type": "enabled", "display": "omitted", "budget_tokens": 24_576}, None, ()),
        ("claude-opus-4-6", ASKED["thinking"], {"effort": "high"}, ()),
        ("claude-3-5-haiku-20241022", None, None, ("thinking",)),
    ],
)
def test_it_is_asked_as_it_can_be(
    model: str, thinking: Json | None, config: Json | None, gone: tuple[str, ...]
) -> None:
    body = told_to(model, asking())
    assert body.get("thinking") == thinking and body.get("output_config") == config
    assert body["messages"] == [
        {"role": "user", "content": "hi"},
        {"role": "user", "content": [{"type": "text", "text": "<system>\nbe brief\n</system>"}]},
        {
            "role": "user",
            "content": [
                {
                    "type": "text",
                    "text": "<system>\nb\n</system>",
                    "cache_control": {"type": "ephemeral"},
                }
            ],
        },
    ]
    assert gave_way(model, asking()) == gone
    check({**body, "thinking": {**thinking, "display": "omitted"}} if thinking else body, betas=True)


@pytest.mark.parametrize("named", ["claude-haiku-4-5", "anthropic/claude-haiku-4-5"])
def test_a_model_that_the_client_named_is_asked_in_its_words(named: str) -> None:
    prompt = asking(model=named)
    assert prompt.sent is not None
    assert edits.fitted(prompt.sent, "claude-haiku-4-5") == {} == edits.fitted(prompt.sent, "claude-opus-5")
    assert gave_way("claude-haiku-4-5", prompt) == ()


def test_other_settings_stay_as_they_are() -> None:
    form = {"type": "json_schema", "schema": {"type": "object"}}
    prompt = asking(output_config={"effort": "low", "format": form}, context_management=MANAGED)
    body = told_to("claude-haiku-4-5", prompt)
    assert body["output_config"] == {"format": form} and body["context_management"] == MANAGED
    assert body["thinking"]["budget_tokens"] == 2_048
    body = told_to("claude-3-5-haiku-20241022", prompt)
    assert body["context_management"] == {"edits": []}, "it is refused where none thinks"


def test_where_not_even_the_least_budget_fits_it_does_not_think() -> None:
    prompt = asking(max_tokens=1_000)
    assert "thinking" not in told_to("claude-haiku-4-5", prompt)
    assert gave_way("claude-haiku-4-5", prompt) == ("thinking",)


def test_an_effort_that_the_model_does_not_know_is_left_out_and_named() -> None:
    prompt = asking(output_config={"effort": "xhigh"})
    assert "output_config" not in told_to("claude-opus-4-6", prompt)
    assert gave_way("claude-opus-4-6", prompt) == ("output_config.effort",)


def test_tokens_are_counted_of_the_same() -> None:
    prompt = asking()
    assert prompt.sent is not None
    changed = edits.counted(prompt.sent, "claude-haiku-4-5")
    assert changed["thinking"] == {"type": "enabled", "display": "omitted", "budget_tokens": 24_576}
    assert "system" not in {message["role"] for message in changed["messages"]}  # type: ignore[attr-defined]
