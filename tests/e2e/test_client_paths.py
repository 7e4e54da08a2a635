"""Clients that spell a path or a base URL in their own way are served, or told what they meant."""

from urllib.parse import quote

import pytest
from openai import NotFoundError, OpenAI
from tests.conftest import StartGateway
from tests.e2e.gateway import Running
from tests.faults.provider import FaultProvider

from farthing.config import key_digest
from farthing.edge.routes import ROUTES

KEY = {"authorization": "Bearer sk-good"}
CHAT = {"model": "cheap", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    return start_gateway(f"""
[[keys]]
tenant = "acme"
digest = "{key_digest("sk-good")}"
[providers.a]
base_url = "{upstream.base_url}"
[tiers.cheap]
targets = ["a/good", "a/org/deep-model", "a/größe:7b"]
""")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completions/",
        "/v1//chat/completions",
        "//v1/chat/completions",
        "/v1/chat//completions//",
        "/v1/chat/completions?api-version=2024-10-21",
        "/v1/chat/completions/?a=b#c",
    ],
)
def test_slashes_too_many_and_queries_are_read_over(gateway: Running, path: str) -> None:
    assert gateway.post(path, CHAT, KEY).json["choices"][0]["message"]["content"] == "echo: hi"
    assert gateway.post(path, CHAT).status == 401, "the key is asked for however the path is spelt"
    assert gateway.request("PUT", path, headers=KEY).status == 405


@pytest.mark.parametrize("path", ["/v1/models/", "//v1//models", "/v1/models/cheap/", "//v1/models//cheap"])
def test_the_same_goes_for_the_names_of_models(gateway: Running, path: str) -> None:
    assert gateway.request("GET", path, headers=KEY).status == 200
    assert gateway.request("GET", path).status == 401
    assert gateway.request("HEAD", path, headers=KEY).status == 200


@pytest.mark.parametrize("path", ["/metrics/", "//metrics", "/healthz/", "//readyz", "/version//"])
def test_what_takes_no_key_has_one_spelling(gateway: Running, path: str) -> None:
    assert gateway.request("GET", path, headers=KEY).status == 404


@pytest.mark.parametrize("path", ["/api/v1/models", "/api/chat", "/api/tags", "/v2/messages"])
def test_a_base_url_that_is_not_ours_is_told(gateway: Running, path: str) -> None:
    for reply in (gateway.post(path, CHAT, KEY), gateway.request("GET", path)):
        kind = {"type": "not_found_error"} if path == "/v2/messages" else {"code": "not_found"}
        assert reply.status == 404 and reply.error.items() >= kind.items()
        assert "base URL" in reply.error["message"] and "/v1" in reply.error["message"]
        assert path.partition("?")[0] in reply.error["message"]


@pytest.mark.parametrize("path", ["/v1/responses", "/responses", "/v1/chat/completions"])
def test_who_wants_a_websocket_is_told_to_go_on_over_http(gateway: Running, path: str) -> None:
    wanted = {
        **KEY, "connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    }  # fmt: skip
    reply = gateway.request("GET", path, headers=wanted)
    assert (reply.status, reply.error["code"]) == (426, "upgrade_required")
    assert (reply.headers["upgrade"], reply.headers["allow"]) == ("HTTP/1.1", "POST")
    plain = gateway.request("GET", path, headers=KEY)
    lists = path == "/v1/chat/completions"
    assert (plain.status, plain.headers.get("allow")) == ((200, None) if lists else (405, "POST"))


DOORS = sorted(path for path in ROUTES if path.startswith("/v1/") and "{" not in path)
SPELT = ("{}", "{}/", "/v1/{}", "/v1/v1/{}/", "//v1//{}", "/openai/{}", "/openai/v1/{}", "/openai/v1/v1/{}")


@pytest.mark.parametrize("spelt", SPELT)
@pytest.mark.parametrize("door", DOORS)
def test_every_door_has_every_spelling(gateway: Running, door: str, spelt: str) -> None:
    """With and without `/v1`, doubled, as Azure has it, with a slash too many: it asks for a key, knows its
    method, and reads what comes."""
    path = spelt.format(door.removeprefix("/v1/"))
    path = path if path.startswith("/") else f"/{path}"
    method = next(iter(ROUTES[door])).decode()
    assert gateway.request(method, path).status == 401
    other = gateway.request("PUT", path, headers=KEY)
    assert other.status == 405 and method in other.headers["allow"]
    if method == "POST":
        read = gateway.post(path, b"[]", KEY)
        assert read.status == 400 and read.error["message"].startswith("the body must be a JSON object")
        assert read.headers["x-request-id"]
    else:
        assert gateway.request(method, path, headers=KEY).status == 200


@pytest.mark.parametrize("path", ["/v1/metrics", "/openai/metrics", "/v1/v1/healthz", "/openai/v1/version"])
def test_what_takes_no_key_is_reached_by_no_other_base(gateway: Running, path: str) -> None:
    assert gateway.request("GET", path, headers=KEY).status == 404


@pytest.mark.parametrize("path", ["/models/cheap", "/v1/v1/models/a/good", "/openai/models/cheap/"])
def test_models_are_retrieved_by_every_base(gateway: Running, path: str) -> None:
    assert gateway.request("GET", path, headers=KEY).json["id"] == path.strip("/").partition("models/")[2]


@pytest.mark.parametrize("path", ["/v1/complete", "/v1/complete/"])
def test_an_interface_that_is_not_there_says_what_is(gateway: Running, path: str) -> None:
    reply = gateway.post(path, CHAT, KEY)
    assert reply.status == 404
    assert "not served" in reply.error["message"] and "/v1/messages" in reply.error["message"]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/v1/conversations", "`previous_response_id`"),
        ("/conversations/conv_1/items", "`previous_response_id`"),
        ("/v1/uploads", "send their data"),
        ("/v1/vector_stores/vs_1/search", "nor searched"),
        ("/v1/threads/thread_1/runs", "use /v1/responses"),
        ("/v1/batches", "each request by itself"),
        ("/v1/realtime/client_secrets", "/v1/audio/speech"),
    ],
)
def test_what_openai_has_and_the_gateway_has_not_is_told_with_what_there_is(
    gateway: Running, path: str, words: str
) -> None:
    for method in ("GET", "POST"):
        reply = gateway.request(method, path, headers=KEY)
        assert reply.status == 404 and words in reply.error["message"], reply.body


def test_a_body_of_responses_at_chat_completions_is_told_where_it_belongs(gateway: Running) -> None:
    refused = gateway.post("/v1/chat/completions", {"model": "cheap", "input": "hi"}, KEY)
    assert refused.status == 400 and "/v1/responses" in refused.error["message"]
    refused = gateway.post("/v1/chat/completions", {"model": "cheap"}, KEY)
    assert refused.status == 400 and "/v1/responses" not in refused.error["message"]


@pytest.mark.parametrize("path", ["/v1/audio", "/v1/files", "/favicon.ico", "/v1/models/../metrics"])
def test_anything_else_is_a_plain_404(gateway: Running, path: str) -> None:
    assert gateway.request("GET", path, headers=KEY).status == 404


def test_a_model_is_retrieved_by_its_name(gateway: Running) -> None:
    with OpenAI(base_url=gateway.base_url, api_key="sk-good", max_retries=0) as client:
        for listed in client.models.list():
            assert client.models.retrieve(listed.id) == listed
        with pytest.raises(NotFoundError) as missing:
            client.models.retrieve("gpt-9")
    assert missing.value.code == "model_not_found" and missing.value.param == "model"
    assert "gpt-9" in missing.value.message


@pytest.mark.parametrize("name", ["cheap", "a/good", "a/org/deep-model", "a/größe:7b"])
def test_slashes_and_letters_of_a_name_may_be_encoded(gateway: Running, name: str) -> None:
    for path in {quote(name), quote(name, safe=""), quote(name, safe="/:")}:
        reply = gateway.request("GET", f"/v1/models/{path}", headers=KEY)
        assert (reply.status, reply.json["id"], reply.json["object"]) == (200, name, "model")
        assert gateway.request("GET", f"/v1/models/{path}").status == 401


@pytest.mark.parametrize("name", ["%", "%2", "%ff", "%00", "a%0d%0ab", "..%2f..", "{id}", "a" * 5_000])
def test_odd_names_are_unknown_models(gateway: Running, name: str) -> None:
    reply = gateway.request("GET", f"/v1/models/{name}", headers=KEY)
    assert reply.status == 404 and reply.error["code"] == "model_not_found"
    assert len(reply.body) < 2_000


def test_a_model_cannot_be_deleted(gateway: Running) -> None:
    reply = gateway.request("DELETE", "/v1/models/a/good", headers=KEY)
    assert reply.status == 405 and reply.headers["allow"] == "GET, HEAD"
