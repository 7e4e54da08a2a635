"""Evidence from 0/1 outcomes that may be looked at after each one: e-processes, pure arithmetic.

An outcome is 1 where a stored answer was wrong. Two questions are asked of a run of them:

*   `Alarm`: is the rate above its budget? A bet against "each outcome, given all before it, is wrong with
    probability at most `budget`": after an outcome x the stake is multiplied by 1 + b (x - budget), b > 0,
    which is no gain on average while that holds. So the chance that it ever reaches 1/delta is at most
    delta (Ville), whenever and however often one looks, and outcomes need not be independent.
*   `upper`: how high may it be? The same bet with b < 0 against every higher rate; what has not been won
    against stays possible. A confidence sequence: its promise holds at all times at once.

Betting: Waudby-Smith & Ramdas 2024, "Estimating means of bounded random variables by betting", sections
3-4. Several bets at once with one budget (a mixture) need no tuning: ibid. section 4.3, and Ramdas et al.
2023, "Game-theoretic statistics and safe anytime-valid inference". A budget that has lost for weeks on good
outcomes would notice a change late; so the budget is divided over the moments at which a bet may begin, as
in the e-detectors of Shin, Ramdas & Rinaldo 2024, but with shares that add up to one: that keeps Ville's
bound over the whole time, not only a mean time between false alarms.
"""

from collections.abc import Sequence
from math import exp, log

from msgspec import Struct

# Rates that are bet on, as multiples of the budget: from a slight excess to a cache gone wrong.
_TIMES = (1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
_GROSS = 0.5  # an entry or a partition that is plainly wrong
_RATE_MAX = 0.95

# For `upper`: rates bet on, as a part of the rate that is doubted, and the share of the budget for each. Half
# of it is on zero, which is what a good cache shows: 337 right ones out of 337 come to 1 % at 95 %.
_PARTS = ((0.0, 0.5), (0.05, 0.1), (0.2, 0.1), (0.4, 0.1), (0.6, 0.1), (0.8, 0.1))


def alternatives(budget: float) -> tuple[float, ...]:
    """The rates that are bet on against `budget`; all are above it."""
    rates = {min(budget * times, _RATE_MAX) for times in _TIMES} | {_GROSS}
    return tuple(sorted(rate for rate in rates if rate > budget)) or ((1 + budget) / 2,)


class Alarm(Struct):
    """The bet that a rate is above `budget`, over all outcomes so far. Fixed memory."""

    stakes: list[float]
    """For each alternative, what the shares placed so far have come to."""
    tested: int = 0

    @property
    def value(self) -> float:
        """The e-value. Starts at 1; at 1/delta it is an alarm with false-alarm probability delta."""
        return sum(self.stakes) / len(self.stakes) + 1 / (self.tested + 1)  # and what is not yet placed

    def add(self, wrong: bool, budget: float, rates: Sequence[float]) -> None:
        """Place this moment's share, then settle with the outcome. `rates` as `alternatives(budget)`."""
        t = self.tested
        share = 1 / ((t + 1) * (t + 2))  # over all t they add up to one; after t of them 1/(t+1) is left
        for i, rate in enumerate(rates):
            factor = rate / budget if wrong else (1 - rate) / (1 - budget)
            self.stakes[i] = (self.stakes[i] + share) * factor
        self.tested = t + 1


def new_alarm(budget: float) -> Alarm:
    return Alarm([0.0] * len(alternatives(budget)))


def upper(tested: int, wrong: int, delta: float) -> float:
    """The rate that, with probability 1 - delta, was not exceeded; it may be asked after every outcome.

    1.0 before any outcome. Holds for a rate that stays the same: one that rises is the alarm's business.
    """
    if tested == 0:
        return 1.0
    low, high = wrong / tested, 1.0
    if _lost(high - 1e-9, tested, wrong, delta):
        return 1.0
    for _ in range(40):
        middle = (low + high) / 2
        if _lost(middle, tested, wrong, delta):
            low = middle
        else:
            high = middle
    return high


def within(tested: int, wrong: int, rate: float, delta: float) -> bool:
    """Whether `upper` is at most `rate`, without finding where it is."""
    return tested > 0 and wrong < rate * tested and not _lost(rate, tested, wrong, delta)


def _lost(rate: float, tested: int, wrong: int, delta: float) -> bool:
    """Whether the bet against rates of `rate` and above has not won 1/delta: `rate` stays possible."""
    if rate <= 0.0:
        return True
    right = tested - wrong
    terms = []
    for part, share in _PARTS:
        if part == 0.0 and wrong:
            continue
        won = right * (log(1 - rate * part) - log(1 - rate)) + (wrong * log(part) if wrong else 0.0)
        terms.append(log(share) + won)
    most = max(terms)
    return most + log(sum(exp(term - most) for term in terms)) < log(1 / delta)
