"""Answers on their way from a chat server to a client of Messages, as the gateway takes them.

The bytes of the server go through the reader of its events, those through the model, and what is written of
it through the reader of Anthropic's client.
"""

import json
from typing import Any

from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import RawMessageStreamEvent
from tests.e2e.streams import frames, messages_faults
from tests.faults.exact import DONE, chunk, event

from farthing.dialects.chat.answers import answer_reader
from farthing.dialects.chat.streams.event_reader import EventReader
from farthing.dialects.chat.streams.stream_reader import Reader
from farthing.dialects.conversation import Event
from farthing.dialects.messages.answers import answer_writer
from farthing.dialects.messages.streams.stream_writer import EventWriter

EVENT_BYTES_MAX = 1_000_000
Json = dict[str, Any]


def sse(*values: Any) -> bytes:
    """A stream of these chunks, with its end."""
    return b"".join(event(value) for value in values) + DONE


def piece(index: int | None, arguments: Any = None, **more: Any) -> Json:
    """A chunk with a piece of a call. `more`: `id`, `name`."""
    function = {"arguments": arguments} if arguments is not None else {}
    if "name" in more:
        function["name"] = more.pop("name")
    told = {"function": function, **more}
    return chunk({"tool_calls": [told if index is None else {"index": index, **told}]})


def events_of(pieces: list[bytes]) -> list[Event]:
    """What the pipeline hands to the edge of a stream that comes in `pieces`, in the model."""
    events, reader = EventReader(EVENT_BYTES_MAX), Reader()
    found: list[Event] = []
    for data in pieces:
        found += reader.feed(events.feed(data))
    found += reader.feed(events.end())
    usage = events.usage_event
    return found + reader.feed((b"" if usage is None else b"data: %b\n\n" % usage) + DONE)


def written(events: list[Event]) -> bytes:
    """The stream of Messages for `events`."""
    return EventWriter(request_id="r-1", model="m").write(events)


def gathered(stream: bytes) -> Json:
    """What Anthropic's client makes of a stream, whose order is right."""
    read = frames(stream)
    assert messages_faults(read) == []
    message: Any = None
    arguments: dict[int, bytes] = {}
    for frame in read:
        if frame.kind != "ping":
            told: RawMessageStreamEvent = frame.data
            message = accumulate_event(event=told, current_snapshot=message, json_bufs=arguments)
    found: Json = json.loads(message.model_dump_json(warnings=False))
    return found


def streamed(*values: Any) -> Json:
    """What a client of Messages gathers of these chunks."""
    return gathered(written(events_of([sse(*values)])))


def whole(value: Any) -> Json:
    """What a client of Messages gets of this whole completion."""
    found: Json = json.loads(answer_writer.write(answer_reader.read(json.dumps(value).encode())))
    return found
