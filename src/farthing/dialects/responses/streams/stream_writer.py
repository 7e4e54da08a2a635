"""A streamed answer as events of Responses: events of the model in, bytes out.

Each event has a number, from 0 without gaps. First `response.created` and `response.in_progress`, then the
items of the output, each from `output_item.added` to `output_item.done` with all that it is made of between
them, last one event that ends it all and has the whole output. Several items may be open at once: parallel
calls whose pieces alternate go on as they come, each with its own index. Neighbouring texts are one part of
one message. An item is done when the next one begins, or the answer ends: only then is it known whether it is
whole.

The end tells all of the answer again, so that all of it is held; that is bounded.
Source: the types of OpenAI's SDK (`responses.ResponseStreamEvent`) and its accumulator.
"""

from collections.abc import Iterable

from farthing.dialects.conversation import (
    ArgumentsDelta,
    Block,
    BlockStarted,
    BlockStopped,
    CitationDelta,
    Counted,
    Ended,
    Event,
    LogprobsDelta,
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
from farthing.dialects.responses.answers import items
from farthing.dialects.responses.answers.frame import Frame, Status
from farthing.dialects.responses.ids import item_id
from farthing.dialects.responses.streams.lifecycle import Lifecycle
from farthing.dialects.responses.streams.open_items import (
    SUMMARY,
    TEXT,
    OpenCall,
    OpenItem,
    OpenMessage,
    OpenThought,
    delta_of,
    place_in,
)
from farthing.text.lenient_json import write_json
from farthing.types import Json, Usage

CHARS_MAX = 16_000_000  # of one answer, all of which is told once more at its end
ITEMS_MAX = 10_000


class EventWriter(Lifecycle):
    """Writes the events of one answer."""

    __slots__ = (
        "_blocks",
        "_by_model",
        "_calls",
        "_chars",
        "_closing",
        "_live",
        "_live_delta",
        "_live_head",
        "_live_item",
        "_message",
        "_open",
        "_output",
        "_stopped",
        "_usage",
    )

    def __init__(self, frame: Frame, asked: Json) -> None:
        """`asked`: the request as its client sent it."""
        super().__init__(frame)
        self._calls = items.Calls(asked)
        self._output: list[Json | None] = []
        """The items; None: it is not done."""
        self._blocks: dict[int, OpenThought | OpenCall | None] = {}
        """What the open blocks are told in; None: in the open message."""
        self._open: dict[int, OpenItem] = {}
        """The items that are not done, by their index."""
        self._message: OpenMessage | None = None
        self._closing: list[OpenCall] = []
        """Calls that have stopped and are not done."""
        self._by_model = False
        self._chars = 0
        self._stopped: Stopped | None = None
        self._usage: Usage | None = None
        self._live = -1
        """The block that the last piece was of; below 0: none."""
        self._live_delta: type[Event] | None = None
        self._live_item: OpenItem | None = None
        self._live_head = b""
        """What stands before the number of such a piece."""

    def write(self, events: Iterable[Event], *, ended_s: int = 0) -> bytes:
        """The events of Responses for `events`; empty where they say nothing to a client. `ended_s`: when it
        is, for the end.

        Raises:
            BadStream: the answer is too large.
        """
        out: list[bytes] = []
        for event in events:
            if event.__class__ is self._live_delta and event.index == self._live:  # type: ignore[union-attr]
                self._piece(event.text, out)  # type: ignore[union-attr]
            elif not self._ended:
                self._take(event, ended_s, out)
        return b"".join(out)

    def resume(self, events: Iterable[Event], number: int, item: str) -> None:
        """Go on with a response that a provider has told up to `number`: it said `events`, in a message of
        the id `item` whose text is open.

        Raises:
            BadStream: the answer is too large.
        """
        self.write(events)
        self._next = number
        message = self._message
        if message is not None:
            message.id = item
        self._live = -1
        self._live_delta = None

    def _take(self, event: Event, ended_s: int, out: list[bytes]) -> None:
        match event:
            case TextDelta(index, text) | ReasoningDelta(index, text) | ArgumentsDelta(index, text):
                if text and index in self._blocks:
                    self._go_live(index, event.__class__, out)
                    self._piece(text, out)
            case LogprobsDelta(index, tokens):
                if self._blocks.get(index, event) is None:
                    self._speaking(out).weighs = [items.logprob(one) for one in tokens]
            case BlockStarted(index, block):
                if self._stopped is None and index not in self._blocks:
                    self._begin(out)
                    self._start(index, block, out)
            case BlockStopped(index):
                self._stop(index, out)
            case SignatureDelta(index, signature):
                thought = self._blocks.get(index)
                if isinstance(thought, OpenThought):
                    thought.signature = signature
            case CitationDelta(index, citation):
                if self._message is not None and index in self._blocks:
                    self._message.cited.append(citation)
            case _:
                self._go_on(event, ended_s, out)

    def _go_on(self, event: Event, ended_s: int, out: list[bytes]) -> None:
        """What is said of the answer as a whole."""
        match event:
            case Started(_, model):
                self._begin(out, model)
                self._model = model or self._model
            case Counted(usage):
                self._usage = usage
            case Stopped():
                self._begin(out)
                self._close_all(event, out)
            case Ended():
                self._begin(out)
                self._end(ended_s, out)
            case Ping():
                self._begin(out)
            case _:
                pass

    # -- pieces ----------------------------------------------------------------------------------------------

    def _piece(self, text: str, out: list[bytes]) -> None:
        """Tell `text` of the block that is live."""
        item = self._live_item
        if item.__class__ is OpenCall:
            item.written.append(text)
            text = item.said.feed(text)
        elif item.__class__ is OpenMessage:
            item.chars += len(text)
            if item.weighs:
                self._weighed(item, text, out)
                return
        if text:
            self._keep(item, text)  # type: ignore[arg-type]
            out.append(b'%b%d,"delta":%b}\n\n' % (self._live_head, self._next, write_json(text)))
            self._next += 1

    def _weighed(self, message: OpenMessage, text: str, out: list[bytes]) -> None:
        """Tell `text` with the probabilities of its tokens."""
        logprobs, message.weighs = message.weighs, []
        self._keep(message, text)
        message.logprobs += logprobs
        told = {**place_in(message), "delta": text, "logprobs": logprobs}
        self._event(f"{TEXT}.delta", told, out)

    def _keep(self, item: OpenItem, text: str) -> None:
        item.pieces.append(text)
        self._chars += len(text)
        if self._chars > CHARS_MAX:
            raise BadStream(f"an answer has more than {CHARS_MAX} characters")

    def _go_live(self, index: int, delta: type[Event], out: list[bytes]) -> None:
        """From now on pieces of the block at `index` go the short way."""
        item: OpenItem | None = self._blocks[index]
        if item is None:
            item = self._speaking(out)
        elif isinstance(item, OpenThought) and not item.pieces:
            place = {"item_id": item.id, "output_index": item.index, "summary_index": 0}
            part = items.summary_part("")
            self._event("response.reasoning_summary_part.added", {**place, "part": part}, out)
        self._live, self._live_delta, self._live_item = index, delta, item
        kind, more = delta_of(item)
        self._live_head = (
            b'event: %b.delta\ndata: {"type":"%b.delta","item_id":"%b","output_index":%d,%b"sequence_number":'
            % (kind.encode(), kind.encode(), item.id.encode(), item.index, more)
        )

    # -- blocks ----------------------------------------------------------------------------------------------

    def _start(self, index: int, block: Block, out: list[bytes]) -> None:
        if len(self._output) >= ITEMS_MAX:
            raise BadStream(f"more than {ITEMS_MAX} items")
        match block:
            case Text(text=text):
                self._blocks[index] = None
                if self._message is not None:
                    self._cite(self._message)
                if text:
                    self._go_live(index, TextDelta, out)
                    self._piece(text, out)
                if block.citations and self._message is not None:
                    self._message.cited += block.citations
            case Refusal(text=text):
                self._refuse(text, out)
            case Reasoning(text=text):
                self._close_message("completed", out)
                self._close_calls(out)
                at, thought_id = self._place("reasoning")
                thought = OpenThought(thought_id, at, block)
                self._add(thought, items.reasoning(thought.id, Reasoning(""), whole=False), out)
                self._blocks[index] = thought
                if text:
                    self._go_live(index, ReasoningDelta, out)
                    self._piece(text, out)
            case ToolCall(arguments=text):
                self._close_message("completed", out)
                self._close_calls(out)
                tool = self._calls.client(block)
                at, call_item_id = self._place(items.kind_of(tool))
                call = OpenCall(call_item_id, at, block, tool, self._calls.new_id(block.id))
                self._add(call, call.item("in_progress"), out)
                self._blocks[index] = call
                if text:
                    self._go_live(index, ArgumentsDelta, out)
                    self._piece(text, out)
            case _:
                pass

    def _place(self, kind: str) -> tuple[int, str]:
        """The index and the id of the next item."""
        at = len(self._output)
        return at, item_id(kind, self._frame.id, at)

    def _add(self, item: OpenItem, told: Json, out: list[bytes]) -> None:
        self._output.append(None)
        self._open[item.index] = item
        self._event("response.output_item.added", {"output_index": item.index, "item": told}, out)

    def _done(self, item: OpenItem, told: Json, out: list[bytes]) -> None:
        self._output[item.index] = told
        del self._open[item.index]
        self._event("response.output_item.done", {"output_index": item.index, "item": told}, out)

    def _stop(self, index: int, out: list[bytes]) -> None:
        if index not in self._blocks:
            return
        item = self._blocks.pop(index)
        if index == self._live:
            self._live = -1
            self._live_delta = None
        if item is None:
            if self._message is not None:
                self._cite(self._message)
        elif isinstance(item, OpenThought):
            self._close_thought(item, out)
        else:
            self._closing.append(item)

    # -- a message -------------------------------------------------------------------------------------------

    def _saying(self, out: list[bytes]) -> OpenMessage:
        """The open message."""
        message = self._message
        if message is None:
            self._close_calls(out)
            at, message_id = self._place("message")
            message = self._message = OpenMessage(message_id, at)
            self._add(message, items.message(message.id, "in_progress", []), out)
        return message

    def _speaking(self, out: list[bytes]) -> OpenMessage:
        """The open message, with an open part of text."""
        message = self._saying(out)
        if not message.speaks:
            message.speaks = True
            message.chars = message.begins = 0
            part = items.text_part("", [], [])
            self._event("response.content_part.added", {**place_in(message), "part": part}, out)
        return message

    def _cite(self, message: OpenMessage) -> None:
        """The block that was open has ended: its sources stand where it does."""
        start, message.begins = message.begins, message.chars
        cited, message.cited = message.cited, []
        if message.chars > start:
            found = (items.annotation(one, start, message.chars) for one in cited)
            message.annotations += [one for one in found if one is not None]

    def _refuse(self, text: str, out: list[bytes]) -> None:
        if not text:
            return
        self._by_model = True
        self._say_refusal(text, out)

    def _say_refusal(self, text: str, out: list[bytes]) -> None:
        message = self._saying(out)
        self._close_text(message, out)
        place = place_in(message)
        part = items.refusal_part
        self._event("response.content_part.added", {**place, "part": part("")}, out)
        self._event("response.refusal.delta", {**place, "delta": text}, out)
        self._event("response.refusal.done", {**place, "refusal": text}, out)
        self._event("response.content_part.done", {**place, "part": part(text)}, out)
        message.content.append(part(text))

    def _close_text(self, message: OpenMessage, out: list[bytes]) -> None:
        if not message.speaks:
            return
        self._cite(message)
        place = place_in(message)
        part = self._text_of(message)
        for at, one in enumerate(message.annotations):
            told = {**place, "annotation_index": at, "annotation": one}
            self._event("response.output_text.annotation.added", told, out)
        self._event(f"{TEXT}.done", {**place, "text": part["text"], "logprobs": part["logprobs"]}, out)
        self._event("response.content_part.done", {**place, "part": part}, out)
        message.content.append(part)
        message.speaks = False
        message.pieces, message.annotations, message.logprobs = [], [], []
        if self._live_item is message:
            self._live = -1
            self._live_delta = None

    def _text_of(self, message: OpenMessage) -> Json:
        return items.text_part("".join(message.pieces), message.annotations, message.logprobs)

    def _close_message(self, status: str, out: list[bytes]) -> None:
        message, self._message = self._message, None
        if message is not None:
            self._close_text(message, out)
            self._done(message, items.message(message.id, status, message.content), out)

    # -- thoughts and calls ----------------------------------------------------------------------------------

    def _close_thought(self, thought: OpenThought, out: list[bytes]) -> None:
        block = thought.whole()
        if thought.pieces:
            place = {"item_id": thought.id, "output_index": thought.index, "summary_index": 0}
            self._event(f"{SUMMARY}.done", {**place, "text": block.text}, out)
            part = items.summary_part(block.text)
            self._event("response.reasoning_summary_part.done", {**place, "part": part}, out)
        self._done(thought, items.reasoning(thought.id, block), out)

    def _close_calls(self, out: list[bytes], *, cut: bool = False) -> None:
        """End the calls that have stopped. `cut`: nothing comes after them, and the answer is not whole."""
        for call in self._closing:
            rest = call.said.end()
            kind, _ = delta_of(call)
            place = {"item_id": call.id, "output_index": call.index}
            if rest:
                self._keep(call, rest)
                self._event(f"{kind}.delta", {**place, "delta": rest}, out)
            status = "incomplete" if cut and items.is_cut("".join(call.written), call.raw) else "completed"
            told = call.item(status)
            if call.tool.kind == "custom":
                self._event(f"{kind}.done", {**place, "input": told["input"]}, out)
            else:
                done = {"name": call.tool.name, "arguments": told["arguments"]}
                self._event(f"{kind}.done", {**place, **done}, out)
            self._done(call, told, out)
        self._closing.clear()

    # -- the end ---------------------------------------------------------------------------------------------

    def _close_all(self, stopped: Stopped, out: list[bytes]) -> None:
        if self._stopped is not None:
            return
        self._stopped = stopped
        for index in list(self._blocks):
            self._stop(index, out)
        cut = bool(self._incomplete())
        if stopped.refused_why and not self._by_model:
            self._say_refusal(stopped.refused_why, out)
        self._close_calls(out, cut=cut)
        self._close_message("incomplete" if cut else "completed", out)

    def _incomplete(self) -> str:
        """Why the response is incomplete; empty: it is not."""
        stop = "unknown" if self._stopped is None else self._stopped.stop
        return items.refuses(stop, by_model=self._by_model)

    def _end(self, ended_s: int, out: list[bytes]) -> None:
        if self._stopped is None:
            self._close_all(Stopped("unknown"), out)
        incomplete = self._incomplete()
        status: Status = "incomplete" if incomplete else "completed"
        response = self._frame.response(
            status,
            self._so_far(),
            model=self._model,
            usage=self._usage,
            incomplete=incomplete,
            ended_s=ended_s,
        )
        self._terminal(response, out, status)

    def _so_far(self) -> list[Json]:
        return [
            self._unfinished(self._open[index]) if item is None else item
            for index, item in enumerate(self._output)
        ]

    def _unfinished(self, item: OpenItem) -> Json:
        """An item of which more was to come."""
        if isinstance(item, OpenMessage):
            content = [*item.content, self._text_of(item)] if item.speaks else item.content
            return items.message(item.id, "incomplete", content)
        if isinstance(item, OpenThought):
            return items.reasoning(item.id, item.whole(), whole=False)
        assert isinstance(item, OpenCall)
        return item.item("incomplete")
