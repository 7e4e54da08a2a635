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

    def allows(self, endpoint: Endpoint, target: Target, region: str | None = None) -> bool:
        """Whether requests of `endpoint` may go to `target`. `region`: that of the address which is called;
        None: of its provider's."""
        if not endpoint.residency:
            return True
        return is_within(self.of(target) if region is None else region, endpoint.residency)

    def check(self, endpoint: Endpoint, target: Target, region: str | None = None) -> None:
        """As `allows`.

        Raises:
            OutsideResidency: requests of `endpoint` may not go there.
        """
        if not self.allows(endpoint, target, region):
            where = self.of(target) if region is None else region
            raise OutsideResidency(target.name, where, endpoint.name, endpoint.residency)
