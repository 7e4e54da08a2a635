"""The operators' routes for what clients had stored: how many responses there are, and what is noted of chat
completions that providers keep; forgetting those of a tenant."""

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, Struct

from farthing.edge.http.answering import HttpRequest
from farthing.edge.http.body import read_object
from farthing.edge.http.fields import convert
from farthing.edge.operators.listener import Handler, Page
from farthing.errors import InvalidRequest
from farthing.protocols import Held, ResponseStore
from farthing.types import Json

DEPTH_MAX = 4
NODES_MAX = 20
NOTHING = Held()


class _Forgotten(Struct, forbid_unknown_fields=True):
    """What `POST /admin/responses/forget` takes."""

    tenant: Annotated[str, Meta(min_length=1, max_length=200)]


class ResponsesRoutes:
    """See `admin.AdminPart`."""

    name = "responses"

    def __init__(self, store: ResponseStore, completions: ResponseStore) -> None:
        """`completions` has the notes of stored chat completions."""
        self._store = store
        self._completions = completions

    def routes(self) -> Mapping[str, Mapping[bytes, Handler]]:
        """As the Protocol."""
        return {
            "/admin/responses": {b"GET": self.show},
            "/admin/responses/forget": {b"POST": self.forget},
        }

    def pages(self) -> Mapping[str, Page]:
        """As the Protocol."""
        return {}

    async def show(self, http: HttpRequest) -> Json:
        """Raises:
        StoreError: the store failed.
        """
        tenants = await self._store.tenants()
        noted = await self._completions.tenants()
        return {
            "responses": sum(held.responses for held in tenants.values()),
            "bytes": sum(held.bytes for held in tenants.values()),
            "completions": sum(held.responses for held in noted.values()),
            "tenants": [
                {
                    "tenant": tenant,
                    "responses": tenants.get(tenant, NOTHING).responses,
                    "bytes": tenants.get(tenant, NOTHING).bytes,
                    "completions": noted.get(tenant, NOTHING).responses,
                }
                for tenant in sorted({*tenants, *noted})
            ],
        }

    async def forget(self, http: HttpRequest) -> Json:
        """Raises:
        InvalidRequest: the body cannot be read. StoreError: as `show`.
        """
        if not http.headers.get(b"content-type", b"").lower().startswith(b"application/json"):
            raise InvalidRequest("send the body as `content-type: application/json`")
        raw = read_object(http.body, depth_max=DEPTH_MAX, nodes_max=NODES_MAX)
        asked = convert(raw, _Forgotten, hint="; known: tenant")
        deleted = await self._store.forget(asked.tenant)
        return {
            "tenant": asked.tenant,
            "deleted": deleted,
            "completions": await self._completions.forget(asked.tenant),
        }
