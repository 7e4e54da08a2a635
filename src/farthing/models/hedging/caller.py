"""A caller that makes a second call beside one whose answer is slow to begin, where its `Hedging` says so."""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from typing import Any

from farthing.errors import FarthingError, ProviderError, forget_frames
from farthing.models.call import Caller, CallRequest, CallResult, failure_of
from farthing.models.hedging.race import answered, run_both
from farthing.models.hedging.terms import Hedging
from farthing.models.lanes.pick import Lane
from farthing.models.pricing.afford import affordable
from farthing.models.pricing.book import book
from farthing.models.retry import Failed
from farthing.types import HEDGE_LOST, Route, Target

log = logging.getLogger("farthing.call")

MUCH_NUSD = 10**18
"""More than any call costs."""


class HedgingCaller(Caller):
    """See `Caller`; `hedging` is set before the first call."""

    hedges = True
    hedging: Hedging

    async def _hedged(
        self, call: CallRequest, route: Route, place: int, lane: Lane, failed: list[Failed], *, others: bool
    ) -> CallResult:
        """As `_attempt`, and beside it another call if its answer is slow to begin. What fails beside the
        first is added to `failed`.

        Raises:
            ProviderError, FarthingError: as `_attempt` of the first.
        """
        hedging, target, stream = self.hedging, route.targets[place], call.prompt.stream
        first = self._attempt(call, target, lane, route, again=False, others=others)
        terms = hedging.terms(call.request, call.receipt, route.tier) if call.otherwise == "failed" else None
        if terms is None:
            return await first
        after_s = hedging.after_s(terms, target.name, stream=stream)
        if after_s is None:
            result = await first
            hedging.took(target.name, (result.attempt.ttft_ms or 0.0) / 1000, stream=stream)
            return result
        mine = len(call.receipt.attempts)
        tasks: list[asyncio.Task[CallResult]] = []
        beside: list[tuple[Target, Lane]] = []

        def second() -> Coroutine[Any, Any, CallResult] | None:
            found = self._beside(call, route, place, lane, failed)
            if found is None:
                return None
            beside.append(found)
            return self._as_hedge(call, *found, route)

        try:
            await run_both(tasks, first, second, after_s)
        except BaseException:
            for task in tasks:
                if answered(task):
                    self._drop(task.result(), call, "cancelled")
            raise
        won = next(filter(answered, tasks), tasks[0])
        self._sort_out(call, tasks, won, mine)
        if beside and not answered(tasks[1]):
            _note_beside(tasks[1], failed, *beside[0])
        if answered(won) and (attempt := call.receipt.attempts[mine]).error in (None, HEDGE_LOST):
            waited_ms = attempt.total_ms if attempt.ttft_ms is None else attempt.ttft_ms
            hedging.took(target.name, (waited_ms or 0.0) / 1000, stream=stream)
        return won.result()

    def _sort_out(
        self,
        call: CallRequest,
        tasks: Sequence["asyncio.Task[CallResult]"],
        won: "asyncio.Task[CallResult]",
        mine: int,
    ) -> None:
        """Drop the answer that came second, and say of a call that was ended that it lost. `mine` is the
        number of the first's attempt."""
        attempts = call.receipt.attempts
        for number, task in enumerate(tasks, mine):
            if task is not won and answered(task):
                self._drop(task.result(), call, HEDGE_LOST)
            elif task.cancelled() and len(attempts) > number:
                attempts[number].error = HEDGE_LOST

    async def _as_hedge(self, call: CallRequest, target: Target, lane: Lane, route: Route) -> CallResult:
        attempts = call.receipt.attempts
        number = len(attempts)
        try:
            return await self._attempt(call, target, lane, route, again=True, others=False)
        finally:
            if len(attempts) > number:
                attempts[number].hedge = True

    def _beside(
        self, call: CallRequest, route: Route, place: int, lane: Lane, failed: Sequence[Failed]
    ) -> tuple[Target, Lane] | None:
        """Whom to ask beside `lane`, which is slow; None: nobody, or another call may not be made. Takes one
        retry from the budget of the target that is slow."""
        hold, target = call.hold, route.targets[place]
        if hold.left_calls == 0 or not lane.health.has_retry:
            return None
        among = lane.among
        tried = set() if among is None else self._passed_over(call, target, among, failed)
        other = None if among is None else among.beside(lane, tried)
        found = None if other is None else (target, other)
        tiers = route.tiers or {}
        for number in range(place + 1, len(route.targets)):
            if tiers.get(route.targets[number].name) != tiers.get(target.name):
                continue  # a tier to fall back to is for failures
            if found is None and (ready := self._ready(call, route.targets, number, failed)) is not None:
                found = (route.targets[number], ready)
        if found is None or not self._may_be_asked(call, *found) or not lane.health.may_retry():
            return None
        return found

    def _may_be_asked(self, call: CallRequest, target: Target, lane: Lane) -> bool:
        """Whether one more call may be made of `lane`: it has room, is told all, and the contract can hold
        its worst case, uncut."""
        left_nusd, prompt = call.hold.left_nusd, call.prompt
        sealed = prompt.sent is not None and prompt.sent.sealed
        if not lane.has_room(prompt.input_tokens) or not self._can_be_told(call, target):
            return False
        if sealed and not self._is_told_all(call, target, lane.provider):
            return False
        if left_nusd is None:
            return True
        closer = None if self._sizes is None else self._sizes.bound
        capped, worst_case = affordable(prompt, target, left_nusd, closer)
        uncut, _ = affordable(prompt, target, MUCH_NUSD)
        same = capped.output_tokens_max == uncut.output_tokens_max
        return same and worst_case is not None and worst_case <= left_nusd

    def _drop(self, result: CallResult, call: CallRequest, why: str) -> None:
        """Take an answer that nobody gets: close it, and book what it cost."""
        attempt, stream, reply = result.attempt, result.stream, result.reply
        if stream is not None:
            stream.close()
            result.health.abandoned()
        attempt.error = why
        if reply is not None and reply.usage is not None:
            book(attempt, result.target, reply.usage)
        else:
            self._failed_cost(result, call.prompt, None)
        call.hold.release(result.held_nusd, attempt.cost_nusd)


def _note_beside(task: "asyncio.Task[CallResult]", failed: list[Failed], target: Target, lane: Lane) -> None:
    """Note why the call beside the first failed, whose caller hears of its own alone."""
    error = None if task.cancelled() else task.exception()
    if isinstance(error, ProviderError):
        forget_frames(error)
        failed.append(failure_of(target, error, lane))
    elif error is not None and not isinstance(error, FarthingError):
        log.error("a call of %s beside another ended by a fault of ours", target.name, exc_info=error)
