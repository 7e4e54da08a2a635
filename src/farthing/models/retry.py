"""Which target is called again, and after what pause. Sans-I/O: `Health` has the clock, randomness is passed
in.

Used when every target of a route has failed or is in a cooldown. If there is no other target, one in a
cooldown is called all the same: after its pause if the provider asked for a short one, otherwise at once,
since a client without a gateway would call it too. A target that failed is called again if that may help,
after the pause it asked for or one that doubles each time and is randomised (full jitter, as in
"Exponential Backoff And Jitter", AWS Architecture Blog). A pause longer than `wait_s_max` is left to the
client, in `retry-after`.
"""

import random
from collections.abc import Callable, Sequence

from msgspec import Struct

from farthing.errors import ProviderError, ProviderUnavailable
from farthing.models.health.health import Health
from farthing.types import Attempt, Target

BACKOFF_S = 0.4  # before the second try, on average; the official SDKs wait 0.5
BACKOFF_S_MAX = 8.0
JITTER_S = 0.25  # after a pause that was asked for, so that those who waited do not come all at once:
JITTER_SHARE = 0.2  # of the pause, where that is more
STALE_MS = 1_000.0
"""A connection that ended sooner than this without a byte had been idle too long; one that ended later was
worked on, and asking again would pay twice."""


class Failed(Struct, frozen=True):
    """One attempt that failed."""

    target: Target
    error: ProviderError
    health: Health | None = None
    """That of the lane that failed; None: its target has only one."""


class Try(Struct, frozen=True):
    """The next target to call, and when."""

    target: Target
    health: Health
    wait_s: float
    again: bool
    """It was asked before, so this takes from its retry budget."""


def stale(error: ProviderError, attempt: Attempt) -> bool:
    """Whether the connection was closed before the request arrived, so that it can be sent again at once."""
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
    """The target that may be called soonest, within `left_s` seconds (None: no limit). None: another call
    this soon would not help, or the retry budget is used up (`Health.has_retry`)."""
    found: list[Try] = []
    for target, health in targets:
        errors = [
            one.error
            for one in failed
            if (one.target.name == target.name if one.health is None else one.health is health)
        ]
        if not errors:
            pause_s = health.paused_s()
            wait_s = pause_s + jitter_s(pause_s) * rand() if 0.0 < pause_s <= wait_s_max else 0.0
            found.append(Try(target, health, wait_s, again=False))
            continue
        last = errors[-1]
        if not last.again or health.is_open or _hung(last) or not health.has_retry:
            continue
        wait_s = min(BACKOFF_S_MAX, BACKOFF_S * 2 ** (len(errors) - 1)) * (0.5 + rand())
        pause_s = health.paused_s()
        if pause_s > 0.0 or last.retry_after_s is not None:
            asked_s = max(pause_s, last.retry_after_s or 0.0)
            wait_s = max(wait_s, asked_s + jitter_s(asked_s) * rand())
            if asked_s > wait_s_max:
                continue
        elif last.refills_s is not None and last.refills_s <= wait_s_max:
            wait_s = max(wait_s, last.refills_s + jitter_s(last.refills_s) * rand())
        found.append(Try(target, health, wait_s, again=True))
    in_time = (one for one in found if left_s is None or one.wait_s < left_s)
    return min(in_time, key=_order, default=None)


def _order(one: Try) -> tuple[bool, bool, float]:
    """One that is only full is waited for before one at rest is called."""
    return one.again, not one.again and one.health.cooldown_s() > 0, one.wait_s


def jitter_s(pause_s: float) -> float:
    """The longest time by which those who waited for a pause may be apart."""
    return max(JITTER_S, pause_s * JITTER_SHARE)


def _hung(error: ProviderError) -> bool:
    """Whether the attempt used up its time limit without receiving a byte; the gateway does not wait as long
    again."""
    return isinstance(error, ProviderUnavailable) and error.nothing_received
