"""Estimates of quality that correct a model judge's errors with labels that people gave to some answers.

A model used as a judge has a bias, and more of its scores do not remove it: they only narrow the interval
around the wrong value. Labels that people gave to a random sample of the same answers show how large the bias
is.

*   `mean`: the mean quality, from scores of any kind. Prediction-powered inference: the judge's mean over all
    answers, shifted by the mean difference between people's labels and the judge's scores (Angelopoulos,
    Bates, Fannjiang, Jordan & Zrnic 2023, "Prediction-powered inference", Science 382, section "Mean
    estimation"). The judge's weight depends on how well it agrees with people, so that an uninformative judge
    does no harm (Angelopoulos, Duchi & Zrnic 2023, "PPI++", section 6: the optimal lambda).
*   `share`: the share of good answers, where judge and people say yes or no: from the judge's sensitivity and
    specificity (Rogan & Gladen 1978), with the interval of Lang & Reiczigel 2014, "Confidence limits for
    prevalence of disease adjusted for estimated sensitivity and specificity", Preventive Vet. Med. 113.
*   `p_value`: of a mean loss, for certificates, without any approximation.

Labels must be of answers drawn at random from the judged ones. Answers that somebody complained about are
not.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from math import log, sqrt
from statistics import NormalDist

import msgspec

from farthing.stats import sequential
from farthing.stats.exact_tests import at_most
from farthing.stats.loss_test import LossTest

LABELS_MIN = 10  # fewer say nothing about a judge's errors
_NORMAL = NormalDist()


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """A mean with its interval."""

    mean: float
    low: float
    high: float
    n: int
    """Number of answers that the mean covers."""
    labels: int = 0
    """Of these, labelled by people."""
    method: str = ""


def plain(values: Sequence[float], confidence: float = 0.95) -> Estimate | None:
    """The uncorrected mean of values from 0 to 1; None for no values. The interval is Wilson's (1927) for
    zeros and ones, else Student's, widened where all values are equal (`_half`)."""
    n = len(values)
    if not n:
        return None
    mean = sum(values) / n
    if set(values) <= {0.0, 1.0}:
        z = _z(confidence)
        middle = (mean + z * z / (2 * n)) / (1 + z * z / n)
        half = z * sqrt(mean * (1 - mean) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return Estimate(
            mean=mean, low=max(0.0, middle - half), high=min(1.0, middle + half), n=n, method="Wilson"
        )
    return _around(mean, _half(_variance(values) / n, n, confidence), n, 0, "mean")


def mean(
    labelled: Sequence[tuple[float, float]], unlabelled: Sequence[float], confidence: float = 0.95
) -> Estimate | None:
    """The mean quality of all answers: pairs of the judge's score and a person's, in this order, and answers
    with the judge's score alone. None: too few pairs.

    Two imaginary labels are added, one in each direction, as far from the judge's score as the furthest real
    label: with few labels, and `lambda` chosen from them, the interval would be too narrow (Agresti & Coull
    1998 do the same for proportions). If all values are 0 or 1, the two labels contradict the judge: that no
    label does so yet does not prove that none would.
    """
    n, others = len(labelled), len(unlabelled)
    if n < LABELS_MIN:
        return None
    human = [person for _, person in labelled]
    if others < 2:
        return _around(sum(human) / n, _half(_variance(human) / n, n, confidence), n, n, "labels alone")
    scores = [judge for judge, _ in labelled]
    trust = _trust(labelled, [*scores, *unlabelled], n / others)
    rest = [person - trust * judge for judge, person in labelled]
    middle = sum(rest) / n + trust * sum(unlabelled) / others
    variance = _variance(rest) / n + trust * trust * _variance(unlabelled) / others
    if variance > 0:
        yes_or_no = {*human, *scores, *unlabelled} <= {0.0, 1.0}
        furthest = 1.0 if yes_or_no else max(abs(one - sum(rest) / n) for one in rest)
        variance += 2 * furthest**2 / (n - 1) / n
    half = _half(variance, n, confidence)
    return _around(middle, half, n + others, n, "prediction-powered")


def _trust(labelled: Sequence[tuple[float, float]], scores: Sequence[float], ratio: float) -> float:
    """The weight of the judge's score, from 0 to 1, that makes the interval narrowest."""
    spread = _variance(scores)
    if spread <= 0:
        return 0.0
    n = len(labelled)
    judged = sum(judge for judge, _ in labelled) / n
    person = sum(human for _, human in labelled) / n
    together = sum((judge - judged) * (human - person) for judge, human in labelled) / (n - 1)
    return min(1.0, max(0.0, together / ((1 + ratio) * spread)))


def share(
    labelled: Sequence[tuple[bool, bool]], unlabelled: Sequence[bool], confidence: float = 0.95
) -> Estimate | None:
    """The share of good answers from binary verdicts: pairs of the judge's verdict and a person's, and the
    judge's alone. None: too few labels, or the judge is no better than chance."""
    good = [judge for judge, person in labelled if person]
    bad = [judge for judge, person in labelled if not person]
    if len(labelled) < LABELS_MIN or not good or not bad:
        return None
    judged = [*(judge for judge, _ in labelled), *unlabelled]
    n = len(judged)
    z = _z(confidence)
    # with the counts that Lang and Reiczigel add: without them the interval is too short for few labels
    p = (sum(judged) + z * z / 2) / (n + z * z)
    sensitivity = (sum(good) + 1) / (len(good) + 2)
    specificity = (len(bad) - sum(bad) + 1) / (len(bad) + 2)
    youden = sensitivity + specificity - 1
    if youden <= 0:
        return None
    found = min(1.0, max(0.0, (p + specificity - 1) / youden))
    of_good = sensitivity * (1 - sensitivity) / (len(good) + 2)
    of_bad = specificity * (1 - specificity) / (len(bad) + 2)
    shift = 2 * z * z * (found * of_good - (1 - found) * of_bad)
    variance = p * (1 - p) / (n + z * z) + found * found * of_good + (1 - found) ** 2 * of_bad
    half = z * sqrt(variance) / youden
    estimate = _around(found, half, n, len(labelled), "sensitivity and specificity")
    return msgspec.structs.replace(
        estimate, low=_rate(found + shift - half), high=_rate(found + shift + half)
    )


# -- a bound on the loss ----------------------------------------------------------------------------


class Losses(msgspec.Struct, frozen=True):
    """The losses of the same decisions, according to the judge and according to people."""

    judged: Counter[float]
    """Of all answers."""
    people: Counter[float]
    """Of the answers that people labelled too."""
    differences: Counter[float]
    """Of the same answers: the people's loss minus the judge's."""


class Plan(msgspec.Struct, frozen=True):
    """How losses will be tested. Chosen on other losses than the tested ones."""

    bias: float | None
    """The most by which the judge understates the loss; None: the judge is ignored, only people count."""
    found_more: bool = False
    """Count only differences where people found more loss, as 0 or 1."""
    bet: float | None = None
    """The bet on the differences."""


def p_value(tested: Losses, limit: float, plan: Plan, test: LossTest, bet: float | None = None) -> float:
    """The p-value of "the mean loss, according to people, is at least `limit`".

    The mean loss is the mean judged loss plus the mean difference. So if it is at least `limit`, then for any
    `bias` either the judged loss is at least `limit - bias` or the difference is at least `bias`. Each is
    tested at the full delta: the chance of rejecting both while one is true is no more than the chance of
    rejecting that one (an intersection-union test, Berger 1982), so delta is not divided.
    """
    if plan.bias is None:
        return test.at_least(tested.people, limit) if tested.people else 1.0
    if not 0 < limit - plan.bias < 1 or not tested.differences:
        return 1.0
    judged = test.at_least(tested.judged, limit - plan.bias, bet)
    if plan.found_more:
        more = tested.differences[1.0]
        return max(judged, at_most(more, tested.differences.total(), plan.bias))
    top = _top(test)
    return max(judged, sequential.mean_at_least(tested.differences, plan.bias, top=top, bet=plan.bet))


def planned(train: Losses, limit: float, test: LossTest) -> Plan:
    """The plan that would be strongest if the tested losses were distributed as `train`."""
    found: list[tuple[float, Plan]] = [(_gain(train.people, limit, 1.0), Plan(None))]
    differences = _with_doubt(train.differences)
    top = _top(test)
    for part in _PARTS_OF_LIMIT:
        bias = part * limit
        if not 0 < limit - bias < 1:
            continue
        judged = _gain(train.judged, limit - bias, 1.0)
        if test.exact and bias > 0:
            more = {1.0: differences[1.0], 0.0: differences[0.0] + differences[-1.0]}
            found.append((min(judged, _gain(more, bias, 1.0)), Plan(bias, found_more=True)))
        bet = sequential.best_bet(differences, bias, top=top)
        gain = _gain(differences, bias, top) - log(2)  # half the budget is on the bet
        found.append((min(judged, gain), Plan(bias, bet=bet)))
    return max(found, key=lambda one: one[0])[1]


_PARTS_OF_LIMIT = (-2.0, -1.0, -0.25, 0.0, *(part / 9 for part in range(1, 9)))


def _with_doubt(differences: Mapping[float, float]) -> dict[float, float]:
    """The differences plus a few imaginary ones: a handful without any does not prove that there are none."""
    found = {0.0: 0.0, **differences}
    for value in (1.0, -1.0):
        found[value] = found.get(value, 0.0) + 0.25
    return found


def _gain(counts: Mapping[float, float], limit: float, top: float) -> float:
    """Logarithm of the wealth of the best fixed bet against "the mean is at least `limit`"."""
    largest = 1 / (top - limit)
    return max(
        sum(n * log(max(1e-9, 1 + part * largest * (limit - value))) for value, n in counts.items())
        for part in (0.0, 0.03, 0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 0.97)
    )


def _top(test: LossTest) -> float:
    """Upper bound of a difference: losses are from `bottom` to 1."""
    return 1.0 - test.bottom


# -- arithmetic -------------------------------------------------------------------------------------


def _around(middle: float, half: float, n: int, labels: int, method: str) -> Estimate:
    return Estimate(
        mean=_rate(middle),
        low=_rate(middle - half),
        high=_rate(middle + half),
        n=n,
        labels=labels,
        method=method,
    )


def _rate(value: float) -> float:
    """Clip to the range of a quality: a corrected mean can lie outside it, with its whole interval."""
    return min(1.0, max(0.0, value))


def _half(variance: float, n: int, confidence: float) -> float:
    """Half the width of an interval. For equal values the rule of three gives the least width."""
    return _student(confidence, n - 1) * sqrt(variance) if variance > 0 else log(2 / (1 - confidence)) / n


def _variance(values: Sequence[float]) -> float:
    n = len(values)
    if n < 2:
        return 0.0
    middle = sum(values) / n
    return sum((value - middle) ** 2 for value in values) / (n - 1)


def _z(confidence: float) -> float:
    return _NORMAL.inv_cdf(1 - (1 - confidence) / 2)


def _student(confidence: float, freedom: int) -> float:
    """The two-sided quantile of Student's distribution by the Cornish-Fisher expansion. It is 0.5 % too small
    for 5 degrees of freedom and less than 0.1 % for 9 or more (Abramowitz & Stegun, 26.7.5)."""
    z, v = _z(confidence), max(1, freedom)
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
    )
