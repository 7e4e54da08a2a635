"""Single flight: concurrent requests with the same key share one upstream call.

The first to `join` a key leads and makes the call; those who join before it lands follow. A follower that
streams gets the leader's stream live, from its first byte; a follower that needs the whole answer waits for
the landing. A follower that has received nothing never sees the leader's failure, which may be the leader's
own (such as its deadline): it receives None and makes its own call.

The call belongs to all of them. If the leader's client leaves, the call goes on while anybody follows, and
ends when the last follower leaves.

One event loop only. The key includes the tenant, so flights never cross tenants.
"""

import asyncio
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from farthing.runtime.loop_batch import Waiter
from farthing.types import CacheHit


class Shared(Protocol):
    """A leader's stream that others can follow."""

    def leader_left(self) -> None:
        """The leader's client has left: continue for the followers, at their pace."""


L = TypeVar("L", bound=Shared)


class Flight(Generic[L]):
    """The leader's place in a shared call. The leader must `land` it on every path."""

    __slots__ = ("_arrived", "_cancel", "_followers", "_key", "_open", "live")

    def __init__(self, key: bytes, open_flights: "dict[bytes, Flight[L]] | None") -> None:
        self.live: L | None = None
        """The stream, once it has begun; None before that, or if the answer is not streamed."""
        self._key = key
        self._open = open_flights
        self._followers: set[Follower[L]] | None = None
        self._cancel: Callable[[], None] | None = None
        self._arrived = False

    def begins(self, live: L) -> None:
        """The stream has begun: live followers can read it."""
        self.live = live
        if self._cancel is not None:
            live.leader_left()
        for follower in self._followers or ():
            follower.wake()

    def arrived(self) -> None:
        """The call has ended; the remaining work is short, and is done even if everybody has left."""
        self._arrived = True

    def land(self, hit: CacheHit | None) -> None:
        """Give the complete answer to waiting followers; None if there is none to share.

        The leader calls this in its `finally`. The second call does nothing.
        """
        self._close()
        followers, self._followers = self._followers, None
        for follower in followers or ():
            follower.landed(hit)

    def outgrown(self) -> None:
        """The answer is too large to keep: nobody can join any more, and followers that wait for the complete
        answer make their own calls now; live followers continue."""
        self._close()
        followers = self._followers or set()
        self._followers = {one for one in followers if one.sees}
        for follower in followers - self._followers:
            follower.landed(None)
        self._end_if_unwanted()

    def client_left(self, cancel: Callable[[], None]) -> bool:
        """The leader's client has left. True: the call goes on for followers, and `cancel` is called when the
        last of them leaves. False: nobody follows."""
        if not self._followers:
            return False
        self._cancel = cancel
        if self.live is not None:
            self.live.leader_left()
        return True

    @property
    def orphaned(self) -> bool:
        """Whether the leader's client has left and the call went on for followers."""
        return self._cancel is not None

    def _close(self) -> None:
        open_flights, self._open = self._open, None
        if open_flights is not None:
            del open_flights[self._key]

    def _left(self, follower: "Follower[L]") -> None:
        followers = self._followers
        if not followers or follower not in followers:
            return
        followers.discard(follower)
        self._end_if_unwanted()

    def _end_if_unwanted(self) -> None:
        """End the call once its own client and all followers have left it."""
        if not self._followers and self._cancel is not None and not self._arrived:
            self._close()  # nobody may join a call that is about to end
            self._cancel()


class Follower(Waiter, Generic[L]):
    """A request that waits for another's call. It must `leave` on every path."""

    __slots__ = ("_flight", "_hit", "_landed", "sees")

    def __init__(self, flight: Flight[L], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.sees = False
        """Whether it follows the stream live."""
        self._flight = flight
        self._landed = False
        self._hit: CacheHit | None = None

    async def answer(self, *, live: bool) -> L | CacheHit | None:
        """Wait for the complete answer or, with `live`, for the stream to begin, whichever is first. None:
        there is nothing to share, and the caller makes its own call.

        Cancelling the wait leaves the leader and the other followers alone.
        """
        while not self._landed:
            shared = self._flight.live
            if live and shared is not None:
                self.sees = True
                return shared
            await self.wait()
        return self._hit

    def landed(self, hit: CacheHit | None) -> None:
        """Called by the flight only."""
        self._landed, self._hit = True, hit
        self.wake()

    def leave(self) -> None:
        """Stop following. Safe to call twice."""
        self._flight._left(self)

    def close(self) -> None:
        """Same as `leave`."""
        self.leave()


class Flights(Generic[L]):
    """The open flights. Beyond either bound a request makes its own call, which costs a call but no wait."""

    def __init__(self, *, flights_max: int = 10_000, followers_max: int = 1_000) -> None:
        self._flights_max = flights_max
        self._followers_max = followers_max
        self._open: dict[bytes, Flight[L]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def join(self, key: bytes) -> Flight[L] | Follower[L]:
        """Lead the flight of `key`, or follow it."""
        leader = self._open.get(key)
        if leader is None:
            if len(self._open) >= self._flights_max:
                return Flight(key, None)
            flight: Flight[L] = Flight(key, self._open)
            self._open[key] = flight
            return flight
        followers = leader._followers
        if followers is None:
            followers = leader._followers = set()
        if len(followers) >= self._followers_max:
            return Flight(key, None)
        follower = Follower(leader, asyncio.get_running_loop())
        followers.add(follower)
        return follower
