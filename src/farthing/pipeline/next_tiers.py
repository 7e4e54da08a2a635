"""Which tier is asked where no target of the chosen one answers, as `tiers.NAME.fallback` says."""

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
        allowed = request.tiers is None or tier in request.tiers
        window = target.context_tokens_max
        if allowed and target.name not in known and (window is None or prompt.input_tokens <= window):
            known.add(target.name)
            tiers[target.name] = tier
            more.append(target)
    followed: Route = replace(route, targets=(*route.targets, *more), tiers=tiers)
    return followed
