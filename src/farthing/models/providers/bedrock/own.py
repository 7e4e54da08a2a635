"""A streamed answer of Bedrock for a client of Messages.

Claude's comes in frames each of which holds an event of Messages: the client gets these as its own SDK would
read them from Bedrock. What other models say comes in Converse, and is translated.
"""

import re
from collections.abc import Sequence

from farthing.dialects.conversation import Event
from farthing.dialects.converse import errors
from farthing.dialects.converse.streams.frames import Frame
from farthing.dialects.converse.streams.stream_reader import CHUNK, Reader, event_in
from farthing.dialects.events import BadAnswer, BadStream, ProviderSaid
from farthing.dialects.told import joined
from farthing.models.providers.anthropic import own as messages
from farthing.models.providers.bedrock.form import is_messages
from farthing.models.providers.decoder import AnswerForm, TranslatingDecoder
from farthing.text.lenient_json import any_json, write_json
from farthing.types import Dialect

KINDS = {
    "ThrottlingException": "rate_limit_error",
    "ModelNotReadyException": "overloaded_error",
    "ServiceUnavailableException": "overloaded_error",
    "ValidationException": "invalid_request_error",
    "AccessDeniedException": "permission_error",
    "ResourceNotFoundException": "not_found_error",
    "ModelTimeoutException": "timeout_error",
}
"""What a client of Messages knows an exception as; any other is an `api_error`."""


_kind = re.compile(rb'\{\s*"type"\s*:\s*"(\w+)"').match
"""What an event is, as each begins."""


class OwnDecoder(messages.OwnDecoder):
    """See `protocols.StreamDecoder`. Its pieces are `Told` where they are Claude's."""

    __slots__ = ("_translates",)

    def __init__(self, form: AnswerForm, event_bytes_max: int, *, created: int) -> None:
        super().__init__(event_bytes_max, created=created, form=form)
        self._translates = False
        """What comes is Converse."""

    def feed(self, data: bytes) -> bytes:
        reader = self._frames
        frames = reader.frames.feed(data)
        if frames and not reader.begun:
            self._translates = frames[0].kind == "event" and frames[0].name != CHUNK
        return self._converse(frames) if self._translates else self._messages(frames)

    @property
    def _frames(self) -> Reader:
        reader = self._reader
        assert isinstance(reader, Reader)
        return reader

    def _converse(self, frames: Sequence[Frame]) -> bytes:
        reader = self._frames
        found: list[Event] = []
        try:
            for frame in frames:
                if not reader.done:
                    reader.take_frame(frame, found)
            if reader.frames.fault and not reader.done:
                raise BadStream(reader.frames.fault)
        except BadAnswer as error:
            error.before = found
            raise self._fault(error) from None
        return self._tell(found) if found else b""

    def _messages(self, frames: Sequence[Frame]) -> bytes:
        blocks: list[bytes] = []
        fault: BadAnswer | None = None
        for frame in frames:
            try:
                blocks.append(_block(frame))
            except BadAnswer as error:
                fault = error
                break
        damaged = self._frames.frames.fault
        if fault is None and damaged:
            fault = BadStream(damaged)
        told = self._take(blocks)
        if fault is None or self._frames.done:
            return told
        payload = fault.payload if isinstance(fault, ProviderSaid) else b""
        broken = self._own_fault(fault, [], [], b"data: " + _as_messages(payload))
        if told:
            broken.before = joined([told, broken.before])
        raise broken

    def end(self) -> bytes:
        return TranslatingDecoder.end(self) if self._translates else super().end()

    def tells_all(self, dialect: Dialect) -> bool:
        return TranslatingDecoder.tells_all(self, dialect) if self._translates else super().tells_all(dialect)

    def whole(self, body: bytes) -> bytes:
        self._translates = not is_messages(body)
        return TranslatingDecoder.whole(self, body) if self._translates else super().whole(body)

    def own_end(self, cut: str | None) -> bytes | None:  # type: ignore[override]
        return None if self._translates else super().own_end(cut)

    def own_whole(self, events: bytes, cut: str | None) -> bytes | None:
        return None if self._translates else super().own_whole(events, cut)


def _block(frame: Frame) -> bytes:
    """The lines of the event that a frame holds.

    Raises:
        BadStream: it holds none. ProviderSaid: it is an exception.
    """
    if frame.kind != "event":
        raise ProviderSaid(errors.of_frame(frame))
    if frame.name != CHUNK:
        return b""
    data = event_in(frame)
    if b"\n" in data or b"\r" in data:
        data = write_json(any_json(data))
    kind = _kind(data)
    return b"data: " + data if kind is None else b"event: %b\ndata: %b" % (kind[1], data)


def _as_messages(payload: bytes) -> bytes:
    """An error of Bedrock as an event of Messages."""
    value = any_json(payload)
    error = value.get("error") if isinstance(value, dict) else None
    error = error if isinstance(error, dict) else {}
    kind = KINDS.get(str(error.get("type")), "api_error")
    told = {"type": kind, "message": str(error.get("message") or "the stream broke")}
    return write_json({"type": "error", "error": told})
