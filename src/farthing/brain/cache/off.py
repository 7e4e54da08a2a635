"""No cache. With keys, identical requests at the same time can still share one call."""

from farthing.brain.cache.keys import CacheKeys
from farthing.types import CacheHit, Request


class NoCache:
    """Keeps nothing. `keys` enables single flight without a cache."""

    def __init__(self, keys: CacheKeys | None = None) -> None:
        self._keys = keys

    def key(self, request: Request) -> bytes | None:
        """None without `keys`: then no call is shared either."""
        return None if self._keys is None else self._keys.key(request)

    async def lookup(self, key: bytes) -> CacheHit | None:
        return None

    async def store(self, key: bytes, hit: CacheHit, *, ttl_s: float | None) -> None:
        return None
