"""`farthing cache`: what the semantic cache holds, and what is to be forgotten. Works beside a gateway."""

import asyncio
import getpass
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from farthing import config as configuration
from farthing.cli.groups import SubcommandGroup
from farthing.cli.reading import config_option
from farthing.cli.screen import say, tell
from farthing.errors import ConfigError
from farthing.insight import source
from farthing.insight.source import Settings
from farthing.types import Json

T = TypeVar("T")

BUSY_MS = 10_000  # a gateway writes beside us; a command can wait
DAY_S = 86_400
_AGE = re.compile(r"(\d+)([smhdw])")
_AGE_S = {"s": 1, "m": 60, "h": 3600, "d": DAY_S, "w": 7 * DAY_S}

shared_options = [
    config_option,
    click.option("--file", type=click.Path(path_type=Path), help="The cache's file itself."),
    click.option("--json", "as_json", is_flag=True, help="Print JSON; money in integer nano-dollars."),
]


def shared(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(shared_options):
        function = option(function)
    return function


@click.group("cache", cls=SubcommandGroup)
def command() -> None:
    """Look at the semantic cache, and make it forget.

    Reads the file of a running or stopped gateway: --file, else that of --config, else that of the
    configuration which `farthing serve` would find here. A running gateway serves nothing of what was dropped
    from that moment on.
    """


@command.command("show")
@shared
def show(config: Path | None, file: Path | None, as_json: bool) -> int:
    """What is kept, per endpoint."""
    shown = _run(config, file, lambda work: work.show())
    shown["retreated"] = _retreated(config)
    if as_json:
        click.echo(msgspec.json.encode(shown))
        return 0
    say(f"{shown['entries']} entries, {_size(shown['bytes'])}; {shown['asked']} questions counted")
    for row in shown["endpoints"]:
        say(
            f"{row['endpoint']}: {row['entries']} entries in {row['partitions']} partitions, "
            f"{_size(row['bytes'])}, {row['hits']} hits, {row['doubted']} doubted, "
            f"audits {row['agreed']} agreed and {row['wrong']} "
            f"differed, saved ${row['saved_nusd'] / 1e9:.4f}"
        )
    for row in shown["retreated"]:
        say(f"{row['endpoint']}: TRIPPED, only exact hits are served: {row['reason']}")
        if row["advice"]:
            say(f"  {row['advice']}")
    return 0


@command.command("invalidate")
@click.option("--document", help="Document of the answer: `id`, or `id@version`.")
@click.option("--documents-version", help="The endpoint's `documents` when the answer was given.")
@click.option("--tenant", help="Only of this tenant.")
@click.option("--endpoint", help="Only of this endpoint.")
@click.option("--tag", help="A tag of the endpoint when the answer was given.")
@click.option("--older-than", help="Age of the answer: 90m, 12h, 7d, 2w.")
@click.option("--model", help="Target that answered, `provider/model`, or its model alone.")
@click.option("--policy", help="Version of what decided; see `--json`.")
@click.option("--user", help="Who asked: the digest of receipts, or the name itself.")
@click.option("--request", "request_id", help="Request that the answer came from.")
@click.option("--entry", help="One entry, as receipts name it.")
@click.option("--all", "everything", is_flag=True, help="Everything.")
@click.option("--apply", is_flag=True, help="Do it; without it nothing changes.")
@shared
def invalidate(config: Path | None, file: Path | None, as_json: bool, apply: bool, **given: Any) -> int:
    """Drop answers. Shows what fits unless --apply; an answer has to fit all that is given.

    Where the endpoint has `stale = "check"`, answers are doubted instead: not served
    until a fresh one agrees.
    """
    selection = _selection(config, given)
    done = _run(
        config, file, lambda work: work.invalidate(selection, apply=apply, who=f"the command line: {_who()}")
    )
    if as_json:
        click.echo(msgspec.json.encode(done))
        return 0
    click.echo(f"{done['entries']} entries, {_size(done['bytes'])}" + (" invalidated" if apply else " fit"))
    for example in done["examples"]:
        told = " ".join(
            (example["entry"], example["endpoint"], f"{example['tenant']}:", example["question"][:80])
        )
        click.echo(f"  {_printable(told)}")
    if not apply and done["entries"]:
        click.echo("nothing was changed: say --apply to do it")
    return 0


@command.command("log")
@click.option("--count", default=20, show_default=True, help="Newest so many.")
@shared
def log(config: Path | None, file: Path | None, as_json: bool, count: int) -> int:
    """Who invalidated what, newest first."""
    rows = _run(config, file, lambda work: work.log(count))
    if as_json:
        click.echo(msgspec.json.encode(rows))
        return 0
    for row in rows:
        what = msgspec.json.encode(row["what"]).decode()
        click.echo(
            f"{_time(row['at_unix_s'])} {_printable(row['who'])}: {_printable(what)}: "
            f"{row['dropped']} dropped, {row['doubted']} doubted"
        )
    return 0


def _run(config: Path | None, file: Path | None, ask: Callable[[Any], Awaitable[T]]) -> T:
    """Open the file, ask, close it."""
    from farthing.brain.cache.semantic.store.admin import SemanticCacheAdmin
    from farthing.brain.cache.semantic.store.entries_file import EntryStore
    from farthing.brain.cache.semantic.store.purge import Invalidations

    known = _settings(config)
    settings = known.config
    path, told = _place(known, file)
    if not path.is_file():
        raise ConfigError(
            f"no semantic cache at {path} ({told}): the gateway makes it once an endpoint's cache.semantic "
            "has a mode; name its file with --file, or the gateway's configuration with --config"
        )
    tell(f"cache {path} ({told})")
    check = frozenset(
        name for name, endpoint in settings.endpoints.items() if endpoint.cache.semantic.stale == "check"
    )

    async def work() -> T:
        semantic = settings.cache.semantic
        entry_store = EntryStore(
            path,
            entries_max=semantic.entries_max,
            bytes_max=semantic.bytes_max,
            busy_ms=BUSY_MS,
            beside=True,
        )
        try:
            return await ask(SemanticCacheAdmin(Invalidations(entry_store), check=check))
        finally:
            await entry_store.aclose()

    return asyncio.run(work())


def _retreated(config: Path | None) -> list[Json]:
    """The endpoints that serve exact hits alone, why, and what helps where the configuration tells it."""
    from farthing.insight.report.semantic_cache_state import Standings

    known = _settings(config)
    states = Standings(known.state_dir).states
    unjudged = {
        name for name, endpoint in known.config.endpoints.items() if endpoint.cache.semantic.judge is None
    }
    return [
        {
            "endpoint": name,
            "since_unix_s": state.since_unix_s,
            "reason": state.reason,
            "advice": configuration.NO_JUDGE if name in unjudged else "",
        }
        for name, state in sorted(states.items())
        if state.retreated
    ]


def _selection(config: Path | None, given: dict[str, Any]) -> Json:
    """The selection as the API takes it."""
    age = given.pop("older_than")
    request_id = given.pop("request_id")
    user = given["user"]
    selection = {name: value for name, value in given.items() if value}
    if age is not None:
        match = _AGE.fullmatch(age)
        if match is None:
            raise click.BadParameter("expected an age such as 90m, 12h, 7d or 2w", param_hint="--older-than")
        selection["older_than_s"] = float(match[1]) * _AGE_S[match[2]]
    if request_id is not None:
        selection["request"] = request_id
    if user is not None and re.fullmatch("[0-9a-f]{16}", user) is None:
        from farthing.edge.openai import user_digest
        from farthing.stores.user_key import user_key

        selection["user"] = user_digest(user, user_key(_settings(config).state_dir))
    return selection


def _settings(config: Path | None) -> Settings:
    return source.settings(config, os.environ)


def _place(known: Settings, file: Path | None) -> tuple[Path, str]:
    """The cache's file, and who says so."""
    if file is not None:
        return file, "--file"
    path = known.config.cache.semantic.path
    told = known.known_by("cache.semantic.path", path is not None) or known.state_told
    return path or known.state_dir / "semantic.db", told


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a name for its user
        return str(os.getuid())


def _printable(text: str) -> str:
    """Questions are strangers' text: nothing of it moves the cursor."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1_048_576:.1f} MiB"


def _time(unix_s: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
