"""`farthing models`: what there is to ask for, what it costs and what it can; and a newer list of it."""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click
import msgspec

from farthing import config as configuration
from farthing.brain.route.expression import Expression
from farthing.cli.commands.models.refresh import command as refresh
from farthing.cli.commands.models.shown import entry_of, table
from farthing.cli.found import found_here, state_dir_here
from farthing.cli.groups import SubcommandGroup
from farthing.cli.reading import config_option
from farthing.cli.screen import columns, tell
from farthing.config import Config
from farthing.models.pricing.catalogue import price_on, today
from farthing.types import FEATURES, Model

if TYPE_CHECKING:
    from farthing.models.pricing.catalogue import Catalogue

ROWS_SHOWN = 40
WIDTH = 80
_SUFFIXES = {"k": 1_000, "m": 1_000_000}


class Tokens(click.ParamType[int]):
    """A number of tokens: `200000`, `200k`, `1m`."""

    name = "tokens"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value).strip().lower().replace("_", "").replace(",", "")
        factor = _SUFFIXES.get(text[-1:], 1)
        digits = text[:-1] if factor > 1 else text
        try:
            found = round(float(digits) * factor)
        except (ValueError, OverflowError):
            found = -1
        if found < 0:
            self.fail(f"{value!r} is no number of tokens, such as 200000, 200k or 1m", param, ctx)
        return found


class Words(click.ParamType[frozenset[str]]):
    """Capabilities, separated by commas."""

    name = "words"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> frozenset[str]:
        words = frozenset(word.strip().replace("-", "_") for word in str(value).split(",") if word.strip())
        unknown = sorted(words - set(FEATURES))
        if unknown:
            self.fail(f"{unknown[0]!r} is none of {', '.join(FEATURES)}", param, ctx)
        return words


@click.group("models", cls=SubcommandGroup, invoke_without_command=True)
@click.option("--name", default="", help="Only names with these letters in them, of provider and model.")
@click.option("--provider", "providers", multiple=True, help="Only of this provider; may be given again.")
@click.option("--input-max", type=float, metavar="USD", help="At most so much for a million tokens of input.")
@click.option("--output-max", type=float, metavar="USD", help="The same of output.")
@click.option("--window", type=Tokens(), help="A context window of at least so many tokens (200k).")
@click.option("--output-tokens", type=Tokens(), help="At least so many tokens of output.")
@click.option("--can", type=Words(), default="", help=f"Only what can all of these: {', '.join(FEATURES)}.")
@click.option(
    "--sort",
    type=click.Choice(("price", "name", "window", "released")),
    default="price",
    show_default=True,
    help="Cheapest first (three of input to one of output), by name, largest window or newest first.",
)
@click.option(
    "--here", is_flag=True, help="Only what can be asked for here; providers are asked what they have."
)
@click.option("--retired", is_flag=True, help="Also what its provider does not answer for any more.")
@click.option("--embeddings", is_flag=True, help="Models that embed, not those that chat.")
@click.option(
    "--limit", type=click.IntRange(0), default=ROWS_SHOWN, show_default=True, help="Rows; 0 shows all."
)
@click.option("--json", "as_json", is_flag=True, help="Print {version, models} as JSON, all that match.")
@config_option
@click.pass_context
def command(ctx: click.Context, /, as_json: bool, limit: int, here: bool, sort: str, **filters: Any) -> None:
    """List the models of the price list: prices in US dollars per million tokens, windows, what they can.

    What the list does not say of a model is unknown: filters leave it out, and it is shown as `?`. Prices of
    [[prices]] are part of it where there is a configuration. Opens no socket without --here.
    """
    if ctx.invoked_subcommand is not None:
        return
    path = filters.pop("config") or configuration.default_file(os.environ)
    settings = (
        None if path is None else configuration.load(path, os.environ, condition=Expression, secrets=here)
    )
    catalogue, wanted = _catalogue(settings), Filters(**filters)
    models = _here(settings, catalogue) if here else _all(catalogue)
    found = sorted((one for one in models if wanted.holds(one)), key=_ORDERS[sort])
    if as_json:
        told = {"version": catalogue.version, "models": [entry_of(model) for model in found]}
        click.echo(msgspec.json.encode(told).decode())
        return
    if not found:
        tell(*wanted.why_none(models))
        return
    shown = found if limit == 0 else found[:limit]
    for line in table(shown, min(columns(sys.stdout) or WIDTH, 120)):
        click.echo(line)
    rest = len(found) - len(shown)
    more = f", {rest} not shown: --limit 0 shows all" if rest else ""
    tell(f"{len(found)} models{more}; {catalogue.version}")


_ALWAYS = frozenset({"embeddings", "retired"})
"""Filters that leave something out where their options are not given."""
_OPTIONS = {"providers": "provider"}
_NOTHING: tuple[object, ...] = (None, "", (), frozenset())


class Filters:
    """What a model has to be. Each is asked by its option's name."""

    def __init__(self, **options: Any) -> None:
        self._checks = {
            name: check
            for name, check in _checks(options).items()
            if name in _ALWAYS or options[name] not in _NOTHING
        }

    def holds(self, model: Model, without: str = "") -> bool:
        return all(check(model) for name, check in self._checks.items() if name != without)

    def why_none(self, models: Sequence[Model]) -> list[str]:
        """What is said where nothing is left: how many there would be without each filter."""
        lines = [f"no model fits, of {len(models)}"]
        asked = [name for name in self._checks if name not in _ALWAYS]
        if len(asked) > 1:
            for name in asked:
                left = sum(self.holds(model, without=name) for model in models)
                if left:
                    lines.append(f"  without --{_OPTIONS.get(name, name.replace('_', '-'))}: {left}")
        lines.append("what the list does not know of a model does not pass a filter; see --help")
        return lines


def _checks(options: Mapping[str, Any]) -> dict[str, Any]:
    kind = "embeddings" if options["embeddings"] else "chat"
    words = str(options["name"]).lower().split()
    providers = frozenset(options["providers"])
    can: frozenset[str] = options["can"] or frozenset()

    def at_most(usd: float | None, field: str) -> Any:
        def holds(model: Model) -> bool:
            price = price_on(model)
            return price is not None and usd is not None and getattr(price, field) / 1e6 <= usd

        return holds

    day = today()
    return {
        "embeddings": lambda model: model.operation == kind,
        "retired": lambda model: options["retired"] or not model.retires or model.retires > day,
        "name": lambda model: all(word in f"{model.provider}/{model.model}".lower() for word in words),
        "providers": lambda model: model.provider in providers,
        "input_max": at_most(options["input_max"], "input_pusd"),
        "output_max": at_most(options["output_max"], "output_pusd"),
        "window": lambda model: (model.context_tokens_max or 0) >= options["window"],
        "output_tokens": lambda model: (model.output_tokens_max or 0) >= options["output_tokens"],
        "can": lambda model: can <= model.features.can,
    }


# -- models -----------------------------------------------------------------------------------------


def _catalogue(settings: Config | None) -> "Catalogue":
    from farthing.models.price_list import price_list
    from farthing.models.pricing.kept_list import current

    return current(state_dir_here(os.environ)) if settings is None else price_list(settings)


def _all(catalogue: "Catalogue") -> list[Model]:
    return [model for provider in catalogue.providers() for model in catalogue.models(provider)]


def _here(settings: Config | None, catalogue: "Catalogue") -> list[Model]:
    """The models of what is configured, or found where nothing is; as their providers list them, else as the
    price list does.

    Raises:
        ConfigError: there is neither a configuration nor anything else to ask.
    """
    from farthing.models.discovery.listing import can_be_asked
    from farthing.wiring.catalogue import ask_configured

    if settings is None:
        settings = found_here(os.environ)[0]
    said = asyncio.run(ask_configured(settings, tuple(settings.providers)))
    found = []
    for name, provider in settings.providers.items():
        answer = said.get(name)
        names: Sequence[str] = provider.models or (answer.models if answer else ())
        if answer is not None and not answer.models:
            tell(f"{name} did not list its models ({answer.why}): what the price list has is shown")
        for model in names or [one.model for one in catalogue.models(name)]:
            if can_be_asked(model):
                entry = catalogue.find(name, model)
                found.append(_named(name, model, entry))
    return found


def _named(provider: str, name: str, entry: Model | None) -> Model:
    if entry is None:
        return Model(provider=provider, model=name)
    return entry if entry.model == name else msgspec.structs.replace(entry, model=name)


def _blend(model: Model) -> float:
    price = price_on(model)
    return float("inf") if price is None else float(3 * price.input_pusd + price.output_pusd)


_ORDERS: dict[str, Any] = {
    "price": lambda model: (_blend(model), model.provider, model.model),
    "name": lambda model: (model.provider, model.model),
    "window": lambda model: (-(model.context_tokens_max or 0), _blend(model), model.provider, model.model),
    "released": lambda model: (
        *(-ord(char) for char in model.released.ljust(10)),
        model.provider,
        model.model,
    ),
}


command.add_command(refresh)
