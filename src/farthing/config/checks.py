"""Checks across settings: whether the tables of a configuration are consistent."""

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import SplitResult, urlsplit

import msgspec

from farthing.config.residency import residency_faults
from farthing.config.settings import providers
from farthing.config.settings.aliases import AUTO, ENDPOINT_PREFIX, alias_faults, fault_of_name
from farthing.config.settings.cascade import ConsistencyCheckConfig, JudgeCheckConfig, LogprobsCheckConfig
from farthing.config.settings.credentials import FETCHED
from farthing.config.settings.gateway import (
    DEFAULT_RULES,
    Config,
    EndpointConfig,
    KeyConfig,
    LearnedRouteConfig,
    OpenAIProviderConfig,
    PluginRouteConfig,
    ProviderConfig,
    RemoteEmbedderConfig,
    ReplicaConfig,
    RulesRouteConfig,
    TierConfig,
    proof_of,
)
from farthing.config.settings.prices import PRICES, price_faults
from farthing.config.settings.quality import CommandCheckConfig
from farthing.config.settings.secret import key_digest
from farthing.config.strict import dotted, nearest, quoted
from farthing.config.toml import Path as Where
from farthing.errors import ConfigError

Condition = Callable[[str], object]
"""Compiles the expression of a rule. Raises ConfigError if it is invalid."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGEST = re.compile(r"b2:[0-9a-f]{64}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_ORIGIN = re.compile(
    r"\*|(?!http://[^/]*:80/?$|https://[^/]*:443/?$)[a-z][a-z0-9+.-]*://[^/?#@*\s]+/?", re.IGNORECASE
)
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")
_HOST_CHARS_MAX = 253
_LANGUAGE = re.compile(r"[a-z]{2}")
_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
_MAY_BE_ZERO = frozenset(
    {
        *PRICES,
        "port",
        "drain_s",
        "window_ms",
        "usd_per_million",
        "audit_share",
        "explore_share",
        "judge_share",
        "check_share",
        "reask_s",
        "cosine_min",
        "retry_share_max",
        "retry_wait_s_max",
    }
)
_AT_MOST = {
    "port": 65_535,
    "depth_max": 512,  # CPython's recursion limit is a thousand, including its callers
    "retry_share_max": 1,
    "busy_share": 1,
    "tenant_share": 1,
    "threshold": 1,
    "score_min": 1,
    "samples": 8,
    "temperature": 2,
    "route_threshold": 1,
    "route_risk_max": 1,
    "explore_share": 1,
    "unsure": 1,
    "judge_share": 1,
    "check_share": 1,
    "risk_max": 1,
    "audit_share": 1,
    "cosine_min": 1,
}
_AT_LEAST = {"threshold": 0.5}  # below it the verifier itself rates the answer as wrong
ROUTE_TIMEOUT_S_MAX = 30.0
_KEY_HEADERS = frozenset(
    {"authorization", "proxy-authorization", "api-key", "x-api-key", "x-goog-api-key", "cookie"}
)

Faults = Iterator[tuple[Where, str]]


def check_can_answer(config: Config, name: str) -> None:
    """Refuse a configuration that can answer nothing. `name` is the file's.

    Raises:
        ConfigError: there is neither a provider nor a fixed answer.
    """
    if not config.providers and not config.answers:
        raise ConfigError(
            f'{name}: nothing can answer; add [providers.NAME] with base_url = "…", or write what is '
            "found here with `farthing init`"
        )


def _is_openai(provider: ProviderConfig) -> bool:
    return isinstance(provider, OpenAIProviderConfig)


class Checks:
    """Faults of a whole configuration: unknown names, impossible bounds, insecure settings."""

    def __init__(self, config: Config, condition: Condition | None) -> None:
        self.config = config
        self.condition = condition

    def faults(self) -> Faults:
        yield from self._bounds(self.config, ())
        yield from self._names()
        yield from self._providers()
        yield from self._tiers()
        yield from self._rules()
        yield from self._aliases()
        yield from self._endpoints()
        yield from self._keys()
        yield from self._answers()
        yield from self._phrases()
        yield from self._prices()
        yield from self._precompute()
        yield from self._semantic()
        yield from self._cascades()
        yield from self._guardrails()
        yield from self._quality()
        yield from self._listener()
        yield from self._admin()
        url = self.config.catalogue_url
        if url is not None and (fault := fault_of_catalogue_url(url)):
            yield ("catalogue_url",), fault

    def _bounds(self, value: Any, path: Where) -> Faults:
        """Every number in a configuration is a bound, a time or a price: none may be negative."""
        match value:
            case msgspec.Struct():
                for field in msgspec.structs.fields(value):
                    yield from self._bounds(getattr(value, field.name), (*path, field.name))
            case dict():
                for key, item in value.items():
                    yield from self._bounds(item, (*path, key))
            case tuple():
                for index, item in enumerate(value):
                    yield from self._bounds(item, (*path, index))
            case int() | float() | Decimal() if not isinstance(value, bool):
                name = str(path[-1])
                if value < 0 or (value == 0 and name not in _MAY_BE_ZERO):
                    least = "at least 0" if name in _MAY_BE_ZERO else "more than 0"
                    yield path, f"expected {least}, got the number {value}"
                elif value > _AT_MOST.get(name, value):
                    yield path, f"expected at most {_AT_MOST[name]}, got the number {value}"
                elif value < _AT_LEAST.get(name, value):
                    yield path, f"expected at least {_AT_LEAST[name]}, got the number {value}"

    def _names(self) -> Faults:
        for table in ("providers", "tiers", "endpoints"):
            for name in getattr(self.config, table):
                if not _NAME.fullmatch(name):
                    yield (
                        (table, name),
                        "a name has letters, digits, dots, dashes and underscores, at most 64",
                    )

    def _providers(self) -> Faults:
        if "farthing" in self.config.providers:
            yield ("providers", "farthing"), 'the name "farthing" stands for endpoints; choose another'
        for name, provider in self.config.providers.items():
            here = ("providers", name)
            fault = fault_of_base_url(provider.base_url)
            if fault and not any(providers.faults_of_place(provider)):
                yield (*here, "base_url"), fault
            if provider.batch and not _is_openai(provider):
                yield (
                    (*here, "batch"),
                    'only a provider of kind "openai" has batches that are used; remove it',
                )
            for key in ("api_key", "api_keys"):
                if provider.auth in ("none", *FETCHED) and getattr(provider, key):
                    yield (
                        (*here, key),
                        f'would never be sent with auth = "{provider.auth}"; remove one of the two',
                    )
            for table in FETCHED:
                if getattr(provider, table, None) is not None and proof_of(provider) != table:
                    yield (*here, table), f'is not used without auth = "{table}"; write that beside it'
            yield from self._headers(provider, (*here, "headers"))
            yield from providers.faults_of(provider, here)
            for index, one in enumerate(provider.replicas):
                yield from self._replica(one, (*here, "replicas", index))

    def _replica(self, replica: ReplicaConfig, here: Where) -> Faults:
        fault = fault_of_base_url(replica.base_url)
        if fault:
            yield (*here, "base_url"), fault
        for key, text in (("name", replica.name), ("region", replica.region)):
            if text and not _NAME.fullmatch(text):
                yield (*here, key), "expected letters, digits, dots, dashes and underscores, at most 64"

    def _headers(self, provider: ProviderConfig, here: Where) -> Faults:
        for name, text in provider.headers.items():
            if name.lower() in _KEY_HEADERS:
                yield (*here, name), 'a secret must not be in the file; use api_key = "${NAME}" and auth'
            elif not providers.HEADER_NAME.fullmatch(name) or not (
                text.isascii() and (text.isprintable() or not text)
            ):
                yield (*here, name), "not a header that can be sent"

    def _hedges(self, table: TierConfig | EndpointConfig, here: Where) -> Faults:
        if table.hedge is not None and table.hedge_after_ms is not None:
            yield (
                (*here, "hedge_after_ms"),
                f"hedge = {quoted(table.hedge)} says {'never' if table.hedge == 'off' else 'when'} already; "
                "remove one of the two",
            )

    def _tiers(self) -> Faults:
        for name, tier in self.config.tiers.items():
            yield from self._hedges(tier, ("tiers", name))
            here = ("tiers", name, "targets")
            if name == "none":
                yield ("tiers", name), 'the tier "none" answers without a model; see [[answers]]'
            if not tier.targets:
                yield here, 'no target; write targets = ["provider/model"]'
            for index, target in enumerate(tier.targets):
                yield from self._target(target, (*here, index))
                if target in tier.targets[:index]:
                    yield (*here, index), f"{quoted(target)} is already in this tier"
            if tier.fallback is not None:
                yield from self._tier_fallback(name)

    def _tier_fallback(self, name: str) -> Faults:
        here = ("tiers", name, "fallback")
        after = self.config.tiers[name].fallback
        yield from self._tier(after, here)
        if name in self.config.fallbacks(name):
            yield here, f"leads back to {quoted(name)} itself: {quoted(after or '')} falls back to it"

    def _target(self, target: str, here: Where) -> Faults:
        """A target that will be called."""
        provider, slash, model = target.partition("/")
        if not (provider and slash and model):
            yield here, f'{quoted(target)} is not a target; write "provider/model"'
        elif provider not in self.config.providers:
            yield here, self._unknown("provider", provider, self.config.providers)

    def _asked(self, target: str, here: Where) -> Faults:
        """A target that the gateway asks itself, by its name: the name must mean the model."""
        yield from self._target(target, here)
        if target in self.config.aliases:
            yield here, f"{quoted(target)} is an alias; name the model itself"

    def _unknown(self, noun: str, name: str, known: Mapping[str, object]) -> str:
        hint = nearest(name, known) or (f"; there is {', '.join(map(quoted, known))}" if known else "")
        return f"unknown {noun} {quoted(name)}{hint or f'; add [{noun}s.{name}]'}"

    def _tier(self, name: str | None, here: Where) -> Faults:
        if name is not None and name not in self.config.tiers:
            yield here, self._unknown("tier", name, self.config.tiers)

    def _rules(self) -> Faults:
        """Tiers of the built-in rules and default may be absent; tiers that the file names may not."""
        route = self.config.route
        if route.default != RulesRouteConfig().default:
            yield from self._tier(route.default, ("route", "default"))
        yield from self._llm()
        if isinstance(route, PluginRouteConfig) and (route.timeout_s or 0.0) > ROUTE_TIMEOUT_S_MAX:
            yield (
                ("route", "timeout_s"),
                f"expected at most {ROUTE_TIMEOUT_S_MAX:g}: every request waits for it",
            )
        if route.rules == DEFAULT_RULES:
            return
        for index, rule in enumerate(route.rules):
            here = ("route", "rules", index)
            yield from self._condition(rule.when, (*here, "when"))
            yield from self._tier(rule.tier, (*here, "tier"))
            yield from self._tier(rule.escalate, (*here, "escalate"))

    def _llm(self) -> Faults:
        """The model that is asked whether a question is easy."""
        here, route = ("route", "llm"), self.config.route
        if isinstance(route, RulesRouteConfig | PluginRouteConfig) or (llm := route.llm) is None:
            return
        yield from self._asked(llm.target, (*here, "target"))
        if llm.timeout_s > ROUTE_TIMEOUT_S_MAX:
            yield (
                (*here, "timeout_s"),
                f"expected at most {ROUTE_TIMEOUT_S_MAX:g}: every request waits for it",
            )
        if isinstance(route, LearnedRouteConfig):
            return
        yield from self._tier(llm.cheap, (*here, "cheap"))
        if llm.cheap == route.default:
            yield (*here, "cheap"), "the same as route.default; there would be no choice"

    def _condition(self, text: str | None, here: Where) -> Faults:
        if text is None or self.condition is None:
            return
        try:
            self.condition(text)
        except ConfigError as why:
            yield here, str(why)

    def _aliases(self) -> Faults:
        """The target of an alias; an alias that leads to another alias is checked there."""
        aliases = self.config.aliases
        for name, goal in aliases.items():
            here = ("aliases", name)
            for fault in alias_faults(name, aliases, self.config.endpoints):
                yield here, fault
            if goal not in aliases:
                yield from self._goal(goal, here)

    def _goal(self, goal: str, here: Where) -> Faults:
        """What an alias refers to."""
        provider, slash, rest = goal.partition("/")
        if provider == "farthing" and slash:
            if rest not in self.config.endpoints:
                yield here, self._unknown("endpoint", rest, self.config.endpoints)
        elif slash:
            yield from self._target(goal, here)
        elif goal != AUTO and goal not in self.config.tiers:
            unknown = self._unknown("tier", goal, self.config.tiers)
            yield here, f'{unknown}; a model is written "provider/model"'

    def _endpoints(self) -> Faults:
        for name, endpoint in self.config.endpoints.items():
            here = ("endpoints", name)
            yield from self._tier(endpoint.tier, (*here, "tier"))
            yield from self._hedges(endpoint, here)
            yield from self._allowed(endpoint, here)
            if endpoint.tiers is not None and endpoint.tier not in (None, *endpoint.tiers):
                yield (*here, "tier"), f"{quoted(endpoint.tier)} is not among the tiers that may be used here"
            yield from self._form(endpoint.baseline, ("endpoints", name, "baseline"))
        yield from self._form(self.config.report.baseline, ("report", "baseline"))
        yield from residency_faults(self.config)

    def _form(self, target: str | None, here: Where) -> Faults:
        """A target that is only priced, and so may belong to a provider that is not configured."""
        provider, _, model = (target or "provider/model").partition("/")
        if not (provider and model):
            yield here, f'{quoted(target)} is not a target; write "provider/model"'

    def _endpoint(self, name: str | None, here: Where) -> Faults:
        if name is not None and name not in self.config.endpoints:
            yield here, self._unknown("endpoint", name, self.config.endpoints)

    def _allowed(self, table: KeyConfig | EndpointConfig, here: Where) -> Faults:
        """Allow-lists of names."""
        for key, names in (("models", table.models), ("tiers", table.tiers)):
            if names is not None and not names:
                yield (*here, key), "this allows nothing; name something, or remove it to allow everything"
        for index, name in enumerate(table.models or ()):
            fault = fault_of_name(name)
            if fault:
                yield (*here, "models", index), f"the name of a model {fault}"
            elif "*" in name[:-1]:
                yield (*here, "models", index), 'a "*" is only allowed at the end, as in "openai/*"'
            else:
                yield from self._meant(name, (*here, "models", index))
        for index, tier in enumerate(table.tiers or ()):
            yield from self._tier(tier, (*here, "tiers", index))

    def _meant(self, name: str, here: Where) -> Faults:
        """A name that is unknown but near a known one, unless it is defined elsewhere."""
        config = self.config
        if name in config.endpoints and name not in config.tiers and name not in config.aliases:
            yield here, f'{quoted(name)} is an endpoint; write "{ENDPOINT_PREFIX}{name}"'
        provider, slash, _ = name.partition("/")
        if slash and f"{provider}/" != ENDPOINT_PREFIX and provider not in config.providers:
            hint = nearest(provider, config.providers)
            if hint and name not in config.aliases:
                yield here, f"unknown provider {quoted(provider)}{hint}"

    def _may_use_some(self, key: KeyConfig, here: Where) -> Faults:
        """A key that is bound to an endpoint may use what both allow."""
        endpoint = self.config.endpoints.get(key.endpoint or "")
        if endpoint is None or key.tiers is None or key.models is not None or endpoint.models is not None:
            return
        tiers = endpoint.tiers if endpoint.tiers is not None or endpoint.tier is None else (endpoint.tier,)
        if tiers is not None and not set(tiers) & set(key.tiers):
            yield (
                (*here, "tiers"),
                f"none of them is allowed at the endpoint {quoted(key.endpoint)}, which has "
                f"{', '.join(map(quoted, tiers))}",
            )

    def _keys(self) -> Faults:
        seen: dict[str, int] = {}
        named: dict[str, int] = {}
        for index, key in enumerate(self.config.keys):
            here = ("keys", index)
            if key.name and named.setdefault(key.name, index) != index:
                other = dotted(("keys", named[key.name]))
                yield (*here, "name"), f"{other} has this name; reports could not tell the two apart"
            yield from self._endpoint(key.endpoint, (*here, "endpoint"))
            yield from self._allowed(key, here)
            yield from self._may_use_some(key, here)
            if not key.tenant:
                yield (*here, "tenant"), "a key belongs to somebody; give the tenant a name"
            if (key.digest is None) == (key.key is None):
                yield here, "give either digest (from `farthing keys new`) or key, and not both"
                continue
            digest = key.digest if key.key is None else key_digest(key.key.value)
            if digest is None or not _DIGEST.fullmatch(digest):
                yield (
                    (*here, "digest"),
                    'expected "b2:" and 64 hexadecimal digits; see `farthing keys digest`',
                )
            elif digest in seen:
                yield here, f"the same key as {dotted(('keys', seen[digest]))}; a key belongs to one tenant"
            else:
                seen[digest] = index
                if key_digest(key.name) == digest:
                    yield (
                        (*here, "name"),
                        "this is the key itself; choose another name, which is not secret",
                    )

    def _answers(self) -> Faults:
        for index, answer in enumerate(self.config.answers):
            yield from self._endpoint(answer.endpoint, ("answers", index, "endpoint"))
            yield from self._condition(answer.when, ("answers", index, "when"))
            if not answer.phrases and answer.when is None:
                yield ("answers", index), "would never match; add phrases or when"

    def _phrases(self) -> Faults:
        """An empty phrase occurs in every text: it would block, or answer, everything."""
        lists: list[tuple[Where, tuple[str, ...]]] = [
            (("answers", index, "phrases"), answer.phrases)
            for index, answer in enumerate(self.config.answers)
        ]
        for index, rule in enumerate(self.config.guard.deny):
            if not rule.contains:
                yield ("guard", "deny", index, "contains"), "would never match; add a phrase"
            lists.append((("guard", "deny", index, "contains"), rule.contains))
        for name, endpoint in self.config.endpoints.items():
            for index, key in enumerate(endpoint.cache.keys):
                lists.append((("endpoints", name, "cache", "keys", index, "phrases"), key.phrases))
        for here, phrases in lists:
            for index, phrase in enumerate(phrases):
                if not phrase.strip():
                    yield (*here, index), "an empty phrase matches everything; remove it"

    def _prices(self) -> Faults:
        for index, price in enumerate(self.config.prices):
            here = ("prices", index)
            yield from self._form(price.target, (*here, "target"))
            if not _DATE.fullmatch(price.since):
                yield (*here, "since"), 'expected a date in quotes such as "2026-01-31"'
            yield from price_faults(price, here)

    def _precompute(self) -> Faults:
        hours = self.config.precompute
        for name, time, other in (("at", hours.at, hours.until), ("until", hours.until, hours.at)):
            if (time or other) and not _CLOCK.fullmatch(time):
                yield ("precompute", name), f'expected a time of day such as "02:00", got {quoted(time)}'

    def _embedder(self) -> Faults:
        embedder = self.config.cache.semantic.embedder
        if isinstance(embedder, RemoteEmbedderConfig) and embedder.provider not in self.config.providers:
            unknown = self._unknown("provider", embedder.provider, self.config.providers)
            yield ("cache", "semantic", "embedder", "provider"), unknown
        elif isinstance(embedder, RemoteEmbedderConfig) and not _is_openai(
            self.config.providers[embedder.provider]
        ):
            yield (
                ("cache", "semantic", "embedder", "provider"),
                f'{quoted(embedder.provider)} has no embeddings; name a provider of kind "openai"',
            )

    def _semantic(self) -> Faults:
        yield from self._embedder()
        for name, endpoint in self.config.endpoints.items():
            here = ("endpoints", name, "cache", "semantic")
            semantic = endpoint.cache.semantic
            for key in ("judge", "confirm"):
                target = getattr(semantic, key)
                if target is not None:
                    yield from self._asked(target, (*here, key))
            if semantic.confidence >= 1:
                yield (*here, "confidence"), "expected less than 1: no number of audits makes it certain"
            for index, language in enumerate(semantic.languages):
                if not _LANGUAGE.fullmatch(language):
                    yield (
                        (*here, "languages", index),
                        f'expected a code of two letters such as "en", got {quoted(language)}',
                    )
            if not semantic.languages:
                yield (
                    (*here, "languages"),
                    'no language is allowed, so nothing is ever found; set ["en"], or mode = "off"',
                )
            for index, phrase in enumerate(semantic.never):
                if not phrase.strip():
                    yield (*here, "never", index), "an empty phrase matches everything; remove it"
            if semantic.adapt and "name" in semantic.adapt and semantic.personal == "refuse":
                yield (*here, "adapt"), 'names are personal: to substitute them, also set personal = "allow"'

    def _quality(self) -> Faults:
        for name, endpoint in self.config.endpoints.items():
            here = ("endpoints", name, "quality")
            quality = endpoint.quality
            if quality.judge is not None:
                yield from self._asked(quality.judge, (*here, "judge"))
            elif quality.judge_share > 0:
                yield (*here, "judge_share"), 'there is no judge; add judge = "provider/model"'
            for index, check in enumerate(quality.checks):
                place = (*here, "checks", index)
                if not _NAME.fullmatch(check.name):
                    yield (*place, "name"), f"{quoted(check.name)}: letters, digits, dots, dashes, at most 64"
                elif check.name in {other.name for other in quality.checks[:index]}:
                    yield place, f"there is a check {quoted(check.name)} already; give this one another name"
                if isinstance(check, CommandCheckConfig) and not (check.command and check.command[0]):
                    yield (*place, "command"), 'no program; write command = ["program", "argument"]'

    def _cascades(self) -> Faults:
        for name, endpoint in self.config.endpoints.items():
            cascade, here = endpoint.cascade, ("endpoints", name, "cascade")
            if cascade is None:
                continue
            for key in ("first", "then"):
                yield from self._tier(getattr(cascade, key), (*here, key))
            if cascade.first == cascade.then:
                yield (*here, "then"), "the same tier twice; name one that answers better"
            if not cascade.checks:
                yield (*here, "checks"), "nothing would ever be escalated; remove it or name a check"
            named = [check.name for check in cascade.checks]
            measures = 0
            for index, check in enumerate(cascade.checks):
                at = (*here, "checks", index)
                if not _NAME.fullmatch(check.name) or check.name in named[:index]:
                    yield (*at, "name"), "letters, digits, dots, dashes and underscores, and every name once"
                if isinstance(check, JudgeCheckConfig):
                    yield from self._asked(check.target, (*at, "target"))
                elif isinstance(check, LogprobsCheckConfig | ConsistencyCheckConfig):
                    measures += 1
                    if measures > 1:
                        yield at, "a receipt has room for one score: logprobs or consistency, not both"

    def _guardrails(self) -> Faults:
        named = [plugin.name for plugin in self.config.guard.plugins]
        for index, name in enumerate(named):
            if not _NAME.fullmatch(name) or name in named[:index]:
                yield (
                    ("guard", "plugins", index, "name"),
                    "letters, digits, dots, dashes and underscores, and every name once",
                )

    def _admin(self) -> Faults:
        admin = self.config.admin
        if admin.port is None:
            return
        fault = fault_of_host(admin.host)
        if fault:
            yield ("admin", "host"), fault
            return
        if not loopback(admin.host) and admin.key is None:
            yield ("admin", "host"), f'{admin.host} is open to others; set key = "${{NAME}}" beside it'
        if admin.port and (admin.host, admin.port) == (self.config.server.host, self.config.server.port):
            yield ("admin", "port"), "the same as server.port; the admin listener needs its own port"

    def _listener(self) -> Faults:
        server = self.config.server
        fault = fault_of_host(server.host)
        if fault:
            yield ("server", "host"), fault
        elif not loopback(server.host) and not self.config.keys and not server.allow_keyless:
            yield (
                ("server", "host"),
                (
                    f"{server.host} is open to others and no key is configured; run `farthing keys new`, "
                    "or set server.allow_keyless = true"
                ),
            )
        if server.bodies_bytes_max < server.body_bytes_max:
            yield ("server", "bodies_bytes_max"), "less than server.body_bytes_max, which one body may take"
        for index, origin in enumerate(server.cors_origins):
            if not _ORIGIN.fullmatch(origin):
                yield (
                    ("server", "cors_origins", index),
                    f'{quoted(origin)} is not an origin; write "https://app.example", with the port if it is '
                    'not the default one and without a path, or "*" for every site',
                )


def loopback(host: str) -> bool:
    """Whether only this machine can reach `host`. A name other than `localhost` may refer to anything."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def fault_of_host(host: str) -> str:
    """Why nothing can listen on `host`, judging by its syntax, with the fix; empty if it can."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        return ""
    numbers = all(part.isdecimal() for part in host.split("."))
    if len(host) <= _HOST_CHARS_MAX and _HOST_NAME.fullmatch(host) and not numbers:
        return ""
    meant = '; write "127.0.0.1" for this machine alone, or "0.0.0.0" for all its addresses'
    bare = host.rpartition("//")[2].strip("/")
    name, colon, port = bare.rpartition(":")
    if colon and port.isdecimal() and name.count(":") == 0:
        write = quoted(name or "0.0.0.0")
        return f"{quoted(host)} is not an address: write {write}, and the port {port} as port"
    if bare.startswith("[") and bare.endswith("]"):
        return f"{quoted(host)} is not an address: write {quoted(bare[1:-1])}, without brackets"
    return f"{quoted(host)} is not an address{meant}"


def fault_of_catalogue_url(text: str) -> str:
    """Why a price list cannot be fetched from `text`; empty if it can."""
    url = _split(text)
    if url is None or url.scheme != "https":
        return 'expected an URL that begins with "https://"'
    if url.username or url.password or url.fragment:
        return "an URL without user, password and fragment is expected"
    return ""


def fault_of_base_url(text: str) -> str:
    """Why `text` cannot be a provider's address, in words that do not repeat it; empty if it can."""
    url = _split(text)
    if url is None:
        return 'expected an URL such as "https://api.example.com/v1"'
    if "${" in text:
        return (
            "only secrets can be taken from the environment like this; write the whole URL, or set its "
            "FARTHING__… variable"
        )
    if "api-version=" in url.query:
        return "its query belongs into a setting of its own: write api_version beside it, and no query here"
    if url.username or url.password or url.query or url.fragment:
        return "an URL without user, password, query and fragment is expected"
    return ""


def _split(text: str) -> SplitResult | None:
    """The parts of a usable address, or None."""
    try:
        url = urlsplit(text)
        callable_ = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:  # unbalanced brackets, or a port that is not a number
        return None
    printable = text.isascii() and text.isprintable() and " " not in text
    return url if callable_ and printable else None
