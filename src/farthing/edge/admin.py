"""The operators' listener: what the cache holds, and what is to be forgotten. Closed unless it has a port.

A listener of its own, loopback by default, so that no client's key opens it and no proxy before the clients'
port passes it on. `POST` takes JSON alone and no `Origin`: a page in an operator's browser cannot send it.
"""

import hmac
import logging
from collections.abc import Callable
from typing import Annotated

from msgspec import Meta, Struct

from farthing.config import AdminConfig, loopback
from farthing.edge.auth import LOCAL_NAMES
from farthing.edge.http.answering import HttpRequest
from farthing.edge.http.body import read_object
from farthing.edge.http.connection import ClientConnection
from farthing.edge.http.fields import convert
from farthing.edge.openai import encode, error_body
from farthing.errors import FarthingError, Forbidden, InvalidRequest, NoSuchRoute, StoreError, Unauthenticated
from farthing.protocols import CacheAdmin
from farthing.types import Json

log = logging.getLogger("farthing.admin")

JSON_HEAD = b"server: farthing\r\ncontent-type: application/json\r\n"
DEPTH_MAX = 8
NODES_MAX = 200
WHO = "the API"


class _Invalidation(Struct, forbid_unknown_fields=True):
    """What `POST /admin/cache/invalidate` takes."""

    select: dict[str, object]
    apply: bool = False
    who: Annotated[str, Meta(max_length=200)] = ""
    """Who asks, for the log."""


class Admin:
    """The handler of every request of operators. `keeper` gives what serves now, None: there is no cache."""

    def __init__(self, config: AdminConfig, keeper: Callable[[], CacheAdmin | None]) -> None:
        self._key = None if config.key is None else config.key.value
        self._local = loopback(config.host)
        self._keeper = keeper

    async def handle(self, connection: ClientConnection, http: HttpRequest) -> None:
        """Answer one request. Never raises: what is not foreseen is logged and answered 500."""
        try:
            body = encode(await self._answer(http))
            connection.answer(200, JSON_HEAD, body)
        except FarthingError as error:
            connection.answer(error.status, JSON_HEAD + _also(error), error_body(error))
        except Exception:
            log.exception("an operator's request failed by a fault of ours")
            connection.answer(500, JSON_HEAD, error_body(FarthingError("an internal error; see the log")))
        connection.finish(http.keep_alive)

    async def _answer(self, http: HttpRequest) -> Json:
        self._admit(http)
        route = ADMIN_ROUTES.get(http.path)
        if route is None:
            raise NoSuchRoute(f"there is nothing at {http.path[:200]}: see the HTTP API documentation")
        if http.method not in route:
            allow = ", ".join(method.decode() for method in route)
            raise NoSuchRoute(f"{http.path} takes {allow}", allow=allow)
        keeper = self._keeper()
        if keeper is None:
            raise StoreError("no endpoint has a semantic cache")
        return await route[http.method](keeper, http)

    def _admit(self, http: HttpRequest) -> None:
        """Raises:
        Unauthenticated: not the key. Forbidden: a page of another site, or a name that others gave to us.
        """
        if self._key is not None:
            said = http.headers.get(b"authorization", b"")
            given = said[7:].strip() if said[:7].lower() == b"bearer " else b""
            if not hmac.compare_digest(given, self._key.encode()):
                raise Unauthenticated("send `Authorization: Bearer KEY` with the key of [admin]")
        elif _name(http.headers.get(b"host", b"")) not in LOCAL_NAMES:
            raise Forbidden("without a key only localhost is answered to: set admin.key")
        if b"origin" in http.headers:
            raise Forbidden("this is not for pages: no Origin is answered")


async def show(keeper: CacheAdmin, http: HttpRequest) -> Json:
    return await keeper.show()


async def invalidate(keeper: CacheAdmin, http: HttpRequest) -> Json:
    if not http.headers.get(b"content-type", b"").lower().startswith(b"application/json"):
        raise InvalidRequest("send the body as `content-type: application/json`")
    raw = read_object(http.body, depth_max=DEPTH_MAX, nodes_max=NODES_MAX)
    asked = convert(raw, _Invalidation, hint="; known: select, apply, who")
    who = f"{WHO}: {asked.who}" if asked.who else WHO
    return await keeper.invalidate(dict(asked.select), apply=asked.apply, who=who)


def _name(host: bytes) -> str:
    name = host.decode("latin-1").lower()
    return name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]


def _also(error: FarthingError) -> bytes:
    if isinstance(error, NoSuchRoute) and error.allow:
        return b"allow: %b\r\n" % error.allow.encode()
    return b"www-authenticate: Bearer\r\n" if isinstance(error, Unauthenticated) else b""


ADMIN_ROUTES = {
    "/admin/cache": {b"GET": show},
    "/admin/cache/invalidate": {b"POST": invalidate},
}
"""Path -> method -> handler. `docs/openapi-admin.json` lists the same, and a test compares the two."""
