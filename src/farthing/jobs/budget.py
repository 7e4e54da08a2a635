"""A budget for background jobs. Strict: allowances never exceed what is left."""

from collections.abc import Callable
from decimal import Decimal

from farthing.errors import BudgetExhausted
from farthing.jobs.spending import DAY_S, SpentFiles

NUSD_PER_USD = 1_000_000_000


class Budget:
    """`usd_max`, in total or per UTC day. Not shared between processes."""

    def __init__(
        self,
        usd_max: Decimal,
        *,
        clock_unix_s: Callable[[], float] | None = None,
        spent: SpentFiles | None = None,
    ) -> None:
        """With `clock_unix_s` the budget is renewed at midnight UTC; without it is for one run. `spent`
        persists the day's spending across restarts (None: it is forgotten at the end of the process)."""
        self.max_nusd = int(usd_max * NUSD_PER_USD)
        self._handed_nusd = 0
        self._clock_unix_s = clock_unix_s
        self._spent = spent
        self._day = self._today()
        self.spent_nusd = 0 if spent is None else spent.begin(self._day)
        """Since midnight or since the start."""

    @property
    def left_nusd(self) -> int:
        """The amount neither spent nor handed out."""
        self._turn_page()
        return max(0, self.max_nusd - self.spent_nusd - self._handed_nusd)

    def resize(self, usd_max: Decimal) -> None:
        """Apply a new maximum; what was spent stays spent."""
        self.max_nusd = int(usd_max * NUSD_PER_USD)

    def take(self, share: int) -> int:
        """Hand out 1/`share` of what is left; `give_back` must follow.

        Raises:
            BudgetExhausted: nothing is left.
        """
        allowance = self.left_nusd // max(1, share)
        if allowance <= 0:
            raise BudgetExhausted(
                f"the {self.max_nusd / NUSD_PER_USD:g} dollars for background jobs are spent"
            )
        self._handed_nusd += allowance
        return allowance

    def hold(self, nusd: int) -> None:
        """Hand out exactly `nusd`, whatever is left, for work in progress; `give_back` must follow."""
        self._handed_nusd += nusd

    def give_back(self, allowance_nusd: int, cost_nusd: int | None) -> None:
        """Settle what `take` handed out. An unknown cost counts as the whole allowance."""
        self._turn_page()
        self._handed_nusd -= allowance_nusd
        cost = allowance_nusd if cost_nusd is None else cost_nusd
        self.spent_nusd += cost
        if self._spent is not None:
            self._spent.add(cost)

    def close(self) -> None:
        """Close the files. Safe to call twice."""
        if self._spent is not None:
            self._spent.close()

    def _turn_page(self) -> None:
        today = self._today()
        if today != self._day:
            self._day = today
            self.spent_nusd = 0 if self._spent is None else self._spent.begin(today)

    def _today(self) -> int:
        return 0 if self._clock_unix_s is None else int(self._clock_unix_s() // DAY_S)
