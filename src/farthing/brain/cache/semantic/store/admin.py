"""What operators can do with the semantic cache over HTTP: see `protocols.CacheAdmin`."""

from collections.abc import Awaitable, Callable

import msgspec

from farthing.brain.cache.semantic.store.invalidate import read_selection
from farthing.brain.cache.semantic.store.purge import Invalidations
from farthing.types import Json


class SemanticCacheAdmin:
    """Shows and invalidates entries. Endpoints in `check` doubt entries instead of dropping them."""

    def __init__(
        self,
        invalidations: Invalidations,
        *,
        check: frozenset[str] = frozenset(),
        written: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`written` waits until answers that were delivered are stored, so that they are invalidated too.
        None: another process writes them."""
        self._invalidations = invalidations
        self._check = check
        self._written = written

    async def show(self) -> Json:
        return await self._invalidations.show()

    async def invalidate(self, selection: Json, *, apply: bool, who: str) -> Json:
        wanted = read_selection(selection)
        if self._written is not None:
            await self._written()
        if apply:
            found = await self._invalidations.invalidate(wanted, who=who, check=self._check)
        else:
            found = await self._invalidations.find(wanted)
        return {"applied": apply, "selection": msgspec.to_builtins(wanted), **msgspec.to_builtins(found)}

    async def log(self, count: int) -> list[Json]:
        """The newest invalidations, newest first."""
        return await self._invalidations.log(count)
