"""Admission: sheds before any work is done. What is bounded is how many requests are in progress: by
`server.requests_max`, and by less while they are more than the CPU can do.

Theory of operation. Whoever arrives while the loop is at work waits until the round is over. A round that
takes long now and then is a pause, a garbage collection or a burst: the next ones are short again. Where
every round takes long, a queue stands that does not go away, and each further request makes all of them wait
longer (CoDel: Nichols and Jacobson, "Controlling Queue Delay", ACM Queue 2012; at the entry of services: Zhou
et al., "Overload Control for Scaling WeChat Microservices", SoCC 2018). So the shortest round counts:

    open     --(the shortest round of `PATIENCE_S` took over `STANDING_S`)--> limited, to half
    limited  --(every `STEP_S`: the shortest over `ROUND_S`? to fewer; not, and some were refused? to more)-->
             --(none was refused for `CALM_STEPS`)--> open

What is in progress is limited and not how many come in: each stream goes on to use CPU time, so that a rate
which was too high would be felt long after it was lowered.

No round is long where that can be helped, as whoever is refused waits for it: few requests begin in one, and
few streams that have rested are read (`behind`). What is left counts to the same round here, as long as it is
not over: else short rounds would hide that the work does not end.

A round is counted in CPU time of the loop's own thread, not in time that passes. A stopped or starved
process, or one that has used up its quota for now, is late without a queue; and streams that wait for a slow
provider use none. While nothing is in progress nobody looks.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable

from farthing.errors import Overloaded

log = logging.getLogger("farthing.admit")

TICK_S = 0.005
LIMITED_TICK_S = 0.001  # timers count whole milliseconds
STANDING_S = 0.01
ROUND_S = 0.002  # a refusal waits for a round or two, and some rounds are three times as long
BEGUN_MIN = 2  # in one round, while it is limited: more of them are themselves a long round
BEGUN_MORE = 1.5
BEGUN_BUSY = 16  # at most, while the loop has lately worked for more than `BUSY` of the time
BUSY, BUSY_STEPS = 0.6, 8
REFUSAL_S = 20e-6  # of CPU time: what refusals take is no reason to refuse more
PATIENCE_S = 0.5
STEP_S = 0.1
PATIENCE_ROUNDS = 4
STEP_ROUNDS = 2
"""Rounds needed for each judgement; two suffice where they take four times as long as they should."""

LIMIT_MIN = 16  # are taken whatever happens: so few do not make a queue of each other
CHANGE_MIN = 0.01
LESS_MAX, MORE_MAX = 0.3, 0.1
LESS, MORE = 1.5, 1.2  # by which a change grows from one step to the next
CALM_STEPS = 5

RETRY_AFTERS_S = tuple(1.0 + 0.125 * step for step in (0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15))
"""Given out in turn, so that clients refused together do not return together."""
BEHIND_S, LIMITED_BEHIND_S = 5 * STANDING_S, 2 * ROUND_S
"""CPU time that makes a round long; the second holds while admission is limited."""
TOLD_EVERY_S = 10.0
_TOO_MANY = "{} requests are in progress: try again in a moment"


class Limit:
    """How many requests may be in progress without overloading the CPU. Sans-I/O, told of each round."""

    __slots__ = (
        "_began_s",
        "_busy",
        "_calm",
        "_change",
        "_grew",
        "_least_s",
        "_most",
        "_rounds",
        "_work_s",
        "begun",
        "most",
        "put_off",
        "refused",
    )

    def __init__(self) -> None:
        self.most: int | None = None
        """None: it is open."""
        self.begun = BEGUN_MIN
        """Requests that may begin in one round while admission is limited."""
        self.refused = False
        """A request was refused since the last step because of those in progress."""
        self.put_off = False
        """A request was refused because of those that began in the same round."""
        self._change = LESS_MAX
        self._grew = False
        self._calm = 0
        self._busy = 1.0
        """Share of the time in which the loop was working, averaged over some steps."""
        self._began_s = 0.0
        self._least_s = 0.0
        self._most = 0
        self._rounds = 0
        self._work_s = 0.0

    def begin(self, now_s: float) -> None:
        """Start measuring now; nothing from before counts."""
        self._began_s = now_s
        self._most = self._rounds = 0
        self._work_s = 0.0
        self.refused = self.put_off = False

    def round(self, work_s: float, now_s: float, in_progress: int) -> None:
        """One round, or some short ones together, took `work_s` of CPU time and ended `now_s`."""
        self._least_s = work_s if not self._rounds else min(self._least_s, work_s)
        self._most = max(self._most, in_progress)
        self._rounds += 1
        self._work_s += work_s
        is_open = self.most is None
        rounds, seconds = (PATIENCE_ROUNDS, PATIENCE_S) if is_open else (STEP_ROUNDS, STEP_S)
        past_s = now_s - self._began_s
        if past_s < seconds or (self._rounds < rounds and (self._rounds < 2 or past_s < 4 * seconds)):
            return
        if self.most is not None:
            self._busy += (self._work_s / past_s - self._busy) / BUSY_STEPS
            self._adapt(self.most)
        elif self._least_s > STANDING_S:
            self.most = max(LIMIT_MIN, self._most // 2)
            self._change, self._grew, self._calm, self._busy = LESS_MAX, False, 0, 1.0
            self.begun = BEGUN_MIN
        self.begin(now_s)

    def _adapt(self, most: int) -> None:
        """Change the limit in growing steps while the direction holds and in smaller ones when it turns, so
        that it settles where the loop is just kept busy."""
        self._calm = 0 if self.refused or self.put_off else self._calm + 1
        if self._least_s > ROUND_S:
            if self.begun > BEGUN_MIN:
                self.begun = BEGUN_MIN  # that may have been all
            elif self._most <= most:  # else there are still more than it allows: that has yet to show
                self.most = max(LIMIT_MIN, int(min(most, self._most) * (1 - self._step(grows=False))))
            return
        if self.put_off:
            more = math.ceil(self.begun * BEGUN_MORE)
            self.begun = min(more, BEGUN_BUSY) if self._busy > BUSY else more
        if self.refused:
            self.most = most + max(1, int(most * self._step(grows=True)))
        elif self._calm >= CALM_STEPS:
            self.most = None

    def _step(self, *, grows: bool) -> float:
        change = self._change * (0.5 if grows != self._grew else MORE if grows else LESS)
        self._change = max(CHANGE_MIN, min(MORE_MAX if grows else LESS_MAX, change))
        self._grew = grows
        return self._change


class Admission:
    """How many requests are in progress, and whether new ones are taken.

    The reader of a request only compares numbers: once `in_progress` and `coming` reach `ask_from`, `refusal`
    says whether the request may begin, and if not, why.
    """

    __slots__ = (
        "_busy",
        "_clock",
        "_cpu_clock",
        "_cpu_s",
        "_entered",
        "_full",
        "_limit",
        "_loop",
        "_most",
        "_requests_max",
        "_shed",
        "_since",
        "_timer",
        "_told_s",
        "ask_from",
        "behind",
        "coming",
        "draining",
        "in_progress",
        "pressed",
        "shed",
        "shed_cpu",
        "shed_full",
    )

    def __init__(
        self,
        requests_max: int,
        loop: asyncio.AbstractEventLoop | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.thread_time,
    ) -> None:
        """Without `loop` its rounds are not watched. `cpu_clock` is the CPU time of the calling thread."""
        self._requests_max = self._most = self.ask_from = requests_max
        self._loop = loop
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._cpu_s = 0.0
        self._shed = 0
        self._entered = 0
        """Since the last look."""
        self._limit = Limit()
        self._timer: asyncio.TimerHandle | None = None
        self._told_s = -math.inf
        self._full = _alike(_TOO_MANY.format(requests_max))
        self._busy = _alike("the gateway has more to do than its CPU can: try again in a moment")
        self._since = 0
        """Refused since the last log line about it."""
        self.in_progress = 0
        self.coming = 0
        """Read in this round and not begun yet: all requests of a round are read before any begins."""
        self.shed = 0
        """Requests turned away since the start."""
        self.shed_cpu = 0
        """Those of them turned away because the loop had more work than CPU time."""
        self.shed_full = 0
        """Those of them turned away because `requests_max` were in progress."""
        self.draining = False
        self.pressed: Callable[[bool], None] | None = None
        """Called when the CPU becomes the limit, and when it no longer is."""
        self.behind: Callable[[], bool] | None = None
        """Whether work due in this round is left for later ones; they then count as one round."""

    def enter(self) -> None:
        """Count one request in; `leave` must follow.

        Raises:
            Overloaded: too many are in progress, or the gateway is going down.
        """
        if self.draining:
            self.shed += 1
            raise Overloaded("the gateway is shutting down: send this to another replica", code="draining")
        if self.in_progress >= self._requests_max:
            told = self._too_many()
            raise Overloaded(str(told), retry_after_s=told.retry_after_s)  # what is raised keeps its frames
        self.in_progress += 1
        self._entered += 1
        if self._timer is None:
            self._look()

    def refusal(self) -> Overloaded | None:
        """Why the request that was just read may not begin; None: it may."""
        if self.draining:
            return None  # `enter` says so
        soon = self.in_progress + self.coming
        if soon >= self._requests_max:
            return self._too_many()
        limit = self._limit
        if soon >= self._most:
            limit.refused = True
        elif limit.most is None or self.coming < limit.begun or soon < LIMIT_MIN:
            return None
        else:
            limit.put_off = True
        self.shed_cpu += 1
        self._refused("there is more to do than the CPU can")
        return self._busy[self.shed % len(self._busy)]

    def share(self) -> float:
        """Requests in progress as a share of those allowed."""
        return self.in_progress / self._requests_max

    @property
    def most(self) -> int:
        """How many may be in progress now."""
        return self._most

    def leave(self) -> None:
        self.in_progress -= 1

    def resize(self, requests_max: int) -> None:
        """Apply a new bound; requests in progress stay."""
        if requests_max != self._requests_max:
            self._requests_max = requests_max
            self._full = _alike(_TOO_MANY.format(requests_max))
        self._apply()

    def _apply(self) -> None:
        most = self._limit.most
        self._most = self._requests_max if most is None else min(most, self._requests_max)
        self.ask_from = self._requests_max if most is None else 0

    # -- looking at the loop ---------------------------------------------------------------------------

    def _look(self) -> None:
        """Start watching the rounds of the loop."""
        if self._loop is not None:
            self._cpu_s, self._shed = self._cpu_clock(), self.shed
            self._limit.begin(self._clock())
            self._timer = self._loop.call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        loop, limit = self._loop, self._limit
        assert loop is not None  # it called
        cpu_s = self._cpu_clock()
        limited = limit.most is not None
        work_s = cpu_s - self._cpu_s - REFUSAL_S * (self.shed - self._shed)
        if work_s < (LIMITED_BEHIND_S if limited else BEHIND_S) and self.behind is not None and self.behind():
            self._timer = loop.call_later(LIMITED_TICK_S, self._tick)
            return
        entered, self._entered = self._entered, 0
        # while it is open, those count too that ended in the round in which they began
        most = self.in_progress if limited else max(self.in_progress, entered)
        limit.round(work_s, self._clock(), most)
        self._cpu_s, self._shed = cpu_s, self.shed
        self._apply()
        if limited != (limit.most is not None) and self.pressed is not None:
            self.pressed(not limited)
        if limit.most is not None:
            self._timer = loop.call_later(LIMITED_TICK_S, self._tick)
        elif self.in_progress or entered:
            self._timer = loop.call_later(TICK_S, self._tick)
        else:
            self._timer = None

    def stop(self) -> None:
        """Stop watching."""
        if self._timer is not None:
            self._timer.cancel()

    # -- saying so -------------------------------------------------------------------------------------

    def _too_many(self) -> Overloaded:
        self.shed_full += 1
        self._refused("server.requests_max are in progress")
        return self._full[self.shed % len(self._full)]

    def _refused(self, why: str) -> None:
        self.shed += 1
        self._since += 1
        now_s = self._clock()
        if now_s - self._told_s >= TOLD_EVERY_S:
            log.warning(
                "overloaded: %s; requests are refused with 503, %d since this was last said, %d in all",
                why,
                self._since,
                self.shed,
            )
            self._told_s, self._since = now_s, 0


def _alike(message: str) -> tuple[Overloaded, ...]:
    """The same refusal with each possible wait, made once because it is sent so often."""
    return tuple(Overloaded(message, retry_after_s=wait_s) for wait_s in RETRY_AFTERS_S)
