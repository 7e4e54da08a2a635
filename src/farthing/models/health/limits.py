"""How much a target may be sent at once, learnt from what it says. Sans-I/O but for the queue: clock and
randomness are given.

Nothing is limited until a target has given a reason: a healthy one costs two counters. The reasons:

**A refusal (429) with others under way.** The most that went well together becomes the middle of a cubic
curve (RFC 9438, CUBIC): four fifths of it at once, back to it within seconds, a while near it, then beyond.

    in flight   now * 0.8 ... most ... most + 1 ...          limit(t) = most + 0.4 * (t - K)^3

Beyond `most` it goes only after ten good answers, so that what feels out the limit is refused at most once in
eleven calls; a refusal that comes no sooner only says where the limit is, and cuts nothing. No cut goes below
four fifths of the most that went well since the last one, and while nothing goes well none is made: who
refuses everything does so for another reason. Where no refusal comes the limit is forgotten.

**Answers that begin later the more are under way** (streams; three times as long as at its best, and a second
more). The same curve, but softer: it sends requests elsewhere and never makes one wait, as that would help
nobody.

**Headers that say how much is left** (`rate_headers`), once it is little. What was sent since is taken off,
and what comes back until the reset is added.

A request that may not be sent goes to another target. Only where there is none it waits here, in the order of
arrival, no longer than it may and never where it would come too late: then it is sent at once, as without us.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Mapping
from math import ceil, floor

from farthing.models.health.rate_headers import Allowance, allowances, tells

CUT = 0.8
GROWTH = 0.4
GOOD_MIN = 10
UNSEEN_S = 60.0
"""A limit about which nothing was heard for so long is forgotten."""
LOOK_EVERY_S = 0.05
"""Between two looks at headers that say that there is enough, and at who may go on."""
PACE_S_MAX = 2.0
"""The longest pause before a call that headers say would be refused: they may be wrong."""
LIES_MAX = 3
"""Answers in a row that headers said could not be; then they are not believed."""
DISBELIEVED_S = 600.0
QUEUE_MAX = 1_000
WINDOW_S = 10.0
WINDOW_ANSWERS_MIN = 12
WINDOWS = 12
SLOW = 3.0
"""Times as long as at its best, and `SLOW_S` more, is slow."""
SLOW_S = 1.0
MORE = 1.5
"""So many times as many under way as at its best explain it."""


class Latency:
    """How soon streams begin, in windows of time. The best of two minutes is what a target can do."""

    __slots__ = ("_answers", "_began", "_ends_s", "_in_flight", "_windows", "slow", "slower_s")

    def __init__(self) -> None:
        self._windows: deque[tuple[float, float]] = deque(maxlen=WINDOWS)
        """Mean seconds to the first token, and mean number under way."""
        self._answers = 0
        self._began = 0.0
        self._in_flight = 0
        self._ends_s = 0.0
        self.slow = False
        """It was slow in the last window, and not for what we sent it."""
        self.slower_s = 0.0
        """By how much, then."""

    @property
    def last_s(self) -> float | None:
        """Mean seconds to the first token in the last whole window; None: there was none."""
        return self._windows[-1][0] if self._windows else None

    def began(self, first_s: float, in_flight: int, now_s: float) -> float | None:
        """Add an answer that began after `first_s` seconds with `in_flight` under way. Returns the number
        under way, where that is what made a window slow; else None."""
        self._answers += 1
        self._began += first_s
        self._in_flight += in_flight
        if now_s < self._ends_s or self._answers < WINDOW_ANSWERS_MIN:
            return None
        mean_s, together = self._began / self._answers, self._in_flight / self._answers
        self._answers, self._began, self._in_flight = 0, 0.0, 0
        known = self._ends_s > 0.0 and now_s - self._ends_s < WINDOW_S * WINDOWS
        self._ends_s = now_s + WINDOW_S
        if not known:
            self._windows.clear()
        crowded = None
        self.slow = False
        if self._windows:
            best_s, alone = min(self._windows)
            if mean_s > best_s * SLOW and mean_s > best_s + SLOW_S:
                if together >= alone * MORE:
                    crowded = together
                else:
                    self.slow, self.slower_s = True, mean_s - best_s
        self._windows.append((mean_s, together))
        return crowded

    def is_slow(self, first_s: float) -> bool:
        """Whether so long would be slow for this target."""
        best_s = min(self._windows)[0] if self._windows else first_s
        return first_s > best_s * SLOW and first_s > best_s + SLOW_S


class Limits:
    """What one target may be sent now, of all that is counted together: a target's calls today."""

    __slots__ = (
        "_allowances", "_armed", "_clock", "_curve_s", "_cut_s", "_disbelieved_until_s", "_good", "_least",
        "_left_s", "_lies", "_looked_s", "_most", "_pacing", "_period_s", "_rand", "_soft", "_told_begun",
        "_unit_s", "_waiting", "_wall_clock", "_woken", "begun", "free", "high", "in_flight", "latency",
        "since",
    )  # fmt: skip

    def __init__(
        self,
        clock: Callable[[], float],
        rand: Callable[[], float] = random.random,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """`wall_clock`: seconds since 1970, for resets that are times of day."""
        self._clock = clock
        self._wall_clock = wall_clock
        self._rand = rand
        self.free = True
        """Nothing limits it: `may_begin` need not be asked."""
        self.in_flight = 0
        self.begun = 0
        self.high = 0
        """The most that were under way when one of them began that went well; since the last cut."""
        self.since = 0
        """`begun` at that cut: of calls that began before, nothing counts."""
        self._least = 0.0
        """No cut goes below this share of what went well before it."""
        self.latency = Latency()
        self._most: float | None = None
        """The most that went well together; None: nothing limits how many."""
        self._soft = False
        """It was slow, not refused."""
        self._cut_s = 0.0
        self._curve_s = 0.0
        """When the curve began, later where it stood still."""
        self._unit_s = 1.0
        self._good = 0
        self._allowances: list[Allowance] = []
        """Those that are low; empty: none is, or none is told."""
        self._looked_s = -LOOK_EVERY_S
        self._pacing = 0
        """Those that wait for an allowance."""
        self._told_begun = 0
        """`begun` when they were told."""
        self._lies = 0
        self._disbelieved_until_s = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._armed = False
        self._woken = 0
        """Those who may go on and have not yet."""
        self._left_s = 0.0
        """When the last call ended, and, faded, the seconds between two such times while some wait."""
        self._period_s = 0.0

    # -- one call --------------------------------------------------------------------------------------

    def begin(self, tokens: int) -> int:
        """Count a call that is about to be made, whose prompt has so many tokens; exactly one `leave` must
        follow. Returns how many are under way with it."""
        self.begun += 1
        self.in_flight = n = self.in_flight + 1
        if self._allowances:
            self._spend(tokens)
        return n

    def leave(self) -> None:
        """A call has ended, whatever came of it."""
        self.in_flight -= 1
        if not self.free:
            self._left()

    def answered(self, headers: Mapping[bytes, bytes], began: int, tokens: int) -> None:
        """Take note of a good reply: `began` is the value of `begun` when its call had begun, and `tokens`
        what such a call needs."""
        if self._most is not None:
            self._good += 1
        now_s = self._clock()
        if not self._allowances and now_s - self._looked_s < LOOK_EVERY_S:
            return
        self._looked_s = now_s
        if tells(headers):
            self._told(headers, began, tokens, now_s)

    def began(self, first_s: float, together: int) -> None:
        """A stream began to answer `first_s` seconds after its call, with `together` under way then."""
        now_s = self._clock()
        crowded = self.latency.began(first_s, together, now_s)
        if crowded is not None and (self._most is None or self._soft):
            self._cut(crowded, now_s, soft=True)

    def refused(self, together: int, began_s: float) -> bool:
        """A call that began at `began_s`, as one of so many under way, was refused for its rate (429).
        Returns whether how many there were explains it; alone, it says nothing of that."""
        if together < 2:
            return False
        now_s = self._clock()
        limit = None if self._soft else self._limit(now_s)
        if limit is not None and began_s <= self._cut_s:  # another of those that went up together
            self._most = max(1.0, self._least, min(self._most or 1.0, together - 1.0))
        elif limit is None or self.high:
            if limit is None or together <= limit:  # else it was let in beyond the limit
                found_out = limit is not None and self._good >= GOOD_MIN
                self._least = float(ceil(CUT * self.high))
                self._cut(max(together - 1.0, self._least), now_s, soft=False)
                if found_out:
                    self._curve_s = now_s - self._back() * self._unit_s
        else:  # nothing went well since: it refuses for another reason, and how many there are is none
            self._cut(self._most or 1.0, now_s, soft=False)
        return True

    # -- who may begin -----------------------------------------------------------------------------------

    def is_out(self, tokens: int) -> bool:
        """Whether a call whose prompt has so many tokens had better go to another target, if there is one."""
        now_s = self._clock()
        self._forget(now_s)
        if self._waiting or self._woken or self._is_full(now_s):
            return True
        return any(one.wait_s(_needed(one, tokens), now_s) > 0 for one in self._allowances)

    async def turn(self, tokens: int, within_s: float) -> None:
        """Wait until a call may begin, where there is no other target for it; at most `within_s` seconds,
        after which it may begin all the same. To be followed by `begin` without another wait."""
        now_s = self._clock()
        end_s = now_s + within_s
        full = not self._soft and (self._waiting or self._woken or self._is_full(now_s))
        if full and len(self._waiting) < QUEUE_MAX and self._expected_s() <= within_s:
            await self._queued(within_s)
            now_s = self._clock()
        pause_s = max((one.wait_s(_needed(one, tokens), now_s) for one in self._allowances), default=0.0)
        if 0.0 < pause_s <= min(PACE_S_MAX, end_s - now_s):
            self._spend(tokens)  # so that the next who waits waits for more
            self._pacing += 1
            try:
                await asyncio.sleep(pause_s * (1.0 + 0.1 * self._rand()))
            finally:
                self._pacing -= 1
                self._spend(tokens, -1.0)
        self._forget(self._clock())

    async def _queued(self, within_s: float) -> None:
        waiter = asyncio.get_running_loop().create_future()
        if not self._waiting:
            self._left_s = self._clock()
        self._waiting.append(waiter)
        self._arm()
        try:
            async with asyncio.timeout(within_s):
                await waiter
        except TimeoutError:
            pass  # it is sent all the same
        finally:
            if waiter.done() and not waiter.cancelled():
                self._woken -= 1
            elif waiter in self._waiting:
                self._waiting.remove(waiter)

    def _expected_s(self) -> float:
        """How long one that comes now would wait."""
        return (len(self._waiting) + 1) * self._period_s

    def _left(self) -> None:
        """Let those go on that now may."""
        now_s = self._clock()
        if self._waiting:
            period_s = now_s - self._left_s
            self._period_s += (period_s - self._period_s) * (0.2 if self._period_s else 1.0)
        self._left_s = now_s
        self._let_go(now_s)

    def _let_go(self, now_s: float) -> None:
        self._forget(now_s)
        while self._waiting and not self._is_full(now_s):
            waiter = self._waiting.popleft()
            if not waiter.done():
                self._woken += 1
                waiter.set_result(None)
        if not self._waiting:
            self._period_s = 0.0

    def _arm(self) -> None:
        """Look again soon: the limit grows with time, and one that was let go may have gone away."""
        if not self._armed and self._waiting:
            self._armed = True
            asyncio.get_running_loop().call_later(LOOK_EVERY_S, self._look)

    def _look(self) -> None:
        self._armed = False
        self._let_go(self._clock())
        self._arm()

    # -- how many at once ----------------------------------------------------------------------------------

    def _limit(self, now_s: float) -> float | None:
        """How many may be under way; None: any number."""
        most = self._most
        if most is None:
            return None
        passed = (now_s - self._curve_s) / self._unit_s
        back = self._back()
        earned = self._good // GOOD_MIN
        if passed > back and not earned:  # it stays there until enough went well
            self._curve_s = now_s - back * self._unit_s
            passed = back
        if passed <= back:
            return max(1.0, min(most, float(ceil(most + GROWTH * (passed - back) ** 3))))
        return floor(most) + min(float(floor(GROWTH * (passed - back) ** 3)), earned * max(1.0, most / 2))

    def _back(self) -> float:
        """Seconds, in units of the curve, until it is back where it was cut."""
        found: float = ((self._most or 0.0) * (1.0 - CUT) / GROWTH) ** (1 / 3)
        return found

    def _is_full(self, now_s: float) -> bool:
        limit = self._limit(now_s)
        return limit is not None and self.in_flight + self._woken + 1 > limit

    def _cut(self, most: float, now_s: float, *, soft: bool) -> None:
        self._most = max(1.0, most)
        self._soft = soft
        self._cut_s = self._curve_s = now_s
        self._unit_s = 0.9 + 0.2 * self._rand()  # several gateways before one provider do not grow as one
        self._good = self.high = 0
        self.since = self.begun
        self.free = False

    def _forget(self, now_s: float) -> None:
        """Forget a limit that nothing confirmed, and allowances that are back."""
        limit, most = self._limit(now_s), self._most
        if limit is not None and most is not None:
            grown = limit > 2.0 * most + 8.0
            if grown or now_s - self._cut_s > UNSEEN_S:
                self._most = None
        if self._allowances:
            self._allowances = [one for one in self._allowances if one.is_low and not one.is_back(now_s)]
        self.free = self._most is None and not self._allowances and not self._waiting

    # -- how much is left ------------------------------------------------------------------------------------

    def _told(self, headers: Mapping[bytes, bytes], began: int, tokens: int, now_s: float) -> None:
        if now_s < self._disbelieved_until_s:
            return
        said = allowances(headers, now_s, self._wall_clock())
        if began > self._told_begun and any(_contradicts(one, said, now_s) for one in self._allowances):
            self._lies += 1
            if self._lies >= LIES_MAX:
                self._lies, said = 0, []
                self._disbelieved_until_s = now_s + DISBELIEVED_S
        elif began > self._told_begun:
            self._lies = 0
        since = self.begun - began + self._pacing  # they were sent, or will be: what is told has them not
        for one in said:
            one.left -= since * _needed(one, tokens)
        self._allowances = [one for one in said if one.is_low]
        self._told_begun = self.begun
        self.free = self._most is None and not self._allowances and not self._waiting

    def _spend(self, tokens: int, sign: float = 1.0) -> None:
        for one in self._allowances:
            one.left -= sign * _needed(one, tokens)


def _needed(one: Allowance, tokens: int) -> float:
    if one.of_tokens:
        return float(tokens)
    return 1.0


def _contradicts(known: Allowance, said: list[Allowance], now_s: float) -> bool:
    """Whether an answer came although nothing was left, and the same is said again: then it counts something
    else than it says."""
    if known.of_tokens or known.is_back(now_s) or known.left_now(now_s) > -0.5:
        return False
    return any(not one.of_tokens and one.left < 1.0 and one.most == known.most for one in said)
