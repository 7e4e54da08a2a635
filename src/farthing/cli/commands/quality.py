"""`farthing quality`: what was learned about the quality of answers, and what learning it cost."""

import time
from pathlib import Path

import click
import msgspec

from farthing.cli.reading import config_option, ledgers_option, located
from farthing.cli.screen import console, tell
from farthing.cli.since import SINCE_HELP, UNTIL_HELP, span_of
from farthing.insight import source


@click.command("quality")
@click.option("--since", default="7d", show_default=True, help=SINCE_HELP)
@click.option("--until", help=UNTIL_HELP)
@click.option("--endpoint", help="Only this endpoint.")
@click.option(
    "--labels",
    type=click.Path(path_type=Path, dir_okay=False),
    help="JSON lines of what people said of some judged answers drawn by chance: request_id, quality, tier.",
)
@ledgers_option
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON; money in integer nano-dollars.")
def command(
    since: str,
    until: str | None,
    endpoint: str | None,
    labels: Path | None,
    ledgers: tuple[Path, ...],
    config: Path | None,
    as_json: bool,
) -> int:
    """How good answers were, by what judges, people, checks and repeats say, per endpoint and tier.

    Reads the ledger, as `farthing report` does. With --labels the judge's errors are corrected.
    """
    from farthing.guarantees.calibrate import labels as label_files
    from farthing.guarantees.monitor import model_changes
    from farthing.insight.report import quality
    from farthing.insight.report.failed import moment
    from farthing.ledger import read

    since_unix_s, until_unix_s = span_of(since, until, time.time())
    people = None if labels is None else label_files.read(labels)
    where = located(ledgers, config, lenient=True)
    collector = quality.Collector(since=since_unix_s, until=until_unix_s, endpoint=endpoint)
    for row in read.read_all(where.ledgers, since_unix_s):
        collector.take(row)
    found = collector.joined(read.read_all(where.ledgers, since_unix_s) if collector.any else (), people)
    changes = [] if not where.own else list(model_changes.read(where.state_dir).changes())
    if as_json:
        click.echo(msgspec.json.encode(found))
    else:
        quality.render(found, console())
    for target, change in changes:
        if since_unix_s is None or change.at_unix_s >= since_unix_s:
            tell(f"warning: {change.story(target)} since {moment(change.at_unix_s)}: calibrate again")
    if endpoint is not None and endpoint not in collector.endpoints:
        seen = sorted(collector.endpoints)
        tell(f"warning: {source.unknown_endpoint(endpoint, seen, where.config if where.own else None)}")
    return 0
