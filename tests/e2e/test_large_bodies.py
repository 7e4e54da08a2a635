"""Bodies with images pass, those over a limit are told which, and all of them together have a bound."""

import json
import socket
from typing import Any

import pytest
from tests.conftest import StartGateway
from tests.e2e.gateway import Running, until
from tests.e2e.wire import answer
from tests.faults.provider import FaultProvider

CHAT = "/v1/chat/completions"
MIB = 1_048_576


def with_image(size: int) -> dict[str, Any]:
    """A chat body that holds a data URL of `size` bytes."""
    url = "data:image/png;base64," + ("iVBORw0KGgoAAAANSUhEUgAA" * (size // 24 + 1))[: size - 22]
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": url}}]
    return {"model": "cheap", "messages": [{"role": "user", "content": parts}]}


def config(upstream: FaultProvider, server: str = "") -> str:
    return f"""
[server]
{server}
[providers.a]
base_url = "{upstream.base_url}"
[tiers.cheap]
targets = ["a/good"]
[cache]
exact = "off"
"""


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    return start_gateway(config(upstream))


@pytest.fixture(scope="module")
def small(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    """One with room for two large bodies and a half."""
    return start_gateway(
        config(upstream, f"body_bytes_max = {4 * MIB}\nbodies_bytes_max = {10 * MIB}\nbody_s = 5.0")
    )


@pytest.mark.parametrize("size", [600_000, 11 * MIB, 31 * MIB])
def test_an_image_passes_by_default(gateway: Running, upstream: FaultProvider, size: int) -> None:
    body = with_image(size)
    assert gateway.post(CHAT, body, timeout_s=60).status == 200
    assert json.loads(upstream.calls[-1].body)["messages"] == body["messages"]


def test_a_body_over_the_default_is_told_the_key_to_change(gateway: Running) -> None:
    with gateway.dial() as client:
        client.sendall(
            f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {33 * MIB}\r\n\r\n".encode()
        )
        reply = answer(client)
    assert reply.status == 413 and reply.error["code"] == "request_too_large"
    for word in ("server.body_bytes_max", str(32 * MIB), str(33 * MIB)):
        assert word in reply.error["message"]


def begun(gateway: Running, size: int) -> socket.socket:
    """A connection on which all of a body of `size` bytes but its end was sent."""
    client = gateway.dial()
    client.sendall(
        f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {size + 1}\r\n\r\n".encode()
        + b" " * size
    )
    return client


def test_all_large_bodies_together_have_a_bound(small: Running) -> None:
    body = with_image(3 * MIB)
    assert small.post(CHAT, body).status == 200
    held = [begun(small, 3 * MIB) for _ in range(3)]
    until(lambda: small.post(CHAT, body).status == 503)
    reply = small.post(CHAT, body)
    assert reply.status == 503 and "server.bodies_bytes_max" in reply.error["message"]
    assert reply.error["code"] == "overloaded"
    assert (reply.headers["x-should-retry"], reply.headers["retry-after"]) == ("true", "1")
    assert small.chat("a small one").status == 200, "those it does not concern"
    for client in held:
        client.close()
    until(lambda: small.post(CHAT, body).status == 200)


def test_the_room_of_a_body_is_given_back_however_its_request_ends(small: Running) -> None:
    body = json.dumps(with_image(3 * MIB)).encode()
    wire = small.wire(CHAT, body)
    for _ in range(4):
        begun(small, 2 * MIB).close()  # cut off
        with small.dial() as client:  # one after another on one connection
            for _ in range(3):
                client.sendall(wire)
                assert answer(client).status == 200
        assert small.post(CHAT, b"[" + body).status == 400  # no JSON
        with small.dial() as client:  # left while it is answered
            client.sendall(
                wire.replace(b'"cheap"', b'"a/fault:delay=0.2"').replace(
                    b"content-length: %d" % len(body), b"content-length: %d" % (len(body) + 12)
                )
            )
        with small.dial() as client:  # over the limit, in chunks
            client.sendall(
                f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n".encode()
            )
            try:
                for _ in range(5):
                    client.sendall(b"%x\r\n%b\r\n" % (MIB, b" " * MIB))
            except (BrokenPipeError, ConnectionResetError):
                pytest.fail("the connection was cut before the refusal could be read")
            assert answer(client).status == 413
    until(lambda: small.metric("farthing_requests_in_progress") == 0)
    clients = [begun(small, 3 * MIB) for _ in range(2)]
    assert small.post(CHAT, body).status == 200, "there is room for three, as at the start"
    for client in clients:
        client.close()
