"""A client's answer comes from the next target where the first has failed before it began, whatever dialects
the two of them speak, and nothing of the first is in it."""

import itertools

import pytest
from tests.conftest import StartGateway
from tests.contract.test_provider import (
    ANSWER,
    began,
    numbered,
    response,
    said,
    text_events,
    text_part,
)
from tests.e2e.cases import CLIENT_KEY, PROVIDER_KEY, Case, Door, Trip, faults_of, given
from tests.e2e.gateway import Running
from tests.e2e.messages_said import (
    asked,
    chatted,
    chunks,
    claude,
    claude_stream,
    closing,
    completion,
    failure,
    named,
    opening,
    text,
    words,
)
from tests.faults.exact import ROLE, Exact, streamed, whole
from tests.faults.provider import FaultProvider
from tests.unit.dialects.responses_made import stream_of

DOORS: list[Door] = ["chat", "messages"]
TARGETS: list[Door] = [*DOORS, "responses"]
BEGUN = began(ANSWER)
OPENED = [*BEGUN, *text_events(0, ANSWER["output"][0], "")[:2]]
FAILED = {"type": "response.failed", "response": response(status="failed", error={"code": "server_error"})}
OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
FAILS: dict[Door, dict[str, Exact]] = {
    "messages": {
        "an error straight after the start": claude_stream(opening(), named("ping"), failure()),
        "a status": whole(OVERLOADED, 529),
        "an end straight after the start": claude_stream(opening(), framing="close"),
        "a reset": claude_stream(opening(), end="reset"),
        "a block that says nothing": claude_stream(opening(), words(0)[:1], failure()),
        "a page of a proxy": whole(b"<html></html>", 502, content_type="text/html"),
    },
    "chat": {
        "an error straight after the role": streamed(ROLE, {"error": {"message": "Overloaded", "code": 503}}),
        "a status": whole({"error": {"message": "Overloaded"}}, 503),
        "an end straight after the role": streamed(ROLE, framing="close"),
        "a reset": streamed(ROLE, end="reset"),
        "a page of a proxy": whole(b"<html></html>", 502, content_type="text/html"),
    },
    "responses": {
        "an error straight after the start": streamed(numbered(*BEGUN, FAILED)),
        "an error event": streamed(
            numbered(*BEGUN, {"type": "error", "code": "server_error", "message": "x"})
        ),
        "a status": whole({"error": {"message": "Overloaded"}}, 503),
        "an end straight after the start": streamed(numbered(*BEGUN), framing="close"),
        "a reset": streamed(numbered(*BEGUN), end="reset"),
        "a message that says nothing": streamed(numbered(*OPENED, FAILED)),
        "a page of a proxy": whole(b"<html></html>", 502, content_type="text/html"),
    },
}
FROM_B = response(said(text_part("from b")))
WHOLE: dict[Door, Exact] = {
    "chat": completion("from b"),
    "messages": claude(text("from b")),
    "responses": whole(FROM_B),
}
STREAM: dict[Door, Exact] = {
    "chat": chunks({"content": "from "}, {"content": "b"}),
    "messages": claude_stream(opening(), words(0, "from ", "b"), closing()),
    "responses": streamed(stream_of(FROM_B)),
}
WAYS = [
    (first, name, then, door, stream)
    for first, then, door, stream in itertools.product(TARGETS, TARGETS, DOORS, (False, True))
    for name in FAILS[first]
    if stream or name in ("a status", "a page of a proxy")
]


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    providers = "\n".join(
        f"""[providers.chat-{name}]
base_url = "{upstream.base_url}"
[providers.responses-{name}]
kind = "responses"
base_url = "{upstream.base_url}"
api_key = "${{PROVIDER_KEY}}"
[providers.messages-{name}]
kind = "anthropic"
base_url = "{upstream.base_url.removesuffix("/v1")}"
api_key = "${{PROVIDER_KEY}}"
"""
        for name in "ab"
    )
    tiers = "\n".join(
        f'[tiers.{first}-{then}]\ntargets = ["{first}-a/first", "{then}-b/second"]\n'
        for first, then in itertools.product(TARGETS, TARGETS)
    )
    config = f"""
{providers}
{tiers}
[call]
attempts_max = 2
breaker_open_s = 0.01
[[keys]]
tenant = "ways"
key = "${{CLIENT_KEY}}"
"""
    return start_gateway(config, PROVIDER_KEY=PROVIDER_KEY, CLIENT_KEY=CLIENT_KEY)


@pytest.mark.parametrize(("first", "name", "then", "door", "stream"), WAYS)
def test_the_next_target_answers(
    gateway: Running, upstream: FaultProvider, first: Door, name: str, then: Door, door: Door, stream: bool
) -> None:
    upstream.exactly("first", FAILS[first][name])
    upstream.exactly("second", (STREAM if stream else WHOLE)[then])
    before = len(upstream.calls)
    question = f"{name} of {first}, then {then}, {door}, {stream}"  # nobody has asked it before
    asks = asked(question) if door == "messages" else chatted(question)
    if stream:
        asks |= {"stream": True} | ({"stream_options": {"include_usage": True}} if door == "chat" else {})
    case = Case(door=door, asks=asks, model=f"{first}-{then}")
    path = "/v1/messages" if door == "messages" else "/v1/chat/completions"
    reply = gateway.post(path, case.sends, given(door))
    calls = upstream.calls[before:]
    assert [call.model for call in calls][-1] == "second"
    assert {call.model for call in calls[:-1]} <= {"first"}  # it may be left alone for what failed before
    seen = Trip(case, gateway, upstream, reply, calls[-1:], gateway.receipt_of(reply))
    assert faults_of(seen) == []
    back = seen.back
    if door == "messages":
        assert [block["text"] for block in back["content"]] == ["from b"]
        assert back["stop_reason"] == "end_turn"
        assert sum(frame.kind == "message_start" for frame in seen.frames) == stream
    else:
        assert back["choices"][0]["message"]["content"] == "from b"
        assert back["choices"][0]["finish_reason"] == "stop"
    assert seen.receipt.target == f"{then}-b/second"
