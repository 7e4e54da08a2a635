"""A client of Responses that goes on: what it sends back reaches the provider that made it."""

from typing import Any

import pytest
from tests.conftest import StartGateway
from tests.e2e.gateway import Reply, Running
from tests.e2e.messages_said import (
    SIGNED,
    calling,
    chunks,
    claude,
    claude_stream,
    closing,
    completion,
    opening,
    thought,
    use,
    used,
)
from tests.faults.exact import Exact
from tests.faults.provider import FaultProvider

Json = dict[str, Any]
KEY = "fk-of-the-client-0123456789"
TOOL: Json = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": False,
}
CALLED: Json = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    config = f"""
[[keys]]
tenant = "acme"
key = "${{CLIENT_KEY}}"
[providers.chat]
base_url = "{upstream.base_url}"
pass_through = true
[providers.claude]
kind = "anthropic"
base_url = "{upstream.base_url.removesuffix("/v1")}"
api_key = "${{PROVIDER_KEY}}"
pass_through = true
[call]
attempts_max = 1
"""
    return start_gateway(config, CLIENT_KEY=KEY, PROVIDER_KEY="sk-ant-of-the-provider")


def ask(gateway: Running, model: str, items: list[Json], headers: Json | None = None, **fields: Any) -> Reply:
    asks = {"model": model, "input": items, "store": False, "tools": [TOOL], **fields}
    asks |= {"include": ["reasoning.encrypted_content"], "reasoning": {"effort": "high"}}
    return gateway.post("/v1/responses", asks, {"authorization": f"Bearer {KEY}", **(headers or {})})


def output_of(reply: Reply) -> list[Json]:
    """The items of an answer, as Codex keeps them: without ids, and of reasoning what is encrypted alone."""
    assert reply.status == 200, reply.body
    found: list[Json]
    if "event-stream" in reply.headers["content-type"]:
        found = [one["item"] for one in reply.events if one["type"] == "response.output_item.done"]
    else:
        found = reply.json["output"]
    kept = [{name: value for name, value in item.items() if name != "id"} for item in found]
    return [{**item, "summary": []} if item["type"] == "reasoning" else item for item in kept]


THOUGHT = {"content": None, "reasoning_content": "I must ask.", "tool_calls": [CALLED]}
SIGNED_TWICE = [
    {"type": "thinking", "thinking": "First.", "signature": SIGNED},
    {"type": "thinking", "thinking": "Second.", "signature": SIGNED},
]
CHAT: dict[bool, Exact] = {
    False: completion(THOUGHT, "tool_calls"),
    True: chunks(
        {"reasoning_content": "I must "},
        {"reasoning_content": "ask."},
        {"tool_calls": [calling(0, id="call_1", name="weather", arguments="{}")]},
        finish="tool_calls",
    ),
}
CLAUDE: dict[bool, Exact] = {
    False: claude(*SIGNED_TWICE, used("call_1"), stop="tool_use"),
    True: claude_stream(
        opening(),
        thought(0, "First."),
        thought(1, "Second."),
        use(2, "call_1", '{"city": "Oslo"}'),
        closing("tool_use"),
    ),
}


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("target", ["chat", "claude"])
def test_what_was_thought_goes_back_to_who_thought_it(
    gateway: Running, upstream: FaultProvider, target: str, streams: bool
) -> None:
    model, says = f"{target}/thinker", {"chat": CHAT, "claude": CLAUDE}[target][streams]
    upstream.exactly("thinker", says)
    asked: list[Json] = [{"role": "user", "content": "Weather in Oslo?"}]
    output = output_of(ask(gateway, model, asked, stream=streams))
    assert [item["type"] for item in output][-1] == "function_call"
    upstream.exactly("thinker", completion() if target == "chat" else claude())
    result = {"type": "function_call_output", "call_id": "call_1", "output": "4 C"}
    assert ask(gateway, model, [*asked, *output, result]).status == 200
    _, answer, last = upstream.calls[-1].json["messages"]
    if target == "chat":
        assert answer["reasoning_content"] == "I must ask." and answer["tool_calls"][0]["id"] == "call_1"
        assert last["role"] == "tool"
    else:
        assert answer["content"][:2] == SIGNED_TWICE
        assert answer["content"][2]["id"] == "call_1" == last["content"][0]["tool_use_id"]


def test_reasoning_of_another_provider_is_left_out_and_named(
    gateway: Running, upstream: FaultProvider
) -> None:
    upstream.exactly("thinker", CLAUDE[False])
    asked: list[Json] = [{"role": "user", "content": "Weather in Oslo?"}]
    output = output_of(ask(gateway, "claude/thinker", asked))
    upstream.exactly("thinker", completion())
    reply = ask(
        gateway,
        "chat/thinker",
        [*asked, *output, {"type": "function_call_output", "call_id": "call_1", "output": "4 C"}],
    )
    assert reply.headers["x-farthing-left-out"] == "input.reasoning"
    assert "First." not in str(upstream.calls[-1].json)


def test_codex_names_its_session_and_its_agent(gateway: Running, upstream: FaultProvider) -> None:
    upstream.exactly("plain", completion())
    asked: list[Json] = [{"role": "user", "content": "hi"}]
    for name in ("session_id", "session-id", "conversation_id"):
        headers = {name: f"s-{name}", "x-openai-subagent": "review"}
        receipt = gateway.receipt_of(ask(gateway, "chat/plain", asked, headers))
        assert (receipt.session, receipt.agent, receipt.dialect) == (f"s-{name}", "review", "responses")
