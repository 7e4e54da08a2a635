"""A clock that no machine is too slow for."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time passes only while everybody waits, and then at once: to the next timer, and `late_s` beyond it."""

    now_s = 0.0
    late_s = 0.0

    def time(self) -> float:
        return self.now_s

    def _run_once(self) -> None:
        if not self._ready:  # type: ignore[attr-defined]
            waiting = (one.when() for one in self._scheduled if not one.cancelled())  # type: ignore[attr-defined]
            next_s = min(waiting, default=None)
            if next_s is not None:
                self.now_s = max(self.now_s, next_s) + self.late_s
        super()._run_once()  # type: ignore[misc]


def run(what: Coroutine[Any, Any, T], *, late_s: float = 0.0) -> T:
    """As `asyncio.run`, on such a clock that begins at 0."""
    loop = VirtualLoop()
    loop.late_s = late_s
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(what)
