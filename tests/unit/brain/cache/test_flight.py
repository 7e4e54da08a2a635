"""Identical requests at the same time share one call, and never a failure."""

import asyncio

from farthing.brain.cache.flight import Flight, Flights, Follower
from farthing.types import CacheHit, Usage

HIT = CacheHit(kind="exact", body=b"{}", target="t/m", usage=Usage(), cost_nusd=5)


class Live:
    """A stream others can follow, which notes that its leader left."""

    def __init__(self) -> None:
        self.left = 0

    def leader_left(self) -> None:
        self.left += 1


def lead(flights: Flights[Live]) -> Flight[Live]:
    place = flights.join(b"k")
    assert isinstance(place, Flight)
    return place


def follow(flights: Flights[Live]) -> Follower[Live]:
    place = flights.join(b"k")
    assert isinstance(place, Follower)
    return place


def waits(follower: Follower[Live], *, live: bool = False) -> "asyncio.Task[Live | CacheHit | None]":
    return asyncio.get_running_loop().create_task(follower.answer(live=live))


def test_the_first_leads_and_the_rest_get_its_answer() -> None:
    async def go() -> None:
        flights: Flights[Live] = Flights()
        leader = lead(flights)
        waiting = [waits(follow(flights)) for _ in range(3)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
        leader.land(HIT)
        assert await asyncio.gather(*waiting) == [HIT] * 3
        assert len(flights) == 0

    asyncio.run(go())


def test_an_answer_that_landed_before_the_follower_looked_is_not_lost() -> None:
    async def go() -> None:
        flights: Flights[Live] = Flights()
        leader, follower = lead(flights), follow(flights)
        leader.land(HIT)
        assert await follower.answer(live=True) is HIT

    asyncio.run(go())


def test_a_leader_that_fails_tells_its_followers_to_go_on_by_themselves() -> None:
    async def go() -> None:
        flights: Flights[Live] = Flights()
        leader, follower = lead(flights), follow(flights)
        waiting = waits(follower)
        await asyncio.sleep(0)
        leader.land(None)
        assert await waiting is None
        lead(flights)

    asyncio.run(go())


def test_those_who_stream_see_it_from_the_moment_it_begins_and_the_others_wait_for_the_whole() -> None:
    async def go() -> None:
        flights: Flights[Live] = Flights()
        leader = lead(flights)
        streams, whole = waits(follow(flights), live=True), waits(follow(flights))
        await asyncio.sleep(0)
        live = Live()
        leader.begins(live)
        assert await streams is live and not whole.done()
        assert await follow(flights).answer(live=True) is live, "who comes later sees it at once"
        leader.land(HIT)
        assert await whole is HIT

    asyncio.run(go())


def test_a_follower_that_leaves_disturbs_nobody() -> None:
    async def go() -> None:
        flights: Flights[Live] = Flights()
        leader = lead(flights)
        leaving, staying = waits(follow(flights)), waits(follow(flights))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.sleep(0)
        leader.land(HIT)
        assert await staying is HIT
        assert leaving.cancelled()

    asyncio.run(go())


def test_other_keys_fly_on_their_own() -> None:
    flights: Flights[Live] = Flights()
    assert isinstance(flights.join(b"a"), Flight) and isinstance(flights.join(b"b"), Flight)


def test_who_comes_after_the_landing_leads_a_new_flight() -> None:
    flights: Flights[Live] = Flights()
    lead(flights).land(HIT)
    lead(flights)


def test_landing_twice_leaves_the_next_flight_alone() -> None:
    flights: Flights[Live] = Flights()
    first = lead(flights)
    first.land(HIT)
    second = lead(flights)
    first.land(HIT)
    assert len(flights) == 1
    second.land(None)
    assert len(flights) == 0


def test_beyond_the_bounds_a_request_makes_its_own_call() -> None:
    async def go() -> None:
        flights: Flights[Live] = Flights(flights_max=1, followers_max=1)
        leader = lead(flights)
        alone = flights.join(b"b")
        assert isinstance(alone, Flight) and len(flights) == 1
        alone.land(HIT)
        assert len(flights) == 1
        follower, third = follow(flights), lead(flights)
        third.land(HIT)
        assert len(flights) == 1
        leader.land(HIT)
        assert await follower.answer(live=False) is HIT

    asyncio.run(go())


def test_a_call_goes_on_without_its_client_until_the_last_who_follows_has_left() -> None:
    async def go() -> None:
        flights: Flights[Live] = Flights()
        leader, first, second = lead(flights), follow(flights), follow(flights)
        ended: list[bool] = []
        assert leader.client_left(lambda: ended.append(True)) and leader.orphaned
        first.leave()
        late = follow(flights)
        second.leave()
        assert not ended
        late.leave()
        late.leave()
        assert ended == [True]
        lead(flights)  # nobody joins a call that is being ended

    asyncio.run(go())


def test_a_call_that_nobody_else_wants_ends_with_its_client() -> None:
    async def go() -> None:
        flights: Flights[Live] = Flights()
        leader, follower = lead(flights), follow(flights)
        follower.leave()
        assert not leader.client_left(lambda: None) and not leader.orphaned

    asyncio.run(go())


def test_a_stream_is_told_that_its_leader_left_before_or_after_it_began() -> None:
    async def go() -> None:
        for begun_before in (True, False):
            flights: Flights[Live] = Flights()
            leader, follower, live = lead(flights), follow(flights), Live()
            if begun_before:
                leader.begins(live)
            assert leader.client_left(lambda: None)
            if not begun_before:
                leader.begins(live)
            assert live.left == 1
            follower.leave()

    asyncio.run(go())


def test_what_is_too_large_to_keep_sends_those_away_who_wait_for_the_whole() -> None:
    async def go() -> None:
        flights: Flights[Live] = Flights()
        leader, sees = lead(flights), follow(flights)
        live = Live()
        leader.begins(live)
        assert await sees.answer(live=True) is live
        whole = waits(follow(flights))
        await asyncio.sleep(0)
        leader.outgrown()
        assert await whole is None
        other = lead(flights)
        ended: list[bool] = []
        assert leader.client_left(lambda: ended.append(True)), "one still sees it"
        sees.leave()
        assert ended
        other.land(None)

    asyncio.run(go())


def test_what_is_too_large_to_keep_ends_when_its_client_has_left_and_nobody_sees_it() -> None:
    async def go() -> None:
        flights: Flights[Live] = Flights()
        leader = lead(flights)
        leader.begins(Live())
        whole = waits(follow(flights))
        await asyncio.sleep(0)
        ended: list[bool] = []
        assert leader.client_left(lambda: ended.append(True))
        leader.outgrown()
        assert ended == [True] and await whole is None

    asyncio.run(go())
