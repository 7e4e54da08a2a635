"""Unit economics from the ledger: what requests cost and saved, and how long they took.

Money is summed in integer nano-dollars and is exact. Unknown amounts (no price, no usage, a process that
died) are counted separately, never as zero in a sum. Errors are part of every row: their cost and their time
were real.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from farthing.insight.policies.state import PolicyLine, said
from farthing.insight.prompt_cache import plan
from farthing.insight.prompt_cache.plan import PlanSums, PromptCachePlan
from farthing.insight.render import tables as layout
from farthing.insight.render.money import at_least, usd
from farthing.insight.render.rows import counted, hanging
from farthing.insight.report import groups, token_counts
from farthing.insight.report.aggregates import FEW, Cell, Savings, SavingSums, Sums
from farthing.insight.report.continued import Continued
from farthing.insight.report.continued import told as told_of_continued
from farthing.insight.report.failed import NAMES_MAX, moment
from farthing.insight.report.groups import WITHOUT_TIER, Grouped, GroupSums, milliseconds
from farthing.insight.report.hedges import Hedges
from farthing.insight.report.hedges import told as told_of_hedges
from farthing.insight.report.marks import MarkSavings, MarkSums
from farthing.insight.report.marks import told as told_of_marks
from farthing.insight.report.quality import Collector, Learned, short
from farthing.insight.report.semantic_cache import SemanticCell, SemanticSums
from farthing.insight.report.semantic_cache_state import Standings
from farthing.insight.report.semantic_cache_text import render_semantic
from farthing.insight.report.token_counts import TokenRatio
from farthing.insight.report.ways import Way, WaySums
from farthing.insight.report.ways import lines as way_lines
from farthing.ledger import read
from farthing.ledger.damage import Missing, describe_missing
from farthing.ledger.files import Unwritten
from farthing.ledger.rows import Intent
from farthing.types import Receipt, differs

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

ALL = "all"
NO_TIER = "-"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that `farthing report` shows."""

    since_unix_s: float | None
    until_unix_s: float
    endpoint: str | None
    """The one endpoint in the report; None: all."""
    requests: int
    unknown_outcome: int
    """Requests that called a provider in a process that died before their receipt. Their cost is unknown and
    not part of any sum. Of all endpoints, whatever the filter."""
    in_flight: int
    """Requests whose call may still be running."""
    cells: list[Cell]
    endpoints: list[Cell]
    """One per endpoint, over its tiers."""
    tiers: list[Cell]
    """One per tier, over all endpoints."""
    total: Cell
    savings: Savings
    semantic: list[SemanticCell] = []
    """One per endpoint whose semantic cache had lookups or background jobs."""
    quality: list[Learned] = []
    """Signals about the answers of each endpoint and tier, by source; `farthing quality` has more."""
    policies: list[PolicyLine] = []
    """One per endpoint with a routing policy; `farthing policy` has more."""
    token_ratios: list[TokenRatio] = []
    """How providers' token counts compare with ours, by family of models, whatever the filter."""
    differing: list["Differing"] = []
    """One per target that reports charges over 1 % different from our prices."""
    prompt_caches: list[PromptCachePlan] = []
    """One per endpoint with calls whose prompt caches were measured."""
    ways: list[Way] = []
    """What calls took in the network and at the provider, and which models answered, by target."""
    left_out: dict[str, int] = {}
    """Fields that providers were not told, with the number of requests; the most frequent first."""
    hedges: Hedges = msgspec.field(default_factory=Hedges)
    """Second calls beside slow ones."""
    continued: Continued = msgspec.field(default_factory=Continued)
    """Calls that went on with broken streams."""
    marks: MarkSavings = msgspec.field(default_factory=MarkSavings)
    """What our marks for prompt caches saved; not part of `savings`."""
    grouped: Grouped | None = None
    """The requested grouping; None: only by endpoint and tier."""
    endpoints_seen: list[str] = []
    """Endpoints with requests, whatever the filter; at most `NAMES_MAX`."""
    ledgers: list[str] = []
    """The directories that were read."""
    configuration: str | None = None
    """The file; None: there was none."""
    missing: Missing = msgspec.field(default_factory=Missing)
    """The damage in the ledger, which no sum includes. Of all endpoints, and of every segment that was read,
    because the time of missing rows is unknown."""
    unwritten: Unwritten = msgspec.field(default_factory=Unwritten)
    """Rows that found no space on the ledger's disk, of all endpoints and times; no sum includes them."""


class Differing(msgspec.Struct, kw_only=True):
    """Calls of a target, including background jobs, that it charged differently from our prices."""

    target: str
    calls: int = 0
    told_nusd: int = 0
    """The charge that it reports, which is booked."""
    reckoned_nusd: int = 0


def build(
    rows: Iterable[Intent | Receipt],
    *,
    since: float | None,
    until: float,
    endpoint: str | None = None,
    targets_s: Mapping[str, float] | None = None,
    standings: Standings | None = None,
    by: Sequence[str] = (),
) -> Report:
    """Sum up `rows` of requests that arrived in [since, until), in Unix seconds.

    `targets_s` is each endpoint's latency target, `standings` the state of its semantic cache, `by` further
    dimensions to group by (`groups.DIMENSIONS`). One pass, in memory that does not grow with the number of
    rows.
    """
    collected = _Collected(endpoint, targets_s or {}, by)
    for row in rows:
        if row.at_unix_s < until and (since is None or row.at_unix_s >= since):
            collected.add(row)
    return collected.report(since, until, standings)


class _Collected:
    """The sums of a report, filled row by row."""

    def __init__(self, endpoint: str | None, targets_s: Mapping[str, float], by: Sequence[str]) -> None:
        self._endpoint = endpoint
        self._targets_s = targets_s
        self._cells: dict[tuple[str, str], Sums] = {}
        self._savings = SavingSums()
        self._semantic = SemanticSums()
        self._calls: dict[tuple[str, float], Intent] = {}
        self._differing: dict[str, Differing] = {}
        self._groups = GroupSums(by) if by else None
        self._seen: set[str] = set()
        self._left_out: dict[str, int] = {}
        self._prompt_caches: dict[str, PlanSums] = {}
        self._hedges = Hedges()
        self._continued = Continued()
        self._marks = MarkSums()
        self._ways = WaySums()

    def add(self, row: Intent | Receipt) -> None:
        if isinstance(row, Intent):
            self._calls[row.request_id, row.at_unix_s] = row
            return
        self._calls.pop((row.request_id, row.at_unix_s), None)
        if len(self._seen) < NAMES_MAX:
            self._seen.add(row.endpoint)
        if self._endpoint is not None and row.endpoint != self._endpoint:
            return
        self._semantic.add(row)
        _add_differing(self._differing, row)
        self._ways.add(row)
        if row.purpose:
            self._savings.add_job(row)
            return
        key = (row.endpoint, row.tier or NO_TIER)
        cell = self._cells.get(key)
        if cell is None:
            cell = self._cells[key] = Sums(self._targets_s.get(row.endpoint))
        cell.add(row)
        _add_left_out(self._left_out, row)
        if row.attempts:
            self._prompt_caches.setdefault(row.endpoint, PlanSums()).add(row)
            self._marks.add(row)
        if len(row.attempts) > 1:
            self._hedges.add(row)
            self._continued.add(row)
        self._savings.add(row)
        if self._groups is not None:
            self._groups.add(row)

    def report(self, since: float | None, until: float, standings: Standings | None) -> Report:
        by_endpoint: dict[str, Sums] = {}
        by_tier: dict[str, Sums] = {}
        total = Sums(None)
        cells, calls, differing = self._cells, self._calls.values(), self._differing
        for (name, tier), cell in cells.items():
            by_endpoint.setdefault(name, Sums(self._targets_s.get(name))).merge(cell)
            by_tier.setdefault(tier, Sums(None)).merge(cell)
            total.merge(cell)
        return Report(
            since_unix_s=since,
            until_unix_s=until,
            endpoint=self._endpoint,
            requests=total.requests,
            unknown_outcome=sum(not intent.live for intent in calls),
            in_flight=sum(intent.live for intent in calls),
            cells=[cells[key].cell(*key, by_endpoint[key[0]].requests) for key in sorted(cells)],
            endpoints=[sums.cell(name, ALL, sums.requests) for name, sums in sorted(by_endpoint.items())],
            tiers=[sums.cell(ALL, tier, total.requests) for tier, sums in sorted(by_tier.items())],
            total=total.cell(ALL, ALL, total.requests),
            savings=self._savings.savings(),
            semantic=self._semantic.cells(standings),
            prompt_caches=[
                sums.plan(name) for name, sums in sorted(self._prompt_caches.items()) if sums.calls
            ],
            ways=self._ways.ways(),
            left_out=dict(sorted(self._left_out.items(), key=lambda one: (-one[1], one[0]))),
            hedges=self._hedges,
            continued=self._continued,
            marks=self._marks.savings(),
            differing=[differing[target] for target in sorted(differing)],
            grouped=None if self._groups is None else self._groups.grouped(),
            endpoints_seen=sorted(self._seen),
        )


def _add_differing(found: dict[str, Differing], receipt: Receipt) -> None:
    for attempt in receipt.attempts:
        if attempt.reckoned_nusd is not None and differs(attempt):
            one = found.setdefault(attempt.target, Differing(target=attempt.target))
            one.calls += 1
            one.told_nusd += attempt.cost_nusd or 0
            one.reckoned_nusd += attempt.reckoned_nusd


def _add_left_out(found: dict[str, int], receipt: Receipt) -> None:
    names = {
        name
        for one in receipt.attempts
        if one.left_out and not one.tier.startswith("check:")
        for name in one.left_out.split(", ")
    }
    for name in names:
        if name in found or len(found) < NAMES_MAX:
            found[name] = found.get(name, 0) + 1


def with_quality(report: Report, collector: Collector, ledger: Path | Sequence[Path]) -> Report:
    """`report` with quality, if there is any: the ledger is then read a second time."""
    if not collector.any:
        return report
    found = collector.joined(read.read_all(ledger, report.since_unix_s))
    return msgspec.structs.replace(report, quality=found.learned)


def rows(ledger: Path, since: float | None) -> Iterator[Intent | Receipt]:
    """The input of `build`, from a ledger directory; see `farthing.ledger.read.read`."""
    return read.read(ledger, since)


# -- text -------------------------------------------------------------------------------------------


def render(report: Report, console: "Console", rows_max: int = 30) -> None:
    """Print `report` as tables that fit the console, with at most `rows_max` rows of groups."""
    since = "the beginning" if report.since_unix_s is None else moment(report.since_unix_s)
    only = f", endpoint {report.endpoint}" if report.endpoint is not None else ""
    console.print(
        f"{counted(report.requests, 'request')} from {since} to {moment(report.until_unix_s)}"
        f"{layout.printable(only)}",
        markup=False,
        style="bold",
    )
    if report.requests:
        tables = _tables(report, console.width)
        if report.grouped is not None:
            tables = groups.render(report.grouped, rows_max, console.width)
        for shown in tables:
            console.print(shown)
        console.print()
        _print(_savings_lines(report.savings), console)
        if report.marks.calls or report.marks.unknown:
            _print((told_of_marks(report.marks),), console)
    if report.grouped is None:
        _render_beside(report, console)
    _print(_notes(report), console)


def _render_beside(report: Report, console: "Console") -> None:
    """The sections about things besides the receipts."""
    from rich.markup import escape

    render_semantic(report.semantic, console)
    if report.quality:
        console.print("\n[bold]Quality[/], each by its own scale; see `farthing quality`")
        _print(short(report.quality), console)
    if report.prompt_caches:
        console.print("\n[bold]Prompt caches[/] of providers, and what would make them pay more")
        told = (line for one in report.prompt_caches for line in plan.lines(one))
        _print(map(escape, map(layout.printable, told)), console)
    if report.policies:
        console.print("\n[bold]Routing policies[/], see `farthing policy`")
        _print((escape(said(policy)) for policy in report.policies), console)
    ways = list(way_lines(report.ways))
    if ways:
        console.print("\n[bold]Providers[/], by target")
        _print(map(escape, map(layout.printable, ways)), console)
    if report.token_ratios:
        console.print("\n[bold]Token counts[/] of providers, as multiples of our estimates")
        _print(map(escape, map(layout.printable, token_counts.lines(report.token_ratios))), console)


def _print(lines: Iterable[str], console: "Console") -> None:
    for line in lines:
        for row in hanging(line, console.width):
            console.print(row)


def _rows(report: Report) -> Iterator[tuple[Cell, str]]:
    """Cells in display order, each with its style: tiers of an endpoint, then the endpoint."""
    for endpoint in report.endpoints:
        for cell in report.cells:
            if cell.endpoint == endpoint.endpoint:
                yield cell, ""
        yield endpoint, "bold"
    if len(report.endpoints) > 1:
        for tier in report.tiers:
            yield tier, "dim"
        yield report.total, "bold"


COST = layout.Group("Cost", ("requests", "share", "errors", "$ per 1K", "$"))
CALLS = layout.Group("Tokens, calls and hits", ("in", "out", "calls", "hits"))
LATENCY = layout.Group("Latency, ms", ("avg", "P50", "P90", "P99", "max"))
TTFT = layout.Group("Time to first token, ms", ("TTFT P50", "TTFT P99"))
TARGET = layout.Group("Latency in target", ("in target",))


def _tables(report: Report, width: int) -> Iterator["Text"]:
    rows = list(_rows(report))
    held = any(cell.target_s is not None for cell, _ in rows)
    cost = [_line(cell, style, _costs(cell)) for cell, style in rows]
    took = [_line(cell, style, _times(cell)[: None if held else -1]) for cell, style in rows]
    names = ("endpoint", "tier")
    yield from layout.tables(names, (COST, CALLS), cost, width)
    yield from layout.tables(names, (LATENCY, TTFT, *((TARGET,) if held else ())), took, width)


def _line(cell: Cell, style: str, figures: tuple[str, ...]) -> layout.Line:
    return layout.Line((cell.endpoint, cell.tier), figures, style)


def _costs(cell: Cell) -> tuple[str, ...]:
    return (
        f"{cell.requests:,}{'*' if cell.few else ''}",
        f"{cell.share:.1%}",
        f"{cell.errors:,}",
        at_least(round(1_000 * (cell.cost_nusd or 0) / cell.requests), cell.unpriced, places=4),
        at_least(cell.cost_nusd or 0, cell.unpriced, places=6),
        f"{cell.input_tokens:,}",
        f"{cell.output_tokens:,}",
        f"{cell.calls_per_request:.2f}",
        f"{cell.hit_rate:.1%}",
    )


def _times(cell: Cell) -> tuple[str, ...]:
    took, ttft = cell.latency, cell.ttft
    times = (took.average, took.p50, took.p90, took.p99, took.max, ttft.p50, ttft.p99)
    average, *rest = (milliseconds(value, exact=took.exact) for value in times)
    within = "" if cell.within_target is None else f"{cell.within_target:.1%} of {cell.target_s:g} s"
    return (f"{average}{'*' if cell.few else ''}", *rest, within)


def _savings_lines(savings: Savings) -> Iterator[str]:
    from rich.markup import escape

    baseline = escape(layout.printable(", ".join(savings.baseline_targets))) or "no declared baseline"
    if not savings.requests:
        why = (
            _unpriced_baselines(savings) or "no request has a known cost and a baseline whose price is known"
        )
        yield f"[bold]Savings[/]: unknown; {why}"
        return
    if len(savings.baseline_targets) > 1:
        baseline = f"the baseline of each request ({baseline})"
    share = "" if savings.saved_share is None else f" ({savings.saved_share:+.1%})"
    yield (
        f"[bold]Saved {usd(savings.saved_nusd)}[/]{share}: {usd(savings.cost_nusd)} instead of "
        f"{usd(savings.baseline_nusd)} with {baseline}, over {counted(savings.requests, 'request')}"
    )
    parts = savings.parts
    yield (
        f"  = cache {usd(parts.cache_nusd)} + no model {usd(parts.no_llm_nusd)} "
        f"+ routing {usd(parts.routing_nusd)}"
        f"{f' - background jobs {usd(-parts.jobs_nusd)}' if savings.jobs else ''}"
    )
    for one in savings.per:
        yield (
            f"  per {one.requests:>9,} requests: {usd(one.saved_nusd, places=4)} "
            f"(95 %: {usd(one.low_nusd, places=4)} to {usd(one.high_nusd, places=4)})"
        )
    if savings.per:
        caution = f"; fewer than {FEW} requests: not reliable" if savings.few else ""
        yield f"  [dim]{savings.method}{caution}[/]"


def _unpriced_baselines(savings: Savings) -> str:
    """The baselines without a price, and the fix; empty: none."""
    from rich.markup import escape

    names = escape(layout.printable(", ".join(savings.baselines_unpriced)))
    if not names:
        return ""
    have = "s {} have" if len(savings.baselines_unpriced) > 1 else " {} has"
    return (
        f"the baseline{have.format(names)} no known price: correct a name that is mistyped, else add a price "
        "to \\[\\[prices]]; it counts for later requests"
    )


def _notes(report: Report) -> Iterator[str]:
    from rich.markup import escape

    total = report.total
    if total.unpriced:
        yield (
            f"cost unknown: {counted(total.unpriced, 'request')}, without a known price or without token "
            "counts; left out of all sums of money"
        )
    for one in report.differing:
        target = escape(layout.printable(one.target))
        yield (
            f"charged differently from the price: {target}, {counted(one.calls, 'call')}: it says "
            f"{usd(one.told_nusd)}, which is what counts here, and our prices say {usd(one.reckoned_nusd)}; "
            "correct its \\[\\[prices]]"
        )
    yield from _provider_notes(report)
    if report.savings.not_comparable:
        why = _unpriced_baselines(report.savings) if report.savings.requests else ""
        yield f"not in the saving: {_not_comparable(report.savings)}{why and f'; {why}'}"
    if report.savings.jobs_unpriced:
        yield (
            f"cost unknown: {counted(report.savings.jobs_unpriced, 'background job')}; left out of all sums "
            "of money"
        )
    yield from _unwritten(report)
    if report.in_flight:
        yield f"in flight: {counted(report.in_flight, 'request')}"
    if total.tokens_unknown:
        yield f"tokens unknown: {counted(total.tokens_unknown, 'request')}"
    if total.client_gone:
        yield f"client gone: {counted(total.client_gone, 'request')} whose client left before the end"
    if total.would_hit:
        yield f"the observing cache would have answered {counted(total.would_hit, 'request')}"
    if report.grouped is None and any(cell.tier == NO_TIER for cell in report.tiers):
        yield f"tier {NO_TIER}: no tier was chosen, since {WITHOUT_TIER}"
    grouped = () if report.grouped is None else report.grouped.groups
    few = any(one.requests < FEW for one in grouped) if grouped else any(one.few for one, _ in _rows(report))
    if few:
        yield f"[dim]* fewer than {FEW} requests[/]"
    if not total.latency.exact or not all(one.latency.exact for one in grouped):
        yield "[dim]~ from log buckets, within 2.5 %[/]"


def _not_comparable(savings: Savings) -> str:
    requests = counted(savings.not_comparable, "request")
    if savings.nothing_called == savings.not_comparable:
        return f"{requests} that ended before any call"
    ended = f", {savings.nothing_called:,} of them ended before any call" if savings.nothing_called else ""
    return f"{requests} without a known cost or baseline{ended}"


def _provider_notes(report: Report) -> Iterator[str]:
    """What providers were not told, which calls were made twice, and what their prompt caches did."""
    from rich.markup import escape

    total = report.total
    if report.hedges.calls:
        yield told_of_hedges(report.hedges)
    if report.continued.calls:
        yield told_of_continued(report.continued)
    if report.left_out:
        fields = ", ".join(f"{name} of {count:,}" for name, count in report.left_out.items())
        yield (
            f"left out of requests, since the provider does not take it: {escape(layout.printable(fields))}; "
            "`drop` of the provider says which may be"
        )
    if total.cached_tokens or total.cache_write_tokens:
        yield (
            f"prompt caches of providers: {total.cached_tokens:,} tokens read and "
            f"{total.cache_write_tokens:,} written, each charged at its own price"
        )


def _unwritten(report: Report) -> Iterator[str]:
    """Requests whose end the ledger does not have."""
    from rich.markup import escape

    damaged = bool(report.missing.places)
    if report.unknown_outcome:
        why = f"whose process died during a call{', or whose receipt is damaged' if damaged else ''}"
        yield f"unknown outcome: {counted(report.unknown_outcome, 'request')} {why}; in no sum"
    if damaged:
        yield f"damaged ledger: {escape(describe_missing(report.missing))}; in no sum"
    yield from lost(report.unwritten, report.since_unix_s)


def lost(unwritten: Unwritten, since_unix_s: float | None = None) -> Iterator[str]:
    """What the ledger has lost since then, and what waits."""
    first, last = unwritten.first_unix_s, unwritten.last_unix_s
    if unwritten.lost and first and last and (since_unix_s is None or last >= since_unix_s):
        when = f"between {moment(first)} and {moment(last)}"
        yield f"lost: {unwritten.lost:,} receipts and signals {when}, for lack of disk space; in no sum"
    if unwritten.waiting:
        yield f"not yet written: {counted(unwritten.waiting, 'row')}, waiting for disk space; in no sum"
