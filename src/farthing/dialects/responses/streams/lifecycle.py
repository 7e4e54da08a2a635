"""The events around the output of a response, and the numbers of all events."""

from msgspec import Raw

from farthing.dialects.responses.answers.frame import Frame, Status
from farthing.text.lenient_json import write_json
from farthing.types import Json


class Lifecycle:
    """The events around the items of a response, and the numbers of all."""

    __slots__ = ("_ended", "_frame", "_model", "_next", "_started")

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._model = ""
        self._next = 0
        """The number of the next event."""
        self._started = False
        self._ended = False
        """The last event was told."""

    @property
    def next_number(self) -> int:
        return self._next

    def alive(self) -> bytes:
        """What tells the client that the answer is being made."""
        out: list[bytes] = []
        if not self._begin(out):
            self._lifecycle("in_progress", "response.in_progress", out)
        return b"".join(out)

    def fail(self, code: str, message: str) -> bytes:
        """The last of a stream that breaks here."""
        out: list[bytes] = []
        self._begin(out)
        error = {"code": code, "message": message}
        self._terminal(self._frame.response("failed", self._so_far(), model=self._model, error=error), out)
        return b"".join(out)

    def _so_far(self) -> list[Json]:
        """The output, as far as it has come."""
        return []

    def _begin(self, out: list[bytes], model: str = "") -> bool:
        """Begin the response; False: it has begun."""
        if self._started:
            return False
        self._started = True
        self._model = model
        self._lifecycle("in_progress", "response.created", out)
        self._lifecycle("in_progress", "response.in_progress", out)
        return True

    def _lifecycle(self, status: Status, kind: str, out: list[bytes]) -> None:
        self._event(kind, {"response": self._frame.response(status, [], model=self._model)}, out)

    def _terminal(self, response: Raw, out: list[bytes], status: str = "failed") -> None:
        self._ended = True
        self._event(f"response.{status}", {"response": response}, out)

    def _event(self, kind: str, fields: Json, out: list[bytes]) -> None:
        told = write_json({"type": kind, "sequence_number": self._next, **fields})
        self._next += 1
        out.append(b"event: %b\ndata: %b\n\n" % (kind.encode(), told))
