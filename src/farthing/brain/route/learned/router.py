"""Routes by the predictions of a fitted model, within what the rules leave open.

The rules come first. A named model, tier or endpoint tier, a fixed answer, and any matching rule decide as
always. The model only predicts for requests that no rule sends anywhere but to the default tier.
"""

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Literal

from msgspec import Struct

from farthing.brain.route.estimates import Knowledge, TargetEstimates
from farthing.brain.route.gate import Arm, GateContext, PolicyGate, Scored, cheap_and_expensive
from farthing.brain.route.learned.features import Floats, excerpt, read
from farthing.brain.route.learned.model import RouteModel
from farthing.brain.route.llm import Second, shifted
from farthing.brain.route.objective import Aim, Option, cheap_score, choose
from farthing.brain.route.rules import RulesRouter
from farthing.errors import ConfigError
from farthing.guarantees.monitor.routing import RouteMonitor
from farthing.guarantees.policy.applied import Policies
from farthing.protocols import Embedder
from farthing.runtime.loop_batch import is_immediate
from farthing.types import Request, Route, Traits, replace


class Aims(Struct, frozen=True, kw_only=True):
    """The configuration's targets for decisions."""

    threshold: float = 0.95
    endpoint_thresholds: Mapping[str, float] = {}
    explore_share: float = 0.0
    """Share of decisions for which both tiers are asked; the client gets the expensive answer."""
    explore_shares: Mapping[str, float] = {}
    """The same for endpoints with their own setting."""
    losses_max: Mapping[str, float] = {}
    """The loss that a certificate may allow at most, by endpoint."""
    prefer: Literal["cost", "latency"] = "cost"
    second: Second | None = None
    """The second opinion if the score is near the floor; None: there is none."""

    def name(self, learned: str) -> str:
        """Name and version of the scorer, for the model `learned`: a second opinion adds its terms, because
        it moves the scores."""
        if self.second is None:
            return learned
        terms = self.threshold, sorted(self.endpoint_thresholds.items()), self.second.easy_from
        digest = blake2b(repr((*terms, self.second.unsure)).encode(), digest_size=4).hexdigest()
        return f"{learned}+{self.second.by}/{digest}"


class LearnedRouter:
    """Implements `protocols.Router`; belongs to one event loop. Takes 0.2 ms of CPU plus the embedder's time.

    A failure of the embedder is left to the pipeline, which uses `fallback`.
    """

    def __init__(
        self,
        rules: RulesRouter,
        model: RouteModel,
        embedder: Embedder | None,
        *,
        draw: Callable[[], float],
        aims: Aims | None = None,
        knowledge: Knowledge | None = None,
        policies: Policies | None = None,
        name: str = "",
    ) -> None:
        """`draw` gives numbers in [0, 1). `name` is the router's name and version, for receipts and
        certificates; empty: derived from the data that the model was fitted to.

        Raises:
            ConfigError: the model knows fewer than two of the tiers, or reads vectors of another embedder.
        """
        self._rules = rules
        self._model = model
        self._embedder = embedder if model.space.embeds else None
        self._aims = aims or Aims()
        self._estimates = TargetEstimates(rules, knowledge)
        self._columns = _columns(rules, model)
        second = self._aims.second
        self.wait_s = 0.0 if second is None else second.wait_s
        self.immediate = is_immediate(self._embedder, second and second.advisor)
        self.gate = PolicyGate(
            policies or Policies(None, RouteMonitor()),
            GateContext(
                router=self._aims.name(name or f"learned/{model.about.data}"),
                tiers={tier: rules.tiers[tier][0].name for tier in self._columns},
                pair=cheap_and_expensive(rules.tiers, rules.default_tier, self._columns),
                losses_max=self._aims.losses_max,
                explore_share=self._aims.explore_share,
                explore_shares=self._aims.explore_shares,
            ),
            draw=draw,
        )
        if model.space.embeds and (embedder is None or embedder.name != model.about.embedder):
            has = "there is none" if embedder is None else f"there is {embedder.name}"
            raise ConfigError(f"route.model reads vectors of {model.about.embedder}, and {has}: fit it again")

    def known_models(self) -> tuple[str, ...]:
        """As the rules."""
        return self._rules.known_models()

    async def route(self, request: Request, traits: Traits) -> Route:
        """See `protocols.Router`.

        Raises:
            UnknownModel: no target has the name that the client asked for, or the tier is unknown.
            StoreError: the embedder failed.
        """
        if not self._rules.undecided(request, traits):
            return self._rules.choose(request, traits)
        vector = None
        if self._embedder is not None:
            vectors, _ = await self._embedder.embed([excerpt(request.text)])
            vector = vectors[0]
        if self._aims.second is None:
            return self.decide(request, traits, vector)
        return await self._seconded(request, traits, vector, self._aims.second)

    def decide(self, request: Request, traits: Traits, vector: Floats | None) -> Route:
        """The route of an undecided request; `vector` is the embedding of its text. Asks no model."""
        return self._decided(self.gate.arm(request), request, traits, self._options(request, traits, vector))

    async def _seconded(
        self, request: Request, traits: Traits, vector: Floats | None, second: Second
    ) -> Route:
        """Like `decide`, with a second opinion if the cheap tier's score is near the configured floor. (Not
        near a certificate's threshold: the score must not depend on what is promised about it.)"""
        options = self._options(request, traits, vector)
        arm = self.gate.arm(request)
        cheap = options.get(arm.cheap)
        if cheap is None:
            return self._decided(arm, request, traits, options)
        score = cheap_score(cheap, options[arm.expensive])
        if not second.doubts(score, self._aim(request).threshold):
            return self._decided(arm, request, traits, options)
        easy = await second.advisor.easy(request)
        if easy is not None:
            options[arm.cheap] = shifted(cheap, second.moved(easy))
        route = self._decided(arm, request, traits, options)
        seconded: Route = replace(route, reason=f"{route.reason}; {second.summary(easy)}")
        return seconded

    def _options(self, request: Request, traits: Traits, vector: Floats | None) -> dict[str, Option]:
        probabilities = self._model.one(read(request.text), vector)
        return {
            tier: self._estimates.option(tier, probabilities[column], request, traits)
            for tier, column in self._columns.items()
        }

    def _aim(self, request: Request) -> Aim:
        return Aim(
            threshold=self._aims.endpoint_thresholds.get(request.endpoint.name, self._aims.threshold),
            deadline_s=request.endpoint.terms.deadline_s,
            prefer=self._aims.prefer,
        )

    def _decided(self, arm: Arm, request: Request, traits: Traits, options: Mapping[str, Option]) -> Route:
        aim = self._aim(request)

        def otherwise() -> tuple[str, str]:
            choice = choose(tuple(options.values()), aim)
            return choice.option.name, choice.reason

        if arm.cheap:
            cheap, expensive = options[arm.cheap], options[arm.expensive]
            score = cheap_score(cheap, expensive)
            scored = Scored(score=score, cheap=cheap, expensive=expensive, aim=aim)
            route = self.gate.route(
                arm, request, traits, scored, to_tier=self._rules.to_tier, otherwise=otherwise
            )
        elif arm.refused:
            route = self.gate.refused(arm, self._rules.fallback(request))
        else:
            tier, reason = otherwise()
            route = replace(self._rules.to_tier(tier, traits), reason=reason, policy=arm.label)
        return route

    def fallback(self, request: Request) -> Route:
        """As the rules: the best tier if the client left the choice open."""
        return self._rules.fallback(request)

    def pins(self, request: Request) -> bool:
        """See `protocols.Router`."""
        return self._rules.pins(request)

    def answers(self, request: Request, traits: Traits) -> bool:
        """See `protocols.Router`."""
        return self._rules.answers(request, traits)


def _columns(rules: RulesRouter, model: RouteModel) -> dict[str, int]:
    """The model's column for each tier: the tier's name, or its first target's.

    Raises:
        ConfigError: fewer than two tiers are known.
    """
    known = {name: index for index, name in enumerate(model.models)}
    found: dict[str, int] = {}
    for tier, targets in rules.tiers.items():
        for name in (tier, targets[0].name, targets[0].model):
            if name in known:
                found[tier] = known[name]
                break
    if len(found) < 2:
        raise ConfigError(
            f"route.model knows {', '.join(model.models)}, and the tiers are "
            f"{', '.join(rules.tiers) or 'none'}: it must know two of them, by name or by their first target"
        )
    return found
