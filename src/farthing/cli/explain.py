"""`farthing explain`: the story of one request."""

import os
from pathlib import Path

import click
import msgspec

from farthing import config as configuration
from farthing.insight import explain, source, whereto
from farthing.ledger import read
from farthing.ledger.rows import Intent


@click.command("explain")
@click.argument("request_id")
@click.option("--ledger", type=click.Path(path_type=Path), help="Directory of the ledger's segments.")
@click.option("--config", type=click.Path(path_type=Path), help="The gateway's configuration file.")
@click.option("--json", "as_json", is_flag=True, help="Print the receipt, and what belongs to it, as JSON.")
def command(request_id: str, ledger: Path | None, config: Path | None, as_json: bool) -> int:
    """Tell how REQUEST_ID was answered: what was decided and why, what it cost, where the time went.

    The id is in the `x-request-id` header of every answer. With --config it says, too, what each of its tiers
    would have cost.
    """
    where = source.locate(ledger, config, os.environ)
    row = explain.find(where.ledger, request_id)
    beside = missing = None
    if isinstance(row, Intent):
        missing = None if row.live else read.damaged(where.ledger)
    else:
        settings = None if config is None else configuration.load(config, os.environ)
        beside = whereto.whereto(row, ledger=where.ledger, state_dir=where.state_dir, config=settings)
    if as_json:
        more = {"missing": missing} if beside is None else whereto.to_json(beside)
        click.echo(msgspec.json.encode({**explain.to_json(row), **more}))
    else:
        click.echo("\n".join(explain.story(row, beside, missing)))
    return 0
