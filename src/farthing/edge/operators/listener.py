"""The operators' listener: any part of the gateway may answer there and mount a page. Closed without a port.

A listener of its own, loopback by default, so that no client's key opens it and no proxy before the clients'
port passes it on. `POST` takes JSON alone and no `Origin`: a page in an operator's browser cannot send it. A
page is as well kept as the rest: it takes the key where there is one.
"""

import hmac
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from html import escape
from typing import Protocol

from msgspec import Struct

from farthing.config import AdminConfig, loopback
from farthing.edge.auth import LOCAL_NAMES
from farthing.edge.http.answering import HttpRequest
from farthing.edge.http.connection import ClientConnection
from farthing.edge.openai import encode, error_body
from farthing.errors import FarthingError, Forbidden, NoSuchRoute, Unauthenticated
from farthing.types import Json

log = logging.getLogger("farthing.admin")

JSON_HEAD = b"server: farthing\r\ncontent-type: application/json\r\n"
PAGE_HEAD = (
    b"server: farthing\r\ncontent-type: %b\r\ncache-control: no-store\r\n"
    b"x-content-type-options: nosniff\r\nx-frame-options: DENY\r\nreferrer-policy: no-referrer\r\n"
    b"content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; "
    b"img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    b"frame-ancestors 'none'\r\n"
    b"cross-origin-opener-policy: same-origin\r\ncross-origin-resource-policy: same-origin\r\n"
)
"""A page runs and loads what is mounted here, and nothing else; no other page may hold it."""
ROOT = "/admin"

Handler = Callable[[HttpRequest], Awaitable[Json]]
"""Answers one request of an operator.

Raises:
    FarthingError: told with its status. StoreError where the part is not there now.
"""


class Page(Struct, frozen=True, kw_only=True):
    """Static bytes served to GET only: a page, or what one loads."""

    content_type: str
    body: bytes


class AdminPart(Protocol):  # edge: cache_admin
    """A part of the gateway that operators may ask. Its paths begin with `/admin/` and are its own."""

    name: str

    def routes(self) -> Mapping[str, Mapping[bytes, Handler]]:
        """Path -> method -> handler. Asked once, at the start."""

    def pages(self) -> Mapping[str, Page]:
        """Path -> page. Asked once, at the start."""


class Admin:
    """The handler of every request of operators.

    Raises:
        ValueError: two parts have one path, or a path is not below `/admin/`.
    """

    def __init__(self, config: AdminConfig, parts: Sequence[AdminPart]) -> None:
        self._key = None if config.key is None else config.key.value
        self._local = loopback(config.host)
        self._routes: dict[str, Mapping[bytes, Handler]] = {ROOT: {b"GET": self._list}}
        self._pages: dict[str, Page] = {}
        self._part: dict[str, str] = {ROOT: "admin"}
        for part in parts:
            routes, pages = part.routes(), part.pages()
            for path in (*routes, *pages):
                if path in self._part or not path.startswith(f"{ROOT}/"):
                    raise ValueError(f"{part.name}: {path} is taken, or not below {ROOT}/")
                self._part[path] = part.name
            self._routes |= routes
            self._pages |= pages

    def mounted(self) -> Iterator[tuple[str, str, list[str], str]]:
        """Part, path, methods and, of a page, its content type."""
        for path, part in sorted(self._part.items()):
            page = self._pages.get(path)
            methods = [b"GET"] if page is not None else [*self._routes[path]]
            yield (
                part,
                path,
                [method.decode() for method in methods],
                "" if page is None else page.content_type,
            )

    async def handle(self, connection: ClientConnection, http: HttpRequest) -> None:
        """Answer one request. Never raises: an unexpected error is logged and answered with 500."""
        try:
            head, body = await self._answer(http)
            connection.answer(200, head, body)
        except FarthingError as error:
            connection.answer(error.status, JSON_HEAD + _also(error), error_body(error))
        except Exception:
            log.exception("an operator's request failed by a fault of ours")
            connection.answer(500, JSON_HEAD, error_body(FarthingError("an internal error; see the log")))
        connection.finish(http.keep_alive)

    async def _answer(self, http: HttpRequest) -> tuple[bytes, bytes]:
        """Header lines and body."""
        self._admit(http)
        path = http.path
        if path not in self._part:
            raise NoSuchRoute(f"there is nothing at {path[:200]}: GET {ROOT} lists what there is")
        page = self._pages.get(path)
        allowed = [b"GET"] if page is not None else [*self._routes[path]]
        if http.method not in allowed:
            allow = ", ".join(method.decode() for method in allowed)
            raise NoSuchRoute(f"{path} takes {allow}", allow=allow)
        if page is None and path == ROOT and b"text/html" in http.headers.get(b"accept", b""):
            page = self._list_page()
        if page is not None:
            return PAGE_HEAD % page.content_type.encode(), page.body
        return JSON_HEAD, encode(await self._routes[path][http.method](http))

    async def _list(self, http: HttpRequest) -> Json:
        listed = (
            {"part": part, "path": path, "methods": methods, "content_type": kind or "application/json"}
            for part, path, methods, kind in self.mounted()
        )
        return {"mounted": list(listed)}

    def _list_page(self) -> Page:
        rows = []
        for part, path, methods, _ in self.mounted():
            shown = escape(path)
            link = f'<a href="{shown}">{shown}</a>' if "GET" in methods else shown
            rows.append(f"<tr><td>{escape(part)}<td>{' '.join(methods)}<td>{link}")
        body = "<!doctype html><meta charset=utf-8><title>Farthing</title><h1>Farthing</h1><table>"
        return Page(content_type="text/html; charset=utf-8", body=f"{body}{''.join(rows)}</table>\n".encode())

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


def _name(host: bytes) -> str:
    name = host.decode("latin-1").lower()
    return name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]


def _also(error: FarthingError) -> bytes:
    if isinstance(error, NoSuchRoute) and error.allow:
        return b"allow: %b\r\n" % error.allow.encode()
    return b"www-authenticate: Bearer\r\n" if isinstance(error, Unauthenticated) else b""
