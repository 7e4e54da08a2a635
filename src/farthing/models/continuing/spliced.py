"""The chunks of a continuation, as those of the answer that it goes on with."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from farthing.dialects.chat.streams.event_reader import DONE
from farthing.dialects.chat.streams.stream_reader import Reader
from farthing.dialects.chat.streams.stream_writer import ChunkWriter
from farthing.dialects.conversation import (
    BlockStarted,
    Counted,
    Ended,
    Event,
    Ping,
    Reasoning,
    ReasoningDelta,
    SignatureDelta,
    Started,
    Stopped,
    Text,
    TextDelta,
)
from farthing.dialects.events import BadStream
from farthing.dialects.told import resumed
from farthing.models.continuing.delivered import TEXT_CHARS_MAX
from farthing.models.continuing.seam import Seam
from farthing.protocols import Sink
from farthing.text.lenient_json import any_json
from farthing.types import Answer, Json

LEFT_OUT = (Started, Counted, Ended, Reasoning, ReasoningDelta, SignatureDelta)
"""The answer has begun, its usage is that of all of it, and it is not thought about between its words."""


class Spliced:
    """A sink for the stream of a continuation. What it sends on has the ids of the answer that broke off, no
    second beginning, and no text twice (`seam`); the end is told by `finish`."""

    __slots__ = (
        "_before",
        "_chars",
        "_item",
        "_mark",
        "_reader",
        "_seam",
        "_sink",
        "_writer",
        "begun",
        "plain",
        "sent",
        "wrong",
    )

    def __init__(
        self,
        sink: Sink,
        first: Json,
        delivered: str,
        seam: Seam,
        *,
        mark: bytes,
        own: bool,
        item: str,
        legacy_functions: bool,
    ) -> None:
        """`first`: the first chunk of the answer that broke off, `delivered` its text. `mark`: the comment
        that says where it goes on. `own`: it went out as its provider's own events; `item` is open there."""
        self._sink = sink
        self._reader = Reader()
        created = first.get("created")
        self._writer = writer = ChunkWriter(
            request_id=_text(first.get("id")),
            created=created if isinstance(created, int) else 0,
            model=_text(first.get("model")),
            legacy_functions=legacy_functions,
        )
        start = writer.write([Started("", "")])
        told = writer.write([BlockStarted(0, Text("")), TextDelta(0, delivered)])
        self._before = start + told if own else b""
        """Of own events: what they said, as chunks."""
        self._item = item
        self._mark = mark
        self._seam = seam
        self.begun = False
        """Something of it was sent on."""
        self.plain = True
        """That was text alone, and not too long to be gone on with."""
        self.sent: list[str] = []
        """The text that was sent on, if it is `plain`."""
        self._chars = len(delivered)
        """Of all that the client has."""
        self.wrong = ""
        """Why it cannot be read on; empty: it can."""

    def send(self, events: bytes) -> None:
        if self.wrong:
            return
        try:
            chunks = self._written(self._reader.feed(events))
        except BadStream as error:
            self.wrong = str(error)
            return
        if chunks:
            self._out(chunks)

    def when_writable(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self._sink.when_writable(pause, resume)

    def outlive(self, left: Callable[[Callable[[], None]], bool]) -> None:
        self._sink.outlive(left)

    def returned(self, lines: bytes) -> None:
        """The head of the answer has gone out."""

    def closing(self, reply: Answer) -> Answer:
        return reply

    def finish(self, *, whole: bool) -> None:
        """Send the rest, but for the usage: what the seam held, and, of a stream that is `whole`, why it
        ended."""
        try:
            events = self._reader.feed(DONE) if whole else []
        except BadStream as error:
            self.wrong = str(error)
            return
        chunks = self._written([*self._rest(), *events])
        if chunks:
            self._out(chunks)

    def _out(self, chunks: bytes) -> None:
        if not self.begun:
            self.begun = True
            chunks = resumed(chunks, self._mark, self._before, self._item)
            self._before = b""
        self._sink.send(chunks)

    def _written(self, events: Iterable[Event]) -> bytes:
        return self._writer.write(self._joined(events))

    def _joined(self, events: Iterable[Event]) -> Iterator[Event]:
        for event in events:
            match event:
                case TextDelta(index, text):
                    text = self._seam.feed(text)
                    if text:
                        self._note(text)
                        yield TextDelta(index, text)
                case BlockStarted(_, Reasoning()):
                    pass
                case BlockStarted(_, Text()) | Ping():
                    yield event
                case BlockStarted() | Stopped():
                    self.plain = False
                    yield from self._rest()
                    yield event
                case _:
                    if not isinstance(event, LEFT_OUT):
                        yield event

    def _rest(self) -> list[Event]:
        """What the seam held, where the text is over."""
        text = self._seam.end()
        if not text:
            return []
        self._note(text)
        return [TextDelta(0, text)]

    def _note(self, text: str) -> None:
        self._chars += len(text)
        if self._chars > TEXT_CHARS_MAX:
            self.plain = False
        if self.plain:
            self.sent.append(text)
        else:
            self.sent.clear()


def first_of(payload: bytes | None) -> Json:
    """A chunk as it came; empty if it cannot be read."""
    value = any_json(payload) if payload else None
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
