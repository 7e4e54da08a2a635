"""Batches texts of many requests: a bounded queue before a model that processes several texts at once.

Texts that arrive while a batch is processed form the next one, so batches grow with the load, and an idle
model answers at once. A window delays the first text of a batch where larger batches pay (a remote model:
each call costs time). Texts are processed in order of arrival; each caller gets its own results in its own
order.

Callers share nothing but the model: equal texts are processed separately and no result is remembered,
since the time to a vector would reveal to one tenant what another has asked.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from typing import Generic, TypeAlias, TypeVar

from farthing.errors import StoreError

R = TypeVar("R")


class Asked:
    """One text whose caller waits for a result."""

    __slots__ = ("_done", "text")

    def __init__(self, text: str, done: "asyncio.Future[None]") -> None:
        self.text = text
        self._done = done

    @property
    def wanted(self) -> bool:
        """False once the caller has left. May be read from any thread."""
        return not self._done.done()


Work: TypeAlias = Callable[[Sequence[Asked]], Awaitable[Sequence[R | None]]]
"""One result for each, in order; None only for what is not `wanted`. A StoreError: none can be told."""


class _Call(Generic[R]):
    """One call of `ask`: its results so far, and the number of texts not done."""

    __slots__ = ("done", "left", "results")

    def __init__(self, texts: int, done: "asyncio.Future[None]") -> None:
        self.results: list[R | None] = [None] * texts
        self.left = texts
        self.done = done

    def fail(self, error: BaseException) -> None:
        if not self.done.done():
            self.done.set_exception(StoreError(str(error)) if isinstance(error, StoreError) else error)


class _Place(Generic[R]):
    """A queued text, and where its result goes."""

    __slots__ = ("asked", "call", "index")

    def __init__(self, text: str, call: _Call[R], index: int) -> None:
        self.asked = Asked(text, call.done)
        self.call = call
        self.index = index

    def fill(self, result: R | None) -> None:
        call = self.call
        call.results[self.index] = result
        call.left -= 1
        if not call.left and not call.done.done():
            call.done.set_result(None)


class Batcher(Generic[R]):
    """Collects texts into batches for `work`. Belongs to the event loop that first calls it.

    A batch has at most `texts_max` texts and, beyond its first, at most `chars_max` characters, which
    bounds the wait of the texts behind it. At most `batches_max` batches are processed at once.
    """

    def __init__(
        self,
        work: Work[R],
        *,
        name: str,
        texts_max: int,
        chars_max: int,
        waiting_max: int,
        window_s: float = 0.0,
        batches_max: int = 1,
    ) -> None:
        self._work = work
        self._name = name
        self._texts_max = texts_max
        self._chars_max = chars_max
        self._waiting_max = waiting_max
        self._window_s = window_s
        self._batches_max = batches_max
        self._waiting: dict[int, _Place[R]] = {}
        self._number = 0
        self._running: dict[asyncio.Task[Sequence[R | None]], list[_Place[R]]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def ask(self, texts: Sequence[str]) -> list[R]:
        """Return a result for each text, in order. A long list is queued part by part.

        Cancelling removes its texts that have not begun from the queue.

        Raises:
            StoreError: the queue is full, the batcher is closed, or the work failed.
        """
        results: list[R | None] = []
        for start in range(0, len(texts), self._texts_max):
            results += await self._ask(texts[start : start + self._texts_max])
        found = [result for result in results if result is not None]
        if len(found) != len(texts):
            raise StoreError(f"{self._name} gave {len(found)} results for {len(texts)} texts")
        return found

    async def _ask(self, texts: Sequence[str]) -> list[R | None]:
        if self._closed:
            raise StoreError(f"{self._name} is closed")
        if len(self._waiting) + len(texts) > self._waiting_max:
            raise StoreError(f"{self._name} has {len(self._waiting)} texts waiting, which is all it takes")
        call: _Call[R] = _Call(len(texts), asyncio.get_running_loop().create_future())
        first = self._number
        for index, text in enumerate(texts):
            self._waiting[self._number] = _Place(text, call, index)
            self._number += 1
        self._begin(len(texts))
        try:
            await call.done
        finally:
            for number in range(first, first + len(texts)):
                self._waiting.pop(number, None)
        return call.results

    def _begin(self, arrived: int) -> None:
        """Start the batches that may start now; the first text of a batch opens the window."""
        if len(self._running) >= self._batches_max or not self._waiting:
            return
        if self._window_s > 0 and len(self._waiting) < self._texts_max:
            if self._timer is None and arrived:
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(self._window_s, self._window_ends)
            if self._timer is not None:
                return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._start()

    def _window_ends(self) -> None:
        self._timer = None
        if self._waiting and len(self._running) < self._batches_max:
            self._start()

    def _start(self) -> None:
        batch = self._take()
        task = asyncio.ensure_future(self._work([place.asked for place in batch]))
        self._running[task] = batch
        task.add_done_callback(self._ended)

    def _take(self) -> list[_Place[R]]:
        chars = 0
        numbers: list[int] = []
        for number, place in islice(self._waiting.items(), self._texts_max):
            chars += len(place.asked.text)
            if numbers and chars > self._chars_max:
                break
            numbers.append(number)
        return [self._waiting.pop(number) for number in numbers]

    def _ended(self, task: "asyncio.Task[Sequence[R | None]]") -> None:
        batch = self._running.pop(task)
        # A StoreError, or a bug: it rises where the result is awaited.
        error = StoreError(f"{self._name} was closed") if task.cancelled() else task.exception()
        if error is None and len(task.result()) != len(batch):
            error = StoreError(f"{self._name} gave {len(task.result())} results for {len(batch)} texts")
        if error is not None:
            for place in batch:
                place.call.fail(error)
        else:
            for place, result in zip(batch, task.result(), strict=True):
                place.fill(result)
        if not self._closed:
            self._begin(len(self._waiting))

    async def aclose(self) -> None:
        """Close the queue; callers that wait get a StoreError. A second call is harmless."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, {}
        for place in waiting.values():
            place.call.fail(StoreError(f"{self._name} is closed"))
        for task in tuple(self._running):
            task.cancel()
        if self._running:
            await asyncio.wait(tuple(self._running))
