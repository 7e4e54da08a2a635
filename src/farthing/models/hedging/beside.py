"""A second call beside one whose answer is slow to begin, where `Hedging` says so."""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from typing import Any

from farthing.errors import FarthingError, ProviderError, ProviderRejected, forget_frames
from farthing.models.calling.caller import Caller
from farthing.models.calling.failed_cost import book_failed
from farthing.models.calling.request import CallRequest, CallResult, failure_of
from farthing.models.hedging.race import answered, run_both
from farthing.models.hedging.terms import Hedging
from farthing.models.lanes.pick import Lane
from farthing.models.pricing.afford import affordable
from farthing.models.pricing.book import book
from farthing.models.retry import Failed, stale
from farthing.types import HEDGE_LOST, Route, Target

log = logging.getLogger("farthing.call")

MUCH_NUSD = 10**18
"""More than any call costs."""


class CallsBeside:
    """See `Hedges`, of one caller."""

    def __init__(self, caller: Caller, hedging: Hedging) -> None:
        self._attempts = caller.attempts
        self._choice = caller.choice
        self._suits = caller.suits
        self._sizes = caller.context.sizes
        self._hedging = hedging

    async def answered(
        self,
        first: CallResult,
        call: CallRequest,
        route: Route,
        place: int,
        failed: list[Failed],
        *,
        others: bool,
    ) -> CallResult:
        attempts, hedging = self._attempts, self._hedging
        name, stream = first.target.name, call.prompt.stream
        terms = hedging.terms(call.request, call.receipt, route.tier) if call.otherwise == "failed" else None
        if terms is None:
            return await attempts.carried(first, call, route, others=others)
        after_s = hedging.after_s(terms, name, stream=stream)
        if after_s is None:
            result = await attempts.carried(first, call, route, others=others)
            hedging.took(name, (result.attempt.ttft_ms or 0.0) / 1000, stream=stream)
            return result
        begun = [first]
        tasks: list[asyncio.Task[CallResult]] = []

        def begin() -> Coroutine[Any, Any, CallResult]:
            return attempts.carried(first, call, route, others=others)

        def second() -> Coroutine[Any, Any, CallResult] | None:
            found = self._begun_beside(first, call, route, place, failed)
            if found is None:
                return None
            begun.append(found)
            return attempts.carried(found, call, route, others=False)

        try:
            await run_both(tasks, begin, second, after_s)
        except BaseException:
            for task in tasks:
                if answered(task):
                    self._drop(task.result(), call, "cancelled")
            self._take_back(begun, call)
            raise
        won = next(filter(answered, tasks), tasks[0])
        self._take_back(begun, call)
        self._sort_out(call, tasks, won, begun)
        if len(tasks) > 1 and not answered(tasks[1]):
            _note_beside(tasks[1], failed, begun[1])
        attempt = first.attempt
        if answered(won) and attempt.error in (None, HEDGE_LOST):
            waited_ms = attempt.total_ms if attempt.ttft_ms is None else attempt.ttft_ms
            hedging.took(name, (waited_ms or 0.0) / 1000, stream=stream)
        return won.result()

    def _take_back(self, begun: Sequence[CallResult], call: CallRequest) -> None:
        """Those that were begun and cancelled before their first step."""
        for one in begun:
            if one.attempt.total_ms is None:
                self._attempts.abandon(one, call)

    def _sort_out(
        self,
        call: CallRequest,
        tasks: Sequence["asyncio.Task[CallResult]"],
        won: "asyncio.Task[CallResult]",
        begun: Sequence[CallResult],
    ) -> None:
        """Drop the answer that came second, and say of a call that was ended that it lost."""
        for one, task in zip(begun, tasks, strict=True):
            if task is not won and answered(task):
                self._drop(task.result(), call, HEDGE_LOST)
            elif task.cancelled():
                one.attempt.error = HEDGE_LOST

    def _begun_beside(
        self, first: CallResult, call: CallRequest, route: Route, place: int, failed: list[Failed]
    ) -> CallResult | None:
        """The call beside `first`, as it is begun; None: there is none."""
        found = self._beside(call, route, place, first.lane, failed)
        if found is None:
            return None
        target, lane = found
        try:
            begun = self._attempts.begin(call, target, lane, route, again=True)
        except ProviderError as error:
            forget_frames(error)
            failed.append(failure_of(target, error, lane))
            return None
        except FarthingError as error:
            forget_frames(error)
            return None
        except Exception as error:  # noqa: BLE001  # the first call goes on
            _tell_of_fault(target, error)
            return None
        begun.attempt.hedge = True
        return begun

    def _beside(
        self, call: CallRequest, route: Route, place: int, lane: Lane, failed: Sequence[Failed]
    ) -> tuple[Target, Lane] | None:
        """Whom to ask beside `lane`, which is slow; None: nobody, or another call may not be made. Takes one
        retry from the budget of the target that is slow."""
        hold, target = call.hold, route.targets[place]
        if hold.left_calls == 0 or not lane.health.has_retry:
            return None
        among = lane.among
        tried = set() if among is None else self._choice.passed_over(call, target, among, failed)
        other = None if among is None else among.beside(lane, tried)
        found = None if other is None else (target, other)
        tiers = route.tiers or {}
        for number in range(place + 1, len(route.targets)):
            if tiers.get(route.targets[number].name) != tiers.get(target.name):
                continue  # a tier to fall back to is for failures
            if found is None:
                ready = self._choice.ready(call, route.targets, number, failed)
                found = None if ready is None else (route.targets[number], ready)
        if found is None or not self._may_be_asked(call, *found) or not lane.health.may_retry():
            return None
        return found

    def _may_be_asked(self, call: CallRequest, target: Target, lane: Lane) -> bool:
        """Whether one more call may be made of `lane`: it has room, is told all, and the contract can hold
        its worst case, uncut."""
        left_nusd, prompt = call.hold.left_nusd, call.prompt
        sealed = prompt.sent is not None and prompt.sent.sealed
        if not lane.has_room(prompt.input_tokens) or not self._suits.can_be_told(call, target):
            return False
        if sealed and not self._suits.is_told_all(call, target, lane.provider):
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
            book_failed(result, call.prompt, None, self._sizes)
        call.hold.release(result.held_nusd, attempt.cost_nusd)


def _note_beside(task: "asyncio.Task[CallResult]", failed: list[Failed], begun: CallResult) -> None:
    """Note why the call beside the first failed, whose caller hears of its own alone. One that another would
    be made for at once is as if it had not been made."""
    error = None if task.cancelled() else task.exception()
    if isinstance(error, ProviderError):
        forget_frames(error)
        renewed = isinstance(error, ProviderRejected) and error.renewed
        if not renewed and not stale(error, begun.attempt):
            failed.append(failure_of(begun.target, error, begun.lane))
    elif error is not None and not isinstance(error, FarthingError):
        _tell_of_fault(begun.target, error)


def _tell_of_fault(target: Target, error: BaseException) -> None:
    log.error("a call of %s beside another ended by a fault of ours", target.name, exc_info=error)
