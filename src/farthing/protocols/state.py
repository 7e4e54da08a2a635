"""What several processes must agree on."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

from msgspec import Struct


class Level(Struct, frozen=True, kw_only=True):
    """One limit that something counts against: a session, a key, an endpoint's day, the calls of a flight."""

    key: str
    amount: int
    """Nano-dollars, or pieces where the limit is of pieces. Zero or more."""
    limit: int
    """Most that may be spent and held together."""


class Reserved(Struct, frozen=True, kw_only=True):
    """What `StateStore.reserve` came to."""

    held: bool
    refused: str | None
    """Key of the level without room; empty: the id is over. None where it is held."""
    until_s: float
    """On the store's clock: when the hold expires unless it is reserved again; else the time of now."""


class Taken(Struct, frozen=True, kw_only=True):
    """What `StateStore.take` came to."""

    taken: bool
    wait_s: float
    """Until there is room; 0 where it was taken."""


class Balance(Struct, frozen=True, kw_only=True):
    """What stands under one key."""

    spent: int = 0
    held: int = 0


class StateStore(Protocol):  # stores/state: memory
    """What several processes must agree on: holds, budgets, rates; who has a flight (a level of limit 1);
    that a target's health or a policy changed (a count that others watch).

    Amounts are integers, money is nano-dollars. Each call is atomic over all it names. Each is safe to repeat
    under the same id for ten minutes: what was lost on the way may be sent again. The time is the store's,
    never the caller's. At most one round trip a call.

    Raises, each of them:
        StoreError: the backend failed, or has no room. Nothing was changed, or the same id says what was.
    """

    async def reserve(self, id: str, levels: Sequence[Level], *, lease_s: float) -> Reserved:
        """Hold the amounts of all `levels`, or of none where one has no room.

        The hold expires after `lease_s`, which frees what it held, unless `reserve` is called again with its
        id: that is the heartbeat, and changes nothing but the lease. An id that was settled holds nothing.
        """

    async def settle(self, id: str, spent: Mapping[str, int]) -> bool:
        """Replace what `id` holds by what was spent, by key. Counts although the hold has expired, or there
        was none: money that is gone is gone. False: it was settled before, and nothing happened."""

    async def release(self, id: str) -> bool:
        """Free what `id` holds; as `settle` with nothing spent."""

    async def take(self, id: str, key: str, *, limit: int, window_s: float, count: int = 1) -> Taken:
        """Use `count` of an allowance of `limit` that comes back evenly over `window_s`. What was refused may
        be tried again under the same id."""

    async def peek(self, keys: Sequence[str]) -> Mapping[str, Balance]:
        """What stands under each of `keys`; zeros where nothing does. Seen at one moment."""

    def watch(self, prefix: str) -> AsyncIterator[str]:
        """The keys under `prefix` that change from the first item on, which is `prefix` itself. `prefix`
        again says that some were missed, and all may have changed."""

    async def aclose(self) -> None:
        """Safe to call twice."""
