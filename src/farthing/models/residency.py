"""Keeps the requests of an endpoint within its regions."""

from collections.abc import Collection, Mapping, Sequence

from farthing.config import ProviderConfig, is_within, region_at
from farthing.errors import OutsideResidency
from farthing.models.health.health import Health
from farthing.models.lanes.pick import Lane, Place
from farthing.types import Endpoint, Target

KNOWN_MAX = 2_000

Address = tuple[str, str]
"""An address, and the region that its table says."""


class Regions:
    """Where the targets of one configuration answer."""

    def __init__(self, providers: Mapping[str, ProviderConfig]) -> None:
        self._providers = providers
        self._known: dict[str, dict[Address, str]] = {}
        self._outside: dict[tuple[tuple[str, ...], str], frozenset[Address]] = {}

    def of(self, target: Target) -> tuple[str, ...]:
        """The regions of `target`, one for each address that its provider has elsewhere; empty texts are
        unknown ones."""
        return tuple(dict.fromkeys(self._at(target).values()))

    def allows(self, endpoint: Endpoint, target: Target) -> bool:
        """Whether requests of `endpoint` may go to `target`: one of its addresses is within."""
        return not endpoint.residency or len(self._out(endpoint, target)) < len(self._at(target))

    def allows_first(self, endpoint: Endpoint, target: Target) -> bool:
        """As `allows`, for what only asks the first address of a provider."""
        return not endpoint.residency or next(iter(self._at(target))) not in self._out(endpoint, target)

    def within(self, endpoint: Endpoint, target: Target, places: Sequence[Place]) -> Place | None:
        """The first of the `places` of `target`'s provider that requests of `endpoint` may go to; None: none
        is."""
        outside = self._out(endpoint, target) if endpoint.residency else ()
        return next((one for one in places if self._address(target, one) not in outside), None)

    def barred(self, endpoint: Endpoint, target: Target, lanes: Sequence[Lane]) -> Collection[Health]:
        """The lanes of `target` that requests of `endpoint` may not take, where there are others."""
        if not endpoint.residency or not (outside := self._out(endpoint, target)):
            return ()
        found = {lane.health for lane in lanes if (lane.place.address, lane.place.region) in outside}
        return found if len(found) < len(lanes) else ()

    def check(self, endpoint: Endpoint, target: Target, place: Place) -> None:
        """Asked before every call, of the place that is to be called.

        Raises:
            OutsideResidency: requests of `endpoint` may not go there.
        """
        if endpoint.residency:
            address = self._address(target, place)
            if address in self._out(endpoint, target):
                region = self._at(target)[address]
                raise OutsideResidency(target.name, region, endpoint.name, endpoint.residency)

    def _address(self, target: Target, place: Place) -> Address:
        """Which of the addresses of `target` a place is."""
        found = (place.address, place.region)
        return found if found in self._at(target) else next(iter(self._at(target)))

    def _at(self, target: Target) -> dict[Address, str]:
        """The region of each address, the provider's own first."""
        found = self._known.get(target.name)
        if found is None:
            provider = self._providers[target.provider]
            addresses = [(provider.base_url, provider.region)]
            addresses += [(one.base_url, one.region) for one in provider.replicas]
            found = {one: region_at(*one, target.model) for one in addresses}
            if len(self._known) < KNOWN_MAX:
                self._known[target.name] = found
        return found

    def _out(self, endpoint: Endpoint, target: Target) -> frozenset[Address]:
        """The addresses of `target` that are not within, or may not be."""
        key = (endpoint.residency, target.name)
        found = self._outside.get(key)
        if found is None:
            at = self._at(target)
            found = frozenset(
                [one for one, region in at.items() if not is_within(region, endpoint.residency)]
            )
            if len(self._outside) < KNOWN_MAX:
                self._outside[key] = found
        return found
