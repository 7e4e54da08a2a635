"""A whole answer of Messages, read into the model of a conversation.

Strict where the answer is missing: what has no list of blocks is no answer. Lenient elsewhere: a block that
is not known is kept as it is.
"""

from typing import Any

from farthing.dialects.conversation import (
    NOTHING,
    Block,
    Message,
    Opaque,
    Reasoning,
    Stop,
    Text,
    ToolCall,
)
from farthing.dialects.events import BadAnswer, ProviderSaid, read_body
from farthing.dialects.messages.usage import read_usage
from farthing.text.lenient_json import write_json
from farthing.types import Json

STOPS: dict[str, Stop] = {
    "end_turn": "end",
    "max_tokens": "length",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_calls",
    "pause_turn": "pause",
    "compaction": "pause",
    "refusal": "refusal",
    "model_context_window_exceeded": "context",
}
BLOCKS_MAX = 10_000


def read(body: bytes) -> Message:
    """The answer in the body of a reply with status 200.

    Raises:
        BadAnswer: there is none. ProviderSaid: it is an error.
    """
    return read_value(read_body(body), body)


def read_value(value: Json, body: bytes) -> Message:
    """As `read`, of a body that was decoded."""
    content = value.get("content")
    if content.__class__ is not list:
        if value.get("type") == "error" or value.get("error") is not None:
            raise ProviderSaid(body)
        raise BadAnswer("there is no `content`")
    if len(content) > BLOCKS_MAX:
        raise BadAnswer(f"more than {BLOCKS_MAX} blocks")
    said = value.get("stop_reason")
    said = said if isinstance(said, str) else ""
    sequence = value.get("stop_sequence")
    return Message(
        id=text_of(value, "id"),
        model=text_of(value, "model"),
        blocks=tuple([block_of(block) for block in content]),
        stop=STOPS.get(said, "unknown"),
        stop_said=said,
        stop_sequence=sequence if isinstance(sequence, str) else None,
        refused_why=why_refused(value.get("stop_details")),
        usage=read_usage(value.get("usage")),
    )


def is_opaque(message: Message) -> bool:
    """Whether it has something that only this dialect has: a block, or a source that is no page."""
    for block in message.blocks:
        if isinstance(block, Opaque):
            return True
        if isinstance(block, Text) and not all([text_of(one, "url") for one in block.citations]):
            return True
    return False


def block_of(block: Any) -> Block:
    """One block of an answer.

    Raises:
        BadAnswer: it is none, or a known one without what it is for.
    """
    if block.__class__ is not dict:
        raise BadAnswer("a block is not an object")
    kind = block.get("type")
    if kind == "text":
        text = block.get("text")
        if text.__class__ is not str:
            raise BadAnswer("a text block without text")
        cited = block.get("citations")
        if cited.__class__ is list and cited:
            return Text(text, None, tuple(one for one in cited if one.__class__ is dict))
        return Text(text)
    if kind == "tool_use":
        name, call_id = block.get("name"), block.get("id")
        if name.__class__ is not str or call_id.__class__ is not str or not name or not call_id:
            raise BadAnswer("a tool call without id or name")
        given = block.get("input")
        if given.__class__ is str:  # of servers that pass on what they got
            return ToolCall(call_id, name, given)
        return ToolCall(call_id, name, write_json(NOTHING if given is None else given).decode())
    if kind == "thinking":
        signature = text_of(block, "signature")
        return Reasoning(text_of(block, "thinking"), signature, "", "messages" if signature else "")
    if kind == "redacted_thinking":
        return Reasoning("", "", text_of(block, "data"), "messages")
    return Opaque("messages", kind if isinstance(kind, str) else "", block)


def why_refused(details: Any) -> str:
    return text_of(details, "explanation") if details.__class__ is dict else ""


def text_of(fields: Json, name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""
