"""Web pages may call where `server.cors_origins` says so, and only there (the Fetch standard)."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import StartGateway
from tests.e2e.gateway import Reply, Running, until
from tests.e2e.wire import answer
from tests.faults.provider import FaultProvider

from farthing.config import key_digest

PAGE = "http://localhost:3000"
APP = "app://obsidian.md"
KEY = {"authorization": "Bearer sk-good"}
CHAT = "/v1/chat/completions"
ASKS = {  # as Chrome sends it
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,x-stainless-arch,x-stainless-lang",
    "access-control-request-private-network": "true",
    "sec-fetch-mode": "cors",
    "sec-fetch-site": "cross-site",
}
EXPOSED = (
    "x-request-id",
    "x-farthing-model",
    "x-farthing-cost-usd",
    "retry-after",
    "x-ratelimit-remaining-requests",
    "*",
)


def configured(upstream: FaultProvider, server: str, keys: bool = True) -> str:
    key = f'[[keys]]\ntenant = "acme"\ndigest = "{key_digest("sk-good")}"\nrequests_per_minute = 600\n'
    return f"""
[server]
body_bytes_max = 100_000
{server}
{key if keys else ""}
[providers.a]
base_url = "{upstream.base_url}"
pass_through = true
[tiers.cheap]
targets = ["a/good"]
"""


@pytest.fixture(scope="module")
def listed(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    return start_gateway(configured(upstream, f'cors_origins = ["{PAGE}", "{APP}", "https://B.example/"]'))


@pytest.fixture(scope="module")
def open_to_all(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    return start_gateway(configured(upstream, f'cors_origins = ["{PAGE}", "*"]'))


@pytest.fixture(scope="module")
def closed_to_all(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    return start_gateway(configured(upstream, ""))


def preflight(gateway: Running, origin: str, path: str = CHAT, **more: str) -> Reply:
    asks = {**ASKS, **{name.replace("_", "-"): value for name, value in more.items()}}
    return gateway.request("OPTIONS", path, headers={"origin": origin, **asks})


def asked(gateway: Running, origin: str | None, path: str = CHAT, **fields: Any) -> Reply:
    body = {"model": "cheap", "messages": [{"role": "user", "content": "hi"}], **fields}
    return gateway.post(path, body, {**KEY, **({} if origin is None else {"origin": origin})})


@pytest.mark.parametrize("origin", [PAGE, APP, "https://b.example"])
@pytest.mark.parametrize(
    "path", [CHAT, "/v1/models", "/v1/models/cheap", "/v1/embeddings", "/llm-inference", "/nowhere"]
)
def test_a_listed_page_gets_leave(listed: Running, origin: str, path: str) -> None:
    reply = preflight(listed, origin, path)
    assert reply.status == 204 and reply.body == b""
    assert "content-length" not in reply.headers and "content-type" not in reply.headers
    assert reply.headers["access-control-allow-origin"] == origin
    assert "POST" in reply.headers["access-control-allow-methods"]
    assert "GET" in reply.headers["access-control-allow-methods"]
    assert reply.headers["access-control-allow-headers"] == ASKS["access-control-request-headers"]
    assert reply.headers["access-control-allow-private-network"] == "true"
    assert int(reply.headers["access-control-max-age"]) > 0
    assert "access-control-allow-credentials" not in reply.headers
    assert "origin" in reply.headers["vary"]


def test_a_preflight_needs_no_key_leaves_no_row_and_lets_the_connection_go_on(listed: Running) -> None:
    rows = len(listed.receipts())
    head = f"OPTIONS {CHAT} HTTP/1.1\r\nHost: x\r\nOrigin: {PAGE}\r\nAccess-Control-Request-Method: POST\r\n"
    with listed.dial() as client:
        for _ in range(3):
            client.sendall(head.encode() + b"\r\n")
            reply = answer(client)
            assert reply.status == 204
            assert "access-control-allow-headers" not in reply.headers, "none was asked for"
            assert "access-control-allow-private-network" not in reply.headers
    assert len(listed.receipts()) == rows


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost:3001",
        "https://localhost:3000",
        "http://evil.example",
        "null",
        PAGE + ".evil.example",
    ],
)
def test_a_page_that_is_not_listed_gets_none_and_the_reason(listed: Running, origin: str) -> None:
    reply = preflight(listed, origin)
    assert reply.status == 403 and "server.cors_origins" in reply.error["message"]
    assert "access-control-allow-origin" not in reply.headers
    assert "access-control-allow-origin" not in asked(listed, origin).headers
    assert asked(listed, origin).headers["vary"] == "origin"


def test_by_default_no_page_is_answered_and_options_says_how_to_allow_it(closed_to_all: Running) -> None:
    for reply in (preflight(closed_to_all, PAGE), closed_to_all.request("OPTIONS", CHAT)):
        assert reply.status in (403, 405) and "cors_origins" in reply.error["message"]
        assert not [name for name in reply.headers if name.startswith("access-control")]
    reply = asked(closed_to_all, PAGE)
    assert reply.status == 200 and "vary" not in reply.headers
    assert not [name for name in reply.headers if name.startswith("access-control")]


def readable(reply: Reply, origin: str = PAGE) -> Reply:
    """`reply`, which a page of `origin` may read with all its headers."""
    assert reply.headers["access-control-allow-origin"] == origin, reply
    assert set(EXPOSED) <= set(reply.headers["access-control-expose-headers"].split(", "))
    assert "access-control-allow-credentials" not in reply.headers
    assert ("origin" in reply.headers.get("vary", "")) == (origin != "*")
    return reply


def test_every_answer_can_be_read_by_a_listed_page(listed: Running) -> None:
    assert readable(asked(listed, PAGE)).status == 200
    assert readable(asked(listed, PAGE)).headers["x-ratelimit-limit-requests"] == "600"
    assert readable(asked(listed, PAGE, stream=True)).said == "echo: hi"
    assert readable(asked(listed, PAGE, messages=[])).status == 400
    assert readable(asked(listed, PAGE, model="farthing/none")).status == 404
    assert readable(asked(listed, PAGE, model="a/fault:U8")).status == 429
    assert readable(asked(listed, PAGE, path="/api/chat")).status == 404
    assert readable(asked(listed, PAGE, path="/v1/models")).status == 405
    assert readable(listed.post(CHAT, {}, {"origin": PAGE})).status == 401
    assert (
        readable(listed.post(CHAT, {}, {**KEY, "origin": PAGE, "content-type": "text/plain"})).status == 415
    )
    assert readable(listed.request("GET", "/v1/models", headers={**KEY, "origin": PAGE})).status == 200


def test_what_the_server_refuses_itself_can_be_read_too(listed: Running) -> None:
    assert readable(asked(listed, PAGE, x="y" * 200_000)).status == 413
    with listed.dial() as client:
        client.sendall(f"POST {CHAT} HTTP/1.1\r\nhost: x\r\norigin: {PAGE}\r\nhost: y\r\n\r\n".encode())
        assert readable(answer(client)).status == 400


def test_answers_to_nobody_in_particular_vary_where_origins_are_listed(listed: Running) -> None:
    reply = asked(listed, None)
    assert reply.headers["vary"] == "origin" and "access-control-allow-origin" not in reply.headers


def test_one_connection_may_serve_several_pages(listed: Running) -> None:
    raw = json.dumps({"model": "cheap", "messages": [{"role": "user", "content": "hi"}]}).encode()
    with listed.dial() as client:
        for origin in (PAGE, "http://evil.example", APP):
            client.sendall(listed.wire(CHAT, raw, "authorization: Bearer sk-good", f"origin: {origin}"))
            told = answer(client).headers.get("access-control-allow-origin")
            assert told == (None if "evil" in origin else origin)


def test_any_site_may_be_allowed_but_not_into_a_private_network(open_to_all: Running) -> None:
    for origin in ("https://any.example", "null"):
        reply = preflight(open_to_all, origin)
        assert reply.status == 204 and reply.headers["access-control-allow-origin"] == "*"
        assert reply.headers["access-control-allow-headers"] == ASKS["access-control-request-headers"]
        assert "access-control-allow-private-network" not in reply.headers
        assert readable(asked(open_to_all, origin), "*").status == 200
    named = preflight(open_to_all, PAGE)
    assert named.headers["access-control-allow-private-network"] == "true"


@pytest.mark.parametrize("name", ["listed", "open_to_all"])
def test_metrics_are_for_no_page(request: pytest.FixtureRequest, name: str) -> None:
    gateway: Running = request.getfixturevalue(name)
    reply = gateway.request("GET", "/metrics", headers={"origin": PAGE})
    assert reply.status == 200 and "access-control-allow-origin" not in reply.headers


@pytest.mark.parametrize(
    "kind", ["text/plain", "multipart/form-data", "application/x-www-form-urlencoded", ""]
)
@pytest.mark.parametrize("name", ["listed", "open_to_all", "closed_to_all"])
def test_no_page_spends_anything_unasked(
    request: pytest.FixtureRequest, upstream: FaultProvider, name: str, kind: str
) -> None:
    gateway: Running = request.getfixturevalue(name)
    calls = len(upstream.calls)
    headers = {**KEY, "origin": "https://any.example", "content-type": kind}
    assert (
        gateway.post(CHAT, {"model": "cheap", "messages": [{"role": "user", "content": "x"}]}, headers).status
        == 415
    )
    assert len(upstream.calls) == calls


def test_odd_header_names_are_not_granted(listed: Running) -> None:
    reply = preflight(listed, PAGE, access_control_request_headers="authorization, x-a: b")
    assert reply.status == 204 and "access-control-allow-headers" not in reply.headers


def test_a_reload_changes_who_may_call(
    start_gateway: StartGateway, upstream: FaultProvider, tmp_path: Path
) -> None:
    gateway = start_gateway(configured(upstream, ""), tmp_path)
    assert preflight(gateway, PAGE).status == 403
    gateway.config.write_text(configured(upstream, f'cors_origins = ["{PAGE}"]'))
    until(lambda: preflight(gateway, PAGE).status == 204)
    readable(asked(gateway, PAGE))
