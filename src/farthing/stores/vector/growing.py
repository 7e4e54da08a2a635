"""Exact while it is small, a graph when it is large, and never in the way of the event loop.

What takes long (building the graph, building it anew without its dead rows, making room in it, writing it to
a file) happens in a thread. Meanwhile the main index stays as it is: what is added goes into a small exact
one beside it, what is removed into a set that every search honours at once, and both are worked in afterwards
piece by piece.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from farthing.errors import StoreError
from farthing.stores.vector.codes import encode
from farthing.stores.vector.exact import ExactIndex, Scratch
from farthing.stores.vector.usearch import BUILD_ROWS, UsearchIndex

if TYPE_CHECKING:
    from farthing.protocols import Vector

EXACT_MAX = 2_000
"""Up to here the exact search takes at most 0.14 ms of CPU for 384 dimensions."""
SCAN_MAX = 4_096
"""Rows an exact search looks at when more have come than it should hold: 0.3 ms."""
GONE_MORE_MAX = 64  # how many more neighbours are looked up because some may be gone
DEAD_MIN = 1_000
MERGE_MIN = 2_000
DRAIN_FAST_FROM, DRAIN_FAST = 256, 4  # at a turn: a graph takes 0.2 to 0.4 ms for each

T = TypeVar("T")
Main: TypeAlias = ExactIndex | UsearchIndex

log = logging.getLogger(__name__)


class GrowingIndex:
    """See `protocols.VectorIndex`. For one event loop; where none runs, all is done at once and in place.

    A search among more than `exact_max` is approximate. While the graph makes room (8 ms at 131,072
    vectors, 34 at 524,288, and only when their number doubles) it finds only what was added since.
    """

    def __init__(
        self,
        dims: int,
        *,
        exact_max: int = EXACT_MAX,
        scratch: Scratch | None = None,
        executor: Executor | None = None,
        settled: Callable[["GrowingIndex"], None] | None = None,
    ) -> None:
        """`settled` is called when work in the background is over and `bytes_used` has changed."""
        self.dims = dims
        self._exact_max = exact_max
        self._scratch = Scratch(dims) if scratch is None else scratch
        self._executor = executor
        self._settled = settled
        self.main: Main = ExactIndex(dims, scratch=self._scratch)
        self._fresh: ExactIndex | None = None
        """Beside `main` while that may not change."""
        self._gone: set[int] = set()
        """Keys below `_fresh` that are not to be found any more."""
        self._second: ExactIndex | None = None
        """What was `_fresh` before, while it and `main` are made into one."""
        self._gone_of_main: set[int] = set()
        """Keys of `main` that were gone when that began."""
        self._task: asyncio.Task[None] | None = None
        self._moving = False
        self._closed = False

    # -- the protocol -----------------------------------------------------------------------------

    def add(self, key: int, vector: "Vector") -> None:
        """Raises:
        ValueError: `vector` has another shape, or no direction.
        """
        code = encode(vector, self.dims)
        main = self.main
        if self._fresh is None and isinstance(main, UsearchIndex) and main.grows_next:
            self._work(self._grow)
        if self._fresh is not None:
            if self._below(key):
                self._gone.add(key)
            self._fresh.put(key, code)
            return
        main.put(key, code)
        self._fit()

    def remove(self, key: int) -> None:
        if self._fresh is not None:
            if self._below(key):
                self._gone.add(key)
            self._fresh.remove(key)
            return
        self.main.remove(key)
        self._fit()

    def search(self, vector: "Vector", count: int) -> Sequence[tuple[int, float]]:
        main, fresh = self.main, self._fresh
        if fresh is None:
            return self._search_main(main, vector, count)
        found: list[tuple[int, float]] = []
        if not self._moving:
            more = min(len(self._gone) + len(self._gone_of_main), GONE_MORE_MAX)
            near = self._search_main(main, vector, count + more)
            found += [each for each in near if not (each[0] in self._gone or each[0] in self._gone_of_main)]
        if self._second is not None:
            near = self._second.search(vector, count + min(len(self._gone), GONE_MORE_MAX), rows_max=SCAN_MAX)
            found += [each for each in near if each[0] not in self._gone]
        found += fresh.search(vector, count, rows_max=SCAN_MAX)
        found.sort(key=lambda each: (-each[1], each[0]))
        return found[:count]

    def _search_main(self, main: Main, vector: "Vector", count: int) -> Sequence[tuple[int, float]]:
        if isinstance(main, ExactIndex):
            return main.search(vector, count, rows_max=max(SCAN_MAX, self._exact_max))
        return main.search(vector, count)

    def __contains__(self, key: int) -> bool:
        if self._fresh is not None and key in self._fresh:
            return True
        return key not in self._gone and self._below(key)

    def _below(self, key: int) -> bool:
        """Whether `main` or `_second` holds it, `_gone` or not."""
        if self._second is not None and key in self._second:
            return True
        return key in self.main and key not in self._gone_of_main

    def _newer(self) -> list[ExactIndex]:
        return [each for each in (self._second, self._fresh) if each is not None]

    def __len__(self) -> int:
        gone = len(self._gone) + len(self._gone_of_main)
        return len(self.main) - gone + sum(len(each) for each in self._newer())

    def keys(self) -> set[int]:
        """Every key."""
        below = set(self.main.keys()) - self._gone_of_main
        if self._second is not None:
            below.update(self._second.keys())
        below -= self._gone
        return below if self._fresh is None else below.union(self._fresh.keys())

    @property
    def small(self) -> bool:
        """Whether `main` is exact, complete and quick to copy."""
        return self._fresh is None and isinstance(self.main, ExactIndex)

    @property
    def bytes_used(self) -> int:
        return self.main.bytes_used + sum(each.bytes_used for each in self._newer())

    # -- what takes long --------------------------------------------------------------------------

    def _fit(self) -> None:
        """Let the kind of index be what the number of vectors asks for."""
        main = self.main
        if isinstance(main, ExactIndex):
            if len(main) > self._exact_max:
                self._work(self._rebuild)
        elif main.dead > max(DEAD_MIN, len(main)) or len(main) <= self._exact_max // 2:
            self._work(self._rebuild)

    def _work(self, work: Callable[[], Coroutine[None, None, None]]) -> "asyncio.Task[None] | None":
        """Freeze `main` and do `work` in the background; at once where there is no event loop."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            _finish(work())
            return None
        self._fresh = ExactIndex(self.dims, scratch=self._scratch)
        task = self._task = loop.create_task(self._then_drain(work))
        task.add_done_callback(self._ended)
        return task

    async def _then_drain(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        await work()
        await self._drain()

    def _ended(self, task: "asyncio.Task[None]") -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            # `main` stays frozen and `_fresh` takes what comes: nothing wrong is found, only less.
            log.error("an index of %d vectors could not be rebuilt", len(self), exc_info=error)
        elif self._fresh is None and not self._closed:
            self._fit()
        if self._settled is not None:
            self._settled(self)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return work()
        return await loop.run_in_executor(self._executor, work)

    async def _rebuild(self) -> None:
        built = await self._in_thread(self._build)
        if built is not None:
            self.main, self._second, self._gone_of_main = built, None, set()

    async def _merge(self) -> None:
        """Make one of `main` and all that came meanwhile, where that is quicker than piece by piece."""
        self._second, self._gone_of_main = self._fresh, self._gone
        self._fresh, self._gone = ExactIndex(self.dims, scratch=self._scratch), set()
        await self._rebuild()

    def _build(self) -> Main | None:
        """`main` and `_second` in a new index of the kind that fits; None when it is of no use any more."""
        main, second = self.main, self._second
        gone = self._gone_of_main
        parts: list[tuple[Main, Sequence[int]]] = [
            (main, [key for key in tuple(main.keys()) if key not in gone])
        ]
        if second is not None:
            parts.append((second, second.keys()))
        graph = sum(len(each) for _, each in parts) > self._exact_max
        if not graph and second is None and isinstance(main, ExactIndex):
            return None
        built = UsearchIndex(self.dims) if graph else ExactIndex(self.dims, scratch=self._scratch)
        for source, keys in parts:
            for start in range(0, len(keys), BUILD_ROWS):
                if self._closed:
                    return None
                part = keys[start : start + BUILD_ROWS]
                built.put_all(part, source.codes(part))
        return built

    async def _grow(self) -> None:
        main = self.main
        assert isinstance(main, UsearchIndex)
        self._moving = True
        try:
            await self._in_thread(main.grow)
        finally:
            self._moving = False

    async def _drain(self) -> None:
        """Work in what came meanwhile; the event loop has a turn after every piece."""
        while (fresh := self._fresh) is not None and (self._gone or len(fresh)):
            if len(fresh) > max(MERGE_MIN, len(self.main) // 2):
                await self._merge()
                continue
            for _ in range(DRAIN_FAST if len(fresh) > DRAIN_FAST_FROM else 1):
                main = self.main
                if self._gone:
                    main.remove(self._gone.pop())
                elif isinstance(main, UsearchIndex) and main.grows_next:
                    await self._grow()
                elif len(fresh):
                    key = fresh.last()
                    main.put(key, fresh.code(key))
                    fresh.remove(key)
            await asyncio.sleep(0)
        self._fresh = self._task = None

    async def frozen(self, work: Callable[[Main], T]) -> T:
        """The result of `work`, done in a thread while `main` does not change."""
        while self._task is not None and not self._task.done():
            await asyncio.wait((self._task,))
        if self._task is not None:
            raise StoreError("the index was closed, or could not be rebuilt")
        done: list[T] = []

        async def do() -> None:
            done.append(await self._in_thread(lambda: work(self.main)))

        task = self._work(do)
        if task is not None:
            await asyncio.wait((task,))
        if not done:
            raise StoreError("the index was closed, or it could not be read")
        return done[0]

    def abandon(self) -> None:
        """Nobody wants it any more: stop what goes on in the background."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()

    async def aclose(self) -> None:
        """Stop what goes on in the background. Safe to call twice."""
        self.abandon()
        if self._task is not None:
            await asyncio.wait((self._task,))


def _finish(work: Coroutine[None, None, None]) -> None:
    """Run what never waits, since nothing is in a thread where there is no event loop."""
    try:
        work.send(None)
    except StopIteration:
        return
    raise AssertionError("it waited")
