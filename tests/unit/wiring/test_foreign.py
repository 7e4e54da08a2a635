"""The calls of plug-ins: who waits goes at once, and what does not end is ended."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest

from farthing.types import CandidateAnswer, CheckResult, Json, Passage, Passages
from farthing.wiring import foreign
from farthing.wiring.foreign import Calls, ForeignCheck, ForeignRetriever, PluginFailed


async def stubborn() -> None:
    """Does not end when it is cancelled."""
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(3_600)


async def until(what: Callable[[], object]) -> None:
    while not what():  # noqa: ASYNC110  # what it waits for has no event
        await asyncio.sleep(0.001)


def others() -> int:
    return len(asyncio.all_tasks()) - 1


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 60))


def test_a_call_that_does_not_end_is_ended_after_its_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "GRACE_S", 0.01)

    async def main() -> None:
        with pytest.raises(TimeoutError, match=r"plug-in toy: route took longer than 0\.01 s"):
            await Calls("toy").run("route", stubborn, timeout_s=0.01)
        await until(lambda: others() <= 1)

    run(main())


def test_a_call_that_tidies_up_in_time_does_so() -> None:
    tidied = []

    async def tidy() -> None:
        try:
            await asyncio.sleep(3_600)
        finally:
            await asyncio.sleep(0)
            tidied.append(True)

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await Calls("toy").run("route", tidy, timeout_s=0.01)
        await until(lambda: tidied)

    run(main())


def test_too_many_that_do_not_end_and_it_is_not_called_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "LEFT_MAX", 3)
    monkeypatch.setattr(foreign, "GRACE_S", 3_600.0)

    async def main() -> None:
        calls = Calls("toy")
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await calls.run("route", stubborn, timeout_s=0.001)
        with pytest.raises(PluginFailed, match="3 earlier calls have not ended"):
            await calls.run("route", stubborn)
        await calls.close(object())
        await until(lambda: others() <= 1)

    run(main())


def test_what_a_check_left_behind_asks_nobody() -> None:
    asked = []

    async def ask(body: Json, target: str | None) -> CandidateAnswer | None:
        asked.append(target)
        return None

    left: list[asyncio.Task[Any]] = []

    class Leaves:
        name = "leaves"

        async def doubt(self, draft: Any, ask: Any) -> CheckResult:
            async def later() -> None:
                await asyncio.sleep(0.01)
                await ask({}, "after")

            left.append(asyncio.create_task(later()))
            await ask({}, "within")
            return CheckResult(reason=None)

    async def main() -> None:
        check = ForeignCheck(Leaves(), Calls("toy"), name="leaves")
        draft: Any = None
        assert (await check.doubt(draft, ask)).reason is None
        await left[0]
        assert asked == ["within"]

    run(main())


@pytest.mark.parametrize(
    "passage",
    [
        Passage(text="half \ud83d", source="page"),
        Passage(text="words", source="half \ud83d"),
        Passage(text="words", source="s" * 2_001),
        Passage(text="words", source="page", tokens=True),
        Passage(text="words", source="page", tokens=-1),
    ],
)
def test_a_passage_that_cannot_be_sent_or_written_down_is_none(passage: Passage) -> None:
    class Odd:
        async def retrieve(self, request: Any, traits: Any) -> Passages:
            return Passages(passages=(passage,))

    async def main() -> None:
        nobody: Any = None
        with pytest.raises(TypeError, match="plug-in toy: retrieve gave a"):
            await ForeignRetriever(Odd(), Calls("toy")).retrieve(nobody, nobody)

    run(main())
