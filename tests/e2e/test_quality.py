"""What is learned about answers after they went out: feedback, repeats and checks, from the socket to the
report."""

import json
import subprocess
import sys
from typing import Any

import openai
import pytest
from openai import OpenAI
from tests.conftest import StartGateway
from tests.e2e.gateway import Reply, Running, until
from tests.faults.provider import FaultProvider

from farthing.config import key_digest
from farthing.ledger import read
from farthing.types import Signal

ACME = {"authorization": "Bearer sk-acme"}
RIVAL = {"authorization": "Bearer sk-rival"}


@pytest.fixture(scope="module")
def gateway(
    start_gateway: StartGateway, upstream: FaultProvider, tmp_path_factory: pytest.TempPathFactory
) -> Running:
    known = tmp_path_factory.mktemp("known") / "known.jsonl"
    known.write_text('{"question": "say blue", "expected": "echo: say blue"}\n')
    return start_gateway(f"""
[[keys]]
tenant = "acme"
digest = "{key_digest("sk-acme")}"
[[keys]]
tenant = "rival"
digest = "{key_digest("sk-rival")}"
[[keys]]
tenant = "few"
digest = "{key_digest("sk-few")}"
requests_per_minute = 2
[providers.a]
base_url = "{upstream.base_url}"
pass_through = true
[tiers.cheap]
targets = ["a/good-cheap"]
[tiers.expensive]
targets = ["a/good-expensive"]
[endpoints.default.quality]
reask_s = 60
[endpoints.remembers.quality]
reask_s = 60
[endpoints.remembers.cache]
reuse = "always"
[endpoints.checked.quality]
reask_s = 0
[[endpoints.checked.quality.checks]]
kind = "regex"
pattern = "blu+e"
[[endpoints.checked.quality.checks]]
kind = "exact"
file = "{known}"
[[endpoints.checked.quality.checks]]
kind = "schema"
[[endpoints.checked.quality.checks]]
kind = "command"
command = ["grep", "-q", "say"]
""")


def signals(gateway: Running, source: str, request_id: str) -> list[Signal]:
    return [
        row
        for row in read.read_all(gateway.state / "ledger")
        if isinstance(row, Signal) and row.source == source and row.request_id == request_id
    ]


def chat(gateway: Running, text: str, *, endpoint: str = "", session: str = "", **fields: Any) -> Reply:
    headers = dict(ACME)
    if session:
        headers["x-farthing-session"] = session
    if endpoint:
        fields["model"] = f"farthing/{endpoint}"
    reply = gateway.chat(text, headers=headers, **fields)
    assert reply.status == 200, reply.body
    return reply


# -- feedback -----------------------------------------------------------------------------------------


def test_the_official_client_sends_feedback_and_the_last_of_a_kind_counts(gateway: Running) -> None:
    with OpenAI(base_url=gateway.base_url, api_key="sk-acme", max_retries=0) as client:
        raw = client.chat.completions.with_raw_response.create(
            model="auto", messages=[{"role": "user", "content": "hello there"}]
        )
        request_id = raw.headers["x-request-id"]
        for thumb in ("down", "up"):
            told = client.post("/feedback", body={"request_id": request_id, "thumb": thumb}, cast_to=object)
        assert told == {
            "object": "feedback",
            "request_id": request_id,
            "kind": "thumb",
            "quality": 1.0,
            "status": "accepted",
        }
        with pytest.raises(openai.BadRequestError, match="exactly one of"):
            client.post("/feedback", body={"request_id": request_id}, cast_to=object)
        with pytest.raises(openai.BadRequestError, match="x-request-id"):
            client.post("/feedback", body={"request_id": raw.parse().id, "thumb": "up"}, cast_to=object)
    assert [one.quality for one in signals(gateway, "feedback", request_id)] == [0.0, 1.0]
    (cell,) = [one for one in learned(gateway) if one["source"] == "feedback"]
    assert (cell["n"], cell["quality"]["mean"], cell["kind"]) == (1, 1.0, "thumb")


def test_feedback_is_there_when_it_is_acknowledged_and_counts_for_its_tenant_alone(gateway: Running) -> None:
    request_id = chat(gateway, "whose is it?").headers["x-request-id"]
    before = unmatched(gateway)
    for headers in (ACME, RIVAL):
        reply = gateway.post("/v1/feedback", {"request_id": request_id, "rating": 1}, headers)
        assert reply.status == 202
    assert [one.tenant for one in signals(gateway, "feedback", request_id)] == ["acme", "rival"]
    # both are of one request and kind: the rival's is the later one, and takes the place of none
    assert unmatched(gateway) - before == 1
    (cell,) = [one for one in learned(gateway) if one["kind"] == "rating"]
    assert (cell["n"], cell["quality"]["mean"]) == (1, 0.0)


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        ({"request_id": "req_00000000", "thumb": "up"}, {}, 401, "invalid_api_key"),
        ({"request_id": "req_00000000", "thumb": "up", "comment": "no"}, ACME, 400, "invalid_request_error"),
        (b"{", ACME, 400, "invalid_request_error"),
        (b'{"x": "%b"}' % (b"y" * 5_000), ACME, 413, "request_too_large"),
        ({"thumb": "up"}, {**ACME, "content-type": "text/plain"}, 415, "unsupported_media_type"),
    ],
)
def test_feedback_that_cannot_be_taken_is_refused(
    gateway: Running, body: Any, headers: dict[str, str], status: int, code: str
) -> None:
    reply = gateway.post("/v1/feedback", body, headers)
    assert (reply.status, reply.error["code"]) == (status, code)


def test_feedback_takes_from_the_rate_of_its_key(gateway: Running) -> None:
    said = {"request_id": "req_00000000", "thumb": "up"}
    few = {"authorization": "Bearer sk-few"}
    replies = [gateway.post("/v1/feedback", said, few) for _ in range(3)]
    assert [reply.status for reply in replies] == [202, 202, 429]
    assert gateway.request("GET", "/v1/feedback", headers=ACME).status == 405


# -- repeats ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("endpoint", "cache"), [("default", "miss"), ("remembers", "exact")])
def test_a_question_asked_again_counts_even_when_the_exact_cache_answers_it(
    gateway: Running, endpoint: str, cache: str
) -> None:
    first, again = (chat(gateway, "Where is my order?", session="s-1", endpoint=endpoint) for _ in range(2))
    assert (first.headers["x-farthing-cache"], again.headers["x-farthing-cache"]) == ("miss", cache)
    chat(gateway, "where is my ORDER", session="s-1", endpoint=endpoint)
    chat(gateway, "Where is my order?", session="s-2", endpoint=endpoint)
    (of_first,) = signals(gateway, "reask", first.headers["x-request-id"])
    (of_again,) = signals(gateway, "reask", again.headers["x-request-id"])
    assert of_first.detail.startswith("asked again after") and of_again.endpoint == endpoint


# -- checks -------------------------------------------------------------------------------------------


def checked(gateway: Running, reply: Reply, count: int) -> dict[str, float | None]:
    request_id = reply.headers["x-request-id"]
    found = until(lambda: len(of := signals(gateway, "check", request_id)) == count and of)
    return {one.kind: one.quality for one in found}


@pytest.mark.parametrize("stream", [False, True])
def test_answers_are_put_to_every_check_of_their_endpoint_that_says_something(
    gateway: Running, stream: bool
) -> None:
    blue = chat(gateway, "say blue", endpoint="checked", stream=stream, seed=int(stream))
    assert checked(gateway, blue, 3) == {"regex": 1.0, "exact": 1.0, "command": 1.0}
    red = chat(gateway, "tell red", endpoint="checked", stream=stream, seed=int(stream))
    assert checked(gateway, red, 2) == {"regex": 0.0, "command": 0.0}


def test_an_answer_is_held_to_the_schema_its_request_asked_for(gateway: Running) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object", "not": {}}}}
    reply = chat(gateway, "say it", endpoint="checked", response_format=wanted)
    found = checked(gateway, reply, 3)
    assert found["schema"] == 0.0
    (signal,) = [
        one for one in signals(gateway, "check", reply.headers["x-request-id"]) if one.kind == "schema"
    ]
    assert signal.detail == "$: matches a schema under not"
    assert (signal.target, signal.endpoint) == ("a/good-cheap", "checked")


# -- what is made of it -------------------------------------------------------------------------------


def shown(gateway: Running) -> Any:
    command = [sys.executable, "-m", "farthing", "quality", "--json", "--since", "all"]
    run = subprocess.run(
        [*command, "--ledger", str(gateway.state / "ledger")], capture_output=True, check=True, timeout=30
    )
    return json.loads(run.stdout)


def learned(gateway: Running) -> Any:
    return shown(gateway)["learned"]


def unmatched(gateway: Running) -> int:
    return int(shown(gateway)["unmatched"])


def test_the_metrics_count_signals_by_endpoint_and_source(gateway: Running) -> None:
    chat(gateway, "say blue", endpoint="checked", seed=99)
    until(lambda: gateway.metric("farthing_signals_total") >= 3)
    text = gateway.request("GET", "/metrics").body.decode()
    assert 'farthing_signals_total{endpoint="checked",source="check"}' in text
    assert 'farthing_signal_quality_mean{endpoint="checked",source="check"}' in text
    assert "acme" not in text
