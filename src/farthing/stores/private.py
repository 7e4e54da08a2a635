"""Keeps our files readable only by the user we run as: created that way, and repaired at each start.

Only files with our names are touched, and only those that belong to the user we run as.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from farthing.errors import ConfigError

UMASK = 0o077
DIRECTORY_MODE = 0o700
ENTRIES_MAX = 100_000  # a ledger of 10 GiB has about a thousand
DEPTH_MAX = 4
NAMED_MAX = 3

LEDGER = ("w*-*.seg", "w*-*.open", "w*-*.damaged*", "w*.lock")
STATE = (
    *("ledger", "certificates", "policies", "drift", "batches*", "judging*"),
    *("cache.db*", "responses.db*", "semantic.db*", "semantic-bound.*", "route-watch.*", "errands-spent-*"),
    "models.*",
    *("precompute.*", "user.key*", "gateway-*.lock"),
)
"""Names in a state directory. A directory among them is ours with all its content."""
DATABASE = ("", "-wal", "-shm", "-journal", ".corrupt-*", ".index*")
NOBODYS = ("lost+found",)  # belongs to the file system


def opener(path: str, flags: int) -> int:
    """An opener for `open`: a new file is readable only by its owner, whatever the umask."""
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def make_directory(path: Path) -> None:
    """Create `path` and its parents if they do not exist.

    Raises:
        OSError: it cannot be created.
    """
    path.mkdir(parents=True, exist_ok=True, mode=DIRECTORY_MODE)


def check_state_dir(state_dir: Path) -> None:
    """Create the state directory if it does not exist.

    Raises:
        ConfigError: it is not writable.
    """
    why = fix = ""
    try:
        make_directory(state_dir)
        if not os.access(state_dir, os.W_OK | os.X_OK):
            why, fix = "this user may not write there", "let it"
    except OSError as error:
        why = f"{error.strerror or error}"
        fix = "free space" if error.errno == errno.ENOSPC else "make it a directory that can be written"
    if why:
        raise ConfigError(
            f"state_dir: cannot write in {state_dir}: {why}; {fix}, or set state_dir, or "
            "FARTHING__STATE_DIR, to a directory where it can"
        )


def mend(state_dir: Path, ledger: Path, databases: Iterable[Path]) -> list[str]:
    """Remove other users' access to our existing files. Returns what remains open, and how to close it.

    A directory is closed only if it contains nothing but our files: another may be open on purpose.
    """
    found = _Found()
    _mend_directory(state_dir.resolve(), STATE, found)
    _mend_directory(ledger.resolve(), LEDGER, found)
    for path in databases:
        if path.parent != state_dir:
            for one in _matching(path.parent, tuple(path.name + end for end in DATABASE), found):
                _mend(one, found)
    return found.lines()


class _Found:
    def __init__(self) -> None:
        self.looked_at = 0
        self.others: list[str] = []
        self.failed: list[str] = []
        self.shared: list[str] = []

    def lines(self) -> list[str]:
        lines = list(self.shared)
        for paths, what in (
            (self.others, "belong to another user: run Farthing as that user, or chown them to this one"),
            (
                self.failed,
                "are open to other users and cannot be closed: chmod them to 600, directories to 700",
            ),
        ):
            if paths:
                more = f" and {len(paths) - NAMED_MAX} more" if len(paths) > NAMED_MAX else ""
                lines.append(f"{', '.join(paths[:NAMED_MAX])}{more} {what}")
        if self.looked_at > ENTRIES_MAX:
            lines.append(f"more than {ENTRIES_MAX:,} files: the permissions of the rest were not checked")
        return lines


def _mend_directory(path: Path, ours: tuple[str, ...], found: _Found) -> None:
    """Repair our files in `path`, then `path` itself if nothing else is in it."""
    try:
        status = path.lstat()
        names = os.listdir(path)
    except OSError:
        return  # does not exist yet, or whatever opens it will report the error
    strangers = [
        name for name in names if name not in NOBODYS and not any(fnmatchcase(name, one) for one in ours)
    ]
    for name in names:
        if name not in strangers and name not in NOBODYS:
            _mend_tree(path / name, found, DEPTH_MAX)
    if status.st_uid != os.geteuid():
        found.others.append(str(path))
    elif status.st_mode & UMASK and (strangers or status.st_mode & stat.S_ISVTX):
        beside = f"{strangers[0]} beside ours" if strangers else "the files of all users"
        found.shared.append(
            f"{path} is open to other users (mode {stat.S_IMODE(status.st_mode):o}) and holds {beside}: "
            f"chmod 700 {path}, or keep our files in a directory of their own"
        )
    else:
        _mend(path, found)


def _mend_tree(path: Path, found: _Found, depth: int) -> None:
    _mend(path, found)
    if depth and path.is_dir() and not path.is_symlink():
        with contextlib.suppress(OSError):
            for name in os.listdir(path):
                _mend_tree(path / name, found, depth - 1)


def _mend(path: Path, found: _Found) -> None:
    """Remove other users' access to one file or directory of ours. Never follows a link."""
    found.looked_at += 1
    if found.looked_at > ENTRIES_MAX:
        return
    try:
        status = path.lstat()
        if status.st_uid != os.geteuid():
            found.others.append(str(path))
            return
        if not status.st_mode & UMASK or not _plain(status.st_mode):
            return
        # Open only what must be repaired: closing a database file releases this process's locks on it.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(handle)
            if status.st_uid == os.geteuid() and _plain(status.st_mode):
                os.fchmod(handle, stat.S_IMODE(status.st_mode) & ~UMASK)
        finally:
            os.close(handle)
    except FileNotFoundError:
        return
    except OSError:
        found.failed.append(str(path))


def _plain(mode: int) -> bool:
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


def _matching(folder: Path, patterns: tuple[str, ...], found: _Found) -> Iterator[Path]:
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        if any(fnmatchcase(name, pattern) for pattern in patterns):
            yield folder / name
