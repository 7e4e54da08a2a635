"""The secret key for digests of users: files contain only digests, which distinguish users."""

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
    """The secret of this installation: created once, readable only by us.

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
    """The key in the file; None if there is none. A file that is too short, after a full disk or a power
    failure, is deleted: a digest with a guessable key is useless."""
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        return None
    if len(key) >= USER_KEY_BYTES:
        return key[:USER_KEY_BYTES]
    log.warning("%s has only %d bytes and is replaced: users get new digests", path, len(key))
    path.unlink(missing_ok=True)
    return None


def _make_key(path: Path) -> bytes:
    """Create the key file atomically. If several processes create it at once, one of them wins.

    Raises:
        OSError: it cannot be written.
    """
    key = secrets.token_bytes(USER_KEY_BYTES)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix="user.key.")  # readable only by us
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
        os.link(name, path)  # like a rename, but never over an existing file
    except FileExistsError:
        return path.read_bytes()[:USER_KEY_BYTES]
    finally:
        os.unlink(name)
    return key
