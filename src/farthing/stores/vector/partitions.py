"""One index for the whole gateway, where every search sees exactly one partition.

A partition is an index of its own, so that neither arithmetic nor a filter can let a search see another one.
Most partitions are tiny and cost little more than their vectors.

Memory (384 dimensions): 0.6 KB for an entry among many; 1.1 KB for a partition with its first entry. Nothing
is evicted here: whoever stores the entries watches `bytes_used` and removes some.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from farthing.errors import StoreError
from farthing.stores.vector.file import IndexFile, Record, read
from farthing.stores.vector.gradual import GradualDict
from farthing.stores.vector.lists import LIST_MAX, SCAN_ROWS, ListedIndex

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from farthing.protocols import Keys, Vector

PARTITION_BYTES = 200  # its name and its slot in a dict
PIECE_BYTES = 1_048_576  # gathered before a thread writes them
PIECE_LISTS = 32  # read by a thread at once: 3 MB
TURN_LISTS = 4  # copied between two iterations of the event loop, 0.1 ms each


class PartitionedIndex:
    """Vectors by partition and key. For one event loop; before that, any one thread may fill it."""

    def __init__(self, dims: int, *, name: str, list_max: int = LIST_MAX, scan_rows: int = SCAN_ROWS) -> None:
        """`name` is the embedder's: vectors of another embedder are never loaded."""
        self.dims = dims
        self.name = name
        self._list_max = list_max
        self._scan_rows = scan_rows
        self._partitions: GradualDict[bytes, ListedIndex] = GradualDict()
        self._bytes = 0
        self._entries = 0
        self.changes = 0
        """Number of calls of `add` and `remove`."""

    def add(self, partition: bytes, key: int, vector: "Vector") -> None:
        """Store `vector` under `key` of `partition`, replacing an existing one.

        Raises:
            ValueError: `vector` has another shape, or no direction; `key` is below 0 or above 2**63 - 1.
        """
        if not 0 <= key < 2**63:
            raise ValueError(f"the key {key} is not between 0 and 2**63 - 1")
        self.changes += 1
        with self._changing(partition) as index:
            index.add(key, vector)

    def remove(self, partition: bytes, key: int) -> None:
        """Remove it; a missing key is not an error. No search that begins afterwards finds it."""
        self.changes += 1
        if self._partitions.get(partition) is not None:
            with self._changing(partition) as index:
                index.remove(key)

    def search(self, partition: bytes, vector: "Vector", count: int) -> Sequence[tuple[int, float]]:
        """The nearest `count` keys of `partition` with their cosines (to within 0.004), nearest first."""
        index = self._partitions.get(partition)
        return () if index is None else index.search(vector, count)

    def drop(self, partition: bytes) -> None:
        """Remove a whole partition at once."""
        index = self._partitions.pop(partition)
        if index is not None:
            self._entries -= len(index)
            self._bytes -= PARTITION_BYTES + index.bytes_used

    def keys(self, partition: bytes) -> set[int]:
        index = self._partitions.get(partition)
        lists = () if index is None else index.lists()
        return {key for each in lists for key in each.keys[: each.used].tolist()}

    def partitions(self) -> tuple[bytes, ...]:
        return tuple(self._partitions)

    def __len__(self) -> int:
        """Entries in all partitions."""
        return self._entries

    @property
    def bytes_used(self) -> int:
        """Total memory, calculated from measured sizes."""
        return self._bytes

    @contextmanager
    def _changing(self, partition: bytes) -> Iterator[ListedIndex]:
        """The index of `partition`, which is kept afterwards if it is not empty, and is counted."""
        index = self._partitions.get(partition)
        if index is None:
            index = ListedIndex(self.dims, list_max=self._list_max, scan_rows=self._scan_rows)
            entries = size = 0
        else:
            entries, size = len(index), PARTITION_BYTES + index.bytes_used
        yield index
        self._entries += len(index) - entries
        if len(index):
            self._partitions.set(partition, index)
            self._bytes += PARTITION_BYTES + index.bytes_used - size
        else:
            self._partitions.pop(partition)
            self._bytes -= size

    # -- in a file --------------------------------------------------------------------------------

    async def save(self, path: Path, *, stamp: str) -> None:
        """Write everything to `path`, which is replaced atomically once all is on the disk.

        The event loop continues meanwhile, and so may changes: entries added or removed before this returns
        may be in the file or not. `restore` needs the same `stamp`.

        Raises:
            StoreError: it could not be written; the previous file is unchanged.
        """
        loop = asyncio.get_running_loop()
        file = await loop.run_in_executor(None, IndexFile, path, self.name, self.dims, stamp)
        try:
            waiting: list[Record] = []
            size = 0
            for turn, record in enumerate(self._records()):
                waiting.append(record)
                size += len(record.codes)
                if size > PIECE_BYTES:
                    await loop.run_in_executor(None, file.write, waiting)
                    waiting, size = [], 0
                elif turn % TURN_LISTS == 0:
                    await asyncio.sleep(0)
            await loop.run_in_executor(None, file.write, waiting)
            await loop.run_in_executor(None, file.commit)
        finally:
            file.close()

    def _records(self) -> Iterator[Record]:
        for partition in self._partitions:
            index = self._partitions.get(partition)
            for each in () if index is None else index.lists():
                used = each.used
                keys, codes = each.keys[:used].tobytes(), each.codes[:used].tobytes()
                yield Record(partition=partition, keys=keys, codes=codes)

    async def restore(self, path: Path, *, stamp: str, live: "Keys") -> "Keys":
        """Load what `save` wrote into this index, which must be empty: the keys that are among `live`, which
        is in ascending order; each key is in one partition. Returns the keys of `live` that were not found.
        The event loop continues meanwhile.

        Raises:
            StoreError: there is no file, it is damaged, or it has another embedder or another `stamp`.
            This index is
                still empty; it has to be rebuilt from the entries.
        """
        if not len(live):
            return live
        loop = asyncio.get_running_loop()
        records = read(path, self.name, self.dims, stamp)
        found = np.zeros(len(live), np.bool_)
        try:
            while piece := await loop.run_in_executor(None, lambda: list(islice(records, PIECE_LISTS))):
                for record in piece:
                    self._restore(record, live, found)
                    await asyncio.sleep(0)
        except StoreError:
            for partition in self.partitions():
                self.drop(partition)
            raise
        return await loop.run_in_executor(None, lambda: live[~found])  # 3 ms of a million

    def _restore(self, record: Record, live: "Keys", found: "NDArray[np.bool_]") -> None:
        keys = np.frombuffer(record.keys, np.int64)
        codes = np.frombuffer(record.codes, np.int8).reshape(-1, self.dims)
        places = np.searchsorted(live, keys).clip(max=len(live) - 1)
        # A row that moved from one list to another while they were saved may be in both.
        wanted = (live[places] == keys) & ~found[places]
        if not wanted.any():
            return
        found[places[wanted]] = True
        with self._changing(record.partition) as index:
            index.put_list(keys[wanted], codes[wanted])

    async def aclose(self) -> None:
        """Nothing runs in the background. Safe to call twice."""
