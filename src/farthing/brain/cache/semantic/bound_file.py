"""Keeps what the bound knows over a restart: a small JSON file in the state directory."""

import asyncio
import logging
from pathlib import Path

from farthing.brain.rate_watch import RateWatch
from farthing.stores.whole import write_whole

log = logging.getLogger("farthing.cache")

SAVE_S = 5.0  # a crash forgets the outcomes of this long at most; what they cost is a later alarm


class BoundFile:
    """The file of one bound. Of several processes on one state directory the last to write wins."""

    def __init__(self, bound: RateWatch, path: Path) -> None:
        self._bound = bound
        self._path = path

    def open(self) -> None:
        """Restore what was saved. A file that cannot be read is put aside, and the tests begin anew."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            log.warning("%s cannot be read: %s; false hits are counted anew", self._path, error.strerror)
            return
        try:
            self._bound.restore(data)
        except ValueError as error:  # of msgspec, too
            aside = self._path.with_suffix(".damaged")
            log.warning("%s: %s; it is kept as %s, false hits are counted anew", self._path, error, aside)
            try:
                self._path.replace(aside)
            except OSError as why:
                log.warning("%s cannot be put aside: %s", self._path, why.strerror)

    async def run(self) -> None:
        """Save what changed, every `SAVE_S`, until cancelled; then once more."""
        try:
            while True:
                await asyncio.sleep(SAVE_S)
                if self._bound.changed:
                    await asyncio.to_thread(self._write, self._bound.dump())
        finally:
            self.save()

    def save(self) -> None:
        """Save what changed now. A disk that fails is logged: the tests go on in memory."""
        if self._bound.changed:
            self._write(self._bound.dump())

    def _write(self, data: bytes) -> None:
        try:
            write_whole(self._path, data)
        except OSError as error:
            self._bound.changed = True
            log.warning("%s cannot be written: %s", self._path, error.strerror)
