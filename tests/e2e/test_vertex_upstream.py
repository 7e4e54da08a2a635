"""Gemini and Claude in a project of Google Cloud: the addresses of both, the token, and bodies that differ
from those of their makers' own endpoints by what Google's and Anthropic's SDKs write."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import StartGateway
from tests.e2e.gateway import Running, until
from tests.e2e.messages_said import asked, claude, claude_stream, closing, opening, text, words
from tests.e2e.test_gemini_upstream import COUNTS, object_of
from tests.faults.exact import streamed, whole
from tests.faults.issuer import Issuer
from tests.faults.provider import FaultProvider
from tests.faults.truth import Call

Json = dict[str, Any]
PLACE = "/v1/projects/our-project/locations/europe-west4/publishers"
CLAUDE = "claude-sonnet-4-5@20250929"
TOKEN = "ya29.token-of-the-tests"


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    tables = "\n".join(
        f"""[providers.{name}]
kind = "vertex"
project = "our-project"
location = "europe-west4"
publisher = "{publisher}"
base_url = "{upstream.base_url}"
auth = "bearer"
api_key = "${{TOKEN}}"
pass_through = true
"""
        for name, publisher in (("v", "google"), ("c", "anthropic"))
    )
    config = f"""
{tables}
[cache]
exact = "off"
[[prices]]
target = "c/{CLAUDE}"
input = 3
output = 15
"""
    return start_gateway(config, TOKEN=TOKEN)


def call_of(upstream: FaultProvider) -> Call:
    call = upstream.calls[-1]
    until(lambda: call.end_s is not None)
    return call


@pytest.mark.parametrize("stream", [False, True])
def test_gemini_is_asked_below_its_project(gateway: Running, upstream: FaultProvider, stream: bool) -> None:
    reply = gateway.chat("one two", model="v/gemini-3.1-pro-preview", stream=stream)
    assert reply.status == 200, reply.body
    assert (reply.said if stream else reply.json["choices"][0]["message"]["content"]) == "echo: one two"
    call = call_of(upstream)
    method = "streamGenerateContent" if stream else "generateContent"
    assert call.path == f"{PLACE}/google/models/gemini-3.1-pro-preview:{method}"
    assert call.query == ("alt=sse" if stream else "")
    assert call.headers["authorization"] == f"Bearer {TOKEN}"


def test_the_traffic_that_ran_is_what_is_charged(gateway: Running, upstream: FaultProvider) -> None:
    usage = {**COUNTS, "trafficType": "ON_DEMAND_PRIORITY"}
    upstream.exactly("traffic", whole(object_of({"text": "on"}, usage=usage)))
    told = gateway.receipt_of(gateway.chat("x", model="v/traffic")).usage
    assert told is not None and told.tier == "priority"


def test_tokens_of_gemini_are_counted_without_an_envelope(gateway: Running, upstream: FaultProvider) -> None:
    body = {"model": "v/good", "messages": [{"role": "user", "content": "one two three"}]}
    assert gateway.post("/v1/messages/count_tokens", body).json == {"input_tokens": 3}
    call = call_of(upstream)
    assert call.path == f"{PLACE}/google/models/good:countTokens" and list(call.json) == ["contents"]


def test_vectors_are_asked_of_another_provider(gateway: Running) -> None:
    reply = gateway.post("/v1/embeddings", {"model": "v/good", "input": "x"})
    assert (reply.status, reply.error["code"]) == (400, "cannot_say")


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_of_messages_has_claude_byte_for_byte(
    gateway: Running, upstream: FaultProvider, stream: bool
) -> None:
    answer = claude_stream(opening(), words(0, "on ", "on"), closing()) if stream else claude(text("on on"))
    upstream.exactly(CLAUDE, answer)
    said = asked("héllo", model=f"c/{CLAUDE}", **({"stream": True} if stream else {}))
    raw = json.dumps(said, indent=1).encode()
    sent = {"anthropic-version": "2023-06-01", "anthropic-beta": "context-1m-2025-08-07,oauth-2025-04-20"}
    reply = gateway.request(
        "POST", "/v1/messages?beta=true", raw, {"content-type": "application/json", **sent}
    )
    assert reply.status == 200, reply.body
    call = call_of(upstream)
    assert call.path == f"{PLACE}/anthropic/models/{CLAUDE}:{'streamRawPredict' if stream else 'rawPredict'}"
    assert (call.query, call.headers["authorization"]) == ("", f"Bearer {TOKEN}")
    assert call.headers["anthropic-beta"] == "context-1m-2025-08-07"
    assert reply.headers["x-farthing-left-out"] == "anthropic-beta.oauth-2025-04-20"
    assert call.json == {
        "anthropic_version": "vertex-2023-10-16",
        **{name: value for name, value in said.items() if name != "model"},
    }
    kept = raw.split(b'"messages"')[1].split(b"\n ],")[0]
    assert kept in call.body, "what the client wrote goes up as it was written"
    if stream:
        kinds = [event["type"] for event in reply.events]
        assert kinds[0] == "message_start" and kinds[-1] == "message_stop"
        assert kinds.count("content_block_delta") == 2
    else:
        assert answer.pieces[0][1].endswith(reply.body)


@pytest.mark.parametrize("stream", [False, True])
def test_a_chat_client_has_claude_too(gateway: Running, upstream: FaultProvider, stream: bool) -> None:
    upstream.exactly(
        CLAUDE, claude_stream(opening(), words(0, "on"), closing()) if stream else claude(text("on"))
    )
    reply = gateway.chat("x", model=f"c/{CLAUDE}", stream=stream)
    assert reply.status == 200, reply.body
    body = call_of(upstream).json
    assert body["anthropic_version"] == "vertex-2023-10-16" and "model" not in body
    assert body.get("stream", False) is stream
    assert gateway.receipt_of(reply).cost_nusd


def test_tokens_of_claude_are_counted_by_its_own_path(gateway: Running, upstream: FaultProvider) -> None:
    upstream.exactly("count-tokens", whole({"input_tokens": 7}))
    body = {"model": f"c/{CLAUDE}", "messages": [{"role": "user", "content": "one"}], "max_tokens": 5}
    reply = gateway.post("/v1/messages/count_tokens", body)
    assert reply.json == {"input_tokens": 7}, reply.body
    call = call_of(upstream)
    assert call.path == f"{PLACE}/anthropic/models/count-tokens:rawPredict"
    assert call.json["model"] == CLAUDE and "max_tokens" not in call.json


def test_a_token_that_is_refused_is_the_operators_to_mend(gateway: Running, upstream: FaultProvider) -> None:
    refused = {"error": {"code": 401, "message": f"bad {TOKEN}", "status": "UNAUTHENTICATED"}}
    upstream.exactly("refused", whole(refused, 401))
    reply = gateway.chat("x", model="v/refused")
    assert reply.status == 502 and TOKEN.encode() not in reply.body
    upstream.exactly("stream-refused", streamed(refused, status=401))
    assert gateway.chat("x", model="v/stream-refused", stream=True).status == 502


@pytest.mark.parametrize("publisher", ["google", "anthropic"])
def test_tokens_are_fetched_as_googles_sdks_do(
    start_gateway: StartGateway, upstream: FaultProvider, tmp_path: Path, publisher: str
) -> None:
    with Issuer() as issuer:
        issuer.answers["/token"] = issuer.oauth(3_600)
        login = {
            "type": "authorized_user",
            "client_id": "c",
            "client_secret": "the-secret-of-a-login-0123",
            "refresh_token": "the-refresh-token-of-a-login-0123",
            "token_uri": f"{issuer.root}/token",
        }
        file = tmp_path / "login.json"
        file.write_text(json.dumps(login))
        gateway = start_gateway(
            f"""
[providers.v]
kind = "vertex"
project = "our-project"
publisher = "{publisher}"
base_url = "{upstream.base_url}"
pass_through = true
[providers.v.google]
credentials_file = "{file}"
[cache]
exact = "off"
"""
        )
        upstream.exactly("claude-x", claude(text("on")))
        model = "v/good" if publisher == "google" else "v/claude-x"
        for number in range(3):
            reply = gateway.chat(f"x{number}", model=model)
            assert reply.status == 200, reply.body
        call = call_of(upstream)
        assert call.headers["authorization"].startswith("Bearer token-0001-of-the-issuer")
        assert call.path.startswith(f"/v1/projects/our-project/locations/global/publishers/{publisher}/")
        assert issuer.issued == 1
        counted = gateway.post(
            "/v1/messages/count_tokens", {"model": model, "messages": [{"role": "user", "content": "one"}]}
        )
        assert counted.status in (200, 502) and issuer.issued == 1
