"""Streams that were made to cost much: what an event costs does not grow with what came before it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.pace import turns

from farthing.dialects.chat.answers.completion import assemble
from farthing.dialects.chat.streams.stream_reader import Reader
from farthing.dialects.conversation import ArgumentsDelta, BlockStarted, BlockStopped, ToolCall
from farthing.dialects.messages.answers.whole import assembled
from farthing.dialects.messages.streams import stream_reader as messages_stream
from farthing.dialects.messages.streams.stream_writer import EventWriter
from farthing.dialects.messages.usage import merged, read_usage, runs_of
from farthing.types import Json, Usage

EVENT_BYTES_MAX = 16_777_216


def chunk(delta: Json) -> bytes:
    return b"data: %b\n\n" % json.dumps({"id": "c", "choices": [{"index": 0, "delta": delta}]}).encode()


def piece(index: int, arguments: str, **fields: Any) -> Json:
    named = {"name": "f"} if fields else {}
    return {"tool_calls": [{"index": index, **fields, "function": {"arguments": arguments, **named}}]}


def growth(work: Callable[[int], Callable[[], object]], small: int, times: int) -> float:
    """How many times as long as `small` events so many times as many take, for each event."""
    return turns(work(small * times), 2) / turns(work(small), 2) / times


def test_blocks_that_alternate_beside_open_calls_cost_what_they_cost_beside_few() -> None:
    def told(calls: int) -> float:
        begun = [chunk(piece(at, '{"a":', id=f"c{at}", type="function")) for at in range(calls)]
        said = [chunk({"content": "x"}), chunk({"reasoning_content": "y"})] * 400

        def work() -> None:
            reader = Reader()
            for one in begun:
                reader.feed(one)
            for one in said:
                reader.feed(one)

        return turns(work, 2) - turns(lambda: [Reader().feed(one) for one in begun], 2)

    assert told(900) < 6 * max(told(10), 1.0)  # 30 times as much, when each block looked at every call


def test_pieces_of_many_calls_are_told_apart_in_linear_time() -> None:
    def work(calls: int) -> Callable[[], object]:
        begun = [chunk(piece(at, "[", id=f"c{at}", type="function")) for at in range(calls)]
        said = [chunk(piece(at % calls, "1,")) for at in range(2_000)]

        def read() -> None:
            reader = Reader()
            for one in (*begun, *said):
                reader.feed(one)

        return read

    assert turns(work(900), 2) < 3 * turns(work(9), 2)  # 5 times as much, when each looked at every call


def test_calls_that_alternate_end_when_they_are_whole() -> None:
    reader = Reader()
    found = reader.feed(chunk(piece(0, '{"a":', id="c0", type="function")))
    found += reader.feed(chunk(piece(1, '{"b":', id="c1", type="function")))
    found += reader.feed(chunk(piece(0, "1}")) + chunk({"content": "x"}))
    assert BlockStopped(0) in found and BlockStopped(1) not in found
    found += reader.feed(chunk(piece(1, "2}")) + chunk({"reasoning_content": "y"}))
    assert BlockStopped(1) in found
    told = [event.text for event in found if isinstance(event, ArgumentsDelta)]
    assert told == ['{"a":', '{"b":', "1}", "2}"]


def test_pieces_of_many_calls_are_put_together_in_linear_time() -> None:
    def work(calls: int) -> Callable[[], object]:
        begun = [chunk(piece(at, "[", id=f"c{at}", type="function")) for at in range(calls)]
        said = [chunk(piece(at % calls, "1,")) for at in range(2_000)]
        thought = [
            chunk({"thinking_blocks": [{"index": at % calls, "thinking": "x"}]}) for at in range(2_000)
        ]
        return lambda: assemble([*begun, *said, *thought], None)

    message = assemble([chunk(piece(at % 2, f"{at},", id=f"c{at % 2}")) for at in range(6)], None)
    told = [call["function"]["arguments"] for call in message["choices"][0]["message"]["tool_calls"]]
    assert told == ["0,2,4,", "1,3,5,"]
    assert turns(work(900), 2) < 6 * turns(work(9), 2)


def test_calls_that_say_their_name_with_each_piece_are_put_together_in_linear_time() -> None:
    def work(count: int) -> Callable[[], object]:
        said = [chunk(piece(0, '{"a":"', name="f")), *[chunk(piece(0, "xyz ", name="f"))] * count]
        return lambda: assemble(said, None)

    assert growth(work, 300, 30) < 3


def test_a_usage_that_names_more_with_each_event_is_no_larger_for_that() -> None:
    counts: Json = {"input_tokens": 7, "service_tier": "priority"}
    for at in range(1_000):
        counts = merged(counts, {f"unknown_{at}": 1, "output_tokens": at})
    counts = merged(counts, {**{f"more_{at}": 1 for at in range(1_000)}, "output_tokens": 2_000})
    assert read_usage(counts) == Usage(input_tokens=7, output_tokens=2_000, tier="priority")
    assert len(counts) <= 100
    huge: Json = {**{f"unknown_{at}": 1 for at in range(1_000)}, "input_tokens": 5, "output_tokens": 6}
    assert read_usage(merged({}, huge)) == Usage(input_tokens=5, output_tokens=6)


def test_the_runs_that_a_usage_lists_are_read_once_however_often_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[Any] = []

    def counted(iterations: Any) -> Any:
        read.append(iterations)
        return runs_of(iterations)

    monkeypatch.setattr(messages_stream, "runs_of", counted)
    listed = [{"type": "message", "input_tokens": 1, "output_tokens": 1}] * 1_000
    usage = {"input_tokens": 1_000, "output_tokens": 1_000, "iterations": listed}
    reader = messages_stream.Reader(EVENT_BYTES_MAX)
    told: list[Json] = [{"type": "message_start", "message": {"content": [], "usage": usage}}]
    told += [
        {"type": "message_delta", "delta": {}, "usage": {"output_tokens": at}} for at in range(1_001, 1_300)
    ]
    for one in told:
        reader.feed(b"event: %b\ndata: %b\n\n" % (one["type"].encode(), json.dumps(one).encode()))
    assert reader.usage is not None and reader.usage.output_tokens == 1_299
    assert [len(one) for one in read if one is not None] == [1_000]


def test_of_the_runs_that_a_usage_lists_a_thousand_are_read() -> None:
    one = {"type": "message", "input_tokens": 1, "output_tokens": 1}
    found = runs_of([one] * 1_000 + [{**one, "type": "compaction"}] * 9_000)
    assert found is not None and found.added == []
    assert sum(counts[0] for _, counts in found.own) == 1_000


def test_sources_of_a_text_are_gathered_in_linear_time() -> None:
    def events(count: int) -> bytes:
        cited = {"type": "page_location", "cited_text": "a"}
        said: list[Json] = [
            {"type": "message_start", "message": {"content": [], "usage": {}}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "x"}},
            *[
                {
                    "type": "content_block_delta",
                    "index": 0,
                    "delta": {"type": "citations_delta", "citation": cited},
                }
                for _ in range(count)
            ],
        ]
        return b"".join(b"data: %b\n\n" % json.dumps(one).encode() for one in said)

    def work(count: int) -> Callable[[], object]:
        raw = events(count)
        return lambda: assembled(raw, EVENT_BYTES_MAX)

    whole = assembled(events(3), EVENT_BYTES_MAX)
    assert whole is not None and len(json.loads(whole)["content"][0]["citations"]) == 3
    assert growth(work, 500, 30) < 3


def test_arguments_that_come_in_one_large_piece_are_not_looked_through_sign_by_sign() -> None:
    arguments = json.dumps({"lines": ['say "so"'] * 100_000})
    start = BlockStarted(0, ToolCall("t", "f", ""))
    writer = EventWriter(request_id="r", model="m")
    written: list[bytes] = []

    def work() -> None:
        written.append(writer.write([start, ArgumentsDelta(0, arguments), BlockStopped(0)]))

    assert turns(work, 1) / len(arguments) < 1.0  # 4 of them, when each bracket and quote was
    told = [json.loads(line[6:]) for line in written[0].splitlines() if line.startswith(b"data: ")]
    pieces = [one["delta"]["partial_json"] for one in told if one["type"] == "content_block_delta"]
    assert "".join(pieces) == arguments


def test_signs_of_life_that_come_together_are_one() -> None:
    writer, reader = EventWriter(request_id="r", model="m"), Reader()
    assert writer.write(reader.feed(b":\n\n" * 1_000)).count(b"event: ping") == 1
    assert writer.write(reader.feed(b":\n\n")).count(b"event: ping") == 1


def test_arguments_that_were_cut_are_an_object_in_the_whole_answer_too() -> None:
    said: list[Json] = [
        {"type": "message_start", "message": {"content": [], "usage": {}}},
        {"type": "content_block_start", "index": 0,
         "content_block": {"type": "tool_use", "id": "t", "name": "f", "input": {}}},
        {"type": "content_block_delta", "index": 0,
         "delta": {"type": "input_json_delta", "partial_json": '{"path": "/tm'}},
    ]  # fmt: skip
    whole = assembled(b"".join(b"data: %b\n\n" % json.dumps(one).encode() for one in said), EVENT_BYTES_MAX)
    assert whole is not None
    assert json.loads(whole)["content"][0]["input"] == {"INVALID_JSON": '{"path": "/tm'}
