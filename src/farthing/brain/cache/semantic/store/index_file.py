"""The index over the entries: loaded from its file and the rows, and saved from time to time.

The rows are authoritative. The file saves reading and inserting every vector at a start: vectors whose rows
are gone are skipped, rows that it lacks are added, and a file that is damaged, older than the newest stamp in
the entries' file, or belongs to another one is not used at all. So a crash between two saves only makes the
next start slower. A number always belongs to the same vector, since numbers are never reused in a file, and
the stamp tells one file, or an older restored copy of it, from another.
"""

import asyncio
import logging
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING

import apsw
import numpy as np

from farthing.brain.cache.semantic.store.entries_file import EntryStore
from farthing.brain.cache.semantic.store.vector_codec import widened
from farthing.errors import StoreError
from farthing.protocols import PartitionIndex

if TYPE_CHECKING:
    from farthing.protocols import Keys

log = logging.getLogger("farthing.semantic")

SAVE_EVERY_S = 600.0
SAVE_FROM = 1_000  # changes; adding this many at the next start takes some 20 ms
KEYS_ROWS = 500  # read at once: a thread that reads more makes the event loop wait for the GIL
VECTOR_ROWS = 100
ROWS_AT_ONCE = 8  # takes 0.2 ms of the event loop, and sometimes 0.6 ms more to split a list
ROWS_TOLD = 50_000  # a multiple of VECTOR_ROWS

# By expiry, since that index of SQLite contains all selected columns: 20 bytes a row instead of 2 KB.
LIVE = """
SELECT expires_s, id FROM entries INDEXED BY entries_expires
WHERE (expires_s, id) > (?, ?) ORDER BY expires_s, id LIMIT ?
"""
VECTORS = "SELECT id, partition, vector FROM entries WHERE embedder = ? AND id IN (%s)"
STAMP = "SELECT entries, stamp FROM index_stamp"
SET_STAMP = "UPDATE index_stamp SET stamp = ? WHERE entries = ?"


class EntryIndex:
    """Fills `index` with one embedder's vectors from `entry_store`, and maintains its file."""

    def __init__(self, entry_store: EntryStore, index: PartitionIndex, embedder: str) -> None:
        self._entry_store = entry_store
        self._index = index
        self._embedder = embedder
        self._saved_changes = 0
        self._saved_s = time.monotonic()
        self._entries = ""
        """Identifies the entries' file: a damaged file may be replaced, and its numbers start over."""

    @property
    def path(self) -> Path:
        return self._entry_store.path.with_name(f"{self._entry_store.path.name}.index")

    async def load(self) -> int:
        """Fill the index; return its number of entries. May be called again after a failure.

        Raises:
            StoreError: the rows cannot be read.
        """
        began_s = time.monotonic()
        self._entries, stamp = await self._entry_store.run(_stamp_of)
        live = await self._live()
        # Without a stamp nothing was saved yet; if the index is not empty, this is a retry.
        missing = await self._restored(live, stamp) if stamp and not len(self._index) else live
        for start in range(0, len(missing), VECTOR_ROWS):
            await self._add(missing[start : start + VECTOR_ROWS].tolist())
            if start % ROWS_TOLD == 0 and start:
                log.info("semantic cache: %d of %d entries indexed", start, len(missing))
        self._saved_s = time.monotonic()
        log.info(
            "semantic cache: %d entries ready after %.1f s, %d of them from the file of the index",
            len(self._index),
            self._saved_s - began_s,
            len(live) - len(missing),
        )
        return len(self._index)

    async def save_now_and_then(self) -> None:
        """Save if enough has changed and the last save was a while ago.

        Raises:
            StoreError: it could not be written.
        """
        changed = self._index.changes - self._saved_changes
        if (
            changed > max(SAVE_FROM, len(self._index) // 20)
            and self._saved_s + SAVE_EVERY_S < time.monotonic()
        ):
            await self._save()

    async def save(self) -> None:
        """Save if anything significant has changed.

        Raises:
            StoreError: it could not be written.
        """
        if self._index.changes - self._saved_changes > len(self._index) // 100:
            await self._save()

    async def _save(self) -> None:
        changes, self._saved_s = self._index.changes, time.monotonic()
        stamp = secrets.token_hex(16)
        await self._index.save(self.path, stamp=stamp)

        def job(db: apsw.Connection) -> None:
            db.execute(SET_STAMP, (stamp, self._entries))

        await self._entry_store.run(job)
        self._saved_changes = changes

    async def _live(self) -> "Keys":
        """The numbers of all unexpired entries, in ascending order."""
        parts: list[Keys] = []
        last: tuple[float, int] = (self._entry_store.now_s(), 2**63 - 1)

        def job(db: apsw.Connection) -> list[tuple[float, int]]:
            return list(db.execute(LIVE, (*last, KEYS_ROWS)))

        while rows := await self._entry_store.run(job):
            parts.append(np.fromiter((key for _, key in rows), np.int64, len(rows)))
            last = rows[-1]
        if not parts:
            return np.empty(0, np.int64)
        return await asyncio.to_thread(lambda: np.sort(np.concatenate(parts)))

    async def _restored(self, live: "Keys", stamp: str) -> "Keys":
        """The part of `live` that is missing after reading the file, if the file is usable."""
        try:
            missing = await self._index.restore(self.path, stamp=stamp, live=live)
        except StoreError as error:
            log.warning("semantic cache: rebuilding the index from the entries: %s", error)
            return live
        self._saved_changes = self._index.changes
        return missing

    async def _add(self, keys: list[int]) -> None:
        sql = VECTORS % ",".join("?" * len(keys))

        def job(db: apsw.Connection) -> list[tuple[int, bytes, bytes]]:
            return list(db.execute(sql, (self._embedder, *keys)))

        for number, (key, partition, vector) in enumerate(await self._entry_store.run(job), 1):
            put_in(self._index, partition, key, vector)
            if number % ROWS_AT_ONCE == 0:
                await asyncio.sleep(0)


def put_in(index: PartitionIndex, partition: bytes, key: int, written: bytes) -> None:
    """Index a stored vector. A damaged one is logged and left out: its row is never found and expires in
    time; the others are found all the same."""
    try:
        index.add(partition, key, widened(written))
    except ValueError as error:
        log.warning("semantic cache: entry e%d cannot be found: %s", key, error)


def _stamp_of(db: apsw.Connection) -> tuple[str, str]:
    entries, stamp = next(iter(db.execute(STAMP)))
    return entries, stamp
