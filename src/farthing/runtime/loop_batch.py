"""One turn of the event loop: what was woken goes on, stage by stage; then all that is to be written is.

**Runners.** A request is handled by a `RequestRunner`, not by a task: most requests wait for nothing but a
reply, by `Waiter`, and a task with its future, its handles and its place in a set of all tasks costs more
than that wait. A runner that waits for anything else becomes a task there and then. Until then there is no
current task, which `asyncio.timeout`, a task group and most libraries need at once: so only what declares
itself `immediate` runs before that (see `is_immediate`), all other code in a task from its first step. Each
runner has a `contextvars` context of its own, which is the task's too when it becomes one.

**Stages.** The journey of one request touches more code and tables than the processor's first caches hold, so
one journey after another finds them cold each time. `batch_barrier` lets the other runners of the batch come
as far first: a stage that runs for all of them in a row is loaded once (cohort scheduling: Larus and Parkes,
"Using Cohort Scheduling to Enhance Server Performance", USENIX 2002). Alone, a runner goes on at once.

**Writes.** uvloop writes to a socket at once. On loopback and on fast networks that write wakes the reader,
and waking a sleeping process costs more than all else about it; a second write to a process that is awake
does not. So what a turn has to say to all sockets is said in one go, after its last stage: a busy gateway
wakes its peers once a turn, an idle one waits for nothing.

What each of them gave is in docs/decisions/0006, 0007 and 0018.
"""

import asyncio
import threading
import time
from abc import abstractmethod
from collections.abc import Coroutine, Generator
from contextvars import copy_context
from inspect import CORO_CREATED, getcoroutinestate
from types import coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

QUIET_S = 0.0003  # since the last chunk: some turns of a busy loop

STAGES_MAX = 32  # in one turn; then it is the sockets' turn

_AS_TASK: Final = object()
_NEXT_STAGE: Final = object()
_current_task = asyncio.current_task
_thread = threading.get_ident

_steps_in = 0
"""The thread in which a turn's runners go on at this moment, one after another; 0: none does. Asking asyncio
for the current task takes ten times as long. Where two loops run in two threads the later one counts: the
other's runners then go on without waiting for each other, as tasks do."""


def is_immediate(*implementations: object) -> bool:
    """Whether all of them say `immediate = True` of themselves: before its first wait none needs a current
    task. It waits for what the runtime wakes (`Waiter`, `batch_barrier`) or for a plain future, or comes
    after `in_task`. None is no implementation. Who says nothing is not: that is safe, and costs a task."""
    return all(one is None or getattr(one, "immediate", False) is True for one in implementations)


class Waiter:
    """Base class for an object whose callbacks wake the single runner or task that waits for it."""

    __slots__ = ("_loop", "_waiter")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiter: asyncio.Future[None] | RequestRunner | None = None

    @coroutine
    def wait(self) -> Generator[Any, Any, None]:
        """Sleep until `wake` is called. Cancelled while asleep, it closes what it waited for."""
        try:
            if _steps_in == _thread() or _current_task(self._loop) is None:
                yield self
            else:
                self._waiter = waiter = self._loop.create_future()
                yield from waiter
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            self._waiter = None

    def wake(self) -> None:
        """Wake the waiting runner or task, if there is one."""
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    @abstractmethod
    def close(self) -> None:
        """Drop what is still under way. Safe to call twice."""


@coroutine
def batch_barrier() -> Generator[Any, Any, None]:
    """Wait until the other runners of this batch have come as far. Does nothing in a task."""
    if _steps_in == _thread():
        yield _NEXT_STAGE


@coroutine
def in_task() -> Generator[Any, Any, None]:
    """Continue in a task, which asyncio's own time limits need. Never raises CancelledError itself."""
    if _current_task() is None:
        yield _AS_TASK


@coroutine
def resumed(step: Coroutine[Any, Any, T], waits_for: Any) -> Generator[Any, Any, T]:
    """Continue a coroutine that has already run to its first wait."""
    while True:
        try:
            sent = yield waits_for
        except BaseException as error:  # noqa: BLE001  # handed to the step, which decides
            thrown: BaseException | None = error
        else:
            thrown = None
        try:
            waits_for = step.send(sent) if thrown is None else step.throw(thrown)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]  # T, by the type of `step`
        finally:
            thrown = None  # its traceback leads to this frame


class RequestRunner:
    """A coroutine that runs without a task as long as it waits only for `Waiter`s.

    It starts at the end of the batch in which it was created. An exception of its coroutine is logged. Its
    context is its own: it inherits nothing from its creator, which may be handling another request.
    """

    __slots__ = ("_context", "_coroutine", "_task", "_thrown", "_turn", "_waiter")

    def __init__(self, turn: "LoopBatch", work: Coroutine[Any, Any, None]) -> None:
        self._turn = turn
        self._coroutine = work
        self._context = turn.context.copy()
        self._waiter: Waiter | None = None
        """What it sleeps for; None while it runs, is about to, or is over."""
        self._thrown: asyncio.CancelledError | None = None
        self._task: asyncio.Task[None] | None = None

    def cancel(self, why: str) -> None:
        """Raise CancelledError(why) where it waits; where it has not begun or runs, at its first wait."""
        if self._task is not None:
            self._turn.loop.call_soon(self._task.cancel, why)  # not before it has begun
            return
        self._thrown = asyncio.CancelledError(why)
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter._waiter = None
            self._turn.ready(self)

    # what `Waiter` uses of a future

    def done(self) -> bool:
        return False

    def set_result(self, result: None) -> None:
        self._waiter = None
        self._turn.ready(self)

    def step(self) -> None:
        """Run to the next wait. Only the turn calls this."""
        work, thrown = self._coroutine, self._thrown
        try:
            if thrown is None or getcoroutinestate(work) == CORO_CREATED:
                waiter = self._context.run(work.send, None)
            else:
                self._thrown = None
                waiter = self._context.run(work.throw, thrown)
        except (StopIteration, asyncio.CancelledError):
            return
        if waiter is _NEXT_STAGE:
            self._turn._ready.append(self)
        elif isinstance(waiter, Waiter):
            waiter._waiter = self
            self._waiter = waiter
            if self._thrown is not None:
                self.cancel(*self._thrown.args)
        else:
            self._become_task(waiter)

    def _become_task(self, waiter: Any) -> None:
        loop = self._turn.loop
        rest = _the_rest(loop, self._coroutine, waiter)
        self._task = loop.create_task(rest, context=self._context)
        if self._thrown is not None:
            self.cancel(*self._thrown.args)


async def _the_rest(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, None], waiter: Any) -> None:
    """As `_carried_on`, as a coroutine that tasks take: from Python 3.12 on they take no generators."""
    await _carried_on(loop, work, waiter)


@coroutine
def _carried_on(
    loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, None], waiter: Any
) -> Generator[Any, Any, None]:
    """The rest of a runner's coroutine, in a task. `waiter` is what it stopped at. What is said to runners
    alone ends here: a coroutine that was run to its first wait before (`resumed`) may say it only now."""
    while True:
        thrown: BaseException | None = None
        try:
            if isinstance(waiter, Waiter):  # it went to sleep just before it was carried on
                waiter._waiter = waiter = loop.create_future()
                yield from waiter
            elif waiter is not _AS_TASK and waiter is not _NEXT_STAGE:
                yield waiter
        except BaseException as error:  # noqa: BLE001  # handed to the coroutine, which decides
            thrown = error
        try:
            waiter = work.send(None) if thrown is None else work.throw(thrown)
        except StopIteration:
            return
        finally:
            thrown = None  # its traceback leads to this frame


class LoopBatch:
    """The batch of one event loop. Its size is bounded by what one turn of the loop can start and write."""

    __slots__ = ("_armed", "_last_s", "_pending", "_ready", "context", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.context = copy_context()
        """What every runner's context is a copy of; nobody sets anything in it."""
        self._last_s = 0.0
        self._armed = False
        self._ready: list[RequestRunner] = []
        self._pending: list[tuple[asyncio.Transport, bytes]] = []

    def start(self, work: Coroutine[Any, Any, None]) -> RequestRunner:
        """Run `work` from the end of this turn on."""
        runner = RequestRunner(self, work)
        self.ready(runner)
        return runner

    def ready(self, runner: RequestRunner) -> None:
        """Let `runner` go on at the end of this turn."""
        self._ready.append(runner)
        if not self._armed:
            self._armed = True
            self.loop.call_soon(self.end, context=self.context)

    def write(self, transport: asyncio.Transport, data: bytes) -> None:
        """Send `data` at the end of this turn, after all earlier writes."""
        self._pending.append((transport, data))
        if not self._armed:
            self._armed = True
            self.loop.call_soon(self.end, context=self.context)

    def write_soon(self, transport: asyncio.Transport, data: bytes) -> None:
        """Send `data` as `write` when much is being written, at once when not: for a chunk of a stream,
        which mostly is all that a turn has to say, and would pay for a second turn of the loop."""
        now_s = time.monotonic()
        quiet = now_s - self._last_s > QUIET_S
        self._last_s = now_s
        if quiet and not self._pending:
            transport.write(data)
        else:
            self.write(transport, data)

    def end(self) -> None:
        """Let all that is ready go on, stage by stage, then write."""
        self._armed = True  # what the runners write is written below
        if self._ready:
            self._step_all()
        self._armed = bool(self._ready)
        if self._armed:
            self.loop.call_soon(self.end, context=self.context)
        self.flush()

    def _step_all(self) -> None:
        global _steps_in
        _steps_in = _thread()
        try:
            for _ in range(STAGES_MAX):
                ready = self._ready
                if not ready:
                    break
                self._ready = []
                for runner in ready:
                    try:
                        runner.step()
                    except Exception as error:  # noqa: BLE001  # one request's fault is not the others'
                        self.loop.call_exception_handler(
                            {"message": "a request ended by a fault of ours", "exception": error}
                        )
        finally:
            _steps_in = 0

    def flush(self) -> None:
        """Send now what is waiting. What a closing transport was to send is dropped, as it would be by it.

        A transport that is to be closed must be flushed first: `flush`, then `close`.
        """
        pending = self._pending
        if pending:
            self._pending = []
            for transport, data in pending:
                if not transport.is_closing():
                    transport.write(data)
