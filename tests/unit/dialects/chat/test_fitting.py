"""Messages of chat completions where the next turn of a session is another provider's than the last."""

import json
from typing import Any

import pytest

from farthing.dialects.chat.requests.fitting import NO_QUIRKS, fitted
from farthing.dialects.gemini.signatures import ANY
from farthing.dialects.written import Written
from farthing.models.discovery.quirks import quirks_of
from farthing.types import Json

HI: Json = {"role": "user", "content": "hi"}
CALL: Json = {"id": "abcdefgh1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLED: Json = {"role": "assistant", "content": None, "tool_calls": [CALL]}
GIVEN: Json = {"role": "tool", "tool_call_id": "abcdefgh1", "content": "x"}
MORE: Json = {
    "reasoning_content": "r", "thinking_blocks": [{"type": "thinking", "thinking": "r", "signature": "s"}],
    "reasoning_details": [{"type": "reasoning.text"}], "annotations": [{"type": "url_citation"}],
    "refusal": None, "audio": None,
}  # fmt: skip
SIGNED: Json = {**CALL, "extra_content": {"google": {"thought_signature": "sig"}}}


def at(host: str, model: str, *messages: Json, **fields: Any) -> Written:
    body = {"model": "auto", "messages": list(messages), **fields}
    before = json.dumps(body)
    found = fitted(body, model, quirks_of("p", host))
    assert json.dumps(body) == before and not found.unsaid
    return found


@pytest.mark.parametrize(
    ("host", "model", "kept"),
    [
        ("api.groq.com", "llama-3.3-70b-versatile", {}),
        ("api.groq.com", "moonshotai/kimi-k2-instruct", {}),
        ("api.mistral.ai", "mistral-large-latest", {}),
        ("api.cerebras.ai", "zai-glm-4.7", {"reasoning": "r"}),
    ],
)
def test_a_host_that_refuses_unknown_fields_gets_none_of_those_that_others_add(
    host: str, model: str, kept: Json
) -> None:
    marked = {"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}
    user = {"role": "user", "content": [marked], "cache_control": {"type": "ephemeral"}}
    tool = {"type": "function", "function": {"name": "f"}, "cache_control": {"type": "ephemeral"}}
    answer = {**CALLED, **MORE, "tool_calls": [{**SIGNED, "index": 0}]}
    told = at(host, model, user, answer, GIVEN, tools=[tool])
    first, second, third = told.body["messages"]
    assert first == {"role": "user", "content": [{"type": "text", "text": "hi"}]}
    assert second == {**CALLED, "tool_calls": [{**CALL, "index": 0}], **kept}
    assert third == GIVEN and told.body["tools"] == [{"type": "function", "function": {"name": "f"}}]
    named = {"cache_control", "messages.annotations", "messages.extra_content"}
    assert named <= set(told.yielded) and ("messages.reasoning_content" in told.yielded) is not bool(kept)
    assert "messages.refusal" not in told.yielded


def test_messages_that_fit_stay_the_same_objects() -> None:
    messages = [HI, CALLED, GIVEN]
    told = at("api.groq.com", "llama-3.3-70b-versatile", *messages)
    assert all(one is other for one, other in zip(told.body["messages"], messages, strict=True))
    assert not told.yielded


def test_an_answer_stands_between_what_a_tool_gave_and_the_user_where_one_has_to() -> None:
    messages = [HI, CALLED, GIVEN, HI, {"role": "assistant", "content": "a"}, HI]
    told = at("api.mistral.ai", "mistral-large-latest", *messages).body["messages"]
    assert told == [HI, CALLED, GIVEN, {"role": "assistant", "content": "."}, *messages[3:]]
    assert at("api.mistral.ai", "mistral-large-latest", *messages[:3]).body["messages"] == messages[:3]
    assert at("api.groq.com", "llama-3.3-70b-versatile", *messages).body["messages"] == messages


@pytest.mark.parametrize("host", ["api.deepseek.com", "api.moonshot.ai"])
def test_models_that_want_their_thoughts_back_get_something_with_each_call(host: str) -> None:
    model = "deepseek-v4-pro" if "deepseek" in host else "kimi-k2.6"
    answer = {"role": "assistant", "content": "a"}
    told = at(host, model, HI, CALLED, GIVEN, answer, HI, {**CALLED, "reasoning": "r"}, GIVEN)
    assert told.body["messages"][1] == {**CALLED, "reasoning_content": " "}
    assert told.body["messages"][3] == answer
    assert told.body["messages"][5]["reasoning_content"] == "r"
    own = {**CALLED, "reasoning_content": "mine"}
    assert at(host, model, HI, own, GIVEN).body["messages"][1] is own


@pytest.mark.parametrize(
    "host", ["generativelanguage.googleapis.com", "europe-west4-aiplatform.googleapis.com"]
)
def test_gemini_gets_a_proof_with_the_first_call_of_each_step_that_another_model_made(host: str) -> None:
    two = {**CALLED, "tool_calls": [CALL, {**CALL, "id": "abcdefgh2"}]}
    told = at(host, "google/gemini-3-pro-preview", HI, two, GIVEN, {**CALLED, "tool_calls": [SIGNED]}, GIVEN)
    calls = [one["tool_calls"] for one in told.body["messages"] if "tool_calls" in one]
    proof = {"google": {"thought_signature": ANY}}
    assert calls == [[{**CALL, "extra_content": proof}, two["tool_calls"][1]], [SIGNED]]
    assert at(host, "gemini-2.5-flash", HI, two).body["messages"][1] is two
    assert fitted({"messages": [two]}, "gemini-3-pro", NO_QUIRKS).body["messages"] == [two]
