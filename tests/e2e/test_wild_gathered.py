"""Answers the gateway puts together itself: streamed upstream for a client that waits, or cut by a limit."""

import dataclasses
from typing import Any, Final

import pytest
from tests.conftest import StartGateway
from tests.e2e import wild
from tests.e2e.gateway import Running
from tests.e2e.wild import RIGHT, Read, model_of
from tests.e2e.wild_gathered import ANSWERS, CALLS, CUT
from tests.faults.exact import Exact
from tests.faults.provider import FaultProvider

from farthing.types import Receipt

CUT_S: Final = 0.8
ALL: dict[str, Exact] = {
    **{f"call: {name}": reply for name, (reply, _) in CALLS.items()},
    **{f"answer: {name}": reply for name, (reply, _) in ANSWERS.items()},
}
CUT_ALL: dict[str, Exact] = {f"cut: {name}": reply for name, (reply, _) in CUT.items()}


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    read: Read
    receipt: Receipt


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    return start_gateway(f"""
[providers.up]
base_url = "{upstream.base_url}"
[tiers.cheap]
targets = ["up/good-cheap"]
[endpoints.gathered]
deadline_s = 30.0
on_limit = "partial"
[endpoints.cut]
deadline_s = {CUT_S}
on_limit = "partial"
{wild.prices([*ALL, *CUT_ALL])}
[cache]
exact = "off"
""")


def ask(
    gateway: Running, upstream: FaultProvider, replies: dict[str, Exact], endpoint: str, *, stream: bool
) -> dict[str, Asked]:
    for name, reply in replies.items():
        upstream.exactly(model_of(name), reply)
    models: dict[str, Any] = {f"up/{model_of(name)}": {} for name in replies}
    read = wild.ask_all(gateway, models, stream=stream, x_farthing_endpoint=endpoint)
    receipts = {row.request_id: row for row in gateway.receipts()}
    return {
        name: Asked(found, receipts[found.request_id])
        for name, found in zip(replies, read.values(), strict=True)
    }


@pytest.fixture(scope="module")
def gathered(gateway: Running, upstream: FaultProvider) -> dict[str, Asked]:
    return ask(gateway, upstream, ALL, "gathered", stream=False)


def message_of(asked: Asked) -> dict[str, Any]:
    assert asked.read.error is None, asked.read.error
    message: dict[str, Any] = wild.whole_read(asked.read)["choices"][0]["message"]
    return message


@pytest.mark.parametrize("name", CALLS)
def test_tool_calls_are_kept_apart_and_put_together(gathered: dict[str, Asked], name: str) -> None:
    asked = gathered[f"call: {name}"]
    found = message_of(asked)["tool_calls"]
    right = CALLS[name][1]
    assert [{key: value for key, value in one.items() if key != "index"} for one in found] == right
    assert asked.read.finish == "tool_calls"


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_put_together_from_its_pieces(gathered: dict[str, Asked], name: str) -> None:
    asked = gathered[f"answer: {name}"]
    message = message_of(asked)
    assert {key: message.get(key) for key in ANSWERS[name][1]} == ANSWERS[name][1]
    assert asked.read.finish in ("stop", "function_call")


@pytest.mark.parametrize("name", ALL)
def test_it_has_the_head_of_the_first_real_chunk_and_is_counted(
    gathered: dict[str, Asked], name: str
) -> None:
    asked = gathered[name]
    answer = wild.whole_read(asked.read)
    head = {key: answer[key] for key in ("id", "object", "created", "model")}
    right = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000, "model": "m-1"}
    assert head == right
    assert (asked.receipt.status, asked.receipt.error, asked.receipt.calls) == (200, None, 1)
    assert asked.receipt.usage is not None and not asked.receipt.usage.estimated
    assert asked.receipt.cost_nusd == RIGHT


# -- cut by a limit ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_what_a_deadline_cuts_ends_with_length_and_is_paid_for(
    gateway: Running, upstream: FaultProvider, stream: bool
) -> None:
    for name, asked in ask(gateway, upstream, CUT_ALL, "cut", stream=stream).items():
        read, receipt = asked.read, asked.receipt
        assert read.error is None, (name, read.error)
        assert read.finishes == {0: "length"}, name
        said = read.text or read.reasoning or read.refusal or read.tools[0][1]
        assert 4 <= len(said.split()) <= 12, (name, said)
        assert receipt.stop_reason == "limit:deadline_s", name
        assert receipt.usage is not None and receipt.usage.estimated, name
        assert receipt.usage.output_tokens >= len(said.split()), name
        assert receipt.cost_nusd is not None, name
        assert (
            receipt.cost_nusd == receipt.usage.input_tokens * 1_000 + receipt.usage.output_tokens * 2_000
        ), name
