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
from typing import Literal

from msgspec import Struct

from farthing.config import CallConfig, ProviderConfig
from farthing.dialects.chat.answers.names import names_in
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
    ProviderBusy,
    ProviderError,
    ProviderRejected,
    ProviderUnavailable,
    StreamBroken,
    forget_frames,
    named,
)
from farthing.models.health.health import Health
from farthing.models.health.outliers import PROBE_S, outlier, reconsidered
from farthing.models.health.speed import Lengths
from farthing.models.lanes.pick import Lane, Lanes, Place, affinity_of
from farthing.models.lanes.ways import Ways
from farthing.models.pricing.afford import affordable
from farthing.models.pricing.book import book
from farthing.models.pricing.cost import flat_nusd
from farthing.models.pricing.expected import estimated_pass, expected_tokens
from farthing.models.residency import Regions
from farthing.models.retry import Failed, next_try, stale
from farthing.models.stream import SignsOfLife, Stream, Within
from farthing.models.way import Distances, note_head, note_told
from farthing.protocols import (
    ALL_SAID,
    BatchApi,
    Exchange,
    Hold,
    Ledger,
    ModelWatch,
    PromptCaches,
    PromptPreparer,
    Provider,
    Reply,
    SentPrompt,
    TokenSizes,
    Transport,
    Unsaid,
)
from farthing.runtime.loop_batch import in_task
from farthing.runtime.redact import Redactor
from farthing.runtime.seldom import Seldom, Tally
from farthing.text.asked import lacking
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
KEY_TOLD_EVERY_S = 600.0  # between two warnings that a provider refuses our key
FALLBACK_TOLD_EVERY_S = 10.0
ESSENTIAL = CHANGES_THE_ANSWER | CHANGES
"""Fields that a client cannot do without noticing, by either dialect's names."""
KEPT = frozenset({"", "precompute", "refresh"})
"""Purposes of requests whose answers a client gets, now or from a cache."""
ERROR_BODY_BYTES_MAX = 65_536
TYPE_BYTES_MAX = 512
ERROR_BODY_S = 5.0  # an error is short; one that does not come costs its words, not the attempt's time


class CallResult:
    """The response of a target: a complete reply, or a stream whose answer has begun."""

    __slots__ = (
        "attempt",
        "begun",
        "capped_by",
        "credentials",
        "ended_s",
        "health",
        "held_ms",
        "held_nusd",
        "lane",
        "prompt",
        "reply",
        "returned",
        "spent",
        "stream",
        "target",
        "together",
    )

    lane: Lane
    """Which was called; not set where the answer came in a batch."""

    def __init__(
        self, target: Target, attempt: Attempt, health: Health, capped_by: str | None = None
    ) -> None:
        self.target = target
        self.attempt = attempt
        self.health = health
        self.capped_by = capped_by
        """The limit of the endpoint that set its output cap; None when none did."""
        self.credentials: int | None = None
        """The number of those it was made with; None: a fixed key, or none yet."""
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
        self.together = self.begun = 0
        """How many calls were under way with it when it began, and which it was, as its `limits` count."""
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

    hedges = False
    """Whether a second call may be made beside one that is slow to begin."""
    times = False
    """Whether anything is learnt of the time that answers take."""
    prompt_caches: PromptCaches | None = None
    """What is known of providers' prompt caches; outlives a configuration. None: they are not measured."""
    models: ModelWatch | None = None
    """Who hears what answers name as their model. None: nobody."""
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
        self._ways = Ways(providers, config, clock, health, _tell_of_breaker)
        self._known = self._ways.known
        self.times = lengths is not None
        self.regions = Regions(limits)
        self.distances = Distances()
        """By provider."""
        for known in health.values():
            known.reconfigure(config)

    def health(self, target: Target) -> Health:
        """The health of a target as a whole, whatever lanes it has."""
        return self._way(target).health

    def use_lanes(self, places: Mapping[str, Sequence[Place]]) -> None:
        """Divide the calls of providers with more than one address or key among their `places`. Called before
        the first call."""
        self._ways.places = places
        self.times = self.times or bool(places)

    def _way(self, target: Target) -> Lane | Lanes:
        return self._known.get(target.name) or self._ways.open(target)

    def _ready(
        self, call: CallRequest, targets: Sequence[Target], place: int, failed: Sequence[Failed]
    ) -> Lane | None:
        """The lane for the first call of a target; None: it is in a cooldown, has failed already, or is left
        for now."""
        target = targets[place]
        way = self._known.get(target.name) or self._ways.open(target)
        if isinstance(way, Lanes):
            return self._picked(call, targets, place, way, failed)
        if failed and any(one.target.name == target.name for one in failed):
            return None
        health = way.health
        minded = health.suspect or not health.limits.free
        if minded and self._config.adaptive and self._is_left(call, targets, place, way):
            return None
        return way if health.cooldown_s() <= 0 else None

    def _picked(
        self, call: CallRequest, targets: Sequence[Target], place: int, lanes: Lanes, failed: Sequence[Failed]
    ) -> Lane | None:
        """As `_ready`, of a target that has several lanes."""
        target, tokens, tried = targets[place], call.prompt.input_tokens, tried_in(failed)
        affinity, prefers = affinity_of(call.request, lanes.homes), self._prefers(call, target)
        lane = lanes.pick(affinity, tokens, tried=tried, prefers=prefers)
        if lane is None or not self._config.adaptive:
            return lane
        if (lane.health.suspect or not lane.health.limits.free) and self._is_left(call, targets, place, lane):
            ejected = lane.health.ejection.active  # just now: another may do
            return lanes.pick(affinity, tokens, tried=tried, prefers=prefers) if ejected else None
        return lane

    def _next_lane(
        self, call: CallRequest, targets: Sequence[Target], place: int, failed: Sequence[Failed], left: int
    ) -> Lane | None:
        """Another lane of a target that has just failed, which may be called although it has; None: there is
        none, or the call that is `left` is another target's."""
        target = targets[place]
        way = self._way(target)
        if not isinstance(way, Lanes) or left <= self._others(call, targets, place, None):
            return None
        return way.next_after(failed[-1], affinity_of(call.request, way.homes), tried_in(failed))

    def _prefers(self, call: CallRequest, target: Target) -> Callable[[Lane], bool] | None:
        """Where each key is of another account: the lanes that are told all, as those are not that other
        accounts have encrypted something for."""
        if not self._limits[target.provider].separate_accounts:
            return None
        return lambda lane: self._is_told_all(call, target, lane.provider)

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
        if len(route.targets) > 1:
            route = self._suited(call, route)
        attempts, targets = call.receipt.attempts, route.targets
        attempts_max = len(attempts) + self._config.attempts_max
        failed: list[Failed] = []
        refused: dict[str, ContractExceeded] = {}
        for place, target in enumerate(targets):
            if len(attempts) >= attempts_max:
                break
            lane = self._ready(call, targets, place, failed)
            again = False
            while lane is not None:
                try:
                    alone = len(targets) == 1 and lane.among is None
                    others = call.otherwise == "escalated" or (
                        not alone and self._others(call, targets, place, lane)
                    )
                    result = await (
                        self._hedged(call, route, place, lane, failed, others=others)
                        if self.hedges and not again
                        else self._attempt(call, target, lane, route, again=again, others=others)
                    )
                    if place:
                        self._tell_of_fallback(targets[0], target, failed, refused)
                    return result
                except ProviderError as error:
                    forget_frames(error)
                    failed.append(failure_of(target, error, lane))
                    if error.unasked:
                        call.receipt.skipped[target.name] = error.code
                        break
                    left, health = attempts_max - len(attempts), lane.health
                    if left > 0 and _at_once(error, _last(attempts), health, again):
                        again = True
                    else:
                        again, lane = False, self._next_lane(call, targets, place, failed, left)
                except ContractExceeded as error:
                    if error.limit != "usd_max" and (not failed or error.limit == "deadline_s"):
                        raise  # else what failed before is what the client has to know
                    forget_frames(error)
                    refused[target.name] = error  # of money: another target may be cheaper
                    break
        return await self._once_more(call, route, failed, refused, attempts_max)

    def _is_left(self, call: CallRequest, targets: Sequence[Target], place: int, lane: Lane) -> bool:
        """Whether a lane that may be called is left all the same, for now: others of the route are much
        better, or it has as much to do as it takes and there is another, or one may wait for it."""
        health = lane.health
        if health.suspect:
            health.suspect = health.ejection.active
            others = [self.health(one) for index, one in enumerate(targets) if index != place]
            if lane.among is not None:
                others += [one.health for one in lane.among.all if one is not lane]
            if others and health.ejection.active:
                reconsidered(health, others)
            elif others and health.cooldown_s() <= 0 and outlier(health, others):
                _tell_of_outlier(targets[place].name, health)
                return True
        limits = health.limits
        if limits.free or call.hold.left_calls == 0 or not limits.is_out(call.prompt.input_tokens):
            return False
        return call.otherwise == "failed" or self._others(call, targets, place, None)

    def _others(self, call: CallRequest, targets: Sequence[Target], place: int, lane: Lane | None) -> bool:
        """Whether another target, or another address than that of `lane`, could be called instead of this
        one."""
        if lane is not None and lane.among is not None and lane.among.others(lane):
            return True
        return len(targets) > place + 1 and any(
            self.health(target).cooldown_s() <= 0 and self._can_be_told(call, target)
            for target in targets[place + 1 :]
        )

    def _suited(self, call: CallRequest, route: Route) -> Route:
        """`route` without the targets that the catalogue says cannot take this request, unless the client
        named them, and with those first that can read all of it."""
        sent = call.prompt.sent
        if sent is not None and sent.sealed:
            route = replace(route, targets=self._makers_first(call, route.targets))
        if route.pinned:
            return route
        prompt = call.prompt
        limit = prompt.output_tokens_max if sent is None else None
        without = lacking(route.targets, prompt.body, prompt.media_tokens > 0, limit)
        if not without:
            return route
        call.receipt.skipped |= dict.fromkeys(without, CannotSay.code)
        kept = tuple(target for target in route.targets if target.name not in without)
        found: Route = replace(route, targets=kept)
        return found

    def _makers_first(self, call: CallRequest, targets: Sequence[Target]) -> tuple[Target, ...]:
        """`targets` with those first that are told all of a conversation in which a provider has encrypted
        what others cannot read, in their order otherwise."""
        return tuple(sorted(targets, key=lambda target: not self._is_told_all(call, target)))

    def _is_told_all(self, call: CallRequest, target: Target, provider: Provider | None = None) -> bool:
        """`provider`: the object of one of its lanes; None: of any of them."""
        places = self._ways.places.get(target.provider, ()) if provider is None else ()
        if len(places) > 1 and self._limits[target.provider].separate_accounts:
            return any(self._is_told_all(call, target, place.provider) for place in places)
        try:
            return self._unsaid(call.prompt, target, call.request.operation, provider) is ALL_SAID
        except ProviderError:
            return False

    def _can_be_told(self, call: CallRequest, target: Target) -> bool:
        """Whether the provider's dialect can express everything that must not be left out, and the request
        may go there."""
        if call.request.endpoint.residency and not self.regions.allows(call.request.endpoint, target):
            return False
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
            ways = {
                lane.health: (one, lane)
                for one in route.targets
                if one.name not in refused
                for lane in self._left(one, failed)
            }
            targets = [(one, health) for health, (one, _) in ways.items()]
            found = next_try(targets, failed, self._config.retry_wait_s_max, hold.left_s)
            if found is None or hold.left_calls == 0 or (found.again and not found.health.may_retry()):
                break
            if found.wait_s > 0:
                await asyncio.sleep(found.wait_s)
            if not found.health.limits.free and self._config.adaptive:
                await self._turn(call, found.health, found.wait_s)
            _, lane = ways[found.health]
            try:
                result = await self._attempt(call, found.target, lane, route, again=found.again, others=False)
                if found.target.name != route.targets[0].name:
                    self._tell_of_fallback(route.targets[0], found.target, failed, refused)
                return result
            except ProviderError as error:
                forget_frames(error)
                failed.append(failure_of(found.target, error, lane))
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

    def _left(self, target: Target, failed: Sequence[Failed]) -> Sequence[Lane]:
        """The lanes of a target that may be called where none is left that is well."""
        way = self._way(target)
        return (way,) if isinstance(way, Lane) else way.left(failed)

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

    def timed(self, result: CallResult, call: CallRequest) -> None:
        """Learn from the duration of a finished answer, once its usage is known. Nothing is learned from an
        answer that broke or waited for its reader; one that was cut counts with the part that came."""
        lengths = self._lengths
        among = result.lane.among
        if lengths is None and among is None:
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
        now_s = self._clock()
        result.health.speed.took(tokens, total_ms / 1000, first_s, now_s)
        if among is not None:
            among.health.speed.took(tokens, total_ms / 1000, first_s, now_s)
        if lengths is not None and not call.receipt.purpose and (stream is None or stream.cut is None):
            lengths.note(call.request.endpoint.name, tokens)  # background jobs ask for other answers

    async def _hedged(
        self, call: CallRequest, route: Route, place: int, lane: Lane, failed: list[Failed], *, others: bool
    ) -> CallResult:
        """As `_attempt` for a first attempt, in a caller that `hedges`; what fails beside it is added to
        `failed`."""
        raise NotImplementedError

    def _made_ready(
        self, call: CallRequest, target: Target, provider: Provider
    ) -> tuple[Prompt, int | None, str]:
        """The prompt as it goes to `target`, the most that its answer may cost in nano-dollars (None: nothing
        limits it), and the names of what its provider is not told.

        Raises:
            ProviderError: it may not go there, or a field cannot be sent and may not be left out.
            ContractExceeded: it costs too much there.
        """
        self.regions.check(call.request.endpoint, target)
        least = provider.capabilities.output_tokens_min
        prompt = _with_at_least(call.prompt, least) if least else call.prompt
        left_nusd = call.hold.left_nusd
        worst_case: int | None = None
        if left_nusd is not None and call.request.operation in PASSING:
            worst_case = flat_nusd(target.price)
        elif left_nusd is not None:
            sizes = self._sizes
            closer = None if sizes is None else sizes.bound
            prompt, worst_case = affordable(prompt, target, left_nusd, closer)
        if self.preparer is not None and call.otherwise != "skipped":
            prompt = self.preparer.prepared(call.request, prompt, target, provider.capabilities)
        unsaid = self._unsaid(prompt, target, call.request.operation, provider)
        left_out = "" if unsaid is ALL_SAID else self._left_out(target, unsaid)
        return prompt, worst_case, left_out

    async def _attempt(
        self, call: CallRequest, target: Target, lane: Lane, route: Route, *, again: bool, others: bool
    ) -> CallResult:
        hold, receipt, health, provider = call.hold, call.receipt, lane.health, lane.provider
        prompt, worst_case, left_out = self._made_ready(call, target, provider)
        hold.call(worst_case)
        self._ledger.intend(receipt, target.name)
        began_s = self._clock()
        if not again:
            health.called()
        probe = health.begin()
        result = _begun(target, lane, prompt, route, receipt, began_s)
        attempt = result.attempt
        attempt.left_out = left_out
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
            hold.release(worst_case, attempt.cost_nusd)
            if result.prompt is not None:
                result.prompt.failed(attempt.cost_nusd)
            raise
        finally:
            attempt.total_ms = (self._clock() - began_s) * 1000
            if result.stream is None or result.stream.finished:
                health.limits.leave()
            else:
                result.stream.left = health.limits.leave
        if attempt.tier != route.tier:
            receipt.route_reason = f"{route.reason}; no target of {route.tier} answered"
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
        provider = result.lane.provider
        self._unsay(error, attempt, provider.redact)
        if isinstance(error, ProviderRejected):
            error.renewed = self._renews(error, result, prompt)
        result.lane.failed(error, self._clock())
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
        crowded = False
        busy = error.upstream_status == 429 and isinstance(error, ProviderBusy) and error.again
        if busy and self._config.adaptive:
            crowded = health.limits.refused(result.together, began_s)
        health.failed(error, probe, _number_of(call.request), crowded=crowded)
        self._tell_of_key(target, error, result.lane)

    def _renews(self, error: ProviderRejected, result: CallResult, prompt: Prompt) -> bool:
        """Whether the target would be asked otherwise after its refusal. A fault in its provider's code is
        none."""
        provider = result.lane.provider
        try:
            if isinstance(error, KeyRejected):
                held, number = provider.credentials, result.credentials
                return held is not None and number is not None and held.refused(number)
            return provider.learn(prompt, result.target, error)
        except Exception as fault:  # noqa: BLE001  # as of any code of a provider: the attempt has failed anyway
            self._fault(result.target, fault)
            return False

    def _unsaid(
        self, prompt: Prompt, target: Target, operation: Operation, provider: Provider | None = None
    ) -> Unsaid:
        """As the provider says; `provider` is the object of one of its lanes, where they differ. A request
        that it cannot read, and code of it that fails, are its failure: another target may answer.

        Raises:
            ProviderError: as the provider.
        """
        try:
            asked = self._providers[target.provider] if provider is None else provider
            return asked.unsaid(prompt, target, operation)
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
        provider = result.lane.provider
        limits = self._limits[target.provider]
        left_s = call.hold.left_s
        within_s = _within_s(limits, prompt.stream, left_s, others)
        request = call.request
        if request.operation == "embeddings" and await self._in_parts(result, call, prompt, within_s):
            return
        if provider.credentials is not None:
            asked_s = self._clock()
            result.credentials = await provider.credentials.ready(within_s)
            waited_s = self._clock() - asked_s
            within_s = max(0.0, within_s - waited_s)
            left_s = None if left_s is None else max(0.0, left_s - waited_s)
        head, body = provider.encode(prompt, target, request.operation, request.id, request.passed)
        if self.prompt_caches is not None and call.otherwise != "skipped":
            result.prompt = self._note_sent(self.prompt_caches, result, call, prompt, body)
        began_s = self._clock()
        exchange = await self._transport.send(
            provider.origin, head, body, first_byte_s=within_s, whole=not prompt.stream
        )
        attempt = result.attempt
        attempt.status = status = exchange.status
        result.returned, attempt.upstream_id = provider.down(exchange.headers, request.id)
        note_head(attempt, exchange, self._clock() - began_s, provider.took(exchange.headers))
        if not 200 <= status < 300:
            error = provider.failure(status, exchange.headers, await _error_body(exchange))
            error.returned = result.returned
            raise error
        known = result.health.limits
        if result.together > known.high and result.begun > known.since:
            known.high = result.together
        if result.returned or not known.free:
            known.answered(exchange.headers, result.begun, prompt.input_tokens)
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
            first_s = await self._open(result, call, exchange, within, others) - began_s
            attempt.ttft_ms = first_s * 1000
            if not passes:
                result.health.began(first_s, result.together)
            if not request.stream:  # gathered for a client that waits for all of it: it has seen nothing yet
                await _gathered(result)
        else:
            whole = await exchange.read(limits.answer_bytes_max)
            result.reply = provider.whole(exchange.headers, whole, prompt)
            took_s = self._clock() - began_s
            attempt.ttft_ms = took_s * 1000
            self._note_reply(result.reply, attempt, call, target, took_s)
        self.distances.note(provider.name, attempt)

    def _note_sent(
        self, caches: PromptCaches, result: CallResult, call: CallRequest, prompt: Prompt, body: bytes
    ) -> SentPrompt | None:
        """As `PromptCaches.sent`, with what was done for its provider's prompt cache."""
        sent = caches.sent(call.request, result.target, body, result.attempt.lane)
        if self.preparer is None:
            return sent
        return self.preparer.sent(sent, call.request, result.target, prompt)

    def _note_reply(
        self, reply: Reply, attempt: Attempt, call: CallRequest, target: Target, took_s: float
    ) -> None:
        """Note who made a whole answer, had after `took_s` seconds, and how long that took, as it says."""
        self.note_names(attempt, call, target, reply.model, reply.fingerprint)
        if attempt.provider_ms is None and (told_ms := reply.took_ms) is not None:
            note_told(attempt, took_s, told_ms)

    def note_names(
        self, attempt: Attempt, call: CallRequest, target: Target, model: str, fingerprint: str
    ) -> None:
        """Note what an answer names as its model."""
        attempt.model, attempt.fingerprint = model, fingerprint
        if self.models is not None:
            kept = call.receipt.purpose in KEPT
            endpoint = call.request.endpoint.name if kept else ""
            self.models.answered(target.name, target.model, endpoint, model, fingerprint)

    async def _open(
        self, result: CallResult, call: CallRequest, exchange: Exchange, within: Within, others: bool
    ) -> float:
        """Wait until a streamed answer begins; the monotonic time when it does.

        Raises:
            ProviderError: it failed before that.
        """
        target = result.target
        signs = None if others else call.signs
        if signs is not None:
            signs.target = target.name
        event_bytes_max = self._limits[target.provider].event_bytes_max
        stream = result.stream = await _open(
            exchange, result.lane.provider, event_bytes_max, call, within, signs
        )
        self.note_names(result.attempt, call, target, *names_in(stream.reader.first_payload))
        return stream.first_s

    async def _in_parts(self, result: CallResult, call: CallRequest, prompt: Prompt, within_s: float) -> bool:
        """Have embeddings of more inputs than one call takes, one part after the other; False: one takes all.

        Raises:
            ProviderError: a part failed, so that there is no answer.
        """
        target, attempt, request = result.target, result.attempt, call.request
        provider, limits = result.lane.provider, self._limits[target.provider]
        parts = in_parts(prompt.body, provider.capabilities.inputs_max)
        if len(parts) == 1:
            return False
        end_s = self._clock() + within_s
        bodies: list[bytes] = []
        entries: list[bytes] = []
        for part in parts:
            asked = replace(prompt, body=part)
            if provider.credentials is not None:
                result.credentials = await provider.credentials.ready(max(0.0, end_s - self._clock()))
            head, body = provider.encode(asked, target, request.operation, request.id, request.passed)
            left_s = max(0.0, end_s - self._clock())
            exchange = await self._transport.send(
                provider.origin, head, body, first_byte_s=left_s, whole=True
            )
            attempt.status = exchange.status
            if not bodies:
                note_head(attempt, exchange, 0.0, None)
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
        self.note_names(attempt, call, target, reply.model, reply.fingerprint)
        return True

    @staticmethod
    def _unsay(error: ProviderError, attempt: Attempt, redact: Redactor) -> None:
        """Remove secrets from everything that a failed attempt recorded."""
        error.args = (redact.text(str(error)),)
        lines, upstream_id = error.returned.decode("latin-1"), attempt.upstream_id
        if redact.holds(lines) or redact.holds(upstream_id):  # a short part in ids and counts is chance
            error.returned = redact.text(lines).encode("latin-1")
            attempt.upstream_id = redact.text(upstream_id)

    def _tell_of_key(self, target: Target, error: ProviderError, lane: Lane) -> None:
        """Log that a provider rejected its key. Otherwise nobody might notice, since another target answers
        or the client sees only part of the reason."""
        if not isinstance(error, KeyRejected) or error.renewed:
            return
        label = lane.label
        if self._tells.again(f"{target.provider} {label}" if label else target.provider):
            said = f"; its code is {error.told}" if error.told else ""
            rests = "; the others are used meanwhile" if label else ""
            log.warning(
                "%s (%s)%s%s", error, f"{target.name}, {label}" if label else target.name, said, rests
            )

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


def _at_once(error: ProviderError, attempt: Attempt, health: Health, again: bool) -> bool:
    """Whether the same call may well succeed now, and may be made: it did not arrive, which counts once, or
    it is another one now. The latter happens seldom, to all requests at once, and takes nothing from the
    retry budget."""
    if health.cooldown_s() > 0:
        return False
    if isinstance(error, ProviderRejected) and error.renewed:
        return True
    return not again and stale(error, attempt) and health.may_retry()


def failure_of(target: Target, error: ProviderError, lane: Lane) -> Failed:
    """A failure of `lane`, as `next_try` matches it."""
    return Failed(target, error, None if lane.among is None else lane.health)


def _last(attempts: Sequence[Attempt]) -> Attempt:
    """The newest that is not beside another."""
    return next(one for one in reversed(attempts) if not one.hedge)


def tried_in(failed: Sequence[Failed]) -> set[Health]:
    """The health of each lane that has failed and has others beside it."""
    return {one.health for one in failed if one.health is not None}


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


def _tell_of_outlier(name: str, health: Health) -> None:
    why = (
        "its streams begin much later than they did" if health.ejection.for_time else "more of its calls fail"
    )
    log.warning(
        "%s is left out for now, as %s than others of its route; one request in %g s tries it",
        name,
        why,
        PROBE_S,
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


async def _gathered(result: CallResult) -> None:
    """Wait for all of a stream.

    Raises:
        ProviderUnavailable: it broke.
    """
    assert result.stream is not None
    try:
        await result.stream.gather()
    except StreamBroken as error:
        raise ProviderUnavailable(str(error), said=error.said, words=error.words, again=True) from error


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
        provider.decoder(event_bytes_max, call.prompt, exchange.headers),
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
