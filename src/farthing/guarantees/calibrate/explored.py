"""Samples for calibrating a router, read from the ledger: explored requests and the verdicts on both answers.

A sample needs the receipt of the client's request, which says that another tier was `explored`, and signals
that compare the two answers: from a check or a judge, one per tier, each naming the other tier. Feedback from
people and retries concerns a single answer and never replaces a comparison. Only signals from the request's
own tenant count. If several checks rated an answer, the worst rating counts; the judge is used only where no
check could decide.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from farthing.guarantees.calibrate import route_samples
from farthing.guarantees.calibrate.route_samples import BadSamples, Sample
from farthing.guarantees.certificates.file import AGE_MAX_S
from farthing.guarantees.certificates.routing import segments_of
from farthing.ledger.read import Row, read_all
from farthing.types import Receipt, Signal

UNREADY = "no verdict"
TURNING_MAX = (
    0.5  # a judge whose verdict depends on the order more often than not measures chance, not quality
)
TURNING_PAIRS_MIN = 20
SILENT_MAX = 0.2  # share of explored requests without a verdict, above which the output warns

_Key = tuple[str, str]


class NothingExplored(BadSamples):
    """The ledger has no explored request of the endpoint."""


class SampleFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Selects the samples to read. None: the value of the newest explored request."""

    endpoint: str
    router: str | None = None
    cheap: str | None = None
    expensive: str | None = None
    targets: Mapping[str, str] = {}
    """Tier to its first target today; samples of other targets are left out. Empty: unknown."""


class Gathered(msgspec.Struct, frozen=True, kw_only=True):
    """The samples found in the ledger."""

    samples: list[Sample]
    explored: int
    """Explored requests of the endpoint, including those left out."""
    left_out: dict[str, int]
    """Number of explored requests that gave no sample, by reason."""
    inconsistent: int
    """Samples counted as ties because the judge's verdict depended on the order of the answers."""
    judged: int
    """Samples whose pair a judge compared in both orders."""
    router: str
    cheap: str
    expensive: str
    policy: str
    """Configuration version of the newest sample."""
    targets: dict[str, str]
    """Tier to the target that answered, in the newest sample."""
    span_unix_s: tuple[float, float] | None
    """Arrival of the first and the last sample; None without samples."""


def gather(rows: Iterable[Row], wanted: SampleFilter) -> Gathered:
    """Join `rows`, in any order.

    Raises:
        NothingExplored: no request of the endpoint was explored.
        BadSamples: the judge's verdicts depend on the order.
    """
    receipts, signals = _explored(rows, wanted.endpoint)
    newest = max(receipts, key=lambda receipt: receipt.at_unix_s)
    router = newest.route_by if wanted.router is None else wanted.router
    cheap = newest.explored if wanted.cheap is None else wanted.cheap
    expensive = newest.tier if wanted.expensive is None else wanted.expensive
    times = Counter((receipt.tenant, receipt.request_id) for receipt in receipts)
    samples: list[Sample] = []
    left_out: Counter[str] = Counter()
    turned = judged = 0
    last: Receipt | None = None
    arrived: list[float] = []
    last_targets: dict[str, str] = {}
    for receipt in receipts:
        key = (receipt.tenant, receipt.request_id)
        why = _unfit(receipt, router, cheap, expensive)
        found = pair_of(signals.get(key, ()), cheap, expensive)
        if times[key] > 1:
            why = "its id was used again"  # it is unknown which request a signal is about
        elif not why and found is not None and _of_others(receipt, found, cheap, wanted.targets):
            why = "other targets"
        if why or found is None:
            left_out[why or UNREADY] += 1
            continue
        judged += found.consistent is not None
        turned += found.consistent is False
        samples.append(_sample(receipt, found))
        arrived.append(receipt.at_unix_s)
        if last is None or receipt.at_unix_s >= last.at_unix_s:
            last, last_targets = receipt, {cheap: found.cheap_target, expensive: receipt.target}
    if judged >= TURNING_PAIRS_MIN and turned > TURNING_MAX * judged:
        raise BadSamples(
            f"the verdicts of {wanted.endpoint!r}'s judge depend on the order of the answers in {turned} of "
            f"{judged} pairs: its ties say nothing about quality, so choose another judge"
        )
    return Gathered(
        samples=samples,
        explored=len(receipts),
        left_out=dict(left_out),
        inconsistent=turned,
        judged=judged,
        router=router,
        cheap=cheap,
        expensive=expensive,
        policy="" if last is None else last.policy,
        targets={tier: target for tier, target in last_targets.items() if target},
        span_unix_s=(min(arrived), max(arrived)) if arrived else None,
    )


def _explored(rows: Iterable[Row], endpoint: str) -> tuple[list[Receipt], dict[_Key, list[Signal]]]:
    """The explored requests of `endpoint`, at least one, and the signals that compare two answers.

    Raises:
        NothingExplored: no request of the endpoint was explored.
    """
    receipts: list[Receipt] = []
    signals: dict[_Key, list[Signal]] = {}
    for row in rows:
        if isinstance(row, Receipt):
            if row.explored and not row.purpose and row.endpoint == endpoint:
                receipts.append(row)
        elif isinstance(row, Signal) and row.other and row.source in ("judge", "check"):
            signals.setdefault((row.tenant, row.request_id), []).append(row)
    if not receipts:
        raise NothingExplored(
            f"no request of {endpoint!r} was explored: set its quality.explore_share, and wait until "
            "there are some, or give a file with --samples"
        )
    return receipts, signals


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """Samples from either source, and their origin."""

    samples: list[Sample]
    left_out: dict[str, int]
    told: list[str]
    """Further remarks to print, one per line."""
    router: str
    cheap: str
    expensive: str
    policy: str
    targets: dict[str, str]
    """Tier to the target that was measured; empty if the samples do not say."""
    span_unix_s: tuple[float, float] | None = None
    """Arrival of the first and the last sample; None: they come from a file, not from this ledger."""


def from_file(path: Path, wanted: SampleFilter, *, since_unix_s: float | None) -> Given:
    """The samples of a file of JSON lines, whose router and tiers are those of `wanted`.

    Raises:
        BadSamples: as `route_samples.read`.
    """
    read = route_samples.read(path, since_unix_s=since_unix_s)
    remarks = []
    if read.repeated or read.early:
        remarks = [f"left out: {read.repeated:,} repeated, {read.early:,} too early or without a time"]
    return Given(
        samples=read.samples,
        left_out={"repeated": read.repeated, "early": read.early},
        told=remarks,
        router=wanted.router or "unnamed",
        cheap=wanted.cheap or "cheap",
        expensive=wanted.expensive or "expensive",
        policy="",
        targets={},
    )


def from_ledger(ledger: Path, wanted: SampleFilter, *, since_unix_s: float | None) -> Given:
    """The samples in a ledger directory.

    Raises:
        BadSamples: as `gather`.
    """
    found = gather(read_all(ledger, since_unix_s), wanted)
    tiers = f"{found.expensive} beside {found.cheap}"
    remarks = [
        f"{found.explored:,} explored requests of the ledger: {tiers}, by {found.router or 'no router'}"
    ]
    if found.left_out:
        remarks.append("left out: " + ", ".join(f"{n:,} {why}" for why, n in sorted(found.left_out.items())))
    if found.judged:
        remarks.append(
            f"{found.judged:,} pairs were judged in both orders; {found.inconsistent:,} verdicts depended on "
            "the order and count as ties"
        )
    remarks += _doubts(found)
    return Given(
        samples=found.samples,
        left_out=found.left_out,
        told=remarks,
        router=found.router,
        cheap=found.cheap,
        expensive=found.expensive,
        policy=found.policy,
        targets=found.targets,
        span_unix_s=found.span_unix_s,
    )


def _doubts(found: Gathered) -> list[str]:
    """Reasons to doubt that the samples are a random draw from current traffic."""
    remarks = []
    silent = found.left_out.get(UNREADY, 0)
    if silent > SILENT_MAX * (silent + len(found.samples)):
        remarks.append(
            f"CAREFUL: {silent:,} explored requests have no verdict. If these are of certain hours (no "
            "budget left, queue full) or kinds of request, the samples are not a random draw"
        )
    if found.span_unix_s is not None and found.span_unix_s[1] - found.span_unix_s[0] > AGE_MAX_S:
        remarks.append(
            f"CAREFUL: the samples span more than {AGE_MAX_S / 86_400:.0f} days, longer than a certificate "
            "is valid: use --since to leave out the old ones"
        )
    return remarks


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """Quality of both answers to one request."""

    cheap: float
    expensive: float
    consistent: bool | None
    """Whether the judge gave the same verdict in both orders; None: no judge was asked."""
    cheap_target: str = ""
    """Empty: unknown."""


def pair_of(signals: Iterable[Signal], cheap: str, expensive: str) -> Compared | None:
    """The quality that `signals` of one request give the answers of both tiers; None: not both were rated."""
    found: dict[tuple[str, str], dict[str, Signal]] = {}
    for one in signals:
        if one.quality is not None and {one.tier, one.other} == {cheap, expensive}:
            found.setdefault((one.source, one.kind), {})[one.tier] = one
    whole = {kind: pair for kind, pair in found.items() if len(pair) == 2}
    checks = [pair for (source, _), pair in whole.items() if source == "check"]
    judged = [pair for (source, _), pair in whole.items() if source == "judge"]
    pairs = checks or judged[-1:]
    if not pairs:
        return None
    return Compared(
        cheap=min(pair[cheap].quality or 0.0 for pair in pairs),
        expensive=min(pair[expensive].quality or 0.0 for pair in pairs),
        consistent=None if checks else pairs[0][cheap].consistent,
        cheap_target=pairs[0][cheap].target,
    )


def _unfit(receipt: Receipt, router: str, cheap: str, expensive: str) -> str:
    """Why a receipt cannot be a sample; empty if it can."""
    if receipt.route_by != router:
        return "another router"
    if (receipt.explored, receipt.tier) != (cheap, expensive):
        return "other tiers"
    if receipt.route_score is None or not 0.0 < receipt.propensity <= 1.0:
        return "no score"
    return ""


def _of_others(receipt: Receipt, found: Compared, cheap: str, targets: Mapping[str, str]) -> bool:
    """Whether a target other than the tier's first answered: that of an older configuration, or a
    fallback."""
    answered = (receipt.tier, receipt.target), (cheap, found.cheap_target)
    return any(target and targets.get(tier, target) != target for tier, target in answered)


def _sample(receipt: Receipt, found: Compared) -> Sample:
    assert receipt.route_score is not None
    return Sample(
        score=receipt.route_score,
        cheap=found.cheap,
        expensive=found.expensive,
        segments=segments_of(receipt.task_type, receipt.domain, receipt.language),
        key=f"{receipt.tenant} {receipt.request_id}",
        weight=1 / receipt.propensity,
    )
