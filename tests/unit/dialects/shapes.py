"""Recorded shapes of Messages in tests/data/messages: requests as they have to be written, and answers, each
as a stream and as the whole that the official SDK makes of it."""

import json
from pathlib import Path
from typing import Any

from farthing.dialects.assemble import Assembly
from farthing.dialects.conversation import Event, Message, ToolCall
from farthing.dialects.messages.streams.stream_reader import Reader
from farthing.types import replace

FOLDER = Path(__file__).parents[2] / "data" / "messages"
REQUESTS: list[dict[str, Any]] = json.loads((FOLDER / "requests.json").read_bytes())
NAMES = sorted(file.stem for file in FOLDER.glob("*.sse"))
EVENT_BYTES_MAX = 65_536


def whole(name: str) -> bytes:
    return (FOLDER / f"{name}.json").read_bytes()


def stream(name: str) -> bytes:
    return (FOLDER / f"{name}.sse").read_bytes()


def events_of(pieces: list[bytes]) -> list[Event]:
    reader = Reader(EVENT_BYTES_MAX)
    found = [event for piece in pieces for event in reader.feed(piece)]
    return found + reader.end()


def assembled(events: list[Event]) -> Message:
    assembly = Assembly("messages")
    for event in events:
        assembly.add(event)
    return assembly.message()


def compared(message: Message) -> Message:
    """With the arguments of calls in one spelling."""
    blocks = tuple(
        replace(block, arguments=json.dumps(json.loads(block.arguments), sort_keys=True))
        if isinstance(block, ToolCall)
        else block
        for block in message.blocks
    )
    same: Message = replace(message, blocks=blocks)
    return same
