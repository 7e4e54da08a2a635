"""Routes by what a cheap model says of a question, easy or hard, within what the rules leave open.

The rules are asked first, as by every router. Of what they would send to the default tier for want of a rule,
the model is asked whether it is easy: then the cheap tier answers, where it is the better choice by price,
health and time; else the default tier does. A model that says nothing in time has no part in the decision.

The model may also be a second opinion, for a router that has a score of its own (`Second`).
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
    """What is asked of the model, and what its answer has to be."""

    adviser: str
    """The target that is asked, for reasons."""
    wait_s: float
    """How long a request may wait for it."""
    threshold: float
    """How easy a question has to be for the cheap tier."""
    thresholds: Mapping[str, float] = {}
    """The same of endpoints that have their own."""
    prefer: Literal["cost", "latency"] = "cost"
    """Among the tiers that will do."""


class LlmRouter:
    """See `protocols.Router`; belongs to one event loop."""

    def __init__(
        self,
        rules: RulesRouter,
        advisor: RouteAdvisor,
        *,
        estimates: TargetEstimates,
        gate: PolicyGate,
        question: Question,
    ) -> None:
        """The cheap and the default tier are those of `gate`; scores go by its name."""
        self._rules = rules
        self._advisor = advisor
        self.immediate = is_immediate(advisor)
        self._estimates = estimates
        self.gate = gate
        self._question = question
        self.wait_s = question.wait_s

    def known_models(self) -> tuple[str, ...]:
        """As of the rules."""
        return self._rules.known_models()

    async def route(self, request: Request, traits: Traits) -> Route:
        """As the Protocol.

        Raises:
            UnknownModel: nothing answers to the name the client asked for, or to the tier.
        """
        if not self._rules.undecided(request, traits):
            return self._rules.choose(request, traits)
        return self.decide(request, traits, await self._advisor.easy(request))

    def decide(self, request: Request, traits: Traits, easy: float | None) -> Route:
        """The route of an undecided request, of which the model says that it is `easy`."""
        arm = self.gate.arm(request)
        route = self._unadvised(arm, traits) if easy is None else self._advised(arm, request, traits, easy)
        self._estimates.remember(request, traits, route)
        return route

    def fallback(self, request: Request) -> Route:
        """As of the rules: the default tier where the choice was left to us."""
        return self._rules.fallback(request)

    def pins(self, request: Request) -> bool:
        """As the Protocol."""
        return self._rules.pins(request)

    def answers(self, request: Request, traits: Traits) -> bool:
        """As the Protocol."""
        return self._rules.answers(request, traits)

    def _advised(self, arm: Arm, request: Request, traits: Traits, easy: float) -> Route:
        asked = self._question
        expensive = self._estimates.option(arm.expensive, 1.0, request, traits)
        cheap = self._estimates.option(arm.cheap, easy, request, traits)
        if cheap.cost_nusd is None:  # prices do not tell: the operator's word that it is the cheap one does
            expensive = replace(expensive, cost_nusd=None)
        aim = Aim(
            threshold=asked.thresholds.get(request.endpoint.name, asked.threshold),
            deadline_s=request.endpoint.terms.deadline_s,
            prefer=asked.prefer,
        )

        def otherwise() -> tuple[str, str]:
            choice = choose((expensive, cheap), aim)
            said = f"llm: {asked.adviser} says {easy:.0%} easy, {aim.threshold:.0%} needed"
            return choice.option.name, f"{said}; {choice.option.name} answers, {choice.how}{choice.without}"

        scored = Scored(score=easy, cheap=cheap, expensive=expensive, aim=aim)
        return self.gate.route(arm, request, traits, scored, to_tier=self._rules.to_tier, otherwise=otherwise)

    def _unadvised(self, arm: Arm, traits: Traits) -> Route:
        """What was not scored goes where what is hard goes, under a policy and without."""
        route = self._rules.to_tier(arm.expensive, traits)
        also = route.reason.partition("; ")[2]  # targets left out for their context windows
        said = f"llm: {self._question.adviser} did not say; {arm.expensive} answers"
        unscored: Route = replace(route, reason=f"{said}; {also}" if also else said, policy=arm.label)
        return unscored


class Second(Struct, frozen=True, kw_only=True):
    """A second opinion on requests of which another router's score says little.

    It moves the score by at most `unsure`: up the more, the further the question is above `easy_from`, down
    the more, the further it is below. So a plain yes or no decides, and a graded answer counts by its grade.
    """

    advisor: RouteAdvisor
    adviser: str
    """The target that is asked, for reasons."""
    by: str
    """Name and version of what is asked, for the router's name: moved scores are not the others."""
    wait_s: float
    easy_from: float
    unsure: float
    """Only scores that are at most this far from the floor are in doubt."""

    def doubts(self, score: float, floor: float) -> bool:
        """Whether to ask."""
        return abs(score - floor) <= self.unsure

    def moved(self, easy: float) -> float:
        """What is added to the score."""
        if easy >= self.easy_from:
            room = 1.0 - self.easy_from
            return self.unsure * ((easy - self.easy_from) / room if room > 0 else 1.0)
        return self.unsure * (easy - self.easy_from) / self.easy_from - 1e-9  # at the edge, too, it is below

    def said(self, easy: float | None) -> str:
        """For the reason."""
        word = "did not say" if easy is None else f"says {easy:.0%} easy"
        return f"unsure, so {self.adviser} was asked: it {word}"


def shifted(cheap: Option, by: float) -> Option:
    """`cheap` with its probability moved `by`, which moves its score by as much."""
    changed: Option = replace(cheap, probability=min(1.0, max(0.0, cheap.probability + by)))
    return changed
