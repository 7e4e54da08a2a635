"""What a client sees of a gateway that has too much to do, and what it never sees of it."""

import asyncio
import json
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.e2e.gateway import Running, running, until
from tests.faults.provider import FaultProvider

CONFIG = """
[providers.a]
base_url = "{url}"
[tiers.cheap]
targets = ["a/good"]
[server]
requests_max = {most}
"""


@contextmanager
def full(folder: Path) -> Iterator[tuple[Running, socket.socket]]:
    """A gateway that takes one request, and who holds it."""
    with (
        FaultProvider() as provider,
        running(CONFIG.format(url=provider.base_url, most=1), folder) as gateway,
    ):
        held = gateway.open_stream(model="a/gap=60")
        until(lambda: gateway.metric("farthing_requests_in_progress") == 1)
        yield gateway, held


def test_who_is_refused_is_told_when_to_come_again_and_keeps_the_connection(tmp_path: Path) -> None:
    with full(tmp_path) as (gateway, held):
        with gateway.dial() as client:
            for _ in range(3):  # on one connection
                client.sendall(gateway.wire("/v1/chat/completions", b"this is not JSON"))
                reply = b""
                while not reply.endswith(b"}}"):
                    reply += client.recv(65_536)
                head, _, body = reply.partition(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 503 ")  # its body was not looked at
                fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
                assert 1 <= int(fields[b"retry-after"]) <= 3
                assert 1_000 <= int(fields[b"retry-after-ms"]) <= 3_000
                assert fields[b"x-should-retry"] == b"true" and fields[b"x-request-id"].startswith(b"req_")
                assert json.loads(body)["error"]["code"] == "overloaded"
        assert gateway.request("GET", "/readyz").status == 200
        assert gateway.metric("farthing_requests_shed_full") == gateway.metric("farthing_requests_shed") == 3
        held.close()
        until(lambda: gateway.metric("farthing_requests_in_progress") == 0)
        assert gateway.chat().status == 200
        assert gateway.logged().count("overloaded: server.requests_max") == 1


def test_pipelined_requests_are_refused_in_their_order(tmp_path: Path) -> None:
    with full(tmp_path) as (gateway, held):
        with gateway.dial() as client:
            ask = gateway.wire("/v1/chat/completions", b"{}")
            client.sendall(ask + b"GET /livez HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n" + ask)
            reply = b""
            while reply.count(b"HTTP/1.1 ") < 3:
                reply += client.recv(65_536)
        assert [part[:3] for part in reply.split(b"HTTP/1.1 ")[1:]] == [b"503", b"200", b"503"]
        held.close()


def test_many_connections_at_once_are_all_taken(tmp_path: Path) -> None:
    with (
        FaultProvider() as provider,
        running(CONFIG.format(url=provider.base_url, most=2_000), tmp_path) as gateway,
    ):
        clients = [gateway.dial(timeout_s=60) for _ in range(400)]
        try:
            for client in clients:
                client.sendall(b"GET /livez HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
            assert all(client.recv(65_536).startswith(b"HTTP/1.1 200") for client in clients)
            assert gateway.metric("farthing_connections") >= 400
        finally:
            for client in clients:
                client.close()


CONNECTIONS = 1_500
"""So many answers from the cache take longer than `STANDING_S` of CPU time on any machine of today."""


class Asking(asyncio.Protocol):
    """Asks, and asks again as soon as it is answered; who is refused waits a little, as it was told to."""

    def __init__(self, ask: bytes, counts: dict[bytes, int]) -> None:
        self._ask = ask
        self._counts = counts
        self._transport: asyncio.Transport | None = None
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._ask)

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, found, body = self._read.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        status = head[9:12]
        self._counts[status] = self._counts.get(status, 0) + 1
        self._read = body[length:]
        asyncio.get_running_loop().call_later(0.05 if status == b"503" else 0, self._again)

    def _again(self) -> None:
        if self._transport is not None:
            self._transport.write(self._ask)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None


async def press(gateway: Running, ask: bytes, timeout_s: float) -> dict[bytes, int]:
    """Ask over all connections at once until some were refused, and on until others were answered
    nevertheless; statuses and how often each was seen from the first refusal on."""
    counts: dict[bytes, int] = {}
    loop = asyncio.get_running_loop()
    asking = []
    try:
        async with asyncio.timeout(timeout_s):
            for _ in range(CONNECTIONS):
                transport, _ = await loop.create_connection(
                    lambda: Asking(ask, counts), "127.0.0.1", gateway.port
                )
                asking.append(transport)
            while b"503" not in counts:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            counts.clear()
            while min(counts.get(b"503", 0), counts.get(b"200", 0)) < CONNECTIONS:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    finally:
        for transport in asking:
            transport.abort()
    return counts


@pytest.mark.slow
def test_more_than_the_cpu_can_do_is_refused_and_the_rest_is_answered(tmp_path: Path) -> None:
    """Over connections and requests that its bounds allow: only the CPU is too little for them."""
    with (
        FaultProvider() as provider,
        running(CONFIG.format(url=provider.base_url, most=10_000), tmp_path) as gateway,
    ):
        question = {"model": "auto", "messages": [{"role": "user", "content": "hello"}], "temperature": 0}
        assert gateway.post("/v1/chat/completions", question).status == 200
        ask = gateway.wire("/v1/chat/completions", json.dumps(question).encode())
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2 * CONNECTIONS)), hard))
        counts = asyncio.run(press(gateway, ask, 50))
        assert set(counts) == {b"200", b"503"}
        assert gateway.metric("farthing_requests_shed_cpu") >= counts[b"503"]
        assert gateway.metric("farthing_requests_shed_full") == 0
        until(lambda: gateway.metric("farthing_requests_limit") == 10_000, timeout_s=30)  # open again
        assert gateway.post("/v1/chat/completions", question).status == 200
        assert "there is more to do than the CPU can" in gateway.logged()
