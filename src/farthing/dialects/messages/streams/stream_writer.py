"""A streamed answer as events of Messages: events of the model in, bytes out.

The grammar is strict: `message_start`, then blocks one at a time, each with a start, its deltas and a stop,
then one `message_delta` that says why it ended and what it used, then `message_stop`. Blocks that are open at
once (parallel calls whose pieces alternate) wait for each other; what waits is bounded. A block begins with
its first words, so none is empty, and none is white space alone. The start can be written before anything is
known of the answer: `message_delta` tells the counts again.

Arguments of a call go on as `call_pieces` has them.
"""

from collections import deque
from collections.abc import Iterable
from itertools import groupby
from typing import Any

from farthing.dialects import proofs
from farthing.dialects.conversation import (
    ArgumentsDelta,
    Block,
    BlockStarted,
    BlockStopped,
    CitationDelta,
    Counted,
    Ended,
    Event,
    OpaqueDelta,
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
from farthing.dialects.events import BadStream
from farthing.dialects.messages.answers.answer_reader import BLOCKS_MAX
from farthing.dialects.messages.answers.answer_writer import (
    CallIds,
    block_of,
    call_start,
    id_of,
    is_citation,
    stop_fields,
    usage_of,
)
from farthing.dialects.messages.streams.call_pieces import CallPieces
from farthing.text.lenient_json import write_json
from farthing.types import Json, Usage

PING = b'event: ping\ndata: {"type":"ping"}\n\n'
STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
HELD_CHARS_MAX = 16_000_000  # of blocks that wait for another, or for their end
LAZY = frozenset({"text", "thinking"})
"""Kinds of blocks that begin with their first words, and not before."""
TEXTS = {"text_delta": "text", "thinking_delta": "thinking"}
PIECE_CHARS = 300  # that the object of each piece counts for
_OBJECT_CHARS = 1_000  # that a delta which is an object counts for
_HEAD = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":'
)
_TAIL = b"}}\n\n"
_DELTAS: dict[str, tuple[type[Event], bytes, bytes]] = {
    "text": (TextDelta, b"text_delta", b"text"),
    "thinking": (ReasoningDelta, b"thinking_delta", b"thinking"),
    "tool_use": (ArgumentsDelta, b"input_json_delta", b"partial_json"),
}
"""What nearly all events of a block are, by its kind."""


class _Block:
    """A block that has not ended."""

    __slots__ = ("begun", "call", "chars", "index", "pieces", "said", "start", "stopped", "words")

    def __init__(self, index: int, said: Block, start: Json | None) -> None:
        self.index = index
        self.said = said
        self.start = start
        """What it begins with; None: Messages has no such block."""
        self.pieces: list[Json] = []
        """Deltas that have not been written."""
        self.chars = 0
        """Characters in them."""
        self.call = CallPieces(said.custom) if isinstance(said, ToolCall) else None
        self.words = not isinstance(said, Text | Refusal)
        """There is more than white space in its text; of other kinds it does not matter."""
        self.begun = False
        self.stopped = False

    @property
    def holds(self) -> bool:
        """Whether something of it waits."""
        return bool(self.pieces) or (self.call is not None and self.call.holds)

    def ready(self) -> list[Json]:
        """Deltas to write now; those of a kind that follow each other are one."""
        if self.call is not None:
            return self._arguments(self.call)
        if not self.words:
            return []
        pieces, self.pieces = self.pieces, []
        return pieces if len(pieces) < 2 else _joined(pieces)

    def _arguments(self, call: CallPieces) -> list[Json]:
        text = call.feed("".join([piece["partial_json"] for piece in self.pieces])) if self.pieces else ""
        self.pieces = []
        if self.stopped:
            text += call.end()
        return [{"type": "input_json_delta", "partial_json": text}] if text else []


class EventWriter:
    """Writes the events of one answer."""

    __slots__ = (
        "_blocks",
        "_called",
        "_ended",
        "_held_chars",
        "_ids",
        "_input_tokens",
        "_live",
        "_live_call",
        "_live_delta",
        "_live_head",
        "_model",
        "_queue",
        "_refusals",
        "_request_id",
        "_started",
        "_stopped",
        "_usage",
        "_written",
    )

    def __init__(
        self, *, request_id: str = "", model: str = "", input_tokens: int = 0, tools: Any = None
    ) -> None:
        """`request_id` and `model` stand for those of the answer as long as these are not known;
        `input_tokens` is an estimate, until the answer tells its count. `tools`: those of the request, as its
        client has sent them."""
        self._request_id = request_id
        self._model = model
        self._input_tokens = input_tokens
        self._started = self._ended = False
        self._blocks: dict[int, _Block] = {}
        """Those that have not stopped."""
        self._queue: deque[_Block] = deque()
        """Those that have not been written to their end, in order: it is the turn of the first."""
        self._written = 0
        """Blocks that were begun."""
        self._live = -1
        """The index of the block that is being written, nothing of which waits; below 0: none is."""
        self._live_delta: type[Event] | None = None
        self._live_call: CallPieces | None = None
        self._live_head = b""
        """What stands before the text of such a delta of it."""
        self._ids = CallIds(tools)
        self._called = False
        self._refusals: list[str] = []
        self._held_chars = 0
        self._stopped: Stopped | None = None
        self._usage: Usage | None = None

    def write(self, events: Iterable[Event]) -> bytes:
        """The events of Messages for `events`; empty where they say nothing to a client.

        Raises:
            BadStream: more waits than may.
        """
        out: list[bytes] = []
        for event in events:
            if event.__class__ is self._live_delta and event.index == self._live:  # type: ignore[union-attr]
                text: str = event.text  # type: ignore[union-attr]
                call = self._live_call
                if call is not None:
                    if call.holds:
                        self._delta(event, out)
                        continue
                    text = call.feed(text)
                if text:
                    out.append(b"%b%b%b" % (self._live_head, write_json(text), _TAIL))
            elif not self._ended:
                self._event(event, out)
        return b"".join(out)

    def _event(self, event: Event, out: list[bytes]) -> None:
        match event:
            case BlockStarted(index, block):
                self._start(index, block, out)
            case BlockStopped(index):
                self._close(index, out)
            case Started(id, model):
                self._begin(out, id, model)
            case Counted(usage):
                self._usage = usage
            case Stopped():
                self._close_all(out)
                self._stopped = event
            case Ended():
                self._end(out)
            case Ping():
                if self._started or self._request_id:
                    self._begin(out)
                    if out[-1:] != [PING]:  # a server may send no end of signs of life
                        out.append(PING)
            case _:
                self._delta(event, out)

    def _delta(self, event: Event, out: list[bytes]) -> None:
        match event:
            case TextDelta(index, text):
                self._piece(index, {"type": "text_delta", "text": text}, len(text), out)
            case ArgumentsDelta(index, text):
                self._piece(index, {"type": "input_json_delta", "partial_json": text}, len(text), out)
            case ReasoningDelta(index, text):
                self._piece(index, {"type": "thinking_delta", "thinking": text}, len(text), out)
            case SignatureDelta(index, text):
                self._piece(index, {"type": "signature_delta", "signature": text}, len(text), out)
            case CitationDelta(index, citation):
                if is_citation(citation):
                    self._piece(index, _cited(citation), _OBJECT_CHARS, out)
            case OpaqueDelta(index, "messages", value):
                self._piece(index, value, _OBJECT_CHARS, out)

    # -- the answer as a whole -----------------------------------------------------------------------------

    def _begin(self, out: list[bytes], said: str = "", model: str = "") -> None:
        """Begin the answer, unless it has begun."""
        if self._started:
            return
        self._started = True
        message: Json = {
            "id": id_of(said or self._request_id),
            "type": "message",
            "role": "assistant",
            "model": model or self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {
                "input_tokens": self._input_tokens,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
                "output_tokens": 0,
            },
        }
        out.append(_event("message_start", {"message": message}))

    def _end(self, out: list[bytes]) -> None:
        self._begin(out)
        self._close_all(out)
        self._ended = True
        stopped = self._stopped or Stopped("unknown")
        told = stop_fields(
            stopped.stop,
            stopped.stop_sequence,
            stopped.refused_why or "".join(self._refusals),
            called=self._called,
            refused=bool(self._refusals),
        )
        usage = {"output_tokens": 0} if self._usage is None else usage_of(self._usage)
        out.append(_event("message_delta", {"delta": told, "usage": usage}))
        out.append(STOP)

    # -- blocks ----------------------------------------------------------------------------------------------

    def _start(self, index: int, said: Block, out: list[bytes]) -> None:
        if self._stopped is not None or index in self._blocks:
            return
        if self._written + len(self._queue) >= BLOCKS_MAX:
            raise BadStream(f"more than {BLOCKS_MAX} blocks")
        self._begin(out)
        block = _Block(index, said, self._start_of(said))
        self._blocks[index] = block
        self._queue.append(block)
        for piece, chars in _given(said):
            self._take(block, piece, chars)
        self._advance(out)

    def _start_of(self, said: Block) -> Json | None:
        match said:
            case Text():
                return {"type": "text", "text": ""}
            case Refusal(text=text):
                self._refusals.append(text)
                return {"type": "text", "text": ""}
            case ToolCall():
                self._called = True
                return call_start(said, self._ids)
            case Reasoning(redacted=""):
                return {"type": "thinking", "thinking": "", "signature": ""}
            case _:
                return block_of(said, self._ids)

    def _piece(self, index: int, delta: Json, chars: int, out: list[bytes]) -> None:
        block = self._blocks.get(index)
        if block is not None and block.start is not None:
            self._take(block, delta, chars)
            if block is self._queue[0]:
                self._flush(block, out)

    def _take(self, block: _Block, delta: Json, chars: int) -> None:
        block.pieces.append(delta)
        block.words = block.words or _says(delta)
        chars += PIECE_CHARS
        block.chars += chars
        self._held_chars += chars
        if self._held_chars > HELD_CHARS_MAX:
            raise BadStream(f"more than {HELD_CHARS_MAX} characters of an answer wait for others to end")

    def _close(self, index: int, out: list[bytes]) -> None:
        block = self._blocks.pop(index, None)
        if block is not None:
            block.stopped = True
            self._advance(out)

    def _close_all(self, out: list[bytes]) -> None:
        for block in self._blocks.values():
            block.stopped = True
        self._blocks.clear()
        self._advance(out)

    def _advance(self, out: list[bytes]) -> None:
        """Write what need not wait."""
        queue = self._queue
        while queue:
            block = queue[0]
            self._flush(block, out)
            if not block.stopped:
                return
            queue.popleft()
            self._held_chars -= block.chars
            self._live = -1
            self._live_delta = None
            if block.begun:
                out.append(_event("content_block_stop", {"index": self._written - 1}))

    def _flush(self, block: _Block, out: list[bytes]) -> None:
        """Write what may be written of the block whose turn it is."""
        start = block.start
        if start is None:
            return
        pieces = block.ready()
        if not block.begun:
            if start["type"] in LAZY and all(map(_proves_text, pieces)):
                return
            block.begun = True
            self._written += 1
            out.append(_event("content_block_start", {"index": self._written - 1, "content_block": start}))
            self._go_live(block, start["type"])
        for delta in pieces:
            out.append(_event("content_block_delta", {"index": self._written - 1, "delta": delta}))
        if not block.holds:
            self._held_chars -= block.chars
            block.chars = 0

    def _go_live(self, block: _Block, kind: str) -> None:
        """From now on nothing of the block that has begun need wait."""
        if kind in _DELTAS:
            delta, name, field = _DELTAS[kind]
            self._live = block.index
            self._live_delta = delta
            self._live_call = block.call
            self._live_head = _HEAD % (self._written - 1, name, field)


def _event(kind: str, fields: Json) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), write_json({"type": kind, **fields}))


def _given(said: Block) -> list[tuple[Json, int]]:
    """The deltas of what a block is said to begin with, and the characters of each."""
    match said:
        case Text(text=text) | Refusal(text=text):
            cited = filter(is_citation, said.citations) if isinstance(said, Text) else ()
            given = [({"type": "text_delta", "text": text}, len(text))] if text else []
            return given + [(_cited(citation), _OBJECT_CHARS) for citation in cited]
        case ToolCall(arguments=text):
            return [({"type": "input_json_delta", "partial_json": text}, len(text))] if text else []
        case Reasoning(text=text, redacted=""):
            signature = said.signature if said.maker in ("", "chat", "messages") else ""
            given = [({"type": "thinking_delta", "thinking": text}, len(text))] if text else []
            signed: Json = {"type": "signature_delta", "signature": signature}
            return [*given, (signed, len(signature))] if signature else given
        case _:
            return []


def _proves_text(delta: Json) -> bool:
    """Whether it says nothing but the proof of the text before it (see `answer_writer.thought_of`)."""
    signature = delta.get("signature")
    return isinstance(signature, str) and proofs.is_of_text(signature)


def _cited(citation: Json) -> Json:
    return {"type": "citations_delta", "citation": citation}


def _says(piece: Json) -> bool:
    """Whether there is more in a text than white space."""
    text = piece.get("text", "")
    return bool(text) and not text.isspace()


def _joined(pieces: list[Json]) -> list[Json]:
    """`pieces` with those of a kind that follow each other in one, where they are text."""
    found: list[Json] = []
    for kind, group in groupby(pieces, key=lambda piece: piece.get("type")):
        name = TEXTS.get(kind)
        if name is None:
            found += group
        else:
            found.append({"type": kind, name: "".join([piece[name] for piece in group])})
    return found
