"""Clients before Bedrock: what is written is what it takes, what it bills is what the receipt says, and what
goes wrong in its frames is told as it is. It reads requests by the shapes of AWS's service model."""

import json
from typing import Any

import pytest
from tests.conftest import StartGateway
from tests.e2e.gateway import Reply, Running, until
from tests.e2e.test_messages_upstream import CHATS, WEATHER, calls_in, user
from tests.faults import frames
from tests.faults.exact import whole
from tests.faults.provider import FaultProvider
from tests.faults.truth import Call

CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
PRICED = "fault:prompt-tokens=100,cached=30,written-5m=20,written-1h=10"
PATH = "/v1/messages"
KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    "AWS_SESSION_TOKEN": "a-token-of-a-session",
}


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    config = f"""
[providers.b]
kind = "bedrock"
region = "us-east-1"
base_url = "{upstream.base_url}"
[providers.named]
kind = "bedrock"
region = "us-east-1"
base_url = "{upstream.base_url}"
api_key = "${{BEDROCK_KEY}}"
[providers.hopeful]
kind = "bedrock"
region = "us-east-1"
base_url = "{upstream.base_url}"
api_key = "${{BEDROCK_KEY}}"
betas = ["context-1m-2025-08-07", "per-turn-control-2026-07-01"]
[aliases]
small = "b/good"
tiny = "b/good"
[cache]
exact = "off"
[call]
retry_wait_s_max = 1
[[prices]]
target = "b/{PRICED}"
input = 3
output = 15
cached_input = 0.3
cache_write_5m = 3.75
cache_write_1h = 6
"""
    return start_gateway(config, BEDROCK_KEY="ABSK-of-the-tests", **KEYS)


def told(gateway: Running, messages: Any, model: str = "b/good", **fields: Any) -> Reply:
    reply = gateway.post("/v1/chat/completions", {"model": model, "messages": messages, **fields})
    assert reply.status == 200, reply.body
    return reply


def call_of(upstream: FaultProvider) -> Call:
    call = upstream.calls[-1]
    until(lambda: call.end_s is not None)
    return call


# -- how it is asked -------------------------------------------------------------------------------------


def test_calls_are_signed_with_the_keys_of_the_environment(gateway: Running, upstream: FaultProvider) -> None:
    told(gateway, [user("two")])
    headers = call_of(upstream).headers
    assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
    assert headers["x-amz-security-token"] == KEYS["AWS_SESSION_TOKEN"]
    told(gateway, [user("two")], "named/good")
    assert call_of(upstream).headers["authorization"] == "Bearer ABSK-of-the-tests"
    assert "x-amz-date" not in call_of(upstream).headers


@pytest.mark.parametrize("model", ["good", "amazon.nova-pro-v1:0", CLAUDE])
@pytest.mark.parametrize("chat", CHATS)
def test_a_chat_is_written_as_the_provider_takes_it(
    gateway: Running, upstream: FaultProvider, chat: str, model: str
) -> None:
    messages, fields = CHATS[chat]
    calls = len(upstream.calls)
    reply = gateway.post("/v1/chat/completions", {"model": f"b/{model}", "messages": messages, **fields})
    if reply.status == 400:
        assert reply.error["code"] == "cannot_say", reply.body
        assert len(upstream.calls) == calls
    else:
        assert reply.status == 200, reply.body


@pytest.mark.parametrize("model", ["good", CLAUDE])
@pytest.mark.parametrize("stream", [False, True])
def test_parallel_calls_go_round_until_their_answer(
    gateway: Running, upstream: FaultProvider, model: str, stream: bool
) -> None:
    upstream.script("calls=2")
    asked = [user("the weather in two towns")]
    tools = {"tools": [WEATHER], "stream": stream, "tool_choice": "required"}
    calls = calls_in(told(gateway, asked, f"b/{model}", **tools))
    assert [json.loads(one["function"]["arguments"]) for one in calls] == [{"city": "text", "days": 1}] * 2
    results = [{"role": "tool", "tool_call_id": one["id"], "content": "sun"} for one in reversed(calls)]
    turn = {"role": "assistant", "content": "", "tool_calls": calls}
    for choice in ("auto", "none"):
        messages = [*asked, turn, *results, user("thanks")]
        last = told(gateway, messages, f"b/{model}", tools=[WEATHER], tool_choice=choice)
        assert last.json["choices"][0]["message"]["content"] == "echo: thanks"


def test_a_stream_with_tools_of_a_model_that_has_none_comes_whole(
    gateway: Running, upstream: FaultProvider
) -> None:
    llama = "b/us.meta.llama4-maverick-17b-instruct-v1:0"
    reply = told(gateway, [user("the weather")], llama, tools=[WEATHER], stream=True)
    assert call_of(upstream).path.endswith("/converse")
    assert [json.loads(one["function"]["arguments"])["days"] for one in calls_in(reply)] == [1]
    assert reply.events[-2]["choices"][0]["finish_reason"] == "tool_calls" and reply.events[-1] == "[DONE]"
    usage = gateway.receipt_of(reply).usage
    assert usage is not None and usage.output_tokens == call_of(upstream).completion_tokens
    tool = {"name": "weather", "input_schema": WEATHER["function"]["parameters"]}
    body = {"model": llama, "messages": [user("the weather")], "max_tokens": 99, "tools": [tool]}
    events = gateway.post(PATH, {**body, "stream": True}).events
    assert events[-1]["type"] == "message_stop"
    begun = [event["content_block"] for event in events if event["type"] == "content_block_start"]
    assert ("tool_use", "weather") in [(block["type"], block.get("name")) for block in begun]
    told(gateway, [user("two")], llama, stream=True)
    assert call_of(upstream).path.endswith("/converse-stream"), "with no tools it is a stream"


@pytest.mark.parametrize("stream", [False, True])
def test_what_a_model_thought_comes_back_signed_to_its_provider(
    gateway: Running, upstream: FaultProvider, stream: bool
) -> None:
    upstream.script("reasoning=hm%20so")
    asked = [user("two")]
    body: dict[str, Any] = {"model": "b/good", "messages": asked, "max_tokens": 99}
    reply = gateway.post(PATH, {**body, "stream": stream}, headers={"anthropic-version": "2023-06-01"})
    assert reply.status == 200, reply.body
    if stream:
        pieces = [event["delta"] for event in reply.events if event["type"] == "content_block_delta"]
        signature = next(one["signature"] for one in pieces if one["type"] == "signature_delta")
    else:
        signature = reply.json["content"][0]["signature"]
    thought = {"type": "thinking", "thinking": "hm so", "signature": signature}
    turn = {"role": "assistant", "content": [thought, {"type": "text", "text": "echo: two"}]}
    again = {**body, "messages": [*asked, turn, {"role": "user", "content": "go on"}]}
    assert gateway.post(PATH, again).status == 200
    blocks = call_of(upstream).json["messages"][1]["content"]
    signed = {"text": "hm so", "signature": "c2lnbmVkIGJ5IHRoZSBtb2RlbA=="}
    assert blocks[0] == {"reasoningContent": {"reasoningText": signed}}
    told(gateway, [user("x")], "named/good")
    other = {**again, "model": "named/good"}
    assert gateway.post(PATH, other).status == 200
    assert "reasoningContent" not in json.dumps(call_of(upstream).json), "nobody else can prove it"


# -- Claude for clients of Messages ----------------------------------------------------------------------


def test_a_client_of_messages_and_claude_speak_to_each_other(
    gateway: Running, upstream: FaultProvider
) -> None:
    raw = (
        b'{"model":"b/%b",  "max_tokens":99, "messages":[{"role":"user","content":"caf\\u00e9"}],'
        b'"stream": true}' % CLAUDE.encode()
    )
    reply = gateway.request("POST", PATH, raw, {"anthropic-beta": "context-1m-2025-08-07,unknown-2020-01-01"})
    assert reply.status == 200, reply.body
    call = call_of(upstream)
    assert b'"messages":[{"role":"user","content":"caf\\u00e9"}]' in call.body
    assert call.json["anthropic_version"] == "bedrock-2023-05-31"
    assert call.json["anthropic_beta"] == ["context-1m-2025-08-07"] and "model" not in call.json
    events = reply.events
    assert [event["type"] for event in events][:3] == ["message_start", "content_block_start", "ping"]
    assert events[-1]["type"] == "message_stop"
    assert events[-1]["amazon-bedrock-invocationMetrics"]["invocationLatency"] == 5, "as it came"
    pieces = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    assert "".join(piece.get("text", "") for piece in pieces) == "echo: café"
    whole_one = gateway.post(PATH, {**json.loads(raw), "stream": False})
    assert whole_one.json["content"] == [{"type": "text", "text": "echo: café"}]
    usage = gateway.receipt_of(whole_one).usage
    assert usage is not None and usage.output_tokens == call_of(upstream).completion_tokens


def test_betas_that_are_refused_are_left_out_at_once_and_from_then_on(
    gateway: Running, upstream: FaultProvider
) -> None:
    asked = {"anthropic-beta": "context-1m-2025-08-07,per-turn-control-2026-07-01"}
    body = {"model": f"hopeful/{CLAUDE}", "max_tokens": 9, "messages": [user("two")]}
    before = len(upstream.calls)
    for calls in (2, 3):
        reply = gateway.request("POST", PATH, json.dumps(body).encode(), asked)
        assert reply.status == 200, reply.body
        assert len(upstream.calls) - before == calls
        assert "anthropic_beta" not in call_of(upstream).json
        assert "anthropic-beta.per-turn-control-2026-07-01" in reply.headers["x-farthing-left-out"]


@pytest.mark.parametrize("script", ["gap=0.02,error=3", "gap=0.02,truncate=3,end=clean"])
@pytest.mark.parametrize("model", ["good", CLAUDE])
def test_what_breaks_a_stream_is_an_error_event_and_no_end(
    gateway: Running, upstream: FaultProvider, model: str, script: str
) -> None:
    upstream.script(script)
    words = " ".join(f"w{index}" for index in range(20))
    body = {"model": f"b/{model}", "max_tokens": 99, "messages": [user(words)], "stream": True}
    reply = gateway.post(PATH, body)
    kinds = [event["type"] for event in reply.events]
    assert kinds[-1] == "error" and not {"message_delta", "message_stop"} & set(kinds)
    row = gateway.receipt_of(reply)
    assert row.error == "stream_broken" and row.usage is not None and row.usage.estimated


def test_tokens_are_counted_by_bedrock_where_it_can(gateway: Running, upstream: FaultProvider) -> None:
    body = {"model": f"b/{CLAUDE}", "messages": [user("x")]}
    reply = gateway.post(f"{PATH}/count_tokens", body)
    assert reply.json == {"input_tokens": 42}, reply.body
    assert call_of(upstream).path.endswith("/anthropic.claude-sonnet-4-5-20250929-v1%3A0/count-tokens")
    calls = len(upstream.calls)
    other = gateway.post(f"{PATH}/count_tokens", {**body, "model": "b/good"})
    assert other.status == 200 and other.json["input_tokens"] > 0 and len(upstream.calls) == calls


def test_its_models_and_profiles_are_listed(gateway: Running) -> None:
    listed = [entry["id"] for entry in gateway.request("GET", "/v1/models").json["data"]]
    for name in ("good", "amazon.nova-lite-v1:0", "us.amazon.nova-pro-v1:0"):
        assert any(one.endswith(name) for one in listed), listed


# -- what it costs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_the_receipt_is_the_bill(gateway: Running, upstream: FaultProvider, stream: bool) -> None:
    reply = told(gateway, [user("one two")], f"b/{PRICED}", stream=stream)
    row = gateway.receipt_of(reply)
    output = call_of(upstream).completion_tokens
    assert row.cost_nusd == 40 * 3_000 + 30 * 300 + 20 * 3_750 + 10 * 6_000 + output * 15_000


# -- a clock that is off ---------------------------------------------------------------------------------


def test_a_clock_that_is_off_costs_one_call(start_gateway: StartGateway, second: FaultProvider) -> None:
    config = f"""
[providers.late]
kind = "bedrock"
region = "us-east-1"
base_url = "{second.base_url}"
[cache]
exact = "off"
"""
    gateway = start_gateway(config, **KEYS)
    refusal = whole(
        b'{"message": "Signature expired"}',
        status=403,
        headers={
            "x-amzn-errortype": "InvalidSignatureException",
            "date": "Thu, 01 Jan 2099 00:00:00 GMT",
        },
    )
    good = whole(
        json.dumps(
            {
                "output": {"message": {"role": "assistant", "content": [{"text": "Cold."}]}},
                "stopReason": "end_turn",
                "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
            }
        ).encode()
    )
    second.exactly("skewed", refusal, good)
    reply = told(gateway, [user("x")], "late/skewed")
    assert reply.json["choices"][0]["message"]["content"] == "Cold."
    first, again = [call for call in second.calls if call.model == "skewed"]
    assert not first.headers["x-amz-date"].startswith("2099")
    assert again.headers["x-amz-date"].startswith("20990101")
    row = gateway.receipt_of(reply)
    assert [attempt.error for attempt in row.attempts] == ["provider_unavailable", None]
    assert row.attempts[0].cost_nusd == 0


# -- compressed, cut anywhere ----------------------------------------------------------------------------


def test_frames_may_be_compressed(gateway: Running, upstream: FaultProvider) -> None:
    reply = told(gateway, [user("one two")], "b/fault:gzip=1,seed=3", stream=True)
    assert reply.said == "echo: one two" and reply.events[-1] == "[DONE]"


def test_an_answer_that_nobody_foresaw_is_a_failed_call(gateway: Running, upstream: FaultProvider) -> None:
    for body in (b"{}", b"[]", b"<html></html>", frames.event("messageStart", role="assistant")):
        upstream.exactly("odd", whole(body))
        reply = gateway.post("/v1/chat/completions", {"model": "b/odd", "messages": [user("x")]})
        assert reply.status == 502, body


def test_converse_names_no_model_so_the_names_of_clients_are_no_change_of_it(gateway: Running) -> None:
    for name in ("b/good", "small", "tiny"):
        reply = told(gateway, [user("Hello")], name)
        assert reply.json["model"], "clients read one all the same"
        assert [call.model for call in gateway.receipt_of(reply).attempts] == [""]
    claude = told(gateway, [user("Hello")], f"b/{CLAUDE}")
    assert gateway.receipt_of(claude).attempts[0].model
    assert "answers with another model" not in gateway.logged()
