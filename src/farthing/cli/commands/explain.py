"""`farthing explain`: the story of one request, or of a session."""

import sys
from pathlib import Path

import click
import msgspec

from farthing.cli.reading import config_option, ledgers_option, located
from farthing.cli.screen import columns
from farthing.insight import renamed
from farthing.insight.explain import request, route
from farthing.insight.prompt_cache import session as session_calls
from farthing.insight.render.rows import wrapped
from farthing.insight.source import Source
from farthing.ledger import read
from farthing.ledger.rows import Intent


@click.command("explain")
@click.argument("request_id", required=False)
@click.option("--session", help="Tell of all calls of this session, and what they had from prompt caches.")
@ledgers_option
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print the receipt, and what belongs to it, as JSON.")
def command(
    request_id: str | None,
    session: str | None,
    ledgers: tuple[Path, ...],
    config: Path | None,
    as_json: bool,
) -> int:
    """Tell how REQUEST_ID was answered: what was decided and why, what it cost, where the time went.

    The id is in the `x-request-id` header of every answer; a provider's own id of a call will do too. Where
    the configuration is that of the gateway, it says, too, what each of its tiers would have cost.
    """
    if session is not None:
        first = () if request_id is None else (Path(request_id),)  # of a pattern's paths
        return _session(session, located((*first, *ledgers), config, lenient=True), as_json)
    if request_id is None:
        raise click.UsageError("give the id of a request, or --session with that of a session")
    where = located(ledgers, config, lenient=True)
    row = request.find(where.ledgers, request_id)
    beside = missing = None
    if isinstance(row, Intent):
        missing = None if row.live else read.damaged(where.ledgers)
    else:
        settings = where.config if where.own else None
        beside = route.route_details(row, ledger=where.ledgers, state_dir=where.state_dir, config=settings)
    if as_json:
        more = {"missing": missing} if beside is None else route.to_json(beside)
        click.echo(renamed.encode({**request.to_json(row), **more}))
    else:
        width = columns(sys.stdout)
        story = request.story(row, beside, missing)
        click.echo("\n".join(wrapped(line, width, request.INDENT) for line in story))
    return 0


def _session(name: str, where: Source, as_json: bool) -> int:
    found = session_calls.gather(read.read(where.ledgers, None), name)
    if as_json:
        click.echo(msgspec.json.encode(found))
    else:
        width = columns(sys.stdout)
        for line in session_calls.story(found):
            click.echo(wrapped(request.printable(line), width))
    return 0
