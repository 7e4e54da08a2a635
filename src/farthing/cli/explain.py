"""`farthing explain`: the story of one request."""

import os
from pathlib import Path

import click
import msgspec

from farthing.insight import explain, source


@click.command("explain")
@click.argument("request_id")
@click.option("--ledger", type=click.Path(path_type=Path), help="Directory of the ledger's segments.")
@click.option("--config", type=click.Path(path_type=Path), help="The gateway's configuration file.")
@click.option("--json", "as_json", is_flag=True, help="Print the receipt as JSON.")
def command(request_id: str, ledger: Path | None, config: Path | None, as_json: bool) -> int:
    """Tell how REQUEST_ID was answered: what was decided and why, what it cost, where the time went.

    The id is in the `x-request-id` header of every answer.
    """
    row = explain.find(source.locate(ledger, config, os.environ).ledger, request_id)
    if as_json:
        click.echo(msgspec.json.encode(explain.to_json(row)))
    else:
        click.echo("\n".join(explain.story(row)))
    return 0
