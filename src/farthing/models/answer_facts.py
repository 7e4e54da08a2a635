"""Whether a complete answer says something, whether it calls tools, and whether it failed half-way. Pure.

Nearly all answers are told by a look at their bytes; the rest are read in full. A name in quotes cannot stand
inside a JSON string, whose quotes are escaped, so what is found there is a field.
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
    """Whether every choice has text, a sound, an image or a call. One with a refusal or with reasoning alone
    has not: asked again, it may well have."""
    if ("n" not in request.body or choices_said(request.body) == 1) and _SAYS.search(body) is not None:
        return True
    choices = _choices(body, streamed=streamed)
    return bool(choices) and all(map(_says, choices))


def calls_tools(request: Request, body: bytes, *, streamed: bool) -> bool:
    """Whether a choice calls a tool or, as it once was, a function. Fields that are there, empty, do not.

    Where none was offered an answer with text is not searched for calls: that takes 0.1 ms of a long stream.
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
    """Whether an error stands beside the answer, or in a choice of it: it may not be all there."""
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
    """Whether a part of a content is there to be read, heard or seen: thinking is not."""
    if not isinstance(part, dict):
        return bool(part)
    kind = part.get("type")
    if kind in ("thinking", "reasoning", "redacted_thinking", "refusal"):
        return False
    return bool(part.get("text")) if kind in (None, "text", "output_text") else True


def _calls(message: Json) -> bool:
    return bool(message.get("tool_calls") or message.get("function_call"))


def _choices(body: bytes, *, streamed: bool) -> list[Json]:
    """The messages of all choices; none where they cannot be read."""
    try:
        whole = completion.assemble([body], None) if streamed else read_json(body)
        return [choice["message"] for choice in whole["choices"] if isinstance(choice["message"], dict)]
    except (completion.NotChunks, NotJson, LookupError, TypeError):
        return []
