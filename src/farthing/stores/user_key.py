"""The secret that users are digested with: who asked stands in no file, only what tells them apart."""

import logging
import os
import secrets
import tempfile
from pathlib import Path

from farthing.errors import ConfigError
from farthing.stores.private import make_directory

log = logging.getLogger("farthing.app")

USER_KEY_BYTES = 32


def user_key(state_dir: Path) -> bytes:
    """The secret of this installation: made once, readable by us alone.

    Raises:
        ConfigError: the directory cannot be used.
    """
    path = state_dir / "user.key"
    try:
        make_directory(state_dir)
        key = _read_key(path)
        return _make_key(path) if key is None else key
    except OSError as error:
        raise ConfigError(f"cannot write to {state_dir}: {error.strerror}; set state_dir") from error


def _read_key(path: Path) -> bytes | None:
    """The key in the file; None when there is none. A file that is too short, because the disk was full or
    the power failed, is taken away: a key that can be guessed digests nothing."""
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        return None
    if len(key) >= USER_KEY_BYTES:
        return key[:USER_KEY_BYTES]
    log.warning("%s holds %d bytes and is made anew: users get other digests", path, len(key))
    path.unlink(missing_ok=True)
    return None


def _make_key(path: Path) -> bytes:
    """Make the key. Its file is there whole or not at all, and of several that make it at once one wins.

    Raises:
        OSError: it cannot be written.
    """
    key = secrets.token_bytes(USER_KEY_BYTES)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix="user.key.")  # readable by us alone
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
        os.link(name, path)  # as a rename, but never over a file that is there
    except FileExistsError:
        return path.read_bytes()[:USER_KEY_BYTES]
    finally:
        os.unlink(name)
    return key
