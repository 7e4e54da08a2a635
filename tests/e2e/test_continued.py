"""A streamed answer that breaks off after its client has a part of it goes on with another call, where the
configuration wants that: from targets and for clients of each dialect, with the official clients."""

import dataclasses
import itertools
from typing import Any, Final

import pytest
from tests.conftest import StartGateway
from tests.contract.test_provider import began, numbered, response, said, text_events, text_part
from tests.e2e.cases import CLIENT_KEY, PROVIDER_KEY, Door, given
from tests.e2e.gateway import Reply, Running
from tests.e2e.messages_said import (
    asked,
    chatted,
    chunks,
    claude_stream,
    closing,
    failure,
    opening,
    words,
)
from tests.e2e.official import completion_of, message_of
from tests.e2e.responses_grammar import responses_faults
from tests.e2e.streams import chat_faults, frames, messages_faults
from tests.faults.exact import ROLE, Exact, say, streamed
from tests.faults.provider import FaultProvider
from tests.faults.truth import Call

from farthing.types import Receipt

Json = dict[str, Any]
DOORS: Final[list[Door]] = ["chat", "messages", "responses"]
FIRST: Final[dict[Door, str]] = {"chat": "first", "messages": "claude-first", "responses": "gpt-first"}
SECOND: Final[dict[Door, str]] = {"chat": "second", "messages": "claude-haiku-4-5"}
BEGUN: Final = "The quick brown fox jumps "
REST: Final = "over the lazy dog."
USED: Final = {"prompt_tokens": 50, "completion_tokens": 6, "total_tokens": 56}

_SAID = said(text_part(BEGUN + REST), number=7)
_EVENTS = [
    *began(response(_SAID)),
    *[one for one in text_events(0, _SAID, "The quick brown ", "fox jumps ") if ".done" not in one["type"]],
]
BREAKS: Final[dict[Door, Exact]] = {
    "chat": streamed(ROLE, *say("The quick brown ", "fox jumps "), end="cut"),
    "messages": claude_stream(opening(), words(0, "The quick brown ", "fox jumps ")[:-1], failure()),
    "responses": streamed(numbered(*_EVENTS), end="cut"),
}
GOES_ON: Final[dict[Door, Exact]] = {
    "chat": chunks({"content": "over the "}, {"content": "lazy dog."}, usage=USED),
    "messages": claude_stream(opening(), words(0, " over the ", "lazy dog."), closing()),
}
SETTINGS: Final = """
[call]
breaker_open_s = 0.01
adaptive = false
retry_share_max = 1.0
continue_broken_streams = true
[[keys]]
tenant = "ways"
key = "${CLIENT_KEY}"
[endpoints.never]
continue_broken_streams = false
"""


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    bare = upstream.base_url.removesuffix("/v1")
    config = f"""
[providers.chat]
base_url = "{upstream.base_url}"
api_key = "${{PROVIDER_KEY}}"
prefill = "continue_final_message"
[providers.plain]
base_url = "{upstream.base_url}"
api_key = "${{PROVIDER_KEY}}"
[providers.responses]
kind = "responses"
base_url = "{upstream.base_url}"
api_key = "${{PROVIDER_KEY}}"
[providers.messages]
kind = "anthropic"
base_url = "{bare}"
api_key = "${{PROVIDER_KEY}}"
[tiers.alone]
targets = ["plain/first", "messages/claude-opus-4-6"]
"""
    for first, then in itertools.product(FIRST, SECOND):
        config += f"""[tiers.{first}-{then}]
targets = ["{"plain" if first == "chat" else first}/{FIRST[first]}", "{then}/{SECOND[then]}"]
"""
    return start_gateway(config + SETTINGS, PROVIDER_KEY=PROVIDER_KEY, CLIENT_KEY=CLIENT_KEY)


@dataclasses.dataclass(frozen=True)
class Seen:
    reply: Reply
    calls: tuple[Call, ...]
    receipt: Receipt


_numbers = itertools.count()


def ask(gateway: Running, upstream: FaultProvider, door: Door, model: str, **fields: Any) -> Seen:
    question = f"question {next(_numbers)}"  # nobody has asked it before
    path = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}[door]
    asks: Json = asked(question) if door == "messages" else chatted(question)
    if door == "responses":
        asks = {"input": question}
    if door == "chat":
        asks |= {"stream_options": {"include_usage": True}}
    before = len(upstream.calls)
    reply = gateway.post(path, {"model": model, "stream": True, **asks, **fields}, given(door))
    return Seen(reply, tuple(upstream.calls[before:]), gateway.receipt_of(reply))


def text_of(door: Door, reply: Reply) -> str:
    """What the official client of a door makes of a stream, which is in good order."""
    found = frames(reply.body)
    if door == "chat":
        assert chat_faults(found, usage=True) == []
        text = completion_of(reply.body)["choices"][0]["message"]["content"]
    elif door == "messages":
        assert messages_faults(found) == []
        text = "".join(block["text"] for block in message_of(reply.body)["content"])
    else:
        assert responses_faults(found) == []
        whole = found[-1].data["response"]
        assert whole["id"] == found[0].data["response"]["id"]
        text = "".join(part["text"] for item in whole["output"] for part in item["content"])
    assert isinstance(text, str)
    return text


def comment(reply: Reply) -> bytes:
    """What says that the stream goes on."""
    found = [line for line in reply.body.split(b"\n") if line.startswith(b": farthing: continued by ")]
    assert len(found) == 1, reply.body
    return found[0]


WAYS = list(itertools.product(DOORS, FIRST, SECOND))


@pytest.mark.parametrize(("door", "first", "then"), WAYS)
def test_a_broken_stream_goes_on(
    gateway: Running, upstream: FaultProvider, door: Door, first: Door, then: Door
) -> None:
    upstream.exactly(FIRST[first], BREAKS[first])
    upstream.exactly(SECOND[then], GOES_ON[then])
    seen = ask(gateway, upstream, door, f"{first}-{then}")
    assert text_of(door, seen.reply) == BEGUN + REST
    assert f"continued by {then}/{SECOND[then]}".encode() in comment(seen.reply)
    receipt = seen.receipt
    assert (receipt.status, receipt.error, receipt.stop_reason) == (200, None, "stop")
    broke, went_on = receipt.attempts
    assert (broke.error, broke.continues) == ("stream_broken", False)
    assert (went_on.error, went_on.continues) == (None, True)
    assert went_on.target == f"{then}/{SECOND[then]}"
    assert receipt.target == broke.target  # as the headers say, which are long gone
    assert broke.usage is not None and went_on.usage is not None and receipt.usage is not None
    assert receipt.usage.input_tokens == broke.usage.input_tokens
    assert receipt.usage.output_tokens == broke.usage.output_tokens + went_on.usage.output_tokens
    asked_on = seen.calls[-1].json
    if then == "chat":
        assert asked_on["messages"][-1] == {"role": "assistant", "content": BEGUN}
        assert (asked_on["continue_final_message"], asked_on["add_generation_prompt"]) == (True, False)
    else:
        shown = [{"type": "text", "text": BEGUN.rstrip()}]
        assert asked_on["messages"][-1] == {"role": "assistant", "content": shown}
