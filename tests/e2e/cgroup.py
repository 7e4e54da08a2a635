"""A memory cgroup around a process, of version 2 or 1, for the time of a `with`."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
VERSIONS = ((ROOT, "memory.max"), (ROOT / "memory", "memory.limit_in_bytes"))
"""Where groups are made, and the file in each that takes the limit."""


@contextmanager
def limited(pid: int, limit_bytes: int) -> Iterator[bool]:
    """Have the system kill the process when it takes more. False: no such group can be made here."""
    group = _group(f"farthing-test-{pid}", limit_bytes)
    if group is None:
        yield False
        return
    try:
        (group / "cgroup.procs").write_text(str(pid))
        yield True
    finally:
        with suppress(OSError):  # it may have ended
            (group.parent / "cgroup.procs").write_text(str(pid))
        for _ in range(50):  # a group goes when the last of its processes has
            try:
                group.rmdir()
                break
            except OSError:
                time.sleep(0.1)


def _group(name: str, limit_bytes: int) -> Path | None:
    for root, limit in VERSIONS:
        group = root / name
        try:
            group.mkdir()
        except OSError:
            continue
        if (group / limit).is_file():  # else this is no place of that version, or memory is not counted here
            (group / limit).write_text(str(limit_bytes))
            return group
        group.rmdir()
    return None
