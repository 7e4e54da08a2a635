"""The gateway's own requests: bounded, paid for, behind clients, each with its receipt."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.wired import parts_in_memory

from farthing.config import JobsConfig, loads
from farthing.edge.openai import Asked
from farthing.edge.routes import Serving
from farthing.errors import BudgetExhausted, UnknownModel
from farthing.jobs.budget import Budget
from farthing.jobs.runner import JobRunner
from farthing.jobs.spending import SpentFiles
from farthing.ledger.memory import MemoryLedger
from farthing.protocols import InternalRequest
from farthing.types import Receipt, Request, Route, Tenant, Traits, replace
from farthing.wiring.build import build

CONFIG = """
[[answers]]
name = "opening"
text = "{text}"
when = "input_tokens >= 0"
"""
NO_WAIT = JobsConfig(per_minute=60_000)


class Bench:
    """JobRunner over a gateway that has one fixed answer to everything."""

    def __init__(self, config: JobsConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self.ledger = MemoryLedger()
        self.parts = parts_in_memory(self.ledger)
        self.busy = 0.0
        self.clock = clock
        self.jobs = JobRunner(config, busy=lambda: self.busy, clock=clock, clock_unix_s=time.time)
        self.serve("from nine to five")
        self.budget = Budget(Decimal(1))
        self.heard: list[str | None] = []

    def serve(self, text: str) -> None:
        self.serving: Serving = build(loads(CONFIG.format(text=text), {}), self.parts)
        self.jobs.reconfigure(self.jobs.config, self.serving.steps)

    def request(self, request_id: str) -> Request:
        asked = Asked(
            id=request_id,
            tenant=Tenant(name="acme"),
            headers={},
            received_s=self.clock(),
            body_bytes=99,
        )
        body = {"model": "auto", "messages": [{"role": "user", "content": "when do you open"}]}
        return self.serving.reader.chat(body, asked)

    def internal(self, **changes: Any) -> InternalRequest:
        def conclude(text: str | None, receipt: Receipt) -> None:
            self.heard.append(text)

        fields: dict[str, Any] = {
            "purpose": "refresh",
            "about": "entry_1",
            "request": self.request,
            "budget": self.budget,
            "conclude": conclude,
        }
        return InternalRequest(**(fields | changes))

    @property
    def receipts(self) -> list[Receipt]:
        return [row for row in self.ledger.rows() if isinstance(row, Receipt)]


def on_bench(what: Callable[[Bench], Coroutine[Any, Any, None]], config: JobsConfig = NO_WAIT) -> None:
    async def main() -> None:
        bench = Bench(config)
        try:
            await what(bench)
        finally:
            await bench.jobs.aclose()
            await bench.parts.transport.aclose()

    asyncio.run(main())


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)


def test_an_errand_leaves_one_receipt_that_says_what_it_was_for() -> None:
    async def go(bench: Bench) -> None:
        bench.jobs.start()
        assert bench.jobs.submit(bench.internal(purpose="judge", about="req_7"))
        await until(lambda: bool(bench.receipts))
        (receipt,) = bench.receipts
        assert (receipt.purpose, receipt.about, receipt.tenant) == ("judge", "req_7", "acme")
        assert receipt.request_id.startswith("errand_") and receipt.status == 200
        assert bench.heard == ["from nine to five"]
        assert bench.jobs.gauges()["jobs_done"] == 1

    on_bench(go)


def test_the_router_is_told_that_the_request_is_no_clients() -> None:
    async def go(bench: Bench) -> None:
        routed: list[Request] = []
        rules = bench.serving.steps.router

        class Overheard:
            def __getattr__(self, name: str) -> Any:
                return getattr(rules, name)

            async def route(self, request: Request, traits: Traits) -> Route:
                routed.append(request)
                return await rules.route(request, traits)

        steps = replace(bench.serving.steps, router=Overheard())
        bench.jobs.reconfigure(bench.jobs.config, steps)
        assert not bench.request("r1").own
        await bench.jobs.run(bench.internal(purpose="precompute"))
        assert [one.own for one in routed] == [True]

    on_bench(go)


def test_what_came_of_it_stands_in_its_receipt() -> None:
    async def go(bench: Bench) -> None:
        def conclude(text: str | None, receipt: Receipt) -> None:
            receipt.audit = "agrees" if text else "differs"

        await bench.jobs.run(bench.internal(conclude=conclude))
        assert [row.audit for row in bench.receipts] == ["agrees"]

    on_bench(go)


def test_what_does_not_fit_into_the_queue_is_dropped_and_counted() -> None:
    async def go(bench: Bench) -> None:
        taken = [bench.jobs.submit(bench.internal(about=str(i))) for i in range(5)]
        assert taken == [True, True, True, False, False]
        assert bench.jobs.gauges()["jobs_dropped"] == 2
        bench.jobs.start()
        await until(lambda: len(bench.receipts) == 3)
        assert [row.about for row in bench.receipts] == ["0", "1", "2"]

    on_bench(go, JobsConfig(per_minute=60_000, queue_max=3, at_once=1))


def test_errands_wait_while_clients_need_the_room() -> None:
    async def go(bench: Bench) -> None:
        bench.busy = 0.9
        bench.jobs.start()
        bench.jobs.submit(bench.internal())
        await asyncio.sleep(0.3)
        assert not bench.receipts
        bench.busy = 0.1
        await until(lambda: bool(bench.receipts))

    on_bench(go)


def test_errands_keep_an_even_pace() -> None:
    async def go(bench: Bench) -> None:
        bench.jobs.start()
        began_s = time.monotonic()
        for _ in range(6):
            bench.jobs.submit(bench.internal())
        await until(lambda: len(bench.receipts) == 6)
        assert time.monotonic() - began_s > 0.95 * 5 * 0.05

    on_bench(go, JobsConfig(per_minute=1_200))


def test_an_errand_runs_under_the_configuration_of_its_moment() -> None:
    async def go(bench: Bench) -> None:
        bench.jobs.submit(bench.internal())
        bench.serve("never on Sundays")
        bench.jobs.start()
        await until(lambda: bool(bench.heard))
        assert bench.heard == ["never on Sundays"]

    on_bench(go)


def test_an_errand_without_money_is_not_run_and_its_receipt_says_so() -> None:
    async def go(bench: Bench) -> None:
        await bench.jobs.run(bench.internal(budget=Budget(Decimal(0))))
        (receipt,) = bench.receipts
        assert (receipt.status, receipt.error, receipt.calls) == (429, "insufficient_quota", 0)
        assert bench.heard == [None] and bench.jobs.unpaid == 1

    on_bench(go)


def test_an_errand_that_can_no_longer_be_asked_fails_into_its_receipt() -> None:
    async def go(bench: Bench) -> None:
        def gone(request_id: str) -> Request:
            raise UnknownModel("the endpoint is gone")

        await bench.jobs.run(bench.internal(request=gone))
        assert [(row.status, row.error) for row in bench.receipts] == [(404, "model_not_found")]
        assert bench.heard == [None]

    on_bench(go)


def test_a_bug_in_one_errand_leaves_the_others_and_its_receipt(caplog: pytest.LogCaptureFixture) -> None:
    async def go(bench: Bench) -> None:
        def broken(text: str | None, receipt: Receipt) -> None:
            raise TypeError("a bug")

        bench.jobs.start()
        bench.jobs.submit(bench.internal(conclude=broken))
        bench.jobs.submit(bench.internal())
        await until(lambda: len(bench.receipts) == 2)
        assert bench.heard == ["from nine to five"]

    on_bench(go, JobsConfig(per_minute=60_000, at_once=1))
    assert "fault of ours" in caplog.text


def test_after_stop_nothing_is_taken_or_begun() -> None:
    async def go(bench: Bench) -> None:
        bench.busy = 1.0
        bench.jobs.start()
        bench.jobs.submit(bench.internal())
        await asyncio.sleep(0.05)
        bench.jobs.stop()
        bench.busy = 0.0
        assert not bench.jobs.submit(bench.internal())
        await asyncio.sleep(0.25)
        assert not bench.receipts
        await bench.jobs.aclose()
        await bench.jobs.aclose()

    on_bench(go)


# -- the budget ---------------------------------------------------------------------------------------


def test_a_purse_never_hands_out_more_than_is_left() -> None:
    budget = Budget(Decimal("0.000001"))  # 1000 nano-dollars
    first, second = budget.take(2), budget.take(2)
    assert (first, second, budget.left_nusd) == (500, 250, 250)
    budget.give_back(first, 100)
    budget.give_back(second, 250)
    assert (budget.spent_nusd, budget.left_nusd) == (350, 650)


def test_a_cost_nobody_knows_counts_as_all_that_was_handed_out() -> None:
    budget = Budget(Decimal("0.000001"))
    budget.give_back(budget.take(1), None)
    assert budget.left_nusd == 0
    with pytest.raises(BudgetExhausted):
        budget.take(1)


def test_a_daily_purse_knows_after_a_restart_what_the_day_has_cost(tmp_path: Path) -> None:
    now = [86_400.0]

    def opened() -> Budget:
        return Budget(Decimal("0.000001"), clock_unix_s=lambda: now[0], spent=SpentFiles(tmp_path / "state"))

    first, beside = opened(), opened()
    assert list(tmp_path.iterdir()) == [], "nothing was spent, nothing is written"
    first.give_back(first.take(2), 300)
    beside.give_back(beside.take(4), None)  # nobody knows what it cost: all of it
    killed = opened()  # no file was closed
    assert (killed.spent_nusd, killed.left_nusd) == (550, 450)
    now[0] += 86_399.0
    assert opened().left_nusd == 450
    now[0] += 1.0
    assert (killed.left_nusd, opened().left_nusd) == (1_000, 1_000)
    killed.give_back(killed.take(1), 10)
    assert opened().left_nusd == 990
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["errands-spent-1970-01-03"]


def test_a_line_that_was_cut_and_what_is_no_number_spoil_no_other(tmp_path: Path) -> None:
    spent = SpentFiles(tmp_path)
    assert spent.begin(1) == 0
    spent.add(300)
    spent.close()
    path = tmp_path / "errands-spent-1970-01-02"
    with path.open("ab") as file:
        file.write(b"\xff\0 x\n" + b"9" * 5_000 + b"\n12")  # the last was 12345, and the disk was full
    assert spent.begin(1) == 312
    spent.add(700)
    spent.close()
    assert spent.begin(1) == 1_012
    spent.close()


def test_a_disk_that_takes_no_line_costs_the_memory_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state").write_text("a file, where a directory is wanted")
    budget = Budget(Decimal("0.000001"), clock_unix_s=lambda: 0.0, spent=SpentFiles(tmp_path / "state"))
    budget.give_back(budget.take(1), 300)
    assert budget.left_nusd == 700
    assert "a restart will forget" in caplog.text


def test_a_daily_purse_is_full_again_at_midnight_and_not_before() -> None:
    now = [86_399.0]
    budget = Budget(Decimal("0.000001"), clock_unix_s=lambda: now[0])
    budget.give_back(budget.take(1), 1_000)
    assert budget.left_nusd == 0
    now[0] = 86_400.0
    assert budget.left_nusd == 1_000
