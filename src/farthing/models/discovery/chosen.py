"""Turns what was detected into a configuration: which models become the tiers, and how that is explained."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from msgspec import Struct

from farthing.config import (
    AnthropicProviderConfig,
    AnyProviderConfig,
    Config,
    OpenAIProviderConfig,
    PriceConfig,
    TierConfig,
)
from farthing.models.discovery.detect import Found, Hosted
from farthing.models.discovery.listing import can_be_asked, named_for_chat
from farthing.models.discovery.presets import Pick, Prices, Seen, by_price, cheapest, flagship
from farthing.models.discovery.recognise import LocalServer
from farthing.models.pricing.catalogue import price_on
from farthing.models.pricing.own_prices import PUSD_PER_USD_PER_MILLION
from farthing.types import replace

TIER_TARGETS_MAX = 3
MODELS_MAX = 1_000  # of one provider that are remembered


class Picked(Struct, frozen=True, kw_only=True):
    """What one hosted provider contributes to the tiers."""

    low: Pick | None = None
    high: Pick | None = None
    current: bool = False
    """They are its current models: the cheapest of them, and its flagship."""
    note: str = ""
    """What a person should know of the choice."""


def config_from(found: Found, catalogue: Prices) -> tuple[Config, list[str]]:
    """A configuration with every provider found and the tiers `cheap` and `expensive`, and why these.

    Hosted: cheap is the lowest blended price (3:1) among each provider's current general chat models that
    the account sees, expensive its flagship; a provider that does not know the key gives nothing. Local
    models cost 0 here and are the cheap tier; without a hosted provider they are both. What a local server
    has run elsewhere is in no tier, and its price is unknown. A tier is empty, and then absent, only when
    nothing found can serve it.
    """
    local = _local_providers(found)
    small, large = _local_targets(local)
    picks = [_picked(one, catalogue) for one in found.hosted]
    lows = sorted((pick for one in picks if (pick := one.low or one.high)), key=lambda pick: pick.blended_usd)
    highs = [pick for one in picks if (pick := one.high or one.low)]
    cheap = small or [pick.target for pick in lows]
    expensive = [pick.target for pick in highs] or large
    tiers = {
        name: TierConfig(targets=tuple(targets[:TIER_TARGETS_MAX]))
        for name, targets in (("cheap", cheap), ("expensive", expensive))
        if targets
    }
    config = Config(
        providers=_providers(found, local),
        tiers=tiers,
        prices=(*_free(local), *_deployed(found, catalogue)),
    )
    lines = _found_lines(found, local) + [one.note for one in picks if one.note]
    shown = [one for one in picks if one.high or one.low][:TIER_TARGETS_MAX]
    current = all(one.current for one in shown)
    lines += _chosen_lines(cheap, expensive, _whose(local) if small else "", lows, highs, current=current)
    lines += _alike(tiers)
    lines += _elsewhere_lines(local)
    if not tiers:
        lines.append("no tier: `auto` has nothing to choose from; ask for a model by name, or set [tiers]")
    return config, lines + list(found.notes)


# -- hosted providers -------------------------------------------------------------------------------


def _picked(one: Hosted, catalogue: Prices) -> Picked:
    preset, said = one.preset, one.said
    name = preset.name
    if said is not None and said.refused:
        return Picked()
    if said is None or not said.models:
        why = "" if said is None else said.why
        if preset.deployments:
            listed = f"it listed no deployment ({why})" if why else "a deployment bears its owner's name"
            return Picked(note=f"{name}: {listed}; ask for one by name, or set [tiers]")
        low, high = cheapest(preset, catalogue), flagship(preset, catalogue)
        note = f"{name} did not list its models ({why}): chosen from the price list" if why else ""
        return Picked(low=low, high=high, current=True, note=note if low or high else _unpriced(name))
    seen = Seen(catalogue, said.models, said.kinds)
    low, high = cheapest(preset, seen), flagship(preset, seen)
    if low is not None and high is not None:
        return Picked(low=low, high=high, current=True)
    general = by_price(preset, seen)
    if general:
        low, high = low or general[0], high or general[-1]
        return Picked(low=low, high=high, note=f"{name}: this key sees none of its newest; chosen by price")
    if preset.deployments:
        return Picked(note=_unpriced(name))
    chats = (one for one in said.models if named_for_chat(one) and can_be_asked(one))
    first = next(
        chats, None
    )  # another server that speaks as this provider does: one model is likely all it has
    if first is None:
        return Picked(note=_unpriced(name))
    only = Pick(target=f"{name}/{first}")
    return Picked(
        low=only, high=only, note=f"{name}: no price of its models is known; its first one is taken"
    )


def _unpriced(name: str) -> str:
    return f"{name}: none of its models has a known price; call one by name, or set [tiers]"


def provider_of(hosted: Hosted) -> AnyProviderConfig:
    """The table of a provider whose key is in the environment."""
    if hosted.preset.kind == "anthropic":
        return AnthropicProviderConfig(base_url=hosted.base_url, api_key=hosted.api_key)
    return OpenAIProviderConfig(base_url=hosted.base_url, api_key=hosted.api_key, auth=hosted.preset.auth)


def _providers(found: Found, local: Mapping[str, LocalServer]) -> dict[str, AnyProviderConfig]:
    hosted: dict[str, AnyProviderConfig] = {
        one.preset.name: replace(
            provider_of(one), models=() if one.said is None else one.said.models[:MODELS_MAX]
        )
        for one in found.hosted
    }
    return hosted | {
        name: OpenAIProviderConfig(
            base_url=server.base_url,
            api_key=server.place.api_key,
            auth="none" if server.place.api_key is None else "bearer",
            models=server.names,
        )
        for name, server in local.items()
    }


def _deployed(found: Found, catalogue: Prices) -> tuple[PriceConfig, ...]:
    """The prices of deployments, by the models that they are of."""
    prices = []
    for one in found.hosted:
        kinds = {} if one.said is None else one.said.kinds
        for name, kind in kinds.items():
            entry = catalogue.find(one.preset.name, kind)
            price = None if entry is None else price_on(entry)
            if entry is not None and price is not None:
                cached = price.cached_input_pusd
                prices.append(
                    PriceConfig(
                        target=f"{one.preset.name}/{name}",
                        input=_usd_per_million(price.input_pusd),
                        output=_usd_per_million(price.output_pusd),
                        cached_input=None if cached is None else _usd_per_million(cached),
                        context_tokens_max=entry.context_tokens_max,
                        output_tokens_max=entry.output_tokens_max,
                    )
                )
    return tuple(prices)


def _usd_per_million(pusd: int) -> Decimal:
    return Decimal(pusd) / PUSD_PER_USD_PER_MILLION


# -- local servers ----------------------------------------------------------------------------------


def _local_providers(found: Found) -> dict[str, LocalServer]:
    """Local servers by name: their kind; a second server of a kind also by its port, and by its host if the
    ports are equal."""
    named: dict[str, LocalServer] = {}
    for server in found.local:
        if server.names:
            name = server.kind if server.kind not in named else f"{server.kind}-{server.port}"
            host = server.place.host.replace(":", "-")
            named[name if name not in named else f"{server.kind}-{host}-{server.port}"[:64]] = server
    return named


def _local_targets(local: Mapping[str, LocalServer]) -> tuple[list[str], list[str]]:
    """Local targets by size, smallest first and largest first; in the servers' own order if sizes are
    unknown."""
    models = [
        (model.size_bytes, f"{name}/{model.name}")
        for name, server in local.items()
        for model in server.models
    ]
    small = sorted(models, key=lambda one: one[0])
    large = sorted(models, key=lambda one: -one[0])
    return [target for _, target in small], [target for _, target in large]


def _free(local: Mapping[str, LocalServer]) -> tuple[PriceConfig, ...]:
    """Prices of 0 for models that run on the user's own machines, and not elsewhere."""
    nothing = Decimal(0)
    return tuple(
        PriceConfig(target=f"{name}/{model}", input=nothing, output=nothing)
        for name, server in local.items()
        if server.place.near
        for model in (*(one.name for one in server.models), *server.silent)
    )


# -- what a person is told --------------------------------------------------------------------------


def _found_lines(found: Found, local: Mapping[str, LocalServer]) -> list[str]:
    lines = [f"found {one.preset.name} at {one.base_url} ({one.api_key.name})" for one in found.hosted]
    for name, server in local.items():
        has = _some(server.names)
        where = "" if server.place.here else ", not this machine"
        lines.append(f"found {name} at {server.base_url}{where} ({has})")
    return lines


def _some(names: Sequence[str], shown_max: int = 3) -> str:
    rest = len(names) - shown_max
    return ", ".join(names[:shown_max]) + (f" and {rest} more" if rest > 0 else "")


def _chosen_lines(
    cheap: list[str], expensive: list[str], local: str, lows: list[Pick], highs: list[Pick], *, current: bool
) -> list[str]:
    """`local` explains the cost of local models; empty: there are none. `current`: hosted providers
    contribute their current models."""
    lines = []
    if local:
        lines.append(f"cheap = {_some(cheap)}: {local}")
    elif cheap:
        lines.append(f"cheap = {_priced(lows)}: {_why_low(lows, current=current)}")
    if highs:
        lines.append(f"expensive = {_priced(highs)}: {_why_high(highs, current=current)}")
    elif expensive:
        lines.append(f"expensive = {_some(expensive)}: local too, since no provider key was found")
    if any(pick.price is not None for pick in ((lows if not local else []) + highs)):
        lines.append(BLEND)
    return lines


def _why_low(picks: list[Pick], *, current: bool) -> str:
    shown = picks[:TIER_TARGETS_MAX]
    if not any(pick.price for pick in shown):
        return "the first in the provider's list, since no price is known to choose by"
    last = "" if all(pick.price for pick in shown) else "; last, what has no known price"
    return f"lowest price of {'the current general' if current else 'the'} chat models{last}"


def _why_high(picks: list[Pick], *, current: bool) -> str:
    if current:
        return "the flagship of each provider, in this order"
    if not any(pick.price for pick in picks[:TIER_TARGETS_MAX]):
        return "the first in the provider's list, since no price is known to choose by"
    return "of each provider the flagship, else the highest price, else the first in its list"


def _alike(tiers: Mapping[str, TierConfig]) -> list[str]:
    """A warning that both tiers ask the same model first, so nothing is saved between them."""
    first = {tier.targets[0] for tier in tiers.values()}
    if len(tiers) < 2 or len(first) > 1:
        return []
    return [
        f"both tiers ask {first.pop()} first: choosing between them saves nothing until [tiers] names another"
    ]


def _whose(local: Mapping[str, LocalServer]) -> str:
    places = [server.place for server in local.values() if server.models]
    if all(place.here for place in places):
        return "local, counted as 0 (electricity is not known)"
    if all(place.near for place in places):
        return "your own servers, counted as 0 (electricity is not known)"
    return "your own servers; those that are far have no known price: `farthing init`, and add [[prices]]"


def _elsewhere_lines(local: Mapping[str, LocalServer]) -> list[str]:
    """A warning about models that a local server runs elsewhere: their prompts leave the machine."""
    lines = []
    for name, server in local.items():
        if server.cloud:
            hosts = " and ".join(sorted({model.runs_at for model in server.cloud}))
            names = _some([f"{name}/{model.name}" for model in server.cloud])
            lines.append(
                f"{names}: not local, runs at {hosts}: prompts leave this machine, the price is unknown; "
                "in no tier, used only when asked for by name"
            )
    return lines


BLEND = "$/M is a blend: US dollars per million tokens, three of input to one of output"


def _priced(picks: list[Pick]) -> str:
    """As `BLEND` says."""
    shown = []
    for pick in picks[:TIER_TARGETS_MAX]:
        price = "price unknown" if pick.price is None else f"${pick.blended_usd:.2f}/M"
        shown.append(f"{pick.target} ({price})")
    return ", ".join(shown)
