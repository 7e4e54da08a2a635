"""The pooled upstream HTTP/1.1 client: httptools and asyncio, made for one thing, a POST and its answer.

Theory of operation. A `Connection` belongs to the pool of one origin and serves one `Http1Exchange` at
a time. It goes back to the pool only when the reply was read to its very last byte and the parser says
the peer keeps it alive; every other end closes it, so a reply can never be taken for another's.

    acquire -> send -> [head] -> [body pieces] -> complete -> release
                  \\________ timeout, reset, cap, bad framing, close() ________-> abort

No timer per request: one sweep every `SWEEP_S` looks at the deadlines of the exchanges under way. Nothing
is ever sent twice here, but to where the origin itself redirects it (`redirect`): whether a failed request
may be repeated is decided by `models/calling`.

Through a proxy, TLS to the origin goes inside a tunnel (`tunnel`) and ends at the origin; plain HTTP is asked
of the proxy itself, by requests that name the whole URL.

A stream that comes faster than `PACE_S` between reads is read at that pace: reading pauses for so long,
and what has come by then is handed on in one piece. The first chunk and any stream slower
than that (a model writes 20 to 200 tokens a second) never wait.
"""

import asyncio
import socket
import ssl
import time
from collections import deque

from farthing.config.settings.proxy import authority
from farthing.errors import ProviderBusy, ProviderError, ProviderTimeout, ProviderUnavailable
from farthing.models.transport.connection import PACE_S, Connection, Http1Exchange
from farthing.models.transport.dial import Dialler, rtt_ms_of
from farthing.models.transport.origin import HttpOrigin
from farthing.models.transport.redirect import redirected
from farthing.models.transport.trust import certificate_refused, no_tls
from farthing.models.transport.tunnel import Handshake, refusal
from farthing.protocols.transport import Opened
from farthing.runtime.loop_batch import LoopBatch, in_task
from farthing.runtime.steady import longest_s, steady_timeout

SWEEP_S = 0.02  # P4 allows 50 ms past a time limit
IDLE_S = 55.0  # shorter than the 60 s after which most load balancers drop a connection
RTT_EVERY_S = 10.0  # reading it is a system call of a microsecond
WAITERS_MAX = 4_096
PRESSED_PACE_S = 0.05  # nobody reads twenty pieces a second; each costs the same however much is in it
TOGETHER_S = 0.001  # while it is pressed: who rests within so long wakes together
WAKES_MAX = 32  # in one round of the loop: about a millisecond
REDIRECTS = frozenset({301, 302, 303, 305, 307, 308})
ALL_IN_USE = "every connection to the provider is in use"  # our limit, not its: it needs no pause


class Pool:
    """The connections to one origin: at most `connections_max`, the most recently used first."""

    def __init__(self, origin: HttpOrigin, loop: asyncio.AbstractEventLoop, active: "Sweep") -> None:
        self.origin = origin
        self._loop = loop
        self._sweep = active
        self._dialler = Dialler(*origin.place, loop)
        self._idle: deque[Connection] = deque()
        self._open = 0
        self._waiters: deque[asyncio.Future[Connection]] = deque()
        self._resting: list[Connection] = []
        """Those that came to rest last; they wake together."""
        self._until_s = 0.0
        """Who rests later wakes later."""
        self._closed = False
        self.rtt_ms: float | None = None
        """Of its connections, to the proxy where there is one; None: unknown."""
        self._rtt_at_s = 0.0
        """When that was last read."""

    @property
    def fast_s(self) -> float:
        return self._sweep.fast_s

    async def acquire(self, deadline_s: float) -> Connection:
        """Raises:
        ProviderUnavailable, ProviderTimeout, ProviderBusy: no connection could be had in time.
        """
        while self._idle:
            connection = self._idle.pop()
            transport = connection.transport
            if transport is not None and not transport.is_closing():
                return connection
        if self._open < self.origin.connections_max:
            return await self._connect(deadline_s)
        if len(self._waiters) >= WAITERS_MAX:
            raise ProviderBusy(ALL_IN_USE, retry_after_s=0.0)
        waiter: asyncio.Future[Connection] = self._loop.create_future()
        self._waiters.append(waiter)
        try:
            await in_task()
            async with asyncio.timeout_at(min(deadline_s, time.monotonic() + self.origin.wait_s)):
                return await waiter
        except TimeoutError:
            raise ProviderBusy(ALL_IN_USE, retry_after_s=0.0) from None
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.release(waiter.result())  # given to us in the moment we gave up
            raise

    async def _connect(self, deadline_s: float) -> Connection:
        """Open a connection that is ready for a request, including any proxy and TLS."""
        origin = self.origin
        self._open += 1
        made = False
        try:
            await in_task()
            async with steady_timeout(origin.connect_s, deadline_s):
                connection = await self._ready()
            connection.counted = made = True
            self._read_rtt(connection, time.monotonic())
            return connection
        except TimeoutError:
            raise ProviderTimeout(
                f"no connection to {origin.way} within {origin.connect_s} s", again=True
            ) from None
        except ssl.SSLError as error:
            raise ProviderUnavailable(no_tls(origin.way, error)) from error
        except OSError as error:
            raise ProviderUnavailable(f"cannot connect to {origin.way}: {error}", again=True) from error
        finally:
            if not made:
                self._open -= 1
                self._vacancy()

    async def _ready(self) -> Connection:
        """Raises:
        ProviderUnavailable, OSError: whatever failed; no socket is left behind, and none when cancelled.
        """
        origin, loop = self.origin, self._loop
        proxy = origin.proxy
        context, proxy_context = origin.ssl_context(), origin.proxy_ssl_context()
        handshake: Handshake | None = None
        began_s = time.monotonic()
        try:
            sock = await self._dialler.dial()
        except OSError as error:
            if proxy is None:
                raise
            raise ProviderUnavailable(
                f"cannot connect to the proxy {proxy}, on the way to {origin}: {error}"
            ) from error
        connection = Connection(self)
        tls_from_s = time.monotonic()
        try:
            if proxy is None:
                await self._begin(connection, sock, context, origin.host)
            elif context is None:
                await self._begin(connection, sock, proxy_context, proxy.host)
            else:
                handshake = Handshake(loop)
                await self._begin(handshake, sock, proxy_context, proxy.host)
                tunnel = await handshake.open(proxy, origin.host, origin.port)
                tls_from_s = time.monotonic()
                secure = await loop.start_tls(
                    tunnel,
                    connection,
                    context,
                    server_hostname=origin.host,
                    ssl_handshake_timeout=longest_s(origin.connect_s),
                )
                if secure is not None:
                    connection.connection_made(secure)
            if connection.transport is None:
                raise ConnectionResetError("it ended at once")
            now_s = time.monotonic()
            tls_ms = None if context is None else (now_s - tls_from_s) * 1000
            connection.opened = Opened((now_s - began_s) * 1000, tls_ms)
            connection.sock = sock
            return connection
        except BaseException as error:
            connection.abort()
            if handshake is not None:
                handshake.close()
            sock.close()
            if isinstance(error, ssl.SSLCertVerificationError):
                of_proxy = proxy is not None and (handshake is None or not handshake.is_open)
                place = f"the proxy {proxy}" if of_proxy else origin.way
                raise ProviderUnavailable(certificate_refused(place, error)) from error
            raise

    async def _begin(
        self,
        protocol: asyncio.Protocol,
        sock: socket.socket,
        context: ssl.SSLContext | None,
        host: str,
    ) -> None:
        await self._loop.create_connection(
            lambda: protocol,
            sock=sock,
            ssl=context,
            server_hostname=host if context is not None else None,
            ssl_handshake_timeout=longest_s(self.origin.connect_s) if context is not None else None,
        )

    def release(self, connection: Connection) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        if self._closed:
            connection.abort()
            return
        connection.idle_since_s = now_s = time.monotonic()
        if now_s - self._rtt_at_s > RTT_EVERY_S:
            self._read_rtt(connection, now_s)
        if connection.resting:
            connection.wake()
        self._idle.append(connection)
        self._sweep.arm()

    def _read_rtt(self, connection: Connection, now_s: float) -> None:
        self._rtt_at_s = now_s
        sock = connection.sock
        if sock is not None:
            self.rtt_ms = rtt_ms_of(sock)

    def lost(self, connection: Connection) -> None:
        self._open -= 1
        try:
            self._idle.remove(connection)
        except ValueError:
            self._vacancy()

    def _vacancy(self) -> None:
        """A place became free: let the request that has waited longest connect."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                self._loop.create_task(self._dial_for(waiter))
                return

    async def _dial_for(self, waiter: "asyncio.Future[Connection]") -> None:
        try:
            connection = await self._connect(time.monotonic() + longest_s(self.origin.connect_s))
        except ProviderError as error:
            if not waiter.done():
                waiter.set_exception(error)
            return
        if waiter.done():
            self.release(connection)
        else:
            waiter.set_result(connection)

    def rest(self, connection: Connection, now_s: float) -> None:
        """Stop reading for the pace, or a little less: all at once would make one long round of the loop."""
        if connection.resting:
            return
        connection.resting = True
        connection.pause()
        if now_s >= self._until_s:
            self._resting = []
            self._until_s = now_s + self._sweep.together_s
            self._loop.call_later(self._sweep.pace_s, self._wake, self._resting)
        self._resting.append(connection)

    def _wake(self, rested: list[Connection]) -> None:
        if rested is self._resting:
            self._resting, self._until_s = [], 0.0  # none may join them any more
        self._sweep.woken.add(rested)

    def drop_idle(self, before_s: float) -> bool:
        """Close connections that have been idle since before `before_s`. Returns whether any idle connection
        is left."""
        while self._idle and self._idle[0].idle_since_s < before_s:
            self._idle.popleft().abort()
        return bool(self._idle)

    def close(self) -> None:
        self._closed = True
        while self._idle:
            self._idle.popleft().abort()


class Woken:
    """Those that have rested, in order. Few read again in one round of the loop: after a pause all are due at
    once, and who arrives while all are read waits for as long."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due: deque[Connection] = deque()
        self._armed = False

    def add(self, rested: "list[Connection]") -> None:
        self._due.extend(rested)
        if not self._armed:
            self._armed = True
            self._loop.call_soon(self._wake)

    def _wake(self) -> None:
        due = self._due
        for _ in range(min(len(due), WAKES_MAX)):
            due.popleft().wake()
        self._armed = bool(due)
        if due:
            self._loop.call_soon(self._wake)

    def behind(self) -> bool:
        """Whether some are due and not yet read."""
        return self._armed


class Sweep:
    """A recurring check of all deadlines, which sleeps while there are none."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._armed = False
        self._far_off = False
        """What is armed is the look at idle connections, too late for an exchange."""
        self.woken = Woken(loop)
        self.pace_s = self.fast_s = self.together_s = PACE_S
        self.exchanges: set[Http1Exchange] = set()
        self.pools: list[Pool] = []
        self._timer: asyncio.TimerHandle | None = None

    def arm(self) -> None:
        if not self._armed:
            self._armed = True
            self._far_off = not self.exchanges
            self._timer = self._loop.call_later(1.0 if self._far_off else SWEEP_S, self._tick)

    def watch(self, exchange: Http1Exchange) -> None:
        if self._far_off and self._armed and self._timer is not None:
            self._timer.cancel()
            self._armed = False
        self.exchanges.add(exchange)
        self.arm()

    def _tick(self) -> None:
        self._armed = False
        now_s = time.monotonic()
        ended = []
        for exchange in self.exchanges:
            if exchange.complete or exchange.error is not None:
                ended.append(exchange)
            elif exchange.deadline_s <= now_s:
                ended.append(exchange)
                what = "the whole answer" if exchange.limit_s <= now_s else exchange.waiting_for
                exchange.fail(ProviderTimeout(f"no sign of {what} in time"))
        self.exchanges.difference_update(ended)
        idle = False
        for pool in self.pools:
            idle = pool.drop_idle(now_s - IDLE_S) or idle
        if self.exchanges or idle:
            self.arm()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for exchange in tuple(self.exchanges):
            exchange.close()
        self.exchanges.clear()


class Http1Transport:
    """See `protocols.Transport`. One for each event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, turn: LoopBatch) -> None:
        self._loop = loop
        self._turn = turn
        self._sweep = Sweep(loop)
        self._pools: dict[HttpOrigin, Pool] = {}

    async def send(
        self,
        origin: HttpOrigin,
        head: bytes,
        body: bytes,
        *,
        first_byte_s: float,
        whole: bool,
        followed: bool = False,
    ) -> Http1Exchange:
        """`followed`: the request was redirected here."""
        pool = self._pools.get(origin)
        if pool is None:
            pool = self._pools[origin] = Pool(origin, self._loop, self._sweep)
            self._sweep.pools.append(pool)
        elif pool.origin is not origin:  # of a later configuration: it is found by identity from now on
            del self._pools[origin]
            pool.origin = origin
            self._pools[origin] = pool
        deadline_s = time.monotonic() + first_byte_s
        try:
            connection = await pool.acquire(deadline_s)
        except ProviderError as error:
            error.sent = False
            raise
        exchange = Http1Exchange(deadline_s, self._loop, whole=whole)
        exchange.bytes_max = origin.answer_bytes_max
        exchange.rtt_ms = pool.rtt_ms
        if connection.opened is not None:
            exchange.opened, connection.opened = connection.opened, None
        transport = connection.transport
        if transport is None:  # lost between release and here
            raise ProviderUnavailable("the connection ended before it replied", nothing_received=True)
        connection.begin(exchange)
        self._sweep.watch(exchange)
        self._turn.write(transport, b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body))
        await exchange.wait()
        if exchange.complete:
            self._sweep.exchanges.discard(exchange)  # else its memory goes cold before the next one takes it
        if exchange.error is not None:
            raise exchange.error
        status = exchange.status
        if status in REDIRECTS:
            exchange.leave()
            head = redirected(origin, head, status, exchange.headers, again=followed)
            left_s = max(0.0, deadline_s - time.monotonic())
            return await self.send(origin, head, body, first_byte_s=left_s, whole=whole, followed=True)
        if status == 407 and origin.proxy is not None:
            exchange.leave()
            place = authority(origin.host, origin.port)
            refused = ProviderUnavailable(refusal(origin.proxy, place, 407))
            refused.sent = False  # it got no further than the proxy
            raise refused
        return exchange

    def press(self, pressed: bool) -> None:
        """While it is pressed for CPU time, streams are handed on in larger and fewer pieces."""
        sweep = self._sweep
        if pressed:
            sweep.pace_s, sweep.fast_s, sweep.together_s = PRESSED_PACE_S, 2 * PRESSED_PACE_S, TOGETHER_S
        else:
            sweep.pace_s = sweep.fast_s = sweep.together_s = PACE_S

    def behind(self) -> bool:
        """Whether streams wait for a later round of the loop that could be read in this one."""
        return self._sweep.woken.behind()

    async def aclose(self) -> None:
        self._sweep.stop()
        for pool in self._pools.values():
            pool.close()
