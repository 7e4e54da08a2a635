"""A certificate for a router's cheap traffic, from judged samples, or a refusal that says what is missing.

**What is promised.** Of all requests of the endpoint, those that stay with the expensive tier included, the
mean loss of quality is at most epsilon, with confidence 1 - delta over the samples. The loss of a request
that goes cheap is by how much the expensive answer is better: nothing where it is not (`regression`, 0 or 1
where qualities are), or negative where the cheap one is better (`net`).

**Which threshold.** The samples are split by a digest of their id. On the first part, `train`, the grid of
thresholds, the segments to exclude and the bets are chosen; nothing of it is counted. On the second,
`calibrate`, the grid is tested from the safest threshold, all expensive, on, up to the first that is not
shown (`sequence.held`). The third, `audit`, is looked at once, for the threshold found, and can only refuse.
Losses of 0 and 1 are tested by the exact binomial test, others by betting.

**Segments.** The promise is one of the whole, and a kind of traffic may be badly hurt within it. A segment
that loses over its limit on `train` is excluded: all of it stays with the expensive tier. One that is shown,
on the other two parts, to lose over its limit all the same is a refusal. Each says by itself what is shown.

**The judge's errors.** Where people labelled some of the samples, drawn by chance, the bound is one on the
loss as they see it: what they found beyond the judge is tested too (`corrected.p_value`), by a plan made on
`train`. Segments and the audit are as judged.

**Weights.** Samples that were drawn with different propensities are thinned to an even draw: one of weight w
is kept with probability w / the largest weight, by its digest. So the exact tests stay exact.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from math import ceil, inf

import msgspec

from farthing.guarantees.calibrate.route_samples import Sample
from farthing.guarantees.calibrate.route_thresholds import (
    Point,
    Step,
    Walked,
    counted,
    total,
    walk,
    walk_labelled,
)
from farthing.guarantees.certificates.routing import Harm, RouteCertificate, RouteScope, Segment, Verdict
from farthing.stats import sequential
from farthing.stats.loss_test import LossTest

TRAIN, CALIBRATE = 0.20, 0.65  # and the rest for the audit
STEP = 0.01  # of the train part that a next threshold lets through at least
SEGMENT_TIMES = 3.0
EXCLUDES = 0.1  # chance below which the train part speaks against a segment; a wrong one costs savings alone
HURT = 0.05  # the same of the other parts, over all segments together
CONTRADICTS = 0.01  # chance below which the audit part speaks against the certificate


class Aim(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be certified."""

    endpoint: str
    risk_max: float
    """Quality per request that may be lost."""
    confidence: float
    harm: Harm = "regression"
    segment_risk_max: float | None = None
    """The same of each segment; None: `SEGMENT_TIMES` the loss."""
    exclude: frozenset[str] = frozenset()
    """Segments that stay with the expensive tier whatever is shown."""

    @property
    def delta(self) -> float:
        return 1 - self.confidence

    @property
    def segment_limit(self) -> float:
        return min(
            0.99, SEGMENT_TIMES * self.risk_max if self.segment_risk_max is None else self.segment_risk_max
        )


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """What the samples of one endpoint show."""

    endpoint: str
    risk_max: float
    confidence: float
    certificate: RouteCertificate | None
    refusal: str
    """Why there is none; empty with a certificate."""
    more_needed: int | None
    """Further samples that would be enough, were they as these; None: no number would, or a certificate."""
    steps: list[Step]
    segments: list[Segment]
    """At the threshold that was found; empty where none was."""
    samples: int
    counted: int
    """After thinning by weight."""
    train: int
    calibrate: int
    audit: int
    labels: int = 0
    """Samples that people looked at too; 0: the promise is one of the judge's word."""


def calibrate(
    samples: Sequence[Sample],
    aim: Aim,
    *,
    scope: RouteScope,
    now_unix_s: float,
    labels: Mapping[str, tuple[float, float]] | None = None,
) -> Calibration:
    """Certify the lowest threshold that the samples allow, or say why not.

    `labels` is the quality that people gave both answers, cheap and expensive, by the sample's key. None: the
    judge's word is taken for the truth.
    """
    said = {} if labels is None else {key: _worse(*pair, aim.harm) for key, pair in labels.items()}
    parts = split(thinned(samples))
    losses = {_loss(sample, aim.harm) for sample in samples} | set(said.values())
    test = LossTest(losses <= {0.0, 1.0}, -1.0 if aim.harm == "net" else 0.0, aim.delta)
    excluded = aim.exclude | excluded_by([_point(one, aim, aim.exclude) for one in parts[0]], aim, test)
    train, tested, audit = ([_point(one, aim, excluded, said) for one in part] for part in parts)
    grid = sequential.grid([one.score for one in train if not one.kept], step=STEP)
    if labels is None:
        walked = walk(tested, train, grid, aim.risk_max, test)
    else:
        walked = walk_labelled(tested, train, grid, aim.risk_max, test)
    steps = [step for step, _ in walked]
    shown = sum(step.result == "holds" for step in steps) - 1
    labelled = sum(one.label is not None for one in tested)
    refusal, more = _refusal(walked, shown, aim, test, excluded)
    if labels is not None and (refusal or shown < 1):
        refusal, more = _refusal_labelled(steps, shown, labelled, aim, test), None
    segments: list[Segment] = []
    certificate: RouteCertificate | None = None
    if not refusal:
        step, threshold = steps[shown], grid[shown - 1]
        segments = _segments(tested + audit, threshold, aim, test, excluded)
        certificate = RouteCertificate(
            endpoint=aim.endpoint,
            threshold=threshold,
            cheap_share=step.cheap_share,
            harm=aim.harm,
            test="binomial" if test.exact else "betting",
            risk_max=aim.risk_max,
            delta=round(aim.delta, 12),
            n=len(tested),
            lost=step.lost,
            p_value=step.p_value if step.p_value is not None else 1.0,
            train_n=len(train),
            audit_n=len(audit),
            audit_lost=total(counted(audit, threshold)),
            grid=grid,
            segment_risk_max=aim.segment_limit,
            segments=tuple(segments),
            scope=scope,
            made_unix_s=now_unix_s,
            data_hash=_digest(samples),
            labels=labelled,
        )
        refusal = _spoken_against(audit, certificate, aim, test)
        certificate = None if refusal else certificate
    return Calibration(
        endpoint=aim.endpoint,
        risk_max=aim.risk_max,
        confidence=aim.confidence,
        certificate=certificate,
        refusal=refusal,
        more_needed=more,
        steps=steps,
        segments=segments,
        samples=len(samples),
        counted=sum(map(len, parts)),
        train=len(train),
        calibrate=len(tested),
        audit=len(audit),
        labels=labelled,
    )


# -- the parts --------------------------------------------------------------------------------------


def thinned(samples: Sequence[Sample]) -> list[Sample]:
    """Samples as if drawn evenly: of weight w, each with probability w / the largest weight."""
    largest = max((sample.weight for sample in samples), default=1.0)
    return [one for one in samples if one.weight == largest or _chance(one, b"thin") < one.weight / largest]


def split(samples: Sequence[Sample]) -> tuple[list[Sample], list[Sample], list[Sample]]:
    """Train, calibrate, audit. A sample is in the same part whatever the others are."""
    parts: tuple[list[Sample], list[Sample], list[Sample]] = ([], [], [])
    for sample in samples:
        place = _chance(sample, b"split")
        parts[0 if place < TRAIN else 1 if place < TRAIN + CALIBRATE else 2].append(sample)
    return parts


def _chance(sample: Sample, purpose: bytes) -> float:
    """A number from 0 up to 1 that depends on the sample's id alone."""
    digest = blake2b(sample.key.encode(errors="surrogatepass"), digest_size=8, person=purpose).digest()
    return int.from_bytes(digest) / 2**64


def _loss(sample: Sample, harm: Harm) -> float:
    return _worse(sample.cheap, sample.expensive, harm)


def _worse(cheap: float, expensive: float, harm: Harm) -> float:
    loss = expensive - cheap
    return loss if harm == "net" else max(0.0, loss)


def _point(
    sample: Sample, aim: Aim, excluded: frozenset[str], said: Mapping[str, float] | None = None
) -> Point:
    kept = not excluded.isdisjoint(sample.segments)
    label = None if said is None else said.get(sample.key.rpartition(" ")[2])  # a tenant may stand before it
    return Point(sample.score, _loss(sample, aim.harm), sample.segments, kept, label)


def excluded_by(train: Sequence[Point], aim: Aim, test: LossTest) -> frozenset[str]:
    """The segments that lose over their limit where the others would allow the cheap tier.

    Without one the rest may go further, which can hurt another: so again, until there is none.
    """
    found: set[str] = set()
    of_segment: dict[str, list[Point]] = {}
    for one in train:
        for name in one.segments:
            of_segment.setdefault(name, []).append(one)
    while of_segment:
        left = sorted(
            (one for one in train if not one.kept and found.isdisjoint(one.segments)),
            key=lambda one: -one.score,
        )
        lost, threshold = 0.0, inf
        for one in left:
            lost += one.loss
            if lost <= aim.risk_max * len(train):
                threshold = one.score
        hurt = {
            name
            for name, points in of_segment.items()
            if name not in found
            and test.at_most(
                counted([one for one in points if found.isdisjoint(one.segments)], threshold),
                aim.segment_limit,
            )
            < EXCLUDES
        }
        if not hurt:
            break
        found |= hurt
    return frozenset(found)


# -- refusals ---------------------------------------------------------------------------------------


def _refusal(
    walked: Sequence[Walked], shown: int, aim: Aim, test: LossTest, excluded: frozenset[str]
) -> tuple[str, int | None]:
    """Why nothing is certified, and how many samples more would be enough; empty: there is no reason."""
    n = walked[0][1].total()
    if walked[0][0].result != "holds":
        least = test.needed(Counter({0.0: 1}), aim.risk_max)
        more = None if least is None else _more(least, n)
        return (
            f"{n} samples to test on show nothing about {aim.risk_max:.3g} at {aim.confidence:.3g}, even if "
            f"none lost: {least} are the least, so about {more} more samples are needed "
            f"(of which {CALIBRATE:.0%} are tested on)",
            more,
        )
    if shown > 0 and walked[shown][0].cheap_share > 0:
        return "", None
    useful = next(((step, counts) for step, counts in walked[1:] if step.cheap_share > 0), None)
    if useful is None:
        why = f" after excluding {', '.join(sorted(excluded))}" if excluded else ""
        return f"no sample is left to go cheap{why}: there is nothing to certify", None
    step, counts = useful
    seen = (
        f"already at the safest threshold, {step.threshold:.4g}, where {step.cheap_share:.1%} of the "
        f"requests would go cheap, {step.lost:.4g} of {n} is lost"
    )
    least = test.needed(counts, aim.risk_max)
    if least is None:
        return (
            f"{seen}, {step.lost / n:.2%} and not under {aim.risk_max:.3g}: were that the rate, no number of "
            "samples would show it; with this score the cheap tier is not worth it here",
            None,
        )
    more = _more(least, n)
    return (
        f"{seen}, not enough to show {aim.risk_max:.3g}: about {more} more samples would, were they as these",
        more,
    )


def _refusal_labelled(steps: Sequence[Step], shown: int, labelled: int, aim: Aim, test: LossTest) -> str:
    """Why nothing is certified where people looked too; empty: there is no reason."""
    if shown > 0 and steps[shown].cheap_share > 0:
        return ""
    least = test.needed(Counter({0.0: 1}), aim.risk_max)
    needed = "" if least is None else f"; {ceil(least)} are the least, if people found no loss at all"
    return (
        f"with {labelled} labelled samples to test on, {aim.risk_max:.3g} is not shown at "
        f"{aim.confidence:.3g} for the loss as people see it: label more, drawn by chance from "
        f"the judged ones{needed}"
    )


def _more(needed: int, there: int) -> int:
    """Samples to be judged for `needed` to be tested on, where `there` already are."""
    return max(1, ceil((needed - there) / CALIBRATE))


# -- what the rest says -----------------------------------------------------------------------------


def _segments(
    points: Sequence[Point], threshold: float, aim: Aim, test: LossTest, excluded: frozenset[str]
) -> list[Segment]:
    """Every segment by itself, by name, at the certified threshold."""
    of_segment: dict[str, list[Point]] = {name: [] for name in excluded}
    for one in points:
        for name in one.segments:
            of_segment.setdefault(name, []).append(one)
    limit = aim.segment_limit
    found = []
    for name, there in sorted(of_segment.items()):
        counts = counted(there, threshold)
        n, more = len(there), None
        if name in excluded:
            result: Verdict = "excluded"
        elif test.at_least(counts, limit) <= aim.delta:
            result = "holds"
        elif test.at_most(counts, limit) < HURT / len(of_segment):
            result = "hurt"
        else:
            result = "not shown"
            least = test.needed(counts, limit)
            more = None if least is None else max(1, ceil((least - n) / (1 - TRAIN)))
        cheap = sum(one.score >= threshold and not one.kept for one in there)
        found.append(
            Segment(
                name=name,
                n=n,
                lost=total(counts),
                cheap_share=cheap / n if n else 0.0,
                upper=test.upper(counts) if n else 1.0,
                result=result,
                more_needed=more,
            )
        )
    return found


def _spoken_against(audit: Sequence[Point], made: RouteCertificate, aim: Aim, test: LossTest) -> str:
    """Why the segments or the audit part refuse the certificate; empty: they do not."""
    hurt = [one for one in made.segments if one.result == "hurt"]
    if hurt:
        told = ", ".join(f"{one.name} ({one.lost:.4g} of {one.n})" for one in hurt)
        return (
            f"the whole loses within {aim.risk_max:.3g}, but a segment more than "
            f"{made.segment_risk_max:.3g}: {told}; --exclude it, and calibrate on samples that were "
            "not looked at"
        )
    if audit and test.at_most(counted(audit, made.threshold), aim.risk_max) < CONTRADICTS:
        return (
            f"in the part held back for the audit {made.audit_lost:.4g} of {made.audit_n} was lost, which "
            f"chance does not explain at {aim.risk_max:.3g}: the samples are not of one kind"
        )
    return ""


def _digest(samples: Sequence[Sample]) -> str:
    """Equal for equal samples, in whatever order."""
    rows = sorted(msgspec.json.encode(sample) for sample in samples)
    return blake2b(b"\n".join(rows), digest_size=16).hexdigest()
