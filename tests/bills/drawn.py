"""One request at a provider: what it answers on the wire, and what it puts on its bill.

The bill is in dollars, an exact fraction, and made without any of our code.
"""

import dataclasses
import json
import math
from fractions import Fraction
from random import Random
from typing import Any, Protocol

from tests.faults import frames

Json = dict[str, Any]
SAID = "It is cold in Oslo."


@dataclasses.dataclass(frozen=True, slots=True)
class Drawn:
    usage: Json
    usd: Fraction
    asked: Json = dataclasses.field(default_factory=dict)
    """Fields of the request beside model and messages."""
    head: Json = dataclasses.field(default_factory=dict)
    """Fields of the answer beside its choices and its usage."""
    began: Json | None = None
    """Of Messages: the usage that a stream tells at its beginning."""
    ended: Json | None = None
    """And that of its end, which may lack what has been told."""

    @property
    def nusd(self) -> int:
        """Nano-dollars, rounded half up."""
        return math.floor(self.usd * 10**9 + Fraction(1, 2))


class Wire(Protocol):
    """A provider with one model, `m`, and the form of its answers."""

    name: str
    kind: str
    prices: str
    """The rates as keys of `[[prices]]`."""
    others: tuple[tuple[str, str], ...]
    """The rates of other models that have a part in its calls."""

    def whole(self, drawn: Drawn) -> bytes: ...

    def events(self, drawn: Drawn) -> bytes: ...


class Biller(Wire, Protocol):
    """A provider with its published rules."""

    def draw(self, random: Random) -> Drawn: ...


class Chat:
    """The wire form of a chat completion."""

    name: str
    kind = "openai"
    prices: str
    others: tuple[tuple[str, str], ...] = ()

    def whole(self, drawn: Drawn) -> bytes:
        message = {"role": "assistant", "content": SAID}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        head = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
        return json.dumps({**head, **drawn.head, "choices": [choice], "usage": drawn.usage}).encode()

    def events(self, drawn: Drawn) -> bytes:
        head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        first = {"index": 0, "delta": {"role": "assistant", "content": SAID}, "finish_reason": None}
        last = {"index": 0, "delta": {}, "finish_reason": "stop"}
        chunks = [{**head, **drawn.head, "choices": [first]}, {**head, "choices": [last]}]
        return written([*chunks, *self.usage_chunks(head, drawn)])

    def usage_chunks(self, head: Json, drawn: Drawn) -> list[Json]:
        return [{**head, **drawn.head, "choices": [], "usage": drawn.usage}]


class Messages:
    """The wire form of Messages."""

    name: str
    kind = "anthropic"
    prices: str
    others: tuple[tuple[str, str], ...] = ()

    def whole(self, drawn: Drawn) -> bytes:
        content = [{"type": "text", "text": SAID}]
        return json.dumps({**_MESSAGE, "content": content, "usage": drawn.usage}).encode()

    def events(self, drawn: Drawn) -> bytes:
        begun: Json = {**_MESSAGE, "stop_reason": None, "content": [], "usage": drawn.began or drawn.usage}
        events: list[Json] = [
            {"type": "message_start", "message": begun},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": SAID}},
            {"type": "content_block_stop", "index": 0},
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn", "stop_sequence": None},
                "usage": drawn.ended or drawn.usage,
            },
            {"type": "message_stop"},
        ]
        return "".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in events).encode()


class GenerateContent:
    """The wire form of Gemini's own interface: an answer is one object, a stream several, each with the
    counts so far."""

    name: str
    kind = "gemini"
    prices: str
    others: tuple[tuple[str, str], ...] = ()

    def whole(self, drawn: Drawn) -> bytes:
        return json.dumps(_object(SAID, drawn.usage, finishReason="STOP", **drawn.head)).encode()

    def events(self, drawn: Drawn) -> bytes:
        prompt = drawn.usage["promptTokenCount"]
        begun = {"promptTokenCount": prompt, "totalTokenCount": prompt}
        so_far = {**drawn.usage, "candidatesTokenCount": 1}
        objects = [
            _object(SAID[:5], begun),
            _object(SAID[5:], so_far),
            _object("", drawn.usage, finishReason="STOP", **drawn.head),
        ]
        return b"".join(b"data: %b\r\n\r\n" % json.dumps(one).encode() for one in objects)


def _object(text: str, usage: Json, **candidate: Any) -> Json:
    content = {"parts": [{"text": text}], "role": "model"}
    return {
        "candidates": [{"content": content, "index": 0, **candidate}],
        "usageMetadata": usage,
        "modelVersion": "m",
        "responseId": "r",
    }


_MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
    "stop_sequence": None,
}  # fmt: skip


class Converse:
    """The wire form of Bedrock's Converse."""

    name: str
    kind = "bedrock"
    prices: str
    others: tuple[tuple[str, str], ...] = ()

    def whole(self, drawn: Drawn) -> bytes:
        message = {"role": "assistant", "content": [{"text": SAID}]}
        told = {"output": {"message": message}, "stopReason": "end_turn", "metrics": {"latencyMs": 5}}
        return json.dumps({**told, "usage": drawn.usage, **drawn.head}).encode()

    def events(self, drawn: Drawn) -> bytes:
        return b"".join(
            (
                frames.event("messageStart", role="assistant"),
                frames.event("contentBlockDelta", contentBlockIndex=0, delta={"text": SAID}),
                frames.event("contentBlockStop", contentBlockIndex=0),
                frames.event("messageStop", stopReason="end_turn"),
                frames.event("metadata", usage=drawn.usage, metrics={"latencyMs": 5}, **drawn.head),
            )
        )


def written(chunks: list[Json]) -> bytes:
    return b"".join(b"data: %b\n\n" % json.dumps(one).encode() for one in chunks) + b"data: [DONE]\n\n"


def size(random: Random, most: int) -> int:
    """A number of tokens: mostly few, sometimes a great many, sometimes none."""
    if random.random() < 0.15:
        return 0
    return int(most ** random.random())


def part(random: Random, of: int) -> int:
    """A part of so many tokens: none, all, or anything between."""
    return random.choice((0, of, random.randint(0, of), random.randint(0, of)))


def money(usd: str) -> Fraction:
    """Dollars for one token, of dollars per million."""
    return Fraction(usd) / 1_000_000


def rates(table: dict[str, str], between: str = "\n") -> str:
    """As keys of `[[prices]]`."""
    return between.join(f"{name} = {usd}" for name, usd in table.items())
