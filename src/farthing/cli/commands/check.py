"""`farthing check`: a configuration, validated and shown. Opens no socket, unless a plug-in does."""

import asyncio
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import msgspec

from farthing import config as configuration
from farthing.brain.route.expression import Expression
from farthing.cli.reading import config_option
from farthing.cli.screen import commented, tell
from farthing.errors import ConfigError
from farthing.wiring.plugins import named, tried
from farthing.wiring.providers import build_provider
from farthing.wiring.semantic_certificates import uncertified_languages
from farthing.wiring.warnings import advised


@click.command("check")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print {ok, file, config, advice | errors} as JSON.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of the file instead.")
def command(file: Path | None, config: Path | None, as_json: bool, schema: bool) -> int:
    """Validate FILE, or --config (by default what `farthing serve` would read), and print the effective
    configuration.

    Defaults and FARTHING__… variables are part of it; secrets are shown by the names of their
    variables. What is allowed and likely a mistake is a warning on standard error.

    The plug-ins that it names are loaded, made with their options, and closed again, as a start would do
    it. Exit status: 0 when FILE is good, 1 when it is and a plug-in cannot be used here, 2 when it is not.
    """
    if schema:
        click.echo(msgspec.json.format(msgspec.json.encode(configuration.schema()), indent=2).decode())
        return 0
    if file is not None and config is not None and file != config:
        raise click.UsageError(f"FILE is {file} and --config is {config}: name one of them")
    named = file or config or configuration.default_file(os.environ)
    path = named or configuration.DEFAULT_NAME
    try:
        if named is None:
            raise configuration.no_file(os.environ)
        settings = configuration.load(path, os.environ, condition=Expression)
        configuration.check_can_answer(settings, str(path))
        _check_priced(settings)
    except ConfigError as why:
        if not as_json:
            raise
        _print({"ok": False, "file": str(path), "errors": str(why).split("\n")})
        return 2
    made, broken = _plugins(settings)
    if broken:
        if as_json:
            _print({"ok": False, "file": str(path), "errors": broken})
        else:
            tell(*(f"error: {line}" for line in broken))
            tell(f"{path} is in order, and `farthing serve` would refuse it here")
        return 1
    here = (
        *_faults_of_environment(settings, made),
        *uncertified_languages(settings, configuration.state_dir(settings, os.environ)),
    )
    advice = advised(settings, path, os.environ, here)
    stays = configuration.remaining(settings)
    settings = configuration.concealed(settings)
    if as_json:
        plain = configuration.plain(settings)
        found = {"ok": True, "file": str(path), "config": plain, "advice": advice}
        if stays:
            found["residency"] = msgspec.to_builtins(stays)
        _print(found)
    else:
        for line in advice:
            tell(f"warning: {line}")
        for name, one in stays.items():
            tell(one.story(name))
        header = commented(f"{path} is good. What it comes to, defaults included:")
        click.echo("\n".join([*header, "", configuration.render(settings)]), nl=False)
    return 0


def _plugins(config: configuration.Config) -> tuple[dict[str, Any], list[str]]:
    """As `tried`; imports nothing that takes long where there are none."""
    if not any(named(config)):
        return {}, []
    from farthing.models.price_list import price_list
    from farthing.models.targets import Targets

    tiers = Targets(config, price_list(config)).tiers
    return asyncio.run(tried(config, configuration.state_dir(config, os.environ), tiers))


def _faults_of_environment(config: configuration.Config, plugins: Mapping[str, Any]) -> Iterator[str]:
    """What would stop `farthing serve` in this environment, which need not be the one it will run in.
    `plugins`: by the key that names them."""
    for name, provider in config.providers.items():
        try:
            build_provider(name, provider, os.environ, plugin=plugins.get(f"providers.{name}"))
        except ConfigError as why:
            yield str(why)
    if any(endpoint.cache.semantic.mode != "off" for endpoint in config.endpoints.values()):
        from farthing.wiring.semantic_cache import missing_packages

        missing = missing_packages(config)
        if missing is not None:
            yield f"the semantic cache cannot be used here: {missing}"


def _check_priced(config: configuration.Config) -> None:
    """Raises:
    ConfigError: an endpoint has a limit on money and leads to what has no price.
    """
    if any(endpoint.usd_max is not None for endpoint in config.endpoints.values()):
        from farthing.models.price_list import price_list  # 2,000 prices: only where one is asked for
        from farthing.models.pricing.priced import check_priced
        from farthing.models.targets import Targets

        check_priced(config, Targets(config, price_list(config)))


def _print(answer: dict[str, object]) -> None:
    click.echo(msgspec.json.Encoder(decimal_format="number").encode(answer).decode())
