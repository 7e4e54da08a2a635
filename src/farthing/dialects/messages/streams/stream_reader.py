"""A streamed answer of Messages: bytes in, the events of the model out.

Strict where the answer would be missing: what is no JSON, a block without what it is for, a stream that stops
before it says why it ended. Lenient elsewhere: pings anywhere, unknown events are skipped and unknown deltas
kept, a text that begins without its start is one, a call whose input came with its start is whole.
Sans-I/O and bounded: no event is longer than `event_bytes_max`, and there are no more blocks than
`BLOCKS_MAX`.
"""

from typing import Any, TypeVar

from farthing.dialects.conversation import (
    ENDED,
    PING,
    ArgumentsDelta,
    Block,
    BlockStarted,
    BlockStopped,
    CitationDelta,
    Counted,
    Event,
    Opaque,
    OpaqueDelta,
    Reasoning,
    ReasoningDelta,
    SignatureDelta,
    Started,
    Stopped,
    Text,
    TextDelta,
    ToolCall,
)
from farthing.dialects.events import BadStream, Framed, NamedEventReader, ProviderSaid, after
from farthing.dialects.messages.answers.answer_reader import BLOCKS_MAX, STOPS, block_of, text_of, why_refused
from farthing.dialects.messages.usage import Runs, last_counts, merged, runs_of, usage_of
from farthing.text.lenient_json import NotJson, read_json, repaired
from farthing.types import Json

P = TypeVar("P", TextDelta, ReasoningDelta, ArgumentsDelta)


class Reader(NamedEventReader):
    """Feed it what comes; it returns the events that are complete."""

    __slots__ = (
        "_blocks",
        "_closed",
        "_counts",
        "_given",
        "_halves",
        "_iterations",
        "_runs",
        "_started",
        "_stopped",
    )

    def __init__(self, event_bytes_max: int) -> None:
        super().__init__(event_bytes_max)
        self._iterations: object = None
        self._runs: Runs | None = None
        """What `_iterations` lists, which stay as they are for most events."""
        self._blocks: set[int] = set()
        """Indices of those that began."""
        self._closed: set[int] = set()
        """Those of them that have stopped."""
        self._given: dict[int, str] = {}
        """Arguments that came with the start of a call and no piece of which has come since."""
        self._halves: dict[int, TextDelta | ReasoningDelta | ArgumentsDelta] = {}
        """The first half of a character that a piece of a block ended with: the next one has the second."""
        self._counts: Json = {}
        self._started = False
        self._stopped = False

    @property
    def stopped(self) -> bool:
        """Whether it has said why it ended."""
        return self._stopped

    @property
    def open_blocks(self) -> list[int]:
        """Indices of the blocks that have begun and not stopped, in order."""
        return sorted(self._blocks - self._closed)

    def end(self) -> list[Event]:
        """The body is complete.

        Raises:
            BadStream: the answer is not. ProviderSaid: as `feed`.
        """
        found = self._read(self._splitter.end())
        if self._done:
            return found
        if not self._stopped:
            raise after(found, BadStream("the stream ended before its answer did"))
        self._done = True  # it told why it ended: only the last event is missing
        return [*found, ENDED]

    def take(self, framed: Framed, found: list[Event]) -> None:
        name, data = framed
        event = _value(name, data)
        if event is None:
            return
        kind = event.get("type") or name.decode("latin-1")
        if kind == "content_block_delta":
            self._delta(event, found)
        elif kind == "content_block_start":
            self._start(event, found)
        elif kind == "content_block_stop":
            self._stop(_index(event), found)
        elif kind == "message_delta":
            self._end_of_message(event, found)
        elif kind == "message_start":
            self._message(event.get("message"), found)
        elif kind == "message_stop":
            self._message_stop(event, found)
        elif kind == "ping":
            found.append(PING)
        elif kind == "error" or event.get("error") is not None:
            raise ProviderSaid(data)

    def _message(self, message: Any, found: list[Event]) -> None:
        if message.__class__ is not dict:
            raise BadStream("`message_start` has no message")
        if self._started:
            return
        self._started = True
        found.append(Started(text_of(message, "id"), text_of(message, "model")))
        self._count(message.get("usage"), found)
        content = message.get("content")
        for index, block in enumerate(content[:BLOCKS_MAX] if content.__class__ is list else ()):
            self._begin(index, block_of(block), found)

    def _message_stop(self, event: Json, found: list[Event]) -> None:
        if not self._stopped:
            raise BadStream("the answer ended without a reason")
        if len(event) > 1:
            self._count(last_counts(event, self._counts), found)
        self._done = True
        found.append(ENDED)

    def _count(self, usage: Any, found: list[Event]) -> None:
        self._counts = counts = merged(self._counts, usage)
        if counts.get("iterations") is not self._iterations:
            self._iterations = counts.get("iterations")
            self._runs = runs_of(self._iterations)
        counted = usage_of(counts, self._runs)
        if counted is not None and counted != self.usage:
            self.usage = counted
            found.append(Counted(counted))

    def _start(self, event: Json, found: list[Event]) -> None:
        if self._stopped:
            raise BadStream("a block begins after the answer ended")
        self._begin(_index(event), block_of(event.get("content_block")), found)

    def _begin(self, index: int, block: Block, found: list[Event]) -> None:
        """Begin a block. What a call or a text is said to begin with comes as its first piece."""
        if index in self._blocks:
            raise BadStream(f"block {index} begins twice")
        if len(self._blocks) >= BLOCKS_MAX:
            raise BadStream(f"more than {BLOCKS_MAX} blocks")
        self._blocks.add(index)
        self.begun = True
        if isinstance(block, ToolCall):
            if block.arguments not in ("", "{}"):
                self._given[index] = block.arguments
            found.append(BlockStarted(index, ToolCall(block.id, block.name, "")))
        elif isinstance(block, Text):
            found.append(BlockStarted(index, Text("")))
            if block.text:
                found.append(TextDelta(index, block.text))
            for citation in block.citations:
                self._cite(index, citation, found)
        elif isinstance(block, Reasoning) and not block.redacted:
            found.append(BlockStarted(index, Reasoning("")))
            if block.text:
                found.append(ReasoningDelta(index, block.text))
            if block.signature:
                found.append(SignatureDelta(index, block.signature))
        else:
            self.opaque = self.opaque or isinstance(block, Opaque)
            found.append(BlockStarted(index, block))

    def _cite(self, index: int, citation: Json, found: list[Event]) -> None:
        if not text_of(citation, "url"):
            self.opaque = True
        found.append(CitationDelta(index, citation))

    def _delta(self, event: Json, found: list[Event]) -> None:
        index = _index(event)
        delta = event.get("delta")
        if delta.__class__ is not dict:
            raise BadStream("a delta is not an object")
        if self._stopped:
            raise BadStream("a piece of a block comes after the answer ended")
        kind = delta.get("type")
        if index not in self._blocks:
            if kind != "text_delta" and kind != "thinking_delta":
                raise BadStream(f"a piece of block {index}, which has not begun")
            self._begin(index, Text("") if kind == "text_delta" else Reasoning(""), found)
        if kind == "text_delta":
            found.append(self._whole(TextDelta(index, _piece(delta, "text"))))
        elif kind == "input_json_delta":
            piece = self._whole(ArgumentsDelta(index, _piece(delta, "partial_json")))
            if piece.text:
                self._given.pop(index, None)
                found.append(piece)
        elif kind == "thinking_delta":
            found.append(self._whole(ReasoningDelta(index, _piece(delta, "thinking"))))
        elif kind == "signature_delta":
            found.append(SignatureDelta(index, _piece(delta, "signature")))
        elif kind == "citations_delta" and delta.get("citation").__class__ is dict:
            self._cite(index, delta["citation"], found)
        else:
            self.opaque = True
            found.append(OpaqueDelta(index, "messages", delta))

    def _whole(self, piece: P) -> P:
        """`piece` of whole characters: some servers cut texts between the halves of an emoji in UTF-16."""
        text = piece.text
        before = self._halves.pop(piece.index, None) if self._halves else None
        if before is not None:
            text = before.text + text
        if text and "\ud800" <= text[-1] <= "\udbff":
            self._halves[piece.index] = piece.__class__(piece.index, text[-1])
            text = text[:-1]
        elif before is None:
            return piece
        return piece.__class__(piece.index, repaired(text))

    def _stop(self, index: int, found: list[Event]) -> None:
        if index not in self._blocks:
            return
        self._closed.add(index)
        given = self._given.pop(index, None)
        if given is not None:
            found.append(ArgumentsDelta(index, given))
        half = self._halves.pop(index, None)
        if half is not None:
            found.append(half)
        found.append(BlockStopped(index))

    def _end_of_message(self, event: Json, found: list[Event]) -> None:
        self._count(event.get("usage"), found)
        delta: Any = event.get("delta")
        if delta.__class__ is not dict:
            return
        said = text_of(delta, "stop_reason")
        if not said or self._stopped:
            return
        for index, given in self._given.items():
            found.append(ArgumentsDelta(index, given))
        self._given.clear()
        found += self._halves.values()
        self._halves.clear()
        self._stopped = self.begun = True
        sequence = delta.get("stop_sequence")
        sequence = sequence if isinstance(sequence, str) else None
        why = why_refused(delta.get("stop_details"))
        found.append(Stopped(STOPS.get(said, "unknown"), said, sequence, why))


def _value(name: bytes, data: bytes) -> Json | None:
    """The object that an event holds; None where it only keeps the connection open.

    Raises:
        BadStream: it holds none. ProviderSaid: it is an error, in whatever form.
    """
    try:
        event = read_json(data)
    except NotJson as error:
        if name == b"error":
            raise ProviderSaid(data) from None
        if name == b"ping" or data == b"[DONE]":
            return None
        raise BadStream(f"an event is not JSON: {error}") from None
    if event.__class__ is dict:
        return event
    if event is None or name == b"ping":
        return None
    raise BadStream("an event is not an object")


def _index(event: Json) -> int:
    index = event.get("index")
    if index.__class__ is not int or index < 0:
        raise BadStream("an event of a block does not number it")
    return int(index)


def _piece(delta: Json, name: str) -> str:
    value = delta.get(name)
    if value.__class__ is not str:
        raise BadStream(f"a piece of a block has no `{name}`")
    return str(value)
