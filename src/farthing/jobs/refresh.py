"""Ask again what is doubted, so that trust comes back without a client having to wait for it.

Only entries that were of use before: one nobody asked for again waits for the next who does.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from farthing.brain.cache.semantic.store.entries import Doubted, request_of
from farthing.errors import StoreError, UnknownModel
from farthing.jobs.runner import JobRunner
from farthing.protocols import InternalRequest
from farthing.types import Endpoint, Receipt, Request, replace

log = logging.getLogger("farthing.errands")

LOOK_S = 30.0
LOOKED_AT = 500  # of the doubted, the most useful; those tried lately are among them
AT_A_TIME = 20
AGAIN_S = 3_600.0  # an entry whose fresh answer restored nothing is left alone for so long
TRIED_MAX = 10_000


class Doubts(Protocol):
    """Where doubted entries are."""

    async def doubted(self, count: int) -> Sequence[Doubted]:
        """The most useful of them first.

        Raises:
            StoreError: it cannot be told now.
        """


class Refresh:
    """Sends background jobs for doubted entries. One for a process."""

    def __init__(
        self,
        jobs: JobRunner,
        doubts: Callable[[], Doubts | None],
        *,
        endpoint: Callable[[str], Endpoint | None],
        clock: Callable[[], float],
    ) -> None:
        """Both are asked each time, since a reload changes them. No doubts: there is no semantic cache. No
        endpoint: it is gone."""
        self._jobs = jobs
        self._doubts = doubts
        self._endpoint = endpoint
        self._clock = clock
        self._tried: dict[str, float] = {}
        """Entry to the time of its last try, oldest first."""

    async def watch(self) -> None:
        """Look for doubted entries now and then, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.look()
            except StoreError as error:
                log.warning("doubted entries cannot be read: %s", error)

    async def look(self) -> int:
        """Send background jobs for what is doubted now; return how many.

        Raises:
            StoreError: it cannot be told.
        """
        sent = 0
        doubts = self._doubts()
        for doubted in [] if doubts is None else await doubts.doubted(LOOKED_AT):
            if sent >= AT_A_TIME:
                break
            endpoint = self._endpoint(doubted.recipe.endpoint)
            if doubted.hits == 0 or endpoint is None or endpoint.semantic is None or self._lately(doubted):
                continue
            if not self._jobs.submit(self._internal(doubted)):
                break
            sent += 1
        return sent

    def _lately(self, doubted: Doubted) -> bool:
        """Whether it was tried within `AGAIN_S`; if not, it is now."""
        now_s = self._clock()
        tried_s = self._tried.get(doubted.entry)
        if tried_s is not None and now_s - tried_s < AGAIN_S:
            return True
        self._tried.pop(doubted.entry, None)
        self._tried[doubted.entry] = now_s
        while len(self._tried) > TRIED_MAX:
            del self._tried[next(iter(self._tried))]
        return False

    def _internal(self, doubted: Doubted) -> InternalRequest:
        def request(request_id: str) -> Request:
            endpoint = self._endpoint(doubted.recipe.endpoint)
            if endpoint is None:
                raise UnknownModel(f"the endpoint `{doubted.recipe.endpoint}` is gone")
            return request_of(
                doubted.recipe,
                doubted.question,
                request_id=request_id,
                endpoint=replace(endpoint, cache_exact="refresh"),  # the exact cache may hold it still
                received_s=self._clock(),
            )

        return InternalRequest(
            purpose="refresh",
            about=doubted.entry,
            request=request,
            budget=self._jobs.daily,
            conclude=_said_nothing,
        )


def _said_nothing(text: str | None, receipt: Receipt) -> None:
    """The journey itself compares the fresh answer with the doubted one, as it does for a client's."""
