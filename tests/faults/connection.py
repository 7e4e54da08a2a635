"""One client connection: HTTP/1.1 requests in, bytes out exactly as they are told to go."""

import asyncio
import dataclasses
import socket
import struct
import time
from array import array
from collections.abc import Awaitable, Callable
from fcntl import ioctl
from termios import TIOCOUTQ
from typing import cast

from tests.faults.truth import Call

HEAD_BYTES_MAX = 128 * 1024
BODY_BYTES_MAX = 64 * 1024 * 1024
PIECE_BYTES = 64 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Incoming:
    """A whole request. Header names in lower case, the last of a name wins. `refusal` 0: well formed."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    refusal: int = 0


class Connection(asyncio.Protocol):
    """Runs `handle` for one request after another; it returns whether to keep the connection.

    Reading never stops, so that a client that leaves is seen at once, even while nothing can be written.
    """

    def __init__(
        self,
        handle: Callable[["Connection", Incoming], Awaitable[bool]],
        opened: Callable[["Connection"], int],
        closed: Callable[["Connection", Exception | None], None],
    ) -> None:
        self._handle, self._opened, self._closed = handle, opened, closed
        self._inbox = bytearray()
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._task: asyncio.Task[None] | None = None
        self.number = 0
        self.call: Call | None = None
        """The call in progress, whose bytes are counted."""

    # -- asyncio.Protocol ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        # Under TLS asyncio pauses at `>=` the mark, and a mark of 0 would pause for ever.
        self._transport.set_write_buffer_limits(high=1 if transport.get_extra_info("ssl_object") else 0)
        self.number = self._opened(self)
        if self.number:
            self._task = asyncio.get_running_loop().create_task(self._serve())

    def data_received(self, data: bytes) -> None:
        if not self.number:
            return  # a mute connection: it takes everything and says nothing
        self._inbox += data
        self._arrived.set()
        if len(self._inbox) > BODY_BYTES_MAX + HEAD_BYTES_MAX:
            self._transport.abort()

    def eof_received(self) -> bool:
        if self.call is not None and not self.call.finished:
            waiting = self._transport.get_write_buffer_size()
            self.call.bytes_accepted = max(self.call.bytes_sent - waiting, self.call.bytes_accepted)
            self._transport.abort()  # `connection_lost` follows and notes when
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone()
        self._closed(self, exc)
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def _gone(self) -> None:
        if self.call is not None and not self.call.finished and self.call.aborted_s is None:
            self.call.aborted_s = time.monotonic()

    # -- requests -----------------------------------------------------------------------------------

    async def _serve(self) -> None:
        try:
            while (request := await self._next()) is not None:
                if not await self._handle(self, request):
                    break
        finally:
            self._transport.close()

    async def _next(self) -> Incoming | None:
        """The next request; None when its head is longer than anyone may send."""
        while (end := self._inbox.find(b"\r\n\r\n")) < 0:
            if len(self._inbox) > HEAD_BYTES_MAX:
                return None
            await self._more()
        lines = bytes(self._inbox[:end]).decode("latin-1").split("\r\n")
        del self._inbox[: end + 4]
        method, _, rest = lines[0].partition(" ")
        path, _, version = rest.partition(" ")
        pairs = (line.partition(":") for line in lines[1:])
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        if version != "HTTP/1.1":
            headers["connection"] = "close"
        length = headers.get("content-length", "0")
        refusal = 411 if "transfer-encoding" in headers else 0 if length.isdecimal() else 400
        if not refusal and int(length) > BODY_BYTES_MAX:
            refusal = 413
        if refusal:
            return Incoming(method, path, headers, b"", refusal)
        if headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while len(self._inbox) < int(length):
            await self._more()
        body = bytes(self._inbox[: int(length)])
        del self._inbox[: int(length)]
        return Incoming(method, path, headers, body)

    async def _more(self) -> None:
        self._arrived.clear()
        await self._arrived.wait()

    # -- bytes out ----------------------------------------------------------------------------------

    async def write(self, data: bytes, *, split: int = 0, rate: float = 0.0) -> None:
        """Give `data` to the kernel: whole, in writes of `split` bytes, or at `rate` bytes a second.

        Returns when all of it is taken. A cut inside a UTF-8 sequence is followed by a pause, so that
        the reader meets the halves in two reads.
        """
        pause_s = max(1.0 / rate, 0.02) if rate else 0.0
        size = max(1, round(rate * pause_s)) if rate else split or PIECE_BYTES
        for start in range(0, len(data), size):
            await self._write_piece(data[start : start + size])
            cut_inside = data[start + size : start + size + 1] >= b"\x80"
            if rate or split:
                await asyncio.sleep(pause_s or (0.002 if cut_inside else 0.0))

    async def _write_piece(self, piece: bytes) -> None:
        call = self.call
        if not self._transport.is_closing():
            self._transport.write(piece)
            if call is not None:
                call.bytes_sent += len(piece)
        if self._transport.is_closing():  # the write failed or an earlier one did: the client left
            self._gone()
            raise asyncio.CancelledError
        if call is not None:
            waiting = self._transport.get_write_buffer_size()
            call.bytes_accepted = max(call.bytes_sent - waiting, call.bytes_accepted)
        await self._writable.wait()
        if call is not None:
            call.bytes_accepted = call.bytes_sent

    async def delivered(self, limit_s: float) -> None:
        """Wait until the other end's kernel has all of it: an RST would take back what has not left yet."""
        sock: socket.socket = self._transport.get_extra_info("socket")
        end_s, unsent = time.monotonic() + limit_s, array("i", [0])
        while not self._transport.is_closing() and time.monotonic() < end_s:
            ioctl(sock.fileno(), TIOCOUTQ, unsent)
            if not unsent[0] and not self._transport.get_write_buffer_size():
                return
            await asyncio.sleep(0.001)

    def cut(self) -> None:
        """End with a FIN and, under TLS, without the goodbye."""
        self._transport.abort()

    def reset(self) -> None:
        """End with an RST."""
        sock: socket.socket = self._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    async def closed(self) -> None:
        """Drop the connection and wait for its task."""
        self._transport.abort()
        if self._task is not None:
            await asyncio.wait([self._task])
