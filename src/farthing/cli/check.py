"""`farthing check`: a configuration, validated and shown. Opens no socket."""

import os
from pathlib import Path

import click
import msgspec

from farthing import config as configuration
from farthing.brain.route.expression import Expression
from farthing.certificates import uncertified_languages
from farthing.errors import ConfigError


@click.command("check")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--json", "as_json", is_flag=True, help="Print {ok, file, config, advice | errors} as JSON.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of the file instead.")
def command(file: Path | None, as_json: bool, schema: bool) -> int:
    """Validate FILE (./farthing.toml by default) and print the effective configuration.

    Defaults and FARTHING__… variables are part of it; secrets are shown by the names of their
    variables. What it may say and hardly means is told on standard error. Exit status: 0 when FILE is good,
    2 when it is not.
    """
    if schema:
        click.echo(msgspec.json.format(msgspec.json.encode(configuration.schema()), indent=2).decode())
        return 0
    path = file or Path("farthing.toml")
    try:
        config = configuration.load(path, os.environ, condition=Expression)
    except ConfigError as why:
        if not as_json:
            raise
        _print({"ok": False, "file": str(path), "errors": str(why).split("\n")})
        return 2
    advice = (
        *configuration.advice(config),
        *uncertified_languages(config, configuration.state_dir(config, os.environ)),
    )
    if as_json:
        plain = configuration.plain(config)
        _print({"ok": True, "file": str(path), "config": plain, "advice": advice})
    else:
        for line in advice:
            click.echo(f"warning: {path}: {line}", err=True)
        click.echo(
            f"# {path} is good. What it comes to, defaults included:\n\n{configuration.render(config)}",
            nl=False,
        )
    return 0


def _print(answer: dict[str, object]) -> None:
    click.echo(msgspec.json.Encoder(decimal_format="number").encode(answer).decode())
