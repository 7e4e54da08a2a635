"""`farthing demo`: the whole journey offline, with simulated models, real questions and a savings report."""

import asyncio
import shutil
import signal
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import click

from farthing.cli import screen
from farthing.cli.itself import own_command

T = TypeVar("T")

REQUESTS = 3_000
ARRIVALS_S = 40.0  # warm-up, start and the last answers take some 15 s more: about a minute in all


@click.command("demo")
@click.option(
    "--requests",
    type=click.IntRange(1, 100_000),
    default=REQUESTS,
    show_default=True,
    help="How many to send.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(1, 3_600),
    help=f"Send them within so many seconds.  [default: {ARRIVALS_S:g}]",
)
@click.option(
    "--speed", type=click.FloatRange(0.1, 1_000), help="Send at so many times the trace's own pace."
)
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON; progress goes to stderr.")
@click.option(
    "--report", "whole", is_flag=True, help="Print the whole report too, and the story of three requests."
)
@click.option("--keep", is_flag=True, help="Keep the ledger and the configuration, and say where they are.")
def command(
    requests: int, seconds: float | None, speed: float | None, as_json: bool, whole: bool, keep: bool
) -> int:
    """See it work: a real gateway between simulated models and real questions. No key, no network.

    Starts two simulated models and `farthing serve` in processes of their own, sends questions of
    BANKING77 at the pace of a public trace, checks every answer, and ends with what it saved.
    Exit status: 0 when every answer was right and all sums agree, 1 when not.
    """
    if seconds is not None and speed is not None:
        raise click.UsageError("give --seconds or --speed, not both")
    from farthing.demo import play, show, traffic

    if speed is None:
        speed = max(traffic.span_s(requests), 1.0) / (seconds or ARRIVALS_S)
    console = screen.console(stderr=as_json)
    folder = Path(tempfile.mkdtemp(prefix="farthing-demo-"))
    try:
        show.introduce(console, requests, speed)
        with show.progress(console) as shown:
            played = _run(play.play(traffic.plan(requests, speed=speed), folder, shown))
        if as_json:
            click.echo(show.as_json(played, speed, kept=folder if keep else None))
        else:
            show.conclude(console, played, kept=keep, whole=whole, command=own_command())
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    return 1 if played.complaints else 0


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run `work`; SIGINT, SIGTERM and SIGHUP cancel it, so that it ends what it started.

    Raises:
        KeyboardInterrupt: it was cancelled.
    """
    import uvloop

    async def cancellable() -> T:
        task = asyncio.ensure_future(work)
        for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(name, task.cancel)
        return await task

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            return runner.run(cancellable())
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None
