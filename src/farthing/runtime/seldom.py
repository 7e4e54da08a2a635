"""Limits how often a warning is logged."""

from collections.abc import Callable

NAMES_MAX = 1_000


class Seldom:
    """Tells whether a message may be logged again. Remembers at most `NAMES_MAX` names, then forgets all."""

    def __init__(self, every_s: float, clock: Callable[[], float]) -> None:
        self._every_s = every_s
        self._clock = clock
        self._said_s: dict[str, float] = {}

    def again(self, name: str) -> bool:
        """True for a new `name`, and when `every_s` seconds have passed since it was last True for it."""
        now_s = self._clock()
        said_s = self._said_s.get(name)
        if said_s is not None and now_s - said_s < self._every_s:
            return False
        if len(self._said_s) >= NAMES_MAX:
            self._said_s.clear()
        self._said_s[name] = now_s
        return True


class Tally:
    """As `Seldom`, and counts the messages that were suppressed."""

    def __init__(self, every_s: float, clock: Callable[[], float]) -> None:
        self._seldom = Seldom(every_s, clock)
        self._unsaid: dict[str, int] = {}

    def unsaid(self, name: str) -> int | None:
        """How many messages were suppressed since the last that was logged; None: suppress this one too."""
        if self._seldom.again(name):
            return self._unsaid.pop(name, 0)
        if name not in self._unsaid and len(self._unsaid) >= NAMES_MAX:
            self._unsaid.clear()
        self._unsaid[name] = self._unsaid.get(name, 0) + 1
        return None
