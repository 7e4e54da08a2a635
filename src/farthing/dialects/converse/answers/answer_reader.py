"""A whole answer of Converse, read into the model of a conversation.

Strict where the answer is missing: what has no list of blocks is no answer. Lenient elsewhere: a block that
is not known is kept as it is. Converse names neither the answer nor its model: who reads it does.
"""

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from farthing.dialects import proofs
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
from farthing.dialects.converse import errors
from farthing.dialects.converse.usage import read_usage
from farthing.dialects.events import BadAnswer, ProviderSaid, read_body
from farthing.text.lenient_json import write_json
from farthing.types import Json, Usage, replace

STOPS: dict[str, Stop] = {
    "end_turn": "end",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "stop_sequence": "stop_sequence",
    "guardrail_intervened": "filter",
    "content_filtered": "filter",
    "refusal": "refusal",
    "model_context_window_exceeded": "context",
}
BLOCKS_MAX = 10_000
SIGNATURE, REDACTED = "signature", "redactedContent"


def _same(name: str) -> str:
    return name


class Asked(Struct, frozen=True):
    """What is known of the request that an answer is to."""

    provider: str = ""
    """Who gets its reasoning back; empty: nobody."""
    id: str = ""
    model: str = ""
    name_of: Callable[[str], str] = _same
    """What the client calls a tool."""
    tier: str = ""
    """The service tier that was asked for, which an answer in Messages does not name; empty: the standard
    one."""


NOBODY = Asked()


def as_asked(usage: Usage, asked: Asked) -> Usage:
    """`usage` of an answer in Messages, at the tier that was asked for where it names none."""
    if usage.tier or not asked.tier:
        return usage
    found: Usage = replace(usage, tier=asked.tier)
    return found


def read(body: bytes, asked: Asked = NOBODY) -> Message:
    """The answer in the body of a reply with status 200.

    Raises:
        BadAnswer: there is none. ProviderSaid: it is an error.
    """
    return read_value(read_body(body), body, asked)


def read_value(value: Json, body: bytes, asked: Asked) -> Message:
    """As `read`, of a body that was decoded."""
    output = value.get("output")
    message = output.get("message") if output.__class__ is dict else None
    content = message.get("content") if message.__class__ is dict else None
    if content.__class__ is not list:
        if not value.get("stopReason") and (value.get("message") or value.get("__type")):
            raise ProviderSaid(errors.as_error("", body))
        if not value.get("stopReason"):
            raise BadAnswer("there is no `output.message.content`")
        content = []
    if len(content) > BLOCKS_MAX:
        raise BadAnswer(f"more than {BLOCKS_MAX} blocks")
    said = text_of(value, "stopReason")
    usage = read_usage(value.get("usage"), value)
    if said in errors.MALFORMED:
        raise ProviderSaid(errors.of_stop(said), usage)
    return Message(
        id=asked.id,
        model=asked.model,
        blocks=tuple([block for one in content for block in blocks_of(one, asked)]),
        stop=STOPS.get(said, "unknown"),
        stop_said=said,
        usage=usage,
    )


def is_opaque(message: Message) -> bool:
    """Whether it has something that only this dialect has: a block, or a source that is no page."""
    for block in message.blocks:
        if isinstance(block, Opaque):
            return True
        if isinstance(block, Text) and not all([text_of(one, "url") for one in block.citations]):
            return True
    return False


def blocks_of(block: Any, asked: Asked) -> list[Block]:
    """What one block of an answer says.

    Raises:
        BadAnswer: it is none, or a known one without what it is for.
    """
    if block.__class__ is not dict:
        raise BadAnswer("a block is not an object")
    text = block.get("text")
    if text.__class__ is str:
        return [Text(text)]
    if "toolUse" in block:
        return [_call(block, asked)]
    if "reasoningContent" in block:
        return [_thought(block["reasoningContent"], asked)]
    if "citationsContent" in block:
        return [_cited(block["citationsContent"])]
    return [Opaque("converse", next(iter(block), ""), block)]


def _call(block: Json, asked: Asked) -> Block:
    call = block["toolUse"]
    if call.__class__ is not dict:
        raise BadAnswer("a tool call is not an object")
    name, call_id = call.get("name"), call.get("toolUseId")
    if name.__class__ is not str or call_id.__class__ is not str or not name or not call_id:
        raise BadAnswer("a tool call without id or name")
    if call.get("type") is not None:
        return Opaque("converse", "toolUse", block)  # of a tool that the provider runs itself
    given = call.get("input")
    arguments = given if given.__class__ is str else write_json(NOTHING if given is None else given).decode()
    return ToolCall(call_id, asked.name_of(name), arguments)


def _thought(held: Any, asked: Asked) -> Block:
    if held.__class__ is not dict:
        raise BadAnswer("a thought is not an object")
    redacted = text_of(held, REDACTED)
    if redacted:
        return Reasoning("", carried(REDACTED, redacted, asked), "", "messages" if asked.provider else "")
    told = held.get("reasoningText")
    told = told if told.__class__ is dict else {}
    signature = text_of(told, SIGNATURE)
    signed = carried(SIGNATURE, signature, asked) if signature else ""
    return Reasoning(text_of(told, "text"), signed, "", "messages" if signed else "")


def carried(kind: str, opaque: str, asked: Asked) -> str:
    """The signature that carries what only the provider reads of a thought; empty where nobody takes it."""
    return proofs.of_item({"type": "reasoning", kind: opaque}, asked.provider) if asked.provider else ""


def _cited(held: Any) -> Block:
    held = held if held.__class__ is dict else {}
    content, cited = held.get("content"), held.get("citations")
    texts = [text_of(one, "text") for one in _dicts(content)]
    return Text("".join(texts), None, tuple(citation_of(one) for one in _dicts(cited)))


def citation_of(told: Json) -> Json:
    """A source, with `url` where it is a page, as all readers have it."""
    location = told.get("location")
    web = location.get("web") if location.__class__ is dict else None
    url = text_of(web, "url") if web.__class__ is dict else ""
    return {**told, "url": url} if url else told


def _dicts(value: Any) -> list[Json]:
    return [one for one in value if one.__class__ is dict] if value.__class__ is list else []


def text_of(fields: Any, name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""
