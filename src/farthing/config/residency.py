"""Whether endpoints whose requests must stay within regions can be served there."""

from collections.abc import Iterator, Mapping

from msgspec import Struct

from farthing.config.settings.cascade import JudgeCheckConfig
from farthing.config.settings.gateway import Config, EndpointConfig, RemoteEmbedderConfig
from farthing.config.settings.regions import AREA_NAMES, is_within, known_names, regions_of
from farthing.config.strict import nearest, quoted
from farthing.config.toml import Path as Where

Faults = Iterator[tuple[Where, str]]


class Remaining(Struct, frozen=True, kw_only=True):
    """What an endpoint with `residency` may ask."""

    residency: tuple[str, ...]
    targets: tuple[str, ...]
    """Of its tiers, those that may be asked."""
    left_out: Mapping[str, str]
    """Of its tiers, those that may not, with their regions; empty: unknown."""
    partly: Mapping[str, tuple[str, ...]]
    """Of those that may be asked: the regions of addresses that may not; empty texts: unknown."""

    def story(self, endpoint: str) -> str:
        """In one line."""
        out = ", ".join(f"{name} ({_shown((region,))})" for name, region in self.left_out.items())
        stays = f"endpoints.{endpoint} stays within {', '.join(self.residency)}"
        asked = ", ".join(self._with_addresses(name) for name in self.targets) or "nothing"
        return f"{stays}: it asks {asked}" + (f"; never {out}" if out else "")

    def _with_addresses(self, target: str) -> str:
        out = self.partly.get(target)
        return target if out is None else f"{target} (not its addresses: {_shown(out)})"


def remaining(config: Config) -> dict[str, Remaining]:
    """By endpoint, those that have a residency."""
    found = {}
    for name, endpoint in config.endpoints.items():
        if not endpoint.residency:
            continue
        targets = targets_of(config, endpoint)
        stays = tuple(target for target in targets if _stays(config, target, endpoint))
        outside = {target: _outside_of(config, target, endpoint) for target in targets}
        found[name] = Remaining(
            residency=endpoint.residency,
            targets=stays,
            left_out={target: outside[target][0] for target in targets if target not in stays},
            partly={target: outside[target] for target in stays if outside[target]},
        )
    return found


def tiers_of(config: Config, endpoint: EndpointConfig) -> tuple[str, ...]:
    """The tiers that requests of `endpoint` may be sent to without naming a model."""
    cascade = endpoint.cascade
    if endpoint.tiers is not None:
        named: tuple[str, ...] = endpoint.tiers
    elif endpoint.tier is not None:
        named = (endpoint.tier,)
    elif cascade is not None:
        named = (cascade.first, cascade.then)
    else:
        named = tuple(config.tiers)
    more = () if cascade is None else (cascade.first, cascade.then)
    return tuple(dict.fromkeys(tier for tier in (*named, *more) if tier in config.tiers))


def targets_of(config: Config, endpoint: EndpointConfig) -> tuple[str, ...]:
    """The targets of `tiers_of`."""
    tiers = tiers_of(config, endpoint)
    return tuple(dict.fromkeys(target for tier in tiers for target in config.tiers[tier].targets))


def residency_faults(config: Config) -> Faults:
    """What keeps an endpoint from being served within its regions."""
    for name, endpoint in config.endpoints.items():
        if not endpoint.residency:
            continue
        here = ("endpoints", name)
        for index, region in enumerate(endpoint.residency):
            if not region or region != region.lower():
                yield (*here, "residency", index), 'expected a region or an area in lower case, such as "eu"'
        for tier in tiers_of(config, endpoint):
            targets = config.tiers[tier].targets
            if not any(_stays(config, target, endpoint) for target in targets):
                yield (*here, "residency"), _nothing_left(config, tier, endpoint)
        for place, target in asked_about(endpoint):
            if not _stays(config, target, endpoint):
                yield (*here, *place), _outside(config, target, endpoint)
        yield from _embedder(config, endpoint, here)


def _nothing_left(config: Config, tier: str, endpoint: EndpointConfig) -> str:
    regions = {one: _outside_of(config, one, endpoint) for one in config.tiers[tier].targets}
    shown = ", ".join(f"{one} ({_shown(found[:1])})" for one, found in regions.items())
    within = ", ".join(endpoint.residency)
    hints = {_hint(name) for name in endpoint.residency if name not in known_names()}
    return (
        f"no target of the tier {quoted(tier)} is within {within}: {shown}; set region in the tables of "
        f"providers that are, add such a target, or give the endpoint a tier or tiers that have one"
        f"{''.join(hint for hint in hints if hint)}"
    )


def _hint(name: str) -> str:
    """What may have been meant by a name that is neither a region nor an area that is known."""
    areas = f"; areas are {', '.join(AREA_NAMES)}"
    return nearest(name, AREA_NAMES) or f"{nearest(name, known_names())}{areas}"


def _outside(config: Config, target: str, endpoint: EndpointConfig) -> str:
    region = _outside_of(config, target, endpoint)[0]
    where = f"is in {region}" if region else "is in an unknown region"
    return (
        f"{quoted(target)} {where}, and texts of this endpoint must not leave "
        f"{', '.join(endpoint.residency)}; name a target that is within"
    )


def asked_about(endpoint: EndpointConfig) -> Iterator[tuple[Where, str]]:
    """The targets that are asked about the texts of an endpoint, and where they are named."""
    semantic, quality = endpoint.cache.semantic, endpoint.quality
    if semantic.judge is not None:
        yield ("cache", "semantic", "judge"), semantic.judge
    if semantic.confirm is not None:
        yield ("cache", "semantic", "confirm"), semantic.confirm
    if quality.judge is not None:
        yield ("quality", "judge"), quality.judge
    for index, check in enumerate(() if endpoint.cascade is None else endpoint.cascade.checks):
        if isinstance(check, JudgeCheckConfig):
            yield ("cascade", "checks", index, "target"), check.target


def _embedder(config: Config, endpoint: EndpointConfig, here: Where) -> Faults:
    embedder = config.cache.semantic.embedder
    if endpoint.cache.semantic.mode == "off" or not isinstance(embedder, RemoteEmbedderConfig):
        return
    target = f"{embedder.provider}/{embedder.model}"
    if not is_within(_regions(config, target)[0], endpoint.residency):  # it asks the first address alone
        yield (
            (*here, "cache", "semantic", "mode"),
            f"questions of this endpoint would go to the embedder {target}, which is not within "
            f"{', '.join(endpoint.residency)}; use the embedder that runs in the gateway, or one that is",
        )


def _stays(config: Config, target: str, endpoint: EndpointConfig) -> bool:
    """Whether `target` has an address that is within."""
    return any(is_within(one, endpoint.residency) for one in _regions(config, target))


def _outside_of(config: Config, target: str, endpoint: EndpointConfig) -> tuple[str, ...]:
    """The regions of `target` that are not within, empty where they are unknown."""
    return tuple(one for one in _regions(config, target) if not is_within(one, endpoint.residency))


def _regions(config: Config, target: str) -> tuple[str, ...]:
    """Those of the addresses of `target`, its provider's own first."""
    provider, _, model = target.partition("/")
    found = config.providers.get(provider)
    return ("",) if found is None else regions_of(found, model)


def _shown(regions: tuple[str, ...]) -> str:
    return ", ".join(one or "region unknown" for one in regions)
