"""`farthing drift`: is the traffic still that which was measured?"""

import math
import time
from pathlib import Path

import click
import msgspec

from farthing.cli.reading import config_option, ledger_option, located, warn_of_unknown
from farthing.cli.screen import say
from farthing.cli.since import SINCE_HELP, since_of
from farthing.errors import ConfigError
from farthing.guarantees.drift import references
from farthing.guarantees.monitor import model_changes
from farthing.insight import drift
from farthing.insight.source import check_endpoint
from farthing.ledger import read

DRIFTED = 1


def keep_reference(
    ledger: Path, endpoint: str, *, span_unix_s: tuple[float, float], state_dir: Path, now_unix_s: float
) -> tuple[Path | None, str]:
    """Make the requests of `endpoint` from the first to the last of a span its reference: where it lies, and
    what to say of it. None: they were too few, and nothing is written."""
    first, last = span_unix_s
    until = math.nextafter(last, math.inf)
    gathered = drift.gather(read.read_all(ledger, first), endpoint, since_unix_s=first, until_unix_s=until)
    try:
        made = drift.reference(gathered, endpoint, now_unix_s)
    except drift.TooFew:
        return None, (
            "no reference for drift: too few requests in the time of the samples; make one later with "
            f"`farthing drift --endpoint {endpoint} --set`"
        )
    path = references.save(state_dir, made)
    return path, f"{made.n:,} requests of the time of the samples are the reference for drift: {path}"


@click.command("drift")
@click.option("--endpoint", required=True, help="Whose requests.")
@click.option("--since", default="7d", show_default=True, help=SINCE_HELP)
@click.option("--set", "to_set", is_flag=True, help="Make these requests the reference from now on.")
@ledger_option
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    endpoint: str, since: str, to_set: bool, ledger: Path | None, config: Path | None, as_json: bool
) -> int:
    """Compare an endpoint's requests with its reference, which `--set` and `farthing calibrate route --apply`
    write.

    The gateway does the same while it serves, and raises `farthing_drift_alarm`. Exit status: 0 where nothing
    drifted, 1 where something did.
    """
    now_unix_s = time.time()
    since_unix_s = since_of(since, now_unix_s) or 0.0
    where = located(ledger, config)
    check_endpoint(endpoint, where.settings, where.ledgers, own=where.own)
    warn_of_unknown(endpoint, where.settings)
    gathered = drift.gather(
        read.read_all(where.ledger, since_unix_s or None),
        endpoint,
        since_unix_s=since_unix_s,
        until_unix_s=now_unix_s,
    )
    if to_set:
        made = drift.reference(gathered, endpoint, now_unix_s)
        path = references.save(where.state_dir, made)
        shown = {"written": str(path), "reference": made}
        if as_json:
            click.echo(msgspec.json.encode(shown))
        else:
            say(f"{made.n:,} requests are the reference: {path}")
        return 0
    then = references.load(references.place(where.state_dir, endpoint))
    if then is None:
        raise ConfigError(
            f"`{endpoint}` has no reference: make one of its requests with "
            f"`farthing drift --endpoint {endpoint} --set`"
        )
    watch = model_changes.read(where.state_dir)
    found = drift.drift(gathered, then, watch.latest_at(endpoint))
    if as_json:
        click.echo(msgspec.json.encode(found))
    else:
        say(*drift.story(found))
    return DRIFTED if found.drifted or found.model_changed else 0
