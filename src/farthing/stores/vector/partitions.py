"""One index for a whole gateway, and every search confined to one partition of it.

A partition is an index of its own, so that no arithmetic and no filter can let a search see another one. Most
partitions are tiny and cost little more than their vectors; a large one becomes a graph.

What it takes (384 dimensions): 0.5 KB for an entry among many, 0.7 KB in a graph; 1.6 KB for a partition with
its first entry. Nothing is evicted here: whoever keeps the entries watches `bytes_used` and removes.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from farthing.errors import StoreError
from farthing.stores.vector.exact import ExactIndex, Scratch
from farthing.stores.vector.file import EXACT, GRAPH, IndexFile, Record, read
from farthing.stores.vector.growing import EXACT_MAX, GrowingIndex, Main
from farthing.stores.vector.usearch import UsearchIndex

if TYPE_CHECKING:
    from farthing.protocols import Vector

PARTITION_BYTES = 900  # its name, a place in a dict and the objects of an index with nothing in it
WRITE_BYTES = 1_048_576  # gathered before a thread writes them
TURN_PARTITIONS = 20  # copied between two turns of the event loop, 5 us each


class PartitionedIndex:
    """Vectors by partition and key. For one event loop; before one uses it, any one thread may fill it."""

    def __init__(self, dims: int, *, name: str, exact_max: int = EXACT_MAX) -> None:
        """`name` is the embedder's: vectors of another are never loaded into this."""
        self.dims = dims
        self.name = name
        self._exact_max = exact_max
        self._scratch = Scratch(dims)
        # One graph is built at a time, so that building takes one processor at most.
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="vectors")
        self._partitions: dict[bytes, GrowingIndex] = {}
        self._counted: dict[GrowingIndex, int] = {}
        self._bytes = 0
        self._entries = 0

    def add(self, partition: bytes, key: int, vector: "Vector") -> None:
        """Keep `vector` under `key` of `partition`, replacing what is there.

        Raises:
            ValueError: `vector` has another shape, or no direction; `key` is below 0 or above 2**63 - 1.
        """
        if not 0 <= key < 2**63:
            raise ValueError(f"the key {key} is not between 0 and 2**63 - 1")
        index = self._partitions.get(partition)
        if index is None:
            index = self._made()
            index.add(key, vector)
            self._keep(partition, index)
            return
        before = len(index)
        index.add(key, vector)
        self._entries += len(index) - before
        self._count(index)

    def remove(self, partition: bytes, key: int) -> None:
        """Forget it; one that is not there is no error. No search that begins after this finds it."""
        index = self._partitions.get(partition)
        if index is None:
            return
        before = len(index)
        index.remove(key)
        self._entries += len(index) - before
        if len(index):
            self._count(index)
        else:
            self.drop(partition)

    def search(self, partition: bytes, vector: "Vector", count: int) -> Sequence[tuple[int, float]]:
        """The nearest `count` keys of `partition` with their cosines (to within 0.002), nearest first."""
        index = self._partitions.get(partition)
        return () if index is None else index.search(vector, count)

    def drop(self, partition: bytes) -> None:
        """Forget all of a partition at once."""
        index = self._partitions.pop(partition, None)
        if index is None:
            return
        self._entries -= len(index)
        self._bytes -= self._counted.pop(index, 0)
        index.abandon()

    def keys(self, partition: bytes) -> set[int]:
        index = self._partitions.get(partition)
        return set() if index is None else index.keys()

    def partitions(self) -> tuple[bytes, ...]:
        return tuple(self._partitions)

    def __len__(self) -> int:
        """Entries in all partitions."""
        return self._entries

    @property
    def bytes_used(self) -> int:
        """Memory of all of it, reckoned from sizes that were measured."""
        return self._bytes

    def _made(self) -> GrowingIndex:
        return GrowingIndex(
            self.dims,
            exact_max=self._exact_max,
            scratch=self._scratch,
            executor=self._executor,
            settled=self._count,
        )

    def _keep(self, partition: bytes, index: GrowingIndex) -> None:
        self._partitions[partition] = index
        self._counted[index] = 0
        self._entries += len(index)
        self._count(index)

    def _count(self, index: GrowingIndex) -> None:
        before = self._counted.get(index)
        if before is not None:  # else it was dropped while it was rebuilt
            after = PARTITION_BYTES + index.bytes_used
            self._counted[index] = after
            self._bytes += after - before

    # -- in a file --------------------------------------------------------------------------------

    async def save(self, path: Path, *, stamp: str = "") -> None:
        """Write all of it to `path`, which is replaced at once when all is on the disk.

        The event loop goes on meanwhile. Each partition is written as it was at one moment, not all at the
        same one. `stamp` says what state of the entries this belongs to; `load` wants the same.

        Raises:
            StoreError: it could not be written; the file that was there is still there.
        """
        loop = asyncio.get_running_loop()
        file = await loop.run_in_executor(None, IndexFile, path, self.name, self.dims, stamp)
        try:
            waiting: list[Record] = []
            size = 0
            for turn, (partition, index) in enumerate(tuple(self._partitions.items())):
                record = await self._recorded(partition, index)
                if record is None:
                    continue
                waiting.append(record)
                size += len(record.body)
                if size > WRITE_BYTES:
                    await loop.run_in_executor(None, file.write, waiting)
                    waiting, size = [], 0
                elif turn % TURN_PARTITIONS == 0:
                    await asyncio.sleep(0)
            await loop.run_in_executor(None, file.write, waiting)
            await loop.run_in_executor(None, file.commit)
        finally:
            file.close()

    async def _recorded(self, partition: bytes, index: GrowingIndex) -> Record | None:
        """None: it was dropped meanwhile."""
        if index.small:
            return _record(partition, index.main)
        try:
            return await index.frozen(partial(_record, partition))
        except StoreError:
            if self._partitions.get(partition) is index:
                raise
            return None

    @classmethod
    def load(
        cls, path: Path, dims: int, *, name: str, stamp: str = "", exact_max: int = EXACT_MAX
    ) -> "PartitionedIndex":
        """What `save` wrote. Takes about 1 s for 500 MB: in a thread.

        Raises:
            StoreError: there is none, it is damaged, or it is of another embedder or another `stamp`.
                Nothing of it is used; the index has to be made anew from the entries.
        """
        made = cls(dims, name=name, exact_max=exact_max)
        for record in read(path, name, dims, stamp):
            index = made._made()
            index.main = _restored(record, dims, made._scratch)
            made._keep(record.partition, index)
        return made

    async def aclose(self) -> None:
        """Stop what goes on in the background. Safe to call twice."""
        for index in tuple(self._partitions.values()):
            await index.aclose()
        self._executor.shutdown(wait=False, cancel_futures=True)


def _record(partition: bytes, main: Main) -> Record:
    keys = main.keys()
    raw = np.array(keys, np.uint64).tobytes()
    if isinstance(main, UsearchIndex):
        return Record(partition=partition, kind=GRAPH, keys=raw, body=main.dump())
    body = main.codes(keys).tobytes() if keys else b""
    return Record(partition=partition, kind=EXACT, keys=raw, body=body)


def _restored(record: Record, dims: int, scratch: Scratch) -> Main:
    keys = np.frombuffer(record.keys, np.uint64).tolist()
    if record.kind == GRAPH:
        return UsearchIndex.restore(dims, record.body, keys)
    if len(record.body) != len(keys) * dims:
        raise StoreError("vectors and keys do not match")
    index = ExactIndex(dims, scratch=scratch)
    for key, code in zip(keys, np.frombuffer(record.body, np.int8).reshape(-1, dims), strict=True):
        index.put(key, code)
    return index
