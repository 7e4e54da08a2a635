"""What a request is recognised by as the next of a conversation, without reading all of it."""

from collections.abc import Hashable
from typing import Any, Final

from msgspec import Struct

from farthing.types import Request

SAMPLE_CHARS: Final = 256
MESSAGES_LOOKED_AT: Final = 4
"""At the beginning, for the system prompt and the first question."""
ALIKE_MIN: Final = 2
"""Of tools, system prompt and first question, as many are alike in one conversation: one of them may change,
and where two do it is another one of the same session, as agents that work beside each other are."""


class Outline(Struct, frozen=True):
    """Samples of a request, as digests."""

    tools: int
    system: int
    question: int
    count: int
    """Its messages."""
    last: int
    """The last of them."""
    chars: int
    """Of all its text: no sample, but their number."""

    def alike(self, other: "Outline") -> int:
        return (self.tools == other.tools) + (self.system == other.system) + (self.question == other.question)

    def goes_with(self, other: "Outline") -> bool:
        """Whether both are of one conversation."""
        return self.alike(other) >= ALIKE_MIN


def outline_of(request: Request) -> Outline:
    """What a request is recognised by: samples of its tools, its system prompt, its first question and its
    last message."""
    body = request.body
    messages = body.get("messages")
    if messages.__class__ is not list:
        return Outline(0, 0, 0, 0, 0, request.prompt_chars)
    tools = body.get("tools") or body.get("functions")
    named = 0
    if tools.__class__ is list and tools:
        named = hash((len(tools), sample(tools[0]), sample(tools[-1])))
    system = question = 0
    for message in messages[:MESSAGES_LOOKED_AT]:
        if message.__class__ is not dict:
            break
        if message.get("role") in ("system", "developer"):
            system = hash((system, sample(message)))
        else:
            question = sample(message)
            break
    last = sample(messages[-1]) if messages else 0
    return Outline(named, system, question, len(messages), last, request.prompt_chars)


def sample(value: Any) -> int:
    """A digest of a few hundred characters of a message or a tool, the same for all who say the same."""
    if value.__class__ is not dict:
        return hash(value[:SAMPLE_CHARS]) if value.__class__ is str else 0
    content = value.get("content")
    if content.__class__ is list:
        texts = [one.get("text") for one in (content[:1] + content[-1:]) if one.__class__ is dict]
        return hash((_text(value.get("role")), len(content), *map(_text, texts)))
    if content.__class__ is str:
        # a text alone, and a text as the only block, are one: see `segments`
        return hash((_text(value.get("role")), 1, _text(content), _text(content)))
    function = value.get("function")
    named = function if function.__class__ is dict else value
    calls = value.get("tool_calls")
    return hash((
        _text(value.get("role")),
        _text(named.get("name")),
        _text(named.get("description")),
        len(calls) if calls.__class__ is list else 0,
    ))  # fmt: skip


def _text(text: Any) -> tuple[int, str] | None:
    return (len(text), text[:SAMPLE_CHARS]) if text.__class__ is str else None


def key_of(request: Request, outline: Outline) -> Hashable:
    """What the client calls its session, else what its conversation began with. Tools and the system prompt
    are not in it: that they change is what has to be found out."""
    named = request.session or request.body.get("prompt_cache_key")
    if named and named.__class__ is str:
        return (named, request.agent)
    return (request.user, outline.question or outline.system)
