"""Steps that may fail or be late. See promise 1 in `answer`: it is kept here alone, by `optional` for what is
awaited and by `optional_now` for what is not. No other `except Exception` of the request path goes on.

What a step may do wrong, and what then happens:

    it raises, is cancelled by itself, or    it is skipped: the receipt names it, and now and then the log
    returns what is not of its type
    it waits too long                        it is cancelled, and skipped
    it blocks the event loop                 nothing can end it: `stage_ms` has its time, the log names it
    it ends the process (KeyboardInterrupt)  that is no failure of a step, and rises
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from time import perf_counter
from typing import Any, Protocol, TypeVar

from farthing.runtime.loop_batch import in_task, resumed
from farthing.runtime.outside import noted
from farthing.runtime.seldom import Tally
from farthing.types import Receipt

log = logging.getLogger("farthing.pipeline")
T = TypeVar("T")

TELL_EVERY_S = 10.0  # of one step and fault; all others are counted


class Patience(Protocol):
    """The limits of a step: for most the brain's time limit, for checks that of their cascade."""

    @property
    def blocks_s(self) -> float:
        """Seconds without a wait after which a step is logged as one that blocks the event loop."""

    def time_left_s(self, name: str, stage_ms: Mapping[str, float]) -> float:
        """Seconds that the step `name` may still take."""

    def raises(self, name: str, error: Exception) -> bool:
        """Whether `error` fails the request: because the client must see it, or because the configuration is
        strict."""

    @property
    def told(self) -> Tally:
        """Counts the log lines about each step that were suppressed."""


async def optional(
    name: str,
    step: Coroutine[Any, Any, T],
    default: T,
    patience: Patience,
    receipt: Receipt,
    kind: type[object] = object,
) -> T:
    """Await one optional step. If it fails or its time is up, record why and return `default`.

    A step that never waits costs no timer: it is run up to its first wait before a timer is set. The
    result must be `default` or an instance of `kind`; its contents are not validated.
    """
    stage_ms = receipt.stage_ms
    began_s = perf_counter()
    try:
        try:
            waits_for = step.send(None)
        except StopIteration as done:
            found: T = done.value
            if perf_counter() - began_s > patience.blocks_s:
                _tell(patience, name, "blocked", "blocked the event loop, which no time limit can end")
        else:
            left_s = patience.time_left_s(name, stage_ms)
            await in_task()
            try:
                async with asyncio.timeout(max(0.0, left_s)) as limit:
                    found = await resumed(step, waits_for)
            except TimeoutError as error:
                if not limit.expired():
                    raise
                raise TimeoutError(_late(left_s)) from error.__cause__
        if found is not default and not isinstance(found, kind):
            raise TypeError(f"it returned {type(found).__name__}, not {kind.__name__}")
        return found
    except asyncio.CancelledError as error:
        if _request_is_cancelled():
            raise
        skip(name, error, patience, receipt)
        return default
    except Exception as error:
        if patience.raises(name, error):
            raise
        skip(name, error, patience, receipt)
        return default
    finally:
        stage_ms[name] = (perf_counter() - began_s) * 1000


def optional_now(
    name: str,
    default: T,
    kind: type[object],
    patience: Patience,
    receipt: Receipt,
    step: Callable[..., T],
    *given: Any,
) -> T:
    """As `optional`, for a step that is not awaited. Its duration is not recorded."""
    try:
        found = step(*given)
        if found is default or isinstance(found, kind):
            return found
        raise TypeError(f"it returned {type(found).__name__}, not {kind.__name__}")
    except asyncio.CancelledError as error:  # nobody is cancelled but where it waits
        skip(name, error, patience, receipt)
        return default
    except Exception as error:
        if patience.raises(name, error):
            raise
        skip(name, error, patience, receipt)
        return default


def skip(name: str, error: BaseException, patience: Patience, receipt: Receipt) -> None:
    """Record in the receipt, and now and then in the log, that `name` was skipped, and why."""
    why = receipt.skipped[name] = type(error).__name__
    whose = noted(error)
    _tell(patience, name, why, f"skipped: {why}: {error}" + (f" ({whose})" if whose else ""))


def _late(left_s: float) -> str:
    return f"it took longer than {left_s:.3g} s" if left_s > 0 else "no time was left for it"


def tally() -> Tally:
    """A tally for `Patience.told`."""
    return Tally(TELL_EVERY_S, time.monotonic)


def _tell(patience: Patience, name: str, kind: str, what: str) -> None:
    unsaid = patience.told.unsaid(f"{name}: {kind}")
    if unsaid is not None:
        more = f" ({unsaid} more since this was last said)" if unsaid else ""
        log.warning("step %s %s%s", name, what, more)


def _request_is_cancelled() -> bool:
    """Whether the request was cancelled, rather than a step cancelling itself. A request that is not a task
    can only be cancelled where it waits, and it is a task from the first wait of a step on."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
