"""A connected socket to a host that may have several addresses, some of them dead.

RFC 8305 (Happy Eyeballs): the families take turns, and an address that has not answered after `HEAD_START_S`
is joined by the next one; whichever connects first is used. uvloop by itself tries one after the other, each
for as long as the system waits, so a dead IPv6 route would cost the whole time to connect.

Names are resolved in a thread, never on the loop. Where that fails or takes long, the addresses that were
found last are used for another `LAST_GOOD_S`.
"""

import asyncio
import socket
import sys
import time
from collections.abc import Sequence
from itertools import chain, zip_longest
from typing import Any

HEAD_START_S = 0.25  # RFC 8305, 8: recommended
RESOLVE_S = 1.0  # longest wait for a resolver while there are addresses that were good
LAST_GOOD_S = 300.0
ADDRESSES_MAX = 8  # tried for one connection
RECEIVE_BUFFER_BYTES = 98_304  # the kernel doubles it; by itself it lets a stalled stream pin megabytes
KEEP_ALIVE_S = 60  # under the 350 s of the shortest NAT in common use, by a wide margin

_TCP_INFO: int | None = getattr(socket, "TCP_INFO", None) if sys.platform == "linux" else None
_RTT_AT = 68
"""Where in Linux's `struct tcp_info` the smoothed round-trip time is, in microseconds."""

Address = tuple[socket.AddressFamily, Any]
"""Family, and the address as that family has it."""


class Dialler:
    """Opens connections to one host and port."""

    def __init__(self, host: str, port: int, loop: asyncio.AbstractEventLoop) -> None:
        self._host = host
        self._port = port
        self._loop = loop
        self._last_good: tuple[Address, ...] = ()
        self._last_good_s = 0.0
        """Monotonic time at which they were found."""

    async def dial(self) -> socket.socket:
        """A connected, non-blocking socket, which is the caller's to close. Cancelled, it leaves none behind.

        Raises:
            OSError: the name cannot be resolved, or no address of it can be reached.
        """
        addresses = await self._addresses()
        if len(addresses) == 1:
            return await self._connect(addresses[0])
        return await self._race(addresses)

    async def _addresses(self) -> tuple[Address, ...]:
        asking = self._loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        known = self._last_good if time.monotonic() - self._last_good_s < LAST_GOOD_S else ()
        try:
            async with asyncio.timeout(RESOLVE_S if known else None):
                found = await asking
        except (OSError, TimeoutError, UnicodeError) as error:
            if known:
                return known
            if isinstance(error, UnicodeError):  # a label that is empty or over 63 characters
                raise OSError(f"{self._host} is no name of a host") from error
            raise
        addresses = in_turn([(family, address) for family, _, _, _, address in found])[:ADDRESSES_MAX]
        if not addresses:
            raise OSError(f"{self._host} has no address")
        self._last_good, self._last_good_s = addresses, time.monotonic()
        return addresses

    async def _connect(self, address: Address) -> socket.socket:
        family, place = address
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            keep_alive(sock)
            sock.setsockopt(
                socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES
            )  # heard at the handshake
            await self._loop.sock_connect(sock, place)
        except BaseException:
            sock.close()
            raise
        return sock

    async def _race(self, addresses: Sequence[Address]) -> socket.socket:
        waiting = list(addresses)
        running: set[asyncio.Task[socket.socket]] = set()
        failure: OSError | None = None
        try:
            while waiting or running:
                if waiting:
                    running.add(self._loop.create_task(self._connect(waiting.pop(0))))
                done, running = await asyncio.wait(
                    running,
                    timeout=HEAD_START_S if waiting else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                for task in done:
                    error = task.exception()
                    if error is None:
                        running |= done - {task}
                        return task.result()
                    if not isinstance(error, OSError):
                        raise error
                    failure = failure or error
        finally:
            for task in running:
                task.cancel()
                task.add_done_callback(_close)
        raise failure or OSError(f"{self._host} has no address")


def keep_alive(sock: socket.socket) -> None:
    """Enable TCP keep-alive: many NATs and proxies forget a connection that was silent for some minutes, as
    while a model thinks, and tell neither side."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL"):  # not every system has both
        option = getattr(socket, name, None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, KEEP_ALIVE_S)


def rtt_ms_of(sock: socket.socket) -> float | None:
    """The round-trip time of a connection in milliseconds, as the system estimates it. None: it does not
    say."""
    if _TCP_INFO is None:
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _RTT_AT + 4)
    except OSError:
        return None  # it is closed
    if len(info) < _RTT_AT + 4:
        return None
    rtt_us = int.from_bytes(info[_RTT_AT : _RTT_AT + 4], sys.byteorder)
    return rtt_us / 1000 if rtt_us else None


def _close(late: "asyncio.Task[socket.socket]") -> None:
    """Close the socket of an attempt that connected after another had won."""
    if not late.cancelled() and late.exception() is None:
        late.result().close()


def in_turn(addresses: Sequence[Address]) -> tuple[Address, ...]:
    """Every address once, alternating between the families, each in the resolver's order, beginning with the
    first."""
    families: dict[socket.AddressFamily, dict[Address, None]] = {}
    for address in addresses:
        families.setdefault(address[0], {})[address] = None
    return tuple(found for found in chain(*zip_longest(*families.values())) if found is not None)
