"""Single flight: requests with one key, at the same time, share one upstream call.

The first to `join` a key leads and makes the call; those who join before it has landed follow and wait
for its whole answer. When the leader's client leaves, the first who waits leads in its place and the others
go on waiting: one call, not one for each of them. A follower never sees the leader's failure, which may be
the leader's own (its deadline passed): it is told None and goes on by itself.

One event loop only. The key holds the tenant, so flights never cross tenants.
"""

import asyncio

from farthing.types import CacheHit

HANDOVERS_MAX = 3  # of one flight: those who wait may have waited for as many calls that nobody got


class Flight:
    """One request's place in a shared call."""

    __slots__ = ("_followers", "_handovers", "_key", "_open", "leads")

    def __init__(self, key: bytes, open_flights: "dict[bytes, Flight] | None") -> None:
        self.leads = True
        """This request makes the call, and must `land` on every path."""
        self._key = key
        self._open = open_flights
        self._followers: list[_Follower] | None = None
        self._handovers = 0

    def land(self, hit: CacheHit | None, *, left: bool = False) -> None:
        """Give the whole answer to those who wait; None when there is none to share. `left`: because the
        leader's client did; then the first who still waits leads from now on.

        The leader calls this in its `finally`. The second call does nothing.
        """
        open_flights = self._open
        if open_flights is None or (left and self._handed_over(open_flights)):
            return
        self._open = None
        del open_flights[self._key]
        if self._followers is not None:
            for follower in self._followers:
                if not follower.waiting.done():
                    follower.waiting.set_result(hit)
            self._followers = None

    def _handed_over(self, open_flights: "dict[bytes, Flight]") -> bool:
        """Make the first who still waits lead; False when there is none, or it was done too often."""
        followers = [f for f in self._followers or () if not f.waiting.done()]
        if not followers or self._handovers >= HANDOVERS_MAX:
            return False
        next_one = followers[0]
        self._open = self._followers = None
        next_one.leads = True
        next_one._open = open_flights
        next_one._followers = followers[1:]
        next_one._handovers = self._handovers + 1
        open_flights[self._key] = next_one
        next_one.waiting.set_result(None)
        return True

    async def answer(self) -> CacheHit | None:
        """Never called on a leader: it has no one to wait for."""
        raise AssertionError("a leader makes the call itself")


class _Follower(Flight):
    __slots__ = ("waiting",)

    def __init__(self, key: bytes, waiting: "asyncio.Future[CacheHit | None]") -> None:
        super().__init__(key, None)
        self.leads = False
        self.waiting = waiting

    async def answer(self) -> CacheHit | None:
        """Wait for the leader's answer; None when it has none: the caller makes its own call. Look at
        `leads` again then: it may lead now, and must land.

        Cancelling the wait leaves the leader and the other followers alone.
        """
        try:
            return await self.waiting
        except asyncio.CancelledError:
            if self.leads:  # it was made to lead, and left before it knew
                self.land(None, left=True)
            raise


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
        follower = _Follower(key, waiting)
        followers.append(follower)
        return follower
