"""Which questions are worth answering in advance. Pure: counts and costs in, a plan out.

The value of an answer is the cost of the asks expected until the next run, times the probability that the
cache answers them, minus the cost of answering now. Future asks are estimated from the counts, shrunk towards
the mean of all questions: the few that were asked most in one week are, on average, asked less in the next
(Robbins, "An empirical Bayes approach to statistics", 1956; here with the gamma prior that the counts
themselves suggest, whose predictive distribution is negative binomial).
"""

import math
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

Why = Literal["asked", "expiring", "listed"]
SURE_Z = 2.6  # wider than the 1.96 of 95 %: the prior is itself estimated; see `test_plan.py`


class Candidate(Struct, frozen=True, kw_only=True):
    """A question that may be answered in advance."""

    key: str
    """Equal for questions that need only one answer."""
    endpoint: str
    question: str
    why: Why
    asks: int | None
    """Asks in the counted span; None: not counted (a listed question)."""
    cost_nusd: int | None
    """Cost of one answer; None: unknown."""
    hit_probability: float
    """The probability that the cache answers it when it is asked and its answer is stored."""


class Planned(Struct, frozen=True, kw_only=True):
    """A question that will be answered. Unknown values are None."""

    candidate: Candidate
    asks: float | None
    """Expected asks until the next run."""
    cost_nusd: int | None
    saving_nusd: float | None
    """Cost of the expected asks at a model, times the probability of a hit, minus the cost now."""


class Plan(Struct, frozen=True, kw_only=True):
    """The questions to answer, in this order."""

    questions: tuple[Planned, ...]
    cost_nusd: int
    """Total of the known costs."""
    saving_nusd: int
    """Expected, net of the cost, for the counted questions."""
    saving_low_nusd: int
    saving_high_nusd: int
    """With `saving_low_nusd`, the bounds of 95 % of outcomes, if the questions keep being asked as before."""
    first_asks: float
    """Number of questions expected to be asked at least once: that many first askers need not wait for a
    model."""
    unknown: int
    """Planned questions of unknown cost or asks; no saving counts them."""
    left_out: dict[str, int]
    """Reason to number of questions."""


class Prior(Struct, frozen=True):
    """A gamma distribution of the number of asks of a question in one span."""

    shape: float
    rate: float

    def expected(self, asks: int) -> float:
        """Expected asks in one more span, for a question with `asks` so far."""
        return (self.shape + asks) / (self.rate + 1)

    def variance(self, asks: int, spans: float) -> float:
        """Variance of the asks in `spans` more spans: from the rate, and from the asks at that rate."""
        return self.expected(asks) * spans * (1 + spans / (self.rate + 1))

    def none(self, asks: int, spans: float) -> float:
        """Probability of no ask in `spans` more spans."""
        return math.pow((self.rate + 1) / (self.rate + 1 + spans), self.shape + asks)


def prior_of(counts: Sequence[int]) -> Prior:
    """The gamma distribution with the mean and the variance that `counts` suggest.

    Questions that were never asked are missing from `counts`, or some are; the numbers of those asked once
    and twice estimate how many (Chao, "Nonparametric estimation of the number of classes in a population",
    1984, eq. 7). Counts that vary no more than by chance give a narrow distribution; fewer than two counts
    give an uninformative one (Jeffreys' prior).
    """
    if len(counts) < 2 or not any(counts):
        return Prior(0.5, 0.0)
    once, twice = counts.count(1), counts.count(2)
    unseen = max(0.0, once * (once - 1) / (2 * (twice + 1)) - counts.count(0))
    total = len(counts) + unseen
    mean = sum(counts) / total
    square = sum((count - mean) ** 2 for count in counts) + unseen * mean**2
    excess = square / (total - 1) - mean
    rate = mean / max(excess, mean / 100)  # a prior never weighs more than a hundred spans
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

    `counts` has the asks of every question in the span, candidates or not; `spans` is the time until the next
    run, in units of it. Listed questions come first, in their order, because somebody wants them. The others
    follow by expected saving per dollar; questions that save nothing are left out.
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
    """Saving per dollar, the best order to fill a budget; names break ties."""
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
        # each ask hits or misses independently
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
