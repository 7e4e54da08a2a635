"""Lanes of one target: what outlives a configuration, and which errors say what of a lane."""

from collections.abc import Callable
from typing import Any, cast

import pytest
from tests.asking import asked

from farthing.config import CallConfig
from farthing.errors import (
    KeyRejected,
    ProviderBusy,
    ProviderError,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
)
from farthing.models.health.health import IN_A_ROW_MAX, Health
from farthing.models.lanes.pick import Lane, Lanes, Place, Warm, affinity_of
from farthing.models.lanes.ways import Ways
from farthing.models.retry import Failed
from farthing.protocols import Provider
from farthing.types import Target

TARGET = Target(name="p/m", provider="p", model="m")
CONFIG = CallConfig()


def place(address: str, key: str) -> Place:
    label = f"{address} {key}"
    return Place(cast(Provider, None), label=label, address=address, identity=label)


def ways(health: dict[str, Health], *places: Place, clock: Callable[[], float] = lambda: 100.0) -> Ways:
    found = Ways({"p": cast(Provider, None)}, CONFIG, clock, health, lambda name, error, seconds: None)
    if places:
        found.places = {"p": places}
    return found


FOUR = (place("a", "1"), place("a", "2"), place("b", "1"), place("b", "2"))


def lanes(health: dict[str, Health] | None = None, **more: Any) -> Lanes:
    found = ways({} if health is None else health, *FOUR, **more).open(TARGET)
    assert isinstance(found, Lanes)
    return found


def busy() -> ProviderError:
    return ProviderBusy("busy", upstream_status=429, retry_after_s=5.0, again=True)


def test_what_was_learnt_of_a_lane_outlives_a_reload_in_which_the_order_changes() -> None:
    health: dict[str, Health] = {}
    before = lanes(health)
    before.all[1].health.failed(busy())
    found = ways(health, *reversed(FOUR)).open(TARGET)
    assert isinstance(found, Lanes)
    assert [lane.label for lane in found.all if lane.health.cooldown_s() > 0] == ["a 2"]


def test_a_target_that_gets_a_second_lane_or_loses_it_begins_anew() -> None:
    health: dict[str, Health] = {}
    alone = ways(health).open(TARGET)
    assert isinstance(alone, Lane) and health["p/m"] is alone.health
    several = lanes(health)
    assert health["p/m"] is several.health is not alone.health
    again = ways(health).open(TARGET)
    assert isinstance(again, Lane) and health["p/m"] is again.health is not several.health


def test_a_target_rests_when_all_its_lanes_do_and_says_why_the_first_does_that_is_back() -> None:
    found = lanes()
    for number, lane in enumerate(found.all):
        assert found.health.cooldown_s() == 0.0
        lane.health.failed(ProviderBusy("busy", upstream_status=429, retry_after_s=5.0 + number, again=True))
    assert found.health.cooldown_s() == pytest.approx(5.0)
    why = found.health.cooldown_error("p/m")
    assert isinstance(why, ProviderBusy) and why.retry_after_s == pytest.approx(5.0)
    assert found.pick() is None


@pytest.mark.parametrize(
    ("error", "others"),
    [
        (busy(), {"a 2", "b 1", "b 2"}),
        (KeyRejected("refused", upstream_status=401), {"a 2", "b 1", "b 2"}),
        (ProviderRejected("no money", upstream_status=402), {"a 2", "b 1", "b 2"}),
        (ProviderUnavailable("down", upstream_status=503), {"b 1", "b 2"}),
        (ProviderUnavailable("cannot connect"), {"b 1", "b 2"}),
        (ProviderTimeout("slow"), {"b 1", "b 2"}),
        (ProviderRejected("wrong", upstream_status=400), set()),
    ],
)
def test_after_a_failure_the_lanes_are_asked_of_which_it_says_nothing(
    error: ProviderError, others: set[str]
) -> None:
    found = lanes()
    failed = Failed(TARGET, error, found.all[0].health)
    seen = set()
    for _ in range(200):
        lane = found.next_after(failed, None, {found.all[0].health})
        if lane is not None:
            seen.add(lane.label)
    assert seen == others


def test_an_address_that_failed_is_asked_again_by_the_lane_that_failed_alone() -> None:
    found = lanes()
    down = Failed(TARGET, ProviderUnavailable("down", upstream_status=503), found.all[0].health)
    assert [lane.label for lane in found.left([down])] == ["a 1", "b 1", "b 2"]
    limited = Failed(TARGET, busy(), found.all[0].health)
    assert len(found.left([limited])) == 4


@pytest.mark.parametrize(
    "error",
    [KeyRejected("refused", upstream_status=401), ProviderRejected("no money", upstream_status=402)],
)
def test_a_key_that_was_refused_rests_and_is_used_where_there_is_no_other(error: ProviderError) -> None:
    found = lanes()
    for lane in found.all:
        lane.place.rests_until_s = 0.0
    for lane in found.all[:3]:
        lane.failed(error, 100.0)
    picked = [found.pick() for _ in range(20)]
    assert {lane.label for lane in picked if lane is not None} == {"b 2"}
    found.all[3].failed(error, 100.0)
    assert found.pick() is not None


def test_a_key_without_the_right_to_one_model_is_used_for_the_others() -> None:
    both = ways({}, place("a", "1"), place("b", "1"))
    found, other = both.open(TARGET), both.open(Target(name="p/n", provider="p", model="n"))
    assert isinstance(found, Lanes) and isinstance(other, Lanes)
    denied = KeyRejected("no", upstream_status=403)
    denied.lacks_right = True
    found.all[0].failed(denied, 100.0)
    assert {found.pick() for _ in range(50)} == {found.all[1]}
    assert {other.pick() for _ in range(50)} == set(other.all)


def test_a_lane_whose_breaker_is_half_open_is_tried_first_by_one_request() -> None:
    now_s = [100.0]
    found = lanes(clock=lambda: now_s[0])
    sick = found.all[2]
    for _ in range(IN_A_ROW_MAX):
        sick.health.failed(ProviderUnavailable("down"))
    assert all(found.pick() is not sick for _ in range(50))
    now_s[0] += CONFIG.breaker_open_s
    assert found.pick() is sick
    sick.health.begin()
    assert all(found.pick() is not sick for _ in range(50))


def test_what_ties_a_request_to_a_lane() -> None:
    named = {"model": "m", "prompt_cache_key": "k", "messages": [{"role": "user", "content": "x"}]}
    system = {"role": "system", "content": "s" * 5_000}
    long = {"model": "m", "messages": [system, {"role": "user", "content": "x"}]}
    short = {"model": "m", "messages": [{"role": "system", "content": "s"}]}
    by_session = affinity_of(asked(session="s", body=named), 2)
    assert by_session is not None and by_session.by_session
    by_key = affinity_of(asked(body=named), 1)
    assert by_key is not None and by_key.by_session and by_key.key != by_session.key
    assert affinity_of(asked(body=long), 1) is None, "one account has one cache"
    one, other = (affinity_of(asked(text, body=long), 2) for text in ("a", "b"))
    assert one is not None and one == other and not one.by_session
    assert affinity_of(asked(body=short), 2) is None
    assert affinity_of(asked(), 2) is None


def test_where_sessions_were_is_bounded_and_forgotten_when_no_cache_holds_it() -> None:
    warm = Warm(most=3)
    for number in range(5):
        warm.note("p/m", f"s{number}", "a 1", 100.0)
    assert [warm.of("p/m", f"s{number}", 101.0) for number in range(5)] == ["", "", "a 1", "a 1", "a 1"]
    assert warm.of("p/m", "s4", 100.0 + 301.0) == "" == warm.of("p/n", "s4", 101.0)
