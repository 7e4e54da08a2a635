"""The base of stream writers for dialects other than the pipeline's.

A client is sent something at least every `QUIET_S`, because some give up on a silent connection.
"""

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Sequence

from farthing.dialects.chat.streams import stream_reader
from farthing.dialects.conversation import Counted, Event
from farthing.dialects.events import BadStream
from farthing.dialects.told import Resumed, Told
from farthing.edge.through import ThroughSink
from farthing.errors import StreamBroken
from farthing.models.answers import SIGN_OF_LIFE
from farthing.protocols import Sink
from farthing.types import Answer, Receipt

log = logging.getLogger("farthing.edge")

QUIET_S = 10.0  # clients are known that give up after 15 seconds without an event


class StreamForm(ThroughSink):
    """Writes one stream: a provider's own events as they come, others from the pipeline's. See
    `forms.FormWriter`."""

    __slots__ = ("_begun", "_fault", "_loop", "_quiet_s", "_reader", "_receipt", "_sent_s", "_timer")

    def __init__(
        self, sink: Sink, receipt: Receipt, quiet_s: float = QUIET_S, *, logprobs: bool = False
    ) -> None:
        super().__init__(sink)
        self._receipt = receipt
        self._reader = stream_reader.Reader(logprobs=logprobs)
        self._begun = False
        """Whether anything was sent."""
        self._fault = ""
        """Why an event could not be written. From then on only signs of life are sent, and this error at the
        end."""
        self._quiet_s = quiet_s
        self._loop = asyncio.get_running_loop()
        self._sent_s = self._loop.time()
        self._timer: asyncio.TimerHandle | None = self._loop.call_later(quiet_s, self._look)

    @abstractmethod
    def _write(self, events: Sequence[Event]) -> bytes:
        """Events of the model in this dialect.

        Raises:
            BadStream: they cannot be told.
        """

    @abstractmethod
    def _own(self, events: bytes) -> bytes:
        """The provider's own events in the form that is sent on."""

    @abstractmethod
    def _own_end(self, events: bytes) -> bytes:
        """As `_own`, for the last events."""

    @abstractmethod
    def _resume(self, events: Sequence[Event], item: str) -> None:
        """The provider's own events broke off, and what comes is written here: go on where they ended. They
        said `events`; `item` as `Resumed.item`."""

    @abstractmethod
    def _alive(self) -> bytes:
        """A sign of life for the client; empty if the form has none."""

    def send(self, events: bytes) -> None:
        if events == SIGN_OF_LIFE and not self._begun:
            self._tell_alive()
            return
        self._out(self._written(events))

    def close(self) -> None:
        """Stop the signs of life."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def closing(self, reply: Answer) -> Answer:
        """What closes the stream.

        Raises:
            StreamBroken: a part of it could not be written.
        """
        self.close()
        body = self._written(reply.body, last=True) if reply.own is None else self._own_end(reply.own)
        if self._fault:
            raise StreamBroken(self._fault)
        return Answer(body=body, stream=True)

    def _written(self, events: bytes, *, last: bool = False) -> bytes:
        """The pipeline's events in this dialect. Never raises: the caller is a provider's connection."""
        if isinstance(events, Told):
            return self._own(events.own)
        if self._fault:
            return b""
        try:
            if isinstance(events, Resumed):
                events = self._marked(events)
            found = self._reader.feed(events)
            return self._write(self._counted(found) if last else found)
        except BadStream as error:
            self._fault = f"the provider's answer cannot be told in this dialect: {error}"
        except Exception:
            request_id = self._receipt.request_id
            log.exception("request %s: an event could not be written for its client", request_id)
            self._fault = "an event of the answer could not be written; the log has the details"
        return b""

    def _marked(self, events: Resumed) -> bytes:
        """Tell the client that a continuation begins, which is returned without the comment that says so."""
        self._out(events.mark)
        if events.before:
            self._resume(self._reader.feed(events.before), events.item)
        return events.removeprefix(events.mark)

    def _counted(self, events: list[Event]) -> list[Event]:
        """Add the usage of the receipt, which may be our estimate if the provider reported none."""
        usage = self._receipt.usage
        if usage is None:
            return events
        return [Counted(usage), *[event for event in events if event.__class__ is not Counted]]

    def _out(self, written: bytes) -> None:
        if written:
            self._begun = True
            self._sent_s = self._loop.time()
            self._sink.send(written)

    def _look(self) -> None:
        """Check whether the client was sent anything lately; once in `quiet_s`, not with each event."""
        quiet_s = self._loop.time() - self._sent_s
        if quiet_s >= self._quiet_s:
            self._tell_alive()
            quiet_s = 0.0
        self._timer = self._loop.call_later(self._quiet_s - quiet_s, self._look)

    def _tell_alive(self) -> None:
        if self._begun or not self._fault:
            self._out(self._alive())
