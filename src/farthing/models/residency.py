"""Keeps the requests of an endpoint within its regions."""

from collections.abc import Mapping

from farthing.config import ProviderConfig, is_within, regions_of
from farthing.errors import OutsideResidency
from farthing.types import Endpoint, Target

KNOWN_MAX = 2_000


class Regions:
    """Where the targets of one configuration answer."""

    def __init__(self, providers: Mapping[str, ProviderConfig]) -> None:
        self._providers = providers
        self._known: dict[str, tuple[str, ...]] = {}

    def of(self, target: Target) -> tuple[str, ...]:
        """The regions of `target`, one for each address that its provider has elsewhere; empty texts are
        unknown ones."""
        found = self._known.get(target.name)
        if found is None:
            found = regions_of(self._providers[target.provider], target.model)
            if len(self._known) < KNOWN_MAX:
                self._known[target.name] = found
        return found

    def allows(self, endpoint: Endpoint, target: Target) -> bool:
        """Whether requests of `endpoint` may go to `target`: each of its addresses is within."""
        return self._outside(endpoint, target) is None

    def check(self, endpoint: Endpoint, target: Target) -> None:
        """As `allows`. Asked before every call.

        Raises:
            OutsideResidency: requests of `endpoint` may not go there.
        """
        outside = self._outside(endpoint, target)
        if outside is not None:
            raise OutsideResidency(target.name, outside, endpoint.name, endpoint.residency)

    def _outside(self, endpoint: Endpoint, target: Target) -> str | None:
        """A region of `target` that is not within, which may be unknown; None: all are."""
        if not endpoint.residency:
            return None
        return next((one for one in self.of(target) if not is_within(one, endpoint.residency)), None)
