"""Which target of several is much worse than the others, and is left out for a while. Sans-I/O.

A breaker sees a target that is down. This sees one that is up and bad: of its calls in the last ten seconds a
fifth or more failed, streams that broke included, or its streams begin several times later than they used to;
and another target of the same route is no such thing (compare "Outlier detection" of Envoy).

    ejected --(one request in `PROBE_S` goes there; so many in a row are good)--> used as before
            how many: 2, doubled each time it is ejected again within a minute, at most 16

So a target that recovered is used again within `PROBE_S`. At most half of a route is ejected, and never what
would leave it without a target that may be called.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from farthing.models.health import Health

FAILED_MIN = 5
FAILED_SHARE = 0.2
BETTER = 0.5
"""The share of its failures that another target may have to be taken for a better one."""
PROBE_S = 2.0
GOOD_MIN, GOOD_MAX = 2, 16
AGAIN_WITHIN_S = 60.0


class Ejection:
    """Whether one target is left out for being much worse than the others."""

    __slots__ = ("_ended_s", "_good", "_probe_s", "_times", "active", "began_s", "for_time")

    def __init__(self) -> None:
        self.active = False
        self.for_time = False
        """It was slow; else its calls failed."""
        self.began_s = 0.0
        self._times = 0
        self._good = 0
        self._probe_s = 0.0
        """When the next request may try it."""
        self._ended_s = 0.0

    @property
    def good_needed(self) -> int:
        """Good calls in a row that end it."""
        return min(GOOD_MAX, GOOD_MIN << max(0, self._times - 1))

    def begin(self, now_s: float, *, for_time: bool) -> None:
        if now_s - self._ended_s > AGAIN_WITHIN_S:
            self._times = 0
        self._times += 1
        self._good = 0
        self._probe_s = now_s + PROBE_S
        self.active, self.for_time, self.began_s = True, for_time, now_s

    def left_s(self, now_s: float) -> float:
        """Seconds until a request may try it; 0: one may."""
        return max(0.0, self._probe_s - now_s)

    def tried(self, now_s: float) -> None:
        """A request tries it."""
        self._probe_s = now_s + PROBE_S

    def good(self, now_s: float) -> bool:
        """A call went well. Returns whether the ejection is over."""
        self._good += 1
        if self._good < self.good_needed:
            return False
        self.active = False
        self._ended_s = now_s
        return True

    def bad(self) -> None:
        self._good = 0


def outlier(one: "Health", others: Sequence["Health"]) -> bool:
    """Whether `one` is so much worse than the `others` of its route that it is left out; where it is, it is
    ejected now."""
    usable = [other for other in others if other.cooldown_s() <= 0 and not other.ejection.active]
    out = sum(other.ejection.active for other in others)
    if not usable or (out + 1) * 2 > len(others) + 1:
        return False
    share = one.failed_share()
    if share >= FAILED_SHARE and any(other.failed_share() <= share * BETTER for other in usable):
        one.eject(for_time=False)
        return True
    latency = one.limits.latency
    mine_s = latency.last_s
    if not latency.slow or mine_s is None:
        return False
    times = [other.limits.latency.last_s for other in usable]
    if any(time_s is None or time_s <= mine_s * BETTER for time_s in times):
        latency.slow = False  # until it is found to be so again
        one.eject(for_time=True)
        return True
    return False
