"""An `Upgrade` is ignored: what was asked is answered over HTTP/1.1, as if nothing had been offered."""

import json
import socket
import time
from typing import Any

import pytest
from tests.conftest import StartGateway
from tests.e2e.gateway import Reply, Running
from tests.e2e.wire import answer, answers, closed
from tests.faults.provider import FaultProvider

from farthing.config import key_digest

CHAT = b"POST /v1/chat/completions HTTP/1.1"
LINES = [b"Host: x", b"Authorization: Bearer sk-good", b"Content-Type: application/json"]
H2C = [b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"]
OFFERS: dict[str, list[bytes]] = {
    "h2c": H2C,
    "h2c with keep-alive": [b"connection: keep-alive, Upgrade", b"upgrade: h2c"],
    "websocket": [b"connection: Upgrade", b"upgrade: websocket", b"sec-websocket-version: 13"],
    "TLS": [b"connection: upgrade", b"upgrade: TLS/1.3, HTTP/2.0"],
    "two lines": [b"connection: upgrade", b"connection: keep-alive", b"upgrade: a", b"upgrade: b"],
}


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    return start_gateway(f"""
[server]
body_bytes_max = 2_000_000
[[keys]]
tenant = "acme"
digest = "{key_digest("sk-good")}"
[providers.a]
base_url = "{upstream.base_url}"
[tiers.cheap]
targets = ["a/good"]
[cache]
exact = "off"
""")


def body(text: str, **fields: Any) -> bytes:
    return json.dumps({"model": "cheap", "messages": [{"role": "user", "content": text}], **fields}).encode()


def sent(raw: bytes, *lines: bytes, start: bytes = CHAT, chunk_bytes: int = 0) -> bytes:
    """The bytes of a request; in chunks of `chunk_bytes` where that is given, with a length otherwise."""
    if chunk_bytes:
        pieces = [raw[at : at + chunk_bytes] for at in range(0, len(raw), chunk_bytes)]
        raw = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        framing = b"transfer-encoding: chunked"
    else:
        framing = b"content-length: %d" % len(raw)
    return b"\r\n".join([start, *LINES, *lines, framing, b"", raw])


def said(reply: Reply) -> Any:
    assert reply.status == 200, (reply.status, reply.body)
    return reply.json["choices"][0]["message"]["content"]


@pytest.mark.parametrize("chunk_bytes", [0, 7, 100_000])
@pytest.mark.parametrize("offer", OFFERS)
def test_a_body_after_an_offer_is_read(gateway: Running, offer: str, chunk_bytes: int) -> None:
    with gateway.dial() as client:
        for text in ("one", "two" * 50_000, "three"):
            client.sendall(sent(body(text), *OFFERS[offer], chunk_bytes=chunk_bytes))
            reply = answer(client)
            assert said(reply) == f"echo: {text}"
            assert "upgrade" not in reply.headers


@pytest.mark.parametrize("chunk_bytes", [0, 9])
def test_it_may_arrive_byte_by_byte(gateway: Running, chunk_bytes: int) -> None:
    with gateway.dial() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for text in ("slow", "again"):
            for byte in sent(body(text), *H2C, chunk_bytes=chunk_bytes):
                client.sendall(bytes([byte]))
            assert said(answer(client)) == f"echo: {text}"


@pytest.mark.parametrize("cut", [0, 1, 2, 20])
def test_it_may_be_cut_anywhere_around_the_end_of_the_head(gateway: Running, cut: int) -> None:
    whole = sent(body("cut"), *H2C)
    at = whole.index(b"\r\n\r\n") + 4 - 2 + cut
    with gateway.dial() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.sendall(whole[:at])
        time.sleep(0.05)
        client.sendall(whole[at:])
        assert said(answer(client)) == "echo: cut"


@pytest.mark.parametrize("chunk_bytes", [0, 11])
def test_pipelined_requests_are_answered_in_order(gateway: Running, chunk_bytes: int) -> None:
    offered = sent(body("one"), *H2C, chunk_bytes=chunk_bytes)
    plain = sent(body("two"), chunk_bytes=chunk_bytes)
    for first, second in ((offered, plain), (plain.replace(b"two", b"one"), offered.replace(b"one", b"two"))):
        with gateway.dial() as client:
            client.sendall(first + second)
            assert [said(reply) for reply in answers(client, 2)] == ["echo: one", "echo: two"]


def test_what_follows_the_body_is_no_part_of_it_and_the_body_no_request(gateway: Running) -> None:
    hidden = b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n"
    with gateway.dial() as client:
        client.sendall(sent(hidden, *H2C) + sent(body("next"), *H2C))
        first, second = answers(client, 2)
    assert first.status == 400 and "JSON" in first.error["message"]
    assert said(second) == "echo: next"


def test_a_stream_an_expectation_and_http_1_0(gateway: Running) -> None:
    with gateway.dial() as client:
        client.sendall(sent(body("flow", stream=True), *H2C))
        assert answer(client).said == "echo: flow"
    whole = sent(body("wait"), *H2C, b"expect: 100-continue")
    head, _, rest = whole.partition(b"\r\n\r\n")
    with gateway.dial() as client:
        client.sendall(head + b"\r\n\r\n")
        assert client.recv(1_000) == b"HTTP/1.1 100 Continue\r\n\r\n", "once"
        client.sendall(rest)
        assert said(answer(client)) == "echo: wait"
    with gateway.dial() as client:
        client.sendall(sent(body("old"), *H2C, start=b"POST /v1/chat/completions HTTP/1.0"))
        assert said(answer(client)) == "echo: old"
        assert closed(client)


def test_a_client_that_wants_the_connection_closed_gets_it_closed(gateway: Running) -> None:
    for lines in ([b"connection: close, upgrade"], [b"connection: close", b"connection: upgrade"]):
        with gateway.dial() as client:
            client.sendall(sent(body("bye"), *lines, b"upgrade: h2c"))
            assert said(answer(client)) == "echo: bye"
            assert closed(client)


@pytest.mark.parametrize("offer", OFFERS)
def test_requests_without_a_body_go_on_as_before(gateway: Running, offer: str) -> None:
    with gateway.dial() as client:
        for start in (b"GET /v1/models HTTP/1.1", b"HEAD /livez HTTP/1.1", b"GET /livez HTTP/1.1"):
            client.sendall(b"\r\n".join([start, *LINES, *OFFERS[offer], b"", b""]))
            assert answer(client, bodiless=start.startswith(b"HEAD")).status == 200


@pytest.mark.parametrize("chunk_bytes", [0, 60_000])
def test_the_limit_of_a_body_holds(gateway: Running, chunk_bytes: int) -> None:
    with gateway.dial() as client:
        try:
            client.sendall(sent(body("x" * 2_000_001), *H2C, chunk_bytes=chunk_bytes))
        except (BrokenPipeError, ConnectionResetError):
            pytest.fail("the connection was cut before the refusal could be read")
        reply = answer(client)
    assert reply.status == 413 and "server.body_bytes_max" in reply.error["message"]


@pytest.mark.parametrize("offer", [[], H2C])
def test_fields_after_a_chunked_body_replace_no_header(gateway: Running, offer: list[bytes]) -> None:
    lines = [line.replace(b"sk-good", b"sk-bad") for line in LINES]
    raw = body("x")
    message = b"\r\n".join(
        [CHAT, *lines, *offer, b"transfer-encoding: chunked", b"", b"%x" % len(raw), raw, b"0"]
    )
    with gateway.dial() as client:
        client.sendall(message + b"\r\nauthorization: Bearer sk-good\r\nx-api-key: sk-good\r\n\r\n")
        assert answer(client).status == 401
    keyless = message.replace(b"Authorization: Bearer sk-bad\r\n", b"")
    assert b"uthorization" not in keyless
    with gateway.dial() as client:
        client.sendall(keyless + b"\r\nauthorization: Bearer sk-good\r\n\r\n")
        assert answer(client).status == 401
    good = message.replace(b"sk-bad", b"sk-good")
    with gateway.dial() as client:
        client.sendall(good + b"\r\nauthorization: Bearer sk-bad\r\ncontent-type: text/plain\r\n\r\n")
        assert said(answer(client)) == "echo: x"
        dear = b"\r\nx-farthing-session: trailed\r\ncache-control: no-store\r\nhost: evil\r\n\r\n"
        client.sendall(good + dear)
        reply = answer(client)
        assert said(reply) == "echo: x"
        assert gateway.receipt_of(reply).session is None
        client.sendall(sent(body("after it")))
        assert said(answer(client)) == "echo: after it"
