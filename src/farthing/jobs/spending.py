"""What background jobs cost today, over a restart: a file for each day in UTC, with a line for each that
was settled.

A line is one append, so a process that is killed loses none, and of several processes on one state directory
none overwrites what another one spent. A machine that loses power may lose the last seconds. The files of
earlier days go when a day begins.
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
    """The files in `directory`. A disk that fails is logged, and costs the memory over a restart alone."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path: Path | None = None
        """Of the day that was begun."""
        self._fd: int | None = None
        """Of that file, from its first line on."""

    def begin(self, day: int) -> int:
        """Drop the files of the days before `day`, counted since 1970; return what its own has in it already,
        in nano-dollars."""
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
            log.warning("%s: %s; what background jobs cost today is counted anew", path, error.strerror)
            return 0

    def add(self, nusd: int) -> None:
        """Write that so much was spent on the day that was begun."""
        path = self._path
        if path is None or nusd <= 0:
            return
        try:
            if self._fd is None:
                make_directory(self._directory)
                self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            line = b"\n%d\n" % nusd  # from the start of a line, also after one that was cut
            if os.write(self._fd, line) < len(line):
                raise OSError(ENOSPC, os.strerror(ENOSPC))
        except OSError as error:
            log.warning(
                "%s: %s; a restart will not know what background jobs cost today", path, error.strerror
            )

    def close(self) -> None:
        """Let go of the file; a later line opens it again. Safe to call twice."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)
