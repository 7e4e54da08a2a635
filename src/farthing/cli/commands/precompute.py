"""`farthing precompute`: answer questions before they are asked, or say what that would cost and save."""

import asyncio
import os
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from farthing import config as configuration
from farthing.brain.route.expression import Expression
from farthing.cli.reading import config_option
from farthing.cli.screen import console, tell
from farthing.config import Config, MemoryStoreConfig
from farthing.errors import ConfigError, FarthingError
from farthing.insight.render import tables
from farthing.insight.render.money import at_least, usd
from farthing.insight.source import unknown_endpoint
from farthing.stores.private import make_directory

if TYPE_CHECKING:
    from rich.console import Console

    from farthing.jobs.batch.forecast import Foreseen
    from farthing.jobs.prewarm.gather import Prepared, Stage
    from farthing.jobs.prewarm.plan import Planned
    from farthing.jobs.prewarm.run import Order
    from farthing.jobs.schedule import Record, Row

SHOWN = 20
QUESTION_CHARS_MAX = 60
COLUMNS = (tables.Group("What is worth asking", ("asks/day", "cost", "saving")),)
TAKEN_S = 15.0  # a running gateway looks every two seconds
FOLLOW_S = 0.3


class NotTaken(FarthingError):
    """The gateway that holds the lock did not begin the run."""

    code = "not_taken"


@click.command("precompute")
@config_option
@click.option("--endpoint", help="Only this endpoint's questions.")
@click.option("--dry-run", is_flag=True, help="Say what would be asked, its cost and saving; ask nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; money in integer nano-dollars.")
def command(config: Path | None, endpoint: str | None, dry_run: bool, as_json: bool) -> int:
    """Answer the questions that are worth it before they are asked, within precompute.usd_max.

    A gateway that runs on the same state directory does the work, since its caches are the ones to fill;
    without one it is done here. Exit status: 0 when every question was answered, 1 when not.
    """
    settings = _loaded(config)
    if endpoint is not None and endpoint not in (*settings.endpoints, "default"):
        raise ConfigError(unknown_endpoint(endpoint, ("default",), settings))
    from farthing.wiring.build import build_stage

    stage = build_stage(settings, os.environ)
    state_dir = configuration.state_dir(settings, os.environ)
    if dry_run:
        return _dry_run(stage, state_dir, endpoint, as_json)
    outlives = stage.book is not None or not isinstance(settings.cache.store, MemoryStoreConfig)
    return _run(settings, state_dir, endpoint, as_json, outlives=outlives)


def _loaded(file: Path | None) -> Config:
    path = file or configuration.default_file(os.environ)
    if path is None:
        raise configuration.no_file(os.environ)
    tell(f"configuration {path}")
    return configuration.load(path, os.environ, condition=Expression)


# -- what it would come to --------------------------------------------------------------------------


def _dry_run(stage: "Stage", state_dir: Path, endpoint: str | None, as_json: bool) -> int:
    from farthing.jobs.batch.forecast import foresee
    from farthing.jobs.prewarm.gather import prepare
    from farthing.jobs.schedule import Journal

    last = Journal(state_dir).last()
    since_unix_s = None if last is None or last.ended is None else last.began.at_unix_s
    if stage.book is not None and not stage.book.exists():
        stage = msgspec.structs.replace(stage, book=None)  # nothing was counted yet; nothing is created

    async def foreseen() -> "tuple[Prepared, list[Foreseen]]":
        found = await prepare(stage, since_unix_s=since_unix_s, clock_unix_s=time.time, endpoint=endpoint)
        return found, await foresee(found, stage)

    prepared, batches = asyncio.run(foreseen())
    if as_json:
        told = {"counted_s": prepared.counted_s, "plan": prepared.plan, "batches": batches}
        click.echo(msgspec.json.encode(told))
    else:
        _show(prepared, batches)
    return 0


def _show(prepared: "Prepared", batches: "list[Foreseen]") -> None:
    from rich.markup import escape

    screen, plan = console(), prepared.plan
    counted_s = prepared.counted_s
    counted = "nothing was counted yet" if counted_s is None else f"counted over {_span(counted_s)}"
    screen.print(f"[bold]{len(plan.questions):,} questions to answer ahead[/], {counted}")
    if plan.questions:
        lines = [_line(one) for one in plan.questions[:SHOWN]]
        for shown in tables.tables(("question", "endpoint", "why"), COLUMNS, lines, screen.width):
            screen.print(shown)
        if len(plan.questions) > SHOWN:
            screen.print(f"… and {len(plan.questions) - SHOWN:,} more; --json has all")
        _show_sums(screen, prepared)
    for batch in batches:
        screen.print(escape(_batch_line(batch)))
    for reason, count in sorted(plan.left_out.items(), key=lambda one: -one[1]):
        screen.print(f"left out: {count:,} {reason}")


def _line(one: "Planned") -> tables.Line:
    candidate = one.candidate
    question = " ".join(candidate.question.split())
    if len(question) > QUESTION_CHARS_MAX:
        question = question[: QUESTION_CHARS_MAX - 1] + "…"
    figures = (
        "unknown" if one.asks is None else f"{one.asks:.1f}",
        "unknown" if one.cost_nusd is None else usd(one.cost_nusd, places=6),
        "unknown" if one.saving_nusd is None else usd(round(one.saving_nusd), places=6),
    )
    return tables.Line((question, candidate.endpoint, candidate.why), figures)


def _batch_line(batch: "Foreseen") -> str:
    from farthing.models.pricing.cost import in_batch

    price = in_batch(batch.price) or batch.price
    rates = f"${price.input_pusd / 1e6:g} and ${price.output_pusd / 1e6:g} for a million tokens in and out"
    normal = f"instead of ${batch.price.input_pusd / 1e6:g} and ${batch.price.output_pusd / 1e6:g}"
    how = normal if batch.cheaper else "the normal price: no batch price is known"
    return f"in a batch       {len(batch.keys):,} to {batch.target} at {rates},\n                 {how}"


def _show_sums(screen: "Console", prepared: "Prepared") -> None:
    plan = prepared.plan
    unpriced = sum(one.cost_nusd is None for one in plan.questions)
    screen.print(f"cost             {at_least(plan.cost_nusd, unpriced, places=6)}")
    low, high = usd(plan.saving_low_nusd, places=6), usd(plan.saving_high_nusd, places=6)
    screen.print(
        f"expected saving  {usd(plan.saving_nusd, places=6)} in a day, 95 % sure between {low} and {high}, "
        "if people go on asking as they did;\n                 compared with asking a model each time: what "
        "the cache would save by itself is in it"
    )
    screen.print(f"need not wait    {plan.first_asks:.0f} people, the first to ask each question")
    if plan.unknown:
        screen.print(
            f"unknown          {plan.unknown:,} of them have no known cost or count; they are in no sum"
        )


def _span(seconds: float) -> str:
    if seconds < 5_400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3_600:.1f} hours" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"


# -- doing it ---------------------------------------------------------------------------------------


class _Progress:
    """Tells of the rows of the journal as they come."""

    def __init__(self, console: "Console") -> None:
        self._console = console
        self.done = self.failed = self.planned = 0

    def row(self, row: "Row") -> None:
        from farthing.jobs.schedule import Answered, Began

        if isinstance(row, Began):
            self.planned = row.planned
            self._console.print(
                f"{row.planned:,} questions, expected to cost {usd(row.cost_nusd, places=6)} "
                f"of at most {usd(row.budget_nusd)}"
            )
        elif isinstance(row, Answered):
            self.done += 1
            self.failed += row.error is not None
            step = max(1, self.planned // 10)
            if self.done % step == 0 or self.done == self.planned:
                failed = f", {self.failed:,} failed" if self.failed else ""
                self._console.print(f"  {self.done:,} of {self.planned:,}{failed}")


def _run(config: Config, state_dir: Path, endpoint: str | None, as_json: bool, *, outlives: bool) -> int:
    from farthing.jobs.prewarm.run import Order
    from farthing.jobs.schedule import Lock

    order = Order(id=secrets.token_hex(8), endpoint=endpoint)
    progress = _Progress(console(stderr=True))
    make_directory(state_dir)
    lock = Lock(state_dir)
    alone = lock.take()
    lock.release()
    if alone and not outlives:
        raise ConfigError(
            "no gateway runs on this state directory, and no cache here outlives this command: start the "
            "gateway, turn an endpoint's semantic cache on, or set cache.store to sqlite"
        )
    if alone:
        from farthing.wiring import process

        record = process.answer_ahead(config, env=os.environ, order=order, told=progress.row)
    else:
        record = asyncio.run(_handed_over(state_dir, order, progress))
    assert record.ended is not None
    failed = sum(row.error is not None for row in record.answered)
    if as_json:
        outcome = {
            "planned": record.began.planned,
            "answered": len(record.answered) - failed,
            "failed": failed,
            "cost_nusd": record.spent_nusd,
            "in_batch": record.ended.waiting,
            "ended": record.ended.reason,
            "by": "this command" if alone else "the running gateway",
        }
        click.echo(msgspec.json.encode(outcome))
    else:
        by = "" if alone else " by the running gateway"
        click.echo(
            f"{len(record.answered) - failed:,} answered{by} for {usd(record.spent_nusd, places=6)}, "
            f"{failed:,} failed; ended: {record.ended.reason}"
        )
        if record.ended.waiting:
            click.echo(f"{record.ended.waiting:,} wait in a batch; the next run takes their answers")
    return 1 if failed or record.ended.reason == "failed" else 0


async def _handed_over(state_dir: Path, order: "Order", progress: _Progress) -> "Record":
    """Ask the gateway that holds the lock, and follow its journal to the end.

    Raises:
        NotTaken: it did not begin in time, or ended before the run did.
    """
    from farthing.jobs.prewarm.run import leave_order, withdraw_order

    leave_order(state_dir, order)
    try:
        return await _followed(state_dir, order, progress)
    finally:
        withdraw_order(state_dir, order)


async def _followed(state_dir: Path, order: "Order", progress: _Progress) -> "Record":
    """The record of the run that `order` asks for, when it has ended."""
    from farthing.jobs.schedule import Journal, Lock

    journal, lock = Journal(state_dir), Lock(state_dir)
    waited_until_s = time.monotonic() + TAKEN_S
    seen = 0
    while True:
        await asyncio.sleep(FOLLOW_S)
        nobody = lock.take()  # before the journal is read, whose last line the holder writes first
        lock.release()
        record = journal.last()
        if nobody and (record is None or record.ended is None or record.began.order != order.id):
            raise NotTaken("the gateway that ran on this state directory ended first: run this again")
        if record is None or record.began.order != order.id:
            if record is not None and record.ended is None:
                waited_until_s = time.monotonic() + TAKEN_S  # a run of the quiet hours is under way
            if time.monotonic() > waited_until_s:
                raise NotTaken("the gateway that runs on this state directory did not begin: see its log")
            continue
        if seen == 0:
            progress.row(record.began)
            seen = 1
        for row in record.answered[seen - 1 :]:
            progress.row(row)
            seen += 1
        if record.ended is not None:
            return record
