"""Promise 1, in the two functions that keep it."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import pytest
from tests.semantic import receipt

from farthing.errors import StoreError
from farthing.pipeline.optional import optional, optional_now, tally
from farthing.runtime.loop_batch import LoopBatch, batch_barrier


class Allowed:
    """See `optional.Patience`."""

    blocks_s = 60.0

    def __init__(self, left_s: float = 60.0, rises: type[Exception] | None = None) -> None:
        self.left_s, self.rises = left_s, rises
        self.told = tally()

    def time_left_s(self, name: str, stage_ms: Mapping[str, float]) -> float:
        return self.left_s

    def raises(self, name: str, error: Exception) -> bool:
        return self.rises is not None and isinstance(error, self.rises)


def run(how: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """In a task, or as the server runs requests."""

    async def main() -> None:
        if how == "task":
            return await work()
        done = asyncio.get_running_loop().create_future()

        async def begun() -> None:
            try:
                await work()
            except BaseException as error:  # noqa: BLE001  # handed on
                done.set_exception(error)
            else:
                done.set_result(None)

        LoopBatch(asyncio.get_running_loop()).start(begun())
        return await done  # type: ignore[no-any-return]

    asyncio.run(main())


@pytest.fixture(params=["task", "runner"])
def how(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def number(waits: bool, found: object = 7) -> Any:
    if waits:
        await asyncio.sleep(0)
    return found


async def fails(waits: bool, error: BaseException) -> Any:
    if waits:
        await asyncio.sleep(0)
    raise error


@pytest.mark.parametrize("waits", [False, True])
def test_what_a_step_returns_is_returned_if_it_is_of_its_kind(how: str, waits: bool) -> None:
    async def work() -> None:
        told = receipt()
        assert await optional("s", number(waits), 0, Allowed(), told, int) == 7
        assert await optional("s", number(waits, None), None, Allowed(), told, int) is None
        assert told.skipped == {} and set(told.stage_ms) == {"s"}
        assert await optional("s", number(waits, "seven"), 0, Allowed(), told, int) == 0
        assert told.skipped == {"s": "TypeError"}

    run(how, work)


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("error", [StoreError("x"), ZeroDivisionError(), asyncio.CancelledError("mine")])
def test_a_step_that_fails_is_skipped(how: str, waits: bool, error: BaseException) -> None:
    async def work() -> None:
        told = receipt()
        assert await optional("s", fails(waits, error), 5, Allowed(), told) == 5
        assert told.skipped == {"s": type(error).__name__}

    run(how, work)


def test_what_ends_the_process_is_not_a_failed_step() -> None:
    async def work() -> None:
        told = receipt()
        with pytest.raises(SystemExit):
            await optional("s", fails(False, SystemExit()), 5, Allowed(), told)
        assert told.skipped == {}

    run("task", work)


def test_what_is_to_rise_rises(how: str) -> None:
    async def work() -> None:
        told = receipt()
        with pytest.raises(StoreError):
            await optional("s", fails(False, StoreError("x")), 5, Allowed(rises=StoreError), told)
        with pytest.raises(StoreError):
            await optional("s", fails(True, StoreError("x")), 5, Allowed(rises=StoreError), told)
        assert told.skipped == {}

    run(how, work)


def test_a_late_step_is_cancelled_and_skipped(how: str) -> None:
    ended: list[str] = []

    async def sleeps() -> int:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("ended")
        return 1

    async def work() -> None:
        told = receipt()
        assert await optional("s", sleeps(), 5, Allowed(left_s=0.01), told) == 5
        assert told.skipped == {"s": "TimeoutError"} and ended == ["ended"]

    run(how, work)


def test_a_cancelled_request_is_cancelled_in_the_middle_of_a_step() -> None:
    async def sleeps() -> int:
        await asyncio.sleep(60)
        return 1

    async def main() -> None:
        told = receipt()
        asking = asyncio.create_task(optional("s", sleeps(), 5, Allowed(), told))
        await asyncio.sleep(0.01)
        asking.cancel("client_gone")
        with pytest.raises(asyncio.CancelledError, match="client_gone"):
            await asking
        assert told.skipped == {}

    asyncio.run(main())


def test_a_stage_inside_a_step_means_nothing_there(how: str) -> None:
    async def staged() -> int:
        await batch_barrier()
        await asyncio.sleep(0)
        await batch_barrier()
        return 3

    async def work() -> None:
        told = receipt()
        assert await optional("s", staged(), 5, Allowed(), told) == 3
        assert told.skipped == {}

    run(how, work)


def test_the_same_holds_where_nothing_is_awaited() -> None:
    def cancelled() -> int:
        raise asyncio.CancelledError

    wrong: Any = str
    told = receipt()
    assert optional_now("s", 0, int, Allowed(), told, int, "7") == 7
    assert told.skipped == {}
    assert optional_now("bad", 0, int, Allowed(), told, int, "seven") == 0
    assert optional_now("kind", 0, int, Allowed(), told, wrong, 7) == 0
    assert optional_now("gone", 0, int, Allowed(), told, cancelled) == 0
    assert told.skipped == {"bad": "ValueError", "kind": "TypeError", "gone": "CancelledError"}
    with pytest.raises(ValueError):
        optional_now("s", 0, int, Allowed(rises=ValueError), told, int, "seven")
    with pytest.raises(KeyboardInterrupt):
        optional_now("s", 0, int, Allowed(), told, _interrupted)


def _words() -> Any:
    return "seven"


def _interrupted() -> int:
    raise KeyboardInterrupt
