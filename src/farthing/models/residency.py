"""Keeps the requests of an endpoint within its regions."""

from collections.abc import Mapping

from farthing.config import ProviderConfig, is_within, region_of
from farthing.errors import OutsideResidency
from farthing.types import Endpoint, Target

KNOWN_MAX = 2_000


class Regions:
    """Where the targets of one configuration answer."""

    def __init__(self, providers: Mapping[str, ProviderConfig]) -> None:
        self._providers = providers
        self._known: dict[str, str] = {}

    def of(self, target: Target) -> str:
        """The region of `target`; empty: unknown."""
        found = self._known.get(target.name)
        if found is None:
            found = region_of(self._providers[target.provider], target.model)
            if len(self._known) < KNOWN_MAX:
                self._known[target.name] = found
        return found

    def allows(self, endpoint: Endpoint, target: Target) -> bool:
        """Whether requests of `endpoint` may go to `target`."""
        return not endpoint.residency or is_within(self.of(target), endpoint.residency)

    def check(self, endpoint: Endpoint, target: Target) -> None:
        """Raises:
        OutsideResidency: requests of `endpoint` may not go to `target`.
        """
        if not self.allows(endpoint, target):
            raise OutsideResidency(target.name, self.of(target), endpoint.name, endpoint.residency)
