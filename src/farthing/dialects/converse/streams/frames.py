"""AWS's event stream (`application/vnd.amazon.eventstream`): bytes in, whole messages out.

Sans-I/O and bounded. Both checksums of a message are checked before anything of it is believed: what comes
after a damaged one cannot be found, so it is the last. A message is told apart by lengths alone, wherever the
bytes are cut.
Source: "Amazon event stream specification" of Smithy.
"""

from binascii import crc32
from struct import Struct as Layout
from struct import error as TooShort
from typing import Literal, NamedTuple

PRELUDE_BYTES = 12  # two lengths and their checksum
LEAST_BYTES = PRELUDE_BYTES + 4
HEADERS_BYTES_MAX = 131_072  # the protocol's own
KINDS_MAX = 64  # sets of headers that are remembered; a service has a dozen
MEDIA_TYPE = b"application/vnd.amazon.eventstream"
_prelude = Layout(">III").unpack_from
_u32 = Layout(">I").unpack_from
_u16 = Layout(">H").unpack_from
_FIXED = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Bytes of the value of a header by its type, where all have the same."""
_BYTES, _TEXT = 6, 7


class Frame(NamedTuple):
    """One message."""

    kind: Literal["event", "exception", "error"]
    name: str
    """What event or exception it is; of an error its code."""
    payload: bytes
    words: str = ""
    """Of an error: what it says."""


class Damaged(ValueError):
    """What came is no message. The text says why."""


class FrameSplitter:
    """Feed it what comes; it returns the messages that are complete."""

    __slots__ = ("_bytes_max", "_held", "_held_bytes", "_kinds", "_need_bytes", "fault")

    def __init__(self, bytes_max: int) -> None:
        """No message is longer than `bytes_max`."""
        self._bytes_max = bytes_max
        self._held: list[bytes] = []
        """What has come of a message, in pieces: joining at each piece would copy all before it."""
        self._held_bytes = 0
        self._need_bytes = PRELUDE_BYTES
        self._kinds: dict[bytes, Frame] = {}
        """What the headers of a message say, without its payload: they are the same for most."""
        self.fault = ""
        """Why nothing more can be read, whatever comes; empty: all was good."""

    def feed(self, data: bytes) -> list[Frame]:
        """The messages that `data` completes, those before a damaged one (`fault`). Never raises."""
        if self.fault:
            return []
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes < self._need_bytes:
            return []
        data = self._held[0] if len(self._held) == 1 else b"".join(self._held)
        found: list[Frame] = []
        at = 0
        try:
            while True:
                self._need_bytes = self._length(data, at)
                if len(data) - at < self._need_bytes:
                    break
                end = at + self._need_bytes
                found.append(self._frame(data, at, end))
                at = end
        except Damaged as error:
            self.fault = str(error)
            self._held.clear()
            return found
        rest = data[at:] if at else data
        self._held = [rest] if rest else []
        self._held_bytes = len(rest)
        return found

    @property
    def is_within(self) -> bool:
        """Whether a message has begun that has not ended."""
        return self._held_bytes > 0

    def _length(self, data: bytes, at: int) -> int:
        """Bytes of the message at `at`, or of its prelude if that is not there yet."""
        if len(data) - at < PRELUDE_BYTES:
            return PRELUDE_BYTES
        length, headers, checksum = _prelude(data, at)
        if crc32(data[at : at + 8]) != checksum:
            raise Damaged("a message's lengths do not have their checksum")
        if length > self._bytes_max:
            raise Damaged(f"a message is longer than {self._bytes_max} bytes")
        if headers > HEADERS_BYTES_MAX or headers + LEAST_BYTES > length:
            raise Damaged("a message's headers are longer than it")
        return int(length)

    def _frame(self, data: bytes, at: int, end: int) -> Frame:
        (checksum,) = _u32(data, end - 4)
        if crc32(data[at : end - 4]) != checksum:
            raise Damaged("a message does not have its checksum")
        (headers_bytes,) = _u32(data, at + 4)
        begin = at + PRELUDE_BYTES
        payload = data[begin + headers_bytes : end - 4]
        headers = data[begin : begin + headers_bytes]
        kind = self._kinds.get(headers)
        if kind is None:
            kind = _kind(_headers(headers))
            if len(self._kinds) < KINDS_MAX:
                self._kinds[headers] = kind
        return Frame(kind.kind, kind.name, payload, kind.words)


def _kind(headers: dict[str, str]) -> Frame:
    match headers.get(":message-type", "event"):
        case "event":
            return Frame("event", headers.get(":event-type", ""), b"")
        case "exception":
            return Frame("exception", headers.get(":exception-type", ""), b"")
        case "error":
            return Frame("error", headers.get(":error-code", ""), b"", headers.get(":error-message", ""))
        case _:
            raise Damaged("a message is of no kind that is known")


def _headers(data: bytes) -> dict[str, str]:
    """The headers that are text; the values of others are passed over."""
    found: dict[str, str] = {}
    at = 0
    try:
        while at < len(data):
            name_end = at + 1 + data[at]
            name, kind = data[at + 1 : name_end], data[name_end]
            at = name_end + 1
            if kind in (_TEXT, _BYTES):
                (length,) = _u16(data, at)
                at += 2
                if kind == _TEXT:
                    found[name.decode()] = data[at : at + length].decode()
                at += length
            else:
                at += _FIXED[kind]
    except (IndexError, KeyError, TooShort, UnicodeDecodeError):
        raise Damaged("a message's headers cannot be read") from None
    if at != len(data):
        raise Damaged("a message's headers cannot be read")
    return found
