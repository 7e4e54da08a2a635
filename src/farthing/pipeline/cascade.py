"""The cascade: the first tier answers, checks score the answer, and a more expensive tier is asked if one
doubts it.

An answer that may be escalated is collected in full and checked before any byte of it is sent. The whole
cascade is one request under one contract: each model call that a check makes is counted, reserved and
written to the receipt like any other call, as an attempt of the tier `check:NAME`. Checks are optional,
like the steps of the brain. A check that fails, is late or has no money left is skipped, and the receipt
names it; at worst an escalation is missed, never the answer.
"""

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from farthing.brain.compose import compose
from farthing.errors import (
    ContractExceeded,
    NoProviderLeft,
    Overloaded,
    ProviderRejected,
    ProviderUnavailable,
    StreamBroken,
    forget_frames,
)
from farthing.evaluation.checks.plain import PlainCheck
from farthing.evaluation.checks.schema import CannotTell
from farthing.evaluation.checks.threshold import Unchecked
from farthing.models import answers
from farthing.models.calling.caller import Caller
from farthing.models.calling.request import Besides, CallRequest, CallResult
from farthing.models.candidate import draft_of
from farthing.models.pricing.money import Money
from farthing.pipeline.optional import optional, tally
from farthing.protocols import AnswerCheck, Hold
from farthing.runtime.loop_batch import in_task, is_immediate
from farthing.runtime.seldom import Tally
from farthing.text.media import measure
from farthing.types import (
    CandidateAnswer,
    CheckResult,
    Json,
    Prompt,
    Receipt,
    Request,
    Route,
    Target,
    Traits,
    output_tokens_said,
    replace,
)

ANSWER_S = 0.05  # left of a deadline for the answer to go out, when the checks have to end
REFUSED_S = 600.0  # a target that refused logprobs is asked for them again after this
REFUSED_MAX = 1_000
DOUBT_CHARS_MAX = 200
BLOCKS_S = 0.05  # a check that computes for longer without waiting holds up every other request


class Cascade(Struct, frozen=True, kw_only=True):
    """How the first answers of one endpoint are checked."""

    first: str | None = None
    """The tier whose answers are scored when both tiers are compared for learning."""
    checks: tuple[AnswerCheck, ...]
    """In the order they are made; the first doubt decides."""
    measures: tuple[AnswerCheck, ...] = ()
    """Those of them that give a score."""
    within_s: float = 10.0
    """What they may take together."""
    alternatives: int | None = None
    """For each token, that its provider is asked for; None: no logprobs are asked for."""


class First(Struct, frozen=True):
    """The first answer of a request whose answer is checked before it goes out."""

    result: CallResult
    added: bool
    """It has logprobs that its client did not ask for."""
    doubtful: bool = True
    """False: it is the escalation's, as the first tier gave none, and goes out as it is."""


class Cascades:
    """The cascades of one configuration. Belongs to one event loop."""

    def __init__(
        self,
        cascades: Mapping[str, Cascade],
        *,
        target_of: Callable[[str], Target | None],
        estimate_tokens: Callable[[str, int], int],
        clock: Callable[[], float],
        strict: bool = False,
    ) -> None:
        """`cascades` maps endpoints to their cascade; an endpoint without one escalates by what is visible in
        the answer alone. `estimate_tokens` counts the tokens of a text or, given an empty text, of a
        number of characters. `strict`: an exception of a check fails the request."""
        self._cascades = cascades
        self._plain = Cascade(checks=(PlainCheck(),))
        self._target_of = target_of
        self._estimate_tokens = estimate_tokens
        self._clock = clock
        self._strict = strict
        self.told = tally()
        self._refused: dict[tuple[str, str], float] = {}
        """Tenants and targets that took a request of theirs without logprobs alone, and until when that is
        believed. What a target refused may be another field of the client's: that must not end the checks of
        other tenants. That one names logprobs as what it does not take is learnt by its provider."""

    def of(self, endpoint: str) -> Cascade:
        """The cascade of `endpoint`."""
        return self._cascades.get(endpoint, self._plain)

    def checks(self, route: Route, request: Request, receipt: Receipt) -> bool:
        """Whether the answer of `route` is checked before it is sent: because another tier may be asked, or
        because the request explores, to compare the tiers."""
        return route.escalation is not None or (
            receipt.purpose == "explore" and route.tier == self.of(request.endpoint.name).first
        )

    async def first(self, call: CallRequest, route: Route, caller: Caller) -> First:
        """The first tier's answer, or the escalation's if the first tier gives none.

        Raises:
            NoProviderLeft, ContractExceeded, Overloaded: neither tier answered.
        """
        cascade = self.of(call.request.endpoint.name)
        first: CallRequest = call if route.escalation is None else replace(call, otherwise="escalated")
        try:
            result, added = await self._first(cascade, first, route, caller)
        except NoProviderLeft as error:
            result = await self._instead(error, call, route.escalation, caller)
            return First(result, added=False, doubtful=False)
        return First(result, added)

    async def check(
        self, first: First, call: CallRequest, route: Route, caller: Caller, money: Money
    ) -> CallResult:
        """Check the first answer and return it, or the escalation's answer if a check doubts it. If `route`
        has no escalation (the request explores), the answer is only scored.

        Raises:
            NoProviderLeft, ContractExceeded, Overloaded: there is no answer.
        """
        result, added = first.result, first.added
        if not first.doubtful:
            return result
        receipt = call.receipt
        cascade = self.of(call.request.endpoint.name)
        checks = cascade.checks if route.escalation is not None else cascade.measures
        try:
            broken = await _gathered(result)
        finally:  # so that it is known should the client leave, now or later
            ended_s = self._clock()
            if result.stream is not None:
                result.ended_s = ended_s
            money.account(result, call.prompt, receipt)
            call.hold.release(result.held_nusd, result.attempt.cost_nusd)
        doubt = None if broken is None else broken.code
        if broken is None and (result.stream is None or result.stream.cut != "deadline_s"):
            one = _One(self, cascade, call, result, caller, money, spare=route.escalation is not None)
            doubt = await one.doubt(checks)
        if added:
            answers.shorten_logprobs(call.request, result)
        if doubt is not None and route.escalation is not None:
            receipt.doubt = doubt
            better = await self._better(result, call, route.escalation, caller, money)
            if better is not None:
                return better
        if broken is not None:  # nothing of it is out, so the client need not see a part of it
            receipt.usage = None
            raise NoProviderLeft([ProviderUnavailable(str(broken), said=broken.said, words=broken.words)])
        self._held_back(result, call, ended_s)
        return result

    async def _first(
        self, cascade: Cascade, call: CallRequest, route: Route, caller: Caller
    ) -> tuple[CallResult, bool]:
        """The first answer, and whether it contains logprobs that the client did not ask for."""
        needed = self._logprobs(cascade, call)
        if needed is None:
            return await caller.call(call, route), False
        tenant, now_s = call.request.tenant.name, self._clock()
        known = {one.name for one in route.targets if self._refused.get((tenant, one.name), 0.0) > now_s}
        besides = Besides(needed, known.copy())
        result = await caller.call(replace(call, besides=besides), route)
        target = result.target.name
        if target in besides.spared and target not in known:
            if len(self._refused) >= REFUSED_MAX:
                self._refused.clear()
            self._refused[tenant, target] = now_s + REFUSED_S
        return result, result.extended

    @staticmethod
    def _logprobs(cascade: Cascade, call: CallRequest) -> Json | None:
        """The fields that ask for the logprobs that the checks need. None: the client asked for them itself,
        or they cannot be asked for."""
        needed, body, left = cascade.alternatives, call.prompt.body, call.hold.left_calls
        if needed is None or "tools" in body:
            return None
        if left is not None and left < 2:
            return None  # a target that refuses it could not be asked again
        theirs = _alternatives_asked(body)
        if theirs is not None and theirs >= needed:
            return None
        return {"logprobs": True, "top_logprobs": needed} if needed else {"logprobs": True}

    async def _instead(
        self, error: NoProviderLeft, call: CallRequest, escalation: Route | None, caller: Caller
    ) -> CallResult:
        """The escalation's answer after the first tier gave none.

        Raises:
            NoProviderLeft: the escalation gave none either, or every target refused the request
                itself.
            ContractExceeded, Overloaded: the escalation may not be called.
        """
        if escalation is None or _is_refused(error):
            raise error
        receipt = call.receipt
        receipt.doubt = error.code
        receipt.route_reason = f"{escalation.reason} ({receipt.doubt})"
        try:
            return await caller.call(call, escalation)
        except NoProviderLeft as other:
            raise NoProviderLeft([*error.failures, *other.failures]) from other

    async def _better(
        self, result: CallResult, call: CallRequest, escalation: Route, caller: Caller, money: Money
    ) -> CallResult | None:
        """The escalation's answer. None: it gave none, or only a part of one; the doubtful answer is then
        better."""
        receipt = call.receipt
        try:
            better = await caller.call(replace(call, answered=True), escalation)
        except (ContractExceeded, NoProviderLeft, Overloaded) as error:
            receipt.skipped["escalate"] = type(error).__name__
            return None
        if better.stream is not None and better.stream.cut == "deadline_s" and not call.request.stream:
            money.account(better, call.prompt, receipt, goes_out=False)
            receipt.skipped["escalate"] = ContractExceeded.__name__
            return None
        result.attempt.error = f"low_confidence:{receipt.doubt}"
        receipt.route_reason = f"{escalation.reason} ({receipt.doubt})"
        return better

    def _held_back(self, result: CallResult, call: CallRequest, ended_s: float) -> None:
        """Record how long the check delayed the first piece of the answer, in `result.held_ms`."""
        now_s = self._clock()
        if result.stream is None or not call.request.stream:
            result.held_ms = (now_s - ended_s) * 1000
            return
        attempt = result.attempt
        began_ms = attempt.started_ms + (attempt.ttft_ms or 0.0)
        result.held_ms = (now_s - call.receipt.started_s) * 1000 - began_ms

    # -- what checks ask -------------------------------------------------------------------------

    def target(self, name: str) -> Target | None:
        """The target called `name`; None if no target can have that name."""
        return self._target_of(name)

    def question(self, call: CallRequest, body: Json) -> tuple[Request, Prompt]:
        """The request and prompt for a check's own `body`, under the terms of the request that is being
        answered. The endpoint's output cap applies only if the check repeats the client's messages."""
        asked = call.request
        same = body.get("messages") is asked.body.get("messages")
        terms = asked.endpoint.terms
        if not same and terms.output_tokens_max is not None:
            terms = replace(terms, output_tokens_max=None)
        found = None if same else measure(body)
        chars = asked.prompt_chars if found is None else found.chars
        media_tokens = asked.media_tokens if found is None else found.media_tokens
        cap = body.get("max_completion_tokens") or body.get("max_tokens")
        request: Request = replace(
            asked,
            body={**body, "model": "auto"},  # the target's own stands in its place, under the names it knows
            prompt_chars=chars,
            media_tokens=media_tokens,
            stream=False,
            include_usage=False,
            output_tokens_max=output_tokens_said(cap),
        )
        tokens = call.prompt.input_tokens if same else self._estimate_tokens("", chars) + media_tokens
        return request, compose(request, Traits(input_tokens=tokens, media_tokens=media_tokens), terms)

    def now_s(self) -> float:
        return self._clock()

    @property
    def strict(self) -> bool:
        return self._strict


class _One:
    """Runs the checks of one answer."""

    def __init__(
        self,
        cascades: Cascades,
        cascade: Cascade,
        call: CallRequest,
        result: CallResult,
        caller: Caller,
        money: Money,
        *,
        spare: bool,
    ) -> None:
        """`spare`: keep one call of the contract for the escalation."""
        self.cascades = cascades
        self.call = call
        self.result = result
        self.caller = caller
        self.money = money
        self.hold: Hold = Spared(call.hold) if spare and call.hold.left_calls is not None else call.hold
        left_s = call.hold.left_s
        within_s = cascade.within_s if left_s is None else min(cascade.within_s, left_s - ANSWER_S)
        self._until_s = cascades.now_s() + within_s

    async def doubt(self, checks: Sequence[AnswerCheck]) -> str | None:
        """Run `checks` in order until one doubts the answer. Returns the name of that check and its reason;
        None: no check doubts it. The lowest score is written to the receipt."""
        receipt = self.call.receipt
        draft = draft_of(self.call.request, self.result)
        for check in checks:
            found = await self._found(check, draft)
            if found is None:
                continue
            score = found.score
            if score is not None and (receipt.check_score is None or score < receipt.check_score):
                receipt.check_score, receipt.check_by = score, check.name
            if found.reason is not None:
                return f"{check.name}: {found.reason}"[:DOUBT_CHARS_MAX]
        return None

    async def _found(self, check: AnswerCheck, draft: CandidateAnswer) -> CheckResult | None:
        """The result of `check`. None: the check did not run to its end, which is no doubt; the receipt names
        it."""
        ask, name, receipt = _Asking(self, check.name), f"check:{check.name}", self.call.receipt
        if not is_immediate(check):
            await in_task()
        found = await optional(name, check.doubt(draft, ask), None, self, receipt, CheckResult)
        if name in receipt.skipped and ask.refused:
            receipt.skipped[name] = ask.refused  # what it ran into, rather than what it made of that
        return found

    # -- what a check is allowed (`optional.Patience`) -------------------------------------------------

    @property
    def blocks_s(self) -> float:
        return BLOCKS_S

    def time_left_s(self, name: str, stage_ms: Mapping[str, float]) -> float:
        """Seconds left. All checks of one answer share one time limit."""
        return self._until_s - self.cascades.now_s()

    def raises(self, name: str, error: Exception) -> bool:
        """True in a strict configuration, except for errors by which a check says that it cannot tell."""
        return self.cascades.strict and not isinstance(error, TimeoutError | Unchecked | CannotTell)

    @property
    def told(self) -> Tally:
        return self.cascades.told


class Spared:
    """A `protocols.Hold` that offers one call less, so that neither checks nor retries use up the call of the
    escalation."""

    def __init__(self, hold: Hold) -> None:
        self._hold = hold

    @property
    def left_s(self) -> float | None:
        return self._hold.left_s

    @property
    def left_nusd(self) -> int | None:
        return self._hold.left_nusd

    @property
    def left_calls(self) -> int | None:
        left = self._hold.left_calls
        return None if left is None else max(0, left - 1)

    def call(self, worst_case_nusd: int | None) -> None:
        """As the Protocol."""
        if self.left_calls == 0:
            raise ContractExceeded("the last call is the escalation's", limit="calls_max")
        self._hold.call(worst_case_nusd)

    def release(self, worst_case_nusd: int | None, cost_nusd: int | None) -> None:
        """As the Protocol."""
        self._hold.release(worst_case_nusd, cost_nusd)

    def settle(self, cost_nusd: int | None) -> None:
        """As the Protocol."""
        self._hold.settle(cost_nusd)


class _Asking:
    """Implements `protocols.Ask` for one check."""

    def __init__(self, one: _One, check: str) -> None:
        self._one = one
        self._tier = f"check:{check}"  # no configured tier has this name
        self.refused = ""
        """Why a call was not made or not answered, the first time."""

    async def __call__(self, body: Json, target: str | None) -> CandidateAnswer | None:
        """As the Protocol."""
        one = self._one
        to = one.result.target if target is None else one.cascades.target(target)
        if to is None:
            self._note("UnknownModel")
            return None
        request, prompt = one.cascades.question(one.call, body)
        call = CallRequest(
            request=request,
            prompt=prompt,
            hold=one.hold,
            receipt=one.call.receipt,
            keep_bytes_max=0,
            otherwise="skipped",
        )
        try:
            result = await one.caller.call(call, Route(tier=self._tier, targets=(to,), reason="check"))
        except (ContractExceeded, NoProviderLeft, Overloaded) as error:
            self._note(type(error).__name__)
            return None
        one.money.account(result, prompt, call.receipt, goes_out=False)
        one.hold.release(result.held_nusd, result.attempt.cost_nusd)
        return draft_of(request, result)

    def _note(self, why: str) -> None:
        self.refused = self.refused or why


async def _gathered(result: CallResult) -> StreamBroken | None:
    """Read a stream to its end, before any of it is sent. Returns the error if it broke, else None."""
    if result.stream is None:
        return None
    try:
        await result.stream.gather()
    except StreamBroken as error:
        result.health.failed(ProviderUnavailable(str(error)))
        result.attempt.error = error.code
        forget_frames(error)
        return error
    if result.stream.cut is None:
        result.health.succeeded()
    return None


def _is_refused(error: NoProviderLeft) -> bool:
    """Whether every target refused the request itself, which another tier would refuse too."""
    return all(isinstance(one, ProviderRejected) and not one.unasked for one in error.failures)


def _alternatives_asked(body: Json) -> int | None:
    """The client's own `top_logprobs`; None: it asked for no logprobs."""
    if body.get("logprobs") is not True:
        return None
    top = body.get("top_logprobs")
    return top if isinstance(top, int) else 0
