"""What every Credentials promises, on those that are fetched: a clock of the test's own, and an issuer that
does as it is told."""

import asyncio
from collections.abc import Callable

import pytest

from farthing.errors import KeyRejected, ProviderError, ProviderTimeout, ProviderUnavailable
from farthing.models.credentials.renewed import BACKOFF_S_MAX, Fresh, Renewed
from farthing.protocols import Credentials

LIFE_S = 3_600.0
WAIT_S = 10.0


class Issuer:
    """Gives `token 1`, `token 2`, …, or fails with `fails`; not before `opened` is set."""

    def __init__(self, life_s: float = LIFE_S) -> None:
        self.life_s = life_s
        self.fetches = 0
        self.fails: Callable[[], ProviderError] | None = None
        self.opened = asyncio.Event()
        self.opened.set()
        self.now_s = 1_000.0

    async def fetch(self) -> Fresh[str]:
        self.fetches += 1
        await self.opened.wait()
        if self.fails is not None:
            raise self.fails()
        return Fresh(f"token {self.fetches}", self.life_s)

    def credentials(self) -> Renewed[str]:
        return Renewed("mine: the token", self.fetch, lambda: self.now_s, lambda: 0.5)


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def down() -> ProviderError:
    return ProviderUnavailable("mine: the issuer answered 503", again=True)


def test_all_who_wait_share_one_fetch_and_nobody_fetches_while_they_hold() -> None:
    async def scenario() -> None:
        issuer = Issuer()
        held: Credentials = issuer.credentials()
        numbers = await asyncio.gather(*(held.ready(WAIT_S) for _ in range(200)))
        issuer.now_s += LIFE_S / 2
        numbers += [await held.ready(WAIT_S)]
        assert set(numbers) == {1} and issuer.fetches == 1

    asyncio.run(scenario())


def test_they_are_replaced_ahead_of_time_and_nobody_waits_for_that() -> None:
    async def scenario() -> None:
        issuer = Issuer()
        held = issuer.credentials()
        await held.ready(WAIT_S)
        issuer.opened.clear()
        issuer.now_s += LIFE_S - 500  # ten minutes before their end
        for _ in range(100):
            assert await held.ready(WAIT_S) == 1 and held.value == "token 1"
        await turns()
        assert issuer.fetches == 2
        issuer.opened.set()
        await turns()
        assert await held.ready(WAIT_S) == 2 and held.value == "token 2"

    asyncio.run(scenario())


def test_what_still_holds_is_used_while_the_issuer_is_down_and_it_is_not_hammered() -> None:
    async def scenario() -> None:
        issuer = Issuer()
        held = issuer.credentials()
        await held.ready(WAIT_S)
        issuer.fails = down
        left_s = 500.0
        issuer.now_s += LIFE_S - left_s
        for _ in range(int(left_s) - 10):
            assert await held.ready(WAIT_S) == 1
            await turns()
            issuer.now_s += 1
        assert issuer.fetches - 1 <= left_s / (BACKOFF_S_MAX * 0.5) + 10
        issuer.now_s += 10
        with pytest.raises(ProviderUnavailable, match="the issuer answered 503") as failed:
            await held.ready(WAIT_S)
        assert not failed.value.sent and failed.value.upstream_status is None
        issuer.fails = None
        issuer.now_s += 2 * BACKOFF_S_MAX
        assert await held.ready(WAIT_S) == 2

    asyncio.run(scenario())


def test_a_failure_tells_each_who_waits_and_when_to_come_again() -> None:
    async def scenario() -> None:
        issuer = Issuer()
        issuer.fails = down
        held = issuer.credentials()
        waits = (held.ready(WAIT_S) for _ in range(20))
        errors = await asyncio.gather(*waits, return_exceptions=True)
        assert issuer.fetches == 1 and len({id(one) for one in errors}) == 20
        with pytest.raises(ProviderUnavailable) as failed:  # within the pause: nothing is asked
            await held.ready(WAIT_S)
        assert failed.value.again and failed.value.retry_after_s and issuer.fetches == 1

    asyncio.run(scenario())


def test_refused_ones_are_replaced_once_for_all_who_had_them() -> None:
    async def scenario() -> None:
        issuer = Issuer()
        held = issuer.credentials()
        first = await held.ready(WAIT_S)
        assert all(held.refused(first) for _ in range(50))
        assert set(await asyncio.gather(*(held.ready(WAIT_S) for _ in range(50)))) == {2}
        assert held.refused(first), "a late word of those before"
        assert await held.ready(WAIT_S) == 2 and issuer.fetches == 2

    asyncio.run(scenario())


def test_new_ones_that_are_refused_as_well_are_kept_for_they_lack_a_right() -> None:
    async def scenario() -> None:
        issuer = Issuer()
        held = issuer.credentials()
        assert held.refused(await held.ready(WAIT_S))
        second = await held.ready(WAIT_S)
        assert not held.refused(second) and await held.ready(WAIT_S) == second
        issuer.now_s += 120
        assert held.refused(second)

    asyncio.run(scenario())


def test_those_that_lack_a_right_are_used_on_and_replaced_beside_that_once_a_minute() -> None:
    async def scenario() -> None:
        issuer = Issuer()
        held = issuer.credentials()
        first = await held.ready(WAIT_S)
        assert not held.refused(first, lacks_right=True) and await held.ready(WAIT_S) == first
        assert issuer.fetches == 1, "they are new"
        issuer.now_s += 120
        issuer.fails = down
        for _ in range(50):
            assert not held.refused(first, lacks_right=True)
            assert await held.ready(WAIT_S) == first, "nobody waits for the fetch, or fails with it"
            await turns()
        assert issuer.fetches == 2
        issuer.fails = None
        issuer.now_s += 2 * BACKOFF_S_MAX
        assert await held.ready(WAIT_S) == first
        await turns()
        second = await held.ready(WAIT_S)
        assert second == first + 1 and held.refused(first, lacks_right=True), "rights may have come with them"
        for _ in range(50):
            assert not held.refused(second, lacks_right=True) and await held.ready(WAIT_S) == second
        assert issuer.fetches == 3

    asyncio.run(scenario())


def test_who_has_no_time_left_does_not_wait_and_the_fetch_goes_on() -> None:
    async def scenario() -> None:
        issuer = Issuer()
        issuer.opened.clear()
        held = issuer.credentials()
        with pytest.raises(ProviderTimeout, match="did not come in time"):
            await held.ready(0.01)
        issuer.opened.set()
        assert await held.ready(WAIT_S) == 1 and issuer.fetches == 1

    asyncio.run(scenario())


def test_an_issuer_that_refuses_says_so_as_a_refused_key() -> None:
    async def scenario() -> None:
        issuer = Issuer()
        issuer.fails = lambda: KeyRejected("mine: the issuer answered 401 (invalid_client); renew the secret")
        with pytest.raises(KeyRejected, match="renew the secret"):
            await issuer.credentials().ready(WAIT_S)

    asyncio.run(scenario())


@pytest.mark.parametrize("life_s", [0.0, -3_600.0, float("nan")])
def test_what_has_expired_when_it_comes_is_not_used(life_s: float) -> None:
    async def scenario() -> None:
        with pytest.raises(ProviderUnavailable, match="had expired when it came"):
            await Issuer(life_s).credentials().ready(WAIT_S)

    asyncio.run(scenario())
