"""`farthing serve`: the gateway, from a file or from what is there to answer with."""

import json
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from farthing import __version__
from farthing import config as configuration
from farthing.brain.route.expression import Expression
from farthing.cli.found import found_here
from farthing.cli.screen import columns
from farthing.config import Config
from farthing.errors import ConfigError
from farthing.insight.render.rows import wrapped

COLUMNS = 80  # of a log or a pipe, where a person reads it all the same


@click.command("serve")
@click.option("--config", "file", type=click.Path(path_type=Path), help="Configuration file.")
@click.option("--host", help="Address to listen on (server.host).")
@click.option("--port", type=click.IntRange(0, 65_535), help="Port to listen on (server.port).")
@click.option(
    "--detect/--no-detect", default=True, help="Without a file, look for provider keys and local servers."
)
def command(file: Path | None, host: str | None, port: int | None, detect: bool) -> int:
    """Run the gateway until it is stopped.

    The configuration is --config, else the file that FARTHING_CONFIG names, else ./farthing.toml, else
    farthing/farthing.toml in the XDG configuration directory, else what is found: provider keys in the
    environment and local servers.
    SIGHUP or a changed file reloads it; a file that is not good changes nothing. SIGTERM drains.
    """
    env = _overridden(os.environ, host, port)
    source = configuration.at_home(file) if file is not None else configuration.default_file(env)
    if source is not None:
        config, lines = _from_file(source, env)
    elif detect:
        config, lines = _detected(env)
    else:
        raise ConfigError(f"{configuration.no_file(env)}; or leave out --no-detect")
    width = columns(sys.stdout) or COLUMNS
    click.echo("\n".join([f"farthing {__version__}", *(wrapped(line, width) for line in lines)]))
    from farthing.wiring import process  # all of it: not needed to be told that the file is wrong

    def ready(listening_port: int) -> None:
        click.echo("\n".join(_introduction(config, listening_port, env)))

    return process.run(config, source=source, env=env, ready=ready)


def _overridden(env: Mapping[str, str], host: str | None, port: int | None) -> dict[str, str]:
    """Options are variables that win, so that a reload keeps them and every check sees them."""
    given = {"HOST": host, "PORT": port}
    prefix = f"{configuration.ENV_PREFIX}SERVER__"
    return dict(env) | {prefix + name: str(value) for name, value in given.items() if value is not None}


def _from_file(source: Path, env: Mapping[str, str]) -> tuple[Config, list[str]]:
    config = configuration.load(source, env, condition=Expression)
    configuration.check_can_answer(config, str(source))
    tiers = [f"{name} = {', '.join(tier.targets)}" for name, tier in config.tiers.items()]
    return config, [f"configuration {source}", *tiers]


def _detected(env: Mapping[str, str]) -> tuple[Config, list[str]]:
    config, lines = found_here(env)
    # Through the text and back: the variables and the checks apply to it as to any file.
    served = configuration.loads(configuration.render(config), env, name="found")
    told = (
        *configuration.making(configuration.plain(config), env),
        *configuration.old_names(env),
        *configuration.unread(env),
    )
    return served, [*lines, *(f"warning: {line}" for line in told)]


def _introduction(config: Config, port: int, env: Mapping[str, str]) -> list[str]:
    """What to do next, told once the port is open."""
    server = config.server
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(server.host, server.host)
    root = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    url = f"{root}/v1"
    key = "a key of yours" if config.keys else "any, since none is asked for"
    model = _model_to_try(config)
    messages = json.dumps([{"role": "user", "content": "What is a farthing?"}])
    body = f'{{"model": {json.dumps(model)},\n            "messages": {messages}}}'
    key_line = ["            -H 'authorization: Bearer YOUR_KEY' \\"] if config.keys else []
    return [
        f"base URL  {url}",
        f"data      {config.ledger.path or configuration.state_dir(config, env)}",
        f"try       curl {url}/chat/completions \\",
        *key_line,
        "            -H 'content-type: application/json' \\",
        f"            -d {shlex.quote(body)}",
        f"client    two lines change (the key: {key}):",
        f'          client = OpenAI(base_url="{url}", api_key="…")',
        f'or        client = Anthropic(base_url="{root}", api_key="…")',
        f'          model="{model}"',
    ]


def _model_to_try(config: Config) -> str:
    """`auto` where there is something to choose from, else a model that is known to be there."""
    if config.tiers or config.answers:
        return "auto"
    named = (f"{name}/{model}" for name, provider in config.providers.items() for model in provider.models)
    return next(named, f"{next(iter(config.providers), 'PROVIDER')}/MODEL")
