"""A streamed answer of Bedrock: bytes in, the events of the model out.

It comes in frames (`frames`) and is one of two dialects, which the first frame tells: events of Converse, or
`chunk`s each of which holds an event of Messages, as Claude gives them. Strict where the answer would be
missing: a damaged frame, an exception in place of an event, a stream that stops before it says why it ended.
Sans-I/O and bounded: no frame is longer than `event_bytes_max`, and there are no more blocks than
`BLOCKS_MAX`.
"""

from base64 import b64decode, b64encode
from typing import Any

import msgspec

from farthing.dialects.conversation import (
    ENDED,
    ArgumentsDelta,
    BlockStarted,
    BlockStopped,
    CitationDelta,
    Counted,
    Event,
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
from farthing.dialects.converse import errors
from farthing.dialects.converse.answers.answer_reader import (
    BLOCKS_MAX,
    NOBODY,
    REDACTED,
    SIGNATURE,
    STOPS,
    Asked,
    as_asked,
    carried,
    citation_of,
    text_of,
)
from farthing.dialects.converse.streams.frames import Frame, FrameSplitter
from farthing.dialects.converse.usage import read_usage
from farthing.dialects.events import BadAnswer, BadStream, Framed, ProviderSaid, after
from farthing.dialects.messages.streams import stream_reader as messages
from farthing.text.lenient_json import NotJson, read_json
from farthing.types import Json, Usage

CHUNK = "chunk"
FRAME_BYTES = 1_024
"""Of a frame, around its payload."""


class _Chunk(msgspec.Struct):
    bytes: bytes


_decode_chunk = msgspec.json.Decoder(_Chunk).decode


def event_in(frame: Frame) -> bytes:
    """The JSON of the event of Messages that a `chunk` holds.

    Raises:
        BadStream: it holds none.
    """
    try:
        return _decode_chunk(frame.payload).bytes
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BadStream("a chunk holds no event") from None


class Reader:
    """See `models.providers.decoder.StreamReader`."""

    __slots__ = ("_asked", "_chunks", "_converse", "_splitter")

    def __init__(self, event_bytes_max: int, asked: Asked = NOBODY) -> None:
        """No event may be longer than `event_bytes_max`."""
        self._asked = asked
        self._splitter = FrameSplitter(event_bytes_max + FRAME_BYTES)
        self._converse = _Converse(asked)
        self._chunks: messages.Reader | None = None
        """What reads the events of Messages; None: none has come."""

    @property
    def frames(self) -> FrameSplitter:
        return self._splitter

    @property
    def done(self) -> bool:
        return self._of.done

    @property
    def stopped(self) -> bool:
        return self._of.stopped

    @property
    def begun(self) -> bool:
        return self._of.begun

    @property
    def open_blocks(self) -> list[int]:
        return self._of.open_blocks

    @property
    def opaque(self) -> bool:
        return self._of.opaque

    @property
    def usage(self) -> Usage | None:
        usage = self._of.usage
        return usage if usage is None or self._chunks is None else as_asked(usage, self._asked)

    @property
    def _of(self) -> "messages.Reader | _Converse":
        return self._converse if self._chunks is None else self._chunks

    def feed(self, data: bytes) -> list[Event]:
        found: list[Event] = []
        for frame in self._splitter.feed(data):
            if self.done:
                return found
            try:
                self.take_frame(frame, found)
            except BadAnswer as error:
                raise after(found, error) from None
        if self._splitter.fault and not self.done:
            raise after(found, BadStream(self._splitter.fault))
        return found

    def end(self) -> list[Event]:
        if self.done:
            return []
        if self._splitter.is_within:
            raise BadStream("the stream ended within a message")
        return self._of.end()

    def take_frame(self, frame: Frame, found: list[Event]) -> None:
        """Add to `found` what one frame says.

        Raises:
            BadStream, ProviderSaid: as `feed`, but for `before`.
        """
        if frame.kind != "event":
            raise ProviderSaid(errors.of_frame(frame), self._converse.usage)
        if frame.name == CHUNK:
            self.take((b"", event_in(frame)), found)
        elif self._chunks is None:
            self._converse.take(frame, found)

    def take(self, framed: Framed, found: list[Event]) -> None:
        """Add to `found` what one event of Messages says."""
        if self._chunks is None:
            self._chunks = messages.Reader(0)
        before = len(found)
        self._chunks.take(framed, found)
        if self._asked.tier:
            found[before:] = [
                Counted(as_asked(event.usage, self._asked)) if isinstance(event, Counted) else event
                for event in found[before:]
            ]


class _Converse:
    """The events of Converse."""

    __slots__ = (
        "_asked",
        "_blocks",
        "_closed",
        "_signed",
        "_spoilt",
        "begun",
        "done",
        "opaque",
        "started",
        "stopped",
        "usage",
    )

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._signed: dict[int, tuple[str, list[str]]] = {}
        """The opaque part of each open thought: which it is, and the pieces that have come."""
        self._spoilt = ""
        """Why it ended that says that there is no answer: what it cost is still to come."""
        self._blocks: set[int] = set()
        self._closed: set[int] = set()
        self.started = self.stopped = self.done = self.begun = self.opaque = False
        self.usage: Usage | None = None

    @property
    def open_blocks(self) -> list[int]:
        return sorted(self._blocks - self._closed)

    def end(self) -> list[Event]:
        if self._spoilt:
            raise ProviderSaid(errors.of_stop(self._spoilt), self.usage)
        if not self.stopped:
            raise BadStream("the stream ended before its answer did")
        self.done = True  # it told why it ended: only the counts are missing
        return [ENDED]

    def take(self, frame: Frame, found: list[Event]) -> None:
        try:
            event = read_json(frame.payload)
        except NotJson as error:
            raise BadStream(f"an event is not JSON: {error}") from None
        if event.__class__ is not dict:
            raise BadStream("an event is not an object")
        if self._spoilt and frame.name != "metadata":
            return
        match frame.name:
            case "contentBlockDelta":
                self._delta(event, found)
            case "contentBlockStart":
                self._start(event, found)
            case "contentBlockStop":
                index = _index(event)
                if index in self._blocks and index not in self._closed:
                    self._sign(index, found)
                    self._closed.add(index)
                    found.append(BlockStopped(index))
            case "messageStart":
                self._begin_message(found)
            case "messageStop":
                self._stop(event, found)
            case "metadata":
                self._count(event, found)
            case _:
                pass  # of a later day

    def _begin_message(self, found: list[Event]) -> None:
        if not self.started:
            self.started = True
            found.append(Started(self._asked.id, self._asked.model))

    def _stop(self, event: Json, found: list[Event]) -> None:
        said = text_of(event, "stopReason")
        if self.stopped:
            return
        if said in errors.MALFORMED:
            self._spoilt = said
            return
        if not said:
            raise BadStream("the answer ended without a reason")
        self._begin_message(found)
        for index in sorted(self._signed):
            self._sign(index, found)
        self.stopped = self.begun = True
        found.append(Stopped(STOPS.get(said, "unknown"), said))

    def _count(self, event: Json, found: list[Event]) -> None:
        usage = read_usage(event.get("usage"), event)
        if usage is not None:
            self.usage = usage
            found.append(Counted(usage))
        if self._spoilt:
            raise ProviderSaid(errors.of_stop(self._spoilt), self.usage)
        if self.stopped:
            self.done = True
            found.append(ENDED)

    def _start(self, event: Json, found: list[Event]) -> None:
        index, start = _index(event), event.get("start")
        if start.__class__ is not dict:
            raise BadStream("a block begins as no object")
        call = start.get("toolUse")
        if call.__class__ is dict and call.get("type") is None:
            name, call_id = text_of(call, "name"), text_of(call, "toolUseId")
            if not name or not call_id:
                raise BadStream("a tool call without id or name")
            self._open(index, found, ToolCall(call_id, self._asked.name_of(name), ""))
        elif start:
            self.opaque = True

    def _open(self, index: int, found: list[Event], block: Text | Reasoning | ToolCall) -> None:
        if self.stopped:
            raise BadStream("a block begins after the answer ended")
        if index in self._blocks:
            raise BadStream(f"block {index} begins twice")
        if len(self._blocks) >= BLOCKS_MAX:
            raise BadStream(f"more than {BLOCKS_MAX} blocks")
        self._begin_message(found)
        self._blocks.add(index)
        self.begun = True
        found.append(BlockStarted(index, block))

    def _delta(self, event: Json, found: list[Event]) -> None:
        """A piece of a block. Texts and thoughts begin with their first one."""
        index, delta = _index(event), event.get("delta")
        if delta.__class__ is not dict:
            raise BadStream("a delta is not an object")
        if self.stopped:
            raise BadStream("a piece of a block comes after the answer ended")
        begun = index in self._blocks
        text = delta.get("text")
        if text.__class__ is str:
            if not begun:
                self._open(index, found, Text(""))
            found.append(TextDelta(index, text))
        elif "toolUse" in delta:
            self._arguments(index, delta["toolUse"], begun, found)
        elif "reasoningContent" in delta:
            self._thought(index, delta["reasoningContent"], begun, found)
        elif delta.get("citation").__class__ is dict:
            self._cite(index, citation_of(delta["citation"]), begun, found)
        else:
            self.opaque = True
            if begun:
                found.append(OpaqueDelta(index, "converse", delta))

    def _arguments(self, index: int, delta: Any, begun: bool, found: list[Event]) -> None:
        given = delta.get("input") if delta.__class__ is dict else None
        if given.__class__ is not str:
            raise BadStream("a piece of a call has no `input`")
        if begun and given:
            found.append(ArgumentsDelta(index, given))
        elif not begun and not self.opaque:  # else of a tool that the provider runs itself
            raise BadStream(f"a piece of call {index}, which has not begun")

    def _thought(self, index: int, delta: Any, begun: bool, found: list[Event]) -> None:
        if delta.__class__ is not dict:
            raise BadStream("a piece of a thought is not an object")
        if not begun:
            self._open(index, found, Reasoning(""))
        text = delta.get("text")
        if text.__class__ is str and text:
            found.append(ReasoningDelta(index, text))
        for kind in (SIGNATURE, REDACTED):
            piece = text_of(delta, kind)
            if piece and self._asked.provider:
                self._signed.setdefault(index, (kind, []))[1].append(piece)

    def _sign(self, index: int, found: list[Event]) -> None:
        """Tell the opaque part of a thought, which is whole."""
        kind, pieces = self._signed.pop(index, ("", []))
        if pieces:
            opaque = _joined(pieces) if kind == REDACTED else "".join(pieces)
            found.append(SignatureDelta(index, carried(kind, opaque, self._asked)))

    def _cite(self, index: int, citation: Json, begun: bool, found: list[Event]) -> None:
        if not begun:
            self._open(index, found, Text(""))
        if not text_of(citation, "url"):
            self.opaque = True
        found.append(CitationDelta(index, citation))


def _joined(pieces: list[str]) -> str:
    """Bytes that came in pieces, each of which is base64 of its own.

    Raises:
        BadStream: one is none.
    """
    if len(pieces) == 1:
        return pieces[0]
    try:
        return b64encode(b"".join([b64decode(piece, validate=True) for piece in pieces])).decode()
    except ValueError:
        raise BadStream("a piece of a thought is not base64") from None


def _index(event: Json) -> int:
    index = event.get("contentBlockIndex")
    if index.__class__ is not int or index < 0:
        raise BadStream("an event of a block does not number it")
    return int(index)
