"""The order rules that streams are held to: good streams pass, and each way to break one is named."""

import json
from typing import Any

import pytest
from tests.e2e import official
from tests.e2e.streams import Frame, chat_faults, frames, messages_faults
from tests.faults.exact import COUNTED, DONE, ENDING, ROLE, STOP, chunk, event, say

USED = {"input_tokens": 3, "output_tokens": 1}
MESSAGE: dict[str, Any] = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None,
    "stop_sequence": None, "usage": USED,
}  # fmt: skip


def told(kind: str, **fields: Any) -> Frame:
    return Frame(kind, json.dumps({"type": kind, **fields}))


def opened(index: int, kind: str = "text", **fields: Any) -> Frame:
    return told("content_block_start", index=index, content_block={"type": kind, **fields})


def delta(index: int, kind: str = "text_delta", **fields: Any) -> Frame:
    return told("content_block_delta", index=index, delta={"type": kind, **fields})


def closed(index: int) -> Frame:
    return told("content_block_stop", index=index)


def ending(reason: Any = "end_turn", usage: Any = None) -> Frame:
    return told("message_delta", delta={"stop_reason": reason}, usage={"output_tokens": 4} | (usage or {}))


START = told("message_start", message=MESSAGE)
STOPS = told("message_stop")
PING = told("ping")
ERROR = told("error", error={"type": "api_error", "message": "no"})
TEXT = (opened(0, text=""), delta(0, text="a"), closed(0))
CALL = (
    opened(1, "tool_use", id="t", name="f", input={}),
    delta(1, "input_json_delta", partial_json="{}"),
    closed(1),
)
GOOD = (START, PING, *TEXT, *CALL, ending(), STOPS)


def sent(stream: tuple[Frame, ...]) -> bytes:
    return b"".join(f"event: {one.name}\ndata: {one.text}\n\n".encode() for one in stream)


@pytest.mark.parametrize(
    "stream",
    [
        GOOD,
        (START, ending("max_tokens"), STOPS),
        (START, opened(0), delta(0, text="a"), ERROR),
        (START, opened(0, "later_kind"), delta(0, "later_delta"), closed(0), told("later"), ending(), STOPS),
    ],
)
def test_good_messages_streams_have_no_fault(stream: tuple[Frame, ...]) -> None:
    assert messages_faults(frames(sent(stream))) == []


BROKEN = {
    "before message_start": (*TEXT, START, ending(), STOPS),
    "message_start again": (START, START, *TEXT, ending(), STOPS),
    "has content": (told("message_start", message=MESSAGE | {"content": [1]}), ending(), STOPS),
    "has no usage": (told("message_start", message=MESSAGE | {"usage": None}), ending(), STOPS),
    "block 1 starts where 0 was due": (START, opened(1), closed(1), ending(), STOPS),
    "starts while 0 is open": (START, opened(0), opened(1), closed(1), ending(), STOPS),
    "which is not open": (START, *TEXT, delta(0, text="b"), ending(), STOPS),
    "stops, and is not open": (START, *TEXT, closed(0), ending(), STOPS),
    "text_delta in a tool_use block": (
        START,
        opened(0, "tool_use", input={}),
        delta(0),
        closed(0),
        ending(),
        STOPS,
    ),
    "starts with input": (START, opened(0, "tool_use", input={"a": 1}), closed(0), ending(), STOPS),
    "while a block is open": (START, opened(0), ending(), STOPS),
    "a block starts behind message_delta": (START, ending(), *TEXT, STOPS),
    "no usage.output_tokens": (START, ending(usage={"output_tokens": None}), STOPS),
    "no stop_reason": (START, ending(None), STOPS),
    "behind the end": (*GOOD, PING),
    "without message_stop or error": GOOD[:-1],
    "is not the type": (START, Frame("", PING.text), ending(), STOPS),
    "without type and message": (START, told("error", error="no")),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_each_fault_of_a_messages_stream_is_named(fault: str) -> None:
    found = messages_faults(frames(sent(BROKEN[fault])))
    assert any(fault in one for one in found), found


def test_the_official_client_reads_what_is_good() -> None:
    message = official.message_of(sent(GOOD))
    assert [block["type"] for block in message["content"]] == ["text", "tool_use"]
    assert message["usage"]["output_tokens"] == 4


# -- chat completions --------------------------------------------------------------------------------


def piece(index: int, **fields: Any) -> dict[str, Any]:
    return chunk({"tool_calls": [{"index": index, **fields}]})


FIRST = piece(0, id="c", type="function", function={"name": "f", "arguments": ""})
MORE = piece(0, function={"arguments": "{}"})
WITHOUT_NAME = piece(0, id="c", function={"arguments": ""})


def recorded(*stream: Any) -> bytes:
    return b"".join(one if isinstance(one, bytes) else event(one) for one in stream)


@pytest.mark.parametrize(
    ("stream", "usage"),
    [
        ((ROLE, *say("a"), *ENDING), True),
        ((ROLE, FIRST, MORE, chunk(finish="tool_calls"), DONE), False),
        ((ROLE, *say("a"), {"error": {"message": "no"}}), False),
    ],
)
def test_good_chat_streams_have_no_fault(stream: tuple[Any, ...], usage: bool) -> None:
    assert chat_faults(frames(recorded(*stream)), usage=usage) == []


WORSE: dict[str, tuple[Any, ...]] = {
    "more than one id": (ROLE, chunk({"content": "a"}, id="other"), *ENDING),
    "no role": (*say("a"), *ENDING),
    "none by its object": (ROLE, chunk({"content": "a"}, object="x"), *ENDING),
    "without id or name": (ROLE, WITHOUT_NAME, *ENDING),
    "call 1 where 0 was due": (ROLE, piece(1, id="c", function={"name": "f"}), *ENDING),
    "finish reasons []": (ROLE, COUNTED, DONE),
    "finish reasons ['stop', 'stop']": (ROLE, STOP, *ENDING),
    "0 chunks of usage": (ROLE, STOP, DONE),
    "not in the last chunk": (ROLE, COUNTED, STOP, DONE),
    "[DONE] is not last": (ROLE, STOP, COUNTED),
    "an error that is not the last": (ROLE, {"error": {"message": "no"}}, DONE),
}


@pytest.mark.parametrize("fault", WORSE)
def test_each_fault_of_a_chat_stream_is_named(fault: str) -> None:
    found = chat_faults(frames(recorded(*WORSE[fault])), usage=True)
    assert any(fault in one for one in found), found


def test_usage_that_nobody_asked_for_is_a_fault() -> None:
    found = chat_faults(frames(recorded(ROLE, *ENDING)), usage=False)
    assert found == ["1 chunks of usage, and it was not asked for"]
