"""A streamed answer of Messages as chat completion chunks: bytes in, the client's events out.

Three machines in a row: the reader of Messages, the writer of chunks, and the reader of chunks, which keeps
the account of what was said as it does for every stream.
"""

from collections.abc import Iterable, Mapping

from farthing.dialects import events, faults
from farthing.dialects.chat.answers import answer_writer as chat_answer
from farthing.dialects.chat.answers.completion import explode
from farthing.dialects.chat.streams.event_reader import DONE, EventReader
from farthing.dialects.chat.streams.stream_writer import ChunkWriter
from farthing.dialects.conversation import Event, Started
from farthing.dialects.messages.answers import answer_reader
from farthing.dialects.messages.streams.stream_reader import Reader
from farthing.types import Dialect, Usage


class MessagesDecoder:
    """See `protocols.StreamDecoder`."""

    __slots__ = ("_created", "_legacy", "_opaque", "_reader", "_told", "_writer", "usage")

    def __init__(self, event_bytes_max: int, *, created: int, legacy_functions: bool = False) -> None:
        """`created` is what its events say of when they were made, in seconds since 1970."""
        self._created = created
        self._legacy = legacy_functions
        self._reader = Reader(event_bytes_max)
        self._told = EventReader(EVENT_BYTES_FACTOR * event_bytes_max)
        self._writer: ChunkWriter | None = None
        self._opaque = False
        """A whole answer came, with something in it that chunks have no place for."""
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
            message = answer_reader.read(body)
        except events.ProviderSaid as error:
            raise faults.ProviderSaid(error.payload) from None
        except events.BadAnswer as error:
            raise faults.BadStream(f"it is no stream and no answer: {error}") from None
        told = chat_answer.write(
            message, request_id=message.id, created=self._created, legacy_functions=self._legacy
        )
        self.usage = message.usage
        self._opaque = answer_reader.is_opaque(message)
        return self._told.feed(explode(told, include_usage=True) + DONE)

    def ended(self, choices: int) -> bool:
        return self._told.ended(choices)

    @property
    def whole_in_form(self) -> bool:
        return not self._opaque and not self._reader.opaque

    def tells_all(self, dialect: Dialect) -> bool:
        return dialect != "messages"

    def own_end(self, cut: str | None) -> bytes | None:
        return None

    def own_whole(self, events: bytes, cut: str | None) -> bytes | None:
        return None

    def _tell(self, found: Iterable[Event]) -> bytes:
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
            )
        self.usage = self._reader.usage
        written = writer.write(found)
        return self._told.feed(written) if written else b""

    def _fault(self, error: events.BadAnswer) -> faults.BadStream:
        before = self._tell(error.before)
        fault = (
            faults.ProviderSaid(error.payload)
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


EVENT_BYTES_FACTOR = 8
"""An event is longer in the client's form than in the provider's: what is escaped anew, fields around it."""
