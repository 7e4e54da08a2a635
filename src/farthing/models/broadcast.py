"""One stream for several clients: the leader, whose call it is, and followers that asked the same meanwhile.

It costs nothing until somebody follows: until then the stream writes directly to the leader's client. From
then on, all blocks so far and to come are in one list, and each client has a position in it. A client that
falls behind keeps its position and delays nobody; the provider is paused only while all clients are
behind. `held_bytes_max` bounds the list. Within the bound the list is complete, so every follower starts
at the first byte. Beyond it nobody can join, blocks that all have read are dropped, and a follower that is
a whole list behind is cut off with an error. The leader is not cut off: it would have paced its provider
alone, so it now paces it for all.
"""

import asyncio
from collections.abc import Callable

from farthing.dialects.told import joined, size_of
from farthing.errors import ContractExceeded, StreamBroken
from farthing.models.calling.request import CallResult
from farthing.models.stream import Stream
from farthing.protocols import Sink
from farthing.runtime.loop_batch import Waiter
from farthing.types import Answer, Dialect

SLICE_BYTES = 65_536  # to one that catches up, before the sockets have their turn: it may be behind again


class Broadcast:
    """The stream of `result`, for the leader's `sink` and all who `follow`. It is the stream's own sink."""

    def __init__(self, result: CallResult, sink: Sink, *, held_bytes_max: int) -> None:
        assert result.stream is not None
        self.result = result
        self._stream: Stream = result.stream
        self._held_bytes_max = held_bytes_max
        self._loop = asyncio.get_running_loop()
        self._sink = sink
        self._leader: _Listener | None = None
        self._left = False
        self._begun = False
        self._spread = False
        """There is, or was, somebody besides the leader."""
        self._blocks: list[bytes] = []
        self._bytes = 0
        self._dropped = 0
        """Blocks that are in the list no more."""
        self._full = False
        self._listeners: list[_Listener] = []
        self._pause: Callable[[], None] | None = None
        self._resume: Callable[[], None] | None = None
        self._paused = False
        self._ended = False
        self._error: BaseException | None = None

    # -- the leader --------------------------------------------------------------------------------

    async def relay(self, outgrown: Callable[[], None]) -> None:
        """As `Stream.relay`, for the leader, whose client may then still be behind (see `caught_up`). Calls
        `outgrown` when the stream becomes too large to join, or breaks: it will not be available whole.

        Raises:
            StreamBroken: it failed half-way; the leader's client has all that came.
        """
        self._begun = True
        self._stream.outgrown = outgrown
        try:
            await self._stream.relay(self if self._spread else self._sink)
        except StreamBroken as error:
            outgrown()
            self.end(error)
            await self.caught_up()
            raise

    async def caught_up(self) -> None:
        """Wait until the leader's client has received everything. Followers need not wait for that."""
        if self._leader is not None:
            await self._leader.through()

    def leader_left(self) -> None:
        """The leader's client has gone: the stream continues at the pace of the others. A second call is
        harmless."""
        self._left = True
        if not self._spread:
            self._divide()
        leader = self._leader
        if leader is not None:
            leader.close()
            leader.wake()

    def end(self, error: BaseException | None) -> None:
        """The stream has ended; `error` says why, if it broke. The leader calls this on every path."""
        self._ended = True
        self._error = error
        self._stream.outgrown = None
        for listener in self._listeners:
            if listener.at == self._until:
                listener.wake()

    # -- those who follow --------------------------------------------------------------------------

    @property
    def open(self) -> bool:
        """Whether it can still be followed from its first byte."""
        return not self._full if self._spread else self._stream.kept is not None

    def tells_all(self, dialect: Dialect) -> bool:
        """As `StreamDecoder.tells_all`."""
        return self._stream.reader.tells_all(dialect)

    async def follow(self, sink: Sink) -> None:
        """Send all that came, and what comes, to `sink`, and return when that is done. It must be `open`.

        Cancelling it leaves the others alone.

        Raises:
            StreamBroken, ContractExceeded: as the leader; or this client fell too far behind.
        """
        if not self._spread:
            self._divide()
        listener = _Listener(self, sink, 0)
        self._listeners.append(listener)
        sink.when_writable(listener.pause, listener.resume)
        self.catch_up(listener)
        self.pace()
        try:
            await listener.through()
        finally:
            listener.close()
        if listener.cut:
            raise StreamBroken(
                f"this client fell more than {self._held_bytes_max} bytes behind a stream that it shared: "
                "read faster, or send `cache-control: no-cache` for a call of its own"
            )
        self._raise_error()

    def _raise_error(self) -> None:
        error = self._error
        if isinstance(error, ContractExceeded):
            raise ContractExceeded(str(error), limit=error.limit) from error
        if isinstance(error, StreamBroken):
            broken = StreamBroken(str(error), said=error.said, words=error.words)
            broken.own = error.own
            raise broken from error
        if error is not None:
            raise StreamBroken("the call that this stream was shared from was ended") from error

    # -- the stream's side: see `protocols.Sink` -----------------------------------------------------

    def send(self, events: bytes) -> None:
        at = self._until
        self._blocks.append(events)
        self._bytes += size_of(events)
        for listener in self._listeners:
            if listener.at == at and not listener.paused:
                listener.at = at + 1
                listener.sink.send(events)
        if self._bytes > self._held_bytes_max:
            self._make_room()

    def when_writable(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self._pause, self._resume = pause, resume
        self._paused = False
        self.pace()

    def outlive(self, left: Callable[[Callable[[], None]], bool]) -> None:
        """A stream never asks for it."""

    def returned(self, lines: bytes) -> None:
        """The leader's own sink has them already; they say nothing of those who follow."""

    def closing(self, reply: Answer) -> Answer:
        return reply

    # -- within ------------------------------------------------------------------------------------

    @property
    def _until(self) -> int:
        return self._dropped + len(self._blocks)

    def _divide(self) -> None:
        """Give every client its own position in what has come so far."""
        self._spread = True
        stream = self._stream
        if self._begun:
            self._blocks = list(stream.kept or ())
            self._bytes = sum(map(size_of, self._blocks))
            self._full = stream.kept is None
        if not self._left:
            self._leader = leader = _Listener(self, self._sink, self._until)
            leader.leads = True
            self._listeners.append(leader)
            self._sink.when_writable(leader.pause, leader.resume)
        if self._begun:
            stream.redirect(self)

    def catch_up(self, listener: "_Listener") -> None:
        """Send `listener` what it has not received yet, a slice at a time."""
        listener.catching_up = False
        if listener.paused or listener.over:
            return
        blocks, size = [], 0
        while listener.at < self._until and size < SLICE_BYTES:
            block = self._blocks[listener.at - self._dropped]
            listener.at += 1
            blocks.append(block)
            size += size_of(block)
        if blocks:
            listener.sink.send(joined(blocks))
        if listener.at < self._until:
            listener.catching_up = True
            self._loop.call_soon(self.catch_up, listener)
        else:
            listener.wake()
        if self._full:
            self._make_room()

    def is_through(self, listener: "_Listener") -> bool:
        """Whether nothing is left for it. The leader itself says when nothing more comes, so it need not wait
        for that."""
        return listener.over or ((self._ended or listener.leads) and listener.at == self._until)

    def closed(self, listener: "_Listener") -> None:
        if listener in self._listeners:
            self._listeners.remove(listener)
        self.pace()

    def pace(self) -> None:
        """Read from the provider while any client can accept more."""
        listeners = self._listeners
        wait = bool(listeners) and all(one.paused for one in listeners)
        if not wait and self._bytes > self._held_bytes_max:
            wait = any(one.waited_for and one.at == self._dropped for one in listeners)
        if wait != self._paused and self._pause is not None and self._resume is not None:
            self._paused = wait
            if not self._ended:
                (self._pause if wait else self._resume)()

    def _make_room(self) -> None:
        """The list is full: drop what all have read, then the followers that are a whole list behind."""
        self._full = True
        while self._bytes > self._held_bytes_max:
            slowest = min(self._listeners, key=lambda one: (one.at, not one.waited_for), default=None)
            least = self._until if slowest is None else slowest.at
            if least > self._dropped:
                self._drop(least - self._dropped)
            elif slowest is None or slowest.waited_for:
                break
            else:
                slowest.cut = True
                slowest.close()
                slowest.wake()
        self.pace()

    def _drop(self, count: int) -> None:
        """Drop blocks, no more than needed to meet the list's bound."""
        excess = self._bytes - self._held_bytes_max
        dropped = size = 0
        while dropped < count and size < excess:
            size += size_of(self._blocks[dropped])
            dropped += 1
        del self._blocks[:dropped]
        self._dropped += dropped
        self._bytes -= size


class _Listener(Waiter):
    """One client's position in the stream."""

    __slots__ = ("_broadcast", "at", "catching_up", "cut", "leads", "over", "paused", "sink")

    def __init__(self, broadcast: Broadcast, sink: Sink, at: int) -> None:
        super().__init__(broadcast._loop)
        self._broadcast = broadcast
        self.sink = sink
        self.at = at
        """The next block to send, counted from the first of the stream."""
        self.leads = False
        self.paused = False
        self.catching_up = False
        self.cut = False
        self.over = False

    @property
    def waited_for(self) -> bool:
        """Whether the provider waits for it when it is a whole list behind: it leads, or takes all that it is
        given, and it is we who have not given it all yet."""
        return self.leads or (self.catching_up and not self.paused)

    async def through(self) -> None:
        """Wait until everything has been sent to this client."""
        while not self._broadcast.is_through(self):
            await self.wait()

    def pause(self) -> None:
        self.paused = True
        self._broadcast.pace()

    def resume(self) -> None:
        self.paused = False
        if not self.catching_up:
            self._broadcast.catch_up(self)
        self._broadcast.pace()

    def close(self) -> None:
        """Stop listening. A second call is harmless."""
        self.over = True
        self._broadcast.closed(self)
