"""Recognises errors that say a prompt exceeds the model's context window. Pure functions."""

import re

from farthing.errors import ContextTooLong, FarthingError, NoProviderLeft, StreamBroken
from farthing.types import Json

CODES = frozenset({"context_length_exceeded", "exceed_context_size_error", "string_above_max_length"})
"""Codes and types of such an error."""
WINDOW_WORDS = "maximum context length"
"""In the messages of most servers that have no code for it besides the status."""
OTHER_WORDS = re.compile(
    r"maximum prompt length|input token count|range of input length|reduce the length of the messages"
    r"|too long for requested model|context window exceeds|greater than the context length"
    r"|exceeds the (?:available context size|context window)|prompt is too long"
    r"|exceed(?:s|ed)? (?:model token limit|max context length)",
    re.IGNORECASE,
)
"""In the messages of others: xAI, Gemini, DashScope, Groq, Bedrock, MiniMax, LM Studio, llama.cpp, OpenAI,
Anthropic, Kimi and Ollama."""


def said_of(error: FarthingError) -> Json | None:
    """The provider's own error object, if one provider's error is passed on."""
    if isinstance(error, NoProviderLeft):
        return None if error.passed_on is None else error.passed_on.said
    return error.said if isinstance(error, StreamBroken) else None


def is_too_long(said: Json, status: int, message: str) -> bool:
    """Whether a provider's error says so. `message` is the one in `said`."""
    if not CODES.isdisjoint(one for one in (said.get("code"), said.get("type")) if isinstance(one, str)):
        return True
    return status in (400, 413, 422) and (WINDOW_WORDS in message or OTHER_WORDS.search(message) is not None)


def overflows(error: FarthingError) -> bool:
    """Whether a request failed because its prompt is too long, by our check or by the provider's error."""
    if isinstance(error, ContextTooLong):
        return True
    said = said_of(error)
    if said is None:
        return False
    message = said.get("message")
    return is_too_long(said, error.status, message if isinstance(message, str) else "")
