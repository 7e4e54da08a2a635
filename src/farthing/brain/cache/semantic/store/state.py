"""The state that outlives a reload: the entries' file, the index over it, and pending writes.

At start the index is filled in small steps between the event loop's other work. Until it is complete nothing
is looked up and nothing is stored, so that no search meets a half-built index.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any

from farthing.brain.cache.semantic.store.entries import Entry, Head, recipe_of
from farthing.brain.cache.semantic.store.entries_file import GONE_AT_ONCE, EntryStore, Removed
from farthing.brain.cache.semantic.store.index_file import EntryIndex, put_in
from farthing.brain.cache.semantic.store.purge import Invalidations
from farthing.brain.cache.semantic.store.questions import Questions
from farthing.errors import StoreError
from farthing.protocols import Embedder, PartitionIndex
from farthing.runtime.faults import log_fault
from farthing.types import Request

if TYPE_CHECKING:
    from farthing.protocols import Vector

log = logging.getLogger("farthing.semantic")

PENDING_MAX = 500  # pending writes; beyond it, new ones are dropped
PENDING_BYTES_MAX = 33_554_432  # of answers and prompts in pending writes, or a single larger one
ASKED_WAITING_MAX = 2_000
AT_ONCE = 50  # rows; each costs some microseconds of the event loop
AGAIN_S = 5.0
ASKED_CHARS_MAX = 8_000  # a longer prompt is not counted: such a question does not recur
MAINTAIN_S = 2.0
SAVE_LOOK_S = 30.0
LOAD_ROWS = 1_000
LOAD_ROWS_AT_ONCE = 16  # well under a millisecond of the event loop


class SemanticCacheState:
    """The entries and their index, for the embedder that made the vectors."""

    def __init__(self, entry_store: EntryStore, index: PartitionIndex, embedder: Embedder) -> None:
        self.entry_store = entry_store
        self.questions = Questions(entry_store)
        self.invalidations = Invalidations(entry_store)
        self.embedder = embedder
        self.ready = False
        """Whether the index is built."""
        self.lost = 0
        """Dropped writes: the disk did not keep up, or failed."""
        self._index = index
        self._index_file = EntryIndex(entry_store, index, embedder.name)
        self._writes: set[asyncio.Task[None]] = set()
        self._writes_bytes = 0
        self._own: set[int] = set()
        """Entries that this process wrote and indexed since the last `maintain`."""
        self._asked: dict[tuple[bytes, str], tuple[int, str, Request]] = {}
        self._running: list[asyncio.Task[None]] = []

    def start(
        self,
        *,
        also: Callable[[], Coroutine[Any, Any, None]] | None = None,
        warm: Callable[[], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        """Start a task on the running loop that loads the models with `warm`, builds the index and then
        maintains it; run `also` in another. A second call does nothing."""
        if self._running:
            return
        loop = asyncio.get_running_loop()
        self._running.append(loop.create_task(self._run(warm)))
        self._running.append(loop.create_task(self._save_index()))
        if also is not None:
            self._running.append(loop.create_task(also()))
        for task in self._running:
            task.add_done_callback(log_fault(log, "a part of the semantic cache stopped by a fault of ours"))

    async def load(self) -> int:
        """Fill the index; return its number of entries.

        Raises:
            StoreError: they cannot be read.
        """
        if len(self._index):  # a retry: entries deleted since the first try are in it
            await self._forget(await self.entry_store.removed())
        else:
            await self.entry_store.forget_removed()
        count = await self._index_file.load()
        self.ready = True
        return count

    async def _run(self, warm: Callable[[], Coroutine[Any, Any, None]] | None) -> None:
        try:
            await self._until_read(self.invalidations.notice)
            if warm is not None:
                await warm()
            await self._until_read(self.load)
        except Exception:
            log.exception("the semantic cache cannot start; requests are answered without it")
            return
        while True:
            await asyncio.sleep(MAINTAIN_S)
            try:
                await self.maintain()
            except StoreError as error:
                log.warning("semantic cache: %s", error)

    async def _save_index(self) -> None:
        """A task of its own, because `_run` must notice other processes' changes within seconds."""
        while True:
            await asyncio.sleep(SAVE_LOOK_S)
            try:
                if self.ready:
                    await self._index_file.save_now_and_then()
            except StoreError as error:
                log.warning("semantic cache: the index was not saved: %s", error)

    async def _until_read(self, read: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """Retry while another process holds the file, or the disk does not answer."""
        while True:
            try:
                await read()
                return
            except StoreError as error:
                log.warning("semantic cache: not ready yet: %s", error)
                await asyncio.sleep(AGAIN_S)

    # -- reading ------------------------------------------------------------------------------------

    async def near(
        self, partition: bytes, vector: "Vector", count: int, cosine_min: float
    ) -> list[tuple[Head, float]]:
        """The live entries nearest to `vector` in its partition, with their cosines, nearest first."""
        near = [
            (key, cosine)
            for key, cosine in self._index.search(partition, vector, count)
            if cosine >= cosine_min
        ]
        if not near:
            return []
        heads = await self.entry_store.heads(partition, (key for key, _ in near))
        for key, _ in near:
            if key not in heads:
                self._index.remove(partition, key)
        return [(heads[key], cosine) for key, cosine in near if key in heads]

    # -- writing: queued, within bounds ---------------------------------------------------------------

    async def keep(self, entry: Entry, request: Request, *, per_user_hour_max: int) -> None:
        """Write an entry, then index it.

        Raises:
            StoreError: it could not be written.
        """
        key, removed = await self.entry_store.put(
            entry, recipe_of(request), per_user_hour_max=per_user_hour_max
        )
        if key is not None:
            self._own.add(key)
            put_in(self._index, entry.partition, key, entry.vector)
        await self._forget(removed)

    def judge(
        self, key: int, *, agrees: bool, keep_doubted: bool, documents: Mapping[str, str] | None = None
    ) -> None:
        """Record a comparison's result. `documents` as in `EntryStore.judged`."""

        async def write() -> None:
            await self._forget(
                await self.entry_store.judged(
                    key, agrees=agrees, keep_doubted=keep_doubted, documents=documents or {}
                )
            )

        self.queue(write)

    def doubt(self, key: int) -> None:
        """Stop trusting an entry until a fresh answer agrees with it."""
        self.queue(lambda: self.entry_store.doubt(key))

    def hit(self, key: int) -> None:
        """Count a use."""
        self.queue(lambda: self.entry_store.hit(key))

    def asked(self, partition: bytes, normalised: str, request: Request) -> None:
        """Count a question; written with the next `maintain`."""
        if request.prompt_chars > ASKED_CHARS_MAX:
            return
        key = (partition, normalised)
        seen = self._asked.get(key)
        if seen is not None:
            self._asked[key] = (seen[0] + 1, seen[1], seen[2])
        elif len(self._asked) < ASKED_WAITING_MAX:
            self._asked[key] = (1, request.text, request)

    def drop_versions(self, versions: dict[str, str], check: frozenset[str]) -> None:
        """Drop, or doubt, the entries of endpoints whose documents have another version now."""

        async def write() -> None:
            await self.invalidations.drop_versions(versions, check=check)
            await self._forget(await self.entry_store.maintain())

        self.queue(write)

    async def maintain(self) -> None:
        """Write pending counts, remove the vectors of deleted rows, and index rows that other processes
        wrote.

        Raises:
            StoreError: the store failed.
        """
        asked, self._asked = self._asked, {}
        if asked:
            counts = {}
            for number, (key, (count, text, request)) in enumerate(asked.items(), 1):
                counts[key] = (count, text, recipe_of(request))
                if number % AT_ONCE == 0:
                    await asyncio.sleep(0)
            await self.questions.note_asked(counts)
        await self.invalidations.notice()
        await self._forget(await self.entry_store.maintain())
        await self._take_up()

    async def _take_up(self) -> None:
        """Index what other processes have added to the file since the last time."""
        rows = [(0, b"", b"")] * LOAD_ROWS
        while len(rows) == LOAD_ROWS:
            rows = await self.entry_store.added(self.embedder.name, count=LOAD_ROWS)
            for number, (key, partition, vector) in enumerate(rows, 1):
                if key not in self._own:
                    put_in(self._index, partition, key, vector)
                if number % LOAD_ROWS_AT_ONCE == 0:
                    await asyncio.sleep(0)
        self._own.clear()  # an entry written meanwhile is at worst indexed once more in the same place

    async def written(self) -> None:
        """Wait for everything that is queued now."""
        if self._writes:
            await asyncio.wait(tuple(self._writes))

    async def _forget(self, removed: Removed) -> None:
        """Remove these from the index; if they are a full batch, continue with the next ones.

        Numbers are never reused, so an entry added between two batches cannot be hit by a later one."""
        while removed:
            for number, (key, partition) in enumerate(removed, 1):
                self._index.remove(partition, key)
                if number % AT_ONCE == 0:
                    await asyncio.sleep(0)
            removed = await self.entry_store.removed() if len(removed) == GONE_AT_ONCE else []

    def queue(self, write: Callable[[], Coroutine[Any, Any, None]], *, size_bytes: int = 0) -> None:
        """Run `write`, which holds `size_bytes`, in the background; dropped and counted if too much is
        pending."""
        too_large = self._writes_bytes > 0 and self._writes_bytes + size_bytes > PENDING_BYTES_MAX
        if len(self._writes) >= PENDING_MAX or too_large:
            self.lost += 1
            return

        def done(task: asyncio.Task[None]) -> None:
            self._writes.discard(task)
            self._writes_bytes -= size_bytes

        task = asyncio.get_running_loop().create_task(self._written(write))
        self._writes.add(task)
        self._writes_bytes += size_bytes
        task.add_done_callback(done)

    async def _written(self, write: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await write()
        except StoreError as error:
            self.lost += 1
            log.warning("semantic cache: not written: %s", error)

    # -- the end --------------------------------------------------------------------------------------

    def gauges(self) -> dict[str, float]:
        return {
            "semantic_entries": len(self._index),
            "semantic_index_bytes": self._index.bytes_used,
            "semantic_writes_lost": self.lost,
            "semantic_ready": float(self.ready),
        }

    async def aclose(self) -> None:
        """Finish pending writes, then close the file and the embedder. Safe to call twice."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self.written()
        if self.ready:
            try:
                await self.maintain()
                await self._index_file.save()
            except StoreError as error:
                log.warning("semantic cache: not written: %s", error)
        self.ready = False
        await self._index.aclose()
        try:
            await self.entry_store.aclose()
        except StoreError as error:  # only the last hit counts are lost; the rest must still be closed
            log.warning("semantic cache: not written: %s", error)
        await self.embedder.aclose()
