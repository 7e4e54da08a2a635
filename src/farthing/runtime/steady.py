"""A time limit on what others do, that our own delay does not use up.

Where the event loop is late, because the machine has much else to do or hundreds of streams began at once, a
plain time limit ends what was ready long ago and was only not looked at. Others would be blamed for it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

PARTS = 10
LONGEST = 10
"""Times the limit: a loop that stays late gets no more."""


def longest_s(limit_s: float) -> float:
    """How long a `steady_timeout` may take at most."""
    return LONGEST * limit_s


@asynccontextmanager
async def steady_timeout(limit_s: float, deadline_s: float) -> AsyncIterator[None]:
    """Ends the block after `limit_s`, counted in tenths, each of at least one round of the loop: a tenth that
    the loop came late for counts once. At `deadline_s`, of the loop's clock, and after `longest_s` it ends in
    any case.

    Raises:
        TimeoutError: it ended.
    """
    loop = asyncio.get_running_loop()
    part_s, left = limit_s / PARTS, PARTS
    end_s = min(deadline_s, loop.time() + longest_s(limit_s))

    timer: asyncio.TimerHandle

    def part_over() -> None:
        nonlocal left, timer
        left -= 1
        if left:
            timer = loop.call_later(part_s, part_over)
        elif loop.time() < end_s:  # else it ends by itself
            limit.reschedule(loop.time())

    limit = asyncio.timeout_at(end_s)
    timer = loop.call_later(part_s, part_over)
    try:
        async with limit:
            yield
    finally:
        timer.cancel()
