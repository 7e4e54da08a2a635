"""The HTTP/1.1 server binding: sockets, limits, timeouts, disconnects, back-pressure. No route, no JSON.

Theory of operation. A `ClientConnection` reads one request at a time; its handler runs beside it and
is cancelled the moment the client leaves. Requests that arrive while one is answered wait, and nothing more
is read meanwhile; more than `PIPELINED_MAX` that wait end the connection.

    head --> body --> handling --> answered --> head ...
      \\        \\          \\ client leaves: the handler is cancelled
       \\________\\________ a limit or deadline is passed: 4xx, and the connection is closed

A body that is not here with its head is not read on before the head was looked at (`Owner.vet`): whoever has
no key is refused before there is anything to keep.

What the parser (llhttp, strict) refuses: Content-Length with Transfer-Encoding, two lengths, bare LF,
folded headers. What is refused here: a second Host, Authorization, Content-Type, Transfer-Encoding or key
(whoever stands before us may have read the other one), a Host that is no host, a transfer coding other than
`chunked`, sizes, numbers and times beyond the limits. Fields after a chunked body (trailers) are read over:
none replaces a header that was checked. A reader that takes nothing for `write_stall_s` is cut; until then
its provider is paused, so one stalled stream holds the two socket buffers and nothing more (promise P6).

An `Upgrade` is never granted, so it is ignored (RFC 9110, 7.8), whatever it asks for: the JDK's client offers
`h2c` with every request. The parser, though, takes what follows such a head for the other protocol. So when
it says so the same head without that field goes through a new parser, under all the rules above, and then
what follows it.

The bytes of all bodies, and of heads that are not complete, are counted for all connections together, as they
arrive and until their request is answered: over `bodies_bytes_max` none is taken. The last of that is for
bodies of up to `SMALL_BODY_BYTES`, so that large ones do not keep everybody out. What a connection holds is
free when it ends: nothing of it may wait for the garbage collector, which runs seldom.
"""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import httptools

from farthing.edge.http.answering import Answering, HttpRequest, Owner
from farthing.errors import Overloaded
from farthing.runtime.loop_batch import RequestRunner

WRITE_HIGH_BYTES = 65_536
NEVER_S = 1e18
LINGER_S = 2.0
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
SMALL_BODY_BYTES = 65_536  # most requests are smaller
PIPELINED_MAX = 32
HEADERS_MAX = 256  # each takes a fifth of a kilobyte beside its bytes
PARTS_MAX = 64
BLOCK_BYTES = (
    524_288  # what is so large the allocator gives back to the system at once, see `farthing.runtime.heap`
)
NOTHING, HEAD, UNVETTED, BODY = range(4)
"""What is arriving: nothing; a head; a body that has not been vetted yet; a body that is wanted."""
VERSIONS = ("1.1", "1.0")
HOST_CHARS = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]"

ONCE = frozenset({b"host", b"authorization", b"content-type", b"transfer-encoding", b"x-api-key", b"api-key"})
ENDED = httptools.HttpRequestParser(object())
"""Replaces the parser of a closed connection, because the two refer to each other."""


class ClientConnection(Answering, asyncio.Protocol):
    """The reading half of one client socket. The writing half is `Answering`."""

    __slots__ = (
        "_begun_bytes",
        "_block_bytes",
        "_blocks",
        "_body_bytes_max",
        "_body_size",
        "_head_size",
        "_headers",
        "_ignores_upgrade",
        "_on_pause",
        "_on_resume",
        "_parser",
        "_parts",
        "_quiet_bytes",
        "_reading",
        "_refused",
        "_repeated",
        "_runner",
        "_stalled",
        "_trailed",
        "_url",
        "_waiting",
        "deadline_s",
        "known",
        "on_left",
    )

    def __init__(self, server: Owner) -> None:
        super().__init__(server)
        self.deadline_s = 0.0
        self.known: tuple[Any, bytes | None, bytes | None, Any] | None = None
        """The key headers (`authorization`, `x-api-key`) accepted last, and their tenant: a client sends the
        same with each request. Kept no longer than the connection."""
        self.on_left: Callable[[Callable[[], None]], bool] | None = None
        """See `protocols.Sink.outlive`; applies to the current request only."""
        self._parser = httptools.HttpRequestParser(self)
        self._runner: RequestRunner | None = None
        self._waiting: list[HttpRequest] = []
        """Requests that arrived while another was being answered or its answer was not yet read, in order."""
        self._reading = NOTHING
        self._refused = False
        self._stalled = False
        self._on_pause: Callable[[], None] | None = None
        self._on_resume: Callable[[], None] | None = None
        self._quiet_bytes = 0
        self._body_size = 0
        self._body_bytes_max = 0
        self._head_size = 0
        """Bytes of the head that came before the read that completed it."""
        self._begun_bytes = 0
        """The share of `Owner.bodies_bytes` held by the request that is being answered."""
        self._blocks = 0
        """The number of leading `_parts` that are joined blocks; together they have `_block_bytes`."""
        self._block_bytes = 0
        self._ignores_upgrade = False
        """The head that was just read is parsed again, without `Upgrade`."""
        self._headers: dict[bytes, bytes] = {}
        self._trailed: dict[bytes, bytes] | None = None
        """The headers of a request whose chunked body is arriving; `_headers` then collects its trailers."""
        self._repeated = b""
        """The header of `ONCE` that came twice; empty if none did."""
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
        self._forget_unread()
        self._reading = NOTHING
        if self._runner is not None:
            self._end_strand()
        self._parser = ENDED

    def _end_strand(self) -> None:
        """The client has left: end its work, unless others share it."""
        runner, on_left = self._runner, self.on_left
        if runner is None:
            return
        self.on_left = None
        if on_left is not None and on_left(partial(runner.cancel, "client_gone")):
            self._runner = None  # it is theirs now
        else:
            runner.cancel("client_gone")

    def data_received(self, data: bytes) -> None:
        if self._quiet_bytes + len(data) > self.server.config.header_bytes_max:
            self._take_in_pieces(data)
        elif not self._refused:
            self._take(data)

    def _take(self, data: bytes) -> None:
        self._quiet_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._go_on(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            if not self._refused:
                self.refuse(400, f"the request is not valid HTTP/1.1: {error}")
        if self._reading and not self._refused:
            self._see_part(len(data))

    def _see_part(self, size: int) -> None:
        """Examine a request that is partly here, after another `size` bytes."""
        if len(self._headers) > HEADERS_MAX:
            self._refuse_headers()
        elif self._reading == HEAD:
            self._head_size += size
            self.server.bodies_bytes += size
            self._check_room()
        elif self._reading == UNVETTED and self._runner is None and self._body_size:
            self._vet()
        if not self._refused:
            self._join_parts()

    def _join_parts(self) -> None:
        """Join the pieces of the body into blocks, since a piece may be a single byte."""
        parts, blocks = self._parts, self._blocks
        loose_bytes = self._body_size - self._block_bytes
        if loose_bytes >= BLOCK_BYTES or len(parts) - blocks > PARTS_MAX:
            parts[blocks:] = [b"".join(parts[blocks:])]
            if loose_bytes >= BLOCK_BYTES:
                self._blocks += 1
                self.server.blocks_bytes += loose_bytes
                self._block_bytes = self._body_size

    def _go_on(self, data: bytes) -> None:
        """Continue with HTTP/1.1 after a head that asked for another protocol."""
        head = b""
        if self._ignores_upgrade and not self._refused:
            lines = [b"%b: %b\r\n" % field for field in self._headers.items() if field[0] != b"upgrade"]
            version = self._parser.get_http_version().encode()
            start = b"%b %b HTTP/%b\r\n" % (self._parser.get_method(), self._url, version)
            head = start + b"".join(lines) + b"\r\n"
        self._ignores_upgrade = False
        self._headers = {}
        self._parser = httptools.HttpRequestParser(self)
        if head:
            self._take(head)
        self.data_received(data)

    def _take_in_pieces(self, data: bytes) -> None:
        """A large read may be a body, or a head that is too long: check after each allowance of bytes."""
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
        self._url = self._repeated = b""
        self._body_bytes_max = self.server.body_bytes_max
        self._reading = HEAD
        if self._runner is None and not self._stalled:
            self.deadline_s = time.monotonic() + self.server.config.header_s

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        headers = self._headers
        if name in headers:
            if name in ONCE:
                self._repeated = name
            elif name == b"connection":  # the parser heeds each, and so does who reads them again
                value = b"%b, %b" % (headers[name], value)
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
        if len(headers) > HEADERS_MAX:
            self._refuse_headers()
            return
        length = headers.get(b"content-length")
        chunked = b"transfer-encoding" in headers
        if length is not None and int(length) > self.server.config.body_bytes_max:
            self._refuse_size(int(length))
            return
        if self._parser.should_upgrade():
            if b"upgrade" in headers:
                self._ignores_upgrade = True
                return
            if length is not None or chunked:
                self.refuse(400, "CONNECT has no body, and this is no proxy")
                return
        if chunked or length not in (None, b"0"):
            self._expect_body(headers, chunked)

    def _expect_body(self, headers: dict[bytes, bytes], chunked: bool) -> None:
        """A body follows this head."""
        self._reading = UNVETTED
        if chunked:
            if headers[b"transfer-encoding"].strip().lower() != b"chunked":
                self.refuse(501, "the transfer coding is not known here: send the body as it is or chunked")
                return
            self._trailed = headers
            self._headers = {}
        if self._runner is not None or self._stalled:
            return
        self.deadline_s = time.monotonic() + self.server.config.body_s
        waiter = self._waits_for_word(headers)
        if waiter or int(headers.get(b"content-length", b"0")) > SMALL_BODY_BYTES:
            self._vet()
        if waiter:
            self._say_continue()

    def _waits_for_word(self, headers: dict[bytes, bytes]) -> bool:
        """Whether the client waits for `100 Continue` before its body. HTTP/1.0 has no such thing."""
        return b"expect" in headers and not self._body_size and self._parser.get_http_version() == "1.1"

    def _say_continue(self) -> None:
        """Send `100 Continue`, after any answer that is still to be written."""
        if self.transport is not None and not self._refused:
            self.server.turn.write(self.transport, CONTINUE)

    def on_body(self, body: bytes) -> None:
        if self._refused:
            return
        self._quiet_bytes = 0
        size = len(body)
        server = self.server
        self._body_size = body_size = self._body_size + size
        server.bodies_bytes = held = server.bodies_bytes + size
        self._parts.append(body)
        if held > server.large_bodies_bytes_max or body_size > self._body_bytes_max:
            self._check_room()

    def on_message_complete(self) -> None:
        if self._refused or self._ignores_upgrade:
            return
        self._reading = NOTHING
        parts, self._parts = self._parts, []
        request = self._request(parts[0] if len(parts) == 1 else b"".join(parts))
        self._headers = {}
        self._trailed = None
        self._body_size = self._head_size = self._blocks = self._block_bytes = 0
        if request.version not in VERSIONS:
            self.refuse(400, "send HTTP/1.1")
        elif self._runner is None and not self._stalled:
            self._begin(request)
        elif len(self._waiting) < PIPELINED_MAX:
            self._waiting.append(request)
            if len(self._waiting) == 1:
                self._pause_reading()
        else:
            self.refuse(400, f"more than {PIPELINED_MAX} requests wait for an answer: send fewer at once")

    def _request(self, body: bytes) -> HttpRequest:
        """The request whose head has arrived."""
        parser = self._parser
        path, _, query = self._url.partition(b"?")
        request = HttpRequest(
            parser.get_method(),
            path.decode("latin-1"),
            self._headers if self._trailed is None else self._trailed,
            body,
        )
        request.query = query
        request.held_bytes = self._head_size + self._body_size
        request.keep_alive = parser.should_keep_alive()
        request.version = parser.get_http_version()
        request.received_s = time.monotonic()
        return request

    def _known(self) -> HttpRequest:
        """What is known of the request that is arriving or that came last; there may be nothing."""
        headers = self._headers if self._trailed is None else self._trailed
        return HttpRequest(b"", self._url.partition(b"?")[0].decode("latin-1"), headers, b"")

    def _vet(self) -> None:
        """Have the request refused on its head, so that its body need not be read, or learn how much of it to
        read."""
        self._reading = BODY
        request = self._request(b"")
        cors = self.server.cors
        self.also = b"connection: close\r\n"
        if cors is not None:
            self.also += cors.lines(request.headers.get(b"origin"))
        self.chunked, self._bodiless = request.version == "1.1", request.method == b"HEAD"
        wanted_bytes = self.server.vet(self, request)
        if wanted_bytes is None:
            self._close_unread()
            return
        self._body_bytes_max = min(self._body_bytes_max, wanted_bytes)
        size = max(self._body_size, int(request.headers.get(b"content-length", b"0")))
        if size > self._body_bytes_max:
            self._refuse_size(size)

    def _check_room(self) -> None:
        """Refuse the request if it is too large, alone or together with all others."""
        server = self.server
        if self._body_size > self._body_bytes_max:
            self._refuse_size(self._body_size)
        elif server.bodies_bytes > server.config.bodies_bytes_max or (
            self._body_size > SMALL_BODY_BYTES and server.bodies_bytes > server.large_bodies_bytes_max
        ):
            self.refuse(503, "the bodies of all requests are over server.bodies_bytes_max: try again soon")

    def _forget_unread(self) -> None:
        """Drop everything that has arrived and is not being answered."""
        held_bytes = self._head_size + self._body_size
        held_bytes += sum(request.held_bytes for request in self._waiting)
        self.server.bodies_bytes -= held_bytes
        self._head_size = self._body_size = 0
        self._waiting = []
        self._parts = []

    def _refuse_headers(self) -> None:
        self.refuse(431, f"there are more than {HEADERS_MAX} headers")

    def _refuse_size(self, size: int) -> None:
        self.refuse(
            413,
            f"the body is over {self._body_bytes_max} bytes ({size} so far): send less"
            + (
                ""
                if self._body_bytes_max < self.server.body_bytes_max
                else ", or raise server.body_bytes_max"
            ),
        )

    # -- handling --------------------------------------------------------------------------------------

    def _begin(self, request: HttpRequest) -> None:
        self.deadline_s = NEVER_S
        self._begun_bytes = request.held_bytes
        self.streaming = False
        self.chunked = request.version == "1.1"
        self._bodiless = request.method == b"HEAD"
        server = self.server
        self.also = b"" if server.cors is None else server.cors.lines(request.headers.get(b"origin"))
        admission = server.admission
        if admission is not None:
            if admission.in_progress + admission.coming >= admission.ask_from:
                refused = server.turned_away(request)
                if refused is not None:
                    self.answer(*refused)
                    server.turn.flush()  # before the round goes on to what takes longer
                    self.finish(request.keep_alive)
                    return
            admission.coming += 1
        self._runner = server.turn.start(server.handler(self, request))

    def hold(self, size: int) -> None:
        """Count `size` further bytes for the request that is being answered.

        Raises:
            Overloaded: all requests together then hold too many.
        """
        server = self.server
        if server.bodies_bytes + size > server.config.bodies_bytes_max:
            raise Overloaded("the bodies of all requests are over server.bodies_bytes_max: try again soon")
        server.bodies_bytes += size
        self._begun_bytes += size

    def finish(self, keep_alive: bool) -> None:
        """The answer is complete: wait for the next request, or close. The handler's last call."""
        self._runner = None
        self._on_pause = self._on_resume = self.on_left = self.last_words = None
        self.server.bodies_bytes -= self._begun_bytes
        self._begun_bytes = 0
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
        if not self._stalled:
            self._go_on_waiting(transport)

    def _go_on_waiting(self, transport: asyncio.Transport) -> None:
        """Begin the next waiting request, or wait for one."""
        if self._waiting:
            self._begin(self._waiting.pop(0))
            if not self._waiting:
                transport.resume_reading()
            return
        config = self.server.config
        reading = self._reading
        within_s = (config.idle_s, config.header_s, config.body_s, config.body_s)[reading]
        self.deadline_s = time.monotonic() + within_s
        if reading == UNVETTED:
            self._vet()
            if self._waits_for_word(self._headers if self._trailed is None else self._trailed):
                self._say_continue()

    def refuse(self, status: int, message: str) -> None:
        """Send the server's own answer and close: nothing that follows on this connection can be trusted."""
        if self._refused:
            return
        if self._runner is None and self.transport is not None:
            cors = self.server.cors
            self.also = b"" if cors is None else cors.lines(self._headers.get(b"origin"))
            status, headers, body = self.server.refusal(status, message, self._known())
            self.answer(status, headers + b"connection: close\r\n", body)
        self._close_unread()

    def _close_unread(self) -> None:
        """Close without reading what is still to come, so that the answer reaches a client that is still
        sending."""
        self._refused = True
        self._forget_unread()
        transport = self.transport
        if transport is None:
            return
        self.deadline_s = time.monotonic() + LINGER_S
        if self._runner is not None:  # an answer is under way: it must not be mixed with another
            self._end_strand()
            self.server.turn.flush()
            transport.close()
            return
        self.server.turn.flush()
        if self in self.server.connections:
            transport.write_eof()  # closing now, with bytes unread, would reset what was just said
        else:
            transport.close()

    def cancel(self, why: str) -> None:
        """End the handling of the current request."""
        if self._runner is not None:
            self._runner.cancel(why)

    def go_away(self) -> None:
        """The gateway is stopping: close after the answer in progress. A request that is still arriving gets
        none."""
        if self._runner is not None or self.transport is None:
            return
        if self._reading and not self._refused:
            self.refuse(503, "the gateway is shutting down: send this to another replica")
        elif not self._refused:
            self.transport.close()

    @property
    def busy(self) -> bool:
        return self._runner is not None

    def cut(self) -> None:
        """Close in the middle of a streamed answer, after what was written of it, so that the client sees it
        is incomplete."""
        transport = self.transport
        if transport is not None:
            self.server.turn.flush()
            transport.close()

    def drop(self) -> None:
        """Close at once without an answer: another connection takes this place."""
        self.server.connections.discard(self)
        if self.transport is not None:
            self.transport.abort()

    def expired(self) -> None:
        """The deadline has passed: close, and say why if a request had begun."""
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
        transport = self.transport
        if self._runner is not None:
            self.deadline_s = NEVER_S
            if self._on_resume is not None:
                self._on_resume()
        elif transport is not None and not transport.is_closing() and not self._refused:
            self._go_on_waiting(transport)

    def _pause_reading(self) -> None:
        if self.transport is not None:
            self.transport.pause_reading()
