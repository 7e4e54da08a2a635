"""Answers of Messages, whole and streamed, and what a chat client gets of them."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.lib.streaming.chat._completions import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from tests.unit.dialects.shapes import EVENT_BYTES_MAX, NAMES, assembled, compared, events_of, stream, whole
from tests.unit.dialects.test_messages_usage import JSON

from farthing.dialects.chat.answers import answer_writer as chat
from farthing.dialects.chat.requests import request_reader as chat_request
from farthing.dialects.chat.streams.stream_writer import DONE, ChunkWriter
from farthing.dialects.conversation import PING, BlockStarted, Ended, Message, Started, Stopped, Text
from farthing.dialects.events import BadAnswer, BadStream, EventSplitter, ProviderSaid
from farthing.dialects.messages.answers import answer_reader
from farthing.dialects.messages.requests.request_writer import translate
from farthing.dialects.messages.streams.stream_reader import Reader
from farthing.types import Usage


def told(name: str) -> dict[str, Any]:
    """The chat completion of a recorded answer."""
    found = json.loads(chat.write(answer_reader.read(whole(name)), request_id="r-1", created=7))
    ChatCompletion.model_validate(found)
    return dict(found)


def chunks_of(data: bytes) -> list[dict[str, Any]]:
    payloads = [data for _, data in EventSplitter(EVENT_BYTES_MAX).feed(data)]
    assert payloads[-1] == b"[DONE]"
    return [json.loads(payload) for payload in payloads[:-1]]


def streamed(name: str) -> list[dict[str, Any]]:
    return chunks_of(ChunkWriter(request_id="r-1", created=7).write(events_of([stream(name)])))


# -- the model ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_stream_says_what_the_sdk_makes_of_it(name: str) -> None:
    assert compared(assembled(events_of([stream(name)]))) == compared(answer_reader.read(whole(name)))


@pytest.mark.parametrize("name", NAMES)
def test_a_stream_may_be_cut_at_every_byte(name: str) -> None:
    data = stream(name)
    expected = events_of([data])
    for cut in range(0, len(data), 3):
        assert events_of([data[:cut], data[cut:]]) == expected
    assert events_of([bytes([byte]) for byte in data]) == expected


@pytest.mark.parametrize("name", NAMES)
def test_a_stream_without_its_end_is_no_answer(name: str) -> None:
    data = stream(name)
    end = data.index(b"event: message_delta")
    for cut in (0, 40, end // 2, end):
        reader = Reader(EVENT_BYTES_MAX)
        with pytest.raises(BadStream):
            reader.feed(data[:cut])
            reader.end()
    without_stop = data[: data.index(b"event: message_stop")]
    assert events_of([without_stop])[-1] == Ended()


def test_an_error_before_anything_was_said_can_still_be_taken_elsewhere() -> None:
    start = stream("text").partition(b"event: content_block_start")[0]
    said = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
    reader = Reader(EVENT_BYTES_MAX)
    with pytest.raises(ProviderSaid) as raised:
        reader.feed(start + b"event: error\ndata: " + said + b"\n\n")
    assert raised.value.payload == said
    assert isinstance(raised.value.before[0], Started)
    assert not reader.begun


TEXT_START = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
DELTA = {"type": "content_block_delta", "index": 0}
NAMELESS = {"type": "tool_use", "id": "a"}


@pytest.mark.parametrize(
    ("events", "why"),
    [
        ([{**DELTA, "delta": {"type": "input_json_delta", "partial_json": "{}"}}], "has not begun"),
        ([{**TEXT_START, "content_block": NAMELESS}], "name"),
        ([{**TEXT_START, "index": "x"}], "number"),
        ([TEXT_START, TEXT_START], "twice"),
        ([{**DELTA, "delta": {"type": "text_delta", "text": 7}}], "no `text`"),
        ([{**DELTA, "delta": []}], "not an object"),
        ([{"type": "message_start", "message": None}], "no message"),
        ([{"type": "message_stop"}], "without a reason"),
        ([[1]], "not an object"),
    ],
)
def test_what_loses_a_part_of_the_answer_ends_it(events: list[Any], why: str) -> None:
    data = b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events)
    with pytest.raises(BadAnswer, match=why):
        events_of([data])


def test_what_odd_servers_send_is_read() -> None:
    events: list[Any] = [
        {"type": "message_start", "message": {"id": "m", "model": "x"}},
        {"type": "message_start", "message": {"id": "again"}},
        None,
        {"type": "future_event", "y": 1},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}},
        {"type": "content_block_start", "index": 1,
         "content_block": {"type": "tool_use", "id": "a", "name": "f", "input": {"q": 1}}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "future_delta"}},
        {"type": "content_block_start", "index": 2, "content_block": {"type": "text", "text": "so"}},
        {"type": "message_delta", "delta": {"stop_reason": "new_reason"}},
        {"type": "message_stop"},
        {"type": "content_block_start", "index": 3, "content_block": {}},
    ]  # fmt: skip
    data = b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events)
    message = assembled(events_of([data]))
    assert [block.text for block in message.blocks if isinstance(block, Text)] == ["hi", "so"]
    assert (message.id, message.stop, message.stop_said, message.usage) == (
        "m",
        "unknown",
        "new_reason",
        None,
    )
    assert json.loads(chat.write(message, request_id="", created=0))["choices"][0]["message"][
        "tool_calls"
    ] == [{"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"q":1}'}}]


@given(st.lists(st.binary(max_size=40)))
def test_bytes_of_any_kind_are_refused_as_no_stream(pieces: list[bytes]) -> None:
    with pytest.raises(BadAnswer):
        events_of(pieces)


@given(st.lists(st.dictionaries(
    st.sampled_from(["type", "index", "delta", "content_block", "message", "usage"]),
    st.sampled_from(["message_start", "message_delta", "content_block_start", "content_block_delta",
                     "message_stop", "ping", 0, 1]) | JSON
    | st.fixed_dictionaries({"type": st.sampled_from(["text", "tool_use", "thinking", "text_delta"])}),
)))  # fmt: skip
def test_events_of_any_shape_are_read_or_refused(events: list[Any]) -> None:
    data = b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events)
    try:
        found = events_of([data])
    except BadAnswer:
        return
    assert any(isinstance(event, Stopped) for event in found)


@given(
    JSON | st.fixed_dictionaries({"content": st.lists(JSON, max_size=3), "usage": JSON, "stop_reason": JSON})
)
def test_a_body_of_any_shape_is_an_answer_or_refused(value: Any) -> None:
    try:
        message = answer_reader.read(json.dumps(value).encode())
    except BadAnswer:
        return
    chat.write(message, request_id="", created=0)


def test_a_body_that_is_too_deep_or_no_json_is_refused() -> None:
    for body in (b"", b"[" * 100_000, b'{"content":' * 5000, b"\xff", b'{"content":[{"type":"text"}]}'):
        with pytest.raises(BadAnswer):
            answer_reader.read(body)
    with pytest.raises(ProviderSaid):
        answer_reader.read(b'{"type":"error","error":{"type":"api_error","message":"no"}}')


# -- what a chat client gets --------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_the_official_client_gathers_the_stream_to_the_whole(name: str) -> None:
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    chunks = streamed(name)
    for chunk in chunks:
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    gathered = state.current_completion_snapshot.to_dict()
    expected = told(name)
    message: dict[str, Any] = gathered["choices"][0]["message"]  # type: ignore[index]
    same = expected["choices"][0]["message"]
    for one in (message, same):
        for call in one.get("tool_calls") or ():
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
            call["function"].pop("parsed_arguments", None)
            call.pop("index", None)
    for part in ("thinking_blocks", "annotations"):
        if message.get(part):
            message[part] = [{k: v for k, v in one.items() if k != "index"} for one in message[part]]
    for part in ("content", "reasoning_content", "thinking_blocks", "refusal", "tool_calls", "annotations"):
        assert (message.get(part) or None) == (same.get(part) or None), part
    assert gathered["choices"][0]["finish_reason"] == expected["choices"][0]["finish_reason"]  # type: ignore[index]
    assert gathered["usage"] == expected["usage"]


@pytest.mark.parametrize("name", NAMES)
def test_chunks_follow_the_order_that_clients_know(name: str) -> None:
    chunks = streamed(name)
    assert {chunk["id"] for chunk in chunks} == {"r-1"}
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant"}
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]
    assert not any("usage" in chunk for chunk in chunks[:-1])
    finishes = [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]]
    assert finishes[-1] is not None and not any(finishes[:-1])
    indices = [
        call["index"] for chunk in chunks[:-1] for call in chunk["choices"][0]["delta"].get("tool_calls", ())
    ]
    assert indices == sorted(indices) and set(indices) == set(range(len(set(indices))))


@pytest.mark.parametrize(
    ("name", "finish", "native"),
    [
        ("text", "stop", None),
        ("parallel_tools", "tool_calls", None),
        ("stop_sequence", "stop", "stop_sequence"),
        ("max_tokens", "length", None),
        ("context", "length", "model_context_window_exceeded"),
        ("pause", "length", "pause_turn"),
        ("refusal", "content_filter", "refusal"),
    ],
)
def test_why_it_ended(name: str, finish: str, native: str | None) -> None:
    for choice in (told(name)["choices"][0], streamed(name)[-2]["choices"][0]):
        assert (choice["finish_reason"], choice.get("native_finish_reason")) == (finish, native)


def test_a_refusal_carries_the_words_of_the_provider() -> None:
    assert told("refusal")["choices"][0]["message"]["refusal"] == "Declined."


def test_tools_that_the_provider_ran_are_no_calls_of_the_client() -> None:
    message = told("web_search")["choices"][0]["message"]
    assert message["content"] == "All quiet." and "tool_calls" not in message
    assert message["annotations"] == [{"type": "url_citation", "url_citation": {
        "start_index": 4, "end_index": 10, "url": "https://example.org/n", "title": "News"}}]  # fmt: skip


def test_the_prompt_counts_what_went_by_the_prefix_cache() -> None:
    usage = told("cache")["usage"]
    assert usage["prompt_tokens"] == 10_010 and usage["total_tokens"] == 10_110
    assert usage["prompt_tokens_details"] == {"cached_tokens": 8000, "cache_write_tokens": 2000}
    assert usage["cache_creation"] == {"ephemeral_5m_input_tokens": 600, "ephemeral_1h_input_tokens": 1400}
    assert (usage["service_tier"], usage["inference_geo"]) == ("priority", "us")
    read = answer_reader.read(whole("cache")).usage
    assert read is not None and (read.tier, read.region) == ("priority", "inference_geo_us")


@pytest.mark.parametrize("form", ["whole", "stream"])
def test_reasoning_goes_through_the_client_and_back_to_its_place(form: str) -> None:
    if form == "whole":
        message = told("thinking")["choices"][0]["message"]
    else:
        state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
        for chunk in streamed("thinking"):
            state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
        message = state.current_completion_snapshot.choices[0].message.to_dict()
    body = {"messages": [{"role": "user", "content": "x"}, message,
                         {"role": "tool", "tool_call_id": "toolu_7", "content": "y"}],
            "reasoning_effort": "low"}  # fmt: skip
    written = translate(chat_request.read(body), model="claude-haiku-4-5", output_tokens_max=9000)
    assert written.body["messages"][1]["content"] == json.loads(whole("thinking"))["content"]
    assert written.body["thinking"] == {"type": "enabled", "budget_tokens": 2048}
    assert not written.unsaid and not written.yielded


def test_a_client_of_functions_gets_its_call_as_one() -> None:
    call = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
    message = answer_reader.read(json.dumps({"content": [call], "stop_reason": "tool_use"}).encode())
    choice = json.loads(chat.write(message, request_id="", created=0, legacy_functions=True))["choices"][0]
    assert choice["message"]["function_call"] == {"name": "f", "arguments": "{}"}
    assert choice["finish_reason"] == "function_call"
    writer = ChunkWriter(request_id="", created=0, legacy_functions=True)
    deltas = [
        chunk["choices"][0] for chunk in chunks_of(writer.write(events_of([stream("parallel_tools")])))[:-1]
    ]
    assert any("function_call" in delta["delta"] for delta in deltas)
    assert not any("tool_calls" in delta["delta"] for delta in deltas)


def test_half_a_character_is_written_whole() -> None:
    body = rb'{"content":[{"type":"text","text":"\ud83d"}],"stop_reason":"end_turn"}'
    assert json.loads(chat.write(answer_reader.read(body), request_id="", created=0))
    data = (
        b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\\ud83d"}}\n\n'
    )
    end = b'data: {"type":"message_delta","delta":{"stop_reason":"max_tokens"}}\n\n'
    for last in (b'data: {"type":"content_block_stop","index":0}\n\n' + end, end):
        writer = ChunkWriter(request_id="", created=0)
        assert "\ufffd" in writer.write(Reader(1000).feed(data + last)).decode()


def test_an_answer_without_words_is_empty_and_not_none() -> None:
    assert told("empty")["choices"][0]["message"]["content"] == ""
    assert streamed("empty")[-2]["choices"][0]["delta"] == {"content": ""}


def test_events_come_one_by_one_as_they_come_together() -> None:
    events = events_of([stream("web_search")])
    together = ChunkWriter(request_id="r", created=1).write(events)
    writer = ChunkWriter(request_id="r", created=1)
    assert b"".join(writer.write([event]) for event in events) == together
    assert together.endswith(DONE)
    for event, after in pairwise(events):
        if isinstance(event, BlockStarted):
            assert after is not None


def test_a_ping_is_a_comment() -> None:
    assert ChunkWriter(request_id="r", created=1).write([PING]) == b":\n\n"


def test_a_message_without_usage_tells_none() -> None:
    message = Message(id="", model="m", blocks=(Text("hi"),), stop="end")
    assert "usage" not in json.loads(chat.write(message, request_id="", created=0))
    counted = Message(id="", model="m", blocks=(), stop="end", usage=Usage(input_tokens=1, output_tokens=1))
    assert json.loads(chat.write(counted, request_id="", created=0))["usage"]["total_tokens"] == 2
