"""The file of a partitioned index: written to a temporary file, synced, renamed; read only if it is intact.

    magic | head (MessagePack: embedder, dims, stamp) | records | an empty part | BLAKE2b of all before

Every part begins with its length. A file that is truncated, altered, or of another embedder, width or stamp
raises StoreError before anything of it is used.
"""

import hashlib
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from glob import escape
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import Struct

from farthing.errors import StoreError
from farthing.stores.private import make_directory, opener

MAGIC = b"farthing vectors 2\n"
DIGEST_BYTES = 32
PIECE_BYTES = 1_048_576
LENGTH_BYTES = 8
LEFT_S = 3_600


class _Head(Struct, frozen=True, array_like=True):
    name: str
    dims: int
    stamp: str


class Record(Struct, frozen=True, kw_only=True, array_like=True):
    """One list of one partition."""

    partition: bytes
    keys: bytes
    """int64 each."""
    codes: bytes
    """int8 rows in the order of the keys."""


_encode = msgspec.msgpack.encode


class IndexFile:
    """A file being written, readable only by its owner. Not for use on the event loop."""

    def __init__(self, path: Path, name: str, dims: int, stamp: str) -> None:
        """Raises:
        StoreError: it cannot be written there.
        """
        self._path = path
        self._beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
        self._digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
        self._file: BinaryIO | None = None
        try:
            make_directory(path.parent)
            _clear(path)
            # Much of a text can be reconstructed from its vector.
            self._file = open(self._beside, "wb", opener=opener)  # noqa: SIM115 - `close` closes it
            self._put(MAGIC)
            self._put_part(_encode(_Head(name, dims, stamp)))
        except OSError as error:
            self.close()
            raise StoreError(f"cannot write {path}: {error}") from error

    def write(self, records: Sequence[Record]) -> None:
        """Raises:
        StoreError: the disk is full, or the like.
        """
        try:
            for record in records:
                self._put_part(_encode(record))
        except OSError as error:
            raise StoreError(f"cannot write {self._path}: {error}") from error

    def commit(self) -> None:
        """Sync the file and rename it into place.

        Raises:
            StoreError: that failed; the previous file is unchanged.
        """
        file = self._file
        assert file is not None
        try:
            self._put_part(b"")
            file.write(self._digest.digest())
            file.flush()
            os.fsync(file.fileno())
            file.close()
            self._file = None
            os.replace(self._beside, self._path)
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise StoreError(f"cannot write {self._path}: {error}") from error

    def close(self) -> None:
        """Drop what was not committed. Safe to call twice."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):  # flushes its buffer: a full disk was already reported
                file.close()
            with suppress(OSError):  # a later save removes leftovers
                self._beside.unlink(missing_ok=True)

    def _put_part(self, raw: bytes) -> None:
        self._put(len(raw).to_bytes(LENGTH_BYTES, "little"))
        self._put(raw)

    def _put(self, raw: bytes) -> None:
        assert self._file is not None
        self._digest.update(raw)
        self._file.write(raw)


def read(path: Path, name: str, dims: int, stamp: str) -> Iterator[Record]:
    """The lists of a file, after all of it was verified.

    Raises:
        StoreError: see the module.
    """
    try:
        with path.open("rb") as file:
            end = _check(file, path)
            file.seek(0)
            if file.read(len(MAGIC)) != MAGIC:
                raise StoreError(f"{path} is not a file of vectors of this version")
            head = msgspec.msgpack.decode(_part(file, path, end), type=_Head)
            if (head.name, head.dims) != (name, dims):
                raise StoreError(f"{path} holds vectors of {head.name}, not of {name}")
            if head.stamp != stamp:
                raise StoreError(f"{path} belongs to other entries: it is older or newer than they are")
            while raw := _part(file, path, end):
                record = msgspec.msgpack.decode(raw, type=Record)
                if len(record.codes) * 8 != len(record.keys) * dims:
                    raise StoreError(f"{path}: vectors and keys do not match")
                yield record
    except (OSError, msgspec.DecodeError) as error:
        raise StoreError(f"cannot read {path}: {error}") from error


def _clear(path: Path) -> None:
    """Remove the leftovers of processes that were killed while saving."""
    for left in path.parent.glob(f"{escape(path.name)}.*.new"):
        with suppress(FileNotFoundError):  # another process has just renamed its own file
            if left.stat().st_mtime < time.time() - LEFT_S:
                left.unlink()


def _check(file: BinaryIO, path: Path) -> int:
    """Verify the digest of everything before it; returns where it begins."""
    end = file.seek(0, os.SEEK_END) - DIGEST_BYTES
    file.seek(0)
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    left = end
    while left > 0:
        piece = file.read(min(left, PIECE_BYTES))
        if not piece:
            break
        digest.update(piece)
        left -= len(piece)
    if end <= 0 or file.read(DIGEST_BYTES) != digest.digest():
        raise StoreError(f"{path} is damaged")
    return end


def _part(file: BinaryIO, path: Path, end: int) -> bytes:
    length = int.from_bytes(file.read(LENGTH_BYTES), "little")
    if file.tell() + length > end:
        raise StoreError(f"{path} is damaged")
    return file.read(length)
