"""What of a request a target can be told: which of a route suit it, and what is left out where it goes."""

from collections.abc import Sequence

from farthing.dialects.chat.fields import CHANGES_THE_ANSWER
from farthing.dialects.chat.requests.lowering import CHANGES
from farthing.errors import CannotSay, FarthingError, InvalidRequest, ProviderError, ProviderRejected, named
from farthing.models.calling.context import CallContext
from farthing.models.calling.request import CallRequest
from farthing.protocols import ALL_SAID, Provider, Unsaid
from farthing.text.asked import lacking
from farthing.types import Operation, Prompt, Route, Target, replace

ESSENTIAL = CHANGES_THE_ANSWER | CHANGES
"""Fields that a client cannot do without noticing, by either dialect's names."""


class Suits:
    """Which targets of one configuration suit a request."""

    def __init__(self, context: CallContext) -> None:
        self._providers = context.providers
        self._limits = context.limits
        self._ways = context.ways
        self._telling = context.telling
        self.regions = context.regions

    def suited(self, call: CallRequest, route: Route) -> tuple[Route, Sequence[Target]]:
        """`route` with those first that can read all of it, and without the targets that the catalogue says
        cannot take this request, unless the client named them. These as well: the catalogue may be wrong, so
        they are asked where none of the others answers."""
        sent = call.prompt.sent
        if sent is not None and sent.sealed:
            route = replace(route, targets=self._makers_first(call, route.targets))
        if route.pinned:
            return route, ()
        prompt = call.prompt
        limit = prompt.output_tokens_max if sent is None else None
        without = lacking(route.targets, prompt.body, prompt.media_tokens > 0, limit)
        if not without:
            return route, ()
        call.receipt.skipped |= dict.fromkeys(without, CannotSay.code)
        kept = tuple(target for target in route.targets if target.name not in without)
        found: Route = replace(route, targets=kept)
        return found, [target for target in route.targets if target.name in without]

    def _makers_first(self, call: CallRequest, targets: Sequence[Target]) -> tuple[Target, ...]:
        """`targets` with those first that are told all of a conversation in which a provider has encrypted
        what others cannot read, in their order otherwise."""
        return tuple(sorted(targets, key=lambda target: not self.is_told_all(call, target)))

    def is_told_all(self, call: CallRequest, target: Target, provider: Provider | None = None) -> bool:
        """`provider`: the object of one of its lanes; None: of any of them."""
        places = self._ways.places.get(target.provider, ()) if provider is None else ()
        if len(places) > 1 and self._limits[target.provider].separate_accounts:
            return any(self.is_told_all(call, target, place.provider) for place in places)
        try:
            return self.unsaid(call.prompt, target, call.request.operation, provider) is ALL_SAID
        except ProviderError:
            return False

    def can_be_told(self, call: CallRequest, target: Target) -> bool:
        """Whether the provider's dialect can express everything that must not be left out, and the request
        may go there."""
        if call.request.endpoint.residency and not self.regions.allows(call.request.endpoint, target):
            return False
        if call.prompt.sent is None and self._providers[target.provider].capabilities.all_said:
            return True
        try:
            unsaid = self.unsaid(call.prompt, target, call.request.operation)
            self.left_out(target, unsaid)
        except ProviderError:
            return False
        return True

    def extended(self, call: CallRequest, target: Target, provider: Provider | None = None) -> Prompt | None:
        """The prompt with what is asked for beside it; None: nothing is, or `target` is known not to take it.
        `provider`: the object of one of its lanes."""
        besides, prompt = call.besides, call.prompt
        if besides is None or target.name in besides.spared:
            return None
        fields = besides.fields
        if "logprobs" in fields and not self._providers[target.provider].capabilities.logprobs:
            return None
        found: Prompt = replace(prompt, body={**prompt.body, **fields})
        try:
            unsaid = self.unsaid(found, target, call.request.operation, provider)
        except ProviderError:
            return None
        return found if fields.keys().isdisjoint(unsaid.names) else None

    def unsaid(
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
            failure = self._telling.of_fault(target, error)
            failure.unasked = True
            raise failure from error

    def left_out(self, target: Target, unsaid: Unsaid) -> str:
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
