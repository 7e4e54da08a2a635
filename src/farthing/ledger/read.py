"""Reads a ledger directory, from any process, while it is being written. Never blocks the writer."""

import heapq
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from farthing.ledger import files
from farthing.ledger.rows import FRAME_BYTES, Intent, RowReader, decode_head, frame_head, frames
from farthing.types import Receipt, Signal

SEEN_MAX = 200_000  # a row is written twice only within moments of a failing disk

Row = Intent | Receipt | Signal

log = logging.getLogger("farthing.ledger")


def read(path: Path | Sequence[Path], since_unix_s: float | None = None) -> Iterator[Intent | Receipt]:
    """As `read_all`, without what was learned about answers."""
    for row in read_all(path, since_unix_s):
        if not isinstance(row, Signal):
            yield row


def read_all(path: Path | Sequence[Path], since_unix_s: float | None = None) -> Iterator[Row]:
    """Every row of requests that arrived at `since_unix_s` or later, and the signals since, each once: also
    where several directories have it, one of them being a copy.

    Rows of one writer come in the order they were written, several writers are merged roughly by time
    of arrival. A row being written is not yet there. An absent or empty directory has no rows. What is
    damaged is left out and logged.
    """
    paths = [(one, files.live_runs(one)) for one in ((path,) if isinstance(path, Path) else path)]
    paths.sort(key=lambda one: not one[1])  # of equal rows the first counts: not a copy that nobody writes
    streams = [stream for one, live in paths for stream in _streams(one, live, since_unix_s)]
    rows = streams[0] if len(streams) == 1 else heapq.merge(*streams, key=lambda row: row.at_unix_s)
    seen: set[int] = set()
    seen_before: set[int] = set()
    for row in rows:
        # With the time, so that an id a client repeats is not taken for a row that was written twice.
        # Hashes suffice: among 200,000 rows the odds of one wrong match are 1 in 10**9.
        key = hash((row.request_id, row.at_unix_s, _which(row)))
        if key in seen or key in seen_before:
            continue
        seen.add(key)
        if len(seen) > SEEN_MAX:
            seen, seen_before = set(), seen
        if since_unix_s is None or row.at_unix_s >= since_unix_s:
            yield row


def _streams(path: Path, live: dict[str, str], since_unix_s: float | None) -> list[Iterator[Row]]:
    """One for each writer of a directory."""
    writers: dict[str, list[Path]] = {}
    for segment in sorted(files.segment_paths(path), key=files.split_name):
        writers.setdefault(files.split_name(segment)[0], []).append(segment)
    return [_stream(segments, live, since_unix_s) for segments in writers.values()]


def _which(row: Row) -> object:
    """What tells apart two rows of one request and time."""
    if isinstance(row, Intent):
        return row.attempt
    return (row.source, row.kind, row.tier, row.target) if isinstance(row, Signal) else 0


def orphans(path: Path, since_unix_s: float | None = None) -> list[Intent]:
    """Calls that were about to be made by a process that died before their receipt: outcome unknown.

    One for each request, its last. Calls that may still be in flight are not among them.
    """
    return [intent for intent in unanswered(read(path, since_unix_s)) if not intent.live]


def unanswered(rows: Iterator[Intent | Receipt]) -> list[Intent]:
    """The last intent of every request that has no receipt in `rows`, live ones included."""
    waiting: dict[tuple[str, float], Intent] = {}
    for row in rows:
        if isinstance(row, Intent):
            waiting[row.request_id, row.at_unix_s] = row
        else:
            waiting.pop((row.request_id, row.at_unix_s), None)
    return list(waiting.values())


def find(path: Path, request_id: str) -> Receipt | Intent | None:
    """The receipt of a request; its last intent where no receipt was written; None where there is neither.

    Looks from the newest segment back, and only decodes those that hold the id.
    """
    needle = request_id.encode("utf-8", "replace")
    if not needle:
        return None
    live = files.live_runs(path)
    for segment in _newest_first(path):
        data = _load(segment)
        if needle not in data:
            continue
        found: Receipt | Intent | None = None
        for row in _rows(segment, data, live):
            if (
                row.request_id == request_id
                and not isinstance(found, Receipt)
                and not isinstance(row, Signal)
            ):
                found = row
        if found is not None:
            return found
    return None


def recent(path: Path, rows_max: int) -> list[Receipt]:
    """The last receipts, newest segment last; about `rows_max` of them."""
    live = files.live_runs(path)
    found: list[Receipt] = []
    for segment in _newest_first(path):
        rows = [row for row in _rows(segment, _load(segment), live) if isinstance(row, Receipt)]
        found[:0] = rows[len(found) - rows_max :]
        if len(found) >= rows_max:
            break
    return found


# -- segments ---------------------------------------------------------------------------------------


def _stream(segments: list[Path], live: dict[str, str], since_unix_s: float | None) -> Iterator[Row]:
    # Of those being written the newest is loaded first: what is in it was written after all that an older
    # one, loaded later, then has. The other way round rows would be missing from the middle.
    open_ones = {one: _load(one) for one in reversed(segments) if one.suffix != files.SEALED}
    for segment in segments:
        if segment in open_ones:
            yield from _rows(segment, open_ones.pop(segment), live)
        elif since_unix_s is None or not _ended_before(segment, since_unix_s):
            yield from _rows(segment, _load(segment), live)


def _ended_before(segment: Path, unix_s: float) -> bool:
    """A sealed file was last changed after its last row arrived."""
    try:
        return segment.suffix == files.SEALED and segment.stat().st_mtime < unix_s
    except FileNotFoundError:
        return False


def _load(segment: Path) -> bytes:
    """What is in the file now; nothing when retention took it meanwhile."""
    for path in (segment, segment.with_suffix(files.SEALED)):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            continue  # it was sealed, so renamed, since the directory was listed; or it is gone
    return b""


def _rows(segment: Path, data: bytes, live: dict[str, str]) -> Iterator[Row]:
    payloads = _payloads(segment, data)
    first = next(payloads, None)
    if first is None:
        return
    head = decode_head(first)
    if head is None:
        log.warning("%s is not a ledger segment this version can read; it is left out", segment)
        return
    reader = RowReader(head, live=live.get(head.writer) == head.run)
    for payload in payloads:
        try:
            row = reader.row(payload)
        except (msgspec.MsgspecError, TypeError, ValueError, LookupError) as error:
            log.warning("a row of %s cannot be read: %s", segment, error)
            continue
        if row is not None:
            yield row


def _payloads(segment: Path, data: bytes) -> Iterator[bytes]:
    """Every valid payload. In the middle of a sealed file, a damaged one is stepped over by its length."""
    start = 0
    while True:
        for end, payload in frames(data, start):
            start = end
            yield payload
        if segment.suffix != files.SEALED or start + FRAME_BYTES > len(data):
            return
        length, _ = frame_head.unpack_from(data, start)
        if length == 0:
            return  # left by a failing disk, so never cut to its length
        log.warning("%s is damaged at byte %d", segment, start)
        start += FRAME_BYTES + length + (-length % 8)


def _newest_first(path: Path) -> list[Path]:
    """By last change, but never against the numbers of one writer: a mapped file's time lags its rows."""
    ages: list[tuple[int, str, int, Path]] = []
    latest_ns: dict[str, int] = {}
    for segment in sorted(files.segment_paths(path), key=files.split_name):
        writer, number = files.split_name(segment)
        try:
            changed_ns = segment.stat().st_mtime_ns
        except FileNotFoundError:
            changed_ns = 0  # sealed or deleted meanwhile
        latest_ns[writer] = max(latest_ns.get(writer, 0), changed_ns)
        ages.append((latest_ns[writer], writer, number, segment))
    return [segment for *_, segment in sorted(ages, reverse=True)]
