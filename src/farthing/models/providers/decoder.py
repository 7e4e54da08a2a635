"""A streamed answer of a dialect of its own as chat completion chunks: bytes in, the client's events out.

Three machines in a row: the reader of that dialect, the writer of chunks, and the reader of chunks, which
keeps the account of what was said as it does for every stream.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from msgspec import Struct

from farthing.dialects import events, faults
from farthing.dialects.chat.answers import answer_writer as chat_answer
from farthing.dialects.chat.answers.answer_writer import TIER
from farthing.dialects.chat.answers.completion import explode
from farthing.dialects.chat.streams.event_reader import DONE, EventReader
from farthing.dialects.chat.streams.stream_writer import ChunkWriter
from farthing.dialects.chat.usage import at_tier
from farthing.dialects.conversation import Counted, Event, Message, Started
from farthing.dialects.events import Framed
from farthing.types import Dialect, Usage, replace


class StreamReader(Protocol):
    """Reads the stream of one dialect: bytes in, events of the model out. Sans-I/O and bounded."""

    @property
    def done(self) -> bool:
        """Whether the answer is complete; whatever follows is ignored."""

    @property
    def stopped(self) -> bool:
        """Whether it has said why it ended."""

    @property
    def begun(self) -> bool:
        """Something of the answer has come, or why it ended."""

    @property
    def open_blocks(self) -> list[int]:
        """Indices of the blocks that have begun and not stopped, in order."""

    @property
    def opaque(self) -> bool:
        """Something has come that only this dialect has."""

    @property
    def usage(self) -> Usage | None:
        """What was counted so far; None: nothing."""

    def feed(self, data: bytes) -> list[Event]:
        """The events of the model that `data` completes.

        Raises:
            BadAnswer: this is no answer, or an error came in its place. `before` has the events that came in
                front of it.
        """

    def end(self) -> list[Event]:
        """The body is complete.

        Raises:
            BadAnswer: the answer is not, or as `feed`.
        """

    def take(self, framed: Framed, found: list[Event]) -> None:
        """Add to `found` what one event says.

        Raises:
            BadAnswer: as `feed`, but for `before`.
        """


class AnswerForm(Struct, frozen=True, kw_only=True):
    """How the answers of one dialect are read."""

    dialect: str
    """Its name, which may be one that only providers speak."""
    reader: Callable[[int], StreamReader]
    """For streams no event of which has more than so many bytes."""
    read: Callable[[bytes], Message]
    """A whole answer; raises BadAnswer."""
    is_opaque: Callable[[Message], bool]
    """Whether it has something that only this dialect has."""


class TranslatingDecoder:
    """See `protocols.StreamDecoder`."""

    __slots__ = ("_created", "_form", "_legacy", "_opaque", "_reader", "_told", "_writer", "ran", "usage")

    def __init__(
        self, form: AnswerForm, event_bytes_max: int, *, created: int, legacy_functions: bool = False
    ) -> None:
        """`created` is what its events say of when they were made, in seconds since 1970."""
        self._form = form
        self._created = created
        self._legacy = legacy_functions
        self._reader = form.reader(event_bytes_max)
        self._told = EventReader(EVENT_BYTES_FACTOR * event_bytes_max)
        self._writer: ChunkWriter | None = None
        self._opaque = False
        """A whole answer came, with something in it that chunks have no place for."""
        self.ran: str | None = None
        """The service tier that ran, in its provider's word, where the head of the reply says it."""
        self.usage: Usage | None = None

    def feed(self, data: bytes) -> bytes:
        try:
            return self._tell(self._reader.feed(data))
        except events.BadAnswer as error:
            raise self._fault(error) from None

    def end(self) -> bytes:
        try:
            return self._tell(self._reader.end())
        except events.BadAnswer as error:
            raise self._fault(error) from None

    def whole(self, body: bytes) -> bytes:
        try:
            message = self._form.read(body)
        except events.ProviderSaid as error:
            raise faults.ProviderSaid(error.payload, self._at_tier(error.usage)) from None
        except events.BadAnswer as error:
            raise faults.BadStream(f"it is no stream and no answer: {error}") from None
        message = ran_at(message, self.ran)
        told = chat_answer.write(
            message, request_id=message.id, created=self._created, legacy_functions=self._legacy
        )
        self.usage = message.usage
        self._opaque = self._form.is_opaque(message)
        return self._told.feed(explode(told, include_usage=True) + DONE)

    def ended(self, choices: int) -> bool:
        return self._told.ended(choices)

    @property
    def whole_in_form(self) -> bool:
        return not self._opaque and not self._reader.opaque

    def tells_all(self, dialect: Dialect) -> bool:
        return dialect != self._form.dialect

    def own_end(self, cut: str | None) -> bytes | None:
        return None

    def own_whole(self, events: bytes, cut: str | None) -> bytes | None:
        return None

    def _at_tier(self, usage: Usage | None) -> Usage | None:
        return usage if usage is None or self.ran is None else at_tier(usage, self.ran)

    def _tell(self, found: Iterable[Event]) -> bytes:
        ran = self.ran
        if ran is not None:
            found = [
                Counted(at_tier(event.usage, ran)) if isinstance(event, Counted) else event for event in found
            ]
        writer = self._writer
        if writer is None:
            found = list(found)
            first = next((event for event in found if isinstance(event, Started)), None)
            if first is None and not self._reader.begun:
                return b""
            writer = self._writer = ChunkWriter(
                request_id="" if first is None else first.id,
                created=self._created,
                legacy_functions=self._legacy,
                service_tier=ran or "",
            )
        self.usage = self._at_tier(self._reader.usage)
        written = writer.write(found)
        return self._told.feed(written) if written else b""

    def _fault(self, error: events.BadAnswer) -> faults.BadStream:
        before = self._tell(error.before)
        fault = (
            faults.ProviderSaid(error.payload, self._at_tier(error.usage))
            if isinstance(error, events.ProviderSaid)
            else faults.BadStream(str(error))
        )
        fault.before = before
        return fault

    # what was said

    @property
    def begun(self) -> bool:
        return self._told.begun

    @property
    def done(self) -> bool:
        return self._told.done

    @done.setter
    def done(self, done: bool) -> None:
        self._told.done = done

    @property
    def finished(self) -> Mapping[int, str]:
        return self._told.finished

    @property
    def finish_reason(self) -> str | None:
        return self._told.finish_reason

    @property
    def usage_event(self) -> bytes | None:
        return self._told.usage_event

    @property
    def first_payload(self) -> bytes | None:
        return self._told.first_payload

    @property
    def chunks(self) -> int:
        return self._told.chunks

    @property
    def text_chars(self) -> int:
        return self._told.text_chars

    @property
    def states_nothing(self) -> bool:
        return self._told.states_nothing

    @property
    def cites(self) -> bool:
        return self._told.cites


def ran_at(message: Message, ran: str | None) -> Message:
    """`message` with the service tier that the head of its reply says ran; None: it says none."""
    if ran is None:
        return message
    usage = None if message.usage is None else at_tier(message.usage, ran)
    told: Message = replace(message, usage=usage, extras={**message.extras, TIER: ran})
    return told


EVENT_BYTES_FACTOR = 8
"""An event is longer in the client's form than in the provider's: what is escaped anew, fields around it."""
