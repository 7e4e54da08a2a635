"""When to run cache warming, and the journal that makes a run happen once despite restarts.

Of the processes that share a state directory, one holds the lock `precompute.lock`: only it runs, by the
clock or because `farthing precompute` asks it to. The journal `precompute.jsonl` has a line when a run
begins, one per question, and one when it ends. An interrupted run continues as long as its window is open.
"""

import fcntl
import os
import re
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from farthing.errors import ConfigError
from farthing.stores.private import opener

LOCK = "precompute.lock"
JOURNAL = "precompute.jsonl"
ORDER = "precompute.order"
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")

_encode = msgspec.json.Encoder().encode


class Window(Struct, frozen=True):
    """Quiet hours in local time. `until` before `at` is on the next day; equal means a whole day."""

    at: time
    until: time

    def opened(self, now: datetime) -> datetime | None:
        """When the window that is open at `now` opened; None if it is shut. `now` is local time without a
        zone."""
        for days in (0, 1):
            begin = datetime.combine(now.date() - timedelta(days=days), self.at)
            if begin <= now < self._end(begin):
                return begin
        return None

    def left_s(self, now: datetime) -> float:
        """Seconds until the open window shuts; 0 if it is shut."""
        begin = self.opened(now)
        return 0.0 if begin is None else (self._end(begin) - now).total_seconds()

    def length_s(self) -> float:
        begin = datetime.combine(datetime.min.date(), self.at)
        return (self._end(begin) - begin).total_seconds()

    def _end(self, begin: datetime) -> datetime:
        end = datetime.combine(begin.date(), self.until)
        return end if end > begin else end + timedelta(days=1)


def window_of(at: str, until: str) -> Window | None:
    """The quiet hours of a configuration; None if it has none.

    Raises:
        ConfigError: not a time of day, or one given without the other.
    """
    if not at and not until:
        return None
    read = []
    for name, text in (("at", at), ("until", until)):
        found = _CLOCK.fullmatch(text)
        if found is None:
            raise ConfigError(f'precompute.{name}: expected a time of day such as "02:00", got "{text}"')
        read.append(time(int(found[1]), int(found[2])))
    return Window(*read)


# -- the journal ------------------------------------------------------------------------------------


class Began(Struct, frozen=True, tag="began", tag_field="row"):
    """A run began."""

    at_unix_s: float
    window: str
    """ISO local time at which its window opened; empty for an ordered run."""
    planned: int
    cost_nusd: int
    """The planned cost."""
    budget_nusd: int
    order: str = ""
    """Id of the order, for an ordered run."""


class Answered(Struct, frozen=True, tag="answered", tag_field="row"):
    """A question was finished."""

    key: str
    cost_nusd: int | None
    error: str | None = None


class Ended(Struct, frozen=True, tag="ended", tag_field="row"):
    """A run ended."""

    at_unix_s: float
    reason: Literal["done", "window", "budget", "failed"]
    waiting: int = 0
    """Questions in a batch without answers yet; a later run handles them."""


Row = Began | Answered | Ended
_decode = msgspec.json.Decoder(Row).decode


class Record(Struct, frozen=True, kw_only=True):
    """The journal's content for the last run."""

    began: Began
    answered: tuple[Answered, ...]
    ended: Ended | None

    @property
    def keys(self) -> frozenset[str]:
        return frozenset(row.key for row in self.answered)

    @property
    def spent_nusd(self) -> int:
        """The known spending."""
        return sum(row.cost_nusd or 0 for row in self.answered)


class Journal:
    """The journal in a state directory. Only the holder of the lock writes it; anybody may read it."""

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / JOURNAL

    def begin(self, row: Began) -> None:
        """Start a new run. Atomically replaces the previous run's journal."""
        new = self.path.with_suffix(".new")
        with open(new, "wb", opener=opener) as file:
            file.write(_encode(row) + b"\n")
        os.replace(new, self.path)

    def add(self, row: Answered | Ended) -> None:
        """Append one row. It survives the death of the process when this returns."""
        with open(self.path, "ab", opener=opener) as file:
            file.write(_encode(row) + b"\n")

    def last(self) -> Record | None:
        """The last run; None if there was none, or its journal cannot be read."""
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return None
        rows: list[Row] = []
        for line in lines:
            try:
                rows.append(_decode(line))
            except msgspec.MsgspecError:
                continue  # an incomplete last line after a crash, or a line of another version
        if not rows or not isinstance(rows[0], Began):
            return None
        return Record(
            began=rows[0],
            answered=tuple(row for row in rows if isinstance(row, Answered)),
            ended=next((row for row in rows if isinstance(row, Ended)), None),
        )


class Lock:
    """The right to run, held by one process of those that share a state directory."""

    def __init__(self, state_dir: Path, name: str = LOCK) -> None:
        self._path = state_dir / name
        self._handle: int | None = None

    @property
    def held(self) -> bool:
        return self._handle is not None

    def take(self) -> bool:
        """Try to take the lock without waiting; True if this process holds it. It ends with the process at
        the latest.

        Raises:
            OSError: the directory cannot be written to.
        """
        if self._handle is not None:
            return True
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        self._handle = handle
        return True

    def release(self) -> None:
        """Safe to call twice."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


# -- deciding ---------------------------------------------------------------------------------------


def due(window: Window | None, now: datetime, last: Record | None, jitter_s: float) -> bool:
    """Whether a run must begin or continue at `now`: the window has been open for at least `jitter_s`, and
    its run has not ended."""
    opened = None if window is None else window.opened(now)
    if opened is None or (now - opened).total_seconds() < jitter_s:
        return False
    return last is None or last.began.window != opened.isoformat() or last.ended is None


def resumes(window: Window | None, now: datetime, last: Record | None) -> bool:
    """Whether the run of `last` was interrupted and its window is still open."""
    opened = None if window is None else window.opened(now)
    return (
        opened is not None
        and last is not None
        and last.ended is None
        and last.began.window == opened.isoformat()
    )
