"""E-processes: evidence from 0/1 outcomes that stays valid when checked after each one. Pure arithmetic.

An outcome is 1 where a stored answer was wrong. Two questions are asked about a sequence of outcomes:

*   `Alarm`: is the rate above `risk_max`? It bets against "each outcome, given all before it, is wrong with
    probability at most `risk_max`": after an outcome x the stake is multiplied by 1 + b (x - risk_max), b >
    0, which gains nothing on average while that holds. So the probability that it ever reaches 1/delta is at
    most delta (Ville), whenever and however often one checks, and outcomes need not be independent.
*   `upper`: how high can the rate be? The same bet with b < 0 against every higher rate; rates against which
    the bet has not won remain possible. This is a confidence sequence: it holds at all times simultaneously.

Betting: Waudby-Smith & Ramdas 2024, "Estimating means of bounded random variables by betting", sections
3-4. Several bets that share one stake (a mixture) need no tuning: ibid. section 4.3, and Ramdas et al.
2023, "Game-theoretic statistics and safe anytime-valid inference". A stake that has lost for weeks on good
outcomes would notice a change late. So the stake is divided over the moments at which a bet may begin, as
in the e-detectors of Shin, Ramdas & Rinaldo 2024, but with shares that add up to one: that keeps Ville's
bound over the whole time, not only a mean time between false alarms.
"""

from collections.abc import Sequence
from math import exp, log

from msgspec import Struct

# Rates that are bet on, as multiples of `risk_max`: from a slight excess to a broken cache.
_TIMES = (1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
_GROSS = 0.5  # an entry or a partition that is clearly wrong
_RATE_MAX = 0.95

# For `upper`: rates bet on, as a fraction of the rate under test, and the share of the stake for each. Half
# of it is on zero, which a good cache shows: 337 right outcomes of 337 give an upper bound of 1 % at 95 %.
_PARTS = ((0.0, 0.5), (0.05, 0.1), (0.2, 0.1), (0.4, 0.1), (0.6, 0.1), (0.8, 0.1))


def alternatives(risk_max: float) -> tuple[float, ...]:
    """The rates that are bet on against `risk_max`; all are above it."""
    rates = {min(risk_max * times, _RATE_MAX) for times in _TIMES} | {_GROSS}
    return tuple(sorted(rate for rate in rates if rate > risk_max)) or ((1 + risk_max) / 2,)


class Alarm(Struct):
    """The bet that a rate is above `risk_max`, over all outcomes so far. Fixed memory."""

    stakes: list[float]
    """For each alternative, the present value of the shares placed so far."""
    tested: int = 0

    @property
    def value(self) -> float:
        """The e-value. Starts at 1; at 1/delta it is an alarm with false-alarm probability delta."""
        return sum(self.stakes) / len(self.stakes) + 1 / (self.tested + 1)  # the last term is not yet placed

    def add(self, wrong: bool, risk_max: float, rates: Sequence[float]) -> None:
        """Place this moment's share, then settle with the outcome. `rates` is `alternatives(risk_max)`."""
        t = self.tested
        share = 1 / ((t + 1) * (t + 2))  # over all t they add up to one; after t of them 1/(t+1) is left
        for i, rate in enumerate(rates):
            factor = rate / risk_max if wrong else (1 - rate) / (1 - risk_max)
            self.stakes[i] = (self.stakes[i] + share) * factor
        self.tested = t + 1


def new_alarm(risk_max: float) -> Alarm:
    return Alarm([0.0] * len(alternatives(risk_max)))


def upper(tested: int, wrong: int, delta: float) -> float:
    """A bound that, with probability 1 - delta, the rate does not exceed; valid after every outcome.

    1.0 before any outcome. It assumes a constant rate: detecting a rise is the alarm's job.
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
    """Whether `upper` is at most `rate`, without computing `upper`."""
    return tested > 0 and wrong < rate * tested and not _lost(rate, tested, wrong, delta)


def _lost(rate: float, tested: int, wrong: int, delta: float) -> bool:
    """Whether the bet against rates of `rate` and above has not reached 1/delta: `rate` remains possible."""
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
