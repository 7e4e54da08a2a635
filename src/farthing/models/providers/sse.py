"""Server-sent events of a streamed chat completion: bytes in, whole events and what they say out.

The bytes of an event go on as they came; each event is decoded once, into the few fields that
accounting, caching and truth need, which also proves that it is JSON. Three things are kept back for
the caller to send last, after the receipt is written: the usage chunk, and `[DONE]`.

Sans-I/O and bounded: no event may be longer than `event_bytes_max`.
Source: HTML Living Standard, 9.2.6 (line ends CR, LF, CRLF; `:` comments; several `data` lines).
"""

import msgspec
from msgspec import Struct

from farthing.types import Usage

DONE = b"data: [DONE]\n\n"


class PromptDetails(Struct):
    cached_tokens: int | None = None


class CompletionDetails(Struct):
    reasoning_tokens: int | None = None


class WireUsage(Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    prompt_cache_hit_tokens: int | None = None
    """DeepSeek's name for cached tokens."""


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
    usage: WireUsage | None = None
    error: msgspec.Raw = NULL


_decode = msgspec.json.Decoder(WireChunk).decode
_decode_list = msgspec.json.Decoder(list[WireChunk]).decode
_decode_any = msgspec.json.Decoder().decode


class BadStream(Exception):
    """What came is not a stream of chat completion chunks. The message says why."""


class ProviderSaid(BadStream):
    """An error object in the middle of the stream; `payload` is its JSON."""

    def __init__(self, message: str, payload: bytes) -> None:
        super().__init__(message)
        self.payload = payload


def usage_of(wire: WireUsage | None) -> Usage | None:
    """OpenAI's usage object in our terms; None when it counts nothing."""
    if wire is None or (wire.prompt_tokens is None and wire.completion_tokens is None):
        return None
    cached = wire.prompt_cache_hit_tokens or 0
    if wire.prompt_tokens_details is not None:
        cached = wire.prompt_tokens_details.cached_tokens or cached
    details = wire.completion_tokens_details
    return Usage(
        input_tokens=max(0, wire.prompt_tokens or 0),
        output_tokens=max(0, wire.completion_tokens or 0),
        cached_tokens=max(0, cached),
        reasoning_tokens=0 if details is None else max(0, details.reasoning_tokens or 0),
    )


class EventReader:
    """Feed it what comes; it returns the events that are complete and remembers what they said."""

    __slots__ = (
        "_buffer",
        "_event_bytes_max",
        "_held_cr",
        "chunks",
        "done",
        "finish_reason",
        "finished_choices",
        "last_payload",
        "text_chars",
        "usage",
        "usage_event",
    )

    def __init__(self, event_bytes_max: int) -> None:
        self._event_bytes_max = event_bytes_max
        self._buffer = b""
        self._held_cr = False
        self.done = False
        """`[DONE]` has come; whatever follows is ignored."""
        self.chunks = 0
        """Deltas that carried content: at least one token each. One with a role alone has none."""
        self.text_chars = 0
        self.finish_reason: str | None = None
        self.finished_choices = 0
        self.usage: Usage | None = None
        self.usage_event: bytes | None = None
        """The JSON of the chunk that held only the usage; kept back."""
        self.last_payload: bytes | None = None

    def feed(self, data: bytes) -> bytes:
        """Return the complete events in `data` and what was left before it, ready to send on.

        Raises:
            BadStream: not events, not JSON, an event too long. ProviderSaid: an error object came.
        """
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
        if self._read_plain(block):
            return block
        kept_back = False
        for event in block[:-2].split(b"\n\n"):
            if self._read(event):
                kept_back = True
        return self._without_kept(block) if kept_back else block

    def _read_plain(self, block: bytes) -> bool:
        """Read a block of nothing but plain chunks in one go; False, and nothing read, when it is not one.

        Plain is one line of `data: {...}` an event, without finish, usage or error: nearly all of a
        stream. A line end is never inside JSON, so with commas for line ends the block is one list.
        """
        events = block.count(b"\n\ndata: {") + 1
        if self.done or not block.startswith(b"data: {") or block.count(b"\n") != 2 * events:
            return False
        try:
            chunks = _decode_list(b"[%b]" % block[6:-2].replace(b"\n\ndata: ", b","))
        except msgspec.DecodeError:  # what is wrong with it is for the slow path to say
            return False
        texts = chars = 0
        for chunk in chunks:
            if chunk.usage is not None or chunk.error is not NULL:
                return False
            for choice in chunk.choices or ():
                if choice.finish_reason is not None:
                    return False
                delta = choice.delta
                if delta is not None:
                    text = delta.content or delta.reasoning_content
                    if text:
                        texts += 1
                        chars += len(text)
                    elif delta.tool_calls:
                        texts += 1
        self.chunks += texts
        self.text_chars += chars
        self.last_payload = block[block.rfind(b"\n\n", 0, -2) + 8 : -2] if events > 1 else block[6:-2]
        return True

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
        self.last_payload = payload
        choices = chunk.choices
        if choices:
            for choice in choices:
                delta = choice.delta
                if delta is not None:
                    text = delta.content or delta.reasoning_content
                    if text:
                        self.text_chars += len(text)
                        self.chunks += 1
                    elif delta.tool_calls:
                        self.chunks += 1
                if choice.finish_reason is not None:
                    self.finish_reason = choice.finish_reason
                    self.finished_choices += 1
        if chunk.usage is not None:
            self.usage = usage_of(chunk.usage) or self.usage
            if not choices:
                self.usage_event = payload
                return True
        return False

    def _opaque(self, payload: bytes) -> None:
        try:
            value = _decode_any(payload)
        except msgspec.DecodeError as error:
            raise BadStream(f"an event is not JSON: {error}") from None
        if not isinstance(value, dict):
            raise BadStream("an event is not a JSON object")
        if value.get("error"):
            raise ProviderSaid("the provider reported an error", payload)
        self.chunks += 1

    def _without_kept(self, block: bytes) -> bytes:
        """`block` without the usage chunk, `[DONE]` and what follows it."""
        kept = []
        for event in block[:-2].split(b"\n\n"):
            payload = _data_of(event)
            if payload == b"[DONE]":
                break
            if payload is None or payload != self.usage_event:
                kept.append(event + b"\n\n")
        return b"".join(kept)


def _check_utf8(block: bytes) -> None:
    try:
        block.decode()
    except UnicodeDecodeError as error:
        raise BadStream(f"an event is not JSON: not UTF-8: {error.reason}") from None


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
