"""What holds for every door that is answered by a model, whatever its dialect."""

from typing import Any, Final

import pytest
from tests.conftest import StartGateway
from tests.e2e.gateway import Reply, Running
from tests.faults.provider import FaultProvider

from farthing.edge.routes import ROUTES, Inference

KEY: Final = "fk-of-the-client-0123456789"
PAGE: Final = "https://page.example"
DOORS: Final = sorted(
    path
    for path, methods in ROUTES.items()
    if any(isinstance(handler, Inference) for handler in methods.values())
)


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    return start_gateway(
        f"""
[server]
cors_origins = ["{PAGE}"]
body_bytes_max = 4096
[[keys]]
tenant = "acme"
key = "${{CLIENT_KEY}}"
requests_per_minute = 6000
models = ["a/allowed"]
[providers.a]
base_url = "{upstream.base_url}"
pass_through = true
[tiers.cheap]
targets = ["a/good"]
""",
        CLIENT_KEY=KEY,
    )


def ask(gateway: Running, door: str, body: Any, **more: str) -> Reply:
    return gateway.post(door, body, {"authorization": f"Bearer {KEY}", **more})


def told(reply: Reply) -> Any:
    """The error in either dialect, which has a type and a message in each."""
    assert reply.error["message"] and reply.error["type"]
    return reply.error


@pytest.mark.parametrize("door", DOORS)
def test_a_page_is_answered_where_its_site_is_listed(gateway: Running, door: str) -> None:
    asks = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    good = gateway.request("OPTIONS", door, headers={"origin": PAGE, **asks})
    assert good.status == 204 and good.headers["access-control-allow-origin"] == PAGE
    assert gateway.request("OPTIONS", door, headers={"origin": "https://evil.example", **asks}).status == 403
    for body in ({}, {"model": "a/allowed"}):
        reply = ask(gateway, door, body, origin=PAGE)
        assert reply.headers["access-control-allow-origin"] == PAGE
        assert "x-request-id" in reply.headers["access-control-expose-headers"]


@pytest.mark.parametrize("door", DOORS)
def test_whoever_has_no_key_hears_so(gateway: Running, door: str) -> None:
    for head in ({}, {"authorization": "Bearer wrong"}, {"api-key": "wrong"}, {"x-api-key": "wrong"}):
        reply = gateway.post(door, {}, head)
        assert reply.status == 401 and told(reply) and reply.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("door", DOORS)
def test_every_answer_has_an_id_and_the_rate(gateway: Running, door: str) -> None:
    reply = ask(gateway, door, {"model": 5})
    assert reply.status == 400 and told(reply)
    assert reply.headers["x-request-id"] == reply.headers["request-id"]
    assert int(reply.headers["x-ratelimit-remaining-requests"]) < 6000


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("body", "head", "status"),
    [
        (b"", {}, 400),
        (b"{", {}, 400),
        (b"[]", {}, 400),
        (b'{"model": "a", "model": "b"}', {}, 400),
        (b"{}", {"content-encoding": "gzip"}, 415),
        (b"{}", {"content-type": "text/plain"}, 415),
        (b"{}", {"content-type": "application/x-www-form-urlencoded"}, 415),
        (b" " * 5_000, {}, 413),
    ],
)
def test_what_cannot_be_read_is_refused_alike(
    gateway: Running, door: str, body: bytes, head: dict[str, str], status: int
) -> None:
    reply = ask(gateway, door, body, **head)
    assert reply.status == status and told(reply)


@pytest.mark.parametrize("door", [door for door in DOORS if door.startswith("/v1/") and door != "/v1/ask"])
def test_a_model_that_the_key_may_not_ask_for_is_refused(
    gateway: Running, upstream: FaultProvider, door: str
) -> None:
    before = len(upstream.calls)
    says = [{"role": "user", "content": "x"}]
    fields: dict[str, Any] = {
        "messages": {"messages": says, "max_tokens": 5},
        "count_tokens": {"messages": says},
    }
    fields |= {name: {"input": "x"} for name in ("responses", "compact", "input_tokens")}
    body = fields.get(door.rpartition("/")[2], {"prompt": "x"})
    if door in ("/v1/chat/completions", "/v1/embeddings"):
        body = {"messages": says, "input": "x"}
    reply = ask(gateway, door, {"model": "a/other", **body})
    assert reply.status == 403 and told(reply)
    assert len(upstream.calls) == before


@pytest.mark.parametrize("door", DOORS)
def test_a_refused_request_leaves_one_receipt(gateway: Running, door: str) -> None:
    reply = ask(gateway, door, {"model": 5})
    if reply.status != 400 or ROUTES[door][b"POST"].counts:  # type: ignore[union-attr]
        return
    assert gateway.receipt_of(reply).status == 400
