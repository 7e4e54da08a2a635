"""What the loop's rounds say of overload, in simulated time: no machine is loaded for it."""

import asyncio
from collections import deque
from collections.abc import Callable

import pytest

from farthing.edge.admit import LIMIT_MIN, RETRY_AFTERS_S, STANDING_S, TOLD_EVERY_S, Admission, Limit
from farthing.errors import Overloaded

MOST = 2_000
BEGIN_S, REFUSE_S = 0.001, 10e-6
"""CPU time of one request, and of one refusal."""
TICK_S = 0.005


class Loop:
    """An event loop with one timer, and with as much CPU time as `quota` says."""

    def __init__(self, quota: float = 1.0) -> None:
        self.quota = quota
        self.now_s = self.cpu_s = 0.0
        self.due_s = 0.0
        self.callback: Callable[[], None] | None = None

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> "Loop":
        self.due_s, self.callback = self.now_s + delay_s, callback
        return self

    def cancel(self) -> None:
        self.callback = None

    def works(self, cpu_s: float) -> None:
        self.cpu_s += cpu_s
        self.now_s += cpu_s / self.quota

    def timers(self) -> None:
        callback = self.callback
        if callback is not None and self.now_s >= self.due_s:
            self.callback = None
            callback()


class World:
    """Requests come evenly; each is work for one round, and waits `provider_s` for its provider."""

    def __init__(self, quota: float = 1.0, provider_s: float = 0.05) -> None:
        self.loop = Loop(quota)
        self.admission = Admission(
            MOST,
            self.loop,  # type: ignore[arg-type]  # of a loop it needs call_later alone
            clock=lambda: self.loop.now_s,
            cpu_clock=lambda: self.loop.cpu_s,
        )
        self.provider_s = provider_s
        self.answered = self.refused = 0
        self._due_s: deque[float] = deque()
        self._owed = 0.0

    def run(self, rate: float, seconds: float) -> None:
        loop, admission = self.loop, self.admission
        end_s, last_s = loop.now_s + seconds, loop.now_s
        while loop.now_s < end_s:
            loop.now_s += 0.0005  # else nothing would be ready
            loop.timers()
            self._owed += (loop.now_s - last_s) * rate
            last_s = loop.now_s
            come, self._owed = int(self._owed), self._owed % 1
            begun = 0
            for _ in range(come):
                full = admission.in_progress + admission.coming >= admission.ask_from
                if full and admission.refusal() is not None:
                    self.refused += 1
                    loop.works(REFUSE_S)
                else:
                    admission.coming += 1
                    begun += 1
            for _ in range(begun):
                admission.coming -= 1
                admission.enter()
                loop.works(BEGIN_S / 2)
                self._due_s.append(loop.now_s + self.provider_s)
            ready_s = loop.now_s
            while self._due_s and self._due_s[0] <= ready_s:
                self._due_s.popleft()
                loop.works(BEGIN_S / 2)
                admission.leave()
                self.answered += 1

    def goodput(self, rate: float, seconds: float) -> float:
        before, began_s = self.answered, self.loop.now_s
        self.run(rate, seconds)
        return (self.answered - before) / (self.loop.now_s - began_s)


@pytest.mark.parametrize("quota", [1.0, 0.2])
def test_five_times_what_the_cpu_can_do_leaves_nineteen_parts_in_twenty_of_it(quota: float) -> None:
    """Of what is left of the CPU when each of the others has been told no."""
    capacity = quota / BEGIN_S
    once = World(quota).goodput(capacity * 0.98, 20)
    world = World(quota)
    world.run(5 * capacity, 5)
    assert world.goodput(5 * capacity, 20) >= 0.95 * once * (1 - 5 * REFUSE_S / BEGIN_S)
    admission = world.admission
    assert admission.shed == world.refused == admission.shed_cpu + admission.shed_full
    assert admission.shed_cpu > admission.shed_full  # until it is known, the bound alone refuses


def test_requests_that_wait_for_nothing_are_shed_too() -> None:
    """Hits and fixed answers: none is in progress between two rounds, however long these are."""
    world = World(provider_s=0.0)
    world.run(5 / BEGIN_S, 10)
    assert world.admission.shed_cpu > 0


def test_it_is_open_again_within_five_seconds() -> None:
    world = World()
    world.run(5 / BEGIN_S, 10)
    assert world.admission.most < MOST
    world.run(0.3 / BEGIN_S, 5)
    assert world.admission.most == MOST
    before = world.refused
    world.run(0.5 / BEGIN_S, 5)
    assert world.refused == before


def test_a_load_that_the_cpu_can_carry_is_never_refused() -> None:
    world = World()
    world.run(0.95 / BEGIN_S, 30)
    assert world.refused == 0


@pytest.mark.parametrize("pause_s", [0.1, 0.3, 3600.0])
def test_a_pause_refuses_nobody_of_the_burst_after_it(pause_s: float) -> None:
    """A garbage collection is CPU time of ours, a machine that slept is none: no queue stands."""
    for cpu in (True, False):
        world = World()
        world.run(0.5 / BEGIN_S, 2)
        if cpu and pause_s < 10:
            world.loop.works(pause_s)
        else:
            world.loop.now_s += pause_s
        world._owed += min(pause_s, 0.3) * 0.5 / BEGIN_S
        world.run(0.5 / BEGIN_S, 3)
        assert world.refused == 0


@pytest.mark.slow
def test_thousands_of_streams_that_wait_for_their_provider_are_no_overload() -> None:
    world = World(provider_s=1e9)
    world.admission.resize(10_000)
    world.run(50, 100)
    assert world.admission.in_progress > 4_900 and world.refused == 0


def test_a_starved_process_is_late_and_refuses_nobody() -> None:
    """Each round is late by 100 ms because others have the machine; what it does itself is little."""
    limit = Limit()
    limit.begin(0.0)
    for number in range(1, 200):
        limit.round(STANDING_S / 4, number * 0.1, 50)
    assert limit.most is None


@pytest.mark.parametrize("behind", [True, False])
def test_rounds_that_leave_work_to_the_next_ones_count_as_one(behind: bool) -> None:
    """Else what keeps single rounds short would hide that the work does not end."""
    world = World()
    loop, admission = world.loop, world.admission
    admission.behind = lambda: behind
    admission.enter()
    for _ in range(3_000):
        loop.works(STANDING_S / 20)
        loop.now_s += 0.0001
        loop.timers()
    assert (admission.most < MOST) == behind


def test_a_queue_that_ends_now_and_then_is_none() -> None:
    world = World()
    loop, admission = world.loop, world.admission
    rounds = 0
    admission.behind = lambda: rounds % 10 != 0
    admission.enter()
    for rounds in range(3_000):
        loop.works(STANDING_S / 20 if rounds % 10 else 0.0)
        loop.now_s += 0.0001
        loop.timers()
        if rounds % 10 == 0:
            loop.now_s += TICK_S  # nothing was left to do
            loop.timers()
    assert admission.most == MOST


def test_some_are_taken_whatever_happens() -> None:
    limit = Limit()
    limit.begin(0.0)
    for number in range(1, 200):
        limit.round(1.0, number * 1.0, LIMIT_MIN)
    assert limit.most == LIMIT_MIN


def test_a_round_that_counts_refusals_alone_lowers_nothing() -> None:
    """Else a storm of them would end in refusing everybody."""
    world = World()
    world.run(5 / BEGIN_S, 5)
    most = world.admission.most
    assert most < MOST
    world.run(0.5 / REFUSE_S, 5)
    assert world.admission.most >= most / 3


@pytest.mark.parametrize("burst", [3, 20, 150])
def test_bursts_that_are_little_work_are_soon_taken_whole_after_an_overload(burst: int) -> None:
    """They come together, and so in one round: while it is limited some of them are put off."""
    world = World()
    world.run(5 / BEGIN_S, 10)
    assert world.admission.most < MOST
    for _ in range(20):
        world._owed += burst
        world.run(0, 0.4)
    assert world.admission.most == MOST
    before = world.refused
    for _ in range(20):
        world._owed += burst
        world.run(0, 0.4)
    assert world.refused == before


def test_nobody_looks_while_nothing_is_in_progress() -> None:
    world = World()
    assert world.loop.callback is None
    world.run(100, 1)
    assert world.loop.callback is not None
    world.run(0, 1)
    assert world.loop.callback is None and world.admission.in_progress == 0


def test_of_a_round_s_requests_no_more_are_taken_than_there_is_room_for() -> None:
    admission = Admission(10)
    taken = 0
    for _ in range(50):  # all are read before the first is begun
        if admission.in_progress + admission.coming >= admission.ask_from and admission.refusal():
            continue
        admission.coming += 1
        taken += 1
    assert (taken, admission.shed, admission.shed_full) == (10, 40, 40)


def test_who_is_refused_together_does_not_come_back_together() -> None:
    admission = Admission(0)
    waits_s = [error.retry_after_s for _ in range(160) if (error := admission.refusal())]
    assert len(waits_s) == 160 and {waits_s.count(wait_s) for wait_s in RETRY_AFTERS_S} == {10}
    assert min(waits_s) >= 1.0 and max(waits_s) <= 3.0


def test_what_is_raised_is_made_anew() -> None:
    """An exception keeps the frames through which it was raised, and so the bodies of requests."""
    admission = Admission(0)
    raised = []
    for _ in range(40):
        with pytest.raises(Overloaded) as error:
            admission.enter()
        raised.append(error.value)
    assert len(set(map(id, raised))) == 40
    assert all(one.__traceback__ is None for one in admission._full)


def test_the_log_says_so_now_and_then_with_how_many(caplog: pytest.LogCaptureFixture) -> None:
    now_s = [0.0]
    admission = Admission(0, clock=lambda: now_s[0])
    for _ in range(500):
        admission.refusal()
    now_s[0] = TOLD_EVERY_S
    admission.refusal()
    first, second = (record.getMessage() for record in caplog.records)
    assert first.startswith("overloaded: server.requests_max are in progress")
    assert "500 since this was last said, 501 in all" in second


def test_a_real_loop_is_looked_at() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        admission = Admission(MOST, loop)
        admission.enter()
        assert admission._timer is not None
        admission.leave()
        async with asyncio.timeout(120):
            while admission._timer is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    asyncio.run(main())
