"""Identical requests at the same time share one call, and never a failure."""

import asyncio

import pytest

from farthing.brain.cache.flight import Flights
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
