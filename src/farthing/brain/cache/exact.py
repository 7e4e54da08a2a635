"""Return stored answers to identical requests: same tenant, endpoint and body, field by field."""

import msgspec

from farthing.brain.cache.keys import CacheKeys
from farthing.protocols import KeyValueStore
from farthing.types import CacheHit, Request

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(CacheHit).decode


class ExactCache:
    """Keeps complete answers in a key-value store for `ttl_s`, none larger than `answer_bytes_max`."""

    def __init__(self, store: KeyValueStore, *, ttl_s: float, answer_bytes_max: int, keys: CacheKeys) -> None:
        self._store = store
        self._ttl_s = ttl_s
        self._answer_bytes_max = answer_bytes_max
        self._keys = keys

    def key(self, request: Request) -> bytes | None:
        """See `CacheKeys.key`."""
        return self._keys.key(request)

    async def lookup(self, key: bytes) -> CacheHit | None:
        """Return the stored answer, or None.

        Raises:
            StoreError: the store failed.
        """
        found = await self._store.get(key)
        if found is None:
            return None
        try:
            return _decode(found)
        except msgspec.MsgspecError:
            return None  # written by another version: a miss, replaced by the next answer

    async def store(self, key: bytes, hit: CacheHit, *, ttl_s: float | None) -> None:
        """Keep `hit` for `ttl_s` (None: the cache's own). An answer that is too large is not kept.

        Raises:
            StoreError: the store failed.
        """
        if len(hit.body) <= self._answer_bytes_max:
            await self._store.set(key, _encode(hit), ttl_s=self._ttl_s if ttl_s is None else ttl_s)
