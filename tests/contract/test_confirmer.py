"""What every Confirmer does. There is one: a cheap model that is asked on the way. What a model makes of a
question is shown in tests/e2e/test_errands.py."""

import asyncio

import pytest
from tests.semantic import said
from tests.unit.jobs.test_runner import Bench, on_bench

from farthing.brain.cache.semantic.confirm import Confirm
from farthing.protocols import Confirmer
from farthing.types import Endpoint, HitCandidate, Request, Verdict, replace

FAQ = Endpoint(name="faq")


def candidate() -> HitCandidate:
    verdict = Verdict(outcome="abstain", probability=0.6)
    return HitCandidate(entry="e1", question="When are you open?", hit=said("At nine."), verdict=verdict)


def asked(bench: Bench, endpoint: Endpoint = FAQ) -> Request:
    request: Request = replace(bench.request("req_1"), endpoint=endpoint)
    return request


def confirm_on(bench: Bench, target: str = "auto") -> Confirm:
    return Confirm(
        bench.jobs,
        targets={"faq": target},
        endpoint={"faq": FAQ}.get,
        clock=bench.clock,
    )


def test_an_endpoint_that_wants_none_is_not_asked_for() -> None:
    async def go(bench: Bench) -> None:
        confirmer: Confirmer = confirm_on(bench)
        assert await confirmer.confirm(asked(bench, Endpoint(name="other")), candidate()) is None
        assert not bench.receipts

    on_bench(go)


def test_words_that_are_neither_yes_nor_no_say_nothing() -> None:
    async def go(bench: Bench) -> None:
        assert await confirm_on(bench).confirm(asked(bench), candidate()) is None
        (receipt,) = bench.receipts
        assert (receipt.purpose, receipt.about, receipt.cache_entry) == ("judge", "req_1", "e1")

    on_bench(go)


def test_a_model_that_is_not_there_says_nothing_and_raises_nothing() -> None:
    async def go(bench: Bench) -> None:
        assert await confirm_on(bench, target="nobody/nothing").confirm(asked(bench), candidate()) is None
        (receipt,) = bench.receipts
        assert receipt.error == "model_not_found"

    on_bench(go)


def test_a_fault_of_ours_is_logged_and_is_no_answer() -> None:
    async def go(bench: Bench) -> None:
        bench.jobs.steps = None  # as if it were asked before there is a configuration
        assert await confirm_on(bench).confirm(asked(bench), candidate()) is None

    on_bench(go)


def test_a_confirmation_under_way_at_the_end_leaves_its_receipt_before_the_ledger_closes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def never(*given: object) -> None:
        await asyncio.Event().wait()

    async def go(bench: Bench) -> None:
        monkeypatch.setattr("farthing.pipeline.answer.guard_request", never)
        steps = bench.jobs.steps
        assert steps is not None
        bench.jobs.steps = replace(steps, guardrails=(object(),))
        waiting = asyncio.create_task(confirm_on(bench).confirm(asked(bench), candidate()))
        await asyncio.sleep(0.05)
        waiting.cancel()  # its client was cut
        await asyncio.gather(waiting, return_exceptions=True)
        assert not bench.receipts
        await bench.jobs.aclose()
        (receipt,) = bench.receipts
        assert (receipt.purpose, receipt.stop_reason) == ("judge", "draining")

    on_bench(go)
