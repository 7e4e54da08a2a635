"""Single flight: requests with one key, at the same time, share one upstream call.

The first to `join` a key leads and makes the call; those who join before it has landed follow and wait
for its whole answer. A follower never sees the leader's failure, which may be the leader's own (its
client left, its deadline passed): it is told None and goes on by itself.

One event loop only. The key holds the tenant, so flights never cross tenants.
"""

import asyncio

from farthing.types import CacheHit


class Flight:
    """One request's place in a shared call."""

    __slots__ = ("_followers", "_key", "_open", "leads")

    def __init__(self, key: bytes, open_flights: "dict[bytes, Flight] | None") -> None:
        self.leads = True
        """This request makes the call, and must `land` on every path."""
        self._key = key
        self._open = open_flights
        self._followers: list[asyncio.Future[CacheHit | None]] | None = None

    def land(self, hit: CacheHit | None) -> None:
        """Give the whole answer to those who wait; None when there is none to share.

        The leader calls this in its `finally`. The second call does nothing.
        """
        open_flights = self._open
        if open_flights is None:
            return
        self._open = None
        del open_flights[self._key]
        if self._followers is not None:
            for waiting in self._followers:
                if not waiting.done():
                    waiting.set_result(hit)
            self._followers = None

    async def answer(self) -> CacheHit | None:
        """Never called on a leader: it has no one to wait for."""
        raise AssertionError("a leader makes the call itself")


class _Follower(Flight):
    __slots__ = ("_waiting",)

    def __init__(self, key: bytes, waiting: "asyncio.Future[CacheHit | None]") -> None:
        super().__init__(key, None)
        self.leads = False
        self._waiting = waiting

    async def answer(self) -> CacheHit | None:
        """Wait for the leader's answer; None when it has none: the caller makes its own call.

        Cancelling the wait leaves the leader and the other followers alone.
        """
        return await self._waiting


class Flights:
    """The calls in the air. Beyond either bound a request flies alone, which costs a call and no wait."""

    def __init__(self, *, flights_max: int = 10_000, followers_max: int = 1_000) -> None:
        self._flights_max = flights_max
        self._followers_max = followers_max
        self._open: dict[bytes, Flight] = {}

    def __len__(self) -> int:
        return len(self._open)

    def join(self, key: bytes) -> Flight:
        """Lead the flight of `key`, or follow it. Look at `leads` of the result."""
        leader = self._open.get(key)
        if leader is None:
            if len(self._open) >= self._flights_max:
                return Flight(key, None)
            flight = self._open[key] = Flight(key, self._open)
            return flight
        followers = leader._followers
        if followers is None:
            followers = leader._followers = []
        if len(followers) >= self._followers_max:
            return Flight(key, None)
        waiting: asyncio.Future[CacheHit | None] = asyncio.get_running_loop().create_future()
        followers.append(waiting)
        return _Follower(key, waiting)
