"""What a request is recognised by as the next of a conversation, without reading all of it."""

from collections.abc import Hashable
from typing import Any, Final

from msgspec import Struct

from farthing.types import Request

SAMPLE_CHARS: Final = 128
SYSTEM_ROLES: Final = ("system", "developer")
MESSAGES_LOOKED_AT: Final = 4
"""At the beginning, for the system prompt and the first question."""
ALIKE_MAX: Final = 3
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


NO_OUTLINE: Final = Outline(0, 0, 0, 0, 0, 0)


def outline_of(request: Request) -> Outline:
    """What a request is recognised by: samples of its tools, its system prompt, its first question and its
    last message. Costs 2 us."""
    body = request.body
    messages = body.get("messages")
    if messages.__class__ is not list or not messages:
        return Outline(0, 0, 0, 0, 0, request.prompt_chars)
    tools = body.get("tools") or body.get("functions")
    named = _of_tools(tools) if tools.__class__ is list and tools else 0
    system = question = 0
    for message in messages[:MESSAGES_LOOKED_AT]:
        if message.__class__ is not dict:
            break
        if message.get("role") not in SYSTEM_ROLES:
            question = sample(message)
            break
        system = sample(message) if not system else hash((system, sample(message)))
    last = question if len(messages) == 1 and question else sample(messages[-1])
    return Outline(named, system, question, len(messages), last, request.prompt_chars)


def goes_on(before: Outline, outline: Outline, messages: list[Any]) -> bool:
    """Whether a prompt with these messages is the one before and what came behind it, as far as samples
    tell."""
    return (
        before.tools == outline.tools
        and before.system == outline.system
        and 0 < before.count <= outline.count
        and sample(messages[before.count - 1]) == before.last
    )


def _of_tools(tools: list[Any]) -> int:
    first, last = tools[0], tools[-1]
    return hash((len(tools), _of_tool(first), 0 if last is first else _of_tool(last)))


def _of_tool(tool: Any) -> int:
    if tool.__class__ is not dict:
        return 0
    function = tool.get("function")
    named = function if function.__class__ is dict else tool
    name, described = named.get("name"), named.get("description")
    if name.__class__ is not str:
        name = ""
    if described.__class__ is not str:
        return hash(name)
    return hash((name, len(described), described[:SAMPLE_CHARS]))


def sample(value: Any) -> int:
    """A digest of a few hundred characters of a message, the same for all who say the same."""
    if value.__class__ is not dict:
        return hash(value[:SAMPLE_CHARS]) if value.__class__ is str else 0
    role, content = value.get("role"), value.get("content")
    if role.__class__ is not str:
        role = ""
    if content.__class__ is str:
        # a text alone, and a text as the only block, are one: see `segments`
        return hash((role, 1, len(content), content[:SAMPLE_CHARS], None))
    if content.__class__ is list and content:
        return _of_blocks(role, content)
    calls = value.get("tool_calls")
    return hash((role, _of_tool(value), len(calls) if calls.__class__ is list else 0))


def _of_blocks(role: str, blocks: list[Any]) -> int:
    first, last = blocks[0], blocks[-1]
    text = first.get("text") if first.__class__ is dict else None
    if text.__class__ is not str:
        text = ""
    end = last.get("text") if last is not first and last.__class__ is dict else None
    if end.__class__ is not str:
        end = None
    return hash((role, len(blocks), len(text), text[:SAMPLE_CHARS], end and end[:SAMPLE_CHARS]))


def named_key(request: Request) -> Hashable | None:
    """What the client calls its session; None: it has no name for it."""
    named = request.session or request.body.get("prompt_cache_key")
    return (named, request.agent) if named and named.__class__ is str else None


def key_of(request: Request, outline: Outline) -> Hashable:
    """What the client calls its session, else what its conversation began with. Tools and the system prompt
    are not in it: that they change is what has to be found out."""
    return named_key(request) or (request.user, outline.question or outline.system)
