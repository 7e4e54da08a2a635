"""Tests in a fixed order keep one chance of error for all, and bets on means keep theirs."""

import random
from collections import Counter
from collections.abc import Iterator

import pytest

from farthing.stats import sequential
from farthing.stats.exact_tests import at_most


def test_the_first_that_is_not_rejected_ends_it_and_no_later_one_is_looked_at() -> None:
    looked: list[float] = []

    def p_values() -> Iterator[float]:
        for p in (0.01, 0.1, 0.2, 0.0):
            looked.append(p)
            yield p

    assert sequential.held(p_values(), 0.1) == 2
    assert looked == [0.01, 0.1, 0.2]
    assert sequential.held([], 0.1) == 0 and sequential.held([0.5], 0.1) == 0


def test_however_many_hypotheses_a_true_one_is_rejected_with_chance_delta_at_most() -> None:
    chance = random.Random(1)
    wrong = 0
    for _ in range(1_000):
        draws = [chance.random() for _ in range(200)]  # the same draws at each rate, as with thresholds
        counts = [sum(x < 0.10 + 0.004 * k for x in draws) for k in range(12)]  # the first at the limit
        wrong += sequential.held((at_most(count, 200, 0.10) for count in counts), 0.1) > 0
    assert 0.02 < wrong / 1_000 <= 0.1


@pytest.mark.parametrize(
    "values",
    [
        [(-1.0, 0.1), (0.0, 0.75), (1.0, 0.15)],  # net loss with mean 0.05
        [(0.0, 0.9), (0.5, 0.1)],
        [(0.05, 1.0)],
    ],
)
def test_a_bet_against_a_mean_at_the_limit_seldom_wins(values: list[tuple[float, float]]) -> None:
    chance = random.Random(2)
    population, weights = zip(*values, strict=True)
    wrong = 0
    for _ in range(600):
        counts = Counter(chance.choices(population, weights, k=400))
        wrong += sequential.mean_at_least(counts, 0.05, top=1.0, bet=0.2) <= 0.1
    assert wrong / 600 <= 0.1


def test_a_bet_wins_where_the_mean_is_lower_and_the_more_the_more_is_seen() -> None:
    few = sequential.mean_at_least({0.0: 100, 0.2: 5}, 0.05, top=1.0)
    many = sequential.mean_at_least({0.0: 1_000, 0.2: 50}, 0.05, top=1.0)
    assert many < 0.001 < few < 0.2
    assert sequential.mean_at_least({0.0: 100, 1.0: 90}, 0.05, top=1.0) == 1.0
    assert sequential.mean_at_least({}, 0.05, top=1.0) == pytest.approx(1.0)


def test_a_bet_chosen_elsewhere_wins_more() -> None:
    counts = {-1.0: 60, 0.0: 880, 1.0: 60}
    bet = sequential.best_bet(counts, 0.05, top=1.0)
    assert bet is not None
    assert sequential.mean_at_least(counts, 0.05, top=1.0, bet=bet) < sequential.mean_at_least(
        counts, 0.05, top=1.0
    )
    assert sequential.best_bet({}, 0.05, top=1.0) is None


def test_the_other_side_is_its_mirror() -> None:
    assert sequential.mean_at_most({0.0: 50, 1.0: 50}, 0.05, bottom=0.0) < 1e-6
    assert sequential.mean_at_most({0.0: 100, 1.0: 2}, 0.05, bottom=0.0) > 0.5
    assert sequential.mean_at_most({-1.0: 50, 1.0: 52}, 0.05, bottom=-1.0) > 0.5


def test_as_many_as_are_said_to_be_needed_are_enough_and_one_less_is_not() -> None:
    assert sequential.needed_binomial(0.0, 0.02, 0.1) == 114
    assert at_most(0, 114, 0.02) <= 0.1 < at_most(0, 113, 0.02)
    assert sequential.needed_binomial(0.02, 0.02, 0.1) is None
    seen = {0.0: 95, 0.3: 5}
    needed = sequential.needed_betting(seen, 0.05, 0.1, top=1.0)
    assert needed is not None
    times = needed / 100
    enough = {value: n * times for value, n in seen.items()}
    bet = sequential.best_bet(seen, 0.05, top=1.0)
    assert sequential.mean_at_least(enough, 0.05, top=1.0, bet=bet) <= 0.1  # type: ignore[arg-type]
    assert sequential.needed_betting({0.0: 90, 1.0: 10}, 0.05, 0.1, top=1.0) is None
    assert sequential.needed_betting({}, 0.05, 0.1, top=1.0) is None


def test_a_grid_falls_takes_equal_scores_together_and_ends_with_all() -> None:
    chance = random.Random(3)
    scores = [round(chance.random(), 2) for _ in range(500)]
    grid = sequential.grid(scores, step=0.01)
    assert list(grid) == sorted(set(grid), reverse=True)
    assert grid[-1] == min(scores)
    let_through = [sum(score >= threshold for score in scores) for threshold in grid]
    gains = [b - a for a, b in zip([0, *let_through], let_through, strict=False)]
    assert all(gain >= 5 for gain in gains[:-1]) and let_through[-1] == 500
    assert sequential.grid([], step=0.01) == () and sequential.grid([0.5] * 9, step=0.01) == (0.5,)
