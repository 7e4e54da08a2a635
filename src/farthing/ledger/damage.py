"""Where a segment is damaged: how far that goes, where rows begin again, and how many it has cost.

A frame that fails its checksum has lost its payload, its checksum or its length. Its end is found in this
order: by a length that differs in one bit and fits the checksum; by its own length, where a whole frame or
the end of the rows lies behind it; else at the next place where a whole frame with the form of a row begins.
A text inside a damaged row may look like a frame: it is taken for none while the row's own end is known.
"""

import re
from collections.abc import Callable, Iterator
from zlib import crc32

import msgspec

from farthing.ledger.rows import ENDS, FRAME_BYTES, MARK_BYTES, RECORD_BYTES_MAX, Mark, frame_head, frames
from farthing.types import replace

PAYLOAD_BYTES_MAX = 2 * RECORD_BYTES_MAX  # longer than any row: such a length is damage
PLACES_MAX = 20
STEP_BYTES = 65_536

_zeros = bytes(STEP_BYTES)
_row_begins = re.compile(rb"(?=\x92[\x01-\x7f][\x90-\x9f\xdc\xdd])")  # [kind, [values]]


class Gap(msgspec.Struct, frozen=True):
    """Bytes of a segment in which no whole frame lies."""

    start: int
    end: int
    """Where the next frame begins, or where nothing but zeros is left."""
    rows: int
    exact: bool
    """False: at least so many rows."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where rows are missing."""

    segment: str
    at_byte: int
    bytes: int
    rows: int
    at_least: bool


class Missing(msgspec.Struct, kw_only=True):
    """What of a ledger cannot be read, over the segments that were looked at."""

    rows: int = 0
    at_least: bool = False
    """There may be more rows than those that could be counted."""
    bytes: int = 0
    places: list[Place] = []
    """The first of them, at most 20."""
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
        """Add what another has."""
        for place in other.places:
            self.add(place)
        self.rows += other.rows - sum(place.rows for place in other.places)
        self.bytes += other.bytes - sum(place.bytes for place in other.places)
        self.at_least = self.at_least or other.at_least
        self.places_more += other.places_more


class Account:
    """What is missing of the segments of one writer, which are looked at in their order.

    By what is damaged, and by the marks in which the writer says how many rows it has written so far: what
    was cut off, emptied or taken away leaves no trace but these. Where they tell, the count is exact.
    """

    def __init__(self, missing: Missing | None, tell: Callable[[Missing], None]) -> None:
        """What is missing is added to `missing`, and `tell` is told of each segment of which something is, as
        soon as it is known how much."""
        self._missing = Missing() if missing is None else missing
        self._told = tell
        self._segment = ""
        self._from: int | None = None
        """Rows written before those that are counted now; None: not known."""
        self._count = 0
        """By which count of its writer that is."""
        self._rows = 0
        """Whole rows that were found since then."""
        self._gaps: list[Place] = []
        self._others: list[Place] = []
        self._cut = False
        """An end is missing, so that the next beginning has to tell how many rows."""
        self._ended = False

    def begin(self, segment: str) -> None:
        """Look at another segment. One whose end was not there goes on until a mark tells."""
        if not self._cut:
            self._segment, self._rows = segment, 0
        self._ended = False

    def row(self) -> None:
        self._rows += 1

    def gap(self, place: Place) -> None:
        """Nothing can be read there."""
        self._gaps.append(place)

    def unreadable(self, place: Place) -> None:
        """A row is there, and is not what its head says."""
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
        """All of a segment was looked at. `marked`: its writer ends what it seals with a mark."""
        if self._ended:
            return
        if self._gaps and marked and self._gaps[-1].bytes == MARK_BYTES:
            self._gaps[-1] = replace(self._gaps[-1], rows=0)  # no row is so short: it was the mark
            marked = self._gaps[-1].at_byte + MARK_BYTES != size_bytes
        if sealed and marked:
            self._cut = True
            self._gaps.append(Place(segment=segment, at_byte=size_bytes, bytes=0, rows=0, at_least=True))
            return
        self._settle(None)
        self._from = None

    def skip(self) -> None:
        """A segment is not looked at, or is gone as it may be."""
        self._settle(None)
        self._from = None

    def _settle(self, until: int | None) -> None:
        """What is missing of what was looked at so far; `until`: so many rows had been written by here."""
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
        self._told(found)


def _counted(gaps: list[Place], lost: int, segment: str) -> list[Place]:
    """`gaps` where it is known that so many rows are missing. Fewer than none: some were written twice."""
    if lost < 0:
        return [place for place in gaps if place.bytes]
    if not gaps:
        return [Place(segment=segment, at_byte=0, bytes=0, rows=lost, at_least=False)] if lost else []
    *rest, last = gaps
    rows = min(lost, sum(place.rows for place in rest))
    exact = [replace(place, at_least=False) for place in (*rest, replace(last, rows=lost - rows))]
    return [place for place in exact if place.rows or place.bytes]


def told(missing: Missing) -> str:
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
    """Every whole frame and every gap from `start` on: where the next piece begins, and payload or gap.

    Ends where nothing but zeros is left.
    """
    end = -1
    while True:
        for start, payload in frames(data, start):  # noqa: B020 - it goes on where that one ended
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
    """Where the zeros at the end of `data` begin; `start` where there is nothing else from there on."""
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
    said = _end(begin, length) if 0 < length <= PAYLOAD_BYTES_MAX and begin + length <= len(data) else 0
    if said and said < end and not _whole(data, said):
        said = 0
    found = _next_row(data, begin, end, said)
    if found:
        return Gap(start, found, 1, False)
    # A row has a length and more than zeros in it; without them it may never have been there.
    rows = int(length > 0 and end > begin)
    if said:
        return Gap(start, min(said, len(data)), rows, rows == 1)
    return Gap(start, min(_end(end, 0), len(data)), rows, False)


def _end_by_one_bit(data: bytes, begin: int, length: int, checksum: int) -> int:
    """Where the frame ends if one bit of its length was flipped; 0 when that does not explain it."""
    for bit in range(32):
        other = length ^ (1 << bit)
        fits = 0 < other <= PAYLOAD_BYTES_MAX and begin + other <= len(data)
        if fits and crc32(data[begin : begin + other]) == checksum:
            return _end(begin, other)
    return 0


def _next_row(data: bytes, start: int, end: int, said: int) -> int:
    """Where the next whole row begins; 0 when none does. Before `said`, the end by the damaged row's own
    length, only where whole rows follow on one another up to there, or up to the end."""
    for match in _row_begins.finditer(data, start + FRAME_BYTES, end):
        at = match.start() - FRAME_BYTES
        if at % 8:
            continue
        if said and at >= said:
            return 0
        after = _whole(data, at)
        if not said and after:
            return at
        while after and after < min(said, end):
            after = _whole(data, after)
        if after and (after == said or after >= end):
            return at
    return 0


def _whole(data: bytes, start: int) -> int:
    """Where the next frame begins after the whole one at `start`; 0 when there is no such frame."""
    begin = start + FRAME_BYTES
    if begin > len(data):
        return 0
    length, checksum = frame_head.unpack_from(data, start)
    if not 0 < length <= PAYLOAD_BYTES_MAX or begin + length > len(data):
        return 0
    return _end(begin, length) if crc32(data[begin : begin + length]) == checksum else 0


def _end(begin: int, length: int) -> int:
    return (begin + length + 7) & -8
