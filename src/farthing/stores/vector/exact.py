"""Every vector is compared: exact, without any structure to keep. 0.14 ms of CPU for 2,000 of them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from farthing.stores.vector.codes import Code, Codes, encode, inverse_length

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from farthing.protocols import Vector

BLOCK = 512  # rows; as floats they fit into a core's own cache (0.75 MB), which halves the time
BLOCK_BYTES = 300  # two arrays' own headers
KEY_BYTES = 120  # an int in a list and in a dict
INDEX_BYTES = 600


class Scratch:
    """Room to work in, shared by the indexes of one thread."""

    def __init__(self, dims: int) -> None:
        self._dims = dims
        self._wide: NDArray[np.float32] | None = None

    def wide(self, rows: int) -> "NDArray[np.float32]":
        if self._wide is None or len(self._wide) < rows:
            self._wide = np.empty((BLOCK if rows > 32 else 32, self._dims), np.float32)
        return self._wide[:rows]


class _Block:
    __slots__ = ("codes", "used", "weights")

    def __init__(self, rows: int, dims: int) -> None:
        self.codes: Codes = np.empty((rows, dims), np.int8)
        self.weights: NDArray[np.float32] = np.empty(rows, np.float32)
        self.used = 0


class ExactIndex:
    """See `protocols.VectorIndex`. Rows lie in blocks, so that growing never copies more than one."""

    def __init__(self, dims: int, *, scratch: Scratch | None = None) -> None:
        self.dims = dims
        self._scratch = Scratch(dims) if scratch is None else scratch
        self._blocks: list[_Block] = []
        self._keys: list[int] = []
        """In the order of the rows."""
        self._places: dict[int, int] = {}

    def add(self, key: int, vector: "Vector") -> None:
        """Raises:
        ValueError: `vector` has another shape, or no direction.
        """
        self.put(key, encode(vector, self.dims))

    def put(self, key: int, code: Code) -> None:
        """As `add`, of a vector that is encoded already."""
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = len(self._keys)
            self._keys.append(key)
            self._grow(place)
        block = self._blocks[place // BLOCK]
        block.codes[place % BLOCK] = code
        block.weights[place % BLOCK] = inverse_length(code)

    def put_all(self, keys: Sequence[int], codes: Codes) -> None:
        """As `put` of each."""
        for key, code in zip(keys, codes, strict=True):
            self.put(key, code)

    def _grow(self, place: int) -> None:
        number, row = divmod(place, BLOCK)
        if number == len(self._blocks):
            self._blocks.append(_Block(BLOCK if number else 1, self.dims))
        block = self._blocks[number]
        if row == len(block.weights):
            larger = _Block(min(2 * row, BLOCK), self.dims)
            larger.codes[:row] = block.codes
            larger.weights[:row] = block.weights
            block = self._blocks[number] = larger
        block.used = row + 1

    def remove(self, key: int) -> None:
        """Forget `key`; the last row takes its place."""
        place = self._places.pop(key, None)
        if place is None:
            return
        last = len(self._keys) - 1
        moved = self._keys.pop()
        end = self._blocks[last // BLOCK]
        if place != last:
            block = self._blocks[place // BLOCK]
            block.codes[place % BLOCK] = end.codes[last % BLOCK]
            block.weights[place % BLOCK] = end.weights[last % BLOCK]
            self._keys[place] = moved
            self._places[moved] = place
        end.used -= 1
        if not end.used:
            self._blocks.pop()

    def search(
        self, vector: "Vector", count: int, *, rows_max: int | None = None
    ) -> Sequence[tuple[int, float]]:
        """The nearest `count` keys with their cosines, nearest first; of equals the smaller key first.

        With `rows_max` only about so many rows are looked at, those that came last.
        """
        total = len(self._keys)
        if count <= 0 or not total:
            return ()
        first = 0
        if rows_max is not None and total > rows_max:
            first = (total - rows_max) // BLOCK
        cosines = np.empty(total - first * BLOCK, np.float32)
        start = 0
        for block in self._blocks[first:] if first else self._blocks:
            used = block.used
            wide = self._scratch.wide(used)
            np.copyto(wide, block.codes[:used])
            part = cosines[start : start + used]
            np.dot(wide, vector, out=part)
            part *= block.weights[:used]
            start += used
        if count < len(cosines):
            nearest = np.argpartition(cosines, -count)[-count:]
            found = zip(nearest.tolist(), cosines[nearest].tolist(), strict=True)
        else:
            found = zip(range(len(cosines)), cosines.tolist(), strict=True)
        keys, shift = self._keys, first * BLOCK
        ranked = [(keys[shift + place], min(cosine, 1.0)) for place, cosine in found]
        ranked.sort(key=lambda each: (-each[1], each[0]))
        return ranked

    def __contains__(self, key: int) -> bool:
        return key in self._places

    def __len__(self) -> int:
        return len(self._keys)

    def keys(self) -> Sequence[int]:
        """Every key, in no order that means anything."""
        return tuple(self._keys)

    def codes(self, keys: Sequence[int]) -> Codes:
        """Their rows, in order; all of them must be there."""
        return np.stack([self.code(key) for key in keys])

    def last(self) -> int:
        """The key of the last row; there must be one."""
        return self._keys[-1]

    def code(self, key: int) -> Code:
        place = self._places[key]
        code: Code = self._blocks[place // BLOCK].codes[place % BLOCK]
        return code

    @property
    def bytes_used(self) -> int:
        # Every block but an only one has all its rows.
        rows = len(self._blocks[0].weights) * len(self._blocks) if self._blocks else 0
        more = len(self._blocks) * BLOCK_BYTES + len(self._keys) * KEY_BYTES
        return INDEX_BYTES + more + rows * (self.dims + 4)
