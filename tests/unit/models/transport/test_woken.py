"""Streams that have rested are read again a few in a round of the loop, however many are due."""

import asyncio
from typing import cast

from farthing.models.transport.connection import Connection
from farthing.models.transport.http1 import WAKES_MAX, Woken


class Stream:
    def __init__(self, woken: "list[Stream]") -> None:
        self._woken = woken

    def wake(self) -> None:
        self._woken.append(self)


def test_after_a_pause_all_that_are_due_wake_in_order_and_few_in_one_round() -> None:
    async def main() -> None:
        order: list[Stream] = []
        streams = [Stream(order) for _ in range(10 * WAKES_MAX)]
        woken = Woken(asyncio.get_running_loop())
        assert not woken.behind()
        for start in range(0, len(streams), 10):  # many timers are due in the same round
            woken.add(cast(list[Connection], streams[start : start + 10]))
        rounds = 0
        while woken.behind():
            before = len(order)
            await asyncio.sleep(0)
            assert len(order) - before <= WAKES_MAX
            rounds += 1
            assert rounds < 100
        assert order == streams

    asyncio.run(main())


def test_few_wake_at_once() -> None:
    async def main() -> None:
        order: list[Stream] = []
        streams = [Stream(order) for _ in range(WAKES_MAX)]
        woken = Woken(asyncio.get_running_loop())
        woken.add(cast(list[Connection], streams))
        await asyncio.sleep(0)
        assert order == streams and not woken.behind()

    asyncio.run(main())
