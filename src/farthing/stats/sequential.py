"""Tests one after another, with one chance of error for all of them, and what each of them may be.

`held`: hypotheses that were put in an order before anybody looked are tested each at delta, up to the first
that is not rejected. The chance that a true one is among the rejected is at most delta, however many there
are: the first true one in the order has to be rejected, and that happens with chance delta (fixed-sequence
testing; Angelopoulos et al. 2021, "Learn then Test: Calibrating Predictive Algorithms to Achieve Risk
Control", section 4). Nothing is assumed of how the risk runs along the order; a bad order costs power alone.

`mean_at_least`: is the mean of bounded values at least so much? A bet against it that is no gain on average
while it is true; by Markov's inequality the winnings are over 1/p with chance at most p (Waudby-Smith &
Ramdas 2024, "Estimating means of bounded random variables by betting", section 4.1). Several fixed bets
share one budget, so the outcome does not depend on the order of the values. For values of 0 and 1 the exact
binomial test is sharper.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import ceil, exp, log, log1p

from farthing.stats.exact_tests import at_most

# Bets as a part of the largest that cannot be ruined by one value.
_PARTS = (0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.5, 0.7, 0.9, 0.99)
_TRUSTED = 0.5  # share of the budget on the bet that was best elsewhere
SAMPLES_MAX = 100_000_000  # nobody collects more

Counts = Mapping[float, int]
"""Values, and how often each was seen."""


def held(p_values: Iterable[float], delta: float) -> int:
    """How many of the first hypotheses are rejected in turn, up to the first that is not.

    `p_values` are read no further than that one.
    """
    count = 0
    for p in p_values:
        if p > delta:
            break
        count += 1
    return count


def mean_at_least(counts: Counts, limit: float, *, top: float, bet: float | None = None) -> float:
    """The p-value of "the mean is at least `limit`", of independent values that are at most `top`.

    `bet` is one that did best on values that are not among these (`best_bet`); half the budget goes there.
    """
    largest = 1 / (top - limit)
    budget = [(part * largest, (1.0 if bet is None else 1 - _TRUSTED) / len(_PARTS)) for part in _PARTS]
    if bet is not None:
        budget.append((bet, _TRUSTED))
    won = [log(share) + _growth(counts, limit, stake) for stake, share in budget]
    most = max(won)
    return exp(-max(0.0, most + log(sum(exp(one - most) for one in won))))


def mean_at_most(counts: Counts, limit: float, *, bottom: float) -> float:
    """The p-value of "the mean is at most `limit`", of independent values that are at least `bottom`."""
    return mean_at_least({-value: n for value, n in counts.items()}, -limit, top=-bottom)


def best_bet(counts: Mapping[float, float], limit: float, *, top: float) -> float | None:
    """The bet that gains most on these values; None of none."""
    if not counts:
        return None
    largest = 1 / (top - limit)
    return max((part * largest for part in _PARTS), key=lambda stake: _growth(counts, limit, stake))


def _growth(counts: Mapping[float, float], limit: float, stake: float) -> float:
    """Logarithm of what a budget of 1 has come to."""
    return sum(n * log1p(stake * (limit - value)) for value, n in counts.items())


# -- how many it takes ------------------------------------------------------------------------------


def needed_binomial(rate: float, limit: float, delta: float) -> int | None:
    """How many outcomes show that a rate of `rate` is within `limit`. None: no number does."""
    if rate >= limit:
        return None
    return _least(lambda n: at_most(ceil(rate * n), n, limit) <= delta)


def needed_betting(counts: Counts, limit: float, delta: float, *, top: float) -> int | None:
    """How many values spread as these show that their mean is within `limit`. None: no number does."""
    seen = sum(counts.values())
    bet = best_bet(counts, limit, top=top)
    if bet is None or not seen:
        return None
    gain = _growth(counts, limit, bet) / seen
    if gain <= 0:
        return None
    n = ceil((log(1 / delta) - log(_TRUSTED)) / gain)
    return n if n <= SAMPLES_MAX else None


def _least(enough: Callable[[int], bool]) -> int | None:
    low, high = 0, 1
    while not enough(high):
        low, high = high, high * 2
        if high > SAMPLES_MAX:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        if enough(middle):
            high = middle
        else:
            low = middle
    return high


# -- the grid ---------------------------------------------------------------------------------------


def grid(scores: Sequence[float], *, step: float) -> tuple[float, ...]:
    """Thresholds that let through ever more of `scores`, by at least `step` of them each, highest first.

    The last lets through all of them. For scores that are not among those which are tested at it.
    """
    falling = sorted(scores, reverse=True)
    found: list[float] = []
    seen = 0
    for count, score in enumerate(falling, start=1):
        if count < len(falling) and falling[count] == score:
            continue  # equal scores go together
        if count == len(falling) or count - seen >= step * len(falling):
            found.append(score)
            seen = count
    return tuple(found)
