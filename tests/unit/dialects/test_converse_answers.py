"""What Converse answers, whole and streamed, in the model of a conversation."""

import json
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.faults import frames
from tests.unit.dialects.test_messages_usage import JSON

from farthing.dialects import proofs
from farthing.dialects.assemble import Assembly
from farthing.dialects.conversation import (
    Block,
    Message,
    Opaque,
    Reasoning,
    SignatureDelta,
    Stopped,
    Text,
    ToolCall,
)
from farthing.dialects.converse.answers.answer_reader import STOPS, Asked, is_opaque, read
from farthing.dialects.converse.errors import MALFORMED, STATUSES
from farthing.dialects.converse.streams.stream_reader import Reader
from farthing.dialects.converse.usage import read_usage
from farthing.dialects.events import BadAnswer, BadStream, ProviderSaid
from farthing.types import Json, Usage

LONG = "docs_search_0123456789abcdef"
ASKED = Asked("b", "converse-1", "m", lambda name: "docs.search" if name == LONG else name)
USAGE: Json = {
    "inputTokens": 10,
    "outputTokens": 5,
    "totalTokens": 915,
    "cacheReadInputTokens": 800,
    "cacheWriteInputTokens": 100,
    "cacheDetails": [{"ttl": "1h", "inputTokens": 60}, {"ttl": "5m", "inputTokens": 40}],
}
COUNTED = Usage(
    input_tokens=910, output_tokens=5, cached_tokens=800, cache_write_5m_tokens=40, cache_write_1h_tokens=60
)
PAGE = {"title": "T", "location": {"web": {"url": "https://x.example"}}}
PASSAGE = {"title": "T", "location": {"documentPage": {"documentIndex": 0, "start": 1, "end": 2}}}


def whole(content: list[Json], stop: str = "end_turn", **fields: Any) -> bytes:
    told: Json = {"output": {"message": {"role": "assistant", "content": content}}, "stopReason": stop}
    return json.dumps({**told, "usage": USAGE, **fields}).encode()


def streamed(blocks: list[tuple[Json | None, list[Json]]], stop: str = "end_turn", **fields: Any) -> bytes:
    told = [frames.event("messageStart", role="assistant")]
    for index, (start, deltas) in enumerate(blocks):
        if start is not None:
            told.append(frames.event("contentBlockStart", start=start, contentBlockIndex=index))
        told += [frames.event("contentBlockDelta", delta=delta, contentBlockIndex=index) for delta in deltas]
        told.append(frames.event("contentBlockStop", contentBlockIndex=index))
    told.append(frames.event("messageStop", stopReason=stop))
    return b"".join([*told, frames.event("metadata", usage=USAGE, **fields)])


def gathered(stream: bytes, step: int = 7, asked: Asked = ASKED) -> Message:
    reader, assembly = Reader(65_536, asked), Assembly("messages")
    for at in range(0, len(stream), step):
        for event in reader.feed(stream[at : at + step]):
            assembly.add(event)
    for event in reader.end():
        assembly.add(event)
    assert reader.done and reader.stopped
    return assembly.message()


def signed(kind: str, opaque: str) -> str:
    return proofs.of_item({"type": "reasoning", kind: opaque}, "b")


BLOCKS: dict[str, tuple[list[Json], list[tuple[Json | None, list[Json]]], tuple[Block, ...]]] = {
    "text": ([{"text": "a ¼"}], [(None, [{"text": "a "}, {"text": "¼"}])], (Text("a ¼"),)),
    "calls": (
        [
            {"toolUse": {"toolUseId": "t1", "name": "now", "input": {"a": {"b": 1}}}},
            {"toolUse": {"toolUseId": "t2", "name": LONG, "input": {}}},
        ],
        [
            (
                {"toolUse": {"toolUseId": "t1", "name": "now"}},
                [{"toolUse": {"input": '{"a":{'}}, {"toolUse": {"input": '"b":1}}'}}],
            ),
            ({"toolUse": {"toolUseId": "t2", "name": LONG}}, []),
        ],
        (ToolCall("t1", "now", '{"a":{"b":1}}'), ToolCall("t2", "docs.search", "{}")),
    ),
    "signed reasoning": (
        [{"reasoningContent": {"reasoningText": {"text": "hm, so", "signature": "c2ln"}}}, {"text": "a"}],
        [
            (
                None,
                [
                    {"reasoningContent": {"text": "hm, "}},
                    {"reasoningContent": {"text": "so"}},
                    {"reasoningContent": {"signature": "c2"}},
                    {"reasoningContent": {"signature": "ln"}},
                ],
            ),
            (None, [{"text": "a"}]),
        ],
        (Reasoning("hm, so", signed("signature", "c2ln"), "", "messages"), Text("a")),
    ),
    "reasoning that nobody signed": (
        [{"reasoningContent": {"reasoningText": {"text": "hm"}}}],
        [(None, [{"reasoningContent": {"text": "hm"}}])],
        (Reasoning("hm"),),
    ),
    "reasoning that nobody may see": (
        [{"reasoningContent": {"redactedContent": "AAAA"}}],
        [(None, [{"reasoningContent": {"redactedContent": "AAAA"}}])],
        (Reasoning("", signed("redactedContent", "AAAA"), "", "messages"),),
    ),
    "a page": (
        [{"citationsContent": {"content": [{"text": "so it is"}], "citations": [PAGE]}}],
        [(None, [{"text": "so it is"}, {"citation": PAGE}])],
        (Text("so it is", None, ({**PAGE, "url": "https://x.example"},)),),
    ),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_is_the_same_whole_and_streamed(name: str) -> None:
    content, events, blocks = BLOCKS[name]
    once = read(whole(content), ASKED)
    assert once.blocks == blocks and not is_opaque(once)
    assert (once.id, once.model, once.usage, once.stop) == ("converse-1", "m", COUNTED, "end")
    for step in (1, 5, 10_000):
        assert gathered(streamed(events), step) == once


def test_bytes_that_come_in_pieces_are_joined_as_bytes() -> None:
    pieces = [
        {"reasoningContent": {"redactedContent": b64encode(one).decode()}} for one in (b"a", b"bcd", b"")
    ]
    thought = Reasoning("", signed("redactedContent", b64encode(b"abcd").decode()), "", "messages")
    assert gathered(streamed([(None, pieces)])).blocks == (thought,)
    with pytest.raises(BadStream, match="base64"):
        gathered(streamed([(None, [*pieces, {"reasoningContent": {"redactedContent": "?"}}])]))


def test_a_signature_in_pieces_is_told_once_whole() -> None:
    pieces = [{"reasoningContent": {"signature": "c2ln"}}] * 500
    events = Reader(1_000_000, ASKED).feed(streamed([(None, pieces)]))
    told = [event.signature for event in events if isinstance(event, SignatureDelta)]
    assert told == [signed("signature", "c2ln" * 500)]
    unclosed = b"".join(
        (
            frames.event("contentBlockDelta", delta=pieces[0], contentBlockIndex=0),
            frames.event("messageStop", stopReason="end_turn"),
        )
    )
    assert SignatureDelta(0, signed("signature", "c2ln")) in Reader(1_000_000, ASKED).feed(unclosed)


def test_what_only_converse_has_is_opaque() -> None:
    for block in (
        {"image": {"format": "png", "source": {"bytes": ""}}},
        {"citationsContent": {"content": [{"text": "x"}], "citations": [PASSAGE]}},
        {"toolUse": {"toolUseId": "t", "name": "nova_grounding", "input": {}, "type": "server_tool_use"}},
    ):
        assert is_opaque(read(whole([block]), ASKED))
    reader = Reader(65_536, ASKED)
    start = {"toolUse": {"toolUseId": "t", "name": "nova_grounding", "type": "server_tool_use"}}
    reader.feed(streamed([(start, [{"toolUse": {"input": "{}"}}]), (None, [{"text": "x"}])]))
    assert reader.opaque and reader.done


def test_reasoning_goes_back_to_nobody_where_no_provider_is_named() -> None:
    content, events, _ = BLOCKS["signed reasoning"]
    blocks = (Reasoning("hm, so"), Text("a"))
    assert read(whole(content)).blocks == blocks == gathered(streamed(events), asked=Asked()).blocks


@pytest.mark.parametrize("said", [*STOPS, "of_a_later_day"])
def test_every_stop_reason_is_told_as_what_it_is(said: str) -> None:
    once = read(whole([{"text": "Co"}], said), ASKED)
    assert (once.stop, once.stop_said) == (STOPS.get(said, "unknown"), said)
    assert gathered(streamed([(None, [{"text": "Co"}])], said)) == once
    assert (once.stop == "end") == (said == "end_turn")


@pytest.mark.parametrize("said", MALFORMED)
def test_what_is_malformed_is_an_error_with_what_it_cost(said: str) -> None:
    with pytest.raises(ProviderSaid) as caught:
        read(whole([], said), ASKED)
    assert said.encode() in caught.value.payload and caught.value.usage == COUNTED
    with pytest.raises(ProviderSaid) as caught:
        Reader(65_536, ASKED).feed(streamed([(None, [{"text": "a"}])], said))
    assert caught.value.before and caught.value.usage == COUNTED, "counts come behind why it ended"
    uncounted = b"".join(
        (frames.event("messageStart", role="assistant"), frames.event("messageStop", stopReason=said))
    )
    reader = Reader(65_536, ASKED)
    assert not any(isinstance(event, Stopped) for event in reader.feed(uncounted)) and not reader.stopped
    with pytest.raises(ProviderSaid) as caught:
        reader.end()
    assert said.encode() in caught.value.payload and caught.value.usage is None


def test_what_is_no_answer_is_refused() -> None:
    for body in (b"{}", b"[]", b"{", b'{"output": {}}', whole(["x"])):  # type: ignore[list-item]
        with pytest.raises(BadAnswer):
            read(body, ASKED)
    odd: list[Json] = [{"toolUse": {"name": "n"}}, {"toolUse": []}, {"reasoningContent": "x"}]
    for block in odd:
        with pytest.raises(BadAnswer):
            read(whole([block]), ASKED)
    with pytest.raises(ProviderSaid):
        read(b'{"message": "no", "__type": "com.amazon.coral#ThrottlingException"}', ASKED)
    assert read(b'{"stopReason": "max_tokens", "output": {}}', ASKED).blocks == ()


STREAM = streamed([(None, [{"text": "a"}])])


@pytest.mark.parametrize(
    "events",
    [
        [("contentBlockDelta", {"delta": {"text": "x"}})],
        [("contentBlockDelta", {"delta": {"text": "x"}, "contentBlockIndex": -1})],
        [("contentBlockDelta", {"delta": "x", "contentBlockIndex": 0})],
        [("contentBlockDelta", {"delta": {"toolUse": {"input": "{}"}}, "contentBlockIndex": 0})],
        [("contentBlockDelta", {"delta": {"toolUse": {}}, "contentBlockIndex": 0})],
        [("contentBlockDelta", {"delta": {"reasoningContent": "x"}, "contentBlockIndex": 0})],
        [("contentBlockStart", {"start": {"toolUse": {"name": "n"}}, "contentBlockIndex": 0})],
        [("contentBlockStart", {"contentBlockIndex": 0})],
        [("messageStop", {})],
        [
            ("messageStop", {"stopReason": "end_turn"}),
            ("contentBlockDelta", {"delta": {"text": "x"}, "contentBlockIndex": 0}),
        ],
        [
            (
                "contentBlockStart",
                {"start": {"toolUse": {"name": "n", "toolUseId": "t"}}, "contentBlockIndex": 0},
            )
        ]
        * 2,
    ],
)
def test_a_stream_of_nonsense_is_refused(events: list[tuple[str, Json]]) -> None:
    data = b"".join(frames.event(name, **fields) for name, fields in events)
    with pytest.raises(BadStream):
        Reader(65_536, ASKED).feed(frames.event("messageStart", role="assistant") + data)
    with pytest.raises(BadStream):
        Reader(65_536, ASKED).feed(frames.framed("messageStart", b"[]"))


def test_a_stream_ends_where_its_last_event_does() -> None:
    for at in range(len(STREAM)):
        reader = Reader(65_536, ASKED)
        reader.feed(STREAM[:at])
        assert not reader.done
        if not reader.stopped or reader.frames.is_within:
            with pytest.raises(BadStream):
                reader.end()
    reader = Reader(65_536, ASKED)
    reader.feed(STREAM + b"what follows is ignored")
    assert reader.done and reader.end() == []


def test_a_stream_without_its_counts_is_whole_and_says_so() -> None:
    reader = Reader(65_536, ASKED)
    reader.feed(STREAM[: STREAM.rfind(frames.event("metadata", usage=USAGE))])
    assert reader.stopped and not reader.done
    reader.end()
    assert reader.done and reader.usage is None


@pytest.mark.parametrize("name", STATUSES)
def test_an_exception_is_an_error_after_what_came(name: str) -> None:
    small = name[0].lower() + name[1:]
    begun = frames.event("contentBlockDelta", contentBlockIndex=0, delta={"text": "K"})
    with pytest.raises(ProviderSaid) as caught:
        Reader(65_536, ASKED).feed(begun + frames.exception(small, "engine lost"))
    error = json.loads(caught.value.payload)["error"]
    assert (error["message"], error["type"], error["status"]) == ("engine lost", name, STATUSES[name])
    assert caught.value.before


def test_an_error_of_the_protocol_is_one_too() -> None:
    headers = {":message-type": "error", ":error-code": "InternalError", ":error-message": "no"}
    frame = frames.message(b"".join(frames.text_header(*one) for one in headers.items()), b"")
    with pytest.raises(ProviderSaid) as caught:
        Reader(65_536, ASKED).feed(frame)
    assert json.loads(caught.value.payload)["error"]["message"] == "no"


@pytest.mark.parametrize(
    ("fields", "told", "tier"),
    [
        (USAGE, {"serviceTier": {"type": "flex"}}, "flex"),
        (
            USAGE,
            {"serviceTier": {"type": "default"}, "performanceConfig": {"latency": "optimized"}},
            "optimized",
        ),
        (USAGE, {"performanceConfig": {"latency": "standard"}}, ""),
    ],
)
def test_the_tier_that_ran_is_read(fields: Json, told: Json, tier: str) -> None:
    usage = read_usage(fields, told)
    assert usage is not None and usage.tier == tier


def test_writes_that_no_life_is_told_of_live_five_minutes() -> None:
    usage = read_usage({"inputTokens": 1, "outputTokens": 2, "cacheWriteInputTokens": 7}, {})
    assert usage == Usage(input_tokens=8, output_tokens=2, cache_write_5m_tokens=7)
    assert read_usage({"inputTokens": 3}, {}) == Usage(input_tokens=3, estimated=True)


@given(JSON)
def test_a_usage_of_any_shape_is_counted_or_is_none(fields: Any) -> None:
    for told in (fields, {"inputTokens": fields, "cacheDetails": fields, "outputTokens": 1}):
        usage = read_usage(told, {"serviceTier": fields})
        assert usage is None or usage.cached_tokens <= usage.input_tokens


@given(JSON)
def test_an_answer_of_any_shape_is_read_or_refused(value: Any) -> None:
    for told in (
        value,
        {"output": value},
        {"output": {"message": {"content": [value]}}, "stopReason": value},
    ):
        try:
            read(json.dumps(told).encode(), ASKED)
        except BadAnswer:
            continue


NAMES = st.sampled_from(
    ["messageStart", "contentBlockStart", "contentBlockDelta", "messageStop", "metadata", "chunk"]
)


@given(st.lists(st.tuples(NAMES, JSON), max_size=6))
def test_events_of_any_shape_are_read_or_refused(events: list[tuple[str, Any]]) -> None:
    data = b"".join(frames.framed(name, json.dumps(value).encode()) for name, value in events)
    reader = Reader(65_536, ASKED)
    try:
        reader.feed(data)
        reader.end()
    except BadAnswer:
        return


def test_opaque_blocks_are_kept_as_they_are() -> None:
    block = {"searchResult": {"source": "s"}}
    assert read(whole([block]), ASKED).blocks == (Opaque("converse", "searchResult", block),)
