"""Writes of one turn of the event loop, made together at its end.

uvloop writes to a socket at once. On loopback and on fast networks that write wakes the reader, and
waking a sleeping process costs more than all else about it (17 us of 19 on a virtual machine); a second
write to a process that is awake does not. So what a turn has to say to all sockets is said in one go,
after the turn's last callback: a busy gateway wakes its peers once a turn, an idle one waits for nothing.

A transport that is to be closed must be flushed first: `flush`, then `close`.
"""

import asyncio


class Outbox:
    """One for each event loop. Bounded by what one turn can write."""

    __slots__ = ("_loop", "_pending")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._pending: list[tuple[asyncio.Transport, bytes]] = []

    def write(self, transport: asyncio.Transport, data: bytes) -> None:
        """Send `data` at the end of this turn, after all earlier writes."""
        pending = self._pending
        if not pending:
            self._loop.call_soon(self.flush)
        pending.append((transport, data))

    def write_now(self, transport: asyncio.Transport, data: bytes) -> None:
        """Send `data` at once, or after what is already waiting: for a chunk of a stream."""
        if self._pending:
            self._pending.append((transport, data))
        else:
            transport.write(data)

    def flush(self) -> None:
        """Send now what is waiting. What a closing transport was to send is dropped, as it would be by it."""
        pending = self._pending
        if pending:
            self._pending = []
            for transport, data in pending:
                if not transport.is_closing():
                    transport.write(data)
