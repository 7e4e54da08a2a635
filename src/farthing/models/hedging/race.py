"""Two calls beside each other, of which the first that has a result is the answer."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from farthing.runtime.loop_batch import in_task

T = TypeVar("T")


async def run_both(
    tasks: "list[asyncio.Task[T]]",
    first: Callable[[], Coroutine[Any, Any, T]],
    second: Callable[[], Coroutine[Any, Any, T] | None],
    after_s: float,
) -> None:
    """Run `first`, and `second` beside it if that is not over after `after_s` seconds, until one has a
    result or both have failed. Then the other is cancelled. On return, also by an exception, all `tasks` are
    over: those that were started are in that list. One that is cancelled at once has not done its first step:
    what must be counted in any case is counted before."""
    await in_task()
    loop = asyncio.get_running_loop()
    tasks.append(loop.create_task(first()))
    try:
        await asyncio.wait(tasks, timeout=after_s)
        if not tasks[0].done() and (beside := second()) is not None:
            tasks.append(loop.create_task(beside))
        while not any(map(answered, tasks)) and (running := [one for one in tasks if not one.done()]):
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _all_over(tasks)


def answered(task: "asyncio.Task[Any]") -> bool:
    """Whether it is over and has a result."""
    return task.done() and not task.cancelled() and task.exception() is None


async def _all_over(tasks: "list[asyncio.Task[T]]") -> None:
    """Cancel those that run and wait until they are over, however often this is cancelled meanwhile: what
    they cost is known only then."""
    cancelled: asyncio.CancelledError | None = None
    for one in tasks:
        one.cancel()
    while running := [one for one in tasks if not one.done()]:
        try:
            await asyncio.wait(running)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
