"""Single flight: requests with one key, at the same time, share one upstream call.

The first to `join` a key leads and makes the call; those who join before it has landed follow. A follower
that streams gets the leader's stream as it comes, from its first byte; one that wants the whole waits for the
landing. A follower that has seen nothing never sees the leader's failure, which may be the leader's own (its
deadline passed): it is told None and goes on by itself.

The call belongs to all of them. When the leader's client leaves it goes on for as long as one follows, and
ends with the last of them.

One event loop only. The key holds the tenant, so flights never cross tenants.
"""

import asyncio
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from farthing.runtime.loop_batch import Waiter
from farthing.types import CacheHit


class Shared(Protocol):
    """A leader's stream that others can follow."""

    def leader_left(self) -> None:
        """Its client has gone: it goes on for the others, at their pace."""


L = TypeVar("L", bound=Shared)


class Flight(Generic[L]):
    """The leader's place in a shared call. It must `land` on every path."""

    __slots__ = ("_arrived", "_cancel", "_followers", "_key", "_open", "live")

    def __init__(self, key: bytes, open_flights: "dict[bytes, Flight[L]] | None") -> None:
        self.live: L | None = None
        """The stream, once it has begun; None: it has not, or the answer comes whole."""
        self._key = key
        self._open = open_flights
        self._followers: set[Follower[L]] | None = None
        self._cancel: Callable[[], None] | None = None
        self._arrived = False

    def begins(self, live: L) -> None:
        """The answer has begun to come: those who want to see it can."""
        self.live = live
        if self._cancel is not None:
            live.leader_left()
        for follower in self._followers or ():
            follower.wake()

    def arrived(self) -> None:
        """The call is over; what is left is quick, and is done also when all have left."""
        self._arrived = True

    def land(self, hit: CacheHit | None) -> None:
        """Give the whole answer to those who wait; None when there is none to share.

        The leader calls this in its `finally`. The second call does nothing.
        """
        self._close()
        followers, self._followers = self._followers, None
        for follower in followers or ():
            follower.landed(hit)

    def outgrown(self) -> None:
        """What has come is too much to be kept: nobody can join any more, and nothing will be there for those
        who wait for the whole. They go on by themselves now; those who follow it live go on."""
        self._close()
        followers = self._followers or set()
        self._followers = {one for one in followers if one.sees}
        for follower in followers - self._followers:
            follower.landed(None)
        self._end_if_unwanted()

    def client_left(self, cancel: Callable[[], None]) -> bool:
        """The leader's client has gone. True: the call goes on for others, and `cancel` is called when the
        last of them has left. False: nobody else wants it."""
        if not self._followers:
            return False
        self._cancel = cancel
        if self.live is not None:
            self.live.leader_left()
        return True

    @property
    def orphaned(self) -> bool:
        """Its leader's client has left, and it went on for others."""
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
        """End the call when its own client and all others have left it."""
        if not self._followers and self._cancel is not None and not self._arrived:
            self._close()  # a call that is about to be ended is nobody's to join
            self._cancel()


class Follower(Waiter, Generic[L]):
    """One who waits for another's call. It must `leave` on every path."""

    __slots__ = ("_flight", "_hit", "_landed", "sees")

    def __init__(self, flight: Flight[L], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.sees = False
        """It follows the stream as it comes."""
        self._flight = flight
        self._landed = False
        self._hit: CacheHit | None = None

    async def answer(self, *, live: bool) -> L | CacheHit | None:
        """Wait for the whole answer or, with `live`, for its stream to begin, whichever is first. None: there
        is none to share, and the caller makes its own call.

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
        """For the flight alone."""
        self._landed, self._hit = True, hit
        self.wake()

    def leave(self) -> None:
        """Want no more of it. Safe to call twice."""
        self._flight._left(self)

    def close(self) -> None:
        """As `leave`."""
        self.leave()


class Flights(Generic[L]):
    """The calls in the air. Beyond either bound a request flies alone, which costs a call and no wait."""

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
