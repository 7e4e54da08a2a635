"""Whether a complete answer has content, calls tools, or reports an error. Pure functions.

Nearly all answers are decided by a search in their bytes; the rest are decoded. A quoted name cannot occur
inside a JSON string, where quotes are escaped, so a match is always a field.
"""

import re
from typing import Any

from farthing.dialects.chat.answers import completion
from farthing.dialects.errors import has_words
from farthing.text.lenient_json import NotJson, read_json
from farthing.types import Json, Request, choices_said

_SAYS = re.compile(rb'"content" ?: ?" *[^"\\\s]')
_NO_CALLS = re.compile(rb'"(?:tool_calls|function_call)" ?: ?(?:null|\[\])')
_SAYING = ("audio", "images")  # fields beside `content` that hold what was asked for


def says_something(request: Request, body: bytes, *, streamed: bool) -> bool:
    """Whether every choice has text, sound, an image or a call. A choice with only a refusal or reasoning has
    not: asked again, the model may well answer."""
    if ("n" not in request.body or choices_said(request.body) == 1) and _SAYS.search(body) is not None:
        return True
    choices = _choices(body, streamed=streamed)
    return bool(choices) and all(map(_says, choices))


def calls_tools(request: Request, body: bytes, *, streamed: bool) -> bool:
    """Whether a choice calls a tool or, in the older form, a function. Empty fields do not count.

    If the request offered none, an answer with text is not searched for calls: that would take 0.1 ms for
    a long stream.
    """
    if b"_call" not in body:
        return False
    if "tools" not in request.body and "functions" not in request.body and _SAYS.search(body) is not None:
        return False
    named = body.count(b'"tool_calls"') + body.count(b'"function_call"')
    if not named or len(_NO_CALLS.findall(body)) == named:
        return False
    choices = _choices(body, streamed=streamed)
    return not choices or any(map(_calls, choices))


def went_wrong(body: bytes, *, streamed: bool) -> bool:
    """Whether the answer, or a choice of it, carries an error: it may be incomplete."""
    if b'"error"' not in body:
        return False
    try:
        whole = completion.assemble([body], None) if streamed else read_json(body)
        return any(has_words(part.get("error")) for part in (whole, *whole["choices"]))
    except (completion.NotChunks, NotJson, LookupError, TypeError, AttributeError):
        return True


def _says(message: Json) -> bool:
    content = message.get("content")
    says = any(map(_is_said, content)) if isinstance(content, list) else bool(str(content or "").strip())
    return says or any(map(message.get, _SAYING)) or _calls(message)


def _is_said(part: Any) -> bool:
    """Whether a content part can be read, heard or seen; reasoning cannot."""
    if not isinstance(part, dict):
        return bool(part)
    kind = part.get("type")
    if kind in ("thinking", "reasoning", "redacted_thinking", "refusal"):
        return False
    return bool(part.get("text")) if kind in (None, "text", "output_text") else True


def _calls(message: Json) -> bool:
    return bool(message.get("tool_calls") or message.get("function_call"))


def _choices(body: bytes, *, streamed: bool) -> list[Json]:
    """The messages of all choices; empty if they cannot be read."""
    try:
        whole = completion.assemble([body], None) if streamed else read_json(body)
        return [choice["message"] for choice in whole["choices"] if isinstance(choice["message"], dict)]
    except (completion.NotChunks, NotJson, LookupError, TypeError):
        return []
