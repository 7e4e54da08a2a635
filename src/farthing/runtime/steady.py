"""A time limit for work of others that the gateway's own delays do not use up.

If the event loop is late, because the machine is busy or hundreds of streams began at once, a plain time
limit ends work whose result was ready long ago but not yet read, and a provider would be blamed for it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

PARTS = 10
LONGEST = 10
"""Times the limit: a loop that stays late gets no more."""


def longest_s(limit_s: float) -> float:
    """The longest time in seconds that a `steady_timeout` can last."""
    return LONGEST * limit_s


@asynccontextmanager
async def steady_timeout(limit_s: float, deadline_s: float) -> AsyncIterator[None]:
    """End the block after `limit_s` seconds, counted in ten parts, each of at least one round of the event
    loop: a part for which the loop was late counts once. The block ends at `deadline_s` (loop time), and
    after `longest_s`, in any case.

    Raises:
        TimeoutError: the limit was reached.
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
