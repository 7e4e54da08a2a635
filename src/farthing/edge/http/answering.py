"""The writing half of a client's connection, and the types it shares with the reading half (`connection`)."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from farthing.config import ServerConfig
from farthing.edge.admit import Admission
from farthing.edge.http.cors import Cors
from farthing.errors import FarthingError
from farthing.runtime.loop_batch import LoopBatch

if TYPE_CHECKING:
    from farthing.edge.http.connection import ClientConnection

REASONS = {
    200: b"OK", 202: b"Accepted", 204: b"No Content", 400: b"Bad Request", 401: b"Unauthorized",
    402: b"Payment Required",
    403: b"Forbidden", 404: b"Not Found",
    405: b"Method Not Allowed", 408: b"Request Timeout", 409: b"Conflict", 413: b"Content Too Large",
    415: b"Unsupported Media Type", 422: b"Unprocessable Content", 426: b"Upgrade Required",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large", 500: b"Internal Server Error", 501: b"Not Implemented",
    502: b"Bad Gateway", 503: b"Service Unavailable", 504: b"Gateway Timeout", 529: b"Overloaded",
}  # fmt: skip


class HttpRequest:
    """One request as it was read. Header names are in lower case; the last of equal names counts."""

    __slots__ = (
        "body",
        "deployment",
        "headers",
        "held_bytes",
        "keep_alive",
        "method",
        "path",
        "query",
        "received_s",
        "version",
    )

    def __init__(self, method: bytes, path: str, headers: dict[bytes, bytes], body: bytes) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body
        self.query = b""
        """The query string, without the question mark."""
        self.deployment = ""
        """The model that the path names; empty: none."""
        self.held_bytes = 0
        """Its share of `Owner.bodies_bytes`."""
        self.version = "1.1"
        self.keep_alive = True
        self.received_s = 0.0


Refused = tuple[int, bytes, bytes]
"""Status, further headers and body of a refusal."""
TurnedAway = Callable[[HttpRequest], Refused | None]
"""The refusal for a request that was read; None: it may begin."""


class Owner(Protocol):
    """What a connection needs of its server."""

    config: ServerConfig
    loop: asyncio.AbstractEventLoop
    turn: LoopBatch
    connections: "set[ClientConnection]"
    draining: bool
    date: bytes
    bodies_bytes: int
    """Bytes held now by all bodies and incomplete heads."""
    blocks_bytes: int
    """Bytes received in large bodies since the start."""
    body_bytes_max: int
    large_bodies_bytes_max: int
    """The level of `bodies_bytes` up to which large bodies are taken; the rest is for small ones."""
    cors: Cors | None
    """The origins whose web pages are answered; None: none."""

    admission: Admission | None
    turned_away: TurnedAway

    @property
    def handler(self) -> Callable[["ClientConnection", HttpRequest], Coroutine[Any, Any, None]]:
        """Answers one request; its last call is `ClientConnection.finish`."""

    @property
    def vet(self) -> Callable[["ClientConnection", HttpRequest], int | None]:
        """Looks at a head whose body is still to come and returns the most bytes wanted of it. None: the
        request is refused, and the answer was written."""

    @property
    def refusal(self) -> Callable[[int, str, HttpRequest], Refused]:
        """The server's own answer, for a status, a message and what is known of the request."""

    def has_room(self) -> bool:
        """Whether one more connection is allowed."""

    def answers_to(self, host: bytes) -> bool:
        """Whether this Host is served here."""

    def ended(self) -> None:
        """Called when a connection has finished a request or is gone."""


class Answering:
    """Writes answers to one client, one after another."""

    __slots__ = ("_bodiless", "also", "chunked", "last_words", "server", "streaming", "transport")

    def __init__(self, server: Owner) -> None:
        self.server = server
        self.transport: asyncio.Transport | None = None
        self.streaming = False
        """The head of a streamed answer has been sent."""
        self.chunked = True
        self.also = b""
        """Header lines for the answer to the current request, whatever its status."""
        self.last_words: Callable[[FarthingError], bytes | None] | None = None
        """Writes what ends the current answer if it fails. If it is None, or returns None, the caller's own
        error is written; empty: an answer that has begun has no place for an error."""
        self._bodiless = False
        """For HEAD only the head is sent; a body would be read as the next answer."""

    def answer(self, status: int, headers: bytes, body: bytes) -> None:
        """Write a whole answer. `headers` are complete lines."""
        transport = self.transport
        if transport is not None:
            sent = b"" if self._bodiless else body
            lines = self.also + headers
            self.server.turn.write(
                transport,
                b"HTTP/1.1 %d %b\r\ndate: %b\r\n%bcontent-length: %d\r\n\r\n%b"
                % (status, REASONS.get(status, b"Status"), self.server.date, lines, len(body), sent),
            )

    def answer_nothing(self, headers: bytes) -> None:
        """Write a 204, which has neither a body nor a length. `headers` are complete lines."""
        transport = self.transport
        if transport is not None:
            lines = b"date: %b\r\n%b%b\r\n" % (self.server.date, self.also, headers)
            self.server.turn.write(transport, b"HTTP/1.1 204 No Content\r\n" + lines)

    def begin_stream(self, headers: bytes, first: bytes) -> None:
        """Write the head of a streamed answer and its first bytes."""
        self.streaming = True
        transport = self.transport
        if transport is None:
            return
        head = b"HTTP/1.1 200 OK\r\ndate: %b\r\n%b%b" % (self.server.date, self.also, headers)
        if self.chunked:
            self.server.turn.write_soon(
                transport, b"%btransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (head, len(first), first)
            )
        else:
            self.server.turn.write_soon(transport, b"%bconnection: close\r\n\r\n%b" % (head, first))

    def stream(self, data: bytes) -> None:
        """Write more of a streamed answer."""
        transport = self.transport
        if transport is not None:
            framed = b"%x\r\n%b\r\n" % (len(data), data) if self.chunked else data
            self.server.turn.write_soon(transport, framed)

    def end_stream(self, data: bytes) -> None:
        """Write the last bytes of a streamed answer; there may be none."""
        transport = self.transport
        if not data:
            self.end_chunks()
        elif transport is not None:
            self.server.turn.write(
                transport, b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data) if self.chunked else data
            )

    def end_chunks(self) -> None:
        """End a streamed answer after its last bytes."""
        if self.transport is not None and self.chunked:
            self.server.turn.write(self.transport, b"0\r\n\r\n")
