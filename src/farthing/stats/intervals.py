"""Means, shares and quantiles with 95 % intervals, and differences of two of them.

A share, or a mean of zeros and ones, has the exact interval (Clopper & Pearson 1934), another mean that of
the normal approximation, a quantile that between order statistics. The interval of a difference is computed
from the two intervals (MOVER: Zou & Donner 2008, section 2), whatever their kind.
"""

from collections.abc import Sequence
from math import ceil, floor, sqrt

import msgspec

from farthing.stats.exact_tests import interval

Z95 = 1.959964


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """One figure; None without data; the bounds are None if there is too little data."""

    n: int
    value: float | None
    low: float | None
    high: float | None


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One figure minus the same figure of another group."""

    value: float | None
    low: float | None
    high: float | None
    verdict: str
    """`lower`, `higher` or `not shown`: zero is within the interval."""
    more_needed: int | None
    """With `not shown`: further requests of both groups together that would show a difference of this size;
    None: no difference was seen, or there is too little data."""


NOTHING = Measure(n=0, value=None, low=None, high=None)


def mean(values: Sequence[float]) -> Measure:
    n = len(values)
    if n == 0:
        return NOTHING
    if all(value in (0.0, 1.0) for value in values):
        return share(round(sum(values)), n)
    value = sum(values) / n
    if n == 1:
        return Measure(n=n, value=value, low=None, high=None)
    margin = Z95 * sqrt(sum((one - value) ** 2 for one in values) / (n - 1) / n)
    return Measure(n=n, value=value, low=value - margin, high=value + margin)


def share(count: int, of: int) -> Measure:
    bounds = interval(count, of)
    if bounds is None:
        return NOTHING
    return Measure(n=of, value=count / of, low=bounds[0], high=bounds[1])


def quantile(values: Sequence[float], at: float) -> Measure:
    n = len(values)
    if n == 0:
        return NOTHING
    ordered = sorted(values)
    value = ordered[max(0, ceil(at * n) - 1)]
    spread = Z95 * sqrt(n * at * (1 - at))
    low, high = floor(n * at - spread), ceil(n * at + spread)
    if low < 0 or high > n - 1:
        return Measure(n=n, value=value, low=None, high=None)
    return Measure(n=n, value=value, low=ordered[low], high=ordered[high])


def difference(one: Measure, other: Measure) -> Difference:
    """`one` minus `other`, which were measured on different requests."""
    if one.value is None or other.value is None:
        return Difference(value=None, low=None, high=None, verdict="not shown", more_needed=None)
    value = one.value - other.value
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return Difference(value=value, low=None, high=None, verdict="not shown", more_needed=None)
    below = sqrt((one.value - one.low) ** 2 + (other.high - other.value) ** 2)
    above = sqrt((one.high - one.value) ** 2 + (other.value - other.low) ** 2)
    return _difference_of(value, value - below, value + above, one.n + other.n)


def paired(values: Sequence[float]) -> Difference:
    """The mean of differences that were each measured on the same request."""
    n = len(values)
    if n < 2:
        return Difference(
            value=values[0] if values else None, low=None, high=None, verdict="not shown", more_needed=None
        )
    value = sum(values) / n
    # One more value of the largest size is added each way: otherwise equal values, such as all 0, would be
    # certain.
    largest = max(map(abs, values)) or 1.0
    spread = sum((one - value) ** 2 for one in values) + 2 * largest**2
    margin = Z95 * sqrt(spread / (n + 1) / (n + 2))
    return _difference_of(value, value - margin, value + margin, n)


def _difference_of(value: float, low: float, high: float, n: int) -> Difference:
    if low > 0 or high < 0:
        verdict = "higher" if low > 0 else "lower"
        return Difference(value=value, low=low, high=high, verdict=verdict, more_needed=None)
    more = None
    if value:
        needed = n * ((value - low if value > 0 else high - value) / abs(value)) ** 2
        more = max(1, ceil(needed - n))
    return Difference(value=value, low=low, high=high, verdict="not shown", more_needed=more)
