"""`farthing quality`: what was learned about the quality of answers, and what learning it cost."""

import os
import sys
import time
from pathlib import Path

import click
import msgspec

from farthing.insight import source

WIDTH = 120  # of what goes to a file or a pipe


@click.command("quality")
@click.option("--since", default="7d", show_default=True, help="30m, 1h, 7d, `all`, or an ISO date or time.")
@click.option("--endpoint", help="Only this endpoint.")
@click.option(
    "--labels",
    type=click.Path(path_type=Path, dir_okay=False),
    help="JSON lines of what people said of some judged answers drawn by chance: request_id, quality, tier.",
)
@click.option("--ledger", type=click.Path(path_type=Path), help="Directory of the ledger's segments.")
@click.option("--config", type=click.Path(path_type=Path), help="The gateway's configuration file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; money in integer nano-dollars.")
def command(
    since: str,
    endpoint: str | None,
    labels: Path | None,
    ledger: Path | None,
    config: Path | None,
    as_json: bool,
) -> int:
    """How good answers were, by what judges, people, checks and repeats say, per endpoint and tier.

    Reads the ledger, as `farthing report` does. With --labels the judge's errors are corrected.
    """
    from farthing.insight import labels as label_files
    from farthing.insight import quality
    from farthing.insight.report import parse_since
    from farthing.ledger import read

    now_unix_s = time.time()
    try:
        since_unix_s = None if since == "all" else parse_since(since, now_unix_s)
    except ValueError as why:
        raise click.BadParameter(str(why), param_hint="--since") from why
    people = None if labels is None else label_files.read(labels)
    where = source.locate(ledger, config, os.environ).ledger
    collector = quality.Collector(since=since_unix_s, until=now_unix_s, endpoint=endpoint)
    for row in read.read_all(where, since_unix_s):
        collector.take(row)
    found = collector.joined(read.read_all(where, since_unix_s) if collector.any else (), people)
    if as_json:
        click.echo(msgspec.json.encode(found))
        return 0
    from rich.console import Console

    quality.render(found, Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH))
    return 0
