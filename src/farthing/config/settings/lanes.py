"""The addresses and keys of a provider, one object for each pair of them."""

from collections import Counter

from msgspec import Struct
from msgspec.structs import replace

from farthing.config.settings.gateway import AnyProviderConfig, ReplicaConfig
from farthing.config.settings.secret import Secret


class LaneConfig(Struct, frozen=True, kw_only=True):
    """One address of a provider with one key."""

    config: AnyProviderConfig
    """As of a provider that has nothing else."""
    label: str
    """Tells it from the others; empty: there are none."""
    account: str
    """Whose its key is; empty: the provider has one account."""
    region: str = ""


def lanes_of(name: str, provider: AnyProviderConfig) -> tuple[LaneConfig, ...]:
    """The lanes of the provider called `name`, one at least: every address with each of its keys."""
    own = [key for key in (provider.api_key, *provider.api_keys) if key is not None]
    numbers: dict[str, int] = {}
    for key in (*own, *(one.api_key for one in provider.replicas if one.api_key is not None)):
        numbers.setdefault(key.value, len(numbers) + 1)
    main = "main" if provider.replicas else ""
    keys: list[Secret | None] = [*own] or [None]
    places = [(main, provider.base_url, provider.region, keys)]
    for label, one in zip(_labels(provider.replicas), provider.replicas, strict=True):
        places.append((label, one.base_url, one.region, keys if one.api_key is None else [one.api_key]))
    return tuple(
        LaneConfig(
            config=replace(
                provider,
                base_url=base_url,
                region=region or provider.region,
                api_key=key,
                api_keys=(),
                replicas=(),
                separate_accounts=False,
            ),
            label=", ".join(part for part in (label, _key_label(key, here, numbers)) if part),
            account=f"{name}, key {numbers[key.value]}" if provider.separate_accounts and key else "",
            region=region,
        )
        for label, base_url, region, here in places
        for key in here
    )


def _labels(replicas: tuple[ReplicaConfig, ...]) -> list[str]:
    """`replica NAME`: by its name, else its region where no other is there, else its number; the provider's
    own address is the first."""
    count = Counter(one.name or one.region for one in replicas)
    wanted = [one.name or (one.region if count[one.region] == 1 else "") for one in replicas]
    return [f"replica {name or number}" for number, name in enumerate(wanted, 2)]


def _key_label(key: Secret | None, keys: list[Secret | None], numbers: dict[str, int]) -> str:
    return f"key {numbers[key.value]}" if key is not None and len(keys) > 1 else ""
