"""What every RouteAdvisor does: a number from 0 to 1 or nothing, in bounded time, and never an error."""

import asyncio
import time
from collections.abc import Callable

import pytest
from tests.asking import asked
from tests.unit.jobs.test_runner import Bench, on_bench

from farthing.brain.route.advisor import Advice, Advise, AdvisorOptions, NoAdvice
from farthing.protocols import RouteAdvisor
from farthing.types import Endpoint, Request, replace

FAQ = Endpoint(name="faq")
WITHIN_S = 0.3


def advise_on(bench: Bench, target: str = "auto") -> Advise:
    """Asks a gateway that has one fixed answer to everything, which is none of the words."""
    return Advise(
        bench.jobs,
        target=target,
        options=AdvisorOptions(timeout_s=WITHIN_S, ttl_s=60.0, logprobs=False),
        advice=Advice(clock=bench.clock),
        endpoint={"faq": FAQ}.get,
        clock=bench.clock,
    )


ADVISORS: dict[str, Callable[[Bench], RouteAdvisor]] = {
    "advise": advise_on,
    "advise, no such model": lambda bench: advise_on(bench, "nobody/nothing"),
    "none": lambda bench: NoAdvice(),
}


def request(bench: Bench, text: str = "When do you open?", endpoint: Endpoint = FAQ) -> Request:
    changed: Request = replace(asked(text), endpoint=endpoint, model="farthing/faq", received_s=bench.clock())
    return changed


@pytest.mark.parametrize("name", ADVISORS)
def test_what_cannot_be_told_is_nothing_in_time_and_no_error(name: str) -> None:
    async def go(bench: Bench) -> None:
        advisor = ADVISORS[name](bench)
        began_s = time.monotonic()
        assert await advisor.easy(request(bench)) is None
        assert await advisor.easy(request(bench, "", Endpoint(name="gone"))) is None
        assert await advisor.easy(request(bench, "Another?", Endpoint(name="gone"))) is None
        assert time.monotonic() - began_s < 30.0

    on_bench(go)


@pytest.mark.parametrize("name", ["advise", "advise, no such model"])
def test_what_was_asked_has_a_receipt_about_the_request(name: str) -> None:
    async def go(bench: Bench) -> None:
        await ADVISORS[name](bench).easy(request(bench))
        (receipt,) = bench.receipts
        assert (receipt.purpose, receipt.about, receipt.endpoint) == ("route", "r-1", "faq")
        assert receipt.error in ("no_verdict", "model_not_found")

    on_bench(go)


def test_a_fault_of_ours_is_logged_and_is_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    async def go(bench: Bench) -> None:
        bench.jobs.steps = None  # as if it were asked before there is a configuration
        assert await advise_on(bench).easy(request(bench)) is None

    on_bench(go)
    assert "fault of ours" in caplog.text


def test_a_question_under_way_at_the_end_leaves_its_receipt(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*given: object) -> None:
        await asyncio.Event().wait()

    async def go(bench: Bench) -> None:
        monkeypatch.setattr("farthing.pipeline.answer.guard_request", never)
        steps = bench.jobs.steps
        assert steps is not None
        bench.jobs.steps = replace(steps, guardrails=(object(),))
        waiting = asyncio.create_task(advise_on(bench).easy(request(bench)))
        await asyncio.sleep(0.05)
        await bench.jobs.aclose()
        assert await waiting is None
        (receipt,) = bench.receipts
        assert (receipt.purpose, receipt.stop_reason) == ("route", "draining")

    on_bench(go)
