"""Damage in a segment: where it ends, where rows begin again, and how many rows it has cost.

A frame that fails its checksum has lost its payload, its checksum or its length. Its end is found, in this
order: by a length that differs in one bit and fits the checksum; by its own length, if a complete frame or
the end of the rows follows; otherwise at the next place where a complete frame in the form of a row begins. A
text inside a damaged row may look like a frame: it is ignored while the row's own end is known.
"""

import re
from collections.abc import Callable, Iterator
from zlib import crc32

import msgspec

from farthing.ledger.rows import ENDS, FRAME_BYTES, MARK_BYTES, RECORD_BYTES_MAX, Mark, frame_head, frames
from farthing.types import replace

PAYLOAD_BYTES_MAX = 2 * RECORD_BYTES_MAX  # longer than any row: a greater length is damage
PLACES_MAX = 20
STEP_BYTES = 65_536

_zeros = bytes(STEP_BYTES)
_row_begins = re.compile(rb"(?=\x92[\x01-\x7f][\x90-\x9f\xdc\xdd])")  # [kind, [values]]


class Gap(msgspec.Struct, frozen=True):
    """Bytes of a segment without a complete frame."""

    start: int
    end: int
    """Where the next frame begins, or where only zeros follow."""
    rows: int
    exact: bool
    """False: there may be more rows."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A place with missing rows."""

    segment: str
    at_byte: int
    bytes: int
    rows: int
    at_least: bool


class Missing(msgspec.Struct, kw_only=True):
    """What cannot be read, in the segments that were examined."""

    rows: int = 0
    at_least: bool = False
    """There may be more rows than could be counted."""
    bytes: int = 0
    places: list[Place] = []
    """The first places, at most 20."""
    places_more: int = 0

    def add(self, place: Place) -> None:
        self.rows += place.rows
        self.at_least = self.at_least or place.at_least
        self.bytes += place.bytes
        if len(self.places) < PLACES_MAX:
            self.places.append(place)
        else:
            self.places_more += 1

    def join(self, other: "Missing") -> None:
        """Add another's numbers."""
        for place in other.places:
            self.add(place)
        self.rows += other.rows - sum(place.rows for place in other.places)
        self.bytes += other.bytes - sum(place.bytes for place in other.places)
        self.at_least = self.at_least or other.at_least
        self.places_more += other.places_more


class Account:
    """Counts what is missing from the segments of one writer, which are examined in order.

    The sources are the damage, and the marks in which the writer records how many rows it has written so far:
    what was cut off, emptied or removed leaves no other trace. Where marks are available, the count is exact.
    """

    def __init__(self, missing: Missing | None, tell: Callable[[Missing], None]) -> None:
        """What is missing is added to `missing`; `tell` is called for each affected segment as soon as its
        count is known."""
        self._missing = Missing() if missing is None else missing
        self._report = tell
        self._segment = ""
        self._from: int | None = None
        """Rows written before those that are counted now; None: unknown."""
        self._count = 0
        """Id of the writer's count that this refers to."""
        self._rows = 0
        """Complete rows found since then."""
        self._gaps: list[Place] = []
        self._others: list[Place] = []
        self._cut = False
        """An end is missing, so the next beginning must tell how many rows."""
        self._ended = False

    def begin(self, segment: str) -> None:
        """Start another segment. A segment whose end was missing continues until a mark settles it."""
        if not self._cut:
            self._segment, self._rows = segment, 0
        self._ended = False

    def row(self) -> None:
        self._rows += 1

    def gap(self, place: Place) -> None:
        """Nothing is readable at `place`."""
        self._gaps.append(place)

    def unreadable(self, place: Place) -> None:
        """A row is present, but does not match its head."""
        self._others.append(place)

    def mark(self, segment: str, mark: Mark) -> None:
        if mark.count != self._count:
            self._count, self._from = mark.count, None
        if mark.kind == ENDS:
            self._settle(mark.rows)
            self._ended, self._from = True, mark.rows
            return
        if self._cut:
            self._settle(mark.rows)
        elif self._from is not None and mark.rows > self._from:
            gone = Place(segment=segment, at_byte=0, bytes=0, rows=mark.rows - self._from, at_least=False)
            self._tell([gone])
        self._segment, self._from, self._rows = segment, mark.rows, 0

    def end(self, segment: str, *, sealed: bool, marked: bool, size_bytes: int) -> None:
        """The segment is completely examined. `marked`: its writer ends sealed segments with a mark."""
        if self._ended:
            return
        if self._gaps and marked and self._gaps[-1].bytes == MARK_BYTES:
            self._gaps[-1] = replace(self._gaps[-1], rows=0)  # no row is this short: it was the mark
            marked = self._gaps[-1].at_byte + MARK_BYTES != size_bytes
        if sealed and marked:
            self._cut = True
            self._gaps.append(Place(segment=segment, at_byte=size_bytes, bytes=0, rows=0, at_least=True))
            return
        self._settle(None)
        self._from = None

    def skip(self) -> None:
        """A segment is not examined, or is gone as it may be."""
        self._settle(None)
        self._from = None

    def _settle(self, until: int | None) -> None:
        """Settle what is missing so far; `until`: the number of rows written up to here."""
        gaps, others, known = self._gaps, self._others, self._from
        if until is not None and known is not None and until >= known:
            gaps = _counted(gaps, until - known - self._rows, self._segment)
        self._gaps, self._others, self._cut, self._rows = [], [], False, 0
        self._tell([*gaps, *others])

    def _tell(self, places: list[Place]) -> None:
        if not places:
            return
        found = Missing()
        for place in sorted(places, key=lambda one: (one.segment, one.at_byte)):
            found.add(place)
        self._missing.join(found)
        self._report(found)


def _counted(gaps: list[Place], lost: int, segment: str) -> list[Place]:
    """Distribute the known number of missing rows over `gaps`. Negative: some rows were written twice."""
    if lost < 0:
        return [place for place in gaps if place.bytes]
    if not gaps:
        return [Place(segment=segment, at_byte=0, bytes=0, rows=lost, at_least=False)] if lost else []
    *rest, last = gaps
    rows = min(lost, sum(place.rows for place in rest))
    exact = [replace(place, at_least=False) for place in (*rest, replace(last, rows=lost - rows))]
    return [place for place in exact if place.rows or place.bytes]


def describe_missing(missing: Missing) -> str:
    """`at least 3 rows are missing, 1,504 bytes damaged: w0-00000012.seg at byte 8,192 and 2 more places`."""
    first = missing.places[0]
    more = len(missing.places) + missing.places_more - 1
    others = f" and {more:,} more place{'s' * (more > 1)}" if more else ""
    damaged = f", {missing.bytes:,} bytes damaged" if missing.bytes else ""
    return f"{_rows(missing)} missing{damaged}: {first.segment} at byte {first.at_byte:,}{others}"


def _rows(missing: Missing) -> str:
    if not missing.rows:
        return "it is unknown how many rows are" if missing.at_least else "no row is"
    count = f"{missing.rows:,} row{'s' * (missing.rows > 1)} {'are' if missing.rows > 1 else 'is'}"
    return f"at least {count}" if missing.at_least else count


def pieces(data: bytes, start: int = 0) -> Iterator[tuple[int, bytes | Gap]]:
    """Every complete frame and every gap from `start` on: the start of the next piece, and payload or gap.

    Ends where only zeros follow.
    """
    end = -1
    while True:
        for start, payload in frames(data, start):  # noqa: B020 - continues where the last frame ended
            yield start, payload
        if start >= len(data):
            return
        if end < 0:
            end = filled(data, start)
        if start >= end:
            return
        gap = _gap(data, start, end)
        yield gap.end, gap
        start = gap.end


def filled(data: bytes, start: int) -> int:
    """Where the zeros at the end of `data` begin; `start` if only zeros follow it."""
    end = len(data)
    while end - STEP_BYTES >= start and data.startswith(_zeros, end - STEP_BYTES):
        end -= STEP_BYTES
    from_byte = max(start, end - STEP_BYTES)
    return from_byte + len(data[from_byte:end].rstrip(b"\0"))


def _gap(data: bytes, start: int, end: int) -> Gap:
    """The damage at `start`, in a segment whose zeros begin at `end`."""
    begin = start + FRAME_BYTES
    if begin > len(data):
        return Gap(start, len(data), 0, False)
    length, checksum = frame_head.unpack_from(data, start)
    known = _end_by_one_bit(data, begin, length, checksum)
    if known:
        return Gap(start, known, 1, True)
    own_end = _end(begin, length) if 0 < length <= PAYLOAD_BYTES_MAX and begin + length <= len(data) else 0
    if own_end and own_end < end and not _whole(data, own_end):
        own_end = 0
    found = _next_row(data, begin, end, own_end)
    if found:
        return Gap(start, found, 1, False)
    # A row has a length and not only zeros; otherwise it may never have existed.
    rows = int(length > 0 and end > begin)
    if own_end:
        return Gap(start, min(own_end, len(data)), rows, rows == 1)
    return Gap(start, min(_end(end, 0), len(data)), rows, False)


def _end_by_one_bit(data: bytes, begin: int, length: int, checksum: int) -> int:
    """Where the frame ends if one bit of its length was flipped; 0 if that does not explain it."""
    for bit in range(32):
        other = length ^ (1 << bit)
        fits = 0 < other <= PAYLOAD_BYTES_MAX and begin + other <= len(data)
        if fits and crc32(data[begin : begin + other]) == checksum:
            return _end(begin, other)
    return 0


def _next_row(data: bytes, start: int, end: int, own_end: int) -> int:
    """Where the next complete row begins; 0 if none does. Before `own_end`, the end by the damaged row's own
    length, only if complete rows follow one another up to there, or up to the end."""
    for match in _row_begins.finditer(data, start + FRAME_BYTES, end):
        at = match.start() - FRAME_BYTES
        if at % 8:
            continue
        if own_end and at >= own_end:
            return 0
        after = _whole(data, at)
        if not own_end and after:
            return at
        while after and after < min(own_end, end):
            after = _whole(data, after)
        if after and (after == own_end or after >= end):
            return at
    return 0


def _whole(data: bytes, start: int) -> int:
    """Where the next frame begins after the complete one at `start`; 0 if there is no complete frame."""
    begin = start + FRAME_BYTES
    if begin > len(data):
        return 0
    length, checksum = frame_head.unpack_from(data, start)
    if not 0 < length <= PAYLOAD_BYTES_MAX or begin + length > len(data):
        return 0
    return _end(begin, length) if crc32(data[begin : begin + length]) == checksum else 0


def _end(begin: int, length: int) -> int:
    return (begin + length + 7) & -8
