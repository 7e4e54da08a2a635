"""Server-sent events of a streamed chat completion: bytes in, whole events and what they say out.

The bytes of an event go on as they came; each event is decoded once, into the few fields that
accounting, caching and truth need. Two things are kept back for the caller to send last, after the receipt
is written: the usage chunk, and `[DONE]`. What says nothing (`data: null`, `event: ping`) becomes a comment.

Lenient where a side field is odd, strict where the answer is missing: what is in the usual shape is read by
typed decoders, and what they refuse is read value by value (`_loose`). Only what is no JSON object at all
ends a stream, or an error of the provider's.

Sans-I/O and bounded: no event may be longer than `event_bytes_max`.
Source: HTML Living Standard, 9.2.6 (line ends CR, LF, CRLF; `:` comments; several `data` lines; unknown
fields are ignored; one byte order mark before the first event).
"""

from typing import Any

import msgspec
from msgspec import Raw

from farthing.dialects.chat.answers.completion import NotChunks, explode
from farthing.dialects.chat.answers.shown import chars_in, cites, said_chars
from farthing.dialects.chat.streams.chunks import (
    ChunkChoice,
    decode_chunk,
    decode_chunks,
    decode_plain,
    finish_of,
    is_meaningful,
    is_whole,
)
from farthing.dialects.chat.usage import UNSAID, UsageForm, read_usage, states_nought, tier_shown
from farthing.dialects.errors import FAILED_FINISHES, MINIMAX, failed_choice, is_error
from farthing.dialects.faults import BadStream, ProviderSaid
from farthing.text.lenient_json import BOM, NULL, NotJson, any_json, read_json, write_json
from farthing.types import Dialect, Json, Usage

DONE = b"data: [DONE]\n\n"
_MINIMAX = b'"%b"' % MINIMAX.encode()
ALIVE = b":\n"
"""What a client gets in the place of an event that says nothing but that the connection lives: else its read
timeout would end what goes on well without us."""
PINGS = frozenset({b"ping", b"heartbeat", b"keepalive", b"keep-alive"})
"""Names of events that only keep a connection open."""
EMPTY_EVENTS_MAX = 100_000  # of a stream: reading as many that say nothing takes a tenth of a second
UNCOUNTED_BYTES_MAX = 131_072  # of a stream that are held until they are counted

_FINISH = b'"finish_reason":"'
_DONE = b"data: [DONE]"


class EventReader:
    """Feed it what comes; it returns the events that are complete and remembers what they said."""

    __slots__ = (
        "_buffer",
        "_buffered_bytes",
        "_chunks",
        "_empty_events",
        "_event_bytes_max",
        "_failed",
        "_held_cr",
        "_nought",
        "_seen",
        "_shows",
        "_text_chars",
        "_uncounted",
        "_uncounted_bytes",
        "_usage_form",
        "begun",
        "cites",
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
        self._buffer: list[bytes] = []
        """What has come of an event, in pieces: joining at each piece would copy all before it."""
        self._buffered_bytes = 0
        self._held_cr = False
        self.begun = False
        """Something of the answer has come: content, a call of a tool, a refusal, reasoning, or its finish.
        What came before it (a role, a filter's result) may still be taken back."""
        self.cites = False
        """It names pages that were searched for, which may be charged for."""
        self.done = False
        """`[DONE]` has come; whatever follows is ignored."""
        self._chunks = 0
        self._empty_events = 0
        self._failed: bytes | None = None
        """The error of a choice that failed with nothing said: what it cost is still to come."""
        self._nought = False
        """The last usage says in so many words that nothing was written."""
        self._shows = False
        """Something came that is not counted in characters."""
        self._seen: set[int] = set()
        """Indices of the choices that have been counted."""
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
        """The first chunk with a choice in it, whose id and model are the answer's."""

    def feed(self, data: bytes) -> bytes:
        """Return the complete events in `data` and what was left before it, ready to send on.

        Raises:
            BadStream: not events, not JSON, an event too long. ProviderSaid: an error object came.
        """
        tried = False
        if (
            self.begun
            and data.endswith(b"\n\n")
            and not self._buffer
            and not self._held_cr
            and data.isascii()
            and b"\r" not in data
            and self._plain_until(data) == len(data)
        ):
            if self._read_plain(data):
                return data  # nothing but whole plain events, as nearly always
            tried = True
        if self._held_cr:
            data = b"\r" + data
            self._held_cr = False
        if b"\r" in data:
            if data.endswith(b"\r"):  # the LF of this CRLF may be still to come
                data = data[:-1]
                self._held_cr = True
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        buffer = self._buffer
        end = data.rfind(b"\n\n")
        if end < 0 and not (buffer and buffer[-1][-1:] == data[:1] == b"\n"):
            self._keep(data)
            return b""
        if buffer:
            data = b"".join(buffer) + data
            buffer.clear()
            self._buffered_bytes = 0
            end = data.rfind(b"\n\n")
        self._keep(data[end + 2 :])
        block = data[: end + 2]
        passed: list[bytes] = []
        try:
            self._read_block(block, passed, tried)
        except BadStream as error:
            error.before = b"".join(passed)
            raise
        return b"".join(passed)

    def _read_block(self, block: bytes, passed: list[bytes], tried: bool) -> None:
        """Take in whole events, and add to `passed` what of them is to be sent on now. `tried`: they were
        looked at, and are not all plain."""
        if not block.isascii():
            why = _not_utf8(block)  # the parser looks only into the strings that are read
            if why is not None:
                good = block[: block.rfind(b"\n\n", 0, why.start) + 1]
                if good:
                    self._read_block(good + b"\n", passed, tried)
                raise BadStream(f"an event is not JSON: not UTF-8: {why.reason}")
        at = 0
        while at < len(block) and not self.begun:
            end = block.find(b"\n\n", at)
            end = len(block) if end < 0 else end  # blank lines that belong to no event
            passed.append(self._read(block[at:end]))
            at = end + 2
        block = block[at:]
        plain = 0 if tried else self._plain_until(block)
        if plain and self._read_plain(block[:plain]):
            passed.append(block[:plain])
            block = block[plain:]
        if block:
            for event in block[:-2].split(b"\n\n"):
                passed.append(self._read(event))

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
            if len(decode_plain(_listed(block))) != events:  # two values in one event are no JSON
                return False
        except (msgspec.DecodeError, RecursionError):  # what is wrong with it is for the slow path to say
            return False
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
                    chunks = decode_chunks(_listed(block))
                except (msgspec.DecodeError, RecursionError):  # one of them has a shape we do not know
                    self._count_one_by_one(block)
                    continue
                for chunk in chunks:
                    for choice in chunk.choices or ():
                        self._choice(choice)

    def _count_one_by_one(self, block: bytes) -> None:
        for payload in block[6:-2].split(b"\n\ndata: "):
            try:
                choices: Any = decode_chunk(payload).choices
            except (msgspec.DecodeError, RecursionError):
                value = any_json(payload)
                self._loose_choices(value if isinstance(value, dict) else {})
                continue
            for choice in choices or ():
                self._choice(choice)

    @property
    def chunks(self) -> int:
        """Deltas that carried content: at least one token each. One with a role alone has none."""
        self._count()
        return self._chunks

    @property
    def text_chars(self) -> int:
        """Characters of what was said, reasoning and the arguments of calls included."""
        self._count()
        return self._text_chars

    @property
    def states_nothing(self) -> bool:
        """Whether nothing was said to the end, and the usage says so too: it is a statement then, not the
        lack of one."""
        told = self._nought and (self.done or self.usage_event is not None)
        return told and not (self._shows or self.chunks or self.text_chars)

    def end(self) -> bytes:
        """The body is complete: return what an event without its blank line comes to.

        Raises:
            BadStream, ProviderSaid: as `feed`.
        """
        passed = self.feed(b"\n") if self._held_cr else b""
        passed += self.feed(b"\n\n") if b"".join(self._buffer).strip() else b""
        self._done_if_failed()
        return passed

    def whole(self, body: bytes) -> bytes:
        """The events, up to the closing ones, that say what a whole answer says which came in place of a
        stream: it is paid for.

        Raises:
            ProviderSaid: it is no answer. BadStream: as `feed`.
        """
        try:
            events = explode(body, include_usage=True)
        except NotChunks:
            raise ProviderSaid(body) from None
        return self.feed(events + DONE)

    def ended(self, choices: int) -> bool:
        """Whether the answer is complete: `[DONE]`, or a finish of so many choices and of all that began."""
        if self.done or len(self.finished) < choices or self._failed is not None:
            return self.done
        self._count()
        return self._seen <= self.finished.keys()

    @property
    def whole_in_form(self) -> bool:
        """They are the form."""
        return True

    def tells_all(self, dialect: Dialect) -> bool:
        """As `whole_in_form`."""
        return True

    def own_end(self, cut: str | None) -> bytes | None:
        """Its pieces are in one form."""
        return None

    def own_whole(self, events: bytes, cut: str | None) -> bytes | None:
        """As `own_end`."""
        return None

    def _keep(self, rest: bytes) -> None:
        if rest:
            self._buffer.append(rest)
            self._buffered_bytes += len(rest)
        if self._buffered_bytes > self._event_bytes_max:
            raise BadStream(f"an event is longer than {self._event_bytes_max} bytes")

    def _read(self, event: bytes) -> bytes:
        """Take in one event, and return what of it is to be sent on now."""
        if event.startswith(b"data: {") and b"\n" not in event:
            return self._chunk(event[6:], event)
        if event == _DONE:
            self._done_if_failed()
            self.done = True
            return b""
        if BOM in event:
            event = b"\n".join(line.removeprefix(BOM) for line in event.split(b"\n"))
        name, payload = _fields_of(event)
        if name == b"error" and payload is not None:
            raise ProviderSaid(payload)
        if not payload or payload == b"null" or name in PINGS:
            self._empty_events += 1
            if self._empty_events > EMPTY_EVENTS_MAX:
                raise BadStream(f"more than {EMPTY_EVENTS_MAX} events say nothing")
            return ALIVE if self.begun and not self.done and event.strip() else b""
        if payload.startswith((b"[DONE]", b'"[DONE]"')):
            self._done_if_failed()
            self.done = True
            return b""
        return self._chunk(payload, event)

    def _chunk(self, payload: bytes, event: bytes) -> bytes:
        """Take in one chunk, and return the events to send on for it."""
        if self.done:
            return b""
        try:
            chunk = decode_chunk(payload)
        except (msgspec.DecodeError, RecursionError):
            return self._loose(payload, event)
        choices = chunk.choices
        if chunk.error is not NULL or (not choices and (chunk.usage is NULL or _MINIMAX in payload)):
            return self._loose(payload, event)
        for choice in choices or ():
            if choice.delta is None and b'"message"' in payload:
                return self._loose(payload, event)
            self._choice(choice)
            if choice.error is not NULL or choice.finish_reason in FAILED_FINISHES:
                self._note_failed(read_json(payload)["choices"])
            if choice.usage is not NULL:
                self._used(choice.usage, chunk.service_tier)
        if chunk.x_groq is not NULL:
            self._groq(any_json(chunk.x_groq), chunk.service_tier)
        if self._failed is not None:
            return self._cost_of_failed(chunk.usage, chunk.service_tier)
        held = self._note(payload, bool(choices), chunk.usage, chunk.service_tier)
        return b"" if held else event + b"\n\n"

    def _note_failed(self, choices: list[Any]) -> None:
        """Note that where nothing was said, a choice that ended by a failure is an error, not an answer."""
        if self.begun or self._chunks:
            return
        errors = (failed_choice(choice) for choice in choices if isinstance(choice, dict))
        self._failed = self._failed or next((error for error in errors if error is not None), None)

    def _cost_of_failed(self, usage: Raw, service_tier: Raw) -> bytes:
        """Take in the usage of an answer that failed, which may come with its end or behind it.

        Raises:
            ProviderSaid: it has come.
        """
        if usage is not NULL and bytes(usage) != b"null":
            self._used(usage, service_tier)
        if self.usage is not None:
            self._done_if_failed()
        return b""

    def _done_if_failed(self) -> None:
        """Raises:
        ProviderSaid: a choice failed with nothing said.
        """
        if self._failed is not None:
            raise ProviderSaid(self._failed, self.usage)

    def _used(self, usage: Raw, service_tier: Raw) -> None:
        """Take in a usage object; the last that counts anything holds."""
        tier = tier_shown(self.first_payload) if service_tier is NULL else service_tier
        read = read_usage(usage, self._usage_form, service_tier=tier)
        self._nought = (read is None or read.estimated) and states_nought(usage)
        self.usage = read or self.usage

    def _groq(self, said: Any, service_tier: Raw) -> None:
        usage = said.get("usage") if isinstance(said, dict) else None
        if usage is not None:
            self._used(_raw(usage), service_tier)

    def _note(self, payload: bytes, has_choices: bool, usage: Raw, service_tier: Raw) -> bool:
        """What else a chunk says; True when it must not be sent on now."""
        if has_choices and self.first_payload is None:
            self.first_payload = payload
        if usage is not NULL and bytes(usage) != b"null":
            self._used(usage, service_tier)
            if not has_choices:
                self.usage_event = payload.replace(b"\n", b" ")  # it may have come in several lines
                return True
        if self._chunks == 0 and not self._shows:  # it may come after a finish
            self._shows = is_meaningful(payload)
        if not self.begun:
            self.begun = self._chunks > 0 or bool(self.finished) or self._shows
        return False

    def _choice(self, choice: ChunkChoice) -> None:
        delta = choice.delta
        if delta is not None:
            chars = len(delta.content or delta.refusal or "")
            chars += len(delta.reasoning_content or delta.reasoning or "")
            for call in delta.tool_calls or ():
                chars += 0 if call.function is None else call.function.chars()
            if not chars:
                for thoughts in (delta.thinking, delta.reasoning_details, delta.thinking_blocks):
                    chars = chars or (0 if thoughts is NULL else chars_in(any_json(thoughts)))
            if delta.function_call is not None:
                chars += delta.function_call.chars()
            if delta.annotations is not NULL and cites(bytes(delta.annotations)):
                self.cites = True
            self._text_chars += chars
            self._chunks += bool(chars or delta.tool_calls or delta.function_call)
        if choice.finish_reason:
            self._finish(choice.index, choice.finish_reason)
        self._seen.add(choice.index)

    def _finish(self, index: int, reason: str) -> None:
        self.finish_reason = reason
        self.finished[index] = reason

    # -- chunks of another shape than the usual --------------------------------------------------------

    def _loose(self, payload: bytes, event: bytes) -> bytes:
        """As `_chunk`, of one that the typed decoders refuse, or that holds more than a chunk does."""
        try:
            value = read_json(payload)
        except NotJson as error:
            raise BadStream(f"an event is not JSON: {error}") from None
        if isinstance(value, list) and value and isinstance(value[0], dict) and is_error(value[0]):
            raise ProviderSaid(payload)
        if not isinstance(value, dict):
            raise BadStream("an event is not a JSON object")
        if is_error(value):
            raise ProviderSaid(payload)
        if is_whole(value):  # all of an answer in one event
            try:
                events = explode(payload, include_usage=True).split(b"\n\n")
            except NotChunks as error:
                raise BadStream(f"an event is no whole answer: {error}") from None
            return b"".join(map(self._read, events))
        if value.get("error"):  # an object in which nothing is said, which clients would take for an error
            del value["error"]
            payload = write_json(value)
            event = b"data: " + payload
        has_choices = self._loose_choices(value)
        if has_choices:
            self._note_failed(value["choices"])
        tier = _raw(value.get("service_tier"))
        self._groq(value.get("x_groq"), tier)
        if self._failed is not None:
            return self._cost_of_failed(_raw(value.get("usage")), tier)
        held = self._note(payload, has_choices, _raw(value.get("usage")), tier)
        return b"" if held else event + b"\n\n"

    def _loose_choices(self, value: Json) -> bool:
        """Take in the choices of a chunk as far as they can be read; False: there are none."""
        choices = value.get("choices")
        found = [one for one in choices if isinstance(one, dict)] if isinstance(choices, list) else []
        for one in found:
            place, delta = one.get("index"), one.get("delta")
            index = place if isinstance(place, int) else 0
            self._loose_delta(delta if isinstance(delta, dict) else {})
            reason = finish_of(one.get("finish_reason"))
            if reason is not None:
                self._finish(index, reason)
            self._seen.add(index)
            if one.get("usage") is not None:
                self._used(_raw(one["usage"]), _raw(value.get("service_tier")))
        return bool(found)

    def _loose_delta(self, delta: Json) -> None:
        chars = said_chars(delta)
        if delta.get("annotations") and cites(write_json(delta["annotations"])):
            self.cites = True
        self._text_chars += chars
        self._chunks += bool(chars or delta.get("tool_calls") or delta.get("function_call"))


def _raw(value: Any) -> Raw:
    return NULL if value is None else Raw(write_json(value))


def _listed(block: bytes) -> bytes:
    """The JSON list of the chunks in a plain block."""
    return b"[%b]" % block[6:-2].replace(b"\n\ndata: ", b",")


def _fields_of(event: bytes) -> tuple[bytes, bytes | None]:
    """Name and joined `data` lines of an event; None when it has none of these. Other fields are ignored."""
    name = b""
    lines: list[bytes] = []
    for line in event.split(b"\n"):
        field, _, value = line.partition(b":")
        if field == b"data":
            lines.append(value)
        elif field == b"event":
            name = value.strip()
    return name, b"\n".join(lines).strip() if lines else None


def _not_utf8(block: bytes) -> UnicodeDecodeError | None:
    try:
        block.decode()
    except UnicodeDecodeError as error:
        return error
    return None
