"""Sleeping until a callback says that there is something to look at."""

import asyncio
from abc import abstractmethod


class Waits:
    """For a class whose callbacks wake the one task that waits for it."""

    __slots__ = ("_loop", "_waiter")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiter: asyncio.Future[None] | None = None

    async def wait(self) -> None:
        """Sleep until `wake`. Cancelled while asleep, it closes what it waited for."""
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            self._waiter = None

    def wake(self) -> None:
        """Wake the one who waits, if there is one."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    @abstractmethod
    def close(self) -> None:
        """Drop what is still under way. Safe to call twice."""
