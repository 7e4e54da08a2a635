"""Sequential tests with one error probability for all of them.

`held`: hypotheses whose order was fixed before any data was seen are tested each at delta, up to the first
that is not rejected. The probability of rejecting a true one is at most delta, however many there are: the
first true one in the order has to be rejected, which happens with probability delta (fixed-sequence testing;
Angelopoulos et al. 2021, "Learn then Test: Calibrating Predictive Algorithms to Achieve Risk Control",
section 4). Nothing is assumed about how the risk varies along the order; a bad order only costs power.

`mean_at_least`: is the mean of bounded values at least a limit? A bet against it gains nothing on average
while it is true; by Markov's inequality the winnings exceed 1/p with probability at most p (Waudby-Smith &
Ramdas 2024, "Estimating means of bounded random variables by betting", section 4.1). Several fixed bets share
one stake, so the result does not depend on the order of the values. For values of 0 and 1 the exact binomial
test is stronger.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import ceil, exp, log, log1p

from farthing.stats.exact_tests import at_most

# Bets as a fraction of the largest that one value cannot ruin.
_PARTS = (0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.5, 0.7, 0.9, 0.99)
_TRUSTED = 0.5  # share of the stake on the bet that was best elsewhere
SAMPLES_MAX = 100_000_000  # more is unrealistic

Counts = Mapping[float, int]
"""Values, with how often each occurred."""


def held(p_values: Iterable[float], delta: float) -> int:
    """The number of hypotheses that are rejected in order, up to the first that is not.

    Reads `p_values` no further than that one.
    """
    count = 0
    for p in p_values:
        if p > delta:
            break
        count += 1
    return count


def mean_at_least(counts: Counts, limit: float, *, top: float, bet: float | None = None) -> float:
    """The p-value of "the mean is at least `limit`", for independent values of at most `top`.

    `bet` was best on values that are not among these (`best_bet`); half the stake goes on it.
    """
    largest = 1 / (top - limit)
    budget = [(part * largest, (1.0 if bet is None else 1 - _TRUSTED) / len(_PARTS)) for part in _PARTS]
    if bet is not None:
        budget.append((bet, _TRUSTED))
    won = [log(share) + _growth(counts, limit, stake) for stake, share in budget]
    most = max(won)
    return exp(-max(0.0, most + log(sum(exp(one - most) for one in won))))


def mean_at_most(counts: Counts, limit: float, *, bottom: float) -> float:
    """The p-value of "the mean is at most `limit`", for independent values of at least `bottom`."""
    return mean_at_least({-value: n for value, n in counts.items()}, -limit, top=-bottom)


def best_bet(counts: Mapping[float, float], limit: float, *, top: float) -> float | None:
    """The bet that gains most on these values; None for no values."""
    if not counts:
        return None
    largest = 1 / (top - limit)
    return max((part * largest for part in _PARTS), key=lambda stake: _growth(counts, limit, stake))


def _growth(counts: Mapping[float, float], limit: float, stake: float) -> float:
    """Logarithm of the wealth from an initial stake of 1."""
    return sum(n * log1p(stake * (limit - value)) for value, n in counts.items())


# -- sample sizes -----------------------------------------------------------------------------------


def needed_binomial(rate: float, limit: float, delta: float) -> int | None:
    """The number of outcomes that shows that a rate of `rate` is within `limit`. None: no number does."""
    if rate >= limit:
        return None
    return _least(lambda n: at_most(ceil(rate * n), n, limit) <= delta)


def needed_betting(counts: Counts, limit: float, delta: float, *, top: float) -> int | None:
    """The number of values, distributed like these, that shows that their mean is within `limit`. None: none
    does."""
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
    """Thresholds, highest first, each of which admits at least a share `step` more of `scores`.

    The last one admits all. The tested scores must not be among `scores`.
    """
    falling = sorted(scores, reverse=True)
    found: list[float] = []
    seen = 0
    for count, score in enumerate(falling, start=1):
        if count < len(falling) and falling[count] == score:
            continue  # equal scores stay together
        if count == len(falling) or count - seen >= step * len(falling):
            found.append(score)
            seen = count
    return tuple(found)
