"""A dict without long pauses.

It consists of many small dicts, with one more from time to time (linear hashing: Litwin 1980, VLDB), because
a single large dict blocks the process whenever it grows: 7 ms at 175,000 keys, 30 at 700,000.
"""

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", int, bytes)
V = TypeVar("V")

SHARD_KEYS = 512
SHARD_BYTES = 100
KEY_BYTES = 104
"""An int and its slot in a dict that is half full."""


def spread(key: int | bytes) -> int:
    """Mix the bits, so that numbers in steps of a power of two, as of partitions that are filled in turn, do
    not all fall into the same few shards (multiplicative hashing: Knuth, TAOCP 3, 6.4)."""
    return (hash(key) * 0x9E3779B97F4A7C15) >> 32


class GradualDict(Generic[K, V]):
    """A mapping without order. None is not a value."""

    __slots__ = ("_count", "_mask", "_shards")

    def __init__(self) -> None:
        self._shards: list[dict[K, V]] = [{}]
        self._mask = 0
        self._count = 0

    def get(self, key: K) -> V | None:
        return self._shard(key).get(key)

    def set(self, key: K, value: V) -> None:
        shard = self._shard(key)
        before = len(shard)
        shard[key] = value
        if len(shard) > before:
            self._count += 1
            if self._count > SHARD_KEYS * len(self._shards):
                self._grow()

    def set_all(self, keys: Iterable[K], value: V) -> None:
        for key in keys:
            self.set(key, value)

    def pop(self, key: K) -> V | None:
        value = self._shard(key).pop(key, None)
        if value is not None:
            self._count -= 1
        return value

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[K]:
        """Changes during iteration are allowed: an added or removed key may be seen, missed, or seen
        twice."""
        number = 0
        while number < len(self._shards):
            yield from tuple(self._shards[number])
            number += 1

    @property
    def bytes_used(self) -> int:
        """For integer keys, and values that are stored elsewhere."""
        return len(self._shards) * SHARD_BYTES + self._count * KEY_BYTES

    def _shard(self, key: K) -> dict[K, V]:
        number = spread(key) & self._mask
        if number >= len(self._shards):
            number &= self._mask >> 1
        return self._shards[number]

    def _grow(self) -> None:
        new = len(self._shards)
        if new > self._mask:
            self._mask = 2 * self._mask + 1
        old = self._shards[new & (self._mask >> 1)]
        stay: dict[K, V] = {}
        go: dict[K, V] = {}
        for key, value in old.items():
            (go if spread(key) & self._mask == new else stay)[key] = value
        self._shards[new & (self._mask >> 1)] = stay
        self._shards.append(go)
