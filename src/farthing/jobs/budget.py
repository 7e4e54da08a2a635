"""The budget of one run of background jobs. Strict: allowances never exceed what is left."""

from decimal import Decimal

from farthing.errors import BudgetExhausted
from farthing.protocols import Allowance

NUSD_PER_USD = 1_000_000_000


class Budget:
    """`usd_max` in total. See `protocols.Budget`; not shared between processes."""

    def __init__(self, usd_max: Decimal) -> None:
        self.max_nusd = int(usd_max * NUSD_PER_USD)
        self.spent_nusd = 0
        self._handed_nusd = 0

    async def left_nusd(self) -> int:
        """As the Protocol."""
        return max(0, self.max_nusd - self.spent_nusd - self._handed_nusd)

    async def take(self, share: int) -> Allowance:
        """As the Protocol."""
        allowance = Allowance("", await self.left_nusd() // max(1, share))
        if allowance.nusd <= 0:
            raise BudgetExhausted(f"the {self.max_nusd / NUSD_PER_USD:g} dollars for this run are spent")
        await self.hold(allowance)
        return allowance

    async def hold(self, allowance: Allowance) -> None:
        """As the Protocol."""
        self._handed_nusd += allowance.nusd

    async def give_back(self, allowance: Allowance, cost_nusd: int | None) -> None:
        """As the Protocol."""
        self._handed_nusd -= allowance.nusd
        self.spent_nusd += allowance.nusd if cost_nusd is None else cost_nusd
