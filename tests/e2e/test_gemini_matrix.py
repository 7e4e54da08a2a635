"""Every front door before a provider of Gemini: what of a request and of an answer is kept, left out or
refused is what `docs/dialects.md` says."""

import dataclasses
import json
from typing import Any

import pytest
from tests.conftest import StartGateway
from tests.e2e import matrix_from_gemini, matrix_requests, matrix_responses, matrix_to_gemini
from tests.e2e.cases import CLIENT_KEY, PROVIDER_KEY, Case, Door, travel
from tests.e2e.gateway import Running
from tests.e2e.matching import faults
from tests.e2e.matrix import NOWHERE, Thing, table, verdict
from tests.e2e.messages_said import asked, chatted
from tests.faults.exact import streamed, whole
from tests.faults.provider import FaultProvider

NAMES = {"chat": "chat", "Messages": "messages", "Responses": "responses", "Gemini": "gemini"}
REQUESTS = table("Requests to Gemini", NAMES)
OF_RESPONSES = table("Requests of Responses to Gemini", NAMES)
ANSWERED = table("Answers of Gemini", NAMES)
DOORS: tuple[Door, ...] = ("chat", "messages", "responses")


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    config = f"""
[providers.gemini]
kind = "gemini"
base_url = "{upstream.base_url.removesuffix("/v1")}/v1beta"
api_key = "${{PROVIDER_KEY}}"
pass_through = true
[call]
attempts_max = 1
[[keys]]
tenant = "matrix"
key = "${{CLIENT_KEY}}"
"""
    return start_gateway(config, PROVIDER_KEY=PROVIDER_KEY, CLIENT_KEY=CLIENT_KEY)


def test_the_tables_have_each_thing_once() -> None:
    assert list(REQUESTS) == list(matrix_requests.THINGS)
    assert list(OF_RESPONSES) == list(matrix_responses.THINGS)
    assert list(ANSWERED) == list(matrix_from_gemini.SAID)
    assert matrix_to_gemini.HAS.keys() <= REQUESTS.keys()
    assert matrix_to_gemini.OF_RESPONSES.keys() <= OF_RESPONSES.keys()


@pytest.mark.parametrize("name", matrix_requests.THINGS)
def test_what_becomes_of_a_request(gateway: Running, upstream: FaultProvider, name: str) -> None:
    sketch = matrix_to_gemini.HAS.get(name)
    thing = dataclasses.replace(matrix_requests.THINGS[name], responses_has=sketch, **named(name))
    found = {
        (door, "gemini"): became(thing, door, "responses", gateway, upstream) for door in ("chat", "messages")
    }
    assert found == REQUESTS[name]


@pytest.mark.parametrize("name", matrix_responses.THINGS)
def test_what_becomes_of_a_request_of_responses(gateway: Running, upstream: FaultProvider, name: str) -> None:
    sketch = matrix_to_gemini.OF_RESPONSES.get(name)
    thing = dataclasses.replace(matrix_responses.THINGS[name], messages_has=sketch, **named(name))
    found = {("responses", "gemini"): became(thing, "responses", "messages", gateway, upstream)}
    assert found == OF_RESPONSES[name]


def named(name: str) -> dict[str, Any]:
    names = matrix_to_gemini.NAMED.get(name)
    return {} if names is None else {"names": names}


def became(thing: Thing, door: Any, sketched_as: Door, gateway: Running, upstream: FaultProvider) -> str:
    said = thing.said(door)
    if said is None:
        return NOWHERE
    says = whole(matrix_from_gemini.object_of({"text": "on"}))
    case = Case(door=door, asks=said.asks, says=says, model="gemini/m-1", calls=0)
    return verdict(thing, travel(case, gateway, upstream), sketched_as)


@pytest.mark.parametrize("name", matrix_from_gemini.SAID)
def test_what_becomes_of_an_answer(gateway: Running, upstream: FaultProvider, name: str) -> None:
    found = {("gemini", door): came(name, door, gateway, upstream) for door in DOORS}
    assert found == ANSWERED[name]


def came(name: str, door: Door, gateway: Running, upstream: FaultProvider) -> str:
    """The verdict on a whole answer, which is that on a streamed one too."""
    told = matrix_from_gemini.SAID[name]
    ways = []
    for streams in (False, True):
        asks: Any = {"chat": chatted(), "messages": asked(), "responses": {"input": "hello"}}[door]
        asks |= {"stream": True} if streams else {}
        asks |= {"stream_options": {"include_usage": True}} if streams and door == "chat" else {}
        says = (
            streamed(*told.pieces)
            if streams
            else whole(told.pieces[-1] if len(told.pieces) == 1 else told.pieces)
        )
        trip = travel(Case(door=door, asks=asks, says=says, model="gemini/m-1"), gateway, upstream)
        assert trip.reply.status == 200, trip.reply.body
        back = trip.back if door != "responses" else response_of(trip.reply.body, streams)
        ways.append(told_as(told, door, back))
    return ways[0] if ways[0] == ways[1] else f"{ways[0]}, {ways[1]} in a stream"


def told_as(told: matrix_from_gemini.Told, door: Door, back: Any) -> str:
    kept, changed = told.kept.get(door), told.changed.get(door)
    if kept is not None and not faults(back, kept):
        return "kept"
    return "changed" if changed is not None and not faults(back, changed) else "lost"


def response_of(body: bytes, streams: bool) -> Any:
    if not streams:
        return json.loads(body)
    last = [line for line in body.split(b"\n") if line.startswith(b"data: ")][-1]
    return json.loads(last[6:])["response"]
