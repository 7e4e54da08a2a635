"""Files that hold secrets: read for each fetch, since whoever issues them writes them anew."""

from pathlib import Path

from farthing.errors import KeyRejected

FILE_BYTES_MAX = 262_144


def read_file(path: Path, what: str) -> bytes:
    """Its contents. `what` names it in errors.

    Raises:
        KeyRejected: it cannot be read, or is larger than any such file.
    """
    try:
        with path.expanduser().open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise KeyRejected(
            f"{what} cannot be read ({error.strerror}); look at its path and its mode"
        ) from None
    if len(content) > FILE_BYTES_MAX:
        raise KeyRejected(
            f"{what} is larger than {FILE_BYTES_MAX:,} bytes: it is another file than it should be"
        )
    return content
