"""What each tier would cost and how long it would take now, for routers that choose by more than rules.

Based on prices, health and speed of the tier's target, and on whether the provider has read the session's
prompt.
"""

from collections import OrderedDict
from collections.abc import Callable

from msgspec import Struct

from farthing.brain.route.objective import Option, cost_nusd
from farthing.brain.route.rules import RulesRouter
from farthing.types import Request, Route, Target, Traits

SESSIONS_MAX = 10_000
WARM_S = 300.0  # the shortest time that providers keep a prefix: OpenAI and Anthropic state five minutes


def _always_well(target: str) -> float:
    return 0.0


def _unknown_s(target: Target, request: Request) -> float | None:
    return None


class Knowledge(Struct, frozen=True, kw_only=True):
    """What a router can ask about targets. All of it is quick and never fails."""

    cooldown_s: Callable[[str], float] = _always_well
    """Seconds until a target may be called again; 0: now."""
    expected_s: Callable[[Target, Request], float | None] = _unknown_s
    """Expected seconds of its answer; None: unknown."""


class _Warm(Struct, frozen=True):
    """The target of a session's last request."""

    target: str
    tokens: int
    at_s: float


class TargetEstimates:
    """Estimates for the tiers of `rules`. Bounded; belongs to one event loop."""

    def __init__(
        self, rules: RulesRouter, knowledge: Knowledge | None, *, clock: Callable[[], float]
    ) -> None:
        """`clock` gives monotonic seconds."""
        self._rules = rules
        self._knowledge = knowledge or Knowledge()
        self._clock = clock
        self._warm: OrderedDict[tuple[str, str], _Warm] = OrderedDict()

    def option(self, tier: str, probability: float, request: Request, traits: Traits) -> Option:
        """`tier`, represented by its first healthy target; `probability` is that its answer is good."""
        targets = self._rules.tiers[tier]
        cooldown_s = self._knowledge.cooldown_s
        well = next((target for target in targets if cooldown_s(target.name) <= 0), None)
        first = well or targets[0]
        warm_tokens = self._warm_tokens(request, first)
        return Option(
            name=tier,
            probability=probability,
            cost_nusd=cost_nusd(
                first,
                input_tokens=traits.input_tokens,
                output_tokens_max=request.output_tokens_max,
                warm_tokens=warm_tokens,
            ),
            default=tier == self._rules.default_tier,
            in_cooldown=well is None,
            expected_s=self._knowledge.expected_s(first, request),
            warm=warm_tokens > 0,
        )

    def remember(self, request: Request, traits: Traits, route: Route) -> None:
        """`route` was taken: its first target will have read the session's prompt."""
        if request.session is None:
            return
        key = (request.tenant.name, request.session)
        self._warm[key] = _Warm(route.targets[0].name, traits.input_tokens, self._clock())
        self._warm.move_to_end(key)
        if len(self._warm) > SESSIONS_MAX:
            self._warm.popitem(last=False)

    def _warm_tokens(self, request: Request, target: Target) -> int:
        """Tokens of the prompt that `target` has probably read before: all of the session's last prompt."""
        if request.session is None:
            return 0
        warm = self._warm.get((request.tenant.name, request.session))
        if warm is None or warm.target != target.name or self._clock() - warm.at_s > WARM_S:
            return 0
        return warm.tokens
