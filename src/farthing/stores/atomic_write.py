"""Atomic replacement of small files."""

import os
import tempfile
from pathlib import Path

from farthing.stores.private import make_directory


def write_whole(path: Path, data: bytes) -> None:
    """Replace the file at `path` atomically: it contains the old or the new bytes, whatever happens.

    Raises:
        OSError: it cannot be written; the old file is unchanged.
    """
    make_directory(path.parent)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
