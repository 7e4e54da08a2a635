"""Strands run without a task, in stages, and become tasks only where they must."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from farthing.runtime.loop_batch import STAGES_MAX, LoopBatch, Waiter, batch_barrier, in_task


class Door(Waiter):
    """Something to wait for."""

    closed = False

    def close(self) -> None:
        self.closed = True


def played(play: Callable[[LoopBatch], Awaitable[None]]) -> None:
    async def main() -> None:
        await play(LoopBatch(asyncio.get_running_loop()))

    asyncio.run(main())


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_a_strand_waits_for_a_door_without_becoming_a_task() -> None:
    seen: list[object] = []

    async def work(door: Door) -> None:
        await door.wait()
        seen.append(asyncio.current_task())

    async def play(turn: LoopBatch) -> None:
        door = Door(turn.loop)
        turn.start(work(door))
        await turns()
        assert seen == []
        door.wake()
        await turns()
        assert seen == [None]
        door.wake()  # nobody waits any more
        await turns()
        assert seen == [None]

    played(play)


def test_strands_go_stage_by_stage() -> None:
    seen: list[str] = []

    async def work(name: str) -> None:
        seen.append(f"{name}1")
        await batch_barrier()
        seen.append(f"{name}2")

    async def play(turn: LoopBatch) -> None:
        for name in "abc":
            turn.start(work(name))
        assert seen == []
        await turns(1)
        assert seen == ["a1", "b1", "c1", "a2", "b2", "c2"]

    played(play)


def test_a_strand_with_endless_stages_does_not_hold_the_loop() -> None:
    count = 0

    async def work() -> None:
        nonlocal count
        while True:
            count += 1
            await batch_barrier()

    async def play(turn: LoopBatch) -> None:
        runner = turn.start(work())
        await turns(1)
        assert count == STAGES_MAX
        runner.cancel("enough")
        await turns()
        assert count < 4 * STAGES_MAX

    played(play)


def test_what_waits_for_anything_else_becomes_a_task_and_ends() -> None:
    seen: list[object] = []

    async def work(door: Door) -> None:
        await asyncio.sleep(0.001)
        seen.append(asyncio.current_task() is not None)
        await door.wait()  # in a task it waits by a future
        await batch_barrier()
        seen.append("end")

    async def play(turn: LoopBatch) -> None:
        door = Door(turn.loop)
        turn.start(work(door))
        await asyncio.sleep(0.02)
        door.wake()
        await turns()
        assert seen == [True, "end"]

    played(play)


def test_a_time_limit_works_after_in_task() -> None:
    seen: list[str] = []

    async def work(door: Door) -> None:
        await in_task()
        try:
            async with asyncio.timeout(0.005):
                await door.wait()
        except TimeoutError:
            seen.append("late")

    async def play(turn: LoopBatch) -> None:
        door = Door(turn.loop)
        turn.start(work(door))
        await asyncio.sleep(0.05)
        assert seen == ["late"]
        assert door.closed

    played(play)


@pytest.mark.parametrize("when", ["before it begins", "while it waits", "just woken", "in a task"])
def test_a_cancelled_strand_hears_why_and_always_begins(when: str) -> None:
    seen: list[object] = []

    async def work(door: Door) -> None:
        seen.append("began")
        try:
            if when == "in a task":
                await asyncio.sleep(10)
            await batch_barrier()
            await door.wait()
        except asyncio.CancelledError as error:
            seen.append(error.args)

    async def play(turn: LoopBatch) -> None:
        door = Door(turn.loop)
        runner = turn.start(work(door))
        if when != "before it begins":
            await turns()
        if when == "just woken":
            door.wake()
        runner.cancel("client_gone")
        door.wake()  # too late: it has been cancelled
        await turns(5)
        assert seen == ["began", ("client_gone",)]
        assert door.closed == (when in ("while it waits", "just woken"))

    played(play)


def test_one_strand_that_raises_does_not_stop_the_others() -> None:
    seen: list[str] = []
    told: list[str] = []

    async def bad() -> None:
        raise ValueError("a bug")

    async def good() -> None:
        seen.append("good")

    async def play(turn: LoopBatch) -> None:
        turn.loop.set_exception_handler(lambda _, context: told.append(str(context["exception"])))
        turn.start(bad())
        turn.start(good())
        await turns()
        assert seen == ["good"]
        assert told == ["a bug"]

    played(play)
