"""A disk that can really be full: a small tmpfs, or, where this process may not mount one, a limit that the
kernel puts on the files of the gateway, so that it allocates no segment either."""

import contextlib
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.gateway import Running

SIZE_BYTES = 6_291_456
FILE_BYTES_MAX = 200_000  # less than the smallest segment


class Disk:
    """Where the state of a gateway lies."""

    def __init__(self, folder: Path, *, mounted: bool) -> None:
        self._filler = folder / "filler"
        self._mounted = mounted

    def fill(self, gateway: Running) -> None:
        """Leave no room for anything."""
        if not self._mounted:
            self._limit(gateway, FILE_BYTES_MAX)
            return
        with self._filler.open("ab", buffering=0) as filler, contextlib.suppress(OSError):
            while filler.write(bytes(65_536)):
                pass
        with self._filler.open("ab", buffering=0) as filler, contextlib.suppress(OSError):
            while filler.write(b"0"):
                pass

    def free(self, gateway: Running) -> None:
        if self._mounted:
            self._filler.unlink()
        else:
            with contextlib.suppress(ProcessLookupError):  # the limit has died with it
                self._limit(gateway, None)

    @staticmethod
    def _limit(gateway: Running, file_bytes_max: int | None) -> None:
        _, hard = resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, (file_bytes_max or hard, hard))


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Disk]:
    """A disk at `folder`, for the time of a `with`."""
    folder.mkdir(parents=True)
    options = f"size={SIZE_BYTES},mode=0700"
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield Disk(folder, mounted=mounted)
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)
