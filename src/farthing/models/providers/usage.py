"""Usage objects of OpenAI's form."""

import msgspec
from msgspec import Raw, Struct

from farthing.types import Usage


class PromptDetails(Struct):
    cached_tokens: int | None = None


class CompletionDetails(Struct):
    reasoning_tokens: int | None = None


class WireUsage(Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    prompt_cache_hit_tokens: int | None = None
    """DeepSeek's name for cached tokens."""


_decode = msgspec.json.Decoder(WireUsage).decode


def read_usage(raw: Raw) -> Usage | None:
    try:
        return usage_of(_decode(raw))
    except msgspec.DecodeError:
        return None


def usage_of(wire: WireUsage | None) -> Usage | None:
    """OpenAI's usage object in our terms; None when it counts nothing."""
    if wire is None or (wire.prompt_tokens is None and wire.completion_tokens is None):
        return None
    read, written = wire.prompt_tokens_details, wire.completion_tokens_details
    cached = (None if read is None else read.cached_tokens) or wire.prompt_cache_hit_tokens or 0
    reasoning = 0 if written is None else written.reasoning_tokens or 0
    inputs, outputs = wire.prompt_tokens or 0, wire.completion_tokens or 0
    if inputs < 0 or outputs < 0 or cached < 0 or reasoning < 0:  # a count below zero counts nothing
        inputs, outputs, cached, reasoning = (
            max(0, inputs),
            max(0, outputs),
            max(0, cached),
            max(0, reasoning),
        )
    return Usage(input_tokens=inputs, output_tokens=outputs, cached_tokens=cached, reasoning_tokens=reasoning)
