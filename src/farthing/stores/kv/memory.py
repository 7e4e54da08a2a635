"""Values in a dict, bounded by entries and bytes, with LRU eviction. One process only."""

import time
from collections import OrderedDict
from collections.abc import Callable

# Overhead of an entry besides its key and value: two bytes objects, a tuple, a float and its slot in the
# ordered dict, measured on CPython 3.11 and rounded up. Without it many small values would exceed
# `bytes_max`.
ENTRY_BYTES = 320


class MemoryStore:
    """Holds at most `entries_max` entries and about `bytes_max` bytes of memory.

    `clock` gives monotonic seconds.
    """

    def __init__(
        self, *, entries_max: int, bytes_max: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if entries_max < 1 or bytes_max < 1:
            raise ValueError("a store needs room for something")
        self._entries: OrderedDict[bytes, tuple[float, bytes]] = OrderedDict()
        self._entries_max = entries_max
        self._bytes_max = bytes_max
        self._bytes = 0
        self._clock = clock

    def __len__(self) -> int:
        """Number of entries, including expired ones not yet dropped."""
        return len(self._entries)

    @property
    def size_bytes(self) -> int:
        """Memory used by the entries; never above `bytes_max`."""
        return self._bytes

    async def get(self, key: bytes) -> bytes | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        expires_s, value = entry
        if expires_s > self._clock():
            self._entries.move_to_end(key)
            return value
        self._drop(key)
        return None

    async def set(self, key: bytes, value: bytes, *, ttl_s: float) -> None:
        """See `protocols.KeyValueStore`. An earlier value is gone even if `value` is too large to be
        stored."""
        entries = self._entries
        if key in entries:
            self._drop(key)
        size_bytes = len(key) + len(value) + ENTRY_BYTES
        if size_bytes > self._bytes_max or ttl_s <= 0:
            return
        self._bytes += size_bytes
        while self._bytes > self._bytes_max or len(entries) >= self._entries_max:
            self._drop(next(iter(entries)))
        entries[key] = (self._clock() + ttl_s, value)

    async def aclose(self) -> None:
        self._entries.clear()
        self._bytes = 0

    def _drop(self, key: bytes) -> None:
        self._bytes -= len(key) + len(self._entries.pop(key)[1]) + ENTRY_BYTES
