"""Certify a router's cheap traffic from judged samples, or refuse and say what is missing.

**The promise.** Over all requests of the endpoint, including those that stay with the expensive tier, the
mean loss of quality is at most epsilon, with confidence 1 - delta over the samples. The loss of a request
that goes to the cheap tier is how much better the expensive answer is: with `regression` 0 where it is not
better (and 0 or 1 if the qualities are), with `net` negative where the cheap answer is better.

**Choosing the threshold.** The samples are split by a digest of their id. The first part, `train`, chooses
the grid of thresholds, the segments to exclude and the bets; it is not counted. On the second part,
`calibrate`, the grid is tested from the safest threshold, all expensive, up to the first that is not shown
(`sequence.held`). The third part, `audit`, is used once, for the threshold found, and can only refuse. Losses
of 0 and 1 are tested by the exact binomial test, others by betting.

**Segments.** The promise covers the whole endpoint, so one kind of traffic could lose much more. A segment
that loses more than its limit on `train` is excluded: all of it stays with the expensive tier. If another
segment is shown to exceed its limit on the other two parts, that is a refusal. Each segment reports its own
result.

**The judge's errors.** If people labelled a random part of the samples, the bound is on the loss according to
them: the loss that they found beyond the judge's is tested too (`corrected.p_value`), by a plan made on
`train`. Segments and the audit use the judge's losses.

**Weights.** Samples that were drawn with different propensities are thinned to an even draw: a sample of
weight w is kept with probability w / the largest weight, decided by its digest. So the exact tests stay
exact.
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

TRAIN, CALIBRATE = 0.20, 0.65  # the rest is for the audit
STEP = 0.01  # least share of the train part that each further threshold adds
SEGMENT_TIMES = 3.0
EXCLUDES = 0.1  # p-value below which the train part excludes a segment; a wrong exclusion only costs savings
HURT = 0.05  # the same for the other parts, over all segments together
CONTRADICTS = 0.01  # p-value below which the audit part contradicts the certificate


class Aim(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be certified."""

    endpoint: str
    risk_max: float
    """Quality per request that may be lost."""
    confidence: float
    harm: Harm = "regression"
    segment_risk_max: float | None = None
    """The same for each segment; None: `SEGMENT_TIMES` the loss."""
    exclude: frozenset[str] = frozenset()
    """Segments that stay with the expensive tier, whatever the samples show."""

    @property
    def delta(self) -> float:
        return 1 - self.confidence

    @property
    def segment_limit(self) -> float:
        return min(
            0.99, SEGMENT_TIMES * self.risk_max if self.segment_risk_max is None else self.segment_risk_max
        )


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """The result of calibrating one endpoint."""

    endpoint: str
    risk_max: float
    confidence: float
    certificate: RouteCertificate | None
    refusal: str
    """Why there is no certificate; empty with a certificate."""
    more_needed: int | None
    """Further samples of the same kind that would be enough; None: no number would be, or there is a
    certificate."""
    steps: list[Step]
    segments: list[Segment]
    """At the threshold that was found; empty if none was."""
    samples: int
    counted: int
    """Samples left after thinning by weight."""
    train: int
    calibrate: int
    audit: int
    labels: int = 0
    """Samples that people labelled too; 0: the promise rests on the judge alone."""


def calibrate(
    samples: Sequence[Sample],
    aim: Aim,
    *,
    scope: RouteScope,
    now_unix_s: float,
    labels: Mapping[str, tuple[float, float]] | None = None,
) -> Calibration:
    """Certify the lowest threshold that the samples allow, or say why not.

    `labels` maps a sample's key to the quality that people gave both answers, cheap and expensive. None: the
    judge's scores are taken as true.
    """
    by_people = {} if labels is None else {key: _worse(*pair, aim.harm) for key, pair in labels.items()}
    parts = split(thinned(samples))
    losses = {_loss(sample, aim.harm) for sample in samples} | set(by_people.values())
    test = LossTest(losses <= {0.0, 1.0}, -1.0 if aim.harm == "net" else 0.0, aim.delta)
    excluded = aim.exclude | excluded_by([_point(one, aim, aim.exclude) for one in parts[0]], aim, test)
    train, tested, audit = ([_point(one, aim, excluded, by_people) for one in part] for part in parts)
    grid = sequential.grid([one.score for one in train if not one.kept], step=STEP)
    if labels is None:
        walked = walk(tested, train, grid, aim.risk_max, test)
    else:
        walked = walk_labelled(tested, train, grid, aim.risk_max, test)
    steps = [step for step, _ in walked]
    shown = sum(step.result == "holds" for step in steps) - 1
    labelled = _labelled(tested)
    refusal, more = _refusal(walked, shown, aim, test, excluded)
    if labels is not None and (refusal or shown < 1):
        refusal, more = _refusal_labelled(steps, shown, labelled, aim, test), None
    segments: list[Segment] = []
    certificate: RouteCertificate | None = None
    if not refusal:
        step, threshold = steps[shown], grid[shown - 1]
        segments = _segments(tested + audit, threshold, aim, test, excluded)
        certificate = _certificate(
            aim,
            test,
            step,
            _Points(train=train, tested=tested, audit=audit, grid=grid),
            threshold=threshold,
            segments=segments,
            scope=scope,
            made_unix_s=now_unix_s,
            data_hash=_digest(samples),
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


class _Points(msgspec.Struct, frozen=True, kw_only=True):
    """The three parts of the samples, as points."""

    train: list[Point]
    tested: list[Point]
    audit: list[Point]
    grid: tuple[float, ...]
    """Chosen on `train`."""


def _labelled(points: Sequence[Point]) -> int:
    return sum(one.label is not None for one in points)


def _certificate(
    aim: Aim,
    test: LossTest,
    step: Step,
    points: _Points,
    *,
    threshold: float,
    segments: Sequence[Segment],
    scope: RouteScope,
    made_unix_s: float,
    data_hash: str,
) -> RouteCertificate:
    """The certificate for `threshold`, whose test was `step`."""
    return RouteCertificate(
        endpoint=aim.endpoint,
        threshold=threshold,
        cheap_share=step.cheap_share,
        harm=aim.harm,
        test="binomial" if test.exact else "betting",
        risk_max=aim.risk_max,
        delta=round(aim.delta, 12),
        n=len(points.tested),
        lost=step.lost,
        p_value=step.p_value if step.p_value is not None else 1.0,
        train_n=len(points.train),
        audit_n=len(points.audit),
        audit_lost=total(counted(points.audit, threshold)),
        grid=points.grid,
        segment_risk_max=aim.segment_limit,
        segments=tuple(segments),
        scope=scope,
        made_unix_s=made_unix_s,
        data_hash=data_hash,
        labels=_labelled(points.tested),
    )


# -- the parts --------------------------------------------------------------------------------------


def thinned(samples: Sequence[Sample]) -> list[Sample]:
    """Samples as if drawn evenly: one of weight w is kept with probability w / the largest weight."""
    largest = max((sample.weight for sample in samples), default=1.0)
    return [one for one in samples if one.weight == largest or _chance(one, b"thin") < one.weight / largest]


def split(samples: Sequence[Sample]) -> tuple[list[Sample], list[Sample], list[Sample]]:
    """Train, calibrate, audit. A sample's part does not depend on the other samples."""
    parts: tuple[list[Sample], list[Sample], list[Sample]] = ([], [], [])
    for sample in samples:
        place = _chance(sample, b"split")
        parts[0 if place < TRAIN else 1 if place < TRAIN + CALIBRATE else 2].append(sample)
    return parts


def _chance(sample: Sample, purpose: bytes) -> float:
    """A number in [0, 1) that depends only on the sample's id and `purpose`."""
    digest = blake2b(sample.key.encode(errors="surrogatepass"), digest_size=8, person=purpose).digest()
    return int.from_bytes(digest) / 2**64


def _loss(sample: Sample, harm: Harm) -> float:
    return _worse(sample.cheap, sample.expensive, harm)


def _worse(cheap: float, expensive: float, harm: Harm) -> float:
    loss = expensive - cheap
    return loss if harm == "net" else max(0.0, loss)


def _point(
    sample: Sample, aim: Aim, excluded: frozenset[str], human_losses: Mapping[str, float] | None = None
) -> Point:
    kept = not excluded.isdisjoint(sample.segments)
    label = (
        None if human_losses is None else human_losses.get(sample.key.rpartition(" ")[2])
    )  # a tenant may stand before it
    return Point(sample.score, _loss(sample, aim.harm), sample.segments, kept, label)


def excluded_by(train: Sequence[Point], aim: Aim, test: LossTest) -> frozenset[str]:
    """The segments that lose more than their limit where the others would allow the cheap tier.

    Excluding one may lower the threshold for the rest, which can hurt another: so this repeats until no
    segment is left to exclude.
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
    """Why nothing is certified, and how many more samples would be enough; empty: no reason."""
    n = walked[0][1].total()
    if walked[0][0].result != "holds":
        least = test.needed(Counter({0.0: 1}), aim.risk_max)
        more = None if least is None else _more(least, n)
        return (
            f"{n} test samples cannot show {aim.risk_max:.3g} at {aim.confidence:.3g}, even if "
            f"none lost quality: at least {least} are needed, so about {more} more samples "
            f"(of which {CALIBRATE:.0%} are tested)",
            more,
        )
    if shown > 0 and walked[shown][0].cheap_share > 0:
        return "", None
    useful = next(((step, counts) for step, counts in walked[1:] if step.cheap_share > 0), None)
    if useful is None:
        why = f" after excluding {', '.join(sorted(excluded))}" if excluded else ""
        return f"no sample is left for the cheap tier{why}: there is nothing to certify", None
    step, counts = useful
    seen = (
        f"even at the safest threshold, {step.threshold:.4g}, where {step.cheap_share:.1%} of the "
        f"requests would go to the cheap tier, {step.lost:.4g} of {n} is lost"
    )
    least = test.needed(counts, aim.risk_max)
    if least is None:
        return (
            f"{seen}, {step.lost / n:.2%}, not below {aim.risk_max:.3g}: if that is the true rate, no "
            "number of samples is enough; with this score the cheap tier is not good enough here",
            None,
        )
    more = _more(least, n)
    return (
        f"{seen}, which does not show {aim.risk_max:.3g}: about {more} more samples of this kind would",
        more,
    )


def _refusal_labelled(steps: Sequence[Step], shown: int, labelled: int, aim: Aim, test: LossTest) -> str:
    """Why nothing is certified where people labelled samples; empty: no reason."""
    if shown > 0 and steps[shown].cheap_share > 0:
        return ""
    least = test.needed(Counter({0.0: 1}), aim.risk_max)
    needed = "" if least is None else f"; at least {ceil(least)} are needed, even if people found no loss"
    return (
        f"with {labelled} labelled samples to test on, {aim.risk_max:.3g} is not shown at "
        f"{aim.confidence:.3g} for the loss according to people: label more, drawn at random from "
        f"the judged ones{needed}"
    )


def _more(needed: int, there: int) -> int:
    """How many more samples must be judged so that `needed` are tested, when `there` are tested already."""
    return max(1, ceil((needed - there) / CALIBRATE))


# -- what the rest says -----------------------------------------------------------------------------


def _segments(
    points: Sequence[Point], threshold: float, aim: Aim, test: LossTest, excluded: frozenset[str]
) -> list[Segment]:
    """Every segment's own result at the certified threshold, sorted by name."""
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
        named = ", ".join(f"{one.name} ({one.lost:.4g} of {one.n})" for one in hurt)
        return (
            f"the endpoint as a whole loses at most {aim.risk_max:.3g}, but a segment loses more than "
            f"{made.segment_risk_max:.3g}: {named}; --exclude it, and calibrate on samples that have "
            "not been used yet"
        )
    if audit and test.at_most(counted(audit, made.threshold), aim.risk_max) < CONTRADICTS:
        return (
            f"the part held back for the audit lost {made.audit_lost:.4g} of {made.audit_n}, which "
            f"chance does not explain at {aim.risk_max:.3g}: the samples are not homogeneous"
        )
    return ""


def _digest(samples: Sequence[Sample]) -> str:
    """Equal for equal samples, in any order."""
    rows = sorted(msgspec.json.encode(sample) for sample in samples)
    return blake2b(b"\n".join(rows), digest_size=16).hexdigest()
