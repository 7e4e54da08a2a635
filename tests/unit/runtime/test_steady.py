"""Time that our own event loop was late is not counted against others."""

import asyncio
import time

import pytest
from tests import virtual

from farthing.runtime.steady import LONGEST, steady_timeout

FAR_S = 60.0


def ended_at_s(limit_s: float, deadline_s: float = FAR_S, *, late_s: float = 0.0) -> float:
    """When it ends a block that waits for ever, and nothing fails beside it."""
    told: list[str] = []

    async def wait() -> float:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(str(context["message"])))
        with pytest.raises(TimeoutError):
            async with steady_timeout(limit_s, deadline_s):
                await asyncio.Event().wait()
        ended_s = loop.time()
        await asyncio.sleep(FAR_S)
        return ended_s

    found = virtual.run(wait(), late_s=late_s)
    assert told == []
    return found


@pytest.mark.parametrize(
    ("limit_s", "deadline_s", "late_s", "end_s"),
    [
        (1.0, FAR_S, 0.0, 1.0),
        (1.0, 0.55, 0.0, 0.55),
        (1.0, FAR_S, 0.2, 10 * 0.3),  # each tenth comes late, and counts as one
        (1.0, FAR_S, 5.0, 2 * 5.1),  # no more than ten times the limit, seen when the loop is there again
        (1.0, 2.0, 0.2, 2.0),
        (1.0, 2.75, 0.2, 2.75),  # the last tenth is due at once with it
    ],
    ids=["on time", "deadline", "late", "later still", "late, deadline", "late, both"],
)
def test_it_ends_when_it_should(limit_s: float, deadline_s: float, late_s: float, end_s: float) -> None:
    assert ended_at_s(limit_s, deadline_s, late_s=late_s) == pytest.approx(end_s, abs=late_s + 1e-6)


def ends(limit_s: float, deadline_s: float = FAR_S) -> float:
    """After how long nothing was waited for any more."""

    async def wait() -> None:
        async with steady_timeout(limit_s, asyncio.get_running_loop().time() + deadline_s):
            await asyncio.Event().wait()

    since_s = time.monotonic()
    with pytest.raises(TimeoutError):
        asyncio.run(wait())
    return time.monotonic() - since_s


def test_it_ends_after_its_time_and_at_its_deadline() -> None:
    assert ends(0.2) >= 0.2
    assert ends(50.0, deadline_s=0.05) < 50.0


@pytest.mark.slow
def test_what_came_while_the_loop_was_late_counts() -> None:
    async def late() -> str:
        loop = asyncio.get_running_loop()
        answer = loop.create_future()
        async with steady_timeout(0.1, loop.time() + FAR_S):
            for _ in range(3):  # as a dial, a handshake and what is sent
                time.sleep(0.2)  # noqa: ASYNC251 - the loop is what is late
                await asyncio.sleep(0)
            loop.call_soon(answer.set_result, "connected")
            await answer
        return str(answer.result())

    assert asyncio.run(late()) == "connected"


def test_a_loop_that_stays_late_does_not_hold_it_for_ever() -> None:
    async def always_late() -> None:
        loop = asyncio.get_running_loop()
        async with steady_timeout(0.02, loop.time() + FAR_S):
            while True:
                time.sleep(0.1)  # noqa: ASYNC251 - the loop is what is late
                await asyncio.sleep(0)

    since_s = time.monotonic()
    with pytest.raises(TimeoutError):
        asyncio.run(always_late())
    assert time.monotonic() - since_s >= 0.02 * LONGEST


def test_what_is_done_in_time_is_not_touched_and_no_timer_stays() -> None:
    told: list[str] = []

    async def at_once() -> float:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(str(context["message"])))
        for _ in range(3):
            async with steady_timeout(1.0, FAR_S):
                await asyncio.sleep(0.25)  # some tenths of it are over
        await asyncio.sleep(FAR_S)
        return loop.time()

    assert virtual.run(at_once()) == pytest.approx(FAR_S + 0.75)
    assert told == []


def test_a_late_loop_in_which_all_is_due_at_once_ends_in_a_plain_time_out() -> None:
    async def late() -> list[str]:
        loop = asyncio.get_running_loop()
        told: list[str] = []
        loop.set_exception_handler(lambda _, context: told.append(str(context["message"])))
        with pytest.raises(TimeoutError):
            async with steady_timeout(0.02, loop.time() + 0.02):
                for _ in range(40):
                    time.sleep(0.003)  # noqa: ASYNC251 - the loop is what is late
                    await asyncio.sleep(0)
                await asyncio.Event().wait()
        return told

    assert asyncio.run(late()) == []
