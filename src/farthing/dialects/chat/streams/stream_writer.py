"""A streamed answer as chat completion chunks: events of the model in, bytes out.

The order is that of the official clients: the role first and alone, calls by an index of their own with id
and name in the first piece, one finish, then, last and with empty `choices`, the usage, and `[DONE]`. The
caller drops the usage chunk where the client did not ask for it. Reasoning goes beside it as in `answer`.
"""

from collections.abc import Iterable

from farthing.dialects.chat.answers.answer_writer import (
    annotation_of,
    call_of,
    finish_of,
    image_of,
    thinking_block,
    usage_of,
)
from farthing.dialects.conversation import (
    ArgumentsDelta,
    Block,
    BlockStarted,
    BlockStopped,
    CitationDelta,
    Counted,
    Ended,
    Event,
    Image,
    Ping,
    Reasoning,
    ReasoningDelta,
    Refusal,
    SignatureDelta,
    Started,
    Stopped,
    Text,
    TextDelta,
    ToolCall,
)
from farthing.text.lenient_json import write_json
from farthing.types import Json, Usage

DONE = b"data: [DONE]\n\n"
ALIVE = b":\n\n"
"""A comment, for what says nothing but that the connection lives."""


class ChunkWriter:
    """Writes the chunks of one answer."""

    __slots__ = (
        "_annotations",
        "_calls",
        "_chars",
        "_cited",
        "_custom",
        "_head",
        "_images",
        "_legacy",
        "_model",
        "_open",
        "_request",
        "_service_tier",
        "_starts",
        "_tail",
        "_texts",
        "_thoughts",
        "_usage",
    )

    def __init__(
        self,
        *,
        request_id: str,
        created: int,
        model: str = "",
        legacy_functions: bool = False,
        service_tier: str = "",
    ) -> None:
        """As `answer.write`. `service_tier`: the one that ran; empty: that is not said."""
        self._service_tier: Json = {"service_tier": service_tier} if service_tier else {}
        self._request = (request_id, created)
        self._model = model
        self._legacy = legacy_functions
        self._head = self._tail = b""
        self._calls: dict[int, int] = {}
        """The place of each call among calls, by the index of its block."""
        self._custom: set[int] = set()
        """Calls that have a text and no arguments."""
        self._open: set[int] = set()
        """Calls of which no arguments have come: a call without any says `{}`."""
        self._thoughts: dict[int, int] = {}
        self._texts: set[int] = set()
        self._starts: dict[int, int] = {}
        self._chars = 0
        self._cited: dict[int, list[Json]] = {}
        """Sources of each text that has not ended."""
        self._annotations = 0
        self._images = 0
        self._usage: Usage | None = None
        self._begin("")

    def write(self, events: Iterable[Event]) -> bytes:
        """The chunks for `events`, each a whole event; empty where they say nothing to a client."""
        pieces: list[bytes] = []
        for event in events:
            kind = event.__class__
            if kind is TextDelta:
                text = event.text  # type: ignore[union-attr]
                if text:
                    self._chars += len(text)
                    pieces.append(b"%b%b%b" % (self._head, write_json(text), self._tail))
            else:
                pieces.append(self._other(event))
        return b"".join(pieces)

    def _begin(self, model: str) -> None:
        self._model = self._model or model
        self._head = b'data: %b,"choices":[{"index":0,"delta":{"content":' % write_json(self._shared())[:-1]
        self._tail = b'},"finish_reason":null}]}\n\n'

    def _shared(self) -> Json:
        request_id, created = self._request
        return {
            "id": request_id,
            "object": "chat.completion.chunk",
            "created": created,
            "model": self._model,
            **self._service_tier,
        }

    def _chunk(self, delta: Json) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        return b"data: %b\n\n" % write_json({**self._shared(), "choices": [choice]})

    def _other(self, event: Event) -> bytes:
        match event:
            case ArgumentsDelta(index, text) if index in self._calls:
                self._open.discard(index)
                return self._arguments(index, text)
            case ReasoningDelta(index, text) if index in self._thoughts:
                block = {"index": self._thoughts[index], "type": "thinking", "thinking": text}
                return self._chunk({"reasoning_content": text, "thinking_blocks": [block]})
            case SignatureDelta(index, signature) if index in self._thoughts:
                block = {"index": self._thoughts[index], "type": "thinking", "signature": signature}
                return self._chunk({"thinking_blocks": [block]})
            case BlockStarted(index, started):
                return self._start(index, started)
            case BlockStopped(index):
                return self._stop(index)
            case CitationDelta(index, citation):
                self._cited.setdefault(index, []).append(citation)
                return b""
            case Started(model=model):
                self._begin(model)
                return self._chunk({"role": "assistant"})
            case Counted(usage):
                self._usage = usage
                return b""
            case Stopped():
                return self._finish(event)
            case Ended():
                return self._end()
            case Ping():
                return ALIVE
            case _:
                return b""

    def _arguments(self, index: int, text: str) -> bytes:
        if self._legacy and index not in self._custom:
            return self._chunk({"function_call": {"arguments": text}})
        told: Json = (
            {"custom": {"input": text}} if index in self._custom else {"function": {"arguments": text}}
        )
        piece = {"index": self._calls[index], **told}
        return self._chunk({"tool_calls": [piece]})

    def _start(self, index: int, block: Block) -> bytes:
        before = min(1, len(self._texts)) + len(self._calls)
        match block:
            case Text():
                self._texts.add(index)
                self._starts[index] = self._chars
                return b""
            case ToolCall():
                self._calls[index] = len(self._calls)
                if block.custom:
                    self._custom.add(index)
                else:
                    self._open.add(index)
                call = call_of(block, "")
                if self._legacy and not block.custom:
                    return self._chunk({"function_call": call["function"]})
                return self._chunk({"tool_calls": [{"index": self._calls[index], **call}]})
            case Reasoning():
                place = self._thoughts[index] = len(self._thoughts)
                told = {"index": place, **thinking_block(block, before)}
                return self._chunk({"thinking_blocks": [told]})
            case Refusal(text=text):
                return self._chunk({"refusal": text})
            case Image():
                image = image_of(block)
                if image is None:
                    return b""
                self._images += 1
                return self._chunk({"images": [{"index": self._images - 1, **image}]})
            case _:
                return b""

    def _stop(self, index: int) -> bytes:
        if index in self._cited:
            return self._cite(index)
        if index not in self._open:
            return b""
        self._open.discard(index)
        return self._arguments(index, "{}")

    def _cite(self, index: int) -> bytes:
        found: list[Json] = []
        for citation in self._cited.pop(index):
            annotation = annotation_of(citation, self._starts.get(index, 0), self._chars)
            if annotation is not None:
                found.append({"index": self._annotations + len(found), **annotation})
        self._annotations += len(found)
        return self._chunk({"annotations": found}) if found else b""

    def _finish(self, event: Stopped) -> bytes:
        told = b"".join([self._stop(index) for index in sorted(self._open | self._cited.keys())])
        if event.refused_why:
            told += self._chunk({"refusal": event.refused_why})
        called = ("function_call" if self._legacy else "tool_calls") if self._calls else ""
        finish = finish_of(event.stop, event.said, called, event.stop_sequence)
        delta = {"content": ""} if event.stop == "end" and not (self._chars or self._calls) else {}
        choice = {"index": 0, "delta": delta, **finish}
        return told + b"data: %b\n\n" % write_json({**self._shared(), "choices": [choice]})

    def _end(self) -> bytes:
        if self._usage is None:
            return DONE
        usage = {**self._shared(), "choices": [], "usage": usage_of(self._usage)}
        return b"data: %b\n\n%b" % (write_json(usage), DONE)
