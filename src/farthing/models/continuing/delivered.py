"""What a client has of a streamed answer, while it may have to be gone on with."""

import re
from collections.abc import Callable

from farthing.dialects.chat.streams.event_reader import DONE
from farthing.dialects.chat.streams.stream_reader import Reader
from farthing.dialects.conversation import (
    BlockStarted,
    BlockStopped,
    Counted,
    Ended,
    Event,
    Ping,
    Started,
    Stopped,
    Text,
    TextDelta,
)
from farthing.dialects.events import BadStream
from farthing.dialects.told import Told, size_of
from farthing.protocols import Sink
from farthing.types import Answer, Dialect

READ_AFTER_BYTES = 32_768
"""So much is held before it is read: what is never gone on with is read in large pieces, or not at all."""
TEXT_CHARS_MAX = 100_000  # a longer answer is not gone on with

_BEGINS_AND_ENDS: dict[str, tuple[bytes, bytes]] = {
    "messages": (b'"content_block_start"', b'"content_block_stop"'),
    "responses": (b'"response.output_item.added"', b'"response.output_text.done"'),
}
"""In a provider's own events: what begins a block and what ends a text. Within a text these have no such
quotes."""
_SOURCES = (b'"citations_delta"', b'"response.output_text.annotation.added"')
"""What tells a source in them, of which chunks say nothing before its text ends."""
_ITEM = re.compile(rb'"item_id":\s*"([^"\\]+)"')


class Watched:
    """A sink that knows what it has sent on."""

    __slots__ = (
        "_begins",
        "_bytes",
        "_chars",
        "_ends",
        "_held",
        "_reader",
        "_sink",
        "item",
        "own",
        "pieces",
        "plain",
    )

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._reader = Reader()
        self._held: list[bytes] = []
        self._bytes = 0
        self._chars = 0
        self._begins = self._ends = 0
        self.pieces: list[str] = []
        self.plain = True
        """It was text alone, and no more of it than may be gone on with."""
        self.own = False
        """It went out as the provider's own events."""
        self.item = ""
        """Of Responses' own events: the id of the item that is open."""

    def send(self, events: bytes) -> None:
        if self.plain:
            self._held.append(events)
            self._bytes += size_of(events)
            if self._bytes > READ_AFTER_BYTES:
                self._read()
        self._sink.send(events)

    def when_writable(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self._sink.when_writable(pause, resume)

    def outlive(self, left: Callable[[Callable[[], None]], bool]) -> None:
        self._sink.outlive(left)

    def returned(self, lines: bytes) -> None:
        self._sink.returned(lines)

    def closing(self, reply: Answer) -> Answer:
        return self._sink.closing(reply)

    def text(self, dialect: Dialect) -> str | None:
        """All that the client of `dialect` has, if it is one text that has not ended; None: it has something
        else, or more than may be gone on with. Nothing may be sent after that."""
        self._held.append(DONE)  # of calls and refusals nothing is told before they are whole
        self._read()
        if not self.plain:
            return None
        if self.own and not self._is_open(dialect):
            return None
        return "".join(self.pieces)

    def _is_open(self, dialect: Dialect) -> bool:
        """Whether the one block of the provider's own events is open."""
        if dialect == "responses" and not self.item:
            return False
        return dialect in _BEGINS_AND_ENDS and self._begins == 1 and self._ends == 0

    def _read(self) -> None:
        held, self._held, self._bytes = self._held, [], 0
        told = len(self.pieces)
        try:
            for block in held:
                if isinstance(block, Told):
                    self._own(block.own)
                if not all(map(self._takes, self._reader.feed(block))):
                    self.plain = False
        except BadStream:
            self.plain = False
        if self._chars > TEXT_CHARS_MAX:
            self.plain = False
        if self.plain:
            self.pieces[told:] = [
                "".join(self.pieces[told:])
            ]  # of a token each they are larger than the text
        else:
            self.pieces.clear()

    def _takes(self, event: Event) -> bool:
        """Take in what the client was told; False: it is no text."""
        match event:
            case TextDelta(_, text):
                self.pieces.append(text)
                self._chars += len(text)
                return True
            case BlockStarted(_, Text(text="", citations=())):
                return True
            case Started() | Ping() | Counted() | BlockStopped() | Stopped() | Ended():
                return True
            case _:
                return False

    def _own(self, events: bytes) -> None:
        self.own = True
        for begins, ends in _BEGINS_AND_ENDS.values():
            self._begins += events.count(begins)
            self._ends += events.count(ends)
        if any([source in events for source in _SOURCES]):
            self.plain = False
        found = _ITEM.findall(events)
        if found:
            self.item = found[-1].decode("utf-8", "replace")
