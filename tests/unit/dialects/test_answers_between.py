"""Answers between chat and Messages: what is said in one arrives in the other, whole and streamed."""

import json
from typing import Any

import pytest
from anthropic.types import Message as AnthropicMessage
from hypothesis import given
from hypothesis import strategies as st
from tests.e2e.streams import frames, messages_faults
from tests.unit.dialects import answered, messages_made
from tests.unit.dialects.shapes import NAMES, assembled, compared, events_of, stream, whole

from farthing.dialects.chat.answers import answer_reader as chat_reader
from farthing.dialects.chat.answers import answer_writer as chat_writer
from farthing.dialects.chat.streams.stream_reader import Reader
from farthing.dialects.chat.streams.stream_writer import ChunkWriter
from farthing.dialects.conversation import Block, Event, Message, Opaque, Reasoning, Text
from farthing.dialects.messages.answers import answer_reader, answer_writer
from farthing.dialects.messages.streams.stream_writer import EventWriter
from farthing.types import replace

CHAT_ONCE: Any = {"request_id": "chatcmpl-1", "created": 7}


def same(message: Message) -> Message:
    """In one spelling: what is left of the words for why it ended, whose an unsigned thought is, which id it
    went by."""
    blocks: list[Block] = [
        replace(block, maker="")
        if isinstance(block, Reasoning) and not block.signature + block.redacted
        else block
        for block in message.blocks
    ]
    plain: Message = replace(message, id="", stop_said="", blocks=tuple(blocks))
    return compared(plain)


def through_chat(message: Message) -> Message:
    return chat_reader.read(chat_writer.write(message, **CHAT_ONCE))


def chunks_of(events: list[Event]) -> bytes:
    return ChunkWriter(**CHAT_ONCE).write(events)


# -- nothing is lost -----------------------------------------------------------------------------------


@given(messages_made.messages())
def test_a_whole_answer_goes_through_messages_as_it_is(message: Message) -> None:
    body = answer_writer.write(message)
    AnthropicMessage.model_validate_json(body)
    assert same(answer_reader.read(body)) == same(message)


@given(messages_made.messages())
def test_a_whole_answer_goes_through_chat_as_it_is(message: Message) -> None:
    assert same(through_chat(message)) == same(message)


@pytest.mark.slow
@given(st.data(), messages_made.messages(), st.booleans())
def test_a_stream_goes_through_messages_as_it_is(data: Any, message: Message, together: bool) -> None:
    said = data.draw(messages_made.events(message, together=together))
    written = answered.written(said)
    assert same(assembled(events_of([written]))) == same(message)
    gathered = answered.gathered(written)
    expected = json.loads(answer_writer.write(message))
    told = AnthropicMessage.model_validate(expected).model_dump(mode="json")
    for name in ("content", "stop_reason", "stop_sequence", "stop_details", "model"):
        assert gathered[name] == told[name], name
    for name in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens"):
        assert gathered["usage"][name] == expected["usage"][name], name


@given(st.data(), messages_made.messages())
def test_a_stream_goes_through_chat_as_it_is(data: Any, message: Message) -> None:
    chunks = chunks_of(data.draw(messages_made.events(message)))
    assert same(assembled(Reader().feed(chunks))) == same(message)


@pytest.mark.slow
@given(st.data(), messages_made.messages())
def test_it_is_the_same_in_one_piece_and_in_many(data: Any, message: Message) -> None:
    said = data.draw(messages_made.events(message, together=True))
    together = answered.gathered(answered.written(said))
    writer = EventWriter(request_id="r-1", model="m")
    assert answered.gathered(b"".join(writer.write([event]) for event in said)) == together


# -- recorded answers of Anthropic's, told to a chat client's form and back ------------------------------


def tellable(message: Message) -> Message:
    """What chat can say of a recorded answer: its text is one, and what the provider ran is not told."""
    blocks: list[Block] = []
    for block in message.blocks:
        last = blocks[-1] if blocks else None
        if isinstance(block, Opaque):
            continue
        if isinstance(block, Text) and isinstance(last, Text):
            blocks[-1] = Text(last.text + block.text)
        elif not isinstance(block, Text) or block.text:
            blocks.append(block if not isinstance(block, Text) else Text(block.text))
    return same(replace(message, blocks=tuple(blocks)))


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_answer_comes_back_from_chat(name: str) -> None:
    expected = tellable(answer_reader.read(whole(name)))
    by_whole = through_chat(answer_reader.read(whole(name)))
    by_stream = assembled(Reader().feed(chunks_of(events_of([stream(name)]))))
    assert tellable(by_whole) == tellable(by_stream) == expected


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_stream_is_written_again_as_it_was(name: str) -> None:
    again = answered.written(events_of([stream(name)]))
    assert messages_faults(frames(again)) == []
    assert compared(assembled(events_of([again]))) == compared(answer_reader.read(whole(name)))


@pytest.mark.parametrize("name", NAMES)
def test_chunks_may_be_cut_at_every_byte(name: str) -> None:
    chunks = chunks_of(events_of([stream(name)]))
    expected = answered.gathered(answered.written(answered.events_of([chunks])))
    for at in range(0, len(chunks), 7):
        found = answered.events_of([chunks[:at], chunks[at:]])
        assert answered.gathered(answered.written(found)) == expected
    single = answered.events_of([bytes([byte]) for byte in chunks])
    assert answered.gathered(answered.written(single)) == expected
