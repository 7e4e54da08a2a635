"""A small file in the state directory that keeps what a part of the gateway has learned across restarts."""

import asyncio
import logging
import threading
from pathlib import Path
from typing import Protocol

from farthing.stores.atomic_write import write_whole

SAVE_S = 5.0  # a crash loses at most this many seconds of what was learned


class Kept(Protocol):
    """What can be written down and read again."""

    changed: bool
    """Whether there is something new since the last `dump`, which takes this back."""

    def dump(self) -> bytes:
        """All of it."""

    def restore(self, data: bytes) -> None:
        """Take what `dump` gave.

        Raises:
            ValueError: it is not that.
        """


class StateFile:
    """The file of one part. If several processes share a state directory, the last to write wins."""

    def __init__(
        self, kept: Kept, path: Path, *, log: logging.Logger, anew: str, save_s: float | None = None
    ) -> None:
        """`anew` says in a log line what a lost file means. Changes are saved every `save_s` seconds; None:
        every `SAVE_S`."""
        self._kept = kept
        self._path = path
        self._log = log
        self._anew = anew
        self._save_s = save_s
        self._writing = threading.Lock()
        self._dumps = 0
        self._written = 0

    def open(self) -> None:
        """Restore what was saved. An unreadable file is moved aside, and all begins anew."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            self._log.warning("%s cannot be read: %s; %s", self._path, error.strerror, self._anew)
            return
        try:
            self._kept.restore(data)
        except (ValueError, RecursionError) as error:  # includes msgspec's errors
            aside = self._path.with_suffix(".damaged")
            self._log.warning("%s: %s; it is kept as %s, %s", self._path, error, aside, self._anew)
            try:
                self._path.replace(aside)
            except OSError as why:
                self._log.warning("%s cannot be moved aside: %s", self._path, why.strerror)

    async def run(self) -> None:
        """Save changes now and then until cancelled, then once more."""
        try:
            while True:
                await asyncio.sleep(SAVE_S if self._save_s is None else self._save_s)
                if self._kept.changed:
                    await asyncio.to_thread(self._write, *self._dump())
        finally:
            self.save()

    def save(self) -> None:
        """Save any changes now. A failing disk is logged: all goes on in memory."""
        if self._kept.changed:
            self._write(*self._dump())

    def _dump(self) -> tuple[int, bytes]:
        self._dumps += 1
        return self._dumps, self._kept.dump()

    def _write(self, number: int, data: bytes) -> None:
        """Write dump `number`, unless a newer dump was already written by another thread."""
        try:
            with self._writing:
                if number > self._written:
                    write_whole(self._path, data)
                    self._written = number
        except OSError as error:
            self._kept.changed = True
            self._log.warning("%s cannot be written: %s", self._path, error.strerror)
