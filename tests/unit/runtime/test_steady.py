"""Time that our own event loop was late is not counted against others."""

import asyncio
import time

import pytest

from farthing.runtime.steady import LONGEST, steady_timeout

FAR_S = 60.0


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
    async def at_once() -> int:
        loop = asyncio.get_running_loop()
        for _ in range(3):
            async with steady_timeout(0.01, loop.time() + FAR_S):
                await asyncio.sleep(0)
        await asyncio.sleep(0.15)
        return 1

    assert asyncio.run(at_once()) == 1


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
