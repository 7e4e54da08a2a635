"""`farthing plugins`: what is installed beside Farthing, and what of it a configuration uses."""

import os
from pathlib import Path

import click
import msgspec

from farthing import config as configuration
from farthing.brain.route.expression import Expression
from farthing.cli.reading import config_option
from farthing.wiring.plugins import GROUPS, installed, named


@click.command("plugins")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print {file, plugins, missing} as JSON.")
def command(config: Path | None, as_json: bool) -> int:
    """List the plug-ins of this Python environment: kind, name, distribution, version, and the keys of the
    configuration that name it.

    Loads none of them. Without a configuration nothing is used.
    """
    path = config or configuration.default_file(os.environ)
    used: dict[tuple[str, str], list[str]] = {}
    if path is not None:
        settings = configuration.load(path, os.environ, condition=Expression, secrets=False)
        for one in named(settings):
            used.setdefault((one.kind, one.plugin), []).append(one.where)
    found = [
        {**msgspec.structs.asdict(one), "used": used.pop((one.kind, one.name), [])} for one in installed()
    ]
    if as_json:
        file = None if path is None else str(path)
        absent = [{"kind": kind, "name": name, "used": keys} for (kind, name), keys in used.items()]
        click.echo(msgspec.json.encode({"file": file, "plugins": found, "missing": absent}).decode())
        return 0
    for row in found:
        where = ", ".join(row["used"]) or "not used"
        click.echo(f"{row['kind']:<10} {row['name']:<20} {row['distribution']} {row['version']}  {where}")
    for (kind, name), keys in used.items():
        click.echo(f"{kind:<10} {name:<20} NOT INSTALLED  {', '.join(keys)}")
    if not found and not used:
        click.echo(f"no distribution here has an entry point in {', '.join(GROUPS.values())}")
    return 0
