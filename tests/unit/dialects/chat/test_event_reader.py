"""The events of a stream go on as they came, however they are cut; what they said is remembered."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.pace import turns

from farthing.dialects.chat.streams.event_reader import EMPTY_EVENTS_MAX, EventReader
from farthing.dialects.faults import BadStream, ProviderSaid
from farthing.types import Usage

LIMIT = 100_000
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def chunk(delta: dict[str, Any], finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **fields}


def events(*payloads: Any, eol: str = "\n", done: bool = True) -> bytes:
    lines = [f"data: {json.dumps(p, ensure_ascii=False)}{eol}{eol}" for p in payloads]
    return "".join([*lines, f"data: [DONE]{eol}{eol}" if done else ""]).encode()


def fed(reader: EventReader, data: bytes, cuts: list[int] | None = None) -> bytes:
    places = [0, *sorted(min(cut, len(data)) for cut in cuts or []), len(data)]
    out = [reader.feed(data[a:b]) for a, b in itertools.pairwise(places)]
    return b"".join([*out, reader.end()])


def payloads(block: bytes) -> list[Any]:
    return [json.loads(event[6:]) for event in block.split(b"\n\n") if event.startswith(b"data: ")]


STREAM = [
    chunk({"role": "assistant", "content": ""}),
    chunk({"content": "é"}),
    chunk({"content": ' say "finish_reason":"stop" [DONE]\n\ndata: {'}),
    chunk({"reasoning_content": "hm"}),
    chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]}),
    chunk({}, "stop"),
]
USAGE = {"id": "c", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 2_000), max_size=30), st.sampled_from(["\n", "\r\n", "\r"]))
def test_it_does_not_matter_where_a_stream_is_cut_or_how_its_lines_end(cuts: list[int], eol: str) -> None:
    reader = EventReader(LIMIT)
    out = fed(reader, events(*STREAM, USAGE, eol=eol), cuts)
    assert payloads(out) == STREAM, "all but the usage chunk and [DONE], which are for the caller to send"
    assert reader.done and reader.finish_reason == "stop" and reader.finished == {0: "stop"}
    assert reader.chunks == 4, "a role alone is no token"
    said = ("é", STREAM[2]["choices"][0]["delta"]["content"], "hm", "{")
    assert reader.text_chars == sum(map(len, said)), "reasoning and the arguments of calls are said too"
    assert reader.usage is not None and (reader.usage.input_tokens, reader.usage.output_tokens) == (3, 4)
    assert reader.usage_event is not None and json.loads(reader.usage_event) == USAGE


@settings(max_examples=150, deadline=None)
@given(st.lists(texts, max_size=8), st.lists(st.integers(0, 3_000), max_size=8))
def test_any_text_arrives(said: list[str], cuts: list[int]) -> None:
    reader = EventReader(LIMIT)
    sent = [chunk({"content": text}) for text in said]
    assert payloads(fed(reader, events(*sent), cuts)) == sent
    assert (reader.chunks, reader.text_chars) == (sum(map(bool, said)), sum(map(len, said)))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=6))
def test_garbage_is_refused_or_carried_and_never_a_crash(data: bytes, cuts: list[int]) -> None:
    try:
        fed(EventReader(200), data, cuts)
    except BadStream as error:
        assert str(error)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "choices",
                        "delta",
                        "message",
                        "content",
                        "index",
                        "finish_reason",
                        "usage",
                        "error",
                        "x",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_json_of_any_shape_is_refused_or_carried(value: Any) -> None:
    reader = EventReader(LIMIT)
    try:
        out = fed(reader, events(value, chunk({"content": "x"}), done=False))
    except BadStream:
        return
    assert value is None or isinstance(value, dict), "null keeps a connection open"
    assert reader.chunks >= 1 and reader.text_chars >= 1
    assert payloads(out)[-1] == chunk({"content": "x"})


def test_fields_go_on_as_they_are_and_comments_once_the_answer_has_begun() -> None:
    reader = EventReader(LIMIT)
    first = b"event: message\nid: 7\nretry: 10\nfoo: bar\ndata: " + json.dumps(STREAM[1]).encode() + b"\n\n"
    assert fed(reader, b": hello\n\nretry: 3000\n\n" + first + b": alive\n\n") == first + b":\n"
    assert reader.chunks == 1


@pytest.mark.parametrize(
    "data",
    [
        b"data: {\n\n",
        b"data: nonsense\n\n",
        b"data: []\n\n",
        b"data: ping\n\n",
        b'data: {"choices":[{"delta":{"content":"\xff"}}]}\n\n',
        b'data: {"x":"\xff"}\n\n',
        b'data: {"choices":[{"delta":{}}]},{"choices":[]}\n\n',
        b"data: {" + b"x" * LIMIT + b"\n\n",
        b"data: " + b"x" * (LIMIT + 1),
    ],
)
def test_what_is_no_stream_of_json_is_refused(data: bytes) -> None:
    with pytest.raises(BadStream):
        EventReader(LIMIT).feed(data)


def test_an_error_object_is_told_apart_and_null_is_none() -> None:
    with pytest.raises(ProviderSaid) as said:
        EventReader(LIMIT).feed(events({"error": {"message": "the model failed"}}))
    assert json.loads(said.value.payload)["error"]["message"] == "the model failed"
    reader = EventReader(LIMIT)
    assert payloads(reader.feed(events(chunk({"content": "x"}, error=None))))
    assert reader.chunks == 1


def test_what_follows_done_is_dropped() -> None:
    reader = EventReader(LIMIT)
    out = fed(reader, events(STREAM[1]) + events(STREAM[1], done=False) + b"data: {bad\n\n")
    assert payloads(out) == [STREAM[1]] and reader.done


def test_a_long_stream_is_not_held_in_memory_to_be_counted() -> None:
    reader = EventReader(LIMIT)
    for _ in range(3_000):
        reader.feed(events(chunk({"content": "x" * 200}), done=False))
    held = sum(len(block) for block in reader._uncounted)  # shows nowhere else
    assert held < 300_000
    assert reader.chunks == 3_000 and reader.text_chars == 600_000


def test_usage_that_comes_with_every_chunk_counts_once_and_is_the_last() -> None:
    reader = EventReader(LIMIT)
    for number in range(1, 4):
        counted = {"prompt_tokens": 5, "completion_tokens": number}
        out = reader.feed(events(chunk({"content": "x"}, usage=counted), done=False))
        assert payloads(out)[0]["usage"] == counted
    assert reader.usage is not None and reader.usage.output_tokens == 3


def test_what_came_before_an_error_in_the_same_read_is_not_lost() -> None:
    reader = EventReader(LIMIT)
    reader.feed(events(STREAM[1], done=False))
    good = events(STREAM[2], done=False)
    with pytest.raises(ProviderSaid) as said:
        reader.feed(good + events({"error": {"message": "no more"}}))
    assert said.value.before == good


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("field", ["x", "reasoning_details", "content"])
def test_what_is_nested_too_deeply_is_refused_or_carried(field: str, begun: bool) -> None:
    deep = f'{{"choices":[{{"delta":{{"{field}":{"[" * 5_000}{"]" * 5_000}}}}}]}}'
    reader = EventReader(LIMIT)
    if begun:
        reader.feed(events(chunk({"content": "x"}), done=False))
    with pytest.raises(BadStream):
        reader.feed(f"data: {deep}\n\n".encode())


@pytest.mark.parametrize("delta", [{}, {"delta": None}])
def test_a_whole_answer_in_one_event_is_carried_with_or_without_an_empty_delta(delta: dict[str, Any]) -> None:
    message = {"role": "assistant", "content": "hello"}
    reader = EventReader(LIMIT)
    out = reader.feed(
        events({"choices": [{"index": 0, "message": message, "finish_reason": "stop", **delta}]})
    )
    assert [choice["delta"] for one in payloads(out) for choice in one["choices"]] == [message, {}]
    assert (reader.begun, reader.text_chars, reader.finished, reader.done) == (True, 5, {0: "stop"}, True)


@pytest.mark.parametrize("other", [5, None, {"message": "hello"}])
def test_a_whole_answer_with_a_choice_that_is_none_is_refused_in_words(other: Any) -> None:
    whole = {"choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}, other]}
    with pytest.raises(BadStream, match="no whole answer"):
        EventReader(LIMIT).feed(events(whole))


def test_a_usage_chunk_that_came_in_several_lines_is_kept_as_one() -> None:
    reader = EventReader(LIMIT)
    said = b'data: {"choices":[],\ndata: "usage":{"prompt_tokens":3,\ndata: "completion_tokens":4}}\n\n'
    assert reader.feed(events(STREAM[-1], done=False) + said) == events(STREAM[-1], done=False)
    assert reader.usage_event is not None and b"\n" not in reader.usage_event
    assert json.loads(reader.usage_event)["usage"] == {"prompt_tokens": 3, "completion_tokens": 4}


DEEP = [opener * depth + b"1" + closer * depth for depth in (400, 980, 5_000, 100_000) for opener, closer in (
    (b"[", b"]"), (b'{"a":', b"}"))]  # fmt: skip
PLACES = [
    b'{"choices":[{"index":0,"delta":{"content":%s}}]}',
    b'{"choices":[{"index":0,"delta":{"audio":%s}}]}',
    b'{"choices":[{"index":0,"delta":{"thinking":%s}}]}',
    b'{"choices":[{"index":0,"message":{"content":%s}}]}',
    b'{"choices":[],"usage":%s}',
    b'{"error":%s}',
    b"%s",
]


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("place", PLACES)
def test_no_depth_and_no_number_is_more_than_a_bad_stream(place: bytes, begun: bool) -> None:
    for odd in [*DEEP, b"9" * 5_000, rb'"\ud83d"', b"[" * 300 + rb'"\ud83d"' + b"]" * 300]:
        reader = EventReader(1_000_000)
        if begun:
            reader.feed(events(chunk({"content": "hi"}), done=False))
        try:
            reader.feed(b"data: " + place.replace(b"%s", odd) + b"\n\n")
            assert reader.chunks >= begun and reader.text_chars >= begun
        except BadStream:
            continue


@pytest.mark.parametrize("nothing", [b":\n\n", b"data: null\n\n", b"event: ping\n\n", b"\n\n"])
def test_a_flood_of_events_that_say_nothing_ends(nothing: bytes) -> None:
    reader = EventReader(1_000_000)
    reader.feed(nothing * EMPTY_EVENTS_MAX)
    with pytest.raises(BadStream, match="say nothing"):
        reader.feed(nothing * 2)


@pytest.mark.parametrize(
    "bad", [b"data: {half\n\n", b'data: {"error": {"message": "m"}}\n\n', b'data: {"\xff"}\n\n']
)
def test_what_is_good_before_a_bad_event_is_kept_with_it(bad: bytes) -> None:
    reader, good = EventReader(LIMIT), events(*STREAM[:2], done=False)
    with pytest.raises(BadStream) as raised:
        reader.feed(good + bad + events(STREAM[2]))
    assert raised.value.before == good
    assert reader.begun
    assert reader.chunks == 1


@pytest.mark.parametrize(
    "choice",
    [
        {"delta": {"role": "assistant", "content": ""}, "finish_reason": "error"},
        {"delta": {"content": ""}, "error": {"message": "m", "code": 502}},
        {"delta": {}, "finish_reason": "error", "error": {"message": "m"}, "native": [1]},
        {"delta": {"content": []}, "finish_reason": "network_error"},
    ],
)
def test_a_choice_that_failed_is_an_error_where_nothing_was_said(choice: dict[str, Any]) -> None:
    failed = events({"choices": [{"index": 0, **choice}]}, done=False)
    counted = {"prompt_tokens": 7, "completion_tokens": 1}
    for behind, usage in (
        (b"data: [DONE]\n\n", None),
        (
            events({"choices": [], "usage": counted}, done=False),
            Usage(input_tokens=7, output_tokens=1, cache_untold=True),
        ),
    ):
        reader = EventReader(LIMIT)
        assert reader.feed(failed) == b"" and not reader.begun and not reader.ended(1)
        with pytest.raises(ProviderSaid) as caught:
            reader.feed(behind)
        assert caught.value.usage == usage, "counts come behind why it ended"
    reader = EventReader(LIMIT)
    reader.feed(failed)
    with pytest.raises(ProviderSaid):
        reader.end()
    reader = EventReader(LIMIT)
    reader.feed(events(chunk({"content": "x"}), done=False))
    assert reader.feed(failed) == failed


@pytest.mark.parametrize("error", [None, {}, "", {"message": ""}])
def test_an_error_in_a_choice_that_says_nothing_is_none(error: Any) -> None:
    answer = events({"choices": [{"index": 0, "delta": {"content": ""}, "error": error}]}, chunk({}, "stop"))
    reader = EventReader(LIMIT)
    reader.feed(answer)
    assert reader.finished == {0: "stop"}


@pytest.mark.parametrize("usage", [{}, {"usage": None}])
def test_groq_has_a_place_of_its_own_for_the_usage(usage: dict[str, Any]) -> None:
    counted = {"prompt_tokens": 23, "completion_tokens": 19, "total_tokens": 42, "queue_time": 0.07}
    reader = EventReader(LIMIT)
    reader.feed(events({**chunk({"content": "x"}), "x_groq": {"id": "req"}}))
    assert reader.usage is None
    reader = EventReader(LIMIT)
    reader.feed(events({**chunk({}, "stop"), **usage, "x_groq": {"id": "req", "usage": counted}}))
    assert reader.usage is not None
    assert (reader.usage.input_tokens, reader.usage.output_tokens) == (23, 19)


@pytest.mark.parametrize("alive", [b"data: null\n\n", b"event: ping\ndata: {}\n\n", b"data:\n\n"])
def test_a_sign_of_life_goes_on_as_a_comment(alive: bytes) -> None:
    """A client's read timeout would end a stream that goes on well directly."""
    reader = EventReader(LIMIT)
    assert reader.feed(alive) == b""
    reader.feed(events(chunk({"content": "x"}), done=False))
    assert reader.feed(alive) == b":\n"
    reader.feed(b"data: [DONE]\n\n")
    assert reader.feed(alive) == b""


@pytest.mark.parametrize(
    "delta", [{"thinking_blocks": [{"type": "thinking", "thinking": "four"}]}, {"thinking": "four"}]
)
def test_thoughts_are_counted_under_any_name(delta: dict[str, Any]) -> None:
    reader = EventReader(LIMIT)
    reader.feed(events(chunk(delta), done=False))
    assert reader.text_chars == 4


@given(st.lists(st.sampled_from([b"\n", b"\n\n", b"\r", b": c", b"id", b" "]), max_size=12))
def test_blank_lines_are_found_wherever_a_read_ends(parts: list[bytes]) -> None:
    start = events(chunk({"content": "hi"}), done=False)
    at_once, piecemeal = EventReader(LIMIT), EventReader(LIMIT)
    whole = at_once.feed(start + b"".join(parts)) + at_once.end()
    pieces = piecemeal.feed(start) + b"".join(map(piecemeal.feed, parts)) + piecemeal.end()
    assert pieces == whole


def test_a_long_event_in_small_pieces_is_read_in_time() -> None:
    reader = EventReader(16_777_216)
    assert turns(lambda: [reader.feed(b"x" * 1_000) for _ in range(15_000)], 1) < 100_000_000


def test_sound_after_a_finish_is_no_answer_with_nothing_in_it() -> None:
    reader = EventReader(LIMIT)
    for chunk in (
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {"choices": [{"index": 0, "delta": {"audio": {"data": "UklGRg=="}}}]},
        {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 0, "total_tokens": 9}},
    ):
        reader.feed(b"data: " + json.dumps(chunk).encode() + b"\n\n")
    reader.feed(b"data: [DONE]\n\n")
    assert not reader.states_nothing
