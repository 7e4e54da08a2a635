"""The composition root: what a configuration comes to. The only module that names concrete classes.

`open_parts` opens what outlives a reload, `build` wires one configuration on top of it. `process` runs them.
"""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import assert_never

import msgspec

from farthing import config as configuration
from farthing.brain.cache.exact import ExactCache
from farthing.brain.cache.flight import Flights
from farthing.brain.cache.fresh import Given
from farthing.brain.cache.keys import CacheKeys
from farthing.brain.cache.off import NoCache
from farthing.brain.cache.semantic.confirm import Confirm
from farthing.brain.classify.rules import RulesClassifier
from farthing.brain.classify.words import TASK_SYNONYMS
from farthing.brain.contract.memory import MemoryContract
from farthing.brain.route.rules import Policy, RulesRouter
from farthing.brain.route.scope import Scopes
from farthing.config import (
    DEFAULT_RULES,
    ENDPOINT_PREFIX,
    AnyProviderConfig,
    CompletionsStoreConfig,
    Config,
    EndpointConfig,
    MemoryCompletionsConfig,
    MemoryResponsesConfig,
    MemoryStoreConfig,
    PluginRouteConfig,
    PluginStoreConfig,
    RemoteEmbedderConfig,
    ResponsesStoreConfig,
    RuleConfig,
    RulesRouteConfig,
    SqliteCompletionsConfig,
    SqliteResponsesConfig,
    SqliteStoreConfig,
    StoreConfig,
    TierConfig,
    answers_version,
    lanes_of,
    loopback,
    policy_version,
)
from farthing.edge.auth import Keys
from farthing.edge.gate import Gate
from farthing.edge.openai import Homes, Reader
from farthing.edge.operators.cache import CacheRoutes
from farthing.edge.operators.listener import AdminPart
from farthing.edge.operators.responses import ResponsesRoutes
from farthing.edge.rate import Rate
from farthing.edge.routes import Serving
from farthing.edge.stored_completions.asking import StoredCompletions
from farthing.edge.stored_completions.notes import Notes
from farthing.evaluation.guard import DenyGuard
from farthing.evaluation.judges.equivalence import Judge
from farthing.jobs.prewarm.gather import Stage
from farthing.jobs.runner import JobRunner
from farthing.jobs.schedule import window_of
from farthing.ledger.metrics import MeteredLedger, Metrics
from farthing.ledger.segments import SegmentLedger
from farthing.models.broadcast import Broadcast
from farthing.models.calling.caller import Caller
from farthing.models.continuing.terms import Continuing
from farthing.models.health.health import Health
from farthing.models.health.speed import Lengths
from farthing.models.hedging.beside import CallsBeside
from farthing.models.hedging.terms import HedgeTerms, Hedging
from farthing.models.lanes.pick import Place
from farthing.models.lanes.ways import open_places
from farthing.models.price_list import price_list
from farthing.models.pricing.money import Money
from farthing.models.pricing.priced import check_priced
from farthing.models.prompt_cache.breakpoints import Preparer
from farthing.models.prompt_cache.habits import Habits
from farthing.models.prompt_cache.keys import PromptKeys
from farthing.models.prompt_cache.sessions import MemoryPromptCaches
from farthing.models.providers.lessons import AllLessons
from farthing.models.providers.responses.makers import Makers
from farthing.models.stored_completions import Keepers, StoredCompletionsCaller
from farthing.models.targets import Targets
from farthing.models.tokens.estimate import estimate_prompt
from farthing.models.transport.http1 import Http1Transport
from farthing.pipeline.count import PromptCounter
from farthing.pipeline.steps import Retrieval, Steps
from farthing.protocols import (
    AsyncGuardrail,
    CacheAdmin,
    Classifier,
    Embedder,
    KeyValueStore,
    Ledger,
    Provider,
    ResponseStore,
    Router,
    SemanticCache,
    TokenSizes,
)
from farthing.runtime.loop_batch import LoopBatch
from farthing.runtime.redact import Redactor
from farthing.stores.kv.memory import MemoryStore
from farthing.stores.kv.sqlite import SqliteStore
from farthing.stores.private import check_state_dir, mend
from farthing.stores.responses.bounds import Bounds
from farthing.stores.responses.memory import MemoryResponses
from farthing.stores.responses.sqlite import SqliteResponses
from farthing.stores.user_key import user_key
from farthing.types import Endpoint, Request, Target, Tenant, Terms, replace
from farthing.wiring.cascade import CascadeParts, build_cascades, cascaded
from farthing.wiring.continuing import forms_of
from farthing.wiring.credentials import CredentialsParts
from farthing.wiring.foreign import ForeignGuardrail, ForeignRetriever, ForeignStore
from farthing.wiring.models import ModelParts
from farthing.wiring.plugins import Plugins, named
from farthing.wiring.providers import (
    LiveModels,
    build_provider,
    completes,
    describe_model,
    first_with,
    list_models,
    list_named,
    only_with,
    passed_names,
    reach_issuer,
)
from farthing.wiring.quality import QualityParts, build_inspector
from farthing.wiring.routing import RouterContext, RoutingParts, build_scoring, staying
from farthing.wiring.semantic.cache import (
    SemanticParts,
    build_cache_admin,
    build_semantic,
    build_semantics,
    semantic_path,
)
from farthing.wiring.tokens import TokenParts

log = logging.getLogger("farthing.app")

NOTE_BYTES_MAX = 8_192  # of what is noted of a stored chat completion, which is mostly a tenth of that


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What outlives a reload."""

    ledger: Ledger
    transport: Http1Transport
    store: KeyValueStore
    responses: ResponseStore
    completions: ResponseStore
    """What is noted of chat completions that providers keep."""
    contract: MemoryContract
    flights: Flights[Broadcast]
    given: Given = msgspec.field(default_factory=Given)
    health: dict[str, Health]
    lengths: Lengths = msgspec.field(default_factory=Lengths)
    """Of the answers of each endpoint."""
    user_key: bytes
    rates: dict[str, Rate] = {}
    """What each key has used of its allowance, by the key's digest."""
    redact: Redactor = msgspec.field(default_factory=Redactor)
    """Knows the secrets of every configuration that was built."""
    jobs: JobRunner | None = None
    """The gateway's own requests; None: there are none."""
    semantic: SemanticParts | None = None
    """None: no endpoint can have a semantic cache."""
    routing: RoutingParts = msgspec.field(default_factory=RoutingParts)
    cascades: CascadeParts = msgspec.field(default_factory=CascadeParts)
    quality: QualityParts | None = None
    """None: nothing is learned about answers."""
    plugins: Plugins = msgspec.field(default_factory=Plugins)
    tokens: TokenParts = msgspec.field(default_factory=TokenParts)
    credentials: CredentialsParts
    lessons: AllLessons = msgspec.field(default_factory=AllLessons)
    """What targets were seen to refuse."""
    models: ModelParts = msgspec.field(default_factory=ModelParts)
    """Which models answer for which targets."""
    makers: Makers = msgspec.field(default_factory=Makers)
    """Whose encrypted content clients carry."""
    prompt_caches: MemoryPromptCaches = msgspec.field(
        default_factory=lambda: MemoryPromptCaches(clock=time.monotonic)
    )
    """What sessions sent lately, and where it is cached."""
    habits: Habits = msgspec.field(default_factory=Habits)
    """How soon prompts are followed by others that begin alike."""
    prompt_keys: PromptKeys = msgspec.field(default_factory=lambda: PromptKeys(clock=time.monotonic))

    async def aclose(self) -> None:
        """Close all of them, the ledger last. Safe to call twice."""
        await self.routing.aclose()
        self.models.save()
        self.lessons.save()
        await self.cascades.aclose()
        if self.quality is not None:
            await self.quality.aclose()
        if self.semantic is not None:
            await self.semantic.aclose()
        await self.transport.aclose()
        await self.tokens.aclose()
        await self.store.aclose()
        await self.responses.aclose()
        await self.completions.aclose()
        await self.plugins.aclose()
        await self.ledger.aclose()


def open_parts(
    config: Config,
    env: Mapping[str, str],
    metrics: Metrics,
    loop: asyncio.AbstractEventLoop,
    turn: LoopBatch,
    jobs: JobRunner | None = None,
    redact: Redactor | None = None,
) -> tuple[SegmentLedger, Parts]:
    """Open what outlives a reload: the ledger, whose state is asked for beside, the stores, the transport.

    Raises:
        ConfigError: a directory cannot be used.
    """
    state_dir = configuration.state_dir(config, env)
    check_state_dir(state_dir)
    for line in mend(state_dir, config.ledger.path or state_dir / "ledger", databases(config, state_dir)):
        log.warning("%s", line)
    plugins = Plugins(state_dir)
    tokens = TokenParts(state_dir)
    tokens.warm(config)
    segments = SegmentLedger(config.ledger.path or state_dir / "ledger", config.ledger)
    ledger = MeteredLedger(segments, metrics)
    transport = Http1Transport(loop, turn)
    redact = Redactor(digest=configuration.key_digest) if redact is None else redact
    parts = Parts(
        ledger=ledger,
        transport=transport,
        credentials=CredentialsParts(transport, redact, reach_issuer),
        store=build_store(config, state_dir, plugins),
        responses=build_responses(config, state_dir),
        completions=build_completions(config, state_dir),
        plugins=plugins,
        contract=MemoryContract(count=tokens.count, clock=time.monotonic),
        tokens=tokens,
        flights=Flights(),
        health={},
        user_key=user_key(state_dir),
        jobs=jobs,
        redact=redact,
        semantic=SemanticParts(state_dir),
        cascades=CascadeParts(state_dir),
        quality=QualityParts(ledger, jobs, state_dir),
        routing=RoutingParts(state_dir),
        prompt_caches=MemoryPromptCaches(clock=time.monotonic, later=loop.call_soon),
        models=ModelParts(state_dir),
        lessons=AllLessons(state_dir),
    )
    return segments, parts


def databases(config: Config, state_dir: Path) -> list[Path]:
    """The databases in which answers and responses are stored."""
    store = config.cache.store
    kept = [store.path] if isinstance(store, SqliteStoreConfig) and store.path is not None else []
    responses = config.responses.store
    if isinstance(responses, SqliteResponsesConfig) and responses.path is not None:
        kept.append(responses.path)
    completions = config.stored_completions.store
    if isinstance(completions, SqliteCompletionsConfig) and completions.path is not None:
        kept.append(completions.path)
    return [*kept, semantic_path(config, state_dir)]


# -- one configuration ------------------------------------------------------------------------------


def build_classifier(config: Config) -> Classifier:
    """The classifier that `brain.classifier` names.

    Raises:
        ConfigError: its weights cannot be used.
    """
    match config.brain.classifier:
        case "rules":
            return RulesClassifier(estimate_prompt)
        case "linear":
            from farthing.brain.classify.linear import LinearClassifier  # weights are read where asked for

            return LinearClassifier(estimate_prompt)
        case _:
            assert_never(config.brain.classifier)


class _Models(msgspec.Struct, frozen=True):
    """The models that one configuration can call, and their names."""

    targets: Targets
    rules: RulesRouter
    providers: Mapping[str, Provider]
    price_version: str
    places: Mapping[str, Sequence[Place]]
    """Of the providers that have more than one address or key."""


def build(config: Config, parts: Parts) -> Serving:
    """Wire one configuration.

    Raises:
        ConfigError: it names something that does not exist, or that cannot be used.
    """
    parts.redact.learn(*configuration.secrets_of(config, os.environ))
    parts.models.open()
    parts.lessons.open()
    parts.cascades.models = parts.models.watch
    catalogue = price_list(config)
    targets = Targets(config, catalogue)
    check_priced(config, targets)
    rules = build_router(config, targets, parts.tokens.sizes)
    scopes = Scopes(config.endpoints, rules, targets.open)
    endpoints = build_endpoints(config, scopes)
    around = RouterContext(
        health=parts.health,
        lengths=parts.lengths,
        jobs=parts.jobs,
        endpoint=endpoints.get,
        prompt_caches=parts.prompt_caches if config.prompt_cache.measure else None,
    )
    stays = around.stays(config)
    scoring = build_scoring(config, rules, parts.routing, around, parts.plugins)
    router = cascaded(config, staying(config, scoring, rules, stays), rules, stays)
    places = {name: open_lanes(name, config, parts) for name in config.providers}
    providers = {name: found[0].provider for name, found in places.items()}
    parts.credentials.keep(config.providers)
    parts.lessons.keep([(name, one.base_url) for name, one in config.providers.items()])
    semantic, endpoints = build_semantic_cache(config, parts, endpoints, targets)
    several = {name: found for name, found in places.items() if len(found) > 1}
    models = _Models(targets, rules, providers, catalogue.version, several)
    steps = build_steps(config, parts, models, endpoints, router=router, semantic=semantic)
    listed = list_models(rules, targets)
    parts.tokens.serve(config, targets)
    return Serving(
        steps=steps,
        reader=build_reader(config, parts, rules, targets, endpoints),
        keys=Keys(
            config.keys,
            local_only=loopback(config.server.host) and not config.server.hosts,
            rates=parts.rates,
            scope_of=scopes.of_key,
        ),
        server=config.server,
        models=listed,
        more_models=LiveModels(
            {name: providers[name] for name in asked_for_models(config)},
            parts.transport,
            targets,
            [entry["id"] for entry in listed],
            time.monotonic,
        ).entries,
        named=partial(list_named, targets=targets),
        model=partial(describe_model, router=rules, targets=targets),
        count=PromptCounter(steps, rules, parts.transport, parts.tokens.sizes).count,
        targets=frozenset(targets.configured),
        responses=parts.responses,
        responses_ttl_s=config.responses.ttl_s,
        completions=build_stored_completions(config, parts, places, endpoints),
        cache_admin=None if parts.semantic is None else build_cache_admin(parts.semantic, endpoints),
        prices_ended=targets.prices_ended,
    )


def build_steps(
    config: Config,
    parts: Parts,
    models: _Models,
    endpoints: dict[str, Endpoint],
    *,
    router: Router,
    semantic: SemanticCache | None,
) -> Steps:
    """The steps of a request. `endpoints` includes the default one."""
    caching = config.cache.exact != "off"
    inspector = build_inspector(
        config,
        parts.quality,
        endpoints,
        ledger=parts.ledger,
        jobs=parts.jobs,
        audit=parts.routing.audit,
    )
    keeping = caching or semantic is not None or inspector is not None
    return Steps(
        guardrails=(DenyGuard(config.guard.deny),) if config.guard.deny else (),
        guard_plugins=build_guard_plugins(config, parts.plugins),
        classifier=build_classifier(config),
        cache=build_cache(config, parts) if caching else NoCache(),
        semantic=semantic,
        confirmer=build_confirm(config, parts, endpoints),
        inspector=inspector,
        inspects=inspector is not None and inspector.looks,
        given=parts.given,
        flights=parts.flights if caching and config.cache.coalesce else None,
        retrievals=build_retrievals(config, parts.plugins),
        router=router,
        rules=models.rules,
        contract=parts.contract,
        caller=build_caller(config, parts, models.providers, models.places),
        cascades=build_cascades(config, parts.cascades, models.targets.get, parts.plugins),
        ledger=parts.ledger,
        money=build_money(config, models.targets, models.price_version, parts.tokens.sizes),
        continuing=build_continuing(config),
        next_tiers=build_next_tiers(config, models.targets),
        brain_timeout_s=config.brain.timeout_s,
        kept_bytes_max=config.cache.answer_bytes_max if keeping else 0,
        strict=config.brain.strict,
    )


def build_endpoints(config: Config, scopes: Scopes) -> dict[str, Endpoint]:
    """The endpoints of the configuration, and the default one."""
    endpoints = {
        name: replace(build_endpoint(name, endpoint, config), scope=scopes.of_endpoint(name))
        for name, endpoint in config.endpoints.items()
    }
    default = default_endpoint(config)
    endpoints.setdefault(default.name, default)
    return endpoints


def open_provider(name: str, config: Config, parts: Parts) -> Provider:
    """One provider of `config` by its first address and key, with the plug-in for its dialect if it has one.

    Raises:
        ConfigError: it cannot be reached as configured, or its plug-in cannot be used.
    """
    return open_lanes(name, config, parts, most=1)[0].provider


def open_lanes(name: str, config: Config, parts: Parts, most: int | None = None) -> tuple[Place, ...]:
    """As `open_provider`, for each pair of an address and a key, the first `most` of them."""
    wanted = next((one for one in named(config) if one.where == f"providers.{name}"), None)
    plugin = None if wanted is None else parts.plugins.open(wanted).implementation
    makers = parts.makers
    credentials = parts.credentials.of(name, config.providers[name])
    lessons = parts.lessons.of(name, config.providers[name].base_url)

    def opened(one: AnyProviderConfig, account: str) -> Provider:
        return build_provider(
            name,
            one,
            redact=parts.redact,
            plugin=plugin,
            makers=makers.for_account(account) if account else makers,
            credentials=credentials,
            lessons=lessons,
        )

    return open_places(lanes_of(name, config.providers[name])[:most], opened)


def operators_parts(
    cache_admin: Callable[[], CacheAdmin | None], responses: ResponseStore, completions: ResponseStore
) -> tuple[AdminPart, ...]:
    """The routes of the operators' listener. `cache_admin` returns the cache administration of the serving
    configuration; `completions` has what is noted of stored chat completions."""
    return CacheRoutes(cache_admin), ResponsesRoutes(responses, completions)


def build_caller(
    config: Config,
    parts: Parts,
    providers: Mapping[str, Provider],
    places: Mapping[str, Sequence[Place]] | None = None,
) -> Caller:
    scores = not isinstance(config.route, RulesRouteConfig | PluginRouteConfig)
    hedging = build_hedging(config)
    caller = Caller(
        providers=providers,
        limits=config.providers,
        transport=parts.transport,
        ledger=parts.ledger,
        config=config.call,
        clock=time.monotonic,
        health=parts.health,
        lengths=parts.lengths if scores else None,  # rules do not ask
        sizes=parts.tokens.sizes,
    )
    if config.prompt_cache.measure:
        caller.context.prompt_caches = parts.prompt_caches
        caller.context.preparer = build_preparer(config, parts)
    caller.context.models = parts.models.watch
    caller.use_lanes(places or {})
    if hedging is not None:
        caller.hedges = CallsBeside(caller, hedging)
    return caller


def build_hedging(config: Config) -> Hedging | None:
    """When calls are hedged; None: never."""

    def terms(table: TierConfig | EndpointConfig) -> HedgeTerms | None:
        if table.hedge_after_ms is not None:
            return HedgeTerms(table.hedge_after_ms / 1000)
        return HedgeTerms() if table.hedge == "p95" else None

    said = {
        name: terms(one)
        for name, one in config.endpoints.items()
        if one.hedge is not None or one.hedge_after_ms is not None
    }
    tiers = {name: found for name, one in config.tiers.items() if (found := terms(one)) is not None}
    return Hedging(said, tiers) if tiers or any(said.values()) else None


def build_continuing(config: Config) -> Continuing | None:
    """When a streamed answer that breaks off goes on with another call; None: never."""
    endpoints = {
        name: one.continue_broken_streams
        for name, one in config.endpoints.items()
        if one.continue_broken_streams is not None
    }
    if not (config.call.continue_broken_streams or any(endpoints.values())):
        return None
    return Continuing(
        everywhere=config.call.continue_broken_streams,
        endpoints=endpoints,
        times_max=config.call.continuations_max,
        attempts_max=config.call.attempts_max,
        forms=forms_of(config),
        clock=time.monotonic,
    )


def build_next_tiers(config: Config, targets: Targets) -> dict[str, list[tuple[str, Target]]]:
    """The targets that are asked where none of a tier's answers, each with its tier."""
    return {
        name: [(after, target) for after in config.fallbacks(name) for target in targets.tiers[after]]
        for name, tier in config.tiers.items()
        if tier.fallback is not None
    }


def build_preparer(config: Config, parts: Parts) -> Preparer | None:
    """What marks prompts and gives them keys; None where no endpoint wants either."""
    own, ends = config.prompt_cache, config.endpoints.items()
    marks, keyed = own.breakpoints == "auto", own.key == "auto"
    unlike_marks = [name for name, end in ends if end.prompt_cache.breakpoints not in (None, own.breakpoints)]
    unlike_keyed = [name for name, end in ends if end.prompt_cache.key not in (None, own.key)]
    if not (marks or keyed or unlike_marks or unlike_keyed):
        return None
    return Preparer(
        parts.habits,
        parts.prompt_keys,
        parts.prompt_caches,
        clock=time.monotonic,
        marks=marks,
        keyed=keyed,
        unlike_marks=unlike_marks,
        unlike_keyed=unlike_keyed,
    )


def build_money(
    config: Config, targets: Targets, price_version: str, sizes: TokenSizes | None = None
) -> Money:
    return Money(
        baseline=config.report.baseline or targets.first_of("expensive"),
        endpoint_baselines={n: e.baseline for n, e in config.endpoints.items() if e.baseline},
        targets=targets.get,
        estimate_tokens=estimate_prompt,
        price_version=price_version,
        policy=policy_version(config),
        clock=time.monotonic,
        sizes=sizes,
    )


def build_reader(
    config: Config, parts: Parts, rules: RulesRouter, targets: Targets, endpoints: Mapping[str, Endpoint]
) -> Reader:
    """The reader of requests. `endpoints` are those of the configuration and the default one."""
    names = model_names(rules)
    named = {name: endpoints[name] for name in config.endpoints}
    return Reader(
        named,
        endpoints[default_endpoint(config).name],
        parts.user_key,
        names=names,
        passed=passed_names(config.providers.values()),
        gate=Gate(names, rules.choosing, targets.beyond),
        redact=parts.redact,
        own={*config.tiers, *config.endpoints, *(key.tenant for key in config.keys), *TASK_SYNONYMS},
        homes=Homes(
            first=first_with(config.providers),
            alone=only_with(config.providers),
            leads=lambda model: targets.open(model) is not None,
            completes=completes(config.providers, config.aliases, targets),
        ),
    )


def asked_for_models(config: Config) -> list[str]:
    """The providers whose model lists are requested: not those whose models the operator listed, nor those of
    which clients may only ask for configured models."""
    lists = [key.models for key in config.keys] + [one.models for one in config.endpoints.values()]
    open_ended = any(name.endswith("*") for names in lists for name in names or ())
    asked = config.providers if open_ended else config.passing()
    return [name for name in asked if not config.providers[name].models]


def build_semantic_cache(
    config: Config, parts: Parts, endpoints: dict[str, Endpoint], targets: Targets
) -> tuple[SemanticCache | None, dict[str, Endpoint]]:
    """The semantic cache, and the endpoints as their certificates allow. See `semantic_cache`."""
    if parts.semantic is None:
        return None, endpoints

    def remote(wanted: RemoteEmbedderConfig, target: Target) -> Embedder:
        from farthing.models.embed.remote import RemoteEmbedder

        return RemoteEmbedder(
            parts.transport,
            open_provider(wanted.provider, config, parts),
            target,
            dims=wanted.dims,
            window_s=wanted.window_ms / 1000,
            call=config.call,
        )

    judges = {
        name: endpoint.cache.semantic.judge
        for name, endpoint in config.endpoints.items()
        if endpoint.cache.semantic.judge is not None
    }
    judge = None
    if judges and parts.jobs is not None:
        judge = Judge(parts.jobs, targets=judges, endpoint=endpoints.get, clock=time.monotonic)
    answers, certified = build_semantic(
        config,
        parts.semantic,
        endpoints,
        target_of=targets.get,
        remote=remote,
        judge=judge,
        arm=arm_of(config, parts),
    )
    if judge is not None and answers is not None:
        judge.judged = answers.judged
    return answers, certified


def build_confirm(config: Config, parts: Parts, endpoints: dict[str, Endpoint]) -> Confirm | None:
    """Who confirms a stored answer if the verifier abstains: a model; None: no endpoint asks for it."""
    targets = {
        name: endpoint.cache.semantic.confirm
        for name, endpoint in config.endpoints.items()
        if endpoint.cache.semantic.confirm is not None
    }
    if not targets or parts.jobs is None:
        return None
    return Confirm(parts.jobs, targets=targets, endpoint=endpoints.get, clock=time.monotonic)


def build_router(config: Config, targets: Targets, sizes: TokenSizes | None = None) -> RulesRouter:
    """The rules, and the router over them. Shipped rules that name a missing tier are left out. Beside
    another router only the first of them is kept: it sends delicate requests to the expensive tier, while
    the others guess which requests are easy."""
    rules: tuple[RuleConfig, ...] = config.route.rules
    default: str | None = config.route.default
    tiers = targets.tiers
    if rules == DEFAULT_RULES:
        rules = tuple(r for r in rules if r.tier in tiers and (r.escalate is None or r.escalate in tiers))
        if not isinstance(config.route, RulesRouteConfig):
            rules = tuple(r for r in rules if r.name == "care")
    if default not in tiers and default == RulesRouteConfig().default:
        default = next(iter(tiers), None)
    return RulesRouter(
        Policy(
            tiers=tiers,
            targets=targets.configured,
            aliases=config.aliases,
            rules=rules,
            default_tier=default,
            endpoints=tuple(config.endpoints),
            endpoint_tiers={n: e.tier for n, e in config.endpoints.items() if e.tier is not None},
            directs=config.answers,
            open_provider=targets.open,
            providers=tuple(config.providers),
            suggestions=targets.suggestions,
            sizes=sizes,
        )
    )


def model_names(router: RulesRouter) -> dict[str, str]:
    """Every known model name, with the name to continue with: a name that leads to an endpoint becomes that
    endpoint."""
    names = {}
    for name in router.known_models():
        endpoint = router.endpoint_of(name)
        names[name] = name if endpoint is None else ENDPOINT_PREFIX + endpoint
    return names


def build_endpoint(name: str, endpoint: EndpointConfig, config: Config) -> Endpoint:
    mode = endpoint.cache.exact or config.cache.exact
    return Endpoint(
        name=name,
        task=endpoint.task,
        tier=endpoint.tier,
        terms=Terms(
            calls_max=endpoint.calls_max,
            target_s=endpoint.target_s,
            deadline_s=endpoint.deadline_s,
            input_tokens_max=endpoint.input_tokens_max,
            output_tokens_max=endpoint.output_tokens_max,
            usd_max_nusd=None if endpoint.usd_max is None else int(endpoint.usd_max * 1_000_000_000),
            on_limit=endpoint.on_limit,
        ),
        cache_exact=mode,
        cache_reuse=endpoint.cache.reuse or config.cache.reuse,
        cache_again_s=config.cache.reask_s,
        cache_ttl_s=endpoint.cache.ttl_s,
        semantic=build_semantics(endpoint.cache.semantic),
        baseline=endpoint.baseline,
        store_responses=endpoint.store_responses,
        residency=endpoint.residency,
    )


def default_endpoint(config: Config) -> Endpoint:
    """The endpoint of requests that name none: `[endpoints.default]`, else one without any terms."""
    found = config.endpoints.get("default")
    if found is not None:
        return build_endpoint("default", found, config)
    cache = config.cache
    return Endpoint(
        name="default",
        cache_exact=cache.exact,
        cache_reuse=cache.reuse,
        cache_again_s=cache.reask_s,
    )


def build_stage(config: Config, env: Mapping[str, str], serving: Serving | None = None) -> Stage:
    """What cache warming needs to know of one configuration. Opens nothing. Without `serving`, the endpoints
    are as written, without the effect of certificates.

    Raises:
        ConfigError: the quiet hours cannot be read.
    """
    endpoints = {name: build_endpoint(name, endpoint, config) for name, endpoint in config.endpoints.items()}
    default = default_endpoint(config)
    endpoints.setdefault(default.name, default)
    similar = any(endpoint.semantic is not None for endpoint in endpoints.values())
    path = semantic_path(config, configuration.state_dir(config, env))
    tenants = {key.tenant: Tenant(name=key.tenant, plan=key.plan) for key in config.keys}
    return Stage(
        config=config.precompute,
        window=window_of(config.precompute.at, config.precompute.until),
        book=path if similar else None,
        endpoint=endpoints.get if serving is None else serving.reader.named,
        tenants=tenants or None,
        exact_ttl_s=config.cache.ttl_s,
        batch_target=build_batch_target(config),
    )


def build_batch_target(config: Config) -> Callable[[Request], Awaitable[Target | None]] | None:
    """A function that returns the target to which a question would be sent in a batch; None: no provider has
    batches."""
    having = frozenset(name for name, provider in config.providers.items() if provider.batch)
    if not having:
        return None
    rules = build_router(config, Targets(config, price_list(config)))
    router = cascaded(config, rules, rules)
    classifier = RulesClassifier(estimate_prompt)

    retrieving = frozenset(name for name, endpoint in config.endpoints.items() if endpoint.retrieve)

    async def target_of(request: Request) -> Target | None:
        if request.endpoint.name in retrieving:  # its passages are had by the journey alone
            return None
        route = await router.route(request, await classifier.classify(request))
        if route.fixed is not None or route.escalation is not None or not route.targets:
            return None
        return route.targets[0] if route.targets[0].provider in having else None

    return target_of


def build_cache(config: Config, parts: Parts) -> ExactCache:
    keys = CacheKeys(
        policy=answers_version(config),
        endpoints={n: e.cache for n, e in config.endpoints.items()},
        forgotten=None if parts.semantic is None else parts.semantic.forgotten,
        arm=arm_of(config, parts),
    )
    cache = config.cache
    return ExactCache(parts.store, ttl_s=cache.ttl_s, answer_bytes_max=cache.answer_bytes_max, keys=keys)


def arm_of(config: Config, parts: Parts) -> Callable[[Request], str] | None:
    """A function that returns the version of the routing policy that decides a request; None: no router
    follows one."""
    if isinstance(config.route, RulesRouteConfig | PluginRouteConfig):
        return None
    return parts.routing.audit.label


def build_guard_plugins(config: Config, plugins: Plugins) -> tuple[AsyncGuardrail, ...]:
    """The guardrails that plug-ins provide, in the order of the configuration.

    Raises:
        ConfigError: one cannot be used.
    """
    wanted = [one for one in named(config) if one.kind == "guardrail"]
    opened = [plugins.open(one) for one in wanted]
    return tuple(
        ForeignGuardrail(
            one.implementation,
            one.calls,
            name=settings.name,
            message=settings.message,
            timeout_s=settings.timeout_s,
        )
        for one, settings in zip(opened, config.guard.plugins, strict=True)
    )


def build_retrievals(config: Config, plugins: Plugins) -> dict[str, Retrieval]:
    """The retrieval of each endpoint that has one.

    Raises:
        ConfigError: a plug-in cannot be used.
    """
    wanted = {one.where: one for one in named(config) if one.kind == "retriever"}
    found = {}
    for name, endpoint in config.endpoints.items():
        if (settings := endpoint.retrieve) is None:
            continue
        opened = plugins.open(wanted[f"endpoints.{name}.retrieve"])
        found[name] = Retrieval(
            retriever=ForeignRetriever(opened.implementation, opened.calls),
            required=settings.required,
            timeout_s=settings.timeout_s,
            passages_max=settings.passages_max,
            context_tokens_max=settings.context_tokens_max,
        )
    return found


def build_store(config: Config, state_dir: Path, plugins: Plugins) -> KeyValueStore:
    """Raises:
    ConfigError: a plug-in cannot be used. StoreError: the file cannot be opened.
    """
    store: StoreConfig = config.cache.store
    match store:
        case MemoryStoreConfig():
            return MemoryStore(entries_max=store.entries_max, bytes_max=store.bytes_max)
        case SqliteStoreConfig():
            path = store.path or state_dir / "cache.db"
            return SqliteStore(path, entries_max=store.entries_max, bytes_max=store.bytes_max)
        case PluginStoreConfig():
            wanted = next(one for one in named(config) if one.kind == "store")
            opened = plugins.open(wanted)
            return ForeignStore(opened.implementation, opened.calls)
        case _:
            assert_never(store)


def build_responses(config: Config, state_dir: Path) -> ResponseStore:
    """What responses are kept in. Opens nothing."""
    settings = config.responses
    store: ResponsesStoreConfig = settings.store
    bounds = Bounds(
        responses_max=store.responses_max,
        bytes_max=store.bytes_max,
        tenant_share=settings.tenant_share,
        response_bytes_max=settings.response_bytes_max,
    )
    match store:
        case MemoryResponsesConfig():
            return MemoryResponses(bounds)
        case SqliteResponsesConfig():
            return SqliteResponses(store.path or state_dir / "responses.db", bounds)
        case _:
            assert_never(store)


def build_completions(config: Config, state_dir: Path) -> ResponseStore:
    """What is noted in of stored chat completions. Opens nothing."""
    settings = config.stored_completions
    store: CompletionsStoreConfig = settings.store
    bounds = Bounds(
        responses_max=store.completions_max,
        bytes_max=2 * store.completions_max * NOTE_BYTES_MAX,  # so that the count is what bounds it
        tenant_share=settings.tenant_share,
        response_bytes_max=NOTE_BYTES_MAX,
    )
    match store:
        case MemoryCompletionsConfig():
            return MemoryResponses(bounds)
        case SqliteCompletionsConfig():
            return SqliteResponses(store.path or state_dir / "completions.db", bounds)
        case _:
            assert_never(store)


def build_stored_completions(
    config: Config,
    parts: Parts,
    places: Mapping[str, Sequence[Place]],
    endpoints: Mapping[str, Endpoint],
) -> StoredCompletions:
    keepers = Keepers(places, config.providers, parts.user_key)
    caller = StoredCompletionsCaller(
        keepers=keepers,
        limits=config.providers,
        transport=parts.transport,
        ledger=parts.ledger,
        clock=time.monotonic,
    )
    notes = Notes(
        parts.completions,
        ttl_s=config.stored_completions.ttl_s,
        key=parts.user_key,
        keepers=keepers,
    )
    return StoredCompletions(notes=notes, caller=caller, endpoints=endpoints)
