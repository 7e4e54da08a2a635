"""`farthing plugins`: what is installed beside Farthing, and what of it a configuration uses."""

import os
from collections import Counter
from pathlib import Path

import click
import msgspec

from farthing import config as configuration
from farthing.brain.route.expression import Expression
from farthing.cli.reading import config_option
from farthing.wiring.plugins import GROUPS, Kind, installed, named, strays


@click.command("plugins")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print {file, plugins, missing, strays} as JSON.")
def command(config: Path | None, as_json: bool) -> int:
    """List the plug-ins of this Python environment: kind, name, distribution, version, and the keys of the
    configuration that name it.

    Loads none of them; `farthing check` does. Without a configuration nothing is used. Exit status: 1 when
    the configuration names one that is not installed, or that two distributions have.
    """
    path = config or configuration.default_file(os.environ)
    used: dict[tuple[Kind, str], list[str]] = {}
    if path is not None:
        settings = configuration.load(path, os.environ, condition=Expression, secrets=False)
        for one in named(settings):
            used.setdefault((one.kind, one.plugin), []).append(one.where)
    here = installed()
    times = Counter((one.kind, one.name) for one in here)
    found = [
        {
            **msgspec.structs.asdict(one),
            "used": used.get((one.kind, one.name), []),
            "twice": times[one.kind, one.name] > 1,
        }
        for one in here
    ]
    absent = [
        {"kind": kind, "name": name, "used": keys}
        for (kind, name), keys in used.items()
        if not times[kind, name]
    ]
    stray = strays()
    status = 1 if absent or any(row["used"] and row["twice"] for row in found) else 0
    if as_json:
        file = None if path is None else str(path)
        told = {"file": file, "plugins": found, "missing": absent, "strays": stray}
        click.echo(msgspec.json.encode(told).decode())
        return status
    for row in found:
        where = ", ".join(row["used"]) or "not used"
        twice = "  TWICE: uninstall all but one of that name" if row["twice"] else ""
        click.echo(
            f"{row['kind']:<10} {row['name']:<20} {row['distribution']} {row['version']}  {where}{twice}"
        )
    for gone in absent:
        click.echo(f"{gone['kind']:<10} {gone['name']:<20} NOT INSTALLED  {', '.join(gone['used'])}")
    for lost in stray:
        click.echo(
            f'{"-":<10} {lost.name:<20} {lost.distribution}  NOT FOUND: its group "{lost.group}" is none; '
            f'write "{lost.meant}"'
        )
    if not found and not used and not stray:
        click.echo(f"no distribution here has an entry point in {', '.join(GROUPS.values())}")
    return status
