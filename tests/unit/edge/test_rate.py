"""The allowance of a key: a burst of its size, then an even pace, and the truth about what is left."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.edge.rate import WINDOW_S, Rate
from farthing.errors import RateLimited


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def taken(rate: Rate) -> bool:
    try:
        rate.take()
    except RateLimited:
        return False
    return True


def test_the_whole_allowance_may_be_used_at_once_and_comes_back_evenly() -> None:
    clock = Clock()
    rate = Rate(4, clock)
    assert [taken(rate) for _ in range(5)] == [True, True, True, True, False]
    clock.now_s += WINDOW_S / 4
    assert [taken(rate), taken(rate)] == [True, False]
    clock.now_s += WINDOW_S
    assert [taken(rate) for _ in range(5)] == [True, True, True, True, False]


def test_a_refusal_says_when_and_then_is_right() -> None:
    clock = Clock()
    rate = Rate(3, clock)
    while taken(rate):
        pass
    with pytest.raises(RateLimited, match="3 requests a minute") as refused:
        rate.take()
    assert refused.value.retry_after_s == pytest.approx(20.0)
    clock.now_s += refused.value.retry_after_s
    rate.take()


def test_the_headers_say_what_is_left() -> None:
    clock = Clock()
    rate = Rate(10, clock)
    assert b"remaining-requests: 10\r\n" in rate.headers()
    rate.take()
    assert rate.headers() == (
        b"x-ratelimit-limit-requests: 10\r\nx-ratelimit-remaining-requests: 9\r\n"
        b"x-ratelimit-reset-requests: 6000ms\r\n"
    )


@given(st.integers(1, 500), st.lists(st.floats(0, 30), max_size=200))
def test_no_schedule_gets_more_than_the_burst_and_the_pace(per_minute: int, waits_s: list[float]) -> None:
    clock = Clock()
    rate = Rate(per_minute, clock)
    took = 0
    for wait_s in waits_s:
        clock.now_s += wait_s
        took += taken(rate)
    assert took <= per_minute + sum(waits_s) * per_minute / WINDOW_S + 1e-6


def test_what_is_used_stays_used_when_the_limit_changes() -> None:
    now_s = 100.0
    before = Rate(5, lambda: now_s)
    for _ in range(5):
        before.take()
    with pytest.raises(RateLimited):
        Rate(6, lambda: now_s, before).take()
    now_s += 12.0  # a fifth of a minute gives a fifth of whatever the limit is
    after = Rate(10, lambda: now_s, before)
    for _ in range(2):
        after.take()
    with pytest.raises(RateLimited):
        after.take()
