"""Where responses are kept that their clients may come back to, or what is noted of those that a provider
keeps."""

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct


class StoredResponse(Struct, frozen=True, kw_only=True):
    """One response with all that it was made from."""

    id: str
    tenant: str
    """It exists for this tenant alone."""
    endpoint: str
    created_unix_s: float
    expires_unix_s: float
    body: bytes
    """The response object in JSON, with the encrypted content of its reasoning; of one that a provider keeps,
    what is noted of it."""
    items: bytes
    """All input items in JSON, a list: those of the responses that it continues too. Empty where a provider
    keeps them."""


class Held(Struct, frozen=True, kw_only=True):
    """What a store holds, of all tenants or of one."""

    responses: int = 0
    bytes: int = 0


class ResponseStore(Protocol):  # stores/responses: memory | sqlite
    """Responses by tenant and id. Bounded: the oldest make room, those of a tenant at its share first.

    One that has expired is not there, whether it was deleted yet or not.

    Raises, each of them:
        StoreError: the backend failed; nothing was changed.
    """

    @property
    def held(self) -> Held:
        """What is kept, as far as this process knows. Raises nothing."""

    async def ready(self) -> None:
        """Fails where a response cannot be kept now, as far as that can be told before there is one."""

    async def put(self, response: StoredResponse) -> bool:
        """Keep it, in the place of one of the same id; False: it is larger than may be kept, and nothing was
        changed. Safe to repeat."""

    async def get(self, tenant: str, id: str) -> StoredResponse | None:
        """None: there is none of that id for this tenant."""

    async def page(
        self, tenant: str, *, after: str = "", limit: int, newest_first: bool = False
    ) -> tuple[StoredResponse, ...] | None:
        """At most `limit` of a tenant in the order in which they came, from behind the one called `after` on;
        empty: there are no more. None: there is no `after` for this tenant."""

    async def delete(self, tenant: str, id: str) -> bool:
        """Forget it, with its content; False: there was none."""

    async def sweep(self) -> int:
        """Delete what has expired; how many there were."""

    async def tenants(self) -> Mapping[str, Held]:
        """What is kept of each tenant, what has expired included until it is swept."""

    async def forget(self, tenant: str) -> int:
        """Delete all of one tenant; how many there were."""

    async def aclose(self) -> None:
        """Safe to call twice."""
