"""Which tier is asked where no target of the chosen one answers, as `tiers.NAME.fallback` says."""

from farthing.config import AUTO
from farthing.pipeline.steps import Steps
from farthing.types import Prompt, Receipt, Request, Route, replace


def with_next_tiers(route: Route, request: Request, prompt: Prompt, steps: Steps, receipt: Receipt) -> Route:
    """`route`, followed by the targets of the tiers that take over for its own: of those that the client may
    use, the ones with room for the prompt.

    Unchanged where the client named a model, where the route leads to a better tier by itself (a cascade),
    and for the gateway's own jobs, which are about one tier.
    """
    if not steps.next_tiers:
        return route
    following = steps.next_tiers.get(route.tier)
    if following is None or route.pinned or route.escalation is not None or receipt.purpose:
        return route
    known = {target.name for target in route.targets}
    tiers, more = dict[str, str](), []
    for tier, target in following:
        window = target.context_tokens_max
        if (
            _may_use(request, tier)
            and target.name not in known
            and (window is None or prompt.input_tokens <= window)
        ):
            known.add(target.name)
            tiers[target.name] = tier
            more.append(target)
    followed: Route = replace(route, targets=(*route.targets, *more), tiers=tiers)
    return followed


def _may_use(request: Request, tier: str) -> bool:
    """Whether the lists of key and endpoint let a client have this tier: by its name, or among those that may
    be chosen for it."""
    if request.tiers is not None and tier not in request.tiers:
        return False
    return all(
        tier in scope.named_tiers or (AUTO in scope.names if scope.tiers is None else tier in scope.tiers)
        for scope in (request.tenant.scope, request.endpoint.scope)
        if scope is not None
    )
