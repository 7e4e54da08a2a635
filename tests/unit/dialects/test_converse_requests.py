"""Requests as Converse takes them: by the shapes of AWS's service model, and by what it refuses."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.faults.converse import Invalid, check
from tests.faults.shapes import faults
from tests.unit.dialects import messages_drawn, responses_drawn
from tests.unit.dialects.shapes import REQUESTS
from tests.unit.dialects.test_chat_to_messages import BODY

from farthing.dialects import proofs
from farthing.dialects.chat.requests.request_reader import read
from farthing.dialects.converse.models import abilities, is_claude, place_of
from farthing.dialects.converse.names import own_name, tool_name
from farthing.dialects.converse.requests.request_writer import translate
from farthing.dialects.messages.requests import request_reader as messages
from farthing.dialects.responses.requests import request_reader as responses
from farthing.dialects.written import Written
from farthing.errors import InvalidRequest
from farthing.types import Json

NOVA, NOVA2, LLAMA, MISTRAL, GPT, ANY = (
    "us.amazon.nova-pro-v1:0",
    "amazon.nova-2-lite-v1:0",
    "us.meta.llama3-3-70b-instruct-v1:0",
    "mistral.mistral-large-2407-v1:0",
    "openai.gpt-oss-120b-1:0",
    "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc",
)
MODELS = (NOVA, NOVA2, LLAMA, MISTRAL, GPT, ANY)
HI: list[Json] = [{"role": "user", "content": "hi"}]
NUMBER: Json = {"type": "object", "properties": {"a": {"type": "integer"}}}
HOUR = {"type": "ephemeral", "ttl": "1h"}
PNG = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUg=="
PDF = "data:application/pdf;base64,JVBERi0xLjcK"


def written(model: str = ANY, provider: str = "b", **fields: Any) -> Written:
    said = read({"messages": HI, **fields})
    return translate(said, model=model, provider=provider, files=("s3://films/",))


def body_of(model: str = ANY, **fields: Any) -> Json:
    told = written(model, **fields)
    check(told.body)
    return told.body


def call(call_id: str, name: str = "f", arguments: str = "{}") -> Json:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def calls(*told: Json, **fields: Any) -> Json:
    return {"role": "assistant", "content": None, "tool_calls": list(told), **fields}


def result(call_id: str, content: Any = "x", **fields: Any) -> Json:
    return {"role": "tool", "tool_call_id": call_id, "content": content, **fields}


def tool(name: str, **fields: Any) -> Json:
    return {"type": "function", "function": {"name": name, **fields}}


def content(*parts: Json) -> list[Json]:
    return [{"role": "user", "content": list(parts)}]


TOOLS = [
    tool("f", description="does f", parameters={"type": "object", "properties": {"a": {"type": "string"}}})
]
CALLED = [*HI, calls(call("c1")), result("c1", "4 C")]

# -- golden shapes ---------------------------------------------------------------------------------------

GOLDEN: dict[str, tuple[Json, Json]] = {
    "settings": (
        {
            "messages": [{"role": "system", "content": "be brief"}, *HI],
            "max_completion_tokens": 9, "temperature": 0.5, "top_p": 0.9, "stop": ["a", "b"], "user": "u-1",
            "service_tier": "flex",
        },
        {
            "messages": [{"role": "user", "content": [{"text": "hi"}]}],
            "system": [{"text": "be brief"}],
            "inferenceConfig": {"maxTokens": 9, "temperature": 0.5, "topP": 0.9, "stopSequences": ["a", "b"]},
            "requestMetadata": {"user": "u-1"},
            "serviceTier": {"type": "flex"},
        },
    ),
    "parallel results": (
        {
            "messages": [
                *HI, calls(call("c1", "f", '{"a": "x"}'), call("c2")), result("c2", ""), result("c1", "one"),
                {"role": "user", "content": "thanks"},
            ],
            "tools": TOOLS,
            "tool_choice": "required",
        },
        {
            "messages": [
                {"role": "user", "content": [{"text": "hi"}]},
                {
                    "role": "assistant",
                    "content": [
                        {"toolUse": {"toolUseId": "c1", "name": "f", "input": {"a": "x"}}},
                        {"toolUse": {"toolUseId": "c2", "name": "f", "input": {}}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"toolResult": {"toolUseId": "c1", "content": [{"text": "one"}]}},
                        {"toolResult": {"toolUseId": "c2", "content": [{"text": "(empty)"}]}},
                        {"text": "thanks"},
                    ],
                },
            ],
            "toolConfig": {
                "tools": [{
                    "toolSpec": {
                        "name": "f",
                        "description": "does f",
                        "inputSchema": {
                            "json": {"type": "object", "properties": {"a": {"type": "string"}}}
                        },
                    },
                }],
                "toolChoice": {"any": {}},
            },
        },
    ),
    "marks for the cache": (
        {
            "messages": [
                {
                    "role": "system",
                    "content": [{"type": "text", "text": "s", "cache_control": HOUR}],
                },
                *content({"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}),
            ],
            "tools": [{**TOOLS[0], "cache_control": {"type": "ephemeral"}}],
        },
        {
            "messages": [
                {"role": "user", "content": [{"text": "a"}, {"cachePoint": {"type": "default"}}]},
            ],
            "system": [{"text": "s"}, {"cachePoint": {"type": "default", "ttl": "1h"}}],
            "toolConfig": {
                "tools": [
                    {
                        "toolSpec": {
                            "name": "f",
                            "description": "does f",
                            "inputSchema": {
                                "json": {"type": "object", "properties": {"a": {"type": "string"}}}
                            },
                        },
                    },
                    {"cachePoint": {"type": "default"}},
                ],
            },
        },
    ),
    "an image and files": (
        {
            "messages": content(
                {"type": "image_url", "image_url": {"url": PNG}},
                {"type": "file", "file": {"filename": "a_b.v2.pdf", "file_data": PDF}},
                {"type": "file", "file": {"filename": "a_b.v2.pdf", "file_data": PDF}},
                {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
                {"type": "video_url", "video_url": {"url": "s3://films/a.mp4"}},
            )
        },
        {
            "messages": [{
                "role": "user",
                "content": [
                    {"image": {"format": "png", "source": {"bytes": PNG.partition(",")[2]}}},
                    {"document": {
                        "format": "pdf", "name": "a-b-v2", "source": {"bytes": PDF.partition(",")[2]},
                    }},
                    {"document": {
                        "format": "pdf", "name": "a-b-v2-2", "source": {"bytes": PDF.partition(",")[2]},
                    }},
                    {"audio": {"format": "wav", "source": {"bytes": "UklGRg=="}}},
                    {"video": {"format": "mp4", "source": {"s3Location": {"uri": "s3://films/a.mp4"}}}},
                    {"text": "."},
                ],
            }],
        },
    ),
    "a form and an effort": (
        {
            "messages": HI,
            "reasoning_effort": "high",
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "n", "schema": NUMBER},
            },
        },
        {
            "messages": [{"role": "user", "content": [{"text": "hi"}]}],
            "outputConfig": {
                "effort": "high",
                "textFormat": {
                    "type": "json_schema",
                    "structure": {
                        "jsonSchema": {
                            "name": "n",
                            "schema": '{"type":"object","properties":{"a":{"type":"integer"}},'
                            '"additionalProperties":false}',
                        },
                    },
                },
            },
        },
    ),
    "what Converse alone knows": (
        {
            "messages": HI,
            "guardrailConfig": {"guardrailIdentifier": "abc", "guardrailVersion": "1", "trace": "enabled"},
            "performanceConfig": {"latency": "optimized"},
            "requestMetadata": {"team": "x"},
            "additionalModelRequestFields": {"seed": 7},
        },
        {
            "messages": [{"role": "user", "content": [{"text": "hi"}]}],
            "guardrailConfig": {"guardrailIdentifier": "abc", "guardrailVersion": "1", "trace": "enabled"},
            "performanceConfig": {"latency": "optimized"},
            "requestMetadata": {"team": "x"},
            "additionalModelRequestFields": {"seed": 7},
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GOLDEN)
def test_a_request_is_written_in_this_shape(name: str) -> None:
    asked, shape = GOLDEN[name]
    before = json.dumps(asked)
    told = translate(read(asked), model=ANY, provider="b", files=("s3://films/",))
    assert told.body == shape and not told.unsaid and json.dumps(asked) == before
    assert faults({**told.body, "modelId": ANY}, "ConverseRequest") == []
    check(told.body)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("case", REQUESTS, ids=[case["name"] for case in REQUESTS])
def test_what_other_dialects_are_recorded_with_is_taken(case: Json, model: str) -> None:
    told = translate(read(case["chat"]), model=model, provider="b")
    try:
        check(told.body)
    except Invalid as why:  # the conversation itself breaks off
        assert "no results" in str(why) or "for calls" in str(why), why


# -- any request -----------------------------------------------------------------------------------------


def assert_is_sound(body: Json) -> None:
    roles = [message["role"] for message in body["messages"]]
    assert roles[0] == "user" and all(one != other for one, other in itertools.pairwise(roles))
    for message in body["messages"]:
        kinds = [next(iter(block)) for block in message["content"]]
        assert kinds and ("document" not in kinds or "text" in kinds)
        results = [at for at, kind in enumerate(kinds) if kind == "toolResult"]
        assert results == list(range(len(results)))
        points = [at for at, kind in enumerate(kinds) if kind == "cachePoint"]
        assert all(later - one > 1 for one, later in itertools.pairwise(points))
        for block in message["content"]:
            assert "text" not in block or block["text"].strip()
    ids = [
        block["toolUse"]["toolUseId"]
        for message in body["messages"]
        for block in message["content"]
        if "toolUse" in block
    ]
    assert len(set(ids)) == len(ids)
    assert not ids or body["toolConfig"]["tools"]


@pytest.mark.slow
@given(BODY, st.sampled_from(MODELS))
def test_a_body_of_any_shape_is_read_or_refused(body: Json, model: str) -> None:
    try:
        conversation = read(body)
    except InvalidRequest:
        return
    assert_is_sound(translate(conversation, model=model, provider="b").body)


@pytest.mark.slow
@given(messages_drawn.BODIES, st.sampled_from(MODELS))
def test_what_clients_of_messages_send_has_the_shape_that_is_taken(body: Json, model: str) -> None:
    told = translate(messages.read(body), model=model, provider="b")
    assert_is_sound(told.body)
    assert faults({**told.body, "modelId": "m"}, "ConverseRequest") == []


@pytest.mark.slow
@given(responses_drawn.BODIES, st.sampled_from(MODELS))
def test_what_clients_of_responses_send_has_the_shape_that_is_taken(body: Json, model: str) -> None:
    told = translate(responses.read(body), model=model, provider="b")
    assert_is_sound(told.body)
    assert faults({**told.body, "modelId": "m"}, "ConverseRequest") == []


# -- tools -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fields", [{}, {"tools": TOOLS, "tool_choice": "none"}])
def test_where_no_tool_may_be_called_calls_are_told_as_texts(fields: Json) -> None:
    body = body_of(messages=[*CALLED, {"role": "user", "content": "sum up"}], **fields)
    assert "toolConfig" not in body and "toolUse" not in json.dumps(body)
    assert body["messages"][1]["content"][0]["text"] == '<tool_call name="f">\n{}\n</tool_call>'
    assert [block["text"] for block in body["messages"][2]["content"]] == [
        "<tool_result>\n4 C\n</tool_result>",
        "sum up",
    ]


LONG_NAME = "docs.search/" + "x" * 60


def test_a_name_that_does_not_fit_is_another_one_everywhere_and_comes_back() -> None:
    asked: Json = {
        "messages": [*HI, calls(call("c1", LONG_NAME + "1")), result("c1")],
        "tools": [tool(LONG_NAME + end) for end in "12"],
        "tool_choice": {"type": "function", "function": {"name": LONG_NAME + "2"}},
    }
    body = body_of(**asked)
    names = [one["toolSpec"]["name"] for one in body["toolConfig"]["tools"]]
    assert len(set(names)) == 2 and body["toolConfig"]["toolChoice"] == {"tool": {"name": names[1]}}
    assert body["messages"][1]["content"][0]["toolUse"]["name"] == names[0]
    assert [own_name(name, asked) for name in names] == [LONG_NAME + "1", LONG_NAME + "2"]
    assert own_name("f", asked) == "f" and own_name(names[0], {}) == names[0]


@given(st.text(min_size=1, max_size=90), st.text(min_size=1, max_size=90))
def test_two_names_never_become_one(one: str, other: str) -> None:
    assert (tool_name(one) == tool_name(other)) == (one == other)
    assert faults(tool_name(one), "ToolName") == []


@pytest.mark.parametrize(
    ("model", "choice", "told"),
    [
        (ANY, "required", {"any": {}}),
        (ANY, "auto", None),
        (MISTRAL, {"type": "function", "function": {"name": "f"}}, {"any": {}}),
        (NOVA, {"type": "function", "function": {"name": "f"}}, {"tool": {"name": "f"}}),
        (
            ANY,
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [{"function": {"name": "g"}}]},
            },
            {"tool": {"name": "g"}},
        ),
    ],
)
def test_a_choice_is_told_as_the_model_takes_it(model: str, choice: Any, told: Any) -> None:
    config = body_of(model, tools=[*TOOLS, tool("g")], tool_choice=choice)["toolConfig"]
    assert config.get("toolChoice") == told
    offered = [one["toolSpec"]["name"] for one in config["tools"]]
    only = model == MISTRAL or (isinstance(choice, dict) and choice["type"] == "allowed_tools")
    assert len(offered) == (1 if only else 2)


def test_a_demanded_call_that_a_model_does_not_take_is_named_with_a_way_out() -> None:
    told = written(LLAMA, tools=TOOLS, tool_choice="required")
    assert told.unsaid == ("tool_choice",) and 'send tool_choice "auto"' in told.reasons["tool_choice"]
    assert written(LLAMA, tools=TOOLS, tool_choice="auto").unsaid == ()


# -- what cannot be said ---------------------------------------------------------------------------------

UNSAID: dict[str, tuple[str, Json, tuple[str, ...]]] = {
    "choices": (ANY, {"n": 2}, ("n",)),
    "probabilities": (ANY, {"logprobs": True}, ("logprobs",)),
    "a seed": (ANY, {"seed": 1}, ("seed",)),
    "a penalty": (ANY, {"frequency_penalty": 1}, ("frequency_penalty",)),
    "a hot temperature": (ANY, {"temperature": 1.5}, ("temperature",)),
    "one call at a time": (ANY, {"tools": TOOLS, "parallel_tool_calls": False}, ("parallel_tool_calls",)),
    "any JSON": (ANY, {"response_format": {"type": "json_object"}}, ("response_format",)),
    "a form for a model without": (
        NOVA, {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}}},
        ("response_format",),
    ),
    "thinking of a model without": (LLAMA, {"reasoning_effort": "low"}, ("reasoning_effort",)),
    "a link": (
        ANY, {"messages": content({"type": "image_url", "image_url": {"url": "https://x.example/a.png"}})},
        ("image_url",),
    ),
    "an uploaded file": (
        ANY, {"messages": content({"type": "file", "file": {"file_id": "file-1"}})}, ("file_id",)
    ),
    "a custom tool": (ANY, {"tools": [{"type": "custom", "custom": {"name": "c"}}]}, ("tools.custom",)),
    "a tool that a provider runs": (ANY, {"tools": [{"type": "web_search"}]}, ("tools.web_search",)),
    "an unknown field": (ANY, {"x_trace": 1}, ("x_trace",)),
    "a tier": (ANY, {"service_tier": "scale"}, ("service_tier",)),
    "top_k of a model without": (ANY, {"top_k": 3}, ("top_k",)),
    "a name": (ANY, {"messages": [{"role": "user", "name": "x", "content": "hi"}]}, ("messages.name",)),
}  # fmt: skip


@pytest.mark.parametrize("name", UNSAID)
def test_what_converse_has_no_word_for_is_named(name: str) -> None:
    model, fields, names = UNSAID[name]
    told = written(model, **fields)
    assert told.unsaid == names
    check(told.body)


@pytest.mark.parametrize(
    ("model", "effort", "told"),
    [
        (ANY, "minimal", {"outputConfig": {"effort": "low"}}),
        (ANY, "xhigh", {"outputConfig": {"effort": "xhigh"}}),
        (ANY, "none", {}),
        (GPT, "high", {"additionalModelRequestFields": {"reasoning_effort": "high"}}),
        (
            NOVA2,
            "medium",
            {
                "additionalModelRequestFields": {
                    "reasoningConfig": {"type": "enabled", "maxReasoningEffort": "medium"}
                }
            },
        ),
    ],
)
def test_thinking_is_asked_for_where_the_model_looks(model: str, effort: str, told: Json) -> None:
    body = body_of(model, reasoning_effort=effort)
    assert {name: value for name, value in body.items() if name != "messages"} == told


def test_nova_keeps_the_limit_of_output_and_thinks_less() -> None:
    told = written(NOVA2, reasoning_effort="high", max_tokens=9, temperature=0.5)
    assert told.body["inferenceConfig"] == {"maxTokens": 9, "temperature": 0.5}
    config = told.body["additionalModelRequestFields"]["reasoningConfig"]
    assert config["maxReasoningEffort"] == "medium" and told.yielded == ("reasoning_effort",)
    told = written(NOVA2, reasoning_effort="high", temperature=0.5)
    assert "inferenceConfig" not in told.body and told.yielded == ("temperature",)


AGENT = json.dumps({"device_id": "d", "account_uuid": "", "session_id": "s"})
"""Who asks, as Claude Code says it."""


@pytest.mark.parametrize("model", [NOVA, LLAMA, ANY])
def test_an_agent_of_messages_is_asked_for_with_any_model(model: str) -> None:
    """Claude Code says who asks in JSON and wants each model to think; neither is a reason to refuse it."""
    thinking = {"type": "enabled", "budget_tokens": 2_000}
    body = {"messages": HI, "max_tokens": 9_000, "metadata": {"user_id": AGENT}, "thinking": thinking}
    told = translate(messages.read(body), model=model)
    check(told.body)
    assert told.unsaid == () and "requestMetadata" not in told.body
    assert set(told.yielded) == {"metadata.user_id"} | ({"thinking"} if model != ANY else set())


@pytest.mark.parametrize("model", [NOVA, ANY])
def test_codex_is_asked_for_with_any_model(model: str) -> None:
    """For models that it knows it sends an effort with each request, and a search among tools."""
    search = {"type": "tool_search", "execution": "client", "description": "d", "parameters": NUMBER}
    body = {
        "input": "hi",
        "reasoning": {"effort": "medium"},
        "tools": [{"type": "function", "name": "f", "parameters": NUMBER}, search],
        "client_metadata": {"x-codex-turn-metadata": "{}"},
    }
    told = translate(responses.read(body), model=model)
    check(told.body)
    assert told.unsaid == ()
    gone = {"reasoning.effort"} if model == NOVA else set()
    assert set(told.yielded) == {"client_metadata", "tools.tool_search"} | gone


def test_a_demand_of_one_call_at_a_time_is_named_as_its_client_wrote_it() -> None:
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    tools = [{"name": "f", "input_schema": NUMBER}]
    body = {"messages": HI, "max_tokens": 9, "tools": tools, "tool_choice": choice}
    told = translate(messages.read(body), model=ANY)
    assert told.unsaid == ("tool_choice.disable_parallel_tool_use",)


def test_a_tool_that_a_client_of_messages_has_looked_up_is_told_in_words() -> None:
    use = {"type": "tool_use", "id": "t", "name": "ToolSearch", "input": {}}
    found = {"type": "tool_reference", "tool_name": "WebFetch"}
    turns = [
        *HI,
        {"role": "assistant", "content": [use]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [found]}]},
    ]
    tools = [{"name": name, "input_schema": NUMBER} for name in ("ToolSearch", "WebFetch")]
    told = translate(messages.read({"messages": turns, "max_tokens": 9, "tools": tools}), model=ANY)
    check(told.body)
    assert told.unsaid == ()
    assert told.body["messages"][2]["content"][0]["toolResult"]["content"] == [
        {"text": "Found the tool WebFetch."}
    ]


def test_top_k_stands_where_the_model_looks() -> None:
    assert body_of(NOVA, top_k=3)["additionalModelRequestFields"] == {"inferenceConfig": {"topK": 3}}
    assert body_of(MISTRAL, top_k=3)["additionalModelRequestFields"] == {"top_k": 3}


def test_marks_give_way_where_the_model_does_not_cache() -> None:
    marked = content({"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}})
    told = written(LLAMA, messages=marked)
    assert told.yielded == ("cache_control",) and "cachePoint" not in json.dumps(told.body)
    told = written(NOVA, messages=marked)
    assert told.body["messages"][0]["content"][1] == {"cachePoint": {"type": "default"}}
    assert told.yielded == ("cache_control.ttl",)


def test_open_models_and_tools_of_nova_are_not_marked() -> None:
    mark = {"type": "ephemeral"}
    told = written(
        "qwen.qwen3-coder-30b-v1:0", messages=content({"type": "text", "text": "a", "cache_control": mark})
    )
    assert told.yielded == ("cache_control",)
    told = written(NOVA, tools=[{**TOOLS[0], "cache_control": mark}])
    assert told.yielded == ("cache_control",) and len(told.body["toolConfig"]["tools"]) == 1


def test_a_mark_on_a_result_stands_behind_the_results() -> None:
    mark = {"type": "ephemeral"}
    told = [{"type": "text", "text": "y", "cache_control": mark}]
    asked = [*HI, calls(call("c1"), call("c2")), result("c1", cache_control=mark), result("c2", told)]
    body = body_of(messages=asked, tools=TOOLS)
    kinds = [next(iter(block)) for block in body["messages"][2]["content"]]
    assert kinds == ["toolResult", "toolResult", "cachePoint"]


def test_sound_in_a_result_is_named() -> None:
    sound = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
    told = written(messages=[*HI, calls(call("c1")), result("c1", [sound])], tools=TOOLS)
    assert told.unsaid == ("input_audio",)
    check(told.body)


# -- reasoning -------------------------------------------------------------------------------------------


def thought(signature: str) -> list[Json]:
    block = {"type": "thinking", "thinking": "hm", "signature": signature}
    return [*HI, {"role": "assistant", "content": "x", "thinking_blocks": [block]}, *HI]


@pytest.mark.parametrize(
    ("item", "block"),
    [
        ({"signature": "c2ln"}, {"reasoningText": {"text": "hm", "signature": "c2ln"}}),
        ({"redactedContent": "AAAA"}, {"redactedContent": "AAAA"}),
    ],
)
def test_what_a_model_thought_goes_back_to_its_provider_alone(item: Json, block: Json) -> None:
    asked = thought(proofs.of_item({"type": "reasoning", **item}, "b"))
    told = written(messages=asked)
    assert told.body["messages"][1]["content"][0] == {"reasoningContent": block} and not told.yielded
    check(told.body)
    for other in ("c", ""):
        told = written(provider=other, messages=asked)
        assert "reasoningContent" not in json.dumps(told.body) and told.yielded == ("reasoning_content",)
    told = written(messages=thought("c2lnbmVkIGJ5IENsYXVkZQ=="))
    assert told.yielded == ("reasoning_content",)


# -- turns -----------------------------------------------------------------------------------------------


def test_instructions_in_between_stay_in_their_place() -> None:
    body = body_of(
        messages=[*HI, {"role": "assistant", "content": "a"}, {"role": "system", "content": "s"}, *HI]
    )
    assert [block["text"] for block in body["messages"][2]["content"]] == ["<system>\ns\n</system>", "hi"]


@pytest.mark.parametrize(
    ("model", "apart"),
    [
        ("amazon.titan-text-express-v1", False),
        ("mistral.mistral-7b-instruct-v0:2", False),
        ("mistral.mixtral-8x7b-instruct-v0:1", False),
        (MISTRAL, True),
        ("mistral.mistral-small-2402-v1:0", True),
        (NOVA, True),
    ],
)
def test_models_without_instructions_are_told_them_by_the_user(model: str, apart: bool) -> None:
    body = body_of(model, messages=[{"role": "system", "content": "s"}, *HI])
    texts = [block["text"] for block in body["messages"][0]["content"]]
    assert ("system" in body) is apart
    assert texts == (["hi"] if apart else ["<system>\ns\n</system>", "hi"])


def test_instructions_between_a_call_and_its_result_wait_for_it() -> None:
    between = [*HI, calls(call("c1")), {"role": "system", "content": "s"}, result("c1")]
    body = body_of(messages=between, tools=TOOLS)
    assert [next(iter(block)) for block in body["messages"][2]["content"]] == ["toolResult", "text"]


def test_an_answer_to_be_gone_on_with_does_not_end_in_white_space() -> None:
    body = body_of(messages=[*HI, {"role": "assistant", "content": "so \n"}])
    assert body["messages"][-1] == {"role": "assistant", "content": [{"text": "so"}]}


def test_ids_that_do_not_fit_are_the_same_in_call_and_result_and_stay_apart() -> None:
    ids = ["call|" + "k" * 60 + end for end in "12"]
    told = [*HI, calls(*map(call, ids)), *map(result, ids), calls(*map(call, ids)), *map(result, ids)]
    body_of(messages=told, tools=TOOLS)


@pytest.mark.parametrize(
    ("model", "claude"),
    [
        ("anthropic.claude-sonnet-4-5-20250929-v1:0", True),
        ("us.anthropic.claude-opus-4-6-v1", True),
        (
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/eu.anthropic.claude-3-haiku-20240307-v1:0",
            True,
        ),
        ("arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0", True),
        (NOVA, False),
        (ANY, False),
        ("claude-opus-5", False),
    ],
)
def test_a_claude_is_known_by_its_id(model: str, claude: bool) -> None:
    assert is_claude(model) == claude


def test_the_maker_of_a_model_is_told_by_its_id_wherever_it_stands() -> None:
    for prefix in ("", "us.", "global.", "arn:aws:bedrock:us-east-1:1:inference-profile/us."):
        assert abilities(f"{prefix}amazon.nova-2-lite-v1:0").effort == "nova"
        assert not abilities(f"{prefix}meta.llama3-3-70b-instruct-v1:0").choices
    assert abilities(ANY).formats and abilities("qwen.qwen3-32b-v1:0").formats


def test_what_only_the_gateway_may_read_is_not_read_for_a_client_unless_that_is_allowed() -> None:
    video = {"type": "video_url", "video_url": {"url": "s3://films/a.mp4"}}
    said = read({"messages": [{"role": "user", "content": [video]}]})
    for files in ((), ("s3://others/",)):
        assert translate(said, model=ANY, files=files).unsaid == ("video_url",)
    assert translate(said, model=ANY, files=("s3://films/",)).unsaid == ()


# -- schemas of arguments ----------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [NOVA, LLAMA])
@pytest.mark.parametrize(
    "parameters",
    [
        {"type": None},
        {"type": ["object", "null"]},
        {"type": "string"},
        {"type": "object", "properties": None, "required": None},
        {"properties": {"a": {"type": "integer"}}},
    ],
)
def test_arguments_are_one_object_whatever_their_schema_says(parameters: Json, model: str) -> None:
    told = body_of(model, tools=[tool("f", parameters=parameters)])
    schema = told["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"]
    assert schema["type"] == "object"
    assert schema.get("properties", {}).__class__ is dict and None not in schema.values()


def test_nova_gets_the_root_of_a_schema_that_it_takes_with_definitions_in_their_places() -> None:
    node: Json = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}
    parameters: Json = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A",
        "type": "object",
        "properties": {
            "a": {"$ref": "#/$defs/one", "description": "d"},
            "b": {"type": "array", "items": {"$ref": "#/$defs/one"}},
            "c": {"$ref": "#/$defs/node"},
            "$defs": {"type": "string"},
        },
        "required": ["a"],
        "additionalProperties": False,
        "$defs": {"one": {"type": "string", "enum": ["x"]}, "node": node},
    }
    before = json.dumps(parameters)
    told = written(NOVA, tools=[tool("f", parameters=parameters)])
    one = {"type": "string", "enum": ["x"]}
    assert told.body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"] == {
        "type": "object",
        "properties": {
            "a": {**one, "description": "d"},
            "b": {"type": "array", "items": one},
            "c": {"type": "object", "properties": {"next": {}}},
            "$defs": {"type": "string"},
        },
        "required": ["a"],
    }
    assert not told.yielded and json.dumps(parameters) == before
    whole = written(LLAMA, tools=[tool("f", parameters=parameters)])
    assert whole.body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"] == parameters


def test_what_nova_cannot_hold_arguments_to_is_told() -> None:
    parameters = {"type": "object", "anyOf": [NUMBER, {"$ref": "#/definitions/b"}], "minProperties": 1}
    parameters["definitions"] = {"b": {"type": "object", "properties": {"b": {"type": "string"}}}}
    told = written(NOVA, tools=[tool("f", parameters=parameters)])
    assert told.body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"] == {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "string"}},
    }
    assert told.yielded == ("tools.parameters",)


def test_a_schema_that_grows_without_end_does_not() -> None:
    wide: Json = {f"d{at}": {"anyOf": [{"$ref": f"#/$defs/d{at + 1}"}] * 9} for at in range(60)}
    parameters = {"type": "object", "properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": wide}
    told = written(NOVA, tools=[tool("f", parameters=parameters)])
    assert len(json.dumps(told.body)) < 1_000_000


# -- names ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["in.amazon.nova-pro-v1:0", "later.amazon.nova-pro-v1:0", NOVA])
def test_a_place_before_a_model_does_not_change_what_it_takes(model: str) -> None:
    assert abilities(model) == abilities("amazon.nova-pro-v1:0")


@pytest.mark.parametrize(
    ("model", "place"),
    [
        ("in.amazon.nova-pro-v1:0", "in"), ("us-gov.anthropic.claude-5", "us-gov"), ("eu.qwen.qwen3", "eu"),
        ("later.zai.glm-4.7", "later"), ("deepseek.v3.2", ""), ("openai.gpt-5.6", ""), ("zai.glm-4.7", ""),
        (ANY, ""), ("arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova", ""),
    ],
)  # fmt: skip
def test_the_place_of_a_profile_is_told_from_the_maker_of_a_model(model: str, place: str) -> None:
    assert place_of(model) == place


def test_documents_that_differ_in_case_alone_have_different_names() -> None:
    one = {"type": "file", "file": {"filename": "Report.pdf", "file_data": PDF}}
    two = {"type": "file", "file": {"filename": "report.pdf", "file_data": PDF}}
    told = body_of(NOVA, messages=content(one, two, {"type": "text", "text": "x"}))
    names = [block["document"]["name"] for block in told["messages"][0]["content"][:2]]
    assert names == ["Report", "report-2"]
