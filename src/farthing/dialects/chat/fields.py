"""The fields of a chat completion request: their names, how plain ones are read and wrong ones refused."""

import re

from farthing.errors import InvalidRequest
from farthing.types import Json

FIELDS = frozenset({
    "audio", "cache_control", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs",
    "max_completion_tokens", "max_tokens", "messages", "metadata", "modalities", "model", "n",
    "parallel_tool_calls", "prediction", "presence_penalty", "prompt_cache_key", "prompt_cache_retention",
    "reasoning", "reasoning_effort", "response_format", "safety_identifier", "seed", "service_tier", "stop",
    "store", "stream", "stream_options", "temperature", "thinking", "tool_choice", "tools", "top_k",
    "top_logprobs", "top_p", "user", "verbosity", "web_search_options",
})  # fmt: skip
"""Top-level fields, and those of other providers that many clients send."""

PARTS = frozenset({
    "file", "file_id", "image_url", "input_audio", "messages.name", "reasoning_content",
    "thinking.budget_tokens", "tools.custom", "tools.parameters",
})  # fmt: skip
"""Parts of a field, as a provider's interface names them that has no word for one."""

CHANGES_THE_ANSWER = frozenset({
    "audio", "file", "file_id", "frequency_penalty", "function_call", "functions", "image_url", "input_audio",
    "logit_bias", "logprobs", "modalities", "n", "presence_penalty", "response_format", "stop", "thinking",
    "reasoning_effort", "tool_choice", "tools", "tools.custom", "top_logprobs", "web_search_options",
})  # fmt: skip
"""What a client cannot do without noticing: the number of answers, their form or what they are about."""

BILLING = "x-anthropic-billing-header"
"""The field for the block of instructions that Anthropic's own agent puts first and begins with this name. It
is for its maker's accounts, is no instruction, and is another one with each version of the agent."""

_billing = re.compile(BILLING + r":\s*(?:[\w.-]+=[^;\s]*(?:;\s*|\s+|\Z))*\Z", re.ASCII).match
_BILLING_CHARS_MAX = 500


def is_billing(text: str) -> bool:
    """Whether `text` is that note and nothing but it: instructions after it are some."""
    return text.startswith(BILLING) and len(text) <= _BILLING_CHARS_MAX and _billing(text) is not None


def invalid(param: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"`{param}` {what}", param=param)


def number(body: Json, name: str) -> float | None:
    value = body.get(name)
    if value is None or value.__class__ is float or value.__class__ is int:
        return value
    raise invalid(name, "must be a number")


def integer(body: Json, name: str, neutral: int | None = None) -> int | None:
    value = body.get(name)
    if value is None or value == neutral:
        return None
    if value.__class__ is float and value.is_integer():
        return int(value)
    if value.__class__ is not int:
        raise invalid(name, "must be an integer")
    return int(value)


def text_of(body: Json, name: str) -> str | None:
    value = body.get(name)
    if value is not None and value.__class__ is not str:
        raise invalid(name, "must be a string")
    return value


def object_of(body: Json, name: str) -> Json | None:
    value = body.get(name)
    if value is not None and value.__class__ is not dict:
        raise invalid(name, "must be an object")
    return value


def extras_of(value: Json, known: frozenset[str]) -> Json:
    """The fields whose names are not in `known`, except where they are null."""
    if value.keys() <= known:
        return {}
    return {name: inner for name, inner in value.items() if name not in known and inner is not None}
