"""`farthing models refresh`: a newer price list, fetched because somebody asked for it."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from farthing import config as configuration
from farthing.brain.route.expression import Expression
from farthing.cli.found import state_dir_here
from farthing.cli.reading import config_option
from farthing.config import Config
from farthing.errors import ConfigError, FarthingError

NO_URL = (
    "no catalogue_url is set and no --url given, and Farthing has none of its own: name the https address of "
    "a price list, in our format (data/catalogue.jsonl) or litellm's (model_prices_and_context_window.json), "
    "as in `farthing models refresh --url https://prices.example.com/list.json`, or catalogue_url at the top "
    "of the configuration"
)


@click.command("refresh")
@click.option("--url", help="Where to fetch it, by https; default: catalogue_url of the configuration.")
@click.option("--forget", is_flag=True, help="Go back to the list that came with Farthing; fetches nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print what has changed as JSON.")
@config_option
def command(url: str | None, forget: bool, as_json: bool, config: Path | None) -> None:
    """Fetch a newer price list, check it, and keep it in the state directory.

    It is used from the next start or reload on. Nothing is ever fetched without this command: at most 16 MB,
    by https, in one minute. What cannot be is left out and counted, and prices that are ten times what they
    were are told.
    """
    from farthing.config.checks import fault_of_catalogue_url
    from farthing.models.pricing import kept_list

    path = config or configuration.default_file(os.environ)
    settings = Config()
    state_dir = state_dir_here(os.environ)
    if path is not None:
        settings = configuration.load(path, os.environ, condition=Expression, secrets=False)
        state_dir = configuration.state_dir(settings, os.environ)
    if forget:
        existed = kept_list.forget(state_dir)
        version = kept_list.packaged().header.version
        told = (
            f"the fetched price list is gone; used from the next start or reload on: {version}"
            if existed
            else f"no price list had been fetched; the package's is used: {version}"
        )
        _say(as_json, {"forgotten": existed, "version": version}, [told])
        return
    url = url or settings.catalogue_url
    if url is None:
        raise ConfigError(NO_URL)
    if fault := fault_of_catalogue_url(url):
        raise ConfigError(f"{'catalogue_url' if url == settings.catalogue_url else '--url'}: {fault}")
    _refresh(url, state_dir, as_json)


def _refresh(url: str, state_dir: Path, as_json: bool) -> None:
    from urllib.parse import urlsplit

    from farthing.models.pricing import kept_list
    from farthing.models.pricing.catalogue import today
    from farthing.models.pricing.refreshed import NotAList, read_fetched
    from farthing.wiring.catalogue import fetched

    before = kept_list.current(state_dir)
    try:
        content = asyncio.run(fetched(url))
    except FarthingError as why:
        raise NotAList(f"{why}; nothing is changed, the list in use is {before.version}") from None
    source = urlsplit(url).hostname or ""
    found = read_fetched(content, source=source, today=today(), before=before)
    kept = kept_list.keep(state_dir, found.content)
    facts = {name: value for name, value in msgspec.structs.asdict(found).items() if name != "content"}
    lines = [
        f"{found.models} models in {kept}, used from the next start or reload on: {found.version}",
        f"before: {before.version}",
        f"{found.added} new, {found.gone} gone, {found.changed} with other prices, {found.refused} left out",
        *(f"more than ten times: {line}" for line in found.jumps),
        "to take it back: `farthing models refresh --forget`",
    ]
    _say(as_json, {**facts, "before": before.version, "file": str(kept)}, lines)


def _say(as_json: bool, facts: Mapping[str, Any], lines: Sequence[str]) -> None:
    click.echo(msgspec.json.encode(facts).decode() if as_json else "\n".join(lines))
