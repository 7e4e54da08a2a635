"""The writing half of a client's connection, and the nouns it shares with the reading half (`connection`)."""

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
        """What follows the path, without the question mark."""
        self.deployment = ""
        """The model that the path names; empty: none."""
        self.held_bytes = 0
        """What is counted for it in `Owner.bodies_bytes`."""
        self.version = "1.1"
        self.keep_alive = True
        self.received_s = 0.0


Refused = tuple[int, bytes, bytes]
"""Status, further headers and body of an answer that is no more than a refusal."""
TurnedAway = Callable[[HttpRequest], Refused | None]
"""A request that was read -> what it gets unbegun; None: it is to be begun."""


class Owner(Protocol):
    """What a connection needs of its server."""

    config: ServerConfig
    loop: asyncio.AbstractEventLoop
    turn: LoopBatch
    connections: "set[ClientConnection]"
    draining: bool
    date: bytes
    bodies_bytes: int
    """Of all bodies, and of heads that are not complete, held now."""
    blocks_bytes: int
    """What came in large bodies since the start."""
    body_bytes_max: int
    large_bodies_bytes_max: int
    """How far a large body may make `bodies_bytes` grow; the rest is for small ones."""
    cors: Cors | None
    """Which pages of other sites are answered; None: none."""

    admission: Admission | None
    turned_away: TurnedAway

    @property
    def handler(self) -> Callable[["ClientConnection", HttpRequest], Coroutine[Any, Any, None]]:
        """Answers one request; its last call is `ClientConnection.finish`."""

    @property
    def vet(self) -> Callable[["ClientConnection", HttpRequest], int | None]:
        """Looks at a head whose body is still to come: how many bytes of one are wanted. None: the request is
        refused, and the answer was written."""

    @property
    def refusal(self) -> Callable[[int, str, HttpRequest], Refused]:
        """Status, message, and what is known of the request -> the answer that the server itself gives."""

    def has_room(self) -> bool:
        """Whether one more connection may be had."""

    def answers_to(self, host: bytes) -> bool:
        """Whether that Host is served here."""

    def ended(self) -> None:
        """A connection has finished a request, or is gone."""


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
        """Header lines for the answer to the current request, whatever it will be."""
        self.last_words: Callable[[FarthingError], bytes | None] | None = None
        """What ends the answer to the current request where it fails, as who writes it knows. None, from it
        too: whoever tells the error says so. Empty: an answer that has begun has no place for an error."""
        self._bodiless = False
        """HEAD: the answer's head alone; a body would be read as the next answer."""

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
        """Write the last of a streamed answer, which may be nothing."""
        transport = self.transport
        if not data:
            self.end_chunks()
        elif transport is not None:
            self.server.turn.write(
                transport, b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data) if self.chunked else data
            )

    def end_chunks(self) -> None:
        """End a streamed answer whose last bytes are written."""
        if self.transport is not None and self.chunked:
            self.server.turn.write(self.transport, b"0\r\n\r\n")
