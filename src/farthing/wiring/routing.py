"""Builds routers that predict: their model and embedder, what they know of targets, and their policies.

Nothing is opened, and numpy is not imported, before the configuration asks for it.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from msgspec import Struct

from farthing.brain.route.advisor import Advice, Advise, AdvisorOptions, NoAdvice, name_of
from farthing.brain.route.estimates import Knowledge, TargetEstimates
from farthing.brain.route.gate import ArmState, GateContext, PolicyGate
from farthing.brain.route.llm import LlmRouter, Question, Second
from farthing.brain.route.rules import RulesRouter
from farthing.brain.route.warm import Stays, WarmRouter
from farthing.config import (
    DEFAULT_RULES,
    Config,
    LearnedRouteConfig,
    LlmRouteConfig,
    PluginRouteConfig,
    RouteAdvisorConfig,
    RulesRouteConfig,
)
from farthing.errors import ConfigError
from farthing.guarantees.monitor.error_rate import WAIT_S
from farthing.guarantees.monitor.file import WatchFile
from farthing.guarantees.monitor.routing import WATCH_FILE, RouteMonitor
from farthing.guarantees.policy.applied import Policies
from farthing.guarantees.policy.versions import folder_of
from farthing.jobs.runner import JobRunner
from farthing.models.embed.session import require
from farthing.models.health.health import Health
from farthing.models.health.speed import Lengths, Speed, expectation
from farthing.protocols import Embedder, PromptCaches, RouteAdvisor, Router
from farthing.runtime.faults import log_fault
from farthing.types import Endpoint, replace
from farthing.wiring.foreign import ForeignRouter
from farthing.wiring.plugins import Plugins, named

if TYPE_CHECKING:
    from farthing.brain.route.learned.router import LearnedRouter
    from farthing.models.embed.onnx import OnnxEmbedder
    from farthing.protocols import Vectors

log = logging.getLogger("farthing.routing")

EMBED_AT_ONCE = 256
BATCH_WAIT_S = 129_600.0  # judged in the next quiet hours, within the day that a batch may take
FOLLOW_S = 0.3  # a changed policy is applied within a second


class RoutingParts:
    """What the routers of all configurations share: one embedder, opened when a router needs it, and the
    policies with their monitor."""

    def __init__(self, state_dir: Path | None = None) -> None:
        """Without `state_dir` there are no policies. Reads nothing yet."""
        self._embedder: OnnxEmbedder | None = None
        self._warming: asyncio.Task[None] | None = None
        self.advice = Advice(clock=time.monotonic)
        """What models said of questions."""
        self._state_dir = state_dir
        watch = RouteMonitor()
        self.audit = Policies(None if state_dir is None else folder_of(state_dir), watch)
        """The `RouteAudit`."""
        self._watch_file = None if state_dir is None else WatchFile(watch, state_dir / WATCH_FILE)
        self.changed: Callable[[], object] = _nothing
        """Called when policies have changed, or are first read."""
        self._opened = False
        self._following: list[asyncio.Task[None]] = []
        self._made: PolicyGate | None = None
        self._gate: PolicyGate | None = None

    def policies(self) -> Policies:
        """The policies. They are read at the first call; from then on they follow their files."""
        if not self._opened:
            self._opened = True
            if self._watch_file is not None:
                self._watch_file.open()
            self.audit.refresh()
            self.changed()
        return self.audit

    def made(self, gate: PolicyGate) -> PolicyGate:
        """Register that a router uses `gate`, before it is known whether that router will serve. Returns
        `gate`."""
        self._made = gate
        return gate

    def serve(self, config: Config) -> None:
        """Serve `config`, which was built last, from now on."""
        in_batches = any(endpoint.quality.judge_batch for endpoint in config.endpoints.values())
        self.audit.judged_within(BATCH_WAIT_S if in_batches else WAIT_S)
        gates = not isinstance(config.route, RulesRouteConfig | PluginRouteConfig)
        self._gate = self._made if gates else None
        if self._gate is not None or self._state_dir is None:
            return
        if any(folder_of(self._state_dir).glob("*.json")):
            kind = config.route.__struct_config__.tag
            log.warning(
                'there are routing policies, and route.kind = "%s" scores nothing: none is applied', kind
            )

    def states(self) -> list[ArmState]:
        """The state of each endpoint with a policy; empty while no router uses the policies."""
        return [] if self._gate is None else self._gate.states()

    def gauges(self) -> dict[str, float]:
        """Counts of the questions to the advising model since the start."""
        return self.advice.gauges()

    async def _follow(self) -> None:
        """Apply changed policies, until cancelled."""
        while True:
            await asyncio.sleep(FOLLOW_S)
            if self._opened and self.audit.take(await asyncio.to_thread(self.audit.look)):
                self.changed()

    def embedder(self, name: str) -> Embedder:
        """The shipped embedder. It loads in the background if there is an event loop, else on first use.

        Raises:
            ConfigError: a package is missing, or the embedder is not called `name`.
        """
        from farthing.models.embed.onnx import OnnxEmbedder

        if name != OnnxEmbedder.name:
            raise ConfigError(
                f"route.model reads vectors of {name}; there is {OnnxEmbedder.name}: fit it again"
            )
        if self._embedder is None:
            self._embedder = OnnxEmbedder()
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                return self._embedder  # built before the loop runs: `start` loads it
            self._warming = loop.create_task(self._warm())
        return self._embedder

    async def start(self) -> None:
        """Load what is open, before the first request. A second call does nothing."""
        if self._state_dir is not None and not self._following:
            loop = asyncio.get_running_loop()
            self._following.append(loop.create_task(self._follow()))
            if self._watch_file is not None:
                self._following.append(loop.create_task(self._watch_file.run()))
            for task in self._following:
                task.add_done_callback(
                    log_fault(log, "routing policies are not followed any more, by a fault of ours")
                )
        if self._embedder is not None:
            await self._warm()

    async def _warm(self) -> None:
        assert self._embedder is not None
        try:
            await self._embedder.warm()
        except ConfigError as error:
            log.error("the learned router is without its embedder, the default tier answers: %s", error)

    async def aclose(self) -> None:
        """Safe to call twice."""
        for task in self._following:
            task.cancel()
        await asyncio.gather(*self._following, return_exceptions=True)  # the watch is saved
        self._following = []
        if self._warming is not None:
            self._warming.cancel()
        if self._embedder is not None:
            await self._embedder.aclose()


def _nothing() -> None:
    pass


def explore_shares(config: Config, usual: float) -> dict[str, float]:
    """The share of requests that is explored, by endpoint: `usual` unless the endpoint sets its own. Only
    where a judge or a check can compare two answers; an endpoint that is missing explores nothing."""
    shares = {}
    for name, endpoint in config.endpoints.items():
        quality = endpoint.quality
        if quality.judge is None and not quality.checks:
            continue
        share = quality.explore_share
        shares[name] = usual if share is None else share
    if usual > 0.0 and not shares:
        log.warning("route.explore_share explores nothing: no endpoint has a judge or checks in its quality")
    return shares


def losses_max(config: Config) -> dict[str, float]:
    """The largest loss of quality that routing may cause, by endpoint."""
    return {
        name: endpoint.route_risk_max
        for name, endpoint in config.endpoints.items()
        if endpoint.route_risk_max is not None
    }


class RouterContext(Struct, frozen=True, kw_only=True):
    """What routers are told of the rest of one configuration."""

    health: Mapping[str, Health]
    lengths: Lengths
    jobs: JobRunner | None
    endpoint: Callable[[str], Endpoint | None]
    prompt_caches: PromptCaches | None = None
    """None: they are not measured, and nothing is known to be warm."""

    def knowledge(self) -> Knowledge:
        """The cooldowns and speeds of targets."""

        def cooldown_s(target: str) -> float:
            known = self.health.get(target)
            return 0.0 if known is None else known.cooldown_s()

        def speed_of(target: str) -> Speed | None:
            known = self.health.get(target)
            return None if known is None else known.speed

        known = Knowledge(
            cooldown_s=cooldown_s, expected_s=expectation(speed_of, self.lengths, time.monotonic)
        )
        if self.prompt_caches is None:
            return known
        measured: Knowledge = replace(known, warm=self.prompt_caches.warm_targets)
        return measured

    def stays(self, config: Config) -> Stays | None:
        """What keeps sessions where their prompts are cached; None: nothing does."""
        if self.prompt_caches is None or config.prompt_cache.stay is False or len(config.tiers) == 0:
            return None
        return Stays(self.knowledge())


def build_scoring(
    config: Config, rules: RulesRouter, parts: RoutingParts, around: RouterContext, plugins: Plugins
) -> Router:
    """The router over `rules` that `route.kind` names, which may be `rules` itself.

    Raises:
        ConfigError: as for the router.
    """
    match config.route:
        case RulesRouteConfig():
            return rules
        case LearnedRouteConfig() as route:
            return build_learned(config, route, rules, parts, around)
        case LlmRouteConfig() as route:
            return build_llm(config, route, rules, parts, around)
        case PluginRouteConfig() as route:
            wanted = next(one for one in named(config) if one.kind == "router")
            opened = plugins.open(wanted, tiers=rules.tiers)
            return ForeignRouter(rules, opened.implementation, opened.calls, wait_s=route.timeout_s or 0.0)
        case _:
            assert_never(config.route)


def staying(config: Config, router: Router, rules: RulesRouter, stays: Stays | None) -> Router:
    """`router`, with sessions kept where their prompts are cached if the configuration wants it; `router`
    itself if not."""
    own = config.route.rules != DEFAULT_RULES or isinstance(config.route, PluginRouteConfig)
    if stays is None or (config.prompt_cache.stay is None and own):
        return router
    return WarmRouter(router, rules, stays)


def build_advisor(llm: RouteAdvisorConfig, parts: RoutingParts, around: RouterContext) -> RouteAdvisor:
    """The advisor that asks a model whether a question is easy."""
    if around.jobs is None:
        return NoAdvice()
    return Advise(
        around.jobs,
        target=llm.target,
        options=AdvisorOptions(timeout_s=llm.timeout_s, ttl_s=llm.ttl_s, logprobs=llm.logprobs),
        advice=parts.advice,
        endpoint=around.endpoint,
        clock=time.monotonic,
    )


def build_llm(
    config: Config, route: LlmRouteConfig, rules: RulesRouter, parts: RoutingParts, around: RouterContext
) -> LlmRouter:
    """The router that asks a model, over `rules`.

    Raises:
        ConfigError: there are no two tiers.
    """
    llm = route.llm
    default = rules.default_tier
    if default is None or llm.cheap not in rules.tiers or llm.cheap == default:
        raise ConfigError(f"route.llm.cheap: needs a tier {llm.cheap!r} beside the default one, {default!r}")
    gate = PolicyGate(
        parts.policies(),
        GateContext(
            router=name_of(llm.target, logprobs=llm.logprobs),
            tiers={tier: rules.tiers[tier][0].name for tier in (llm.cheap, default)},
            pair=(llm.cheap, default),
            losses_max=losses_max(config),
            explore_shares=explore_shares(config, route.explore_share),
        ),
        draw=random.random,
    )
    parts.made(gate)
    question = Question(
        adviser=llm.target,
        wait_s=llm.timeout_s,
        threshold=llm.threshold,
        thresholds=thresholds(config),
        prefer=route.prefer,
    )
    estimates = TargetEstimates(rules, around.knowledge())
    advisor = build_advisor(llm, parts, around)
    return LlmRouter(rules, advisor, estimates=estimates, gate=gate, question=question)


def build_second(llm: RouteAdvisorConfig | None, parts: RoutingParts, around: RouterContext) -> Second | None:
    """The second opinion for questions of which the learned router is unsure; None: there is none."""
    if llm is None:
        return None
    return Second(
        advisor=build_advisor(llm, parts, around),
        adviser=llm.target,
        by=name_of(llm.target, logprobs=llm.logprobs),
        wait_s=llm.timeout_s,
        easy_from=llm.threshold,
        unsure=llm.unsure,
    )


def thresholds(config: Config) -> dict[str, float]:
    """The thresholds of the endpoints that set their own."""
    return {
        name: endpoint.route_threshold
        for name, endpoint in config.endpoints.items()
        if endpoint.route_threshold is not None
    }


def build_learned(
    config: Config, route: LearnedRouteConfig, rules: RulesRouter, parts: RoutingParts, around: RouterContext
) -> "LearnedRouter":
    """The learned router over `rules`.

    Raises:
        ConfigError: a package of the extra `semantic` is missing, the model cannot be used, or it does not
            know the tiers.
    """
    require(("numpy",))
    from farthing.brain.route.learned.model import load
    from farthing.brain.route.learned.router import Aims, LearnedRouter

    model = load(route.model)
    log.info(
        "learned router: %d examples of %s, data %s", model.about.examples, model.about.made, model.about.data
    )

    router = LearnedRouter(
        rules,
        model,
        parts.embedder(model.about.embedder) if model.space.embeds else None,
        draw=random.random,
        aims=Aims(
            threshold=route.threshold,
            endpoint_thresholds=thresholds(config),
            explore_shares=explore_shares(config, route.explore_share),
            losses_max=losses_max(config),
            prefer=route.prefer,
            second=build_second(route.llm, parts, around),
        ),
        policies=parts.policies(),
        name=f"learned/{blake2b(route.model.read_bytes(), digest_size=6).hexdigest()}",
        knowledge=around.knowledge(),
    )
    parts.made(router.gate)
    return router


class Trained(Struct, frozen=True, kw_only=True):
    """The result of training a router."""

    examples: int
    models: tuple[str, ...]
    quality: tuple[float, ...]
    """Mean quality of each model's answers, in the order of `models`."""
    calibration_error: tuple[float, ...]
    """Mean gap between what was predicted of held-out examples and what came, in the same order."""
    scores: tuple[float, ...]
    """Of each example, held out: the router's score of the first model."""
    outcomes: tuple[tuple[float, ...], ...]


def train(
    path: Path, models: Sequence[str], out: Path, *, embed: bool, say: Callable[[str], None]
) -> Trained:
    """Train a model on the examples in `path` and write it to `out`. `models` are tiers or targets, the cheap
    one first.

    Raises:
        BadExamples: the file cannot be used.
        ConfigError: a package of the extra `semantic` is missing.
        ValueError: there are too few examples, or nearly all repeat each other.
    """
    require(("numpy",))
    from farthing.brain.route.learned.examples import read_examples
    from farthing.brain.route.learned.features import excerpt, read_all
    from farthing.brain.route.learned.fit import Examples, digest_of, fit
    from farthing.models.embed.onnx import OnnxEmbedder

    scored = read_examples(path, models)
    vectors = asyncio.run(_embedded([excerpt(text) for text in scored.texts], say)) if embed else None
    say(f"fitting {len(scored.texts)} examples")
    fitted = fit(
        Examples(
            readings=read_all(scored.texts),
            vectors=vectors,
            outcomes=scored.outcomes,
            models=tuple(models),
            digest=digest_of(scored.texts, scored.outcomes),
            embedder=OnnxEmbedder.name if embed else "",
        )
    )
    fitted.model.save(out)
    order = [fitted.model.models.index(name) for name in models]
    held = fitted.held_out[:, order]
    return Trained(
        examples=len(scored.texts),
        models=tuple(models),
        quality=tuple(float(value) for value in scored.outcomes.mean(axis=0)),
        calibration_error=tuple(float(fitted.model.calibration_error[place]) for place in order),
        scores=tuple(float(value) for value in 1.0 - (held[:, 1:].max(axis=1) - held[:, 0])),
        outcomes=tuple(tuple(float(value) for value in row) for row in scored.outcomes),
    )


async def _embedded(texts: Sequence[str], say: Callable[[str], None]) -> "Vectors":
    import numpy as np

    from farthing.models.embed.onnx import OnnxEmbedder

    embedder = OnnxEmbedder()
    parts = []
    try:
        for start in range(0, len(texts), EMBED_AT_ONCE):
            vectors, _ = await embedder.embed(texts[start : start + EMBED_AT_ONCE])
            parts.append(vectors)
            say(f"embedded {min(start + EMBED_AT_ONCE, len(texts))} of {len(texts)}")
    finally:
        await embedder.aclose()
    return np.concatenate(parts)
