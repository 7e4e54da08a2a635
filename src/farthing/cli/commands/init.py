"""`farthing init`: what `farthing serve` finds without a file, as a file to edit."""

import os
import shlex
from pathlib import Path

import click

from farthing import __version__
from farthing import config as configuration
from farthing.cli.found import found_here
from farthing.cli.itself import own_command
from farthing.cli.screen import commented, say, tell
from farthing.errors import ConfigError

HERE = Path("farthing.toml")
HINT = "Every key and its default: docs/configuration.md, or `farthing check` on this file."


@click.command("init")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True), default=HERE)
def command(file: Path) -> None:
    """Write down what `farthing serve` finds here: provider keys by their names, local servers, tiers.

    FILE is ./farthing.toml by default, and - is standard output. A file that exists is left as it is. Where
    FARTHING_CONFIG names another file, that is the one which is served, and a warning says so.
    Serving FILE is the same as serving what was found; edit it from there.
    """
    if str(file) != "-" and file.exists():
        raise ConfigError(f"{file} exists and is left as it is; name another FILE, or - to print")
    config, lines = found_here(os.environ)
    text = _text(configuration.written(config), lines)
    if str(file) == "-":
        click.echo(text, nl=False)
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as out:
            out.write(text)
    except OSError as why:
        raise ConfigError(f"{file} cannot be written: {why.strerror or why}") from why
    command = own_command()
    say(f"wrote {file}; check it with")
    click.echo(f"  {command} check {shlex.quote(str(file))}")  # to be pasted, so in one row
    _tell_what_is_served(file, command)


def _tell_what_is_served(file: Path, command: str) -> None:
    """Say so where `farthing serve` would read another file than the one that was written."""
    served = configuration.default_file(os.environ)
    if served is not None and served.absolute() == file.absolute():
        return
    named = os.environ.get(configuration.CONFIG_VARIABLE)
    if named:
        tell(
            f"warning: {configuration.CONFIG_VARIABLE} names {named}, so `farthing serve` reads that and not "
            f"{file}: unset it, or set it to {shlex.quote(str(file.absolute()))}"
        )
    else:
        say("and serve it with")
        click.echo(f"  {command} serve --config {shlex.quote(str(file))}")


def _text(table: str, lines: list[str]) -> str:
    """`lines` as comments above the configuration."""
    about = [f"What farthing {__version__} found here, and chose.", *lines, HINT]
    return "\n".join([*commented(*about), "", table])
