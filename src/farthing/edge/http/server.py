"""The listening socket, its connections and the one sweep over their deadlines. See `connection`."""

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from email.utils import formatdate
from typing import Any

from farthing.config import ServerConfig
from farthing.edge.admit import Admission
from farthing.edge.http.answering import HttpRequest, Refused, TurnedAway
from farthing.edge.http.connection import LINGER_S, ClientConnection
from farthing.edge.http.cors import Cors, cors_of
from farthing.runtime import heap
from farthing.runtime.loop_batch import LoopBatch

SEND_BUFFER_BYTES = 65_536  # the kernel doubles it; the default lets a stalled reader pin 4 MB
SWEEP_S = 0.25
TRIM_BYTES = 16_777_216  # in large bodies came, or in bodies and connections went
TRIM_EVERY_S = 5.0  # it takes some tenths of a ms where little is free
CONNECTION_BYTES = 131_072  # one that is behind with a stream holds about this, in small pieces
SMALL_SHARE = 16  # one part in so many of the room for bodies is for small ones alone
ACCEPTS_MAX = 256  # in one round of the loop, beside the one that uvloop takes

Handler = Callable[[ClientConnection, HttpRequest], Coroutine[Any, Any, None]]
Refusal = Callable[[int, str, HttpRequest], Refused]
"""See `answering.Owner.refusal`."""
Vet = Callable[[ClientConnection, HttpRequest], int | None]
"""See `answering.Owner.vet`."""


class Server:
    """The listening socket, its connections and the one sweep over their deadlines."""

    def __init__(
        self,
        config: ServerConfig,
        handler: Handler,
        refusal: Refusal,
        *,
        loop: asyncio.AbstractEventLoop,
        turn: LoopBatch,
        vet: Vet | None = None,
        evicts: bool = False,
        admission: Admission | None = None,
        turned_away: TurnedAway | None = None,
    ) -> None:
        """`vet`: None wants every body up to the limit. `evicts`: when all places are taken, who comes gets
        that of the one that was quiet longest. With `admission` the handler counts each request down from
        `Admission.coming`, and `turned_away` is asked where there are too many."""
        self.reconfigure(config)
        self.handler = handler
        self.refusal = refusal
        self.vet = vet or self._wants_all
        self.loop = loop
        self.turn = turn
        self.connections: set[ClientConnection] = set()
        self.bodies_bytes = 0
        self.blocks_bytes = 0
        self._trimmed_bytes = 0
        """The value of `blocks_bytes` when the heap was last trimmed."""
        self._trimmed_s = time.monotonic()
        self._peak_bytes = 0
        """The most that bodies and connections have held since then."""
        self.draining = False
        self.idle = asyncio.Event()
        """Set while draining, once no request is in progress."""
        self.date = formatdate(usegmt=True).encode()
        self.admission = admission
        self.turned_away = turned_away or (lambda http: None)
        self._evicts = evicts
        self._listener: asyncio.AbstractServer | None = None
        self._connecting: set[asyncio.Task[None]] = set()
        """Connections that are accepted and not set up yet."""
        self._sweeper: asyncio.TimerHandle | None = None

    async def start(self) -> int:
        """Listen, and return the port.

        Raises:
            OSError: the address cannot be had.
        """
        config = self.config
        family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            listener.setblocking(False)
            listener.bind((config.host, config.port))
            self._listener = await self.loop.create_server(
                lambda: self._accepted(listener), sock=listener, backlog=4096
            )
        except OSError:
            listener.close()
            raise
        self._sweep()
        return int(listener.getsockname()[1])

    def _accepted(self, listener: socket.socket) -> ClientConnection:
        """Accept what else is waiting. uvloop accepts one connection a round: if rounds are long, a client
        would wait one round for each connection before it."""
        for _ in range(ACCEPTS_MAX):
            try:
                sock, _ = listener.accept()
            except OSError:  # there is no other, or no descriptor for it
                break
            sock.setblocking(False)
            task = self.loop.create_task(self._connect(sock))
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)
        return ClientConnection(self)

    async def _connect(self, sock: socket.socket) -> None:
        try:
            await self.loop.connect_accepted_socket(lambda: ClientConnection(self), sock)
        except OSError:  # it has left again
            sock.close()

    def reconfigure(self, config: ServerConfig) -> None:
        """Apply new limits. The address stays the one from the start."""
        self.config = config
        self.cors: Cors | None = cors_of(config.cors_origins)
        self.body_bytes_max = config.body_bytes_max
        spare_bytes = config.bodies_bytes_max - config.body_bytes_max
        self.large_bodies_bytes_max = config.bodies_bytes_max - min(
            spare_bytes, config.bodies_bytes_max // SMALL_SHARE
        )
        self._hosts = _host_names(config)

    def has_room(self) -> bool:
        """Whether one more connection is allowed. A connection whose request is being answered keeps its
        place."""
        if len(self.connections) < self.config.connections_max:
            return True
        quiet = [connection for connection in self.connections if not connection.busy]
        if not self._evicts or self.draining or not quiet:
            return False
        min(quiet, key=lambda connection: connection.deadline_s).drop()
        return True

    def answers_to(self, host: bytes) -> bool:
        if not self._hosts:
            return True
        host = host.lower()
        return host.rpartition(b":")[0] in self._hosts or host in self._hosts

    def _wants_all(self, connection: ClientConnection, http: HttpRequest) -> int:
        return self.body_bytes_max

    def _sweep(self) -> None:
        now_s = time.monotonic()
        self.date = formatdate(usegmt=True).encode()
        for connection in [c for c in self.connections if c.deadline_s <= now_s]:
            connection.expired()
        self._trim()
        self._sweeper = self.loop.call_later(SWEEP_S, self._sweep)

    def _trim(self) -> None:
        """Make the heap return free memory to the system: at once if there may be much, else now and then."""
        held_bytes = self.bodies_bytes + len(self.connections) * CONNECTION_BYTES
        self._peak_bytes = max(self._peak_bytes, held_bytes)
        now_s = time.monotonic()
        moved_bytes = max(self.blocks_bytes - self._trimmed_bytes, self._peak_bytes - held_bytes)
        if moved_bytes > TRIM_BYTES or now_s - self._trimmed_s > TRIM_EVERY_S:
            self._trimmed_bytes, self._peak_bytes, self._trimmed_s = self.blocks_bytes, held_bytes, now_s
            heap.trim()

    async def drain(self, drain_s: float) -> int:
        """Let requests in progress end within `drain_s`, then stop; return how many had to be cut.

        It keeps listening until then, so that a load balancer, which checks every few seconds, reads that the
        gateway is going down. A closed port would not tell it.
        """
        self.draining = True
        self.turn.flush()
        for connection in tuple(self.connections):
            connection.go_away()
        await self._quiet(drain_s)
        left = self._busy()
        for connection in left:
            connection.cancel("draining")
        await self._quiet(2.0)
        if self._listener is not None:
            self._listener.close()
        self.turn.flush()
        for connection in tuple(self.connections):
            if connection.transport is not None:
                connection.transport.close()
        until_s = time.monotonic() + LINGER_S
        # The last bytes may not all be taken yet. Once in the life of a process: not worth an event.
        while self.connections and time.monotonic() < until_s:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        if self._sweeper is not None:
            self._sweeper.cancel()
        return len(left)

    async def _quiet(self, within_s: float) -> None:
        """Wait until no request is in progress, or until the time has passed."""
        self.idle.clear()
        if not self._busy():
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(self.idle.wait(), within_s)

    def ended(self) -> None:
        """Called when a connection has finished a request or is gone."""
        if self.draining and not self._busy():
            self.idle.set()

    def _busy(self) -> list[ClientConnection]:
        return [connection for connection in self.connections if connection.busy]


def _host_names(config: ServerConfig) -> frozenset[bytes]:
    return frozenset(name.lower().encode("latin-1", "replace") for name in config.hosts)
