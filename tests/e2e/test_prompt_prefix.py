"""The bytes of a prompt's prefix are those of the turn before, whatever dialect the client and the provider
speak: what a provider has cached is found again.

Agents talk through the real gateway: each turn sends back what the gateway answered, calls of tools and
reasoning included. What the provider got in one turn must stand at the beginning of what it gets in the next:
tools, system prompt and messages, byte for byte.
"""

import base64
import dataclasses
import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw
from tests.conftest import StartGateway
from tests.e2e import drawn_dialects as drawn
from tests.e2e.cases import Door
from tests.e2e.drawn_dialects import Talk
from tests.e2e.gateway import Running
from tests.faults.provider import FaultProvider

Json = dict[str, Any]
TURNS = 9
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(300)).decode()
SYSTEM = 'You mend builds. Ünïcode \\ and "quotes" stay. ' * 30
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}, "line": {"type": "integer"}}}
LONG_NAME = "mcp__a_server_with_a_long_name__and_a_tool_with_a_longer_one_still_that_goes_on"
PARALLEL = (
    "tool=read,calls=2",
    "",
    "reasoning=First I look.,tool=read",
    "reasoning=Then I think.",
    "tool=read",
)
"""What the provider does in each turn, over and over."""


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    config = f"""
[providers.chat]
base_url = "{upstream.base_url}"
pass_through = true
[providers.messages]
kind = "anthropic"
base_url = "{upstream.base_url.removesuffix("/v1")}"
api_key = "${{PROVIDER_KEY}}"
pass_through = true
[providers.responses]
kind = "responses"
base_url = "{upstream.base_url}"
pass_through = true
[cache]
exact = "off"
[endpoints.short]
output_tokens_max = 2500
"""
    return start_gateway(config, PROVIDER_KEY="sk-ant-of-the-tests")


class Chat:
    path = "/v1/chat/completions"

    def __init__(self, model: str) -> None:
        self.model = model
        image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
        self.messages: list[Json] = [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": [{"type": "text", "text": "What is this? é"}, image]},
        ]

    def body(self, turn: int) -> Json:
        tools = [
            {"type": "function", "function": {"name": name, "description": "Reads.", "parameters": SCHEMA}}
            for name in ("read", "write")
        ]
        return {
            "model": self.model, "messages": self.messages, "tools": tools,
            "max_completion_tokens": 2_900 + turn, "reasoning_effort": "high",
        }  # fmt: skip

    def take(self, answer: Json, turn: int) -> None:
        message = answer["choices"][0]["message"]
        self.messages = [*self.messages, message]
        for call in message.get("tool_calls") or ():
            self.messages.append({"role": "tool", "tool_call_id": call["id"], "content": f"line {turn}\n"})
        if not message.get("tool_calls"):
            self.messages.append({"role": "user", "content": f"Go on {turn}."})
        if turn == 4:
            self.messages.append({"role": "system", "content": "Be brief from now on."})
            self.messages.append({"role": "user", "content": "Yes, do."})


class Messages:
    path = "/v1/messages"

    def __init__(self, model: str) -> None:
        self.model = model
        source = {"type": "base64", "media_type": "image/png", "data": PNG}
        asks = [{"type": "text", "text": "What is this? é"}, {"type": "image", "source": source}]
        self.messages: list[Json] = [{"role": "user", "content": asks}]

    def body(self, turn: int) -> Json:
        tools: list[Json] = [
            {"name": name, "description": "Reads.", "input_schema": SCHEMA} for name in ("read", LONG_NAME)
        ]
        system = [{"type": "text", "text": SYSTEM}]
        thinking = {"type": "enabled", "budget_tokens": 1_024}
        return {
            "model": self.model, "max_tokens": 2_000 + turn, "system": system, "messages": self.messages,
            "tools": tools, "thinking": thinking,
        }  # fmt: skip

    def take(self, answer: Json, turn: int) -> None:
        content = answer["content"]
        results: list[Json] = [
            {"type": "tool_result", "tool_use_id": block["id"], "content": f"line {turn}\n"}
            for block in content
            if block["type"] == "tool_use"
        ]
        asks = results or [{"type": "text", "text": f"Go on {turn}."}]
        self.messages = [*self.messages, {"role": "assistant", "content": content}]
        self.messages.append({"role": "user", "content": asks})


class Marking(Messages):
    """As agents that mark what is to be cached do: the system prompt, and the last two turns of the user."""

    def body(self, turn: int) -> Json:
        body = super().body(turn)
        body["system"][-1]["cache_control"] = {"type": "ephemeral"}
        messages = json.loads(json.dumps(self.messages))
        for message in [one for one in messages if one["role"] == "user"][-2:]:
            message["content"][-1]["cache_control"] = {"type": "ephemeral"}
        return {**body, "messages": messages}


class Responses:
    path = "/v1/responses"

    def __init__(self, model: str) -> None:
        self.model = model
        image = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"}
        asks = [{"type": "input_text", "text": "What is this? é"}, image]
        self.items: list[Json] = [{"type": "message", "role": "user", "content": asks}]

    def body(self, turn: int) -> Json:
        tools = [
            {"type": "function", "name": name, "description": "Reads.", "parameters": SCHEMA, "strict": False}
            for name in ("read", "write")
        ]
        return {
            "model": self.model, "instructions": SYSTEM, "input": self.items, "tools": tools, "store": False,
            "include": ["reasoning.encrypted_content"], "reasoning": {"effort": "high"},
            "max_output_tokens": 2_000 + turn, "prompt_cache_key": "session-1",
        }  # fmt: skip

    def take(self, answer: Json, turn: int) -> None:
        output = answer["output"]
        self.items = [*self.items, *output]
        calls = [item for item in output if item["type"] == "function_call"]
        for call in calls:
            told = {"type": "function_call_output", "call_id": call["call_id"], "output": f"line {turn}\n"}
            self.items.append(told)
        if not calls:
            self.items.append({"type": "message", "role": "user", "content": f"Go on {turn}."})


CLIENTS: dict[str, Callable[[str], Any]] = {
    "chat": Chat, "messages": Messages, "messages that mark": Marking, "responses": Responses
}  # fmt: skip
PROVIDERS = {
    "chat": "chat/gpt-4o",
    "messages": "messages/claude-sonnet-4-5",
    "responses": "responses/gpt-5.2",
}


def told_of(body: bytes) -> tuple[bytes, bytes, list[bytes]]:
    """Tools, system prompt and messages, as their bytes came."""
    fields = msgspec.json.decode(body, type=dict[str, Raw])
    turns = fields.get("messages") or fields.get("input")
    assert turns is not None
    first = fields.get("system") or fields.get("instructions") or b""
    messages = msgspec.json.decode(turns, type=list[Raw])
    return bytes(fields["tools"]), bytes(first), [bytes(one) for one in messages]


def unmarked(raw: bytes) -> bytes:
    return raw.replace(b',"cache_control":{"type":"ephemeral"}', b"").replace(
        b', "cache_control": {"type": "ephemeral"}', b""
    )


@pytest.mark.slow
@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("client", CLIENTS)
def test_each_turn_begins_with_the_bytes_of_the_turn_before(
    gateway: Running, upstream: FaultProvider, client: str, provider: str
) -> None:
    agent = CLIENTS[client](PROVIDERS[provider])
    before = len(upstream.calls)
    for turn in range(TURNS):
        upstream.script(PARALLEL[turn % len(PARALLEL)] or "good")
        headers = {"x-farthing-session": f"{client} {provider}"}
        if turn % 2:  # a limit of ours is spliced in
            headers["x-farthing-endpoint"] = "short"
        reply = gateway.post(agent.path, agent.body(turn), headers)
        assert reply.status == 200, reply.body
        agent.take(reply.json, turn)
    sent = [told_of(call.body) for call in upstream.calls[before:]]
    assert len(sent) == TURNS
    for (tools, system, turns), (next_tools, next_system, next_turns) in pairwise(sent):
        assert next_tools == tools
        assert next_system == system
        assert len(next_turns) > len(turns)
        for index, (now, later) in enumerate(zip(turns, next_turns, strict=False)):
            assert unmarked(later) == unmarked(now), (index, len(turns))
    results = [
        one.attempts[-1].prompt_cache
        for one in gateway.receipts()
        if one.session == f"{client} {provider}" and one.attempts
    ]
    assert len(results) == TURNS
    assert all(one is not None and one.result != "changed" for one in results), results
    called = upstream.calls[-1].body
    assert called.count(b'"line ') + called.count(b'\\"line ') >= 3  # results of tools are among them
    assert PNG.encode() in called
    if provider == "messages":
        assert b"First I look." in called


def cuts(talk: Talk) -> list[Talk]:
    """The requests that an agent would have sent on the way to this one."""
    ends = [
        index
        for index in range(1, len(talk.turns))
        if talk.turns[index].kind != "user" and talk.turns[index - 1].kind != "assistant"
    ]
    return [dataclasses.replace(talk, turns=talk.turns[:end]) for end in ends] + [talk]


@pytest.mark.slow
@given(
    talk=drawn.talks(), door=st.sampled_from(["chat", "messages"]), target=st.sampled_from(sorted(PROVIDERS))
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_any_conversation_that_grows_keeps_the_bytes_of_its_beginning(
    gateway: Running, upstream: FaultProvider, talk: Talk, door: Door, target: str
) -> None:
    path = "/v1/messages" if door == "messages" else "/v1/chat/completions"
    sent: list[tuple[bytes, list[bytes]]] = []
    for one in cuts(talk):
        before = len(upstream.calls)
        reply = gateway.post(
            path, {"max_tokens": 99, **drawn.asked_in(door, one), "model": PROVIDERS[target]}
        )
        if len(upstream.calls) == before:
            assert reply.status == 400, reply.body  # by name: this dialect has no word for it
            return
        fields = msgspec.json.decode(upstream.calls[-1].body, type=dict[str, Raw])
        turns = fields["input"] if "input" in fields else fields["messages"]
        first = bytes(fields.get("tools") or b"") + bytes(fields.get("system") or b"")
        sent.append((first, [bytes(one) for one in msgspec.json.decode(turns, type=list[Raw])]))
    for (first, now), (next_first, later) in pairwise(sent):
        assert next_first == first
        assert later[: len(now)] == now
