"""Reads a ledger directory from any process, while it is being written. Never blocks the writer."""

import heapq
import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from farthing.ledger import files
from farthing.ledger.damage import Account, Gap, Missing, Place, describe_missing, pieces
from farthing.ledger.rows import FRAME_BYTES, Head, Intent, RowReader, decode_head, decode_mark, own_head
from farthing.types import Receipt, Signal

SEEN_MAX = 200_000  # a row is written twice only within moments, on a failing disk
WRITTEN_S = 0.002  # copying a row takes far less

Row = Intent | Receipt | Signal

log = logging.getLogger("farthing.ledger")


def read(
    path: Path | Sequence[Path], since_unix_s: float | None = None, missing: Missing | None = None
) -> Iterator[Intent | Receipt]:
    """Like `read_all`, without signals."""
    for row in read_all(path, since_unix_s, missing):
        if not isinstance(row, Signal):
            yield row


def read_all(
    path: Path | Sequence[Path], since_unix_s: float | None = None, missing: Missing | None = None
) -> Iterator[Row]:
    """Every row of requests that arrived at `since_unix_s` or later, and the signals since, each once, even
    if several directories contain it because one is a copy.

    Rows of one writer come in the order they were written; several writers are merged roughly by time of
    arrival. A row that is being written is not visible yet. An absent or empty directory has no rows. Damage
    is left out, logged, and added to `missing`: for every segment that was read to its end, whatever the time
    of the missing rows.
    """
    paths = [(one, files.live_runs(one)) for one in ((path,) if isinstance(path, Path) else path)]
    paths.sort(key=lambda one: not one[1])  # of equal rows the first counts: prefer live ones
    streams = [stream for one, live in paths for stream in _streams(one, live, since_unix_s, missing)]
    rows = streams[0] if len(streams) == 1 else heapq.merge(*streams, key=lambda row: row.at_unix_s)
    seen: set[int] = set()
    seen_before: set[int] = set()
    for row in rows:
        # The time is included, so that an id that a client repeats does not look like a row written twice.
        # Hashes suffice: among 200,000 rows the odds of one wrong match are 1 in 10**9.
        key = hash((row.request_id, row.at_unix_s, _which(row)))
        if key in seen or key in seen_before:
            continue
        seen.add(key)
        if len(seen) > SEEN_MAX:
            seen, seen_before = set(), seen
        if since_unix_s is None or row.at_unix_s >= since_unix_s:
            yield row


def _streams(
    path: Path, live: dict[str, str], since_unix_s: float | None, missing: Missing | None
) -> list[Iterator[Row]]:
    """One stream per writer of a directory."""
    return [_stream(segments, live, since_unix_s, missing) for segments in _by_writer(path)]


def _by_writer(path: Path) -> list[list[Path]]:
    """The segments of a directory, grouped by writer, in order."""
    writers: dict[str, list[Path]] = {}
    for segment in sorted(files.segment_paths(path), key=files.split_name):
        writers.setdefault(files.split_name(segment)[0], []).append(segment)
    return list(writers.values())


def _which(row: Row) -> object:
    """Distinguishes two rows of one request and time."""
    if isinstance(row, Intent):
        return row.attempt
    return (row.source, row.kind, row.tier, row.target) if isinstance(row, Signal) else 0


def orphans(path: Path, since_unix_s: float | None = None) -> list[Intent]:
    """Calls that were about to be made by a process that died before their receipt: outcome unknown.

    One per request, its last. Calls that may still be in flight are not included.
    """
    return [intent for intent in unanswered(read(path, since_unix_s)) if not intent.live]


def unanswered(rows: Iterator[Intent | Receipt]) -> list[Intent]:
    """The last intent of every request without a receipt in `rows`, including live ones."""
    waiting: dict[tuple[str, float], Intent] = {}
    for row in rows:
        if isinstance(row, Intent):
            waiting[row.request_id, row.at_unix_s] = row
        else:
            waiting.pop((row.request_id, row.at_unix_s), None)
    return list(waiting.values())


def find(path: Path, request_id: str) -> Receipt | Intent | None:
    """The receipt of a request; its last intent if no receipt was written; None if there is neither.

    Searches from the newest segment back, and decodes only segments that contain the id.
    """
    found: Receipt | Intent | None = None
    for rows in _naming(path, request_id):
        for row in rows:
            if (
                row.request_id == request_id
                and not isinstance(found, Receipt)
                and not isinstance(row, Signal)
            ):
                found = row
        if found is not None:
            break
    return found


def find_call(path: Path, upstream_id: str) -> Receipt | None:
    """The newest receipt with a call that its provider gave this id; None if there is none. As `find`."""
    newest: Receipt | None = None
    for rows in _naming(path, upstream_id):
        for row in rows:
            if isinstance(row, Receipt) and any(one.upstream_id == upstream_id for one in row.attempts):
                newest = row
        if newest is not None:
            break
    return newest


def _naming(path: Path, some_id: str) -> Iterator[Iterator[Row]]:
    """The rows of every segment that contains this id, from the newest segment back; none for an empty id."""
    needle = some_id.encode("utf-8", "replace")
    if not needle:
        return
    live = files.live_runs(path)
    for segment in _newest_first(path):
        data = _load(segment)
        if needle in data:
            yield _rows(segment, data, live, Account(None, _log))


def damaged(paths: Sequence[Path]) -> Missing:
    """The damage in whole ledgers. Examines every frame; a complete row counts as readable."""
    found = Missing()
    for path in paths:
        for segments in _by_writer(path):
            account = Account(found, _untold)
            for segment in segments:
                for _ in _payloads(segment, _load(segment), account):
                    continue
            account.skip()
    return found


def _untold(found: Missing) -> None:
    """No log: the caller reports the total."""


def _log(found: Missing) -> None:
    log.warning("%s is damaged: %s", found.places[0].segment, describe_missing(found))


def recent(path: Path, rows_max: int) -> list[Receipt]:
    """The last receipts, newest segment last; about `rows_max` of them."""
    live = files.live_runs(path)
    found: list[Receipt] = []
    for segment in _newest_first(path):
        rows = [
            row
            for row in _rows(segment, _load(segment), live, Account(None, _log))
            if isinstance(row, Receipt)
        ]
        found[:0] = rows[len(found) - rows_max :]
        if len(found) >= rows_max:
            break
    return found


# -- segments ---------------------------------------------------------------------------------------


def _stream(
    segments: list[Path], live: dict[str, str], since_unix_s: float | None, missing: Missing | None
) -> Iterator[Row]:
    # Of open segments the newest is loaded first: its rows were written after everything that an older one,
    # loaded later, then contains. In the other order, rows would be missing from the middle.
    open_ones = {one: _load(one) for one in reversed(segments) if one.suffix != files.SEALED}
    account = Account(missing, _log)
    for segment in segments:
        if segment in open_ones:
            yield from _rows(segment, open_ones.pop(segment), live, account)
        elif since_unix_s is None or not _ended_before(segment, since_unix_s):
            yield from _rows(segment, _load(segment), live, account)
        else:
            account.skip()
    account.skip()


def _ended_before(segment: Path, unix_s: float) -> bool:
    """Whether a sealed file was last changed before `unix_s`; it was last changed after its last row
    arrived."""
    try:
        return segment.suffix == files.SEALED and segment.stat().st_mtime < unix_s
    except FileNotFoundError:
        return False


def _load(segment: Path) -> bytes:
    """The file's current content; empty if retention deleted it meanwhile."""
    for path in (segment, segment.with_suffix(files.SEALED)):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            continue  # it was sealed, and so renamed, since the directory was listed; or it is gone
    return b""


def _rows(segment: Path, data: bytes, live: dict[str, str], account: Account) -> Iterator[Row]:
    """Every readable row of one segment."""
    reader: RowReader | None = None
    unreadable = 0
    for start, end, head, piece in _payloads(segment, data, account):
        if reader is None:
            reader = RowReader(head, live=live.get(head.writer) == head.run)
        try:
            row = reader.row(piece)
        except (msgspec.MsgspecError, TypeError, ValueError, LookupError) as error:
            if not unreadable:
                log.warning("a row of %s cannot be read: %s", segment, error)
            unreadable += 1
            account.unreadable(_place(segment, start, end, 1, False))
            continue
        if row is not None:
            yield row


def _payloads(segment: Path, data: bytes, account: Account) -> Iterator[tuple[int, int, Head, bytes]]:
    """Every complete row of one segment: start, end, its head, and its payload. Everything else goes to
    `account`."""
    rest = _pieces(segment, data)
    start, first = next(rest, (0, None))
    if first is None:
        _account_of_nothing(segment, data, account)
        return
    head = _head(segment, first)
    if head is None:
        account.skip()
        _leave_out(segment, data, account)
        return
    account.begin(segment.name)
    marked = "mark" in head.fields
    unmarked = marked
    """Whether the first mark is still to come."""
    if isinstance(first, Gap):  # a head is not a row
        account.gap(_place(segment, 0, start, first.rows - 1, not first.exact))
    for end, piece in rest:
        if isinstance(piece, Gap):
            account.gap(_place(segment, start, end, piece.rows - unmarked, not piece.exact))
        elif (mark := decode_mark(piece)) is not None:
            account.mark(segment.name, mark)
        else:
            account.row()
            yield start, end, head, piece
        unmarked = False
        start = end
    sealed = segment.suffix == files.SEALED
    if sealed and start + FRAME_BYTES <= len(data):  # it was cut to the length of its rows
        account.gap(_place(segment, start, len(data), 0, True))
    account.end(segment.name, sealed=sealed, marked=marked, size_bytes=len(data))


def _account_of_nothing(segment: Path, data: bytes, account: Account) -> None:
    """A segment without a head: allocated but not begun, gone since the directory was listed, or emptied."""
    sealed = segment.suffix == files.SEALED
    if not sealed or not segment.exists():
        account.skip()
        return
    account.begin(segment.name)
    if data:
        account.gap(_place(segment, 0, len(data), 0, True))
    account.end(segment.name, sealed=True, marked=True, size_bytes=len(data))


def _head(segment: Path, first: bytes | Gap) -> Head | None:
    """The head of a segment that begins with `first`; if it is damaged, the head that this version would
    write, which fits because fields are only ever appended. None for the head of an unknown version."""
    if not isinstance(first, Gap):
        return decode_head(first)
    writer = files.split_name(segment)[0]
    live = files.live_runs(segment.parent) if segment.suffix == files.OPEN else {}
    return own_head(writer, live.get(writer, ""))


def _leave_out(segment: Path, data: bytes, account: Account) -> None:
    """Note a segment with an intact head of an unknown version."""
    rows = sum(not isinstance(piece, Gap) for _, piece in pieces(data)) - 1
    log.warning("%s is not a ledger segment this version can read; it is left out", segment)
    if rows:
        account.begin(segment.name)
        account.unreadable(_place(segment, 0, len(data), rows, False))
        account.skip()


def _place(segment: Path, start: int, end: int, rows: int, at_least: bool) -> Place:
    return Place(segment=segment.name, at_byte=start, bytes=end - start, rows=max(rows, 0), at_least=at_least)


def _pieces(segment: Path, data: bytes) -> Iterator[tuple[int, bytes | Gap]]:
    """The frames and gaps of one segment."""
    return pieces(data) if segment.suffix == files.SEALED else _pieces_of_open(segment, data)


def _pieces_of_open(segment: Path, data: bytes) -> Iterator[tuple[int, bytes | Gap]]:
    """The frames and gaps of an open segment. What looks damaged may be a row that was incomplete when `data`
    was read, so it is read again; a row not begun at the end is not a gap."""
    changing, start, sure = True, 0, -1
    while True:
        for end, piece in pieces(data, start):
            if isinstance(piece, Gap):
                if changing and start != sure:
                    break
                if piece.rows:
                    yield end, piece
            else:
                yield end, piece
            start = end
        else:
            return
        time.sleep(WRITTEN_S)
        again = _load(segment)
        changing = again != data
        data, sure = again, start


def _newest_first(path: Path) -> list[Path]:
    """Ordered by last change, but never against the numbers of one writer: a mapped file's time lags its
    rows."""
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
