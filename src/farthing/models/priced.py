"""Whether what an endpoint may spend money on has a price: a limit on money needs one."""

from collections.abc import Iterator

from farthing.config import Config
from farthing.errors import ConfigError
from farthing.models.targets import Targets


def check_priced(config: Config, targets: Targets) -> None:
    """Refuse a configuration in which an endpoint with `usd_max` leads to a target without a price: its
    requests would be refused one by one.

    Raises:
        ConfigError: one line for each endpoint and target, with the fix.
    """
    faults = [
        f"endpoints.{name}: usd_max = {endpoint.usd_max:f}, and {target}, which it can reach, has no price: "
        f'add [[prices]] with target = "{target}", input and output in US dollars per million tokens '
        f"(0 for one that costs nothing)"
        for name, endpoint in config.endpoints.items()
        if endpoint.usd_max is not None
        for target in _reached(config, name)
        if (found := targets.get(target)) is not None and found.price is None
    ]
    if faults:
        raise ConfigError("\n".join(faults))


def _reached(config: Config, endpoint: str) -> Iterator[str]:
    """Targets that requests of an endpoint are led to: of its own tiers, else of every tier, since rules,
    routers and clients choose among them. A model that a client names itself is checked when it comes."""
    own = config.endpoints[endpoint]
    tiers = set(config.tiers) if own.tier is None else {own.tier}
    if own.cascade is not None:
        tiers |= {own.cascade.first, own.cascade.then}
    yield from dict.fromkeys(
        target for name, tier in config.tiers.items() if name in tiers for target in tier.targets
    )
