"""A streamed answer as events of Messages: events of the model in, bytes out.

The grammar is strict: `message_start`, then blocks one at a time, each with a start, its deltas and a stop,
then one `message_delta` that says why it ended and what it used, then `message_stop`. Blocks that are open at
once (parallel calls whose pieces alternate) wait for each other; what waits is bounded. A block begins with
its first words, so none is empty, and none is white space alone. The start can be written before anything is
known of the answer: `message_delta` tells the counts again.

Arguments of a call go on as they come while they look like an object; what does not begin as one, and the
free text of a custom call, is told whole at the end as the object that it has to be.
"""

from collections import deque
from collections.abc import Iterable
from typing import Any

from farthing.dialects.conversation import (
    ArgumentsDelta,
    Block,
    BlockStarted,
    BlockStopped,
    CitationDelta,
    Counted,
    Ended,
    Event,
    Opaque,
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
from farthing.dialects.messages.answer_reader import BLOCKS_MAX
from farthing.dialects.messages.answer_writer import (
    CallIds,
    block_of,
    call_input,
    call_start,
    id_of,
    is_citation,
    stop_fields,
    usage_of,
)
from farthing.text.lenient_json import write_json
from farthing.types import Json, Usage

PING = b'event: ping\ndata: {"type":"ping"}\n\n'
STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
HELD_CHARS_MAX = 16_000_000  # of blocks that wait for another, or for their end
_TAIL = b"}}\n\n"


class _Block:
    """A block that has not ended."""

    __slots__ = ("begun", "held", "pieces", "said", "start", "stopped")

    def __init__(self, said: Block, start: Json | None) -> None:
        self.said = said
        self.start = start
        """What it begins with; None: Messages has no such block."""
        self.pieces: list[Json] = []
        """Deltas that have not been written."""
        self.held = isinstance(said, ToolCall) and said.custom
        """Its arguments are told at its end."""
        self.begun = False
        self.stopped = False


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
        "_live_head",
        "_model",
        "_queue",
        "_refusals",
        "_request_id",
        "_started",
        "_stop",
        "_usage",
        "_written",
    )

    def __init__(self, *, request_id: str = "", model: str = "", input_tokens: int = 0) -> None:
        """`request_id` and `model` stand for those of the answer as long as these are not known;
        `input_tokens` is an estimate, until the answer tells its count."""
        self._request_id = request_id
        self._model = model
        self._input_tokens = input_tokens
        self._started = self._ended = False
        self._blocks: dict[int, _Block] = {}
        self._queue: deque[_Block] = deque()
        """The blocks that have not been written to their end, in order: the first is the one that may be."""
        self._written = 0
        """Blocks that were begun."""
        self._live = -1
        """The index of the text that is being written; below 0: something else is, or nothing."""
        self._live_head = b""
        self._ids = CallIds()
        self._called = False
        self._refusals: list[str] = []
        self._held_chars = 0
        self._stop: Stopped | None = None
        self._usage: Usage | None = None

    def write(self, events: Iterable[Event]) -> bytes:
        """The events of Messages for `events`; empty where they say nothing to a client.

        Raises:
            BadStream: more waits than may.
        """
        out: list[bytes] = []
        for event in events:
            if event.__class__ is TextDelta and event.index == self._live:  # type: ignore[union-attr]
                out.append(b"%b%b%b" % (self._live_head, write_json(event.text), _TAIL))  # type: ignore[union-attr]
            elif not self._ended:
                self._event(event, out)
        return b"".join(out)

    def _event(self, event: Event, out: list[bytes]) -> None:
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
                    self._piece(index, {"type": "citations_delta", "citation": citation}, 1_000, out)
            case OpaqueDelta(index, "messages", value):
                self._piece(index, value, 1_000, out)
            case BlockStarted(index, block):
                self._start(index, block, out)
            case BlockStopped(index):
                self._close(index, out)
            case Started(id, model):
                self._begin(out, id, model)
            case Counted(usage):
                self._usage = usage
            case Stopped():
                self._stop = event
            case Ended():
                self._end(out)
            case Ping():
                if self._started or self._request_id:
                    self._begin(out)
                    out.append(PING)

    # -- the answer as a whole -----------------------------------------------------------------------------

    def _begin(self, out: list[bytes], said: str = "", model: str = "") -> None:
        """Begin the answer, unless it has begun."""
        if self._started:
            return
        self._started = True
        message = {
            "id": id_of(said or self._request_id),
            "type": "message",
            "role": "assistant",
            "model": model or self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage_of(Usage(input_tokens=self._input_tokens)),
        }
        out.append(_event("message_start", {"message": message}))

    def _end(self, out: list[bytes]) -> None:
        self._begin(out)
        for block in self._queue:
            block.stopped = True
        self._advance(out)
        self._ended = True
        stop = self._stop or Stopped("unknown")
        why = stop.refused_why or "".join(self._refusals)
        told = stop_fields(
            stop.stop, stop.stop_sequence, why, called=self._called, refused=bool(self._refusals)
        )
        usage = {"output_tokens": 0} if self._usage is None else usage_of(self._usage)
        out.append(_event("message_delta", {"delta": told, "usage": usage}))
        out.append(STOP)

    # -- blocks ----------------------------------------------------------------------------------------------

    def _start(self, index: int, said: Block, out: list[bytes]) -> None:
        if self._stop is not None or index in self._blocks:
            return
        if self._written + len(self._queue) >= BLOCKS_MAX:
            raise BadStream(f"more than {BLOCKS_MAX} blocks")
        self._begin(out)
        block = _Block(said, self._start_of(said))
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
            case Reasoning() if not said.redacted:
                return {"type": "thinking", "thinking": "", "signature": ""}
            case _:
                return block_of(said, self._ids)

    def _piece(self, index: int, delta: Json, chars: int, out: list[bytes]) -> None:
        block = self._blocks.get(index)
        if block is None or block.stopped or self._stop is not None:
            return
        self._take(block, delta, chars)
        if block is self._queue[0]:
            self._flush(block, out)

    def _take(self, block: _Block, delta: Json, chars: int) -> None:
        if block.start is None:
            return
        block.pieces.append(delta)
        self._held_chars += chars
        if self._held_chars > HELD_CHARS_MAX:
            raise BadStream(f"more than {HELD_CHARS_MAX} characters of an answer wait for its calls to end")

    def _close(self, index: int, out: list[bytes]) -> None:
        block = self._blocks.pop(index, None)
        if block is not None:
            block.stopped = True
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
            self._live = -1
            if block.begun:
                out.append(_event("content_block_stop", {"index": self._written - 1}))
        self._held_chars = 0

    def _flush(self, block: _Block, out: list[bytes]) -> None:
        """Write what may be written of the block whose turn it is."""
        if block.start is None:
            return
        pieces = _ready(block)
        if not pieces and (block.begun or block.start["type"] in LAZY):
            return
        if not block.begun:
            block.begun = True
            index = self._written
            self._written += 1
            out.append(_event("content_block_start", {"index": index, "content_block": block.start}))
            if block.start["type"] == "text":
                self._live = next(place for place, one in self._blocks.items() if one is block)
                self._live_head = (
                    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
                    b'"delta":{"type":"text_delta","text":' % index
                )
        index = self._written - 1
        for delta in pieces:
            self._held_chars -= 0
            out.append(_event("content_block_delta", {"index": index, "delta": delta}))
