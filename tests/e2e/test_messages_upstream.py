"""Clients of chat completions before a provider that speaks Anthropic's Messages, and reads them strictly:
what is written for them is what it takes, and what it bills is what the receipt says."""

import json
from typing import Any

import pytest
from tests.conftest import StartGateway
from tests.e2e.gateway import Reply, Running, until
from tests.faults.exact import event, streamed, whole
from tests.faults.provider import FaultProvider
from tests.faults.truth import Call

INPUT, OUTPUT, READ, WRITE_5M, WRITE_1H = 3_000, 15_000, 300, 3_750, 6_000
"""Nano-dollars of a token."""
PRICED = ("priced", "fault:prompt-tokens=100,cached=30,written-5m=20,written-1h=10")
LONG = " ".join(f"w{index}" for index in range(1_200))
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJR"
    "U5ErkJggg=="
)

JSON_FILE = "data:application/json;base64,e30="
PDF_FILE = "data:application/octet-stream;base64,JVBERi0xLjcK"


def tool(name: str, **properties: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties}
    return {"type": "function", "function": {"name": name, "description": name, "parameters": parameters}}


WEATHER = tool("weather", city={"type": "string"}, days={"type": "integer"})


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    prices = "\n".join(
        f'[[prices]]\ntarget = "a/{model}"\ninput = 3\noutput = 15\ncached_input = 0.3\n'
        "cache_write_5m = 3.75\ncache_write_1h = 6"
        for model in PRICED
    )
    config = f"""
[providers.a]
kind = "anthropic"
base_url = "{upstream.base_url.removesuffix("/v1")}"
api_key = "${{PROVIDER_KEY}}"
[cache]
exact = "off"
{prices}
"""
    return start_gateway(config, PROVIDER_KEY="sk-ant-of-the-tests")


def told(gateway: Running, messages: Any, model: str = "a/good", **fields: Any) -> Reply:
    reply = gateway.post("/v1/chat/completions", {"model": model, "messages": messages, **fields})
    assert reply.status == 200, reply.body
    return reply


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def call_of(upstream: FaultProvider) -> Call:
    call = upstream.calls[-1]
    until(lambda: call.end_s is not None)
    return call


def finish_of(reply: Reply) -> str:
    return str(reply.json["choices"][0]["finish_reason"])


def calls_in(reply: Reply) -> list[dict[str, Any]]:
    """The calls of tools that a whole answer or a stream makes, with the text beside them dropped."""
    if reply.headers["content-type"].startswith("application/json"):
        return list(reply.json["choices"][0]["message"]["tool_calls"])
    found: dict[int, dict[str, Any]] = {}
    for piece in reply.events[:-1]:
        for choice in piece["choices"]:
            for part in choice["delta"].get("tool_calls") or ():
                known = found.setdefault(part["index"], {"function": {"name": "", "arguments": ""}})
                known |= {name: part[name] for name in ("id", "type") if part.get(name)}
                for name, text in part.get("function", {}).items():
                    known["function"][name] += text
    return [found[index] for index in sorted(found)]


# -- what is written is taken ------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_parallel_calls_go_round_until_their_answer(
    gateway: Running, upstream: FaultProvider, stream: bool
) -> None:
    asked = [user("the weather in two towns")]
    tools = {"tools": [WEATHER], "stream": stream, "tool_choice": "required"}
    reply = told(gateway, asked, "a/fault:calls=2", **tools)
    calls = calls_in(reply)
    assert [json.loads(one["function"]["arguments"]) for one in calls] == [{"city": "text", "days": 1}] * 2
    assert len({one["id"] for one in calls}) == 2
    results = [{"role": "tool", "tool_call_id": one["id"], "content": "sun"} for one in reversed(calls)]
    turn = {"role": "assistant", "content": "", "tool_calls": calls}
    last = told(gateway, [*asked, turn, *results, user("thanks")], tools=[WEATHER], tool_choice="none")
    assert last.json["choices"][0]["message"]["content"] == "echo: thanks"
    blocks = call_of(upstream).json["messages"][-1]["content"]
    assert [block["type"] for block in blocks] == ["tool_result", "tool_result", "text"]


ODD_ID = "call.1:x/é"
ODD_CALL = {"id": ODD_ID, "type": "function", "function": {"name": "weather", "arguments": '{"days": 1'}}
CHATS: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "instructions before and in between": (
        [
            {"role": "system", "content": "be brief"},
            {"role": "developer", "content": [{"type": "text", "text": "and kind"}]},
            user("one"),
            {"role": "system", "content": "now in French"},
            user("two"),
        ],
        {},
    ),
    "empty texts": (
        [{"role": "system", "content": ""}, user("one"), {"role": "assistant", "content": ""}, user("two")],
        {},
    ),
    "an answer first": ([{"role": "assistant", "content": "hello"}, user("two")], {}),
    "nobody but the system": ([{"role": "system", "content": "say two"}], {}),
    "neighbours of one role": (
        [
            user("one"),
            user("two"),
            {"role": "assistant", "content": "a"},
            {"role": "assistant", "content": "b"},
            user("two"),
        ],
        {},
    ),
    "a call with an odd id and broken arguments": (
        [
            user("one"),
            {"role": "assistant", "content": None, "tool_calls": [ODD_CALL]},
            {"role": "tool", "tool_call_id": ODD_ID, "content": ""},
        ],
        {"tools": [WEATHER]},
    ),
    "an image": (
        [user([{"type": "text", "text": "two"}, {"type": "image_url", "image_url": {"url": PIXEL}}])],
        {},
    ),
    "an image and files by other names": (
        [
            user(
                [
                    {"type": "text", "text": "two"},
                    {"type": "image_url", "image_url": {"url": PIXEL.replace("image/png", "image/jpeg")}},
                    {"type": "image_url", "image_url": {"url": PIXEL.replace("image/png", "image/*")}},
                    {"type": "file", "file": {"filename": "a.json", "file_data": JSON_FILE}},
                    {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF_FILE}},
                ]
            )
        ],
        {},
    ),
    "settings": (
        [user("two")],
        {
            "temperature": 0.5, "stop": ["STOP"], "user": "u" * 64, "max_completion_tokens": 50,
            "parallel_tool_calls": True, "n": 1, "logprobs": False, "service_tier": "auto", "seed": 7,
        },
    ),
    "a stop of white space": ([user("two")], {"stop": "\n"}),
    "temperatures that only others know": ([user("two")], {"temperature": 1.7}),
    "tools without parameters": (
        [user("two")],
        {"tools": [{"type": "function", "function": {"name": "now"}}], "parallel_tool_calls": False},
    ),
    "a form": (
        [user("two")],
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {
                    "name": "x",
                    "strict": True,
                    "schema": {
                        "type": "object",
                        "properties": {"a": {"type": "string"}},
                        "required": ["a"],
                        "additionalProperties": False,
                    },
                },
            },
        },
    ),
    "a form with limits": (
        [user("two")],
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {
                    "name": "x",
                    "schema": {
                        "type": "object",
                        "properties": {"a": {"type": "integer", "minimum": 0, "maximum": 9}},
                    },
                },
            },
        },
    ),
}  # fmt: skip
MODELS = ("good", "claude-sonnet-4-5-20250929", "claude-opus-5")
"""A name that says nothing, a model that thinks by a budget, one that decides on its own."""


CANNOT = {(form, "good"): "response_format" for form in ("a form", "a form with limits")} | {
    ("a stop of white space", model): "stop" for model in MODELS
}
"""What Messages cannot say (to that model): it is told by its name, before any call."""


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("chat", CHATS)
def test_a_chat_is_written_as_the_provider_takes_it(
    gateway: Running, upstream: FaultProvider, chat: str, model: str
) -> None:
    messages, fields = CHATS[chat]
    calls = len(upstream.calls)
    reply = gateway.post("/v1/chat/completions", {"model": f"a/{model}", "messages": messages, **fields})
    unsaid = CANNOT.get((chat, model))
    if unsaid is None:
        assert reply.status == 200, reply.body
    else:
        assert (reply.status, reply.error["param"], reply.error["code"]) == (400, unsaid, "cannot_say")
    assert len(upstream.calls) == calls + (unsaid is None)


def test_limits_that_a_form_loses_are_named_in_the_receipt(gateway: Running, upstream: FaultProvider) -> None:
    messages, fields = CHATS["a form with limits"]
    reply = told(gateway, messages, f"a/{MODELS[1]}", **fields)
    assert gateway.receipt_of(reply).attempts[0].left_out == "response_format.schema"
    schema = call_of(upstream).json["output_config"]["format"]["schema"]
    assert schema["properties"] == {"a": {"type": "integer", "description": '{"minimum":0,"maximum":9}'}}


def test_embeddings_are_asked_of_another_provider(gateway: Running, upstream: FaultProvider) -> None:
    calls = len(upstream.calls)
    reply = gateway.post("/v1/embeddings", {"model": "a/good", "input": "x"})
    assert (reply.status, reply.error["param"], reply.error["code"]) == (400, "model", "cannot_say")
    assert "configure a provider that has, and name its model" in reply.error["message"]
    assert "drop" not in reply.error["message"] and len(upstream.calls) == calls


@pytest.mark.parametrize(
    ("model", "messages", "words"),
    [
        (
            "good",
            [user("a"), {"role": "assistant", "content": None, "tool_calls": [ODD_CALL]}, user("b")],
            "`tool_use` ids were found without `tool_result` blocks immediately after",
        ),
        (
            "good",
            [user("a"), {"role": "tool", "tool_call_id": "gone", "content": "sun"}, user("b")],
            "unexpected `tool_use_id` found in `tool_result` blocks: gone",
        ),
        (
            "claude-opus-5",
            [user("a"), {"role": "assistant", "content": "b"}],
            "does not support assistant message prefill",
        ),
    ],
)
def test_a_conversation_that_no_provider_takes_is_refused_in_its_words(
    gateway: Running, model: str, messages: Any, words: str
) -> None:
    body = {"model": f"a/{model}", "messages": messages, "tools": [WEATHER]}
    reply = gateway.post("/v1/chat/completions", body)
    assert (reply.status, reply.error["type"]) == (400, "invalid_request_error")
    assert words in reply.error["message"]


def test_half_a_character_in_arguments_does_not_end_the_conversation(
    gateway: Running, upstream: FaultProvider
) -> None:
    call = {
        "id": "c",
        "type": "function",
        "function": {"name": "weather", "arguments": r'{"city": "\ud83d!"}'},
    }
    turn = {"role": "assistant", "content": None, "tool_calls": [call]}
    result = {"role": "tool", "tool_call_id": "c", "content": "sun"}
    told(gateway, [user("x"), turn, result], tools=[WEATHER])
    assert call_of(upstream).json["messages"][1]["content"][0]["input"] == {"city": "\ufffd!"}


@pytest.mark.parametrize("model", MODELS[1:])
@pytest.mark.parametrize("effort", ["minimal", "low", "medium", "high"])
def test_thinking_is_asked_for_as_the_model_takes_it(gateway: Running, model: str, effort: str) -> None:
    for fields in ({}, {"max_completion_tokens": 2_000}, {"temperature": 1}):
        reply = told(gateway, [user("two")], f"a/{model}", reasoning_effort=effort, **fields)
        assert reply.json["choices"][0]["message"]["content"] == "echo: two"
        usage = gateway.receipt_of(reply).usage
        assert usage is not None and usage.reasoning_tokens == 3, "it thought"


def test_thinking_goes_on_where_a_client_of_chat_cannot_give_it_back(gateway: Running) -> None:
    asked = [user("the weather")]
    for model in MODELS[1:]:
        fields = {"tools": [WEATHER], "reasoning_effort": "low"}
        calls = calls_in(told(gateway, asked, f"a/{model}", **fields))
        turn = {"role": "assistant", "content": None, "tool_calls": calls}
        results = [{"role": "tool", "tool_call_id": one["id"], "content": "sun"} for one in calls]
        told(gateway, [*asked, turn, *results], f"a/{model}", **fields)


# -- what comes back ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "finish"),
    [
        ("end_turn", "stop"),
        ("max_tokens", "length"),
        ("stop_sequence", "stop"),
        ("refusal", "content_filter"),
        ("model_context_window_exceeded", "length"),
    ],
)
def test_the_reason_to_end_is_the_one_that_chat_has_for_it(
    gateway: Running, script: str, finish: str
) -> None:
    model = f"a/fault:finish={script}"
    assert finish_of(told(gateway, [user("x")], model)) == finish
    events = told(gateway, [user("x")], model, stream=True).events
    assert [c["finish_reason"] for e in events[:-1] for c in e["choices"] if c["finish_reason"]] == [finish]


def named(kind: str, **fields: Any) -> bytes:
    return event({"type": kind, **fields}, b"event: " + kind.encode())


USED = {
    "input_tokens": 10,
    "cache_read_input_tokens": 5,
    "cache_creation_input_tokens": 0,
    "output_tokens": 1,
}
MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": USED}
START = named("message_start", message=MESSAGE | {"stop_reason": None, "stop_sequence": None})
OPEN = named("content_block_start", index=0, content_block={"type": "text", "text": ""})
PING = named("ping")


def words(text: str, index: int = 0) -> bytes:
    return named("content_block_delta", index=index, delta={"type": "text_delta", "text": text})


SHUT = named("content_block_stop", index=0)
STOP = named("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 7})
NOTHING_MORE = named(
    "message_delta",
    delta={"stop_reason": "end_turn"},
    usage={name: 0 for name in USED} | {"output_tokens": 7},
)
END = named("message_stop")
HELLO = (OPEN, words("hel"), words("lo"), SHUT)
NEW = named("content_block_start", index=1, content_block={"type": "hologram", "data": [1]})
GOOD_STREAMS = {
    "as it should be": (START, *HELLO, STOP, END),
    "no end after its reason to end": (START, *HELLO, STOP),
    "pings everywhere": (
        PING,
        START,
        PING,
        OPEN,
        PING,
        words("hel"),
        PING,
        words("lo"),
        SHUT,
        PING,
        STOP,
        END,
    ),
    "no names": tuple(one.partition(b"\n")[2] for one in (START, *HELLO, STOP, END)),
    "events that are yet to come": (START, named("weather", sun=True), *HELLO, named("mood"), STOP, END),
    "fields that are yet to come": (
        START,
        OPEN,
        words("hel"),
        named("content_block_delta", index=0, delta={"type": "smell_delta", "smell": "x"}),
        words("lo"),
        SHUT,
        STOP,
        END,
    ),
    "a block that is yet to come": (START, *HELLO, NEW, named("content_block_stop", index=1), STOP, END),
    "more after the end": (START, *HELLO, STOP, END, PING),
    "a prompt of nothing at the end": (START, *HELLO, NOTHING_MORE, END),
}


def piece(kind: str, text: str) -> bytes:
    """A delta whose text is all in escapes, as a server that counts in UTF-16 cuts it."""
    name = {"input_json_delta": "partial_json"}.get(kind, kind.removesuffix("_delta"))
    return named("content_block_delta", index=0, delta={"type": kind, name: text})


@pytest.mark.parametrize(
    ("block", "kind", "field"),
    [
        ({"type": "text", "text": ""}, "text_delta", "content"),
        ({"type": "thinking", "thinking": "", "signature": ""}, "thinking_delta", "reasoning_content"),
        ({"type": "tool_use", "id": "t", "name": "f", "input": {}}, "input_json_delta", "arguments"),
    ],
)
def test_a_character_that_is_cut_between_two_pieces_is_whole(
    gateway: Running, upstream: FaultProvider, block: Any, kind: str, field: str
) -> None:
    began = named("content_block_start", index=0, content_block=block)
    halves = ['{"a": "\ud83d', "", "\ude00\ud83d", '\ude01" \ud83d', "x}"]
    model = f"exact-halves-{kind}"
    upstream.exactly(model, streamed(START, began, *[piece(kind, one) for one in halves], SHUT, STOP, END))
    deltas = [
        choice["delta"]
        for event in told(gateway, [user("x")], f"a/{model}", stream=True).events[:-1]
        for choice in event["choices"]
    ]
    if field == "arguments":
        deltas = [call["function"] for delta in deltas for call in delta.get("tool_calls", ())]
    assert "".join(delta.get(field) or "" for delta in deltas) == '{"a": "\U0001f600\U0001f601" \ufffdx}'


BROKEN_STREAMS = {
    "overloaded in the middle": (
        (
            START,
            OPEN,
            words("hel"),
            named("error", error={"type": "overloaded_error", "message": "Overloaded"}),
        ),
        "Overloaded",
    ),
    "no reason to end": ((START, *HELLO), "ended before its answer did"),
    "an end without a reason": ((START, *HELLO, END), "ended without a reason"),
}


@pytest.mark.parametrize("stream", GOOD_STREAMS)
def test_a_stream_says_its_words_and_its_bill(gateway: Running, upstream: FaultProvider, stream: str) -> None:
    model = f"exact-{stream.replace(' ', '-')}"
    upstream.exactly(model, streamed(*GOOD_STREAMS[stream]))
    reply = told(gateway, [user("x")], f"a/{model}", stream=True)
    assert reply.said == "hello" and reply.events[-1] == "[DONE]", reply.body
    usage = gateway.receipt_of(reply).usage
    assert usage is not None and not usage.estimated
    assert (usage.input_tokens, usage.cached_tokens, usage.output_tokens) == (15, 5, 7)


@pytest.mark.parametrize("stream", BROKEN_STREAMS)
def test_a_stream_that_breaks_is_told_as_broken(
    gateway: Running, upstream: FaultProvider, stream: str
) -> None:
    events, why = BROKEN_STREAMS[stream]
    model = f"exact-{stream.replace(' ', '-')}"
    upstream.exactly(model, streamed(*events, gap_s=0.02))
    reply = gateway.chat(model=f"a/{model}", stream=True)
    assert reply.status == 200 and reply.events[-1] != "[DONE]", reply.body
    assert why in reply.events[-1]["error"]["message"]
    row = gateway.receipt_of(reply)
    assert row.stop_reason == "error" and row.usage is not None and row.usage.output_tokens >= 1


UNSIGNED = [
    {"type": "thinking", "thinking": "hm"},
    {"type": "tool_use", "id": "t", "name": "weather", "input": {}},
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("model", "back"), [("exact-kimi", UNSIGNED), ("exact-claude", UNSIGNED[1:])])
def test_thinking_that_is_not_signed_goes_back_to_models_that_sign_none(
    gateway: Running, upstream: FaultProvider, model: str, back: Any, stream: bool
) -> None:
    model, message = f"{model}-{stream}", MESSAGE | {"content": UNSIGNED, "stop_reason": "tool_use"}
    blocks = [
        named("content_block_start", index=index, content_block=block)
        + named("content_block_stop", index=index)
        for index, block in enumerate(UNSIGNED)
    ]
    stop = named("message_delta", delta={"stop_reason": "tool_use"}, usage={"output_tokens": 7})
    upstream.exactly(model, streamed(START, *blocks, stop, END) if stream else whole(message))
    asked = [user("the weather")]
    reply = told(gateway, asked, f"a/{model}", tools=[WEATHER], stream=stream)
    if stream:
        deltas = [choice["delta"] for event in reply.events[:-1] for choice in event["choices"]]
        (first, *more) = [one for delta in deltas for one in delta.get("thinking_blocks", ())]
        thinking = [first | {"thinking": first["thinking"] + "".join(one["thinking"] for one in more)}]
    else:
        thinking = reply.json["choices"][0]["message"]["thinking_blocks"]
    turn = {"role": "assistant", "thinking_blocks": thinking, "tool_calls": calls_in(reply)}
    upstream.exactly(model, whole(MESSAGE | {"content": [], "stop_reason": "end_turn"}))
    result = {"role": "tool", "tool_call_id": "t", "content": "sun"}
    told(gateway, [*asked, turn, result], f"a/{model}", tools=[WEATHER])
    assert call_of(upstream).json["messages"][1]["content"] == back


# -- what it costs -----------------------------------------------------------------------------------


def bill(call: Call) -> int:
    """Nano-dollars, from what the provider knows."""
    written = call.written_5m_tokens + call.written_1h_tokens
    fresh = call.prompt_tokens - call.cached_tokens - written
    return (
        fresh * INPUT
        + call.cached_tokens * READ
        + call.written_5m_tokens * WRITE_5M
        + call.written_1h_tokens * WRITE_1H
        + call.completion_tokens * OUTPUT
    )


@pytest.mark.parametrize("stream", [False, True])
def test_the_receipt_says_what_the_provider_bills(
    gateway: Running, upstream: FaultProvider, stream: bool
) -> None:
    fields = {"stream": stream}
    reply = told(gateway, [user("one two")], f"a/{PRICED[1]}", **fields)
    row, call = gateway.receipt_of(reply), call_of(upstream)
    assert row.usage is not None and not row.usage.estimated
    assert (row.usage.input_tokens, row.usage.cached_tokens) == (100, 30)
    assert (row.usage.cache_write_5m_tokens, row.usage.cache_write_1h_tokens) == (20, 10)
    assert row.cost_nusd == bill(call) == 40 * INPUT + 30 * READ + 20 * WRITE_5M + 10 * WRITE_1H + 3 * OUTPUT


def test_marks_go_up_as_they_are_and_save_what_they_save(gateway: Running, upstream: FaultProvider) -> None:
    marked = {"type": "text", "text": LONG, "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    chat = [{"role": "system", "content": [marked]}]
    costs = []
    for number in range(2):
        reply = told(gateway, [*chat, user(f"q{number}")], f"a/{PRICED[0]}", stream=number == 1)
        row, call = gateway.receipt_of(reply), call_of(upstream)
        assert row.cost_nusd == bill(call)
        assert call.json["system"] == [marked]
        costs.append((call.written_1h_tokens, call.cached_tokens, row.cost_nusd))
    assert costs == [
        (1_200, 0, 1_200 * WRITE_1H + INPUT + 2 * OUTPUT),
        (0, 1_200, 1_200 * READ + INPUT + 2 * OUTPUT),
    ]


def test_thinking_is_billed_as_output(gateway: Running, upstream: FaultProvider) -> None:
    model = "a/fault:reasoning=one two three four"
    reply = told(gateway, [user("x")], model, thinking={"type": "enabled", "budget_tokens": 1_024})
    row, call = gateway.receipt_of(reply), call_of(upstream)
    assert row.usage is not None
    assert (row.usage.output_tokens, row.usage.reasoning_tokens) == (6, 4) == (call.completion_tokens, 4)


def test_a_stream_that_is_cut_costs_the_prompt_that_was_counted_and_the_words_that_came(
    gateway: Running, upstream: FaultProvider
) -> None:
    upstream.script(f"say={'word%20' * 200},truncate=150,end=cut")
    reply = gateway.chat("one two", model=f"a/{PRICED[1]}", stream=True)
    assert reply.events[-1]["error"]["code"] == "stream_broken", reply.body
    row = gateway.receipt_of(reply)
    assert row.usage is not None and row.usage.estimated
    assert (row.usage.input_tokens, row.usage.cached_tokens) == (100, 30)
    assert (row.usage.cache_write_5m_tokens, row.usage.cache_write_1h_tokens) == (20, 10)
    assert row.usage.output_tokens >= call_of(upstream).tokens_sent - 1 > 100
    prompt = 40 * INPUT + 30 * READ + 20 * WRITE_5M + 10 * WRITE_1H
    assert row.cost_nusd == prompt + row.usage.output_tokens * OUTPUT


# -- what it cannot read -----------------------------------------------------------------------------


def test_a_request_that_messages_cannot_read_goes_to_the_next_target(
    start_gateway: StartGateway, upstream: FaultProvider
) -> None:
    gateway = start_gateway(f"""
[providers.a]
kind = "anthropic"
base_url = "{upstream.base_url.removesuffix("/v1")}"
[providers.o]
base_url = "{upstream.base_url}"
[tiers.cheap]
targets = ["a/good", "o/good"]
[cache]
exact = "off"
""")
    table = {"type": "file", "file": {"filename": "a.csv", "file_data": "data:text/csv;base64,6Q=="}}
    reply = told(gateway, [user([table])], "cheap")
    row = gateway.receipt_of(reply)
    assert (row.target, row.skipped) == ("o/good", {"a/good": "provider_rejected"})
    alone = gateway.post("/v1/chat/completions", {"model": "a/good", "messages": [user([table])]})
    assert (alone.status, alone.error["code"]) == (400, "invalid_request_error"), alone.body
    assert alone.error["param"] == "messages[0].content[0].file.file_data"


# -- what is not told is told of ---------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_the_client_hears_what_the_provider_was_not_told(gateway: Running, stream: bool) -> None:
    fields = {"temperature": 1.5, "seed": 7, "stream": stream}
    reply = told(gateway, [user("hi")], "a/claude-opus-5-5", **fields)
    left_out = reply.headers["x-farthing-left-out"]
    assert set(left_out.split(", ")) == {"temperature", "seed"}
    assert gateway.receipt_of(reply).attempts[0].left_out == left_out
    assert "x-farthing-left-out" not in told(gateway, [user("hi")], stream=stream).headers


def test_a_demanded_call_is_refused_by_the_newest_models_with_what_helps(gateway: Running) -> None:
    fields = {"tools": [WEATHER], "tool_choice": "required"}
    body = {"model": "a/claude-haiku-5-5", "messages": [user("tool_choice, please")], **fields}
    reply = gateway.post("/v1/chat/completions", body)
    assert (reply.status, reply.error["param"], reply.error["code"]) == (400, "tool_choice", "cannot_say")
    assert "claude-sonnet-5" in reply.error["message"]
    receipt = gateway.receipt_of(reply)
    assert receipt.error == "cannot_say" and receipt.error_message == reply.error["message"]
    told(gateway, [user("hi")], "a/claude-sonnet-5", **fields)


def test_embeddings_are_refused_as_a_whole(gateway: Running) -> None:
    reply = gateway.post("/v1/embeddings", {"model": "a/good", "input": "hi"})
    assert (reply.status, reply.error["param"], reply.error["code"]) == (400, "model", "cannot_say")
    assert "a/good has no embeddings: configure a provider that has" in reply.error["message"]


def test_a_cascade_goes_on_where_its_first_tier_cannot_be_told(
    start_gateway: StartGateway, upstream: FaultProvider
) -> None:
    gateway = start_gateway(f"""
[providers.a]
kind = "anthropic"
base_url = "{upstream.base_url.removesuffix("/v1")}"
[providers.o]
base_url = "{upstream.base_url}"
[tiers.cheap]
targets = ["a/good"]
[tiers.expensive]
targets = ["o/good"]
[endpoints.e]
cascade = {{ first = "cheap", then = "expensive" }}
[cache]
exact = "off"
""")
    body = {"model": "farthing/e", "messages": [user("twice, please")], "n": 2}
    reply = gateway.post("/v1/chat/completions", body)
    row = gateway.receipt_of(reply)
    assert reply.status == 200 and (row.target, row.skipped) == ("o/good", {"a/good": "cannot_say"})


def test_what_a_cap_on_money_leaves_no_room_for_is_told(
    start_gateway: StartGateway, upstream: FaultProvider
) -> None:
    gateway = start_gateway(
        f"""
[providers.a]
kind = "anthropic"
base_url = "{upstream.base_url.removesuffix("/v1")}"
api_key = "${{UPSTREAM_KEY}}"
[tiers.cheap]
targets = ["a/claude-sonnet-4-5"]
[[prices]]
target = "a/claude-sonnet-4-5"
input = 3
output = 15
[endpoints.e]
usd_max = 0.0135
[cache]
exact = "off"
""",
        UPSTREAM_KEY="sk-of-the-tests",
    )
    body = {
        "model": "farthing/e",
        "messages": [user("think")],
        "reasoning_effort": "high",
        "max_tokens": 4_000,
    }
    reply = gateway.post("/v1/chat/completions", body)
    assert reply.status == 200, reply.body
    assert reply.headers["x-farthing-left-out"] == "reasoning_effort"
