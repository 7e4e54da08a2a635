"""Random requests that offer an upgrade are read as the same requests that do not, however they arrive."""

import asyncio
import random
from collections.abc import Coroutine
from typing import Any, cast

import pytest

from farthing.config import ServerConfig
from farthing.edge.http.answering import HttpRequest
from farthing.edge.http.connection import ClientConnection
from farthing.edge.http.server import Server
from farthing.runtime.loop_batch import LoopBatch

STREAMS = 600
OFFERED = (b"upgrade", b"connection", b"http2-settings")
Read = tuple[bytes, str, dict[bytes, bytes], bytes, str, bool] | bytes


class Socket:
    """A transport that takes everything and says nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: None


class AtOnce:
    """A turn in which every request is handled at once and answers are written to `read`."""

    def __init__(self, read: list[Read]) -> None:
        self._read = read

    def start(self, work: Coroutine[Any, Any, None]) -> Any:
        with pytest.raises(StopIteration):
            work.send(None)
        return Socket()

    def write(self, transport: Any, data: bytes) -> None:
        self._read.append(data[:12])

    def flush(self) -> None:
        """Nothing waits."""


def read_of(stream: bytes, cuts: list[int]) -> list[Read]:
    """What the handler was given, and the first bytes of what the server answered itself."""
    read: list[Read] = []

    async def handle(connection: ClientConnection, http: HttpRequest) -> None:
        headers = {name: value for name, value in http.headers.items() if name not in OFFERED}
        read.append((http.method, http.path, headers, http.body, http.version, http.keep_alive))

    loop = cast(asyncio.AbstractEventLoop, None)
    server = Server(
        ServerConfig(),
        handle,
        lambda status, message, http: (status, b"", b""),
        loop=loop,
        turn=cast(LoopBatch, AtOnce(read)),
    )
    connection = ClientConnection(server)
    connection.connection_made(cast(asyncio.Transport, Socket()))
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        connection.data_received(stream[begin:end])
        while connection.busy:
            connection.finish(True)
    connection.connection_lost(None)
    assert server.bodies_bytes == 0
    return read


def message(chance: random.Random) -> tuple[bytes, bytes]:
    """One request, right or wrong: as it is, and with an offer somewhere in its head."""
    raw = chance.randbytes(chance.choice([0, 1, 5, 300]))
    lines = [b"Host: x", b"X-Odd: \xe9", b"X-Empty:", b"Content-Type: application/json"]
    framing = chance.choice(["length", "chunks", "none"])
    sent = b""
    if framing == "length":
        lines.append(b"Content-Length: %d" % len(raw))
        sent = raw
    elif framing == "chunks":
        lines.append(b"Transfer-Encoding: chunked")
        size = chance.choice([1, 7, 400])
        pieces = [raw[at : at + size] for at in range(0, len(raw), size)]
        after = chance.choice([b"", b"X-After: 1\r\n", b"Host: evil\r\n"])
        sent = (
            b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n" + after + b"\r\n"
        )
    wrong = (b"Host: y", b"Content-Length: 3", b"Transfer-Encoding: gzip", b"Host : x", b"X-A: b\r\n c")
    lines += chance.choices([[], [chance.choice(wrong)]], [6, 1])[0]
    chance.shuffle(lines)
    stays = chance.choice([b"keep-alive", b"close", b""])
    plain = [*lines, *([b"Connection: " + stays] if stays else [])]
    offer = [b"Connection: Upgrade" + (b", " + stays if stays else b"")]
    if stays and chance.random() < 0.5:
        offer = [b"connection: " + stays, b"CONNECTION: upgrade"]
    for line in [*offer, chance.choice([b"UPGRADE:h2c", b"Upgrade: websocket"])]:
        lines.insert(chance.randrange(len(lines) + 1), line)
    start = chance.choice([b"POST", b"GET", b"PUT"]) + b" /p HTTP/" + chance.choice([b"1.1", b"1.1", b"1.0"])
    return b"\r\n".join([start, *plain, b"", sent]), b"\r\n".join([start, *lines, b"", sent])


@pytest.mark.parametrize("seed", range(4))
def test_an_offer_changes_nothing_of_what_is_read(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(STREAMS):
        messages = [message(chance) for _ in range(chance.randint(1, 3))]
        plain, offered = (b"".join(parts) for parts in zip(*messages, strict=True))
        expected = read_of(plain, [])
        assert read_of(offered, []) == expected, offered
        if len(messages) == 1:  # of several, how many wait at once depends on how they come
            cuts = sorted(chance.sample(range(1, len(offered)), min(len(offered) - 1, 9)))
            assert read_of(offered, cuts) == expected, (offered, cuts)
