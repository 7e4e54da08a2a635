"""The budget of a UTC day, for all background jobs that have none of their own.

It stands in a `StateStore`, so that processes which share one spend it together. What was spent is written
down as well: a store in memory forgets it with the process.
"""

import logging
from collections.abc import Callable
from decimal import Decimal
from itertools import count

from farthing.errors import BudgetExhausted, StoreError
from farthing.jobs.budget import NUSD_PER_USD
from farthing.jobs.spending import DAY_S, SpentFiles
from farthing.protocols import Allowance, Level, StateStore

LEASE_S = 3_600.0  # no call takes longer, with all that it may be tried again
HOLD_LEASE_S = 2 * DAY_S  # a batch is answered within a day, and its answers wait for the quiet hours
NO_LIMIT = 2**62
TRIES = 3  # while other processes take from it too

log = logging.getLogger("farthing.errands")


class DailyBudget:
    """`usd_max` from midnight to midnight, UTC. See `protocols.Budget`."""

    def __init__(
        self,
        usd_max: Decimal,
        *,
        state: StateStore,
        clock_unix_s: Callable[[], float],
        name: str,
        spent: SpentFiles | None = None,
    ) -> None:
        """`name` is unique to this process: its allowances are told from others' by it. `spent` persists the
        day's spending across restarts (None: it is forgotten with the store)."""
        self._state = state
        self._clock_unix_s = clock_unix_s
        self._name = name
        self._numbers = count(1)
        self._files = spent
        self._max_nusd = int(usd_max * NUSD_PER_USD)
        self._day = -1
        self._loaded_nusd = 0
        """What the files say was spent before this process began with the day; 0: the store knows."""
        self.spent_nusd = 0
        """Since midnight, as far as this process knows: for gauges."""
        self._turn_page()

    def resize(self, usd_max: Decimal) -> None:
        """Apply a new maximum; what was spent stays spent."""
        self._max_nusd = int(usd_max * NUSD_PER_USD)

    async def left_nusd(self) -> int:
        """As the Protocol."""
        try:
            return await self._left_nusd()
        except StoreError as error:
            log.warning("nobody can say what is left for background jobs: %s", error)
            return 0

    async def _left_nusd(self) -> int:
        """Raises:
        StoreError: the store cannot say.
        """
        key = await self._key()
        balance = (await self._state.peek((key,)))[key]
        self.spent_nusd = balance.spent
        return max(0, self._max_nusd - balance.spent - balance.held)

    async def take(self, share: int) -> Allowance:
        """As the Protocol."""
        try:
            for _ in range(TRIES):
                allowance = await self._taken(share)
                if allowance is not None:
                    return allowance
        except StoreError as error:
            raise BudgetExhausted(f"nobody can say what is left for background jobs: {error}") from error
        raise BudgetExhausted("other processes take what is left for background jobs")

    async def _taken(self, share: int) -> Allowance | None:
        """None: it was gone before it could be held."""
        nusd = await self._left_nusd() // max(1, share)
        if nusd <= 0:
            raise BudgetExhausted(
                f"the {self._max_nusd / NUSD_PER_USD:g} dollars for background jobs are spent"
            )
        allowance = Allowance(f"{self._name}-{next(self._numbers)}", nusd)
        level = Level(key=await self._key(), amount=nusd, limit=self._max_nusd)
        reserved = await self._state.reserve(allowance.id, (level,), lease_s=LEASE_S)
        return allowance if reserved.held else None

    async def hold(self, allowance: Allowance) -> None:
        """As the Protocol."""
        try:
            level = Level(key=await self._key(), amount=allowance.nusd, limit=NO_LIMIT)
            await self._state.reserve(allowance.id, (level,), lease_s=HOLD_LEASE_S)
        except StoreError as error:
            log.warning("what a batch may cost is not held in the shared budget of today: %s", error)

    async def give_back(self, allowance: Allowance, cost_nusd: int | None) -> None:
        """As the Protocol. What is settled after midnight counts for the new day."""
        cost = allowance.nusd if cost_nusd is None else cost_nusd
        self._turn_page()
        self.spent_nusd += cost
        if self._files is not None:
            self._files.add(cost)
        try:
            await self._state.settle(allowance.id, {await self._key(): cost})
        except StoreError as error:
            log.warning("what a background job cost is missing in the shared budget of today: %s", error)

    def close(self) -> None:
        """Close the files. Safe to call twice."""
        if self._files is not None:
            self._files.close()

    async def _key(self) -> str:
        """Where today stands. A store that knows less than the files, as one in memory does after a restart,
        is told the rest.

        Raises:
            StoreError: it could not be.
        """
        self._turn_page()
        key = f"errands:{self._day}"
        loaded = self._loaded_nusd
        if loaded:
            unknown = loaded - (await self._state.peek((key,)))[key].spent
            if unknown > 0:
                await self._state.settle(f"{self._name}-{key}", {key: unknown})
            self._loaded_nusd = 0
        return key

    def _turn_page(self) -> None:
        today = int(self._clock_unix_s() // DAY_S)
        if today != self._day:
            self._day = today
            self.spent_nusd = self._loaded_nusd = 0 if self._files is None else self._files.begin(today)
