"""A task that stops by an error is logged with its traceback; one that is cancelled is not."""

import asyncio
import logging

import pytest

from farthing.runtime.faults import log_fault

log = logging.getLogger("farthing.test")


def test_only_a_task_that_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def fails() -> None:
        raise RuntimeError("broken")

    async def waits() -> None:
        await asyncio.sleep(60)

    async def life() -> None:
        tasks = [asyncio.ensure_future(work) for work in (fails(), waits(), asyncio.sleep(0))]
        for number, task in enumerate(tasks):
            task.add_done_callback(log_fault(log, f"task {number} stopped"))
        await asyncio.sleep(0)
        tasks[1].cancel()
        await asyncio.wait(tasks)

    asyncio.run(life())
    (record,) = caplog.records
    assert (record.levelname, record.message) == ("ERROR", "task 0 stopped")
    assert record.exc_info is not None and str(record.exc_info[1]) == "broken"
