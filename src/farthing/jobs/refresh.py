"""Ask doubted questions again, so that trust is restored without a client waiting for it.

Only entries that were useful before: an entry that nobody asked for again waits for the next client.
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
LOOKED_AT = 500  # of the doubted entries, the most useful; including those tried recently
AT_A_TIME = 20
AGAIN_S = 3_600.0  # an entry that a fresh answer did not restore is left alone this long
TRIED_MAX = 10_000


class Doubts(Protocol):
    """The store of doubted entries."""

    async def doubted(self, count: int) -> Sequence[Doubted]:
        """The doubted entries, most useful first.

        Raises:
            StoreError: they cannot be read now.
        """


class Refresh:
    """Submits background jobs for doubted entries. One per process."""

    def __init__(
        self,
        jobs: JobRunner,
        doubts: Callable[[], Doubts | None],
        *,
        endpoint: Callable[[str], Endpoint | None],
        clock: Callable[[], float],
    ) -> None:
        """Both functions are called each time, since a reload changes their result. None from `doubts`: there
        is no semantic cache. None from `endpoint`: it is gone."""
        self._jobs = jobs
        self._doubts = doubts
        self._endpoint = endpoint
        self._clock = clock
        self._tried: dict[str, float] = {}
        """Entry to the time of its last try, oldest first."""

    async def watch(self) -> None:
        """Look for doubted entries periodically, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.look()
            except StoreError as error:
                log.warning("doubted entries cannot be read: %s", error)

    async def look(self) -> int:
        """Submit background jobs for entries doubted now; return how many.

        Raises:
            StoreError: the entries cannot be read.
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
        """Whether it was tried within `AGAIN_S`; if not, it counts as tried now."""
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
                endpoint=replace(endpoint, cache_exact="refresh"),  # the exact cache may still have it
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
    """Nothing to do: the pipeline itself compares the fresh answer with the doubted one, as for a client."""
