"""Writes of one turn of the event loop, made together at its end.

uvloop writes to a socket at once. On loopback and on fast networks that write wakes the reader, and
waking a sleeping process costs more than all else about it (docs/decisions/0006); a second write to a
process that is awake does not. So what a turn has to say to all sockets is said in one go,
after the turn's last callback: a busy gateway wakes its peers once a turn, an idle one waits for nothing.

A transport that is to be closed must be flushed first: `flush`, then `close`.
"""

import asyncio
import time

QUIET_S = 0.0003  # since the last chunk: some turns of a busy loop


class Outbox:
    """One for each event loop. Bounded by what one turn can write."""

    __slots__ = ("_last_s", "_loop", "_pending")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._last_s = 0.0
        self._pending: list[tuple[asyncio.Transport, bytes]] = []

    def write(self, transport: asyncio.Transport, data: bytes) -> None:
        """Send `data` at the end of this turn, after all earlier writes."""
        pending = self._pending
        if not pending:
            self._loop.call_soon(self.flush)
        pending.append((transport, data))

    def write_soon(self, transport: asyncio.Transport, data: bytes) -> None:
        """Send `data` as `write` when much is being written, at once when not: for a chunk of a stream,
        which mostly is all that a turn has to say, and would pay for a second turn of the loop."""
        now_s = time.monotonic()
        quiet = now_s - self._last_s > QUIET_S
        self._last_s = now_s
        if quiet and not self._pending:
            transport.write(data)
        else:
            self.write(transport, data)

    def flush(self) -> None:
        """Send now what is waiting. What a closing transport was to send is dropped, as it would be by it."""
        pending = self._pending
        if pending:
            self._pending = []
            for transport, data in pending:
                if not transport.is_closing():
                    transport.write(data)
