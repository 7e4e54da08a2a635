"""Batches that were sent and have not come back: one file per batch in the state directory.

The file is written before anything is uploaded, so that after a crash the next process has what it needs to
continue: the questions, their ids, and the provider's id of the batch. A finished batch has no file.
"""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from farthing.jobs.prewarm.gather import Ask
from farthing.stores.private import make_directory
from farthing.types import Target

DIRECTORY = "batches"
SUFFIX = ".jsonl"

log = logging.getLogger("farthing.errands")
_encode = msgspec.json.Encoder().encode


class Line(Struct, frozen=True, kw_only=True):
    """One question of a batch."""

    id: str
    """The id of its receipt, and its `custom_id` at the provider."""
    key: str
    ask: Ask
    worst_nusd: int
    """Held until its actual cost is known."""
    at_unix_s: float
    capped_by: str | None = None
    note: str = ""
    """Data that the caller gets back with the answer."""


class Batch(Struct, frozen=True, kw_only=True, tag="batch", tag_field="row"):
    """A batch that is about to be uploaded."""

    name: str
    """Our name for it; the batch carries it at the provider too."""
    target: Target
    """With the batch price."""
    lines: tuple[Line, ...]
    at_unix_s: float


class Sent(Struct, frozen=True, tag="sent", tag_field="row"):
    """The provider has accepted the batch."""

    id: str
    """The provider's id of the batch."""


class Done(Struct, frozen=True, tag="done", tag_field="row"):
    """The receipt of this line is being written; no other process may write one."""

    line: str


_decode = msgspec.json.Decoder(Batch | Sent | Done).decode


class OpenBatch:
    """One unfinished batch, and its file. Only the holder of the lock writes it."""

    def __init__(self, path: Path, batch: Batch) -> None:
        self.batch = batch
        self.sent_id = ""
        """Empty: it is unknown whether the provider accepted the batch."""
        self.done: set[str] = set()
        self._path = path

    @property
    def waiting(self) -> Sequence[Line]:
        """Lines without a receipt yet."""
        return [line for line in self.batch.lines if line.id not in self.done]

    def sent(self, batch_id: str) -> None:
        """Raises OSError: it could not be written."""
        self.sent_id = batch_id
        _append(self._path, Sent(batch_id), sync=True)

    def mark_done(self, line: Line) -> None:
        """Raises OSError: it could not be written."""
        _append(self._path, Done(line.id))
        self.done.add(line.id)

    def close(self) -> None:
        """Forget it. Raises OSError."""
        self._path.unlink(missing_ok=True)


class BatchJournal:
    """The unfinished batches of one state directory."""

    def __init__(self, state_dir: Path, directory: str = DIRECTORY) -> None:
        self._directory = state_dir / directory

    def begin(self, batch: Batch) -> OpenBatch:
        """Record a batch before it is uploaded; it is on the disk when this returns.

        Raises:
            OSError: it could not be written.
        """
        make_directory(self._directory)
        path = self._directory / f"{batch.name}{SUFFIX}"
        _append(path, batch, sync=True)
        handle = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        return OpenBatch(path, batch)

    def read(self) -> list[OpenBatch]:
        """The unfinished batches, oldest first. An unreadable file is logged and left."""
        found = []
        for path in sorted(self._directory.glob(f"*{SUFFIX}")):
            one = _read(path)
            if one is None:
                log.warning("%s cannot be read: its batch will not be continued", path)
            else:
                found.append(one)
        return sorted(found, key=lambda one: one.batch.at_unix_s)


def _append(path: Path, row: Batch | Sent | Done, *, sync: bool = False) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "ab") as file:
        file.write(_encode(row) + b"\n")
        file.flush()
        if sync:
            os.fsync(file.fileno())


def _read(path: Path) -> OpenBatch | None:
    found: OpenBatch | None = None
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError:
        return None
    for line in lines:
        try:
            row = _decode(line)
        except msgspec.MsgspecError:
            continue  # the last line of a process that died, or another version's
        match row:
            case Batch():
                found = found or OpenBatch(path, row)
            case Sent() if found is not None:
                found.sent_id = row.id
            case Done() if found is not None:
                found.done.add(row.line)
    return found
