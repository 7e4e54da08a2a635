"""Credentials that are fetched, used while they hold, and replaced ahead of time: when, and by one fetch.

The clock is monotonic: what is issued says how long it lives, and a wall clock that is wrong or jumps changes
nothing. They are replaced when a request needs them and the time has come, so that a provider nobody asks is
no work; a request waits for the fetch only where none that hold are there.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from msgspec import Struct

from farthing.errors import (
    ConfigError,
    KeyRejected,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
    forget_frames,
)
from farthing.runtime.loop_batch import in_task
from farthing.runtime.seldom import Seldom

log = logging.getLogger("farthing.credentials")

T = TypeVar("T")

FETCH_S = 10.0  # one fetch; issuers answer in a tenth of a second, a metadata server that is not there never
AHEAD_SHARE, AHEAD_S_MAX = 0.25, 600.0
"""They are replaced when this share of their life is left, ten minutes at most, a quarter more or less:
Google's and Azure's own caches give nothing newer much earlier."""
EDGE_SHARE, EDGE_S_MAX = 0.05, 5.0  # they are not used for a call that may arrive after they expire
LIFE_S_MAX = 7 * 86_400.0
BACKOFF_S, BACKOFF_S_MAX = 0.5, 10.0
REFUSED_S = 60.0
"""Credentials that replaced refused ones and are refused themselves within this time are not replaced at
once: they lack a right, and no others would have it. Nor are those that are known to lack one."""
TOLD_EVERY_S = 60.0


class Fresh(Struct, Generic[T], frozen=True):
    """What was just issued."""

    value: T
    life_s: float
    """How long it holds, from before it was asked for."""
    renew_s: float | None = None
    """After how long the issuer wants it replaced; None: it says nothing."""


class Renewed(Generic[T]):
    """See `protocols.Credentials`; what is held is `value`."""

    def __init__(
        self,
        what: str,
        fetch: Callable[[], Awaitable[Fresh[T]]],
        clock: Callable[[], float],
        rand: Callable[[], float] = random.random,
    ) -> None:
        """`what` names them in errors and in the log, as `azure: the token of Entra`. `fetch` raises
        ProviderError."""
        self.what = what
        self.value: T | None = None
        self._fetch = fetch
        self._clock = clock
        self._rand = rand
        self._number = 0
        self._renew_s = self._until_s = 0.0
        """When to replace them, and until when they are used; both 0: none are held."""
        self._began_s = 0.0
        self._dropped = self._replaced = False
        """What was held last was refused; and so was what stood before what is held."""
        self._task: asyncio.Task[None] | None = None
        self._not_before_s = 0.0
        self._failures = 0
        self._failed: ProviderError | None = None
        self._tells = Seldom(TOLD_EVERY_S, clock)

    async def ready(self, within_s: float) -> int:
        now_s = self._clock()
        if now_s < self._renew_s:
            return self._number
        if self._task is None and now_s >= self._not_before_s:
            self._task = asyncio.get_running_loop().create_task(self._replace())
        if now_s < self._until_s:
            return self._number
        task = self._task
        if task is None:
            raise self._failure(now_s)
        await in_task()
        await asyncio.wait((task,), timeout=within_s)
        now_s = self._clock()
        if now_s < self._until_s:
            return self._number
        raise self._failure(now_s)

    def refused(self, number: int, *, lacks_right: bool = False) -> bool:
        now_s = self._clock()
        if number != self._number or not self._until_s:
            return True
        if lacks_right:
            if now_s - self._began_s >= REFUSED_S:
                self._renew_s = min(self._renew_s, now_s)
            return False
        if self._replaced and now_s - self._began_s < REFUSED_S:
            return False
        self._renew_s = self._until_s = self._not_before_s = 0.0
        self._dropped = True
        return True

    async def _replace(self) -> None:
        began_s = self._clock()
        try:
            async with asyncio.timeout(FETCH_S):
                fresh = await self._fetch()
        except TimeoutError:
            self._note(ProviderTimeout(f"{self.what} did not come within {FETCH_S:g} s", again=True))
        except ProviderError as error:
            forget_frames(error)
            self._note(error)
        except ConfigError as error:  # a file is another than at the start
            self._note(KeyRejected(f"{self.what}: {error}"))
        except Exception as error:  # a file or a reply that nobody foresaw is a failed fetch
            log.error("%s: reading it failed", self.what, exc_info=error)
            self._note(ProviderUnavailable(f"{self.what} could not be read: {type(error).__name__}"))
        else:
            self._take(fresh, began_s)
        finally:
            self._task = None

    def _take(self, fresh: Fresh[T], began_s: float) -> None:
        life_s = min(fresh.life_s, LIFE_S_MAX)
        if not life_s > 0:
            self._note(
                ProviderUnavailable(
                    f"{self.what} had expired when it came; if its issuer sends no Date, check this "
                    f"machine's "
                    "clock"
                )
            )
            return
        ahead_s = min(life_s * AHEAD_SHARE, AHEAD_S_MAX) * (0.75 + 0.5 * self._rand())
        renew_s = life_s - ahead_s
        if fresh.renew_s is not None and fresh.renew_s > 0:
            renew_s = min(renew_s, fresh.renew_s * (1.0 + 0.1 * self._rand()))
        self.value = fresh.value
        self._number += 1
        self._began_s = began_s
        self._until_s = began_s + life_s - min(EDGE_S_MAX, life_s * EDGE_SHARE)
        self._renew_s = min(began_s + renew_s, self._until_s)
        if self._failures:
            log.info("%s: issued again", self.what)
        self._failures, self._failed, self._not_before_s = 0, None, 0.0
        self._replaced, self._dropped = self._dropped, False

    def _note(self, error: ProviderError) -> None:
        self._failures += 1
        self._failed = error
        pause_s = min(BACKOFF_S_MAX, BACKOFF_S * 2 ** min(self._failures - 1, 10)) * (0.5 + self._rand())
        now_s = self._clock()
        self._not_before_s = now_s + pause_s
        if self._tells.again(self.what):
            left_s = self._until_s - now_s
            more = f"; what is held is used for another {left_s:.0f} s" if left_s > 0 else ""
            log.warning("%s%s%s", error, f" ({error.words})" if error.words else "", more)

    def _failure(self, now_s: float) -> ProviderError:
        """A new error for each who waited. Nothing was sent to the provider."""
        failed = self._failed
        if failed is None:
            error: ProviderError = ProviderTimeout(f"{self.what} did not come in time", again=True)
        else:
            error = type(failed)(str(failed), again=failed.again)
            if failed.again and self._not_before_s > now_s:
                error.retry_after_s = self._not_before_s - now_s
        error.sent = False
        return error
