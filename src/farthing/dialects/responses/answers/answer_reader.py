"""A response, read into the model of a conversation.

Strict where the answer is missing: what has no list of items is no answer, and one that failed is an error.
Lenient elsewhere: an item that is not known, as of a tool that the provider ran itself, is kept as it is.

A reasoning item goes back whole to the provider that made it, so its block carries it in its signature
(`proofs.of_item`).
"""

from collections.abc import Callable
from typing import Any

from farthing.dialects import proofs
from farthing.dialects.chat.usage import UsageForm
from farthing.dialects.conversation import (
    Block,
    Message,
    Opaque,
    Reasoning,
    Refusal,
    Stop,
    Text,
    ToolCall,
)
from farthing.dialects.events import BadAnswer, ProviderSaid, read_body
from farthing.dialects.responses.usage import FORM, read_usage
from farthing.text.lenient_json import write_json
from farthing.types import Json

INCOMPLETE: dict[str, Stop] = {
    "max_output_tokens": "length",
    "content_filter": "filter",
    "max_messages": "pause",
    "steered": "pause",
}
"""Why a response is incomplete, in our terms."""
CALLS = frozenset({"function_call", "custom_tool_call"})
ITEMS_MAX = 10_000
BETWEEN = "\n\n"
"""Stands between two parts of what was thought."""
UNSAID = "the response failed, and no error was told"


class Maker:
    """Reads the answers of one provider."""

    __slots__ = ("form", "made", "provider")

    def __init__(
        self, provider: str = "", form: UsageForm = FORM, made: Callable[[Json], None] | None = None
    ) -> None:
        """`provider` is what its reasoning goes back to; empty: to nobody. `made` is told each item that is
        complete."""
        self.provider = provider
        self.form = form
        self.made = made or _not_noted

    def read(self, body: bytes) -> Message:
        """The answer in the body of a reply with status 200.

        Raises:
            BadAnswer: there is none. ProviderSaid: it is an error, or it failed.
        """
        value = read_body(body)
        refuse_failed(value, self.form)
        output = value.get("output")
        if output.__class__ is not list:
            raise BadAnswer("there is no `output`")
        if len(output) > ITEMS_MAX:
            raise BadAnswer(f"more than {ITEMS_MAX} items")
        blocks: list[Block] = []
        spoke = False
        for item in output:
            made = self.blocks_of(item)
            texts = [block for block in made if isinstance(block, Text) and block.text]
            blocks += _apart(made, texts[0]) if spoke and texts else made
            spoke = spoke or bool(texts)
            self.made(item)
        stop, said = stop_of(value, any(isinstance(block, ToolCall) for block in blocks))
        return Message(
            id=text_of(value, "id"),
            model=text_of(value, "model"),
            blocks=tuple(blocks),
            stop=stop,
            stop_said=said,
            usage=read_usage(value, form=self.form),
        )

    def blocks_of(self, item: Any) -> list[Block]:
        """The blocks that an item of the output is.

        Raises:
            BadAnswer: it is none, or a known one without what it is for.
        """
        if item.__class__ is not dict:
            raise BadAnswer("an item is not an object")
        kind = item.get("type")
        if kind == "message" or (kind is None and "content" in item):
            return parts_of(item)
        if kind == "reasoning":
            return [self.thought(item)]
        if kind.__class__ is str and kind in CALLS:
            return [call_of(item)]
        return [Opaque("responses", kind if isinstance(kind, str) else "", item)]

    def thought(self, item: Json) -> Reasoning:
        signature = self.signature(item)
        return Reasoning(thought_text(item), signature, "", "messages" if signature else "")

    def signature(self, item: Json) -> str:
        """What carries a reasoning item; empty where nobody takes it back: its text alone is no proof."""
        if not self.provider or not (item.get("encrypted_content") or item.get("content")):
            return ""
        return proofs.of_item({name: told for name, told in item.items() if name != "status"}, self.provider)


def _apart(blocks: list[Block], text: Text) -> list[Block]:
    """`blocks` of a message that is not the first, whose first text is `text`: other dialects have one
    message, in which its words would stand right behind those of the one before."""
    later = Text(BETWEEN + text.text, text.cache, text.citations, text.extras)
    return [later if block is text else block for block in blocks]


def _not_noted(item: Json) -> None:
    """Nobody is told of an item."""


def is_opaque(message: Message) -> bool:
    """Whether it has something that only this dialect has: an item, or a source that is no page."""
    for block in message.blocks:
        if isinstance(block, Opaque):
            return True
        if isinstance(block, Text) and not all([text_of(one, "url") for one in block.citations]):
            return True
    return False


def refuse_failed(value: Json, form: UsageForm = FORM) -> None:
    """Raises:
    BadAnswer: it is a response that never came to an end. ProviderSaid: an error came in its place.
    """
    status, error = value.get("status"), value.get("error")
    if status == "failed" or (error and value.get("output").__class__ is not list):
        raise ProviderSaid(error_payload(error), read_usage(value, form=form))
    if status in ("cancelled", "in_progress", "queued"):
        raise BadAnswer(f"the response is {status}")
    if value.get("type") == "error":
        raise ProviderSaid(error_payload(value))


def error_payload(error: Any) -> bytes:
    """An error as the object that is read of every provider in OpenAI's form."""
    if not isinstance(error, dict):
        error = {"message": error} if isinstance(error, str) and error else {"message": UNSAID}
    elif isinstance(error.get("error"), dict):
        error = error["error"]
    told = {name: value for name, value in error.items() if name != "sequence_number"}
    if told.get("type") == "error":
        del told["type"]
    if not told.get("message"):
        told["message"] = text_of(told, "code") or UNSAID
    return write_json({"error": told})


def stop_of(response: Json, called: bool) -> tuple[Stop, str]:
    """Why a response ended, and the provider's own word for it."""
    status = text_of(response, "status")
    if status == "incomplete":
        details = response.get("incomplete_details")
        reason = text_of(details, "reason") if isinstance(details, dict) else ""
        return INCOMPLETE.get(reason, "unknown"), reason or status
    if status in ("completed", ""):  # what was compacted has no status
        return "tool_calls" if called else "end", status
    return "unknown", status


def parts_of(item: Json) -> list[Block]:
    content = item.get("content")
    if content.__class__ is str:  # of servers that know one text
        return [Text(content)]
    if content.__class__ is not list:
        raise BadAnswer("a message without content")
    return [part_of(part) for part in content]


def part_of(part: Any) -> Block:
    """Raises:
    BadAnswer: it is no part, or one without its text.
    """
    if part.__class__ is not dict:
        raise BadAnswer("a part of a message is not an object")
    match part.get("type"):
        case "output_text" | "text":
            text = part.get("text")
            if text.__class__ is not str:
                raise BadAnswer("a text without text")
            return Text(text, None, citations_of(part))
        case "refusal":
            return Refusal(text_of(part, "refusal"))
        case kind:
            return Opaque("responses", kind if isinstance(kind, str) else "", part)


def citations_of(part: Json) -> tuple[Json, ...]:
    told = part.get("annotations")
    return tuple([one for one in told if one.__class__ is dict]) if told.__class__ is list else ()


def call_of(item: Json) -> ToolCall:
    """Raises:
    BadAnswer: it is a call of nothing.
    """
    custom = item.get("type") == "custom_tool_call"
    name = text_of(item, "name")
    call_id = text_of(item, "call_id") or text_of(item, "id")
    if not name or not call_id:
        raise BadAnswer("a tool call without call_id or name")
    given = item.get("input" if custom else "arguments")
    if given is not None and given.__class__ is not str:  # of servers that send the object
        given = write_json(given).decode()
    return ToolCall(call_id, name, given or "", custom)


def thought_text(item: Json) -> str:
    """What a reasoning item shows of what was thought."""
    texts = []
    for name in ("summary", "content"):
        told = item.get(name)
        for part in told if told.__class__ is list else ():
            text = text_of(part, "text") if part.__class__ is dict else ""
            if text:
                texts.append(text)
    return BETWEEN.join(texts)


def text_of(fields: Json, name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""
