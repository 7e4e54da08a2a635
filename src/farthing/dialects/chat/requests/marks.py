"""Where marks for a provider's prefix cache (`cache_control`) lie in a request, and what it is without them.

They say what is worth keeping, never what is asked, and agents move them with every turn.
"""

from typing import Any

from farthing.types import Json

MARK = "cache_control"
DEPTH_MAX = 4  # of contents in contents: a message, a result, a document, its parts


def without_marks(body: Json) -> Json:
    """`body` without the marks on its messages, their parts and calls, and its tools; itself where there are
    none. Its own mark, at the top, stays. It is not changed. Never raises."""
    changed: Json = {}
    for name in ("messages", "tools"):
        listed = body.get(name)
        if listed.__class__ is list:
            unmarked = _list(listed, DEPTH_MAX)
            if unmarked is not listed:
                changed[name] = unmarked
    return {**body, **changed} if changed else body


def _list(values: list[Any], depth: int) -> list[Any]:
    found = values
    for at, value in enumerate(values):
        if value.__class__ is not dict:
            continue
        if len(value) == 2 and MARK not in value and value.get("content").__class__ is not list:
            continue  # the normal message, or a part of it
        unmarked = _object(value, depth)
        if unmarked is not value:
            if found is values:
                found = values.copy()
            found[at] = unmarked
    return found


def _object(value: Json, depth: int) -> Json:
    found = value
    if MARK in value:
        found = {name: inner for name, inner in value.items() if name != MARK}
    if depth == 0:
        return found
    for name in ("content", "tool_calls"):
        listed = value.get(name)
        if listed.__class__ is list:
            unmarked: Any = _list(listed, depth - 1)
            if unmarked is not listed:
                found = {**found, name: _one_text(unmarked)}
    return found


def _one_text(parts: list[Any]) -> Any:
    """A text that was a part only to be marked, as it would be without."""
    if len(parts) == 1 and parts[0].keys() == {"type", "text"} and parts[0]["type"] == "text":
        return parts[0]["text"]
    return parts
