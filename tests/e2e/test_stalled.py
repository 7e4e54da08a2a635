"""A client that stops reading holds two small socket buffers and nothing more (promise P6)."""

import os
import socket
import time
from array import array
from collections.abc import Iterator
from fcntl import ioctl
from termios import TIOCOUTQ

import pytest
from tests.conftest import StartGateway
from tests.e2e.gateway import Running, until
from tests.faults.canned import Canned, read_request
from tests.faults.exact import event, say

MIB = 1_048_576
SMALL_BYTES = 16_384  # of the test's own buffer, which the kernel doubles
STREAM_BYTES_MAX = 524_288
READERS = int(os.environ.get("FARTHING_TEST_READERS", "200"))
READ_BYTES = 131_072
PATIENCE_S = 180.0  # on a machine that has much else to do
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
DATA = b"".join(event(one) for one in say("x" * 2_000, "y" * 2_000, "z" * 2_000))
PIECE = b"%x\r\n%b\r\n" % (len(DATA), DATA)


class Flood(Canned):
    """Streams without end, as fast as it is read."""

    def __init__(self) -> None:
        super().__init__(lambda asked: None)
        self.sent: dict[socket.socket, int] = {}

    def serve(self, client: socket.socket, number: int) -> None:
        client.settimeout(PATIENCE_S)
        read_request(client)
        client.sendall(HEAD)
        self.sent[client] = 0
        while True:
            self.sent[client] += client.send(PIECE)

    def taken(self) -> list[int]:
        """How many bytes of each stream have left this end."""
        taken = []
        for client, sent in tuple(self.sent.items()):
            if client.fileno() < 0:  # its reader has left
                continue
            unsent = array("i", [0])
            ioctl(client, TIOCOUTQ, unsent)
            taken.append(sent - unsent[0])
        return taken


@pytest.fixture
def flood() -> Iterator[Flood]:
    with Flood() as server:
        yield server


def gateway_for(start_gateway: StartGateway, flood: Flood, stall_s: float) -> Running:
    return start_gateway(f"""
[server]
write_stall_s = {stall_s}
drain_s = 1.0
[providers.a]
base_url = "{flood.base_url}"
connections_max = 1_000
[tiers.cheap]
targets = ["a/good"]
[cache]
exact = "off"
""")


def stall(gateway: Running) -> socket.socket:
    client = gateway.dial(receive_bytes=SMALL_BYTES)
    client.sendall(gateway.chat_bytes(stream=True))
    return client


def at_rest(flood: Flood, clients: int) -> list[int]:
    """What has been taken of each stream, once nothing more is."""

    def still() -> list[int] | None:
        before = flood.taken()
        time.sleep(1.0)
        rest = len(before) == clients and min(before) > 0 and flood.taken() == before
        return before if rest else None

    return until(still, PATIENCE_S) or []


def test_a_stalled_stream_stops_its_provider_soon(start_gateway: StartGateway, flood: Flood) -> None:
    gateway = gateway_for(start_gateway, flood, 120.0)
    with stall(gateway) as client:
        read = 0
        while read < 20 * MIB:  # the kernel gives more room to who reads fast
            read += len(client.recv(MIB))
        (sent,) = at_rest(flood, 1)
    sent -= read
    print(f"{sent} bytes under way")
    assert sent < STREAM_BYTES_MAX + 2 * SMALL_BYTES, "the test's own buffer is not the gateway's"


def read_some(client: socket.socket, size_bytes: int) -> int:
    """How much was read before its reader stops, in the middle of the stream."""
    client.settimeout(PATIENCE_S)  # hundreds of streams begin at the same time
    read = 0
    while read < size_bytes:
        piece = client.recv(min(SMALL_BYTES, size_bytes - read))
        assert piece and (read or piece.startswith(b"HTTP/1.1 200 ")), piece or f"ended after {read} bytes"
        read += len(piece)
    return read


def test_what_many_stalled_readers_held_is_given_back(start_gateway: StartGateway, flood: Flood) -> None:
    """All that is under way of a stream, in the gateway and in the kernel's buffers on both of its sides, and
    what of it the process itself holds; each by the reader, whatever their number."""
    gateway = gateway_for(start_gateway, flood, 600.0)
    with stall(gateway):
        at_rest(flood, 1)
    until(lambda: gateway.metric("farthing_requests_in_progress") == 0, PATIENCE_S)
    base = gateway.memory_bytes()
    flood.sent.clear()
    clients = [stall(gateway) for _ in range(READERS)]
    read = sum(read_some(client, READ_BYTES) for client in clients)
    taken = at_rest(flood, READERS)
    held = gateway.memory_bytes() - base
    under_way = (sum(taken) - read) / READERS
    for client in clients:
        client.close()
    until(lambda: gateway.metric("farthing_requests_in_progress") == 0, PATIENCE_S)
    kept_bytes_max = max(16 * MIB, held // 4)
    until(lambda: gateway.memory_bytes() < base + kept_bytes_max, PATIENCE_S, every_s=0.2)
    kept = gateway.memory_bytes() - base
    held_each = held / READERS
    print(f"each {under_way:.0f} bytes under way, {held_each:.0f} in the process; {kept / MIB:.0f} MiB kept")
    assert under_way < STREAM_BYTES_MAX + 2 * SMALL_BYTES, "the test's own buffers are not the gateway's"
    assert max(taken) - READ_BYTES < STREAM_BYTES_MAX + 2 * SMALL_BYTES
    assert held_each < STREAM_BYTES_MAX


def test_who_asks_on_and_reads_nothing_is_cut(start_gateway: StartGateway, flood: Flood) -> None:
    """No key is asked for `/metrics`, and each answer is many times as large as what asks for it."""
    gateway = gateway_for(start_gateway, flood, 2.0)
    wire = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n"
    base = gateway.memory_bytes()
    clients = [gateway.dial(receive_bytes=SMALL_BYTES) for _ in range(20)]
    for client in clients:
        client.setblocking(False)
    cut: set[socket.socket] = set()
    peak = 0
    ends_s = time.monotonic() + 60.0
    while len(cut) < len(clients) and time.monotonic() < ends_s:
        for client in clients:
            try:
                client.send(wire)
            except BlockingIOError:
                continue  # it is not read, so that it cannot ask for more
            except OSError:
                cut.add(client)
        peak = max(peak, gateway.memory_bytes() - base)
        time.sleep(0.02)
    for client in clients:
        client.close()
    assert len(cut) == len(clients) and peak < 32 * MIB, (len(cut), peak)
    assert gateway.request("GET", "/healthz").status == 200


def test_who_reads_late_gets_every_answer(start_gateway: StartGateway, flood: Flood) -> None:
    gateway = gateway_for(start_gateway, flood, 60.0)
    wire = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n"
    last = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    with gateway.dial(receive_bytes=SMALL_BYTES) as client:
        client.sendall(wire * 20 + last)
        time.sleep(1.0)
        said = b""
        while piece := client.recv(65_536):
            said += piece
    assert said.count(b"HTTP/1.1 200 OK\r\n") == 21 and said.endswith(b'{"status":"ok"}')
