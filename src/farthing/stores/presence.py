"""Which gateways use a state directory now: each holds a lock file there with its process id and address."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from farthing.stores.private import make_directory

USERS_MAX = 64  # the limit of writers of one ledger
NOTE_BYTES_MAX = 1_024


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway that uses a directory. Empty fields are unknown."""

    pid: int = 0
    address: str = ""

    def __str__(self) -> str:
        known = (f"process {self.pid}" if self.pid else "", self.address and f"at {self.address}")
        return " ".join(filter(None, known)) or "a process that does not say which"


class Presence:
    """Marks a state directory as used by this process, for as long as it lives.

    A file `gateway-N.lock` is locked by its process and identifies it; an unlocked file is reused. The lock
    ends with the process, however that ends.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._handle: int | None = None

    def enter(self, own: User) -> list[User]:
        """Register as `own`; returns the other users. If no file can be created, this process is not
        visible."""
        make_directory(self._directory)
        others: list[User] = []
        for path in self._paths():
            with contextlib.suppress(OSError):  # another user's file, a link or not a file: try the next one
                self._look_at(path, own, others)
        return others

    def _look_at(self, path: Path, own: User, others: list[User]) -> None:
        """Raises:
        OSError: it cannot be opened or locked.
        """
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        if not _locked(handle):
            others.append(_read(handle))
            os.close(handle)
        elif self._handle is None:
            self._handle = handle
            _write(handle, own)
        else:
            os.close(handle)

    def leave(self) -> None:
        """Safe to call twice."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _paths(self) -> Iterator[Path]:
        """All existing files, then one that may be new."""
        for number in range(USERS_MAX):
            path = self._directory / f"gateway-{number}.lock"
            if not path.exists() and self._handle is not None:
                return
            yield path


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(handle: int) -> User:
    try:
        return msgspec.json.decode(os.pread(handle, NOTE_BYTES_MAX, 0), type=User)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return User()  # it has just started, or the disk was full


def _write(handle: int, own: User) -> None:
    os.ftruncate(handle, 0)
    os.pwrite(handle, msgspec.json.encode(own), 0)
