"""Shared by cache, contract and retrieval."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from farthing.types import (
    Json,
)

if TYPE_CHECKING:
    from farthing.protocols.vectors import Keys, Vector


class KeyValueStore(Protocol):  # stores/kv: memory | sqlite
    async def get(self, key: bytes) -> bytes | None:
        """Return the live value, or None when absent or expired.

        Raises:
            StoreError: the backend failed.
        """

    async def set(self, key: bytes, value: bytes, *, ttl_s: float) -> None:
        """Store `value` for `ttl_s` seconds, replacing any value there.

        Room is made by dropping the entries used longest ago; a value larger than the store's
        whole allowance is not stored, which is no error.

        Raises:
            StoreError: the backend failed.
        """

    async def aclose(self) -> None:
        """Safe to call twice."""


class VectorIndex(Protocol):  # stores/vector: lists
    """Vectors by number, found by cosine. One event loop; `search` takes at most a millisecond."""

    def add(self, key: int, vector: "Vector") -> None:
        """Keep `vector` under `key`, replacing what is there."""

    def remove(self, key: int) -> None:
        """Forget `key`; one that is not there is no error."""

    def search(self, vector: "Vector", count: int) -> Sequence[tuple[int, float]]:
        """The nearest `count` keys with their cosines, nearest first. Approximate where it says so."""

    def __len__(self) -> int: ...

    @property
    def bytes_used(self) -> int:
        """Memory the vectors and the index over them take."""


class PartitionIndex(Protocol):  # stores/vector: partitions
    """A `VectorIndex` for each partition. A search sees nothing of any other partition, not even its time."""

    def add(self, partition: bytes, key: int, vector: "Vector") -> None:
        """Keep `vector` under `key`, replacing what is there."""

    def remove(self, partition: bytes, key: int) -> None:
        """Forget `key`; one that is not there is no error."""

    def search(self, partition: bytes, vector: "Vector", count: int) -> Sequence[tuple[int, float]]:
        """As `VectorIndex.search`; nothing for a partition that is not there."""

    def __len__(self) -> int: ...

    @property
    def bytes_used(self) -> int: ...

    @property
    def changes(self) -> int:
        """How often `add` and `remove` were called."""

    async def save(self, path: Path, *, stamp: str) -> None:
        """Write it to `path`, which is replaced at once when all is on the disk; the loop goes on meanwhile.

        Raises:
            StoreError: it could not be written; the file that was there is still there.
        """

    async def restore(self, path: Path, *, stamp: str, live: "Keys") -> "Keys":
        """Read into this, which is empty, what `save` wrote with this `stamp`, of it the keys among `live`
        (ascending). Returns those of `live` that were not found.

        Raises:
            StoreError: there is none, or it is damaged or another one; this is still empty.
        """

    async def aclose(self) -> None:
        """Safe to call twice."""


class CacheAdmin(Protocol):  # brain/cache/semantic/store: admin
    """What an operator may see and do with the semantic cache. JSON in and out."""

    async def show(self) -> Json:
        """What is kept, per endpoint.

        Raises:
            StoreError: the store failed.
        """

    async def invalidate(self, selection: Json, *, apply: bool, who: str) -> Json:
        """Say what the selection fits and, with `apply`, drop or doubt it and write a row of the log.

        Raises:
            InvalidRequest: the selection cannot be read, or selects by nothing. StoreError.
        """
