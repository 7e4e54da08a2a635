"""Which target is asked again, and after what pause. Sans-I/O: `Health` knows the time, randomness is given.

Asked when every target of a route has failed or rests. A target that rests is not passed over where there is
no other: one that asked for a short pause is given it, any other is asked at once, since a client without us
would ask it as well. One that failed is asked again where that may help, after a pause that doubles and
varies, or the one it asked for (full jitter as in "Exponential Backoff And Jitter", AWS Architecture Blog).
A pause longer than `wait_s_max` is the client's to make: it hears of it in `retry-after`.
"""

import random
from collections.abc import Callable, Sequence

from msgspec import Struct

from farthing.errors import ProviderError, ProviderUnavailable
from farthing.models.health import Health
from farthing.types import Attempt, Target

BACKOFF_S = 0.4  # before the second try, on average; the official SDKs wait 0.5
BACKOFF_S_MAX = 8.0
JITTER_S = 0.25  # after a pause that was asked for, so that those who waited do not come all at once
STALE_MS = 1_000.0
"""A connection that ended sooner than this without a byte had been idle too long; one that ended later was
worked on, and asking again would pay twice."""


class Failed(Struct, frozen=True):
    """One attempt that came to nothing."""

    target: Target
    error: ProviderError


class Try(Struct, frozen=True):
    """Whom to ask next, and when."""

    target: Target
    health: Health
    wait_s: float
    again: bool
    """It was asked before, so this takes from its retry budget."""


def stale(error: ProviderError, attempt: Attempt) -> bool:
    """Whether the connection was dead before the request came: it can be sent again at once."""
    if not isinstance(error, ProviderUnavailable) or not error.nothing_received:
        return False
    return (attempt.total_ms or 0.0) < STALE_MS


def next_try(
    targets: Sequence[tuple[Target, Health]],
    failed: Sequence[Failed],
    wait_s_max: float,
    left_s: float | None = None,
    rand: Callable[[], float] = random.random,
) -> Try | None:
    """The target that may be asked soonest, and within `left_s` (None: at any time); None: asking any of them
    again, so soon, would not help, or was done too often (`Health.has_retry`)."""
    found: list[Try] = []
    for target, health in targets:
        errors = [one.error for one in failed if one.target.name == target.name]
        if not errors:
            pause_s = health.paused_s()
            wait_s = pause_s + JITTER_S * rand() if 0.0 < pause_s <= wait_s_max else 0.0
            found.append(Try(target, health, wait_s, again=False))
            continue
        last = errors[-1]
        if not last.again or health.is_open or _hung(last) or not health.has_retry:
            continue
        wait_s = min(BACKOFF_S_MAX, BACKOFF_S * 2 ** (len(errors) - 1)) * (0.5 + rand())
        pause_s = health.paused_s()
        if pause_s > 0.0 or last.retry_after_s is not None:
            asked_s = max(pause_s, last.retry_after_s or 0.0)
            wait_s = max(wait_s, asked_s + JITTER_S * rand())
            if asked_s > wait_s_max:
                continue
        found.append(Try(target, health, wait_s, again=True))
    in_time = (one for one in found if left_s is None or one.wait_s < left_s)
    return min(in_time, key=lambda one: (one.again, one.wait_s), default=None)


def _hung(error: ProviderError) -> bool:
    """Whether it took its whole time without a byte: another such time is not ours to spend."""
    return isinstance(error, ProviderUnavailable) and error.nothing_received
