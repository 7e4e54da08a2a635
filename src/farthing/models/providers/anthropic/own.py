"""A streamed answer of Messages for a client of Messages: what came, as it came, beside the chunks of it.

The events that end a stream are kept back, from the one that says why on: they go out when the receipt is
written (`own_end`). What the reader of Messages does not know, a comment or an event of a later day, is
passed on like the rest.
"""

from farthing.dialects import events, faults
from farthing.dialects.conversation import Event
from farthing.dialects.events import EventSplitter, framed
from farthing.dialects.messages.answers.whole import assembled, event_of, exploded
from farthing.dialects.told import Told, told
from farthing.models.providers.anthropic.decoder import MessagesDecoder
from farthing.text.lenient_json import read_json
from farthing.types import Dialect, Json

STOP = b'event: message_stop\ndata: {"type":"message_stop"}'


class OwnDecoder(MessagesDecoder):
    """See `protocols.StreamDecoder`. Its pieces are `Told`."""

    __slots__ = ("_body", "_end", "_event_bytes_max", "_splitter")

    def __init__(self, event_bytes_max: int, *, created: int) -> None:
        super().__init__(event_bytes_max, created=created)
        self._event_bytes_max = event_bytes_max
        self._splitter = EventSplitter(event_bytes_max)
        self._end: list[bytes] = []
        """What came from the event on that says why the answer ended."""
        self._body: bytes | None = None
        """The whole answer that came in place of a stream."""

    def feed(self, data: bytes) -> bytes:
        try:
            blocks = self._splitter.blocks(data)
        except events.BadAnswer as error:
            raise faults.BadStream(str(error)) from None
        return self._take(blocks)

    def end(self) -> bytes:
        try:
            last = [block.strip(b"\n") for block in self._splitter.last_blocks()]
            block = self._take([block for block in last if framed(block) is not None])
        except events.BadAnswer as error:
            raise faults.BadStream(str(error)) from None
        own = block.own if isinstance(block, Told) else b""
        said_so = self._reader.done
        try:
            chunks = self._tell(self._reader.end())
        except events.BadAnswer as error:
            fault = self._fault(error)
            fault.before = told(block + fault.before, own)
            raise fault from None
        if not said_so:
            self._end.append(STOP)
        return told(block + chunks, own)

    def tells_all(self, dialect: Dialect) -> bool:
        return True

    def whole(self, body: bytes) -> bytes:
        chunks = super().whole(body)
        self._body = body
        *own, ending, stop = exploded(read_json(body))
        self._end = [ending, stop]
        return told(chunks, _events(own))

    def own_end(self, cut: str | None) -> bytes:
        ending = self._end
        if not ending and cut is not None:
            ending = self._cut()
        if self._body is None and not self._reader.done:  # it said why it ended at most
            ending = [*ending, STOP]
        return _events(ending)

    def own_whole(self, events: bytes, cut: str | None) -> bytes | None:
        if self._body is not None:
            return self._body
        return assembled(events + self.own_end(cut), self._event_bytes_max)

    def _take(self, blocks: list[bytes]) -> bytes:
        reader = self._reader
        found: list[Event] = []
        own: list[bytes] = []
        for block in blocks:
            if reader.done:
                break
            one = framed(block)
            if one is not None:
                try:
                    reader.take(one, found)
                except events.BadAnswer as error:
                    raise self._own_fault(error, found, own, block) from None
            (self._end if reader.stopped else own).append(block)
        chunks = self._tell(found) if found else b""
        return told(chunks, _events(own)) if chunks or own else b""

    def _own_fault(
        self, error: events.BadAnswer, found: list[Event], own: list[bytes], block: bytes
    ) -> faults.BadStream:
        """As `_fault`, of the event `block`, after those that are good."""
        error.before = found
        fault = self._fault(error)
        fault.before = told(fault.before, _events(own))
        if isinstance(fault, faults.ProviderSaid):
            fault.own = _error_event(block)
        return fault

    def _cut(self) -> list[bytes]:
        """The events that close an answer which a limit of ours has ended."""
        closing: list[Json] = [
            {"type": "content_block_stop", "index": index} for index in self._reader.open_blocks
        ]
        usage = self.usage
        output_tokens = max(self.chunks, 0 if usage is None else usage.output_tokens)
        closing.append(
            {
                "type": "message_delta",
                "delta": {"stop_reason": "max_tokens", "stop_sequence": None},
                "usage": {"output_tokens": output_tokens},
            }
        )
        return [event_of(one) for one in closing]


def _error_event(block: bytes) -> bytes:
    """An event with an error as it came, without lines that nobody has read: they may hold what its data must
    not, a key."""
    kept = [line for line in block.split(b"\n") if line.startswith(b"data:")]
    return b"event: error\n%b\n\n" % b"\n".join(kept)


def _events(blocks: list[bytes]) -> bytes:
    return b"".join([block + b"\n\n" for block in blocks])
