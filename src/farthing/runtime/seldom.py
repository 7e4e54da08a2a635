"""Warnings that are worth a line now and then, not one for each request."""

from collections.abc import Callable

NAMES_MAX = 1_000


class Seldom:
    """Whether it is time to say something again. Remembers at most `NAMES_MAX` names, then forgets all."""

    def __init__(self, every_s: float, clock: Callable[[], float]) -> None:
        self._every_s = every_s
        self._clock = clock
        self._said_s: dict[str, float] = {}

    def again(self, name: str) -> bool:
        """True the first time for `name`, and when that was `every_s` ago."""
        now_s = self._clock()
        said_s = self._said_s.get(name)
        if said_s is not None and now_s - said_s < self._every_s:
            return False
        if len(self._said_s) >= NAMES_MAX:
            self._said_s.clear()
        self._said_s[name] = now_s
        return True


class Tally:
    """As `Seldom`, and how often it was not said since."""

    def __init__(self, every_s: float, clock: Callable[[], float]) -> None:
        self._seldom = Seldom(every_s, clock)
        self._unsaid: dict[str, int] = {}

    def unsaid(self, name: str) -> int | None:
        """How many were kept back before this one; None: it is kept back too."""
        if self._seldom.again(name):
            return self._unsaid.pop(name, 0)
        if name not in self._unsaid and len(self._unsaid) >= NAMES_MAX:
            self._unsaid.clear()
        self._unsaid[name] = self._unsaid.get(name, 0) + 1
        return None
