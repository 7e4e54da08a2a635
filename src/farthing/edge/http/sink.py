"""The sink that writes to a client's connection."""

from collections.abc import Callable

from farthing.edge.http.connection import ClientConnection
from farthing.edge.http.heads import EVENTS_TYPE, STREAM_HEAD, facts_head, merged
from farthing.errors import FarthingError
from farthing.types import Answer, Receipt


class ConnectionSink:
    """Writes a stream to a client. See `protocols.Sink`."""

    __slots__ = ("_connection", "_head", "_ours", "_receipt")

    def __init__(self, connection: ClientConnection, receipt: Receipt, head: bytes = STREAM_HEAD) -> None:
        """`head`: the first header lines of the stream."""
        self._connection = connection
        self._receipt = receipt
        self._head = head
        self._ours = connection.also
        """Our own header lines, which a provider's do not replace."""

    def send(self, events: bytes) -> None:
        if len(events) == 0:  # it says something in another dialect alone
            return
        connection = self._connection
        if connection.streaming:
            connection.stream(events)
        else:
            connection.begin_stream(self._head + facts_head(self._receipt), events)

    def when_writable(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self._connection.when_writable(pause, resume)

    def outlive(self, left: Callable[[Callable[[], None]], bool]) -> None:
        self._connection.on_left = left

    def returned(self, lines: bytes) -> None:
        self._connection.also = merged(self._ours, lines)

    def closing(self, reply: Answer) -> Answer:
        return reply

    def broken(self, error: FarthingError) -> bytes | None:
        """For an answer that is passed on: one that is no event stream has no place for an error."""
        return None if EVENTS_TYPE in self._connection.also.lower() else b""
