"""Who has no key is refused by the head of a request: nothing of its body is kept, however it is sent."""

import json
import resource
from collections.abc import Callable
from typing import Any

import pytest
from tests.conftest import StartGateway
from tests.e2e.gateway import LIMIT_S, Reply, Running, until
from tests.e2e.wire import answer, answers, closed
from tests.faults.provider import FaultProvider
from tests.sampled import some_of

from farthing.config import key_digest

CHAT = "/v1/chat/completions"
MIB = 1_048_576
SIZE = 10_000_000
GOOD = "authorization: Bearer sk-good"
KEY = {"authorization": "Bearer sk-good"}
SLOW = {"authorization": "Bearer sk-slow"}


def config(upstream: FaultProvider, server: str = "", keys: bool = True) -> str:
    some = f"""
[[keys]]
tenant = "acme"
digest = "{key_digest("sk-good")}"
[[keys]]
tenant = "slow"
digest = "{key_digest("sk-slow")}"
requests_per_minute = 1
"""
    return f"""
[server]
{server}
{some if keys else ""}
[providers.a]
base_url = "{upstream.base_url}"
pass_through = true
[tiers.cheap]
targets = ["a/good"]
[cache]
exact = "off"
"""


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    return start_gateway(config(upstream, "requests_max = 2\nbody_s = 20.0"))


def head(*lines: str, start: str = f"POST {CHAT}", size: int | None = SIZE) -> bytes:
    framing = "transfer-encoding: chunked" if size is None else f"content-length: {size}"
    return "\r\n".join([f"{start} HTTP/1.1", "host: localhost", *lines, framing, "", ""]).encode()


REFUSED: dict[str, tuple[bytes, int, str]] = {
    "no key": (head(), 401, "invalid_api_key"),
    "a wrong key": (head("authorization: Bearer sk-bad"), 401, "invalid_api_key"),
    "no key for feedback": (head(start="POST /v1/feedback"), 401, "invalid_api_key"),
    "no key for another form": (head(start="POST /llm-inference"), 401, "invalid_api_key"),
    "no key for another spelling": (head(start="POST /v1/chat/completions/"), 401, "invalid_api_key"),
    "an unknown path": (head(GOOD, start="POST /v1/nothing"), 404, "not_found"),
    "an unknown path without a key": (head(start="POST /nothing"), 404, "not_found"),
    "a wrong method": (head(GOOD, start=f"PUT {CHAT}"), 405, "not_found"),
    "a body for what takes none": (head(start="GET /healthz"), 413, "request_too_large"),
    "a large body for feedback": (head(GOOD, start="POST /v1/feedback"), 413, "request_too_large"),
}


def is_refusal(reply: Reply, status: int, code: str) -> None:
    assert reply.status == status, reply.body
    assert reply.error["code"] == code
    assert reply.headers["connection"] == "close"


@pytest.mark.parametrize("sent", [0, 1, 100_000])
@pytest.mark.parametrize("what", REFUSED)
def test_it_is_refused_before_its_body_has_come(gateway: Running, what: str, sent: int) -> None:
    wire, status, code = REFUSED[what]
    with gateway.dial() as client:
        client.sendall(wire + b" " * sent)
        is_refusal(answer(client), status, code)
        assert closed(client)
    assert gateway.chat(headers=KEY).status == 200


@pytest.mark.parametrize("what", REFUSED)
def test_who_sends_all_of_it_before_reading_hears_why_too(gateway: Running, what: str) -> None:
    wire, status, code = REFUSED[what]
    with gateway.dial() as client:
        try:
            client.sendall(wire + b" " * SIZE)
        except (BrokenPipeError, ConnectionResetError):
            pytest.fail("the connection was cut before the refusal could be read")
        is_refusal(answer(client), status, code)


def test_chunks_are_refused_with_the_first(gateway: Running) -> None:
    with gateway.dial() as client:
        client.sendall(head(size=None) + b"5\r\nhello\r\n")
        is_refusal(answer(client), 401, "invalid_api_key")


def test_a_small_body_that_comes_apart_from_its_head_is_refused_as_before(gateway: Running) -> None:
    before = gateway.metric("farthing_requests_unauthenticated")
    with gateway.dial() as client:
        client.sendall(head(size=10))
        client.sendall(b"{" + b" " * 8)
        is_refusal(answer(client), 401, "invalid_api_key")
    assert gateway.metric("farthing_requests_unauthenticated") == before + 1


def test_who_asks_before_sending_is_told_no(gateway: Running) -> None:
    with gateway.dial() as client:
        client.sendall(head("expect: 100-continue"))
        is_refusal(answer(client), 401, "invalid_api_key")


def test_a_body_nobody_reads_may_be_sent_where_it_is_small(gateway: Running) -> None:
    with gateway.dial() as client:
        for _ in range(2):
            client.sendall(head(start="GET /healthz", size=10))
            client.sendall(b"0123456789")
            assert answer(client).status == 200


def test_a_key_over_its_rate_is_refused_by_the_head_and_leaves_a_receipt(gateway: Running) -> None:
    assert gateway.chat(headers=SLOW).status == 200
    rows = len(gateway.receipts())
    with gateway.dial() as client:
        client.sendall(head("authorization: Bearer sk-slow") + b"{")
        reply = answer(client)
        is_refusal(reply, 429, "rate_limit_exceeded")
        assert "retry-after" in reply.headers and reply.headers["x-ratelimit-limit-requests"] == "1"
    row = gateway.receipts()[rows:]
    assert [(one.tenant, one.status) for one in row] == [("slow", 429)]


def test_a_full_gateway_refuses_by_the_head(gateway: Running) -> None:
    body = json.dumps({"model": "a/fault:delay=3", "messages": [{"role": "user", "content": "x"}]}).encode()
    held = [gateway.dial() for _ in range(2)]
    for client in held:
        client.sendall(gateway.wire(CHAT, body, GOOD))
    until(lambda: gateway.metric("farthing_requests_in_progress") == 2)
    with gateway.dial() as client:
        client.sendall(head(GOOD) + b"{")
        is_refusal(answer(client), 503, "overloaded")
    for client in held:
        client.close()
    until(lambda: gateway.chat(headers=KEY).status == 200)


def test_a_request_behind_another_is_looked_at_when_its_turn_comes(gateway: Running) -> None:
    body = json.dumps({"model": "a/fault:delay=0.3", "messages": [{"role": "user", "content": "x"}]}).encode()
    with gateway.dial() as client:
        client.sendall(gateway.wire(CHAT, body, GOOD) + head() + b"{")
        first, second = answers(client, 2)
    assert first.status == 200
    is_refusal(second, 401, "invalid_api_key")


# -- memory ------------------------------------------------------------------------------------------


def give_up(gateway: Running, count: int, wire: bytes) -> int:
    """Send `wire` on `count` connections, thirty at a time, and leave; the most memory held, bytes."""
    peak = 0
    for begun in range(0, count, 30):
        clients = [gateway.dial() for _ in range(min(30, count - begun))]
        for client in clients:
            try:
                client.sendall(wire)
            except OSError:
                continue  # it was refused already
        peak = max(peak, gateway.memory_bytes())
        for client in clients:
            client.close()
    return peak


def settled(gateway: Running, most_bytes: int) -> None:
    until(lambda: gateway.memory_bytes() <= most_bytes, LIMIT_S, every_s=0.1)


def test_bodies_without_a_key_take_no_memory(
    start_gateway: StartGateway, upstream: FaultProvider, memory_limit: Callable[[Running, int], None]
) -> None:
    gateway = start_gateway(config(upstream))
    gateway.chat(headers=KEY)
    base = gateway.memory_bytes()
    memory_limit(gateway, base + 96 * MIB)
    peak = give_up(gateway, 300, head() + b" " * (SIZE - 1))
    assert peak < base + 32 * MIB, f"{(peak - base) >> 20} MiB"
    settled(gateway, base + 32 * MIB)
    assert gateway.chat(headers=KEY).status == 200


@pytest.mark.parametrize("keys", [True, False])
def test_bodies_of_those_who_left_are_free_at_once(
    start_gateway: StartGateway,
    upstream: FaultProvider,
    memory_limit: Callable[[Running, int], None],
    keys: bool,
) -> None:
    gateway = start_gateway(config(upstream, f"bodies_bytes_max = {64 * MIB}", keys))
    gateway.chat(headers=KEY)
    base = gateway.memory_bytes()
    memory_limit(gateway, base + 256 * MIB)
    give_up(gateway, 300, head(GOOD) + b" " * (SIZE - 1))
    settled(gateway, base + 32 * MIB)
    assert gateway.chat(headers=KEY).status == 200


ENDS: dict[str, dict[str, Any]] = {
    "answered": {},
    "left while it is answered": {"model": "a/fault:delay=20"},
    "left in a stream": {"model": "a/fault:gap=0.1", "stream": True},
    "failed upstream": {"model": "a/fault:status=500"},
    "cut upstream": {"model": "a/fault:truncate=3", "stream": True},
    "nobody there": {"model": "nobody/there"},
    "not valid": {"model": "cheap", "stream": "yes"},
    "not JSON": {"model": "cheap"},
}


@pytest.mark.slow
@pytest.mark.parametrize("how", some_of(ENDS, {"answered", "left in a stream", "not JSON"}))
def test_a_large_body_is_free_however_its_request_ends(
    start_gateway: StartGateway, upstream: FaultProvider, how: str
) -> None:
    gateway = start_gateway(config(upstream) + '[providers.nobody]\nbase_url = "http://127.0.0.1:9/v1"\n')
    gateway.chat(headers=KEY)
    base = gateway.memory_bytes()
    wire = gateway.chat_bytes("x" * 3_000_000, **ENDS[how]).replace(
        b"\r\n\r\n", f"\r\n{GOOD}\r\n\r\n".encode(), 1
    )
    if how == "not JSON":
        wire = wire[:-1] + b"["
    for _ in range(40):
        with gateway.dial() as client:
            client.sendall(wire)
            if how == "left while it is answered":
                until(lambda: gateway.metric("farthing_requests_in_progress") > 0)
            else:
                client.recv(20)
    settled(gateway, base + 32 * MIB)


# -- names and files ---------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/metrics", "/version"])
def test_what_takes_no_key_is_not_told_to_a_name_that_others_gave(gateway: Running, path: str) -> None:
    for host, status in (("evil.example", 403), ("127.0.0.1", 200), ("localhost:1", 200), ("[::1]", 200)):
        assert gateway.request("GET", path, headers={"host": host}).status == status, host
    assert gateway.request("GET", "/healthz", headers={"host": "10.0.0.1"}).status == 200, (
        "probes go by address"
    )


def test_it_is_told_to_the_names_that_are_served(
    start_gateway: StartGateway, upstream: FaultProvider
) -> None:
    named = start_gateway(config(upstream, 'hosts = ["gw.example"]'))
    for host, status in (("gw.example", 200), ("gw.example:80", 200), ("localhost", 400)):
        assert named.request("GET", "/metrics", headers={"host": host}).status == status, host


def test_fewer_files_than_connections_are_warned_of_at_the_start(
    start_gateway: StartGateway, upstream: FaultProvider
) -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    few, enough = (config(upstream, f"connections_max = {count}") for count in (soft - 63, soft - 64))
    warned = start_gateway(few).logged()
    assert f"only {soft} files may be open" in warned and "ulimit -n" in warned
    assert "files may be open" not in start_gateway(enough).logged()
