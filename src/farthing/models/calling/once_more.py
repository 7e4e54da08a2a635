"""Where no target is left: those that the catalogue doubts, those in a cooldown, and those that have failed,
again."""

import asyncio
from collections.abc import Sequence

from farthing.errors import (
    ContractExceeded,
    NoProviderLeft,
    ProviderError,
    ProviderRejected,
    forget_frames,
)
from farthing.models.calling.attempts import Attempts
from farthing.models.calling.choice import Choice
from farthing.models.calling.context import CallContext
from farthing.models.calling.request import CallRequest, CallResult, failure_of
from farthing.models.health.health import Health
from farthing.models.lanes.pick import Lane
from farthing.models.retry import Failed, Try, next_try, stale
from farthing.runtime.loop_batch import in_task
from farthing.types import Attempt, Route, Target


class OnceMore:
    """Calls what was not called, or failed, for the requests of one configuration."""

    def __init__(self, context: CallContext, choice: Choice, attempts: Attempts) -> None:
        self._choice = choice
        self._attempts = attempts
        self._config = context.config
        self._clock = context.clock
        self._telling = context.telling

    async def call(
        self,
        call: CallRequest,
        route: Route,
        failed: list[Failed],
        refused: dict[str, ContractExceeded],
        attempts_max: int,
        doubted: Sequence[Target],
    ) -> CallResult:
        """No target is left: call those that the catalogue says cannot take the request (`doubted`), those in
        a cooldown, and again those that may answer after a pause. `refused` are the targets that are too
        expensive.

        Raises:
            NoProviderLeft: none answered.
            ContractExceeded, Overloaded: the next call may not be made.
        """
        hold, attempts = call.hold, call.receipt.attempts
        while len(attempts) < attempts_max and call.otherwise == "failed":
            ways = {
                lane.health: (one, lane)
                for one in (*route.targets, *doubted)
                if one.name not in refused
                for lane in self._choice.left(call, one, failed)
            }
            targets = [(one, health) for health, (one, _) in ways.items()]
            found = next_try(targets, failed, self._config.retry_wait_s_max, hold.left_s)
            if found is None or hold.left_calls == 0 or (found.again and not found.health.may_retry()):
                break
            if found.wait_s > 0:
                await asyncio.sleep(found.wait_s)
            if not found.health.limits.free and self._config.adaptive:
                await self._turn(call, found.health, found.wait_s)
            before = len(failed)
            result = await self._tried(
                call, route, found, ways[found.health][1], failed, refused, attempts_max
            )
            if result is not None:
                return result
            if len(failed) > before:
                attempts_max += self._choice.spared(call, found.target, failed)
        errors = _told_last(failed, route)
        if not errors and refused:
            raise next(reversed(refused.values()))
        if not errors:
            errors = [self._choice.health(target).cooldown_error(target.name) for target in route.targets]
        goes_on = call.otherwise != "failed" or call.answered
        self._telling.of_end(route, failed, errors, goes_on=goes_on)
        raise NoProviderLeft(errors, tried_again=len(failed) > 1 and len(attempts) >= attempts_max)

    async def _tried(
        self,
        call: CallRequest,
        route: Route,
        found: Try,
        lane: Lane,
        failed: list[Failed],
        refused: dict[str, ContractExceeded],
        attempts_max: int,
    ) -> CallResult | None:
        """The answer of one `found` by `next_try`, which is asked again at once where that may help; None: it
        gave none, and `failed` or `refused` says why.

        Raises:
            ContractExceeded, Overloaded: the next call may not be made.
        """
        target, again, repeated = found.target, found.again, False
        while True:
            try:
                begun = self._attempts.begin(call, target, lane, route, again=again)
                result = await self._attempts.carried(begun, call, route, others=False)
            except ProviderError as error:
                forget_frames(error)
                failed.append(failure_of(target, error, lane))
                if error.unasked:
                    call.receipt.skipped[target.name] = error.code
                    return None
                attempts = call.receipt.attempts
                if len(attempts) >= attempts_max or not at_once(error, last(attempts), lane.health, repeated):
                    return None
                again = repeated = True
            except ContractExceeded as error:
                if error.limit != "usd_max" and (not failed or error.limit == "deadline_s"):
                    raise
                forget_frames(error)
                refused[target.name] = error
                return None
            else:
                if target.name != route.targets[0].name:
                    self._telling.of_fallback(route.targets[0], target, failed, refused)
                return result

    async def _turn(self, call: CallRequest, health: Health, waited_s: float) -> None:
        """Wait until a target that is full has room, where there is no other; the receipt says how long."""
        within_s, left_s = self._config.retry_wait_s_max - waited_s, call.hold.left_s
        if left_s is not None:
            within_s = min(within_s, left_s / 2)
        if within_s > 0:
            began_s = self._clock()
            await in_task()
            try:
                await health.limits.turn(call.prompt.input_tokens, within_s)
            finally:
                call.receipt.queue_ms += (self._clock() - began_s) * 1000


def at_once(error: ProviderError, attempt: Attempt, health: Health, again: bool) -> bool:
    """Whether the same call may well succeed now, and may be made: it did not arrive, which counts once, or
    it is another one now. The latter happens seldom, to all requests at once, and takes nothing from the
    retry budget."""
    if health.cooldown_s() > 0:
        return False
    if isinstance(error, ProviderRejected) and error.renewed:
        return True
    return not again and stale(error, attempt) and health.may_retry()


def last(attempts: Sequence[Attempt]) -> Attempt:
    """The newest that is not beside another."""
    return next(one for one in reversed(attempts) if not one.hedge)


def _told_last(failed: Sequence[Failed], route: Route) -> list[ProviderError]:
    """The errors of those that failed, last those of the targets of `route`: that one beside it refuses what
    it was doubted to take is not what the client has to know."""
    names = {target.name for target in route.targets}
    return [one.error for one in sorted(failed, key=lambda one: one.target.name in names)]
