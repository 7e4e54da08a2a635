"""Clients of every dialect before a provider that speaks Responses: what is written for it is what OpenAI's
types say, what it bills is what the receipt says, and a client of its own dialect has it byte for byte."""

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from openai.types.responses import ResponseInputParam, ToolParam
from pydantic import TypeAdapter
from tests.conftest import StartGateway
from tests.contract.test_provider import (
    ANSWER,
    CALLED,
    LOOKS_UP,
    TEXT,
    began,
    function_call,
    numbered,
    response,
    said,
    text_events,
    text_part,
)
from tests.e2e.gateway import Reply, Running
from tests.e2e.responses_grammar import responses_faults
from tests.e2e.streams import frames
from tests.faults.exact import Exact, streamed, whole
from tests.faults.provider import FaultProvider
from tests.unit.dialects.responses_made import stream_of

Json = dict[str, Any]
PRICED = ("m-1", "gpt-5")
COST_NUSD = 5 * 3_000 + 100 * 300 + 10 * 3_750 + 5 * 6_000 + 9 * 15_000
"""Of 120 tokens in, 100 of them read from the cache, 10 and 5 written to it, and 9 out."""
ITEMS: TypeAdapter[Any] = TypeAdapter(ResponseInputParam)
TOOLS: TypeAdapter[Any] = TypeAdapter(list[ToolParam])
THOUGHT: Json = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "A penny is four."}],
    "encrypted_content": "c2VhbGVk+/==",
    "status": "completed",
}
THINKS = response(THOUGHT, LOOKS_UP)
UNSTATED = {name: value for name, value in THOUGHT.items() if name != "status"}
SEARCH: Json = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}}
FUNCTION = {"name": "look_up", "parameters": {"type": "object", "properties": {"year": {"type": "integer"}}}}


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    prices = "\n".join(
        f'[[prices]]\ntarget = "r/{model}"\ninput = 3\noutput = 15\ncached_input = 0.3\n'
        "cache_write_5m = 3.75\ncache_write_1h = 6"
        for model in PRICED
    )
    tables = "\n".join(
        f'[providers.{name}]\nkind = "responses"\nbase_url = "{upstream.base_url}"\n'
        'api_key = "${PROVIDER_KEY}"\npass_through = true'
        for name in ("r", "s")
    )
    config = f"""
{tables}
[providers.o]
base_url = "{upstream.base_url}"
responses = true
pass_through = true
[tiers.both]
targets = ["s/m-1", "r/m-1"]
[call]
attempts_max = 1
[cache]
exact = "off"
{prices}
"""
    return start_gateway(config, PROVIDER_KEY="sk-of-the-tests")


def says(upstream: FaultProvider, answer: Json, model: str = "m-1", *, streams: bool = False) -> None:
    upstream.exactly(model, streamed(stream_of(answer)) if streams else whole(answer))


def chat(gateway: Running, model: Any = "r/m-1", **fields: Any) -> Reply:
    asked = {"model": model, "messages": [{"role": "user", "content": "hi"}], **fields}
    reply = gateway.post("/v1/chat/completions", asked)
    assert reply.status == 200, reply.body
    return reply


def messages(gateway: Running, model: Any = "r/m-1", **fields: Any) -> Reply:
    asked = {
        "model": model, "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}], **fields
    }  # fmt: skip
    reply = gateway.post("/v1/messages", asked)
    assert reply.status == 200, reply.body
    return reply


def sent_up(upstream: FaultProvider) -> Json:
    """The last call, whose items and tools are what OpenAI takes."""
    call = upstream.calls[-1]
    assert call.path == "/v1/responses"
    assert call.headers["authorization"] == "Bearer sk-of-the-tests"
    body: Json = json.loads(call.body)
    ITEMS.validate_python(body["input"])
    TOOLS.validate_python(body.get("tools", []))
    return body


# -- chat completions --------------------------------------------------------------------------------


@pytest.mark.parametrize("streams", [False, True])
def test_a_client_of_chat_is_answered_and_billed_to_the_nano_dollar(
    gateway: Running, upstream: FaultProvider, streams: bool
) -> None:
    says(upstream, ANSWER, streams=streams)
    fields = {"stream": True, "stream_options": {"include_usage": True}} if streams else {}
    reply = chat(gateway, max_tokens=60, user="u", **fields)
    if streams:
        told = [frame.data for frame in frames(reply.body) if isinstance(frame.data, dict)]
        text = "".join(one["choices"][0]["delta"].get("content") or "" for one in told if one["choices"])
        usage, finish = told[-1]["usage"], told[-2]["choices"][0]["finish_reason"]
    else:
        choice = reply.json["choices"][0]
        text, usage, finish = choice["message"]["content"], reply.json["usage"], choice["finish_reason"]
    assert (text, finish) == (TEXT, "stop")
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (120, 9)
    assert usage["prompt_tokens_details"]["cached_tokens"] == 100
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 4
    assert gateway.receipt_of(reply).cost_nusd == COST_NUSD
    body = sent_up(upstream)
    assert body["store"] is False and body["max_output_tokens"] == 60 and "include" not in body


def test_a_request_of_chat_is_said_in_the_words_of_responses(
    gateway: Running, upstream: FaultProvider
) -> None:
    says(upstream, ANSWER, "gpt-5")
    pixel = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
    call = {"id": "call_" + "x" * 80, "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    custom = {"id": "call_c", "type": "custom", "custom": {"name": "patch", "input": "*** x"}}
    chat(
        gateway,
        "r/gpt-5",
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "developer", "content": [{"type": "text", "text": "In pence."}]},
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": pixel, "detail": "low"}}],
            },
            {"role": "assistant", "content": "Looking.", "tool_calls": [call, custom]},
            {"role": "tool", "tool_call_id": call["id"], "content": "4"},
            {"role": "tool", "tool_call_id": "call_c", "content": "done"},
            {"role": "system", "content": "Now answer."},
        ],
        tools=[
            {"type": "function", "function": {**FUNCTION, "strict": True}},
            {
                "type": "custom",
                "custom": {
                    "name": "patch",
                    "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /x/"}},
                },
            },
        ],
        tool_choice={"type": "function", "function": {"name": "look_up"}},
        parallel_tool_calls=False,
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
        reasoning_effort="low",
        verbosity="low",
        prompt_cache_key="k",
    )
    body = sent_up(upstream)
    first, second, picture, looking, called, customs, result, done, last = body["input"]
    assert (first, second) == (
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": "In pence."},
    )
    assert picture["content"] == [{"type": "input_image", "detail": "low", "image_url": pixel}]
    assert looking == {"role": "assistant", "content": "Looking."}
    assert len(called["call_id"]) <= 64 and result["call_id"] == called["call_id"]
    assert (called["name"], result["output"]) == ("look_up", "4")
    assert customs == {"type": "custom_tool_call", "call_id": "call_c", "name": "patch", "input": "*** x"}
    assert done == {"type": "custom_tool_call_output", "call_id": "call_c", "output": "done"}
    assert last == {"role": "system", "content": "Now answer."}
    assert [tool["type"] for tool in body["tools"]] == ["function", "custom"]
    assert body["tools"][0]["strict"] is True and body["tools"][1]["format"]["syntax"] == "lark"
    assert body["tool_choice"] == {"type": "function", "name": "look_up"}
    assert body["parallel_tool_calls"] is False and body["prompt_cache_key"] == "k"
    schema = {"type": "json_schema", "name": "n", "schema": {"type": "object"}}
    assert body["text"] == {"format": schema, "verbosity": "low"}
    assert body["reasoning"] == {"effort": "low"} and body["include"] == ["reasoning.encrypted_content"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("n", 2), ("stop", "x"), ("logit_bias", {"5": 1}), ("logprobs", True), ("frequency_penalty", 1)],
)
def test_what_responses_cannot_say_is_refused_by_name(gateway: Running, name: str, value: Any) -> None:
    asked = {"model": "r/m-1", "messages": [{"role": "user", "content": "hi"}], name: value}
    reply = gateway.post("/v1/chat/completions", asked)
    assert reply.status == 400 and name in reply.error["message"]


def test_what_may_go_is_left_out_and_said(gateway: Running, upstream: FaultProvider) -> None:
    says(upstream, ANSWER, "gpt-5")
    reply = chat(gateway, "r/gpt-5", temperature=0.2, seed=7, store=True)
    assert {"temperature", "seed", "store"} <= set(reply.headers["x-farthing-left-out"].split(", "))
    body = sent_up(upstream)
    assert body["store"] is False and not {"temperature", "seed"} & body.keys()


@pytest.mark.parametrize("streams", [False, True])
def test_reasoning_comes_back_with_the_history_and_only_to_who_made_it(
    gateway: Running, upstream: FaultProvider, streams: bool
) -> None:
    says(upstream, THINKS, streams=streams)
    tools = [{"type": "function", "function": FUNCTION}]
    reply = chat(gateway, tools=tools, **({"stream": True} if streams else {}))
    message = gathered(reply) if streams else reply.json["choices"][0]["message"]
    assert message["reasoning_content"] == "A penny is four."
    turns = [
        {"role": "user", "content": "hi"},
        message,
        {"role": "tool", "tool_call_id": "call_1", "content": "4"},
    ]
    says(upstream, ANSWER)
    chat(gateway, messages=turns, tools=tools)
    _, thought, call, result = sent_up(upstream)["input"]
    assert thought == UNSTATED and call["call_id"] == result["call_id"] == "call_1"
    other = chat(gateway, "s/m-1", messages=turns, tools=tools)
    assert [one.get("type") for one in sent_up(upstream)["input"]] == [
        None,
        "function_call",
        "function_call_output",
    ]
    assert "reasoning_content" in other.headers["x-farthing-left-out"]


def gathered(reply: Reply) -> Json:
    """The message of a stream of chat, as a client of ours keeps it."""
    message: Json = {"role": "assistant", "content": None, "reasoning_content": "", "tool_calls": []}
    thought: Json = {}
    for frame in frames(reply.body):
        if not isinstance(frame.data, dict) or not frame.data["choices"]:
            continue
        delta = frame.data["choices"][0]["delta"]
        message["reasoning_content"] += delta.get("reasoning_content", "")
        for block in delta.get("thinking_blocks", ()):
            thought |= {name: value for name, value in block.items() if value or name not in thought}
        for call in delta.get("tool_calls", ()):
            if "id" in call:
                message["tool_calls"].append({name: call[name] for name in ("id", "type", "function")})
            else:
                message["tool_calls"][-1]["function"]["arguments"] += call["function"]["arguments"]
    return {**message, "thinking_blocks": [thought]}


def test_searches_are_counted_and_never_taken_for_free(gateway: Running, upstream: FaultProvider) -> None:
    says(upstream, response(SEARCH, {**SEARCH, "id": "ws_2"}, said(text_part("x"))))
    reply = chat(gateway)
    receipt = gateway.receipt_of(reply)
    assert receipt.usage is not None and receipt.usage.fees == {"web_search": 2}
    assert receipt.cost_nusd is None, "what a search costs here is not known"


# -- Messages ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("streams", [False, True])
def test_a_client_of_messages_has_its_thinking_back_at_the_provider(
    gateway: Running, upstream: FaultProvider, streams: bool
) -> None:
    says(upstream, THINKS, streams=streams)
    name = "look_up_" + "x" * 90
    tools = [{"name": "look_up", "input_schema": FUNCTION["parameters"]}, {"name": name, "input_schema": {}}]
    reply = messages(gateway, tools=tools, **({"stream": True} if streams else {}))
    if streams:
        told = [frame.data for frame in frames(reply.body)]
        starts = [dict(one["content_block"]) for one in told if one["type"] == "content_block_start"]
        for one in told:
            if one["type"] == "content_block_delta":
                for field in ("thinking", "signature"):
                    starts[one["index"]][field] = starts[one["index"]].get(field, "") + one["delta"].get(
                        field, ""
                    )
        thinking = {field: starts[0][field] for field in ("type", "thinking", "signature")}
    else:
        thinking = reply.json["content"][0]
    assert (thinking["type"], thinking["thinking"]) == ("thinking", "A penny is four.")
    assert gateway.receipt_of(reply).cost_nusd == COST_NUSD
    use = {"type": "tool_use", "id": "call_1", "name": "look_up", "input": {"year": 1860}}
    result = {"type": "tool_result", "tool_use_id": "call_1", "content": "4", "is_error": True}
    turns = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [thinking, use]},
        {"role": "user", "content": [result]},
    ]
    says(upstream, ANSWER)
    messages(gateway, messages=turns, tools=tools, system="Be brief.")
    body = sent_up(upstream)
    system, _, thought, call, told_back = body["input"]
    assert system == {"role": "system", "content": "Be brief."} and thought == UNSTATED
    assert json.loads(call["arguments"]) == {"year": 1860} and told_back["output"] == "Error: 4"
    assert all(len(tool["name"]) <= 64 for tool in body["tools"]) and body["max_output_tokens"] == 50
    says(upstream, response(function_call("c", body["tools"][1]["name"], "{}")))
    assert messages(gateway, tools=tools).json["content"][0]["name"] == name


@pytest.mark.parametrize("streams", [False, True])
def test_messages_of_one_response_stand_apart_in_one_message(
    gateway: Running, upstream: FaultProvider, streams: bool
) -> None:
    """A model says what it is about to do in a message of its own."""
    comment = {**said(text_part("I will look.")), "phase": "commentary"}
    answer = {**said(text_part("Four."), number=1), "phase": "final_answer"}
    fields = {"stream": True} if streams else {}
    told = "I will look.\n\nFour."
    says(upstream, response(comment, answer), streams=streams)
    reply = chat(gateway, **fields)
    assert reply.said == told if streams else reply.json["choices"][0]["message"]["content"] == told
    says(upstream, response(comment, answer), streams=streams)
    reply = messages(gateway, **fields)
    if streams:
        events = [frame.data for frame in frames(reply.body) if frame.kind == "content_block_delta"]
        assert "".join(event["delta"]["text"] for event in events) == told
    else:
        assert "".join(block["text"] for block in reply.json["content"]) == told


def test_what_agents_of_anthropic_send_beside_a_question_is_taken(
    gateway: Running, upstream: FaultProvider
) -> None:
    """Notes for Anthropic's service, names longer than OpenAI takes, tools without parameters."""
    says(upstream, ANSWER)
    billing = "x-anthropic-billing-header: cc_version=2.1.177.01c; cc_entrypoint=cli; cch=36ee5;"
    user = json.dumps({"device_id": "d" * 64, "session_id": "s" * 64})
    use = {"type": "tool_use", "id": "call_1", "name": "look_up", "input": {}, "caller": {"type": "direct"}}
    result = {
        "type": "tool_result",
        "tool_use_id": "call_1",
        "content": [{"type": "tool_reference", "tool_name": "look_up"}],
    }
    reply = messages(
        gateway,
        system=[{"type": "text", "text": billing}, {"type": "text", "text": "Be brief."}],
        messages=[
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": [use]},
            {"role": "user", "content": [result]},
        ],
        metadata={"user_id": user},
        context_management={"edits": [{"type": "clear_thinking_20251015"}]},
        diagnostics={"level": "low"},
        tools=[
            {"name": "look_up", "input_schema": {"type": "object"}, "allowed_callers": ["direct"]},
            {"name": "search", "input_schema": {}, "defer_loading": True},
        ],
    )
    body = sent_up(upstream)
    assert body["input"][0] == {"role": "system", "content": "Be brief."}
    assert body["input"][-1]["output"] == "Found the tool look_up."
    assert 0 < len(body["user"]) <= 64
    assert [tool["parameters"] for tool in body["tools"]] == [{"type": "object", "properties": {}}] * 2
    assert sorted(reply.headers["x-farthing-left-out"].split(", ")) == [
        "context_management", "diagnostics", "tools.defer_loading", "x-anthropic-billing-header",
    ]  # fmt: skip


def test_what_messages_says_that_nobody_knows_is_refused_by_name(
    gateway: Running, upstream: FaultProvider
) -> None:
    text = {"type": "text", "text": "hi", "a_later_field": 1}
    use = {"type": "tool_use", "id": "call_1", "name": "look_up", "input": {}, "caller": {"type": "code"}}
    result = {"type": "tool_result", "tool_use_id": "call_1", "content": "4", "another": 1}
    turns = [
        {"role": "user", "content": [text]},
        {"role": "assistant", "content": [use]},
        {"role": "user", "content": [result]},
    ]
    asked = {"model": "r/m-1", "max_tokens": 50, "messages": turns}
    reply = gateway.post("/v1/messages", asked)
    assert reply.status == 400 and "messages.a_later_field" in reply.error["message"]
    assert "messages.another" in reply.error["message"] and "caller" not in reply.error["message"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/messages", "max_tokens"),
        ("/v1/chat/completions", "max_tokens"),
        ("/v1/chat/completions", "max_completion_tokens"),
    ],
)
def test_a_limit_below_what_is_taken_becomes_the_lowest_that_is(
    gateway: Running, upstream: FaultProvider, path: str, name: str
) -> None:
    """Agents ask for one token to see whether a model is there."""
    for asked, sent in ((1, 16), (15, 16), (16, 16), (17, 17)):
        says(upstream, ANSWER)
        body = {"model": "r/m-1", name: asked, "messages": [{"role": "user", "content": "quota"}]}
        reply = gateway.post(path, body)
        assert reply.status == 200, reply.body
        assert sent_up(upstream)["max_output_tokens"] == sent
        assert (reply.headers.get("x-farthing-left-out") == name) is (asked != sent)


# -- Responses ---------------------------------------------------------------------------------------


def odd_requests(count: int, provider: str) -> Iterator[bytes]:
    """Requests with white space, escapes, numbers and an order of names that no writer of ours makes."""
    chance = random.Random(14)
    for number in range(count):
        blank = [chance.choice(["", " ", "\n", "\t ", "\r\n  "]) for _ in range(6)]
        fields = {
            "model": f'"{provider}/odd-{number}"',
            "max_output_tokens": str(chance.randint(16, 99)),
            "input": f'[{blank[0]}{{"content":[{{"type":"input_text","text":"caf\\u00e9 \\/ \\ud83d\\ude00"'
            f'{blank[1]}}}],"role":"user"}}]',
            "metadata": '{"a":"9007199254740993"}',
            "tools": '[{"type":"web_search"},{"type":"custom","name":"p"}]',
            "temperature": chance.choice(["1.0", "1", "1e0"]),
            "future": chance.choice(["12345678901234567890", "1E+2", '{"a":[],"b":{ }}', '"model"']),
        }
        if chance.random() < 0.5:
            fields["stream"] = "true"
        if chance.random() < 0.5:
            fields["store"] = "false"
        members = [f'"{name}"{blank[2]}:{blank[3]}{value}' for name, value in fields.items()]
        chance.shuffle(members)
        yield f"{blank[4]}{{{(',' + blank[5]).join(members)}}}".encode()


FULL = b": hello\n\n" + stream_of(response(THOUGHT, SEARCH, said(text_part(TEXT)), LOOKS_UP, later=1))
ODD_ANSWER = (
    b' {"id":"resp_1", "object":"response","status":"completed" ,"output":[ ],"x":1.0,"usage":%b}\n'
    % (json.dumps(ANSWER["usage"]).encode())
)


@pytest.mark.parametrize("provider", ["r", "o"])
def test_requests_and_answers_pass_byte_for_byte(
    gateway: Running, upstream: FaultProvider, provider: str
) -> None:
    for number, raw in enumerate(odd_requests(40, provider)):
        streams = b'"stream"' in raw
        upstream.exactly(f"odd-{number}", streamed(FULL) if streams else whole(ODD_ANSWER))
        reply = gateway.post("/v1/responses", raw)
        assert reply.status == 200, reply.body
        assert upstream.calls[-1].path == "/v1/responses"
        sent = raw.replace(f'"{provider}/odd-'.encode(), b'"odd-')
        if b'"store"' not in raw:  # else its provider would keep it, as if that had been asked for
            sent = sent.replace(b"{", b'{"store":false,', 1)
        assert upstream.calls[-1].body == sent
        assert reply.body == (FULL if streams else ODD_ANSWER)


@pytest.mark.parametrize("streams", [False, True])
def test_a_client_of_responses_is_billed_to_the_nano_dollar(
    gateway: Running, upstream: FaultProvider, streams: bool
) -> None:
    says(upstream, CALLED, streams=streams)
    reply = gateway.post("/v1/responses", {"model": "r/m-1", "input": "hi", "stream": streams})
    assert reply.status == 200 and gateway.receipt_of(reply).cost_nusd == COST_NUSD
    assert gateway.receipt_of(reply).dialect == "responses"


def test_encrypted_reasoning_is_left_out_for_another_provider(
    gateway: Running, upstream: FaultProvider
) -> None:
    held = {**THOUGHT, "encrypted_content": "made by r alone"}
    says(upstream, response(held, LOOKS_UP))
    first = gateway.post("/v1/responses", {"model": "r/m-1", "input": "hi"})
    result = {"type": "function_call_output", "call_id": "call_1", "output": "4"}
    turns = [{"role": "user", "content": "hi"}, *first.json["output"], result]
    for model, kept in (("r/m-1", turns), ("s/m-1", [turns[0], *turns[2:]])):
        says(upstream, ANSWER)
        reply = gateway.post("/v1/responses", {"model": model, "input": turns})
        assert reply.status == 200 and json.loads(upstream.calls[-1].body)["input"] == kept
        assert ("input.reasoning" in reply.headers.get("x-farthing-left-out", "")) is (model == "s/m-1")


def test_who_made_the_reasoning_is_asked_first(gateway: Running, upstream: FaultProvider) -> None:
    """Of the targets of a tier, in whose order it is otherwise."""
    held = {**THOUGHT, "encrypted_content": "made by r, to be gone on with"}
    says(upstream, response(held, LOOKS_UP))
    first = gateway.post("/v1/responses", {"model": "r/m-1", "input": "hi"})
    turns = [*first.json["output"], {"type": "function_call_output", "call_id": "call_1", "output": "4"}]
    for items, asked in ((turns, "r/m-1"), (turns[1:], "s/m-1")):
        says(upstream, ANSWER)
        reply = gateway.post("/v1/responses", {"model": "both", "input": items})
        assert reply.status == 200 and json.loads(upstream.calls[-1].body)["input"] == items
        assert [one.target for one in gateway.receipt_of(reply).attempts] == [asked]


def broken_stream(*, says_why: bool) -> Exact:
    events = [*began(ANSWER), *text_events(0, ANSWER["output"][0], TEXT[:7])[:3]]
    if says_why:
        failed = response(status="failed", error={"code": "server_error", "message": "It broke."})
        events.append({"type": "response.failed", "response": failed})
    return streamed(numbered(*events))


@pytest.mark.parametrize("says_why", [False, True])
def test_a_stream_that_breaks_ends_as_failed_in_every_dialect(
    gateway: Running, upstream: FaultProvider, says_why: bool
) -> None:
    upstream.exactly("m-1", broken_stream(says_why=says_why))
    reply = gateway.post("/v1/responses", {"model": "r/m-1", "input": "hi", "stream": True})
    last = frames(reply.body)[-1].data
    assert last["type"] == "response.failed" and last["response"]["status"] == "failed"
    numbers = [frame.data["sequence_number"] for frame in frames(reply.body)]
    assert numbers == list(range(len(numbers)))
    asked = {"model": "r/m-1", "messages": [{"role": "user", "content": "x"}], "stream": True}
    told = gateway.post("/v1/chat/completions", asked).body
    assert b'"error"' in told and b"[DONE]" not in told
    assert not says_why or b"It broke." in told


ASKS: dict[str, Json] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "hi"}]},
    "/v1/messages": {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9},
    "/v1/responses": {"input": "hi"},
}


@pytest.mark.parametrize("path", ASKS)
@pytest.mark.parametrize("how", ["whole", "at once", "after some text"])
def test_what_a_provider_counts_of_a_response_that_failed_is_what_it_costs(
    gateway: Running, upstream: FaultProvider, how: str, path: str
) -> None:
    failed = {**ANSWER, "status": "failed", "error": {"code": "server_error", "message": "no more"}}
    if how == "whole":
        upstream.exactly("m-1", whole(failed))
    else:
        begun = began(ANSWER) + (
            text_events(0, said(text_part(TEXT)), "A penny is")[:3] if how != "at once" else []
        )
        ending = {"type": "response.failed", "response": failed}
        upstream.exactly("m-1", streamed(numbered(*begun, ending)))
    before = len(gateway.receipts())
    reply = gateway.post(path, {"model": "r/m-1", "stream": how != "whole", **ASKS[path]})
    receipt = gateway.next_receipt(before)
    assert reply.status == (200 if how == "after some text" else 500), reply.body
    assert receipt.error is not None and receipt.cost_nusd == COST_NUSD
    assert "no more" in reply.body.decode()


@pytest.mark.parametrize("output", ["text", [1], [{"type": "message"}]])
def test_a_stream_that_nobody_asked_for_and_that_is_no_answer_is_an_error_of_its_provider(
    gateway: Running, upstream: FaultProvider, output: Any
) -> None:
    last = {"type": "response.completed", "response": {**ANSWER, "output": output}}
    upstream.exactly("m-1", streamed(numbered(*began(ANSWER), last)))
    for path, asked in ASKS.items():
        reply = gateway.post(path, {"model": "r/m-1", **asked})
        assert reply.status == 502 and "the reply is" in reply.body.decode()
    assert "Traceback" not in gateway.logged()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("rate_limit_exceeded", "rate_limit_error"),
        ("server_is_overloaded", "overloaded_error"),
        ("server_error", "api_error"),
    ],
)
def test_a_client_of_messages_hears_in_a_stream_which_limit_ended_it(
    gateway: Running, upstream: FaultProvider, code: str, kind: str
) -> None:
    failed = response(status="failed", error={"code": code, "message": "Slow down."})
    events = [*began(ANSWER), *text_events(0, ANSWER["output"][0], TEXT[:7])[:3]]
    upstream.exactly("m-1", streamed(numbered(*events, {"type": "response.failed", "response": failed})))
    error = frames(messages(gateway, stream=True).body)[-1].data["error"]
    assert (error["type"], error["message"]) == (kind, "Slow down.")


def test_limits_of_a_provider_reach_the_client(gateway: Running, upstream: FaultProvider) -> None:
    error = {
        "error": {"message": "Slow down.", "type": "tokens", "code": "rate_limit_exceeded", "param": None}
    }
    upstream.exactly("m-1", whole(error, status=429, headers={"retry-after": "7"}))
    for path, fields in (("/v1/responses", {"input": "hi"}), ("/v1/chat/completions", {})):
        asked = {"model": "r/m-1", "messages": [{"role": "user", "content": "x"}], **fields}
        if "input" in fields:
            del asked["messages"]
        reply = gateway.post(path, asked)
        assert reply.status == 429 and reply.error["code"] == "rate_limit_exceeded"
        assert reply.headers["retry-after"] == "7"


def test_a_stream_is_in_the_order_of_the_dialect_where_it_was_told_whole(
    gateway: Running, upstream: FaultProvider
) -> None:
    says(upstream, CALLED)
    reply = gateway.post("/v1/responses", {"model": "r/m-1", "input": "hi", "stream": True})
    assert responses_faults(frames(reply.body)) == []
