"""What an answer shows beside its usage: how much the model wrote, and what is charged by the use."""

import re
from typing import Any

import msgspec

from farthing.dialects.chat.usage import states_nought
from farthing.dialects.errors import has_words
from farthing.text.lenient_json import any_json
from farthing.types import Json

REASONING = ("reasoning_content", "reasoning", "thinking", "reasoning_details", "thinking_blocks")
"""The names under which providers send reasoning; some send the same under two of them."""
CONTENT_DEPTH_MAX = 8
_SEARCHES = re.compile("-search-(?:preview|api)")
"""In the names of models that search with every call."""


def cites(annotations: bytes) -> bool:
    """Whether the JSON of a message's `annotations` names a page."""
    return b'"url_citation"' in annotations


def chars_in(content: Any, depth: int = 0) -> int:
    """Characters of text in a content of any shape: a text, parts with texts, calls with arguments."""
    if isinstance(content, str):
        return len(content)
    if isinstance(content, list) and depth < CONTENT_DEPTH_MAX:
        return sum(chars_in(part, depth + 1) for part in content)
    if not isinstance(content, dict) or depth >= CONTENT_DEPTH_MAX:
        return 0
    named = ("text", "content", "thinking", "name", "arguments", "input", "function", "custom", "summary")
    return sum(chars_in(content.get(name), depth + 1) for name in named)


def said_chars(message: Json) -> int:
    """Characters of all that a message or a delta of one says: text, reasoning under any of its names, a
    refusal, the arguments of calls."""
    reasoning = next(filter(None, map(message.get, REASONING)), None)
    said = message.get("content"), reasoning, message.get("refusal")
    calls = message.get("tool_calls"), message.get("function_call")
    return sum(map(chars_in, said)) + sum(map(chars_in, calls))


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


def states_nothing(body: bytes) -> bool:
    """Whether a whole answer has nothing in any choice, no text, no call, no sound, no image, and its usage
    says so too: it is a statement then, not the lack of one. Never raises."""
    answer = any_json(body)
    choices = answer.get("choices") if isinstance(answer, dict) else None
    return (
        isinstance(choices, list)
        and bool(choices)
        and all(map(_is_blank, choices))
        and states_nought(answer.get("usage"))
    )


def _is_blank(choice: Any) -> bool:
    message = choice.get("message") if isinstance(choice, dict) else None
    return isinstance(message, dict) and not any(
        has_words(inner) for name, inner in message.items() if name != "role"
    )


def fees_shown(asked: Json, model: str, *, cites: bool) -> dict[str, int] | None:
    """Uses of what is charged by the use that the usage of a chat does not tell of: a search that was asked
    for, that the model makes with every call, or whose pages the answer `cites`. None: none shows."""
    searches = asked.get("web_search_options") is not None
    if cites or searches or ("-search-" in model and _SEARCHES.search(model)):
        return {"web_search": 1}
    if "plugins" in asked and b'"web"' in msgspec.json.encode(asked["plugins"]):
        return {"web_search": 1}
    return None
