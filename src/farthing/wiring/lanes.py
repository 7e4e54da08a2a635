"""The addresses and keys of a provider, one object for each pair of them."""

from collections import Counter
from collections.abc import Callable
from hashlib import blake2b

from msgspec import Struct

from farthing.config import AnyProviderConfig, ReplicaConfig, Secret
from farthing.models.lanes import Place
from farthing.protocols import Provider
from farthing.types import replace

IDENTITY_BYTES = 12


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
    places = [(main, provider.base_url, "", keys)]
    for label, one in zip(_labels(provider.replicas), provider.replicas, strict=True):
        places.append((label, one.base_url, one.region, keys if one.api_key is None else [one.api_key]))
    return tuple(
        LaneConfig(
            config=replace(
                provider, base_url=base_url, api_key=key, api_keys=(), replicas=(), separate_accounts=False
            ),
            label=", ".join(part for part in (label, _key_label(key, here, numbers)) if part),
            account=f"{name}, key {numbers[key.value]}" if provider.separate_accounts and key else "",
            region=region,
        )
        for label, base_url, region, here in places
        for key in here
    )


def open_places(
    lanes: tuple[LaneConfig, ...], build: Callable[[AnyProviderConfig, str], Provider]
) -> tuple[Place, ...]:
    """A provider's object for each of its lanes. `build` makes one from its configuration and account.

    Raises:
        ConfigError: as `build`.
    """
    return tuple(
        Place(
            build(lane.config, lane.account),
            label=lane.label,
            address=lane.config.base_url,
            account=lane.account,
            region=lane.region,
            identity=_identity(lane.config),
        )
        for lane in lanes
    )


def _labels(replicas: tuple[ReplicaConfig, ...]) -> list[str]:
    """`replica NAME`: by its name, else its region where no other is there, else its number; the provider's
    own address is the first."""
    regions = Counter(one.region for one in replicas if not one.name)
    return [
        f"replica {one.name or (one.region if regions[one.region] == 1 else '') or number}"
        for number, one in enumerate(replicas, 2)
    ]


def _key_label(key: Secret | None, keys: list[Secret | None], numbers: dict[str, int]) -> str:
    return f"key {numbers[key.value]}" if key is not None and len(keys) > 1 else ""


def _identity(config: AnyProviderConfig) -> str:
    key = "" if config.api_key is None else config.api_key.value
    return blake2b(f"{config.base_url}\0{key}".encode(), digest_size=IDENTITY_BYTES).hexdigest()
