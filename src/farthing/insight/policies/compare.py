"""Compares the versions of a routing policy, from the ledger.

Each version is measured on the requests that it decided: cost, time, errors, share of cheap answers, and
people's feedback. Explored requests got the expensive answer whatever their version decided, so those figures
leave them out; they measure quality instead. Both tiers answered them and were compared, so for each explored
request the quality under either version is known, and the difference is taken request by request. Only
requests that the version's own router scored and its own two tiers answered are used.
"""

from collections.abc import Callable, Iterable, Mapping
from math import ceil

import msgspec

from farthing.guarantees.calibrate.explored import pair_of
from farthing.guarantees.certificates.routing import RouteCertificate, goes_cheap, segments_of
from farthing.guarantees.policy.versions import CONFIGURED, PolicyBook, label_of, number_of
from farthing.insight.render.money import usd
from farthing.ledger.read import Row
from farthing.stats.intervals import Difference, Measure, difference, mean, paired, quantile, share
from farthing.types import Receipt, Signal, saved_nusd

FEW = 100
"""Requests of a version below which nothing is concluded."""

Would = Callable[[float, tuple[str, ...]], bool]
"""Whether a version sends a request with a score and segments to the cheap tier."""


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One version. Every figure has a 95 % interval."""

    policy: str
    number: int
    arm: str
    """`serving`, `candidate`, or empty for a version that is neither any more."""
    requests: int
    """Requests it decided, without explored ones."""
    explored: int
    cost_nusd: Measure
    """Per request."""
    saved_nusd: Measure
    """Per request, against the baseline."""
    p50_ms: Measure
    p95_ms: Measure
    error_rate: Measure
    cheap_share: Measure
    """Share that went to the cheap tier."""
    judged: Measure
    """Quality, from 0 to 1, of the answers it would have given to the explored requests of both versions."""
    rated: Measure
    """Quality of the answers that clients received, according to a judge with a rubric or a check."""
    feedback: Measure
    """The same according to people."""


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """All versions of one endpoint that decided requests, and the candidate against the serving version."""

    endpoint: str
    since_unix_s: float | None
    versions: list[Measured]
    candidate: str
    """Label; empty: no version is on trial, so nothing is compared."""
    serving: str
    differences: dict[str, Difference]
    """By figure name: candidate minus serving."""
    verdict: str
    few: bool
    """Whether one of the two has too few requests."""


class _Arm:
    """The data gathered about one version."""

    def __init__(self) -> None:
        self.requests = self.explored = self.errors = self.cheap = 0
        self.cost: list[float] = []
        self.saved: list[float] = []
        self.took_ms: list[float] = []
        self.rated: list[float] = []
        self.feedback: list[float] = []

    def add(self, receipt: Receipt, cheap: str) -> None:
        self.requests += 1
        self.errors += receipt.status >= 400 and receipt.status != 499
        self.cheap += receipt.tier == cheap
        self.took_ms.append(receipt.total_ms)
        if receipt.cost_nusd is not None:
            self.cost.append(receipt.cost_nusd)
        saved = saved_nusd(receipt)
        if saved is not None:
            self.saved.append(saved)

    def add_signals(self, receipt: Receipt, signals: Iterable[Signal]) -> None:
        """Add the signals about the answer that the client received."""
        for signal in signals:
            if signal.quality is None or signal.other or signal.tier not in ("", receipt.tier):
                continue
            if signal.source == "feedback":
                self.feedback.append(signal.quality)
            elif signal.source in ("judge", "check"):
                self.rated.append(signal.quality)


def compare(
    rows: Iterable[Row], book: PolicyBook, *, threshold: float | None = None, since: float | None = None
) -> Compared:
    """Compare the versions of `book`. `threshold` is the configuration's own, by which version 0 is judged on
    explored requests; None: version 0 is not judged."""
    receipts, signals = _gathered(rows, book.endpoint)
    cheap = {one.number: one.certificate.scope.cheap for one in book.versions}
    any_cheap = next(iter(reversed(cheap.values())), "cheap")
    arms: dict[int, _Arm] = {}
    for receipt in receipts:
        number = number_of(receipt.route_policy)
        if number is None:
            continue
        arm = arms.setdefault(number, _Arm())
        if receipt.explored:
            arm.explored += 1
            continue
        arm.add(receipt, cheap.get(number, any_cheap))
        arm.add_signals(receipt, signals.get((receipt.tenant, receipt.request_id), ()))
    for number in (book.serving, book.candidate):
        if number is not None:
            arms.setdefault(number, _Arm())
    pairs = [pair for pair in (_pair(receipt, signals) for receipt in receipts) if pair is not None]
    scopes = {one.number: _scope_of(one.certificate) for one in book.versions}
    scopes[CONFIGURED] = max(pairs, key=lambda pair: pair.at_unix_s).scope if pairs else ("", "", "")
    judged: dict[int, list[float | None]] = {}
    for number in arms:
        rule = _would(book, number, threshold)
        known = [rule is not None and pair.scope == scopes.get(number) for pair in pairs]
        judged[number] = [
            pair.under(rule) if fits and rule is not None else None
            for pair, fits in zip(pairs, known, strict=True)
        ]
    versions = [
        _measured(book, number, arms[number], [one for one in judged[number] if one is not None])
        for number in sorted(arms)
    ]
    candidate = book.candidate
    differences: dict[str, Difference] = {}
    if candidate is not None:
        by_number = {one.number: one for one in versions}
        differences = _differences(by_number[candidate], by_number[book.serving])
        both = zip(judged[candidate], judged[book.serving], strict=True)
        differences["judged"] = paired([a - b for a, b in both if a is not None and b is not None])
    few = candidate is not None and min(arms[candidate].requests, arms[book.serving].requests) < FEW
    return Compared(
        endpoint=book.endpoint,
        since_unix_s=since,
        versions=versions,
        candidate="" if candidate is None else label_of(book.endpoint, candidate),
        serving=label_of(book.endpoint, book.serving),
        differences=differences,
        verdict=_verdict(book, arms, differences),
        few=few,
    )


def _gathered(
    rows: Iterable[Row], endpoint: str
) -> tuple[list[Receipt], dict[tuple[str, str], list[Signal]]]:
    """The requests that a version decided, and the signals about each, by tenant and request: the latest of
    each source, kind and tier."""
    receipts: list[Receipt] = []
    last: dict[tuple[str, ...], Signal] = {}
    for row in rows:
        if isinstance(row, Receipt):
            if row.endpoint == endpoint and row.route_policy and not row.purpose:
                receipts.append(row)
        elif isinstance(row, Signal) and row.endpoint in ("", endpoint):
            key = (row.tenant, row.request_id, row.source, row.kind, row.tier)
            before = last.get(key)
            if before is None or before.at_unix_s <= row.at_unix_s:
                last[key] = row
    signals: dict[tuple[str, str], list[Signal]] = {}
    for signal in last.values():
        signals.setdefault((signal.tenant, signal.request_id), []).append(signal)
    return receipts, signals


class _Pair(msgspec.Struct, frozen=True):
    """An explored request whose two answers were compared."""

    scope: tuple[str, str, str]
    """Router, cheap and expensive tier: versions with another scope are not comparable by its score."""
    at_unix_s: float
    score: float
    segments: tuple[str, ...]
    cheap: float
    expensive: float

    def under(self, would: Would) -> float:
        """Quality of the answer that a version would have given."""
        return self.cheap if would(self.score, self.segments) else self.expensive


def _pair(receipt: Receipt, signals: Mapping[tuple[str, str], list[Signal]]) -> _Pair | None:
    if not receipt.explored or receipt.route_score is None:
        return None
    about = signals.get((receipt.tenant, receipt.request_id), ())
    found = pair_of(about, receipt.explored, receipt.tier)
    if found is None:
        return None
    return _Pair(
        (receipt.route_by, receipt.explored, receipt.tier),
        receipt.at_unix_s,
        receipt.route_score,
        segments_of(receipt.task_type, receipt.domain, receipt.language),
        found.cheap,
        found.expensive,
    )


def _scope_of(certificate: RouteCertificate) -> tuple[str, str, str]:
    scope = certificate.scope
    return scope.router, scope.cheap, scope.expensive


def _would(book: PolicyBook, number: int, threshold: float | None) -> Would | None:
    if number == CONFIGURED:
        return None if threshold is None else lambda score, _: score >= threshold
    version = book.version(number)
    if version is None:
        return None
    certificate = version.certificate
    return lambda score, segments: goes_cheap(certificate, score, segments)


def _measured(book: PolicyBook, number: int, arm: _Arm, judged: list[float]) -> Measured:
    role = {book.serving: "serving", book.candidate: "candidate"}.get(number, "")
    return Measured(
        policy=label_of(book.endpoint, number),
        number=number,
        arm=role,
        requests=arm.requests,
        explored=arm.explored,
        cost_nusd=mean(arm.cost),
        saved_nusd=mean(arm.saved),
        p50_ms=quantile(arm.took_ms, 0.5),
        p95_ms=quantile(arm.took_ms, 0.95),
        error_rate=share(arm.errors, arm.requests),
        cheap_share=share(arm.cheap, arm.requests),
        judged=mean(judged),
        rated=mean(arm.rated),
        feedback=mean(arm.feedback),
    )


FIGURES = {
    "cost_nusd": "cost per request",
    "saved_nusd": "saved per request",
    "p50_ms": "P50",
    "p95_ms": "P95",
    "error_rate": "errors",
    "cheap_share": "goes cheap",
    "judged": "judged quality",
    "rated": "rated quality",
    "feedback": "feedback",
}
"""The compared figures, by their readable names."""


def _differences(candidate: Measured, serving: Measured) -> dict[str, Difference]:
    return {name: difference(getattr(candidate, name), getattr(serving, name)) for name in FIGURES}


def _verdict(book: PolicyBook, arms: Mapping[int, _Arm], differences: Mapping[str, Difference]) -> str:
    """The conclusion, in words."""
    if book.candidate is None:
        return _to_begin(book)
    least = min(arms[book.candidate].requests, arms[book.serving].requests)
    if least < FEW:
        smaller = min(book.share, 1 - book.share)
        return (
            f"not enough requests: about {ceil((FEW - least) / smaller):,} more of the endpoint are needed "
            "for a conclusion"
        )
    parts = [_of_cost(differences["cost_nusd"]), _of_quality(book.endpoint, differences)]
    errors = differences["error_rate"]
    if errors.verdict == "higher":
        parts.append("it FAILS MORE OFTEN")
    return "; ".join(part for part in parts if part)


def _of_cost(cost: Difference) -> str:
    if cost.verdict == "not shown" or cost.value is None:
        more = f": about {cost.more_needed:,} more requests" if cost.more_needed else ""
        return f"whether the candidate costs less is not shown{more}"
    way = "less" if cost.value < 0 else "MORE"
    return f"the candidate costs {usd(abs(round(cost.value)))} {way} a request"


def _of_quality(endpoint: str, differences: Mapping[str, Difference]) -> str:
    """The judged difference if there is one, because it compares both versions on each request."""
    for name in ("judged", "rated", "feedback"):
        found = differences[name]
        if found.value is None or found.low is None:
            continue
        if found.verdict != "not shown":
            way = "better" if found.value > 0 else "WORSE"
            return f"{FIGURES[name]} is {way} by {abs(found.value):.3f}"
        more = (
            f", about {found.more_needed:,} more would show a difference of this size"
            if found.more_needed
            else ""
        )
        return f"no difference in {FIGURES[name]} is shown, it loses at most {max(0.0, -found.low):.3f}{more}"
    return (
        f"nothing is known about quality: set endpoints.{endpoint}.quality.explore_share and a judge or "
        "checks, so that answers of both are compared"
    )


def _to_begin(book: PolicyBook) -> str:
    """How a comparison begins where no version is on trial."""
    if not book.versions:
        return "there is no version: `farthing calibrate route --apply` makes the first from judged samples"
    other = next((one.number for one in reversed(book.versions) if one.number != book.serving), CONFIGURED)
    which = "the configuration" if other == CONFIGURED else f"version {other}"
    return (
        f"no version is on trial: `farthing policy canary --endpoint {book.endpoint} --version {other}` "
        f"compares {which} with what serves"
    )
