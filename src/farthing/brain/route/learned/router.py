"""Routes by what a fitted model predicts, within what the rules leave open.

The rules are asked first. A model, tier or endpoint's tier that is named, a fixed answer, and any rule that
holds decide as they always do; only what would have gone to the default tier for want of a rule is predicted.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Literal

from msgspec import Struct

from farthing.brain.route.learned.features import Floats, excerpt, read
from farthing.brain.route.learned.model import RouteModel
from farthing.brain.route.learned.objective import Aim, Choice, Option, choose, cost_nusd
from farthing.brain.route.rules import RulesRouter
from farthing.errors import ConfigError
from farthing.protocols import Embedder
from farthing.types import Request, Route, Target, Traits, replace

SESSIONS_MAX = 10_000
WARM_S = 300.0  # how long providers keep a prefix at the least: OpenAI and Anthropic state five minutes


def _always_well(target: str) -> float:
    return 0.0


def _unknown_s(target: Target, request: Request) -> float | None:
    return None


class Knowledge(Struct, frozen=True, kw_only=True):
    """What the router may ask about targets. All of it is quick and never fails."""

    rests_s: Callable[[str], float] = _always_well
    """Seconds until a target may be called again; 0: now."""
    expected_s: Callable[[Target, Request], float | None] = _unknown_s
    """How long its answer would take; None: unknown."""


class Aims(Struct, frozen=True, kw_only=True):
    """What the configuration asks of decisions."""

    threshold: float = 0.95
    endpoint_thresholds: Mapping[str, float] = {}
    explore_share: float = 0.0
    """Share of decisions that are drawn by lot among the tiers that could answer."""
    prefer: Literal["cost", "latency"] = "cost"


class _Warm(Struct, frozen=True):
    """Where the last request of a session went."""

    target: str
    tokens: int
    at_s: float


class LearnedRouter:
    """See `protocols.Router`; belongs to one event loop. 0.2 ms of CPU and what the embedder takes.

    Any failure of the embedder is left to the pipeline, which goes on with `fallback`.
    """

    def __init__(
        self,
        rules: RulesRouter,
        model: RouteModel,
        embedder: Embedder | None,
        *,
        draw: Callable[[], float],
        clock: Callable[[], float],
        aims: Aims | None = None,
        knowledge: Knowledge | None = None,
    ) -> None:
        """`draw` gives numbers from 0 to below 1, `clock` monotonic seconds.

        Raises:
            ConfigError: the model knows fewer than two of the tiers, or reads vectors of another embedder.
        """
        self._rules = rules
        self._model = model
        self._embedder = embedder if model.space.embeds else None
        self._draw = draw
        self._clock = clock
        self._aims = aims or Aims()
        self._knowledge = knowledge or Knowledge()
        self._columns = _columns(rules, model)
        self._warm: OrderedDict[tuple[str, str], _Warm] = OrderedDict()
        if model.space.embeds and (embedder is None or embedder.name != model.about.embedder):
            has = "there is none" if embedder is None else f"there is {embedder.name}"
            raise ConfigError(f"route.model reads vectors of {model.about.embedder}, and {has}: fit it again")

    def known_models(self) -> tuple[str, ...]:
        """As of the rules."""
        return self._rules.known_models()

    async def route(self, request: Request, traits: Traits) -> Route:
        """As the Protocol.

        Raises:
            UnknownModel: nothing answers to the name the client asked for, or to the tier.
            StoreError: the embedder failed.
        """
        if not self._rules.undecided(request, traits):
            return self._rules.choose(request, traits)
        vector = None
        if self._embedder is not None:
            vectors, _ = await self._embedder.embed([excerpt(request.text)])
            vector = vectors[0]
        return self.decide(request, traits, vector)

    def decide(self, request: Request, traits: Traits, vector: Floats | None) -> Route:
        """The route of an undecided request, of whose text `vector` is the embedding."""
        probabilities = self._model.one(read(request.text), vector)
        options = [
            self._option(tier, probabilities[column], request, traits)
            for tier, column in self._columns.items()
        ]
        aim = Aim(
            threshold=self._aims.endpoint_thresholds.get(request.endpoint.name, self._aims.threshold),
            deadline_s=request.endpoint.terms.deadline_s,
            prefer=self._aims.prefer,
        )
        choice = choose(options, aim)
        option, score, reason, propensity = self._explored(choice, options)
        route = self._rules.to_tier(option.name, traits)
        self._remember(request, traits, route)
        also = route.reason.partition("; ")[2]  # targets left out for their context windows
        chosen: Route = replace(
            route, reason=f"{reason}; {also}" if also else reason, score=score, propensity=propensity
        )
        return chosen

    def fallback(self, request: Request) -> Route:
        """As of the rules: the best tier where the choice was left to us."""
        return self._rules.fallback(request)

    def pins(self, request: Request) -> bool:
        """As the Protocol."""
        return self._rules.pins(request)

    def answers(self, request: Request, traits: Traits) -> bool:
        """As the Protocol."""
        return self._rules.answers(request, traits)

    def _option(self, tier: str, probability: float, request: Request, traits: Traits) -> Option:
        targets = self._rules.tiers[tier]
        rests = self._knowledge.rests_s
        well = next((target for target in targets if rests(target.name) <= 0), None)
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
            rests=well is None,
            expected_s=self._knowledge.expected_s(first, request),
            warm=warm_tokens > 0,
        )

    def _explored(self, choice: Choice, options: list[Option]) -> tuple[Option, float, str, float]:
        """What is taken in the end, its score, why, and with which probability it was."""
        share, count = self._aims.explore_share, len(choice.open)
        if share <= 0.0 or count < 2:
            return choice.option, choice.score, choice.reason, 1.0
        chosen_by_lot = share / count
        if self._draw() < share:
            option = choice.open[min(int(self._draw() * count), count - 1)]
            if option is not choice.option:
                best = max(other.probability for other in options)
                reason = f"learned: {option.name} drawn by lot, to learn; {choice.option.name} was preferred"
                return option, 1.0 - (best - option.probability), reason, chosen_by_lot
        return choice.option, choice.score, choice.reason, 1.0 - share + chosen_by_lot

    # -- where a session's prefix may be warm -------------------------------------------------------

    def _warm_tokens(self, request: Request, target: Target) -> int:
        """Tokens of the prompt that `target` has likely read before: all of the session's last prompt."""
        if request.session is None:
            return 0
        warm = self._warm.get((request.tenant.name, request.session))
        if warm is None or warm.target != target.name or self._clock() - warm.at_s > WARM_S:
            return 0
        return warm.tokens

    def _remember(self, request: Request, traits: Traits, route: Route) -> None:
        if request.session is None:
            return
        key = (request.tenant.name, request.session)
        self._warm[key] = _Warm(route.targets[0].name, traits.input_tokens, self._clock())
        self._warm.move_to_end(key)
        if len(self._warm) > SESSIONS_MAX:
            self._warm.popitem(last=False)


def _columns(rules: RulesRouter, model: RouteModel) -> dict[str, int]:
    """For each tier which column of the model tells of it: that of its name, or of its first target's.

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
