"""The thresholds of a router, safest first: the loss at each, and whether it is within a limit."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from math import inf

import msgspec

from farthing.guarantees.calibrate import judge_error
from farthing.stats import sequential
from farthing.stats.loss_test import LossTest


class Point(msgspec.Struct, frozen=True):
    """A sample, reduced to its score and loss."""

    score: float
    loss: float
    """If it goes to the cheap tier."""
    segments: tuple[str, ...]
    kept: bool
    """One of its segments is excluded, so it never goes to the cheap tier."""
    label: float | None = None
    """The loss according to people; None: not labelled."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One threshold of the grid."""

    threshold: float | None
    """None: everything goes to the expensive tier."""
    cheap_share: float
    lost: float
    p_value: float | None
    """None: not tested, because an earlier threshold ended the sequence."""
    result: str
    """`holds`, `not shown` or `not tested`."""


def counted(points: Sequence[Point], threshold: float) -> Counter[float]:
    """The losses at a threshold, with how often each occurred."""
    return Counter(one.loss if one.score >= threshold and not one.kept else 0.0 for one in points)


def total(counts: Counter[float]) -> float:
    return sum(value * n for value, n in counts.items())


Walked = tuple[Step, Counter[float]]
"""A threshold, and the losses at it."""


def walk(
    tested: Sequence[Point], train: Sequence[Point], grid: Sequence[float], limit: float, test: LossTest
) -> list[Walked]:
    """All thresholds, safest first; the first at which a mean loss under `limit` is not shown ends the
    tests."""
    at = list(_falling(tested, grid))
    bets: Iterable[float | None] = repeat(None)
    if not test.exact:
        bets = (sequential.best_bet(counts, limit, top=1.0) for _, counts in _falling(train, grid))
    in_turn = (test.at_least(counts, limit, bet) for (_, counts), bet in zip(at, bets, strict=False))
    return _tested_in_turn(in_turn, at, grid, len(tested), test.delta)


def walk_labelled(
    tested: Sequence[Point], train: Sequence[Point], grid: Sequence[float], limit: float, test: LossTest
) -> list[Walked]:
    """Like `walk`, for the loss according to people."""

    def in_turn() -> Iterator[float]:
        for threshold in (inf, *grid):
            seen = _losses(train, threshold)
            plan = judge_error.planned(seen, limit, test)
            bet = None if test.exact or plan.bias is None else _bet(seen.judged, limit - plan.bias)
            yield judge_error.p_value(_losses(tested, threshold), limit, plan, test, bet)

    return _tested_in_turn(in_turn(), list(_falling(tested, grid)), grid, len(tested), test.delta)


def _bet(counts: Counter[float], limit: float) -> float | None:
    return sequential.best_bet(counts, limit, top=1.0)


def _losses(points: Sequence[Point], threshold: float) -> judge_error.Losses:
    """The losses at a threshold, according to the judge and according to people."""
    people: Counter[float] = Counter()
    differences: Counter[float] = Counter()
    for one in points:
        if one.label is not None:
            cheap = one.score >= threshold and not one.kept
            people[one.label if cheap else 0.0] += 1
            differences[one.label - one.loss if cheap else 0.0] += 1
    return judge_error.Losses(counted(points, threshold), people, differences)


def _tested_in_turn(
    in_turn: Iterator[float],
    at: Sequence[tuple[int, Counter[float]]],
    grid: Sequence[float],
    n: int,
    delta: float,
) -> list[Walked]:
    """All thresholds with their losses, and the test results up to the first that is not shown."""
    p_values: list[float] = []

    def noted() -> Iterator[float]:
        for p in in_turn:
            p_values.append(p)
            yield p

    shown = sequential.held(noted(), delta)
    found = []
    for index, (threshold, (went, counts)) in enumerate(zip((None, *grid), at, strict=True)):
        was_tested = index < len(p_values)
        step = Step(
            threshold=threshold,
            cheap_share=went / n if n else 0.0,
            lost=total(counts),
            p_value=p_values[index] if was_tested else None,
            result="holds" if index < shown else "not shown" if was_tested else "not tested",
        )
        found.append((step, counts))
    return found


def _falling(points: Sequence[Point], grid: Sequence[float]) -> Iterator[tuple[int, Counter[float]]]:
    """For all-expensive, then for each threshold: the number of cheap requests, and all losses."""
    ranked = sorted((one for one in points if not one.kept), key=lambda one: -one.score)
    counts = Counter({0.0: len(points)})
    went = 0
    yield went, Counter(counts)
    for threshold in grid:
        while went < len(ranked) and ranked[went].score >= threshold:
            counts[0.0] -= 1
            counts[ranked[went].loss] += 1
            went += 1
        yield went, Counter(counts)
