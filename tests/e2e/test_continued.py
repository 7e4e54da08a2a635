"""A streamed answer that breaks off after its client has a part of it goes on with another call, where the
configuration wants that: from targets and for clients of each dialect, with the official clients."""

import dataclasses
import itertools
import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest
from tests.conftest import StartGateway
from tests.contract.test_provider import began, numbered, response, said, text_events, text_part
from tests.e2e.cases import CLIENT_KEY, PROVIDER_KEY, Door, given
from tests.e2e.gateway import Reply, Running, until
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
from tests.faults.exact import ROLE, Exact, chunk, say, streamed, whole
from tests.faults.provider import FaultProvider
from tests.faults.truth import Call

from farthing.types import Receipt

Json = dict[str, Any]
DOORS: Final[list[Door]] = ["chat", "messages", "responses"]
THEN: Final[list[Door]] = ["chat", "messages"]
PLACES: Final = {
    "chat": "plain/first",
    "messages": "messages/claude-first",
    "responses": "responses/gpt-first",
}
PLACES_THEN: Final = {"chat": "chat/second", "messages": "messages/claude-haiku-4-5"}
PAIRS: Final = 16
"""Of targets for each pair of dialects: a test has its own, since what fails often is left out."""
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
retry_share_max = 1.0
continue_broken_streams = true
continuations_max = 2
[[keys]]
tenant = "ways"
key = "${CLIENT_KEY}"
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
[providers.stalls]
base_url = "{upstream.base_url}"
api_key = "${{PROVIDER_KEY}}"
idle_s = 0.2
[tiers.stalling]
targets = ["stalls/silent", "chat/awake"]
[tiers.priced]
targets = ["plain/cheap", "chat/dear"]
[[prices]]
target = "plain/cheap"
input = 1
output = 2
[[prices]]
target = "chat/dear"
input = 10
output = 20
[tiers.dearfirst]
targets = ["plain/c3", "chat/d3", "chat/m3"]
[endpoints.capdear]
tier = "dearfirst"
usd_max = 0.01
[[prices]]
target = "plain/c3"
input = 1
output = 2
[[prices]]
target = "chat/d3"
input = 10000
output = 20000
[[prices]]
target = "chat/m3"
input = 1
output = 2
[tiers.refusing]
targets = ["plain/before", "chat/refuses"]
[tiers.alone]
targets = ["plain/alone", "messages/claude-opus-4-6"]
"""
    for first, then, number in itertools.product(DOORS, THEN, range(PAIRS)):
        config += f"""[tiers.{first}-{then}-{number}]
targets = ["{PLACES[first]}-{then}-{number}", "{PLACES_THEN[then]}-{first}-{number}"]
"""
    return start_gateway(config + SETTINGS, PROVIDER_KEY=PROVIDER_KEY, CLIENT_KEY=CLIENT_KEY)


@dataclasses.dataclass(frozen=True)
class Seen:
    reply: Reply
    calls: tuple[Call, ...]
    receipt: Receipt


_numbers = itertools.count()
_pairs: Counter[tuple[Door, Door]] = Counter()


@dataclasses.dataclass(frozen=True)
class Pair:
    """A tier of two targets that no other test has, and what they answer."""

    model: str
    second: str


def pair(upstream: FaultProvider, first: Door, then: Door, says: Exact, *goes_on: Exact) -> Pair:
    number = _pairs[first, then]
    _pairs[first, then] += 1
    second = f"{PLACES_THEN[then]}-{first}-{number}"
    upstream.exactly(f"{PLACES[first]}-{then}-{number}".partition("/")[2], says)
    if goes_on:
        upstream.exactly(second.partition("/")[2], *goes_on)
    return Pair(f"{first}-{then}-{number}", second)


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


WAYS = list(itertools.product(DOORS, DOORS, THEN))


@pytest.mark.parametrize(("door", "first", "then"), WAYS)
def test_a_broken_stream_goes_on(
    gateway: Running, upstream: FaultProvider, door: Door, first: Door, then: Door
) -> None:
    two = pair(upstream, first, then, BREAKS[first], GOES_ON[then])
    seen = ask(gateway, upstream, door, two.model)
    assert text_of(door, seen.reply) == BEGUN + REST
    assert f"continued by {two.second}".encode() in comment(seen.reply)
    receipt = seen.receipt
    assert (receipt.status, receipt.error, receipt.stop_reason) == (200, None, "stop")
    broke, went_on = receipt.attempts
    assert (broke.error, broke.continues) == ("stream_broken", False)
    assert (went_on.error, went_on.continues) == (None, True)
    assert went_on.target == two.second
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


def cut_short(*pieces: str) -> Exact:
    return streamed(ROLE, *say(*pieces), end="cut")


def broken(reply: Reply) -> Any:
    """The error that ends a stream of chat completions."""
    return reply.events[-1]["error"]


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(streamed(ROLE, *say("so "), {"error": {"message": "no", "code": 400}}), id="refused"),
        pytest.param(cut_short(" \n"), id="no words"),
    ],
)
def test_what_cannot_go_on_ends_broken(gateway: Running, upstream: FaultProvider, first: Exact) -> None:
    seen = ask(gateway, upstream, "chat", pair(upstream, "chat", "chat", first).model)
    ends_broken(seen)


def test_where_nobody_is_known_to_go_on_it_ends_broken(gateway: Running, upstream: FaultProvider) -> None:
    upstream.exactly("alone", BREAKS["chat"])
    ends_broken(ask(gateway, upstream, "chat", "alone"))


def ends_broken(seen: Seen) -> None:
    assert broken(seen.reply)
    assert b"continued by" not in seen.reply.body
    assert [attempt.continues for attempt in seen.receipt.attempts] == [False]
    assert len(seen.calls) == 1
    assert seen.receipt.error == "stream_broken"


def test_an_answer_that_ended_has_not_broken(gateway: Running, upstream: FaultProvider) -> None:
    ended = streamed(ROLE, *say("so "), chunk(finish="length"), end="cut")
    seen = ask(gateway, upstream, "chat", pair(upstream, "chat", "chat", ended).model)
    assert completion_of(seen.reply.body)["choices"][0]["finish_reason"] == "length"
    assert len(seen.calls) == 1


def test_it_may_go_on_more_than_once_and_is_cached_by_nobody(
    gateway: Running, upstream: FaultProvider
) -> None:
    goes_on = (cut_short("over ", "the "), chunks({"content": "lazy dog."}, usage=USED))
    two = pair(upstream, "chat", "chat", BREAKS["chat"], *goes_on)
    body = {"model": two.model, "stream": True, "temperature": 0, **chatted("the same question twice")}
    for _ in range(2):
        upstream.exactly(two.second.partition("/")[2], *goes_on)
        reply = gateway.post("/v1/chat/completions", body, given("chat"))
        assert reply.said == BEGUN + REST
        receipt = gateway.receipt_of(reply)
        assert receipt.cache == "miss"
        assert [attempt.error for attempt in receipt.attempts] == ["stream_broken", "stream_broken", None]
        assert upstream.calls[-1].json["messages"][-1]["content"] == BEGUN + "over the "


@pytest.mark.parametrize("door", DOORS)
def test_a_continuation_that_breaks_off_ends_the_stream(
    gateway: Running, upstream: FaultProvider, door: Door
) -> None:
    two = pair(upstream, door, "chat", BREAKS[door], cut_short("over "))
    seen = ask(gateway, upstream, door, two.model)
    assert b"over" in seen.reply.body
    if door == "chat":
        assert seen.reply.said == BEGUN + "over over "  # the last call began anew
        assert broken(seen.reply)["code"] == "stream_broken"
    elif door == "messages":
        assert frames(seen.reply.body)[-1].data["type"] == "error"
    else:
        assert responses_faults(frames(seen.reply.body)) == []
        assert frames(seen.reply.body)[-1].data["type"] == "response.failed"
    assert [one.continues for one in seen.receipt.attempts] == [False, True, True]
    assert seen.receipt.error == "stream_broken"


@pytest.mark.parametrize(
    "then",
    [
        pytest.param(
            streamed(ROLE, *say("over "), chunk(finish="stop"), {"error": {"message": "no", "code": 500}}),
            id="it had ended",
        ),
        pytest.param(cut_short("over EN"), id="perhaps the stop"),
        pytest.param(cut_short("over \ufffd"), id="half a character"),
    ],
)
def test_what_a_continuation_says_is_not_gone_on_with_everywhere(
    gateway: Running, upstream: FaultProvider, then: Exact
) -> None:
    two = pair(upstream, "chat", "chat", BREAKS["chat"], then)
    seen = ask(gateway, upstream, "chat", two.model, stop=["END"])
    assert broken(seen.reply)
    assert seen.reply.said.startswith(BEGUN + "over ")
    assert len(seen.calls) == 2
    assert seen.receipt.error == "stream_broken"


def test_one_that_refuses_to_go_on_is_not_asked_again(gateway: Running, upstream: FaultProvider) -> None:
    upstream.exactly("before", BREAKS["chat"])
    words = "This model does not support assistant message prefill."
    upstream.exactly("refuses", whole({"error": {"message": words, "type": "invalid_request_error"}}, 400))
    for calls in (2, 1):
        seen = ask(gateway, upstream, "chat", "refusing")
        assert broken(seen.reply)["code"] == "stream_broken"
        assert len(seen.calls) == calls


def test_the_limit_of_output_holds_for_both_parts(gateway: Running, upstream: FaultProvider) -> None:
    two = pair(
        upstream, "chat", "chat", BREAKS["chat"], chunks({"content": "over"}, finish="length", usage=USED)
    )
    seen = ask(gateway, upstream, "chat", two.model, max_tokens=20)
    told = seen.receipt.attempts[0].usage
    assert told is not None
    assert seen.calls[-1].json["max_tokens"] == 20 - told.output_tokens
    assert seen.reply.events[-3]["choices"][0]["finish_reason"] == "length"
    usage = seen.reply.events[-2]
    assert usage["farthing"]["continued_by"] == two.second
    assert usage["usage"]["completion_tokens"] == told.output_tokens + USED["completion_tokens"]


def test_a_stream_that_falls_silent_goes_on(gateway: Running, upstream: FaultProvider) -> None:
    upstream.exactly("silent", streamed(ROLE, *say(BEGUN), end="hold"))
    upstream.exactly("awake", GOES_ON["chat"])
    seen = ask(gateway, upstream, "chat", "stalling")
    assert text_of("chat", seen.reply) == BEGUN + REST
    until(lambda: seen.calls[0].aborted)


def test_each_part_is_booked_at_its_own_price(gateway: Running, upstream: FaultProvider) -> None:
    upstream.exactly("cheap", BREAKS["chat"])
    upstream.exactly("dear", GOES_ON["chat"])
    receipt = ask(gateway, upstream, "chat", "priced").receipt
    broke, went_on = receipt.attempts
    assert broke.usage is not None
    assert broke.usage.estimated
    assert broke.cost_nusd == 1_000 * broke.usage.input_tokens + 2_000 * broke.usage.output_tokens
    assert went_on.cost_nusd == 10_000 * USED["prompt_tokens"] + 20_000 * USED["completion_tokens"]
    assert receipt.cost_nusd == broke.cost_nusd + went_on.cost_nusd


def test_the_last_words_are_not_told_twice(gateway: Running, upstream: FaultProvider) -> None:
    begun = "Among all the animals of the wood the quick brown fox "
    again = chunks({"content": begun[-40:-20]}, {"content": begun[-20:] + "jumps."})
    seen = ask(gateway, upstream, "chat", pair(upstream, "chat", "chat", cut_short(begun), again).model)
    assert seen.reply.said == begun + "jumps."


def test_a_client_of_completions_gets_the_rest_too(gateway: Running, upstream: FaultProvider) -> None:
    two = pair(upstream, "chat", "chat", BREAKS["chat"], GOES_ON["chat"])
    body = {"model": two.model, "stream": True, "prompt": "a prompt of before chat"}
    reply = gateway.post("/v1/completions", body, given("chat"))
    texts = [one["choices"][0]["text"] for one in reply.events if one != "[DONE]" and one["choices"]]
    assert "".join(texts) == BEGUN + REST
    assert reply.events[-1] == "[DONE]"


def test_the_call_that_goes_on_is_closed_when_the_client_leaves(
    gateway: Running, upstream: FaultProvider
) -> None:
    two = pair(upstream, "chat", "chat", BREAKS["chat"], streamed(ROLE, *say("over "), end="hold"))
    before, receipts = len(upstream.calls), len(gateway.receipts())
    body = json.dumps({"model": two.model, "stream": True, **chatted("a client that leaves")}).encode()
    client = gateway.dial()
    client.sendall(gateway.wire("/v1/chat/completions", body, f"authorization: Bearer {CLIENT_KEY}"))
    read = b""
    while b"over " not in read:
        read += client.recv(65_536)
    client.close()
    until(lambda: upstream.calls[before + 1 :][-1].aborted)
    receipt = gateway.next_receipt(receipts)
    assert (receipt.status, receipt.error) == (499, "client_gone")
    assert [attempt.continues for attempt in receipt.attempts] == [False, True]
    assert all(attempt.usage is not None for attempt in receipt.attempts)


def test_who_shares_the_first_call_gets_its_broken_end(gateway: Running, upstream: FaultProvider) -> None:
    joined = threading.Event()
    two = pair(upstream, "chat", "chat", BREAKS["chat"].held_at(3, joined), GOES_ON["chat"])
    body = {"model": two.model, "stream": True, "temperature": 0, **chatted("asked by two at once")}
    before = len(upstream.calls)
    with ThreadPoolExecutor(1) as pool, gateway.dial() as client:
        leads = pool.submit(gateway.post, "/v1/chat/completions", body, given("chat"))
        until(lambda: len(upstream.calls) > before)
        raw = json.dumps(body).encode()
        client.sendall(gateway.wire("/v1/chat/completions", raw, f"authorization: Bearer {CLIENT_KEY}"))
        read = b""
        while b"quick" not in read:
            read += client.recv(65_536)
        joined.set()
        leader = leads.result()
        while b"stream_broken" not in read:
            read += client.recv(65_536)
    assert leader.said == BEGUN + REST
    assert leader.events[-1] == "[DONE]"
    assert b"jumps" in read
    assert b"over" not in read
    assert len(upstream.calls) == before + 2


def test_one_that_is_too_dear_leaves_those_that_are_not(gateway: Running, upstream: FaultProvider) -> None:
    upstream.exactly("c3", BREAKS["chat"])
    upstream.exactly("d3", GOES_ON["chat"])
    upstream.exactly("m3", GOES_ON["chat"])
    seen = ask(gateway, upstream, "chat", "farthing/capdear", max_tokens=100)
    assert text_of("chat", seen.reply) == BEGUN + REST
    assert [one.target for one in seen.receipt.attempts] == ["plain/c3", "chat/m3"]
