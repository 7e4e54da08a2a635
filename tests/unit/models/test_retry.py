"""Whom to ask again, and after what pause."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from farthing.config import CallConfig
from farthing.errors import (
    ProviderBusy,
    ProviderError,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
)
from farthing.models.health.health import IN_A_ROW_MAX, Health
from farthing.models.retry import BACKOFF_S, Failed, Try, jitter_s, next_try, stale
from farthing.types import Attempt, Target

A, B = (Target(name=f"{name}/m", provider=name, model="m") for name in "ab")


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def health(clock: Clock | None = None) -> Health:
    return Health(CallConfig(), clock or Clock())


def ask(
    *targets: tuple[Target, Health], failed: list[Failed], rand: float = 0.5, left_s: float | None = None
) -> Try | None:
    return next_try(targets, failed, 10.0, left_s, lambda: rand)


def down(status: int | None = 503, **more: Any) -> ProviderError:
    return ProviderUnavailable("down", upstream_status=status, again=True, **more)


def test_the_pause_doubles_with_each_failure_and_varies() -> None:
    for count in (1, 2, 3):
        found = ask((A, health()), failed=[Failed(A, down())] * count)
        assert found is not None and found.again
        assert found.wait_s == BACKOFF_S * 2 ** (count - 1)
    short, long = (ask((A, health()), failed=[Failed(A, down())], rand=rand) for rand in (0.0, 1.0))
    assert short is not None and long is not None and long.wait_s == 3 * short.wait_s


def test_what_would_fail_again_or_took_its_whole_time_is_not_asked_again() -> None:
    for error in (
        ProviderRejected("no", upstream_status=400),
        ProviderTimeout("hung"),
        ProviderUnavailable("closed", nothing_received=True),
        ProviderUnavailable("not an answer"),
        ProviderBusy("empty account", upstream_status=429, retry_after_s=None),
    ):
        assert ask((A, health()), failed=[Failed(A, error)]) is None, error


def test_a_pause_is_kept_and_one_that_is_too_long_is_the_clients() -> None:
    for asked_s, waits in ((2.0, True), (10.0, True), (11.0, False)):
        busy = ProviderBusy("busy", upstream_status=429, retry_after_s=asked_s, again=True)
        found = ask((A, health()), failed=[Failed(A, busy)])
        assert (found is not None) is waits
        if found is not None:
            assert asked_s <= found.wait_s <= asked_s + jitter_s(asked_s)


def test_a_target_that_rests_is_asked_before_one_is_asked_again() -> None:
    resting = health()
    for _ in range(IN_A_ROW_MAX):
        resting.failed(down(), resting.begin())
    assert resting.cooldown_s() > 0
    found = ask((A, health()), (B, resting), failed=[Failed(A, down())])
    assert found is not None and (found.target, found.again, found.wait_s) == (B, False, 0.0)


def test_a_paused_target_is_waited_for_where_it_is_short_and_else_asked_at_once() -> None:
    for asked_s, wait_s in ((3.0, 3.0 + jitter_s(3.0) / 2), (30.0, 0.0)):
        paused = health()
        paused.failed(ProviderBusy("busy", retry_after_s=asked_s), paused.begin())
        found = ask((A, paused), failed=[])
        assert found is not None and not found.again and found.wait_s == wait_s


def test_an_open_breaker_ends_retries() -> None:
    sick = health()
    for _ in range(IN_A_ROW_MAX):
        sick.failed(down(), sick.begin())
    assert ask((A, sick), failed=[Failed(A, down())]) is None


def test_only_a_connection_that_was_dead_already_is_asked_again_at_once() -> None:
    closed = ProviderUnavailable("closed", nothing_received=True)
    quick, late = (Attempt(target="a/m", tier="", started_ms=0.0, total_ms=ms) for ms in (3.0, 8_000.0))
    assert stale(closed, quick) and not stale(closed, late)
    assert not stale(down(), quick)


@given(st.lists(st.sampled_from([500, 502, 503, 429, 408]), min_size=1, max_size=8))
def test_no_wait_is_longer_than_a_backoff_or_what_was_asked_for(statuses: list[int]) -> None:
    failed = [Failed(A, down(status)) for status in statuses]
    found = ask((A, health()), failed=failed, rand=1.0)
    assert found is not None and 0 < found.wait_s <= 12.0


def test_a_stream_that_breaks_counts_and_one_that_only_began_does_not_reset_the_count() -> None:
    one = health()
    for _ in range(IN_A_ROW_MAX):
        assert one.cooldown_s() == 0
        one.answering(one.begin())
        one.failed(down(None))
    assert one.cooldown_s() > 0


def test_a_probe_that_begins_to_stream_closes_the_breaker_until_the_next_failure() -> None:
    clock = Clock()
    one = health(clock)
    for _ in range(IN_A_ROW_MAX):
        one.failed(down(), one.begin())
    clock.now_s += one.cooldown_s()
    one.answering(one.begin())
    assert one.cooldown_s() == 0
    one.failed(down(None))
    assert one.cooldown_s() > 0


def test_one_requests_own_500s_count_once_and_others_each() -> None:
    one = health()
    for _ in range(50):
        one.failed(down(500), one.begin(), request=7)
    assert one.cooldown_s() == 0
    for number in range(8, 8 + IN_A_ROW_MAX - 1):
        one.failed(down(500), one.begin(), request=number)
    assert one.cooldown_s() > 0, "several requests cannot all be at fault"


def test_where_the_budget_of_one_target_is_spent_the_other_is_asked_again() -> None:
    spent = health()
    assert spent.may_retry() and not spent.has_retry
    for rand in (0.0, 0.5, 1.0):
        found = ask((A, spent), (B, health()), failed=[Failed(A, down()), Failed(B, down())], rand=rand)
        assert found is not None and (found.target, found.again) == (B, True)
    assert ask((A, spent), failed=[Failed(A, down())]) is None


def test_a_target_that_is_late_for_the_deadline_does_not_keep_from_one_that_is_not() -> None:
    paused = health()
    paused.failed(ProviderBusy("busy", retry_after_s=5.0), paused.begin())
    failed = [Failed(A, down())]
    found = ask((A, health()), (B, paused), failed=failed, left_s=3.0)
    assert found is not None and found.target == A and found.wait_s < 3.0
    found = ask((A, health()), (B, paused), failed=failed)
    assert found is not None and found.target == B
    assert ask((A, health()), (B, paused), failed=failed, left_s=0.1) is None
