"""Which target of several is much worse than the others, and is left out for a while. Sans-I/O.

A breaker sees a target that is down. This sees one that is up and bad: of its calls in the last ten seconds a
fifth or more failed, streams that broke included, or its streams begin several times later than they used to;
and another target of the same route is no such thing (compare "Outlier detection" of Envoy).

    ejected --(one request in `PROBE_S` goes there; so many in a row are good)--> used as before
            how many: 2, doubled each time it is ejected again within a minute, at most 8

So a target that recovered is used again within `PROBE_S`. Where the others turn out to fail as often, or to
begin as late, it is used again at once. One that was slow is judged by the streams that try it, and by what
comes whole sooner than a slow stream begins. A whole answer that takes longer says nothing; where nothing
else comes, `UNSAID_MAX` of them in a row end it. At most half of a route is ejected, and never what would
leave it without a target that may be called.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from farthing.models.health.health import Health

FAILED_MIN = 5
FAILED_SHARE = 0.2
BETTER = 0.5
"""The share of its failures that another target may have to be taken for a better one."""
UNKNOWN_S = 5.0
"""By so much later its streams must begin for a target to be tried of whose time nothing is known."""
PROBE_S = 2.0
GOOD_MIN, GOOD_MAX = 2, 8
AGAIN_WITHIN_S = 60.0
UNSAID_MAX = 8


class Ejection:
    """Whether one target is left out for being much worse than the others."""

    __slots__ = (
        "_ended_s",
        "_good",
        "_probe_s",
        "_times",
        "_tried",
        "_unsaid",
        "active",
        "began_s",
        "first_s",
        "for_time",
        "share",
    )

    def __init__(self) -> None:
        self.active = False
        self.for_time = False
        """It was slow; else its calls failed."""
        self.began_s = 0.0
        self.share = 0.0
        """The share of its calls that failed, for which it was ejected."""
        self.first_s = 0.0
        """How late its streams began, for which it was ejected."""
        self._times = 0
        self._good = 0
        self._unsaid = 0
        """Whole answers in a row that say nothing of when a stream would have begun."""
        self._tried = False
        """A request tries it whose end is not known."""
        self._probe_s = 0.0
        """When the next request may try it."""
        self._ended_s = 0.0

    @property
    def good_needed(self) -> int:
        """Good calls in a row that end it."""
        return min(GOOD_MAX, GOOD_MIN << max(0, self._times - 1))

    def begin(self, now_s: float, *, for_time: bool, share: float = 0.0, first_s: float = 0.0) -> None:
        if now_s - self._ended_s > AGAIN_WITHIN_S:
            self._times = 0
        self._times += 1
        self.share, self.first_s = share, first_s
        self._good = self._unsaid = 0
        self._tried = False
        self._probe_s = now_s + PROBE_S
        self.active, self.for_time, self.began_s = True, for_time, now_s

    def left_s(self, now_s: float) -> float:
        """Seconds until a request may try it; 0: one may."""
        return max(0.0, self._probe_s - now_s)

    def tried(self, now_s: float) -> None:
        """A request tries it, or had no other choice: one in `PROBE_S` counts."""
        if now_s >= self._probe_s:
            self._tried = True
            self._probe_s = now_s + PROBE_S

    def good(self, now_s: float) -> bool:
        """A call went well. Returns whether the ejection is over."""
        if not self._tried:
            return False
        self._tried = False
        self._good += 1
        if self._good < self.good_needed:
            return False
        self.end(now_s)
        return True

    def unsaid(self) -> bool:
        """A call went well that says nothing of how slow it is. Returns whether so many did that the ejection
        is over."""
        if not self._tried:
            return False
        self._tried = False
        self._unsaid += 1
        return self._unsaid >= UNSAID_MAX

    def end(self, now_s: float) -> None:
        self.active = False
        self._ended_s = now_s

    def bad(self) -> None:
        self._tried = False
        self._good = self._unsaid = 0


def outlier(one: "Health", others: Sequence["Health"]) -> bool:
    """Whether `one` is so much worse than the `others` of its route that it is left out; where it is, it is
    ejected now."""
    usable = [other for other in others if other.cooldown_s() <= 0 and not other.ejection.active]
    out = sum(other.ejection.active for other in others)
    if not usable or (out + 1) * 2 > len(others) + 1:
        return False
    failed, share = one.failed_lately()
    bad = failed >= FAILED_MIN and share >= FAILED_SHARE
    if bad and any(other.failed_lately()[1] <= share * BETTER for other in usable):
        one.eject(for_time=False, share=share)
        return True
    latency = one.limits.latency
    mine_s = latency.last_s
    if not latency.slow or mine_s is None:
        return False
    times = [other.limits.latency.last_s for other in usable]
    known = [time_s for time_s in times if time_s is not None]
    unknown_may = len(known) < len(times) and latency.slower_s >= UNKNOWN_S
    if unknown_may or any(time_s <= mine_s * BETTER for time_s in known):
        latency.slow = False  # until it is found to be so again
        one.eject(for_time=True, first_s=mine_s)
        return True
    return False


def reconsidered(one: "Health", others: Sequence["Health"]) -> bool:
    """Whether the ejection of `one` is over since none of the others is better."""
    ejection = one.ejection
    if ejection.for_time:
        times = [other.limits.latency.last_s for other in others]
        if any(time_s is None or time_s <= ejection.first_s * BETTER for time_s in times):
            return False
        one.readmit()
        return True
    seen = [share for failed, share in (other.failed_lately() for other in others) if failed >= FAILED_MIN]
    if len(seen) < len(others) or any(share <= ejection.share * BETTER for share in seen):
        return False
    one.readmit()
    return True
