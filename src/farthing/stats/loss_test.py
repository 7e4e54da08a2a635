"""Tests of quality loss: exact if all losses are 0 or 1, otherwise by betting."""

from collections import Counter

import msgspec

from farthing.stats import sequential
from farthing.stats.exact_tests import at_least, at_most
from farthing.stats.exact_tests import upper as upper_binomial


class LossTest(msgspec.Struct, frozen=True):
    """How losses are tested."""

    exact: bool
    """Whether all losses are 0 or 1."""
    bottom: float
    delta: float

    def at_least(self, counts: Counter[float], limit: float, bet: float | None = None) -> float:
        """The p-value of "the mean loss is at least `limit`"."""
        if self.exact:
            return at_most(counts[1.0], counts.total(), limit)
        return sequential.mean_at_least(counts, limit, top=1.0, bet=bet)

    def at_most(self, counts: Counter[float], limit: float) -> float:
        """The p-value of "the mean loss is at most `limit`"."""
        if self.exact:
            return at_least(counts[1.0], counts.total(), limit)
        return sequential.mean_at_most(counts, limit, bottom=self.bottom)

    def needed(self, counts: Counter[float], limit: float) -> int | None:
        """The number of losses, distributed like these, that shows that their mean is within `limit`."""
        if self.exact:
            return sequential.needed_binomial(counts[1.0] / max(1, counts.total()), limit, self.delta)
        return sequential.needed_betting(counts, limit, self.delta, top=1.0)

    def upper(self, counts: Counter[float]) -> float:
        """The upper bound of the mean loss, at the confidence."""
        if self.exact:
            return upper_binomial(int(counts[1.0]), counts.total(), 1 - self.delta)
        low, high = 0.0, 1.0
        for _ in range(30):
            middle = (low + high) / 2
            if middle < 1 and self.at_least(counts, middle) <= self.delta:
                high = middle
            else:
                low = middle
        return high
