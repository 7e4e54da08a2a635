"""`farthing check`: a configuration, validated and shown. Opens no socket without --ask, unless a plug-in
does."""

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from farthing import config as configuration
from farthing.brain.route.expression import Expression
from farthing.cli.reading import config_option
from farthing.cli.screen import commented, tell
from farthing.errors import ConfigError
from farthing.wiring.credentials import check_credentials
from farthing.wiring.plugins import named, tried
from farthing.wiring.providers import build_provider, reach_issuer
from farthing.wiring.semantic.certificates import uncertified_languages
from farthing.wiring.warnings import advised


@click.command("check")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@config_option
@click.option(
    "--json", "as_json", is_flag=True, help="Print {ok, file, config, lanes, advice | errors} as JSON."
)
@click.option("--ask", is_flag=True, help="Also ask the providers of tiers which models they have.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of the file instead.")
def command(file: Path | None, config: Path | None, as_json: bool, ask: bool, schema: bool) -> int:
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
    if ask:
        here = (*here, *_asked(settings))
    advice = advised(settings, path, os.environ, here)
    _show(settings, path, advice, as_json=as_json)
    return 0


def _show(settings: configuration.Config, path: Path, advice: Sequence[str], *, as_json: bool) -> None:
    """Print what a good file comes to."""
    lanes, stays = _lanes(settings), configuration.remaining(settings)
    settings = configuration.concealed(settings)
    if as_json:
        plain = configuration.plain(settings)
        found: dict[str, Any] = {
            "ok": True,
            "file": str(path),
            "config": plain,
            "lanes": lanes,
            "advice": advice,
        }
        if stays:
            found["residency"] = msgspec.to_builtins(stays)
        _print(found)
    else:
        for line in advice:
            tell(f"warning: {line}")
        for name, one in stays.items():
            tell(one.story(name))
        header = commented(f"{path} is good. What it comes to, defaults included:")
        for name, several in lanes.items():
            header += commented(f"providers.{name} is called by {'; '.join(several)}")
        click.echo("\n".join([*header, "", configuration.render(settings)]), nl=False)


def _lanes(config: configuration.Config) -> dict[str, list[str]]:
    """The addresses and keys of each provider that has several, by the names that receipts have for them."""
    found = {name: configuration.lanes_of(name, one) for name, one in config.providers.items()}
    return {
        name: [_lane(config.providers[name], lane) for lane in lanes]
        for name, lanes in found.items()
        if len(lanes) > 1
    }


def _lane(provider: configuration.AnyProviderConfig, lane: configuration.LaneConfig) -> str:
    key = lane.config.api_key
    at = f" at {lane.config.base_url}" if provider.replicas else ""
    return f"{lane.label}{at}{f' ({key.name})' if key is not None else ''}"


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
            for lane in configuration.lanes_of(name, provider):
                build_provider(name, lane.config, os.environ, plugin=plugins.get(f"providers.{name}"))
            check_credentials(name, provider, os.environ, reach_issuer)
        except ConfigError as why:
            yield f"{why}; until then `farthing serve` does not start here"
    if any(endpoint.cache.semantic.mode != "off" for endpoint in config.endpoints.values()):
        from farthing.wiring.semantic.cache import missing_packages

        missing = missing_packages(config)
        if missing is not None:
            yield f"the semantic cache cannot be used here: {missing}"


def _asked(config: configuration.Config) -> Iterator[str]:
    """What providers do not have of what tiers name."""
    from farthing.models.price_list import price_list
    from farthing.models.pricing.catalogue import today
    from farthing.wiring.catalogue import ask_configured, ending, in_tiers, not_there

    said = asyncio.run(ask_configured(config, in_tiers(config)))
    catalogue = price_list(config)
    for name, answer in said.items():
        if not answer.models and not answer.refused:
            yield f"providers.{name}: it did not list its models: {answer.why}"
    yield from not_there(config, said, catalogue)
    yield from ending(config, catalogue, today())


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
