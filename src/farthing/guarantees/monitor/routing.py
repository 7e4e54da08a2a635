"""Monitors what live routing costs in quality, and falls back to the expensive tier at risk.

An audited request is one drawn at random from **all** requests of the endpoint that the certificate covers,
and answered by both tiers. A request that stays with the expensive tier lost nothing; for one that goes to
the cheap tier, the judge says how much worse the cheap answer was. Both kinds are counted here, each with its
segment: without the first kind, the test would cover the loss of cheap requests alone. Both count only once
they are judged: if the first kind counted at once, every missing verdict of a judge that is down or busy
would make the loss look smaller than it is.

`farthing.guarantees.monitor.error_rate` describes the tests, and how a trip begins and ends. Here an outcome
is "the request lost quality"; the endpoint is held to the certificate's epsilon, each segment to the limit
for segments. A loss between 0 and 1 counts as lost with that probability, which keeps its mean, and so the
test's promise, at the price of noise. Better cheap answers never offset worse ones here, whatever the
certificate's `harm`: the monitor is stricter.
"""

import logging
import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence

from farthing.guarantees.certificates.routing import RouteCertificate
from farthing.guarantees.monitor.error_rate import ErrorRateMonitor, Terms, Words

WATCH_FILE = "route-watch.json"
"""In the state directory."""

WORDS = Words(
    log=logging.getLogger("farthing.route"),
    subject="the routing of",
    outcomes="audited requests",
    trips="has tripped the monitor and goes to the expensive tier",
    returns="uses the cheap tier again",
    part="segment",
    parts="segments",
    name=lambda segment: segment.decode(errors="replace") or "(none)",
)


class RouteMonitor(ErrorRateMonitor):
    """An e-process for each endpoint with a certificate, and for each of its segments."""

    def __init__(
        self, *, clock: Callable[[], float] = time.time, draw: Callable[[], float] = random.random
    ) -> None:
        """`clock` gives Unix seconds, `draw` a number in [0, 1)."""
        super().__init__(WORDS, clock=clock, outlives=True)  # the verdict may come from a judge's batch
        self._draw = draw

    def follow(self, certificates: Mapping[str, RouteCertificate], *, keep: Collection[str] = ()) -> None:
        """Hold each endpoint to its certificate. Endpoints without one are forgotten, except those in `keep`.
        A certificate that is newer than a trip ends it."""
        self.hold_to(
            {
                endpoint: Terms(
                    risk_max=one.risk_max,
                    part_risk_max=one.segment_risk_max,
                    confidence=1 - one.delta,
                    threshold=one.threshold,
                )
                for endpoint, one in certificates.items()
            },
            keep=keep,
        )
        for endpoint, one in certificates.items():
            self.certified(endpoint, one.made_unix_s)

    def may_go_cheap(self, endpoint: str, *segments: str) -> bool:
        """True if neither the endpoint nor a segment has tripped. False without a certificate."""
        return all(self.allows(endpoint, segment.encode(errors="replace")) for segment in segments or ("",))

    def opened(
        self, endpoint: str, audit: str, segment: str = "", *, also: Sequence[str] = (), safe: bool = False
    ) -> None:
        """An audit was drawn whose loss comes later. Losses are tested in the order of drawing. `also` names
        further segments of the request: it counts in each, and once for the endpoint. `safe`: the request
        stays with the expensive tier, so it counts as no loss whatever the cheap answer would have lost."""
        self.note(endpoint, segment.encode(errors="replace"), None, audit, also=_encoded(also), safe=safe)

    def lost(
        self,
        endpoint: str,
        loss: float | None,
        *,
        segment: str = "",
        also: Sequence[str] = (),
        audit: str = "",
    ) -> None:
        """Take the loss of one audited request, from 0 (the cheap answer is as good) to 1. None closes
        `audit` without a loss."""
        if loss is None and not audit:
            return  # no audit to close, and no loss known
        wrong = None if loss is None else self._draw() < loss
        self.note(endpoint, segment.encode(errors="replace"), wrong, audit, also=_encoded(also))


def _encoded(segments: Sequence[str]) -> tuple[bytes, ...]:
    return tuple(segment.encode(errors="replace") for segment in segments)
