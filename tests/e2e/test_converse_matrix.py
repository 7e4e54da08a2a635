"""What becomes of a request to Bedrock: the table "Requests to Converse" in `docs/dialects.md`."""

import dataclasses
import json

import pytest
from tests.conftest import StartGateway
from tests.e2e import matrix_requests, matrix_to_converse
from tests.e2e.cases import CLIENT_KEY, PROVIDER_KEY, Case, Door, travel
from tests.e2e.gateway import Running
from tests.e2e.matrix import DOORS, NOWHERE, table, verdict
from tests.faults.exact import whole
from tests.faults.provider import FaultProvider

TABLE = table("Requests to Converse", {**DOORS, "Converse": "converse"})
ANSWER = whole(
    json.dumps(
        {
            "output": {"message": {"role": "assistant", "content": [{"text": "Hello."}]}},
            "stopReason": "end_turn",
            "usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5},
            "metrics": {"latencyMs": 5},
        }
    ).encode()
)


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    config = f"""
[providers.bedrock]
kind = "bedrock"
region = "us-east-1"
base_url = "{upstream.base_url}"
api_key = "${{PROVIDER_KEY}}"
auth = "bearer"
pass_through = true
[call]
attempts_max = 1
[[keys]]
tenant = "matrix"
key = "${{CLIENT_KEY}}"
"""
    return start_gateway(config, PROVIDER_KEY=PROVIDER_KEY, CLIENT_KEY=CLIENT_KEY)


def test_the_table_has_each_thing_once() -> None:
    assert list(TABLE) == list(matrix_requests.THINGS)
    assert matrix_to_converse.HAS.keys() | matrix_to_converse.NAMES.keys() <= TABLE.keys()


@pytest.mark.parametrize("name", matrix_requests.THINGS)
def test_what_becomes_of_a_request(gateway: Running, upstream: FaultProvider, name: str) -> None:
    found = {door: became(name, door, gateway, upstream) for door in DOORS.values()}
    assert found == {door: told for (door, _), told in TABLE[name].items()}


def became(name: str, door: Door, gateway: Running, upstream: FaultProvider) -> str:
    thing = matrix_requests.THINGS[name]
    names = (*thing.names, *matrix_to_converse.NAMES.get(name, ()))
    # a sketch of Converse stands where that of another dialect does
    thing = dataclasses.replace(thing, names=names, responses_has=matrix_to_converse.HAS.get(name))
    said = thing.said(door)
    if said is None:
        return NOWHERE
    case = Case(door=door, asks=said.asks, says=ANSWER, model="bedrock/m-1", calls=0)
    return verdict(thing, travel(case, gateway, upstream), "responses")
