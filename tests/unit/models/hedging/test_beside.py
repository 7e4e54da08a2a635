"""Calls that may be hedged are counted before anything is waited for, and taken back where none was made."""

import asyncio

import pytest
from tests import virtual
from tests.sim.calling import GOOD, Answered, Desk, Plant

from farthing.errors import Overloaded, ProviderUnavailable
from farthing.models.health.health import IN_A_ROW_MAX
from farthing.models.hedging.beside import CallsBeside
from farthing.models.hedging.terms import HedgeTerms, Hedging
from farthing.protocols import Hold
from farthing.types import Prompt, Receipt, Request


def hedged(desk: Desk, after_s: float = 0.5) -> Desk:
    hedging = Hedging({}, {"t": HedgeTerms(after_s=after_s)})
    desk.caller.hedges = CallsBeside(desk.caller, hedging)
    return desk


def test_a_half_open_breaker_is_tried_by_one_of_those_that_come_together() -> None:
    async def main() -> None:
        sick, good = Plant(), Plant()
        sick.down = True
        desk = hedged(Desk({"a": sick, "b": good}))
        for _ in range(IN_A_ROW_MAX):
            await desk.ask()
        before = len(sick.calls)
        await asyncio.sleep(desk.caller.context.config.breaker_open_s)
        found = await asyncio.gather(*(desk.ask() for _ in range(10)))
        assert len(sick.calls) == before + 1 and {one.target for one in found} == {"b/m"}

    virtual.run(main())


def test_what_is_full_for_one_is_full_for_all_that_come_together() -> None:
    async def main() -> None:
        small = Plant(capacity=2)
        desk = hedged(Desk({"a": small, "b": Plant()}), after_s=60.0)
        limits = desk.caller.health(desk.targets[0]).limits
        for _ in range(3):
            limits.begin(10)
        limits.refused(3, desk.clock())
        for _ in range(3):
            limits.leave()
        assert not limits.free
        await asyncio.gather(*(desk.ask() for _ in range(10)))
        assert small.share_refused() == 0 and small.calls and limits.in_flight == 0

    virtual.run(main())


class Stale(Plant):
    """Its first call meets a connection that is closed."""

    async def answer(self, first_byte_s: float) -> Answered:
        self.calls.append((0.0, 0))
        if len(self.calls) == 1:
            raise ProviderUnavailable("the connection was closed", nothing_received=True)
        return Answered(200, {}, GOOD)


class LateToFail(Plant):
    async def answer(self, first_byte_s: float) -> Answered:
        await asyncio.sleep(2.0)
        return Answered(503, {}, b'{"error": {"message": "down"}}')


def test_one_beside_that_met_a_stale_connection_is_asked_where_the_first_fails() -> None:
    async def main() -> None:
        other = Stale()
        desk = hedged(Desk({"a": LateToFail(), "b": other}))
        found = await desk.ask()
        assert found.target == "b/m" and len(other.calls) == 2, found.error

    virtual.run(main())


@pytest.mark.parametrize("turns", range(6))
def test_a_client_that_leaves_at_once_leaves_nothing_behind(turns: int) -> None:
    async def main() -> None:
        plants = {"a": Plant(takes_s=9.0), "b": Plant(takes_s=9.0)}
        desk = hedged(Desk(plants), after_s=0.0)
        asking = asyncio.create_task(desk.ask())
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
        assert all(one.limits.in_flight == 0 for one in desk.health.values())
        assert all(plant.in_flight == 0 for plant in plants.values())

    virtual.run(main())


def test_one_beside_that_the_ledger_refuses_holds_no_money(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        desk = hedged(Desk({"a": Plant(takes_s=3.0), "b": Plant(takes_s=3.0)}))
        released: list[int | None] = []
        reserve, intend = desk._contract.reserve, desk.caller.context.ledger.intend

        def watched(request: Request, prompt: Prompt) -> Hold:
            hold = reserve(request, prompt)
            monkeypatch.setattr(type(hold), "release", lambda self, worst, cost: released.append(cost))
            return hold

        def refuses_b(receipt: Receipt, target: str) -> None:
            if target == "b/m":
                raise Overloaded("the disk is full", code="ledger_unavailable")
            intend(receipt, target)

        monkeypatch.setattr(desk._contract, "reserve", watched)
        monkeypatch.setattr(desk.caller.context.ledger, "intend", refuses_b)
        found = await desk.ask()
        assert (found.target, released) == ("a/m", [0])

    virtual.run(main())
