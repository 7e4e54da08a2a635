"""Segment files: names, allocation, the writer's lock, sealing.

A directory holds, for each writer `w0`, `w1`, …:

    w0.lock            locked while the writer lives; see `WriterLock`
    w0-00000012.seg    sealed: cut to its used length, never written again
    w0-00000013.open   being written, or allocated in advance: full size, zeros after the last row
    w0-00000012.at-4096.damaged   damaged bytes, saved when a later run sealed the segment
"""

import contextlib
import errno
import fcntl
import logging
import mmap
import os
import struct
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final
from zlib import crc32

import msgspec

from farthing.errors import ConfigError
from farthing.ledger.damage import Gap, pieces
from farthing.ledger.rows import (
    BEGINS,
    ENDS,
    FRAME_BYTES,
    MARK_BYTES,
    Mark,
    decode_head,
    decode_mark,
    encode_mark,
    frame,
    frames,
    pack_head_into,
)
from farthing.stores.atomic_write import write_whole
from farthing.stores.private import make_directory

OPEN: Final = ".open"
SEALED: Final = ".seg"
DAMAGED: Final = ".damaged"
ASIDE_BYTES_MAX: Final = 16_777_216  # of all saved damaged parts
ASIDE_MAX: Final = 200
LOCK_BYTES: Final = 4_096
RUN_BYTES: Final = 64
WRITERS_MAX: Final = 64  # processes that may write to one directory at once
ZEROS_BYTES: Final = 1_048_576

log = logging.getLogger("farthing.ledger")


class Segment:
    """One allocated file, mapped shared with the page cache: what is copied into it survives SIGKILL.

    Every block is allocated before the file is mapped, so a full disk is an OSError here, never a SIGBUS in
    the middle of a request.
    """

    def __init__(self, path: Path, size_bytes: int, head: bytes) -> None:
        """Allocate, map and write the head.

        Raises:
            OSError: there is no space, or the file cannot be created; nothing is left behind.
        """
        self.path = path
        self.number = split_name(path)[1]
        self.size_bytes = size_bytes - MARK_BYTES
        """Space for rows: the mark at the end always has its own."""
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            _allocate(self._fd, size_bytes)
            self._map = mmap.mmap(self._fd, size_bytes)
        except OSError:
            os.close(self._fd)
            path.unlink(missing_ok=True)
            raise
        self.left = False
        """Whether its disk failed; see `abandon`."""
        self.used_bytes = 0
        self.rows_until = 0
        """Rows that its writer has written, in all its segments up to this one."""
        self._count = 0
        self.append(head)
        self.head_bytes = self.used_bytes
        self._ended = False
        self.synced_bytes = 0

    @property
    def empty(self) -> bool:
        return self.used_bytes == self.head_bytes

    def append(self, payload: bytes) -> bool:
        """Copy one row in; False, and nothing written, if it does not fit."""
        length = len(payload)
        start = self.used_bytes
        begin = start + FRAME_BYTES
        end = begin + length
        if end > self.size_bytes:
            return False
        mapped = self._map
        mapped[begin:end] = payload
        # The length is written last: for a reader, and after a kill, a row is complete or absent.
        pack_head_into(mapped, start, length, crc32(payload))
        self.used_bytes = (end + 7) & -8  # frames begin at multiples of eight
        self.rows_until += 1
        return True

    def begin(self, rows_before: int, count: int) -> None:
        """Write the mark at the start: how many rows the writer has written before, and the id of that
        count."""
        self.append(encode_mark(Mark(BEGINS, rows_before, count)))
        self.head_bytes = self.used_bytes
        self.rows_until, self._count = rows_before, count

    def end(self) -> None:
        """Write the mark at the end, before the last `sync`. Safe to call twice."""
        if self._ended or self.empty or self.left:
            return
        self._ended = True
        mark = frame(encode_mark(Mark(ENDS, self.rows_until, self._count)))
        self._map[self.used_bytes : self.used_bytes + MARK_BYTES] = mark
        self.used_bytes += MARK_BYTES

    def sync(self, upto_bytes: int) -> None:
        """Wait until everything before `upto_bytes` is on the disk.

        Raises:
            OSError: it may not be, and never will be: a later success of this call would prove nothing.
        """
        if sys.platform == "linux":
            os.fsync(self._fd)  # writes dirty mapped pages too, and releases the GIL
        else:
            self._map.flush()
        self.synced_bytes = upto_bytes

    def unsynced(self) -> list[bytes]:
        """The payloads not covered by a successful `sync`."""
        data = self._map[: self.used_bytes]
        rows = (payload for _, payload in frames(data, max(self.synced_bytes, self.head_bytes)))
        return [payload for payload in rows if decode_mark(payload) is None]

    def seal(self) -> None:
        """Cut the synced file to its used length and give it its final name; delete it if empty."""
        self._map.close()
        try:
            if self.empty:
                self.path.unlink(missing_ok=True)
            else:
                os.ftruncate(self._fd, min(self.used_bytes, self.size_bytes + MARK_BYTES))
                self.path.rename(self.path.with_suffix(SEALED))
        finally:
            os.close(self._fd)

    def abandon(self) -> None:
        """Close a file whose disk failed. It stays for readers, and is not synced again."""
        self.end()
        self.left = True
        self._map.close()
        with contextlib.suppress(OSError):  # the next start seals it if this cannot
            os.ftruncate(self._fd, min(self.used_bytes, self.size_bytes + MARK_BYTES))
            self.path.rename(self.path.with_suffix(SEALED))
        os.close(self._fd)


def _allocate(fd: int, size_bytes: int) -> None:
    if sys.platform == "linux":
        os.posix_fallocate(fd, 0, size_bytes)
    else:
        zeros = bytes(min(size_bytes, ZEROS_BYTES))
        for offset in range(0, size_bytes, len(zeros)):
            os.pwrite(fd, zeros[: size_bytes - offset], offset)


# -- writers ----------------------------------------------------------------------------------------


_counts = struct.Struct("<QQdd")


class Unwritten(msgspec.Struct, kw_only=True):
    """Rows that are in no segment, because there was no space for them."""

    lost: int = 0
    """Over the whole life of the directory."""
    waiting: int = 0
    """In the memory of running processes, until there is space."""
    first_unix_s: float | None = None
    last_unix_s: float | None = None
    """When the first and the last lost row was written; for rows that waited when their process died, when
    they began to wait."""


class WriterLock:
    """The right to write under one name in a directory, as long as this process lives.

    The file holds the writer's current run, and the number of rows that found no space. It is a fully
    allocated map, so rows are counted even on a full disk, and the count survives a kill.
    """

    def __init__(self, directory: Path, run: str) -> None:
        """Take the first free name. Rows that waited in the previous run are lost from now on.

        Raises:
            ConfigError: the directory cannot be created or written, or has no free name.
        """
        try:
            make_directory(directory)
            self.name, self._fd = _first_free(directory)
            _allocate(self._fd, LOCK_BYTES)
            self._map = mmap.mmap(self._fd, LOCK_BYTES)
        except OSError as error:
            fix = "free space" if error.errno == errno.ENOSPC else "make it writable"
            raise ConfigError(
                f"ledger.path: cannot write in {directory}: {error.strerror or error}; "
                f"{fix}, or set ledger.path to a directory that is"
            ) from error
        self._waiting, self._lost, self._first_unix_s, self._last_unix_s = _counts.unpack_from(
            self._map, RUN_BYTES
        )
        self.lost_before = self._lost + self._waiting
        """Rows that earlier runs lost."""
        self.left_waiting = self._waiting
        """Of these, rows that waited in memory when the previous run died."""
        self._lost, self._waiting = self.lost_before, 0
        self._write()
        self._map[:RUN_BYTES] = run.encode().ljust(RUN_BYTES, b"\0")

    def waits(self, rows: int) -> None:
        """Set the number of rows that wait in memory."""
        if rows > self._waiting:
            self._stamp()
        self._waiting = rows
        self._write()

    def lose(self, rows: int) -> None:
        """Add to the number of lost rows."""
        self._stamp()
        self._lost += rows
        self._write()

    def _stamp(self) -> None:
        self._last_unix_s = time.time()
        self._first_unix_s = self._first_unix_s or self._last_unix_s

    def _write(self) -> None:
        if not self._waiting and not self._lost:
            self._first_unix_s = self._last_unix_s = 0.0
        _counts.pack_into(
            self._map, RUN_BYTES, self._waiting, self._lost, self._first_unix_s, self._last_unix_s
        )

    def release(self) -> None:
        self._map.close()
        os.close(self._fd)


def _first_free(directory: Path) -> tuple[str, int]:
    for number in range(WRITERS_MAX):
        fd = _try_lock(directory / f"w{number}.lock")
        if fd is not None:
            return f"w{number}", fd
    raise ConfigError(f"ledger.path: {directory} already has {WRITERS_MAX} writers; give this one its own")


def _try_lock(path: Path) -> int | None:
    """A locked descriptor of `path`, or None if somebody else holds the lock."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def live_runs(directory: Path) -> dict[str, str]:
    """Running writers, each with its current run. Never delays a starting writer for long."""
    runs = {}
    for path in directory.glob("w*.lock"):
        with contextlib.suppress(OSError), open(path, "rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                runs[path.stem] = lock.read(RUN_BYTES).rstrip(b"\0").decode("ascii", "replace")
    return runs


def unwritten(directories: Iterable[Path]) -> Unwritten:
    """Rows that found no space in `directories`, as counted by their writers."""
    found = Unwritten()
    for directory in directories:
        _add_unwritten(found, directory)
    return found


def _add_unwritten(found: Unwritten, directory: Path) -> None:
    live = live_runs(directory)
    for path in sorted(directory.glob("w*.lock")):
        try:
            waiting, lost, first_unix_s, last_unix_s = _counts.unpack_from(path.read_bytes(), RUN_BYTES)
        except (OSError, struct.error):
            continue  # from an earlier version, which did not count; or gone
        if path.stem in live:
            found.waiting += waiting
        else:
            lost += waiting
        found.lost += lost
        if lost:
            found.first_unix_s = min(first_unix_s, found.first_unix_s or first_unix_s)
            found.last_unix_s = max(last_unix_s, found.last_unix_s or last_unix_s)


# -- the directory ----------------------------------------------------------------------------------


def segment_name(writer: str, number: int) -> str:
    return f"{writer}-{number:08d}{OPEN}"


def split_name(path: Path) -> tuple[str, int]:
    """The writer and the number of a segment, from its name."""
    writer, _, number = path.stem.partition("-")
    return writer, int(number)


def segment_paths(directory: Path) -> Iterator[Path]:
    """Every segment file, by its newest name, in no order."""
    found: dict[str, Path] = {}
    for _ in range(2):  # a file that is renamed during a listing may be missing from it, but not from both
        for path in directory.glob("w*-*"):
            number = path.stem.partition("-")[2]
            if path.suffix in (OPEN, SEALED) and number.isascii() and number.isdecimal():
                found[path.stem] = path  # not a copy next to it
    yield from found.values()


def recover(directory: Path, own: str) -> None:
    """Seal what dead writers left open: keep every valid row and the damage between them, and cut off torn
    ends. Damage is copied aside first; damage without space for a copy is not cut off.

    Raises:
        OSError: the directory cannot be read or changed.
    """
    for path in sorted(segment_paths(directory)):
        if path.suffix != OPEN:
            continue
        writer, _ = split_name(path)
        if writer == own:
            _seal_left_open(path)
            continue
        fd = _try_lock(directory / f"{writer}.lock")
        if fd is not None:
            try:
                _seal_left_open(path)
            finally:
                os.close(fd)


def _seal_left_open(path: Path) -> None:
    data = path.read_bytes()
    found = list(pieces(data))
    if not found:
        path.unlink(missing_ok=True)  # only zeros, or empty
        return
    head = found[0][1]
    if not isinstance(head, Gap) and decode_head(head) is None:
        return  # from a later version: kept as it is
    gaps = [piece for _, piece in found if isinstance(piece, Gap)]
    marks = [mark for _, piece in found if not isinstance(piece, Gap) and (mark := decode_mark(piece))]
    rows = len(found) - len(gaps) - len(marks) - (not isinstance(head, Gap))
    # After the last row there may be a row that was being written, or damage that looks the same.
    torn = gaps[-1] if gaps and found[-1][1] is gaps[-1] and not gaps[-1].rows else None
    copied = [_set_aside(path, data, gap) for gap in gaps]
    end = found[-1][0]
    if torn is not None and copied[-1]:
        end = torn.start
        gaps.pop()
    if not rows and not gaps:
        path.unlink(missing_ok=True)  # only a head: allocated in advance and never used
        return
    with open(path, "rb+") as file:
        if marks and marks[-1].kind == BEGINS and end % 8 == 0:  # only then: its blocks are allocated
            last = found[-1][1]
            lost = [gap for gap in gaps if gap is not last or gap.end - gap.start > MARK_BYTES]
            # otherwise the last gap is the end mark, not all of which reached the disk: no row is this short
            until = marks[-1].rows + rows + sum(gap.rows for gap in lost)
            file.seek(end)
            end += file.write(frame(encode_mark(Mark(ENDS, until, marks[-1].count))))
            file.flush()
        file.truncate(end)
        os.fsync(file.fileno())
    path.rename(path.with_suffix(SEALED))
    log.info("sealed %s left open by an earlier run: %d rows", path.name, rows)
    if gaps:
        log.error(
            "%s is damaged at %d places, first at byte %d: `farthing report` shows what is missing; "
            "the damaged bytes are copied to %s.at-*%s next to it",
            path.with_suffix(SEALED), len(gaps), gaps[0].start, path.stem, DAMAGED,
        )  # fmt: skip


def end_mark(path: Path) -> Mark | None:
    """The number of rows its writer had written when a sealed segment ended; None: not recorded.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - MARK_BYTES))
        last = [decode_mark(payload) for _, payload in frames(file.read())]
    return last[0] if last and last[0] is not None and last[0].kind == ENDS else None


def _set_aside(path: Path, data: bytes, gap: Gap) -> bool:
    """Copy a damaged part next to its segment; False if there is no space for it."""
    kept = list(path.parent.glob(f"*{DAMAGED}"))
    size_bytes = gap.end - gap.start
    aside = path.with_name(f"{path.stem}.at-{gap.start}{DAMAGED}")
    if aside in kept:
        return True
    if len(kept) >= ASIDE_MAX or size_bytes + sum(one.stat().st_size for one in kept) > ASIDE_BYTES_MAX:
        log.warning(
            "%d bytes at %d of %s are not copied: there are enough copies", size_bytes, gap.start, path
        )
        return False
    try:
        write_whole(aside, data[gap.start : gap.end])
    except OSError as error:
        log.warning("%d bytes at %d of %s are not copied: %s", size_bytes, gap.start, path, error)
        return False
    return True


def retain(directory: Path, bytes_max: int) -> int:
    """Delete the oldest sealed segments until the rest fit in `bytes_max`; returns how many. Ordered by last
    change, but never against the numbers of one writer, so that what remains of a writer has no hole."""
    sealed = []
    latest_ns: dict[str, int] = {}
    for path in sorted((one for one in segment_paths(directory) if one.suffix == SEALED), key=split_name):
        with contextlib.suppress(FileNotFoundError):  # another writer of this directory was faster
            stat = path.stat()
            writer, number = split_name(path)
            latest_ns[writer] = max(latest_ns.get(writer, 0), stat.st_mtime_ns)
            sealed.append((latest_ns[writer], (writer, number), stat.st_size, path))
    total_bytes = sum(size for _, _, size, _ in sealed)
    deleted = 0
    for _, _, size, path in sorted(sealed):
        if total_bytes <= bytes_max:
            break
        path.unlink(missing_ok=True)
        total_bytes -= size
        deleted += 1
    return deleted


def sync_directory(directory: Path) -> None:
    """Make names in `directory` durable."""
    fd = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
