"""Responses in memory: gone when the process ends. One process only."""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from itertools import islice

from farthing.errors import StoreError
from farthing.protocols import Held, StoredResponse
from farthing.stores.responses.bounds import Bounds, size_of

_Key = tuple[str, str]
"""Tenant and id."""


class MemoryResponses:
    """See `protocols.ResponseStore`. `clock` gives Unix seconds."""

    immediate = True

    def __init__(self, bounds: Bounds, clock: Callable[[], float] = time.time) -> None:
        self._bounds = bounds
        self._clock = clock
        self._responses: OrderedDict[_Key, StoredResponse] = OrderedDict()
        """The oldest first."""
        self._of_tenant: dict[str, OrderedDict[_Key, int]] = {}
        """Sizes in bytes, in the same order."""
        self._bytes_of: dict[str, int] = {}
        self._bytes = 0
        self._closed = False

    @property
    def held(self) -> Held:
        return Held(responses=len(self._responses), bytes=self._bytes)

    async def ready(self) -> None:
        self._check_open()

    async def put(self, response: StoredResponse) -> bool:
        self._check_open()
        bounds, size, tenant = self._bounds, size_of(response), response.tenant
        if not bounds.fits(size):
            return False
        key = tenant, response.id
        of_tenant = self._of_tenant.setdefault(tenant, OrderedDict())
        more = size - of_tenant.get(key, 0)
        self._responses[key] = response
        of_tenant[key] = size
        self._bytes += more
        self._bytes_of[tenant] = self._bytes_of.get(tenant, 0) + more
        while (
            len(of_tenant) > bounds.tenant_responses_max or self._bytes_of[tenant] > bounds.tenant_bytes_max
        ):
            self._drop(next(iter(of_tenant)))
        while len(self._responses) > bounds.responses_max or self._bytes > bounds.bytes_max:
            self._drop(next(iter(self._responses)))
        return True

    async def get(self, tenant: str, id: str) -> StoredResponse | None:
        self._check_open()
        found = self._responses.get((tenant, id))
        return found if found is not None and found.expires_unix_s > self._clock() else None

    async def page(
        self, tenant: str, *, after: str = "", limit: int, newest_first: bool = False
    ) -> tuple[StoredResponse, ...] | None:
        self._check_open()
        if after and await self.get(tenant, after) is None:
            return None
        keys = self._of_tenant.get(tenant) or OrderedDict()
        ordered = iter(reversed(keys) if newest_first else keys)
        if after:
            for key in ordered:
                if key[1] == after:
                    break
        now_s = self._clock()
        alive = (one for key in ordered if (one := self._responses[key]).expires_unix_s > now_s)
        return tuple(islice(alive, limit))

    async def delete(self, tenant: str, id: str) -> bool:
        if await self.get(tenant, id) is None:
            return False
        self._drop((tenant, id))
        return True

    async def sweep(self) -> int:
        self._check_open()
        now_s = self._clock()
        expired = [key for key, one in self._responses.items() if one.expires_unix_s <= now_s]
        for key in expired:
            self._drop(key)
        return len(expired)

    async def tenants(self) -> Mapping[str, Held]:
        self._check_open()
        return {
            tenant: Held(responses=len(keys), bytes=self._bytes_of[tenant])
            for tenant, keys in self._of_tenant.items()
        }

    async def forget(self, tenant: str) -> int:
        self._check_open()
        keys = list(self._of_tenant.get(tenant, ()))
        for key in keys:
            self._drop(key)
        return len(keys)

    async def aclose(self) -> None:
        self._closed = True
        self._responses.clear()
        self._of_tenant.clear()
        self._bytes_of.clear()
        self._bytes = 0

    def _check_open(self) -> None:
        """Raises:
        StoreError: it is closed.
        """
        if self._closed:
            raise StoreError("the store is closed")

    def _drop(self, key: _Key) -> None:
        if self._responses.pop(key, None) is None:
            return
        tenant = key[0]
        size = self._of_tenant[tenant].pop(key)
        self._bytes -= size
        self._bytes_of[tenant] -= size
        if not self._of_tenant[tenant]:
            del self._of_tenant[tenant], self._bytes_of[tenant]
