"""A client that reads slowly makes its own answer late, and no target slow for others."""

import asyncio
from collections.abc import Callable

import pytest
from tests.e2e.test_cascade import Collected, Journey, Run
from tests.e2e.test_cascade import run as run

from farthing.types import Target

MINI = Target(name="a/mini", provider="a", model="mini")


class Slow(Collected):
    """A sink whose client takes nothing for a while."""

    def when_writable(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        pause()
        asyncio.get_running_loop().call_later(0.3, resume)


@pytest.mark.parametrize(("sink", "learnt"), [(Slow, 0), (Collected, 1)])
def test_the_time_of_an_answer_that_waited_for_its_reader_says_nothing_of_its_target(
    run: Run, sink: Callable[[], Collected], learnt: int
) -> None:
    async def what(journey: Journey) -> None:
        _, receipt = await journey.ask("one two three four", sink=sink(), stream=True, model="a/mini")
        assert receipt.status == 200
        assert journey.serving.steps.caller.health(MINI).speed.answers == learnt

    # rules do not ask how long an answer takes
    asks = 'kind = "llm"\n[route.llm]\ntarget = "a/judge"\ncheap = "expensive"'
    run(what, on_call=lambda call: "gap=0.05", route=asks)
