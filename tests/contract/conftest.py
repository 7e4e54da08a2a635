"""Every contract is run twice: in a task, and as the gateway runs it, a `RequestRunner` that has none.

Nothing has to be done for it in a contract's file but to run coroutines by `asyncio.run`; `test_contracts`
sees that no file does otherwise.
"""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from farthing.runtime.loop_batch import LoopBatch

T = TypeVar("T")

HOW = ("task", "runner")
LIMIT_S = 120.0

_run = asyncio.run


def runs_coroutines(file: Path) -> bool:
    """Whether a contract's file has anything that could run in two ways."""
    return "asyncio" in file.read_text()


def run_in_a_task(work: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`, within a time."""
    return _run(asyncio.wait_for(work, LIMIT_S))


def run_as_the_gateway_does(work: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`, within a time, by a runner that is no task until it has to be one."""

    async def main() -> T:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        async def begun() -> None:
            try:
                found = await work
            except BaseException as error:  # noqa: BLE001  # a failed assertion too
                done.set_exception(error)
            else:
                done.set_result(found)

        LoopBatch(loop).start(begun())
        return await asyncio.wait_for(done, LIMIT_S)

    return _run(main())


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if runs_coroutines(Path(metafunc.module.__file__)):
        metafunc.parametrize("how", HOW, indirect=True)


@pytest.fixture(autouse=True)
def how(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How coroutines of this test run."""
    found = str(getattr(request, "param", "task"))
    monkeypatch.setattr(asyncio, "run", run_as_the_gateway_does if found == "runner" else run_in_a_task)
    return found
