"""Exact probabilities are exact."""

import random
from fractions import Fraction
from math import comb, isclose

import pytest

from farthing.stats.exact_tests import at_least, at_most, fewer_by_chance, interval, needed, upper


def binomial(count: int, of: int, rate: Fraction) -> float:
    return float(sum(comb(of, k) * rate**k * (1 - rate) ** (of - k) for k in range(count + 1)))


def test_tails_are_those_of_the_sum_in_fractions() -> None:
    chance = random.Random(1)
    for _ in range(200):
        of = chance.randint(1, 80)
        count = chance.randint(0, of)
        rate = Fraction(chance.randint(1, 999), 1_000)
        assert isclose(at_most(count, of, float(rate)), binomial(count, of, rate), rel_tol=1e-9)
        upside = 1 - binomial(count - 1, of, rate) if count else 1.0
        assert isclose(at_least(count, of, float(rate)), upside, rel_tol=1e-9, abs_tol=1e-12)


def test_nothing_wrong_in_299_is_one_percent_at_95() -> None:
    assert upper(0, 299, 0.95) <= 0.01 < upper(0, 298, 0.95)
    assert (needed(0, 0.01, 0.95), needed(0, 0.05, 0.95)) == (299, 59)
    for wrong in (1, 7, 60):
        n = needed(wrong, 0.02, 0.9)
        assert upper(wrong, n, 0.9) <= 0.02 < upper(wrong, n - 1, 0.9)


def test_the_interval_is_that_of_the_books() -> None:
    low, high = interval(2, 100) or (0.0, 0.0)
    assert (round(low, 5), round(high, 5)) == (0.00243, 0.07038)
    assert interval(0, 0) is None and upper(0, 0, 0.95) == 1.0
    assert list(interval(0, 10) or ()) == [0.0, pytest.approx(0.30850, abs=1e-5)]
    assert list(interval(10, 10) or ()) == [pytest.approx(0.69150, abs=1e-5), 1.0]


def test_the_interval_covers_the_true_rate_as_often_as_it_says() -> None:
    chance, covered = random.Random(2), 0
    for _ in range(300):
        low, high = interval(sum(chance.random() < 0.04 for _ in range(150)), 150) or (1.0, 0.0)
        covered += low <= 0.04 <= high
    assert covered >= 279  # 95 % of 300 are 285; fewer than 279 has a chance under 5 %


def test_large_counts_neither_overflow_nor_lose_their_digits() -> None:
    assert isclose(at_most(500_000, 1_000_000, 0.5), 0.5, abs_tol=1e-3)
    assert 0.00040 < upper(30, 100_000, 0.95) < 0.00041
    assert at_most(0, 1_000_000, 0.01) < 1e-300


def test_fishers_test_is_the_share_of_draws_that_are_no_better() -> None:
    assert isclose(fewer_by_chance(0, 4, 4, 4), 1 / comb(8, 4))
    assert isclose(fewer_by_chance(1, 4, 3, 4), (1 + 16) / comb(8, 4))
    assert isclose(fewer_by_chance(4, 4, 0, 4), 1.0)
    assert fewer_by_chance(0, 0, 5, 9) == fewer_by_chance(3, 9, 0, 0) == 1.0
