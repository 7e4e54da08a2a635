"""One call of one target, from before it is counted until it has an answer or has failed."""

import asyncio

from farthing.dialects.passing.operations import PASSING
from farthing.errors import (
    DeadlineExceeded,
    KeyRejected,
    ProviderBusy,
    ProviderError,
    ProviderRejected,
)
from farthing.models.calling.context import CallContext
from farthing.models.calling.failed_cost import book_failed
from farthing.models.calling.request import Besides, CallRequest, CallResult
from farthing.models.calling.sending import Sending
from farthing.models.calling.suits import Suits
from farthing.models.health.health import Health
from farthing.models.lanes.pick import Lane
from farthing.models.pricing.afford import affordable
from farthing.models.pricing.cost import flat_nusd
from farthing.protocols import ALL_SAID
from farthing.runtime.redact import Redactor
from farthing.types import Attempt, Prompt, Receipt, Request, Route, Target, replace

REFUSALS = (400, 422)
"""What providers answer to a field that they do not take."""


class Attempts:
    """Makes the calls of one configuration, each to its end."""

    def __init__(self, context: CallContext, suits: Suits, sending: Sending) -> None:
        self._context = context
        self._suits = suits
        self._sending = sending
        self._ledger = context.ledger
        self._config = context.config
        self._clock = context.clock
        self._telling = context.telling
        self._sizes = context.sizes
        self.regions = context.regions

    def begin(
        self, call: CallRequest, target: Target, lane: Lane, route: Route, *, again: bool
    ) -> CallResult:
        """Count a call that is about to be made, before anything is waited for; exactly one of `carried` and
        `abandon` must follow.

        Raises:
            ProviderError: its provider cannot be told the request.
            ContractExceeded, Overloaded: it may not be made.
        """
        health, extended = lane.health, None
        if call.besides is not None:
            extended = self._suits.extended(call, target, lane.provider)
        prompt, worst_case, left_out = self._made_ready(call, target, lane, extended or call.prompt)
        call.hold.call(worst_case)
        if call.receipt.skipped:
            call.receipt.skipped.pop(target.name, None)  # it was, when its turn came
        try:
            self._ledger.intend(call.receipt, target.name)
        except BaseException:  # one beside another does not end the request
            call.hold.release(worst_case, 0)
            raise
        began_s = self._clock()
        if not again:
            health.called()
        probe = health.begin()
        result = _begun(target, lane, prompt, route, call.receipt, began_s)
        result.attempt.left_out = left_out
        result.held_nusd = worst_case
        result.extended = extended is not None
        result.asked, result.began_s, result.probe = prompt, began_s, probe
        return result

    def abandon(self, result: CallResult, call: CallRequest) -> None:
        """Take back a call that was begun, of which nothing was sent."""
        attempt = result.attempt
        attempt.error, attempt.cost_nusd, attempt.total_ms = "cancelled", 0, 0.0
        result.health.abandoned(result.probe)
        result.health.limits.leave()
        call.hold.release(result.held_nusd, 0)

    async def carried(
        self, result: CallResult, call: CallRequest, route: Route, *, others: bool
    ) -> CallResult:
        """`result`, which was begun, with its answer, or the beginning of its stream. `others`: another
        target could be asked instead.

        Raises:
            ProviderError: it did not answer.
            DeadlineExceeded: nor would another in time.
        """
        health, attempt, probe, prompt = result.health, result.attempt, result.probe, result.asked
        try:
            await self._sending.sent(result, call, prompt, others)
        except ProviderError as error:
            self._note_failure(error, call, result)
            raise
        except BaseException as error:  # the client left, or a bug: nothing was learnt about the target
            health.abandoned(probe)
            attempt.error = "cancelled" if isinstance(error, asyncio.CancelledError) else type(error).__name__
            book_failed(result, prompt, None, self._sizes)
            call.hold.release(result.held_nusd, attempt.cost_nusd)
            if result.prompt is not None:
                result.prompt.failed(attempt.cost_nusd)
            raise
        finally:
            attempt.total_ms = (self._clock() - result.began_s) * 1000
            if result.stream is None or result.stream.finished:
                health.limits.leave()
            else:
                result.stream.left = health.limits.leave
        if attempt.tier != route.tier:
            call.receipt.route_reason = f"{route.reason}; no target of {route.tier} answered"
        if result.stream is not None and call.request.stream:
            health.answering(probe)
        else:
            health.succeeded(probe)
        return result

    def _made_ready(
        self, call: CallRequest, target: Target, lane: Lane, asked: Prompt
    ) -> tuple[Prompt, int | None, str]:
        """The prompt `asked` as it goes to `target`, the most that its answer may cost in nano-dollars (None:
        nothing limits it), and the names of what its provider is not told.

        Raises:
            ProviderError: it may not go there, or a field cannot be sent and may not be left out.
            ContractExceeded: it costs too much there.
        """
        provider = lane.provider
        self.regions.check(call.request.endpoint, target, lane.place)
        least = provider.capabilities.output_tokens_min
        prompt = _with_at_least(asked, least) if least else asked
        left_nusd = call.hold.left_nusd
        worst_case: int | None = None
        if left_nusd is not None and call.request.operation in PASSING:
            worst_case = flat_nusd(target.price)
        elif left_nusd is not None:
            sizes = self._sizes
            closer = None if sizes is None else sizes.bound
            prompt, worst_case = affordable(prompt, target, left_nusd, closer)
        preparer = self._context.preparer
        if preparer is not None and call.otherwise != "skipped":
            prompt = preparer.prepared(call.request, prompt, target, provider.capabilities)
        unsaid = self._suits.unsaid(prompt, target, call.request.operation, provider)
        left_out = "" if unsaid is ALL_SAID else self._suits.left_out(target, unsaid)
        return prompt, worst_case, left_out

    def _note_failure(self, error: ProviderError, call: CallRequest, result: CallResult) -> None:
        """Record a failed attempt, release the money held for it, and update the health of its target.

        Raises:
            DeadlineExceeded: the endpoint's deadline passed, which says nothing about the target.
        """
        attempt, target, health, hold = result.attempt, result.target, result.health, call.hold
        prompt, began_s, probe = result.asked, result.began_s, result.probe
        error.target = target.name
        provider = result.lane.provider
        _unsay(error, attempt, provider.redact)
        if isinstance(error, ProviderRejected):
            error.renewed = self._renews(error, call, result, prompt) or _spares(error, result, call.besides)
        result.lane.failed(error, self._clock())
        attempt.error = error.code
        if attempt.status is None:  # else it failed after its head had come
            attempt.status = error.upstream_status
        book_failed(result, prompt, error, self._sizes)
        if result.prompt is not None:
            result.prompt.failed(attempt.cost_nusd)
        hold.release(result.held_nusd, attempt.cost_nusd)
        left_s = hold.left_s
        if left_s is not None and left_s <= 0:
            health.abandoned(probe)  # how patient an endpoint is says nothing about the target's health
            self._note_silence(call, health, began_s)
            given_s = call.request.endpoint.terms.deadline_s
            given = "" if given_s is None else f" = {given_s:g}"
            raise DeadlineExceeded(
                f"the endpoint's deadline_s{given} passed before the answer began"
            ) from error
        crowded = False
        busy = error.upstream_status == 429 and isinstance(error, ProviderBusy) and error.again
        if busy and self._config.adaptive:
            crowded = health.limits.refused(result.together, began_s)
        health.failed(error, probe, _number_of(call.request), crowded=crowded)
        self._telling.of_key(target, error, result.lane)

    def _renews(self, error: ProviderRejected, call: CallRequest, result: CallResult, prompt: Prompt) -> bool:
        """Whether the target would be asked otherwise after its refusal. A fault in its provider's code is
        none."""
        provider = result.lane.provider
        try:
            if isinstance(error, KeyRejected):
                held, number = provider.credentials, result.credentials
                if held is None or number is None:
                    return False
                return held.refused(number, lacks_right=error.lacks_right)
            preparer = self._context.preparer
            if preparer is not None and preparer.refused(call.request, prompt, result.target, error):
                return True
            return provider.learn(prompt, result.target, error)
        except Exception as fault:  # noqa: BLE001  # as of any code of a provider: the attempt has failed anyway
            self._telling.of_fault(result.target, fault)
            return False

    def _note_silence(self, call: CallRequest, health: Health, began_s: float) -> None:
        """The deadline passed before the answer began. If the target had most of that time, it counts as
        slow."""
        now_s = self._clock()
        deadline_s = call.request.endpoint.terms.deadline_s
        if deadline_s is not None and now_s - began_s >= deadline_s / 2:
            health.speed.silent(now_s - began_s, now_s)


def _unsay(error: ProviderError, attempt: Attempt, redact: Redactor) -> None:
    """Remove secrets from everything that a failed attempt recorded."""
    error.args = (redact.text(str(error)),)
    lines, upstream_id = error.returned.decode("latin-1"), attempt.upstream_id
    if redact.holds(lines) or redact.holds(upstream_id):  # a short part in ids and counts is chance
        error.returned = redact.text(lines).encode("latin-1")
        attempt.upstream_id = redact.text(upstream_id)


def _spares(error: ProviderRejected, result: CallResult, besides: Besides | None) -> bool:
    """Whether it may be what was asked for beside the client's request that was refused: the target is asked
    without from now on."""
    if besides is None or not result.extended or error.upstream_status not in REFUSALS:
        return False
    besides.spared.add(result.target.name)
    return True


def _begun(
    target: Target, lane: Lane, prompt: Prompt, route: Route, receipt: Receipt, began_s: float
) -> CallResult:
    """The call that is about to be made, as the receipt and the limits of its target know it."""
    tier = route.tiers.get(target.name, route.tier) if route.tiers else route.tier
    attempt = Attempt(target=target.name, tier=tier, started_ms=(began_s - receipt.started_s) * 1000)
    attempt.lane = lane.label
    receipt.attempts.append(attempt)
    receipt.calls += 1
    result = CallResult(target, attempt, lane.health, prompt.capped_by)
    result.lane = lane
    limits = lane.health.limits
    result.together = limits.begin(prompt.input_tokens)
    result.begun = limits.begun
    return result


def _with_at_least(prompt: Prompt, tokens: int) -> Prompt:
    """With a limit of output that its provider takes, where the client's own is lower: agents ask for one
    token to see whether a model is there. A limit that was set here stays."""
    said = prompt.output_tokens_max
    if said is None or said >= tokens or prompt.capped_by is not None:
        return prompt
    raised: Prompt = replace(prompt, output_tokens_max=tokens)
    return raised


def _number_of(request: Request) -> int:
    """A number, never 0, that is the same for the same question of the same tenant."""
    return hash((request.tenant.name, request.model, request.text, request.prompt_chars)) or 1
