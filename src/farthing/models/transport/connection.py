"""One upstream socket and the exchange it serves. The pool is in `http1`.

A connection returns to the pool only if the reply was read to its last byte and the parser says that the
peer keeps it open. Any other end closes it, so one reply can never be mistaken for another's.
"""

import asyncio
import socket
import time
from collections.abc import Callable, Mapping
from typing import Protocol, cast

import httptools

from farthing.errors import ProviderError, ProviderUnavailable
from farthing.models.transport.unpack import UnpackedStream, Unpacker, is_plain, unpacked
from farthing.protocols.transport import Opened
from farthing.runtime.loop_batch import Waiter

HEAD_BYTES_MAX = 65_536  # a reply's headers; also anything else that is neither headers nor body
PACE_S = 0.004
ENDED = httptools.HttpResponseParser(object())
"""In place of the parser of a connection that has ended: that one and its connection hold each other."""

DataCallback = Callable[[bytes], None]
EndCallback = Callable[[Exception | None], None]


class Owner(Protocol):
    """What a connection calls in the pool it belongs to."""

    @property
    def fast_s(self) -> float:
        """Of a stream that comes sooner than so long after the last read, less often is read."""

    def release(self, connection: "Connection") -> None:
        """The connection is free for the next exchange."""

    def lost(self, connection: "Connection") -> None:
        """The connection is closed."""

    def rest(self, connection: "Connection", now_s: float) -> None:
        """Resume reading after a pause."""


class Http1Exchange(Waiter):
    """One request and its reply. See `protocols.Exchange`."""

    # Most exchanges never change these, and setting them costs more than all else a new one does.
    status = 0
    headers: Mapping[bytes, bytes] = {}
    """Names as they came; `header` finds them in any case."""
    size = 0
    bytes_max = 1 << 62
    opened: Opened | None = None
    rtt_ms: float | None = None
    encoded = False
    """A header says how the body is encoded."""
    complete = False
    paused = False
    error: ProviderError | None = None
    connection: "Connection | None" = None
    limit_s = 1e18
    idle_s = 1e18
    last_s = 0.0
    waiting_for = "the first byte"
    _data: DataCallback | None = None
    _end: EndCallback | None = None
    _unpacked: UnpackedStream | None = None
    """What stands before those two where the reply is compressed."""

    def __init__(self, deadline_s: float, loop: asyncio.AbstractEventLoop, *, whole: bool) -> None:
        self.deadline_s = deadline_s
        super().__init__(loop)
        self.parts: list[bytes] = []
        self._wake_on_body = not whole

    # -- what the caller does ----------------------------------------------------------------------

    def limit(self, *, idle_s: float, limit_s: float, bytes_max: int, now_s: float) -> None:
        """Set limits for the rest of the reply: the pause between two pieces, the time at which it must end,
        and its size."""
        self.idle_s = idle_s
        self.limit_s = limit_s
        self.bytes_max = bytes_max
        self.waiting_for = "the next chunk"
        self.deadline_s = min(now_s + idle_s, limit_s)

    async def read(self, bytes_max: int, *, within_s: float | None = None) -> bytes:
        self.bytes_max = bytes_max
        if within_s is not None:
            self.deadline_s = min(self.deadline_s, time.monotonic() + within_s)
        if self.size > bytes_max:
            self.fail(ProviderUnavailable(f"the reply is larger than {bytes_max} bytes"))
        if not self.complete and self.error is None:
            self._wake_on_body = False
            await self.wait()
        if self.error is not None:
            raise self.error
        parts, headers = self.parts, self.headers
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        if self.encoded:
            encoding = header(headers, b"content-encoding")
            if encoding is not None and not is_plain(encoding):
                return await unpacked(body, encoding, bytes_max)
        return body

    def relay(self, data: DataCallback, end: EndCallback) -> None:
        encoding = header(self.headers, b"content-encoding") if self.encoded else None
        if encoding is not None and not is_plain(encoding):
            self._relay_unpacked(encoding, data, end)
            return
        self._relay(data, end)

    def _relay_unpacked(self, encoding: bytes, data: DataCallback, end: EndCallback) -> None:
        def damaged(error: ProviderUnavailable) -> None:
            self.complete = False  # its end is not worth more than the rest of it
            self.fail(error)

        try:
            unpacker = Unpacker(encoding, self.bytes_max)
        except ProviderUnavailable as error:
            self._end = end
            self.fail(error)
            if self._end is not None:  # it was complete already
                self._end = None
                end(error)
            return
        self._unpacked = stream = UnpackedStream(unpacker, data, end, damaged)
        self._relay(stream.take, stream.end)

    def _relay(self, data: DataCallback, end: EndCallback) -> None:
        self._data = data
        self._end = end
        if self.parts:
            piece = b"".join(self.parts)
            self.parts.clear()
            data(piece)
        if self.complete or self.error is not None:
            self._finish()

    def pause(self) -> None:
        self.paused = True
        self.deadline_s = self.limit_s  # waiting for the client is not the provider's fault
        if self._unpacked is not None:
            self._unpacked.pause()
        if self.connection is not None:
            self.connection.pause()

    def resume(self) -> None:
        self.paused = False
        if self._unpacked is not None:
            self._unpacked.resume()
        if self.connection is not None:
            self.deadline_s = min(time.monotonic() + self.idle_s, self.limit_s)
            self.connection.resume()

    def leave(self) -> None:
        """The caller needs no more. If the reply ends within a second, the connection is kept."""
        self._unlisten()
        self.parts.clear()
        if self.paused:
            self.resume()
        if not self.complete and self.connection is not None:
            self.bytes_max = self.size + HEAD_BYTES_MAX
            self.deadline_s = time.monotonic() + 1.0

    def close(self) -> None:
        self._unlisten()
        if not self.complete:
            self.error = self.error or ProviderUnavailable("closed by us")
            self._abort()

    def _unlisten(self) -> None:
        self._data = self._end = None
        if self._unpacked is not None:
            self._unpacked.drop()

    # -- what the connection does ------------------------------------------------------------------

    def take(self, piece: bytes) -> None:
        """Take the part of the body that one read of the socket brought."""
        self.size += len(piece)
        if self.size > self.bytes_max:
            self.fail(ProviderUnavailable(f"the reply is larger than {self.bytes_max} bytes"))
        elif self._data is not None:
            self._data(piece)
        else:
            self.parts.append(piece)
            if self._wake_on_body:
                self.wake()

    def completed(self) -> None:
        self.complete = True
        self.connection = None
        self._finish()

    def fail(self, error: ProviderError) -> None:
        """End the exchange and close its connection. Only the first failure counts."""
        if self.complete or self.error is not None:
            return
        self.error = error
        self._abort()
        self._finish()

    def _finish(self) -> None:
        self.wake()
        end = self._end
        if end is not None:
            self._data = self._end = None
            end(self.error)

    def _abort(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.abort()


class Connection(asyncio.Protocol):
    """One socket to one origin. The parser's callbacks fill the exchange that it serves."""

    __slots__ = (
        "_doubtful",
        "_encoded",
        "_headers",
        "_keep_alive",
        "_names",
        "_parts",
        "_quiet_bytes",
        "counted",
        "exchange",
        "idle_since_s",
        "on_body",
        "on_header",
        "opened",
        "parser",
        "pool",
        "resting",
        "sock",
        "transport",
    )

    def __init__(self, pool: Owner) -> None:
        self.pool = pool
        self.transport: asyncio.Transport | None = None
        self.exchange: Http1Exchange | None = None
        self._headers: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []
        # The parser calls these two by name for every header and every chunk: straight into C, no frame.
        self.on_header = self._headers.__setitem__
        self.on_body = self._parts.append
        self.parser = httptools.HttpResponseParser(self)
        # What other clients read too: chunks that a length stands beside (RFC 9112, 6.3: the chunks hold),
        # spaces after the size of a chunk, lines that end in LF alone (2.2).
        self.parser.set_dangerous_leniencies(
            lenient_chunked_length=True,
            lenient_spaces_after_chunk_size=True,
            lenient_optional_cr_before_lf=True,
        )
        self.counted = False
        """It is ready and the pool's, which is told when it ends; not before, as while TLS is negotiated."""
        self.idle_since_s = 0.0
        self.opened: Opened | None = None
        """For the exchange that it was opened for, which takes it."""
        self.sock: socket.socket | None = None
        """What the system is asked about; it is the transport's. None: not yet open."""
        self.resting = False
        self._keep_alive = False
        self._names: tuple[bytes, ...] = ()
        self._encoded = False
        self._doubtful = False
        self._quiet_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one by shape only

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.parser = ENDED
        if self.counted:
            self.pool.lost(self)
        exchange, self.exchange = self.exchange, None
        if exchange is None:
            return
        if exchange.status and not exchange.complete and self._ended_by_close(exchange):
            exchange.completed()
            return
        exchange.complete = False  # else it was given back, and is not ours any more
        got = exchange.status or self._quiet_bytes
        said = f" ({exc})" if exc else ""
        where = "in the middle of its reply" if got else "before it replied"
        exchange.fail(
            ProviderUnavailable(f"the connection ended {where}{said}", again=True, nothing_received=not got)
        )

    def _ended_by_close(self, exchange: Http1Exchange) -> bool:
        """A reply with neither length nor chunks ends where its connection ends (RFC 9112, 6.3)."""
        headers = exchange.headers
        return header(headers, b"content-length") is None and header(headers, b"transfer-encoding") is None

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None:  # nobody asked: this socket cannot be trusted with a request
            self.abort()
            return
        began_s = 0.0 if exchange._data is None else time.monotonic()
        self._quiet_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            exchange.fail(
                ProviderUnavailable("the server changed to another protocol, which nobody asked for")
            )
            return
        except httptools.HttpParserError as error:
            why = f"the reply is not valid HTTP: {error}"
            if exchange.complete:
                exchange.complete = False  # where it ended cannot be trusted either
                why = "the reply went on after its declared length"
            exchange.fail(ProviderUnavailable(why))
            return
        parts = self._parts
        if parts:
            piece = parts[0] if len(parts) == 1 else b"".join(parts)
            parts.clear()
            self._quiet_bytes = 0
            exchange.take(piece)
        elif self._quiet_bytes > HEAD_BYTES_MAX:
            exchange.fail(ProviderUnavailable(f"the reply's headers are over {HEAD_BYTES_MAX} bytes"))
        if exchange.error is not None:
            return
        if exchange.complete:
            self._complete(exchange)
        elif exchange._data is not None:
            self._pace(exchange, began_s)

    def _pace(self, exchange: Http1Exchange, began_s: float) -> None:
        """Give other work a turn: after data that takes long to process, the next read waits."""
        now_s = time.monotonic()
        fast_s = self.pool.fast_s
        if not exchange.paused and (began_s - exchange.last_s < fast_s or now_s - began_s > PACE_S):
            self.pool.rest(self, now_s)
        exchange.last_s = now_s
        if not exchange.paused:
            exchange.deadline_s = min(now_s + exchange.idle_s, exchange.limit_s)

    def _complete(self, exchange: Http1Exchange) -> None:
        if self.exchange is not exchange:  # closed by a callback
            return
        self.exchange = None
        exchange.connection = None
        if self._keep_alive and self.transport is not None:
            self.resting = False
            self.resume()  # its last client may have been behind; the next one would wait for ever
            self.pool.release(self)
        else:
            self.abort()
        exchange._finish()

    # httptools calls these, by name, from within feed_data

    def on_message_begin(self) -> None:
        exchange = self.exchange
        if exchange is None or exchange.complete:
            raise ValueError("bytes after the end of the reply")

    def on_headers_complete(self) -> None:
        exchange = self.exchange
        if exchange is None:
            return
        status = self.parser.get_status_code()
        if status >= 200:  # before that, 100 Continue, 103 Early Hints: the reply is still to come
            exchange.status = status
            exchange.headers = headers = self._headers.copy()
            names = tuple(headers)
            if names != self._names:
                self._look_at(names)
            exchange.encoded = self._encoded
        self._headers.clear()
        self._quiet_bytes = 0

    def _look_at(self, names: tuple[bytes, ...]) -> None:
        """Interpret the header names of a reply. The result is cached per set of names, since providers
        repeat them."""
        lower = {name.lower() for name in names}
        self._names = names
        self._encoded = b"content-encoding" in lower
        self._doubtful = b"transfer-encoding" in lower and b"content-length" in lower

    def on_message_complete(self) -> None:
        exchange = self.exchange
        if exchange is not None and exchange.status:
            exchange.complete = True
            self._keep_alive = self.parser.should_keep_alive()  # the parser forgets once this returns
            if self._doubtful:
                self._keep_alive = False  # where it ends is open to doubt (RFC 9112, 6.3)

    # -- reading -----------------------------------------------------------------------------------

    def pause(self) -> None:
        if self.transport is not None and self.transport.is_reading():
            self.transport.pause_reading()

    def resume(self) -> None:
        if self.transport is not None and not self.resting and not self.transport.is_reading():
            self.transport.resume_reading()

    def wake(self) -> None:
        """Resume reading after a pause, unless the client is behind."""
        self.resting = False
        exchange = self.exchange
        if exchange is None or not exchange.paused:
            self.resume()

    def begin(self, exchange: Http1Exchange) -> None:
        """Serve `exchange` from now on; no state of an earlier exchange is left."""
        self.exchange = exchange
        exchange.connection = self
        self._quiet_bytes = 0
        if self._headers:  # trailers
            self._headers.clear()

    def abort(self) -> None:
        self.exchange = None
        if self.transport is not None:
            self.transport.abort()
        else:
            self.parser = ENDED


def header(headers: Mapping[bytes, bytes], name: bytes) -> bytes | None:
    """The header of that (lower-case) name, written in any case; None when there is none."""
    found = headers.get(name)
    if found is None:
        found = headers.get(name.title())
    if found is None:
        size = len(name)
        found = next(
            (value for key, value in headers.items() if len(key) == size and key.lower() == name), None
        )
    return found
