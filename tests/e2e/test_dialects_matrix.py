"""Every front door before every dialect of a provider: what of a request and of an answer is kept, left out
or refused is what `docs/dialects.md` says."""

import dataclasses
from typing import Any

import pytest
from tests.conftest import StartGateway
from tests.contract.test_provider import ANSWER
from tests.e2e import (
    matrix_answers,
    matrix_from_responses,
    matrix_requests,
    matrix_responses,
    matrix_to_responses,
)
from tests.e2e.cases import CLIENT_KEY, PROVIDER_KEY, Case, Door, Trip, faults_of, travel
from tests.e2e.gateway import Running
from tests.e2e.matching import faults
from tests.e2e.matrix import DOORS, NAMES, NOWHERE, Pair, Thing, table, verdict
from tests.e2e.matrix_answers import Answered, Told
from tests.e2e.messages_said import asked, chatted, claude, completion
from tests.faults.exact import Exact, whole
from tests.faults.provider import FaultProvider

REQUESTS = table("Requests", NAMES)
OF_RESPONSES = table("Requests of Responses", NAMES)
ANSWERED = table("Answers", NAMES)
PAIRS: list[Pair] = [(source, door) for source in NAMES.values() for door in DOORS.values()]
ASKED: list[Pair] = [(door, target) for door in DOORS.values() for target in NAMES.values()]
MODELS: dict[Door, str] = {
    "chat": "chat/m-1",
    "messages": "claude/claude-haiku-4-5",
    "responses": "responses/m-1",
}
ANSWERS: dict[Door, Exact] = {"chat": completion(), "messages": claude(), "responses": whole(ANSWER)}


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    config = f"""
[providers.chat]
base_url = "{upstream.base_url}"
pass_through = true
[providers.claude]
kind = "anthropic"
base_url = "{upstream.base_url.removesuffix("/v1")}"
api_key = "${{PROVIDER_KEY}}"
pass_through = true
[providers.responses]
kind = "responses"
base_url = "{upstream.base_url}"
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
    assert matrix_to_responses.HAS.keys() <= REQUESTS.keys()
    assert list(OF_RESPONSES) == list(matrix_responses.THINGS)
    assert list(ANSWERED) == list(matrix_answers.SAID)


@pytest.mark.parametrize("name", matrix_requests.THINGS)
def test_what_becomes_of_a_request(gateway: Running, upstream: FaultProvider, name: str) -> None:
    thing = dataclasses.replace(matrix_requests.THINGS[name], responses_has=matrix_to_responses.HAS.get(name))
    found = {pair: became(thing, pair, gateway, upstream) for pair in ASKED}
    assert found == {pair: REQUESTS[name][pair] for pair in ASKED}


@pytest.mark.parametrize("name", matrix_responses.THINGS)
def test_what_becomes_of_a_request_of_responses(gateway: Running, upstream: FaultProvider, name: str) -> None:
    thing = matrix_responses.THINGS[name]
    told = OF_RESPONSES[name]
    assert {pair: became(thing, pair, gateway, upstream) for pair in told} == told


def became(thing: Thing, pair: Pair, gateway: Running, upstream: FaultProvider) -> str:
    door, target = pair
    said = thing.said(door)
    if said is None:
        return NOWHERE
    model = f"claude/{thing.model}" if target == "messages" else MODELS[target]
    case = Case(door=door, asks=said.asks, says=ANSWERS[target], model=model, calls=0)
    return verdict(thing, travel(case, gateway, upstream), target)


@pytest.mark.parametrize("name", matrix_answers.SAID)
def test_what_becomes_of_an_answer(gateway: Running, upstream: FaultProvider, name: str) -> None:
    found = {pair: came(name, pair, gateway, upstream) for pair in PAIRS}
    assert found == {pair: ANSWERED[name][pair] for pair in PAIRS}


def came(name: str, pair: Pair, gateway: Running, upstream: FaultProvider) -> str:
    """The verdict on a whole answer, and on a streamed one where that is another."""
    source, _ = pair
    told = matrix_answers.SAID[name]
    answered = matrix_from_responses.answered(name) if source == "responses" else told.answered(source)
    if answered is None:
        return NOWHERE
    kept = kept_of(name, told, pair)
    ways = [way(told, answered, pair, kept, gateway, upstream, streams=streams) for streams in (False, True)]
    return ways[0] if ways[0] == ways[1] else f"{ways[0]}, {ways[1]} in a stream"


def kept_of(name: str, told: Told, pair: Pair) -> Any:
    """A sketch of what the client has where it was kept. None: it never is."""
    source, door = pair
    answered = None if source == "responses" else told.answered(source)
    if answered is not None and source == door:
        return answered.kept
    usual = told.to_chat if door == "chat" else told.to_messages
    return matrix_from_responses.HAS.get((name, door), usual) if source == "responses" else usual


def way(
    told: Told,
    answered: Answered,
    pair: Pair,
    kept: Any,
    gateway: Running,
    upstream: FaultProvider,
    *,
    streams: bool,
) -> str:
    source, door = pair
    asks = asked() if door == "messages" else chatted(**(answered.asks if source == "chat" else {}))
    if streams:
        asks |= {"stream": True} | ({"stream_options": {"include_usage": True}} if door == "chat" else {})
    says = answered.stream if streams else answered.whole
    trip = travel(Case(door=door, asks=asks, says=says, model=MODELS[source]), gateway, upstream)
    assert faults_of(trip) == []
    if kept is not None and not all(faults(one, kept) for one in (trip.back, *chunks_of(trip))):
        return "kept"
    return "changed" if told.changed is not None and not faults(trip.back, told.changed) else "lost"


def chunks_of(trip: Trip) -> list[Any]:
    """What came piece by piece: the official clients do not gather each field that is in it."""
    return [one.data for one in trip.frames if one.data is not None]
