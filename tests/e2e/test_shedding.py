"""What a client sees of a gateway that has too much to do, and what it never sees of it."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
