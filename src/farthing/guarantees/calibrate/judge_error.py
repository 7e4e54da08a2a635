"""What judged answers are worth, once some of them were looked at by people too.

A judge that asks a model errs in one direction, and more of its scores make its mean no truer: only the
interval around the wrong value becomes narrower. What people said of a few of the same answers, drawn by
chance, shows by how much it errs.

*   `mean`: the mean quality, from scores of any kind. Prediction-powered inference: the judge's mean over all
    answers, moved by the mean of what people said less what the judge did (Angelopoulos, Bates, Fannjiang,
    Jordan & Zrnic 2023, "Prediction-powered inference", Science 382, section "Mean estimation"). How much the
    judge is listened to is set by how well it goes with people, so that a judge that says nothing does no
    harm (Angelopoulos, Duchi & Zrnic 2023, "PPI++", section 6: the optimal lambda).
*   `share`: the share of good answers, where judge and people say yes or no: from the judge's sensitivity and
    specificity (Rogan & Gladen 1978), with the interval of Lang & Reiczigel 2014, "Confidence limits for
    prevalence of disease adjusted for estimated sensitivity and specificity", Preventive Vet. Med. 113.
*   `p_value`: of a mean loss, for certificates, without any approximation.

Labels must be of answers drawn by chance from the judged ones; answers that somebody complained of are not.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from math import log, sqrt
from statistics import NormalDist

import msgspec

from farthing.stats import sequential
from farthing.stats.exact_tests import at_most
from farthing.stats.loss_test import LossTest

LABELS_MIN = 10  # fewer show nothing about how a judge errs
_NORMAL = NormalDist()


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """A mean with its interval."""

    mean: float
    low: float
    high: float
    n: int
    """What it is the mean of."""
    labels: int = 0
    """Of these, looked at by people."""
    method: str = ""


def plain(values: Sequence[float], confidence: float = 0.95) -> Estimate | None:
    """The mean of values from 0 to 1 as they are; None of none. Of 0 and 1 Wilson's interval (1927), else
    Student's, no narrower than what may hide behind values that are all the same."""
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
    """The mean quality of all answers: those with both the judge's score and a person's, in this order, and
    those with the judge's alone. None: too few have both.

    Two labels more are imagined, as far from the judge as the furthest, one each way: of few labels, and with
    `lambda` chosen by them, the interval is too short without (as Agresti & Coull 1998 have it for shares).
    Where all is 0 or 1 they contradict the judge: that no label does so yet is no proof that none would.
    """
    n, others = len(labelled), len(unlabelled)
    if n < LABELS_MIN:
        return None
    said = [person for _, person in labelled]
    if others < 2:
        return _around(sum(said) / n, _half(_variance(said) / n, n, confidence), n, n, "labels alone")
    scores = [judge for judge, _ in labelled]
    trust = _trust(labelled, [*scores, *unlabelled], n / others)
    rest = [person - trust * judge for judge, person in labelled]
    middle = sum(rest) / n + trust * sum(unlabelled) / others
    variance = _variance(rest) / n + trust * trust * _variance(unlabelled) / others
    if variance > 0:
        yes_or_no = {*said, *scores, *unlabelled} <= {0.0, 1.0}
        furthest = 1.0 if yes_or_no else max(abs(one - sum(rest) / n) for one in rest)
        variance += 2 * furthest**2 / (n - 1) / n
    half = _half(variance, n, confidence)
    return _around(middle, half, n + others, n, "prediction-powered")


def _trust(labelled: Sequence[tuple[float, float]], scores: Sequence[float], ratio: float) -> float:
    """How much of the judge's score is used, from 0 to 1: what makes the interval narrowest."""
    spread = _variance(scores)
    if spread <= 0:
        return 0.0
    n = len(labelled)
    judged = sum(judge for judge, _ in labelled) / n
    person = sum(said for _, said in labelled) / n
    together = sum((judge - judged) * (said - person) for judge, said in labelled) / (n - 1)
    return min(1.0, max(0.0, together / ((1 + ratio) * spread)))


def share(
    labelled: Sequence[tuple[bool, bool]], unlabelled: Sequence[bool], confidence: float = 0.95
) -> Estimate | None:
    """The share of good answers, from yes and no: pairs of the judge's word and a person's, and the judge's
    alone. None: too few labels, or the judge is no better than chance."""
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
    """What the same decisions lose, as a judge and as people see it."""

    judged: Counter[float]
    """Of all answers."""
    people: Counter[float]
    """Of those that people looked at too."""
    differences: Counter[float]
    """Of the same, what people found less what the judge found."""


class Plan(msgspec.Struct, frozen=True):
    """How losses will be tested. Made on losses that are not those tested."""

    bias: float | None
    """By how much the judge finds too little, at most; None: it is not listened to, people alone are."""
    found_more: bool = False
    """Of the differences only those count where people found more; that they did is 0 or 1."""
    bet: float | None = None
    """On the differences."""


def p_value(tested: Losses, limit: float, plan: Plan, test: LossTest, bet: float | None = None) -> float:
    """Of "the mean loss, as people see it, is at least `limit`".

    The mean loss is the mean of the judged loss and the mean of the difference. So where it is at least a
    limit, the judged loss is at least `limit - bias`, or the difference is at least `bias`, whatever number
    `bias` is. Each is tested by itself, both at the same delta: to reject both while one is true has no more
    than the chance of rejecting that one (an intersection-union test, Berger 1982), so delta is not divided.
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
    """What would show most, were all that is tested as `train` is."""
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
    """With a few more imagined, so that a handful without any does not count as proof that there are none."""
    found = {0.0: 0.0, **differences}
    for value in (1.0, -1.0):
        found[value] = found.get(value, 0.0) + 0.25
    return found


def _gain(counts: Mapping[float, float], limit: float, top: float) -> float:
    """Logarithm of what the best fixed bet against "the mean is at least `limit`" comes to."""
    largest = 1 / (top - limit)
    return max(
        sum(n * log(max(1e-9, 1 + part * largest * (limit - value))) for value, n in counts.items())
        for part in (0.0, 0.03, 0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 0.97)
    )


def _top(test: LossTest) -> float:
    """What no difference is over: losses are from `bottom` to 1."""
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
    """Where no quality is: a corrected mean may come out beyond both ends, with its whole interval."""
    return min(1.0, max(0.0, value))


def _half(variance: float, n: int, confidence: float) -> float:
    """Half the width of an interval. Values that are all the same leave open what the rule of three says."""
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
    """The two-sided quantile of Student's distribution by Cornish and Fisher's expansion; for 5 degrees of
    freedom it is 0.5 % too small, for 9 and more not 0.1 % (Abramowitz & Stegun, 26.7.5)."""
    z, v = _z(confidence), max(1, freedom)
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
    )
