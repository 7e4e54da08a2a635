"""What each tier would cost and how long it would take now, for routers that choose by more than rules.

Based on prices, health and speed of the tier's target, and on whether the provider has read the session's
prompt.
"""

from collections.abc import Callable, Sequence

from msgspec import Struct

from farthing.brain.route.objective import Option, cost_nusd
from farthing.brain.route.rules import RulesRouter
from farthing.protocols import WarmPrefix
from farthing.types import Request, Target, Traits


def _always_well(target: str) -> float:
    return 0.0


def _unknown_s(target: Target, request: Request) -> float | None:
    return None


def _nothing_warm(request: Request) -> Sequence[WarmPrefix]:
    return ()


class Knowledge(Struct, frozen=True, kw_only=True):
    """What a router can ask about targets. All of it is quick and never fails."""

    cooldown_s: Callable[[str], float] = _always_well
    """Seconds until a target may be called again; 0: now."""
    expected_s: Callable[[Target, Request], float | None] = _unknown_s
    """Expected seconds of its answer; None: unknown."""
    warm: Callable[[Request], Sequence[WarmPrefix]] = _nothing_warm
    """Where the beginning of a request is probably cached, and how much of it."""


class TargetEstimates:
    """Estimates for the tiers of `rules`. Belongs to one event loop."""

    def __init__(self, rules: RulesRouter, knowledge: Knowledge | None) -> None:
        self._rules = rules
        self._knowledge = knowledge or Knowledge()

    def option(self, tier: str, probability: float, request: Request, traits: Traits) -> Option:
        """`tier`, represented by its first healthy target; `probability` is that its answer is good."""
        targets = self._rules.tiers[tier]
        cooldown_s = self._knowledge.cooldown_s
        well = next((target for target in targets if cooldown_s(target.name) <= 0), None)
        first = well or targets[0]
        known = self._knowledge.warm(request)
        warm_tokens = next((one.tokens for one in known if one.target == first.name), 0)
        return Option(
            name=tier,
            probability=probability,
            cost_nusd=cost_nusd(
                first,
                input_tokens=known[0].input_tokens if known else traits.input_tokens,
                output_tokens_max=request.output_tokens_max,
                warm_tokens=warm_tokens,
                writes=any([one.writes for one in known]),
            ),
            default=tier == self._rules.default_tier,
            in_cooldown=well is None,
            expected_s=self._knowledge.expected_s(first, request),
            warm=warm_tokens > 0,
        )
