"""The format of ledger rows on disk, and their decoding.

A segment is a sequence of frames, each at a multiple of eight bytes:

    u32 length | u32 crc32 of the payload | payload (msgpack) | zeros to the next multiple of eight

A length of zero is the end. The first payload is the head of the segment: a map with the magic, the format
version, who wrote it, and the names of the fields in the order in which rows store their values. Every later
payload is an array that starts with its kind:

    [1, [values of an intent]]
    [2, [values of a receipt]]      with its usage and attempts nested in place
    [3, [values of a signal]]

Between them are marks, in which a writer records how many rows it has written so far, in all its segments:

    [4, [rows, count]]              the first after the head
    [5, [rows, count]]              the last of a sealed segment

A writer that does not know how many there were starts a new count, with another random id.

Names are stored once per segment, so rows are small, and a reader maps values by name: a newer field gets its
default when an old segment is read, an unknown field is left out.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Any

import msgspec

from farthing.types import Attempt, PromptCacheUse, Receipt, Signal, Usage

MAGIC = "farthing-ledger"
VERSION = 1
FRAME_BYTES = 8  # length and checksum
RECORD_BYTES_MAX = 65_536  # a receipt has about 400 bytes; longer ones have their texts shortened
SHORT_TEXT_BYTES = 128
SHORT_ITEMS_MAX = 16
INT_MAX = 2**63 - 1  # the largest signed integer of msgpack

INTENT = 1
RECEIPT = 2
SIGNAL = 3
BEGINS = 4
ENDS = 5

RENAMED_SOURCES = {"retry": "reask"}
"""Sources of signals, by their name in earlier versions."""

Buffer = bytes | bytearray | memoryview
frame_head = struct.Struct("<II")
pack_head_into = frame_head.pack_into


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """An upstream call was about to be made. Without a receipt later, its outcome is unknown."""

    request_id: str
    target: str
    attempt: int
    """1 for the first call of the request."""
    at_unix_s: float
    """Arrival of the request, as in its receipt, so that both are on the same side of any time limit."""
    live: bool = False
    """Set by the reader, not stored: the writing process is still running, so the call may be in flight."""


class Head(msgspec.Struct, kw_only=True):
    """The first record of a segment."""

    magic: str
    version: int
    writer: str
    run: str
    """Identifies a life of the writer: different at every start."""
    created_unix_s: float
    fields: dict[str, list[str]]
    """Kind (`intent`, `receipt`, `attempt`, `usage`, `prompt_cache`, `signal`) to the names of its values, in
    order. Kinds that the writer did not know are absent, and so are their rows."""


INTENT_FIELDS = ("request_id", "target", "attempt", "at_unix_s")
FIELDS: dict[str, tuple[str, ...]] = {
    "intent": INTENT_FIELDS,
    "receipt": Receipt.__struct_fields__,
    "attempt": Attempt.__struct_fields__,
    "usage": Usage.__struct_fields__,
    "prompt_cache": PromptCacheUse.__struct_fields__,
    "signal": Signal.__struct_fields__,
    "mark": ("rows", "count"),
}

_ALWAYS = {"intent", "receipt", "attempt", "usage"}  # kinds that every version of the writer knew

encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder().decode


# -- writing ----------------------------------------------------------------------------------------


def encode_head(writer: str, run: str, created_unix_s: float) -> bytes:
    """The payload that starts a segment written by this version of Farthing."""
    return encode(own_head(writer, run, created_unix_s))


def own_head(writer: str, run: str, created_unix_s: float = 0.0) -> Head:
    """The head of a segment written by this version of Farthing."""
    return Head(
        magic=MAGIC,
        version=VERSION,
        writer=writer,
        run=run,
        created_unix_s=created_unix_s,
        fields={kind: list(names) for kind, names in FIELDS.items()},
    )


def encode_intent(receipt: Receipt, target: str) -> bytes:
    """The payload that says `target` is about to be called for the request of `receipt`."""
    row = (receipt.request_id, target, len(receipt.attempts) + 1, receipt.at_unix_s)
    try:
        return encode((INTENT, row))
    except (UnicodeEncodeError, OverflowError):
        return encode((INTENT, tuple(_short(value) for value in row)))


def encode_receipt(receipt: Receipt) -> bytes:
    """The payload of `receipt`, at most `RECORD_BYTES_MAX` long: texts are shortened if necessary."""
    try:
        payload = encode((RECEIPT, receipt))
    except (UnicodeEncodeError, OverflowError):
        return encode((RECEIPT, _short(receipt)))
    return payload if len(payload) <= RECORD_BYTES_MAX else encode((RECEIPT, _short(receipt)))


def encode_signal(signal: Signal) -> bytes:
    """The payload of `signal`; its texts are shortened if necessary."""
    try:
        payload = encode((SIGNAL, signal))
    except (UnicodeEncodeError, OverflowError):
        return encode((SIGNAL, _short(signal)))
    return payload if len(payload) <= RECORD_BYTES_MAX else encode((SIGNAL, _short(signal)))


_mark = struct.Struct(">BBBBQBI")  # fixed length, so that a file's last mark is found from its end
MARK_BYTES = FRAME_BYTES + 24  # including its frame


class Mark(msgspec.Struct, frozen=True):
    """The number of rows written before a place."""

    kind: int
    """`BEGINS` or `ENDS`."""
    rows: int
    count: int
    """The id of the count; numbers of different counts are not comparable."""


def encode_mark(mark: Mark) -> bytes:
    """The mark's payload."""
    return _mark.pack(0x92, mark.kind, 0x92, 0xCF, mark.rows, 0xCE, mark.count)


def decode_mark(payload: bytes) -> Mark | None:
    """None: it is a row."""
    if payload[1:2] not in (b"\x04", b"\x05") or len(payload) != _mark.size:
        return None
    _, kind, _, _, rows, _, count = _mark.unpack(payload)
    return Mark(kind, rows, count)


def _short(value: Any) -> Any:
    """`value` cut to what fits in a row and in msgpack, which cannot hold lone surrogates or huge
    integers."""
    match value:
        case str():
            return value.encode("utf-8", "replace")[:SHORT_TEXT_BYTES].decode("utf-8", "ignore")
        case bool():
            return value
        case int():
            return max(-INT_MAX, min(INT_MAX, value))
        case dict():
            return {_short(key): _short(item) for key, item in list(value.items())[:SHORT_ITEMS_MAX]}
        case list():
            return [_short(item) for item in value[:SHORT_ITEMS_MAX]]
        case msgspec.Struct():
            return [_short(getattr(value, name)) for name in value.__struct_fields__]
        case _:
            return value


def frame(payload: bytes) -> bytes:
    """`payload` as a frame of a segment."""
    padding = -len(payload) % 8
    return frame_head.pack(len(payload), zlib.crc32(payload)) + payload + bytes(padding)


# -- reading ----------------------------------------------------------------------------------------


def frames(data: Buffer, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """Every complete frame from `start` on: the start of the next one, and the payload.

    Ends silently at the first zero length, or frame that is cut short or fails its checksum.
    """
    end = len(data)
    while start + FRAME_BYTES <= end:
        length, checksum = frame_head.unpack_from(data, start)
        begin = start + FRAME_BYTES
        if length == 0 or begin + length > end:
            return
        payload = bytes(data[begin : begin + length])
        if zlib.crc32(payload) != checksum:
            return
        start = begin + length + (-length % 8)
        yield start, payload


def decode_head(payload: bytes) -> Head | None:
    """The head of a segment, or None if it is not readable. Heads from before signals are readable."""
    try:
        head = msgspec.msgpack.decode(payload, type=Head)
    except msgspec.MsgspecError:
        return None
    known = head.magic == MAGIC and head.version <= VERSION and head.fields.keys() >= _ALWAYS
    return head if known else None


class _Receipt(msgspec.Struct, frozen=True, array_like=True):
    kind: int
    receipt: Receipt


_decode_receipt = msgspec.msgpack.Decoder(_Receipt).decode


class RowReader:
    """Decodes the payloads of one segment, by the names in its head."""

    def __init__(self, head: Head, *, live: bool) -> None:
        self._live = live
        self._fields = head.fields
        self._same = all(
            _only_appended(head.fields.get(kind, []), FIELDS[kind])
            for kind in ("receipt", "attempt", "usage", "prompt_cache")
        )

    def row(self, payload: bytes) -> Intent | Receipt | Signal | None:
        """The row, or None for a kind that this version does not know.

        Raises:
            msgspec.MsgspecError, TypeError, ValueError, LookupError: the payload does not match its head.
        """
        if payload[1] == RECEIPT and self._same:
            return _decode_receipt(payload).receipt
        kind, values = decode(payload)[:2]
        if kind == INTENT:
            return Intent(**self._named("intent", Intent, values), live=self._live)
        if kind == RECEIPT:
            return self._receipt_of(values)
        if kind == SIGNAL:
            return self._signal_of(values)
        return None

    def _signal_of(self, values: list[Any]) -> Signal:
        named = self._named("signal", Signal, values)
        named["source"] = RENAMED_SOURCES.get(named["source"], named["source"])
        return Signal(**named)

    def _receipt_of(self, values: list[Any]) -> Receipt:
        named = self._named("receipt", Receipt, values)
        named["usage"] = self._usage_of(named.get("usage"))
        named["attempts"] = [self._attempt_of(one) for one in named.get("attempts", [])]
        return Receipt(**named)

    def _attempt_of(self, values: list[Any]) -> Attempt:
        named = self._named("attempt", Attempt, values)
        named["usage"] = self._usage_of(named.get("usage"))
        named["prompt_cache"] = self._prompt_cache_of(named.get("prompt_cache"))
        return Attempt(**named)

    def _usage_of(self, values: list[Any] | None) -> Usage | None:
        return None if values is None else Usage(**self._named("usage", Usage, values))

    def _prompt_cache_of(self, values: list[Any] | None) -> PromptCacheUse | None:
        if values is None or "prompt_cache" not in self._fields:
            return None
        return PromptCacheUse(**self._named("prompt_cache", PromptCacheUse, values))

    def _named(self, kind: str, noun: type[msgspec.Struct], values: list[Any]) -> dict[str, Any]:
        names = self._fields[kind]
        return {
            name: value for name, value in zip(names, values, strict=True) if name in noun.__struct_fields__
        }


def _only_appended(stored: list[str], current: tuple[str, ...]) -> bool:
    """Whether one is a prefix of the other: then values in order mean the same, and missing ones have
    defaults."""
    shared = min(len(stored), len(current))
    return tuple(stored[:shared]) == current[:shared]
