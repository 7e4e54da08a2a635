"""Runners run without a task, in stages, and become tasks only where they must."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar

import pytest

from farthing.runtime.loop_batch import (
    STAGES_MAX,
    LoopBatch,
    Waiter,
    batch_barrier,
    in_task,
    is_immediate,
    resumed,
)


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


# -- contexts -----------------------------------------------------------------------------------------

WHO: ContextVar[str] = ContextVar("who", default="")


@pytest.mark.parametrize("waits", ["nothing", "a door", "a future"])
def test_each_runner_has_a_context_of_its_own_whatever_it_becomes(waits: str) -> None:
    seen: list[tuple[str, str]] = []

    async def work(name: str, door: Door) -> None:
        assert WHO.get() == ""
        token = WHO.set(name)
        await batch_barrier()
        if waits == "a door":
            await door.wait()
        elif waits == "a future":
            await asyncio.sleep(0.001)
        seen.append((name, WHO.get()))
        WHO.reset(token)  # raises in another context
        seen.append((name, WHO.get()))

    async def play(turn: LoopBatch) -> None:
        WHO.set("nobody's")  # by who starts them, after the batch was made
        doors = [Door(turn.loop) for _ in range(5)]
        for number, door in enumerate(doors):
            turn.start(work(f"r{number}", door))
        await turns()
        for door in doors:
            door.wake()
        await asyncio.sleep(0.05)
        assert sorted(seen) == sorted((f"r{n}", said) for n in range(5) for said in (f"r{n}", ""))

    played(play)


def test_a_request_started_by_another_inherits_nothing() -> None:
    """As the next one on a connection is, by the one whose answer was just written."""
    seen: list[str] = []

    async def work(turn: LoopBatch, more: int) -> None:
        seen.append(WHO.get())
        WHO.set(f"left by {more}")
        if more:
            turn.start(work(turn, more - 1))

    async def play(turn: LoopBatch) -> None:
        turn.start(work(turn, 3))
        await turns(10)
        assert seen == [""] * 4

    played(play)


# -- what is said to runners alone never reaches a task -----------------------------------------------


@pytest.mark.parametrize("first", ["a stage", "a door", "two stages"])
def test_a_step_run_to_its_first_wait_may_have_said_what_only_runners_understand(first: str) -> None:
    seen: list[str] = []

    async def step(door: Door) -> None:
        if first == "a door":
            await door.wait()
        else:
            await batch_barrier()
        if first == "two stages":
            await batch_barrier()
        seen.append("through")

    async def work(door: Door) -> None:
        begun = step(door)
        waits_for = begun.send(None)
        await in_task()
        async with asyncio.timeout(20):
            await resumed(begun, waits_for)
        seen.append("done")

    async def play(turn: LoopBatch) -> None:
        told: list[object] = []
        turn.loop.set_exception_handler(lambda _, context: told.append(context))
        door = Door(turn.loop)
        turn.start(work(door))
        await asyncio.sleep(0.01)
        door.wake()
        await asyncio.sleep(0.01)
        assert (seen, told) == (["through", "done"], [])

    played(play)


def test_who_says_nothing_is_not_immediate() -> None:
    class Says:
        immediate = True

    class SaysNothing:
        pass

    class SaysSomethingElse:
        immediate = "yes"

    assert is_immediate() and is_immediate(Says()) and is_immediate(Says(), None)
    assert not is_immediate(Says(), SaysNothing())
    assert not is_immediate(SaysSomethingElse())
