"""Exact binomial and related probabilities, with the standard library only."""

from collections.abc import Callable
from functools import lru_cache
from math import comb, exp, lgamma, log, log1p


def at_most(count: int, of: int, rate: float) -> float:
    """Probability of at most `count` of `of` at `rate` (binomial)."""
    if count >= of or rate <= 0.0:
        return 1.0
    if count < 0 or rate >= 1.0:
        return 0.0
    return _beta_share(1.0 - rate, of - count, count + 1)


def at_least(count: int, of: int, rate: float) -> float:
    """Probability of at least `count` of `of` at `rate` (binomial)."""
    if count <= 0 or rate >= 1.0:
        return 1.0
    if count > of or rate <= 0.0:
        return 0.0
    return _beta_share(rate, count, of - count + 1)


def upper(count: int, of: int, confidence: float) -> float:
    """The upper bound of a rate at `confidence` (Clopper & Pearson 1934, one-sided). 1.0 for no trials."""
    if of == 0 or count >= of:
        return 1.0
    return _root(lambda rate: at_most(count, of, rate), 1 - confidence)


def interval(count: int, of: int, confidence: float = 0.95) -> tuple[float, float] | None:
    """Both bounds of a rate at `confidence` (Clopper & Pearson 1934, two-sided); None for no trials."""
    if of == 0:
        return None
    side = (1 - confidence) / 2
    low = 0.0 if count == 0 else _root(lambda rate: -at_least(count, of, rate), -side)
    return low, upper(count, of, 1 - side)


@lru_cache(maxsize=4_096)
def needed(wrong: int, rate: float, confidence: float) -> int:
    """The number of trials for which `upper` is at most `rate`, with `wrong` of them wrong."""
    low, high = wrong, wrong + 1
    while upper(wrong, high, confidence) > rate:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        if upper(wrong, middle, confidence) > rate:
            low = middle
        else:
            high = middle
    return high


def fewer_by_chance(count: int, of: int, before: int, of_before: int) -> float:
    """Probability of at most `count` of `of`, if they were drawn from the same population as `before` of
    `of_before` (Fisher's exact test, one-sided). 1.0 if there is nothing to compare."""
    if not of or not of_before:
        return 1.0
    marked, drawn, whole = count + before, of, of + of_before
    lowest = max(0, drawn - (whole - marked))
    log_all = _log_comb(whole, drawn)
    return min(
        1.0,
        sum(
            exp(_log_comb(marked, k) + _log_comb(whole - marked, drawn - k) - log_all)
            for k in range(lowest, count + 1)
        ),
    )


def chi_square_over(statistic: float, freedom: int) -> float:
    """Probability that a chi-square variable of `freedom` degrees is at least `statistic`."""
    if statistic <= 0.0 or freedom < 1:
        return 1.0
    a, x = freedom / 2, statistic / 2
    return 1.0 - _gamma_low(a, x) if x < a + 1 else _gamma_high(a, x)


def _gamma_low(a: float, x: float) -> float:
    """The regularised lower incomplete gamma function, by its series (Numerical Recipes, section 6.2)."""
    term = total = 1.0 / a
    for n in range(1, 10_000):
        term *= x / (a + n)
        total += term
        if term < total * 1e-15:
            break
    return total * exp(-x + a * log(x) - lgamma(a))


def _gamma_high(a: float, x: float) -> float:
    """The regularised upper incomplete gamma function, by its continued fraction."""
    b = x + 1.0 - a
    c = 1e300
    d = 1.0 / b
    value = d
    for n in range(1, 10_000):
        numerator = -n * (n - a)
        b += 2.0
        d = 1.0 / _floored(numerator * d + b)
        c = _floored(b + numerator / c)
        value *= d * c
        if abs(d * c - 1.0) < 1e-14:
            break
    return exp(-x + a * log(x) - lgamma(a)) * value


def _log_comb(n: int, k: int) -> float:
    return log(comb(n, k)) if n < 60 else lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def _root(falling: Callable[[float], float], wanted: float) -> float:
    """The argument in [0, 1] at which a falling function reaches `wanted`."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if falling(middle) > wanted:
            low = middle
        else:
            high = middle
    return high


def _beta_share(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b), 0 < x < 1, by its continued fraction with
    Lentz's method (Press et al., Numerical Recipes, section 6.4)."""
    if x > (a + 1) / (a + b + 2):
        return 1.0 - _beta_share(1.0 - x, b, a)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x)) / a
    c, d = 1.0, _floored(1.0 - (a + b) * x / (a + 1))
    value = d = 1.0 / d
    for m in range(1, 10_000):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 / _floored(1.0 + numerator * d)
            c = _floored(1.0 + numerator / c)
            value *= d * c
        if abs(d * c - 1.0) < 1e-14:
            break
    return min(1.0, front * value)


def _floored(value: float) -> float:
    return value if abs(value) > 1e-300 else 1e-300
