"""What every AnswerJudge does. There is one: a judge whose comparisons are errands."""

import asyncio

from tests.unit.jobs.test_runner import NO_WAIT, Bench, on_bench, until

from farthing.config import JobsConfig
from farthing.evaluation.judges.equivalence import Judge
from farthing.protocols import AnswerJudge
from farthing.types import Comparison, Endpoint, Tenant

FAQ = {"faq": Endpoint(name="faq")}


def comparison(endpoint: str = "faq") -> Comparison:
    return Comparison(
        entry="e1",
        partition=b"p",
        tenant=Tenant(name="acme"),
        endpoint=endpoint,
        request_id="req_1",
        asked="When do you open?",
        stored_question="When do you open?",
        fresh="At nine.",
        stored="Nine o'clock.",
    )


def judge_on(bench: Bench) -> Judge:
    return Judge(bench.jobs, targets={"faq": "auto"}, endpoint=FAQ.get, clock=bench.clock)


def test_it_takes_a_comparison_and_returns_at_once() -> None:
    async def go(bench: Bench) -> None:
        judge: AnswerJudge = judge_on(bench)
        assert judge.ask(comparison()) == "queued"
        assert bench.jobs.gauges()["jobs_queued"] == 1
        assert not bench.receipts

    on_bench(go)


def test_it_says_that_an_endpoint_has_no_judge() -> None:
    async def go(bench: Bench) -> None:
        assert judge_on(bench).ask(comparison("other")) == "none"

    on_bench(go)


def test_it_says_when_there_is_no_room() -> None:
    async def go(bench: Bench) -> None:
        judge = judge_on(bench)
        assert [judge.ask(comparison()) for _ in range(3)] == ["queued", "queued", "full"]

    on_bench(go, JobsConfig(queue_max=2))


def test_a_reply_that_is_no_verdict_is_told_to_nobody_but_its_receipt() -> None:
    """The bench answers everything alike, with words that no judge may say."""

    async def go(bench: Bench) -> None:
        judge = judge_on(bench)
        told: list[bool] = []
        judge.judged = lambda what, agrees: told.append(agrees)
        bench.jobs.start()
        judge.ask(comparison())
        await until(lambda: bool(bench.receipts))
        (receipt,) = bench.receipts
        assert (receipt.purpose, receipt.about, receipt.audit) == ("judge", "req_1", "")
        assert receipt.error == "no_verdict" and receipt.cache_entry == "e1"
        await asyncio.sleep(0)
        assert told == []

    on_bench(go, NO_WAIT)
