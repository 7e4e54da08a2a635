"""Chunks that only go on with what is open, as nearly all of a stream do: one piece of text, of a thought,
or of the arguments of a call, and nothing else.

A decoder refuses what says more, with a `DecodeError`; that is read value by value (`stream_reader`).
"""

from typing import Generic, Literal, TypeVar

import msgspec
from msgspec import Struct

_NoText = Literal[""] | None
_NoItems = tuple[()] | None


class _Delta(Struct, forbid_unknown_fields=True):
    """A piece that says one thing, which the types below add."""

    content: _NoText = None
    role: str | None = None
    reasoning_content: _NoText = None
    reasoning: _NoText = None
    reasoning_details: _NoItems = None
    thinking_blocks: _NoItems = None
    refusal: _NoText = None
    tool_calls: _NoItems = None
    function_call: None = None
    annotations: _NoItems = None
    audio: None = None
    provider_specific_fields: None = None


class _TextDelta(_Delta, kw_only=True, forbid_unknown_fields=True):
    content: str  # type: ignore[assignment]


class _ThoughtDelta(_Delta, kw_only=True, forbid_unknown_fields=True):
    reasoning_content: str | None = None  # type: ignore[assignment]
    reasoning: str | None = None  # type: ignore[assignment]


class _Function(Struct, forbid_unknown_fields=True):
    arguments: str
    name: None = None


class _CallPiece(Struct, forbid_unknown_fields=True):
    """A piece of arguments of a call that has begun."""

    function: _Function
    index: int
    id: None = None
    type: Literal["function"] | None = None


class _CallDelta(_Delta, kw_only=True, forbid_unknown_fields=True):
    tool_calls: tuple[_CallPiece]  # type: ignore[assignment]


D = TypeVar("D", bound=_Delta)


class _Choice(Struct, Generic[D]):
    delta: D
    index: Literal[0] = 0
    finish_reason: None = None
    usage: None = None


class _Chunk(Struct, Generic[D]):
    choices: tuple[_Choice[D]]
    usage: None = None


decode_text = msgspec.json.Decoder(_Chunk[_TextDelta]).decode
decode_thought = msgspec.json.Decoder(_Chunk[_ThoughtDelta]).decode
decode_call = msgspec.json.Decoder(_Chunk[_CallDelta]).decode
