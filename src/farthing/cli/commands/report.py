"""`farthing report`: what requests cost and saved, by what one asks for, and which of them failed."""

import time
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from farthing.cli.reading import config_option, ledgers_option, located
from farthing.cli.screen import console, say, tell
from farthing.cli.since import SINCE_HELP, UNTIL_HELP, span_of
from farthing.insight import renamed, source
from farthing.insight.report import semantic_cache_state
from farthing.insight.report.groups import DIMENSIONS
from farthing.insight.source import Source

LIMIT = 30


def _dimensions(ctx: click.Context, param: click.Parameter, values: Sequence[str]) -> tuple[str, ...]:
    """Names of `DIMENSIONS`, each once, with commas between them or given one by one."""
    names = [name.strip().lower() for value in values for name in value.split(",")]
    wrong = next((name for name in names if name not in DIMENSIONS), None)
    if wrong is not None:
        raise click.BadParameter(f"{wrong!r}: expected one or more of {', '.join(DIMENSIONS)}", ctx, param)
    return tuple(dict.fromkeys(names))


@click.command("report")
@click.option("--since", default="7d", show_default=True, help=SINCE_HELP)
@click.option("--until", help=UNTIL_HELP)
@click.option("--endpoint", help="Only this endpoint.")
@click.option(
    "--by",
    multiple=True,
    callback=_dimensions,
    help=f"Group by {', '.join(DIMENSIONS)}; several with commas. `model` is the target that answered.",
)
@click.option("--failed", is_flag=True, help="List the requests that failed instead, the newest first.")
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=LIMIT,
    show_default=True,
    help="Groups or failed requests to show.",
)
@ledgers_option
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON; money in integer nano-dollars.")
def command(
    since: str,
    until: str | None,
    endpoint: str | None,
    by: tuple[str, ...],
    failed: bool,
    limit: int,
    ledgers: tuple[Path, ...],
    config: Path | None,
    as_json: bool,
) -> int:
    """What requests cost and saved, and how long they took, per endpoint and tier.

    Reads the ledger of a running or stopped gateway: --ledger, else that of --config, else that of the
    configuration which `farthing serve` would find here. Of several ledgers every request counts once. Times
    are UTC. Latencies count errors too.
    """
    if failed and by:
        raise click.UsageError("give --by or --failed, not both")
    now_unix_s = time.time()
    span = span_of(since, until, now_unix_s)
    where = located(ledgers, config, lenient=True, told=False)
    if failed:
        return _failures(where, span, endpoint, limit, as_json)
    return _report(where, span, endpoint, by, limit, as_json)


def _report(
    where: Source,
    span: tuple[float | None, float],
    endpoint: str | None,
    by: tuple[str, ...],
    limit: int,
    as_json: bool,
) -> int:
    from farthing.insight.policies import state
    from farthing.insight.report import quality, token_counts
    from farthing.insight.report import report as reports
    from farthing.ledger import files, read
    from farthing.ledger.damage import Missing

    since_unix_s, until_unix_s = span
    collector = quality.Collector(since=since_unix_s, until=until_unix_s, endpoint=endpoint)
    missing = Missing()
    report = reports.build(
        collector.passing(read.read_all(where.ledgers, since_unix_s, missing)),
        since=since_unix_s,
        until=until_unix_s,
        endpoint=endpoint,
        targets_s=where.targets_s if where.own else None,
        standings=semantic_cache_state.Standings(where.state_dir) if where.own else None,
        by=by,
    )
    report = reports.with_quality(report, collector, where.ledgers)
    policies = []
    if where.own:
        policies = [one for one in state.lines(where.state_dir) if endpoint in (None, one.endpoint)]
    report = msgspec.structs.replace(
        report,
        policies=policies,
        token_ratios=token_counts.read(where.state_dir) if where.own else [],
        ledgers=[str(one) for one in where.ledgers],
        configuration=None if where.settings.file is None else str(where.settings.file),
    )
    report = msgspec.structs.replace(report, missing=missing, unwritten=files.unwritten(where.ledgers))
    if as_json:
        click.echo(renamed.encode(report))
    else:
        screen = console()
        say(where.line())
        reports.render(report, screen, limit)
    _warn(where, endpoint, report.requests, report.endpoints_seen, span)
    return 0


def _failures(
    where: Source, span: tuple[float | None, float], endpoint: str | None, limit: int, as_json: bool
) -> int:
    from farthing.insight.report import failed
    from farthing.ledger import read

    since_unix_s, until_unix_s = span
    found = failed.gather(
        read.read(where.ledgers, since_unix_s),
        ledgers=[str(one) for one in where.ledgers],
        since=since_unix_s,
        until=until_unix_s,
        endpoint=endpoint,
        rows_max=limit,
    )
    if as_json:
        click.echo(msgspec.json.encode(found))
    else:
        screen = console()
        say(where.line())
        for line in failed.render(found):
            screen.print(line)
    _warn(where, endpoint, found.requests, found.endpoints_seen, span)
    return 0


def _warn(
    where: Source,
    endpoint: str | None,
    requests: int,
    seen: Sequence[str],
    span: tuple[float | None, float],
) -> None:
    """Say why there is nothing to report, and what helps."""
    if requests:
        return
    if not seen:
        tell(f"warning: {source.nothing_there(where.ledgers, span)}")
    if endpoint is not None:
        tell(f"warning: {source.unknown_endpoint(endpoint, seen, where.config if where.own else None)}")
