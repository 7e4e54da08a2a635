"""Clients of Messages before Anthropic: nothing is translated, and everything is accounted for.

What goes up and what comes back is compared byte for byte, over sockets; the receipt is that of the
translated path; and whatever befalls the provider, its client is told the truth in its own dialect.
"""

import json
import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from tests.conftest import StartGateway
from tests.contract.test_provider import sse
from tests.e2e.gateway import Reply, Running, until
from tests.e2e.streams import frames, messages_faults
from tests.faults.exact import Exact, streamed, whole
from tests.faults.provider import FaultProvider
from tests.sampled import at_length
from tests.unit.models.providers.test_messages_as_sent import END, FULL, ODD_ANSWER, WHOLE, event

PATH = "/v1/messages"
IDLE_S = 1.0
PRICED = ("priced", "fault:prompt-tokens=100,cached=30,written-5m=20,written-1h=10")
SAYS = [{"role": "user", "content": "What was a farthing?"}]
ALONE = """
[call]
retry_share_max = 0
retry_wait_s_max = 0
breaker_calls = 100000
[cache]
exact = "off"
"""


ENDPOINTS = """
[tiers.cheap]
targets = ["a/checked"]
[tiers.expensive]
targets = ["a/good"]
[endpoints.soon]
deadline_s = 20
on_limit = "partial"
cache = { exact = "off" }
[endpoints.brief]
deadline_s = 4
on_limit = "partial"
cache = { exact = "off" }
[endpoints.checked]
cache = { exact = "off" }
[endpoints.checked.cascade]
first = "cheap"
then = "expensive"
checks = [{ kind = "plain" }]
"""


def config(upstream: FaultProvider, more: str, idle_s: float) -> str:
    prices = "\n".join(
        f'[[prices]]\ntarget = "a/{model}"\ninput = 3\noutput = 15\ncached_input = 0.3\n'
        "cache_write_5m = 3.75\ncache_write_1h = 6"
        for model in PRICED
    )
    return f"""
[providers.a]
kind = "anthropic"
base_url = "{upstream.base_url.removesuffix("/v1")}"
api_key = "${{PROVIDER_KEY}}"
idle_s = {idle_s}
{prices}
{more}
"""


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    return start_gateway(config(upstream, ALONE, IDLE_S), PROVIDER_KEY="sk-ant-of-the-tests")


def ask(gateway: Running, model: str, **fields: Any) -> Reply:
    return gateway.post(PATH, {"model": f"a/{model}", "max_tokens": 50, "messages": SAYS, **fields})


# -- byte for byte -----------------------------------------------------------------------------------


def odd_requests(count: int) -> Iterator[bytes]:
    """Requests with white space, escapes, numbers and an order of names that no writer of ours makes."""
    chance = random.Random(9)
    for number in range(count):
        blank = [chance.choice(["", " ", "\n", "\t ", "\r\n  "]) for _ in range(6)]
        fields = {
            "model": f'"a/odd-{number}"',
            "max_tokens": str(chance.randint(1, 99)),
            "messages": f'[{blank[0]}{{"content":[{{"type":"text","text":"caf\\u00e9 \\/ \\ud83d\\ude00"'
            f'{blank[1]},"cache_control":{{"type":"ephemeral"}}}}],"role":"user"}}]',
            "metadata": '{"user_id":"9007199254740993"}',
            "temperature": chance.choice(["1.0", "1", "1e0"]),
            "future": chance.choice(["12345678901234567890", "1E+2", '{"a":[],"b":{ }}', '"model"']),
        }
        if chance.random() < 0.5:
            fields["stream"] = "true"
        members = [f'"{name}"{blank[2]}:{blank[3]}{value}' for name, value in fields.items()]
        chance.shuffle(members)
        yield f"{blank[4]}{{{(',' + blank[5]).join(members)}}}".encode()


def test_requests_and_answers_pass_byte_for_byte(gateway: Running, upstream: FaultProvider) -> None:
    for number, raw in enumerate(odd_requests(60)):
        upstream.exactly(f"odd-{number}", streamed(FULL) if b'"stream"' in raw else whole(ODD_ANSWER))
        reply = gateway.post(PATH, raw)
        assert reply.status == 200, reply.body
        assert upstream.calls[-1].body == raw.replace(b'"a/odd-', b'"odd-')
        assert reply.body == (FULL if b'"stream"' in raw else ODD_ANSWER)


THOUGHTS = [
    {"role": "user", "content": "go"},
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": ""},
            {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}},
        ],
    },
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "4 degrees"}]},
]
LOOK = {"name": "look", "input_schema": {"type": "object", "properties": {}}}


@pytest.mark.parametrize("signature", ["", None, "gemini-proof.e30="])
@pytest.mark.parametrize(
    ("model", "thinking"),
    [
        ("claude-sonnet-4-5", {"type": "enabled", "budget_tokens": 1_024}),
        ("claude-opus-5", {"type": "adaptive"}),
    ],
)
def test_thoughts_of_another_model_do_not_go_to_claude(
    gateway: Running, upstream: FaultProvider, model: str, thinking: Any, signature: str | None
) -> None:
    turns = json.loads(json.dumps(THOUGHTS))
    turns[1]["content"][0]["signature"] = signature
    edits = [{"type": "clear_thinking_20251015", "keep": "all"}, {"type": "clear_tool_uses_20250919"}]
    fields = {"messages": turns, "tools": [LOOK]}
    body = {"model": f"a/{model}", "max_tokens": 3_000, "thinking": thinking, **fields}
    body["context_management"] = {"edits": edits}
    beta = {"anthropic-beta": "context-management-2025-06-27"}
    reply = gateway.post(PATH, body, beta)
    assert reply.status == 200, reply.body
    assert "messages.thinking" in reply.headers["x-farthing-left-out"]
    up = upstream.calls[-1].json
    assert [block["type"] for block in up["messages"][1]["content"]] == ["tool_use"]
    thinks = model == "claude-opus-5"
    assert up.get("thinking") == (thinking if thinks else {"type": "disabled"})
    assert up["context_management"]["edits"] == (edits if thinks else edits[1:])
    counted = gateway.post(f"{PATH}/count_tokens", {"model": f"a/{model}", **fields})
    assert counted.status == 200, counted.body


def test_thoughts_go_back_as_they_are_to_models_that_sign_none(
    gateway: Running, upstream: FaultProvider
) -> None:
    upstream.exactly("glm-5", whole(ODD_ANSWER))
    body = {"model": "a/glm-5", "max_tokens": 50, "messages": THOUGHTS, "tools": [LOOK]}
    raw = json.dumps(body).encode()
    assert gateway.post(PATH, raw).status == 200
    assert upstream.calls[-1].body == raw.replace(b"a/glm-5", b"glm-5")


def test_a_name_that_is_there_twice_is_refused_before_any_call(
    gateway: Running, upstream: FaultProvider
) -> None:
    before = len(upstream.calls)
    for raw in (
        b'{"model":"a/good","model":"a/good","max_tokens":5,"messages":[]}',
        b'{"model":"a/good","max_tokens":5,"messages":[{"role":"user","content":"x","role":"user"}]}',
        b'{"model":"a/good","max_tokens":5,"messages":[],"x":{"a":1,"\\u0061":2}}',
    ):
        reply = gateway.post(PATH, raw)
        assert reply.status == 400 and reply.json["error"]["type"] == "invalid_request_error", reply.body
        assert "twice" in reply.json["error"]["message"]
    assert len(upstream.calls) == before


def test_headers_pass_both_ways(gateway: Running, upstream: FaultProvider) -> None:
    said = {"anthropic-version": "2023-06-01", "anthropic-beta": "b1,b2", "x-api-key": "sk-of-a-client"}
    limits = {"anthropic-ratelimit-unified-status": "allowed", "request-id": "req_up", "set-cookie": "no"}
    upstream.exactly("headers", whole(ODD_ANSWER, headers=limits))
    body = json.dumps({"model": "a/headers", "max_tokens": 5, "messages": SAYS}).encode()
    reply = gateway.post(f"{PATH}?beta=true", body, said)
    call = upstream.calls[-1]
    assert (call.path, call.query) == ("/v1/messages", "beta=true")
    assert call.headers["anthropic-beta"] == "b1,b2" and call.headers["anthropic-version"] == "2023-06-01"
    assert call.headers["x-api-key"] == "sk-ant-of-the-tests" and "authorization" not in call.headers
    assert reply.headers["anthropic-ratelimit-unified-status"] == "allowed"
    assert reply.headers["x-upstream-request-id"] == "req_up" and "set-cookie" not in reply.headers
    assert gateway.receipt_of(reply).attempts[0].upstream_id == "req_up"


def test_tokens_are_counted_of_what_was_sent(gateway: Running, upstream: FaultProvider) -> None:
    raw = b'{ "messages":[{"role":"user","content":"caf\\u00e9"}],"model":"a/good" , "system":"x"}'
    reply = gateway.post(f"{PATH}/count_tokens", raw, {"anthropic-beta": "b1"})
    assert reply.status == 200 and reply.json["input_tokens"] > 0, reply.body
    call = upstream.calls[-1]
    assert call.path.endswith("/count_tokens") and call.body == raw.replace(b"a/good", b"good")
    assert call.headers["anthropic-beta"] == "b1"


# -- money -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", PRICED)
def test_the_receipt_is_that_of_the_translated_path(gateway: Running, model: str, stream: bool) -> None:
    own = ask(gateway, model, stream=stream)
    body = {"model": f"a/{model}", "max_tokens": 50, "messages": SAYS, "stream": stream}
    chat = gateway.post("/v1/chat/completions", body)
    assert own.status == chat.status == 200, (own.body, chat.body)
    one, other = gateway.receipt_of(own), gateway.receipt_of(chat)
    assert one.usage == other.usage and one.cost_nusd == other.cost_nusd is not None
    assert (one.dialect, other.dialect) == ("messages", "chat")
    assert one.attempts[0].left_out == "" and one.stop_reason == other.stop_reason == "stop"


# -- faults ------------------------------------------------------------------------------------------

PLAIN = FULL[FULL.index(b"event: message_start") :]
FIRST_BLOCK = PLAIN.index(b"event: content_block_start")
SAYS_WHY = PLAIN.index(b"event: message_delta")
SAID = PLAIN.index(b"event: message_stop")
STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
ERROR_SAID = b'{"type": "error","error":{"type":"overloaded_error", "message":"Overloaded"}}'
ERROR = b"event: error\ndata: %b\n\n" % ERROR_SAID


def broken(reply: Reply) -> Any:
    """The error that ends a stream."""
    last = reply.body.split(b"\n\n")[-2]
    assert last.startswith(b"event: error\n"), reply.body[-200:]
    said = json.loads(last.split(b"data: ")[1])
    assert said["type"] == "error" and said["error"]["type"] == "api_error" and said["error"]["message"]
    return said


@at_length("step", sample=61, full=7)
@pytest.mark.parametrize("end", ["cut", "reset", "keep"])
def test_a_stream_that_is_cut_at_any_byte_is_told_as_far_as_it_came_and_never_as_whole(
    gateway: Running, upstream: FaultProvider, end: Any, step: int
) -> None:
    begun, said_why = PLAIN.index(b"\n\n", FIRST_BLOCK), PLAIN.index(b"\n\n", SAYS_WHY)
    for cut in [*range(0, len(PLAIN), step), begun, begun + 1, said_why + 2, len(PLAIN) - 1]:
        given = PLAIN[:cut]
        upstream.exactly("cut", streamed(given, end=end))
        reply = ask(gateway, "cut", stream=True)
        if cut > said_why or (end != "reset" and cut == said_why):
            assert reply.body in (PLAIN, PLAIN[:SAID] + STOP), cut
            assert gateway.receipt_of(reply).usage is not None
        elif cut < begun or reply.status != 200:  # of an answer nothing came, or nothing in time
            assert cut < begun + 2 or end == "reset", cut
            assert reply.status >= 500 and reply.json["type"] == "error", (cut, reply.body)
        else:
            broken(reply)
            sent = reply.body[: reply.body.rindex(b"event: error")]
            complete = given[: given.rfind(b"\n\n") + 2]
            assert sent.startswith(complete[:SAYS_WHY]) or end == "reset", cut
            assert PLAIN.startswith(sent.rstrip(b"\n")), cut
            assert gateway.receipt_of(reply).error
            assert b"message_stop" not in reply.body and b'"stop_reason":"' not in sent


def test_a_whole_answer_that_is_cut_at_any_byte_is_an_error(
    gateway: Running, upstream: FaultProvider
) -> None:
    head, _, _ = whole(ODD_ANSWER).pieces[0][1].partition(b"\r\n\r\n")
    for cut in range(0, len(ODD_ANSWER), 17):
        upstream.exactly("half", Exact(((0.0, head + b"\r\n\r\n" + ODD_ANSWER[:cut]),), "cut"))
        reply = ask(gateway, "half")
        assert reply.status == 502 and reply.json["error"]["type"] == "api_error", reply.body


def test_a_stream_that_stalls_is_told_as_broken(gateway: Running, upstream: FaultProvider) -> None:
    half = PLAIN[: PLAIN.index(b"event: content_block_stop")]
    upstream.exactly("stalls", streamed(half, end="hold"))
    reply = ask(gateway, "stalls", stream=True)
    broken(reply)
    assert reply.body.startswith(half)


def test_a_stream_that_stalls_after_it_said_why_it_ended_is_whole(
    gateway: Running, upstream: FaultProvider
) -> None:
    upstream.exactly("late", streamed(PLAIN[:SAID], end="hold"))
    assert ask(gateway, "late", stream=True).body == PLAIN[:SAID] + STOP


def test_an_error_event_passes_as_it_is_and_is_the_last(gateway: Running, upstream: FaultProvider) -> None:
    half = PLAIN[: PLAIN.index(b"event: content_block_stop")]
    upstream.exactly("says", streamed(half, ERROR, PLAIN[len(half) :], gap_s=0.3))
    for _ in range(10):
        reply = ask(gateway, "says", stream=True)
        if reply.status == 200:
            break
        assert reply.body == ERROR_SAID, "both came at once, so that nothing was sent before it"
    assert reply.body == half + ERROR
    receipt = gateway.receipt_of(reply)
    assert receipt.attempts[-1].error and receipt.usage is not None


@pytest.mark.parametrize("end", ["cut", "hold", "error"])
def test_the_receipt_of_a_broken_stream_is_that_of_the_translated_path(
    gateway: Running, upstream: FaultProvider, end: Any
) -> None:
    half = PLAIN[: PLAIN.index(b"event: content_block_start", FIRST_BLOCK + 1)]  # what has a known price
    given = streamed(half, ERROR, gap_s=0.3) if end == "error" else streamed(half, end=end)
    upstream.exactly("priced", given)
    body = {"model": "a/priced", "max_tokens": 50, "messages": SAYS, "stream": True}
    rows = []
    for path in (PATH, "/v1/chat/completions"):
        for _ in range(10):
            reply = gateway.post(path, body)
            if reply.status == 200:  # else all came at once
                break
        rows.append(gateway.receipt_of(reply))
    own, translated = rows
    assert own.usage == translated.usage is not None and own.cost_nusd == translated.cost_nusd
    assert own.cost_nusd and own.usage is not None and own.usage.output_tokens > 1
    assert own.attempts[-1].error == translated.attempts[-1].error != ""
    assert (own.status, own.stop_reason) == (translated.status, translated.stop_reason)


def test_an_error_event_before_the_answer_has_its_status_and_its_bytes(
    gateway: Running, upstream: FaultProvider
) -> None:
    upstream.exactly("early", streamed(PLAIN[:FIRST_BLOCK], ERROR))
    reply = ask(gateway, "early", stream=True)
    assert reply.status == 529 and reply.body == ERROR_SAID


@pytest.mark.parametrize("status", [400, 403, 404, 413, 429, 500, 504, 529])
@pytest.mark.parametrize("stream", [False, True])
def test_an_error_passes_as_it_is(
    gateway: Running, upstream: FaultProvider, status: int, stream: bool
) -> None:
    said = b' {"type":"error","error":{"type":"some_error","message":"caf\\u00e9"},"request_id":"req_up"}\n'
    headers = {"request-id": "req_up", "x-should-retry": "false", "retry-after": "7"}
    upstream.exactly(f"e{status}", whole(said, status, headers=headers))
    reply = ask(gateway, f"e{status}", stream=stream)
    assert (reply.status, reply.body) == (status, said)
    assert reply.headers["request-id"] == "req_up" and reply.headers["x-should-retry"] == "false"
    assert gateway.receipt_of(reply).cost_nusd == 0


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("body", [b"<html>busy</html>", b"", b"{}", b"[1]", b"\xff\xfe"])
def test_what_is_no_answer_is_an_error_in_the_client_s_dialect(
    gateway: Running, upstream: FaultProvider, stream: bool, body: bytes
) -> None:
    upstream.exactly("odd", whole(body, content_type="text/html"))
    reply = ask(gateway, "odd", stream=stream)
    assert reply.status == 502 and reply.json["error"]["type"] == "api_error", reply.body


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/json", "text/html"])
def test_a_stream_is_one_whatever_its_type_is_said_to_be(
    gateway: Running, upstream: FaultProvider, content_type: str | None
) -> None:
    upstream.exactly("typed", streamed(FULL, content_type=content_type))
    assert ask(gateway, "typed", stream=True).body == FULL


def test_a_whole_answer_in_the_place_of_a_stream_is_told_as_one(
    gateway: Running, upstream: FaultProvider
) -> None:
    upstream.exactly("whole", whole(json.dumps(WHOLE).encode()))
    reply = ask(gateway, "whole", stream=True)
    kinds = [one["type"] for one in reply.events]
    assert kinds[0] == "message_start" and kinds[-2:] == ["message_delta", "message_stop"]
    starts = [one["content_block"]["type"] for one in reply.events if one["type"] == "content_block_start"]
    assert starts == [block["type"] for block in WHOLE["content"]]
    assert gateway.receipt_of(reply).usage is not None


# -- deadlines, caches, sharing ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    return start_gateway(config(upstream, ENDPOINTS, 30.0), PROVIDER_KEY="sk-ant-of-the-tests")


def test_an_answer_that_was_streamed_to_us_alone_has_all_that_came(
    shared: Running, upstream: FaultProvider
) -> None:
    upstream.exactly("soon", streamed(FULL))
    body = {"model": "a/soon", "max_tokens": 50, "messages": SAYS}
    reply = shared.post(PATH, body, {"x-farthing-endpoint": "soon"})
    assert upstream.calls[-1].json["stream"] is True
    assert reply.json == WHOLE


@pytest.mark.parametrize("stream", [False, True])
def test_what_came_before_the_deadline_is_closed_in_good_order(
    shared: Running, upstream: FaultProvider, stream: bool
) -> None:
    half = PLAIN[: PLAIN.index(b"event: weather")].rpartition(b"event: content_block_stop")[0]
    upstream.exactly("brief", streamed(half, end="hold"))
    body = {"model": "a/brief", "max_tokens": 50, "messages": SAYS, "stream": stream}
    reply = shared.post(PATH, body, {"x-farthing-endpoint": "brief"})
    receipt = shared.receipt_of(reply)
    assert receipt.stop_reason == "limit:deadline_s" and receipt.usage is not None
    if stream:
        assert reply.body.startswith(half) and messages_faults(frames(reply.body)) == []
    else:
        assert reply.json["content"] == WHOLE["content"][:-1] and reply.json["stop_reason"] == "max_tokens"


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_was_checked_first_passes_byte_for_byte(
    shared: Running, upstream: FaultProvider, stream: bool
) -> None:
    events = FULL.replace(b'"tool_use", "stop', b'"end_turn", "stop')
    upstream.exactly("checked", streamed(events) if stream else whole(ODD_ANSWER))
    body = {"model": "auto", "max_tokens": 50, "messages": SAYS, "stream": stream}
    reply = shared.post(PATH, body, {"x-farthing-endpoint": "checked"})
    assert reply.body == (events if stream else ODD_ANSWER)
    receipt = shared.receipt_of(reply)
    assert [attempt.target for attempt in receipt.attempts] == ["a/checked"]
    assert receipt.tier == "cheap" and receipt.doubt == ""


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_with_blocks_that_the_form_has_no_place_for_is_not_kept(
    shared: Running, upstream: FaultProvider, stream: bool
) -> None:
    model = f"searches-{stream}"
    body = json.dumps({**WHOLE, "stop_reason": "end_turn", "content": WHOLE["content"][:-1]}).encode()
    without_call = PLAIN[: PLAIN.index(b"event: weather")] + PLAIN[SAYS_WHY:]
    events = without_call.replace(b'"tool_use"', b'"end_turn"')
    upstream.exactly(model, streamed(events) if stream else whole(body))
    for _ in range(2):
        reply = ask(shared, model, stream=stream, temperature=0)
        assert reply.headers["x-farthing-cache"] == "miss"
        assert reply.body == (events if stream else body)


def test_what_one_dialect_paid_for_serves_the_other(shared: Running, upstream: FaultProvider) -> None:
    first = ask(shared, "good", temperature=0)
    before = len(upstream.calls)
    chat = {"model": "a/good", "max_tokens": 50, "messages": SAYS, "temperature": 0}
    other = shared.post("/v1/chat/completions", chat)
    assert other.headers["x-farthing-cache"] == "exact" and len(upstream.calls) == before
    assert other.json["choices"][0]["message"]["content"] == first.json["content"][0]["text"]
    again = ask(shared, "good", temperature=0)
    assert again.headers["x-farthing-cache"] == "exact" and len(upstream.calls) == before
    assert again.json["content"] == first.json["content"]


def of_text(pieces: int) -> list[bytes]:
    """A stream of text, its events apart."""
    said = [
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        *[
            event("content_block_delta", index=0, delta={"type": "text_delta", "text": f"{number} "})
            for number in range(pieces)
        ],
        event("ping"),
        event("content_block_stop", index=0),
        *END,
    ]
    raw = [PLAIN[:FIRST_BLOCK], *[sse(one) for one in said]]
    raw[-2] = raw[-2].replace(b"tool_use", b"end_turn")
    return raw


def at_once(gateway: Running, upstream: FaultProvider, model: str, paths: list[str]) -> list[bytes]:
    """What clients get that ask the same at the same time, the first of them first."""
    asked = {"model": f"a/{model}", "max_tokens": 50, "messages": SAYS, "stream": True, "temperature": 0}
    raw = json.dumps(asked).encode()
    with ExitStack() as stack:
        clients = [stack.enter_context(gateway.dial()) for _ in paths]
        for client, path in zip(clients, paths, strict=True):
            client.sendall(gateway.wire(path, raw, "connection: close"))
            until(lambda: any(call.model == model for call in upstream.calls))
        return [dechunked(all_of(client)) for client in clients]


CHAT = "/v1/chat/completions"


def test_clients_of_both_dialects_follow_one_stream(shared: Running, upstream: FaultProvider) -> None:
    raw = of_text(9)
    upstream.exactly("both", streamed(*raw, gap_s=0.15))
    own, told, same = at_once(shared, upstream, "both", [PATH, CHAT, PATH])
    assert own == same == b"".join(raw)
    assert told.endswith(b"data: [DONE]\n\n") and told.count(b'"content":"') >= 9
    assert len([call for call in upstream.calls if call.model == "both"]) == 1


def test_who_would_miss_something_of_another_s_stream_has_one_of_its_own(
    shared: Running, upstream: FaultProvider
) -> None:
    upstream.exactly("mixed", streamed(*of_text(9)[:-3], FULL[FULL.index(b"event: weather") :], gap_s=0.15))
    told, own, more = at_once(shared, upstream, "mixed", [CHAT, PATH, CHAT])
    assert b"event: weather" in own and own.startswith(PLAIN[:FIRST_BLOCK])
    assert told.count(b'"content":"') == more.count(b'"content":"') >= 9
    assert len([call for call in upstream.calls if call.model == "mixed"]) == 2


def all_of(client: socket.socket) -> bytes:
    found = b""
    while piece := client.recv(65_536):
        found += piece
    return found


def dechunked(raw: bytes) -> bytes:
    head, _, rest = raw.partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head.lower(), head
    found = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        if not int(size, 16):
            assert rest == b"\r\n", "the stream has ended, and more came"
            break
        found += rest[: int(size, 16)]
        rest = rest[int(size, 16) + 2 :]
    return found
