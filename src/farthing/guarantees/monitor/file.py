"""Keeps a monitor's state across restarts, in a small JSON file in the state directory."""

import asyncio
import threading
from pathlib import Path

from farthing.guarantees.monitor.error_rate import ErrorRateMonitor
from farthing.stores.atomic_write import write_whole

SAVE_S = 5.0  # a crash loses at most this many seconds of outcomes, which only delays an alarm


class WatchFile:
    """The file of one monitor. If several processes share a state directory, the last to write wins."""

    def __init__(self, watch: ErrorRateMonitor, path: Path) -> None:
        self._watch = watch
        self._path = path
        self._log = watch.words.log
        self._writing = threading.Lock()
        self._dumps = 0
        self._written = 0
        self._anew = f"{watch.words.outcomes} are counted from zero"

    def open(self) -> None:
        """Restore the saved state. An unreadable file is moved aside, and the tests start over."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            self._log.warning("%s cannot be read: %s; %s", self._path, error.strerror, self._anew)
            return
        try:
            self._watch.restore(data)
        except ValueError as error:  # includes msgspec's errors
            aside = self._path.with_suffix(".damaged")
            self._log.warning("%s: %s; it is kept as %s, %s", self._path, error, aside, self._anew)
            try:
                self._path.replace(aside)
            except OSError as why:
                self._log.warning("%s cannot be moved aside: %s", self._path, why.strerror)

    async def run(self) -> None:
        """Save changes every `SAVE_S` until cancelled, then once more."""
        try:
            while True:
                await asyncio.sleep(SAVE_S)
                if self._watch.changed:
                    await asyncio.to_thread(self._write, *self._dump())
        finally:
            self.save()

    def save(self) -> None:
        """Save any changes now. A failing disk is logged: the tests go on in memory."""
        if self._watch.changed:
            self._write(*self._dump())

    def _dump(self) -> tuple[int, bytes]:
        self._dumps += 1
        return self._dumps, self._watch.dump()

    def _write(self, number: int, data: bytes) -> None:
        """Write dump `number`, unless a newer dump was already written by another thread."""
        try:
            with self._writing:
                if number > self._written:
                    write_whole(self._path, data)
                    self._written = number
        except OSError as error:
            self._watch.changed = True
            self._log.warning("%s cannot be written: %s", self._path, error.strerror)
