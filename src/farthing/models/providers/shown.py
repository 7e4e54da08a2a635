"""What an answer shows beside its usage: how much the model wrote, and what is charged by the use."""

import msgspec

from farthing.models.lenient_json import any_json
from farthing.models.providers.sse import said_chars
from farthing.types import Json

CITED_BYTES_MAX = 1_048_576  # of an answer that is looked through for citations


def answer_chars(body: bytes) -> int:
    """Characters that the model wrote in a whole answer: text, reasoning, refusals and calls of tools, of all
    choices. For those whose usage counts nothing; 0 when the answer cannot be read. Never raises."""
    answer = any_json(body)
    choices = answer.get("choices") if isinstance(answer, dict) else None
    chars = 0
    for choice in choices if isinstance(choices, list) else ():
        message = choice.get("message") if isinstance(choice, dict) else None
        chars += said_chars(message) if isinstance(message, dict) else 0
    return chars


def fees_shown(asked: Json, model: str, answer: bytes = b"") -> dict[str, int] | None:
    """Uses of what is charged by the use that the usage of a chat does not tell of: a search that was asked
    for, that the model makes with every call, or that the answer cites. None: none shows."""
    if "web_search_options" in asked or "-search-preview" in model or "-search-api" in model:
        return {"web_search": 1}
    if "messages" in asked and len(answer) <= CITED_BYTES_MAX and b'"url_citation"' in answer:
        return {"web_search": 1}
    if "plugins" in asked and b'"web"' in msgspec.json.encode(asked["plugins"]):
        return {"web_search": 1}
    return None
