"""Watches what routing costs in quality while it is live, and retreats to the expensive tier at risk.

An audited request is one drawn at random from **all** requests of the endpoint that the certificate speaks
of. One that stayed with the expensive tier lost nothing, and says so at once. One that went cheap is
answered by the expensive tier, too, and whoever judges says how much worse the cheap answer was. Both kinds
are told here, each with its segment; leaving out the first would test the loss of cheap requests alone.

The tests, what a retreat takes and how it ends are said in `farthing.brain.rate_watch`. Here an outcome is
"the request lost quality"; the endpoint is held to the certificate's epsilon, each segment to the limit of
a segment. A loss between 0 and 1 counts as lost with that chance, which keeps its mean, and so the test's
promise, at the price of noise. Better cheap answers make up for nothing here, whatever the certificate's
harm: the watch is the stricter of the two.
"""

import logging
import random
import time
from collections.abc import Callable, Mapping

from farthing.brain.rate_watch import RateWatch, Terms, Words
from farthing.brain.route.certificate import RouteCertificate

WORDS = Words(
    log=logging.getLogger("farthing.route"),
    subject="the routing of",
    outcomes="audited requests",
    retreats="retreats to the expensive tier",
    returns="uses the cheap tier again",
    part="segment",
    parts="segments",
    name=lambda segment: segment.decode(errors="replace") or "(none)",
)


class RouteWatch(RateWatch):
    """An e-process for each endpoint with a certificate, and for each of its segments."""

    def __init__(
        self, *, clock: Callable[[], float] = time.time, draw: Callable[[], float] = random.random
    ) -> None:
        """`clock` tells Unix seconds, `draw` a number from 0 up to 1."""
        super().__init__(WORDS, clock=clock)
        self._draw = draw

    def follow(self, certificates: Mapping[str, RouteCertificate]) -> None:
        """Hold each endpoint to its certificate; others are forgotten. A certificate that is newer than a
        retreat ends it."""
        self.hold_to(
            {
                endpoint: Terms(
                    budget=one.epsilon,
                    part_budget=one.segment_limit,
                    confidence=1 - one.delta,
                    threshold=one.threshold,
                )
                for endpoint, one in certificates.items()
            }
        )
        for endpoint, one in certificates.items():
            self.certified(endpoint, one.made_unix_s)

    def may_go_cheap(self, endpoint: str, segment: str = "") -> bool:
        """Whether neither the endpoint nor the segment has retreated. False without a certificate."""
        return self.allows(endpoint, segment.encode())

    def opened(self, endpoint: str, audit: str, segment: str = "") -> None:
        """An audit was drawn whose loss comes later. Losses are tested in the order of drawing."""
        self.note(endpoint, segment.encode(), None, audit)

    def lost(self, endpoint: str, loss: float | None, *, segment: str = "", audit: str = "") -> None:
        """Take the loss of one audited request: 0 for one that stayed with the expensive tier or whose cheap
        answer is as good, up to 1. None closes `audit` without one."""
        if loss is None and not audit:
            return  # nothing was opened, and nothing is known
        wrong = None if loss is None else self._draw() < loss
        self.note(endpoint, segment.encode(), wrong, audit)
