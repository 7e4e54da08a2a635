"""A streamed answer of `streamGenerateContent?alt=sse`: bytes in, the events of the model out.

Each event is a whole object (`answers.parts`) and none says that it is the last: the body ends after the one
that says why. Sans-I/O and bounded: no event is longer than `event_bytes_max`.
"""

from farthing.dialects.conversation import ENDED, Event
from farthing.dialects.events import BadStream, Framed, NamedEventReader, ProviderSaid, after
from farthing.dialects.gemini.answers.parts import PartsReader
from farthing.dialects.gemini.signatures import Note, forget
from farthing.text.lenient_json import NotJson, read_json

_DONE = b"[DONE]"  # of servers that speak like Google's


class Reader(NamedEventReader):
    """Feed it what comes; it returns the events that are complete."""

    __slots__ = ("_parts",)

    def __init__(self, event_bytes_max: int, note: Note = forget, provider: str = "") -> None:
        """`note`, `provider`: as of `PartsReader`."""
        super().__init__(event_bytes_max)
        self._parts = PartsReader(note, provider)

    @property
    def stopped(self) -> bool:
        """Whether it has said why it ended."""
        return self._parts.stopped

    @property
    def open_blocks(self) -> list[int]:
        """Indices of the blocks that have begun and not stopped, in order."""
        return self._parts.open_blocks

    def end(self) -> list[Event]:
        """The body is complete.

        Raises:
            BadStream: the answer is not. ProviderSaid: as `feed`.
        """
        found = self._read(self._splitter.end())
        if self._done:
            return found
        try:
            self._parts.end()
        except ProviderSaid as error:
            raise after(found, error) from None
        if not self._parts.stopped:
            raise after(found, BadStream("the stream ended before its answer did"))
        self._done = True
        return [*found, ENDED]

    def take(self, framed: Framed, found: list[Event]) -> None:
        name, data = framed
        if data.strip() == _DONE:
            return
        try:
            value = read_json(data)
        except NotJson as error:
            if name == b"error":
                raise ProviderSaid(data) from None
            raise BadStream(f"an event is not JSON: {error}") from None
        if value is None:
            return
        parts = self._parts
        try:
            parts.take(value, data, found)
        finally:
            self.begun, self.opaque, self.usage = parts.begun, parts.opaque, parts.usage
