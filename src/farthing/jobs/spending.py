"""Persists today's spending on background jobs: one file per UTC day, with a line for each settled amount.

Each line is one append, so a killed process loses none, and processes that share a state directory do not
overwrite each other's spending. A power loss may lose the last seconds. When a day begins, files of earlier
days are deleted.
"""

import logging
import os
import time
from errno import ENOSPC
from pathlib import Path

from farthing.stores.private import make_directory

DAY_S = 86_400.0
PREFIX = "errands-spent-"

log = logging.getLogger("farthing.errands")


class SpentFiles:
    """The files in `directory`. A disk failure is logged; then only a restart forgets the spending."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path: Path | None = None
        """The current day's file."""
        self._fd: int | None = None
        """Its descriptor, from the first line on."""

    def begin(self, day: int) -> int:
        """Delete files of days before `day` (counted since 1970); return the spending already in its own
        file, in nano-dollars."""
        self.close()
        name = time.strftime("%Y-%m-%d", time.gmtime(day * DAY_S))
        self._path = path = self._directory / f"{PREFIX}{name}"
        try:
            for other in self._directory.glob(f"{PREFIX}*"):
                if other.name < path.name:
                    other.unlink(missing_ok=True)
            return sum(int(line) for line in path.read_bytes().split() if line.isdigit() and len(line) < 19)
        except FileNotFoundError:
            return 0
        except OSError as error:
            log.warning("%s: %s; today's spending is counted from zero", path, error.strerror)
            return 0

    def add(self, nusd: int) -> None:
        """Record spending on the current day."""
        path = self._path
        if path is None or nusd <= 0:
            return
        try:
            if self._fd is None:
                make_directory(self._directory)
                self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            line = b"\n%d\n" % nusd  # starts a new line, even after one that was cut
            if os.write(self._fd, line) < len(line):
                raise OSError(ENOSPC, os.strerror(ENOSPC))
        except OSError as error:
            log.warning(
                "%s: %s; a restart will forget today's spending on background jobs", path, error.strerror
            )

    def close(self) -> None:
        """Close the file; a later line opens it again. Safe to call twice."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)
