"""Answers of Gemini, whole and streamed: both say the same wherever they are cut, what is none is refused."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.faults.gemini_request import of_type
from tests.pace import turns
from tests.unit.dialects.shapes import assembled
from tests.unit.dialects.test_messages_usage import JSON

from farthing.dialects.chat.answers import answer_writer as chat_writer
from farthing.dialects.chat.usage import UsageForm, read_fields
from farthing.dialects.conversation import Image, Message, Opaque, Reasoning, Text, ToolCall
from farthing.dialects.events import BadAnswer, ProviderSaid
from farthing.dialects.gemini.answers.answer_reader import is_opaque, read
from farthing.dialects.gemini.streams.stream_reader import Reader
from farthing.dialects.gemini.usage import read_usage
from farthing.types import Json, Usage

EVENT_BYTES_MAX = 65_536
WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9)
PARTS = st.one_of(
    st.builds(lambda text: {"text": text}, WORDS),
    st.builds(lambda text: {"text": text, "thought": True}, WORDS),
    st.builds(lambda text: {"text": text, "thoughtSignature": "c2ln"}, WORDS),
    st.builds(
        lambda args, signed: {"functionCall": {"name": "f", "args": args}, **signed},
        st.dictionaries(WORDS, st.integers() | WORDS, max_size=2),
        st.sampled_from([{}, {"thoughtSignature": "c2ln"}]),
    ),
    st.sampled_from([
        {"inlineData": {"mimeType": "image/png", "data": "iVBO"}}, {"executableCode": {"code": "1"}},
        {"text": ""}, {"thoughtSignature": "c2ln"}, {"a_part_of_tomorrow": {}},
    ]),
)  # fmt: skip


def object_of(*parts: Any, finish: str = "STOP", usage: Any = None, **candidate: Any) -> Json:
    one: Json = {"content": {"role": "model", "parts": list(parts)}, "index": 0, **candidate}
    if finish:
        one["finishReason"] = finish
    found: Json = {"candidates": [one], "modelVersion": "m", "responseId": "r"}
    return found if usage is None else found | {"usageMetadata": usage}


def streamed(*objects: Any, cut: int = 0) -> Message:
    raw = b"".join(b"data: %b\r\n\r\n" % json.dumps(one).encode() for one in objects)
    reader = Reader(EVENT_BYTES_MAX)
    return assembled([*reader.feed(raw[:cut]), *reader.feed(raw[cut:]), *reader.end()])


def whole(*objects: Any) -> Message:
    return read(json.dumps(objects[0] if len(objects) == 1 else list(objects)).encode())


@given(st.lists(PARTS, max_size=6), st.data())
def test_a_stream_says_what_the_whole_answer_says(parts: list[Json], data: st.DataObject) -> None:
    usage = {"promptTokenCount": 5, "candidatesTokenCount": 7, "thoughtsTokenCount": 2, "totalTokenCount": 14}
    objects = [object_of(part, finish="") for part in parts] + [object_of(usage=usage)]
    told = streamed(*objects, cut=data.draw(st.integers(0, 400)))
    assert told == whole(*objects)
    assert told.usage is not None and (told.usage.input_tokens, told.usage.output_tokens) == (5, 9)
    once = whole(object_of(*parts, usage=usage))
    assert texts_of(once) == texts_of(told)
    called = any(isinstance(block, ToolCall) for block in told.blocks)
    assert once.stop == told.stop == ("tool_calls" if called else "end")
    ids = [block.id for block in told.blocks if isinstance(block, ToolCall)]
    assert len(set(ids)) == len(ids) and all(ids)
    chat_writer.write(told, request_id="r", created=0)


def texts_of(message: Message) -> tuple[str, str, list[str], int]:
    return (
        "".join(block.text for block in message.blocks if isinstance(block, Text)),
        "".join(block.text for block in message.blocks if isinstance(block, Reasoning)),
        [block.arguments for block in message.blocks if isinstance(block, ToolCall)],
        sum(isinstance(block, Image | Opaque) for block in message.blocks),
    )


CANDIDATE = st.fixed_dictionaries(
    {},
    optional={
        "content": JSON | st.fixed_dictionaries({"parts": st.lists(PARTS | JSON, max_size=3) | JSON}),
        "finishReason": st.sampled_from(["STOP", "MALFORMED_FUNCTION_CALL", "NEW"]) | JSON,
        "groundingMetadata": JSON
        | st.fixed_dictionaries({"groundingChunks": st.lists(JSON), "groundingSupports": st.lists(JSON)}),
        "index": JSON,
    },
)


@given(
    st.lists(
        JSON
        | st.fixed_dictionaries(
            {},
            optional={
                "candidates": st.lists(CANDIDATE, max_size=2) | JSON,
                "usageMetadata": JSON,
                "promptFeedback": JSON,
                "error": JSON,
            },
        ),
        max_size=4,
    )
)
def test_objects_of_any_shape_are_read_or_refused(objects: list[Any]) -> None:
    for way in (whole, streamed):
        try:
            message = way(*objects) if objects else read(b"")
        except BadAnswer:
            continue
        chat_writer.write(message, request_id="r", created=0)
        is_opaque(message)


@given(st.lists(st.binary(max_size=40)))
def test_bytes_of_any_kind_are_refused_as_no_stream(pieces: list[bytes]) -> None:
    reader = Reader(EVENT_BYTES_MAX)
    with pytest.raises(BadAnswer):
        for piece in pieces:
            reader.feed(piece)
        reader.end()


@pytest.mark.parametrize(
    "body", [b"", b"[" * 100_000, b'{"candidates":' * 5_000, b"\xff", b"[[]]", b"data: x\n\n"]
)
def test_a_body_that_is_too_deep_or_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(BadAnswer):
        read(body)


def test_a_piece_after_the_end_is_no_answer() -> None:
    with pytest.raises(BadAnswer, match="after its end"):
        streamed(object_of({"text": "a"}), object_of({"text": "b"}))
    told = streamed(
        object_of({"text": "a"}), {"usageMetadata": {"promptTokenCount": 3, "totalTokenCount": 4}}
    )
    assert told.usage is not None and told.usage.input_tokens == 3, "counts may come late"


def test_an_error_keeps_its_words_and_what_was_counted() -> None:
    with pytest.raises(ProviderSaid) as raised:
        whole({"error": {"code": 503, "message": "busy"}})
    assert b"busy" in raised.value.payload
    spoilt = object_of(finish="MALFORMED_RESPONSE", usage={"promptTokenCount": 9, "totalTokenCount": 9})
    with pytest.raises(ProviderSaid) as raised:
        streamed(spoilt)
    assert raised.value.usage is not None and raised.value.usage.input_tokens == 9
    counts = {"promptTokenCount": 9, "candidatesTokenCount": 2, "totalTokenCount": 11}
    late = object_of(finish="MALFORMED_RESPONSE")
    late.pop("usageMetadata", None)
    with pytest.raises(ProviderSaid) as raised:
        streamed(late, {"usageMetadata": counts})
    assert raised.value.usage == Usage(input_tokens=9, output_tokens=2), "counts may come late"
    for told in (streamed, whole):
        with pytest.raises(ProviderSaid) as raised:
            told(late)
        assert b"MALFORMED_RESPONSE" in raised.value.payload and raised.value.usage is None


def test_places_of_sources_are_in_characters_and_believed_where_the_words_are_there() -> None:
    supports = [
        {"segment": {"startIndex": 3, "endIndex": 8, "text": "ß½"}, "groundingChunkIndices": [0]},
        {"segment": {"startIndex": 0, "endIndex": 99, "text": "cold"}, "groundingChunkIndices": [1]},
        {"segment": {"text": "warm"}, "groundingChunkIndices": [1, 7, "x"]},
    ]
    chunks = [
        {"web": {"uri": "https://a", "title": "A"}},
        {"web": {"uri": "https://b"}},
        {"web": {"uri": "https://c"}},
    ]
    told = whole(
        object_of(
            {"text": "ok ß½ is cold"},
            groundingMetadata={"groundingChunks": chunks, "groundingSupports": supports},
        )
    )
    assert isinstance(told.blocks[0], Text)
    found = [(one["url"], one.get("start_index"), one.get("end_index")) for one in told.blocks[0].citations]
    assert found == [
        ("https://a", 3, 5),
        ("https://b", 9, 13),
        ("https://b", None, None),
        ("https://c", None, None),
    ]


def test_what_an_event_costs_does_not_grow_with_what_came_before() -> None:
    def told(count: int) -> float:
        events = [b"data: %b\n\n" % json.dumps(object_of({"text": "x"}, finish="")).encode()] * count

        def work() -> None:
            reader = Reader(EVENT_BYTES_MAX)
            for one in events:
                reader.feed(one)

        return turns(work, 2)

    assert told(4_000) / 10 < 3 * told(400)


def test_the_answers_of_the_tests_are_of_the_types_of_the_sdk() -> None:
    of_type(object_of({"text": "x", "thoughtSignature": "c2ln"}, usage={"promptTokenCount": 1}),
            "#GenerateContentResponse", "answer")  # fmt: skip


COUNT = st.integers(0, 30) | st.sampled_from([None, -1, 10**12, "7", 2.5, True])
DETAILS = st.none() | st.lists(
    st.fixed_dictionaries({"modality": st.sampled_from(["TEXT", "AUDIO", "X"]), "tokenCount": COUNT}),
    max_size=2,
)


@given(
    st.fixed_dictionaries({"promptTokenCount": COUNT, "totalTokenCount": COUNT}, optional={
        "candidatesTokenCount": COUNT, "thoughtsTokenCount": COUNT, "toolUsePromptTokenCount": COUNT,
        "cachedContentTokenCount": COUNT, "promptTokensDetails": DETAILS, "candidatesTokensDetails": DETAILS,
        "trafficType": st.sampled_from(["ON_DEMAND", "ON_DEMAND_FLEX"]),
    }),
    st.booleans(),
)  # fmt: skip
def test_the_quick_way_counts_what_the_long_one_does(told: Json, adds_up: bool) -> None:
    if adds_up:
        names = ("promptTokenCount", "toolUsePromptTokenCount", "candidatesTokenCount", "thoughtsTokenCount")
        told["totalTokenCount"] = sum(one for name in names if type(one := told.get(name)) is int)
    assert read_usage(told) == read_fields(told, UsageForm(reasoning="inside"))
