"""The quality of answers: the ledger's signals, joined with the receipts that they concern.

Sources are never mixed: a thumb, a judge's grade and a check's verdict have different scales, and a repeated
question says little. Undecided signals are counted separately, and are not part of a mean. A signal counts if
its request was answered, and belongs to the tenant that sent it.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from farthing.guarantees.calibrate import judge_error
from farthing.guarantees.calibrate.judge_error import Estimate
from farthing.guarantees.calibrate.labels import Labels
from farthing.insight.render import tables
from farthing.insight.render.money import at_least
from farthing.insight.report.failed import NAMES_MAX
from farthing.ledger.read import Row
from farthing.ledger.rows import Intent
from farthing.stats.exact_tests import interval
from farthing.types import Receipt, Signal

if TYPE_CHECKING:
    from rich.console import Console

PURPOSES = ("judge", "explore")
"""The background jobs that quality measurement pays for."""


class Learned(msgspec.Struct, frozen=True, kw_only=True):
    """One source's verdict on the answers of one endpoint and tier."""

    endpoint: str
    tier: str
    source: str
    kind: str
    n: int
    """Answers examined."""
    unknown: int
    """Of these, undecided."""
    quality: Estimate | None
    """Mean of the known ones; None without any. Not given for repeats, which are only counted."""
    requests: int
    """Answered requests of that endpoint and tier; 0 if the tier only answered in the background."""
    corrected: Estimate | None = None
    """Corrected by people's labels; None without labels, or with too few."""
    corrected_share: Estimate | None = None
    """The same from sensitivity and specificity, if all values are 0 or 1."""


class Judging(msgspec.Struct, frozen=True, kw_only=True):
    """How a judge compared pairs at one endpoint."""

    endpoint: str
    pairs: int
    """Pairs asked in both orders, with a verdict in both."""
    consistent: int
    low: float
    """95 % interval of the consistent share."""
    high: float
    unknown: int
    """Pairs without a verdict."""


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """The cost of one purpose's background jobs at one endpoint."""

    endpoint: str
    purpose: str
    calls: int
    unpriced: int
    """Of these, of unknown cost; not part of the sum."""
    cost_nusd: int


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that `farthing quality` reports."""

    since_unix_s: float | None
    until_unix_s: float
    endpoint: str | None
    learned: list[Learned]
    judging: list[Judging]
    costs: list[Cost]
    unmatched: int
    """Signals without a matching request: it is missing, belongs to another tenant, or was not answered."""


class Collector:
    """Takes the rows of a ledger once, then once more for their receipts. Memory grows with the signals."""

    def __init__(self, *, since: float | None, until: float, endpoint: str | None = None) -> None:
        self._since = since
        self._until = until
        self._endpoint = endpoint
        self._signals: dict[tuple[str, str, str, str, str], Signal] = {}
        """The latest of each request, source, kind, tier and sender: nobody replaces another's signal."""
        self._requests: dict[tuple[str, str], int] = {}
        self._costs: dict[tuple[str, str], list[int]] = {}
        self.endpoints: set[str] = set()
        """Endpoints with requests, whatever the filter; at most `NAMES_MAX`."""

    @property
    def any(self) -> bool:
        return bool(self._signals)

    def take(self, row: Row) -> None:
        if isinstance(row, Intent) or row.at_unix_s >= self._until:
            return
        if isinstance(row, Signal):
            key = (row.request_id, row.source, row.kind, row.tier, row.tenant)
            before = self._signals.get(key)
            if before is None or before.at_unix_s <= row.at_unix_s:
                self._signals[key] = row
            return
        if len(self.endpoints) < NAMES_MAX:
            self.endpoints.add(row.endpoint)
        if self._endpoint is not None and row.endpoint != self._endpoint:
            return
        elif row.purpose in PURPOSES:
            sums = self._costs.setdefault((row.endpoint, row.purpose), [0, 0, 0])
            sums[0] += 1
            sums[1] += row.cost_nusd is None
            sums[2] += row.cost_nusd or 0
        elif not row.purpose and row.status == 200:
            cell = (row.endpoint, row.tier)
            self._requests[cell] = self._requests.get(cell, 0) + 1

    def passing(self, rows: Iterable[Row]) -> Iterator[Intent | Receipt]:
        """`rows` without signals, which are taken on the way."""
        for row in rows:
            self.take(row)
            if not isinstance(row, Signal):
                yield row

    def joined(self, rows: Iterable[Row], labels: Labels | None = None) -> Quality:
        """The result, joined with the receipts among `rows`, which must be the rows that were taken."""
        of_request: dict[tuple[str, str], list[Signal]] = {}
        for signal in self._signals.values():
            of_request.setdefault((signal.tenant, signal.request_id), []).append(signal)
        groups: dict[tuple[str, str, str, str], list[Signal]] = {}
        matched = 0
        for row in rows:
            if not isinstance(row, Receipt) or row.purpose or row.status != 200:
                continue
            for signal in of_request.pop((row.tenant, row.request_id), ()):
                matched += 1
                if self._endpoint in (None, row.endpoint):
                    if signal.tier == row.tier:  # the answer that the client received, like an empty tier
                        signal = msgspec.structs.replace(signal, tier="")
                    key = (row.endpoint, signal.tier or row.tier, signal.source, signal.kind)
                    groups.setdefault(key, []).append(signal)
        return Quality(
            since_unix_s=self._since,
            until_unix_s=self._until,
            endpoint=self._endpoint,
            learned=[self._learned(key, groups[key], labels) for key in sorted(groups)],
            judging=_judging(groups),
            costs=[
                Cost(endpoint=name, purpose=purpose, calls=sums[0], unpriced=sums[1], cost_nusd=sums[2])
                for (name, purpose), sums in sorted(self._costs.items())
            ],
            unmatched=len(self._signals) - matched,
        )

    def _learned(
        self, key: tuple[str, str, str, str], signals: Sequence[Signal], labels: Labels | None
    ) -> Learned:
        endpoint, tier, source, kind = key
        known = [signal.quality for signal in signals if signal.quality is not None]
        found = Learned(
            endpoint=endpoint,
            tier=tier,
            source=source,
            kind=kind,
            n=len(signals),
            unknown=len(signals) - len(known),
            quality=None if source == "reask" else judge_error.plain(known),
            requests=self._requests.get((endpoint, tier), 0),
        )
        return _corrected(found, signals, labels) if labels is not None and source == "judge" else found


def _corrected(found: Learned, signals: Sequence[Signal], labels: Labels) -> Learned:
    """`found`, corrected by people's labels for some of the same answers."""
    both: list[tuple[float, float]] = []
    judged: list[float] = []
    for signal in signals:
        if signal.quality is None:
            continue
        label = labels.get((signal.request_id, found.tier))
        if label is None and not signal.tier:
            label = labels.get((signal.request_id, ""))
        if label is None:
            judged.append(signal.quality)
        else:
            both.append((signal.quality, label))
    share = None
    if {*judged, *(one for pair in both for one in pair)} <= {0.0, 1.0}:
        share = judge_error.share([(bool(a), bool(b)) for a, b in both], [bool(one) for one in judged])
    return msgspec.structs.replace(found, corrected=judge_error.mean(both, judged), corrected_share=share)


def _judging(groups: dict[tuple[str, str, str, str], list[Signal]]) -> list[Judging]:
    """The pairs of each endpoint, each counted once although both answers have a signal."""
    pairs: dict[str, dict[str, Signal]] = {}
    for (endpoint, _, source, kind), signals in groups.items():
        if source == "judge" and kind == "pairwise":
            there = pairs.setdefault(endpoint, {})
            there.update({signal.request_id: signal for signal in signals})
    found = []
    for endpoint, signals_of in sorted(pairs.items()):
        asked = [signal for signal in signals_of.values() if signal.consistent is not None]
        consistent = sum(signal.consistent is True for signal in asked)
        low, high = interval(consistent, len(asked)) or (0.0, 1.0)
        found.append(
            Judging(
                endpoint=endpoint,
                pairs=len(asked),
                consistent=consistent,
                low=low,
                high=high,
                unknown=sum(signal.quality is None for signal in signals_of.values()),
            )
        )
    return found


# -- text -------------------------------------------------------------------------------------------

COLUMNS = (
    tables.Group("Quality", ("looked at", "unknown", "mean", "95 %")),
    tables.Group("Quality, corrected by labels", ("with labels", "95 %")),
)


def render(found: Quality, console: "Console") -> None:
    """Print the result as a table that fits the console."""
    if not found.learned:
        console.print("nothing is known about the quality of answers; see docs/quality.md for how to")
    else:
        lines = [
            tables.Line(
                (one.endpoint, one.tier, f"{one.source} {one.kind}".strip()),
                (
                    f"{one.n:,}",
                    f"{one.unknown:,}",
                    *_shown(one),
                    *_interval(one.corrected or one.corrected_share),
                ),
            )
            for one in found.learned
        ]
        for shown in tables.tables(("endpoint", "tier", "by"), COLUMNS, lines, console.width):
            console.print(shown)
    for line in _lines(found):
        console.print(line)


def _shown(one: Learned) -> tuple[str, str]:
    if one.source == "reask":
        return (f"{one.n / one.requests:.1%}" if one.requests else "", "of requests")
    return _interval(one.quality, "unknown")


def _interval(of: Estimate | None, absent: str = "") -> tuple[str, str]:
    return (absent, "") if of is None else (f"{of.mean:.3f}", f"{of.low:.3f}-{of.high:.3f}")


def short(learned: Sequence[Learned]) -> Iterator[str]:
    """One line per source, for a report on other things."""
    from rich.markup import escape

    for one in learned:
        figures = f"asked again in {one.n:,}" if one.source == "reask" else "unknown"
        if one.quality is not None:
            quality = one.quality
            figures = f"{quality.mean:.3f} (95 %: {quality.low:.3f} to {quality.high:.3f}) of {quality.n:,}"
        yield f"  {escape(f'{one.endpoint} {one.tier}, by {one.source} {one.kind}'.rstrip())}: {figures}"


def _lines(found: Quality) -> Iterator[str]:
    for one in found.judging:
        if one.pairs:
            within = f"95 %: {one.low:.1%} to {one.high:.1%}"
            yield (
                f"judge of {one.endpoint}: the same verdict in both orders in {one.consistent:,} of "
                f"{one.pairs:,} pairs, {one.consistent / one.pairs:.1%} ({within})"
            )
        if one.unknown:
            yield f"judge of {one.endpoint}: no verdict on {one.unknown:,} pairs"
    for cost in found.costs:
        unpriced = f", {cost.unpriced:,} of unknown cost" if cost.unpriced else ""
        money = at_least(cost.cost_nusd, cost.unpriced)
        yield f"{cost.purpose} for {cost.endpoint}: {cost.calls:,} calls, {money}{unpriced}"
    if found.unmatched:
        yield f"not counted: {found.unmatched:,} signals without an answered request of their tenant"
