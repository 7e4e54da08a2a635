"""How each target of one configuration is called: by one lane, or by one of several."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from hashlib import blake2b

from farthing.config import AnyProviderConfig, CallConfig, LaneConfig
from farthing.errors import ProviderError
from farthing.models.health.health import Health
from farthing.models.lanes.pick import HealthOfAll, Lane, Lanes, Place, Warm
from farthing.protocols import Provider
from farthing.types import Target

HEALTHS_MAX = 2_000
"""Clients may name models nobody configured; what is known of those is bounded."""
IDENTITY_BYTES = 12


class Ways:
    """How the targets of one configuration are called."""

    __slots__ = ("_clock", "_config", "_health", "_providers", "_turned", "_warm", "known", "places")

    def __init__(
        self,
        providers: Mapping[str, Provider],
        config: CallConfig,
        clock: Callable[[], float],
        health: dict[str, Health],
        turned: Callable[[str, ProviderError | None, float], None],
    ) -> None:
        """`health` outlives a configuration. `turned` is told which breaker opens and closes, as `Turned`."""
        self._providers = providers
        self._config = config
        self._clock = clock
        self._health = health
        self._turned = turned
        self._warm = Warm()
        self.places: Mapping[str, Sequence[Place]] = {}
        """Of the providers that have more than one address or key."""
        self.known: dict[str, Lane | Lanes] = {}
        """By the name of the target."""

    def open(self, target: Target) -> Lane | Lanes:
        """The lane of a target that is not known yet, or its lanes."""
        if len(self.known) >= HEALTHS_MAX:
            self.known.popitem()
        places, name = self.places.get(target.provider), target.name
        if places is None:
            place = Place(self._providers[target.provider])
            way: Lane | Lanes = Lane(place, self._health_of(name, name))
        else:
            way = Lanes(
                name,
                places,
                lambda place: self._health_of(f"{name}\n{place.identity}", f"{name} ({place.label})"),
                self._health_of_all(name),
                self._warm,
                self._clock,
            )
        self.known[name] = way
        return way

    def _health_of(self, key: str, name: str) -> Health:
        found = self._health.get(key)
        if found is None or isinstance(found, HealthOfAll):
            found = Health(self._config, self._clock, partial(self._turned, name))
            self._remember(key, found)
        return found

    def _health_of_all(self, name: str) -> "HealthOfAll":
        found = self._health.get(name)
        if not isinstance(found, HealthOfAll):
            found = HealthOfAll(self._config, self._clock)
            self._remember(name, found)
        return found

    def _remember(self, key: str, health: Health) -> None:
        if len(self._health) >= HEALTHS_MAX:
            self._health.popitem()  # the newest: those that are configured were there before it
        self._health[key] = health


def open_places(
    lanes: Sequence[LaneConfig], build: Callable[[AnyProviderConfig, str], Provider]
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


def _identity(config: AnyProviderConfig) -> str:
    key = "" if config.api_key is None else config.api_key.value
    return blake2b(f"{config.base_url}\0{key}".encode(), digest_size=IDENTITY_BYTES).hexdigest()
