"""Samples for calibrating a router, from the ledger: explored requests and what was said of both answers.

A sample needs the receipt of the client's request, which says that another tier was `explored`, and signals
that hold the two answers against each other: those of a check or a judge, one for each tier, each naming the
other. What people or retries say is about one answer alone and never stands in for a pair. Only signals of
the request's own tenant count. Of several checks an answer has what the worst gives it; where checks could
tell, the judge is not heard.
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
    0.5  # a judge that turns with the order more often than not, tells of chance rather than quality
)
TURNING_PAIRS_MIN = 20
SILENT_MAX = 0.2  # of the explored requests: with more, who had no verdict is told of

_Key = tuple[str, str]


class NothingExplored(BadSamples):
    """The ledger has no explored request of the endpoint."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Of which samples. None: as the newest explored request has it."""

    endpoint: str
    router: str | None = None
    cheap: str | None = None
    expensive: str | None = None
    targets: Mapping[str, str] = {}
    """Tier to the target that it asks first now; samples of another are left out. Empty: not known."""


class Gathered(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger has."""

    samples: list[Sample]
    explored: int
    """Explored requests of the endpoint, those left out among them."""
    left_out: dict[str, int]
    """How many gave no sample, by reason."""
    inconsistent: int
    """Samples that are ties because the judge turned with the order of the answers."""
    judged: int
    """Samples whose pair was compared by a judge, in both orders."""
    router: str
    cheap: str
    expensive: str
    policy: str
    """Version of the configuration of the newest sample."""
    targets: dict[str, str]
    """Tier to the target that answered the newest sample."""
    span_unix_s: tuple[float, float] | None
    """Arrival of the first and of the last sample; None of none."""


def gather(rows: Iterable[Row], wanted: Wanted) -> Gathered:
    """Join `rows`, in any order.

    Raises:
        NothingExplored: no request of the endpoint was explored.
        BadSamples: its judge turns with the order of the answers.
    """
    receipts: list[Receipt] = []
    signals: dict[_Key, list[Signal]] = {}
    for row in rows:
        if isinstance(row, Receipt):
            if row.explored and not row.purpose and row.endpoint == wanted.endpoint:
                receipts.append(row)
        elif isinstance(row, Signal) and row.other and row.source in ("judge", "check"):
            signals.setdefault((row.tenant, row.request_id), []).append(row)
    if not receipts:
        raise NothingExplored(
            f"no request of {wanted.endpoint!r} was explored: set its quality.explore_share, and wait until "
            "there are some, or give a file with --samples"
        )
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
            why = "its id was used again"  # nobody knows which of them a signal is about
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
            f"the judge of {wanted.endpoint!r} changed its mind with the order of the answers in {turned} of "
            f"{judged} pairs: its ties say nothing of quality, so choose another judge"
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


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """Samples of either source, and what they are of."""

    samples: list[Sample]
    left_out: dict[str, int]
    told: list[str]
    """What to say of them besides, a line each."""
    router: str
    cheap: str
    expensive: str
    policy: str
    targets: dict[str, str]
    """Tier to the target that was measured; empty where the samples do not say."""
    span_unix_s: tuple[float, float] | None = None
    """Arrival of the first and of the last; None: they are from a file, and not of this ledger's traffic."""


def from_file(path: Path, wanted: Wanted, *, since_unix_s: float | None) -> Given:
    """The samples of a file of JSON lines, whose router and tiers are as `wanted` says.

    Raises:
        BadSamples: as `route_samples.read`.
    """
    read = route_samples.read(path, since_unix_s=since_unix_s)
    told = []
    if read.repeated or read.early:
        told = [f"left out: {read.repeated:,} repeated, {read.early:,} too early or without a time"]
    return Given(
        samples=read.samples,
        left_out={"repeated": read.repeated, "early": read.early},
        told=told,
        router=wanted.router or "unnamed",
        cheap=wanted.cheap or "cheap",
        expensive=wanted.expensive or "expensive",
        policy="",
        targets={},
    )


def from_ledger(ledger: Path, wanted: Wanted, *, since_unix_s: float | None) -> Given:
    """The samples of the ledger in a directory.

    Raises:
        BadSamples: as `gather`.
    """
    found = gather(read_all(ledger, since_unix_s), wanted)
    tiers = f"{found.expensive} beside {found.cheap}"
    told = [f"{found.explored:,} explored requests of the ledger: {tiers}, by {found.router or 'no router'}"]
    if found.left_out:
        told.append("left out: " + ", ".join(f"{n:,} {why}" for why, n in sorted(found.left_out.items())))
    if found.judged:
        told.append(
            f"{found.judged:,} pairs were judged in both orders; {found.inconsistent:,} verdicts turned with "
            "the order, which counts as a tie"
        )
    told += _doubts(found)
    return Given(
        samples=found.samples,
        left_out=found.left_out,
        told=told,
        router=found.router,
        cheap=found.cheap,
        expensive=found.expensive,
        policy=found.policy,
        targets=found.targets,
        span_unix_s=found.span_unix_s,
    )


def _doubts(found: Gathered) -> list[str]:
    """What speaks against taking the samples for a draw by chance from the traffic of now."""
    told = []
    silent = found.left_out.get(UNREADY, 0)
    if silent > SILENT_MAX * (silent + len(found.samples)):
        told.append(
            f"CAREFUL: {silent:,} explored requests have no verdict. If those are of certain hours (no money "
            "left, no room) or of certain kinds, the samples are no fair draw"
        )
    if found.span_unix_s is not None and found.span_unix_s[1] - found.span_unix_s[0] > AGE_MAX_S:
        told.append(
            f"CAREFUL: the samples are of more than {AGE_MAX_S / 86_400:.0f} days, longer than a certificate "
            "holds: --since leaves out the old ones"
        )
    return told


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """Quality of both answers to one request."""

    cheap: float
    expensive: float
    consistent: bool | None
    """Whether the judge said the same in both orders; None: no judge was asked."""
    cheap_target: str = ""
    """Empty: not known."""


def pair_of(signals: Iterable[Signal], cheap: str, expensive: str) -> Compared | None:
    """What `signals` of one request say of the answers of both tiers; None: not of both."""
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
    """Why a receipt cannot be a sample; empty: it can."""
    if receipt.route_by != router:
        return "another router"
    if (receipt.explored, receipt.tier) != (cheap, expensive):
        return "other tiers"
    if receipt.route_score is None or not 0.0 < receipt.propensity <= 1.0:
        return "no score"
    return ""


def _of_others(receipt: Receipt, found: Compared, cheap: str, targets: Mapping[str, str]) -> bool:
    """Whether another target than the tier's first answered: one of an older configuration, or a stand-in."""
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
