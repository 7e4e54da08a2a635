"""What is done about prompts beside their calls: in pieces, once what is to be sent has been sent.

The request path only puts work down here. It is done in the order in which it came, so that what one call
leaves behind is there for the next one of its session.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

WORKS_MAX: Final = 4_096
BYTES_MAX: Final = 67_108_864
PIECE_S: Final = 0.0005
"""Others have their turn after so long, or after one step that takes longer."""


class Work(Protocol):
    """Something to do in steps of about a millisecond."""

    def go_on(self) -> bool:
        """Do some of it. False: all is done."""


class Backlog:
    """Work that waits, at most `works_max` pieces that hold `bytes_max` together; what is more is dropped and
    counted. Belongs to one event loop."""

    __slots__ = ("_bytes", "_bytes_max", "_later", "_waiting", "_works_max", "dropped")

    def __init__(
        self,
        later: Callable[[Callable[[], object]], object],
        *,
        works_max: int = WORKS_MAX,
        bytes_max: int = BYTES_MAX,
    ) -> None:
        """`later` runs what it is given soon, once others have had their turn."""
        self._later = later
        self._works_max = works_max
        self._bytes_max = bytes_max
        self._waiting: deque[tuple[Work, int]] = deque()
        self._bytes = 0
        self.dropped = 0
        """Pieces of work for which there was no room."""

    def add(self, work: Work, held_bytes: int = 0) -> bool:
        """Have `work` done, which holds so many bytes until then. False: there is no room for it."""
        waiting = self._waiting
        if len(waiting) >= self._works_max or self._bytes + held_bytes > self._bytes_max:
            self.dropped += 1
            return False
        waiting.append((work, held_bytes))
        self._bytes += held_bytes
        if len(waiting) == 1:
            self._later(self._after_writes)
        return True

    def _after_writes(self) -> None:
        self._later(self._run)  # a turn later what this one had to send is sent

    def _run(self) -> None:
        waiting, until_s = self._waiting, time.perf_counter() + PIECE_S
        while waiting:
            work, held_bytes = waiting[0]
            try:
                more = work.go_on()
            except BaseException:
                self._took(held_bytes)
                if waiting:
                    self._later(self._run)
                raise
            if not more:
                self._took(held_bytes)
            if time.perf_counter() > until_s and waiting:
                self._later(self._run)
                return

    def _took(self, held_bytes: int) -> None:
        self._waiting.popleft()
        self._bytes -= held_bytes
