"""Clients of completions before each dialect of a provider: what the page of dialects says of them."""

from typing import Any

import pytest
from tests.conftest import StartGateway
from tests.e2e.cases import Door
from tests.e2e.gateway import Running
from tests.e2e.matching import GONE, exactly, faults, holding
from tests.e2e.messages_said import chunks, claude, claude_stream, closing, completion, opening, text, words
from tests.faults.exact import Exact
from tests.faults.provider import FaultProvider

ASKED: dict[str, Any] = {"prompt": "hello", "max_tokens": 7, "stop": ["END"], "temperature": 0.5, "user": "u"}
MODELS: dict[Door, str] = {"chat": "chat/m-1", "messages": "claude/claude-haiku-4-5"}
UP: dict[Door, Any] = {
    "chat": {
        "messages": [{"role": "user", "content": "hello"}],
        "prompt": GONE,
        "max_tokens": 7,
        "stop": exactly(["END"]),
        "temperature": 0.5,
        "user": "u",
    },
    "messages": {
        "messages": [{"role": "user", "content": holding("hello")}],
        "prompt": GONE,
        "max_tokens": 7,
        "stop_sequences": exactly(["END"]),
        "temperature": 0.5,
        "metadata": {"user_id": "u"},
    },
}
SAYS: dict[tuple[Door, bool], Exact] = {
    ("chat", False): completion("on", "length"),
    ("chat", True): chunks({"content": "o"}, {"content": "n"}, finish="length"),
    ("messages", False): claude(text("on"), stop="max_tokens"),
    ("messages", True): claude_stream(opening(), words(0, "o", "n"), closing("max_tokens")),
}


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    config = f"""
[providers.chat]
base_url = "{upstream.base_url}"
[providers.claude]
kind = "anthropic"
base_url = "{upstream.base_url.removesuffix("/v1")}"
api_key = "${{PROVIDER_KEY}}"
"""
    return start_gateway(config, PROVIDER_KEY="sk-of-the-gateway")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("target", MODELS)
def test_all_that_a_client_of_completions_can_say_is_kept(
    gateway: Running, upstream: FaultProvider, target: Door, stream: bool
) -> None:
    upstream.exactly(MODELS[target].partition("/")[2], SAYS[target, stream])
    before = len(upstream.calls)
    body = {"model": MODELS[target], **ASKED}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    reply = gateway.post("/v1/completions", body)
    assert reply.status == 200, reply.body
    assert faults(upstream.calls[before].json, UP[target]) == []
    told = [one for one in reply.events if one != "[DONE]"] if stream else [reply.json]
    choices = [choice for one in told for choice in one["choices"]]
    assert "".join(choice["text"] for choice in choices) == "on"
    assert [choice["finish_reason"] for choice in choices if choice["finish_reason"]] == ["length"]
    assert [one["usage"]["completion_tokens"] for one in told if one.get("usage")] == [8]
    assert {one["object"] for one in told} == {"text_completion"}


@pytest.mark.parametrize("target", MODELS)
@pytest.mark.parametrize(
    ("field", "value"), [("prompt", ["a", "b"]), ("prompt", [1, 2]), ("suffix", "x"), ("best_of", 3)]
)
def test_what_it_cannot_have_is_refused_by_name(
    gateway: Running, upstream: FaultProvider, target: Door, field: str, value: Any
) -> None:
    before = len(upstream.calls)
    reply = gateway.post("/v1/completions", {"model": MODELS[target], **ASKED, field: value})
    assert reply.status == 400
    assert field in reply.error["message"]
    assert len(upstream.calls) == before


def test_several_answers_are_a_chat_server_s_alone(gateway: Running, upstream: FaultProvider) -> None:
    before = len(upstream.calls)
    reply = gateway.post("/v1/completions", {"model": MODELS["messages"], **ASKED, "n": 2})
    assert reply.status == 400
    assert "`n`" in reply.error["message"]
    assert len(upstream.calls) == before
