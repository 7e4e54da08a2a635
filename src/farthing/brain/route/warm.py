"""Keeps a session on a target that has its prompt cached, where that costs less than the one that was chosen.

Only ever on a dearer one by its list prices, which is to say a better one: what was promised of quality
holds, since nobody is answered by less than what was chosen. The sum counts what this session's next call
costs now: what is cached at the price of reading it, the rest at that of writing it where it is written, and
an answer of the usual length.
"""

from collections.abc import Iterable

from farthing.brain.route.estimates import Knowledge
from farthing.brain.route.objective import cost_nusd
from farthing.brain.route.rules import RulesRouter
from farthing.config import ENDPOINT_PREFIX
from farthing.protocols import Router, WarmPrefix
from farthing.runtime.loop_batch import is_immediate
from farthing.types import Request, Route, Target, Traits, replace

INPUT_TOKENS_MIN = 512
"""Of a shorter prompt nothing is cached anywhere."""


class Stays:
    """Compares what is warm with what was chosen."""

    def __init__(self, knowledge: Knowledge) -> None:
        self._knowledge = knowledge

    def instead(
        self, request: Request, traits: Traits, chosen: Target, others: Iterable[Target]
    ) -> tuple[Target, str] | None:
        """That of `others` where the session should stay, and why; None: there is none."""
        if traits.input_tokens < INPUT_TOKENS_MIN:
            return None
        warm = {one.target: one for one in self._knowledge.warm(request)}
        if not warm:
            return None
        held = [
            target
            for target in others
            if target.name in warm
            and target != chosen
            and is_dearer(target, chosen)
            and self._knowledge.cooldown_s(target.name) <= 0
        ]
        if not held:
            return None
        writes = any([one.writes for one in warm.values()])
        tokens = max(one.input_tokens for one in warm.values())

        def cost(target: Target) -> float:
            known: WarmPrefix | None = warm.get(target.name)
            found = cost_nusd(
                target,
                input_tokens=tokens,
                output_tokens_max=request.output_tokens_max,
                warm_tokens=0 if known is None else known.tokens,
                writes=writes,
            )
            return float("inf") if found is None else found

        best = min(held, key=cost)
        here, there = cost(best), cost(chosen)
        if not here < there < float("inf"):
            return None
        return best, (
            f"stays with {best.name}, which has {warm[best.name].tokens} tokens of the session cached: "
            f"${here / 1e9:.4f}, not ${there / 1e9:.4f} at {chosen.name}"
        )


class WarmRouter:
    """Implements `protocols.Router` around another. What a client named, what a score or a policy decided,
    and a fixed answer are left as they are."""

    def __init__(self, router: Router, rules: RulesRouter, stays: Stays) -> None:
        self._router = router
        self._rules = rules
        self._stays = stays
        self.immediate = is_immediate(router)
        self.wait_s = router.wait_s

    async def route(self, request: Request, traits: Traits) -> Route:
        """See `protocols.Router`.

        Raises:
            UnknownModel: from the inner router.
        """
        route = await self._router.route(request, traits)
        if traits.input_tokens < INPUT_TOKENS_MIN or not _is_open(request, route):
            return route
        return self._stayed(request, traits, route)

    def fallback(self, request: Request) -> Route:
        """As the inner router."""
        return self._router.fallback(request)

    def pins(self, request: Request) -> bool:
        """As the inner router."""
        return self._router.pins(request)

    def answers(self, request: Request, traits: Traits) -> bool:
        """As the inner router."""
        return self._router.answers(request, traits)

    def _stayed(self, request: Request, traits: Traits, route: Route) -> Route:
        homes = [(route.tier, route.targets)]
        homes += [(tier, self._rules.tiers[tier]) for tier in self._tiers(request)]
        others = (target for _, targets in homes for target in targets)
        found = self._stays.instead(request, traits, route.targets[0], others)
        if found is None:
            return route
        target, why = found
        tier = next(tier for tier, targets in homes if target in targets)
        stays = route if tier == route.tier else self._rules.to_tier(tier, traits)
        if target not in stays.targets:  # its context window is too small
            return route
        rest = (one for one in stays.targets if one != target)
        stayed: Route = replace(stays, targets=(target, *rest), reason=f"{route.reason}; {why}")
        return stayed

    def _tiers(self, request: Request) -> Iterable[str]:
        """The tiers among which may be chosen; empty: that of the route alone."""
        name = request.model
        chooses = name in self._rules.choosing or name.startswith(ENDPOINT_PREFIX)
        if not chooses or request.tier is not None or request.endpoint.tier is not None:
            return ()
        return self._rules.tiers if request.tiers is None else request.tiers


def _is_open(request: Request, route: Route) -> bool:
    return bool(
        route.targets
        and route.fixed is None
        and route.score is None
        and route.shadow is None
        and not (route.pinned or route.policy or route.by)
        and request.operation == "chat"
        and not request.own
    )


def is_dearer(target: Target, other: Target) -> bool:
    """Whether no token of `target` costs less than one of `other` by their list prices, without a cache."""
    price, others = target.price, other.price
    if price is None or others is None:
        return False
    return price.input_pusd >= others.input_pusd and price.output_pusd >= others.output_pusd
