"""Answers as clients of Messages read them, whole and streamed.

What a provider wrote in the dialect goes out as it came; everything else is translated from the pipeline's
form. A client hears something at least every `PING_AFTER_S`: first a beginning of ours, then pings, since
some give up on a connection that is silent.
"""

import asyncio
import logging
from typing import Any

from farthing.dialects import conversation
from farthing.dialects.chat.answers import answer_reader
from farthing.dialects.chat.streams import stream_reader
from farthing.dialects.conversation import Counted, Event, Started
from farthing.dialects.events import BadAnswer, BadStream, framed
from farthing.dialects.messages.answers import answer_writer
from farthing.dialects.messages.answers.whole import event_of
from farthing.dialects.messages.streams import stream_writer
from farthing.dialects.messages.usage import merged
from farthing.dialects.told import Told
from farthing.edge.messages import errors
from farthing.edge.through import ThroughSink
from farthing.errors import FarthingError, ProviderError, StreamBroken
from farthing.models.answers import SIGN_OF_LIFE
from farthing.protocols import Sink
from farthing.text.lenient_json import any_json
from farthing.types import Answer, Dialect, Json, Receipt, Request

log = logging.getLogger("farthing.edge")

PING_AFTER_S = 10.0  # clients are known that give up after 15 seconds without an event
CHARS_PER_TOKEN = 4
START = b"message_start"
DELTA = b"message_delta"
PAST_START = (b"content_block_", DELTA)
"""In events that come after it."""


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
    """Writes a whole answer. Nothing is sent before it is there."""

    __slots__ = ("_receipt", "_tools")

    def __init__(self, sink: Sink, request: Request, receipt: Receipt) -> None:
        super().__init__(sink)
        self._receipt = receipt
        self._tools = _tools(request)

    def send(self, events: bytes) -> None:
        """Never called: who waits for a whole answer is sent no events."""
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


class Streamed(ThroughSink):
    """Writes one stream, and pings while nothing comes."""

    __slots__ = (
        "_begun",
        "_dropped",
        "_drops_start",
        "_fault",
        "_loop",
        "_opened",
        "_reader",
        "_receipt",
        "_sent_s",
        "_timer",
        "_writer",
    )

    def __init__(self, sink: Sink, request: Request, receipt: Receipt) -> None:
        super().__init__(sink)
        self._receipt = receipt
        self._reader = stream_reader.Reader()
        self._writer = stream_writer.EventWriter(
            request_id=request.id,
            model=request.alias or request.model,
            input_tokens=request.prompt_chars // CHARS_PER_TOKEN + request.media_tokens,
            tools=_tools(request),
        )
        self._begun = False
        """Something was sent."""
        self._drops_start = False
        """The beginning that was sent is ours: the provider's own is left out when it comes."""
        self._dropped: Json = {}
        """The usage that the provider's own beginning told, which no client has heard."""
        self._opened = False
        """The provider's own events are past the beginning of the answer."""
        self._fault = ""
        """Why an event could not be written: nothing more is sent but pings, and that at the end."""
        self._loop = asyncio.get_running_loop()
        self._sent_s = self._loop.time()
        self._timer: asyncio.TimerHandle | None = self._loop.call_later(PING_AFTER_S, self._look)

    def send(self, events: bytes) -> None:
        if events == SIGN_OF_LIFE and not self._begun:
            self._ping()
            return
        self._out(self._written(events))

    def close(self) -> None:
        """No ping comes after this."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def closing(self, reply: Answer) -> Answer:
        """What closes the stream.

        Raises:
            StreamBroken: a part of it could not be written.
        """
        self.close()
        if reply.own is None:
            body = self._written(reply.body, last=True)
        else:
            body = self._own(reply.own)
            if self._dropped:
                body = with_usage(body, self._dropped)
        if self._fault:
            raise StreamBroken(self._fault)
        return Answer(body=body, stream=True)

    def _written(self, events: bytes, *, last: bool = False) -> bytes:
        """Events of the pipeline in this dialect. Never raises: a provider's connection stands above this."""
        if isinstance(events, Told):
            return self._own(events.own)
        if self._fault:
            return b""
        try:
            found = self._reader.feed(events)
            return self._writer.write(self._counted(found) if last else found)
        except BadStream as error:
            self._fault = f"the provider's answer cannot be told in this dialect: {error}"
        except Exception:
            request_id = self._receipt.request_id
            log.exception("request %s: an event could not be written for its client", request_id)
            self._fault = "an event of the answer could not be written; the log has the details"
        return b""

    def _counted(self, events: list[Event]) -> list[Event]:
        """With what the receipt says of usage, which may be ours where the provider told none."""
        usage = self._receipt.usage
        if usage is None:
            return events
        return [Counted(usage), *[event for event in events if event.__class__ is not Counted]]

    def _own(self, events: bytes) -> bytes:
        """The provider's own events, with one beginning: clients take nothing that comes before it."""
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

    def _out(self, written: bytes) -> None:
        if written:
            self._begun = True
            self._sent_s = self._loop.time()
            self._sink.send(written)

    def _look(self) -> None:
        """See whether the client has heard anything of late; once in `PING_AFTER_S`, not with each event."""
        quiet_s = self._loop.time() - self._sent_s
        if quiet_s >= PING_AFTER_S:
            self._ping()
            quiet_s = 0.0
        self._timer = self._loop.call_later(PING_AFTER_S - quiet_s, self._look)

    def _ping(self) -> None:
        if self._begun:
            self._out(stream_writer.PING)
        elif not self._fault:
            self._drops_start = True
            self._out(self._writer.write([conversation.PING]))  # it begins the answer first


def _tools(request: Request) -> Any:
    """The tools as the client has sent them."""
    return None if request.sent is None else request.sent.body.get("tools")


def without_start(events: bytes) -> tuple[bytes, Json]:
    """`events`, which are whole ones, without those that begin an answer, and the usage that these told."""
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
    """`events`, which are whole ones and end an answer, with the usage told `before` in that of the
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
    """What kind of event it is, which its data says, else its name, and its fields."""
    name, data = framed(lines) or (b"", b"")
    fields = any_json(data)
    if not isinstance(fields, dict):
        fields = {}
    return fields.get("type") or name.decode("latin-1"), fields


MESSAGES = MessagesForm()
