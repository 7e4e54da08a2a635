"""Which questions are worth answering ahead. Pure: counts and costs in, a plan out.

The worth of an answer is what the asks expected until the next run would have cost, times the probability
that the cache answers them, less what answering costs now. The asks to come are estimated from those
counted, shrunk towards what all questions do: the few that were asked most in one week are, on average,
asked less in the next (Robbins, "An empirical Bayes approach to statistics", 1956; here with the gamma prior
that the counts themselves suggest, whose predictive distribution is negative binomial).
"""

import math
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

Why = Literal["asked", "expiring", "listed"]
SURE_Z = 2.6  # wider than the 1.96 of 95 %: the prior is itself estimated; see `test_plan.py`


class Candidate(Struct, frozen=True, kw_only=True):
    """A question that might be answered ahead."""

    key: str
    """Equal for what must be answered only once."""
    endpoint: str
    question: str
    why: Why
    asks: int | None
    """Times it was asked in the span that was counted; None: nobody counted (a listed one)."""
    cost_nusd: int | None
    """What answering it once costs; None when unknown."""
    hit_probability: float
    """That the cache answers it when it is asked and its answer is there."""


class Planned(Struct, frozen=True, kw_only=True):
    """A question that is going to be answered. What is unknown is None."""

    candidate: Candidate
    asks: float | None
    """Expected until the next run."""
    cost_nusd: int | None
    saving_nusd: float | None
    """What the expected asks would cost a model, times the probability of a hit, less the cost now."""


class Plan(Struct, frozen=True, kw_only=True):
    """What to answer, in this order."""

    questions: tuple[Planned, ...]
    cost_nusd: int
    """Of those whose cost is known."""
    saving_nusd: int
    """Expected, net of the cost; of those that were counted."""
    saving_low_nusd: int
    saving_high_nusd: int
    """95 % of outcomes lie between, if the questions go on to be asked as they were."""
    first_asks: float
    """Questions that are expected to be asked at least once: so many people need not wait for a model."""
    unknown: int
    """Planned questions whose cost or asks nobody knows; they are in no sum of money saved."""
    left_out: dict[str, int]
    """Reason to number of questions."""


class Prior(Struct, frozen=True):
    """A gamma distribution of how often a question is asked in one span."""

    shape: float
    rate: float

    def expected(self, asks: int) -> float:
        """Asks in a further span of one that was asked `asks` times."""
        return (self.shape + asks) / (self.rate + 1)

    def variance(self, asks: int, spans: float) -> float:
        """Of the asks in `spans` further spans: of the rate, and of the asks at that rate."""
        return self.expected(asks) * spans * (1 + spans / (self.rate + 1))

    def none(self, asks: int, spans: float) -> float:
        """Probability that it is not asked at all in `spans` further spans."""
        return math.pow((self.rate + 1) / (self.rate + 1 + spans), self.shape + asks)


def prior_of(counts: Sequence[int]) -> Prior:
    """The gamma distribution with the mean and the variance that `counts` suggest.

    Those that were not asked at all are missing from `counts`, or some are; how many there are is told by
    those asked once and twice (Chao, "Nonparametric estimation of the number of classes in a population",
    1984, eq. 7). Counts that vary no more than chance alone makes them give a narrow one; fewer than two
    give one that knows nothing (Jeffreys' prior).
    """
    if len(counts) < 2 or not any(counts):
        return Prior(0.5, 0.0)
    once, twice = counts.count(1), counts.count(2)
    unseen = max(0.0, once * (once - 1) / (2 * (twice + 1)) - counts.count(0))
    total = len(counts) + unseen
    mean = sum(counts) / total
    square = sum((count - mean) ** 2 for count in counts) + unseen * mean**2
    excess = square / (total - 1) - mean
    rate = mean / max(excess, mean / 100)  # a prior is never worth more than a hundred spans
    return Prior(mean * rate, rate)


def plan(
    candidates: Sequence[Candidate],
    *,
    counts: Sequence[int],
    spans: float,
    budget_nusd: int,
    questions_max: int,
    seen_min: int,
) -> Plan:
    """Choose among `candidates`.

    `counts` has the asks of every question of the span, candidates or not; `spans` is the time until the
    next run in units of it. Listed questions come first, in their order: somebody wants them. The others
    follow by expected saving for each dollar, those that save nothing not at all.
    """
    prior = prior_of(counts)
    left_out: dict[str, int] = {}

    def leave_out(reason: str) -> None:
        left_out[reason] = left_out.get(reason, 0) + 1

    listed: list[Planned] = []
    worth: list[Planned] = []
    seen: set[str] = set()
    for candidate in candidates:
        if candidate.key in seen:
            leave_out("named twice")
            continue
        seen.add(candidate.key)
        one = _valued(candidate, prior, spans)
        if candidate.why == "listed":
            listed.append(one)
        elif candidate.asks is None or candidate.asks < seen_min:
            leave_out("asked too seldom")
        elif one.saving_nusd is None:
            leave_out("price unknown")
        elif one.saving_nusd <= 0:
            leave_out("not worth its cost")
        else:
            worth.append(one)
    worth.sort(key=_worth, reverse=True)
    chosen: list[Planned] = []
    cost_nusd = 0
    for one in (*listed, *worth):
        if len(chosen) >= questions_max:
            leave_out("over questions_max")
        elif cost_nusd + (one.cost_nusd or 0) > budget_nusd:
            leave_out("over usd_max")
        else:
            chosen.append(one)
            cost_nusd += one.cost_nusd or 0
    return _summed(chosen, cost_nusd, left_out, prior, spans)


def _valued(candidate: Candidate, prior: Prior, spans: float) -> Planned:
    asks = None if candidate.asks is None else prior.expected(candidate.asks) * spans
    cost_nusd = candidate.cost_nusd
    saving = None
    if asks is not None and cost_nusd is not None:
        saving = asks * cost_nusd * candidate.hit_probability - cost_nusd
    return Planned(candidate=candidate, asks=asks, cost_nusd=cost_nusd, saving_nusd=saving)


def _worth(one: Planned) -> tuple[float, str]:
    """Saving for each dollar: the best order to fill a budget in; names settle what is equal."""
    return (one.saving_nusd or 0.0) / max(1, one.cost_nusd or 1), one.candidate.key


def _summed(
    chosen: list[Planned], cost_nusd: int, left_out: dict[str, int], prior: Prior, spans: float
) -> Plan:
    saving = variance = first_asks = 0.0
    unknown = 0
    for one in chosen:
        asked = one.candidate.asks
        if one.saving_nusd is None or asked is None or one.cost_nusd is None:
            unknown += 1
            continue
        probability = one.candidate.hit_probability
        each = one.cost_nusd * probability
        saving += one.saving_nusd
        # of each ask, whether it hits is a draw of its own
        asks = prior.expected(asked) * spans
        variance += each**2 * prior.variance(asked, spans)
        variance += one.cost_nusd**2 * probability * (1 - probability) * asks
        first_asks += 1 - prior.none(asked, spans)
    off = SURE_Z * math.sqrt(variance)
    return Plan(
        questions=tuple(chosen),
        cost_nusd=cost_nusd,
        saving_nusd=round(saving),
        saving_low_nusd=round(saving - off),
        saving_high_nusd=round(saving + off),
        first_asks=first_asks,
        unknown=unknown,
        left_out=left_out,
    )
