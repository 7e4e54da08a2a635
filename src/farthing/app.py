"""The composition root: Config -> running gateway. The only module that names concrete classes.

`build` wires one configuration; `Gateway` runs it: listens, reloads, drains. A reload builds everything
anew beside what runs and swaps it in one assignment; what fails to build changes nothing. The address,
the ledger and the cache's store stay as they were at the start.
"""

import asyncio
import gc
import logging
import os
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import assert_never

import msgspec
import uvloop

from farthing import config as configuration
from farthing.brain.cache.exact import ExactCache
from farthing.brain.cache.flight import Flights
from farthing.brain.cache.keys import CacheKeys
from farthing.brain.cache.off import NoCache
from farthing.brain.classify.rules import RulesClassifier
from farthing.brain.contract.memory import MemoryContract
from farthing.brain.route.rules import Policy, RulesRouter
from farthing.config import (
    DEFAULT_RULES,
    Config,
    EndpointConfig,
    MemoryStoreConfig,
    ProviderConfig,
    RuleConfig,
    SqliteStoreConfig,
    StoreConfig,
    loopback,
)
from farthing.edge.admit import Admission
from farthing.edge.auth import Keys
from farthing.edge.openai import Reader, error_body
from farthing.edge.routes import Edge, Serving
from farthing.edge.server import Server
from farthing.errors import BodyTooLarge, ConfigError, FarthingError, InvalidRequest, Overloaded
from farthing.ledger.metrics import MeteredLedger, Metrics
from farthing.ledger.segments import SegmentLedger
from farthing.log import set_up_logging
from farthing.models.call import Caller
from farthing.models.catalogue import Catalogue
from farthing.models.health import Health
from farthing.models.money import Money
from farthing.models.providers.openai import OpenAIProvider
from farthing.models.tokens.bpe import ExactCounter
from farthing.models.tokens.chat import count_chat
from farthing.models.tokens.estimate import estimate_prompt
from farthing.models.transport.http1 import Http1Transport
from farthing.models.transport.origin import HttpOrigin, parse_base_url
from farthing.outbox import Outbox
from farthing.pipeline import Steps
from farthing.postprocess.guard import DenyGuard
from farthing.protocols import KeyValueStore, Ledger, Transport
from farthing.stores.kv.memory import MemoryStore
from farthing.stores.kv.sqlite import SqliteStore
from farthing.types import Endpoint, Json, Prompt, Request, Target, Terms

log = logging.getLogger("farthing.app")

WATCH_S = 0.3  # a changed file is applied within a second
EXACT_CHARS_MAX = 50_000  # counting more would hold the loop for over 2 ms; the estimate decides there
OPEN_TARGETS_MAX = 1_000  # model names clients made up that are remembered
USER_KEY_BYTES = 32
GC_ALLOCATIONS = 50_000  # requests leave no cycles; a full pass over a warm heap takes 10 ms


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What outlives a reload."""

    ledger: Ledger
    transport: Transport
    store: KeyValueStore
    contract: MemoryContract
    flights: Flights
    health: dict[str, Health]
    user_key: bytes


# -- one configuration ------------------------------------------------------------------------------


def build(config: Config, parts: Parts) -> Serving:
    """Wire one configuration.

    Raises:
        ConfigError: something in it names what is not there, or cannot be used.
    """
    catalogue = Catalogue.load().with_overrides(config.prices)
    targets = Targets(config, catalogue)
    policy = policy_version(config)
    endpoints = {name: build_endpoint(name, endpoint, config) for name, endpoint in config.endpoints.items()}
    router = build_router(config, targets)
    providers = {name: build_provider(name, provider) for name, provider in config.providers.items()}
    caching = config.cache.exact != "off"
    steps = Steps(
        guardrails=(DenyGuard(config.guard.deny),) if config.guard.deny else (),
        classifier=RulesClassifier(estimate_prompt),
        cache=build_cache(config, parts.store, policy) if caching else NoCache(),
        flights=parts.flights if caching and config.cache.coalesce else None,
        router=router,
        contract=parts.contract,
        caller=Caller(
            providers=providers,
            limits=config.providers,
            transport=parts.transport,
            ledger=parts.ledger,
            config=config.call,
            clock=time.monotonic,
            health=parts.health,
        ),
        ledger=parts.ledger,
        money=Money(
            baseline=config.report.baseline or targets.first_of("expensive"),
            endpoint_baselines={n: e.baseline for n, e in config.endpoints.items() if e.baseline},
            targets=targets.get,
            estimate_tokens=estimate_prompt,
            price_version=catalogue.version,
            policy=policy,
            clock=time.monotonic,
        ),
        brain_timeout_s=config.brain.timeout_s,
        kept_bytes_max=config.cache.answer_bytes_max if caching else 0,
        strict=config.brain.strict,
    )
    reader = Reader(endpoints, default_endpoint(config), parts.user_key)
    return Serving(
        steps=steps,
        reader=reader,
        keys=Keys(config.keys, local_only=loopback(config.server.host) and not config.server.hosts),
        server=config.server,
        models=list_models(router, targets),
    )


class Targets:
    """Every target by its name `provider/model`, with its price of today."""

    def __init__(self, config: Config, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._providers = config.providers
        self.tiers = {
            name: tuple(self._target(target) for target in tier.targets)
            for name, tier in config.tiers.items()
        }
        self.configured = {target.name: target for targets in self.tiers.values() for target in targets}
        named = [meaning for meaning in config.aliases.values() if self._is_target(meaning)]
        for name in (*named, *(price.target for price in config.prices if self._is_target(price.target))):
            self.configured.setdefault(name, self._target(name))
        self._others: dict[str, Target] = {}

    def _is_target(self, name: str) -> bool:
        return name.partition("/")[0] in self._providers and "/" in name

    def _target(self, name: str) -> Target:
        provider, _, model = name.partition("/")
        known = self._catalogue.find(provider, model)
        return Target(
            name=name,
            provider=provider,
            model=model,
            price=self._catalogue.price(provider, model),
            context_tokens_max=None if known is None else known.context_tokens_max,
            output_tokens_max=None if known is None else known.output_tokens_max,
        )

    def get(self, name: str) -> Target | None:
        """A target by name, configured or not (a baseline need not be); None when it cannot be one."""
        found = self.configured.get(name) or self._others.get(name)
        if found is None and "/" in name:
            found = self._target(name)
            if len(self._others) < OPEN_TARGETS_MAX:
                self._others[name] = found
        return found

    def first_of(self, tier: str) -> str:
        targets = self.tiers.get(tier)
        return targets[0].name if targets else ""

    def open(self, model: str) -> Target | None:
        """The target for a model name that nothing is configured for: `provider/model` of a configured
        provider, or any name when there is one provider only."""
        if self._is_target(model):
            return self.get(model)
        if len(self._providers) == 1 and model.isprintable() and len(model) <= 200:
            return self.get(f"{next(iter(self._providers))}/{model}")
        return None


def build_router(config: Config, targets: Targets) -> RulesRouter:
    """The shipped rules need the tiers they name; those that name an absent one are left out."""
    rules: tuple[RuleConfig, ...] = config.route.rules
    default: str | None = config.route.default
    tiers = targets.tiers
    if rules == DEFAULT_RULES:
        rules = tuple(r for r in rules if r.tier in tiers and (r.escalate is None or r.escalate in tiers))
    if default not in tiers and default == configuration.RouteConfig().default:
        default = next(iter(tiers), None)
    return RulesRouter(
        Policy(
            tiers=tiers,
            targets=targets.configured,
            aliases=config.aliases,
            rules=rules,
            default_tier=default,
            endpoints=tuple(config.endpoints),
            directs=config.answers,
            open_provider=targets.open,
        )
    )


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
        cache_ttl_s=endpoint.cache.ttl_s,
        baseline=endpoint.baseline,
    )


def default_endpoint(config: Config) -> Endpoint:
    """Where a request goes that names none: `[endpoints.default]`, else one without any terms."""
    found = config.endpoints.get("default")
    if found is not None:
        return build_endpoint("default", found, config)
    return Endpoint(name="default", cache_exact=config.cache.exact)


def build_provider(name: str, provider: ProviderConfig) -> OpenAIProvider:
    host, port, tls, path = parse_base_url(provider.base_url)
    origin = HttpOrigin(
        name=name,
        host=host,
        port=port,
        tls=tls,
        connections_max=provider.connections_max,
        connect_s=provider.connect_s,
        answer_bytes_max=provider.answer_bytes_max,
        ca_file=provider.ca_file,
    )
    try:
        return OpenAIProvider(
            name,
            origin,
            path=path,
            api_key=None if provider.api_key is None else provider.api_key.value,
            auth=provider.auth,
            headers=provider.headers,
            include_usage=provider.include_usage,
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error


def build_cache(config: Config, store: KeyValueStore, policy: str) -> ExactCache:
    keys = CacheKeys(policy=policy, endpoints={n: e.cache for n, e in config.endpoints.items()})
    cache = config.cache
    return ExactCache(store, ttl_s=cache.ttl_s, answer_bytes_max=cache.answer_bytes_max, keys=keys)


def build_store(config: StoreConfig, state_dir: Path) -> KeyValueStore:
    match config:
        case MemoryStoreConfig():
            return MemoryStore(entries_max=config.entries_max, bytes_max=config.bytes_max)
        case SqliteStoreConfig():
            path = config.path or state_dir / "cache.db"
            return SqliteStore(path, entries_max=config.entries_max, bytes_max=config.bytes_max)
        case _:
            assert_never(config)


def policy_version(config: Config) -> str:
    """A short name for what decides: equal configurations, secrets aside, have equal versions."""
    return blake2b(configuration.render(config).encode(), digest_size=6).hexdigest()


def list_models(router: RulesRouter, targets: Targets) -> tuple[Json, ...]:
    """`GET /v1/models`: OpenAI's fields, and what we know of price and context window."""
    listed: list[Json] = []
    for name in router.known_models():
        target = targets.configured.get(name)
        entry: Json = {"id": name, "object": "model", "created": 0, "owned_by": "farthing"}
        if target is not None:
            entry["owned_by"] = target.provider
            entry["context_window"] = target.context_tokens_max
            entry["max_output_tokens"] = target.output_tokens_max
            price = target.price
            entry["usd_per_million_tokens"] = price and {
                "input": price.input_pusd / 1_000_000,
                "output": price.output_pusd / 1_000_000,
                "cached_input": price.cached_input_pusd and price.cached_input_pusd / 1_000_000,
            }
        listed.append(entry)
    return tuple(listed)


def count_exactly(counter: ExactCounter) -> Callable[[Request, Prompt], int]:
    """Counts a prompt where the cheap bounds do not settle a limit. The vocabulary loads on first use."""

    def count(request: Request, prompt: Prompt) -> int:
        if request.prompt_chars > EXACT_CHARS_MAX:
            return prompt.input_tokens
        return count_chat(counter, prompt.body, request.model)

    return count


# -- running it -------------------------------------------------------------------------------------


class Gateway:
    """One process: the server, what serves, and the life around them."""

    def __init__(self, config: Config, *, source: Path | None, env: Mapping[str, str]) -> None:
        loop = asyncio.get_running_loop()
        outbox = Outbox(loop)
        self._config = config
        self._address = config.server.host, config.server.port
        self._source = source
        self._env = env
        self._stop = asyncio.Event()
        self._stamp = _stamp(source)
        self._reloads = {"applied": 0, "refused": 0}
        self._admission = Admission(config.server.requests_max)
        self._metrics = Metrics(self._gauges)
        state_dir = configuration.state_dir(config, env)
        counter = ExactCounter()
        if any(endpoint.input_tokens_max is not None for endpoint in config.endpoints.values()):
            counter.warm("gpt-4o")  # loading takes 0.2 s that no request should wait for
        self._segments = SegmentLedger(config.ledger.path or state_dir / "ledger", config.ledger)
        self._parts = Parts(
            ledger=MeteredLedger(self._segments, self._metrics),
            transport=Http1Transport(loop, outbox),
            store=build_store(config.cache.store, state_dir),
            contract=MemoryContract(count=count_exactly(counter), clock=time.monotonic),
            flights=Flights(),
            health={},
            user_key=user_key(state_dir),
        )
        serving = build(config, self._parts)
        self._metrics.targets = _target_names(serving)
        self._edge = Edge(
            serving,
            self._admission,
            metrics=self._metrics.exposition,
            clock=time.monotonic,
        )
        self._server = Server(config.server, self._edge.handle, _refusal, loop=loop, outbox=outbox)

    async def run(self, ready: Callable[[int], None] | None = None) -> int:
        """Serve until SIGTERM or SIGINT, then drain. Returns the exit status."""
        loop = asyncio.get_running_loop()
        port = await self._server.start()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self.reload)
        watcher = loop.create_task(self._watch())
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_ALLOCATIONS, 20, 50)
        log.info("ready on %s:%d, policy %s", self._config.server.host, port, policy_version(self._config))
        if ready is not None:
            ready(port)
        await self._stop.wait()
        log.info("draining: up to %.0f s for %d requests", self._config.server.drain_s, self._in_progress())
        self._admission.draining = True
        watcher.cancel()
        cut = await self._server.drain(self._config.server.drain_s)
        await self._parts.transport.aclose()
        await self._parts.store.aclose()
        await self._parts.ledger.aclose()
        log.info("stopped; %d requests were cut", cut)
        return 0

    def stop(self) -> None:
        """Begin to drain, as SIGTERM does."""
        self._stop.set()

    def reload(self) -> None:
        """Apply the configuration file as it is now; keep what runs when it is not good. Never raises."""
        try:
            self._reload()
        except Exception:
            self._reloads["refused"] += 1
            log.exception("reload refused by a fault of ours, the last good configuration stays")

    def _reload(self) -> None:
        if self._source is None:
            log.warning("nothing to reload: there is no configuration file")
            return
        try:
            config = configuration.load(self._source, self._env)
            if not config.providers and not config.answers:
                raise ConfigError(f"{self._source}: nothing in it can answer")
            host = self._address[0]  # where we listen, whatever the file says now
            if not loopback(host) and not config.keys and not config.server.allow_keyless:
                raise ConfigError(
                    f"{self._source}: no key is left and {host} is open to others until a restart; add one"
                )
            serving = build(config, self._parts)
        except (FarthingError, OSError) as error:
            self._reloads["refused"] += 1
            log.error("reload refused, the last good configuration stays: %s", error)
            return
        for name in ("ledger", "state_dir"):
            if getattr(config, name) != getattr(self._config, name):
                log.warning("%s changed: that takes a restart", name)
        if (config.server.host, config.server.port) != self._address:
            log.warning("server.host or server.port changed: that takes a restart")
        if config.cache.store != self._config.cache.store:
            log.warning("cache.store changed: that takes a restart")
        self._edge.serving = serving
        self._metrics.targets = _target_names(serving)
        self._server.reconfigure(config.server)
        self._admission.resize(config.server.requests_max)
        self._config = config
        self._reloads["applied"] += 1
        log.info("configuration reloaded, policy %s", serving.steps.money.policy)

    async def _watch(self) -> None:
        """Reload when the file has changed and then stayed the same for a moment: the first half of a
        file may be a valid one, without the keys."""
        seen = self._stamp
        while True:
            await asyncio.sleep(WATCH_S)
            stamp = _stamp(self._source)
            if stamp == seen and stamp != self._stamp:
                self._stamp = stamp
                self.reload()
            seen = stamp

    def _in_progress(self) -> int:
        return self._admission.in_progress

    def _gauges(self) -> dict[str, float]:
        state = self._segments.state()
        return {
            "requests_in_progress": self._admission.in_progress,
            "requests_shed": self._admission.shed,
            "requests_unauthenticated": self._edge.unauthenticated,
            "connections": len(self._server.connections),
            "reloads_applied": self._reloads["applied"],
            "reloads_refused": self._reloads["refused"],
            "ledger_available": float(state.available),
            "ledger_rows_lost": state.lost,
            "ledger_sync_failures": state.sync_failures,
        }


def _stamp(source: Path | None) -> tuple[int, int] | None:
    """Changes when the file does; None when there is none."""
    if source is None:
        return None
    try:
        status = source.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _target_names(serving: Serving) -> frozenset[str]:
    """The targets that are configured: what may be a label of the metrics."""
    return frozenset(entry["id"] for entry in serving.models if "/" in entry["id"])


def _refusal(status: int, message: str) -> tuple[bytes, bytes]:
    """What the server says when it refuses a request before any route sees it."""
    error: FarthingError
    match status:
        case 503:
            error = Overloaded(message)
        case 413:
            error = BodyTooLarge(message)
        case _:
            error = InvalidRequest(message)
    return b"server: farthing\r\ncontent-type: application/json\r\n", error_body(error)


def user_key(state_dir: Path) -> bytes:
    """The secret that users are digested with: made once for an installation, readable by us alone."""
    path = state_dir / "user.key"
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        key = _read_key(path)
        return _make_key(path) if key is None else key
    except OSError as error:
        raise ConfigError(f"cannot write to {state_dir}: {error.strerror}; set state_dir") from error


def _read_key(path: Path) -> bytes | None:
    """The key in the file; None when there is none. A file that is too short, because the disk was full or
    the power failed, is taken away: a key that can be guessed digests nothing."""
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        return None
    if len(key) >= USER_KEY_BYTES:
        return key[:USER_KEY_BYTES]
    log.warning("%s holds %d bytes and is made anew: users get other digests", path, len(key))
    path.unlink(missing_ok=True)
    return None


def _make_key(path: Path) -> bytes:
    """Make the key. Its file is there whole or not at all, and of several that make it at once one wins.

    Raises:
        OSError: it cannot be written.
    """
    key = secrets.token_bytes(USER_KEY_BYTES)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix="user.key.")  # readable by us alone
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
        os.link(name, path)  # as a rename, but never over a file that is there
    except FileExistsError:
        return path.read_bytes()[:USER_KEY_BYTES]
    finally:
        os.unlink(name)
    return key


def run(
    config: Config,
    *,
    source: Path | None,
    env: Mapping[str, str],
    ready: Callable[[int], None] | None = None,
) -> int:
    """Serve until stopped; return the exit status.

    Raises:
        ConfigError: the configuration cannot be served, or its address is taken.
    """
    set_up_logging(config.log.level, as_json=config.log.json, stream=sys.stderr)

    async def main() -> int:
        try:
            gateway = Gateway(config, source=source, env=env)
            return await gateway.run(ready)
        except OSError as error:
            server = config.server
            raise ConfigError(
                f"cannot listen on {server.host}:{server.port}: {error.strerror}; choose another --port"
            ) from error

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        status: int = runner.run(main())
    return status
