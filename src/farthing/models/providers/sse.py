"""Server-sent events of a streamed chat completion: bytes in, whole events and what they say out.

The bytes of an event go on as they came; each event is decoded once, into the few fields that
accounting, caching and truth need, which also proves that it is JSON. Three things are kept back for
the caller to send last, after the receipt is written: the usage chunk, and `[DONE]`.

Sans-I/O and bounded: no event may be longer than `event_bytes_max`.
Source: HTML Living Standard, 9.2.6 (line ends CR, LF, CRLF; `:` comments; several `data` lines).
"""

import msgspec
from msgspec import Struct

from farthing.models.providers.usage import UNSAID, UsageForm, read_usage
from farthing.types import Usage

DONE = b"data: [DONE]\n\n"


class Delta(Struct):
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[msgspec.Raw] | None = None


class ChunkChoice(Struct):
    delta: Delta | None = None
    finish_reason: str | None = None
    index: int = 0


NULL = msgspec.Raw(b"null")


class WireChunk(Struct):
    choices: list[ChunkChoice] | None = None
    usage: msgspec.Raw = NULL
    service_tier: msgspec.Raw = NULL
    error: msgspec.Raw = NULL


_decode = msgspec.json.Decoder(WireChunk).decode


class PlainChoice(Struct):
    delta: msgspec.Raw
    finish_reason: None = None


class PlainChunk(Struct):
    """A chunk with nothing in it but a piece of the answer; any other does not fit."""

    choices: list[PlainChoice]
    usage: None = None
    error: None = None


UNCOUNTED_BYTES_MAX = 131_072  # of a stream that are held until they are counted

_FINISH = b'"finish_reason":"'
_DONE = b"data: [DONE]"

_decode_plain = msgspec.json.Decoder(list[PlainChunk]).decode
_decode_list = msgspec.json.Decoder(list[WireChunk]).decode
_decode_any = msgspec.json.Decoder().decode


class BadStream(Exception):
    """What came is not a stream of chat completion chunks. The message says why."""


class ProviderSaid(BadStream):
    """An error object in the middle of the stream; `payload` is its JSON."""

    def __init__(self, message: str, payload: bytes) -> None:
        super().__init__(message)
        self.payload = payload


class EventReader:
    """Feed it what comes; it returns the events that are complete and remembers what they said."""

    __slots__ = (
        "_buffer",
        "_chunks",
        "_event_bytes_max",
        "_held_cr",
        "_text_chars",
        "_uncounted",
        "_uncounted_bytes",
        "_usage_form",
        "done",
        "finish_reason",
        "finished",
        "first_payload",
        "usage",
        "usage_event",
    )

    def __init__(self, event_bytes_max: int, usage_form: UsageForm = UNSAID) -> None:
        self._event_bytes_max = event_bytes_max
        self._usage_form = usage_form
        self._buffer = b""
        self._held_cr = False
        self.done = False
        """`[DONE]` has come; whatever follows is ignored."""
        self._chunks = 0
        self._text_chars = 0
        self._uncounted: list[bytes] = []
        self._uncounted_bytes = 0
        self.finish_reason: str | None = None
        self.finished: dict[int, str] = {}
        """Indices of the choices that have ended, and how."""
        self.usage: Usage | None = None
        self.usage_event: bytes | None = None
        """The JSON of the chunk that held only the usage; kept back."""
        self.first_payload: bytes | None = None

    def feed(self, data: bytes) -> bytes:
        """Return the complete events in `data` and what was left before it, ready to send on.

        Raises:
            BadStream: not events, not JSON, an event too long. ProviderSaid: an error object came.
        """
        if (
            data.endswith(b"\n\n")
            and not self._buffer
            and not self._held_cr
            and data.isascii()
            and b"\r" not in data
            and self._plain_until(data) == len(data)
            and self._read_plain(data)
        ):
            return data  # nothing but whole plain events, as nearly always
        if self._held_cr:
            data = b"\r" + data
            self._held_cr = False
        if b"\r" in data:
            if data.endswith(b"\r"):  # the LF of this CRLF may be still to come
                data = data[:-1]
                self._held_cr = True
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if self._buffer:
            data = self._buffer + data
        end = data.rfind(b"\n\n")
        if end < 0:
            self._keep(data)
            return b""
        self._keep(data[end + 2 :])
        block = data[: end + 2]
        if not block.isascii():
            _check_utf8(block)  # the parser looks only into the strings that are read
        plain = self._plain_until(block)
        if plain and self._read_plain(block[:plain]):
            if plain == len(block):
                return block
        else:
            plain = 0
        passed = [block[:plain]]
        for event in block[plain:-2].split(b"\n\n"):
            if not self._read(event):
                passed.append(event + b"\n\n")
        return b"".join(passed)

    def _plain_until(self, block: bytes) -> int:
        """Where the plain events at the start of `block` end: a guess, which `_read_plain` proves."""
        if self.done or not block.startswith(b"data: {"):
            return 0
        end = block.find(_FINISH)
        if end < 0:
            end = block.find(_DONE)
        if end < 0:
            return len(block)
        boundary = block.rfind(b"\n\n", 0, end)
        return 0 if boundary < 0 else boundary + 2

    def _read_plain(self, block: bytes) -> bool:
        """Read a block of nothing but plain chunks in one go; False, and nothing read, when it is not one.

        Plain is one line of `data: {...}` an event, without finish, usage or error: nearly all of a
        stream. A line end is never inside JSON, so with commas for line ends the block is one list, and
        decoding it into a type that has no place for the rest is the proof. What is in it is counted
        when somebody asks, which nobody does once the provider has said its usage.
        """
        events = block.count(b"\n\ndata: {") + 1
        if block.count(b"\n") != 2 * events:
            return False
        try:
            if len(_decode_plain(_listed(block))) != events:  # two values in one event are no JSON
                return False
        except msgspec.DecodeError:  # what is wrong with it is for the slow path to say
            return False
        if self.first_payload is None:
            self.first_payload = block[6 : block.index(b"\n")]
        self._uncounted.append(block)
        self._uncounted_bytes += len(block)
        if self._uncounted_bytes > UNCOUNTED_BYTES_MAX:
            self._count()
        return True

    def _count(self) -> None:
        """Count what plain blocks held."""
        blocks = self._uncounted
        if blocks:
            self._uncounted = []
            self._uncounted_bytes = 0
            for block in blocks:
                try:
                    chunks = _decode_list(_listed(block))
                except msgspec.ValidationError:  # one of them is shaped in a way we do not know
                    self._count_one_by_one(block)
                    continue
                for chunk in chunks:
                    for choice in chunk.choices or ():
                        self._choice(choice)

    def _count_one_by_one(self, block: bytes) -> None:
        for payload in block[6:-2].split(b"\n\ndata: "):
            try:
                chunk = _decode(payload)
            except msgspec.ValidationError:
                self._chunks += 1  # at least one token
                continue
            for choice in chunk.choices or ():
                self._choice(choice)

    @property
    def chunks(self) -> int:
        """Deltas that carried content: at least one token each. One with a role alone has none."""
        self._count()
        return self._chunks

    @property
    def text_chars(self) -> int:
        self._count()
        return self._text_chars

    def end(self) -> bytes:
        """The stream is over: return what a CR that came last completes."""
        return self.feed(b"\n") if self._held_cr else b""

    def _keep(self, rest: bytes) -> None:
        if len(rest) > self._event_bytes_max:
            raise BadStream(f"an event is longer than {self._event_bytes_max} bytes")
        self._buffer = rest

    def _read(self, event: bytes) -> bool:
        """Take in one event; True when it must not be sent on now."""
        if event.startswith(b"data: {") and b"\n" not in event:
            return self._chunk(event[6:])
        payload = _data_of(event)
        if payload is None:  # a comment or a field we do not know: sent on as it is
            return False
        if payload == b"[DONE]":
            self.done = True
            return True
        return self._chunk(payload)

    def _chunk(self, payload: bytes) -> bool:
        if self.done:
            return True
        try:
            chunk = _decode(payload)
        except msgspec.ValidationError:  # JSON, but shaped in a way we do not know: carried, not read
            self._opaque(payload)
            return False
        except msgspec.DecodeError as error:
            raise BadStream(f"an event is not JSON: {error}") from None
        if chunk.error is not NULL and bytes(chunk.error) != b"null":
            raise ProviderSaid("the provider reported an error", payload)
        if self.first_payload is None:
            self.first_payload = payload
        choices = chunk.choices
        for choice in choices or ():
            self._choice(choice)
        if chunk.usage is not NULL and bytes(chunk.usage) != b"null":
            tier = None if chunk.service_tier is NULL else chunk.service_tier
            self.usage = read_usage(chunk.usage, self._usage_form, service_tier=tier) or self.usage
            if not choices:
                self.usage_event = payload
                return True
        return False

    def _choice(self, choice: ChunkChoice) -> None:
        delta = choice.delta
        if delta is not None:
            text = delta.content or delta.reasoning_content
            self._text_chars += len(text or "")
            self._chunks += bool(text or delta.tool_calls)
        if choice.finish_reason is not None:
            self.finish_reason = choice.finish_reason
            self.finished[choice.index] = choice.finish_reason

    def _opaque(self, payload: bytes) -> None:
        try:
            value = _decode_any(payload)
        except msgspec.DecodeError as error:
            raise BadStream(f"an event is not JSON: {error}") from None
        if not isinstance(value, dict):
            raise BadStream("an event is not a JSON object")
        if value.get("error"):
            raise ProviderSaid("the provider reported an error", payload)
        self._chunks += 1


def _listed(block: bytes) -> bytes:
    """The JSON list of the chunks in a plain block."""
    return b"[%b]" % block[6:-2].replace(b"\n\ndata: ", b",")


def _data_of(event: bytes) -> bytes | None:
    """The joined `data` lines of an event; None when it has none.

    Raises:
        BadStream: a line that is no field of an event stream, as the start of an HTML page.
    """
    lines = []
    for line in event.split(b"\n"):
        if line.startswith(b"data:"):
            lines.append(line[6:] if line.startswith(b"data: ") else line[5:])
        elif line and not line.startswith((b":", b"event", b"id", b"retry")):
            raise BadStream("what came is not an event stream")
    return b"\n".join(lines) if lines else None


def _check_utf8(block: bytes) -> None:
    try:
        block.decode()
    except UnicodeDecodeError as error:
        raise BadStream(f"an event is not JSON: not UTF-8: {error.reason}") from None
