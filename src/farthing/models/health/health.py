"""Whether a target is worth a call now: breaker, pauses and retry budget. Sans-I/O: the clock is given.

    closed --(half of the last `breaker_calls` failed; or 5 in a row)--> open
    open   --(after `breaker_open_s`)--> half open: one probe at a time
    half open --(the probe succeeds)--> closed;  --(it fails)--> open

Only failures of the target count: not what the client got wrong, not clients that left, and of one request's
own 500s only the first. A stream counts when it ends: one that breaks half-way is a failure.
The retry budget follows "at most 1.10x per 10 s window" (promise P5).

How much it may be sent at once is for its `limits`; whether others are much better for its `ejection`.
"""

from collections import deque
from collections.abc import Callable

from farthing.config import CallConfig
from farthing.errors import ProviderBusy, ProviderError, ProviderRejected, ProviderUnavailable
from farthing.models.health.limits import Limits
from farthing.models.health.outliers import FAILED_MIN, Ejection
from farthing.models.health.speed import Speed
from farthing.types import EJECTED, FULL, OPEN, PAUSED

IN_A_ROW_MAX = 5
PAUSE_S = 1.0  # after a 429 that says nothing of how long
BUDGET_WINDOW_S = 10.0
SLOT_S = 0.5
CULPRITS_MAX = 64
BUDGET_FREE = 1  # a retry is allowed even when a target has had fewer calls than would earn one


Turned = Callable[[ProviderError | None, float], None]
"""The breaker has opened at this error, for so many seconds, or closed (None) after so many."""


class Lately:
    """Counts events within the last `slots` slots of time, including the current one, so the window is up to
    one slot shorter. It holds a few numbers however many events there are: thousands of timestamps would
    evict from the processor's caches what requests need."""

    __slots__ = ("_counts", "_slot", "_total")

    def __init__(self, slots: int) -> None:
        self._counts = [0] * slots
        self._slot = 0
        self._total = 0

    def add(self, now_s: float) -> None:
        slot = int(now_s / SLOT_S)
        if slot > self._slot:
            self._go_to(slot)
        self._counts[slot % len(self._counts)] += 1
        self._total += 1

    def count(self, now_s: float) -> int:
        slot = int(now_s / SLOT_S)
        if slot > self._slot:
            self._go_to(slot)
        return self._total

    def clear(self) -> None:
        """Forget all of them."""
        self._counts = [0] * len(self._counts)
        self._total = 0

    def _go_to(self, slot: int) -> None:
        """Advance to `slot` and forget the counts that have left the window."""
        counts = self._counts
        for past in range(max(self._slot, slot - len(counts)) + 1, slot + 1):
            place = past % len(counts)
            self._total -= counts[place]
            counts[place] = 0
        self._slot = slot


class Health:
    """The state of one target."""

    __slots__ = (
        "_asked_until_s",
        "_calls",
        "_clock",
        "_config",
        "_culprits",
        "_failed",
        "_failed_in_a_row",
        "_open_until_s",
        "_opened_s",
        "_outcomes",
        "_paused_until_s",
        "_probe",
        "_probes",
        "_retries",
        "_turned",
        "ejection",
        "limits",
        "speed",
        "suspect",
    )

    def __init__(self, config: CallConfig, clock: Callable[[], float], turned: Turned | None = None) -> None:
        self._config = config
        self._clock = clock
        self._turned = turned
        self._opened_s = 0.0
        self._outcomes: deque[tuple[float, bool]] = deque(maxlen=config.breaker_calls)
        self._failed_in_a_row = 0
        self._culprits: deque[int] = deque(maxlen=CULPRITS_MAX)
        """Requests that were answered with a 500: it may be they that cannot be answered."""
        self._open_until_s: float | None = None
        self._probe = 0
        """The number of the probe under way; 0 when there is none."""
        self._probes = 0
        self._paused_until_s = 0.0
        self._asked_until_s = 0.0
        """As `_paused_until_s`, where it was the provider who said how long."""
        slots = int(BUDGET_WINDOW_S / SLOT_S)
        # of retries never fewer are seen than there were in the window, of calls never more
        self._calls = Lately(slots)
        self._retries = Lately(slots + 1)
        self._failed = Lately(slots)
        self.suspect = False
        """It may be an outlier, or is left out as one: who knows of other targets looks (`outliers`)."""
        self.ejection = Ejection()
        self.limits = Limits(clock)
        """How much it may be sent."""
        self.speed = Speed()
        """How fast it answered lately."""

    def reconfigure(self, config: CallConfig) -> None:
        """Apply new limits; what was learned is kept."""
        self._config = config

    def cooldown_s(self) -> float:
        """Seconds until the target may be called again; 0: it may be called now."""
        if self._open_until_s is None and not self._paused_until_s and not self.suspect:
            return 0.0
        now_s = self._clock()
        left_s = self._paused_until_s - now_s
        if self.ejection.active:
            left_s = max(left_s, self.ejection.left_s(now_s))
        if self._open_until_s is not None:
            left_s = max(left_s, self._open_until_s - now_s)
            if left_s <= 0 and self._probe:
                left_s = 0.1  # one probe is under way: look again soon
        if left_s <= 0:
            self._paused_until_s = 0.0
            return 0.0
        return left_s

    def left_for(self) -> str:
        """Why a call that another target could take was not made here: one of `LEFT_FOR_NOW`, and how long
        that lasts where it is known, as in `paused 29.8 s`."""
        left_s = self.cooldown_s()
        if left_s <= 0:
            return EJECTED if self.ejection.active else FULL
        now_s = self._clock()
        if self._paused_until_s - now_s >= left_s:
            code = PAUSED
        else:
            code = EJECTED if self._open_until_s is None else OPEN
        return f"{code} {left_s:.1f} s"

    @property
    def is_open(self) -> bool:
        """Whether the breaker is open or half open."""
        return self._open_until_s is not None

    def paused_s(self) -> float:
        """Seconds left of a pause that the provider asked for; 0: none. A pause that the gateway chose itself
        is not counted: it favours other targets, and is no reason to wait if there are none."""
        return max(0.0, self._asked_until_s - self._clock()) if self._asked_until_s else 0.0

    def cooldown_error(self, name: str) -> ProviderError:
        """The error for a client if no other target is left: `ProviderBusy` if the provider asked for the
        pause."""
        cooldown_s = self.cooldown_s()
        if self._paused_until_s > self._clock():
            return ProviderBusy(
                f"{name} asked for a pause of another {cooldown_s:.1f} s", retry_after_s=cooldown_s
            )
        return ProviderUnavailable(f"{name} rests for another {cooldown_s:.1f} s after failures", again=True)

    def begin(self) -> int:
        """Record that a call is about to be made. Returns 0, or the number of the probe of a half-open
        breaker; exactly one of `succeeded`, `failed` and `abandoned` must follow with that number."""
        if self.suspect and self.ejection.active:
            self.ejection.tried(self._clock())
        if self._open_until_s is None:
            return 0
        self._probes += 1
        self._probe = self._probes
        return self._probe

    def answering(self, probe: int = 0) -> None:
        """Record that a stream has begun. `succeeded`, `failed` or `abandoned` follows when it ends, without
        the probe's number: the breaker closes already now, but opens again at the first failure."""
        if probe and probe == self._probe:
            self._probe = 0
            self._failed_in_a_row = IN_A_ROW_MAX - 1
            self._close()

    def succeeded(self, probe: int = 0) -> None:
        """Record a complete answer."""
        if self._open_until_s is not None:
            if not probe or probe != self._probe:
                return  # begun before the breaker opened: too old to close it
            self._probe = 0
            self._close()
        if self._failed_in_a_row:
            self._failed_in_a_row = 0
        if self.suspect and self.ejection.active and not self.ejection.for_time:
            self._was_good()
        if self._outcomes:
            self._outcomes.append((self._clock(), True))

    def began(self, first_s: float, together: int) -> None:
        """Record that a stream began to answer after `first_s` seconds, with `together` under way then."""
        self.limits.began(first_s, together)
        if self.limits.latency.slow:
            self.suspect = True
        if self.ejection.active and self.ejection.for_time:
            if self.limits.latency.is_slow(first_s):
                self.ejection.bad()
            else:
                self._was_good()

    def had_whole(self, took_s: float) -> None:
        """Record that an answer came whole after `took_s` seconds, where the target is `suspect`."""
        if not (self.ejection.active and self.ejection.for_time):
            return
        if not self.limits.latency.is_slow(took_s):
            self._was_good()
        elif self.ejection.unsaid():
            self.readmit()

    def _was_good(self) -> None:
        if self.ejection.good(self._clock()):
            self.readmit()

    def readmit(self) -> None:
        """End its ejection."""
        now_s = self._clock()
        self.ejection.end(now_s)
        self._failed.clear()
        if self._turned is not None:
            self._turned(None, now_s - self.ejection.began_s)

    def eject(self, *, for_time: bool, share: float = 0.0, first_s: float = 0.0) -> None:
        """Leave it out, as others are much better: of its calls such a share failed, or its streams began
        `first_s` seconds late."""
        self.suspect = True
        self.ejection.begin(self._clock(), for_time=for_time, share=share, first_s=first_s)

    def failed_lately(self) -> tuple[int, float]:
        """How many of its calls in the last 10 s failed, and which share of them that is; of a few, as if
        there had been `FAILED_MIN`."""
        now_s = self._clock()
        failed = self._failed.count(now_s)
        return failed, failed / max(failed, self._calls.count(now_s), FAILED_MIN)

    def abandoned(self, probe: int = 0) -> None:
        """Record a call that says nothing about the target: the client left, or the request was at fault."""
        if probe and probe == self._probe:
            self._probe = 0

    def failed(
        self, error: ProviderError, probe: int = 0, request: int = 0, *, crowded: bool = False
    ) -> None:
        """Record a failure. `request` is a number of the request, of whose 500s only the first counts; 0:
        unknown. `crowded`: it was one too many at once, so that a pause of our choice would waste what the
        target can do."""
        now_s = self._clock()
        if isinstance(error, ProviderBusy) or (error.upstream_status == 503 and error.retry_after_s):
            pause_s = error.refills_s if error.retry_after_s is None else error.retry_after_s
            if pause_s is None:
                pause_s = 0.0 if crowded else PAUSE_S
            pauses_until_s = now_s + min(pause_s, self._config.pause_s_max)
            self._paused_until_s = max(self._paused_until_s, pauses_until_s)
            if error.retry_after_s is not None and isinstance(error, ProviderBusy):
                self._asked_until_s = max(self._asked_until_s, pauses_until_s)
        own = error.upstream_status == 500 and request != 0
        if isinstance(error, ProviderBusy | ProviderRejected) or (own and request in self._culprits):
            self.abandoned(probe)
            return
        if own:
            self._culprits.append(request)
        self._failed.add(now_s)
        self.ejection.bad()
        if self._failed.count(now_s) >= FAILED_MIN:
            self.suspect = True
        if self._open_until_s is not None:
            if probe and probe == self._probe:
                self._probe = 0
                self._open_until_s = now_s + self._config.breaker_open_s
            return
        self._failed_in_a_row += 1
        self._outcomes.append((now_s, False))
        if self._failed_in_a_row >= IN_A_ROW_MAX or self._half_failed(now_s):
            self._open_until_s = now_s + self._config.breaker_open_s
            self._outcomes.clear()
            self._opened_s = now_s
            if self._turned is not None:
                self._turned(error, self._config.breaker_open_s)

    def _close(self) -> None:
        """Close the breaker after a successful probe."""
        self._open_until_s = None
        if self._turned is not None:
            self._turned(None, self._clock() - self._opened_s)

    def _half_failed(self, now_s: float) -> bool:
        recent = [ok for at_s, ok in self._outcomes if now_s - at_s <= self._config.breaker_window_s]
        failures = recent.count(False)
        return len(recent) >= self._config.breaker_calls and failures * 2 >= len(recent)

    def called(self) -> None:
        """Count a first attempt, which adds a fraction of a retry to the budget."""
        self._calls.add(self._clock())

    @property
    def has_retry(self) -> bool:
        """Whether the retry budget has a retry left."""
        now_s = self._clock()
        share = self._config.retry_share_max
        allowed = max(BUDGET_FREE, int(self._calls.count(now_s) * share)) if share else 0
        return self._retries.count(now_s) < allowed

    def may_retry(self) -> bool:
        """Take one retry from the budget; False: there is none."""
        if not self.has_retry:
            return False
        self._retries.add(self._clock())
        return True
