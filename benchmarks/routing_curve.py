"""What a score is worth to a router: the arithmetic of `benchmarks.routing`.

After RouteLLM (Ong et al. 2024, arXiv 2406.18665, section 2.2). A router sends the share c of the questions
with the highest scores to the strong model. PGR(c), the performance gap recovered, is the quality reached
less the weak model's, as a share of the strong model's less the weak's. APGR is the mean of PGR over all
c from 0 to 1: 0.5 for a router that draws lots. CPT(x) is the least c at which PGR reaches x. They take the
mean at ten places; here it is taken at all.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Numbers: TypeAlias = NDArray[Any]
NAMES = ("apgr", "cpt50", "cpt80")


def recovered(score: Numbers, gain: Numbers) -> Numbers:
    """PGR after 0, 1, .. n questions went to the strong model, highest scores first.

    `gain` is the strong model's outcome less the weak's. Questions of equal score count alike: what an order
    drawn by lot would give on average. NaN where the two models are equally good.
    """
    n = len(score)
    order = np.argsort(-score, kind="stable")
    _, first, counts = np.unique(-score[order], return_index=True, return_counts=True)
    means = np.add.reduceat(gain[order].astype(np.float64), first) / counts
    total = float(gain.sum())
    if total == 0:
        return np.full(n + 1, np.nan)
    found: Numbers = np.concatenate([[0.0], np.cumsum(np.repeat(means, counts))]) / total
    return found


def apgr(score: Numbers, gain: Numbers) -> float:
    """Area under PGR over the share of strong calls."""
    curve = recovered(score, gain)
    return float(((curve[1:] + curve[:-1]) / 2).mean())


def calls_to_recover(score: Numbers, gain: Numbers, share: float) -> float:
    """CPT: the least share of strong calls that recovers `share` of the gap."""
    return _first(recovered(score, gain), share) / len(score)


def _first(curve: Numbers, share: float) -> int:
    """The first place at which `curve` reaches `share`; its last where it never does."""
    reached = curve >= share - 1e-12
    return int(reached.argmax()) if reached.any() else len(curve) - 1


def quality(score: Numbers, weak: Numbers, strong: Numbers) -> Numbers:
    """Mean outcome after 0, 1, .. n questions went to the strong model."""
    gain = strong - weak
    total = float(gain.sum())
    if total == 0:
        return np.full(len(score) + 1, float(weak.mean()))
    found: Numbers = weak.mean() + recovered(score, gain) * total / len(score)
    return found


def cost(score: Numbers, weak_cost: Numbers, strong_cost: Numbers) -> Numbers:
    """Mean cost after 0, 1, .. n questions went to the strong model."""
    order = np.argsort(-score, kind="stable")
    more = np.cumsum((strong_cost - weak_cost)[order])
    found: Numbers = (weak_cost.sum() + np.concatenate([[0.0], more])) / len(score)
    return found


def calls_at(score: Numbers, weak: Numbers, strong: Numbers, share: float) -> int:
    """How many strong calls reach `share` of the strong model's quality."""
    return _first(quality(score, weak, strong), share * float(strong.mean()))


def interval(
    scores: Sequence[Numbers], gain: Numbers, *, draws: int = 1_000, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """95 % intervals of the mean of `apgr`, `cpt50` and `cpt80` over `scores`, by drawing questions again
    with replacement."""
    chance = np.random.default_rng(seed)
    found: list[tuple[float, float, float]] = []
    for _ in range(draws):
        rows = chance.integers(0, len(gain), len(gain))
        drawn = gain[rows]
        if drawn.sum() > 0:  # where the strong model is not better there is no gap to recover
            found.append(means([score[rows] for score in scores], drawn))
    columns = zip(*found, strict=True) if found else ((), (), ())
    return {name: _middle(list(values)) for name, values in zip(NAMES, columns, strict=True)}


def means(scores: Sequence[Numbers], gain: Numbers) -> tuple[float, float, float]:
    """APGR, CPT(50%) and CPT(80%), each the mean over `scores`."""
    curves = [recovered(score, gain) for score in scores]
    n = len(gain)
    areas = [float(((curve[1:] + curve[:-1]) / 2).mean()) for curve in curves]
    halves, most = ([_first(curve, share) / n for curve in curves] for share in (0.5, 0.8))
    return sum(areas) / len(areas), sum(halves) / len(halves), sum(most) / len(most)


def random_band(gain: Numbers, *, draws: int = 1_000, seed: int = 1) -> tuple[float, float]:
    """Where 95 % of the APGR of routers lie that draw lots."""
    chance = np.random.default_rng(seed)
    return _middle([apgr(chance.random(len(gain)), gain) for _ in range(draws)])


def _middle(values: list[float]) -> tuple[float, float]:
    if not values:
        return (float("nan"), float("nan"))
    low, high = np.percentile(values, [2.5, 97.5])
    return (float(low), float(high))
