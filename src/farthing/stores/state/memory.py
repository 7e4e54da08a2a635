"""What several processes would agree on, held in one. The reference for every other implementation.

Everything happens between two awaits of one event loop, so all levels change together or not at all.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from heapq import heappop, heappush

from farthing.errors import StoreError
from farthing.protocols import Balance, Level, Reserved, Taken

KEYS_MAX = 100_000
IDS_MAX = 200_000
REMEMBERED_S = 600.0
"""How long an id that is over is known: within it, saying it again changes nothing."""
KEEP_S = 172_800.0
"""How long a key without holds is kept after its last use: two days, for budgets of one."""
CHANGES_MAX = 1_000


class _Account:
    __slots__ = ("full_at_s", "held", "holds", "spent", "used_s")

    def __init__(self) -> None:
        self.spent = 0
        self.held = 0
        self.holds = 0
        """Ids that hold a part of it."""
        self.full_at_s = 0.0
        """Of a rate: when its whole allowance is there again."""
        self.used_s = 0.0


class _Hold:
    __slots__ = ("amounts", "until_s")

    def __init__(self, amounts: Mapping[str, int], until_s: float) -> None:
        self.amounts = amounts
        self.until_s = until_s


class MemoryState:
    """See `protocols.StateStore`. `clock` gives the store's seconds, which never go back."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        keys_max: int = KEYS_MAX,
        ids_max: int = IDS_MAX,
    ) -> None:
        self._clock = clock
        self._keys_max = keys_max
        self._ids_max = ids_max
        self._accounts: OrderedDict[str, _Account] = OrderedDict()
        """Used longest ago first."""
        self._holds: dict[str, _Hold] = {}
        self._ends: list[tuple[float, str]] = []
        """A heap of when leases end, those of ids that are over among them until then."""
        self._over: OrderedDict[tuple[str, str], tuple[float, object]] = OrderedDict()
        """What was done under an id -> when, and what it came to; oldest first."""
        self._watchers: set[tuple[str, asyncio.Queue[str]]] = set()

    async def reserve(self, id: str, levels: Sequence[Level], *, lease_s: float) -> Reserved:
        """As the Protocol."""
        now_s = self._begin()
        if self._done("settle", id) is not None:
            return Reserved(held=False, refused="", until_s=now_s)
        held = self._holds.get(id)
        if held is not None:
            held.until_s = now_s + lease_s
            return Reserved(held=True, refused=None, until_s=held.until_s)
        amounts: dict[str, int] = {}
        for level in levels:
            account = self._accounts.get(level.key)
            used = 0 if account is None else account.spent + account.held
            if used + amounts.get(level.key, 0) + level.amount > level.limit:
                return Reserved(held=False, refused=level.key, until_s=now_s)
            amounts[level.key] = amounts.get(level.key, 0) + level.amount
        if len(self._ends) >= self._ids_max:
            raise StoreError(f"{self._ids_max} leases are running, and none has ended")
        accounts = [(self._account(key, now_s), amount) for key, amount in amounts.items()]
        for account, amount in accounts:
            account.held += amount
            account.holds += 1
        self._holds[id] = hold = _Hold(amounts, now_s + lease_s)
        heappush(self._ends, (hold.until_s, id))
        self._changed(amounts)
        return Reserved(held=True, refused=None, until_s=hold.until_s)

    async def settle(self, id: str, spent: Mapping[str, int]) -> bool:
        """As the Protocol."""
        now_s = self._begin()
        if self._done("settle", id) is not None:
            return False
        accounts = [(self._account(key, now_s), amount) for key, amount in spent.items()]
        hold = self._holds.pop(id, None)
        if hold is not None:
            self._let_go(hold)
        for account, amount in accounts:
            account.spent += amount
        self._note("settle", id, now_s, True)
        self._changed([*spent, *(() if hold is None else hold.amounts)])
        return True

    async def release(self, id: str) -> bool:
        """As the Protocol."""
        return await self.settle(id, {})

    async def take(self, id: str, key: str, *, limit: int, window_s: float, count: int = 1) -> Taken:
        """As the Protocol. GCRA, as in `edge/rate`."""
        now_s = self._begin()
        before = self._done("take", id)
        if isinstance(before, Taken):
            return before
        account = self._account(key, now_s)
        interval_s = window_s / limit
        full_at_s = max(account.full_at_s, now_s) + interval_s * count
        wait_s = full_at_s - now_s - window_s
        if wait_s > 1e-9:  # sums of intervals are not exact
            return Taken(taken=False, wait_s=wait_s)
        account.full_at_s = full_at_s
        taken = Taken(taken=True, wait_s=0.0)
        self._note("take", id, now_s, taken)
        self._changed((key,))
        return taken

    async def peek(self, keys: Sequence[str]) -> Mapping[str, Balance]:
        """As the Protocol."""
        self._begin()
        found = {}
        for key in keys:
            account = self._accounts.get(key)
            found[key] = Balance() if account is None else Balance(spent=account.spent, held=account.held)
        return found

    async def watch(self, prefix: str) -> AsyncIterator[str]:
        """As the Protocol."""
        queue: asyncio.Queue[str] = asyncio.Queue(CHANGES_MAX)
        watcher = (prefix, queue)
        self._watchers.add(watcher)
        try:
            yield prefix  # from here on nothing is missed
            while True:
                yield await queue.get()
        finally:
            self._watchers.discard(watcher)

    async def aclose(self) -> None:
        """Safe to call twice."""
        self._accounts.clear()
        self._holds.clear()
        self._ends.clear()
        self._over.clear()

    # -- within one turn of the loop --------------------------------------------------------------

    def _begin(self) -> float:
        """The time of now, after what expired by then has been let go."""
        now_s = self._clock()
        while self._ends and self._ends[0][0] <= now_s:
            _, id = heappop(self._ends)
            hold = self._holds.get(id)
            if hold is None:
                continue
            if hold.until_s > now_s:  # its lease was renewed
                heappush(self._ends, (hold.until_s, id))
                continue
            del self._holds[id]
            self._let_go(hold)
            self._changed(hold.amounts)
        while self._over:
            oldest = next(iter(self._over.values()))
            if len(self._over) <= self._ids_max and now_s - oldest[0] <= REMEMBERED_S:
                break
            self._over.popitem(last=False)
        return now_s

    def _let_go(self, hold: _Hold) -> None:
        for key, amount in hold.amounts.items():
            account = self._accounts[key]
            account.held -= amount
            account.holds -= 1

    def _account(self, key: str, now_s: float) -> _Account:
        account = self._accounts.get(key)
        if account is None:
            self._make_room(now_s)
            account = self._accounts[key] = _Account()
        account.used_s = now_s
        self._accounts.move_to_end(key)
        return account

    def _make_room(self, now_s: float) -> None:
        """Forget what was used longest ago, where it is old. What counts is never dropped for want of room.

        Raises:
            StoreError: there is none.
        """
        while self._accounts:
            key, oldest = next(iter(self._accounts.items()))
            if oldest.holds or now_s - oldest.used_s <= KEEP_S:
                break
            del self._accounts[key]
        if len(self._accounts) >= self._keys_max:
            raise StoreError(f"{self._keys_max} keys are in use, and none is old enough to be forgotten")

    def _done(self, what: str, id: str) -> object | None:
        found = self._over.get((what, id))
        return None if found is None else found[1]

    def _note(self, what: str, id: str, now_s: float, result: object) -> None:
        self._over[what, id] = now_s, result

    def _changed(self, keys: Sequence[str] | Mapping[str, int]) -> None:
        for prefix, queue in self._watchers:
            for key in dict.fromkeys(keys):
                if key.startswith(prefix) and not queue.full():
                    queue.put_nowait(key)
                elif key.startswith(prefix):
                    queue.get_nowait()
                    queue.put_nowait(prefix)  # some were missed: all of them may have changed
