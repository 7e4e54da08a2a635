"""Checks that the targets which may be asked have prices, as limits on money and savings need them."""

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


def unpriced(config: Config, targets: Targets, *, in_file: bool = True) -> Iterator[str]:
    """One line for each target of a tier, and each baseline, whose price is not known, with its key first and
    the fix last: what requests cost, and whether they save anything, is then unknown.

    `in_file`: the configuration is a file, to which a price can be added.
    """
    said: dict[str, str] = {}
    compared = {one.baseline for one in config.endpoints.values() if one.baseline}
    compared.add(config.report.baseline or targets.first_of("expensive"))
    for tier, table in config.tiers.items():
        for index, target in enumerate(table.targets):
            said.setdefault(target, f"tiers.{tier}.targets[{index}]")
    for name, endpoint in config.endpoints.items():
        said.setdefault(endpoint.baseline or "", f"endpoints.{name}.baseline")
    said.setdefault(config.report.baseline or "", "report.baseline")
    for target, key in said.items():
        if not target or not _no_price(target, targets):
            continue
        why = "what requests to it cost and save is unknown"
        if target in compared:
            why = "what others save, compared with it as the baseline, is unknown"
        first = "" if in_file else "write a file with `farthing init`, and "
        yield f"{key}: {target} has no known price, so {why}; {first}{_add(target)}"


def _no_price(target: str, targets: Targets) -> bool:
    found = targets.get(target)
    return found is not None and found.price is None


def _add(target: str) -> str:
    return (
        f'add [[prices]] with target = "{target}", input and output in US dollars per million tokens '
        "(0 where it costs nothing)"
    )


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
