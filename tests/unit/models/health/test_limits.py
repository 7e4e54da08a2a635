"""What a target may be sent at once: who waits, who goes on, and what is forgotten."""

import asyncio
from collections.abc import Callable

import pytest
from tests import virtual

from farthing.config import CallConfig
from farthing.models.health.health import Health
from farthing.models.health.limits import GOOD_MIN, UNSEEN_S, WINDOW_ANSWERS_MIN, WINDOW_S, Limits
from farthing.models.health.outliers import GOOD_MIN as PROBES_GOOD_MIN
from farthing.models.health.outliers import PROBE_S, UNSAID_MAX, outlier, reconsidered


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def limits(clock: Callable[[], float] | None = None) -> Limits:
    return Limits(clock or Clock(), lambda: 0.5, lambda: 0.0)


def refused_at(one: Limits, together: int, began_s: float) -> bool:
    return one.refused(together, began_s)


def test_one_refused_alone_says_nothing_of_how_many_may_go_together() -> None:
    one = limits()
    assert not one.refused(1, 1_001.0) and one.free


def test_a_refusal_cuts_to_four_fifths_and_those_of_the_same_moment_cut_no_further() -> None:
    clock = Clock()
    one = limits(clock)
    for _ in range(11):
        one.begin(10)
    began_s = clock.now_s - 0.5
    assert one.refused(11, began_s)
    assert one.is_out(10) and not one.free
    for together in (9, 14, 12):
        one.refused(together, began_s - 0.1)
    while one.in_flight:
        one.leave()
    for room in range(7):  # four fifths of the eight that the lowest refusal left, rounded up
        assert not one.is_out(10), room
        one.begin(10)
    assert one.is_out(10)


def test_it_goes_beyond_what_was_refused_only_after_enough_good_answers() -> None:
    clock = Clock()
    one = limits(clock)
    one.refused(11, clock.now_s + 1)
    clock.now_s += 30.0
    for _ in range(10):
        one.begin(10)
    assert one.is_out(10), "ten went well before, and nothing was heard since"
    for _ in range(GOOD_MIN):
        one.answered({}, one.begun, 10)
    clock.now_s += 5.0
    assert one.is_out(10) is False


def test_a_limit_about_which_nothing_was_heard_is_forgotten() -> None:
    clock = Clock()
    one = limits(clock)
    one.refused(3, clock.now_s + 1)
    clock.now_s += UNSEEN_S + 0.1
    assert not one.is_out(10) and one.free


def test_those_who_wait_go_on_in_order_as_others_leave_and_one_that_gives_up_is_passed_over() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        one = limits(loop.time)
        for _ in range(3):
            one.begin(10)
        one.refused(3, loop.time() + 1)
        gone: list[str] = []

        async def wait(name: str) -> None:
            await one.turn(10, 100.0)
            one.begin(10)
            gone.append(name)

        waiting = {name: asyncio.create_task(wait(name)) for name in "abc"}
        await asyncio.sleep(0.1)
        assert one.is_out(10), "who comes later does not overtake"
        waiting["b"].cancel()
        await asyncio.sleep(0.0)
        for expected in ("a", "ac"):
            while len("".join(gone)) < len(expected):
                one.leave()
                await asyncio.sleep(0.01)
            assert "".join(gone) == expected

    virtual.run(main())


def test_one_that_was_let_go_and_left_makes_room_for_the_next() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        one = limits(loop.time)
        for _ in range(2):
            one.begin(10)
        one.refused(2, loop.time() + 1)
        waiting = [asyncio.create_task(one.turn(10, 100.0)) for _ in range(2)]
        await asyncio.sleep(0.01)
        one.leave()
        one.leave()
        waiting[0].cancel()  # in the moment in which it may go on
        began_s = loop.time()
        await waiting[1]
        assert loop.time() - began_s < 1.0

    virtual.run(main())


def test_nobody_waits_longer_than_it_may() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        one = limits(loop.time)
        for _ in range(3):
            one.begin(10)
        one.refused(3, loop.time() + 1)
        began_s = loop.time()
        await one.turn(10, 2.0)
        assert loop.time() - began_s == pytest.approx(2.0)
        one.leave()

    virtual.run(main())


def stream_window(one: Limits, clock: Clock, first_s: float, together: int) -> None:
    clock.now_s += WINDOW_S + 0.1
    for _ in range(WINDOW_ANSWERS_MIN):
        one.began(first_s, together)


def test_streams_that_begin_later_the_more_there_are_limit_how_many_and_nobody_waits_for_that() -> None:
    clock = Clock()
    one = limits(clock)
    for _ in range(3):
        stream_window(one, clock, 0.5, 4)
    assert one.free
    stream_window(one, clock, 4.0, 20)
    assert not one.free and not one.latency.slow
    for _ in range(16):
        one.begin(10)
    assert one.is_out(10), "another target is better"
    asyncio.run(asyncio.wait_for(one.turn(10, 60.0), 30.0))


def test_streams_that_begin_later_for_no_reason_of_ours_make_an_outlier() -> None:
    clock = Clock()
    slow, quick = (Health(CallConfig(), clock) for _ in range(2))
    for _ in range(3):
        stream_window(slow.limits, clock, 0.5, 4)
        stream_window(quick.limits, clock, 0.6, 1)
    assert not slow.limits.latency.slow
    clock.now_s += WINDOW_S + 0.1
    for _ in range(WINDOW_ANSWERS_MIN):
        slow.began(4.0, 4)
    assert slow.suspect and slow.limits.free
    assert outlier(slow, [quick]) and slow.cooldown_s() > 0
    clock.now_s += PROBE_S
    for _ in range(slow.ejection.good_needed):
        assert slow.cooldown_s() == 0
        slow.begin()
        slow.began(0.6, 1)
        clock.now_s += PROBE_S
    assert not slow.ejection.active


@pytest.mark.parametrize(("first_s", "left"), [(4.0, False), (9.0, True)])
def test_one_of_which_nothing_is_known_is_tried_only_where_much_is_to_be_won(
    first_s: float, left: bool
) -> None:
    clock = Clock()
    slow, unknown = (Health(CallConfig(), clock) for _ in range(2))
    for seconds in (0.5, 0.5, first_s):
        clock.now_s += WINDOW_S + 0.1
        for _ in range(WINDOW_ANSWERS_MIN):
            slow.began(seconds, 4)
    assert outlier(slow, [unknown]) is left


def test_where_the_other_is_as_slow_it_is_used_on() -> None:
    clock = Clock()
    slow, other = (Health(CallConfig(), clock) for _ in range(2))
    for first_s in (0.5, 0.5, 4.0):
        clock.now_s += WINDOW_S + 0.1
        for one in (slow, other):
            for _ in range(WINDOW_ANSWERS_MIN):
                one.began(first_s, 4)
    assert slow.suspect and not outlier(slow, [other])


def slow_one(clock: Clock) -> tuple[Health, Health]:
    """One that is ejected since its streams begin late, and another."""
    slow, quick = (Health(CallConfig(), clock) for _ in range(2))
    for seconds in (0.5, 0.5, 4.0):
        clock.now_s += WINDOW_S + 0.1
        for _ in range(WINDOW_ANSWERS_MIN):
            slow.began(seconds, 4)
            quick.began(0.6, 1)
    assert outlier(slow, [quick])
    return slow, quick


@pytest.mark.parametrize(("took_s", "needed"), [(0.9, PROBES_GOOD_MIN), (30.0, UNSAID_MAX)])
def test_one_that_was_slow_is_used_again_where_only_whole_answers_try_it(took_s: float, needed: int) -> None:
    clock = Clock()
    slow, _ = slow_one(clock)
    for number in range(needed):
        clock.now_s += PROBE_S
        assert slow.cooldown_s() == 0 and slow.ejection.active, number
        slow.begin()
        slow.had_whole(took_s)
        slow.had_whole(took_s)  # one that was not to try it says nothing more
    assert not slow.ejection.active


def test_long_whole_answers_do_not_outweigh_the_streams_that_begin_late() -> None:
    clock = Clock()
    slow, _ = slow_one(clock)
    for number in range(5 * UNSAID_MAX):
        clock.now_s += PROBE_S
        slow.begin()
        if number % UNSAID_MAX:
            slow.had_whole(30.0)
        else:
            slow.began(4.0, 1)
    assert slow.ejection.active


def test_one_that_is_slow_is_used_again_where_the_others_have_become_as_slow() -> None:
    clock = Clock()
    slow, other = slow_one(clock)
    assert not reconsidered(slow, [other])
    clock.now_s += WINDOW_S + 0.1
    for _ in range(WINDOW_ANSWERS_MIN):
        other.began(5.0, 1)
    assert reconsidered(slow, [other]) and not slow.ejection.active


def test_each_ejection_within_a_minute_takes_more_good_calls_to_end() -> None:
    clock = Clock()
    one = Health(CallConfig(), clock)
    needed = []
    for _ in range(5):
        one.eject(for_time=False, share=0.5)
        needed.append(one.ejection.good_needed)
        while one.ejection.active:
            clock.now_s += PROBE_S
            one.begin()
            one.succeeded()
    assert needed == [2, 4, 8, 8, 8]
    clock.now_s += 61.0
    one.eject(for_time=False)
    assert one.ejection.good_needed == 2
