"""The state of semantic caches, from the files that the gateway keeps next to its ledger."""

from pathlib import Path

import msgspec

from farthing.errors import ConfigError
from farthing.guarantees.certificates import semantic_cache as certificates
from farthing.guarantees.certificates.semantic_cache import Certificate
from farthing.guarantees.monitor.error_rate import EndpointState
from farthing.guarantees.monitor.semantic_cache import SequentialBound

BOUND_FILE = "semantic-bound.json"


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What allows an endpoint to serve, and the monitor's evidence since then."""

    certificate: Certificate | None
    """None: there is none, or it is unreadable."""
    bound: EndpointState | None
    """Some seconds old; None if nothing was stored."""


class Standings:
    """Reads the files once, then answers for each endpoint."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self.states = _states(state_dir / BOUND_FILE)
        """Each endpoint's state, some seconds old."""

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
    except (OSError, ValueError):  # the gateway logs a damaged file, and starts over
        return {}
    return bound.states()
