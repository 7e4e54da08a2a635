"""A streamed answer for a client of its own dialect: what came, as it came, beside the chunks of it.

The events that end a stream are kept back, from the one that says why on: they go out when the receipt is
written (`own_end`). What the reader of the dialect does not know, a comment or an event of a later day, is
passed on like the rest.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from farthing.dialects import events, faults
from farthing.dialects.conversation import Event
from farthing.dialects.events import EventSplitter, framed
from farthing.dialects.told import Told, told
from farthing.models.providers.decoder import AnswerForm, TranslatingDecoder
from farthing.types import Dialect

BLANK = (b"", b"\n")
"""Where more than one blank line ends an event."""


class OwnDecoder(TranslatingDecoder, ABC):
    """See `protocols.StreamDecoder`. Its pieces are `Told`. What a dialect does in its own way is in the
    methods at the end."""

    __slots__ = ("_body", "_end", "_event_bytes_max", "_splitter")

    def __init__(self, form: AnswerForm, event_bytes_max: int, *, created: int) -> None:
        super().__init__(form, event_bytes_max, created=created)
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
            self._end += self._last()
        return told(block + chunks, own)

    def tells_all(self, dialect: Dialect) -> bool:
        return True

    def whole(self, body: bytes) -> bytes:
        chunks = super().whole(body)
        self._body = body
        own, self._end = self._exploded(body)
        return told(chunks, joined_blocks(own))

    def own_end(self, cut: str | None) -> bytes:
        ending = self._end
        if not ending and cut is not None:
            ending = self._cut(cut)
        if self._body is None and not self._reader.done:  # it said why it ended at most
            ending = [*ending, *self._last()]
        return joined_blocks(ending)

    def own_whole(self, events: bytes, cut: str | None) -> bytes | None:
        if self._body is not None:
            return self._body
        return self._assembled(events + self.own_end(cut))

    def _take(self, blocks: list[bytes]) -> bytes:
        reader = self._reader
        found: list[Event] = []
        own: list[bytes] = []
        for block in blocks:
            if reader.done:
                break
            if block in BLANK:
                continue
            one = framed(block)
            if one is not None:
                try:
                    reader.take(one, found)
                except events.BadAnswer as error:
                    raise self._own_fault(error, found, own, block) from None
            (self._end if reader.stopped else own).append(block)
        chunks = self._tell(found) if found else b""
        return told(chunks, joined_blocks(own)) if chunks or own else b""

    def _own_fault(
        self, error: events.BadAnswer, found: list[Event], own: list[bytes], block: bytes
    ) -> faults.BadStream:
        """As `_fault`, of the event `block`, after those that are good."""
        error.before = found
        fault = self._fault(error)
        fault.before = told(fault.before, joined_blocks(own))
        if isinstance(fault, faults.ProviderSaid):
            fault.own = self._error(block)
        return fault

    # what a dialect does in its own way

    def _last(self) -> list[bytes]:
        """The lines of what closes every stream of this dialect, behind the event that says why it ended."""
        return []

    def _error(self, block: bytes) -> bytes | None:
        """The event of an error as it came; None: it is written anew."""
        return None

    @abstractmethod
    def _cut(self, limit: str) -> list[bytes]:
        """The lines of the events that close an answer which a limit of ours has ended."""

    @abstractmethod
    def _exploded(self, body: bytes) -> tuple[list[bytes], list[bytes]]:
        """The lines of the events that say what a whole answer says: those before it says why it ended, and
        from there on."""

    @abstractmethod
    def _assembled(self, events: bytes) -> bytes | None:
        """The whole answer that the events of a stream come to; None: they begin none."""


def joined_blocks(blocks: Sequence[bytes]) -> bytes:
    """The events of which these are the lines."""
    return b"".join([block + b"\n\n" for block in blocks])
