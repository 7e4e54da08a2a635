"""The embedded ledger: rows are copied into mapped, preallocated files; a thread syncs them to the disk.

    event loop                                     background thread
    ----------                                     -----------------
    intend, record: copy a row into the map        fsync what is dirty, at least every `sync_ms`
    segment full: take the preallocated one       allocate the next; seal the full one; retention

There is no system call on the request path. What is in a shared map belongs to the kernel, so the death of
the process loses nothing; a power loss loses what was not yet synced. See docs/decisions/0002, and 0016 for a
full disk.
"""

import asyncio
import contextlib
import itertools
import logging
import os
import threading
import time
from collections import deque
from pathlib import Path

import msgspec

from farthing.config import LedgerConfig
from farthing.errors import Overloaded
from farthing.ledger import files
from farthing.ledger.rows import (
    FRAME_BYTES,
    RECORD_BYTES_MAX,
    encode_head,
    encode_intent,
    encode_receipt,
    encode_signal,
)
from farthing.types import Receipt, Signal

SEGMENT_BYTES_MIN = 4 * RECORD_BYTES_MAX  # a reserve of a quarter must hold the largest row
RESERVE_BYTES_MAX = 2_097_152  # receipts of 2,000 requests in progress, at twice their usual size
WAITING_BYTES_MAX = 16_777_216  # rows kept in memory while there is no segment
RETRY_S = 0.25  # between two attempts to allocate on a full disk
RETRY_S_MAX = 5.0  # after a disk that keeps failing
TOLD_EVERY_S = 10.0  # the least time between two log lines about missing space or slow disks
RETRY_AFTER_S = 5.0  # sent to clients as Retry-After

UNAVAILABLE = "ledger_unavailable"

log = logging.getLogger("farthing.ledger")


class LedgerState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a ledger. Counters are since its start."""

    available: bool
    """Whether new paid work is accepted."""
    waiting: int
    """Rows in memory because no segment has space; written when one has."""
    lost: int
    """Receipts and signals that could not be kept at all."""
    lost_before: int
    """Receipts and signals that earlier runs lost, over the whole life of the directory."""
    refused: int
    """Requests refused because their receipt would have had no space."""
    sync_failures: int
    allocation_failures: int


def _unavailable(therefore: str) -> Overloaded:
    return Overloaded(
        f"the ledger has no room on its disk, {therefore}; free space, then try again",
        retry_after_s=RETRY_AFTER_S,
        code=UNAVAILABLE,
    )


class SegmentLedger:
    """One writer in a directory of segments; a second process gets a name of its own.

    With `strict` in the configuration, `intend` and `record` wait for the disk, on the event loop: then a
    power loss loses nothing, and each call takes as long as an fsync.
    """

    def __init__(self, directory: Path, config: LedgerConfig | None = None) -> None:
        """Seal what an earlier run left open, and begin a new segment.

        A disk without space is not an error here: the ledger starts unavailable and recovers by itself.

        Raises:
            ConfigError: the directory cannot be used at all.
        """
        config = config or LedgerConfig()
        self._directory = directory
        self._segment_bytes = max(config.segment_bytes, SEGMENT_BYTES_MIN)
        self._reserve_bytes = min(self._segment_bytes // 4, RESERVE_BYTES_MAX)
        # Half of the promised time is for waiting, half for the disk.
        self._gather_s = max(config.sync_ms / 2000, 0.001)
        self._bytes_max = config.bytes_max
        self._strict = config.strict
        self._refuses = config.on_full == "refuse"
        self._run = os.urandom(8).hex()
        self._writer = files.WriterLock(directory, self._run)
        if self._writer.left_waiting:
            log.error(
                "%d receipts and signals of the previous run are lost: they were waiting for disk space",
                self._writer.left_waiting,
            )
        self._guard = threading.Lock()  # held for copies and swaps; short
        self._disk = threading.Lock()  # held while a file is synced, sealed or abandoned; taken before _guard
        self._segment: files.Segment | None = None
        self._next: files.Segment | None = None
        self._taken = 0
        """Number of the last segment that was begun."""
        self._full: deque[files.Segment] = deque()
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._rescued = 0
        """Of the waiting rows, how many at the left have already been written once."""
        self._lost = 0
        self._lost_why = ""
        self._refused = 0
        self._hasty = 0
        """Segments that were allocated on the request path."""
        self._reported = 0, 0
        self._tell_s = 0.0
        self._sync_failures = 0
        self._failures_in_a_row = 0
        self._allocation_failures = 0
        self._retry_s = 0.0
        """Monotonic time before which no allocation is tried; 0 if the last one succeeded."""
        self._dirty = False
        self._closed = False
        self._wake = threading.Event()
        self._stop = threading.Event()

        self._rows_before = 0
        """Rows written in the segments before the next one to begin."""
        self._count = int.from_bytes(os.urandom(4))
        """Id of that count; the previous run's, if its end is known."""
        self._numbers = itertools.count(self._recover() + 1)
        self._allocate_next()
        self._begin_next()
        self._wake.set()
        self._thread = threading.Thread(target=self._keep, name="farthing-ledger", daemon=True)
        self._thread.start()

    # -- the request path ---------------------------------------------------------------------------

    def admit(self) -> None:
        if self._next is not None or not self._refuses:
            return  # the normal case
        with self._guard:
            segment = self._segment
            room = segment is not None and (
                self._next is not None
                or segment.size_bytes - segment.used_bytes > self._reserve_bytes
                or self._allocate_in_haste()
            )
            self._refused += not room
        if not room:
            raise _unavailable("so nothing is answered that could not be recorded")

    def intend(self, receipt: Receipt, target: str) -> None:
        payload = encode_intent(receipt, target)
        with self._guard:
            kept = self._append(payload, self._reserve_bytes)
        if not kept or (self._strict and not self._sync_now()):
            raise _unavailable("so no paid call is made")

    def record(self, receipt: Receipt) -> None:
        try:
            payload = encode_receipt(receipt)
        except (TypeError, ValueError, msgspec.MsgspecError) as error:
            self._lose(f"receipt {receipt.request_id} cannot be encoded: {error}")
            return
        with self._guard:
            # The reserve is for receipts of paid calls. If a full disk stops new work, it is for everything
            # that was in progress; otherwise a free answer can wait in memory.
            kept = self._append(payload, 0 if receipt.calls or self._refuses else self._reserve_bytes)
        if kept and (not self._strict or self._synced()):
            return
        if self._refuses and receipt.status < 400 and not receipt.purpose and not self._closed:
            receipt.status, receipt.error = Overloaded.status, UNAVAILABLE
            if receipt.calls and not kept:
                self._hold_back(encode_receipt(receipt))
            raise _unavailable("so this answer is not given: it could not be recorded")
        if not kept:
            self._hold_back(payload)

    def signal(self, signal: Signal, *, acknowledged: bool = False) -> None:
        try:
            payload = encode_signal(signal)
        except (TypeError, ValueError, msgspec.MsgspecError) as error:
            self._lose(f"a signal about {signal.request_id} cannot be encoded: {error}")
            return
        with self._guard:
            kept = self._append(payload, self._reserve_bytes)
        if kept and (not self._strict or self._synced()):
            return
        if acknowledged:
            raise _unavailable("so this cannot be accepted")
        if not kept:
            self._hold_back(payload)

    def _append(self, payload: bytes, spare_bytes: int) -> bool:
        """Copy a row into the map, keeping `spare_bytes` free if there is no next segment."""
        segment = self._segment
        if segment is None:
            return False
        if self._dirty and self._next is not None and segment.append(payload):
            return True  # the normal case
        if self._next is None:
            left_bytes = segment.size_bytes - segment.used_bytes - len(payload) - FRAME_BYTES
            if left_bytes < spare_bytes and not self._allocate_in_haste():
                return False
        if not segment.append(payload):
            if self._next is None and not self._allocate_in_haste():
                return False
            self._take_next()
            segment = self._segment
            assert segment is not None
            if not segment.append(payload):  # waiting rows went first and filled it
                return False
        if not self._dirty:
            self._dirty = True
            self._wake.set()
        return True

    def _allocate_in_haste(self) -> bool:
        """The thread fell behind. Waiting for the disk here beats refusing work; a full disk is not tried."""
        if self._retry_s:
            return False
        self._hasty += 1
        self._next = self._allocate()
        return self._next is not None

    def _take_next(self) -> None:
        """Continue in the next segment; waiting rows go first."""
        if self._segment is not None:
            self._full.append(self._segment)
            self._rows_before = self._segment.rows_until
        self._segment, self._next = self._next, None
        segment = self._segment
        if segment is not None:
            segment.begin(self._rows_before, self._count)
            self._rows_before = segment.rows_until
        self._taken = segment.number if segment is not None else self._taken
        before = len(self._waiting)
        while segment is not None and self._waiting and segment.append(self._waiting[0]):
            self._waiting_bytes -= len(self._waiting.popleft())
            self._rescued -= self._rescued > 0
        if len(self._waiting) < before:
            self._writer.waits(len(self._waiting) - self._rescued)
        self._dirty = True
        self._wake.set()

    def _hold_back(self, payload: bytes) -> None:
        """Keep a row in memory until there is space, counted on the disk; if there is no memory for it, it is
        lost, and counted as lost."""
        with self._guard:
            if not self._closed and self._waiting_bytes + len(payload) <= WAITING_BYTES_MAX:
                self._writer.waits(len(self._waiting) - self._rescued + 1)
                self._waiting.append(payload)
                self._waiting_bytes += len(payload)
                self._wake.set()
                return
        self._lose("it is closed" if self._closed else "there is no space left on its disk and in memory")

    def _lose(self, why: str) -> None:
        with self._guard:
            self._lost += 1
            self._lost_why = why
            if not self._closed:
                self._writer.lose(1)
        self._wake.set()

    # -- the background thread ----------------------------------------------------------------------

    def _keep(self) -> None:
        while not self._stop.is_set():
            self._wake.wait(RETRY_S if self._next is None or self._waiting else None)
            self._wake.clear()
            try:
                self._turn()
            except Exception:  # only this thread writes rows to the disk: it must outlive its own bugs
                log.exception("the ledger's thread failed and continues")
                self._stop.wait(RETRY_S)

    def _turn(self) -> None:
        if self._next is None:
            self._allocate_next()
        if self._segment is None or self._waiting:
            self._begin_next()
        self._stop.wait(self._gather_s)
        self._sync_full()
        self._sync_current()
        self._tell()

    def _tell(self) -> None:
        """Log what has found no space since the last time, summarised."""
        now_s = time.monotonic()
        news = self._lost + self._hasty + self._refused, len(self._waiting)
        if news == self._reported or now_s < self._tell_s:
            return
        lost, hasty, refused = self._lost, self._hasty, self._refused
        if lost or refused or news[1]:
            log.error(
                "the ledger in %s: since the start %d receipts and signals are lost%s, %d requests were "
                "refused; %d rows wait in memory for room",
                self._directory, lost, f" ({self._lost_why})" if lost else "", refused, news[1],
            )  # fmt: skip
        if hasty:
            log.warning("%d segments were allocated on the request path: the disk is slow", hasty)
        self._reported, self._tell_s = news, now_s + TOLD_EVERY_S

    def _allocate_next(self) -> None:
        if time.monotonic() < self._retry_s:
            return
        made = self._allocate()
        if made is None:
            return
        with self._guard:
            # Not one that the request path overtook: readers take the order of numbers as the order of rows.
            if self._next is None and not self._closed and made.number > self._taken:
                self._next = made
                return
        made.seal()

    def _allocate(self) -> files.Segment | None:
        path = self._directory / files.segment_name(self._writer.name, next(self._numbers))
        try:
            made = files.Segment(
                path, self._segment_bytes, encode_head(self._writer.name, self._run, time.time())
            )
            files.sync_directory(self._directory)
        except OSError as error:
            self._allocation_failures += 1
            if not self._retry_s:
                log.error(
                    "no new ledger segment in %s: %s; paid calls are refused soon", self._directory, error
                )
            self._retry_s = time.monotonic() + RETRY_S
            return None
        if self._retry_s:
            log.warning("the ledger in %s has space again", self._directory)
        self._retry_s = 0.0
        return made

    def _begin_next(self) -> None:
        """If there is no segment, or rows wait for one with space: continue in the next, if there is one."""
        with self._guard:
            if self._next is not None:
                self._take_next()

    def _sync_current(self) -> None:
        with self._guard:
            segment, self._dirty = self._segment, False
            upto_bytes = segment.used_bytes if segment is not None else 0
        if segment is not None and segment.synced_bytes < upto_bytes:
            self._sync(segment, upto_bytes)

    def _sync_full(self) -> None:
        """Sync full segments to the disk and seal them, oldest first."""
        while self._full:
            segment = self._full[0]
            with self._disk:
                segment.end()
            if not segment.empty and not self._sync(segment, segment.used_bytes):
                continue  # it was abandoned, and is no longer among the full ones
            self._full.popleft()
            try:
                with self._disk:
                    segment.seal()
                files.sync_directory(self._directory)
                deleted = files.retain(self._directory, self._bytes_max)
            except OSError as error:
                log.warning("segment %s stays unsealed until the next start: %s", segment.path.name, error)
                continue
            if deleted:
                log.info("deleted %d ledger segments beyond bytes_max", deleted)

    def _sync(self, segment: files.Segment, upto_bytes: int) -> bool:
        """Whether everything before `upto_bytes` is on the disk."""
        with self._disk:
            if segment.synced_bytes >= upto_bytes:
                return True  # a sealed segment was synced completely
            if segment.left:
                return False
            try:
                segment.sync(upto_bytes)
            except OSError as error:
                self._leave(segment, error)
                return False
            self._failures_in_a_row = 0
            return True

    def _leave(self, segment: files.Segment, error: OSError) -> None:
        """The disk failed to write `segment`: its unsynced rows are written again, into another one.

        A failed fsync clears the pages' dirty flags, so a second one would succeed and prove nothing.
        """
        with self._guard:
            rescued = segment.unsynced()
            self._rescued += len(rescued)  # they are still in the file unless the power fails
            self._waiting.extendleft(reversed(rescued))
            self._waiting_bytes += sum(len(payload) for payload in rescued)
            if segment is self._segment:
                self._segment = None
                self._rows_before = segment.rows_until - len(rescued)
            elif segment in self._full:
                self._full.remove(segment)
            segment.abandon()
            self._sync_failures += 1
            if self._failures_in_a_row:  # a disk that keeps failing must not be filled with segments
                pause_s = min(RETRY_S * 2 ** min(self._failures_in_a_row, 8), RETRY_S_MAX)
                self._retry_s = time.monotonic() + pause_s
            self._failures_in_a_row += 1
            if self._next is not None:
                self._take_next()
            self._wake.set()
        log.error("fsync of %s failed (%s); %d rows are written again", segment.path, error, len(rescued))

    # -- start and end ------------------------------------------------------------------------------

    def _recover(self) -> int:
        """Seal what was left open; returns the highest number in use."""
        try:
            files.recover(self._directory, self._writer.name)
            files.retain(self._directory, self._bytes_max)
        except OSError as error:
            log.warning("segments of an earlier run stay unsealed in %s: %s", self._directory, error)
        own = [one for one in files.segment_paths(self._directory) if self._owns(one)]
        last = max(own, key=files.split_name, default=None)
        if last is None:
            return 0
        if last.suffix == files.SEALED:
            with contextlib.suppress(OSError):
                mark = files.end_mark(last)
                if mark is not None:
                    self._rows_before, self._count = mark.rows, mark.count
        return files.split_name(last)[1]

    def _owns(self, segment: Path) -> bool:
        return files.split_name(segment)[0] == self._writer.name

    def _synced(self) -> bool:
        """Like `_sync_now`; rows of a file whose disk failed get one more try, in the next file."""
        return self._sync_now() or (not self._waiting and self._sync_now())

    def _sync_now(self) -> bool:
        """Whether every row written so far is on the disk; waits for it."""
        with self._guard:
            if self._segment is None:
                return False
            dirty = [(one, one.used_bytes) for one in (*self._full, self._segment)]
        return all([self._sync(segment, upto_bytes) for segment, upto_bytes in dirty])

    def state(self) -> LedgerState:
        """The current state; quick, from any thread."""
        with self._guard:
            segment = self._segment
            room = segment is not None and (
                self._next is not None
                or not self._retry_s
                or segment.size_bytes - segment.used_bytes > self._reserve_bytes
            )
            return LedgerState(
                available=room and not self._closed,
                waiting=len(self._waiting),
                lost=self._lost,
                lost_before=self._writer.lost_before,
                refused=self._refused,
                sync_failures=self._sync_failures,
                allocation_failures=self._allocation_failures,
            )

    def close(self) -> None:
        """Make everything durable and release the directory; waits for the disk. Safe to call twice."""
        with self._guard:
            if self._closed:
                return
            self._closed = True
        self._stop.set()
        self._wake.set()
        self._thread.join()
        if self._waiting:
            self._begin_next()
        with self._guard:
            self._full.extend(one for one in (self._segment, self._next) if one is not None)
            self._segment = self._next = None
        self._sync_full()
        if self._waiting:
            self._lost += len(self._waiting)
            self._writer.lose(len(self._waiting) - self._rescued)
            self._writer.waits(0)
            log.error("%d ledger rows are lost: no segment had room for them", len(self._waiting))
        self._tell_s = 0.0
        self._tell()
        self._writer.release()

    async def aclose(self) -> None:
        await asyncio.to_thread(self.close)
