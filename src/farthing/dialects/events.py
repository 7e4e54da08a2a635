"""Server-sent events: bytes in, whole events out.

Sans-I/O and bounded. Line ends are LF, CR or CRLF, also where a piece ends within one; a comment is skipped,
several `data` lines are one text, a byte order mark before the first event is none of it. What comes after
the last blank line of a body is an event too (`end`), as servers that close early mean it.
Source: HTML Living Standard, 9.2.6.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from farthing.dialects.conversation import Event
from farthing.text.lenient_json import BOM, NotJson, read_json
from farthing.types import Json, Usage

Framed = tuple[bytes, bytes]
"""The name of an event, empty where it has none, and its data."""


class BadAnswer(Exception):
    """What came is not the answer that was asked for. The message says why."""

    before: Sequence[Event] = ()
    """The good events of a stream that came in the same piece before it."""


class BadStream(BadAnswer):
    """A stream that is no stream of events, or that ends before its answer does."""


class ProviderSaid(BadAnswer):
    """An error in the place of an answer; `payload` is its JSON, `usage` what all of it took; None: that is
    not said."""

    def __init__(self, payload: bytes, usage: Usage | None = None) -> None:
        super().__init__("the provider reported an error")
        self.payload = payload
        self.usage = usage


def read_body(body: bytes) -> Json:
    """The JSON object that a whole answer is.

    Raises:
        BadAnswer: it is none.
    """
    try:
        value = read_json(body)
    except NotJson as error:
        raise BadAnswer(f"not JSON: {error}") from None
    if value.__class__ is not dict:
        raise BadAnswer("not a JSON object")
    found: Json = value
    return found


class EventSplitter:
    """Feed it what comes; it returns the events that are complete."""

    __slots__ = ("_after_cr", "_begun", "_buffer", "_buffered_bytes", "_event_bytes_max")

    def __init__(self, event_bytes_max: int) -> None:
        self._event_bytes_max = event_bytes_max
        self._buffer: list[bytes] = []
        """What has come of an event, in pieces: joining at each piece would copy all before it."""
        self._buffered_bytes = 0
        self._after_cr = False
        """The last piece ended in CR: a LF that comes first belongs to it."""
        self._begun = False

    def feed(self, data: bytes) -> list[Framed]:
        """The events that `data` completes.

        Raises:
            BadStream: an event is too long.
        """
        return [one for one in map(framed, self.blocks(data)) if one is not None]

    def blocks(self, data: bytes) -> list[bytes]:
        """The lines of each event that `data` completes, without the blank one, ends as LF. What holds no
        data is among them too: comments, and nothing.

        Raises:
            BadStream: an event is too long.
        """
        if self._after_cr and data:
            self._after_cr = False
            if data[:1] == b"\n":
                data = data[1:]
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if not data:
            return []
        buffer = self._buffer
        if buffer:
            if b"\n\n" not in data and not (buffer[-1][-1:] == data[:1] == b"\n"):
                self._keep(data)
                return []
            data = b"".join(buffer) + data
            buffer.clear()
            self._buffered_bytes = 0
        end = data.rfind(b"\n\n")
        if end < 0:
            self._keep(data)
            return []
        if end + 2 < len(data):
            self._keep(data[end + 2 :])
        return self._split(data[:end])

    def end(self) -> list[Framed]:
        """The body is complete: the event that has no blank line behind it.

        Raises:
            BadStream: as `feed`.
        """
        return [one for one in map(framed, self.last_blocks()) if one is not None]

    def last_blocks(self) -> list[bytes]:
        """As `end`, in lines as `blocks`.

        Raises:
            BadStream: as `feed`.
        """
        return self.blocks(b"\n\n") if b"".join(self._buffer).strip() else []

    def _keep(self, rest: bytes) -> None:
        self._buffer.append(rest)
        self._buffered_bytes += len(rest)
        if self._buffered_bytes > self._event_bytes_max:
            raise BadStream(f"an event is longer than {self._event_bytes_max} bytes")

    def _split(self, block: bytes) -> list[bytes]:
        if not self._begun:
            self._begun = True
            block = block.removeprefix(BOM)
        found = block.split(b"\n\n")
        for event in found:
            if len(event) > self._event_bytes_max:
                raise BadStream(f"an event is longer than {self._event_bytes_max} bytes")
        return found


def framed(event: bytes) -> Framed | None:
    """The name and the data of an event in lines that end in LF; None where it has no data."""
    name, newline, rest = event.partition(b"\n")
    if name[:7] == b"event: " and rest[:6] == b"data: " and b"\n" not in rest:
        return name[7:], rest[6:]
    if not newline and name[:6] == b"data: ":
        return b"", name[6:]
    return _fields(event)


def _fields(event: bytes) -> Framed | None:
    """The name and the data of an event of any shape; None where it has no data."""
    name = b""
    data: list[bytes] = []
    for line in event.split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    return (name, b"\n".join(data)) if data else None


class NamedEventReader(ABC):
    """What reads a stream of named events into those of the model: feed it what comes."""

    __slots__ = ("_done", "_splitter", "begun", "opaque", "usage")

    def __init__(self, event_bytes_max: int) -> None:
        """No event may be longer than `event_bytes_max`."""
        self._splitter = EventSplitter(event_bytes_max)
        self._done = False
        self.begun = False
        """Something of the answer has come, or why it ended: what came before may still be taken back."""
        self.opaque = False
        """Something has come that only this dialect has: a block, a piece, a source but a page."""
        self.usage: Usage | None = None
        """What was counted so far; None: nothing."""

    @property
    def done(self) -> bool:
        """Whether the answer is complete; whatever follows is ignored."""
        return self._done

    def feed(self, data: bytes) -> list[Event]:
        """The events of the model that `data` completes.

        Raises:
            BadStream: this is no answer. ProviderSaid: an error came in its place. `before` of either has the
                events that came in front of it.
        """
        return self._read(self._splitter.feed(data))

    @abstractmethod
    def take(self, framed: Framed, found: list[Event]) -> None:
        """Add to `found` what one event says.

        Raises:
            BadStream, ProviderSaid: as `feed`, but for `before`.
        """

    def _read(self, framed: list[Framed]) -> list[Event]:
        found: list[Event] = []
        for one in framed:
            if self._done:
                break
            try:
                self.take(one, found)
            except BadAnswer as error:
                raise after(found, error) from None
        return found


def after(found: list[Event], error: BadAnswer) -> BadAnswer:
    """`error`, after the events that came in front of it."""
    error.before = found
    return error
