"""What is booked for one call: the provider's own figure if its preset accepts that, else ours."""

from collections.abc import Callable

from farthing.models.pricing.cost import call_cost
from farthing.types import Attempt, Target, Usage


def _no_other(name: str) -> Target | None:
    return None


def book(
    attempt: Attempt, target: Target, usage: Usage, target_of: Callable[[str], Target | None] = _no_other
) -> None:
    """Write what a call of `target` used and cost into `attempt`: what the provider says it charged, with our
    figure beside it, or ours, or what of the usage has no price. `target_of` knows other models that had a
    part in it. Twice is safe: the later word counts."""
    ours, missing = call_cost(target, usage, target_of)
    told = usage.told_nusd
    attempt.usage = usage
    attempt.cost_nusd = ours if told is None else told
    attempt.reckoned_nusd = None if told is None else ours
    attempt.unpriced = ", ".join(missing) if told is None and target.price is not None else ""
