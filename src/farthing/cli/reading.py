"""What commands that read a gateway's files have in common: their options, and saying what they read."""

import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from farthing import config as configuration
from farthing.cli.screen import tell
from farthing.insight import source
from farthing.insight.source import Settings, Source


def _at_home(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    return None if value is None else configuration.at_home(value)


config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    callback=_at_home,
    help="The gateway's configuration file; default: FARTHING_CONFIG, else what `farthing serve` would find.",
)
ledger_option = click.option(
    "--ledger",
    type=click.Path(path_type=Path),
    help="Directory of a ledger's segments; default: the ledger of the configuration.",
)


def ledgers_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """`ledgers`: of `--ledger`, which may be given again, and of what a shell makes of a pattern after it."""

    @functools.wraps(function)
    def joined(*, ledgers: tuple[Path, ...], more_ledgers: tuple[Path, ...], **others: Any) -> Any:
        return function(ledgers=(*ledgers, *more_ledgers), **others)

    kind = click.Path(path_type=Path)
    option = click.option(
        "--ledger",
        "ledgers",
        multiple=True,
        type=kind,
        help="Directory of a ledger's segments, or a pattern such as '/data/*/ledger'; may be given again. "
        "Default: the ledger of the configuration.",
    )
    return option(click.argument("more_ledgers", metavar="[LEDGER]...", nargs=-1, type=kind)(joined))


def located(
    ledger: Path | Sequence[Path] | None, config: Path | None, *, told: bool = True, lenient: bool = False
) -> Source:
    """The ledgers to read; said on standard error unless `told` is False. `lenient`: as in `source.locate`.

    Raises:
        ConfigError: the configuration is refused, or there is no ledger.
    """
    found = source.locate(ledger, config, os.environ, lenient=lenient)
    if told:
        tell(found.line())
    if found.settings.refused:
        tell(f"warning: {found.settings.refused}")
    return found


def settled(config: Path | None) -> Settings:
    """The configuration of commands that read and write the state directory, which is said on standard error.

    Raises:
        ConfigError: it is refused.
    """
    found = source.settings(config, os.environ)
    tell(f"state {found.state_dir} ({found.state_told})")
    return found


def warn_of_unknown(endpoint: str, known: Settings) -> None:
    """Say so where the configuration that was found has no such endpoint, and which it has."""
    if known.file is not None and endpoint not in ("default", *known.config.endpoints):
        there = source.listed(sorted(known.config.endpoints)) or "none"
        tell(f"warning: {known.file} has no endpoint {endpoint!r}; there are {there}")
