"""What a client writes for Anthropic's own API, as other clouds get it, which refuse some of it."""

import json
from typing import Any

import pytest
from tests.contract.test_provider import BEDROCK, prompt
from tests.unit.models.providers.test_messages_as_sent import sent_of

from farthing.config import AnthropicProviderConfig, Secret, VertexProviderConfig
from farthing.models.providers.anthropic.elsewhere import messages_last
from farthing.models.providers.anthropic.provider import AnthropicProvider
from farthing.models.providers.vertex.claude import VertexClaudeProvider
from farthing.models.transport.origin import HttpOrigin
from farthing.protocols import Provider
from farthing.types import CacheMarks, Json, Prompt, Target, replace

MARK: Json = {"type": "ephemeral"}
ASKED: Json = {"model": "x", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
TOOL: Json = {"name": "f", "input_schema": {"type": "object"}}
SONNET = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"


def vertex() -> Provider:
    config = VertexProviderConfig(project="p", publisher="anthropic", auth="bearer", api_key=Secret("K", "k"))
    return VertexClaudeProvider(
        "v", HttpOrigin("v", "aiplatform.googleapis.com", 443, True), config, path="/v1"
    )


def messages_at(host: str) -> Provider:
    config = AnthropicProviderConfig(base_url=f"https://{host}", api_key=Secret("K", "k"))
    return AnthropicProvider("a", HttpOrigin("a", host, 443, True), config, path="")


def asked(body: Json) -> Prompt:
    sent = sent_of(json.dumps(body).encode())
    made: Prompt = replace(prompt(), body=sent.read, sent=sent, stream=False)
    return made


def up(
    provider: Provider,
    body: Json,
    model: str = SONNET,
    passed: tuple[tuple[str, str], ...] = (),
    own: bool = True,
) -> tuple[Json, tuple[str, ...]]:
    """What goes up, and what gave way."""
    made = asked(body) if own else replace(prompt(), body=body, stream=False)
    target = Target(name=f"p/{model}", provider="p", model=model, output_tokens_max=4_096)
    unsaid = provider.unsaid(made, target, "chat")
    assert not unsaid.names
    return json.loads(provider.encode(made, target, "chat", "req-1", passed)[1]), unsaid.gave_way


def marked(**more: str) -> Json:
    return {**MARK, **more}


CLOUDS = {"bedrock": BEDROCK.provider, "vertex": vertex(), "foundry": messages_at("x.services.ai.azure.com")}


@pytest.mark.parametrize("cloud", CLOUDS)
def test_no_mark_says_whom_a_prefix_is_shared_with(cloud: str) -> None:
    shared = marked(scope="global", ttl="1h")
    inner = [{"type": "text", "text": "r", "cache_control": shared}]
    body = {
        **ASKED,
        "system": [{"type": "text", "text": "s", "cache_control": shared}],
        "tools": [{**TOOL, "cache_control": shared}],
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": inner}]},
        ],
    }
    told, gave_way = up(CLOUDS[cloud], body)
    whole = json.dumps(told)
    assert '"scope"' not in whole and whole.count('"ttl": "1h"') == 3
    assert gave_way == ("cache_control.scope",)
    assert told["messages"][:2] == body["messages"][:2]


def test_at_anthropic_and_elsewhere_every_byte_stays() -> None:
    body = {**ASKED, "cache_control": marked(scope="global")}
    for host in ("api.anthropic.com", "claude.example"):
        told, gave_way = up(messages_at(host), body, "x")
        assert told == body and not gave_way


@pytest.mark.parametrize("cloud", ["bedrock", "vertex"])
def test_a_mark_on_the_whole_request_stands_on_its_last_block_that_may_have_one(cloud: str) -> None:
    turns = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "t", "signature": "s"}]},
    ]
    provider = CLOUDS[cloud]
    told, gave_way = up(provider, {**ASKED, "messages": turns, "cache_control": MARK})
    assert "cache_control" not in told and not gave_way
    first = {"type": "text", "text": "hi", "cache_control": MARK}
    assert told["messages"] == [{"role": "user", "content": [first]}, turns[1]]
    own = {"type": "text", "text": "hi", "cache_control": marked(ttl="1h")}
    told, _ = up(provider, {**ASKED, "messages": [{"role": "user", "content": [own]}], "cache_control": MARK})
    assert told["messages"][0]["content"] == [own]


def test_a_text_told_alone_stays_one_where_thinking_is_bound_to_it() -> None:
    model = "us.anthropic.claude-opus-5-5-v1:0"
    told, gave_way = up(BEDROCK.provider, {**ASKED, "cache_control": MARK}, model)
    assert told["messages"] == ASKED["messages"] and "cache_control" not in told
    assert gave_way == ("cache_control",)


@pytest.mark.parametrize(
    ("model", "stays"),
    [
        ("anthropic.claude-3-7-sonnet-20250219-v1:0", False),
        ("us.anthropic.claude-opus-4-1-20250805-v1:0", False),
        (SONNET, True),
        ("global.anthropic.claude-opus-5-v1:0", True),
    ],
)
def test_a_prefix_is_kept_for_an_hour_where_bedrock_can(model: str, stays: bool) -> None:
    body = {**ASKED, "system": [{"type": "text", "text": "s", "cache_control": marked(ttl="1h")}]}
    told, gave_way = up(BEDROCK.provider, body, model)
    assert told["system"][0]["cache_control"] == (marked(ttl="1h") if stays else MARK)
    assert gave_way == (() if stays else ("cache_control.ttl",))
    body["system"][0]["cache_control"] = marked(ttl="5m")
    assert up(BEDROCK.provider, body, model)[1] == ()


def test_what_a_client_of_chat_marks_fits_too() -> None:
    part = {"type": "text", "text": "hi", "cache_control": marked(scope="global")}
    body = {"model": "x", "messages": [{"role": "user", "content": [part]}], "cache_control": MARK}
    told, gave_way = up(BEDROCK.provider, body, own=False)
    assert told["messages"][0]["content"] == [{**part, "cache_control": MARK}]
    assert "cache_control" not in told and "cache_control.scope" in gave_way


def test_arguments_come_as_they_do_where_a_tool_cannot_stream_them_at_once() -> None:
    told, gave_way = up(BEDROCK.provider, {**ASKED, "tools": [{**TOOL, "eager_input_streaming": True}]})
    assert told["tools"] == [TOOL] and gave_way == ("tools.eager_input_streaming",)


@pytest.mark.parametrize(
    ("fields", "betas"),
    [
        ({"tools": [{**TOOL, "defer_loading": True}]}, ["tool-search-tool-2025-10-19"]),
        ({"tools": [{"type": "tool_search_tool_bm25_20251119"}]}, ["tool-search-tool-2025-10-19"]),
        ({"tools": [{**TOOL, "input_examples": [{}]}]}, ["tool-examples-2025-10-29"]),
        ({"tools": [{"type": "memory_20250818"}]}, ["context-management-2025-06-27"]),
        ({"tools": [{"type": "computer_20250124"}]}, ["computer-use-2025-01-24"]),
        ({"context_management": {"edits": [{"type": "compact_20260112"}]}}, ["compact-2026-01-12"]),
        (
            {"context_management": {"edits": [{"type": "clear_thinking_20251015"}]}},
            ["context-management-2025-06-27"],
        ),
        ({"tools": [TOOL]}, None),
    ],
)  # fmt: skip
def test_bedrock_is_told_the_betas_without_which_it_refuses_what_is_asked(
    fields: dict[str, Any], betas: list[str] | None
) -> None:
    told, _ = up(BEDROCK.provider, {**ASKED, **fields})
    assert told.get("anthropic_beta") == betas
    header = (("anthropic-beta", "advanced-tool-use-2025-11-20,context-1m-2025-08-07"),)
    told, _ = up(BEDROCK.provider, {**ASKED, **fields}, passed=header)
    assert told["anthropic_beta"] == ["context-1m-2025-08-07", *(betas or [])]


@pytest.mark.parametrize("own", [True, False])
def test_at_vertex_messages_stand_behind_what_stays_the_same(own: bool) -> None:
    tools: Any = [TOOL] if own else [{"type": "function", "function": {"name": "f"}}]
    turns = ASKED["messages"] if own else [{"role": "system", "content": "s"}, *ASKED["messages"]]
    body = {"max_tokens": 9, "messages": turns, "model": "x", "tools": tools}
    body |= {"system": [{"type": "text", "text": "s"}]} if own else {}
    told, _ = up(CLOUDS["vertex"], body, "claude-sonnet-5", own=own)
    assert list(told)[-1] == "messages" and {"system", "tools"} < told.keys()
    assert told["messages"][-1]["role"] == "user" and "model" not in told


def test_a_body_whose_messages_are_last_keeps_its_bytes() -> None:
    raw = b'{ "system": "s",\r\n "messages" : [ {"role":"user","content":"\\u00e9 1.10"} ], "max_tokens": 9 }'
    assert messages_last(raw) == raw
    moved = messages_last(b'{"messages": [1.10, "\\u00e9"], "system":  "s", "max_tokens": 9 }')
    assert moved == b'{"system":"s","max_tokens":9,"messages":[1.10, "\\u00e9"]}'
    assert messages_last(b"[]") == b"[]" and messages_last(b'{"a":1}') == b'{"a":1}'


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("provider", [vertex(), BEDROCK.provider], ids=["vertex", "bedrock"])
def test_marks_of_ours_for_the_prompt_cache_go_up_as_at_anthropic(provider: Provider, own: bool) -> None:
    assert provider.capabilities.marks
    body: Json = {**ASKED, "system": "Be brief."}
    if not own:
        body = {**ASKED, "messages": [{"role": "system", "content": "Be brief."}, *ASKED["messages"]]}
    made = asked(body) if own else replace(prompt(), body=body, stream=False)
    made = replace(made, marks=CacheMarks(system="5m", turns="5m"))
    target = Target(name=f"p/{SONNET}", provider="p", model=SONNET, output_tokens_max=4_096)
    told: Json = json.loads(provider.encode(made, target, "chat", "req-1", ())[1])
    assert told["system"] == [{"type": "text", "text": "Be brief.", "cache_control": MARK}]
    assert told["messages"][-1]["content"] == [{"type": "text", "text": "hi", "cache_control": MARK}]
