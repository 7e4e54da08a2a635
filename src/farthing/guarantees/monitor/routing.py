"""Watches what routing costs in quality while it is live, and retreats to the expensive tier at risk.

An audited request is one drawn at random from **all** requests of the endpoint that the certificate speaks
of, and answered by both tiers. One that stays with the expensive tier lost nothing; of one that goes cheap
whoever judges says how much worse the cheap answer was. Both kinds are told here, each with its segment;
leaving out the first would test the loss of cheap requests alone. Both count once they are judged: were the
first kind to count at once, every verdict that never comes, of a judge that is down or busy, would make the
loss look smaller than it is.

The tests, what a retreat takes and how it ends are said in `farthing.guarantees.monitor.error_rate`. Here an
outcome is "the request lost quality"; the endpoint is held to the certificate's epsilon, each segment to the
limit of a segment. A loss between 0 and 1 counts as lost with that chance, which keeps its mean, and so the
test's promise, at the price of noise. Better cheap answers make up for nothing here, whatever the
certificate's harm: the watch is the stricter of the two.
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
    retreats="has tripped the monitor and goes to the expensive tier",
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
        """`clock` tells Unix seconds, `draw` a number from 0 up to 1."""
        super().__init__(WORDS, clock=clock, outlives=True)  # in a batch of the judge
        self._draw = draw

    def follow(self, certificates: Mapping[str, RouteCertificate], *, keep: Collection[str] = ()) -> None:
        """Hold each endpoint to its certificate; others are forgotten, but for those to `keep`. A certificate
        that is newer than a retreat ends it."""
        self.hold_to(
            {
                endpoint: Terms(
                    budget=one.risk_max,
                    part_budget=one.segment_risk_max,
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
        """Whether neither the endpoint nor a segment has retreated. False without a certificate."""
        return all(self.allows(endpoint, segment.encode(errors="replace")) for segment in segments or ("",))

    def opened(
        self, endpoint: str, audit: str, segment: str = "", *, also: Sequence[str] = (), safe: bool = False
    ) -> None:
        """An audit was drawn whose loss comes later. Losses are tested in the order of drawing. `also` are
        the further segments that the request is of: it counts in each, and once for the endpoint. `safe`:
        it stays with the expensive tier, and whatever its loss would be at the cheap one is none."""
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
        """Take the loss of one audited request: from 0, its cheap answer is as good, to 1. None closes
        `audit` without one."""
        if loss is None and not audit:
            return  # nothing was opened, and nothing is known
        wrong = None if loss is None else self._draw() < loss
        self.note(endpoint, segment.encode(errors="replace"), wrong, audit, also=_encoded(also))


def _encoded(segments: Sequence[str]) -> tuple[bytes, ...]:
    return tuple(segment.encode(errors="replace") for segment in segments)
