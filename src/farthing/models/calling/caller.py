"""Calls the targets of a route in order until one starts to answer.

A failure before the answer begins stays invisible to the client: the next target is tried. When none is
left, the same targets are tried again, after a pause and within their retry budgets (see `retry`). Only
then does the client receive an error, with the reason for each attempt. Each call is counted against the
contract and announced to the ledger before any byte of it is sent.

The time a target may take depends on whether another target remains. If so, it is given up early enough
for the other to meet the endpoint's deadline; if not, giving it up would help nobody.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from farthing.config import CallConfig, ProviderConfig
from farthing.dialects.passing.operations import PASSING
from farthing.errors import ContractExceeded, ProviderError, forget_frames
from farthing.models.calling.attempts import Attempts
from farthing.models.calling.choice import Choice
from farthing.models.calling.context import CallContext
from farthing.models.calling.once_more import OnceMore, at_once, last
from farthing.models.calling.request import CallRequest, CallResult, failure_of
from farthing.models.calling.sending import Sending
from farthing.models.calling.suits import Suits
from farthing.models.calling.telling import Telling, tell_of_breaker
from farthing.models.health.health import Health
from farthing.models.health.speed import Lengths
from farthing.models.lanes.pick import Place
from farthing.models.lanes.ways import Ways
from farthing.models.residency import Regions
from farthing.models.retry import Failed
from farthing.protocols import BatchApi, Ledger, Provider, TokenSizes, Transport
from farthing.types import Endpoint, Route, Target


class Hedges(Protocol):  # models/hedging
    """Makes calls beside those that are slow to begin."""

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
        """`Attempts.carried` for `first`, whose target is that of `place`, or the answer of another call that
        was made beside it. What fails beside it is added to `failed`.

        Raises:
            ProviderError, FarthingError: as `carried` of the first.
        """


class Caller:
    """Calls the providers of one configuration and tracks the health of their targets."""

    hedges: Hedges | None = None
    """None: no call is made beside another."""
    times = False
    """Whether anything is learnt of the time that answers take."""

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
        telling = Telling(clock)
        ways = Ways(providers, config, clock, health, tell_of_breaker)
        self.regions = Regions(limits)
        self.context = CallContext(
            providers=providers,
            limits=limits,
            transport=transport,
            ledger=ledger,
            config=config,
            clock=clock,
            ways=ways,
            regions=self.regions,
            telling=telling,
            sizes=sizes,
        )
        self._config = config
        self._clock = clock
        self._providers = providers
        self._limits = limits
        self._transport = transport
        self._ways = ways
        self._telling = telling
        self._lengths = lengths
        self.times = lengths is not None
        self.suits = Suits(self.context)
        self.choice = Choice(self.context, self.suits)
        self.sending = Sending(self.context)
        self.attempts = Attempts(self.context, self.suits, self.sending)
        self._once_more = OnceMore(self.context, self.choice, self.attempts)
        for known in health.values():
            known.reconfigure(config)

    def health(self, target: Target) -> Health:
        """The health of a target as a whole, whatever lanes it has."""
        return self.choice.health(target)

    def within(self, endpoint: Endpoint, target: Target) -> Provider | None:
        """As of `Choice`."""
        return self.choice.within(endpoint, target)

    def use_lanes(self, places: Mapping[str, Sequence[Place]]) -> None:
        """Divide the calls of providers with more than one address or key among their `places`. Called before
        the first call."""
        self._ways.places = places
        self.times = self.times or bool(places)

    def batch_api(self, provider: str) -> BatchApi | None:
        """The batch interface of a provider. None: it has none, or the configuration does not use it."""
        found = self._providers.get(provider)
        return None if found is None else found.batch_api(self._transport, self._limits[provider])

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
        doubted: Sequence[Target] = ()
        if len(route.targets) > 1:
            route, doubted = self.suits.suited(call, route)
        attempts, targets = call.receipt.attempts, route.targets
        attempts_max = len(attempts) + self._config.attempts_max
        attempts_max += call.besides is not None  # for the one that may be asked again without
        failed: list[Failed] = []
        refused: dict[str, ContractExceeded] = {}
        hedges = self.hedges
        for place, target in enumerate(targets):
            if len(attempts) >= attempts_max:
                break
            lane = self.choice.ready(call, targets, place, failed)
            if lane is None and (why := self.choice.left_for(call, target, failed)):
                call.receipt.skipped[target.name] = why
            again = False
            while lane is not None:
                try:
                    alone = len(targets) == 1 and lane.among is None
                    others = call.otherwise == "escalated" or (
                        not alone and self.choice.others(call, targets, place, lane)
                    )
                    begun = self.attempts.begin(call, target, lane, route, again=again)
                    result = await (
                        self.attempts.carried(begun, call, route, others=others)
                        if hedges is None or again
                        else hedges.answered(begun, call, route, place, failed, others=others)
                    )
                    if place:
                        self._telling.of_fallback(targets[0], target, failed, refused)
                    return result
                except ProviderError as error:
                    forget_frames(error)
                    failed.append(failure_of(target, error, lane))
                    if error.unasked:
                        call.receipt.skipped[target.name] = error.code
                        break
                    attempts_max += self.choice.spared(call, target, failed)
                    left, health = attempts_max - len(attempts), lane.health
                    if left > 0 and at_once(error, last(attempts), health, again):
                        again = True
                    else:
                        again, lane = False, self.choice.next_lane(call, targets, place, failed, left)
                except ContractExceeded as error:
                    if error.limit != "usd_max" and (not failed or error.limit == "deadline_s"):
                        raise  # else what failed before is what the client has to know
                    forget_frames(error)
                    refused[target.name] = error  # of money: another target may be cheaper
                    break
        return await self._once_more.call(call, route, failed, refused, attempts_max, doubted)

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
