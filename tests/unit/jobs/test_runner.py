"""The gateway's own requests: bounded, paid for, behind clients, each with its receipt."""

import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.wired import parts_in_memory

from farthing.config import JobsConfig, loads
from farthing.edge.openai import Asked
from farthing.edge.routes import Serving
from farthing.errors import BudgetExhausted, StoreError, UnknownModel
from farthing.jobs.budget import Budget
from farthing.jobs.daily_budget import DailyBudget
from farthing.jobs.runner import JobRunner
from farthing.jobs.spending import SpentFiles
from farthing.ledger.memory import MemoryLedger
from farthing.protocols import Allowance, Balance, InternalRequest, StateStore
from farthing.runtime.loop_batch import in_task
from farthing.stores.state.memory import MemoryState
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
        self.jobs = JobRunner(
            config, busy=lambda: self.busy, clock=clock, clock_unix_s=time.time, state=MemoryState()
        )
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
    await in_task()  # contracts run it outside one too
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
    async def go() -> None:
        budget = Budget(Decimal("0.000001"))  # 1000 nano-dollars
        first, second = await budget.take(2), await budget.take(2)
        assert (first.nusd, second.nusd, await budget.left_nusd()) == (500, 250, 250)
        await budget.give_back(first, 100)
        await budget.give_back(second, 250)
        assert (budget.spent_nusd, await budget.left_nusd()) == (350, 650)

    asyncio.run(go())


def test_a_cost_nobody_knows_counts_as_all_that_was_handed_out() -> None:
    async def go() -> None:
        for budget in (Budget(Decimal("0.000001")), daily(MemoryState())):
            await budget.give_back(await budget.take(1), None)
            with pytest.raises(BudgetExhausted):
                await budget.take(1)

    asyncio.run(go())


def daily(
    state: StateStore, now: Callable[[], float] = lambda: 0.0, folder: Path | None = None, name: str = "a"
) -> DailyBudget:
    """Of 1,000 nano-dollars."""
    spent = None if folder is None else SpentFiles(folder)
    return DailyBudget(Decimal("0.000001"), state=state, clock_unix_s=now, name=name, spent=spent)


def test_a_daily_purse_knows_after_a_restart_what_the_day_has_cost(tmp_path: Path) -> None:
    now = [86_400.0]

    def opened() -> DailyBudget:
        return daily(MemoryState(), lambda: now[0], tmp_path / "state")

    async def go() -> None:
        first, beside = opened(), opened()
        assert os.listdir(tmp_path) == [], "nothing was spent, nothing is written"
        await first.give_back(await first.take(2), 300)
        await beside.give_back(await beside.take(4), None)  # nobody knows what it cost: all of it
        killed = opened()  # no file was closed
        assert (killed.spent_nusd, await killed.left_nusd()) == (550, 450)
        now[0] += 86_399.0
        assert await opened().left_nusd() == 450
        now[0] += 1.0
        assert (await killed.left_nusd(), await opened().left_nusd()) == (1_000, 1_000)
        await killed.give_back(await killed.take(1), 10)
        assert await opened().left_nusd() == 990
        assert os.listdir(tmp_path / "state") == ["errands-spent-1970-01-03"]

    asyncio.run(go())


def test_processes_that_share_a_store_share_the_day(tmp_path: Path) -> None:
    async def go() -> None:
        state = MemoryState()
        first, second = daily(state, folder=tmp_path), daily(state, folder=tmp_path, name="b")
        one, other = await first.take(2), await second.take(1)
        assert (one.nusd, other.nusd, await first.left_nusd()) == (500, 500, 0)
        with pytest.raises(BudgetExhausted):
            await first.take(1)
        await first.give_back(one, 100)
        await second.give_back(other, 200)
        later = daily(state, folder=tmp_path, name="c")  # reads in the files what the store has already
        assert [await budget.left_nusd() for budget in (first, second, later)] == [700, 700, 700]

    asyncio.run(go())


class Away(MemoryState):
    """A store that cannot be reached."""

    async def peek(self, keys: Sequence[str]) -> Mapping[str, Balance]:
        raise StoreError("no route to host")

    async def settle(self, id: str, spent: Mapping[str, int]) -> bool:
        raise StoreError("no route to host")


def test_while_the_store_is_away_nothing_is_handed_out_and_what_was_spent_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def go() -> None:
        budget = daily(Away())
        with pytest.raises(BudgetExhausted, match="no route to host"):
            await budget.take(1)
        await budget.give_back(Allowance("x", 10), 5)
        assert budget.spent_nusd == 5 and "missing in the shared budget" in caplog.text

    asyncio.run(go())


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

    async def go() -> None:
        budget = daily(MemoryState(), folder=tmp_path / "state")
        await budget.give_back(await budget.take(1), 300)
        assert await budget.left_nusd() == 700
        assert "a restart will forget" in caplog.text

    asyncio.run(go())


def test_a_daily_purse_is_full_again_at_midnight_and_not_before() -> None:
    async def go() -> None:
        now = [86_399.0]
        budget = daily(MemoryState(), lambda: now[0])
        await budget.give_back(await budget.take(1), 1_000)
        assert await budget.left_nusd() == 0
        now[0] = 86_400.0
        assert await budget.left_nusd() == 1_000

    asyncio.run(go())
