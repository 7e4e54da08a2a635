"""The order rules of streams: what the events of Messages and the chunks of chat completions have to be like,
whatever they say. Each function returns the faults it finds, in words; none for a good stream.
"""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any, Final

DONE: Final = "[DONE]"
DELTAS: Final = {
    "text": {"text_delta", "citations_delta"},
    "thinking": {"thinking_delta", "signature_delta"},
    "redacted_thinking": set[str](),
    "tool_use": {"input_json_delta"},
}
"""Kinds of deltas of the blocks that are known; blocks of other kinds may have any, and any block those that
nobody knows."""
KNOWN: Final = frozenset().union(*DELTAS.values())
EMPTY: Final[dict[str, dict[str, Any]]] = {
    "text": {"text": ""},
    "thinking": {"thinking": "", "signature": ""},
    "tool_use": {"input": {}},
}
"""What a block starts with, of what its deltas bring."""


@dataclasses.dataclass(frozen=True, slots=True)
class Frame:
    """One event of a stream."""

    name: str
    """What stood behind `event:`; empty: there was no such line."""
    text: str

    @property
    def data(self) -> Any:
        """Its JSON; None where it is none."""
        try:
            return json.loads(self.text)
        except ValueError:
            return None

    @property
    def kind(self) -> str:
        """The `type` in its data, or an empty string."""
        data = self.data
        return str(data.get("type", "")) if isinstance(data, dict) else ""


def frames(body: bytes) -> list[Frame]:
    """The events of a stream. Comments are none."""
    found: list[Frame] = []
    for block in body.replace(b"\r\n", b"\n").split(b"\n\n"):
        name, lines = "", []
        for line in block.split(b"\n"):
            field, _, value = line.partition(b":")
            if field == b"event":
                name = value.strip().decode()
            elif field == b"data":
                lines.append(value.removeprefix(b" "))
        if name or lines:
            found.append(Frame(name, b"\n".join(lines).decode()))
    return found


# -- Messages ----------------------------------------------------------------------------------------


def messages_faults(stream: Sequence[Frame]) -> list[str]:
    """`message_start` first and once; blocks one after the other, each start, deltas of its own kind, stop;
    then `message_delta` with the reason and the usage, and `message_stop`. `ping` may stand anywhere behind
    the start, and an `error` in the place of all that is missing."""
    reading = _Messages()
    for frame in stream:
        reading.take(frame)
    if not reading.ended:
        reading.faults.append("it ends without message_stop or error")
    return reading.faults


class _Messages:
    def __init__(self) -> None:
        self.faults: list[str] = []
        self.ended = False
        self._started = False
        self._blocks = 0
        self._open: tuple[Any, str] | None = None
        """Index and kind of the block that is open."""
        self._stop_reason: Any = None
        self._deltas = 0
        """How many `message_delta` there were."""

    def take(self, frame: Frame) -> None:
        data, kind = frame.data, frame.kind
        if frame.name != kind or not kind:
            self.faults.append(f"the event line {frame.name!r} is not the type {kind!r}")
            return
        if self.ended:
            self.faults.append(f"{kind} behind the end")
        if (kind == "message_start") == self._started and kind != "error":
            self.faults.append(f"{kind} {'again' if self._started else 'before message_start'}")
        handler = getattr(self, f"_{kind}", None)
        if handler is not None:
            handler(data)

    def _message_start(self, data: Any) -> None:
        self._started = True
        message = data.get("message") or {}
        if message.get("content") != [] or message.get("stop_reason") is not None:
            self.faults.append("message_start has content or a stop_reason")
        if not isinstance((message.get("usage") or {}).get("input_tokens"), int):
            self.faults.append("message_start has no usage")

    def _content_block_start(self, data: Any) -> None:
        block = data.get("content_block") or {}
        kind = str(block.get("type"))
        if data.get("index") != self._blocks:
            self.faults.append(f"block {data.get('index')} starts where {self._blocks} was due")
        if self._open is not None:
            self.faults.append(f"block {data.get('index')} starts while {self._open[0]} is open")
        if self._deltas:
            self.faults.append("a block starts behind message_delta")
        for name, empty in EMPTY.get(kind, {}).items():
            if block.get(name, empty) != empty:
                self.faults.append(f"a {kind} block starts with {name} {block.get(name)!r}")
        self._open = (data.get("index"), kind)
        self._blocks += 1

    def _content_block_delta(self, data: Any) -> None:
        kind = (data.get("delta") or {}).get("type")
        if self._open is None or self._open[0] != data.get("index"):
            self.faults.append(f"a delta for block {data.get('index')}, which is not open")
        elif kind in KNOWN and kind not in DELTAS.get(self._open[1], KNOWN):
            self.faults.append(f"{kind} in a {self._open[1]} block")

    def _content_block_stop(self, data: Any) -> None:
        if self._open is None or self._open[0] != data.get("index"):
            self.faults.append(f"block {data.get('index')} stops, and is not open")
        self._open = None

    def _message_delta(self, data: Any) -> None:
        self._deltas += 1
        if self._open is not None:
            self.faults.append("message_delta while a block is open")
        if not isinstance((data.get("usage") or {}).get("output_tokens"), int):
            self.faults.append("message_delta has no usage.output_tokens")
        self._stop_reason = (data.get("delta") or {}).get("stop_reason")

    def _message_stop(self, data: Any) -> None:
        self.ended = True
        if not self._stop_reason:
            self.faults.append("message_stop, and the last message_delta had no stop_reason")

    def _error(self, data: Any) -> None:
        self.ended = True
        error = data.get("error")
        if not isinstance(error, dict) or not all(
            isinstance(error.get(name), str) for name in ("type", "message")
        ):
            self.faults.append("an error without type and message")


# -- chat completions --------------------------------------------------------------------------------


def chat_faults(stream: Sequence[Frame], *, usage: bool) -> list[str]:
    """One id; the role in the first chunk; calls counted from 0, each with id and name in its first piece;
    one finish; the usage in a chunk of its own, if it was asked for; `[DONE]` last. An error takes the place
    of all that is missing, and `[DONE]` may not follow it."""
    failed = [frame for frame in stream if isinstance(frame.data, dict) and frame.data.get("error")]
    chunks = [frame.data for frame in stream if isinstance(frame.data, dict) and "choices" in frame.data]
    faults = _chunk_faults(chunks)
    if failed:
        return faults + ([] if failed == list(stream[-1:]) else ["an error that is not the last"])
    return faults + _ending_faults(stream, chunks, usage)


def _chunk_faults(chunks: list[Any]) -> list[str]:
    faults = []
    if len({chunk.get("id") for chunk in chunks}) > 1:
        faults.append("more than one id")
    if any(chunk.get("object") != "chat.completion.chunk" for chunk in chunks):
        faults.append("a chunk that is none by its object")
    deltas = [choice.get("delta") or {} for chunk in chunks for choice in chunk["choices"]]
    if deltas and deltas[0].get("role") != "assistant":
        faults.append("no role in the first chunk")
    calls = 0
    for piece in (piece for delta in deltas for piece in delta.get("tool_calls") or ()):
        if piece.get("index") == calls:
            calls += 1
            if not piece.get("id") or not (piece.get("function") or {}).get("name"):
                faults.append(f"call {calls - 1} begins without id or name")
        elif not isinstance(piece.get("index"), int) or not 0 <= piece["index"] < calls:
            faults.append(f"call {piece.get('index')} where {calls} was due")
    return faults


def _ending_faults(stream: Sequence[Frame], chunks: list[Any], usage: bool) -> list[str]:
    faults = []
    finishes = [
        choice["finish_reason"] for chunk in chunks for choice in chunk["choices"] if choice["finish_reason"]
    ]
    if len(finishes) != 1:
        faults.append(f"finish reasons {finishes}")
    counted = [chunk for chunk in chunks if not chunk["choices"]]
    if len(counted) != usage:
        faults.append(f"{len(counted)} chunks of usage, and it was {'' if usage else 'not '}asked for")
    elif counted and (chunks[-1] is not counted[0] or not counted[0].get("usage")):
        faults.append("the usage is not in the last chunk")
    if [frame.text for frame in stream].count(DONE) != 1 or stream[-1].text != DONE:
        faults.append("[DONE] is not last, and once")
    return faults
