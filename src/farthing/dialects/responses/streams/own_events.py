"""A provider's own stream of Responses on its way to the client: byte for byte, while nothing is put into it.

A client that would hear nothing for too long is told `response.in_progress` once more, or, where nothing has
come yet, the beginning of a response of ours. After that the events that follow are numbered anew, and the
response has the id under which the client knows it: some clients take a gap, or another id, for a fault.
"""

from collections.abc import Iterator

from farthing.dialects.events import framed
from farthing.text.lenient_json import any_json, write_json
from farthing.types import Json

OPENING = frozenset({"response.created", "response.in_progress", "response.queued"})

RESPONSE = b'"response"'
NUMBER = b'"sequence_number"'


class OwnEvents:
    """The events of one stream. Takes whole events."""

    __slots__ = ("_edits", "_first", "_id", "_last", "_next", "_opened", "begun")

    def __init__(self) -> None:
        self.begun = False
        """Something has come."""
        self._first = b""
        """The first events that have a response, and next, the last that have a number, as they came."""
        self._last = b""
        self._edits = False
        """The events that come are written anew."""
        self._next = 0
        """Where they are: the number of the next one."""
        self._id = ""
        """The id that the client knows; empty: the provider's own."""
        self._opened = False
        """Where the beginning was ours: that of the provider is over."""

    def goes_on(self, id: str, number: int) -> None:
        """The client has been told the beginning of a response of that `id`, in events up to `number`."""
        if not self.begun:
            self._edits, self._id, self._next = True, id, number

    def through(self, events: bytes) -> bytes:
        """`events` for the client."""
        if not events:
            return events
        self.begun = True
        if not self._first and RESPONSE in events:
            self._first = events
        if NUMBER in events:  # a comment has none
            self._last = events
        return self._anew(events) if self._edits else events

    def alive(self) -> bytes:
        """An event that says that the response is being made; empty: nothing is known of it."""
        response = self._response()
        if response is None:
            return b""
        self._edit()
        return self._event("response.in_progress", {"response": response})

    def fail(self, code: str, message: str) -> bytes:
        """The last of a stream that breaks here; empty: nothing is known of it."""
        response = self._response()
        if response is None:
            return b""
        self._edit()
        response |= {"status": "failed", "error": {"code": code, "message": message}}
        return self._event("response.failed", {"response": response})

    def broke_off(self) -> tuple[int, Json]:
        """The number of the event that comes next, and the response as it began, for who goes on with it."""
        self._edit()
        return self._next, self._response() or {}

    def _edit(self) -> None:
        """From now on, number the events anew."""
        if not self._edits:
            self._edits = True
            self._opened = True
            numbers = [fields.get("sequence_number") for _, fields in _read(self._last)]
            told = [number for number in numbers if isinstance(number, int)]
            self._next = 1 + (max(told) if told else -1)

    def _response(self) -> Json | None:
        """The response as it began."""
        for _, fields in _read(self._first):
            response = fields.get("response")
            if isinstance(response, dict):
                return self._known(response)
        return None

    def _known(self, response: Json) -> Json:
        return {**response, "id": self._id} if self._id else dict(response)

    def _anew(self, events: bytes) -> bytes:
        out: list[bytes] = []
        for kind, fields in _read(events):
            if not self._opened:
                if kind in OPENING:
                    continue
                self._opened = True
            if isinstance(fields.get("response"), dict):
                fields["response"] = self._known(fields["response"])
            out.append(self._event(kind, fields))
        return b"".join(out)

    def _event(self, kind: str, fields: Json) -> bytes:
        told = write_json({**fields, "type": kind, "sequence_number": self._next})
        self._next += 1
        return b"event: %b\ndata: %b\n\n" % (kind.encode("latin-1", "replace"), told)


def _read(events: bytes) -> Iterator[tuple[str, Json]]:
    """The kind and the fields of each event."""
    for lines in events.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n\n"):
        name, data = framed(lines) or (b"", b"")
        fields = any_json(data) if data else None
        if isinstance(fields, dict):
            kind = fields.get("type")
            yield (kind if isinstance(kind, str) else name.decode("latin-1")), fields
