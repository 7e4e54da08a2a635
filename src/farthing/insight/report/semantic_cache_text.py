"""The report's section on a semantic cache, as text."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from farthing.config import NO_JUDGE
from farthing.insight.render.money import at_least, usd
from farthing.insight.render.rows import counted, hanging
from farthing.insight.report.semantic_cache import Audited, Day, SemanticCell, day_of
from farthing.insight.report.semantic_cache_state import Standing

if TYPE_CHECKING:
    from rich.console import Console

DAYS_SHOWN = 14
RESULTS = {"none": "nothing near", "would_serve": "would be served"}
"""What came of lookups, where its name does not say it."""
BARS = "▁▂▃▄▅▆▇█"


def render_semantic(cells: list[SemanticCell], console: "Console") -> None:
    """Print a section per endpoint; nothing if no semantic cache had lookups."""
    from rich.markup import escape

    for cell in cells:
        console.print(f"\n[bold]Semantic cache of {escape(cell.endpoint)}[/]")
        for line in _lines(cell):
            for row in hanging(f"  {line}", console.width):
                console.print(row)
        for alarm in cell.alarms:
            fell = "" if alarm.before is None else f" ({_share(alarm.share)}, before {_share(alarm.before)})"
            for row in hanging(f"  [bold red]alarm {alarm.name}[/]{fell}: {alarm.advice}", console.width):
                console.print(row)


def _lines(cell: SemanticCell) -> Iterator[str]:
    results = ", ".join(
        f"{RESULTS.get(name, name.replace('_', ' '))} {count:,}" for name, count in cell.results.items()
    )
    yield (
        f"{counted(cell.looks, 'lookup')} ({_share(cell.reach)} of requests without an exact hit): "
        f"{results or 'none'}"
    )
    yield f"hit rate {_share(cell.hit_rate)}, would-be hits {_share(cell.would_hit_rate)}"
    yield _false_hits(cell.audited)
    if cell.standing is not None:
        yield from _standing(cell.standing, cell.audited)
    jobs = "".join(f", {name} {at_least(nusd, cell.unpriced)}" for name, nusd in cell.jobs_nusd.items())
    yield (
        f"money: hits avoided {_usd(cell.avoided_nusd)}; embedding {usd(cell.embedding_nusd)}{jobs}; "
        f"net {_usd(cell.net_nusd)}{f'; {cell.unpriced:,} unpriced' if cell.unpriced else ''}"
    )
    yield (
        f"time: hit {_ms(cell.hit_ms)}, fresh answer {_ms(cell.fresh_ms)}, lookup without a hit "
        f"{_ms(cell.look_ms)}; {_waiting(cell.net_saved_ms)}"
    )
    if cell.entries == 0:
        yield "no stored answer was served"
    else:
        entries = "too many to count" if cell.entries is None else f"{cell.entries:,}"
        yield f"stored answers served: {entries}; each saved {_usd(cell.value_per_entry_nusd)} on average"
    if len(cell.days) > 1:
        yield from _over_time(cell.days[-DAYS_SHOWN:])


def _false_hits(audited: Audited) -> str:
    waiting = f"; {audited.open:,} not judged yet" if audited.open else ""
    if audited.rate is None or audited.low is None or audited.high is None:
        return f"false hits: unknown, no hit was audited{waiting}"
    return (
        f"false hits {audited.rate:.2%} (95 %: {audited.low:.2%} to {audited.high:.2%}, {audited.method}): "
        f"{audited.wrong:,} of {audited.n:,} audited, by {', '.join(audited.judged_by)}{waiting}"
    )


def _standing(standing: Standing, audited: Audited) -> Iterator[str]:
    made, bound = standing.certificate, standing.bound
    if made is not None:
        yield (
            f"certificate: from {made.threshold:g}, at most {made.risk_max:.2%} false at "
            f"{1 - made.delta:.1%}: {made.wrong} of {made.n:,}, made {day_of(made.made_unix_s)}"
        )
    if bound is not None and bound.retreated and bound.since_unix_s is not None:
        since = day_of(bound.since_unix_s)
        yield f"[bold red]TRIPPED, only exact hits are served[/], since {since}: {bound.reason}"
    elif bound is not None and bound.partitions_retreated:
        count = bound.partitions_retreated
        yield f"[bold red]{count:,} partitions tripped, where only exact hits are served[/]"
    else:
        return
    if audited.reworded:
        unread = (
            f"{audited.reworded:,} of {audited.wrong:,} false hits have other words and were read by no judge"
        )
        yield f"{unread}: {NO_JUDGE}"


def _over_time(days: list[Day]) -> Iterator[str]:
    yield f"[dim]{days[0].day} to {days[-1].day}, each day[/]"
    hits = [day.would_hit / day.looks if day.looks else None for day in days]
    wrong = [day.wrong / day.audited if day.audited else None for day in days]
    yield f"would-be hits {_spark(hits)} {_range(hits)}"
    yield f"false hits    {_spark(wrong)} {_range(wrong)}"


def _spark(values: list[float | None]) -> str:
    """A bar per value, the highest at full height; a dot if it is unknown."""
    most = max((value for value in values if value is not None), default=0.0) or 1.0
    return "".join("·" if v is None else BARS[min(7, int(v / most * 7.999))] for v in values)


def _range(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{min(known):.1%} to {max(known):.1%}" if known else "unknown"


def _share(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1%}"


def _usd(nusd: int | None) -> str:
    return "unknown" if nusd is None else usd(nusd)


def _ms(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.1f} ms"


def _waiting(net_saved_ms: float | None) -> str:
    if net_saved_ms is None:
        return "whether that saves waiting is unknown"
    way = "less" if net_saved_ms >= 0 else "more"
    return f"in all {abs(net_saved_ms) / 1e3:,.1f} s {way} waiting than without it"
