"""What prompts are billed through the gateway is never more than directly but for what it may cost to find
out, and less where marks or keys pay; and what a provider has cached is sent again byte for byte."""

import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sim.prompt_cache_replay import (
    CLAUDE,
    PAYS,
    Agents,
    Claude,
    Clock,
    Gateway,
    Gpt,
    Outcome,
    Turn,
    fixed,
    gpt_scenarios,
    merged,
    replay,
    scenarios,
)

pytestmark = pytest.mark.slow
LEARNT = 1.02
"""Tokens are known before the call to within a few in a hundred here."""


def keeps_its_promise(found: Outcome) -> None:
    assert found.same == found.follows
    assert found.worst_nusd <= found.largest_nusd * LEARNT, "what was lost meanwhile is more than one prompt"


@pytest.mark.parametrize("name", scenarios())
def test_marks_never_cost_more_than_one_prompt_and_pay_where_they_can(name: str) -> None:
    found = replay(scenarios()[name](), Claude)
    keeps_its_promise(found)
    if name in PAYS:
        assert found.gateway_nusd < found.direct_nusd
    else:
        assert found.gateway_nusd <= found.direct_nusd + found.largest_nusd * 0.5


@pytest.mark.parametrize("name", ["one session", "14 tools at once", "hostile: nothing comes twice"])
def test_the_same_holds_for_a_client_of_chat_completions(name: str) -> None:
    found = replay(scenarios()[name](), Claude, translated=True)
    keeps_its_promise(found)
    assert (found.gateway_nusd < found.direct_nusd) == (name in PAYS)


def test_what_pays_saves_most_of_what_is_sent_again() -> None:
    saved = {name: replay(scenarios()[name](), Claude).saved for name in PAYS}
    assert saved["one session"] > 0.8
    assert saved["many sessions, people between"] > 0.6
    assert saved["single questions, one system prompt"] > 0.8
    assert saved["25 minutes between turns"] > 0.7, "an hour's life pays where five minutes do not"
    assert saved["14 tools at once"] > 0.7, "a turn of more blocks than a provider looks back is found again"


def test_traffic_that_never_repeats_is_never_marked() -> None:
    for name in ("hostile: nothing comes twice", "hostile: a clock in the system prompt"):
        assert replay(scenarios()[name](), Claude).marked == 0


@pytest.mark.parametrize("name", gpt_scenarios())
def test_keys_cost_nothing_and_keep_a_crowd_on_its_machines(name: str) -> None:
    found = replay(gpt_scenarios()[name](), Gpt)
    assert found.same == found.follows
    assert found.marked == found.calls
    assert found.gateway_nusd <= found.direct_nusd
    if "crowd" in name:
        assert found.saved > 0.25


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32),
    st.lists(st.sampled_from([5.0, 100.0, 290.0, 299.0, 301.0, 1_000.0, 3_500.0, 3_601.0]), min_size=1),
    st.integers(1, 5),
    st.integers(1, 12),
    st.booleans(),
)
def test_whatever_the_traffic_a_day_costs_at_most_one_prompt_more(
    seed: int, pauses_s: list[float], sessions: int, turns: int, one_system: bool
) -> None:
    own = Agents(seed, system_words=1_100, step_words=80)
    system = own.words(1_100) if one_system else None
    drawn = random.Random(seed)

    def pause_s(_: random.Random) -> float:
        return drawn.choice(pauses_s)

    def traffic() -> Iterator[Turn]:
        names = [f"s{number}" for number in range(sessions)]
        begins = [drawn.choice(pauses_s) * number for number in range(sessions)]
        parts = [
            own.session(name, turns, pause_s, begin_s=begin_s, system=system)
            for name, begin_s in zip(names, begins, strict=True)
        ]
        return (turn for turn in merged(*parts) if turn.at_s < 86_000)

    keeps_its_promise(replay(traffic(), Claude))


def test_calls_that_are_under_way_together_stake_no_more_than_one_prompt() -> None:
    """A hundred sessions begin at once where marks were proved to pay: none has been read yet."""
    clock = Clock()
    claude, gateway = Claude(clock), Gateway(CLAUDE, clock)
    own = Agents(3)
    for turn in merged(*(own.session(f"w{n}", 3, fixed(10), begin_s=60.0 * n) for n in range(6))):
        clock.now_s = 1_000.0 + turn.at_s
        gateway.through(turn, claude.bill)
    account = gateway.habits.of("acme", "agents", CLAUDE.name).account
    assert account.balance_nusd > 0
    begun = [gateway.begin(next(own.session(f"x{n}", 1, fixed(1)))) for n in range(100)]
    marked = [one for one in begun if b'"cache_control"' in one]
    assert 0 < len(marked) < 100
    plain_nusd = max(len(body) for body in begun) // 4 * 2_000
    assert account.balance_nusd >= -plain_nusd
