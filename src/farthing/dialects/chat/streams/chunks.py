"""The chunks of a streamed chat completion as typed shapes, and what of one is a part of an answer.

What is in the usual shape is decoded by these; what they refuse is read value by value (`event_reader`).
"""

import re
from typing import Any

import msgspec
from msgspec import Raw, Struct

from farthing.dialects.errors import has_words
from farthing.text.lenient_json import NULL, any_json
from farthing.types import Json

MEANINGFUL = (
    "content", "tool_calls", "function_call", "refusal", "audio", "images", "image", "citations",
    "annotations",
)  # fmt: skip
"""What of a delta is a part of an answer, with all whose name begins as one of `THOUGHTS`."""
THOUGHTS = ("reasoning", "thinking")
_UNCOUNTED = re.compile(b'"(?:function_call|audio|image|citations|annotations|reasoning_|thinking)')
"""Names of parts that no count is made of; most first chunks have none of them."""


class FunctionDelta(Struct):
    name: str | None = None
    arguments: str | None = None

    def chars(self) -> int:
        return len(self.name or "") + len(self.arguments or "")


class ToolCallDelta(Struct):
    function: FunctionDelta | None = None


class Delta(Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    """The same under the name that vLLM, Ollama and OpenRouter give it."""
    refusal: str | None = None
    tool_calls: list[ToolCallDelta] | None = None
    function_call: FunctionDelta | None = None
    thinking: Raw = NULL
    reasoning_details: Raw = NULL
    thinking_blocks: Raw = NULL
    annotations: Raw = NULL


class ChunkChoice(Struct):
    delta: Delta | None = None
    finish_reason: str | None = None
    index: int = 0
    usage: Raw = NULL
    """Kimi's place for it, beside the finish."""
    error: Raw = NULL
    """OpenRouter's place for what went wrong behind it."""


class WireChunk(Struct):
    choices: list[ChunkChoice] | None = None
    usage: Raw = NULL
    service_tier: Raw = NULL
    error: Raw = NULL
    x_groq: Raw = NULL
    """Groq's place for the usage, where none was asked for."""


class PlainDelta(Struct):
    """Anything but what shows a fee."""

    annotations: None = None


class PlainChoice(Struct):
    delta: PlainDelta
    finish_reason: None = None
    usage: None = None


class PlainChunk(Struct):
    """A chunk with nothing in it but a piece of the answer; any other does not fit."""

    choices: list[PlainChoice]
    usage: None = None
    error: None = None
    x_groq: None = None


decode_chunk = msgspec.json.Decoder(WireChunk).decode
decode_chunks = msgspec.json.Decoder(list[WireChunk]).decode
decode_plain = msgspec.json.Decoder(list[PlainChunk]).decode


def finish_of(value: Any) -> str | None:
    """Why a choice ended, of a `finish_reason` of any type; None: it has not."""
    if isinstance(value, dict):  # SGLang's own form
        value = value.get("type")
    return value if isinstance(value, str) and value else None


def is_whole(value: Json) -> bool:
    """Whether a chunk is all of an answer, in a message."""
    choices = value.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return isinstance(first, dict) and isinstance(first.get("message"), dict) and not first.get("delta")


def is_meaningful(payload: bytes) -> bool:
    """Whether a chunk holds a part of an answer that is not counted in characters."""
    if _UNCOUNTED.search(payload, max(0, payload.find(b'"delta"'))) is None:
        return False
    value = any_json(payload)
    choices = value.get("choices") if isinstance(value, dict) else None
    for choice in choices if isinstance(choices, list) else ():
        delta = choice.get("delta") if isinstance(choice, dict) else None
        for name, inner in delta.items() if isinstance(delta, dict) else ():
            if (name in MEANINGFUL or name.startswith(THOUGHTS)) and has_words(inner):
                return True
    return False
