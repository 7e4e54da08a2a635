"""Adds an escalation to a router's choice: the tier to ask if checks doubt the first answer."""

from collections.abc import Callable, Collection, Mapping
from typing import Literal

from msgspec import Struct

from farthing.brain.route.warm import Stays
from farthing.protocols import Router
from farthing.runtime.loop_batch import is_immediate
from farthing.types import Request, Route, Traits, replace

NOTHING_KNOWN = Traits()


class Steps(Struct, frozen=True, kw_only=True):
    """The cascade of one endpoint."""

    first: str
    then: str
    streams: Literal["wait", "skip"] = "wait"


class CascadeRouter:
    """Implements `protocols.Router` around another router, for endpoints with a cascade.

    A route to the endpoint's first tier gets the other tier as its escalation; an escalation from a rule is
    kept. A model or tier that the client named is left as it is.
    """

    def __init__(
        self,
        router: Router,
        cascades: Mapping[str, Steps],
        *,
        to_tier: Callable[[str, Traits], Route],
        tiers: Collection[str],
        stays: Stays | None = None,
    ) -> None:
        """`cascades` by endpoint; `to_tier` gives the route to a tier for a request's traits. `tiers`: the
        names of tiers that clients may use. `stays`: a session that has its prompt cached at the other tier
        goes straight there where that costs less than the first tier alone; None: never."""
        self._router = router
        self.immediate = is_immediate(router)
        self._cascades = cascades
        self._to_tier = to_tier
        self._tiers = frozenset(tiers)
        self._stays = stays
        self.wait_s = router.wait_s

    async def route(self, request: Request, traits: Traits) -> Route:
        """See `protocols.Router`.

        Raises:
            UnknownModel: from the inner router.
        """
        return self._cascaded(request, traits, await self._router.route(request, traits))

    def fallback(self, request: Request) -> Route:
        """See `protocols.Router`.

        Raises:
            UnknownModel: from the inner router.
        """
        return self._cascaded(request, NOTHING_KNOWN, self._router.fallback(request))

    def pins(self, request: Request) -> bool:
        """As the inner router."""
        return self._router.pins(request)

    def answers(self, request: Request, traits: Traits) -> bool:
        """As the inner router."""
        return self._router.answers(request, traits)

    def _cascaded(self, request: Request, traits: Traits, route: Route) -> Route:
        steps = self._cascades.get(request.endpoint.name)
        if (
            steps is None
            or route.tier != steps.first
            or route.pinned
            or route.fixed is not None
            or route.escalation is not None
            or request.operation != "chat"
            or request.tier is not None
            or request.model in self._tiers
        ):
            return route
        then = self._to_tier(steps.then, traits)
        changed: Route
        if request.stream and steps.streams == "skip":
            if request.tiers is not None and steps.then not in request.tiers:
                return route  # no check has doubted an answer; a further tier would be the client's choice
            reason = f"{route.reason}; streamed, so not checked: straight to {steps.then}"
            changed = replace(route, tier=then.tier, targets=then.targets, reason=reason)
            return changed
        if self._stays is not None and (request.tiers is None or steps.then in request.tiers):
            stays = self._stays.instead(request, traits, route.targets[0], then.targets)
            if stays is not None:
                target, why = stays
                others = (one for one in then.targets if one != target)
                changed = replace(then, targets=(target, *others), reason=f"{route.reason}; {why}")
                return changed
        escalation: Route = replace(then, reason=f"escalated from {steps.first} by a check")
        changed = replace(route, escalation=escalation)
        return changed
