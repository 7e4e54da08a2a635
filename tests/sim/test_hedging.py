"""Second calls beside slow ones under a virtual clock: how many, at whose cost, and cancelled anywhere."""

import asyncio
import random
from typing import Any

import pytest
from tests import virtual
from tests.sim.upstream import OUTPUT_TOKENS, PROMPT_TOKENS, Call, Plan, Serve, World, run

from farthing.types import Receipt

CONFIG = """
[providers.p]
base_url = "http://p.test/v1"
[providers.q]
base_url = "http://q.test/v1"
[tiers.all]
targets = ["p/m", "q/m"]
{hedge}
[route]
default = "all"
rules = []
[endpoints.default]
usd_max = {usd}
[[prices]]
target = "p/m"
input = 10
output = 100
[[prices]]
target = "q/m"
input = 10
output = 100
[cache]
exact = "off"
"""
P, Q = "http://p.test:80", "http://q.test:80"
WHOLE_NUSD = PROMPT_TOKENS * 10_000 + OUTPUT_TOKENS * 100_000


def config(hedge: str, usd: str = "1") -> str:
    return CONFIG.format(hedge=hedge, usd=usd)


class SlowSometimes:
    """One call in so many takes very long to begin."""

    def __init__(self, share: float, slow_s: float = 8.0) -> None:
        self._chance = random.Random(7)
        self._share = share
        self._slow_s = slow_s

    def __call__(self, call: Call) -> Plan:
        slow = self._chance.random() < self._share
        first_s = self._slow_s if slow else self._chance.uniform(0.2, 0.4)
        return Plan(first_s=first_s, total_s=first_s + 0.5)


def first_ms(receipts: list[Receipt], share: float) -> float:
    return sorted(one.ttft_ms or 0.0 for one in receipts)[int(share * len(receipts))]


def held_nusd(world: World) -> int:
    rooms = world.parts.contract._sessions.values()
    return sum(account.held_nusd + account.holds for room in rooms for account in room.values())


@pytest.mark.parametrize("stream", [False, True])
def test_at_the_learnt_time_the_tail_is_cut_and_what_that_wastes_is_within_the_budget(
    monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    tails: dict[str, float] = {}
    for name, hedge in (("off", ""), ("on", 'hedge = "p95"')):

        async def main(world: World, name: str = name) -> None:
            receipts = await world.offered(20, 60.0, stream=stream)
            assert all(one.status == 200 for one in receipts)
            tails[name] = first_ms(receipts[200:], 0.98)
            hedges = [attempt for one in receipts for attempt in one.attempts if attempt.hedge]
            calls = world.upstream.calls
            assert len(calls) == len(receipts) + len(hedges)
            assert len(hedges) <= 0.1 * len(receipts)
            for at_s in range(0, 60, 5):
                window = [call for call in calls if at_s <= call.began_s < at_s + 10]
                extra = sum(
                    attempt.hedge and at_s <= one.started_s + attempt.started_ms / 1000 < at_s + 10
                    for one in receipts
                    for attempt in one.attempts
                )
                assert extra <= max(1, 0.11 * (len(window) - extra)), "P5: 1.10 times, in any ten seconds"
            lost = [attempt for one in receipts for attempt in one.attempts if attempt.error == "hedge_lost"]
            if name == "on":
                assert len(hedges) > 20 and len(lost) == len(hedges)
                assert sum(call.left for call in calls) == len(lost), "closed, all of them"
            for one in receipts:
                known = [attempt.cost_nusd for attempt in one.attempts]
                assert None not in known and one.cost_nusd == sum(cost or 0 for cost in known)
                assert one.calls == len(one.attempts)
            assert all((attempt.cost_nusd or 0) > 0 for attempt in lost), "it may be charged for"

        run(monkeypatch, config(hedge), SlowSometimes(0.03), main)
    assert tails["off"] > 7_000 and tails["on"] < 2_000


def test_after_a_fixed_time_and_the_budget_holds_though_all_are_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(world: World) -> None:
        receipts = await world.offered(20, 30.0)
        hedges = sum(attempt.hedge for one in receipts for attempt in one.attempts)
        assert 0 < hedges <= 0.1 * len(receipts) + 1

    run(monkeypatch, config("hedge_after_ms = 500"), lambda call: Plan(first_s=2.0), main)


def test_whoever_begins_first_is_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    times = {P: 3.0, Q: 0.2}

    async def main(world: World) -> None:
        for first_s, winner in ((0.2, "q/m"), (9.0, "p/m")):
            times[Q] = first_s
            await asyncio.sleep(11)  # the budget of the last is back
            one = await world.ask(stream=True)
            assert one.status == 200 and one.target == winner
            first, second = one.attempts
            assert (first.target, second.target) == ("p/m", "q/m")
            assert (first.hedge, second.hedge) == (False, True)
            loser = first if winner == "q/m" else second
            assert loser.error == "hedge_lost" and loser.cost_nusd == PROMPT_TOKENS_ESTIMATED * 10_000
            won = second if loser is first else first
            assert won.error is None and won.cost_nusd == WHOLE_NUSD
            assert one.cost_nusd == loser.cost_nusd + WHOLE_NUSD
            assert one.usage is not None and one.usage.output_tokens == OUTPUT_TOKENS

    run(monkeypatch, config("hedge_after_ms = 500"), lambda call: Plan(first_s=times[call.address]), main)


PROMPT_TOKENS_ESTIMATED = 3
"""Of the question, of which the provider told nothing."""


def test_one_that_fails_leaves_the_answer_to_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    plans: dict[str, Plan] = {}

    async def main(world: World) -> None:
        plans[P], plans[Q] = Plan(first_s=3.0), Plan(503)
        one = await world.ask()
        assert one.status == 200 and one.target == "p/m"
        assert [attempt.error for attempt in one.attempts] == [None, "provider_unavailable"]
        await asyncio.sleep(11)

    run(monkeypatch, config("hedge_after_ms = 500"), lambda call: plans[call.address], main)


@pytest.mark.parametrize(
    "fields",
    [
        {"store": True},
        {"tools": [{"type": "web_search"}]},
        {"tools": [{"type": "mcp", "server_url": "http://x.test"}]},
    ],
)
def test_what_has_effects_beside_its_answer_is_asked_once(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]
) -> None:
    async def main(world: World) -> None:
        one = await world.ask(**fields)
        assert len(one.attempts) == 1 and one.status == 200

    run(monkeypatch, config("hedge_after_ms = 500"), lambda call: Plan(first_s=2.0), main)


@pytest.mark.parametrize(("usd", "calls"), [("0.15", 1), ("0.25", 2)])
def test_it_is_not_made_where_the_contract_cannot_hold_the_worst_case_twice(
    monkeypatch: pytest.MonkeyPatch, usd: str, calls: int
) -> None:
    async def main(world: World) -> None:
        one = await world.ask("s", max_tokens=1_000)  # which cost 0.1
        assert one.status == 200 and len(one.attempts) == calls
        assert held_nusd(world) == 0

    run(monkeypatch, config("hedge_after_ms = 500", usd), lambda call: Plan(first_s=2.0), main)


def test_what_was_held_for_the_one_that_lost_is_free_while_the_other_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main(world: World) -> None:
        loop = asyncio.get_running_loop()
        asking = loop.create_task(world.ask("s", stream=True, max_tokens=1_000))
        held: list[int] = []
        for _ in range(3):
            await asyncio.sleep(0.4)
            held.append(held_nusd(world))
        assert held[1] > 1.9 * held[0] > 0, "both are held for"
        assert held[2] < 1.1 * held[0], "one has begun to answer"
        assert (await asking).status == 200 and held_nusd(world) == 0

    def serve(call: Call) -> Plan:
        return Plan(first_s=5.0) if call.address == P else Plan(first_s=0.5, total_s=5.0)

    run(monkeypatch, config("hedge_after_ms = 500"), serve, main)


class Steps(virtual.VirtualLoop):
    """Calls `at` once, in its round of that number."""

    def __init__(self, number: int, at: Any) -> None:
        super().__init__()
        self.rounds = 0
        self._number = number
        self._at = at

    def _run_once(self) -> None:
        self.rounds += 1
        if self.rounds == self._number:
            self._at()
        super()._run_once()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("p_s", "q_s"), [(3.0, 0.2), (1.0, 9.0), (0.7, 0.2)])
def test_cancelled_at_any_await_it_loses_no_money_and_leaves_no_task(
    monkeypatch: pytest.MonkeyPatch, stream: bool, p_s: float, q_s: float
) -> None:
    """(0.7, 0.2): both begin in the same moment."""

    def serve(call: Call) -> Plan:
        first_s = p_s if call.address == P else q_s
        return Plan(first_s=first_s, total_s=first_s + 1.0)

    ends: set[tuple[str | None, ...]] = set()
    costs: set[int] = set()
    cancelled_at = 1
    while True:
        rounds, receipt = _cancelled_in_round(cancelled_at, monkeypatch, serve, stream=stream)
        if receipt is not None:
            ends.add(tuple(attempt.error for attempt in receipt.attempts))
            costs |= {one.cost_nusd or 0 for one in receipt.attempts if one.error == "hedge_lost"}
        if rounds < cancelled_at:
            break
        cancelled_at += 1
    assert len(ends) == 3 and any("hedge_lost" in end for end in ends), ends
    if p_s == 0.7 and not stream:
        assert costs == {WHOLE_NUSD}, "what came second was told what it used"


def _cancelled_in_round(
    number: int, monkeypatch: pytest.MonkeyPatch, serve: Serve, *, stream: bool
) -> tuple[int, Receipt | None]:
    """One request, cancelled in a round of the loop: how many rounds there were, and its receipt."""
    asking: list[asyncio.Task[Receipt]] = []

    async def main() -> Receipt | None:
        loop = asyncio.get_running_loop()
        monkeypatch.setattr("time.monotonic", loop.time)
        world = World(config("hedge_after_ms = 500"), serve)
        asking.append(loop.create_task(world.ask("s", stream=stream, max_tokens=50)))
        await asyncio.wait(asking)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        calls = world.upstream.calls
        assert all(call.ended_s is not None for call in calls), "every call is closed"
        receipts = [row for row in world.ledger.rows() if isinstance(row, Receipt)]
        if not receipts:
            assert not calls, "it had not begun"
            return None
        (receipt,) = receipts
        assert len(receipt.attempts) == len(calls) == receipt.calls
        costs = [attempt.cost_nusd for attempt in receipt.attempts]
        assert all(cost is not None and cost > 0 for cost in costs), costs
        assert receipt.cost_nusd == sum(cost or 0 for cost in costs)
        assert held_nusd(world) == 0
        ((account,),) = (room.values() for room in world.parts.contract._sessions.values())
        assert account.spent_nusd == receipt.cost_nusd
        return receipt

    def at() -> None:
        if asking and not asking[0].done():
            asking[0].cancel("client_gone")

    loop = Steps(number, at)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        receipt = runner.run(main())
    monkeypatch.undo()
    return loop.rounds, receipt
