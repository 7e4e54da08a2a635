"""Answers of a provider of Responses, in the model: the same is read of a whole one and of a stream, wherever
that is cut and whatever of it is told only once."""

import json
from typing import Any

import httpx2 as httpx
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter
from tests.contract.test_provider import (
    ANSWER,
    CALLED,
    CONVERTS,
    EVENT_BYTES_MAX,
    LOOKS_UP,
    RESPONSES,
    TEXT,
    began,
    call_events,
    function_call,
    numbered,
    response,
    said,
    sse,
    text_events,
    text_part,
)
from tests.e2e.streams import frames
from tests.unit.dialects import responses_made
from tests.unit.dialects.shapes import assembled

from farthing.dialects.conversation import (
    Block,
    Event,
    Message,
    Opaque,
    Ping,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
)
from farthing.dialects.events import BadAnswer, ProviderSaid
from farthing.dialects.responses.answers import whole
from farthing.dialects.responses.answers.answer_reader import Maker, is_opaque
from farthing.dialects.responses.streams.stream_reader import Reader
from farthing.types import Json, replace

EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
MAKER = Maker("r")


def read(body: Json) -> Message:
    return MAKER.read(json.dumps(body).encode())


def reader() -> Reader:
    return Reader(EVENT_BYTES_MAX, MAKER)


def events_of(*pieces: bytes) -> list[Event]:
    one = reader()
    found = [event for piece in pieces for event in one.feed(piece)]
    return found + one.end()


def same(message: Message) -> Message:
    """With calls of nothing in one spelling."""
    blocks: list[Block] = [
        replace(block, arguments="{}") if isinstance(block, ToolCall) and not block.arguments else block
        for block in message.blocks
    ]
    plain: Message = replace(message, blocks=tuple(blocks))
    return plain


# -- the same whole and streamed -------------------------------------------------------------------------


@given(responses_made.responses(), st.data())
def test_a_stream_says_what_the_whole_says_wherever_it_is_cut(body: Json, data: Any) -> None:
    stream = responses_made.stream_of(body)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=9)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert same(assembled(events_of(*pieces))) == same(read(body))


@pytest.mark.parametrize("stream", [RESPONSES.stream, RESPONSES.call_stream])
def test_a_stream_may_be_cut_at_every_byte(stream: bytes) -> None:
    whole_events = events_of(stream)
    for at in range(len(stream)):
        assert events_of(stream[:at], stream[at:]) == whole_events
    assert events_of(*(stream[at : at + 1] for at in range(len(stream)))) == whole_events


@pytest.mark.parametrize(
    "without",
    [
        (".delta",),
        (".delta", "text.done", "refusal.done", "part.done", "part.added", "annotation.added"),
        ("text.done", "part.done", "arguments.done", "input.done", "refusal.done"),
        ("part.added", "item.added"),
        ("item.done",),
        ("created", "in_progress"),
        (".delta", ".done", ".added"),
    ],
)
@given(body=responses_made.responses())
def test_what_is_told_twice_may_be_told_once(without: tuple[str, ...], body: Json) -> None:
    told, expected = assembled(events_of(responses_made.stream_of(body, without))), read(body)
    assert sorted(map(repr, same(told).blocks)) == sorted(map(repr, same(expected).blocks))
    assert (told.stop, told.usage) == (expected.stop, expected.usage)


@pytest.mark.slow
@given(responses_made.responses())
def test_events_made_of_a_whole_are_those_of_the_official_client(body: Json) -> None:
    stream = responses_made.stream_of(body)
    for number, frame in enumerate(frames(stream)):
        event = EVENTS.validate_python(frame.data)
        assert event.sequence_number == number and event.type == frame.data["type"]
    kept = Response.model_validate(body).output
    assert [(item.type, item.id) for item in gathered(stream).output] == [(one.type, one.id) for one in kept]


def gathered(stream: bytes) -> Response:
    """What the official client makes of a stream: it puts the events together as they come."""
    reply = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=stream)
    transport = httpx.Client(transport=httpx.MockTransport(lambda _: reply))
    client = openai.OpenAI(api_key="none", base_url="http://127.0.0.1:9", http_client=transport)
    with client.responses.stream(model="m", input="hi") as reading:
        for event in reading:
            if event.type in ("response.completed", "response.incomplete"):
                return Response.model_validate(event.response.model_dump())
    raise AssertionError("the stream did not end")


@given(responses_made.responses())
def test_a_stream_is_put_together_as_the_whole_it_was_made_of(body: Json) -> None:
    told = whole.assembled(responses_made.stream_of(body), EVENT_BYTES_MAX)
    assert told is not None and json.loads(told) == body


def test_a_response_that_ends_without_its_items_has_those_that_were_told() -> None:
    bare = {**CALLED, "output": []}
    events = [*began(CALLED), *call_events(0, LOOKS_UP), *call_events(1, CONVERTS)]
    stream = numbered(*events, {"type": "response.completed", "response": bare})
    told = whole.assembled(stream, EVENT_BYTES_MAX)
    assert told is not None and json.loads(told) == CALLED
    assert assembled(events_of(stream)).blocks == read(CALLED).blocks


# -- what is read ----------------------------------------------------------------------------------------


def test_each_kind_of_item_is_read() -> None:
    page = {
        "type": "url_citation",
        "url": "https://x.example",
        "title": "X",
        "start_index": 0,
        "end_index": 2,
    }
    thought = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "one"}, {"type": "summary_text", "text": "two"}],
        "encrypted_content": "sealed",
        "status": "completed",
    }
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}}
    custom = {"type": "custom_tool_call", "id": "ctc_1", "call_id": "c", "name": "patch", "input": "*** x"}
    body = response(
        thought, search, said(text_part("Hi", page), {"type": "refusal", "refusal": "no"}), LOOKS_UP, custom
    )
    message = read(body)
    first, *others = message.blocks
    assert isinstance(first, Reasoning) and first.text == "one\n\ntwo" and first.signature
    assert others == [
        Opaque("responses", "web_search_call", search),
        Text("Hi", None, (page,)),
        Refusal("no"),
        ToolCall("call_1", "look_up", '{"year": 1860}'),
        ToolCall("c", "patch", "*** x", custom=True),
    ]
    assert message.stop == "tool_calls" and is_opaque(message)
    assert message.usage is not None and message.usage.fees == {"web_search": 1}


@pytest.mark.parametrize(
    ("reason", "stop", "said_so"),
    [
        ("max_output_tokens", "length", "max_output_tokens"),
        ("content_filter", "filter", "content_filter"),
        ("steered", "pause", "steered"),
        ("of_a_later_day", "unknown", "of_a_later_day"),
        (None, "unknown", "incomplete"),
    ],
)
def test_why_it_ended(reason: str | None, stop: str, said_so: str) -> None:
    body = {**ANSWER, "status": "incomplete", "incomplete_details": reason and {"reason": reason}}
    for message in (read(body), assembled(events_of(responses_made.stream_of(body)))):
        assert (message.stop, message.stop_said) == (stop, said_so)


@pytest.mark.parametrize(
    "event",
    [
        {"type": "error", "code": "server_error", "message": "busy", "param": None, "sequence_number": 3},
        {"type": "error", "error": {"type": "server_error", "code": "server_error", "message": "busy"}},
        {"error": {"code": "server_error", "message": "busy"}},
        {
            "type": "response.failed",
            "response": response(status="failed", error={"code": "server_error", "message": "busy"}),
        },
    ],
)
def test_an_error_in_a_stream_comes_after_what_is_good(event: Json) -> None:
    one = reader()
    good = text_events(0, ANSWER["output"][0], "A qu")[:3]
    with pytest.raises(ProviderSaid) as caught:
        one.feed(numbered(*began(ANSWER), *good) + sse(("", event)))
    told = json.loads(caught.value.payload)["error"]
    assert (told["code"], told["message"]) == ("server_error", "busy")
    assert [type(found).__name__ for found in caught.value.before][-1] in ("TextDelta", "Counted")
    if event.get("type") == "response.failed":
        assert one.usage == RESPONSES.usage  # it was paid for


def test_a_stream_that_only_ends_is_broken() -> None:
    cut = RESPONSES.stream[: RESPONSES.stream.index(b"event: response.completed")]
    with pytest.raises(BadAnswer):
        events_of(cut)
    with pytest.raises(BadAnswer):
        events_of(cut + b"data: [DONE]\n\n")


def test_signs_of_life_noise_and_events_of_a_later_day_say_nothing() -> None:
    events = [*began(ANSWER), {"type": "response.in_progress", "response": began(ANSWER)[0]["response"]}]
    events += [{"type": "keepalive"}, {"type": "response.of_a_later_day", "delta": "x", "output_index": 7}]
    events += text_events(0, ANSWER["output"][0], TEXT)
    stream = numbered(*events, {"type": "response.completed", "response": ANSWER}) + b"data: [DONE]\n\n"
    found = events_of(b": comment\n\n" + stream)
    assert assembled([one for one in found if not isinstance(one, Ping)]) == read(ANSWER)
    assert sum(isinstance(one, Ping) for one in found) == 3


def test_pieces_may_come_before_their_item_and_interleaved() -> None:
    first, second = call_events(0, LOOKS_UP, '{"year"', ": 1860}"), call_events(1, CONVERTS, "{}")
    events = [first[1], second[0], first[0], second[1], *first[2:], *second[2:]]
    stream = numbered(*began(CALLED), *events, {"type": "response.completed", "response": CALLED})
    second_first = assembled(events_of(stream)).blocks
    assert second_first[::-1] == read(CALLED).blocks


def test_pieces_of_a_thought_that_are_each_numbered_anew_are_one_part() -> None:
    """vLLM has sent such streams."""
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "content": []}
    whole_thought = {**thought, "content": [{"type": "reasoning_text", "text": "The user asks."}]}
    told = response(whole_thought)
    at = {"output_index": 0, "item_id": "rs_1"}
    events = [{"type": "response.output_item.added", "output_index": 0, "item": thought}]
    events += [
        {"type": "response.reasoning_text.delta", "content_index": index, "delta": piece, **at}
        for index, piece in enumerate(["The", " user", " asks."])
    ]
    events.append(
        {"type": "response.reasoning_text.done", "content_index": 3, "text": "The user asks.", **at}
    )
    done = {"type": "response.output_item.done", "output_index": 0, "item": whole_thought}
    for ending in ([*events, done], [*events[:-1], done], events):
        stream = numbered(*began(told), *ending, {"type": "response.completed", "response": told})
        assert assembled(events_of(stream)) == read(told)


def test_two_items_may_have_one_place_and_each_event_another_id() -> None:
    text = ANSWER["output"][0]
    both = response(text, LOOKS_UP)
    events = [*text_events(0, text, TEXT), *call_events(0, LOOKS_UP, LOOKS_UP["arguments"])]
    collided = numbered(*began(both), *events, {"type": "response.completed", "response": both})
    assert assembled(events_of(collided)).blocks == read(both).blocks
    events = [*text_events(0, text, TEXT), *call_events(1, LOOKS_UP, LOOKS_UP["arguments"])]
    told = [
        {**event, **({"item_id": f"odd_{at}"} if "item_id" in event else {})}
        for at, event in enumerate(events)
    ]
    for at, event in enumerate(told):
        if "item" in event:
            told[at] = {**event, "item": {**event["item"], "id": f"odd_{at}"}}
    odd = numbered(*began(both), *told, {"type": "response.completed", "response": both})
    assert assembled(events_of(odd)).blocks == read(both).blocks


def test_a_call_that_was_cut_stays_cut() -> None:
    cut = {**function_call("c", "f", '{"a": '), "status": "incomplete"}
    body = response(cut, status="incomplete", incomplete_details={"reason": "max_output_tokens"})
    message = read(body)
    assert message.stop == "length" and message.blocks == (ToolCall("c", "f", '{"a": '),)


@pytest.mark.parametrize("status", ["in_progress", "queued", "cancelled"])
def test_a_response_that_never_ended_is_no_answer(status: str) -> None:
    with pytest.raises(BadAnswer, match=status):
        read(response(status=status))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "item", "part", "delta", "text", "output_index", "response", "id", "error"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
KINDS = st.sampled_from([
    "response.output_item.added", "response.output_item.done", "response.content_part.done", "error",
    "response.output_text.delta", "response.function_call_arguments.delta", "response.completed",
    "response.created", "response.failed", "response.output_text.annotation.added", "response.refusal.delta",
    "response.reasoning_summary_text.delta", "response.custom_tool_call_input.delta", "message",
])  # fmt: skip


@pytest.mark.slow
@given(
    st.lists(st.tuples(KINDS, st.dictionaries(st.sampled_from(["item", "part", "delta", "response"]), JSON)))
)
def test_nothing_that_a_server_says_is_more_than_a_bad_answer(said_by: list[tuple[str, Json]]) -> None:
    one = reader()
    try:
        for kind, fields in said_by:
            one.feed(sse((kind, {"type": kind, **fields})))
        one.end()
    except BadAnswer:
        pass
