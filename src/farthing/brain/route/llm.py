"""Routes by a cheap model's verdict on a question, easy or hard, within what the rules leave open.

The rules come first, as in every router. For a request that no rule sends anywhere but to the default tier,
the model is asked whether it is easy. If so, the cheap tier answers if it is the better choice by price,
health and time; otherwise the default tier does. If the model does not reply in time, it has no part in the
decision.

The model can also give a second opinion to a router that has its own score (`Second`).
"""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from farthing.brain.route.estimates import TargetEstimates
from farthing.brain.route.gate import Arm, PolicyGate, Scored
from farthing.brain.route.objective import Aim, Option, choose
from farthing.brain.route.rules import RulesRouter
from farthing.protocols import RouteAdvisor
from farthing.runtime.loop_batch import is_immediate
from farthing.types import Request, Route, Traits, replace


class Question(Struct, frozen=True, kw_only=True):
    """How the model is asked, and the reply that is needed."""

    adviser: str
    """The target that is asked, for reasons."""
    wait_s: float
    """How long a request may wait for it."""
    threshold: float
    """How easy a question must be for the cheap tier."""
    thresholds: Mapping[str, float] = {}
    """The same for endpoints with their own setting."""
    prefer: Literal["cost", "latency"] = "cost"
    """The preference among tiers that are good enough."""


class LlmRouter:
    """Implements `protocols.Router`; belongs to one event loop."""

    def __init__(
        self,
        rules: RulesRouter,
        advisor: RouteAdvisor,
        *,
        estimates: TargetEstimates,
        gate: PolicyGate,
        question: Question,
    ) -> None:
        """The cheap and the default tier are those of `gate`; scores carry its name."""
        self._rules = rules
        self._advisor = advisor
        self.immediate = is_immediate(advisor)
        self._estimates = estimates
        self.gate = gate
        self._question = question
        self.wait_s = question.wait_s

    def known_models(self) -> tuple[str, ...]:
        """As the rules."""
        return self._rules.known_models()

    async def route(self, request: Request, traits: Traits) -> Route:
        """See `protocols.Router`.

        Raises:
            UnknownModel: no target has the name that the client asked for, or the tier is unknown.
        """
        if not self._rules.undecided(request, traits):
            return self._rules.choose(request, traits)
        return self.decide(request, traits, await self._advisor.easy(request))

    def decide(self, request: Request, traits: Traits, easy: float | None) -> Route:
        """The route of an undecided request; `easy` is the model's verdict."""
        arm = self.gate.arm(request)
        return self._unadvised(arm, traits) if easy is None else self._advised(arm, request, traits, easy)

    def fallback(self, request: Request) -> Route:
        """As the rules: the default tier if the client left the choice open."""
        return self._rules.fallback(request)

    def pins(self, request: Request) -> bool:
        """See `protocols.Router`."""
        return self._rules.pins(request)

    def answers(self, request: Request, traits: Traits) -> bool:
        """See `protocols.Router`."""
        return self._rules.answers(request, traits)

    def _advised(self, arm: Arm, request: Request, traits: Traits, easy: float) -> Route:
        asked = self._question
        expensive = self._estimates.option(arm.expensive, 1.0, request, traits)
        cheap = self._estimates.option(arm.cheap, easy, request, traits)
        if cheap.cost_nusd is None:  # without a price, the operator's designation as the cheap tier counts
            expensive = replace(expensive, cost_nusd=None)
        aim = Aim(
            threshold=asked.thresholds.get(request.endpoint.name, asked.threshold),
            deadline_s=request.endpoint.terms.deadline_s,
            prefer=asked.prefer,
        )

        def otherwise() -> tuple[str, str]:
            choice = choose((expensive, cheap), aim)
            summary = f"llm: {asked.adviser} says {easy:.0%} easy, {aim.threshold:.0%} needed"
            return (
                choice.option.name,
                f"{summary}; {choice.option.name} answers, {choice.how}{choice.without}",
            )

        scored = Scored(score=easy, cheap=cheap, expensive=expensive, aim=aim)
        return self.gate.route(arm, request, traits, scored, to_tier=self._rules.to_tier, otherwise=otherwise)

    def _unadvised(self, arm: Arm, traits: Traits) -> Route:
        """An unscored request is treated as hard, with a policy and without."""
        route = self._rules.to_tier(arm.expensive, traits)
        also = route.reason.partition("; ")[2]  # targets left out because of their context windows
        summary = f"llm: {self._question.adviser} gave no verdict; {arm.expensive} answers"
        unscored: Route = replace(route, reason=f"{summary}; {also}" if also else summary, policy=arm.label)
        return unscored


class Second(Struct, frozen=True, kw_only=True):
    """A second opinion on requests for which another router's score is not decisive.

    It moves the score by at most `unsure`: up in proportion to how far the reply is above `easy_from`, down
    in proportion to how far it is below. So a plain yes or no decides, and a graded reply counts by its
    grade.
    """

    advisor: RouteAdvisor
    adviser: str
    """The target that is asked, for reasons."""
    by: str
    """Name and version of the adviser, part of the router's name: moved scores differ from unmoved ones."""
    wait_s: float
    easy_from: float
    unsure: float
    """Only scores at most this far from the floor are in doubt."""

    def doubts(self, score: float, floor: float) -> bool:
        """Whether to ask."""
        return abs(score - floor) <= self.unsure

    def moved(self, easy: float) -> float:
        """What to add to the score."""
        if easy >= self.easy_from:
            room = 1.0 - self.easy_from
            return self.unsure * ((easy - self.easy_from) / room if room > 0 else 1.0)
        return self.unsure * (easy - self.easy_from) / self.easy_from - 1e-9  # stays below the floor

    def summary(self, easy: float | None) -> str:
        """The part of the reason about the second opinion."""
        word = "gave no verdict" if easy is None else f"says {easy:.0%} easy"
        return f"unsure, so {self.adviser} was asked: it {word}"


def shifted(cheap: Option, by: float) -> Option:
    """`cheap` with its probability moved `by`, which moves its score by the same amount."""
    changed: Option = replace(cheap, probability=min(1.0, max(0.0, cheap.probability + by)))
    return changed
