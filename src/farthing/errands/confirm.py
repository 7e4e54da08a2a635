"""Ask a cheap model before a stored answer is given, where the verifier cannot tell. On a request's path."""

import asyncio
import logging
from collections.abc import Callable, Mapping

from farthing.brain.cache.semantic import said
from farthing.coded import verdict
from farthing.errands.judge import asking, confirmation
from farthing.errands.run import Errand, Errands
from farthing.types import Endpoint, Proposal, Receipt, Request

log = logging.getLogger("farthing.errands")

CONFIRM_S = 2.0  # beyond it a fresh answer would have begun as well
AT_ONCE_MAX = 16  # more would make a slow model the bottleneck of everybody


class Confirm:
    """See `protocols.Confirmer`. Those of one configuration; `targets` has the endpoints that want it."""

    def __init__(
        self,
        errands: Errands,
        *,
        targets: Mapping[str, str],
        endpoint: Callable[[str], Endpoint | None],
        clock: Callable[[], float],
        confirm_s: float = CONFIRM_S,
    ) -> None:
        self._errands = errands
        self._targets = targets
        self._endpoint = endpoint
        self._clock = clock
        self._confirm_s = confirm_s
        self._running: set[asyncio.Task[None]] = set()

    async def confirm(self, request: Request, proposal: Proposal) -> bool | None:
        """As the Protocol. What is not said in time is said to nobody, and still paid for: its receipt is
        written when it comes."""
        target = self._targets.get(request.endpoint.name)
        stored = said.text_of(proposal.hit)
        if target is None or stored is None or len(self._running) >= AT_ONCE_MAX:
            return None
        call = confirmation(request.text, proposal.question, stored)
        answers: list[bool | None] = []

        def conclude(reply: str | None, receipt: Receipt) -> None:
            receipt.cache_entry = proposal.entry
            answers.append(verdict(call, reply))

        ask = asking(
            call,
            tenant=request.tenant,
            name=request.endpoint.name,
            endpoint=self._endpoint,
            target=target,
            clock=self._clock,
            within_s=self._confirm_s,
        )
        errand = Errand(
            purpose="judge", about=request.id, request=ask, purse=self._errands.daily, conclude=conclude
        )
        task = self._errands.begin(errand)
        self._running.add(task)
        task.add_done_callback(self._ended)
        await asyncio.wait((task,), timeout=self._confirm_s)
        return answers[0] if answers else None

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("a confirmation failed by a fault of ours", exc_info=error)
