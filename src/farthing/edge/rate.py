"""How many requests a minute a key may send: GCRA, one number for each key, no timer, no queue.

A key may send `per_minute` requests at once and then one every `60 / per_minute` seconds; what it does
not use it gets back at that pace. Source: ITU-T I.371, the virtual scheduling algorithm.
"""

from collections.abc import Callable

from farthing.errors import RateLimited

WINDOW_S = 60.0


class Rate:
    """The allowance of one key, by a monotonic clock."""

    __slots__ = ("_clock", "_full_at_s", "_interval_s", "per_minute")

    def __init__(self, per_minute: int, clock: Callable[[], float], before: "Rate | None" = None) -> None:
        """`before`: what the key had until now; what it has used of that is used of this."""
        self.per_minute = per_minute
        self._interval_s = WINDOW_S / per_minute
        self._clock = clock
        self._full_at_s: float = 0.0 if before is None else before._full_at_s
        """When the whole allowance is available again."""

    def take(self) -> None:
        """Use one request of the allowance.

        Raises:
            RateLimited: there is none left; says when there is one.
        """
        self._full_at_s = self.check()

    def check(self) -> float:
        """When the whole allowance is there again, on the clock, if one request is sent now.

        Raises:
            RateLimited: as `take`.
        """
        now_s = self._clock()
        full_at_s = max(self._full_at_s, now_s) + self._interval_s
        wait_s = full_at_s - now_s - WINDOW_S
        if wait_s > 1e-9:  # sums of intervals are not exact
            raise RateLimited(
                f"this API key may send {self.per_minute} requests a minute: try again in {wait_s:.1f} s",
                retry_after_s=wait_s,
            )
        return full_at_s

    def headers(self) -> bytes:
        """The allowance in OpenAI's header lines."""
        missing_s = max(0.0, self._full_at_s - self._clock())
        remaining = int((WINDOW_S - missing_s) / self._interval_s + 1e-9)
        return (
            f"x-ratelimit-limit-requests: {self.per_minute}\r\n"
            f"x-ratelimit-remaining-requests: {remaining}\r\n"
            f"x-ratelimit-reset-requests: {missing_s * 1000:.0f}ms\r\n"
        ).encode()
