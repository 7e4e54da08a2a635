"""Answers for clients of Messages, whole and streamed.

What a provider wrote in this dialect goes out unchanged; everything else is translated from the pipeline's
form. A client is sent something at least every `PING_AFTER_S`, first a beginning of ours, then pings, because
some give up on a silent connection.
"""

from collections.abc import Sequence
from typing import Any

from farthing.dialects import conversation
from farthing.dialects.chat.answers import answer_reader
from farthing.dialects.conversation import Event, Started
from farthing.dialects.events import BadAnswer, framed
from farthing.dialects.messages.answers import answer_writer
from farthing.dialects.messages.answers.whole import event_of
from farthing.dialects.messages.streams import stream_writer
from farthing.dialects.messages.usage import merged
from farthing.edge.messages import errors
from farthing.edge.streaming import QUIET_S, StreamForm
from farthing.edge.through import ThroughSink
from farthing.errors import FarthingError, ProviderError, StreamBroken
from farthing.protocols import Sink
from farthing.text.lenient_json import any_json
from farthing.types import Answer, Dialect, Json, Receipt, Request

PING_AFTER_S = QUIET_S
CHARS_PER_TOKEN = 4
START = b"message_start"
DELTA = b"message_delta"
PAST_START = (b"content_block_", DELTA)
"""Marks events that come after it."""


class MessagesForm:
    """Anthropic's Messages. See `forms.ClientForm`."""

    dialect: Dialect = "messages"

    def failed(self, error: FarthingError, request_id: str) -> tuple[int, bytes]:
        return errors.failed(error, request_id)

    def broken(self, error: FarthingError, request_id: str) -> bytes:
        return errors.event(error, request_id)

    def own(self, error: FarthingError) -> ProviderError | None:
        return errors.own(error)

    def writer(self, sink: Sink, request: Request, receipt: Receipt) -> "Whole | Streamed":
        return Streamed(sink, request, receipt) if request.stream else Whole(sink, request, receipt)


class Whole(ThroughSink):
    """Writes a whole answer; nothing is sent before it is complete."""

    __slots__ = ("_receipt", "_tools")

    def __init__(self, sink: Sink, request: Request, receipt: Receipt) -> None:
        super().__init__(sink)
        self._receipt = receipt
        self._tools = _tools(request)

    def send(self, events: bytes) -> None:
        """Never called: a client that waits for a whole answer gets no events."""
        raise AssertionError("events for a client that waits for a whole answer")

    def closing(self, reply: Answer) -> Answer:
        """Raises:
        StreamBroken: what is there is no answer.
        """
        if reply.own is not None:
            return Answer(body=reply.own)
        receipt = self._receipt
        try:
            message = answer_reader.read(reply.body)
            body = answer_writer.write(
                message, request_id=receipt.request_id, usage=receipt.usage, tools=self._tools
            )
            return Answer(body=body)
        except BadAnswer as error:
            raise StreamBroken(f"the provider's answer cannot be told in this dialect: {error}") from None


class Streamed(StreamForm):
    """Writes one stream, with pings while nothing comes."""

    __slots__ = ("_dropped", "_drops_start", "_opened", "_writer")

    def __init__(self, sink: Sink, request: Request, receipt: Receipt) -> None:
        super().__init__(sink, receipt, PING_AFTER_S)
        self._writer = stream_writer.EventWriter(
            request_id=request.id,
            model=request.alias or request.model,
            input_tokens=request.prompt_chars // CHARS_PER_TOKEN + request.media_tokens,
            tools=_tools(request),
        )
        self._drops_start = False
        """The beginning that was sent is ours, so the provider's own is left out."""
        self._dropped: Json = {}
        """The usage in the provider's own beginning, which the client was not sent."""
        self._opened = False
        """The beginning of the answer has passed in the provider's own events."""

    def _write(self, events: Sequence[Event]) -> bytes:
        return self._writer.write(events)

    def _own(self, events: bytes) -> bytes:
        """The provider's own events with exactly one beginning: clients accept nothing before it."""
        if self._opened:
            return events
        if START in events:
            self._opened = True
            if self._drops_start:
                events, self._dropped = without_start(events)
            return events
        if any([mark in events for mark in PAST_START]):
            self._opened = True
            return events if self._drops_start else self._writer.write([Started("", "")]) + events
        return events

    def _resume(self, events: Sequence[Event], item: str) -> None:
        self._writer.write(events)

    def _own_end(self, events: bytes) -> bytes:
        body = self._own(events)
        return with_usage(body, self._dropped) if self._dropped else body

    def _alive(self) -> bytes:
        if self._begun:
            return stream_writer.PING
        self._drops_start = True
        return self._writer.write([conversation.PING])  # it begins the answer first


def _tools(request: Request) -> Any:
    """The tools as the client sent them."""
    return None if request.sent is None else request.sent.body.get("tools")


def without_start(events: bytes) -> tuple[bytes, Json]:
    """Complete `events` without those that begin an answer, and the usage that these reported."""
    kept: list[bytes] = []
    usage: Json = {}
    for lines in _split(events):
        kind, fields = _read(lines) if START in lines else ("", {})
        if kind == "message_start":
            message = fields.get("message")
            usage = merged(usage, message.get("usage")) if isinstance(message, dict) else usage
        else:
            kept.append(lines + b"\n\n")
    return b"".join(kept), usage


def with_usage(events: bytes, before: Json) -> bytes:
    """Complete `events` that end an answer, with the usage reported `before` merged into that of
    `message_delta`."""
    written: list[bytes] = []
    for lines in _split(events):
        kind, fields = _read(lines) if DELTA in lines else ("", {})
        if kind == "message_delta":
            told = {**fields, "type": kind, "usage": merged(before, fields.get("usage"))}
            lines = event_of(told)
        written.append(lines + b"\n\n")
    return b"".join(written)


def _split(events: bytes) -> list[bytes]:
    """The lines of each event."""
    blocks = events.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n\n")
    return [lines for lines in blocks if lines]


def _read(lines: bytes) -> tuple[Any, Json]:
    """The kind of an event, from its data or else its name, and its fields."""
    name, data = framed(lines) or (b"", b"")
    fields = any_json(data)
    if not isinstance(fields, dict):
        fields = {}
    return fields.get("type") or name.decode("latin-1"), fields


MESSAGES = MessagesForm()
