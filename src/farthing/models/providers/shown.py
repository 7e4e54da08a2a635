"""What an answer shows beside its usage: how much the model wrote, and what is charged by the use."""

import re

import msgspec

from farthing.models.lenient_json import any_json
from farthing.models.providers.sse import said_chars
from farthing.types import Json

_SEARCHES = re.compile("-search-(?:preview|api)")
"""In the names of models that search with every call."""


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


def fees_shown(asked: Json, model: str, *, cites: bool) -> dict[str, int] | None:
    """Uses of what is charged by the use that the usage of a chat does not tell of: a search that was asked
    for, that the model makes with every call, or whose pages the answer `cites`. None: none shows."""
    if cites or "web_search_options" in asked or ("-search-" in model and _SEARCHES.search(model)):
        return {"web_search": 1}
    if "plugins" in asked and b'"web"' in msgspec.json.encode(asked["plugins"]):
        return {"web_search": 1}
    return None
