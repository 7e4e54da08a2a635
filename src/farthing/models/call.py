"""Calls the targets of a route in order until one starts to answer.

A failure before the answer begins stays invisible to the client: the next target is tried. When none is
left, the same targets are tried again, after a pause and within their retry budgets (see `retry`). Only
then does the client receive an error, with the reason for each attempt. Each call is counted against the
contract and announced to the ledger before any byte of it is sent.

The time a target may take depends on whether another target remains. If so, it is given up early enough
for the other to meet the endpoint's deadline; if not, giving it up would help nobody.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Literal

from msgspec import Struct

from farthing.config import CallConfig, ProviderConfig
from farthing.dialects.chat.embedded import NotVectors, entries_of, in_parts, one_answer
from farthing.dialects.chat.fields import CHANGES_THE_ANSWER
from farthing.dialects.chat.requests.lowering import CHANGES
from farthing.dialects.chat.usage import as_stated, begun
from farthing.dialects.passing.operations import PASSING, passing_of
from farthing.errors import (
    CannotSay,
    ContractExceeded,
    DeadlineExceeded,
    FarthingError,
    InvalidRequest,
    KeyRejected,
    NoProviderLeft,
    ProviderError,
    ProviderRejected,
    ProviderUnavailable,
    StreamBroken,
    forget_frames,
    named,
)
from farthing.models.health import Health
from farthing.models.pricing.afford import affordable
from farthing.models.pricing.book import book
from farthing.models.pricing.cost import flat_nusd
from farthing.models.pricing.expected import estimated_pass, expected_tokens
from farthing.models.retry import Failed, next_try, stale
from farthing.models.speed import Lengths
from farthing.models.stream import SignsOfLife, Stream, Within
from farthing.protocols import (
    ALL_SAID,
    BatchApi,
    Exchange,
    Hold,
    Ledger,
    PromptCaches,
    PromptPreparer,
    Provider,
    Reply,
    SentPrompt,
    TokenSizes,
    Transport,
    Unsaid,
)
from farthing.runtime.redact import Redactor
from farthing.runtime.seldom import Seldom, Tally
from farthing.types import (
    Attempt,
    Operation,
    Prompt,
    Receipt,
    Request,
    Route,
    Target,
    Usage,
    choices_said,
    replace,
)

log = logging.getLogger("farthing.call")

CHARS_PER_TOKEN = 4
FIRST_BYTE_S = 60.0  # until an answer begins, and until a whole one is there, where another target waits
WHOLE_S = 300.0
ALONE_S = 600.0  # where none does: what the official SDKs wait
HEALTHS_MAX = 2_000  # clients may name models nobody configured; what is known of those is bounded
KEY_TOLD_EVERY_S = 600.0  # between two warnings that a provider refuses our key
FALLBACK_TOLD_EVERY_S = 10.0
ESSENTIAL = CHANGES_THE_ANSWER | CHANGES
"""Fields that a client cannot do without noticing, by either dialect's names."""
ERROR_BODY_BYTES_MAX = 65_536
TYPE_BYTES_MAX = 512
ERROR_BODY_S = 5.0  # an error is short; one that does not come costs its words, not the attempt's time


class CallResult:
    """The response of a target: a complete reply, or a stream whose answer has begun."""

    __slots__ = (
        "attempt",
        "capped_by",
        "ended_s",
        "health",
        "held_ms",
        "held_nusd",
        "prompt",
        "reply",
        "returned",
        "spent",
        "stream",
        "target",
    )

    def __init__(
        self, target: Target, attempt: Attempt, health: Health, capped_by: str | None = None
    ) -> None:
        self.target = target
        self.attempt = attempt
        self.health = health
        self.capped_by = capped_by
        """The limit of the endpoint that set its output cap; None when none did."""
        self.reply: Reply | None = None
        self.stream: Stream | None = None
        self.ended_s: float | None = None
        """Monotonic time of its end, where it was held back after that; None: it goes on as it comes."""
        self.held_nusd: int | None = None
        """What of the contract's money is held for it; None: nothing is."""
        self.returned = b""
        """Header lines of the provider's reply that the client may see."""
        self.spent: Usage | None = None
        """What the parts used that were answered of one call for embeddings that took several."""
        self.held_ms = 0.0
        """How long its first piece was held back before it could go out."""
        self.prompt: SentPrompt | None = None
        """Its prompt as what measures prompt caches knows it; None: it is not measured."""


class CallRequest(Struct, frozen=True, kw_only=True):
    """One call to make: what to send, under which terms, and the receipt to write to."""

    request: Request
    prompt: Prompt
    hold: Hold
    receipt: Receipt
    keep_bytes_max: int
    """Largest stream that is kept for the cache; 0 keeps none."""
    otherwise: Literal["failed", "escalated", "skipped"] = "failed"
    """What the request is where no target answers. Where it goes on, none is waited for or asked again; one
    that is escalated leaves time for that."""
    signs: SignsOfLife | None = None
    """Who hears of a target that lives and takes long to begin, where no other waits. None: nobody."""


class Caller:
    """Calls the providers of one configuration and tracks the health of their targets."""

    times = False
    """Whether anything is learnt of the time that answers take."""
    prompt_caches: PromptCaches | None = None
    """What is known of providers' prompt caches; outlives a configuration. None: they are not measured."""
    preparer: PromptPreparer | None = None
    """What helps providers' prompt caches; None: prompts go up as they are."""

    def __init__(
        self,
        *,
        providers: Mapping[str, Provider],
        limits: Mapping[str, ProviderConfig],
        transport: Transport,
        ledger: Ledger,
        config: CallConfig,
        clock: Callable[[], float],
        health: dict[str, Health],
        lengths: Lengths | None = None,
        sizes: TokenSizes | None = None,
    ) -> None:
        """`health`, `lengths` and `sizes` outlive a configuration. Without `lengths`, response times are not
        learned; without `sizes`, a prompt is taken to have the same number of tokens for every model."""
        self._providers = providers
        self._limits = limits
        self._transport = transport
        self._ledger = ledger
        self._config = config
        self._clock = clock
        self._health = health
        self._lengths = lengths
        self._sizes = sizes
        self._tells = Seldom(KEY_TOLD_EVERY_S, clock)
        """When we last warned that a provider refuses our key."""
        self._fallbacks = Tally(FALLBACK_TOLD_EVERY_S, clock)
        self.times = lengths is not None
        for known in health.values():
            known.reconfigure(config)

    def health(self, target: Target) -> Health:
        found = self._health.get(target.name)
        if found is None:
            if len(self._health) >= HEALTHS_MAX:
                self._health.popitem()  # the newest: those that are configured were there before it
            turned = partial(_tell_of_breaker, target.name)
            found = self._health[target.name] = Health(self._config, self._clock, turned)
        return found

    def batch_api(self, provider: str) -> BatchApi | None:
        """The batch interface of a provider. None: it has none, or the configuration does not use it."""
        found = self._providers.get(provider)
        return None if found is None else found.batch_api(self._transport, self._limits[provider])

    def gives_logprobs(self, target: Target) -> bool:
        """Whether the interface of the target's provider offers log-probabilities."""
        return self._providers[target.provider].capabilities.logprobs

    @property
    def has_batch(self) -> bool:
        """Whether the configuration uses the batch interface of any provider."""
        return any(provider.capabilities.batch for provider in self._providers.values())

    async def call(self, call: CallRequest, route: Route) -> CallResult:
        """Call the targets of `route` in order; return the response of the first that answers.

        Raises:
            NoProviderLeft: none answered.
            ContractExceeded, Overloaded: the next call may not be made.
        """
        sent = call.prompt.sent
        if sent is not None and sent.sealed and len(route.targets) > 1:
            route = replace(route, targets=self._makers_first(call, route.targets))
        attempts, targets = call.receipt.attempts, route.targets
        attempts_max = len(attempts) + self._config.attempts_max
        failed: list[Failed] = []
        refused: dict[str, ContractExceeded] = {}
        for place, target in enumerate(targets):
            if len(attempts) >= attempts_max:
                break
            health = self.health(target)
            if health.cooldown_s() > 0:
                continue
            again = False
            while True:
                try:
                    others = call.otherwise == "escalated" or self._others(call, targets, place)
                    result = await self._attempt(call, target, health, route.tier, again=again, others=others)
                    if place:
                        self._tell_of_fallback(targets[0], target, failed, refused)
                    return result
                except ProviderError as error:
                    forget_frames(error)
                    failed.append(Failed(target, error))
                    if error.unasked:
                        call.receipt.skipped[target.name] = error.code
                        break
                    once_more = not again and stale(error, attempts[-1]) and len(attempts) < attempts_max
                    if not once_more or health.cooldown_s() > 0 or not health.may_retry():
                        break
                    again = True
                except ContractExceeded as error:
                    if error.limit != "usd_max" and (not failed or error.limit == "deadline_s"):
                        raise  # else what failed before is what the client has to know
                    forget_frames(error)
                    refused[target.name] = error  # of money: another target may be cheaper
                    break
        return await self._once_more(call, route, failed, refused, attempts_max)

    def _others(self, call: CallRequest, targets: Sequence[Target], place: int) -> bool:
        """Whether another target could be called instead of this one."""
        return len(targets) > place + 1 and any(
            self.health(target).cooldown_s() <= 0 and self._can_be_told(call, target)
            for target in targets[place + 1 :]
        )

    def _makers_first(self, call: CallRequest, targets: Sequence[Target]) -> tuple[Target, ...]:
        """`targets` with those first that are told all of a conversation in which a provider has encrypted
        what others cannot read, in their order otherwise."""
        return tuple(sorted(targets, key=lambda target: not self._is_told_all(call, target)))

    def _is_told_all(self, call: CallRequest, target: Target) -> bool:
        try:
            return self._unsaid(call.prompt, target, call.request.operation) is ALL_SAID
        except ProviderError:
            return False

    def _can_be_told(self, call: CallRequest, target: Target) -> bool:
        """Whether the provider's dialect can express everything that must not be left out."""
        if call.prompt.sent is None and self._providers[target.provider].capabilities.all_said:
            return True
        try:
            unsaid = self._unsaid(call.prompt, target, call.request.operation)
            self._left_out(target, unsaid)
        except ProviderError:
            return False
        return True

    async def _once_more(
        self,
        call: CallRequest,
        route: Route,
        failed: list[Failed],
        refused: dict[str, ContractExceeded],
        attempts_max: int,
    ) -> CallResult:
        """No target is left: call those in a cooldown, and again those that may answer after a pause.
        `refused` are the targets that are too expensive.

        Raises:
            NoProviderLeft: none answered.
            ContractExceeded, Overloaded: the next call may not be made.
        """
        hold, attempts = call.hold, call.receipt.attempts
        while len(attempts) < attempts_max and call.otherwise == "failed":
            targets = [(one, self.health(one)) for one in route.targets if one.name not in refused]
            found = next_try(targets, failed, self._config.retry_wait_s_max, hold.left_s)
            if found is None or hold.left_calls == 0 or (found.again and not found.health.may_retry()):
                break
            if found.wait_s > 0:
                await asyncio.sleep(found.wait_s)
            try:
                result = await self._attempt(
                    call, found.target, found.health, route.tier, again=found.again, others=False
                )
                if found.target.name != route.targets[0].name:
                    self._tell_of_fallback(route.targets[0], found.target, failed, refused)
                return result
            except ProviderError as error:
                forget_frames(error)
                failed.append(Failed(found.target, error))
                if error.unasked:
                    call.receipt.skipped[found.target.name] = error.code
            except ContractExceeded as error:
                if error.limit != "usd_max" and (not failed or error.limit == "deadline_s"):
                    raise
                forget_frames(error)
                refused[found.target.name] = error
        errors = [one.error for one in failed]
        if not errors and refused:
            raise next(reversed(refused.values()))
        if not errors:
            errors = [self.health(target).cooldown_error(target.name) for target in route.targets]
        self._tell_of_end(route, failed, errors)
        raise NoProviderLeft(errors, tried_again=len(failed) > 1 and len(attempts) >= attempts_max)

    def timed(self, result: CallResult, call: CallRequest) -> None:
        """Learn from the duration of a finished answer, once its usage is known. Nothing is learned from an
        answer that broke or waited for its reader; one that was cut counts with the part that came."""
        lengths = self._lengths
        if lengths is None:
            return
        attempt = result.attempt
        usage, total_ms = attempt.usage, attempt.total_ms
        if attempt.error is not None or usage is None or total_ms is None:
            return
        if call.request.operation in PASSING:
            return  # an image says nothing of the time that words take
        tokens = usage.output_tokens
        stream = result.stream
        if stream is not None and stream.paused:
            return
        first_ms = attempt.ttft_ms if stream is not None else None
        first_s = None if first_ms is None else first_ms / 1000
        result.health.speed.took(tokens, total_ms / 1000, first_s, self._clock())
        if not call.receipt.purpose and (stream is None or stream.cut is None):
            lengths.note(call.request.endpoint.name, tokens)  # background jobs ask for other answers

    async def _attempt(
        self, call: CallRequest, target: Target, health: Health, tier: str, *, again: bool, others: bool
    ) -> CallResult:
        hold, receipt = call.hold, call.receipt
        least = self._providers[target.provider].capabilities.output_tokens_min
        prompt = _with_at_least(call.prompt, least) if least else call.prompt
        left_nusd = hold.left_nusd
        worst_case: int | None = None
        if left_nusd is not None and call.request.operation in PASSING:
            worst_case = flat_nusd(target.price)
        elif left_nusd is not None:
            sizes = self._sizes
            closer = None if sizes is None else sizes.bound
            prompt, worst_case = affordable(prompt, target, left_nusd, closer)
        if self.preparer is not None and call.otherwise != "skipped":
            has = self._providers[target.provider].capabilities
            prompt = self.preparer.prepared(call.request, prompt, target, has)
        unsaid = self._unsaid(prompt, target, call.request.operation)
        left_out = "" if unsaid is ALL_SAID else self._left_out(target, unsaid)
        hold.call(worst_case)
        self._ledger.intend(receipt, target.name)
        began_s = self._clock()
        attempt = Attempt(target=target.name, tier=tier, started_ms=(began_s - receipt.started_s) * 1000)
        attempt.left_out = left_out
        receipt.attempts.append(attempt)
        receipt.calls += 1
        if not again:
            health.called()
        probe = health.begin()
        result = CallResult(target, attempt, health, prompt.capped_by)
        result.held_nusd = worst_case
        try:
            await self._sent(result, call, prompt, others)
        except ProviderError as error:
            self._note_failure(error, call, result, prompt, began_s, probe)
            raise
        except BaseException as error:  # the client left, or a bug: nothing was learnt about the target
            health.abandoned(probe)
            attempt.error = "cancelled" if isinstance(error, asyncio.CancelledError) else type(error).__name__
            self._failed_cost(result, prompt, None)
            if result.prompt is not None:
                result.prompt.failed(attempt.cost_nusd)
            raise
        finally:
            attempt.total_ms = (self._clock() - began_s) * 1000
        if result.stream is not None and call.request.stream:
            health.answering(probe)
        else:
            health.succeeded(probe)
        return result

    def _note_failure(
        self,
        error: ProviderError,
        call: CallRequest,
        result: CallResult,
        prompt: Prompt,
        began_s: float,
        probe: int,
    ) -> None:
        """Record a failed attempt, release the money held for it, and update the health of its target.

        Raises:
            DeadlineExceeded: the endpoint's deadline passed, which says nothing about the target.
        """
        attempt, target, health, hold = result.attempt, result.target, result.health, call.hold
        error.target = target.name
        self._unsay(error, attempt, self._providers[target.provider].redact)
        attempt.error = error.code
        if attempt.status is None:  # else it failed after its head had come
            attempt.status = error.upstream_status
        self._failed_cost(result, prompt, error)
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
        health.failed(error, probe, _number_of(call.request))
        self._tell_of_key(target, error)

    def _unsaid(self, prompt: Prompt, target: Target, operation: Operation) -> Unsaid:
        """As the provider says. A request that it cannot read, and code of it that fails, are its failure:
        another target may answer.

        Raises:
            ProviderError: as the provider.
        """
        try:
            return self._providers[target.provider].unsaid(prompt, target, operation)
        except InvalidRequest as error:
            words = str(error)
            said = {"message": words, "type": error.kind, "param": error.param, "code": error.code}
            what = f"{target.name} cannot be sent this request"
            rejected = ProviderRejected(what, upstream_status=error.status, said=said, words=words)
            rejected.unasked = True
            raise rejected from error
        except ProviderError as error:
            error.unasked = True
            raise
        except FarthingError:
            raise
        except Exception as error:
            failure = self._fault(target, error)
            failure.unasked = True
            raise failure from error

    def _fault(self, target: Target, error: Exception) -> ProviderError:
        """An error for a provider whose code failed."""
        kind = type(error).__name__
        if self._fallbacks.unsaid(f"code {target.name} {kind}") is not None:
            log.error("%s: the code of its provider failed", target.name, exc_info=error)
        return ProviderUnavailable(f"the code of the provider failed: {kind}")

    def _left_out(self, target: Target, unsaid: Unsaid) -> str:
        """The fields of the request that the provider is not sent, and does not need.

        Raises:
            CannotSay: a field cannot be sent and may not be left out.
        """
        if unsaid.operation:
            raise CannotSay(target.name, (), operation=unsaid.operation)
        may_drop = self._limits[target.provider].drop
        missing = [name for name in unsaid.names if name not in may_drop]
        if missing:
            raise CannotSay(target.name, missing, unsaid.reasons, essential=ESSENTIAL)
        return named((*unsaid.names, *unsaid.gave_way))

    async def _sent(self, result: CallResult, call: CallRequest, prompt: Prompt, others: bool) -> None:
        """As `_send`. An exception in the provider's code counts as a failure of the provider, so another
        target may answer.

        Raises:
            ProviderError: it did not answer.
            FarthingError: as for `_send`.
        """
        try:
            await self._send(result, call, prompt, others)
        except FarthingError:
            raise
        except Exception as error:
            raise self._fault(result.target, error) from error

    async def _send(self, result: CallResult, call: CallRequest, prompt: Prompt, others: bool) -> None:
        target = result.target
        provider = self._providers[target.provider]
        limits = self._limits[target.provider]
        left_s = call.hold.left_s
        within_s = _within_s(limits, prompt.stream, left_s, others)
        request = call.request
        if request.operation == "embeddings" and await self._in_parts(result, call, prompt, within_s):
            return
        head, body = provider.encode(prompt, target, request.operation, request.id, request.passed)
        if self.prompt_caches is not None and call.otherwise != "skipped":
            result.prompt = self.prompt_caches.sent(request, target, body)
            if self.preparer is not None:
                result.prompt = self.preparer.sent(result.prompt, request, target, prompt)
        began_s = self._clock()
        exchange = await self._transport.send(
            provider.origin, head, body, first_byte_s=within_s, whole=not prompt.stream
        )
        attempt = result.attempt
        attempt.status = status = exchange.status
        result.returned, attempt.upstream_id = provider.down(exchange.headers, request.id)
        if not 200 <= status < 300:
            error = provider.failure(status, exchange.headers, await _error_body(exchange))
            error.returned = result.returned
            raise error
        passes = request.operation in PASSING
        if passes:
            result.returned += _type_line(exchange.headers)
        if prompt.stream:
            within = Within(
                first_s=began_s + within_s,
                whole_s=began_s + _within_s(limits, False, left_s, others),
                idle_s=limits.idle_s,
                end_s=began_s + limits.total_s,
                deadline_s=None if left_s is None or passes else began_s + left_s,
                bytes_max=limits.answer_bytes_max,
            )
            signs = None if others else call.signs
            if signs is not None:
                signs.target = target.name
            result.stream = await _open(exchange, provider, limits.event_bytes_max, call, within, signs)
            attempt.ttft_ms = (result.stream.first_s - began_s) * 1000
            if not request.stream:  # gathered for a client that waits for all of it: it has seen nothing yet
                try:
                    await result.stream.gather()
                except StreamBroken as error:
                    raise ProviderUnavailable(
                        str(error), said=error.said, words=error.words, again=True
                    ) from error
        else:
            whole = await exchange.read(limits.answer_bytes_max)
            result.reply = provider.whole(exchange.headers, whole, prompt)
            attempt.ttft_ms = (self._clock() - began_s) * 1000

    async def _in_parts(self, result: CallResult, call: CallRequest, prompt: Prompt, within_s: float) -> bool:
        """Have embeddings of more inputs than one call takes, one part after the other; False: one takes all.

        Raises:
            ProviderError: a part failed, so that there is no answer.
        """
        target, attempt, request = result.target, result.attempt, call.request
        provider, limits = self._providers[target.provider], self._limits[target.provider]
        parts = in_parts(prompt.body, provider.capabilities.inputs_max)
        if len(parts) == 1:
            return False
        end_s = self._clock() + within_s
        bodies: list[bytes] = []
        entries: list[bytes] = []
        for part in parts:
            asked = replace(prompt, body=part)
            head, body = provider.encode(asked, target, request.operation, request.id, request.passed)
            left_s = max(0.0, end_s - self._clock())
            exchange = await self._transport.send(
                provider.origin, head, body, first_byte_s=left_s, whole=True
            )
            attempt.status = exchange.status
            result.returned, attempt.upstream_id = provider.down(exchange.headers, request.id)
            if not 200 <= exchange.status < 300:
                error = provider.failure(exchange.status, exchange.headers, await _error_body(exchange))
                error.returned = result.returned
                raise error
            room_bytes = max(1, limits.answer_bytes_max - sum(map(len, bodies)))
            whole = await exchange.read(room_bytes, within_s=left_s)
            reply = provider.whole(exchange.headers, whole, asked)
            result.spent = _spent(result.spent, reply.usage)
            try:
                entries += entries_of(reply.body, len(part["input"]))
            except NotVectors as why:
                raise ProviderUnavailable(f"the reply is not one of embeddings: {why}") from None
            bodies.append(reply.body)
        result.reply = provider.whole({}, one_answer(bodies, entries), prompt)
        attempt.ttft_ms = (self._clock() - (end_s - within_s)) * 1000
        return True

    @staticmethod
    def _unsay(error: ProviderError, attempt: Attempt, redact: Redactor) -> None:
        """Remove secrets from everything that a failed attempt recorded."""
        error.args = (redact.text(str(error)),)
        lines, upstream_id = error.returned.decode("latin-1"), attempt.upstream_id
        if redact.holds(lines) or redact.holds(upstream_id):  # a short part in ids and counts is chance
            error.returned = redact.text(lines).encode("latin-1")
            attempt.upstream_id = redact.text(upstream_id)

    def _tell_of_key(self, target: Target, error: ProviderError) -> None:
        """Log that a provider rejected its key. Otherwise nobody might notice, since another target answers
        or the client sees only part of the reason."""
        if isinstance(error, KeyRejected) and self._tells.again(target.provider):
            said = f"; its code is {error.told}" if error.told else ""
            log.warning("%s (%s)%s", error, target.name, said)

    def _tell_of_fallback(
        self,
        first: Target,
        answered: Target,
        failed: Sequence[Failed],
        refused: Mapping[str, ContractExceeded],
    ) -> None:
        """Log that a target other than the first of the route has answered."""
        error = next((one.error for one in failed if one.target.name == first.name), None)
        if error is not None:
            why = _in_brief(error)
        elif first.name in refused:
            why = "its worst case costs more than the endpoint's usd_max leaves"
        else:
            why = "it rests after failures, or for the pause that it asked for"
        unsaid = self._fallbacks.unsaid(f"{first.name} {answered.name} {why}")
        if unsaid is not None:
            log.warning("%s answered instead of %s: %s%s", answered.name, first.name, why, _more(unsaid))

    def _tell_of_end(self, route: Route, failed: Sequence[Failed], errors: Sequence[ProviderError]) -> None:
        """Log that no target of the route has answered, unless the request itself was the cause."""
        if all(
            isinstance(error, ProviderRejected) and not isinstance(error, KeyRejected) for error in errors
        ):
            return
        if failed:
            why = "; ".join(dict.fromkeys(f"{one.target.name}: {_in_brief(one.error)}" for one in failed))
        else:
            names = ", ".join(dict.fromkeys(target.name for target in route.targets))
            why = f"{names}: at rest after failures, or for a pause that was asked for"
        unsaid = self._fallbacks.unsaid(f"end {why}")
        if unsaid is not None:
            log.error("no target is left, a request failed: %s%s", why, _more(unsaid))

    def _note_silence(self, call: CallRequest, health: Health, began_s: float) -> None:
        """The deadline passed before the answer began. If the target had most of that time, it counts as
        slow."""
        now_s = self._clock()
        deadline_s = call.request.endpoint.terms.deadline_s
        if deadline_s is not None and now_s - began_s >= deadline_s / 2:
            health.speed.silent(now_s - began_s, now_s)

    def _failed_cost(self, result: CallResult, prompt: Prompt, error: ProviderError | None) -> None:
        """Record the cost of a failed call: what its provider counted; else nothing if it was refused, its
        estimated prompt if the provider may have worked on it."""
        if error is not None and error.counted is not None:
            book(result.attempt, result.target, error.counted)
            return
        if error is not None and (error.upstream_status is not None or not error.sent):
            result.attempt.cost_nusd = 0
            if result.spent is not None:
                book(result.attempt, result.target, result.spent)
            return
        if passing_of(prompt) is not None:
            return  # nobody knows
        stream = result.stream
        usage = None if stream is None else stream.usage
        said = 0
        if stream is not None:
            reader = stream.reader
            said = max(reader.chunks, reader.text_chars // CHARS_PER_TOKEN)
            if usage is not None and not (reader.done or stream.counted or reader.usage_event):
                usage = begun(usage)
            if reader.states_nothing:
                usage = as_stated(usage)
        if usage is None:
            tokens = expected_tokens(self._sizes, result.target, prompt)
            usage = Usage(input_tokens=tokens, output_tokens=said, estimated=True)
        elif usage.estimated:
            tokens = usage.input_tokens or expected_tokens(self._sizes, result.target, prompt)
            usage = replace(
                usage,
                input_tokens=tokens,
                output_tokens=usage.output_tokens or said,
                passes=usage.passes and (*usage.passes, estimated_pass(usage, tokens, said)),
            )
        book(result.attempt, result.target, usage)


def _in_brief(error: ProviderError) -> str:
    """The message without the provider's words, which may contain parts of the prompt or of the key."""
    status = "" if error.upstream_status is None or error.unasked else f" (status {error.upstream_status})"
    return f"{error.code}{status}"


def _more(unsaid: int) -> str:
    return f"; and {unsaid} more since this was last said" if unsaid else ""


def _tell_of_breaker(name: str, error: ProviderError | None, seconds: float) -> None:
    if error is None:
        log.warning("%s answers again, after %.1f s", name, seconds)
    else:
        log.warning(
            "%s is left out for %g s, then tried by one request at a time: too many of its calls failed, the "
            "last by %s",
            name,
            seconds,
            _in_brief(error),
        )


def _with_at_least(prompt: Prompt, tokens: int) -> Prompt:
    """With a limit of output that its provider takes, where the client's own is lower: agents ask for one
    token to see whether a model is there. A limit that was set here stays."""
    said = prompt.output_tokens_max
    if said is None or said >= tokens or prompt.capped_by is not None:
        return prompt
    raised: Prompt = replace(prompt, output_tokens_max=tokens)
    return raised


def _output_chunks_max(call: CallRequest) -> int | None:
    """The number of chunks that proves that a provider ignores the endpoint's output cap; None: there is no
    cap."""
    cap = call.request.endpoint.terms.output_tokens_max
    return None if cap is None else cap * choices_said(call.prompt.body)


def _within_s(limits: ProviderConfig, stream: bool, left_s: float | None, others: bool) -> float:
    """Seconds that an answer may take to begin (`stream`), or to be complete. If another target remains, it
    is left half of the time until the endpoint's deadline."""
    within_s = limits.first_byte_s if stream else limits.whole_s
    if within_s is None:
        within_s = (FIRST_BYTE_S if stream else WHOLE_S) if others else ALONE_S
    if left_s is None:
        return within_s
    return max(0.0, min(within_s, left_s / 2 if others else left_s))


async def _open(
    exchange: Exchange,
    provider: Provider,
    event_bytes_max: int,
    call: CallRequest,
    within: Within,
    signs: SignsOfLife | None,
) -> Stream:
    """Wait until the answer begins.

    Raises:
        ProviderError: it failed before that.
    """
    stream = Stream(
        exchange,
        within,
        provider.decoder(event_bytes_max, call.prompt),
        choices=choices_said(call.prompt.body),
        keep_bytes_max=call.keep_bytes_max,
        output_chunks_max=_output_chunks_max(call),
        in_answer=provider.in_answer,
        signs=signs,
        sniffs=call.request.operation not in PASSING,
    )
    try:
        await stream.open()
    except ProviderError:
        stream.close()
        raise
    return stream


def _spent(before: Usage | None, usage: Usage | None) -> Usage | None:
    if before is None or usage is None:
        return usage if before is None else before
    added: Usage = replace(before, input_tokens=before.input_tokens + usage.input_tokens)
    return added


def _type_line(headers: Mapping[bytes, bytes]) -> bytes:
    """The header line that says what type a reply is of which goes to the client as it comes."""
    for name, value in headers.items():
        if name.lower() == b"content-type":
            if value and len(value) <= TYPE_BYTES_MAX and value.isascii() and value.decode().isprintable():
                return b"content-type: %b\r\n" % value
            break
    return b"content-type: application/octet-stream\r\n"


def _number_of(request: Request) -> int:
    """A number, never 0, that is the same for the same question of the same tenant."""
    return hash((request.tenant.name, request.model, request.text, request.prompt_chars)) or 1


async def _error_body(exchange: Exchange) -> bytes:
    """The body of an error reply; empty if it cannot be read."""
    try:
        return await exchange.read(ERROR_BODY_BYTES_MAX, within_s=ERROR_BODY_S)
    except ProviderError as error:
        forget_frames(error)
        return b""
