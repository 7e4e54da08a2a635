"""Vectors in lists of neighbours (an inverted file: Jégou et al. 2011, PAMI 33(1)), split in two as they
grow.

A search compares the question with the centre of every list, then with every vector of the nearest lists,
about `SCAN_ROWS` in all. So it is exact up to that number; beyond, it may miss a vector whose list was not
read. A full list is split into two and nothing else moves (as in SPFresh: Xu et al. 2023, SOSP, without its
reassignment), so there is nothing to rebuild, no work for a thread and no step of more than about a
millisecond, at any size. numkong does the arithmetic: products of signed bytes, 512 in 7 us.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numkong import cdist

from farthing.stores.vector.centres import CENTRE_BYTES, Centres
from farthing.stores.vector.codes import Code, Codes, encode, inverse_length
from farthing.stores.vector.gradual import GradualDict
from farthing.stores.vector.split import halves

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from farthing.protocols import Vector

    Mask: TypeAlias = NDArray[np.bool_]

LIST_MAX = 256
MANY_LISTS = 2_048
"""Beyond it, lists become twice as long: reading the centres then costs most."""
SCAN_ROWS = 2_560
"""Vectors that a search examines, minus three for four centres: 0.1 to 0.2 ms for 384 dimensions."""
SCAN_ROWS_MIN = 1_280
ROOM_STEP = 64  # rows; up to this, the capacity doubles
ROW_BYTES = 12  # key and weight
LIST_BYTES = 450  # the headers of three arrays, and the object
INDEX_BYTES = 150


class List:
    """Adjacent rows, in no order. Callers must not change it."""

    __slots__ = ("codes", "keys", "used", "weights")

    def __init__(self, room: int, dims: int) -> None:
        self.codes: Codes = np.empty((room, dims), np.int8)
        self.weights: NDArray[np.float32] = np.empty(room, np.float32)
        """One over the length of each row."""
        self.keys: NDArray[np.int64] = np.empty(room, np.int64)
        self.used = 0

    def put(self, row: int, key: int, code: Code) -> None:
        self.codes[row] = code
        self.weights[row] = inverse_length(code)
        self.keys[row] = key

    def append(self, key: int, code: Code) -> None:
        if self.used == len(self.keys):
            self._fit(self.used + 1)
        self.put(self.used, key, code)
        self.used += 1

    def remove(self, row: int) -> None:
        """Remove a row; the last row takes its place."""
        last = self.used = self.used - 1
        if row != last:
            self.codes[row] = self.codes[last]
            self.weights[row] = self.weights[last]
            self.keys[row] = self.keys[last]
        if 2 * last < len(self.keys) - ROOM_STEP:
            self._fit(last)

    def row(self, key: int) -> int | None:
        found = np.flatnonzero(self.keys[: self.used] == key)
        return int(found[0]) if len(found) else None

    def part(self, chosen: "Mask") -> "List":
        """A new list of those rows."""
        count = int(np.count_nonzero(chosen))
        new = List(room_for(count), self.codes.shape[1])
        used = self.used
        new.codes[:count] = self.codes[:used][chosen]
        new.weights[:count] = self.weights[:used][chosen]
        new.keys[:count] = self.keys[:used][chosen]
        new.used = count
        return new

    def _fit(self, count: int) -> None:
        room, used, codes, weights, keys = room_for(count), self.used, self.codes, self.weights, self.keys
        self.codes = np.empty((room, codes.shape[1]), np.int8)
        self.weights = np.empty(room, np.float32)
        self.keys = np.empty(room, np.int64)
        self.codes[:used], self.weights[:used], self.keys[:used] = codes[:used], weights[:used], keys[:used]

    @property
    def bytes_used(self) -> int:
        return LIST_BYTES + self.codes.nbytes + len(self.keys) * ROW_BYTES


def room_for(count: int) -> int:
    """Capacity in rows for `count` rows."""
    if count <= ROOM_STEP:
        room = 1
        while room < count:
            room *= 2
        return room
    return -(-count // ROOM_STEP) * ROOM_STEP


class ListedIndex:
    """Implements `protocols.VectorIndex`. For one thread. All steps are short; nothing runs in the
    background."""

    __slots__ = ("_bytes_of_lists", "_centres", "_count", "_list_max", "_lists", "_places", "_scan", "dims")

    def __init__(self, dims: int, *, list_max: int = LIST_MAX, scan_rows: int = SCAN_ROWS) -> None:
        self.dims = dims
        self._list_max = list_max
        self._scan = scan_rows
        self._lists = [List(0, dims)]
        self._bytes_of_lists = self._lists[0].bytes_used
        self._count = 0
        self._centres: Centres | None = None
        """One per list; None while there is only one list."""
        self._places: GradualDict[int, int] | None = None
        """The list of each key; None while there is only one list."""

    def add(self, key: int, vector: "Vector") -> None:
        """Raises:
        ValueError: `vector` has another shape, or no direction.
        """
        self.put(key, encode(vector, self.dims))

    def put(self, key: int, code: Code) -> None:
        """Like `add`, for an encoded vector."""
        self.remove(key)
        number = 0 if self._centres is None else self._centres.nearest(code)
        chosen = self._lists[number]
        before = len(chosen.keys)
        chosen.append(key, code)
        self._bytes_of_lists += (len(chosen.keys) - before) * (self.dims + ROW_BYTES)
        self._count += 1
        if self._places is not None:
            self._places.set(key, number)
        if chosen.used > self._longest:
            self._cut(number)

    def put_list(self, keys: "NDArray[np.int64]", codes: Codes) -> None:
        """Add neighbours together, as returned by `lists`; none of `keys` may exist."""
        if len(keys) > 2 * self._list_max or len(keys) <= self._list_max // 8:
            for key, code in zip(keys.tolist(), codes, strict=True):
                self.put(key, code)
            return
        new = List(room_for(len(keys)), self.dims)
        new.used = used = len(keys)
        new.codes[:used], new.keys[:used] = codes, keys
        wide = codes.astype(np.float32)
        new.weights[:used] = 1.0 / np.sqrt(np.einsum("ij,ij->i", wide, wide))
        self._count += used
        if self._count == used:
            self._replace(0, new)
        else:
            self._append(new)

    def remove(self, key: int) -> None:
        places = self._places
        number = 0 if places is None else places.get(key)
        if number is None:
            return
        chosen = self._lists[number]
        row = chosen.row(key)
        if row is None:
            return
        before = len(chosen.keys)
        chosen.remove(row)
        self._bytes_of_lists += (len(chosen.keys) - before) * (self.dims + ROW_BYTES)
        self._count -= 1
        if places is not None:
            places.pop(key)
            if chosen.used <= self._list_max // 8:
                self._dissolve(number)

    def search(self, vector: "Vector", count: int) -> Sequence[tuple[int, float]]:
        """The nearest `count` keys with their cosines, nearest first; on a tie, the smaller key first."""
        if count <= 0 or not self._count:
            return ()
        code = encode(vector, self.dims)
        asked = code.reshape(1, -1)
        room = min(self._scan + 2 * self._list_max, self._count)
        cosines = np.empty((1, room), np.float32)
        keys = np.empty(room, np.int64)
        end = 0
        for chosen in self._to_read(asked):
            start, used = end, chosen.used
            end = start + used
            part = cosines[:, start:end]
            cdist(asked, chosen.codes[:used], "dot", out=part)
            part *= chosen.weights[:used]
            keys[start:end] = chosen.keys[:used]
        found, keys = cosines[0, :end], keys[:end]
        if count < end:
            nearest = found.argpartition(-count)[-count:]
            found, keys = found[nearest], keys[nearest]
        found *= np.float32(inverse_length(code))
        pairs = zip(keys.tolist(), found.tolist(), strict=True)
        return sorted(
            ((key, min(cosine, 1.0)) for key, cosine in pairs), key=lambda each: (-each[1], each[0])
        )

    def _to_read(self, asked: Codes) -> Iterator[List]:
        """The nearest lists, as many as the search should read."""
        rows = max(min(SCAN_ROWS_MIN, self._scan), self._scan - 3 * len(self._lists) // 4)
        if self._centres is None or self._count <= rows:
            yield from self._lists
            return
        # Lists are usually two thirds full, and at least an eighth, so twice the usual number is considered.
        for number in self._centres.nearest_of(asked, 3 * rows // self._longest + 4):
            chosen = self._lists[number]
            yield chosen
            rows -= chosen.used
            if rows <= 0:
                return

    def __contains__(self, key: int) -> bool:
        if self._places is None:
            return self._lists[0].row(key) is not None
        return self._places.get(key) is not None

    def __len__(self) -> int:
        return self._count

    def lists(self) -> "Sequence[List]":
        """The present lists, valid until the next change."""
        return tuple(self._lists)

    @property
    def bytes_used(self) -> int:
        places = 0 if self._places is None else self._places.bytes_used
        centres = 0 if self._centres is None else len(self._lists) * (CENTRE_BYTES + 3 * self.dims)
        return INDEX_BYTES + self._bytes_of_lists + places + centres

    # -- splitting and merging lists --------------------------------------------------------------

    @property
    def _longest(self) -> int:
        """Largest number of rows of a list before it is split."""
        return self._list_max if len(self._lists) < MANY_LISTS else 2 * self._list_max

    def _cut(self, number: int) -> None:
        """Split a list in two: 0.6 ms for 256 rows of 384."""
        full = self._lists[number]
        second = halves(full.codes[: full.used], full.weights[: full.used])
        self._replace(number, full.part(~second))
        self._append(full.part(second))

    def _replace(self, number: int, new: List) -> None:
        self._bytes_of_lists += new.bytes_used - self._lists[number].bytes_used
        self._lists[number] = new
        if self._centres is not None:
            self._centres.set(number, new.codes[: new.used], new.weights[: new.used])

    def _append(self, new: List) -> None:
        if self._centres is None or self._places is None:
            first = self._lists[0]
            self._places = GradualDict()
            self._places.set_all(first.keys[: first.used].tolist(), 0)
            self._centres = Centres(self.dims)
            self._centres.set(0, first.codes[: first.used], first.weights[: first.used])
        number = len(self._lists)
        self._lists.append(new)
        self._bytes_of_lists += new.bytes_used
        self._places.set_all(new.keys[: new.used].tolist(), number)
        self._centres.set(number, new.codes[: new.used], new.weights[: new.used])

    def _dissolve(self, number: int) -> None:
        """Move the few rows of a list to others; the last list takes its number."""
        assert self._centres is not None and self._places is not None
        few, last = self._lists[number], self._lists.pop()
        self._centres.pop(number)
        self._bytes_of_lists -= few.bytes_used
        if few is not last:
            self._lists[number] = last
            self._places.set_all(last.keys[: last.used].tolist(), number)
        if len(self._lists) == 1:
            self._centres = self._places = None
        self._count -= few.used
        for row in range(few.used):
            key = int(few.keys[row])
            if self._places is not None:
                self._places.pop(key)
            self.put(key, few.codes[row])
