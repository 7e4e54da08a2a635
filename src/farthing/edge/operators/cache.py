"""The operators' routes for the semantic cache: what it holds, and how to make it forget."""

from collections.abc import Callable, Mapping
from typing import Annotated

from msgspec import Meta, Struct

from farthing.edge.http.answering import HttpRequest
from farthing.edge.http.body import read_object
from farthing.edge.http.fields import convert
from farthing.edge.operators.listener import Handler, Page
from farthing.errors import InvalidRequest, StoreError
from farthing.protocols import CacheAdmin
from farthing.types import Json

DEPTH_MAX = 8
NODES_MAX = 200
WHO = "the API"


class _Invalidation(Struct, forbid_unknown_fields=True):
    """What `POST /admin/cache/invalidate` takes."""

    select: dict[str, object]
    apply: bool = False
    who: Annotated[str, Meta(max_length=200)] = ""
    """Who asked, for the log."""


class CacheRoutes:
    """See `admin.AdminPart`. `cache_admin` gives what serves now, None: there is no cache."""

    name = "cache"

    def __init__(self, cache_admin: Callable[[], CacheAdmin | None]) -> None:
        self._cache_admin = cache_admin

    def routes(self) -> Mapping[str, Mapping[bytes, Handler]]:
        """As the Protocol."""
        return {
            "/admin/cache": {b"GET": self.show},
            "/admin/cache/invalidate": {b"POST": self.invalidate},
        }

    def pages(self) -> Mapping[str, Page]:
        """As the Protocol."""
        return {}

    async def show(self, http: HttpRequest) -> Json:
        """Raises:
        StoreError: there is no cache, or its store failed.
        """
        return await self._there().show()

    async def invalidate(self, http: HttpRequest) -> Json:
        """Raises:
        InvalidRequest: the body cannot be read, or selects by nothing. StoreError: as `show`.
        """
        cache_admin = self._there()
        if not http.headers.get(b"content-type", b"").lower().startswith(b"application/json"):
            raise InvalidRequest("send the body as `content-type: application/json`")
        raw = read_object(http.body, depth_max=DEPTH_MAX, nodes_max=NODES_MAX)
        asked = convert(raw, _Invalidation, hint="; known: select, apply, who")
        who = f"{WHO}: {asked.who}" if asked.who else WHO
        return await cache_admin.invalidate(dict(asked.select), apply=asked.apply, who=who)

    def _there(self) -> CacheAdmin:
        cache_admin = self._cache_admin()
        if cache_admin is None:
            raise StoreError("no endpoint has a semantic cache")
        return cache_admin
