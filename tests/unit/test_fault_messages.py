"""The fault provider in Anthropic's dialect: it says what the real one says, takes what that takes, and bills
by the same rules."""

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.e2e.gateway import until
from tests.faults.provider import FaultProvider
from tests.faults.truth import Call

LIMIT_S = 5.0
KEY = {"x-api-key": "sk-ant-test", "anthropic-version": "2023-06-01"}
WEATHER = {
    "name": "weather",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    },
}
MARK = {"type": "ephemeral"}
LONG = " ".join(f"w{index}" for index in range(1_500))


@pytest.fixture(scope="module")
def provider() -> Iterator[FaultProvider]:
    with FaultProvider() as running:
        yield running


class Told:
    """One reply."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> tuple[str, str]:
        error = self.json["error"]
        return error["type"], error["message"]

    @property
    def events(self) -> list[Any]:
        """The data of each event, whose name is the type in it."""
        found = []
        for block in self.body.decode().split("\n\n")[:-1]:
            name, _, data = block.partition("\ndata: ")
            value = json.loads(data)
            assert name == f"event: {value['type']}"
            found.append(value)
        return found


def request(provider: FaultProvider, method: str, path: str, body: Any = None, **headers: str) -> Told:
    client = http.client.HTTPConnection(provider.host, provider.port, timeout=LIMIT_S)
    try:
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        client.request(method, path, None if body is None else json.dumps(body), KEY | told)
        return Told(client.getresponse())
    finally:
        client.close()


def said(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def ask(provider: FaultProvider, model: str, messages: Any = "hello", **fields: Any) -> Told:
    given = said(messages) if isinstance(messages, str) else messages
    body = {"model": model, "max_tokens": 4_000, "messages": given, **fields}
    return request(provider, "POST", "/v1/messages?beta=true", body)


def last(provider: FaultProvider, count: int = 1) -> tuple[Call, ...]:
    """The last calls, which have ended."""
    calls = provider.calls[-count:]
    until(lambda: all(call.end_s is not None for call in calls))
    return calls


def gathered(events: list[Any]) -> dict[str, Any]:
    """The message that the events of a stream add up to."""
    message: dict[str, Any] = events[0]["message"]
    arguments: dict[int, str] = {}
    for event in events[1:]:
        match event["type"]:
            case "content_block_start":
                assert event["index"] == len(message["content"])
                message["content"].append(event["content_block"])
            case "content_block_delta":
                block, delta = message["content"][event["index"]], event["delta"]
                match delta["type"]:
                    case "input_json_delta":
                        arguments[event["index"]] = arguments.get(event["index"], "") + delta["partial_json"]
                    case "signature_delta":
                        block["signature"] = delta["signature"]
                    case kind:
                        block[kind.removesuffix("_delta")] += delta[kind.removesuffix("_delta")]
            case "content_block_stop" if event["index"] in arguments:
                message["content"][event["index"]]["input"] = json.loads(arguments[event["index"]])
            case "message_delta":
                message |= event["delta"]
                message["usage"] |= event["usage"]
    return message


# -- good answers ------------------------------------------------------------------------------------


def test_a_whole_answer_is_a_message_with_its_bill(provider: FaultProvider) -> None:
    reply = ask(provider, "good", "what is it", system="be brief")
    (call,) = last(provider)
    message = reply.json
    assert (message["id"], message["type"], message["role"]) == (f"msg_{call.id}", "message", "assistant")
    assert message["content"] == [{"type": "text", "text": "echo: what is it"}]
    assert (message["stop_reason"], message["stop_sequence"]) == ("end_turn", None)
    usage = message["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (5, 4) == (call.prompt_tokens, call.tokens_sent)
    assert (usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]) == (0, 0)
    assert usage["cache_creation"] == {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}
    assert reply.headers["request-id"] == f"req_{call.id}" and "x-request-id" not in reply.headers
    assert int(reply.headers["anthropic-ratelimit-requests-remaining"]) > 0


def test_a_stream_has_the_events_of_the_real_one_in_its_order(provider: FaultProvider) -> None:
    events = ask(provider, "good", "is it", stream=True).events
    assert [event["type"] for event in events] == [
        "message_start",
        "content_block_start",
        "ping",
        *["content_block_delta"] * 3,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert events[0]["message"]["content"] == [] and events[0]["message"]["stop_reason"] is None
    assert events[0]["message"]["usage"]["output_tokens"] == 1
    assert events[-2]["usage"]["output_tokens"] == 3 == last(provider)[0].tokens_sent


@pytest.mark.parametrize(
    ("script", "fields"),
    [
        ("good", {}),
        ("fault:n=9", {}),
        ("fault:n=0", {}),
        ("fault:usage=1,n=40", {"max_tokens": 7}),
        ("fault:calls=3,say=I will look", {"tools": [WEATHER], "tool_choice": {"type": "any"}}),
        ("fault:reasoning=so and so", {"thinking": {"type": "adaptive"}}),
        ("fault:redacted", {"thinking": {"type": "adaptive"}}),
        ("good", {"thinking": {"type": "enabled", "budget_tokens": 1024, "display": "omitted"}}),
        ("fault:finish=content_filter", {}),
        ("fault:say=one two STOP three", {"stop_sequences": ["STOP"]}),
        ("good", {"max_tokens": 0}),
    ],
)
def test_a_stream_says_what_the_whole_answer_says_and_sends_what_it_bills(
    provider: FaultProvider, script: str, fields: dict[str, Any]
) -> None:
    whole = ask(provider, script, **fields).json
    streamed = gathered(ask(provider, script, stream=True, **fields).events)
    for message in (whole, streamed):
        del message["id"]
        for block in message["content"]:
            block.pop("id", None)
    assert streamed == whole
    first, second = last(provider, 2)
    assert first.completion_tokens == second.completion_tokens == second.tokens_sent


def test_answers_follow_the_request(provider: FaultProvider) -> None:
    tools = {"tools": [WEATHER]}
    called = ask(provider, "fault:tool=weather,arguments=%7B%22city%22%3A%22Oslo%22%7D", "hi", **tools).json
    assert called["content"][-1]["input"] == {"city": "Oslo"}
    called = ask(provider, "fault:calls=2", "the weather", **tools).json
    assert called["stop_reason"] == "tool_use"
    assert [(b["name"], b["input"]) for b in called["content"]] == [
        ("weather", {"city": "text", "days": 1})
    ] * 2
    assert len({block["id"] for block in called["content"]}) == 2
    alone = {"type": "any", "disable_parallel_tool_use": True}
    assert len(ask(provider, "fault:calls=2", **tools, tool_choice=alone).json["content"]) == 1
    assert ask(provider, "good", "the weather", **tools, tool_choice={"type": "none"}).json["content"][0][
        "text"
    ]
    assert ask(provider, "good", "hi", **tools).json["stop_reason"] == "end_turn"
    schema = {"type": "object", "additionalProperties": False, "properties": {"ok": {"enum": ["y"]}}}
    form = {"format": {"type": "json_schema", "schema": schema}}
    assert ask(provider, "good", output_config=form).json["content"][0]["text"] == '{"ok": "y"}'
    cut = ask(provider, "fault:n=9", max_tokens=2).json
    assert (cut["stop_reason"], cut["usage"]["output_tokens"]) == ("max_tokens", 2)
    stopped = ask(provider, "good", "a STOP b", stop_sequences=["STOP"]).json
    assert (stopped["stop_reason"], stopped["stop_sequence"]) == ("stop_sequence", "STOP")
    refused = ask(provider, "fault:finish=refusal").json
    assert (refused["stop_reason"], refused["stop_details"]["type"]) == ("refusal", "refusal")


def test_counts_and_models(provider: FaultProvider) -> None:
    body = {"model": "good", "messages": said("a b c"), "system": "d e", "tools": [WEATHER]}
    counted = request(provider, "POST", "/v1/messages/count_tokens", body).json["input_tokens"]
    assert (
        counted == ask(provider, "good", "a b c", system="d e", tools=[WEATHER]).json["usage"]["input_tokens"]
    )
    assert request(provider, "POST", "/v1/messages/count_tokens", body | {"max_tokens": 1}).status == 400
    listed = request(provider, "GET", "/v1/models?limit=2").json
    assert [row["id"] for row in listed["data"]] == ["good", "good-cheap"] and listed["has_more"]
    rest = request(provider, "GET", f"/v1/models?limit=1000&after_id={listed['last_id']}").json
    assert [row["id"] for row in rest["data"]] == ["good-expensive"] and not rest["has_more"]


# -- the cache of prefixes ---------------------------------------------------------------------------


def billed(reply: Told) -> tuple[int, int, int, int]:
    usage = reply.json["usage"]
    written = usage["cache_creation"]
    five, hour = written["ephemeral_5m_input_tokens"], written["ephemeral_1h_input_tokens"]
    assert usage["cache_creation_input_tokens"] == five + hour
    return usage["input_tokens"], usage["cache_read_input_tokens"], five, hour


def test_a_marked_prefix_is_written_once_and_read_afterwards(provider: FaultProvider) -> None:
    system = [{"type": "text", "text": LONG, "cache_control": {**MARK, "ttl": "1h"}}]
    assert billed(ask(provider, "cache-1", "a b", system=system)) == (2, 0, 0, 1_500)
    assert billed(ask(provider, "cache-1", "c", system=system, cache_control=MARK)) == (0, 1_500, 1, 0)
    assert billed(ask(provider, "cache-1", "c d", system=[system[0] | {"text": LONG + " x"}]))[1] == 0
    assert billed(ask(provider, "cache-2", "c", system=system))[1] == 0, "another model"
    short = [{"type": "text", "text": "a b", "cache_control": MARK}]
    assert billed(ask(provider, "cache-1", "c", system=short)) == (3, 0, 0, 0), "too short to be kept"
    call = provider.calls[-4]
    assert (call.prompt_tokens, call.cached_tokens, call.written_5m_tokens) == (1_501, 1_500, 1)


def test_a_conversation_that_grows_reads_what_it_wrote(provider: FaultProvider) -> None:
    turns = [*said(LONG), {"role": "assistant", "content": "one two"}]
    ask(provider, "grows", turns[:1], cache_control=MARK)
    more = [*turns, {"role": "user", "content": [{"type": "text", "text": "three", "cache_control": MARK}]}]
    assert billed(ask(provider, "grows", more)) == (0, 1_500, 3, 0)


def test_what_a_script_says_of_the_cache_counts(provider: FaultProvider) -> None:
    reply = ask(provider, "fault:prompt-tokens=100,cached=30,written-5m=20,written-1h=10")
    assert billed(reply) == (40, 30, 20, 10)
    assert "usage" not in ask(provider, "fault:usage=0").json


# -- what is not taken -------------------------------------------------------------------------------

CALL = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "sun"}
THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "c2lnbmVk"}


def turns(*contents: Any) -> list[Any]:
    roles = ("user", "assistant")
    return [{"role": roles[index % 2], "content": content} for index, content in enumerate(contents)]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"max_tokens": None}, "max_tokens: Input should be a valid integer"),
        ({"seed": 1}, "seed: Extra inputs are not permitted"),
        ({"metadata": {"user": "x"}}, "metadata.user: Extra inputs are not permitted"),
        ({"temperature": 1.5}, "temperature: Input should be less than or equal to 1"),
        ({"stop_sequences": [" "]}, "each stop sequence must contain non-whitespace"),
        ({"messages": []}, "at least one message is required"),
        ({"messages": [{"role": "tool", "content": "x"}]}, 'Unexpected role "tool"'),
        ({"messages": turns("a", "b")[1:]}, 'first message must use the "user" role'),
        ({"messages": turns("a", "b ")}, "cannot end with trailing whitespace"),
        ({"messages": turns("")}, "must have non-empty content"),
        ({"messages": turns([{"type": "text", "text": ""}])}, "text content blocks must be non-empty"),
        ({"messages": turns([{"type": "text", "text": " "}])}, "must contain non-whitespace text"),
        ({"system": [{"type": "text", "text": ""}]}, "system: text content blocks must be non-empty"),
        ({"messages": turns([{"type": "text", "text": "x", "name": "y"}])}, "text.name: Extra inputs"),
        ({"messages": turns([RESULT])}, "unexpected `tool_use_id` found in `tool_result` blocks"),
        ({"messages": turns("a", [CALL], "b")}, "`tool_use` ids were found without `tool_result` blocks"),
        ({"messages": turns("a", [CALL], [{"type": "text", "text": "b"}, RESULT])}, "immediately after"),
        ({"messages": turns("a", [CALL, CALL], [RESULT])}, "`tool_use` ids must be unique"),
        ({"messages": turns("a", [CALL], [RESULT, RESULT])}, "must have a single result"),
        ({"messages": turns("a", [CALL | {"id": "call.1"}], [RESULT])}, "'^[a-zA-Z0-9_-]+$'"),
        ({"messages": turns("a", [CALL | {"input": "{}"}], [RESULT])}, "should be a valid dictionary"),
        ({"messages": turns("a", [THOUGHT])}, "Invalid `signature` in `thinking` block"),
        ({"messages": turns([{"type": "image", "source": {"type": "url", "url": "http://x"}}])}, "HTTPS"),
        ({"tools": [{"name": "a b", "input_schema": {"type": "object"}}]}, "String should match pattern"),
        ({"tools": [{"name": "a"}]}, "input_schema: Field required"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools.0"),
        ({"tools": [WEATHER, WEATHER]}, "Tool names must be unique."),
        ({"tool_choice": {"type": "any"}}, "may only be specified while providing `tools`"),
        ({"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "x"}}, "not found in provided tools"),
        ({"thinking": {"type": "enabled", "budget_tokens": 4_000}}, "must be greater than `thinking.budget"),
        ({"thinking": {"type": "enabled", "budget_tokens": 9}}, "greater than or equal to 1024"),
        (
            {"thinking": {"type": "adaptive"}, "tools": [WEATHER], "tool_choice": {"type": "any"}},
            "Thinking may not be enabled when tool_choice forces tool use.",
        ),
        (
            {
                "thinking": {"type": "enabled", "budget_tokens": 1_024},
                "tools": [WEATHER],
                "messages": turns("a", [CALL], [RESULT]),
            },
            "Expected `thinking` or `redacted_thinking`, but found `tool_use`",
        ),
        (
            {"messages": turns([{"type": "text", "text": "x", "cache_control": MARK}] * 5)},
            "A maximum of 4 blocks with cache_control may be provided. Found 5.",
        ),
        (
            {
                "system": [{"type": "text", "text": "x", "cache_control": MARK}],
                "cache_control": {**MARK, "ttl": "1h"},
            },
            "must not come after a ttl='5m'",
        ),
        ({"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}}, "explicitly"),
        ({"model": "claude-opus-4-6", "messages": turns("a", "b")}, "does not support assistant message"),
        ({"model": "claude-opus-5", "temperature": 0.5}, "may only be set to their defaults"),
        ({"model": "claude-sonnet-4-5-20250929", "temperature": 0.5, "top_p": 0.5}, "cannot both be"),
    ],
)
def test_a_request_is_refused_in_the_words_of_the_real_one(
    provider: FaultProvider, fields: dict[str, Any], words: str
) -> None:
    reply = ask(provider, fields.pop("model", "good"), fields.pop("messages", "hello"), **fields)
    assert reply.status == 400 and reply.json["type"] == "error"
    kind, message = reply.error
    assert kind == "invalid_request_error" and words in message, message
    assert reply.json["request_id"] == reply.headers["request-id"]


def test_thinking_that_others_signed_is_taken_where_the_script_says_so(provider: FaultProvider) -> None:
    turns = [*said("a"), {"role": "assistant", "content": [THOUGHT]}, *said("b")]
    assert ask(provider, "good", turns).status == 400
    assert ask(provider, "fault:foreign", turns).status == 200


def test_a_request_without_key_version_or_limit_is_refused(provider: FaultProvider) -> None:
    body = {"model": "good", "max_tokens": 1, "messages": said("x")}

    def told(body: Any, without: str = "", path: str = "/v1/messages", method: str = "POST") -> Told:
        client = http.client.HTTPConnection(provider.host, provider.port, timeout=LIMIT_S)
        client.request(method, path, json.dumps(body), {n: v for n, v in KEY.items() if n != without})
        reply = Told(client.getresponse())
        client.close()
        return reply

    assert told(body).status == 200
    assert (told(body, "x-api-key").status, told(body, "x-api-key").error[0]) == (401, "authentication_error")
    assert told(body, "anthropic-version").error[1] == "anthropic-version: header is required"
    assert told({"model": "good", "messages": said("x")}).error[1] == "max_tokens: Field required"
    assert told({"model": "good", "max_tokens": 1}).error[1] == "messages: Field required"
    assert told(body, path="/v1/messages/elsewhere").error[0] == "not_found_error"
    assert told(body, method="PUT").status == 405
    beta = body | {"context_management": {}}
    assert told(beta).error[1] == "context_management: Extra inputs are not permitted"
    assert request(provider, "POST", "/v1/messages", beta, anthropic_beta="x-2025-01-01").status == 200


def test_a_whole_conversation_with_tools_and_thinking_is_taken(provider: FaultProvider) -> None:
    fields = {"tools": [WEATHER], "thinking": {"type": "enabled", "budget_tokens": 2_000}}
    history = said("the weather")
    first = ask(provider, "fault:calls=2,bound", history, **fields).json
    assert [block["type"] for block in first["content"]] == ["thinking", "tool_use", "tool_use"]
    calls = [block for block in first["content"] if block["type"] == "tool_use"]
    results = [RESULT | {"tool_use_id": call["id"]} for call in calls]
    history += [{"role": "assistant", "content": first["content"]}, {"role": "user", "content": results}]
    assert ask(provider, "fault:bound", history, **fields).status == 200
    marked = [history[0] | {"content": [{"type": "text", "text": "the weather", "cache_control": MARK}]}]
    moved = ask(provider, "fault:bound", marked + history[1:], **fields)
    assert moved.status == 200, moved.body
    changed = [*said("the weather!"), *history[1:]]
    assert "bound to a different conversation" in ask(provider, "fault:bound", changed, **fields).error[1]
    assert ask(provider, "good", changed, **fields).status == 200, "older models do not look"
    hidden = ask(provider, "fault:redacted", **fields).json["content"][0]
    assert ask(provider, "good", turns("hello", [hidden], "go on"), **fields).status == 200
    assert ask(provider, "good", turns("hello", [hidden | {"data": "x"}], "go on"), **fields).status == 400


# -- faults ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ],
)
def test_every_status_has_its_kind_of_error(provider: FaultProvider, status: int, kind: str) -> None:
    reply = ask(provider, f"fault:status={status},retry-after=2")
    assert (reply.status, reply.error[0], reply.headers["retry-after"]) == (status, kind, "2")
    left = int(reply.headers["anthropic-ratelimit-requests-remaining"])
    assert (left == 0) is (status == 429)


def test_events_are_counted_so_that_a_fault_comes_after_the_same_words(provider: FaultProvider) -> None:
    for model, tokens in (
        ("fault:truncate=3,n=9", 2),
        ("fault:truncate=1,n=9", 0),
        ("fault:truncate=0,n=9", 0),
    ):
        events = ask(provider, model, stream=True).events
        assert last(provider)[0].tokens_sent == tokens
        assert [event["type"] for event in events].count("content_block_delta") == tokens
        assert not events or events[-1]["type"] != "message_stop"
    unended = ask(provider, "fault:truncate=11,n=9", stream=True).events
    assert unended[-1]["delta"]["stop_reason"] == "end_turn", "all but the very end"
    failed = ask(provider, "fault:error=2,n=9", stream=True).events
    assert (failed[-1]["type"], failed[-1]["error"]["type"]) == ("error", "api_error")
    assert ask(provider, "fault:error=0,code=overloaded_error").error == (
        "overloaded_error",
        "The model failed.",
    )


def test_the_bytes_of_a_stream_are_broken_in_the_same_ways(provider: FaultProvider) -> None:
    crlf = ask(provider, "fault:eol=crlf", stream=True).body
    assert crlf.startswith(b"event: message_start\r\ndata: {") and b"}\r\n\r\nevent: " in crlf
    commented = ask(provider, "fault:comments", stream=True).body
    assert commented.startswith(b": keep-alive\nevent: message_start\nid: 7\nretry: 1000\ndata: {")
    lost = ask(provider, "fault:bad=sse", stream=True).body
    assert b"event: content_block_delta\nthis line has no field\n\x00data:{" in lost
    second = ask(provider, "fault:bad=type", stream=True).body.split(b"\n\n")[3]
    assert second == b"event: content_block_delta\ndata: []"
    with pytest.raises(UnicodeDecodeError):
        ask(provider, "fault:bad=utf8", stream=True).body.decode()
    long = gathered(ask(provider, "fault:bigline=100000", stream=True).events)
    assert long["content"][0]["text"] == "x" * 100_000
    html = ask(provider, "fault:status=529,body=html")
    assert html.body.startswith(b"<html>")
