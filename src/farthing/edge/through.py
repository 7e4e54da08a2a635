"""The base of the writers of all forms: what they do not write themselves goes through to the client."""

from collections.abc import Callable

from farthing.errors import FarthingError
from farthing.protocols import Sink
from farthing.types import Answer


class ThroughSink:
    """A `forms.FormWriter` without what it writes (`send` and `closing`)."""

    __slots__ = ("_sink",)

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def when_writable(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self._sink.when_writable(pause, resume)

    def outlive(self, left: Callable[[Callable[[], None]], bool]) -> None:
        self._sink.outlive(left)

    def returned(self, lines: bytes) -> None:
        self._sink.returned(lines)

    def close(self) -> None:
        """Nothing to end."""

    def last(self, reply: Answer) -> Answer:
        return reply

    def broken(self, error: FarthingError) -> bytes | None:
        return None


class PassedWriter(ThroughSink):
    """Passes an answer on unchanged, with nothing after it. See `forms.FormWriter`."""

    __slots__ = ()

    def send(self, events: bytes) -> None:
        self._sink.send(events)

    def closing(self, reply: Answer) -> Answer:
        return Answer(body=b"", stream=True) if reply.stream else reply
