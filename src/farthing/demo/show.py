"""What people see of the demo: what it is going to do, how far it is, what it came to."""

import math
import shlex
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from farthing.demo import children, traffic
from farthing.demo.play import Played, Show, Tally
from farthing.demo.upstream import TIERS
from farthing.insight import renamed
from farthing.insight.explain import request
from farthing.insight.render.money import usd
from farthing.insight.render.rows import wrapped
from farthing.insight.report import report as reports
from farthing.insight.report.aggregates import Savings
from farthing.stats.exact_tests import upper

LINE_S = 5.0  # between two lines of progress where nobody watches a bar


def introduce(console: Console, requests: int, speed: float) -> None:
    """Say what is simulated and what is real before anything starts."""
    rows = [
        (
            "[yellow]simulated[/]",
            f"{name} model: ${tier.input_usd} in and ${tier.output_usd} out per million tokens, "
            f"{tier.ttft_ms:.0f} ms to the first token, then {tier.tokens_per_s:.0f} tokens a second",
        )
        for name, tier in TIERS.items()
    ]
    rows += [
        ("real", "gateway: `farthing serve` with rules, exact and semantic cache, contracts, ledger"),
        ("real", f"questions: {requests:,} out of BANKING77 (CC-BY-4.0), half of them streamed"),
        (
            "real",
            f"arrivals: Azure's LLM conversation trace (CC-BY-4.0), {speed:.1f} times as fast; "
            "the models' own time is not sped up",
        ),
        (
            "drawn",
            f"repeats: {traffic.SHARE_EXACT:.0%} asked before, {traffic.SHARE_NEAR:.0%} in other spelling, "
            f"{traffic.SHARE_CONTEXT:.0%} with long passages",
        ),
    ]
    without = children.without_semantic()
    if without is not None:
        rows.append(("absent", f"semantic cache: {escape(without)}"))
    console.print("[bold]farthing demo[/]  offline: no key, no model, nothing leaves this machine")
    console.print(_grid(rows))
    console.print()


def _grid(rows: Iterable[tuple[str, ...]]) -> Table:
    """Rows whose last cell is wrapped to the width there is."""
    table = Table(box=None, show_header=False, padding=(0, 0, 0, 2))
    for row in rows:
        table.add_row(*row)
    return table


@contextmanager
def progress(console: Console) -> Iterator[Show]:
    """A bar on a terminal, else a line now and then."""
    if not console.is_terminal:
        yield _lines(console)
        return
    columns = (
        BarColumn(bar_width=12),
        MofNCompleteColumn(),
        TextColumn("{task.fields[facts]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("demo", total=None, facts="starting, and timing lookups")

        def show(tally: Tally) -> None:
            bar.update(task, total=tally.planned, completed=tally.done, facts=_facts(tally))

        yield show


def _lines(console: Console) -> Show:
    shown_s = math.inf

    def show(tally: Tally) -> None:
        nonlocal shown_s
        shown_s = min(shown_s, time.monotonic())  # the first time, nothing has come yet
        if time.monotonic() - shown_s >= LINE_S or tally.done == tally.planned:
            shown_s = time.monotonic()
            console.print(f"  {tally.done:>6,} of {tally.planned:,}  {_facts(tally)}")

    return show


def _facts(tally: Tally) -> str:
    baseline_usd = tally.cost_usd + tally.saved_usd
    failed = f"  {tally.failed} FAILED" if tally.failed else ""
    return (
        f"{tally.per_s:3.0f}/s  {tally.hit_rate:3.0%} hits  "
        f"${tally.cost_usd:.2f} instead of ${baseline_usd:.2f}{failed}"
    )


def conclude(console: Console, played: Played, *, kept: bool, whole: bool, command: str) -> None:
    """One screen: what it saved, whether that is right, how to go on with `command`. `whole`: before it the
    report with its tables, and three stories."""
    if whole:
        reports.render(played.report, console)
        console.print("\n[bold]Three of them, as[/] farthing explain [bold]tells them[/]")
        for sample in played.samples:
            console.print(f"\n[cyan]{escape(sample.title)}[/]")
            for line in sample.story:
                shown = wrapped(f"  {line}", console.width, request.INDENT + 2)
                console.print(escape(shown), soft_wrap=True)
        console.print()
    for complaint in played.complaints:
        console.print(f"[bold red]WRONG[/]  {escape(complaint)}")
    for line in _saving(played.report.savings):
        console.print(line)
    console.print(_parts(played))
    console.print()
    console.print(_grid(_findings(played)))
    for line in _how_to_go_on(played, kept=kept, command=command):
        console.print(line, soft_wrap=True)


def _saving(savings: Savings) -> Iterator[str]:
    if not savings.requests:
        yield "[bold]Savings[/]: unknown; no request has both a cost and a baseline"
        return
    share = "" if savings.saved_share is None else f" ({savings.saved_share:.1%})"
    baseline = escape(", ".join(savings.baseline_targets))
    yield (
        f"[bold green]Saved {usd(savings.saved_nusd, places=4)}{share}[/]: {savings.requests:,} requests "
        f"cost {usd(savings.cost_nusd, places=4)}, not the {usd(savings.baseline_nusd, places=4)} "
        f"of sending all to {baseline}"
    )


def _parts(played: Played) -> Table:
    """Where the saving comes from, the largest part first."""
    report, parts = played.report, played.report.savings.parts
    similar_nusd = sum(cell.saved_nusd or 0 for cell in report.semantic)
    of_tier = Counter({cell.tier: cell.requests for cell in report.tiers})
    cheap, asked = of_tier["cheap"], of_tier["cheap"] + of_tier["expensive"]
    similar_count = played.tally.similar
    rows = [
        (
            parts.cache_nusd - similar_nusd,
            "exact cache",
            f"{of_tier['cache'] - similar_count:,} requests asked before",
        ),
        (
            similar_nusd,
            "semantic cache",
            f"{similar_count:,} asked before in other words",
        ),
        (parts.no_llm_nusd, "no model", f"{of_tier['none']:,} with a fixed answer"),
        (
            parts.routing_nusd,
            "routing",
            f"{cheap:,} of the other {asked:,} sent to the cheap model",
        ),
    ]
    table = Table(box=None, show_header=False, padding=(0, 0, 0, 2))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column()
    for nusd, name, about in sorted(rows, reverse=True):
        table.add_row(usd(nusd, places=4), name, about)
    if report.savings.jobs:
        table.add_row(usd(parts.jobs_nusd, places=4), "background jobs", "the gateway's own requests")
    return table


def _findings(played: Played) -> Iterator[tuple[str, str]]:
    tally, total = played.tally, played.report.total
    right = tally.done - tally.failed - tally.wrong_hits
    wrong = f", {tally.wrong_hits:,} of the semantic cache wrong" if tally.wrong_hits else ""
    failed = f", {tally.failed:,} FAILED" if tally.failed else ""
    yield (
        "answers",
        f"{right:,} of {tally.done:,} right{wrong}{failed}; each checked: form, text, usage",
    )
    if not played.complaints:
        yield "ledger", "a receipt for each; calls and cost as the models counted them, to the nano-dollar"
    large = next((cell.latency.p50 for cell in played.report.tiers if cell.tier == "expensive"), None)
    if total.latency.p50 is not None and large is not None:
        yield (
            "waiting",
            f"half within {total.latency.p50 / 1000:.2f} s; where the expensive model answered, "
            f"{large / 1000:.2f} s",
        )
    yield "semantic", similar(played)
    yield (
        "[yellow]mind[/]",
        "the models are simulated: the shares follow from this traffic, the dollars are no bill",
    )


def similar(played: Played) -> str:
    """What the semantic cache did, by the demo's own truth: two questions of one BANKING77 intent have one
    right answer. The report has the gateway's own measure."""
    if played.without_semantic is not None:
        return f"no semantic cache: {escape(played.without_semantic)}"
    looks, tally = played.looks, played.tally
    lost = ""
    if looks.late:
        lost = (
            f"; {looks.late:,} of {looks.count:,} lookups timed out, longer than {played.brain_s:g} s: "
            "this machine is busy"
        )
    if looks.failed:
        lost += f"; {looks.failed:,} of {looks.count:,} lookups failed"
    if tally.similar:
        high = upper(tally.wrong_hits, tally.similar, 0.95)
        what = f"{tally.similar:,} answered, {tally.wrong_hits:,} wrongly (95 % sure: at most {high:.1%})"
    elif lost:
        what = "none answered"
    else:
        what = f"no question was near enough to another one, of {looks.count:,} looked up"
    return (
        f"{what}{lost}; for {played.observed_s:.0f} s it only observed, then it served from a probability of "
        f"{children.THRESHOLD:g}, a threshold set by hand since a certificate takes longer than a demo"
    )


def _how_to_go_on(played: Played, *, kept: bool, command: str) -> Iterator[str]:
    if kept:
        config = shlex.quote(str(played.folder / "farthing.toml"))
        yield f"[bold]Go on[/] with {played.folder} (farthing.toml, ledger/, {children.LOG})"
        yield f"  {command} report --since all --config {config}"
        for sample in played.samples[:1]:
            yield f"  {command} explain {sample.request_id} --config {config}"
    else:
        yield "[bold]Go on[/]"
        yield f"  {command} demo --report  # tables, and three requests in full"
        yield f"  {command} demo --keep    # leaves the ledger for report and explain"
    yield f"  {command} serve          # with OPENAI_API_KEY set, or Ollama running"


def as_json(played: Played, speed: float, *, kept: Path | None) -> bytes:
    """The outcome for programs: money in integer nano-dollars, as in `farthing report --json`."""
    tally = played.tally
    return renamed.encode(
        {
            "ok": not played.complaints,
            "simulated": True,
            "requests": tally.done,
            "failed": tally.failed,
            "complaints": played.complaints,
            "semantic_hits": tally.similar,
            "semantic_hits_wrong": tally.wrong_hits,
            "semantic_looks": played.looks,
            "brain_timeout_s": played.brain_s,
            "without_semantic": played.without_semantic,
            "took_s": round(played.took_s, 3),
            "speed": round(speed, 3),
            "request_ids": {sample.title: sample.request_id for sample in played.samples},
            "folder": None if kept is None else str(kept),
            "report": played.report,
        }
    )
