"""What every Provider promises, on recorded wire shapes of each dialect; streams are cut at every byte."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from msgspec import Struct
from tests.faults import frames

from farthing.config import (
    AnthropicProviderConfig,
    BedrockProviderConfig,
    GeminiProviderConfig,
    OpenAIProviderConfig,
    ResponsesProviderConfig,
    Secret,
)
from farthing.dialects.chat.answers.completion import assemble
from farthing.dialects.faults import BadStream, ProviderSaid
from farthing.errors import KeyRejected, ProviderBusy, ProviderError, ProviderRejected, ProviderUnavailable
from farthing.models.providers.kinds import make
from farthing.models.transport.origin import HttpOrigin
from farthing.protocols import ALL_SAID, Provider, StreamDecoder
from farthing.types import Json, Operation, Prompt, Target, Usage, replace

KEY = "sk-of-the-gateway-0123456789"
TEXT = "A quarter of a penny — ¼ d."
EVENT_BYTES_MAX = 65_536


class Wire(Struct, frozen=True):
    """One provider and what the real one sends."""

    provider: Provider
    whole: bytes
    """`TEXT`, ended by itself."""
    stream: bytes
    """The same, streamed."""
    call: bytes
    """A whole answer that calls `look_up` with `{"year": 1860}` and `convert` with `{}`."""
    call_stream: bytes
    usage: Usage
    """Of each of them."""
    overloaded: bytes
    """An error object, in a body of its own."""
    error_event: bytes
    version: str = "/v1/"
    """How its paths begin."""
    names_in_path: bool = False
    """The path says which model is asked, and whether for a stream."""
    lists_at: bytes = b"/v1/models"
    counts: bytes = b'{"input_tokens": 12}'
    """What tells that there are 12 tokens."""
    first_text: tuple[int, int] | None = None
    """Where in `stream` the event with the first text begins and ends; None: it is a server-sent event."""

    @property
    def first_event(self) -> tuple[int, int]:
        if self.first_text is not None:
            return self.first_text
        at = self.stream.find(TEXT[:7].encode())
        return self.stream.rfind(b"data:", 0, at), self.stream.find(b"\n\n", at) + 2


def sse(*events: tuple[str, Json]) -> bytes:
    return b"".join(
        b"%bdata: %b\n\n" % (b"event: %b\n" % name.encode() if name else b"", json.dumps(value).encode())
        for name, value in events
    )


# -- chat completions ------------------------------------------------------------------------------------

CHAT_USAGE = {
    "prompt_tokens": 120,
    "completion_tokens": 9,
    "total_tokens": 129,
    "prompt_tokens_details": {"cached_tokens": 100, "cache_write_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0},
}
CALLS = [
    {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": '{"year": 1860}'}},
    {"id": "call_2", "type": "function", "function": {"name": "convert", "arguments": "{}"}},
]


def chat_whole(message: Json, finish: str) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return json.dumps(
        {
            "id": "c1",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [choice],
            "usage": CHAT_USAGE,
        }
    ).encode()


def chat_stream(*deltas: Json, finish: str) -> bytes:
    shared: Json = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    choices: list[Json] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": finish})
    events = [("", {**shared, "choices": [choice]}) for choice in choices]
    return sse(*events, ("", {**shared, "choices": [], "usage": CHAT_USAGE})) + b"data: [DONE]\n\n"


def origin(name: str) -> HttpOrigin:
    return HttpOrigin(name, "api.example", 443, True)


OPENAI = Wire(
    provider=make(
        "o",
        origin("o"),
        OpenAIProviderConfig(base_url="https://api.example/v1", api_key=Secret("KEY", KEY)),
        path="/v1",
    ),
    whole=chat_whole({"content": TEXT}, "stop"),
    stream=chat_stream({"role": "assistant"}, {"content": TEXT[:7]}, {"content": TEXT[7:]}, finish="stop"),
    call=chat_whole({"content": None, "tool_calls": CALLS}, "tool_calls"),
    call_stream=chat_stream(
        {"role": "assistant"},
        {
            "tool_calls": [
                {
                    "index": 0,
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "look_up", "arguments": ""},
                }
            ]
        },
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"year"'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": ": 1860}"}}]},
        {"tool_calls": [{"index": 1, **CALLS[1]}]},
        finish="tool_calls",
    ),
    usage=Usage(input_tokens=120, output_tokens=9, cached_tokens=100),
    overloaded=json.dumps(
        {"error": {"message": f"busy, {KEY}", "type": "server_error", "code": "overloaded"}}
    ).encode(),
    error_event=sse(("", {"error": {"message": "busy", "type": "server_error", "code": 503}})),
)

# -- Messages --------------------------------------------------------------------------------------------

COUNTS = {
    "input_tokens": 5,
    "cache_creation_input_tokens": 15,
    "cache_read_input_tokens": 100,
    "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 5},
    "output_tokens": 9,
    "service_tier": "standard",
}


def message(content: list[Json], stop: str) -> Json:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-4-5",
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": COUNTS,
    }


def messages_stream(*blocks: tuple[Json, list[Json]], stop: str) -> bytes:
    """Blocks as they start, each with its deltas."""
    began = {**message([], stop), "stop_reason": None, "usage": {**COUNTS, "output_tokens": 1}}
    events: list[tuple[str, Json]] = [("message_start", {"message": began}), ("ping", {})]
    for index, (block, deltas) in enumerate(blocks):
        events.append(("content_block_start", {"index": index, "content_block": block}))
        events += [("content_block_delta", {"index": index, "delta": delta}) for delta in deltas]
        events.append(("content_block_stop", {"index": index}))
    ending = {"delta": {"stop_reason": stop, "stop_sequence": None}, "usage": {"output_tokens": 9}}
    events += [("message_delta", ending), ("message_stop", {})]
    return sse(*((name, {"type": name, **value}) for name, value in events))


def text_delta(text: str) -> Json:
    return {"type": "text_delta", "text": text}


def input_delta(piece: str) -> Json:
    return {"type": "input_json_delta", "partial_json": piece}


USES = [
    {"type": "tool_use", "id": "call_1", "name": "look_up", "input": {"year": 1860}},
    {"type": "tool_use", "id": "call_2", "name": "convert", "input": {}},
]
OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": f"busy, {KEY}"}}

ANTHROPIC = Wire(
    provider=make(
        "a",
        origin("a"),
        AnthropicProviderConfig(base_url="https://api.example", api_key=Secret("KEY", KEY)),
        path="",
    ),
    whole=json.dumps(message([{"type": "text", "text": TEXT}], "end_turn")).encode(),
    stream=messages_stream(
        ({"type": "text", "text": ""}, [text_delta(TEXT[:7]), text_delta(TEXT[7:])]), stop="end_turn"
    ),
    call=json.dumps(message(USES, "tool_use")).encode(),
    call_stream=messages_stream(
        ({**USES[0], "input": {}}, [input_delta(""), input_delta('{"year"'), input_delta(": 1860}")]),
        ({**USES[1], "input": {}}, []),
        stop="tool_use",
    ),
    usage=Usage(
        input_tokens=120,
        output_tokens=9,
        cached_tokens=100,
        cache_write_5m_tokens=10,
        cache_write_1h_tokens=5,
    ),
    overloaded=json.dumps(OVERLOADED).encode(),
    error_event=sse(("error", OVERLOADED)),
)

# -- Responses -------------------------------------------------------------------------------------------

RESPONSES_USAGE = {
    "input_tokens": 120,
    "input_tokens_details": {
        "cached_tokens": 100,
        "cache_write_tokens": 15,
        "cache_write_tokens_details": {"ttl_30m_tokens": 10, "ttl_12h_tokens": 5},
    },
    "output_tokens": 9,
    "output_tokens_details": {"reasoning_tokens": 4},
    "total_tokens": 129,
}


def response(*output: Json, status: str = "completed", **fields: Any) -> Json:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1.0,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": "m-2026-01-01",
        "output": list(output),
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": RESPONSES_USAGE,
        "service_tier": "default",
        **fields,
    }


def text_part(text: str, *annotations: Json) -> Json:
    return {"type": "output_text", "text": text, "annotations": list(annotations), "logprobs": []}


def said(*content: Json, number: int = 0) -> Json:
    item: Json = {"id": f"msg_{number}", "type": "message", "role": "assistant", "status": "completed"}
    return {**item, "content": list(content)}


def function_call(call_id: str, name: str, arguments: str) -> Json:
    item: Json = {"id": f"fc_{call_id}", "type": "function_call", "status": "completed", "call_id": call_id}
    return {**item, "name": name, "arguments": arguments}


def numbered(*events: Json) -> bytes:
    """Events of Responses, numbered from 0."""
    return sse(*((one["type"], {**one, "sequence_number": at}) for at, one in enumerate(events)))


def began(whole: Json) -> list[Json]:
    opening = {**whole, "status": "in_progress", "output": [], "usage": None}
    return [{"type": f"response.{name}", "response": opening} for name in ("created", "in_progress")]


def text_events(place: int, item: Json, *pieces: str) -> list[Json]:
    """The events of a message of one text that comes in `pieces`, with the noise that hides their length."""
    at = {"item_id": item["id"], "output_index": place}
    part = item["content"][0]
    within = {**at, "content_index": 0}
    deltas: list[Json] = [
        {
            "type": "response.output_text.delta",
            **within,
            "delta": piece,
            "logprobs": [],
            "obfuscation": "x" * (16 - len(piece)),
        }
        for piece in pieces
    ]
    begins = {**item, "status": "in_progress", "content": []}
    return [
        {"type": "response.output_item.added", "output_index": place, "item": begins},
        {"type": "response.content_part.added", **within, "part": {**part, "text": ""}},
        *deltas,
        {"type": "response.output_text.done", **within, "text": part["text"], "logprobs": []},
        {"type": "response.content_part.done", **within, "part": part},
        {"type": "response.output_item.done", "output_index": place, "item": item},
    ]


def call_events(place: int, item: Json, *pieces: str) -> list[Json]:
    at = {"item_id": item["id"], "output_index": place}
    kind = "response.function_call_arguments"
    begins = {**item, "status": "in_progress", "arguments": ""}
    done = {"arguments": item["arguments"], "name": item["name"]}
    return [
        {"type": "response.output_item.added", "output_index": place, "item": begins},
        *({"type": f"{kind}.delta", **at, "delta": piece, "obfuscation": "xx"} for piece in pieces),
        {"type": f"{kind}.done", **at, **done},
        {"type": "response.output_item.done", "output_index": place, "item": item},
    ]


ANSWER = response(said(text_part(TEXT)))
LOOKS_UP = function_call("call_1", "look_up", '{"year": 1860}')
CONVERTS = function_call("call_2", "convert", "{}")
CALLED = response(LOOKS_UP, CONVERTS)
FAILED = response(
    status="failed", error={"code": "server_error", "message": f"busy, {KEY}"}, usage=RESPONSES_USAGE
)

RESPONSES = Wire(
    provider=make(
        "r",
        origin("r"),
        ResponsesProviderConfig(base_url="https://api.example/v1", api_key=Secret("KEY", KEY)),
        path="/v1",
    ),
    whole=json.dumps(ANSWER).encode(),
    stream=numbered(
        *began(ANSWER),
        *text_events(0, ANSWER["output"][0], TEXT[:7], TEXT[7:]),
        {"type": "response.completed", "response": ANSWER},
    ),
    call=json.dumps(CALLED).encode(),
    call_stream=numbered(
        *began(CALLED),
        *call_events(0, LOOKS_UP, '{"year"', ": 1860}"),
        *call_events(1, CONVERTS, "{}"),
        {"type": "response.completed", "response": CALLED},
    ),
    usage=Usage(
        input_tokens=120,
        output_tokens=9,
        cached_tokens=100,
        reasoning_tokens=4,
        cache_write_30m_tokens=10,
        cache_write_12h_tokens=5,
    ),
    overloaded=json.dumps(FAILED).encode(),
    error_event=numbered(*began(ANSWER), {"type": "response.failed", "response": FAILED}),
)

# -- generateContent -------------------------------------------------------------------------------------

GEMINI_USAGE: Json = {
    "promptTokenCount": 100,
    "cachedContentTokenCount": 100,
    "toolUsePromptTokenCount": 20,
    "candidatesTokenCount": 5,
    "thoughtsTokenCount": 4,
    "totalTokenCount": 129,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 100}],
}


def candidate(*parts: Json, finish: str = "") -> Json:
    told: Json = {"content": {"parts": list(parts), "role": "model"}, "index": 0}
    return {
        "candidates": [told | ({"finishReason": finish} if finish else {})],
        "usageMetadata": GEMINI_USAGE,
        "modelVersion": "m",
        "responseId": "r1",
    }


GEMINI_CALLS: list[Json] = [
    {
        "functionCall": {"id": "call_1", "name": "look_up", "args": {"year": 1860}},
        "thoughtSignature": "c2lnbmVk",
    },
    {"functionCall": {"id": "call_2", "name": "convert", "args": {}}},
]
UNAVAILABLE: Json = {"error": {"code": 503, "message": f"busy, {KEY}", "status": "UNAVAILABLE"}}

GEMINI = Wire(
    provider=make(
        "g",
        origin("g"),
        GeminiProviderConfig(base_url="https://api.example/v1beta", api_key=Secret("KEY", KEY)),
        path="/v1beta",
    ),
    whole=json.dumps(candidate({"text": TEXT}, finish="STOP")).encode(),
    stream=sse(
        ("", candidate({"text": TEXT[:7]})),
        ("", candidate({"text": TEXT[7:]})),
        ("", candidate({"text": ""}, finish="STOP")),
    ),
    call=json.dumps(candidate(*GEMINI_CALLS, finish="STOP")).encode(),
    call_stream=sse(("", candidate(GEMINI_CALLS[0])), ("", candidate(GEMINI_CALLS[1], finish="STOP"))),
    usage=Usage(input_tokens=120, output_tokens=9, cached_tokens=100, reasoning_tokens=4),
    overloaded=json.dumps(UNAVAILABLE).encode(),
    error_event=sse(("", UNAVAILABLE)),
    version="/v1beta/",
    names_in_path=True,
    lists_at=b"/v1beta/models",
    counts=b'{"totalTokens": 12}',
)

# -- Bedrock ---------------------------------------------------------------------------------------------

CONVERSE_USAGE = {
    "inputTokens": 5,
    "outputTokens": 9,
    "totalTokens": 129,
    "cacheReadInputTokens": 100,
    "cacheWriteInputTokens": 15,
    "cacheDetails": [{"ttl": "1h", "inputTokens": 5}, {"ttl": "5m", "inputTokens": 10}],
}
CACHED = Usage(
    input_tokens=120, output_tokens=9, cached_tokens=100, cache_write_5m_tokens=10, cache_write_1h_tokens=5
)


def converse(content: list[Json], stop: str) -> bytes:
    told = {"message": {"role": "assistant", "content": content}}
    whole = {"output": told, "stopReason": stop, "usage": CONVERSE_USAGE, "metrics": {"latencyMs": 5}}
    return json.dumps(whole).encode()


def converse_stream(*blocks: tuple[Json | None, list[Json]], stop: str) -> bytes:
    """Blocks as they start, if that is told, each with its deltas."""
    told = [frames.event("messageStart", role="assistant")]
    for index, (start, deltas) in enumerate(blocks):
        at = {"contentBlockIndex": index}
        if start is not None:
            told.append(frames.event("contentBlockStart", start=start, **at))
        told += [frames.event("contentBlockDelta", delta=delta, **at) for delta in deltas]
        told.append(frames.event("contentBlockStop", **at))
    told.append(frames.event("messageStop", stopReason=stop))
    return b"".join([*told, frames.event("metadata", usage=CONVERSE_USAGE, metrics={"latencyMs": 5})])


def uses(call_id: str, name: str, **fields: Any) -> Json:
    return {"toolUse": {"toolUseId": call_id, "name": name, **fields}}


def pieces(*given: str) -> list[Json]:
    return [{"toolUse": {"input": piece}} for piece in given]


def bedrock(**settings: Any) -> Provider:
    config = BedrockProviderConfig(
        region="us-east-1",
        base_url="https://api.example/v1",
        **{"api_key": Secret("KEY", KEY), "auth": "bearer", **settings},
    )
    return make("b", origin("b"), config, path="/v1")


def frame_at(stream: bytes, place: int) -> tuple[int, int]:
    """Where a frame begins and ends, by its place."""
    begin = end = 0
    for _ in range(place + 1):
        begin, end = end, end + int.from_bytes(stream[end : end + 4])
    return begin, end


STREAMED = converse_stream((None, [{"text": TEXT[:7]}, {"text": TEXT[7:]}]), stop="end_turn")

BEDROCK = Wire(
    provider=bedrock(),
    whole=converse([{"text": TEXT}], "end_turn"),
    stream=STREAMED,
    call=converse(
        [uses("call_1", "look_up", input={"year": 1860}), uses("call_2", "convert", input={})], "tool_use"
    ),
    call_stream=converse_stream(
        (uses("call_1", "look_up"), pieces('{"year"', ": 1860}")),
        (uses("call_2", "convert"), pieces("")),
        stop="tool_use",
    ),
    usage=CACHED,
    overloaded=json.dumps({"message": f"busy, {KEY}"}).encode(),
    error_event=frames.exception("serviceUnavailableException", f"busy, {KEY}"),
    names_in_path=True,
    lists_at=b"/v1/foundation-models",
    counts=b'{"inputTokens": 12}',
    first_text=frame_at(STREAMED, 1),
)


def in_chunks(stream: bytes) -> bytes:
    """A stream of Messages as Bedrock sends it."""
    events = [part.partition(b"data: ")[2] for part in stream.split(b"\n\n") if part]
    return b"".join(map(frames.chunk, events))


CHUNKS = in_chunks(ANTHROPIC.stream)

CLAUDE = Wire(
    provider=bedrock(),
    whole=ANTHROPIC.whole,
    stream=CHUNKS,
    call=ANTHROPIC.call,
    call_stream=in_chunks(ANTHROPIC.call_stream),
    usage=CACHED,
    overloaded=ANTHROPIC.overloaded,
    error_event=in_chunks(ANTHROPIC.error_event),
    names_in_path=True,
    lists_at=b"/v1/foundation-models",
    counts=b'{"inputTokens": 12}',
    first_text=frame_at(CHUNKS, 3),
)

WIRES: Mapping[str, Wire] = {
    "openai": OPENAI,
    "anthropic": ANTHROPIC,
    "responses": RESPONSES,
    "gemini": GEMINI,
    "bedrock": BEDROCK,
    "claude at bedrock": CLAUDE,
}
every = pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)


def prompt(stream: bool = False, **fields: Any) -> Prompt:
    body = {"model": "auto", "messages": [{"role": "user", "content": "What was a farthing?"}], **fields}
    return Prompt(
        body=body,
        input_tokens=7,
        input_tokens_bound=None,
        output_tokens_max=None,
        stream=stream,
    )


TARGET = Target(name="p/m", provider="p", model="m", output_tokens_max=4_096)


def encoded(
    provider: Provider, asked: Prompt, operation: Operation = "chat", passed: tuple[tuple[str, str], ...] = ()
) -> tuple[bytes, Json]:
    head, body = provider.encode(asked, TARGET, operation, "req-1", passed)
    value: Json = json.loads(body)
    return head, value


# -- what goes up ----------------------------------------------------------------------------------------


@every
def test_a_call_has_a_head_of_its_own_with_the_key_and_a_body_for_the_target(wire: Wire) -> None:
    head, body = encoded(wire.provider, prompt())
    lines = head.decode().split("\r\n")
    assert lines[0].startswith(f"POST {wire.version}") and lines[0].endswith(" HTTP/1.1") and lines[-1] == ""
    assert any(KEY in line for line in lines) and "host: api.example" in lines
    assert not any(line.startswith("content-length") for line in lines)
    head, streamed = encoded(wire.provider, prompt(stream=True))
    if wire.names_in_path:
        assert "/m:" in lines[0] or "/model/m/" in lines[0]
        assert head.split(b" ")[1] != lines[0].split(" ")[1].encode(), "the path says that it streams"
        assert {"model", "stream"}.isdisjoint(body | streamed)
    else:
        assert body["model"] == "m" and "stream" not in body and streamed["stream"] is True


@every
def test_what_is_asked_is_never_changed_in_place(wire: Wire) -> None:
    asked = prompt(max_tokens=5, temperature=0.5, stop="x")
    before = json.dumps(asked.body)
    encoded(wire.provider, asked)
    assert json.dumps(asked.body) == before


@every
def test_headers_of_a_client_go_up_once_and_never_in_the_place_of_ours(wire: Wire) -> None:
    passed = (("openai-beta", "b1"), ("x-secret", "no"))
    head, _ = encoded(wire.provider, prompt(), passed=passed)
    assert head.count(b"openai-beta: b1\r\n") == 1 and b"x-secret" not in head


@every
def test_a_plain_question_can_be_said(wire: Wire) -> None:
    provider = wire.provider
    assert provider.unsaid(prompt(temperature=0.2, max_tokens=9), TARGET, "chat") is ALL_SAID
    assert provider.unsaid(prompt(user="u"), TARGET, "chat").names == ()
    assert "chat" in provider.capabilities.operations


@every
def test_what_it_has_no_interface_for_is_named(wire: Wire) -> None:
    capabilities = wire.provider.capabilities
    named = wire.provider.unsaid(prompt(n=2, logprobs=True), TARGET, "chat").names
    assert ("n" in named) != capabilities.choices and ("logprobs" in named) != capabilities.logprobs
    embeddings = wire.provider.unsaid(prompt(), TARGET, "embeddings").operation
    assert bool(embeddings) != ("embeddings" in capabilities.operations)


# -- what comes back -------------------------------------------------------------------------------------


@every
def test_a_whole_answer_is_read_with_its_exact_usage(wire: Wire) -> None:
    reply = wire.provider.whole({}, wire.whole)
    assert reply.text == TEXT and reply.finish_reason == "stop" and reply.is_plain and reply.all_stopped
    assert reply.usage == wire.usage
    told = json.loads(reply.body)
    assert told["object"] == "chat.completion" and told["choices"][0]["message"]["content"] == TEXT
    assert (told["usage"]["prompt_tokens"], told["usage"]["completion_tokens"]) == (120, 9)
    assert told["usage"]["prompt_tokens_details"]["cached_tokens"] == 100


@every
def test_calls_of_tools_come_back_whole_and_apart(wire: Wire) -> None:
    reply = wire.provider.whole({}, wire.call)
    calls = json.loads(reply.body)["choices"][0]["message"]["tool_calls"]
    assert reply.finish_reason == "tool_calls" and not reply.is_plain
    assert calls_of(calls) == [("call_1", "look_up", {"year": 1860}), ("call_2", "convert", {})]


def calls_of(calls: list[Json]) -> list[tuple[str, str, Any]]:
    return [
        (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"])) for call in calls
    ]


@every
@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"{}", b"<html>", b'{"choices": []}', b"\xff", b"{" * 999]
)
def test_what_is_no_answer_is_a_failure_of_the_provider(wire: Wire, body: bytes) -> None:
    with pytest.raises(ProviderError):
        wire.provider.whole({}, body)


@every
def test_an_error_in_the_place_of_an_answer_is_one_and_never_repeats_the_key(wire: Wire) -> None:
    with pytest.raises(ProviderUnavailable) as caught:
        wire.provider.whole({}, wire.overloaded)
    assert caught.value.again and KEY not in str(caught.value) and KEY not in str(caught.value.said)
    assert "busy" in caught.value.words


@every
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ProviderRejected), (401, KeyRejected), (404, ProviderRejected), (413, ProviderRejected),
        (429, ProviderBusy), (500, ProviderUnavailable), (503, ProviderUnavailable),
        (529, ProviderUnavailable),
    ],
)  # fmt: skip
def test_the_status_of_a_failure_says_what_to_do_next(
    wire: Wire, status: int, kind: type[ProviderError]
) -> None:
    error = wire.provider.failure(status, {b"retry-after": b"3"}, wire.overloaded)
    assert type(error) is kind and error.upstream_status == status
    assert error.again == (status >= 429) and KEY not in f"{error} {error.said} {error.words}"
    if status == 429:
        assert error.retry_after_s == 3.0


@every
def test_limits_and_the_id_of_a_call_go_down(wire: Wire) -> None:
    headers = {
        b"request-id": b"up-1",
        b"anthropic-ratelimit-requests-remaining": b"4",
        b"x-ratelimit-remaining-requests": b"5",
        b"set-cookie": b"no",
    }
    lines, named = wire.provider.down(headers, "req-1")
    assert named == "up-1" and b"x-upstream-request-id: up-1\r\n" in lines
    assert b"anthropic-ratelimit-requests-remaining: 4\r\n" in lines and b"cookie" not in lines
    assert wire.provider.down({b"request-id": KEY.encode()}, "r")[1] != KEY


# -- streams ---------------------------------------------------------------------------------------------


def read(decoder: StreamDecoder, raw: bytes, cut: int) -> bytes:
    out = decoder.feed(raw[:cut]) + decoder.feed(raw[cut:])
    return out + decoder.end()


@pytest.mark.slow
@every
@pytest.mark.parametrize("streamed", ["stream", "call_stream"])
def test_a_stream_says_what_the_whole_answer_says_wherever_it_is_cut(wire: Wire, streamed: str) -> None:
    raw: bytes = getattr(wire, streamed)
    same = wire.provider.whole({}, wire.whole if streamed == "stream" else wire.call)
    expected = json.loads(same.body)["choices"][0]["message"]
    for cut in range(len(raw)):
        decoder = wire.provider.decoder(EVENT_BYTES_MAX, prompt(stream=True))
        events = read(decoder, raw, cut)
        assert decoder.begun and decoder.done and decoder.ended(1)
        assert decoder.finish_reason == same.finish_reason and dict(decoder.finished) == {
            0: same.finish_reason
        }
        assert decoder.usage == wire.usage and decoder.usage_event is not None
        told = assemble([events], decoder.usage_event)["choices"][0]["message"]
        assert told["content"] == expected["content"]
        if streamed == "call_stream":
            assert calls_of(told["tool_calls"]) == calls_of(expected["tool_calls"])
        assert b"[DONE]" not in events and b'"usage":{' not in events.replace(b" ", b"")


@every
def test_nothing_has_begun_before_the_answer_has(wire: Wire) -> None:
    decoder = wire.provider.decoder(EVENT_BYTES_MAX)
    begin, _ = wire.first_event
    for end in range(0, begin, 5):
        fresh = wire.provider.decoder(EVENT_BYTES_MAX)
        fresh.feed(wire.stream[:end])
        assert not fresh.done and not fresh.finished
    decoder.feed(wire.stream[:begin])
    assert decoder.chunks == 0 and decoder.text_chars == 0


@every
def test_a_stream_that_stops_half_way_has_not_ended(wire: Wire) -> None:
    decoder = wire.provider.decoder(EVENT_BYTES_MAX)
    decoder.feed(wire.stream[: wire.first_event[1]])
    assert decoder.begun and not decoder.ended(1) and not decoder.done
    assert decoder.chunks == 1 and decoder.text_chars == 7


@every
def test_an_error_event_is_told_with_what_came_before_it(wire: Wire) -> None:
    decoder = wire.provider.decoder(EVENT_BYTES_MAX)
    first = wire.stream[: wire.first_event[1]]
    with pytest.raises(ProviderSaid) as caught:
        decoder.feed(first + wire.error_event)
    assert TEXT[:7].encode() in caught.value.before
    error = wire.provider.in_answer(caught.value.payload)
    assert isinstance(error, ProviderUnavailable) and "busy" in error.words and KEY not in error.words


@every
def test_a_whole_answer_in_the_place_of_a_stream_is_one(wire: Wire) -> None:
    decoder = wire.provider.decoder(EVENT_BYTES_MAX)
    events = decoder.whole(wire.whole)
    assert decoder.done and decoder.usage == wire.usage
    assert assemble([events], None)["choices"][0]["message"]["content"] == TEXT
    with pytest.raises(ProviderSaid):
        wire.provider.decoder(EVENT_BYTES_MAX).whole(wire.overloaded)
    for body in (b"{}", b"[]", b'{"a":'):
        with pytest.raises(BadStream):
            wire.provider.decoder(EVENT_BYTES_MAX).whole(body)


@every
def test_no_event_is_longer_than_it_may_be(wire: Wire) -> None:
    decoder = wire.provider.decoder(1_000)
    with pytest.raises(BadStream):
        for _ in range(5):
            decoder.feed(b"data: " + b"x" * 400)


@every
@pytest.mark.parametrize("raw", [b"data: x\n\n", b"data: \xff\n\n", b"data: 5\n\n", b"data: [[]]\n\n"])
def test_what_is_no_stream_of_its_dialect_is_told(wire: Wire, raw: bytes) -> None:
    decoder = wire.provider.decoder(EVENT_BYTES_MAX)
    with pytest.raises(BadStream):
        decoder.feed(raw)
        decoder.end()
        raise BadStream("it ended without an answer") if not decoder.ended(1) else AssertionError


# -- its other interfaces --------------------------------------------------------------------------------


@every
def test_its_models_are_listed_by_a_call_with_the_key(wire: Wire) -> None:
    head = wire.provider.list_head()
    assert head.startswith(b"GET %b" % wire.lists_at) and KEY.encode() in head


@every
def test_tokens_are_counted_where_it_can(wire: Wire) -> None:
    target = replace(TARGET, model="anthropic.claude-haiku-4-5") if wire.names_in_path else TARGET
    call = wire.provider.count_call(prompt(), target, "req-1")
    assert (call is not None) == wire.provider.capabilities.counts_tokens
    if call is not None:
        head, body = call
        assert head.startswith(f"POST {wire.version}".encode())
        assert wire.names_in_path or json.loads(body)["model"] == "m"
        assert wire.provider.counted(wire.counts) == 12
    for body in (b"", b"{}", wire.counts.replace(b"12", b'"many"')):
        with pytest.raises(ProviderError):
            wire.provider.counted(body)
