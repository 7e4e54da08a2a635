"""A whole answer of Messages from the events of its stream, and the other way round, with every field that
came, known or not: for clients of Messages whose provider answered in the other way than they asked for.
"""

from collections.abc import Iterator
from typing import Any

from farthing.dialects.events import EventSplitter
from farthing.dialects.messages.answers.answer_writer import INVALID
from farthing.dialects.messages.usage import merged
from farthing.text.lenient_json import any_json, write_json
from farthing.types import Json

EVENT_FIELDS = frozenset({"type", "delta", "usage"})
"""Those of `message_delta` that are not the message's."""
OF_THINKING = ("thinking", "signature")


class _Block:
    """One block that is still coming. Its pieces are joined once, at the end."""

    __slots__ = ("cited", "fields", "pieces")

    def __init__(self, fields: Json) -> None:
        self.fields = fields
        self.pieces: dict[str, list[str]] = {}
        self.cited: list[Any] = []

    def add(self, delta: Json) -> None:
        kind = delta.get("type")
        if kind == "citations_delta":
            self.cited.append(delta.get("citation"))
            return
        for name, value in delta.items():
            if name == "type":
                continue
            if not isinstance(value, str) or name == "signature":
                self.fields[name] = value
            else:
                self.pieces.setdefault(name, []).append(value)

    def whole(self) -> Json:
        fields = dict(self.fields)
        if self.cited:
            before = fields.get("citations")
            fields["citations"] = [*(before if isinstance(before, list) else ()), *self.cited]
        for name, pieces in self.pieces.items():
            text = "".join(pieces)
            if name == "partial_json":
                if text:
                    given = any_json(text.encode("utf-8", "surrogatepass"))
                    fields["input"] = {INVALID: text} if given is None else given
            else:
                before = fields.get(name)
                fields[name] = (before if isinstance(before, str) else "") + text
        return fields


def assembled(events: bytes, event_bytes_max: int) -> bytes | None:
    """The whole answer that `events`, complete and read before, come to; None: they begin none.

    Raises:
        BadStream: an event is too long.
    """
    message: Json | None = None
    blocks: dict[int, _Block] = {}
    usage: Json = {}
    for name, data in EventSplitter(event_bytes_max).feed(events):
        event = any_json(data)
        if not isinstance(event, dict):
            continue
        match event.get("type") or name.decode("latin-1"):
            case "message_start" if message is None and isinstance(event.get("message"), dict):
                message = dict(event["message"])
                usage = merged(usage, message.get("usage"))
            case "content_block_start" if isinstance(event.get("content_block"), dict):
                blocks[event["index"]] = _Block(dict(event["content_block"]))
            case "content_block_delta" if isinstance(event.get("delta"), dict):
                index = event["index"]
                if index not in blocks:  # a text may begin without its start
                    blocks[index] = _Block(_bare(event["delta"]))
                blocks[index].add(event["delta"])
            case "message_delta":
                message = {} if message is None else message
                usage = merged(usage, event.get("usage"))
                message |= {name: value for name, value in event.items() if name not in EVENT_FIELDS}
                if isinstance(event.get("delta"), dict):
                    message |= event["delta"]
    if message is None:
        return None
    began = message.get("content")
    content = [] if not isinstance(began, list) else list(began)
    content += [blocks[index].whole() for index in sorted(blocks)]
    return write_json({**message, "content": content, **({"usage": usage} if usage else {})})


def _bare(delta: Json) -> Json:
    thinks = delta.get("type") == "thinking_delta"
    return {"type": "thinking", "thinking": ""} if thinks else {"type": "text", "text": ""}


def exploded(message: Json) -> list[bytes]:
    """The events of a stream that say what a whole answer, read before, says: each as its lines."""
    return [event_of(one) for one in _events(message)]


def event_of(fields: Json) -> bytes:
    """The lines of one event."""
    return b"event: %b\ndata: %b" % (str(fields["type"]).encode(), write_json(fields))


def _events(message: Json) -> Iterator[Json]:
    ending = {name: message[name] for name in ("stop_reason", "stop_sequence") if name in message}
    details = {name: message[name] for name in ("stop_details", "container") if message.get(name) is not None}
    unsaid: Json = dict.fromkeys(ending)
    opening = {**message, **unsaid, "content": []}
    yield {"type": "message_start", "message": opening}
    for index, block in enumerate(message["content"]):
        start, deltas = _taken_apart(block)
        yield {"type": "content_block_start", "index": index, "content_block": start}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    usage = message.get("usage")
    yield {
        "type": "message_delta",
        "delta": {**ending, **details},
        "usage": usage if isinstance(usage, dict) else {"output_tokens": 0},
    }
    yield {"type": "message_stop"}


def _taken_apart(block: Json) -> tuple[Json, list[Json]]:
    """A block as it starts, and the deltas that make it whole. One that grows in no way starts whole."""
    match block.get("type"):
        case "text":
            cited = block.get("citations")
            deltas: list[Json] = [{"type": "text_delta", "text": block["text"]}]
            if isinstance(cited, list):
                deltas += [{"type": "citations_delta", "citation": one} for one in cited]
            return {**block, "text": "", **({"citations": []} if isinstance(cited, list) else {})}, deltas
        case "thinking":
            deltas = [{"type": f"{name}_delta", name: block[name]} for name in OF_THINKING if block.get(name)]
            return {**block, "thinking": "", "signature": ""}, deltas
        case "tool_use" | "server_tool_use" | "mcp_tool_use" if "input" in block:
            given: Any = block["input"]
            told = given if isinstance(given, str) else write_json(given).decode()
            return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": told}]
    return block, []
