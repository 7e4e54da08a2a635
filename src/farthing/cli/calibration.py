"""What the commands of `farthing calibrate` share: their options, and how an outcome is told."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from farthing.cli.reading import config_option, ledger_option
from farthing.cli.renamed import RenamedOption
from farthing.cli.screen import say
from farthing.cli.since import SINCE_HELP
from farthing.insight import renamed

CERTIFIED, REFUSED = 0, 1
"""Exit statuses."""
SHARE = click.FloatRange(0, 1, min_open=True, max_open=True)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """The options that every command has."""

    endpoint: str
    risk_max: float | None
    """None: as the endpoint has it. Only where the command does not need it."""
    confidence: float | None
    """None: as the endpoint has it."""
    since: str
    ledger: Path | None
    config: Path | None
    as_json: bool
    apply: bool


class AskedOfSamples(Asked, frozen=True, kw_only=True):
    """And those of a command that may read a file of samples in the place of the ledger."""

    risk_max: float
    confidence: float
    samples: Path | None


A = TypeVar("A", bound=Asked)
Command = Callable[..., int]


def asked(
    kind: type[A], *, whose: str, risk: str, applies: str, samples: str = ""
) -> Callable[[Callable[[A], int]], Command]:
    """Give a command the shared options, and call it with all of its options as one `kind`.

    `whose`, `risk` and `applies` say what --endpoint, --risk-max and --apply mean here; `samples`, which keys
    a line of --samples has: empty, and the command reads only the ledger.
    """
    options: list[Callable[[Command], Command]] = [
        click.option("--endpoint", required=True, help=whose),
        click.option(
            "--risk-max", cls=RenamedOption, old="--loss", type=SHARE, required=bool(samples), help=risk
        ),
        *(_of_samples(samples) if samples else [_confidence(help="Default: the endpoint's.")]),
        click.option("--since", default="all", show_default=True, help=SINCE_HELP),
        ledger_option,
        config_option,
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        click.option("--apply", is_flag=True, help=applies),
    ]

    def decorated(function: Callable[[A], int]) -> Command:
        @functools.wraps(function)
        def called(**given: Any) -> int:
            return function(kind(**given))

        found: Command = called
        for option in reversed(options):
            found = option(found)
        return found

    return decorated


def _of_samples(keys: str) -> list[Callable[[Command], Command]]:
    return [
        _confidence(default=0.9, show_default=True),
        click.option(
            "--samples",
            type=click.Path(path_type=Path, dir_okay=False),
            help=f"JSON lines: {keys}. Default: the explored requests of the ledger.",
        ),
    ]


def _confidence(**settings: Any) -> Callable[[Command], Command]:
    return click.option("--confidence", type=click.FloatRange(0.5, 1, max_open=True), **settings)


def shown(found: Any, **more: object) -> None:
    """A calibration as JSON, with `more` beside what it has."""
    named: Mapping[str, object] = msgspec.structs.asdict(found)
    old = {"loss": found.risk_max}  # its name in the last release
    click.echo(renamed.encode({**named, **old, **more}).decode())


def told(story: list[str], *, certified: bool, written: str, advice: str = "") -> None:
    """A calibration in lines. `written`: what was done with the certificate; empty: --apply was not given.
    `advice` says what helps where it was refused."""
    say(*story)
    if certified:
        say("", written or "dry run: --apply writes it")
    elif advice:
        say("", advice)
