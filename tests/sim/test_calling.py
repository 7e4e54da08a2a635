"""Adaptive concurrency, allowances, ejection and retries: the real `Caller` on a virtual clock."""

import asyncio
import random
from collections import Counter

import pytest
from tests import virtual
from tests.sim.calling import Desk, Plant

from farthing.models.health.health import BUDGET_WINDOW_S
from farthing.models.health.limits import GOOD_MIN


def near(at_s: list[float], within_s: float) -> int:
    """The most of them in any `within_s` seconds."""
    return max(sum(one <= other < one + within_s for other in at_s) for one in at_s)


# -- adaptive concurrency ------------------------------------------------------------------------------


def test_a_provider_that_refuses_nothing_is_never_limited() -> None:
    async def main() -> None:
        plant = Plant(takes_s=0.5)
        desk = Desk({"a": plant})
        found = await desk.offer(200.0, 10.0)
        assert {one.target for one in found} == {"a/m"} and max(one.took_s for one in found) < 0.6
        assert all(one.receipt.queue_ms == 0 for one in found)
        assert desk.health["a/m"].limits.free and desk.health["a/m"].limits.in_flight == 0

    virtual.run(main())


@pytest.mark.parametrize(("capacity", "takes_s"), [(2, 1.0), (10, 1.0), (10, 0.1), (50, 2.0)])
def test_what_is_beyond_a_targets_capacity_goes_to_the_other_and_few_calls_are_refused(
    capacity: int, takes_s: float
) -> None:
    async def main() -> None:
        sick, good = Plant(capacity=capacity, takes_s=takes_s), Plant(takes_s=takes_s)
        desk = Desk({"a": sick, "b": good})
        found = await desk.crowd(capacity * 3, 60 * takes_s)
        assert all(one.target for one in found), "every client got an answer"
        settled_s = 5 * takes_s
        assert sick.share_refused(settled_s) <= 1 / GOOD_MIN, sick.share_refused(settled_s)
        most = capacity / takes_s * (60 * takes_s - settled_s)
        assert sick.answered(settled_s) >= 0.6 * most, "and what it can do is used"
        assert not any(one.receipt.queue_ms for one in found), "nobody waits where there is another"

    virtual.run(main())


def test_where_there_is_no_other_target_requests_wait_in_order_and_the_receipt_says_how_long() -> None:
    async def main() -> None:
        plant = Plant(capacity=10, takes_s=1.0)
        desk = Desk({"a": plant})
        found = await desk.crowd(16, 60.0)
        late = [one for one in found if one.at_s > 5.0]
        assert sum(bool(one.target) for one in late) >= 0.98 * len(late)
        assert plant.share_refused(5.0) <= 1 / GOOD_MIN
        waited = [one for one in late if one.receipt.queue_ms > 100]
        assert waited and all(one.receipt.queue_ms <= one.took_s * 1000 + 1e-6 for one in waited)
        assert max(one.receipt.queue_ms for one in late) <= 10_000

    virtual.run(main())


def test_a_lone_target_is_never_worse_used_than_by_clients_that_retry_by_themselves() -> None:
    """Sixteen clients before ten places: what the provider answers is no less than its refusals allow."""

    async def main() -> None:
        plant = Plant(capacity=10, takes_s=1.0)
        desk = Desk({"a": plant})
        await desk.crowd(16, 60.0)
        assert plant.answered(5.0) >= 0.75 * 10 * 55

    virtual.run(main())


def test_a_request_that_would_come_too_late_is_sent_at_once() -> None:
    async def main() -> None:
        plant = Plant(capacity=4, takes_s=1.0)
        desk = Desk({"a": plant}, deadline_s=4.0)
        found = await desk.crowd(40, 30.0)
        assert max(one.took_s for one in found) <= 4.0 + 1.1
        assert plant.answered(5.0) >= 60

    virtual.run(main())


def test_a_transient_refusal_is_forgotten_within_seconds() -> None:
    async def main() -> None:
        plant, other = Plant(capacity=40, takes_s=1.0), Plant(takes_s=1.0)
        desk = Desk({"a": plant, "b": other})
        await desk.crowd(60, 5.0)
        plant.capacity = 10**9
        before_s = desk.clock()
        await desk.crowd(60, 20.0)
        used = Counter(one.target for one in desk.outcomes if one.at_s > before_s + 5.0)
        assert used["a/m"] >= 0.9 * used.total(), used

    virtual.run(main())


# -- allowances ------------------------------------------------------------------------------------------


class Minute:
    """As OpenAI counts: so many requests a minute, given back evenly, and told with every reply."""

    def __init__(self, plant: Plant, per_minute: int) -> None:
        self._plant, self._most, self.left, self._at_s = plant, float(per_minute), float(per_minute), 0.0
        plant.fails = lambda: False
        plant.headers = self.headers

    def take(self) -> bool:
        now_s = asyncio.get_running_loop().time()
        self.left = min(self._most, self.left + (now_s - self._at_s) * self._most / 60)
        self._at_s = now_s
        if self.left < 1:
            return False
        self.left -= 1
        return True

    def headers(self, status: int) -> dict[bytes, bytes]:
        resets_s = (self._most - self.left) * 60 / self._most
        return {
            b"x-ratelimit-limit-requests": b"%d" % self._most,
            b"x-ratelimit-remaining-requests": b"%d" % self.left,
            b"x-ratelimit-reset-requests": b"%.3fs" % resets_s,
        }


class Rated(Plant):
    """A provider with a rate limit."""

    def __init__(self, per_minute: int, *, tells: bool = True) -> None:
        super().__init__(takes_s=0.05)
        self.minute = Minute(self, per_minute)
        if not tells:
            self.headers = lambda status: {}

    async def answer(self, first_byte_s: float):  # type: ignore[no-untyped-def]
        self.capacity = 10**9 if self.minute.take() else 0
        return await super().answer(first_byte_s)


@pytest.mark.parametrize("tells", [True, False])
def test_an_allowance_is_left_before_it_is_used_up_where_another_target_is_there(tells: bool) -> None:
    async def main() -> float:
        rated, other = Rated(60, tells=tells), Plant(takes_s=0.05)
        desk = Desk({"a": rated, "b": other})
        found = await desk.offer(5.0, 120.0)
        assert all(one.target for one in found)
        assert rated.answered() >= 0.8 * (60 + 120), "and what it allows is used"
        return rated.share_refused()

    refused = virtual.run(main())
    assert refused == 0 if tells else refused > 0.2, refused


def test_a_lone_target_is_paced_by_its_headers_and_refuses_nothing() -> None:
    async def main() -> None:
        rated = Rated(60)
        rated.minute.left = 3.0
        desk = Desk({"a": rated})
        found = await desk.offer(1.1, 20.0)
        assert all(one.target for one in found) and rated.share_refused() == 0
        assert any(one.receipt.queue_ms for one in found)
        assert max(one.receipt.queue_ms for one in found) <= 2_200

    virtual.run(main())


def test_headers_that_lie_are_found_out_and_no_longer_believed() -> None:
    async def main() -> None:
        liar = Plant(takes_s=0.05)
        liar.headers = lambda status: {
            b"x-ratelimit-limit-requests": b"10",
            b"x-ratelimit-remaining-requests": b"0",
            b"x-ratelimit-reset-requests": b"100s",
        }
        desk = Desk({"a": liar})
        found = await desk.offer(10.0, 10.0)
        assert all(one.target for one in found) and sum(one.receipt.queue_ms > 0 for one in found) <= 10
        assert desk.health["a/m"].limits.free

    virtual.run(main())


# -- outliers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.3, 0.45])
def test_a_target_that_fails_much_more_than_another_is_left_out_and_tried_now_and_then(share: float) -> None:
    async def main() -> None:
        chance = random.Random(5)
        bad, good = Plant(takes_s=0.1), Plant(takes_s=0.1)
        bad.fails = lambda: chance.random() < share
        desk = Desk({"a": bad, "b": good})
        found = await desk.offer(20.0, 60.0)
        assert all(one.target == "a/m" or one.target == "b/m" for one in found)
        failed = sum(status == 500 for _, status in bad.calls)
        assert failed < 0.4 * share * len(found), failed
        assert len([at_s for at_s, _ in bad.calls if at_s > 20.0]) >= 8, "it is tried"
        bad.fails = lambda: False
        back_s = desk.clock()
        await desk.offer(20.0, 40.0)
        first_s = min(at_s for at_s, _ in bad.calls if at_s >= back_s)
        assert first_s - back_s <= 5.0, "used again"
        late = Counter(one.target for one in desk.outcomes if one.at_s > back_s + 35.0)
        assert late["a/m"] >= 0.95 * late.total(), "and then as before"

    virtual.run(main())


def test_where_both_fail_alike_the_first_is_used_on() -> None:
    async def main() -> None:
        chance = random.Random(5)
        plants = {name: Plant(takes_s=0.1) for name in "ab"}
        for plant in plants.values():
            plant.fails = lambda: chance.random() < 0.3
        desk = Desk(plants)
        await desk.offer(20.0, 120.0)
        assert len(plants["a"].calls) > len(plants["b"].calls)

    virtual.run(main())


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_at_most_half_is_left_out_and_never_the_last(count: int) -> None:
    async def main() -> None:
        chance = random.Random(7)
        plants = {f"p{number}": Plant(takes_s=0.05) for number in range(count)}
        for plant in plants.values():
            plant.fails = lambda: chance.random() < 0.35
        desk = Desk(plants)
        for _ in range(600):
            await desk.ask()
            await asyncio.sleep(0.02)
            out = sum(one.ejection.active for one in desk.health.values())
            assert out <= count // 2
            assert any(not one.ejection.active for one in desk.health.values())

    virtual.run(main())


# -- retries -----------------------------------------------------------------------------------------------


def test_a_recovered_target_is_used_again_within_5_s_and_retries_stay_within_their_budget() -> None:
    async def main() -> None:
        lone = Plant(takes_s=0.05)
        desk = Desk({"a": lone})
        offered = asyncio.create_task(desk.offer(20.0, 40.0))
        await asyncio.sleep(10.0)
        lone.down = True
        await asyncio.sleep(10.0)
        lone.down = False
        back_s = desk.clock()
        found = await offered
        assert next(at_s for at_s, status in lone.calls if at_s >= back_s and status == 200) - back_s <= 5.0
        assert all(one.target for one in found if one.at_s >= back_s + 5.0)
        for start_s in range(0, 35):
            window = (start_s, start_s + BUDGET_WINDOW_S)
            calls = sum(window[0] <= at_s < window[1] for at_s, _ in lone.calls)
            first = sum(window[0] <= one.at_s < window[1] for one in found)
            assert calls <= 1.1 * first + 2, (start_s, calls, first)

    virtual.run(main())


def test_those_who_were_asked_to_wait_do_not_come_back_all_at_once() -> None:
    async def main() -> None:
        plant = Plant(takes_s=0.05)
        desk = Desk({"a": plant})
        await desk.offer(50.0, 4.0)  # so that there is a budget
        plant.capacity, plant.headers = 0, lambda status: {b"retry-after": b"5"} if status == 429 else {}
        asking = [asyncio.create_task(desk.ask()) for _ in range(20)]
        await asyncio.sleep(1.0)
        plant.capacity = 10**9
        since_s = desk.clock()
        await asyncio.gather(*asking)
        again = [at_s for at_s, _ in plant.calls if at_s > since_s]
        assert len(again) >= 10
        assert near(again, 0.05) <= len(again) / 2, sorted(again)

    virtual.run(main())
