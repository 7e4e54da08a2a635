"""The operators' listener: what parts may mount, and who gets it."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, cast

import pytest

from farthing.config import AdminConfig, Secret
from farthing.edge.http.answering import HttpRequest
from farthing.edge.http.connection import ClientConnection
from farthing.edge.operators.cache import CacheRoutes
from farthing.edge.operators.listener import Admin, AdminPart, Handler, Page
from farthing.types import Json

LOCAL = {b"host": b"localhost:1"}


class Part:
    """A part with a route and a page."""

    name = "toy"

    def __init__(self, path: str = "/admin/toy") -> None:
        self._path = path

    def routes(self) -> Mapping[str, Mapping[bytes, Handler]]:
        return {self._path: {b"GET": self._get, b"POST": self._get}}

    def pages(self) -> Mapping[str, Page]:
        return {f"{self._path}/page": Page(content_type="text/html; charset=utf-8", body=b"<p>hello")}

    async def _get(self, http: HttpRequest) -> Json:
        return {"said": http.method.decode()}


class Client:
    """A connection that keeps what it is answered."""

    def __init__(self) -> None:
        self.status, self.head, self.body = 0, "", b""

    def answer(self, status: int, headers: bytes, body: bytes) -> None:
        self.status, self.head, self.body = status, headers.decode(), body

    def finish(self, keep_alive: bool) -> None:
        pass


def asked(
    path: str,
    method: bytes = b"GET",
    *,
    key: str = "",
    parts: tuple[AdminPart, ...] | None = None,
    **more: str,
) -> Client:
    config = AdminConfig(key=Secret("KEY", key) if key else None)
    admin = Admin(config, (CacheRoutes(lambda: None), Part()) if parts is None else parts)
    client = Client()
    headers = LOCAL | {name.encode(): value.encode() for name, value in more.items()}
    http = HttpRequest(method, path, headers, b"")
    asyncio.run(admin.handle(cast(ClientConnection, client), http))
    return client


def test_a_part_that_is_not_there_answers_for_itself_alone() -> None:
    assert asked("/admin/cache").status == 503
    assert asked("/admin/toy").status == 200


def test_the_root_lists_what_is_mounted_for_programs_and_for_people() -> None:
    listed = json.loads(asked("/admin").body)["mounted"]
    assert {one["path"]: one["part"] for one in listed} == {
        "/admin": "admin",
        "/admin/cache": "cache",
        "/admin/cache/invalidate": "cache",
        "/admin/toy": "toy",
        "/admin/toy/page": "toy",
    }
    page = asked("/admin", accept="text/html,*/*;q=0.8")
    assert "text/html" in page.head and b'<a href="/admin/toy/page">' in page.body


def test_a_page_comes_with_a_policy_and_takes_get_alone() -> None:
    page = asked("/admin/toy/page")
    assert (page.status, page.body) == (200, b"<p>hello")
    for line in (
        "default-src 'none'",
        "frame-ancestors 'none'",
        "nosniff",
        "no-store",
        "x-frame-options: DENY",
    ):
        assert line in page.head
    refused = asked("/admin/toy/page", b"POST")
    assert refused.status == 405 or "allow: GET" in refused.head


@pytest.mark.parametrize("path", ["/admin", "/admin/toy", "/admin/toy/page"])
def test_everything_is_kept_as_well(path: str) -> None:
    assert asked(path, key="k").status == 401
    assert asked(path, key="k", authorization="Bearer k").status == 200
    assert asked(path, host="evil.example").status == 403
    assert asked(path, origin="http://localhost:1").status == 403


@pytest.mark.parametrize("path", ["/admin", "/elsewhere"])
def test_a_path_is_one_parts_and_below_the_root(path: str) -> None:
    with pytest.raises(ValueError, match="is taken, or not below"):
        Admin(AdminConfig(), (Part(path),))
    with pytest.raises(ValueError, match="is taken"):
        Admin(AdminConfig(), (Part(), Part()))


def test_what_is_not_there_leads_to_the_list() -> None:
    said: Any = json.loads(asked("/admin/nope").body)
    assert "GET /admin lists" in said["error"]["message"]
