"""`farthing policy`: which version of an endpoint's routing policy decides, and how good it is."""

import getpass
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from farthing.cli.groups import SubcommandGroup
from farthing.cli.reading import config_option, ledger_option, located, settled, warn_of_unknown
from farthing.cli.screen import say
from farthing.cli.since import SINCE_HELP, since_of
from farthing.config import Config, LearnedRouteConfig
from farthing.guarantees.certificates.routing import RouteCertificate
from farthing.guarantees.policy import versions
from farthing.guarantees.policy.versions import Author, PolicyBook, PolicyRefused
from farthing.insight import renamed
from farthing.insight.policies import compare as policies
from farthing.insight.policies import state as standings
from farthing.insight.policies import text
from farthing.ledger import read
from farthing.types import replace

shared_options = [
    config_option,
    click.option("--json", "as_json", is_flag=True, help="Print JSON."),
]
endpoint_option = click.option("--endpoint", required=True, help="Whose routing.")


def shared(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(shared_options):
        function = option(function)
    return function


@click.group("policy", cls=SubcommandGroup)
def command() -> None:
    """Versions of an endpoint's routing policy: on trial, serving, taken back, compared.

    Reads and writes the state directory of --config, else of the configuration that `farthing serve` would
    find. A running gateway follows within a second. Versions come from `farthing calibrate route --apply`;
    version 0 is the configuration.
    """


@command.command("list")
@shared
def list_(config: Path | None, as_json: bool) -> int:
    """Every endpoint that has a policy, and where it stands."""
    found = standings.lines(_state_dir(config))
    if as_json:
        click.echo(renamed.encode(found))
        return 0
    for one in found:
        say(standings.said(one))
    if not found:
        say("no endpoint has a routing policy: `farthing calibrate route --apply` makes one")
    return 0


@command.command("show")
@endpoint_option
@shared
def show(endpoint: str, config: Path | None, as_json: bool) -> int:
    """The versions of one endpoint, what was audited of each, and who changed what."""
    known = settled(config)
    found = standings.standing(known.state_dir, endpoint)
    if found is None:
        warn_of_unknown(endpoint, known)
        if as_json:
            click.echo(b"null")
        else:
            say(f"{endpoint} has no routing policy: it goes by the configuration")
        return 0
    if as_json:
        click.echo(renamed.encode(found))
    else:
        say(*text.story(found))
    return 0


@command.command("canary")
@endpoint_option
@click.option("--version", "number", type=click.IntRange(min=0), required=True, help="Which is on trial.")
@click.option(
    "--share",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.1,
    show_default=True,
    help="Of the traffic that it decides; 0.5 compares evenly.",
)
@shared
def canary(endpoint: str, number: int, share: float, config: Path | None, as_json: bool) -> int:
    """Let a version decide a share of the traffic, beside the one that serves."""
    return _change(
        endpoint, config, as_json, lambda book, author: versions.canary(book, number, share, author)
    )


@command.command("promote")
@endpoint_option
@click.option("--version", "number", type=click.IntRange(min=0), help="Default: the one on trial.")
@shared
def promote(endpoint: str, number: int | None, config: Path | None, as_json: bool) -> int:
    """Let a version decide everything."""
    return _change(endpoint, config, as_json, lambda book, author: versions.promote(book, number, author))


@command.command("rollback")
@endpoint_option
@click.option("--to", type=click.IntRange(min=0), help="Version; default: what was before.")
@shared
def rollback(endpoint: str, to: int | None, config: Path | None, as_json: bool) -> int:
    """Take back the version on trial; without one, go back to what served before."""
    return _change(endpoint, config, as_json, lambda book, author: versions.rollback(book, author, to=to))


@command.command("compare")
@endpoint_option
@click.option("--since", default="7d", show_default=True, help=SINCE_HELP)
@ledger_option
@shared
def compare(endpoint: str, since: str, ledger: Path | None, config: Path | None, as_json: bool) -> int:
    """Cost, time, errors and quality of each version, and the one on trial against the one that serves."""
    since_unix_s = since_of(since, time.time())
    where = located(ledger, config)
    book = versions.load(versions.place(where.state_dir, endpoint))
    if book is None:
        warn_of_unknown(endpoint, where.settings)
        book = PolicyBook(endpoint=endpoint)
    found = policies.compare(
        read.read_all(where.ledger, since_unix_s),
        book,
        threshold=_threshold(where.settings.config, endpoint),
        since=since_unix_s,
    )
    if as_json:
        click.echo(renamed.encode(found))
    else:
        say(*text.comparison(found))
    return 0


def add_version(
    state_dir: Path,
    settings: Config,
    certificate: RouteCertificate,
    share: float,
    *,
    measured: Mapping[str, str] | None = None,
) -> PolicyBook:
    """Make `certificate` a version of its endpoint's policy, deciding `share` of the traffic; 1 is all.
    `measured` is the target of each tier in the samples, for tiers that `settings` does not have.

    Raises:
        ConfigError: the file cannot be read or written.
        PolicyRefused: it is there already, made of the same samples.
    """
    author = _author()
    scope = certificate.scope
    targets = {
        **(measured or {}),
        **{t: settings.tiers[t].targets[0] for t in (scope.cheap, scope.expensive) if t in settings.tiers},
    }

    def added(book: PolicyBook) -> PolicyBook:
        same = next((one.number for one in book.versions if _same(one.certificate, certificate)), None)
        if same is not None:  # a new number would only take away its age, and what audits have said of it
            raise PolicyRefused(
                f"version {same} of {book.endpoint!r} is this certificate, of the same samples: "
                f"`farthing policy canary` or `promote` with --version {same}"
            )
        book = versions.add(book, certificate, author, note="farthing calibrate route", targets=targets)
        if share >= 1.0:
            return versions.promote(book, book.last_number, author)
        return versions.canary(book, book.last_number, share, author)

    return versions.change(state_dir, certificate.endpoint, added)


def _same(one: RouteCertificate, other: RouteCertificate) -> bool:
    """Whether nothing but the time of making tells them apart."""
    then = {"made_unix_s": 0.0, "scope": replace(other.scope, policy="")}
    was = {"made_unix_s": 0.0, "scope": replace(one.scope, policy="")}
    return bool(replace(one, **was) == replace(other, **then))


def _change(
    endpoint: str,
    config: Path | None,
    as_json: bool,
    what: Callable[[PolicyBook, Author], PolicyBook],
) -> int:
    author = _author()
    known = settled(config)
    warn_of_unknown(endpoint, known)
    book = versions.change(known.state_dir, endpoint, lambda before: what(before, author))
    if as_json:
        click.echo(renamed.encode(book))
    else:
        say(f"{endpoint}: {book.changes[-1].what}")
    return 0


def _state_dir(config: Path | None) -> Path:
    return settled(config).state_dir


def _threshold(settings: Config, endpoint: str) -> float | None:
    """The configuration's own threshold, where a router goes by one."""
    if not isinstance(settings.route, LearnedRouteConfig):
        return None
    found = settings.endpoints.get(endpoint)
    own = None if found is None else found.route_threshold
    return settings.route.threshold if own is None else own


def _author() -> Author:
    try:
        who = getpass.getuser()
    except (KeyError, OSError):  # a container without a name for its user
        who = str(os.getuid())
    return Author(who=who, at_unix_s=time.time())
