"""Breaker, pauses and retry budget under a virtual clock and random schedules."""

import random
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.config import CallConfig
from farthing.errors import ProviderBusy, ProviderRejected, ProviderTimeout, ProviderUnavailable
from farthing.models.health.health import BUDGET_WINDOW_S, Health

CONFIG = CallConfig()


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def target() -> tuple[Health, Clock]:
    clock = Clock()
    return Health(CONFIG, clock), clock


def down() -> ProviderUnavailable:
    return ProviderUnavailable("down")


def opened(health: Health) -> Health:
    while health.cooldown_s() == 0:
        health.failed(down(), health.begin())
    return health


@pytest.mark.parametrize("calls_per_s", [1, 5, 50, 5_000])
def test_a_total_outage_opens_the_breaker_within_20_calls_or_2_s(calls_per_s: int) -> None:
    health, clock = target()
    for _ in range(200):  # it was well before
        health.succeeded(health.begin())
        clock.now_s += 1 / calls_per_s
    calls, began_s = 0, clock.now_s
    while health.cooldown_s() == 0:
        health.failed(down(), health.begin())
        calls += 1
        clock.now_s += 1 / calls_per_s
        assert calls <= 20 or clock.now_s - began_s <= 2.0
    assert health.cooldown_s() <= CONFIG.breaker_open_s


@pytest.mark.parametrize("in_flight", [1, 30, 300])
def test_calls_under_way_when_it_opens_do_not_keep_it_open_longer_or_close_it(in_flight: int) -> None:
    health, clock = target()
    numbers = [health.begin() for _ in range(in_flight)]
    opened(health)
    opens_until_s = clock.now_s + health.cooldown_s()
    for index, number in enumerate(numbers):
        clock.now_s += 0.001
        if index % 2:
            health.failed(ProviderTimeout("late"), number)
        else:
            health.succeeded(number)
        assert clock.now_s + health.cooldown_s() == pytest.approx(opens_until_s)


def test_half_open_lets_one_probe_through_and_the_probe_decides() -> None:
    for good in (True, False):
        health, clock = target()
        opened(health)
        clock.now_s += CONFIG.breaker_open_s
        assert health.cooldown_s() == 0
        probe = health.begin()
        assert probe and health.cooldown_s() > 0, "one at a time"
        if good:
            health.succeeded(probe)
            assert health.cooldown_s() == 0 and health.begin() == 0
        else:
            health.failed(down(), probe)
            assert health.cooldown_s() == pytest.approx(CONFIG.breaker_open_s)


def test_a_probe_whose_client_leaves_makes_room_for_another() -> None:
    health, clock = target()
    opened(health)
    clock.now_s += CONFIG.breaker_open_s
    probe = health.begin()
    health.abandoned(probe)
    assert health.cooldown_s() == 0


@pytest.mark.parametrize("share", [0.01, 0.05, 0.1])
def test_a_target_that_fails_now_and_then_is_used_on(share: float) -> None:
    """Single failures are for the other targets to hide, not for the breaker."""
    chance = random.Random(3)
    rested = 0
    health, clock = target()
    for _ in range(2_000):
        clock.now_s += 0.01
        if health.cooldown_s() > 0:
            rested += 1
        elif chance.random() < share:
            health.failed(down(), health.begin())
        else:
            health.succeeded(health.begin())
    assert rested == 0


def test_what_the_client_got_wrong_is_not_the_targets_fault() -> None:
    health, _ = target()
    for _ in range(100):
        health.failed(ProviderRejected("bad request", upstream_status=400), health.begin())
    assert health.cooldown_s() == 0


@given(st.one_of(st.none(), st.floats(min_value=0, max_value=1e12)))
def test_a_429_pauses_for_what_it_asked_and_at_most_a_minute(asked_s: float | None) -> None:
    health, clock = target()
    health.failed(ProviderBusy("busy", retry_after_s=asked_s), health.begin())
    expected_s = min(1.0 if asked_s is None else asked_s, CONFIG.pause_s_max)
    assert health.cooldown_s() == pytest.approx(expected_s, abs=1e-6)
    if expected_s > 1e-3:
        why = health.cooldown_error("a/b")
        assert isinstance(why, ProviderBusy) and why.retry_after_s == pytest.approx(expected_s)
    clock.now_s += expected_s + 1e-6
    assert health.cooldown_s() == 0


def test_a_shorter_pause_never_shortens_a_longer_one() -> None:
    health, _ = target()
    for asked_s in (30.0, 1.0):
        health.failed(ProviderBusy("busy", retry_after_s=asked_s), health.begin())
    assert health.cooldown_s() == pytest.approx(30.0)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.floats(0.5, 500.0), st.floats(0.0, 1.0))
def test_retries_are_at_most_a_tenth_in_any_ten_seconds(seed: int, calls_per_s: float, fails: float) -> None:
    """P5, at the moment of each retry: those of the last ten seconds against the calls of the same time."""
    chance = random.Random(seed)
    health, clock = target()
    calls: deque[float] = deque()
    retries: deque[float] = deque()
    for _ in range(1_500):
        clock.now_s += chance.expovariate(calls_per_s)
        health.called()
        calls.append(clock.now_s)
        if chance.random() < fails and health.may_retry():
            retries.append(clock.now_s)
            for times in (calls, retries):
                while times[0] < clock.now_s - BUDGET_WINDOW_S:
                    times.popleft()
            assert len(retries) <= max(1, CONFIG.retry_share_max * len(calls))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32))
def test_no_schedule_lets_two_probes_run_at_once_or_shuts_a_target_out_for_ever(seed: int) -> None:
    chance = random.Random(seed)
    health, clock = target()
    under_way: list[int] = []
    probes: set[int] = set()
    for _ in range(600):
        clock.now_s += chance.expovariate(20.0)
        if under_way and chance.random() < 0.55:
            number = under_way.pop(chance.randrange(len(under_way)))
            probes.discard(number)
            match chance.randrange(5):
                case 0:
                    health.succeeded(number)
                case 1:
                    health.abandoned(number)
                case 2:
                    health.failed(ProviderBusy("busy", retry_after_s=chance.choice([None, 0.0, 5.0])), number)
                case _:
                    health.failed(down(), number)
        elif health.cooldown_s() == 0:
            number = health.begin()
            under_way.append(number)
            if number:
                probes.add(number)
            assert len(probes) <= 1
    for number in under_way:
        health.abandoned(number)
    clock.now_s += CONFIG.pause_s_max + CONFIG.breaker_open_s
    assert health.cooldown_s() == 0


def test_it_says_when_the_breaker_opens_and_closes_and_not_what_is_between() -> None:
    clock, told = Clock(), []
    one = Health(CONFIG, clock, lambda error, seconds: told.append((error and error.code, seconds)))
    for _ in range(5):
        one.failed(ProviderUnavailable("down"), one.begin())
    assert told == [("provider_unavailable", CONFIG.breaker_open_s)]
    for _ in range(3):
        clock.now_s += CONFIG.breaker_open_s
        one.failed(ProviderUnavailable("still down"), one.begin())
    assert len(told) == 1
    clock.now_s += CONFIG.breaker_open_s
    one.succeeded(one.begin())
    assert told[1:] == [(None, 4 * CONFIG.breaker_open_s)]
