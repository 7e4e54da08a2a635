"""Where the semantic caches stand, from the files that the gateway keeps beside its ledger."""

from pathlib import Path

import msgspec

from farthing.errors import ConfigError
from farthing.guarantees.certificates import semantic_cache as certificates
from farthing.guarantees.certificates.semantic_cache import Certificate
from farthing.guarantees.monitor.error_rate import EndpointState
from farthing.guarantees.monitor.semantic_cache import SequentialBound

BOUND_FILE = "semantic-bound.json"


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What allows an endpoint to serve, and what was learned since."""

    certificate: Certificate | None
    """None: there is none, or it cannot be read."""
    bound: EndpointState | None
    """As of some seconds ago; None where nothing was kept."""


class Standings:
    """Reads once, answers for each endpoint."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self.states = _states(state_dir / BOUND_FILE)
        """What is known of each endpoint, as of some seconds ago."""

    def of(self, endpoint: str) -> Standing:
        try:
            certificate = certificates.load(certificates.certificate_path(self._state_dir, endpoint))
        except ConfigError:
            certificate = None
        return Standing(certificate=certificate, bound=self.states.get(endpoint))


def _states(path: Path) -> dict[str, EndpointState]:
    bound = SequentialBound()
    try:
        bound.restore(path.read_bytes())
    except (OSError, ValueError):  # the gateway tells of a damaged one, and begins anew
        return {}
    return bound.states()
