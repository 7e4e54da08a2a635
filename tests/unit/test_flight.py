"""Identical requests at the same time share one call, and never a failure."""

import asyncio

import pytest

from farthing.brain.cache.flight import HANDOVERS_MAX, Flights
from farthing.types import CacheHit, Usage

HIT = CacheHit(kind="exact", body=b"{}", target="t/m", usage=Usage(), cost_nusd=5)


def test_the_first_leads_and_the_rest_get_its_answer() -> None:
    async def go() -> None:
        flights = Flights()
        leader = flights.join(b"k")
        followers = [flights.join(b"k") for _ in range(3)]
        assert leader.leads and not any(f.leads for f in followers)
        waiting = [asyncio.ensure_future(f.answer()) for f in followers]
        await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
        leader.land(HIT)
        assert await asyncio.gather(*waiting) == [HIT] * 3
        assert len(flights) == 0

    asyncio.run(go())


def test_an_answer_that_landed_before_the_follower_looked_is_not_lost() -> None:
    async def go() -> None:
        flights = Flights()
        leader, follower = flights.join(b"k"), flights.join(b"k")
        leader.land(HIT)
        assert await follower.answer() is HIT

    asyncio.run(go())


def test_a_leader_that_fails_tells_its_followers_to_go_on_by_themselves() -> None:
    async def go() -> None:
        flights = Flights()
        leader, follower = flights.join(b"k"), flights.join(b"k")

        async def lead() -> None:
            try:
                await asyncio.sleep(60)
            finally:
                leader.land(None)

        task = asyncio.ensure_future(lead())
        await asyncio.sleep(0)
        task.cancel()
        assert await follower.answer() is None
        assert flights.join(b"k").leads

    asyncio.run(go())


def test_a_follower_that_leaves_disturbs_nobody() -> None:
    async def go() -> None:
        flights = Flights()
        leader, gone, stays = (flights.join(b"k") for _ in range(3))
        leaving = asyncio.ensure_future(gone.answer())
        staying = asyncio.ensure_future(stays.answer())
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.sleep(0)
        leader.land(HIT)
        assert await staying is HIT
        assert leaving.cancelled()

    asyncio.run(go())


def test_other_keys_fly_on_their_own() -> None:
    flights = Flights()
    assert flights.join(b"a").leads and flights.join(b"b").leads


def test_who_comes_after_the_landing_leads_a_new_flight() -> None:
    flights = Flights()
    flights.join(b"k").land(HIT)
    assert flights.join(b"k").leads


def test_landing_twice_leaves_the_next_flight_alone() -> None:
    flights = Flights()
    first = flights.join(b"k")
    first.land(HIT)
    second = flights.join(b"k")
    first.land(HIT)
    assert len(flights) == 1
    second.land(None)
    assert len(flights) == 0


def test_beyond_the_bounds_a_request_makes_its_own_call() -> None:
    async def go() -> None:
        flights = Flights(flights_max=1, followers_max=1)
        leader = flights.join(b"a")
        alone = flights.join(b"b")
        assert alone.leads and len(flights) == 1
        alone.land(HIT)
        assert len(flights) == 1
        follower, third = flights.join(b"a"), flights.join(b"a")
        assert not follower.leads and third.leads
        third.land(HIT)
        assert len(flights) == 1
        leader.land(HIT)
        assert await follower.answer() is HIT

    asyncio.run(go())


def test_a_leader_has_nobody_to_wait_for() -> None:
    with pytest.raises(AssertionError):
        asyncio.run(Flights().join(b"k").answer())


def test_when_the_leaders_client_leaves_the_first_who_waits_leads_the_others() -> None:
    async def go() -> None:
        flights = Flights()
        leader, *followers = (flights.join(b"k") for _ in range(4))
        waiting = [asyncio.ensure_future(f.answer()) for f in followers]
        await asyncio.sleep(0)
        leader.land(None, left=True)
        assert await waiting[0] is None and followers[0].leads
        late = flights.join(b"k")
        assert not late.leads and not any(task.done() for task in waiting[1:])
        followers[0].land(HIT)
        assert await asyncio.gather(*waiting[1:], late.answer()) == [HIT] * 3
        assert len(flights) == 0

    asyncio.run(go())


def test_a_follower_that_is_made_to_lead_as_it_leaves_makes_the_next_one_lead() -> None:
    async def go() -> None:
        flights = Flights()
        leader, first, second = (flights.join(b"k") for _ in range(3))
        leaving, staying = asyncio.ensure_future(first.answer()), asyncio.ensure_future(second.answer())
        await asyncio.sleep(0)
        leader.land(None, left=True)
        leaving.cancel()
        assert await staying is None and second.leads and leaving.cancelled()
        second.land(None)
        assert len(flights) == 0

    asyncio.run(go())


def test_those_who_wait_for_leaders_that_leave_do_not_wait_for_ever() -> None:
    async def go() -> None:
        flights = Flights()
        leader, *followers = (flights.join(b"k") for _ in range(10))
        waiting = [asyncio.ensure_future(f.answer()) for f in followers]
        for turn in range(HANDOVERS_MAX + 1):
            await asyncio.sleep(0)
            leader.land(None, left=True)
            leader = followers[turn]
        assert await asyncio.gather(*waiting) == [None] * 9
        assert [f.leads for f in followers] == [True] * HANDOVERS_MAX + [False] * (9 - HANDOVERS_MAX)
        assert len(flights) == 0

    asyncio.run(go())
