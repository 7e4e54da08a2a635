"""What people see of the demo: what it is going to do, how far it is, what it came to."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from farthing.demo import children, traffic
from farthing.demo.play import Played, Show, Tally
from farthing.demo.upstream import TIERS
from farthing.insight import report as reports
from farthing.ledger.chance import upper

LINE_S = 5.0  # between two lines of progress where nobody watches a bar


def introduce(console: Console, requests: int, speed: float) -> None:
    """Say what is simulated and what is real before anything starts."""
    rows = [
        (
            "[yellow]simulated[/]",
            f"{name} tier",
            f"simulated-{name}/{tier.model}: "
            f"${tier.input_usd} in, ${tier.output_usd} out per million tokens;\n"
            f"about {tier.ttft_ms:.0f} ms to the first token, then {tier.tokens_per_s:.0f} tokens a second",
        )
        for name, tier in TIERS.items()
    ]
    rows += [
        ("real", "gateway", "farthing serve: rules, exact and semantic cache, contracts, ledger"),
        ("real", "questions", f"{requests:,} requests out of BANKING77 (CC-BY-4.0), half of them streamed"),
        (
            "real",
            "arrivals",
            f"Azure's LLM conversation trace (CC-BY-4.0), [bold]{speed:.1f} times[/] as fast;\n"
            "the time that the simulated models take is not sped up",
        ),
        (
            "drawn",
            "repeats",
            f"{traffic.SHARE_EXACT:.0%} asked before, {traffic.SHARE_NEAR:.0%} asked before in other "
            f"spelling, {traffic.SHARE_CONTEXT:.0%} long",
        ),
    ]
    without = children.without_semantic()
    if without is not None:
        rows.append(("absent", "semantic cache", escape(without)))
    else:
        rows.append(("simulated", "truth", "two questions of one BANKING77 intent have one right answer"))
    console.print("[bold]farthing demo[/]  offline: no key, no model, nothing leaves this machine")
    table = Table(box=None, show_header=False, padding=(0, 0, 0, 2))
    for row in rows:
        table.add_row(*row)
    console.print(table)
    console.print()


@contextmanager
def progress(console: Console) -> Iterator[Show]:
    """A bar on a terminal, else a line now and then."""
    if not console.is_terminal:
        yield _lines(console)
        return
    columns = (
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[facts]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("demo", total=None, facts="starting")

        def show(tally: Tally) -> None:
            bar.update(task, total=tally.planned, completed=tally.done, facts=_facts(tally))

        yield show


def _lines(console: Console) -> Show:
    shown_s = time.monotonic()

    def show(tally: Tally) -> None:
        nonlocal shown_s
        if time.monotonic() - shown_s >= LINE_S or tally.done == tally.planned:
            shown_s = time.monotonic()
            console.print(f"  {tally.done:>6,} of {tally.planned:,}  {_facts(tally)}")

    return show


def _facts(tally: Tally) -> str:
    baseline_usd = tally.cost_usd + tally.saved_usd
    failed = f"  {tally.failed} FAILED" if tally.failed else ""
    return (
        f"{tally.per_s:4.0f}/s  cache hits {tally.hit_rate:3.0%}  "
        f"${tally.cost_usd:.4f} instead of ${baseline_usd:.4f}{failed}"
    )


def conclude(console: Console, played: Played, *, kept: bool) -> None:
    """The checks, the savings report, three stories, and how to go on."""
    tally = played.tally
    for complaint in played.complaints:
        console.print(f"[bold red]WRONG[/]  {escape(complaint)}")
    if not played.complaints:
        but = f" but {tally.wrong_hits:,} of the semantic cache" if tally.wrong_hits else ""
        console.print(
            f"[bold green]All {tally.done:,} answers right{but}[/] in {played.took_s:.0f} s: form, text and "
            "usage checked one\nby one; the ledger has one receipt for each, and its calls and cost "
            "are those the simulated models\ncounted, to the nano-dollar\n"
        )
    for line in _similar(played):
        console.print(line)
    console.print("[yellow]Simulated models: the shares are real arithmetic, the dollars are not a bill.[/]")
    reports.render(played.report, console)
    console.print("\n[bold]Three of them, as[/] farthing explain [bold]tells them[/]")
    for sample in played.samples:
        console.print(f"\n[cyan]{escape(sample.title)}[/]")
        for line in sample.story:
            console.print(f"  {escape(line)}", soft_wrap=True)
    console.print()
    for line in _how_to_go_on(played, kept=kept):
        console.print(line, soft_wrap=True)


def _similar(played: Played) -> Iterator[str]:
    """What the semantic cache did, by the demo's own truth; the report has the gateway's own measure."""
    tally = played.tally
    if played.without_semantic is not None:
        yield f"[yellow]No semantic cache:[/] {escape(played.without_semantic)}\n"
        return
    yield (
        f"[bold]Semantic cache[/]  observed for {played.observed_s:.0f} s, then on from a probability of "
        f"{children.THRESHOLD:g}, set by hand:\na certificate (farthing calibrate cache) takes "
        "longer than a demo"
    )
    if not tally.similar:
        yield "no question was near enough to another one\n"
        return
    share, high = tally.wrong_hits / tally.similar, upper(tally.wrong_hits, tally.similar, 0.95)
    yield (
        f"{tally.similar:,} times a question got the answer to one asked in other words, "
        f"{tally.wrong_hits:,} times to one of another intent\n({share:.1%}; 95 % sure: at most {high:.1%}). "
        "The gateway, which cannot know, answered all at first and then "
        f"{children.AUDIT_SHARE:.0%} anew to measure it\n"
    )


def _how_to_go_on(played: Played, *, kept: bool) -> Iterator[str]:
    yield "[bold]Go on[/]"
    if kept:
        ledger = played.folder / "ledger"
        yield f"  everything is in   {played.folder}  (farthing.toml, ledger/, {children.LOG})"
        yield f"  read it again      farthing report --since all --ledger {ledger}"
        for sample in played.samples[:1]:
            yield f"  one request        farthing explain {sample.request_id} --ledger {ledger}"
    else:
        yield "  look into it       farthing demo --keep leaves the ledger, for farthing report and explain"
    yield "  with real models   export OPENAI_API_KEY=…, or start Ollama or vLLM; then farthing serve"
    yield "  the client         base_url='http://127.0.0.1:8960/v1', model='auto'"


def as_json(played: Played, speed: float, *, kept: Path | None) -> bytes:
    """The outcome for programs: money in integer nano-dollars, as in `farthing report --json`."""
    tally = played.tally
    return msgspec.json.encode(
        {
            "ok": not played.complaints,
            "simulated": True,
            "requests": tally.done,
            "failed": tally.failed,
            "complaints": played.complaints,
            "semantic_hits": tally.similar,
            "semantic_hits_wrong": tally.wrong_hits,
            "without_semantic": played.without_semantic,
            "took_s": round(played.took_s, 3),
            "speed": round(speed, 3),
            "request_ids": {sample.title: sample.request_id for sample in played.samples},
            "folder": None if kept is None else str(kept),
            "report": played.report,
        }
    )
