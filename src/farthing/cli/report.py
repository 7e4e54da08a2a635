"""`farthing report`: unit economics per endpoint and tier, and the savings against the baseline."""

import os
import sys
import time
from pathlib import Path

import click
import msgspec

from farthing.insight import source, standing

WIDTH = 120  # of a report that goes to a file or a pipe


@click.command("report")
@click.option("--since", default="7d", show_default=True, help="30m, 1h, 7d, `all`, or an ISO date or time.")
@click.option("--endpoint", help="Only this endpoint.")
@click.option("--ledger", type=click.Path(path_type=Path), help="Directory of the ledger's segments.")
@click.option("--config", type=click.Path(path_type=Path), help="The gateway's configuration file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; money in integer nano-dollars.")
def command(since: str, endpoint: str | None, ledger: Path | None, config: Path | None, as_json: bool) -> int:
    """What requests cost and saved, and how long they took, per endpoint and tier.

    Reads the ledger of a running or stopped gateway: --ledger, else the one that --config names, else
    the one in the state directory. Times are UTC. Latencies count errors too.
    """
    from farthing.insight import policy_standing, quality
    from farthing.insight import report as reports
    from farthing.ledger import files, read
    from farthing.ledger.damage import Missing

    now_unix_s = time.time()
    try:
        since_unix_s = None if since == "all" else reports.parse_since(since, now_unix_s)
    except ValueError as why:
        raise click.BadParameter(str(why), param_hint="--since") from why
    where = source.locate(ledger, config, os.environ)
    collector = quality.Collector(since=since_unix_s, until=now_unix_s, endpoint=endpoint)
    missing = Missing()
    report = reports.build(
        collector.passing(read.read_all(where.ledger, since_unix_s, missing)),
        since=since_unix_s,
        until=now_unix_s,
        endpoint=endpoint,
        targets_s=where.targets_s,
        standings=standing.Standings(where.state_dir) if config is not None or ledger is None else None,
    )
    report = msgspec.structs.replace(report, missing=missing, unwritten=files.unwritten(where.ledger))
    report = reports.with_quality(report, collector, where.ledger)
    if config is not None or ledger is None:
        lines = [one for one in policy_standing.lines(where.state_dir) if endpoint in (None, one.endpoint)]
        report = msgspec.structs.replace(report, policies=lines)
    if as_json:
        click.echo(msgspec.json.encode(report))
        return 0
    from rich.console import Console

    reports.render(report, Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH))
    return 0
