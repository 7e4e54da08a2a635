"""The fault matrix, from the client's end: what a provider or client does wrong costs what it must, no more.

Each tier is named after its fault: its first target misbehaves so, the second is good. What the gateway
tells of a call is compared with what the provider itself saw of it. The client speaks chat completions, the
provider each dialect in turn, with the same faults.
"""

import json
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import StartGateway
from tests.e2e.gateway import Reply, Running, running, start, until
from tests.faults.network import black_hole, closed_port
from tests.faults.provider import FaultProvider
from tests.pace import BUSY_S

from farthing.types import Receipt

FIRST_BYTE_S, WHOLE_S, IDLE_S, TOTAL_S, CONNECT_S = 0.8, 1.4, 0.8, 4.0, 0.5
STALL_S = 1.0
MIB = 1_048_576

LIMITS = f"""
connect_s = {CONNECT_S}
first_byte_s = {FIRST_BYTE_S}
whole_s = {WHOLE_S}
idle_s = {IDLE_S}
total_s = {TOTAL_S}
answer_bytes_max = {4 * MIB}
event_bytes_max = {MIB}
"""

BEFORE_FIRST = {
    "U3": "reset",
    "U4": "hang",
    "U6-empty": "truncate=0,end=clean",
    "U6-at-once": "truncate=0,end=cut",
    "U7-html": "bad=html",
    "U7-empty": "bad=empty",
    "U8": "status=429,retry-after=2",
    "U9": "status=429",
    "U10": "status=500",
    "U10-503": "status=503,body=html",
    "U10-529": "status=529",
    "U10-504": "status=504,body=empty",
    "U10-broken": "status=502,body=broken",
    "key": "status=401",
    "U11-head": "head-rate=20",
    "U12-double": "length=double",
    "U13-head": "header=10000000",
    "said": "error=0",
}
WHOLE_ONLY = {
    "U13-gzip": "gzip=50000000",
    "U5": "stall=3",
    "U6-cut": "truncate=3,end=cut",
    "U6-reset": "truncate=3,end=reset",
    "U7": "bad=json",
    "U7-sse": "bad=sse",
    "U7-utf8": "bad=utf8",
    "U7-type": "bad=type",
    "U11": "rate=20",
    "U12": "length=short",
    "U12-long": "length=long",
    "U13": "endless",
}
TIERS = BEFORE_FIRST | WHOLE_ONLY


DIALECTS = {
    "openai": "/v1/chat/completions",
    "anthropic": "/v1/messages",
    "responses": "/v1/responses",
    "bedrock": "/v1/model/",
}
"""Kinds of providers, and the path by which each is asked."""
UNENDED = {
    "openai": "neither a finish reason nor [DONE]",
    "anthropic": "ended before its answer did",
    "responses": "ended before its answer did",
    "bedrock": "ended before its answer did",
}
"""What is said of a stream without its end."""
DAMAGED = "does not have its checksum"
"""Of frames: whatever is changed in one is damage."""
NO_JSON = {"openai": "not JSON", "anthropic": "not JSON", "responses": "not JSON", "bedrock": DAMAGED}
NO_OBJECT = {
    "openai": "not a JSON object",
    "anthropic": "not an object",
    "responses": "not an object",
    "bedrock": DAMAGED,
}


@pytest.fixture(scope="module", params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> str:
    """What the providers of the gateway speak."""
    return str(request.param)


@pytest.fixture(scope="module")
def gateway(
    start_gateway: StartGateway, upstream: FaultProvider, second: FaultProvider, dialect: str
) -> Running:
    limits = f'kind = "{dialect}"\napi_key = "${{PROVIDER_KEY}}"\n{LIMITS}'
    if dialect == "bedrock":
        limits += 'region = "us-east-1"\nauth = "bearer"\n'
    scripts = TIERS | {f"{name}-streamed": f"{script},seed=1" for name, script in BEFORE_FIRST.items()}
    tiers = "\n".join(
        f'[tiers."{name}"]\ntargets = ["a/fault:{script}", "b/good-{name}"]\n'
        for name, script in scripts.items()
    )
    config = f"""
[server]
write_stall_s = {STALL_S}
[providers.a]
base_url = "{upstream.base_url}"
{limits}
[providers.patient]
base_url = "{upstream.base_url}"
{limits.replace(f"first_byte_s = {FIRST_BYTE_S}", "first_byte_s = 10.0")}
[providers.b]
base_url = "{second.base_url}"
{limits}
[tiers.both]
targets = ["a/both", "b/both"]
{tiers}
[[prices]]
target = "b/good-U3"
input = 1
output = 1
[cache]
exact = "off"
[call]
breaker_open_s = 0.5
retry_wait_s_max = 0.3
"""
    return start_gateway(config, PROVIDER_KEY="sk-of-the-tests")


def reached_second(gateway: Running, reply: Reply, tier: str) -> Receipt:
    assert reply.status == 200, reply.body[:500]
    assert reply.headers["x-farthing-model"] == f"b/good-{tier}"
    row = gateway.receipt_of(reply)
    assert [attempt.target for attempt in row.attempts][-1] == f"b/good-{tier}"
    assert row.attempts[0].error and row.attempts[-1].error is None
    assert (row.status, row.calls) == (200, len(row.attempts))
    return row


@pytest.mark.parametrize("tier", TIERS)
def test_a_fault_before_a_whole_answer_is_invisible(gateway: Running, tier: str) -> None:
    reply = gateway.chat("one two three four five six", model=tier)
    row = reached_second(gateway, reply, tier)
    assert reply.json["choices"][0]["message"]["content"] == "echo: one two three four five six"
    assert row.total_ms < 1_000 * (WHOLE_S + BUSY_S), row.attempts
    assert row.usage is not None and row.usage.output_tokens == 7


@pytest.mark.parametrize("tier", BEFORE_FIRST)
def test_a_fault_before_the_first_chunk_is_invisible(gateway: Running, tier: str) -> None:
    tier = f"{tier}-streamed"  # a target of its own: one that was asked to wait is left alone for a while
    reply = gateway.chat("one two three", model=tier, stream=True)
    row = reached_second(gateway, reply, tier)
    assert reply.said == "echo: one two three" and reply.events[-1] == "[DONE]"
    assert row.total_ms < 1_000 * (FIRST_BYTE_S + BUSY_S), row.attempts


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("stall=3", "in time"),
        ("truncate=3,end=clean", UNENDED),
        ("truncate=3,end=cut", "ended"),
        ("truncate=3,end=reset", "ended"),
        ("gap=0.02,error=3", "The model failed."),
        ("endless", "larger than"),
    ],
)
def test_a_fault_in_the_middle_of_a_stream_is_told_as_it_is(
    gateway: Running, upstream: FaultProvider, dialect: str, script: str, why: str | dict[str, str]
) -> None:
    before, calls = len(gateway.receipts()), len(upstream.calls)
    began_s = time.monotonic()
    text = " ".join(f"w{i}" for i in range(30))
    reply = gateway.chat(text, model=f"a/fault:{script}", stream=True)
    assert reply.status == 200
    assert time.monotonic() - began_s < TOTAL_S + BUSY_S
    last = reply.events[-1]
    words = why if isinstance(why, str) else why[dialect]
    assert last != "[DONE]" and words in last["error"]["message"], reply.body[-500:]
    own = "InternalServerException" if dialect == "bedrock" else None
    told = own if "error=" in script else "stream_broken"
    assert last["error"]["code"] == told, "or the provider's own"
    assert not any(
        choice["finish_reason"] for event in reply.events[:-1] for choice in event.get("choices") or ()
    ), "no faked finish"
    row = gateway.next_receipt(before)
    assert (row.status, row.error, row.stop_reason) == (502, "stream_broken", "error")
    assert row.usage is not None and row.usage.estimated
    if "endless" not in script:
        (call,) = upstream.wait_ended(calls + 1)[calls:]
        assert call.prompt_tokens and row.usage.output_tokens <= call.tokens_sent + 3
    assert gateway.chat(model=f"b/after-{abs(hash(script))}").status == 200


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("gap=0.02,bad=json", NO_JSON),
        ("gap=0.02,bad=utf8", NO_JSON),
        ("gap=0.02,bad=type", NO_OBJECT),
        ("rate=300", "in time"),
    ],
)
def test_a_fault_after_no_more_than_a_role_is_an_error_with_a_status(
    gateway: Running, dialect: str, script: str, why: str | dict[str, str]
) -> None:
    words = why if isinstance(why, str) else why[dialect]
    reply = gateway.chat("one two three", model=f"a/fault:{script}", stream=True)
    assert reply.status in (502, 504) and words in reply.error["message"], reply.body
    assert gateway.receipt_of(reply).status == reply.status


def test_a_line_that_is_no_field_is_ignored_as_the_standard_has_it(gateway: Running, dialect: str) -> None:
    if dialect == "bedrock":
        pytest.skip("its streams have no lines")
    reply = gateway.chat("one two three", model="a/fault:gap=0.02,bad=sse", stream=True)
    assert reply.status == 200 and reply.events[-1] == "[DONE]", "the official clients read on too"


def test_a_good_stream_however_it_is_cut_and_commented_says_the_same(gateway: Running) -> None:
    for script in ("U7-split", "eol=cr,split=3", "eol=crlf,split=1", "eol=mixed,comments"):
        reply = gateway.chat("é 🎈 three", model=f"a/fault:{script}", stream=True)
        assert reply.said == "echo: é 🎈 three", script
        assert reply.events[-1] == "[DONE]"
        row = gateway.receipt_of(reply)
        assert row.usage is not None and (row.usage.output_tokens, row.usage.estimated) == (4, False)


def test_a_line_longer_than_the_limit_is_refused_and_one_within_it_is_not(gateway: Running) -> None:
    small = gateway.chat(model="a/fault:bigline=900000", stream=True)
    assert len(small.said) == 900_000
    memory = gateway.memory_bytes()
    large = gateway.chat(model="a/fault:bigline=2000000", stream=True)
    assert large.status == 502 and "longer than" in large.error["message"], large.body
    assert gateway.memory_bytes() - memory < 16 * MIB


@pytest.mark.parametrize("script", ["endless", "header=100000000", "gzip=100000000"])
@pytest.mark.parametrize("stream", [False, True])
def test_what_never_ends_is_cut_at_the_cap(gateway: Running, script: str, stream: bool) -> None:
    memory = gateway.memory_bytes()
    reply = gateway.chat(model=f"a/fault:{script}", stream=stream)
    failed = reply.status in (502, 504) if reply.status != 200 else reply.events[-1] != "[DONE]"
    after_its_end = stream and script.startswith("gzip")  # a stream has said all by then
    assert failed != after_its_end, reply.body[-300:]
    assert gateway.memory_bytes() - memory < 16 * MIB


# -- connections ------------------------------------------------------------------------------------


def only_b(upstream: FaultProvider, extra: str) -> str:
    return f"""
[providers.b]
base_url = "{upstream.base_url}"
{LIMITS}
{extra}
[cache]
exact = "off"
[tiers.t]
targets = ["a/one", "b/two"]
"""


def test_a_refused_connection_costs_nothing_and_no_time_limit(second: FaultProvider, tmp_path: Path) -> None:
    with closed_port() as port:
        config = only_b(second, f'[providers.a]\nbase_url = "http://127.0.0.1:{port}/v1"')
        prices = '[[prices]]\ntarget = "a/one"\ninput = 1000\noutput = 1000\n'
        prices += '[[prices]]\ntarget = "b/two"\ninput = 1\noutput = 1\n'
        with running(config + prices, tmp_path) as gateway:
            gateway.chat(model="b/two")  # connections, first uses
            reply = gateway.chat("one two", model="t")
            row = gateway.receipt_of(reply)
            assert reply.headers["x-farthing-model"] == "b/two"
            assert row.attempts[1].started_ms < 2_000
            assert row.attempts[0].cost_nusd == 0, "nothing was sent"
            assert row.cost_nusd == row.attempts[1].cost_nusd == 2_000 + 3_000
            alone = gateway.chat(model="a/one")
            assert alone.status == 502 and "cannot connect" in alone.error["message"]
            for _ in range(6):
                reply = gateway.chat(model="t")
                assert reply.status == 200
            assert len(gateway.receipt_of(reply).attempts) == 1, "the breaker is open"


def test_a_connect_that_is_swallowed_costs_the_connect_timeout(second: FaultProvider, tmp_path: Path) -> None:
    with black_hole() as port:
        config = only_b(
            second, f'[providers.a]\nbase_url = "http://127.0.0.1:{port}/v1"\nconnect_s = {CONNECT_S}'
        )
        with running(config, tmp_path) as gateway:
            row = gateway.receipt_of(gateway.chat(model="t"))
            assert row.attempts[0].error == "provider_timeout"
            assert CONNECT_S * 1_000 <= row.attempts[1].started_ms < (CONNECT_S + BUSY_S) * 1_000


@pytest.mark.parametrize(
    ("fault", "word"), [("wrong-host", "certificate"), ("expired", "expired"), ("stalled", "")]
)
def test_a_bad_certificate_fails_closed_is_named_and_failed_over(
    second: FaultProvider, tmp_path: Path, fault: str, word: str
) -> None:
    with FaultProvider(tls=fault) as bad:  # type: ignore[arg-type]
        extra = (
            f'[providers.a]\nbase_url = "{bad.base_url}"\nca_file = "{bad.ca_file}"\nconnect_s = {CONNECT_S}'
        )
        with running(only_b(second, extra), tmp_path) as gateway:
            reply = gateway.chat(model="t")
            assert reply.headers["x-farthing-model"] == "b/two"
            alone = gateway.chat(model="a/one")
            assert alone.status in (502, 504) and word in alone.error["message"], alone.body
            assert bad.calls == ()


def test_over_tls_with_an_own_authority_whole_and_streamed_on_one_connection(tmp_path: Path) -> None:
    with FaultProvider(tls="good") as good:
        config = (
            f'[providers.a]\nbase_url = "{good.base_url}"\nca_file = "{good.ca_file}"\n[cache]\nexact = "off"'
        )
        with running(config, tmp_path) as gateway:
            for number in range(6):
                reply = gateway.chat(f"q{number}", model="good", stream=number % 2 == 1)
                said = reply.said if number % 2 else reply.json["choices"][0]["message"]["content"]
                assert said == f"echo: q{number}"
            assert good.connections_opened == 1
            text = " ".join(f"w{i}" for i in range(5_000))
            assert gateway.chat(text, model="good", stream=True).said == f"echo: {text}"


def test_a_certificate_of_an_authority_nobody_trusts_is_refused(tmp_path: Path) -> None:
    with (
        FaultProvider(tls="good") as good,
        running(f'[providers.a]\nbase_url = "{good.base_url}"', tmp_path) as gateway,
    ):
        reply = gateway.chat(model="good")
        assert reply.status == 502 and "certificate" in reply.error["message"]
        assert good.calls == ()


def test_a_connection_is_reused_after_a_good_reply_and_never_after_a_bad_one(
    gateway: Running, upstream: FaultProvider
) -> None:
    def connection_of(model: str, **fields: Any) -> int:
        gateway.chat(model=f"a/{model}", **fields)
        return upstream.calls[-1].connection

    first = connection_of("reuse-1")
    assert connection_of("reuse-2", stream=True) == first == connection_of("reuse-3")
    last = first
    for script in ("length=short", "length=double", "bad=json,length=long", "status=500,length=short"):
        bad = connection_of(f"fault:{script},seed=1")
        assert bad == last or bad > last
        last = connection_of("reuse-4")
        assert last != bad, script


# -- 429, 5xx ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "relayed"),
    [
        ("retry-after=2", "2"),
        ("retry-date=30", ("28", "29", "30")),
        ("retry-after-ms=1500", "2"),
        ("retry-after=31536000", "31536000"),
        ("retry-after=-5", None),
        ("retry-after=soon", None),
        ("code=x", None),
    ],
)
def test_a_429_pauses_its_target_and_is_relayed_only_when_none_is_left(
    gateway: Running, upstream: FaultProvider, words: str, relayed: str | tuple[str, ...] | None
) -> None:
    model = f"a/fault:status=429,{words}"
    calls = len(upstream.calls)
    reply = gateway.chat(model=model)
    assert reply.status == 429 and "asked for a 429" in reply.error["message"], "in the provider's words"
    if relayed is None:
        assert "retry-after" not in reply.headers
    else:
        assert reply.headers["retry-after"] in relayed
    assert gateway.receipt_of(reply).status == 429, "the receipt says what the client got"
    asked = len(upstream.calls)
    again = gateway.chat(f"{words} again", model=model)
    assert again.status == 429 and len(upstream.calls) > asked, "the only target is not refused unasked"
    assert "retry-after" not in again.headers or "x-should-retry" not in again.headers
    assert asked - calls <= 2, "one retry is free, where the pause is short enough to wait for"


def test_a_refusal_of_the_request_is_passed_on_in_the_providers_words(gateway: Running, dialect: str) -> None:
    name = "type" if dialect == "anthropic" else "code"  # where a provider says which error it is
    for status in (400, 404, 413, 422):
        reply = gateway.chat(model=f"a/fault:status={status},code=odd")
        assert (reply.status, reply.error[name]) == (status, "odd")
        assert gateway.receipt_of(reply).status == status
    own_key = gateway.chat(model="a/fault:status=401,code=odd")
    assert own_key.status == 502 and "odd" not in str(own_key.error), (
        "our key is none of the client's business"
    )


def test_a_breaker_opens_within_20_calls_and_lets_one_probe_through(
    gateway: Running, upstream: FaultProvider, second: FaultProvider
) -> None:
    broken = threading.Event()
    broken.set()
    upstream.on_call = lambda call: "status=500" if call.model == "both" and broken.is_set() else None
    try:
        calls = len(upstream.calls)
        with ThreadPoolExecutor(8) as pool:
            replies = list(pool.map(lambda i: gateway.chat(f"q{i}", model="both"), range(60)))
        assert {reply.status for reply in replies} == {200}, "no client noticed"
        assert len([c for c in upstream.calls[calls:] if c.model == "both"]) <= 20
        calls = len(upstream.calls)
        time.sleep(0.55)  # breaker_open_s has passed: half open
        with ThreadPoolExecutor(8) as pool:
            assert {r.status for r in pool.map(lambda i: gateway.chat(f"r{i}", model="both"), range(16))} == {
                200
            }
        assert len([c for c in upstream.calls[calls:] if c.model == "both"]) == 1, "one probe"
        broken.clear()
        until(lambda: gateway.chat(model="both").headers["x-farthing-model"] == "a/both", 3.0, every_s=0.1)
    finally:
        upstream.on_call = None


def test_retries_stay_within_their_share(gateway: Running, upstream: FaultProvider) -> None:
    """P5: a reset is tried again at the same target, for at most a tenth of its calls."""
    model = "a/fault:reset,share=0.2,seed=7"
    calls = len(upstream.calls)
    statuses = [gateway.chat(f"q{i}", model=model).status for i in range(100)]
    made = len([c for c in upstream.calls[calls:] if c.model == model.removeprefix("a/")])
    attempts = sum(len(r.attempts) for r in gateway.receipts() if r.model_asked == model)
    assert made == attempts, "the ledger knows every call that the provider saw"
    first_attempts = sum(1 for r in gateway.receipts() if r.model_asked == model and r.attempts)
    assert made <= first_attempts * 1.1 + 1
    assert statuses.count(200) >= 70


def test_a_reset_before_the_head_is_tried_once_more(gateway: Running, upstream: FaultProvider) -> None:
    calls = len(upstream.calls)
    reply = gateway.chat(model=f"a/fault:reset,first=1,seed={gateway.port}")  # a strike for each gateway
    row = gateway.receipt_of(reply)
    assert reply.status == 200 and len(upstream.calls) - calls == 2
    assert [attempt.error for attempt in row.attempts] == ["provider_unavailable", None]
    assert row.attempts[0].usage is not None and row.attempts[0].usage.estimated, "it may have been worked on"


# -- clients that leave or stall ----------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "at", "after"])
def test_a_client_that_leaves_is_noticed_and_accounted(
    gateway: Running, upstream: FaultProvider, when: str
) -> None:
    script = {"before": "hang", "at": "gap=0.3,n=50", "after": "gap=0.03,n=500"}[when]
    before, calls = len(gateway.receipts()), len(upstream.calls)
    client = gateway.open_stream("leaving", model=f"a/fault:{script},seed={len(when)}")
    until(lambda: len(upstream.calls) > calls)
    if when != "before":
        assert client.recv(65_536).startswith(b"HTTP/1.1 200 ")
    if when == "after":
        said = b""
        while said.count(b"data: ") < 8:
            said += client.recv(65_536)
    left_s = time.monotonic()
    client.close()
    row = gateway.next_receipt(before)
    call = upstream.calls[calls]
    until(lambda: call.aborted)
    assert call.aborted_s is not None and call.aborted_s - left_s < BUSY_S
    assert (row.status, row.stop_reason) == (499, "client_gone")
    assert len(gateway.receipts()) == before + 1
    usage = row.attempts[0].usage
    assert usage is not None and usage.estimated and usage.input_tokens >= 1
    assert usage.output_tokens <= 2 * call.tokens_sent + 1


def test_a_client_that_leaves_while_its_whole_answer_is_made(
    gateway: Running, upstream: FaultProvider
) -> None:
    before, calls = len(gateway.receipts()), len(upstream.calls)
    with gateway.dial() as client:
        client.sendall(gateway.chat_bytes(model="a/fault:delay=5"))
        until(lambda: len(upstream.calls) > calls)
    row = gateway.next_receipt(before)
    assert (row.status, row.attempts[0].error) == (499, "cancelled")
    until(lambda: upstream.calls[calls].aborted)


def test_clients_that_leave_at_any_moment_leave_one_receipt_each(
    gateway: Running, upstream: FaultProvider
) -> None:
    before = len(gateway.receipts())
    calls = len(upstream.calls)
    count = 60
    for number in range(count):
        client = gateway.dial()
        client.sendall(
            gateway.chat_bytes(f"q{number}", model="a/fault:gap=0.002,n=20", stream=number % 2 == 0)
        )
        if number % 3:
            time.sleep(0.0005 * number)
        client.close()
    rows = until(lambda: (r := gateway.receipts()[before:]) and len(r) >= count and r, 5.0)
    assert len(rows) == count
    assert {row.status for row in rows} <= {200, 499}
    upstream.wait_ended(len(upstream.calls))
    assert len(upstream.calls) - calls <= sum(row.calls for row in rows)
    seen = {call.request_id for call in upstream.calls[calls:] if call.request_id}
    assert seen <= {row.request_id for row in rows if row.calls}
    until(lambda: gateway.metric("farthing_requests_in_progress") == 0, 2.0)


def test_a_client_that_stops_reading_is_cut_and_costs_little_memory(
    gateway: Running, upstream: FaultProvider
) -> None:
    before, calls, count = len(gateway.receipts()), len(upstream.calls), 12
    memory = gateway.memory_bytes()
    clients = []
    began_s = time.monotonic()
    for number in range(count):
        client = gateway.dial(receive_bytes=4_096)
        client.sendall(gateway.chat_bytes(f"s{number}", model="patient/fault:n=12000", stream=True))
        assert client.recv(1) == b"H", "one after the other: the provider has one thread"
        clients.append(client)
    rows = until(lambda: (r := gateway.receipts()[before:])[count - 1 :] and r)
    assert len(rows) == count and time.monotonic() - began_s > STALL_S * 0.9
    assert gateway.memory_bytes() - memory < count * 512 * 1024
    assert {(row.status, row.stop_reason, row.error_message) for row in rows} == {(499, "client_gone", "")}
    until(lambda: all(call.end_s is not None for call in upstream.calls[calls:]))
    for each in clients:
        each.close()


def test_a_slow_reader_gets_everything(gateway: Running) -> None:
    text = " ".join(f"w{i}" for i in range(3_000))
    with gateway.dial(receive_bytes=4_096) as client:
        client.sendall(gateway.chat_bytes(text, model="b/slow-reader", stream=True))
        said = b""
        while not said.endswith(b"0\r\n\r\n"):
            said += client.recv(16_384)
            time.sleep(0.001)
    assert said.count(b'"content":') >= 3_000 and b"[DONE]" in said


def test_a_connection_whose_last_client_was_slow_serves_the_next_at_once(gateway: Running) -> None:
    for number in range(4):
        with gateway.dial(receive_bytes=4_096) as client:
            client.sendall(gateway.chat_bytes(f"slow {number}", model="b/fault:bigline=400000", stream=True))
            said = b""
            while not said.endswith(b"0\r\n\r\n"):
                time.sleep(0.002)
                said += client.recv(65_536)
        began_s = time.monotonic()
        assert gateway.chat(model="b/after-a-slow-one").status == 200
        assert time.monotonic() - began_s < FIRST_BYTE_S


# -- shutting down, reloading ---------------------------------------------------------------------------


def small(upstream: FaultProvider, extra: str = "") -> str:
    server = "[server]\ndrain_s = 5\n"
    return f'[providers.a]\nbase_url = "{upstream.base_url}"\n[cache]\nexact = "off"\n{server}{extra}'


def test_sigterm_lets_streams_end_and_tells_load_balancers(upstream: FaultProvider, tmp_path: Path) -> None:
    with running(small(upstream), tmp_path) as gateway:
        idle = gateway.dial()
        clients = [gateway.open_stream(f"s{i}", model="a/fault:gap=0.03,n=90") for i in range(8)]
        for client in clients:
            assert client.recv(1).startswith(b"H")
        gateway.signal(signal.SIGTERM)
        until(lambda: "draining" in gateway.logged())
        assert idle.recv(1) == b"", "nothing was asked on it"
        ready = gateway.request("GET", "/readyz")
        assert ready.status == 503
        assert gateway.request("GET", "/livez").status == 200
        refused = gateway.chat(model="a/good")
        assert (refused.status, refused.headers["x-should-retry"], refused.error["code"]) == (
            503,
            "true",
            "draining",
        )
        for client in clients:
            said = b"".join(iter(lambda: client.recv(65_536), b""))  # noqa: B023
            assert said.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n"), said[-300:]
            client.close()
        assert gateway.process.wait(60.0) == 0
        assert [(r.status, r.stop_reason) for r in gateway.receipts()] == [(200, "stop")] * 8


def test_what_does_not_end_within_the_drain_is_cut_with_a_reason(
    upstream: FaultProvider, tmp_path: Path
) -> None:
    config = small(upstream).replace("drain_s = 5", "drain_s = 0.3")
    with running(config, tmp_path) as gateway:
        client = gateway.open_stream("long", model="a/fault:gap=0.05,n=2000")
        assert client.recv(1) == b"H"
        whole = gateway.dial()
        whole.sendall(gateway.chat_bytes(model="a/fault:hang"))
        until(lambda: gateway.rows()[1:])
        gateway.signal(signal.SIGTERM)
        said = b"".join(iter(lambda: client.recv(65_536), b""))
        assert b"[DONE]" not in said and b"shutting down" in said
        told = b"".join(iter(lambda: whole.recv(65_536), b""))
        assert told.startswith(b"HTTP/1.1 503 ") and b"x-should-retry: true" in told, told
        assert gateway.process.wait(60.0) == 0
        assert len(gateway.receipts()) == 2
        client.close()
        whole.close()


def test_a_client_that_takes_its_last_bytes_late_gets_them_before_the_end(
    upstream: FaultProvider, tmp_path: Path
) -> None:
    with running(small(upstream), tmp_path) as gateway:
        client = gateway.dial(receive_bytes=4_096)
        client.sendall(gateway.chat_bytes("x" * 300_000, model="a/good"))
        until(lambda: gateway.receipts())
        gateway.signal(signal.SIGTERM)
        time.sleep(0.2)
        said = b"".join(iter(lambda: client.recv(65_536), b""))
        _head, _, body = said.partition(b"\r\n\r\n")
        assert json.loads(body)["choices"][0]["message"]["content"] == "echo: " + "x" * 300_000
        client.close()


BAD_RELOADS = {
    "syntax": "[server\n",
    "an unknown key": "[server]\nprot = 1\n",
    "a missing secret": '[[keys]]\ntenant = "x"\nkey = "${NOT_THERE}"\n',
    "a tier without targets": "[tiers.x]\ntargets = []\n",
    "a target without provider": '[tiers.x]\ntargets = ["nobody/x"]\n',
    "a rule that cannot be read": '[[route.rules]]\nwhen = "task ="\ntier = "t"\n',
    "a hundred times the size": "# " + "x" * 2_000_000 + "\n",
    "nothing at all": "",
    "not text": "\x00\x01",
}


def test_a_bad_reload_changes_nothing_and_a_good_one_is_applied_within_a_second(
    upstream: FaultProvider, tmp_path: Path
) -> None:
    good = small(upstream, '[tiers.t]\ntargets = ["a/first"]\n')
    with running(good, tmp_path) as gateway:
        policy = gateway.request("GET", "/version").json["policy"]
        refused = 0.0
        for what, text in BAD_RELOADS.items():
            gateway.config.write_text(good + text if what not in ("nothing at all", "not text") else text)
            if what in ("nothing at all",):
                gateway.signal(signal.SIGHUP)
            refused = until(lambda: (n := gateway.metric("farthing_reloads_refused")) > refused and n)  # noqa: B023
            assert gateway.chat(model="t").headers["x-farthing-model"] == "a/first", what
        assert gateway.request("GET", "/version").json["policy"] == policy
        assert "reload refused" in gateway.logged()
        changed_s = time.monotonic()
        gateway.config.write_text(good.replace("a/first", "a/second"))
        until(lambda: gateway.chat(model="t").headers["x-farthing-model"] == "a/second")
        assert time.monotonic() - changed_s < 1.0 + BUSY_S
        gateway.config.write_text(good.replace("a/first", "a/third"))
        gateway.signal(signal.SIGHUP)
        until(lambda: gateway.chat(model="t").headers["x-farthing-model"] == "a/third")


def test_a_stream_that_runs_during_a_reload_ends_as_it_began(upstream: FaultProvider, tmp_path: Path) -> None:
    good = small(upstream, '[tiers.t]\ntargets = ["a/fault:gap=0.05,n=15"]\n')
    with running(good, tmp_path) as gateway:
        stream = gateway.open_stream("during", model="t")
        assert stream.recv(1) == b"H"
        gateway.config.write_text(good.replace("gap=0.05,n=15", "n=1"))
        gateway.signal(signal.SIGHUP)
        until(lambda: "reloaded" in gateway.logged(), 1.0)
        said = b""
        while not said.endswith(b"0\r\n\r\n"):
            said += stream.recv(65_536)
        stream.close()
        assert said.count(b'"content":"') == 16 and b"[DONE]" in said


def test_a_key_that_is_taken_out_stops_working_within_a_second(
    upstream: FaultProvider, tmp_path: Path
) -> None:
    keys = '[tiers.cheap]\ntargets = ["a/good"]\n[[keys]]\ntenant = "a"\nkey = "${KEY_A}"\n'
    more = '[[keys]]\ntenant = "b"\nkey = "${KEY_B}"\n'
    gateway = start(small(upstream, keys + more), tmp_path, {"KEY_A": "sk-canary-a", "KEY_B": "sk-canary-b"})
    try:
        key_b = {"authorization": "Bearer sk-canary-b"}
        assert gateway.chat(model="a/good", headers=key_b).status == 200
        gateway.config.write_text(small(upstream, keys))
        until(lambda: gateway.chat(model="a/good", headers=key_b).status == 401, 1.0)
        sinks = [gateway.logged().encode(), gateway.request("GET", "/metrics").body]
        sinks += [path.read_bytes() for path in gateway.state.rglob("*") if path.is_file()]
        assert not any(b"sk-canary" in sink for sink in sinks), "P11"
    finally:
        assert gateway.stop() == 0


def test_nothing_is_left_of_these_tests(
    gateway: Running, upstream: FaultProvider, second: FaultProvider, dialect: str
) -> None:
    """Every call was announced, every request has one receipt, and both sides agree on what was called."""
    until(lambda: gateway.metric("farthing_requests_in_progress") == 0, 2.0)
    rows = gateway.receipts()
    assert len({row.request_id for row in rows}) == len(rows)
    intents = {row.request_id for row in gateway.rows() if not isinstance(row, Receipt)}
    mine = {row.request_id for row in rows}
    assert intents <= mine
    seen = {c.request_id for p in (upstream, second) for c in p.calls if c.request_id in mine}
    assert seen <= intents, "a call without an intent"
    if dialect == "anthropic":  # whose calls bear no id of ours
        made = [c for p in (upstream, second) for c in p.calls if c.path == DIALECTS[dialect]]
        announced = [row for row in gateway.rows() if not isinstance(row, Receipt)]
        assert 0 < len(made) <= len(announced)


def test_the_sockets_of_this_machine_are_free_again(gateway: Running) -> None:
    def descriptors() -> int:
        return len(list(Path(f"/proc/{gateway.process.pid}/fd").iterdir()))

    assert until(lambda: descriptors() < 60, 3.0)
    with socket.create_connection(("127.0.0.1", gateway.port)):
        assert descriptors() < 61
