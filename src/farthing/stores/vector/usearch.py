"""A graph over the vectors (HNSW: Malkov and Yashunin 2018), by usearch: a search visits a few hundred.

Approximate. What matters is that a question near a stored one (cosine .86 here) finds it first: 97 in 100 do
among 100,000, 57 among a million, in a hard arrangement of far clusters; `benchmarks/vector_index.py`.
"""

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

with suppress(ImportError):
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # as in models/embed/session: nothing leaves the machine
    # Must come first: usearch's own copy of the C++ library, whose symbols are open to all, makes the process
    # crash when onnxruntime is loaded after it (usearch 2.26.6, onnxruntime 1.32.0).
    import onnxruntime as _first  # noqa: F401
from usearch.index import Index

from farthing.errors import StoreError
from farthing.stores.vector.codes import Code, Codes, encode

if TYPE_CHECKING:
    from farthing.protocols import Vector

CONNECTIVITY = 16
EXPANSION_ADD = 64  # 128 takes half as long again to build and finds the same
EXPANSION_SEARCH = 32
GRAPH_BYTES = 200  # of an entry: 16 to 32 neighbours of 5 bytes, its key, its place in a table
KEY_BYTES = 96  # in the set
INDEX_BYTES = 65_536
BUILD_ROWS = 64  # at a time, so that a build can be stopped
PLACEHOLDER = 2**63  # no entry's key; 2**64 - 1 is usearch's own mark of a free row


class UsearchIndex:
    """See `protocols.VectorIndex`. For one thread at a time; searches may go on beside each other."""

    def __init__(self, dims: int) -> None:
        self.dims = dims
        self._index = Index(
            ndim=dims,
            metric="cos",
            dtype="i8",
            connectivity=CONNECTIVITY,
            expansion_add=EXPANSION_ADD,
            expansion_search=EXPANSION_SEARCH,
        )
        self._keys: set[int] = set()
        self.dead = 0
        """Rows that were removed and are still walked over. New ones take their places."""

    def add(self, key: int, vector: "Vector") -> None:
        """Takes 0.2 to 0.5 ms, and longer when it grows (see `grows_next`).

        Raises:
            ValueError: `vector` has another shape, or no direction.
        """
        self.put(key, encode(vector, self.dims))

    def put(self, key: int, code: Code) -> None:
        """As `add`, of a vector that is encoded already."""
        self.remove(key)
        self._index.add(key, code, threads=1)
        self._keys.add(key)
        self.dead = max(0, self.dead - 1)

    def put_all(self, keys: Sequence[int], codes: Codes) -> None:
        """As `put` of each; none of `keys` may be there. Lets go of the interpreter's lock meanwhile."""
        for start in range(0, len(keys), BUILD_ROWS):
            part = np.array(keys[start : start + BUILD_ROWS], np.uint64)
            self._index.add(part, codes[start : start + BUILD_ROWS], threads=1)
        self._keys.update(keys)

    @property
    def grows_next(self) -> bool:
        """The next `add` makes room for twice as many, which takes 8 ms at 131,072, 34 at 524,288."""
        return len(self._keys) + self.dead >= int(self._index.capacity)

    def grow(self) -> None:
        """Make that room now."""
        self._index.add(PLACEHOLDER, np.ones(self.dims, np.int8), threads=1)
        self._index.remove(PLACEHOLDER)
        self.dead += 1

    def remove(self, key: int) -> None:
        if key in self._keys:
            self._keys.discard(key)
            self._index.remove(key)
            self.dead += 1

    def search(self, vector: "Vector", count: int) -> Sequence[tuple[int, float]]:
        """The nearest `count` keys with their cosines, nearest first; now and then one is overlooked."""
        if count <= 0 or not self._keys:
            return ()
        matches = self._index.search(encode(vector, self.dims), count, threads=1)
        cosines = np.clip(1.0 - matches.distances, -1.0, 1.0)
        return list(zip(matches.keys.tolist(), cosines.tolist(), strict=True))

    def __contains__(self, key: int) -> bool:
        return key in self._keys

    def __len__(self) -> int:
        return len(self._keys)

    def keys(self) -> Sequence[int]:
        """Every key, in no order that means anything."""
        return tuple(self._keys)

    def codes(self, keys: Sequence[int]) -> Codes:
        """Their rows, in order; all of them must be there."""
        found: Any = self._index.get(np.array(keys, np.uint64))
        return np.stack(found)

    @property
    def bytes_used(self) -> int:
        rows = len(self._keys) + self.dead
        return INDEX_BYTES + rows * (self.dims + GRAPH_BYTES) + len(self._keys) * KEY_BYTES

    def dump(self) -> bytes:
        """The graph as bytes for `restore`. May run beside searches, not beside changes."""
        raw: Any = self._index.save()
        return bytes(raw)

    @classmethod
    def restore(cls, dims: int, raw: bytes, keys: Iterable[int]) -> "UsearchIndex":
        """What `dump` gave, with the keys it had then.

        Raises:
            StoreError: `raw` is something else.
        """
        made = cls(dims)
        try:
            made._index.load(raw)
        except (ValueError, RuntimeError) as error:
            raise StoreError(f"not a graph of vectors: {error}") from error
        made._keys = set(keys)
        if int(made._index.ndim) != dims or len(made._index) != len(made._keys):
            raise StoreError("a graph of other vectors")
        return made
