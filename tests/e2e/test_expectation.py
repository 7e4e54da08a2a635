"""`Expect: 100-continue`: who waits for a word is told to send its body, in its turn, and nobody else is."""

import json
import socket
import time

import pytest
from tests.conftest import StartGateway
from tests.e2e.gateway import Running, until
from tests.e2e.wire import answer
from tests.faults.provider import FaultProvider

from farthing.config import key_digest

LINES = [b"host: x", b"content-type: application/json"]
KEY = b"authorization: Bearer sk-good"
STRANGER = b"authorization: Bearer sk-bad"
EXPECTS = b"expect: 100-continue"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
FIRST_S = 0.7


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    return start_gateway(f"""
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


def body(text: str) -> bytes:
    return json.dumps({"model": "cheap", "messages": [{"role": "user", "content": text}]}).encode()


def head(*lines: bytes, version: bytes = b"1.1") -> bytes:
    return b"\r\n".join([b"POST /v1/chat/completions HTTP/" + version, *LINES, *lines, b"", b""])


def length(raw: bytes) -> bytes:
    return b"content-length: %d" % len(raw)


def read_until(client: socket.socket, end: bytes) -> bytes:
    """What comes up to and with `end`, one byte at a time."""
    client.settimeout(60.0)
    found = b""
    while not found.endswith(end):
        piece = client.recv(1)
        assert piece, found
        found += piece
    return found


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("together", [True, False], ids=["at once", "while the first is answered"])
def test_a_request_behind_another_is_told_after_the_answer_of_that_one(
    gateway: Running, upstream: FaultProvider, chunked: bool, together: bool
) -> None:
    raw = body("second")
    framing = b"transfer-encoding: chunked" if chunked else length(raw)
    expects = head(KEY, framing, EXPECTS)
    first = head(KEY, length(body("first"))) + body("first")
    upstream.script(f"delay={FIRST_S}")
    with gateway.dial() as client:
        client.sendall(first + expects if together else first)
        if not together:
            until(lambda: gateway.metric("farthing_requests_in_progress") == 1, 30.0)
            client.sendall(expects)
        before = read_until(client, CONTINUE)
        assert before.startswith(b"HTTP/1.1 200 OK\r\n") and b"echo: first" in before
        assert before.endswith(b"}" + CONTINUE) and before.count(CONTINUE) == 1
        client.sendall(b"%x\r\n%b\r\n0\r\n\r\n" % (len(raw), raw) if chunked else raw)
        assert answer(client).json["choices"][0]["message"]["content"] == "echo: second"


def test_who_has_no_key_is_refused_in_its_turn_and_sends_nothing(gateway: Running) -> None:
    first = head(KEY, length(body("first"))) + body("first")
    with gateway.dial() as client:
        client.sendall(first + head(STRANGER, length(body("x")), EXPECTS))
        said = read_until(client, b"HTTP/1.1 401 Unauthorized\r\n")
        assert said.startswith(b"HTTP/1.1 200 OK\r\n") and CONTINUE not in said


def test_who_has_begun_to_send_behind_another_request_is_told_nothing(
    gateway: Running, upstream: FaultProvider
) -> None:
    raw = body("second")
    first = head(KEY, length(body("first"))) + body("first")
    upstream.script(f"delay={FIRST_S}")
    with gateway.dial() as client:
        client.sendall(first + head(KEY, length(raw), EXPECTS) + raw[:5])
        read_until(client, b"echo: first")
        client.sendall(raw[5:])
        said = read_until(client, b"echo: second")
        assert b"HTTP/1.1 200 OK\r\n" in said and CONTINUE not in said


def test_http_1_0_is_told_nothing(gateway: Running) -> None:
    raw = body("old")
    with gateway.dial() as client:
        client.sendall(head(KEY, length(raw), EXPECTS, version=b"1.0"))
        time.sleep(0.2)
        client.sendall(raw)
        assert answer(client).status == 200
