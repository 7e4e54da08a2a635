"""Answers that go to the client as they come: whole ones, and streams of events or of plain bytes."""

from collections.abc import Mapping

import msgspec

from farthing.dialects.errors import is_error
from farthing.dialects.events import BadStream as BadEvents
from farthing.dialects.events import EventSplitter, framed
from farthing.dialects.faults import BadStream, ProviderSaid
from farthing.dialects.passing.operations import Passing, wants_events
from farthing.dialects.passing.usage import Seen, spoken, tokens_of, usage_of
from farthing.text.lenient_json import NotJson, read_json
from farthing.types import Dialect, Json, Usage

LOOKED_AT_BYTES = 65_536  # of what came in the place of events, before any of it goes out
USAGE_NEAR_BYTES = 4_096  # from an end of an event: between may lie an image
NOTHING: Mapping[int, str] = {}


_decode = msgspec.json.Decoder(Seen).decode


class PassedReply:
    """A whole answer. See `protocols.Reply`."""

    __slots__ = ("body", "usage")

    finish_reason: str | None = None
    own: bytes | None = None
    whole_in_form = True
    model = fingerprint = ""
    took_ms: float | None = None
    text = ""
    is_plain = False
    all_stopped = True
    cites = False
    logprobs: list[float] | None = None

    def __init__(self, body: bytes, usage: Usage | None) -> None:
        self.body = body
        self.usage = usage

    def rewritten(self, body: bytes) -> "PassedReply":
        return PassedReply(body, self.usage)


def whole(passing: Passing, body: bytes, asked: Json) -> PassedReply:
    """A whole answer to `asked`, of whatever type.

    Raises:
        ProviderSaid: it is an error object, whatever its status was.
    """
    if body[:99].lstrip()[:1] != b"{":
        return PassedReply(body, None)
    try:
        seen = _decode(body)
        if len(body) <= LOOKED_AT_BYTES and is_error(read_json(body)):
            raise ProviderSaid(body)
    except (msgspec.DecodeError, UnicodeDecodeError, NotJson, RecursionError):
        return PassedReply(body, None)  # a transcript may begin so
    return PassedReply(body, usage_of(passing, seen, asked))


class PassedStream:
    """A stream as it comes: plain bytes, or events, whole ones. See `protocols.StreamDecoder`."""

    __slots__ = (
        "_asked",
        "_complete",
        "_held",
        "_held_bytes",
        "_passing",
        "_splitter",
        "_whole",
        "begun",
        "done",
        "usage",
    )

    finished = NOTHING
    finish_reason: str | None = None
    usage_event: bytes | None = None
    first_payload: bytes | None = None
    chunks = 0
    text_chars = 0
    states_nothing = False
    cites = False
    whole_in_form = True

    def __init__(self, passing: Passing, event_bytes_max: int, asked: Json) -> None:
        events = wants_events(passing, asked)
        self._asked = asked
        self._passing = passing
        self._splitter = EventSplitter(event_bytes_max) if events else None
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._whole = False
        """Something else came in place of events."""
        self._complete = False
        self.begun = False
        self.done = False
        self.usage = spoken(passing, asked)

    def tells_all(self, dialect: Dialect) -> bool:
        return False

    def feed(self, data: bytes) -> bytes:
        if self._splitter is None:
            self.begun = self.begun or bool(data)
            return data
        if not self.begun and not self._whole and not self._held:
            data = data.lstrip() if data[:1].isspace() else data
            self._whole = bool(data) and data[:1] in b"{[<"
        if self._whole:
            return self._look_at(data)
        try:
            return self._events(self._splitter.blocks(data))
        except BadEvents as error:
            raise BadStream(str(error)) from None

    def whole(self, body: bytes) -> bytes:
        return self.feed(body) + self.end()

    def end(self) -> bytes:
        block = b""
        if self._splitter is not None and not self._whole:
            try:
                block = self._events(self._splitter.last_blocks())
            except BadEvents as error:
                raise BadStream(str(error)) from None
        elif self._held:
            body = b"".join(self._held)
            reply = whole(self._passing, body, self._asked)
            self.usage, self.begun, block = reply.usage, True, body
            self._held = []
        self._complete = True
        return block

    def ended(self, choices: int) -> bool:
        return self._complete

    def own_end(self, cut: str | None) -> bytes | None:
        return None

    def own_whole(self, events: bytes, cut: str | None) -> bytes | None:
        return None

    def _look_at(self, data: bytes) -> bytes:
        """Hold what came in the place of events till it is known to be no error, or is long."""
        if self.begun:
            return data
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes <= LOOKED_AT_BYTES:
            return b""
        self.begun = True
        held, self._held = b"".join(self._held), []
        return held

    def _events(self, blocks: list[bytes]) -> bytes:
        """Whole events, as they are sent on.

        Raises:
            ProviderSaid: one is an error.
        """
        good: list[bytes] = []
        for block in blocks:
            event = framed(block)
            if event is not None:
                self._read(event[1], good)
            if block:
                good.append(b"%b\n\n" % block)
        return b"".join(good)

    def _read(self, data: bytes, good: list[bytes]) -> None:
        near = (
            data if len(data) <= 2 * USAGE_NEAR_BYTES else data[:USAGE_NEAR_BYTES] + data[-USAGE_NEAR_BYTES:]
        )
        if b'"usage"' in near or b'"error"' in near or not self.begun:
            try:
                value = read_json(data)
            except (NotJson, RecursionError):
                value = None
            if isinstance(value, dict):
                if is_error(value) or value.get("type") == "error":
                    error = ProviderSaid(data)
                    error.before = b"".join(good)
                    raise error
                self.usage = tokens_of(self._passing, value.get("usage")) or self.usage
        self.begun = True
