"""A whole answer as Messages has it.

A call is known to the client by its id as far as Messages takes it (`call_ids.valid_id`), else by one that is
made of it. The way back needs no table: client and provider keep no ids beyond one request, and there the
client names a call and its result alike, so whatever id it was given goes up as it is.

What Messages has no place for in an answer is left out: sound and pictures, reasoning that is opaque to all
but another maker than Anthropic, sources that are not cited as Messages cites. White space alone is no
block: sent back in a history it would be refused.
"""

from typing import Any

from farthing.dialects import proofs
from farthing.dialects.call_ids import valid_id
from farthing.dialects.call_inputs import input_of
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
from farthing.dialects.tool_names import long_name
from farthing.text.lenient_json import any_json, write_json
from farthing.types import Json, Usage

STOPS: dict[Stop, str] = {
    "end": "end_turn",
    "tool_calls": "tool_use",
    "stop_sequence": "stop_sequence",
    "length": "max_tokens",
    "context": "model_context_window_exceeded",
    "pause": "pause_turn",
    "refusal": "refusal",
    "filter": "refusal",
    "unknown": "max_tokens",
}
"""What is not known to be whole is told as cut: nobody takes it for the whole answer."""
PREFIX = "msg_"
UNNAMED = "unnamed"
TIERS = frozenset({"standard", "priority", "batch"})
"""Names of service tiers that clients know; others are told by the receipt alone."""
INVALID = "INVALID_JSON"
"""What `input_of` puts arguments under that are no object."""
LOCATION = "_location"
"""How the kinds of citations end that Messages knows."""


class CallIds:
    """Gives the calls of one answer their ids, and the names that the client knows their tools by."""

    __slots__ = ("_tools", "_used")

    def __init__(self, tools: Any = None) -> None:
        """`tools`: those of the request, as its client has sent them."""
        self._tools = tools
        self._used: set[str] = set()

    def named(self, said: str) -> str:
        return long_name(said, self._tools)

    def new(self, said: str) -> str:
        """The id of the next call, which no call before it has."""
        start = given = valid_id(said or "call")
        times = 2
        while given in self._used:
            given = f"{start[:56]}_{times}"
            times += 1
        self._used.add(given)
        return given


def write(
    message: Message,
    *,
    request_id: str = "",
    model: str = "",
    usage: Usage | None = None,
    tools: Any = None,
) -> bytes:
    """The body of an answer. `request_id` stands for its id where it has none; `model` and `usage` take the
    place of those in `message`. `tools`: those of the request, as its client has sent them."""
    ids = CallIds(tools)
    content: list[Json] = []
    called = False
    refusals: list[str] = []
    for block in message.blocks:
        if block.__class__ is ToolCall:
            called = True
        elif isinstance(block, Refusal):
            refusals.append(block.text)
        told = block_of(block, ids)
        if told is not None:
            content.append(told)
    why = message.refused_why or "".join(refusals)
    counted = message.usage if usage is None else usage
    return write_json(
        {
            "id": id_of(message.id or request_id),
            "type": "message",
            "role": "assistant",
            "model": model or message.model,
            "content": content,
            **stop_fields(message.stop, message.stop_sequence, why, called=called, refused=bool(refusals)),
            "usage": usage_of(Usage() if counted is None else counted),
        }
    )


def id_of(said: str) -> str:
    """The id of an answer."""
    return valid_id(said) if said.startswith(PREFIX) else PREFIX + valid_id(said or UNNAMED)


def block_of(block: Block, ids: CallIds) -> Json | None:
    """A block of an answer; None where Messages has none for it."""
    match block:
        case Text(text=text) | Refusal(text=text):
            if not text or text.isspace():
                return None
            told: Json = {"type": "text", "text": text}
            cited = list(filter(is_citation, block.citations)) if isinstance(block, Text) else None
            if cited:
                told["citations"] = cited
            return told
        case ToolCall(arguments=arguments):
            return {**call_start(block, ids), "input": call_input(arguments, block.custom)}
        case Reasoning():
            return thought_of(block)
        case Opaque(dialect="messages", value=value):
            return value  # type: ignore[no-any-return]
        case _:
            return None


def call_start(call: ToolCall, ids: CallIds) -> Json:
    """A call of which no arguments are known."""
    return {"type": "tool_use", "id": ids.new(call.id), "name": ids.named(call.name), "input": {}}


def call_input(arguments: str, custom: bool) -> Json:
    """The arguments of a call as the object that they have to be."""
    if custom:
        return {"input": arguments}
    if arguments[:2] == "{}":  # some servers begin with an empty object, and go on with the real one
        arguments = arguments[2:].strip() or arguments
    elif arguments[:1] == '"':  # and some tell the JSON of a text that is the JSON of the object
        inner = any_json(arguments.encode("utf-8", "surrogatepass"))
        told = input_of(inner) if isinstance(inner, str) else {}
        return told if told and INVALID not in told else input_of(arguments)
    return input_of(arguments)


def thought_of(block: Reasoning) -> Json | None:
    """Reasoning with the proof that it is Anthropic's own, if it is; without one it is text for people, and
    its signature is empty. None: there is nothing to be read in it, or it proves the text before it alone.
    Clients take the last block for the answer, as Claude Code does: none may stand behind the text."""
    ours = block.maker in ("messages", "chat", "")
    if block.redacted and block.maker == "messages":
        return {"type": "redacted_thinking", "data": block.redacted}
    signature = block.signature if ours else ""
    if not block.text and (not signature or proofs.is_of_text(signature)):
        return None
    return {"type": "thinking", "thinking": block.text, "signature": signature}


def is_citation(citation: Json) -> bool:
    kind = citation.get("type")
    return isinstance(kind, str) and kind.endswith(LOCATION)


def stop_fields(stop: Stop, sequence: str | None, why: str, *, called: bool, refused: bool) -> Json:
    """The fields that say why an answer ended. `called`: a tool is called in it; `refused`: the model says in
    so many words that it will not answer. `why`: the words of a refusal."""
    if stop in ("end", "stop_sequence") and called:  # some servers tell a forced call as an end
        stop = "tool_calls"
    elif stop == "tool_calls" and not called:
        stop = "end"
    if stop == "end" and refused:
        stop = "refusal"
    said = STOPS[stop]
    details = {"type": "refusal", "category": None, "explanation": why or None}
    return {
        "stop_reason": said,
        "stop_sequence": sequence if said == "stop_sequence" else None,
        "stop_details": details if said == "refusal" else None,
    }


def usage_of(usage: Usage) -> Json:
    """Usage as Messages counts: what went by the prefix cache is not in `input_tokens`."""
    short, long = usage.cache_write_5m_tokens, usage.cache_write_1h_tokens
    other = usage.cache_write_30m_tokens + usage.cache_write_12h_tokens
    written = short + long + other
    told: Json = {
        "input_tokens": max(0, usage.input_tokens - usage.cached_tokens - written),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
    }
    if not other:  # it has no names for other lives
        told["cache_creation"] = {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": long}
    if usage.reasoning_tokens:
        told["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    if usage.fees:
        uses = {f"{name}_requests": count for name, count in usage.fees.items()}
        told["server_tool_use"] = {"web_search_requests": 0, "web_fetch_requests": 0, **uses}
    if usage.tier == "fast":
        told["speed"] = "fast"
    tier = "standard" if usage.tier in ("", "fast") else usage.tier
    told["service_tier"] = tier if tier in TIERS else None
    if usage.region:
        told["inference_geo"] = usage.region.removeprefix("inference_geo_")
    return told
