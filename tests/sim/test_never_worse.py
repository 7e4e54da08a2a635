"""A lone target with limits of its own, and clients that retry as SDKs do: no worse through the gateway."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest
from tests import virtual
from tests.sim.calling import Desk, Plant

from farthing.errors import NoProviderLeft

RETRIES_MAX = 2
FOR_S = 90.0


class Windowed(Plant):
    """So many requests in each window of time, all of them back at its end; refusals say nothing of it."""

    def __init__(self, most: int, window_s: float, takes_s: float) -> None:
        super().__init__(takes_s=takes_s)
        self._most, self._window_s, self._left, self._ends_s = most, window_s, most, window_s

    async def answer(self, first_byte_s: float):  # type: ignore[no-untyped-def]
        now_s = asyncio.get_running_loop().time()
        while now_s >= self._ends_s:
            self._left, self._ends_s = self._most, self._ends_s + self._window_s
        self.capacity = 10**9 if self._left > 0 else 0
        self._left -= 1
        return await super().answer(first_byte_s)


class Flapping(Plant):
    """It refuses everything for two seconds of ten."""

    async def answer(self, first_byte_s: float):  # type: ignore[no-untyped-def]
        self.capacity = 0 if asyncio.get_running_loop().time() % 10 >= 8 else 10**9
        return await super().answer(first_byte_s)


PLANTS: dict[str, Callable[[], Plant]] = {
    "ten at once": lambda: Plant(capacity=10, takes_s=1.0),
    "forty at once, slow": lambda: Plant(capacity=40, takes_s=6.0),
    "sixty a minute": lambda: Windowed(60, 60.0, 1.0),
    "ten a second": lambda: Windowed(10, 1.0, 0.3),
    "two seconds of ten none": lambda: Flapping(takes_s=0.5),
    "half of them 500": lambda: failing(0.5),
}

LONG = {"sixty a minute", "two seconds of ten none", "half of them 500"}
"""Plants at which a crowd of 60 takes seconds to follow."""
CROWDS = [
    pytest.param(
        plant,
        clients,
        marks=pytest.mark.conformance if clients == 60 and plant in LONG else (),
        id=f"{plant}-{clients}",
    )
    for plant in PLANTS
    for clients in (4, 16, 60)
]


def failing(share: float) -> Plant:
    chance = random.Random(3)
    plant = Plant(takes_s=0.5)
    plant.fails = lambda: chance.random() < share
    return plant


async def persists(ask: Callable[[], Awaitable[bool | None]], chance: random.Random) -> bool:
    """As the official SDKs: two more tries, where they are not told that none helps (None)."""
    for number in range(RETRIES_MAX + 1):
        found = await ask()
        if found or found is None:
            return bool(found)
        if number < RETRIES_MAX:
            await asyncio.sleep(0.5 * 2**number * (1 - 0.25 * chance.random()))
    return False


async def crowd(ask: Callable[[], Awaitable[bool | None]], clients: int) -> tuple[int, int]:
    """How many questions of so many clients, one after the other, were answered, and how many were not."""
    chance, clock = random.Random(11), asyncio.get_running_loop().time
    ends_s = clock() + FOR_S
    answered = failed = 0

    async def client() -> None:
        nonlocal answered, failed
        await asyncio.sleep(chance.random())
        while clock() < ends_s:
            good = await persists(ask, chance)
            answered, failed = answered + good, failed + (not good)
            await asyncio.sleep(0.2 * chance.random())

    await asyncio.gather(*(client() for _ in range(clients)))
    return answered, failed


def direct(make: Callable[[], Plant], clients: int) -> tuple[int, int]:
    async def main() -> tuple[int, int]:
        plant = make()

        async def ask() -> bool:
            return (await plant.answer(600.0)).status == 200

        return await crowd(ask, clients)

    return virtual.run(main())


def through(make: Callable[[], Plant], clients: int) -> tuple[int, int]:
    async def main() -> tuple[int, int]:
        desk = Desk({"a": make()})

        async def ask() -> bool | None:
            found = await desk.ask()
            told = isinstance(found.error, NoProviderLeft) and found.error.retry is False
            return None if told else bool(found.target)

        return await crowd(ask, clients)

    return virtual.run(main())


@pytest.mark.parametrize(("plant", "clients"), CROWDS)
def test_as_many_questions_are_answered_and_no_larger_share_fails(plant: str, clients: int) -> None:
    (answered, failed), (ours, lost) = direct(PLANTS[plant], clients), through(PLANTS[plant], clients)
    assert ours >= 0.9 * answered, ((answered, failed), (ours, lost))
    assert lost / (ours + lost) <= failed / (answered + failed) + 0.02, ((answered, failed), (ours, lost))
