"""Replies that come compressed although `identity` was asked for: gzip and deflate, unpacked within bounds.

A few kilobytes may unpack to gigabytes, so output is taken in steps, never more than its caller's cap in all,
and never so much at once that other requests would wait for it.
"""

import asyncio
import zlib
from collections.abc import Callable

from farthing.errors import ProviderUnavailable

STEP_BYTES = 1_048_576  # about 2 ms
TAKEN_BYTES = 65_536  # of a whole reply at once
AT_ONCE_BYTES_MAX = 8 * STEP_BYTES  # of one piece of a stream; an event is at most one of them
GZIP_BEGINS = b"\x1f\x8b"
UNPACKED = frozenset({b"gzip", b"x-gzip", b"deflate"})
PACKED = UNPACKED | {b"br", b"zstd", b"compress", b"x-compress", b"dcb", b"dcz", b"exi", b"pack200-gzip"}
"""Of these a body is another one than it was (IANA's registry). What else is named there, as `utf-8`, `none`
and `aws-chunked` are, packs nothing, and the official SDKs pass it over."""

_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_BARE = -zlib.MAX_WBITS


def is_plain(encoding: bytes | None) -> bool:
    """Whether a reply with this `content-encoding` is as it was written."""
    return encoding is None or PACKED.isdisjoint(name.strip() for name in encoding.lower().split(b","))


class Unpacker:
    """Unpacks one reply, piece by piece."""

    def __init__(self, encoding: bytes, bytes_max: int) -> None:
        """Raises:
        ProviderUnavailable: nobody here can unpack that.
        """
        name = encoding.strip().lower()
        if name not in UNPACKED:
            shown = encoding[:40].decode("latin-1")
            raise ProviderUnavailable(f"the reply is compressed ({shown}) although identity was asked")
        self._left_bytes = bytes_max
        self._bytes_max = bytes_max
        self._packed = zlib.decompressobj(_GZIP_OR_ZLIB)
        self._may_be_bare = name == b"deflate"
        self._tail = b""
        """Taken, and not unpacked yet."""
        self._full = False
        """The last step gave all it may, so there may be more."""
        self._held = b""
        """Too little to tell what it begins."""

    def step(self, piece: bytes) -> bytes:
        """Take `piece` and give at most `STEP_BYTES`. While `waiting`, go on with `step(b"")`.

        Raises:
            ProviderUnavailable: it is damaged, or larger than the cap.
        """
        data = self._held + self._tail + piece
        self._held = self._tail = b""
        if (self._may_be_bare or self._packed.eof) and len(data) < 2:
            self._held = data
            return b""
        if self._packed.eof:
            if not data.startswith(GZIP_BEGINS):
                return b""  # padding
            self._packed = zlib.decompressobj(_GZIP_OR_ZLIB)  # gzip may be several, one after the other
        try:
            out = self._unpacked(data)
        except zlib.error as error:
            raise ProviderUnavailable(f"the compressed reply is damaged: {error}") from None
        self._may_be_bare = False
        self._tail = self._packed.unconsumed_tail or self._packed.unused_data
        self._full = len(out) == STEP_BYTES
        self._left_bytes -= len(out)
        if self._left_bytes < 0:
            raise ProviderUnavailable(f"the reply is larger than {self._bytes_max} bytes when unpacked")
        return out

    def _unpacked(self, data: bytes) -> bytes:
        try:
            return self._packed.decompress(data, STEP_BYTES)
        except zlib.error:
            if not self._may_be_bare:
                raise
            # `deflate` without the header that RFC 9110 asks for, which some servers leave out
            self._packed = zlib.decompressobj(_BARE)
            return self._packed.decompress(data, STEP_BYTES)

    @property
    def waiting(self) -> bool:
        """There is more to unpack of what was taken."""
        return bool(self._tail) or (self._full and not self._packed.eof)

    @property
    def ended(self) -> bool:
        """It came to its proper end."""
        return self._packed.eof and not self._tail


async def unpacked(body: bytes, encoding: bytes, bytes_max: int) -> bytes:
    """A whole body. Other requests go on between two steps.

    Raises:
        ProviderUnavailable: as `Unpacker`, or it is cut short.
    """
    unpacker = Unpacker(encoding, bytes_max)
    parts = []
    for start in range(0, len(body), TAKEN_BYTES):
        parts.append(unpacker.step(body[start : start + TAKEN_BYTES]))
        while unpacker.waiting:
            await asyncio.sleep(0)
            parts.append(unpacker.step(b""))
    if body and not unpacker.ended:
        raise ProviderUnavailable("the compressed reply is cut short")
    return b"".join(parts)


class UnpackedStream:
    """Stands between an exchange and who wants its pieces: takes them compressed, hands them on unpacked."""

    def __init__(self, unpacker: Unpacker, data: Callable[[bytes], None]) -> None:
        self._unpacker = unpacker
        self._data = data

    def take(self, piece: bytes) -> None:
        """Raises:
        ProviderUnavailable: it is damaged, or larger than the cap or than one piece may be.
        """
        unpacker = self._unpacker
        out = [unpacker.step(piece)]
        while unpacker.waiting:
            if len(out) * STEP_BYTES >= AT_ONCE_BYTES_MAX:
                raise ProviderUnavailable("a piece of the compressed reply unpacks to more than it may")
            out.append(unpacker.step(b""))
        found = b"".join(out)
        if found:
            self._data(found)
