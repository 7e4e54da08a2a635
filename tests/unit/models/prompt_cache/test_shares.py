"""Who has most gives way, and nobody drives out what others have."""

import random

import pytest
from tests.asking import asked
from tests.sim.prompt_cache_replay import CLAUDE, GPT, Clock
from tests.unit.models.prompt_cache.asks import prompt_of

from farthing.models.prompt_cache import habits, keys
from farthing.models.prompt_cache.habits import Habits
from farthing.models.prompt_cache.keys import PromptKeys
from farthing.models.prompt_cache.shares import Shares
from farthing.types import Tenant


def test_who_has_most_loses_what_it_used_longest_ago() -> None:
    shares: Shares[int] = Shares(10)
    for number in range(3):
        shares.put("quiet", number, number)
    for number in range(50):
        shares.put("loud", number, number)
    assert [shares.get("quiet", number) for number in range(3)] == [0, 1, 2]
    assert [number for number in range(50) if shares.get("loud", number) is not None] == [*range(43, 50)]
    assert len(shares) == shares.weight == 10


def test_what_is_used_stays_longer() -> None:
    shares: Shares[int] = Shares(3)
    for number in range(3):
        shares.put("a", number, number)
    shares.used("a", 0)
    shares.put("a", 3, 3)
    assert (shares.get("a", 0), shares.get("a", 1)) == (0, None)


def test_few_that_weigh_much_give_way_before_many_that_weigh_little() -> None:
    shares: Shares[str] = Shares(100)
    for number in range(30):
        shares.put("many", number, "light")
    for number in range(40):
        shares.put("few", number, "heavy", 20)
    assert all(shares.get("many", number) for number in range(30))
    assert shares.weight <= 100


def test_what_was_put_last_stays_however_much_it_weighs() -> None:
    shares: Shares[str] = Shares(10)
    shares.put("a", 1, "one", 5)
    shares.put("b", 1, "all", 50)
    assert (shares.get("a", 1), shares.get("b", 1)) == (None, "all")
    shares.put("b", 1, "less", 2)
    assert shares.weight == 2


def test_however_it_is_used_it_is_bounded_and_nobody_with_a_fair_part_loses_to_one_with_much() -> None:
    drawn = random.Random(5)
    shares: Shares[int] = Shares(400)
    for _ in range(4_000):
        tenant = drawn.choice("abcd")
        shares.put(tenant, drawn.randrange(10_000 if tenant == "a" else 30), 0, drawn.randrange(1, 4))
        assert shares.weight <= 400
    assert shares.weight == sum(held.weight for held in shares._tenants.values())
    assert len([key for key in range(30) if shares.get("b", key) is not None]) == 30


@pytest.mark.parametrize("tenants", [1, 200])
def test_habits_of_one_tenant_stay_whatever_others_ask(tenants: int) -> None:
    known = Habits()
    kept = known.of("quiet", "agents", CLAUDE.name)
    for number in range(habits.GROUPS_MAX * 2):
        known.of(f"loud {number % tenants}", "agents", f"a/model-{number}")
    assert known.find("quiet", "agents", CLAUDE.name) is kept


def test_keys_of_one_tenant_stay_spread_whatever_another_asks() -> None:
    clock = Clock()
    known = PromptKeys(clock=clock)

    def key(tenant: str, system: str, session: str) -> str:
        said = [{"role": "system", "content": system * 2_000}, {"role": "user", "content": "q"}]
        request = asked(body={"model": "m", "messages": said}, tenant=Tenant(name=tenant), session=session)
        return known.key(request, prompt_of(request.body), GPT)

    for number in range(40):
        key("quiet", "s", f"session {number}")
    clock.now_s += 61.0
    spread = {key("quiet", "s", f"session {number}") for number in range(20)}
    for number in range(keys.BEGINNINGS_MAX + 100):
        key("loud", f"{number} ", "any")
    assert len(spread) > 1
    assert {key("quiet", "s", f"session {number}") for number in range(20)} == spread
