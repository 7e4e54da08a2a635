"""`farthing init`: what `farthing serve` finds without a file, as a file to edit."""

import os
from pathlib import Path

import click

from farthing import __version__
from farthing import config as configuration
from farthing.cli.found import found_here
from farthing.cli.itself import own_command
from farthing.errors import ConfigError

HERE = Path("farthing.toml")


@click.command("init")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True), default=HERE)
def command(file: Path) -> None:
    """Write down what `farthing serve` finds here: provider keys by their names, local servers, tiers.

    FILE is ./farthing.toml by default, and - is standard output. A file that exists is left as it is.
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
        with file.open("x", encoding="utf-8") as out:
            out.write(text)
    except OSError as why:
        raise ConfigError(f"{file} cannot be written: {why.strerror or why}") from why
    click.echo(f"wrote {file}; check it with  {own_command()} check {file}")


def _text(table: str, lines: list[str]) -> str:
    """`lines` as comments above the configuration."""
    about = [f"What farthing {__version__} found here, and chose.", *lines]
    comments = [f"# {row}" for line in about for row in line.splitlines()]
    hint = "# Every key and its default: docs/configuration.md, or `farthing check` on this file."
    return "\n".join([*comments, hint, "", table])
