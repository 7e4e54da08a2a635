"""Two stand-ins for the provider call: one records what would be sent, the other replays a batch's result.

A question in a batch thus takes the same journey as any other, divided in two at its call. It is guarded,
routed and capped before it is sent, and accounted for, checked and stored when its answer arrives.
"""

from msgspec import Struct

from farthing.errors import NoProviderLeft, ProviderError
from farthing.models.calling.caller import Caller
from farthing.models.calling.request import CallRequest, CallResult
from farthing.models.pricing.afford import affordable
from farthing.models.pricing.book import book
from farthing.models.pricing.cost import in_batch
from farthing.protocols import Outcome
from farthing.types import Attempt, Prompt, Receipt, Route, Target, replace

OUTPUT_TOKENS_MIN = 64  # what would be capped below is not worth its place in a batch


class BatchDraft(Struct, frozen=True, kw_only=True):
    """A question that is to be sent in a batch: its target, and what would be sent."""

    target: Target
    """With the price of a batch."""
    prompt: Prompt
    left_nusd: int
    """The most that the terms of its endpoint let it cost."""

    def within(self, nusd: int) -> tuple[Prompt, int] | None:
        """The prompt, capped to cost at most `nusd` nano-dollars, and its worst-case cost. None: no cap
        achieves it."""
        prompt, worst_nusd = affordable(self.prompt, self.target, min(nusd, self.left_nusd))
        if worst_nusd is None or worst_nusd > min(nusd, self.left_nusd):
            return None
        cap = prompt.output_tokens_max
        if prompt.capped_by == "usd_max" and cap is not None and cap < OUTPUT_TOKENS_MIN:
            return None
        return prompt, worst_nusd


class DraftCaller(Caller):
    """Makes no call. If a batch can make the call, `draft` holds it."""

    def __init__(self, real: Caller) -> None:
        self._real = real
        self.draft: BatchDraft | None = None

    async def call(self, call: CallRequest, route: Route) -> CallResult:
        """Raises:
        NoProviderLeft: always.
        """
        target = route.targets[0]
        left_nusd = call.hold.left_nusd
        if (
            left_nusd is not None
            and route.escalation is None  # a doubtful answer would have to be asked again, singly
            and not call.prompt.stream
            and self._real.regions.allows_first(call.request.endpoint, target)
            and self._real.batch_api(target.provider) is not None
            and self._real.health(target).cooldown_s() <= 0
        ):
            priced = replace(target, price=in_batch(target.price))
            prompt = self._real.suits.extended(call, target) or call.prompt
            self.draft = BatchDraft(target=priced, prompt=prompt, left_nusd=left_nusd)
        raise NoProviderLeft([])


class LineCaller(Caller):
    """Returns the batch's result for one question, as if `target` had just been called."""

    def __init__(self, real: Caller, target: Target, outcome: Outcome, *, capped_by: str | None) -> None:
        """`capped_by` is the limit that capped the output when the question was sent."""
        self._real = real
        self._capped_by = capped_by
        self._target = target
        self._outcome = outcome
        self._told = False

    async def call(self, call: CallRequest, route: Route) -> CallResult:
        """Raises:
        NoProviderLeft: the batch had no answer, or it is asked for another one.
        """
        if self._told:
            raise NoProviderLeft([])
        receipt, outcome = call.receipt, self._outcome
        receipt.route_reason = f"{receipt.route_reason}, in a batch".removeprefix(", ")
        attempt = self.tell(receipt, route.tier)
        if outcome.reply is None:
            assert outcome.error is not None, "an outcome has a reply or an error"
            raise NoProviderLeft([outcome.error])
        result = CallResult(self._target, attempt, self._real.health(self._target), self._capped_by)
        result.reply = outcome.reply
        result.extended = self._real.suits.extended(call, self._target) is not None
        # of hours ago, which says nothing of what answers now
        attempt.model, attempt.fingerprint = outcome.reply.model, outcome.reply.fingerprint
        return result

    def tell(self, receipt: Receipt, tier: str) -> Attempt:
        """Write the batch's attempt to `receipt`, once. Its times do not include the wait for the batch."""
        if self._told:
            return receipt.attempts[-1]
        self._told = True
        outcome = self._outcome
        error: ProviderError | None = outcome.error
        attempt = Attempt(target=self._target.name, tier=tier, started_ms=0.0, status=outcome.status)
        attempt.error = None if error is None else error.code
        if outcome.usage is not None:
            book(attempt, self._target, outcome.usage)
        else:
            attempt.cost_nusd = None if outcome.lost or outcome.reply is not None else 0
        receipt.attempts.append(attempt)
        receipt.calls += 1
        return attempt
