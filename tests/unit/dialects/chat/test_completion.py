"""A whole answer and its stream say the same, both ways."""

import contextlib
import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.dialects.chat.answers.completion import NotChunks, assemble, closing_chunk, explode, from_text
from farthing.types import Usage

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
tool_calls = st.lists(
    st.fixed_dictionaries(
        {
            "id": texts,
            "type": st.just("function"),
            "function": st.fixed_dictionaries({"name": texts, "arguments": texts}),
        }
    ),
    min_size=1,
    max_size=3,
)
messages = st.fixed_dictionaries(
    {"role": st.just("assistant"), "content": st.none() | texts},
    optional={
        "refusal": st.none() | texts,
        "reasoning_content": texts,
        "tool_calls": tool_calls,
        "audio": st.dictionaries(texts, texts, max_size=2),
        "annotations": st.lists(
            st.dictionaries(st.sampled_from(["type", "x"]), texts, max_size=2), max_size=2
        ),
    },
)
logprobs = st.none() | st.fixed_dictionaries(
    {"content": st.lists(st.fixed_dictionaries({"token": texts, "logprob": st.integers(-9, 0)}), max_size=3)}
)
choices = st.fixed_dictionaries(
    {"message": messages, "finish_reason": st.sampled_from(["stop", "length", "tool_calls"])},
    optional={
        "logprobs": logprobs,
        "content_filter_results": st.dictionaries(texts, st.booleans(), max_size=2),
    },
)


@st.composite
def completions(draw: st.DrawFn) -> dict[str, Any]:
    made: dict[str, Any] = {
        "id": draw(texts),
        "object": "chat.completion",
        "created": 1,
        "model": draw(texts),
    }
    made["choices"] = [
        {"index": index, **each} for index, each in enumerate(draw(st.lists(choices, min_size=1, max_size=3)))
    ]
    if draw(st.booleans()):
        made["usage"] = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    if draw(st.booleans()):
        made["brand_new"] = draw(values)
    return made


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(completions())
def test_a_whole_answer_survives_being_streamed(whole: dict[str, Any]) -> None:
    block = explode(json.dumps(whole).encode(), include_usage=True)
    assert assemble([block], None) == whole


@settings(max_examples=100, deadline=None)
@given(completions())
def test_usage_is_only_for_those_who_asked(whole: dict[str, Any]) -> None:
    block = explode(json.dumps(whole).encode(), include_usage=False)
    events = [json.loads(event[6:]) for event in block.split(b"\n\n") if event]
    assert not any("usage" in event for event in events)
    assert {event["object"] for event in events} == {"chat.completion.chunk"}


def streamed(*deltas: dict[str, Any]) -> bytes:
    chunks = [
        {"id": "c", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": d}]} for d in deltas
    ]
    return b"".join(b"data: %b\n\n" % json.dumps(each).encode() for each in chunks)


def test_the_parts_of_several_tool_calls_go_where_they_belong() -> None:
    block = streamed(
        {"role": "assistant", "content": None},
        {
            "tool_calls": [
                {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}
            ]
        },
        {
            "tool_calls": [
                {"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": ""}}
            ]
        },
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"x":'}}]},
        {"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]},
    )
    calls = assemble([block], None)["choices"][0]["message"]["tool_calls"]
    assert [(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in calls] == [
        ("a", "f", '{"x":1}'),
        ("b", "g", "{}"),
    ]
    assert "index" not in calls[0]


def test_tool_calls_whose_first_parts_come_in_another_order_keep_their_places() -> None:
    block = streamed(
        {"tool_calls": [{"index": 1, "id": "b", "function": {"name": "g", "arguments": "{"}}]},
        {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "["}}]},
        {"tool_calls": [{"index": 1, "function": {"arguments": "}"}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "]"}}]},
    )
    calls = assemble([block], None)["choices"][0]["message"]["tool_calls"]
    assert [(c["id"], c["function"]["arguments"]) for c in calls] == [("a", "[]"), ("b", "{}")]


@settings(max_examples=300, deadline=None)
@given(values)
def test_chunks_of_any_shape_are_refused_cleanly_or_read(value: Any) -> None:
    odd = [value, {"choices": value}, {"choices": [value]}, {"choices": [{"index": value, "delta": {}}]}]
    odd += [{"choices": [{"delta": value}]}, {"choices": [{"delta": {"tool_calls": value}}]}]
    odd += [{"choices": [{"delta": {}, "logprobs": value}]}]
    for chunk in odd:
        block = b"data: %b\n\n" % json.dumps(chunk).encode()
        with contextlib.suppress(NotChunks):
            assert isinstance(assemble([block, block], None), dict)
        with contextlib.suppress(NotChunks):
            explode(json.dumps(chunk).encode(), include_usage=True)


def test_nothing_is_no_answer() -> None:
    for block in (b"", b": comment\n\n", b"data: [DONE]\n\n", b'data: {"id":"c","choices":[]}\n\n'):
        with pytest.raises(NotChunks):
            assemble([block], None)


def test_a_cut_is_said_in_the_last_chunk() -> None:
    first = b'{"id":"c9","created":5,"model":"m","choices":[]}'
    told = json.loads(closing_chunk(first, request_id="r", reason="limit:deadline_s")[6:])
    assert (told["id"], told["model"], told["created"]) == ("c9", "m", 5)
    assert told["choices"][0]["finish_reason"] == "length"
    assert told["farthing"] == {"stop_reason": "limit:deadline_s"}
    assert json.loads(closing_chunk(None, request_id="r", reason="x")[6:])["id"] == "chatcmpl-r"


def test_a_text_becomes_an_answer_that_the_client_understands() -> None:
    usage = Usage(input_tokens=3, output_tokens=4)
    whole = json.loads(from_text("hi", request_id="r", model="m", created=7, usage=usage))
    assert whole["choices"][0]["message"]["content"] == "hi" and whole["usage"]["total_tokens"] == 7
    assert assemble([explode(json.dumps(whole).encode(), include_usage=True)], None) == whole


def test_thinking_has_its_places_in_a_stream() -> None:
    blocks = [
        {"type": "thinking", "thinking": "a", "signature": "s"},
        {"type": "redacted_thinking", "data": "d"},
    ]
    message = {"role": "assistant", "content": "x", "thinking_blocks": blocks}
    whole = {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }
    events = explode(json.dumps(whole).encode(), include_usage=False)
    first = json.loads(events.split(b"\n\n")[0].removeprefix(b"data: "))
    assert [one["index"] for one in first["choices"][0]["delta"]["thinking_blocks"]] == [0, 1]
    assert assemble([events], None) == whole


def test_the_time_to_join_a_text_grows_with_its_length_alone() -> None:
    def seconds(pieces: int) -> float:
        block = streamed(*[{"content": "é" * 500, "tool": {"text": "y" * 500}}] * pieces)
        began = time.thread_time()
        whole = assemble([block], None)
        took = time.thread_time() - began
        message = whole["choices"][0]["message"]
        assert len(message["content"]) == len(message["tool"]["text"]) == 500 * pieces
        return took

    assert min(seconds(8_000) for _ in range(2)) < 8 * min(seconds(2_000) for _ in range(3))


def test_a_text_that_turns_into_something_else_is_replaced_by_it() -> None:
    whole = assemble([streamed({"x": "a"}, {"x": "b"}, {"x": 3}, {"x": "c"}, {"x": "d"})], None)
    assert whole["choices"][0]["message"]["x"] == "cd"


def test_an_error_beside_an_empty_list_of_choices_is_no_answer() -> None:
    with pytest.raises(NotChunks):
        explode(b'{"error":{"message":"overloaded"},"choices":[],"usage":{}}', include_usage=True)


@pytest.mark.parametrize("name", ["tool_calls", "reasoning_details"])
def test_no_answer_has_thousands_of_calls(name: str) -> None:
    piece = b'data: {"choices":[{"index":0,"delta":{"%b":[{"index":%d,"id":"c%d"}]}}]}\n\n'
    with pytest.raises(NotChunks, match="more than"):
        assemble([piece % (name.encode(), number, number) for number in range(50_000)], None)
