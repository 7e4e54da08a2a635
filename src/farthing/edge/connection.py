"""The HTTP/1.1 server binding: sockets, limits, timeouts, disconnects, back-pressure. No route, no JSON.

Theory of operation. A `ClientConnection` reads one request at a time; the handler runs as its strand and
is cancelled the moment the client leaves. A request that arrives while one is answered waits, one deep;
a second waiting one ends the connection.

    head --> body --> handling --> answered --> head ...
      \\        \\          \\ client leaves: the strand is cancelled
       \\________\\________ a limit or deadline is passed: 4xx, and the connection is closed

What the parser (llhttp, strict) refuses: Content-Length with Transfer-Encoding, two lengths, bare LF,
folded headers. What is refused here: a second Host, Authorization, Content-Type or key (whoever stands
before us may have read the other one), a Host that is no host, sizes and times beyond the
limits. A reader that takes nothing for `write_stall_s` is cut; until then its provider is paused, so one
stalled stream holds the two socket buffers and nothing more (promise P6).
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Protocol, cast

import httptools

from farthing.config import ServerConfig
from farthing.turn import Strand, Turn

WRITE_HIGH_BYTES = 65_536
NEVER_S = 1e18
LINGER_S = 2.0
VERSIONS = ("1.1", "1.0")
HOST_CHARS = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]"

ONCE = frozenset({b"host", b"authorization", b"content-type", b"x-api-key", b"api-key"})

REASONS = {
    200: b"OK", 202: b"Accepted", 400: b"Bad Request", 401: b"Unauthorized", 403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed", 408: b"Request Timeout", 409: b"Conflict", 413: b"Content Too Large",
    415: b"Unsupported Media Type", 422: b"Unprocessable Content", 429: b"Too Many Requests",
    431: b"Request Header Fields Too Large", 500: b"Internal Server Error", 502: b"Bad Gateway",
    503: b"Service Unavailable", 504: b"Gateway Timeout",
}  # fmt: skip


class HttpRequest:
    """One request as it was read. Header names are in lower case; the last of equal names counts."""

    __slots__ = ("body", "headers", "keep_alive", "method", "path", "received_s", "version")

    def __init__(self, method: bytes, path: str, headers: dict[bytes, bytes], body: bytes) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body
        self.version = "1.1"
        self.keep_alive = True
        self.received_s = 0.0


class Owner(Protocol):
    """What a connection needs of its server."""

    config: ServerConfig
    loop: asyncio.AbstractEventLoop
    turn: Turn
    connections: "set[ClientConnection]"
    draining: bool
    date: bytes

    @property
    def handler(self) -> Callable[["ClientConnection", HttpRequest], Coroutine[Any, Any, None]]:
        """Answers one request; its last call is `ClientConnection.finish`."""

    @property
    def refusal(self) -> Callable[[int, str], tuple[bytes, bytes]]:
        """Status and message -> further headers and body of an answer the server itself gives."""

    def has_room(self) -> bool:
        """Whether one more connection may be had."""

    def answers_to(self, host: bytes) -> bool:
        """Whether that Host is served here."""

    def ended(self) -> None:
        """A connection has finished a request, or is gone."""


class ClientConnection(asyncio.Protocol):
    """One client socket."""

    __slots__ = (
        "_bodiless",
        "_body_size",
        "_headers",
        "_on_pause",
        "_on_resume",
        "_parser",
        "_parts",
        "_quiet_bytes",
        "_reading",
        "_refused",
        "_repeated",
        "_stalled",
        "_strand",
        "_url",
        "_waiting",
        "also",
        "chunked",
        "deadline_s",
        "known",
        "on_left",
        "server",
        "streaming",
        "transport",
    )

    def __init__(self, server: Owner) -> None:
        self.server = server
        self.transport: asyncio.Transport | None = None
        self.deadline_s = 0.0
        self.streaming = False
        """The head of a streamed answer has been sent."""
        self.chunked = True
        self.also = b""
        """Header lines for the answer to the current request, whatever it will be."""
        self.known: tuple[Any, bytes, Any] | None = None
        """What the last Authorization header proved, and to whom: a client sends the same with each request.
        Kept no longer than the connection."""
        self.on_left: Callable[[Callable[[], None]], bool] | None = None
        """See `protocols.Sink.outlive`; for the current request alone."""
        self._parser = httptools.HttpRequestParser(self)
        self._strand: Strand | None = None
        self._waiting: HttpRequest | None = None
        self._reading = False
        """A request has begun to arrive and is not all here yet."""
        self._bodiless = False
        """HEAD: the answer's head alone; a body would be read as the next answer."""
        self._refused = False
        self._stalled = False
        self._on_pause: Callable[[], None] | None = None
        self._on_resume: Callable[[], None] | None = None
        self._quiet_bytes = 0
        self._body_size = 0
        self._headers: dict[bytes, bytes] = {}
        self._repeated = b""
        """A header of `ONCE` that came twice; empty when none did."""
        self._parts: list[bytes] = []
        self._url = b""

    # -- the socket ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport = cast(asyncio.Transport, transport)  # uvloop's is one by shape only
        transport.set_write_buffer_limits(high=WRITE_HIGH_BYTES)
        server = self.server
        if not server.has_room():
            why = "the gateway is shutting down" if server.draining else "too many connections"
            self.refuse(503, f"{why}: try again in a moment")
            return
        server.connections.add(self)
        self.deadline_s = time.monotonic() + server.config.header_s

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.server.connections.discard(self)
        self._waiting = None
        self._end_strand()

    def _end_strand(self) -> None:
        """The client is gone: end what is done for it, unless others want it too."""
        strand, on_left = self._strand, self.on_left
        if strand is None:
            return
        self.on_left = None
        if on_left is not None and on_left(partial(strand.cancel, "client_gone")):
            self._strand = None  # it is theirs now
        else:
            strand.cancel("client_gone")

    def data_received(self, data: bytes) -> None:
        if self._quiet_bytes + len(data) > self.server.config.header_bytes_max:
            self._take_in_pieces(data)
        elif not self._refused:
            self._take(data)

    def _take(self, data: bytes) -> None:
        self._quiet_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:  # asked for and not granted: HTTP/1.1 goes on
            self._parser = httptools.HttpRequestParser(self)
            self.data_received(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            if not self._refused:
                self.refuse(400, f"the request is not valid HTTP/1.1: {error}")

    def _take_in_pieces(self, data: bytes) -> None:
        """So large a read may be a body, or a head that is too long: look after each allowance of it."""
        header_bytes_max = self.server.config.header_bytes_max
        while data and not self._refused:
            room = header_bytes_max - self._quiet_bytes
            if room <= 0:
                self.refuse(431, f"the headers are over {header_bytes_max} bytes")
                return
            self._take(data[:room])
            data = data[room:]

    # httptools calls these, by name, from within feed_data

    def on_message_begin(self) -> None:
        self._headers = {}
        self._parts = []
        self._repeated = b""
        self._body_size = 0
        self._reading = True
        if self._strand is None:
            self.deadline_s = time.monotonic() + self.server.config.header_s

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        headers = self._headers
        if name in headers and name in ONCE:
            self._repeated = name
        headers[name] = value

    def on_headers_complete(self) -> None:
        self._quiet_bytes = 0
        headers = self._headers
        host = headers.get(b"host", b"")
        if (
            self._repeated
            or host.strip(HOST_CHARS)
            or (not host and self._parser.get_http_version() == "1.1")
        ):
            if self._repeated not in (b"", b"host"):
                self.refuse(400, f"the header {self._repeated.decode()} is there twice: send it once")
                return
            self.refuse(400, "send exactly one well-formed Host header")
            return
        if not self.server.answers_to(host):
            self.refuse(400, "this Host is not served here")
            return
        length = headers.get(b"content-length")
        if length is not None and int(length) > self.server.config.body_bytes_max:
            self.refuse(413, f"the body is over {self.server.config.body_bytes_max} bytes")
            return
        if b"upgrade" in headers and (length is not None or b"transfer-encoding" in headers):
            self.refuse(400, "this server does not upgrade connections: leave the Upgrade header out")
            return  # the parser would take the body for what follows the upgrade
        if b"expect" in headers and self._strand is None and self.transport is not None:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self._strand is None and (length not in (None, b"0") or b"transfer-encoding" in headers):
            self.deadline_s = time.monotonic() + self.server.config.body_s

    def on_body(self, body: bytes) -> None:
        self._quiet_bytes = 0
        self._body_size += len(body)
        if self._body_size > self.server.config.body_bytes_max:
            self.refuse(413, f"the body is over {self.server.config.body_bytes_max} bytes")
        elif not self._refused:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        self._reading = False
        if self._refused:
            return
        parser = self._parser
        parts = self._parts
        url, self._url = self._url, b""
        path = url.partition(b"?")[0]
        request = HttpRequest(
            parser.get_method(),
            path.decode("latin-1"),
            self._headers,
            parts[0] if len(parts) == 1 else b"".join(parts),
        )
        self._parts = []
        request.keep_alive = parser.should_keep_alive()
        request.version = parser.get_http_version()
        request.received_s = time.monotonic()
        if request.version not in VERSIONS:
            self.refuse(400, "send HTTP/1.1")
        elif self._strand is None:
            self._begin(request)
        elif self._waiting is None:
            self._waiting = request
            self._pause_reading()
        else:
            self.refuse(400, "too many pipelined requests: wait for the answer")

    # -- handling --------------------------------------------------------------------------------------

    def _begin(self, request: HttpRequest) -> None:
        self.deadline_s = NEVER_S
        self.streaming = False
        self.chunked = request.version == "1.1"
        self._bodiless = request.method == b"HEAD"
        self.also = b""
        server = self.server
        self._strand = server.turn.start(server.handler(self, request))

    def finish(self, keep_alive: bool) -> None:
        """The answer is complete: wait for the next request, or close. The handler's last call."""
        self._strand = None
        self._on_pause = self._on_resume = self.on_left = None
        if self.server.draining:
            self.server.ended()
        transport = self.transport
        if transport is None:
            return
        if not keep_alive or self.server.draining or self._refused or (self.streaming and not self.chunked):
            self.server.turn.flush()
            transport.close()
            if not self._stalled:  # what is not taken by then never will be
                self.deadline_s = time.monotonic() + self.server.config.write_stall_s
            return
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._begin(waiting)
            transport.resume_reading()
        elif not self._stalled:
            config = self.server.config
            self.deadline_s = time.monotonic() + (config.header_s if self._reading else config.idle_s)

    def refuse(self, status: int, message: str) -> None:
        """Answer by ourselves and close: what follows on this connection cannot be trusted."""
        if self._refused:
            return
        self._refused = True
        transport = self.transport
        if transport is None:
            return
        self.deadline_s = time.monotonic() + LINGER_S
        if self._strand is not None:  # an answer is under way: it must not be mixed with this one
            self._end_strand()
            self.server.turn.flush()
            transport.close()
            return
        headers, body = self.server.refusal(status, message)
        self.answer(status, headers + b"connection: close\r\n", body)
        self.server.turn.flush()
        if self in self.server.connections:
            transport.write_eof()  # closing now, with bytes unread, would reset what was just said
        else:
            transport.close()

    def cancel(self, why: str) -> None:
        """End the handling of the current request."""
        if self._strand is not None:
            self._strand.cancel(why)

    @property
    def busy(self) -> bool:
        return self._strand is not None

    def drop(self) -> None:
        """Close at once, without a word: another connection takes the place."""
        self.server.connections.discard(self)
        if self.transport is not None:
            self.transport.abort()

    def expired(self) -> None:
        """The deadline passed: close, after saying why when a request had begun."""
        transport = self.transport
        if transport is None:
            return
        if self._stalled or self._refused or transport.is_closing():
            transport.abort()
        elif self._reading:
            self.refuse(408, "the request did not arrive in time")
        else:
            transport.close()
            self.deadline_s = time.monotonic() + LINGER_S

    # -- writing -----------------------------------------------------------------------------------------

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
        """Write the last of a streamed answer."""
        transport = self.transport
        if transport is not None:
            self.server.turn.write(
                transport, b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data) if self.chunked else data
            )

    def end_chunks(self) -> None:
        """End a streamed answer whose last bytes are written."""
        if self.transport is not None and self.chunked:
            self.server.turn.write(self.transport, b"0\r\n\r\n")

    def when_writable(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        """See `protocols.Sink`."""
        self._on_pause = pause
        self._on_resume = resume
        if self._stalled:
            pause()

    def pause_writing(self) -> None:
        self._stalled = True
        self.deadline_s = time.monotonic() + self.server.config.write_stall_s
        if self._on_pause is not None:
            self._on_pause()

    def resume_writing(self) -> None:
        self._stalled = False
        busy = self._strand is not None
        self.deadline_s = NEVER_S if busy else time.monotonic() + self.server.config.idle_s
        if self._on_resume is not None:
            self._on_resume()

    def _pause_reading(self) -> None:
        if self.transport is not None:
            self.transport.pause_reading()
