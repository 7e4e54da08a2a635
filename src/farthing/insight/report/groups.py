"""Requests grouped by who asked, what answered, and when: one row per value, or set of values."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from farthing.insight.render import tables
from farthing.insight.render.money import at_least, usd
from farthing.insight.report.aggregates import FEW, Quantiles, Sums
from farthing.types import Receipt, saved_nusd

if TYPE_CHECKING:
    from rich.text import Text

GROUPS_MAX = 4_000
"""The maximum number of groups; requests of later ones are summed up as others."""
FIXED = "none"
"""The tier of fixed answers."""
WITHOUT_TIER = "the client named a model that is in none, or the request was refused before"
EXACT_MAX = 1_000
"""Durations of a group up to which its quantiles are exact."""


def _day(receipt: Receipt) -> str:
    return datetime.fromtimestamp(receipt.at_unix_s, UTC).date().isoformat()


def _model(receipt: Receipt) -> str:
    """The target; of a fixed answer the tier `none`, which no target is called."""
    return receipt.target or (receipt.tier if receipt.tier == FIXED else "")


DIMENSIONS: Mapping[str, Callable[[Receipt], str | None]] = {
    "endpoint": lambda receipt: receipt.endpoint,
    "tier": lambda receipt: receipt.tier,
    "tenant": lambda receipt: receipt.tenant,
    "user": lambda receipt: receipt.user,
    "key": lambda receipt: receipt.key,
    "model": _model,
    "session": lambda receipt: receipt.session or "",
    "agent": lambda receipt: receipt.agent,
    "dialect": lambda receipt: receipt.dialect,
    "operation": lambda receipt: receipt.operation,
    "day": _day,
}
"""What requests can be grouped by. An empty value: there was none; None: unknown."""
EMPTY = {
    "user": "(none named)",
    "key": "(no key)",
    "model": "(none answered)",
    "tier": "(none chosen)",
    "session": "(no session)",
    "agent": "(none named)",
}
"""Labels of empty values."""
FIXED_MODEL = "(fixed answer)"


class Group(Struct, frozen=True, kw_only=True):
    """Requests with the same values."""

    values: dict[str, str | None]
    """By dimension. Empty for the others."""
    requests: int
    share: float
    """Share of all requests in the report."""
    errors: int
    client_gone: int
    cost_nusd: int | None
    """As in a cell of the report: total of the priced requests; None if nothing is known."""
    cost_per_1k_nusd: int | None
    unpriced: int
    saved_nusd: int | None
    """Against the baseline, without the cost of background jobs; None if no request has both a cost and a
    baseline."""
    not_comparable: int
    input_tokens: int
    output_tokens: int
    tokens_unknown: int
    calls: int
    hits: int
    hit_rate: float
    latency: Quantiles
    ttft: Quantiles


class Grouped(Struct, frozen=True, kw_only=True):
    """All groups: by day in order of time, otherwise the most expensive first."""

    by: list[str]
    groups: list[Group]
    others: Group | None
    """Beyond `GROUPS_MAX` groups, all later ones together; None: there are no more."""


class _Sum:
    def __init__(self) -> None:
        self.sums = Sums(None, EXACT_MAX)
        self.saved_nusd = self.comparable = 0

    def add(self, receipt: Receipt) -> None:
        self.sums.add(receipt)
        saved = saved_nusd(receipt)
        if saved is not None:
            self.saved_nusd += saved
            self.comparable += 1

    def group(self, values: dict[str, str | None], of: int) -> Group:
        cell = self.sums.cell("", "", of)
        return Group(
            values=values,
            requests=cell.requests,
            share=cell.share,
            errors=cell.errors,
            client_gone=cell.client_gone,
            cost_nusd=cell.cost_nusd,
            cost_per_1k_nusd=cell.cost_per_1k_nusd,
            unpriced=cell.unpriced,
            saved_nusd=self.saved_nusd if self.comparable else None,
            not_comparable=cell.requests - self.comparable,
            input_tokens=cell.input_tokens,
            output_tokens=cell.output_tokens,
            tokens_unknown=cell.tokens_unknown,
            calls=cell.calls,
            hits=cell.hits,
            hit_rate=cell.hit_rate,
            latency=cell.latency,
            ttft=cell.ttft,
        )


class GroupSums:
    """Filled receipt by receipt, in memory bounded by `GROUPS_MAX`."""

    def __init__(self, by: Sequence[str]) -> None:
        self._by = list(by)
        self._values = [DIMENSIONS[name] for name in by]
        self._sums: dict[tuple[str | None, ...], _Sum] = {}
        self._others: _Sum | None = None
        self._requests = 0

    def add(self, receipt: Receipt) -> None:
        self._requests += 1
        key = tuple(value(receipt) for value in self._values)
        found = self._sums.get(key)
        if found is None:
            if len(self._sums) < GROUPS_MAX:
                found = self._sums[key] = _Sum()
            else:
                found = self._others = self._others or _Sum()
        found.add(receipt)

    def grouped(self) -> Grouped:
        groups = [
            sums.group(dict(zip(self._by, key, strict=True)), self._requests)
            for key, sums in self._sums.items()
        ]
        groups.sort(key=_order)
        others = None if self._others is None else self._others.group({}, self._requests)
        return Grouped(by=self._by, groups=groups, others=others)


def _order(group: Group) -> tuple[str, int, int, str]:
    named = " ".join(value or "" for value in group.values.values())
    return group.values.get("day") or "", -(group.cost_nusd or 0), -group.requests, named


# -- text -------------------------------------------------------------------------------------------

COLUMNS = (
    tables.Group("Requests and cost", ("requests", "share", "errors", "$ per 1K", "$", "$ saved")),
    tables.Group("Tokens and hits", ("in", "out", "hits")),
    tables.Group("Latency, ms", ("P50", "P99")),
)


def render(grouped: Grouped, rows_max: int, width: int) -> Iterator["Text"]:
    """A table of at most `rows_max` groups: the newest days, or the most expensive groups."""
    from rich.text import Text

    groups = grouped.groups
    newest = "day" in grouped.by
    shown = groups[-rows_max:] if newest else groups[:rows_max]
    lines = [_line(group, tuple(_said(name, group.values[name]) for name in grouped.by)) for group in shown]
    if grouped.others is not None:
        names = ("others", *("" for _ in grouped.by[1:]))
        lines.append(_line(grouped.others, names))
    yield from tables.tables(grouped.by, COLUMNS, lines, width)
    if any(group.values.get("tier") == "" for group in shown):
        yield Text(f"{EMPTY['tier']}: {WITHOUT_TIER}")
    hidden = groups[:-rows_max] if newest else groups[rows_max:]
    if hidden:
        which = "earlier" if newest else "cheaper"
        cost = at_least(
            sum(one.cost_nusd or 0 for one in hidden), sum(one.unpriced for one in hidden), places=6
        )
        requests = sum(one.requests for one in hidden)
        yield Text(
            f"not shown: {len(hidden):,} {which} groups with {requests:,} requests for {cost}; a "
            "higher --limit shows more"
        )
    if grouped.others is not None:
        yield Text(
            f"others: all groups after the first {GROUPS_MAX:,}; a shorter time or one --endpoint has fewer"
        )


def _line(group: Group, names: tuple[str, ...]) -> tables.Line:
    latency = group.latency
    return tables.Line(
        names,
        (
            f"{group.requests:,}{'*' if group.requests < FEW else ''}",
            f"{group.share:.1%}",
            f"{group.errors:,}",
            at_least(round(1_000 * (group.cost_nusd or 0) / group.requests), group.unpriced, places=4),
            at_least(group.cost_nusd or 0, group.unpriced, places=6),
            "unknown" if group.saved_nusd is None else usd(group.saved_nusd, places=6),
            tokens(group.input_tokens, group.tokens_unknown),
            tokens(group.output_tokens, group.tokens_unknown),
            f"{group.hit_rate:.1%}",
            milliseconds(latency.p50, exact=latency.exact),
            milliseconds(latency.p99, exact=latency.exact),
        ),
    )


def _said(name: str, value: str | None) -> str:
    if name == "model" and value == FIXED:
        return FIXED_MODEL
    return "unknown" if value is None else value or EMPTY.get(name, "-")


def tokens(count: int, unknown: int) -> str:
    """A sum of tokens, with a mark if the tokens of `unknown` requests are unknown."""
    if not unknown:
        return f"{count:,}"
    return f"≥ {count:,}" if count else "unknown"


def milliseconds(value: float | None, *, exact: bool) -> str:
    if value is None:
        return "-"
    return f"{'' if exact else '~'}{value:,.1f}" if value < 100 else f"{'' if exact else '~'}{value:,.0f}"
