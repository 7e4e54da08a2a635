"""Decompresses replies that are compressed although `identity` was requested: gzip and deflate, within
bounds.

A few kilobytes may decompress to gigabytes, so output is produced in steps: in total never more than the
caller's cap, and at once never so much that other requests would wait for it.
"""

import asyncio
import zlib
from collections import deque
from collections.abc import Callable

from farthing.errors import ProviderUnavailable

STEP_BYTES = 1_048_576  # about 2 ms
TAKEN_BYTES = 65_536  # of a whole reply at once
SLICE_BYTES = 131_072  # of a stream at once: who reads it takes longer than we do
STEPS_AT_ONCE = 16  # of a stream: of a reply in many small parts each takes one
CUT_SHORT = "the compressed reply is cut short"
GZIP_BEGINS = b"\x1f\x8b"
UNPACKED = frozenset({b"gzip", b"x-gzip", b"deflate"})
PACKED = UNPACKED | {b"br", b"zstd", b"compress", b"x-compress", b"dcb", b"dcz", b"exi", b"pack200-gzip"}
"""Of these a body is another one than it was (IANA's registry). What else is named there, as `utf-8`, `none`
and `aws-chunked` are, packs nothing, and the official SDKs pass it over."""

_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_BARE = -zlib.MAX_WBITS


def is_plain(encoding: bytes | None) -> bool:
    """Whether a reply with this `content-encoding` is not compressed."""
    return encoding is None or PACKED.isdisjoint(name.strip() for name in encoding.lower().split(b","))


class Unpacker:
    """Decompresses one reply, piece by piece."""

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
        self._begun = False

    def step(self, piece: bytes, most: int = STEP_BYTES) -> bytes:
        """Take `piece` and return at most so many bytes. While `waiting` is true, continue with `step(b"")`.

        Raises:
            ProviderUnavailable: the data is damaged, or larger than the cap.
        """
        self._begun = self._begun or bool(piece)
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
            out = self._unpacked(data, most)
        except zlib.error as error:
            raise ProviderUnavailable(f"the compressed reply is damaged: {error}") from None
        self._may_be_bare = False
        self._tail = self._packed.unconsumed_tail or self._packed.unused_data
        self._full = len(out) == most
        self._left_bytes -= len(out)
        if self._left_bytes < 0:
            raise ProviderUnavailable(f"the reply is larger than {self._bytes_max} bytes when unpacked")
        return out

    def _unpacked(self, data: bytes, most: int) -> bytes:
        try:
            return self._packed.decompress(data, most)
        except zlib.error:
            if not self._may_be_bare:
                raise
            # `deflate` without the header that RFC 9110 asks for, which some servers leave out
            self._packed = zlib.decompressobj(_BARE)
            return self._packed.decompress(data, most)

    @property
    def waiting(self) -> bool:
        """Whether data that was taken has more output."""
        return bool(self._tail) or (self._full and not self._packed.eof)

    @property
    def ended(self) -> bool:
        """Whether the data came to its proper end."""
        return self._packed.eof and not self._tail

    @property
    def cut_short(self) -> bool:
        """Whether some of the data has come, and not its end."""
        return self._begun and not self.ended


async def unpacked(body: bytes, encoding: bytes, bytes_max: int) -> bytes:
    """Decompress a whole body. Other requests continue between two steps.

    Raises:
        ProviderUnavailable: as for `Unpacker`, or the data is incomplete.
    """
    unpacker = Unpacker(encoding, bytes_max)
    parts = []
    for start in range(0, len(body), TAKEN_BYTES):
        parts.append(unpacker.step(body[start : start + TAKEN_BYTES]))
        while unpacker.waiting:
            await asyncio.sleep(0)
            parts.append(unpacker.step(b""))
    if unpacker.cut_short:
        raise ProviderUnavailable(CUT_SHORT)
    return b"".join(parts)


class UnpackedStream:
    """Sits between an exchange and its reader: takes compressed pieces and passes them on decompressed, in
    each turn of the event loop no more than other requests can wait for. `end` follows the last piece."""

    def __init__(
        self,
        unpacker: Unpacker,
        data: Callable[[bytes], None],
        end: Callable[[Exception | None], None],
        damaged: Callable[[ProviderUnavailable], None],
    ) -> None:
        """`damaged` is called before `end` if the data cannot be decompressed."""
        self._unpacker = unpacker
        self._data = data
        self._end = end
        self._damaged = damaged
        self._loop = asyncio.get_running_loop()
        self._pieces: deque[bytes] = deque()
        self._going_on = False
        """The next slice is to come in the next turn."""
        self._paused = False
        self._over = False
        self._ended = False
        """Nothing more comes; `_error` is why."""
        self._error: Exception | None = None

    def take(self, piece: bytes) -> None:
        """Take a piece of the reply."""
        self._pieces.append(piece)
        if not self._going_on:
            self._slice()

    def end(self, error: Exception | None) -> None:
        """The reply has ended. A paused reader is told of an error at once."""
        self._ended, self._error = True, error
        if not self._has_more or (self._paused and error is not None):
            self._finish(error)

    def pause(self) -> None:
        """Pass nothing on until `resume`."""
        self._paused = True

    def resume(self) -> None:
        """Continue. Safe to call at any time."""
        self._paused = False
        if self._has_more or self._ended:
            self._go_on()

    def drop(self) -> None:
        """Discard the rest: nobody needs it."""
        self._over = True
        self._pieces.clear()

    @property
    def _has_more(self) -> bool:
        return bool(self._pieces) or self._unpacker.waiting

    def _go_on(self) -> None:
        if not self._going_on and not self._over:
            self._going_on = True
            self._loop.call_soon(self._slice)

    def _slice(self) -> None:
        self._going_on = False
        if self._paused or self._over:
            return
        unpacker, pieces = self._unpacker, self._pieces
        out: list[bytes] = []
        left_bytes = SLICE_BYTES
        damage: ProviderUnavailable | None = None
        try:
            for _ in range(STEPS_AT_ONCE):
                if left_bytes <= 0 or not self._has_more:
                    break
                found = unpacker.step(b"" if unpacker.waiting else pieces.popleft(), left_bytes)
                out.append(found)
                left_bytes -= len(found)
        except ProviderUnavailable as error:
            damage = error
        if not self._hand_on(b"".join(out)):
            return
        if damage is not None:
            self._damaged(damage)
            self._finish(damage)
        elif self._has_more:
            self._go_on()
        elif self._ended:
            self._finish(self._error)

    def _hand_on(self, block: bytes) -> bool:
        """Whether more is wanted."""
        if block:
            self._data(block)
        return not self._over

    def _finish(self, error: Exception | None) -> None:
        if not self._over:
            if error is None and self._unpacker.cut_short:
                error = ProviderUnavailable(CUT_SHORT)
            self.drop()
            self._end(error)
