"""Notes which provider keeps a completion whose client asked for that, once all of the answer is there.

Stands between the pipeline and the client, and changes nothing. The last bytes of a stream, or the whole
answer, go out after it is noted, so that a client can ask at once for what it has.
"""

import re

import msgspec
from msgspec import Struct

from farthing.edge.stored_completions.notes import ID_CHARS_MAX, Note, Notes
from farthing.edge.through import ThroughSink
from farthing.protocols import Sink
from farthing.types import Answer, Receipt, Request

STORE = "store"
DATA = b"data:"
AN_ID = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_.:-]{{0,{ID_CHARS_MAX - 1}}}")
"""What may stand in the path of a call."""
CUT = "limit:deadline_s"
"""How a stream ended that its provider was not let finish."""
MODEL_CHARS_MAX = 200
STORED, NOT_STORED = b"x-farthing-stored: true\r\n", b"x-farthing-stored: false\r\n"


class _Named(Struct):
    id: str = ""
    model: str = ""


_decode = msgspec.json.Decoder(_Named).decode


def wants_storing(request: Request) -> bool:
    """Whether a client of chat completions asks for its answer to be stored."""
    return request.body.get(STORE) is True and request.operation == "chat" and request.sent is None


class Noting(ThroughSink):
    """The client's end of an answer that its provider is to keep."""

    __slots__ = ("_named",)

    def __init__(self, sink: Sink) -> None:
        super().__init__(sink)
        self._named: _Named | None = None
        """By the first event of a stream."""

    def send(self, events: bytes) -> None:
        if self._named is None:
            self._named = _first(events)
        self._sink.send(events)

    def closing(self, reply: Answer) -> Answer:
        return self._sink.closing(reply)

    async def finished(self, reply: Answer, request: Request, receipt: Receipt, notes: Notes) -> bytes:
        """The header line that says whether the answer is stored, where its provider keeps it and that is
        noted."""
        provider = receipt.target.partition("/")[0]
        answered = receipt.status == 200 and receipt.error is None and receipt.stop_reason != CUT
        mark = notes.keepers.mark(provider, _lane_of(receipt)) if answered and receipt.attempts else None
        if mark is None:
            return NOT_STORED
        named = self._named or (_first(reply.body) if reply.stream else _named(reply.body))
        if named is None or AN_ID.fullmatch(named.id) is None:
            return NOT_STORED
        asked = receipt.target.partition("/")[2]
        models = dict.fromkeys((named.model[:MODEL_CHARS_MAX], asked, receipt.model_asked[:MODEL_CHARS_MAX]))
        note = Note(
            provider=provider,
            target=receipt.target,
            mark=mark,
            models=tuple(name for name in models if name),
            labels=notes.labels_of(request.tenant.name, request.body.get("metadata")),
        )
        noted = await notes.add(request.tenant.name, request.endpoint.name, named.id, note)
        return STORED if noted else NOT_STORED


def _lane_of(receipt: Receipt) -> str:
    """By which lane of its target the answer came. What a cascade asks besides has a tier of its own."""
    for attempt in reversed(receipt.attempts):
        if attempt.target == receipt.target and attempt.tier == receipt.tier and attempt.error is None:
            return attempt.lane
    return ""


def _first(events: bytes) -> _Named | None:
    """What the first event of a stream names; None: there is none in `events`."""
    for line in events.splitlines():
        if line.startswith(DATA):
            return _named(line[len(DATA) :])
    return None


def _named(payload: bytes) -> _Named | None:
    try:
        return _decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
