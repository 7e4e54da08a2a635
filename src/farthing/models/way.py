"""What of a call's time was the network's: from what its connection and its provider tell of it.

A provider's time is what it says itself (`transport/times`, `Reply.took_ms`); the network's is the rest of
the time until the same point. Where it says more than the call took, it means something else, and both stay
unknown.
"""

from farthing.protocols.transport import TimedExchange
from farthing.types import Attempt

SLACK = 1.05
SLACK_MS = 2.0  # providers round, and clocks tick
FADE = 0.1
"""Weight of the newest call."""
ORIGINS_MAX = 1_000


def note_head(attempt: Attempt, exchange: TimedExchange, took_s: float, told_ms: float | None) -> None:
    """Note what the head of a reply, had after `took_s` seconds, and its connection say of the time."""
    attempt.rtt_ms = exchange.rtt_ms
    opened = exchange.opened
    if opened is not None:
        attempt.connect_ms, attempt.tls_ms = opened.connect_ms, opened.tls_ms
    if told_ms is not None:
        note_told(attempt, took_s, told_ms)


def note_told(attempt: Attempt, took_s: float, told_ms: float) -> None:
    """Note that a provider worked for `told_ms` of `took_s` seconds."""
    took_ms = took_s * 1000
    if 0.0 <= told_ms <= took_ms * SLACK + SLACK_MS:
        attempt.provider_ms = told_ms
        attempt.network_ms = max(0.0, took_ms - told_ms)


class Distances:
    """How far away each origin is: the network's part of calls on open connections, old ones fading."""

    def __init__(self) -> None:
        self._network_ms: dict[str, float] = {}
        self._rtt_ms: dict[str, float] = {}

    def note(self, origin: str, attempt: Attempt) -> None:
        """Take what is known of one call of `origin`."""
        if attempt.rtt_ms is not None and (origin in self._rtt_ms or len(self._rtt_ms) < ORIGINS_MAX):
            self._rtt_ms[origin] = attempt.rtt_ms
        network_ms = attempt.network_ms
        if network_ms is None:
            return
        network_ms = max(0.0, network_ms - (attempt.connect_ms or 0.0))
        before = self._network_ms.get(origin)
        if before is not None:
            self._network_ms[origin] = before + FADE * (network_ms - before)
        elif len(self._network_ms) < ORIGINS_MAX:
            self._network_ms[origin] = network_ms

    def network_s(self, origin: str) -> float | None:
        """Seconds that a call of `origin` spends in the network, on an open connection: what calls spent
        there, else a round trip. None: neither is known."""
        found = self._network_ms.get(origin)
        if found is None:
            found = self._rtt_ms.get(origin)
        return None if found is None else found / 1000
