"""Whether endpoints whose requests must stay within regions can be served there."""

from collections.abc import Iterator, Mapping

from msgspec import Struct

from farthing.config.settings.cascade import JudgeCheckConfig
from farthing.config.settings.gateway import Config, EndpointConfig, RemoteEmbedderConfig
from farthing.config.settings.regions import is_within, known_names, regions_of
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

    def story(self, endpoint: str) -> str:
        """In one line."""
        out = ", ".join(f"{name} ({region or 'region unknown'})" for name, region in self.left_out.items())
        stays = f"endpoints.{endpoint} stays within {', '.join(self.residency)}"
        return f"{stays}: it asks {', '.join(self.targets) or 'nothing'}" + (f"; never {out}" if out else "")


def remaining(config: Config) -> dict[str, Remaining]:
    """By endpoint, those that have a residency."""
    found = {}
    for name, endpoint in config.endpoints.items():
        if not endpoint.residency:
            continue
        outside = {target: _outside_of(config, target, endpoint) for target in targets_of(config, endpoint)}
        found[name] = Remaining(
            residency=endpoint.residency,
            targets=tuple(target for target, region in outside.items() if region is None),
            left_out={target: region for target, region in outside.items() if region is not None},
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
    shown = ", ".join(f"{one} ({region or 'region unknown'})" for one, region in regions.items())
    within = ", ".join(endpoint.residency)
    hints = {nearest(name, known_names()) for name in endpoint.residency if name not in known_names()}
    return (
        f"no target of the tier {quoted(tier)} is within {within}: {shown}; set region in the tables of "
        f"providers that are, add such a target, or give the endpoint a tier or tiers that have one"
        f"{''.join(hint for hint in hints if hint)}"
    )


def _outside(config: Config, target: str, endpoint: EndpointConfig) -> str:
    region = _outside_of(config, target, endpoint)
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
    if not _stays(config, target, endpoint):
        yield (
            (*here, "cache", "semantic", "mode"),
            f"questions of this endpoint would go to the embedder {target}, which is not within "
            f"{', '.join(endpoint.residency)}; use the embedder that runs in the gateway, or one that is",
        )


def _stays(config: Config, target: str, endpoint: EndpointConfig) -> bool:
    return _outside_of(config, target, endpoint) is None


def _outside_of(config: Config, target: str, endpoint: EndpointConfig) -> str | None:
    """A region of `target` that is not within, empty where it is unknown; None: all are within."""
    provider, _, model = target.partition("/")
    found = config.providers.get(provider)
    regions = ("",) if found is None else regions_of(found, model)
    return next((one for one in regions if not is_within(one, endpoint.residency)), None)
