"""Steps that may fail or be late. See promise 1 in `answer`."""

import asyncio
import logging
from collections.abc import Coroutine
from time import perf_counter
from typing import Any, TypeVar

from farthing.errors import (
    RequestError,
)
from farthing.pipeline.steps import Steps
from farthing.runtime.loop_batch import in_task, resumed
from farthing.types import Receipt

log = logging.getLogger("farthing.pipeline")
T = TypeVar("T")


async def optional(name: str, step: Coroutine[Any, Any, T], default: T, steps: Steps, receipt: Receipt) -> T:
    """Await one optional step; if it fails or the brain's time is up, note why and use `default`.

    No other `except Exception` of the request path goes on afterwards: promise 1 is kept here alone.
    A step that never waits costs no timer: it is run to its first wait before one is set.
    """
    stage_ms = receipt.stage_ms
    began_s = perf_counter()
    try:
        try:
            waits_for = step.send(None)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]  # T, by the type of `step`
        left_s = time_left_s(name, steps, stage_ms)
        await in_task()
        async with asyncio.timeout(max(0.0, left_s)):
            return await resumed(step, waits_for)
    except RequestError:
        raise
    except Exception as error:
        if steps.strict:
            raise
        log.warning("step %s skipped: %s: %s", name, type(error).__name__, error)
        receipt.skipped[name] = type(error).__name__
        return default
    finally:
        stage_ms[name] = (perf_counter() - began_s) * 1000


def time_left_s(name: str, steps: Steps, stage_ms: dict[str, float]) -> float:
    """What the brain has left for the step `name`. A router that asks a model has a time of its own for it,
    which is not taken from the others."""
    asks_s = steps.router.wait_s
    spent_ms = sum(stage_ms.values()) - (stage_ms.get("route", 0.0) if asks_s else 0.0)
    return steps.brain_timeout_s + (asks_s if name == "route" else 0.0) - spent_ms / 1000
