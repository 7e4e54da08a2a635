"""What every StateStore does. A new store is one more line in STORES."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.errors import StoreError
from farthing.protocols import Level, StateStore
from farthing.stores.state.memory import MemoryState

STORES: dict[str, Callable[[Callable[[], float]], StateStore]] = {
    "memory": lambda clock: MemoryState(clock=clock),
}
LEASE_S = 10.0


class Case:
    def __init__(self, name: str) -> None:
        self.now_s = 1_000.0
        self.store = STORES[name](lambda: self.now_s)

    async def reserve(self, id: str, **amounts: int) -> str | None:
        """Of a limit of 100 each; the key without room, None where it is held."""
        levels = [Level(key=key, amount=amount, limit=100) for key, amount in amounts.items()]
        return (await self.store.reserve(id, levels, lease_s=LEASE_S)).refused

    async def balance(self, key: str) -> tuple[int, int]:
        found = (await self.store.peek([key]))[key]
        return found.spent, found.held


def run(name: str, main: Callable[[Case], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        case = Case(name)
        await main(case)
        await case.store.aclose()
        await case.store.aclose()

    asyncio.run(whole())


@pytest.fixture(params=STORES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_all_levels_are_held_or_none(name: str) -> None:
    async def main(case: Case) -> None:
        assert await case.reserve("a", key=60, day=60) is None
        assert await case.reserve("b", key=40, day=41) == "day"
        assert await case.balance("key") == (0, 60)
        assert await case.reserve("c", key=40, day=40) is None
        assert await case.balance("day") == (0, 100)

    run(name, main)


def test_the_same_key_twice_counts_twice(name: str) -> None:
    async def main(case: Case) -> None:
        levels = [Level(key="k", amount=60, limit=100)] * 2
        assert (await case.store.reserve("a", levels, lease_s=LEASE_S)).refused == "k"

    run(name, main)


def test_an_id_holds_and_settles_once(name: str) -> None:
    async def main(case: Case) -> None:
        for _ in range(3):
            assert await case.reserve("a", key=60) is None
        assert await case.balance("key") == (0, 60)
        assert await case.store.settle("a", {"key": 25}) is True
        for _ in range(2):
            assert await case.store.settle("a", {"key": 25}) is False
            assert await case.store.release("a") is False
        assert await case.balance("key") == (25, 0)
        assert await case.reserve("a", key=10) == ""  # a late repetition holds nothing
        assert await case.balance("key") == (25, 0)

    run(name, main)


def test_a_release_frees_at_once_and_a_late_settlement_changes_nothing(name: str) -> None:
    async def main(case: Case) -> None:
        await case.reserve("a", key=100)
        assert await case.store.release("a") is True
        assert await case.reserve("b", key=100) is None
        assert await case.store.settle("a", {"key": 7}) is False

    run(name, main)


def test_a_hold_expires_without_a_heartbeat_and_lives_on_with_one(name: str) -> None:
    async def main(case: Case) -> None:
        await case.reserve("dead", key=50)
        await case.reserve("alive", key=50)
        case.now_s += LEASE_S * 0.9
        assert await case.reserve("alive", key=50) is None
        case.now_s += LEASE_S * 0.2
        assert await case.balance("key") == (0, 50)

    run(name, main)


def test_what_was_spent_counts_although_its_hold_expired(name: str) -> None:
    async def main(case: Case) -> None:
        await case.reserve("a", key=50)
        case.now_s += LEASE_S
        assert await case.store.settle("a", {"key": 40}) is True
        assert await case.store.settle("never held", {"key": 2}) is True
        assert await case.balance("key") == (42, 0)

    run(name, main)


def test_a_settlement_may_be_above_the_hold_and_then_nothing_more_fits(name: str) -> None:
    async def main(case: Case) -> None:
        await case.reserve("a", key=50)
        await case.store.settle("a", {"key": 130})
        assert await case.balance("key") == (130, 0)
        assert await case.reserve("b", key=0) == "key"

    run(name, main)


def test_a_rate_is_given_back_evenly(name: str) -> None:
    async def main(case: Case) -> None:
        async def take(id: str) -> float:
            return (await case.store.take(id, "key", limit=3, window_s=60.0)).wait_s

        assert [await take(str(n)) for n in range(3)] == [0.0, 0.0, 0.0]
        assert await take("2") == 0.0  # it was taken
        assert await take("3") == pytest.approx(20.0)
        case.now_s += 20.0
        assert await take("3") == 0.0
        assert await take("4") == pytest.approx(20.0)

    run(name, main)


def test_one_of_many_gets_a_flight(name: str) -> None:
    async def main(case: Case) -> None:
        flight = [Level(key="flight", amount=1, limit=1)]
        found = await asyncio.gather(
            *(case.store.reserve(str(n), flight, lease_s=LEASE_S) for n in range(20))
        )
        assert sum(one.held for one in found) == 1

    run(name, main)


def test_who_watches_is_told_of_each_key_below_and_of_no_other(name: str) -> None:
    async def main(case: Case) -> None:
        changes = case.store.watch("policy:")
        assert await anext(changes) == "policy:"
        await case.store.settle("1", {"policy:faq": 1, "budget": 1})
        await case.store.settle("1", {"policy:faq": 1})
        await case.store.settle("2", {"policy:chat": 1})
        assert [await anext(changes), await anext(changes)] == ["policy:faq", "policy:chat"]
        await changes.aclose()  # type: ignore[attr-defined]  # those of ours are generators

    run(name, main)


def test_a_watcher_who_falls_behind_is_told_so(name: str) -> None:
    async def main(case: Case) -> None:
        changes = case.store.watch("k")
        await anext(changes)
        for number in range(1_500):
            await case.store.settle(str(number), {f"k{number}": 1})
        seen = [await asyncio.wait_for(anext(changes), 30) for _ in range(1_000)]
        assert "k" in seen

    run(name, main)


Steps = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "settle", "release", "wait"]),
        st.integers(0, 4),
        st.integers(0, 70),
        st.integers(0, 70),
    ),
    max_size=40,
)


@given(steps=Steps)
@settings(deadline=None)
@pytest.mark.parametrize("kind", STORES)
def test_in_any_order_nothing_is_held_beyond_the_limit_and_each_id_counts_once(
    kind: str, steps: list[tuple[str, int, int, int]]
) -> None:
    async def main(case: Case) -> None:
        spent = {"x": 0, "y": 0}
        over: set[int] = set()
        for what, who, x, y in steps:
            before = {key: await case.balance(key) for key in spent}
            if what == "reserve":
                refused = await case.reserve(str(who), x=x, y=y)
                if refused is not None:
                    assert {key: await case.balance(key) for key in spent} == before
                else:
                    for key, (had_spent, had_held) in before.items():
                        now_held = (await case.balance(key))[1]
                        assert now_held == had_held or had_spent + now_held <= 100
            elif what == "wait":
                case.now_s += x / 7
            else:
                amounts = {"x": x, "y": y} if what == "settle" else {}
                assert await case.store.settle(str(who), amounts) is (who not in over)
                if who not in over:
                    spent = {key: spent[key] + amounts.get(key, 0) for key in spent}
                over.add(who)
            assert {key: (await case.balance(key))[0] for key in spent} == spent
        case.now_s += LEASE_S
        assert {key: await case.balance(key) for key in spent} == {key: (spent[key], 0) for key in spent}

    run(kind, main)


def test_memory_is_bounded_and_what_counts_is_not_dropped_for_room() -> None:
    async def main() -> None:
        now_s = 0.0
        store = MemoryState(clock=lambda: now_s, keys_max=3, ids_max=2)
        for number in range(3):
            await store.settle(str(number), {f"k{number}": 1})
        with pytest.raises(StoreError):
            await store.settle("3", {"k3": 1})
        assert (await store.peek(["k0"]))["k0"].spent == 1
        now_s = 200_000.0
        assert await store.settle("3", {"k3": 1})

    asyncio.run(main())
