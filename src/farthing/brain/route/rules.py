"""Choose targets by the name that the client asked for, and by rules over the request's traits.

The name decides first. A model that the client names is never substituted; `auto`, a tier, an alias or an
endpoint is the client's consent to a choice:

    request.tier              that tier                      (`/llm-inference`)
    auto, farthing/ENDPOINT   fixed answers, the endpoint's tier, the rules in order, the default tier
    alias                     fixed answers, then the meaning of the alias
    tier                      that tier
    provider/model, model     that target alone
    anything else             the one provider that lists a model of that name, or the only provider

An alias may refer to another. All routes are built at the start and returned unchanged. Only a prompt that is
too long for one of a tier's targets, or a model that is not configured, needs a new route.
"""

import sys
from collections.abc import Callable, Mapping

from msgspec import Struct

from farthing.brain.route.expression import Expression
from farthing.brain.route.unknown import unknown, unknown_model
from farthing.config import AUTO, ENDPOINT_PREFIX, DirectConfig, RuleConfig, meanings
from farthing.errors import ConfigError, UnknownModel
from farthing.protocols import TokenSizes
from farthing.text.asked import asked
from farthing.text.phrase import normalised
from farthing.types import Json, Request, Route, Target, Traits, replace

PINNED = "pinned: the client named the model"
_NO_WINDOW = sys.maxsize


def _no_open_provider(name: str) -> Target | None:
    return None


def _no_suggestions(name: str) -> tuple[str, ...]:
    return ()


_SURELY_FITS = 8
"""No family counts a text at more than this multiple of the estimate."""


class Policy(Struct, frozen=True, kw_only=True):
    """What the router decides by."""

    tiers: Mapping[str, tuple[Target, ...]]
    """Targets in the order to try them; never empty."""
    targets: Mapping[str, Target]
    """Every configured target by its name `provider/model`."""
    aliases: Mapping[str, str] = {}
    rules: tuple[RuleConfig, ...] = ()
    default_tier: str | None
    """None: there is no tier, so only models that the client names can be asked."""
    endpoints: tuple[str, ...] = ()
    endpoint_tiers: Mapping[str, str] = {}
    """The tiers of endpoints that have one."""
    directs: tuple[DirectConfig, ...] = ()
    open_provider: Callable[[str], Target | None] = _no_open_provider
    """The target for a model name that is not configured, if only one provider can be meant."""
    providers: tuple[str, ...] = ()
    """The names of the configured providers."""
    suggestions: Callable[[str], tuple[str, ...]] = _no_suggestions
    """Alternatives for a name without a target from `open_provider`: names with the provider if several have
    it, else the nearest in spelling."""
    sizes: TokenSizes | None = None
    """Tells how many tokens a prompt has for each target; None: the estimate is taken to be right for all."""


class _Ready(Struct, frozen=True):
    """A route, the smallest context window among its targets, and what all of them are known to lack."""

    route: Route
    window_tokens: int
    lacks: frozenset[str] = frozenset()


class _Direct(Struct, frozen=True):
    route: Route
    endpoint: str | None
    holds: Callable[[Request, Traits], bool] | None
    phrases: frozenset[str]


class RulesRouter:
    """Routes by `policy`.

    Raises:
        ConfigError: a rule, an alias, the default or an endpoint's tier names something that does not
        exist,
            or a condition is invalid.
    """

    immediate = True

    wait_s = 0.0
    """It asks no model."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._aliases = meanings(policy.aliases)
        self._tiers = {name: _ready(name, targets, f"tier {name}") for name, targets in policy.tiers.items()}
        self._lacked = frozenset[str]().union(*(tier.lacks for tier in self._tiers.values()))
        """What all models of some tier are known to lack."""
        self._default = self._default_tier("default: no rule applies")
        self._fallback = self._default_tier("fallback: the default tier")
        self._asked = {name: _ready(name, t, "asked for by the client") for name, t in policy.tiers.items()}
        self._endpoint_tiers = {
            name: _ready(name, t, "tier of the endpoint") for name, t in policy.tiers.items()
        }
        self._may_be = {
            name: _ready(name, t, "first of the tiers that may be used") for name, t in policy.tiers.items()
        }
        self._rules = tuple(self._rule(index, rule) for index, rule in enumerate(policy.rules))
        self._directs = tuple(map(_direct, policy.directs))
        self._phrase_chars_max = max(
            (2 * len(phrase) + 64 for direct in self._directs for phrase in direct.phrases), default=0
        )
        self._named = self._names()
        self._choosing = frozenset({AUTO, *(a for a, meaning in self._aliases.items() if _chooses(meaning))})

    def known_models(self) -> tuple[str, ...]:
        """Every configured name that a client may use as `model`: auto, tiers, aliases, endpoints, targets,
        and the targets' models by their own names."""
        policy = self._policy
        names = [AUTO, *policy.tiers, *policy.aliases]
        names += [ENDPOINT_PREFIX + name for name in policy.endpoints]
        return tuple(dict.fromkeys([*names, *policy.targets, *self._named]))

    def endpoint_of(self, name: str) -> str | None:
        """The endpoint that a model name leads to, by itself or through an alias; None if it leads to
        none."""
        meaning = self._aliases.get(name, name)
        return meaning[len(ENDPOINT_PREFIX) :] if meaning.startswith(ENDPOINT_PREFIX) else None

    @property
    def choosing(self) -> frozenset[str]:
        """`auto` and the aliases that leave the choice to rules or to an endpoint."""
        return self._choosing

    def meaning_of(self, name: str) -> str:
        """The meaning of a name after following every alias; the name itself if it is not an alias."""
        return self._aliases.get(name, name)

    def target_of(self, name: str) -> Target | None:
        """The target that a known name pins, by itself or through an alias; None if it leaves a choice."""
        named = self._named.get(name)
        return named.route.targets[0] if named is not None and named.route.pinned else None

    def leads(self, name: str) -> bool:
        """Whether a known name leads to a target: without a default tier, rules have nothing to choose
        from."""
        if name not in self._choosing and not name.startswith(ENDPOINT_PREFIX):
            return True
        endpoint = self.endpoint_of(name)
        pinned = endpoint is not None and self._policy.endpoint_tiers.get(endpoint) in self._tiers
        return pinned or self._default is not None or bool(self._directs)

    async def route(self, request: Request, traits: Traits) -> Route:
        """See `protocols.Router`.

        Raises:
            UnknownModel: no target has the name that the client asked for, or the tier is unknown.
        """
        return self.choose(request, traits)

    def choose(self, request: Request, traits: Traits) -> Route:
        """Like `route`, without a coroutine. Pure except for `open_provider`."""
        name = request.model
        if request.tier is not None:
            ready = self._tier_asked(request.tier)
        elif name in self._choosing or name.startswith(ENDPOINT_PREFIX):
            direct = self._direct_answer(request, traits) if self._directs else None
            if direct is not None:
                return direct
            if request.operation == "chat":
                ready = self._by_rules(request, traits)
                if ready.lacks:
                    ready = self._able(ready, request, traits)
            else:
                ready = self._tier_of(request)
        else:
            named = self._named.get(name)
            if named is None:
                return self._open(name, request)
            if name in self._aliases:
                direct = self._direct_answer(request, traits) if self._directs else None
                if direct is not None:
                    return direct
            ready = named
        return self._fitting(ready, traits, request.body)

    def _fitting(self, ready: _Ready, traits: Traits, body: Json | None) -> Route:
        if traits.input_tokens * _SURELY_FITS <= ready.window_tokens and not traits.media_tokens:
            return ready.route
        return fitting(ready.route, traits, self._policy.sizes, body)

    def fit(self, route: Route, traits: Traits, body: Json | None) -> Route:
        """`route`, the targets whose context window is too small left out or put last. Pure."""
        return fitting(route, traits, self._policy.sizes, body)

    def undecided(self, request: Request, traits: Traits) -> bool:
        """Whether `choose` would take the default tier because nothing else decides: no model, tier or alias
        was named, no fixed answer fits, no rule holds, and no tier lacks what is asked for. Pure."""
        name = request.model
        if request.tier is not None or request.operation != "chat" or self._default is None:
            return False
        if request.tiers is not None:  # predicting routers choose among all tiers
            return False
        if name not in self._choosing and not name.startswith(ENDPOINT_PREFIX):
            return False
        if self._directs and self._direct_answer(request, traits) is not None:
            return False
        if self._lacked and self._lacked & asked(request.body, bool(traits.media_tokens)):
            return False
        return self._by_rules(request, traits) is self._default

    def to_tier(self, tier: str, traits: Traits) -> Route:
        """The route to a configured tier, without targets whose context window is too small. Pure."""
        return self._fitting(self._tiers[tier], traits, None)

    @property
    def tiers(self) -> Mapping[str, tuple[Target, ...]]:
        """The policy's tiers."""
        return self._policy.tiers

    @property
    def default_tier(self) -> str | None:
        """The policy's default tier."""
        return self._policy.default_tier

    def fallback(self, request: Request) -> Route:
        """The named model or tier; the endpoint's tier or the default one if the client left the choice open.

        Raises:
            UnknownModel: as `route`.
        """
        name = request.model
        if request.tier is not None:
            return self._tier_asked(request.tier).route
        if name in self._choosing or name.startswith(ENDPOINT_PREFIX):
            if request.operation != "chat":
                return self._tier_of(request).route
            pinned = self._tier_pinned(request)
            return (pinned or self._otherwise(request, self._fallback)).route
        named = self._named.get(name)
        return self._open(name, request) if named is None else named.route

    def pins(self, request: Request) -> bool:
        """See `protocols.Router`."""
        name = request.model
        if request.tier is not None or name in self._choosing or name.startswith(ENDPOINT_PREFIX):
            return False
        named = self._named.get(name)
        return named is None or named.route.pinned

    def answers(self, request: Request, traits: Traits) -> bool:
        """See `protocols.Router`."""
        name = request.model
        if not self._directs or request.tier is not None:
            return False
        chosen = name in self._choosing or name.startswith(ENDPOINT_PREFIX) or name in self._aliases
        return chosen and self._direct_answer(request, traits) is not None

    def _tier_of(self, request: Request) -> _Ready:
        """The endpoint's tier for what is no chat: rules choose among chat models."""
        pinned = self._tier_pinned(request)
        if pinned is None:
            raise UnknownModel(
                f"`{request.model[:100]}` is chosen by rules for chats: for {request.operation} name a model "
                "that has it, an alias of one, or a tier or an endpoint with a tier of such models",
                param="model",
            )
        return pinned

    def _by_rules(self, request: Request, traits: Traits) -> _Ready:
        pinned = self._tier_pinned(request)
        if pinned is not None:
            return pinned
        allowed = request.tiers
        for holds, ready in self._rules:
            if (allowed is None or ready.route.tier in allowed) and holds(request, traits):
                return ready
        return self._otherwise(request, self._default)

    def _able(self, ready: _Ready, request: Request, traits: Traits) -> _Ready:
        """`ready`, or the first other tier that may be used of which a model is not known to lack what is
        asked for. `ready` where the endpoint names its tier, or no tier is better."""
        needed = ready.lacks & asked(request.body, bool(traits.media_tokens))
        if not needed or self._tier_pinned(request) is not None:
            return ready
        for tier, other in self._tiers.items():
            if (request.tiers is None or tier in request.tiers) and not other.lacks & needed:
                lacks = ", ".join(sorted(needed))
                told = f"{ready.route.reason}; not {ready.route.tier}, which takes no {lacks}"
                return _Ready(replace(other.route, reason=told), other.window_tokens, other.lacks)
        return ready

    def _tier_pinned(self, request: Request) -> _Ready | None:
        """The tier of the endpoint; None: it has none, or the key may not use it."""
        tier = request.endpoint.tier
        if tier is None or (request.tiers is not None and tier not in request.tiers):
            return None
        return self._endpoint_tiers.get(tier)

    def _otherwise(self, request: Request, default: _Ready | None) -> _Ready:
        """The default tier if it may be used, else the first that may."""
        allowed = request.tiers
        if allowed is None or (default is not None and default.route.tier in allowed):
            return _some(default)
        return self._may_be[allowed[0]]

    def _direct_answer(self, request: Request, traits: Traits) -> Route | None:
        if request.operation != "chat":
            return None
        # Only texts short enough to be one of the phrases are normalised.
        text = normalised(request.text) if len(request.text) <= self._phrase_chars_max else None
        for direct in self._directs:
            if direct.endpoint is not None and direct.endpoint != request.endpoint.name:
                continue
            if text is not None and text in direct.phrases:
                return direct.route
            if direct.holds is not None and direct.holds(request, traits):
                return direct.route
        return None

    def _open(self, name: str, request: Request) -> Route:
        target = self._policy.open_provider(name)
        if target is None:
            policy = self._policy
            known = [one for one in self.known_models() if self._may_know(request, one)]
            near = policy.suggestions(name) if request.tenant.scope is None else ()
            why = unknown_model(name, known, near, policy.providers)
            raise UnknownModel(why, param="model")
        return Route(tier="", targets=(target,), reason=PINNED, pinned=True)

    def _may_know(self, request: Request, name: str) -> bool:
        """Never reveal to a key what it may not ask for."""
        bound, scope = request.tenant.endpoint, request.tenant.scope
        if scope is not None and name not in scope.names:
            return False
        return bound is None or self.endpoint_of(name) in (None, bound)

    def _tier_asked(self, tier: str) -> _Ready:
        ready = self._asked.get(tier)
        if ready is None:
            raise UnknownModel(unknown("tier", tier, tuple(self._asked)), param="model_tier")
        return ready

    # -- at the start ---------------------------------------------------------------------------

    def _default_tier(self, reason: str) -> _Ready | None:
        tier = self._policy.default_tier
        return None if tier is None else self._tier_named(tier, "route.default", reason)

    def _tier_named(self, tier: str, where: str, reason: str) -> _Ready:
        if tier not in self._tiers:
            raise ConfigError(f"{where}: {unknown('tier', tier, tuple(self._tiers))}")
        return _ready(tier, self._policy.tiers[tier], reason)

    def _rule(self, index: int, rule: RuleConfig) -> tuple[Callable[[Request, Traits], bool], _Ready]:
        where = f"route.rules[{index}]"
        expression = _expression(rule.when, f"{where}.when")
        label = f"rule {rule.name}: " if rule.name else f"rule {index + 1}: "
        ready = self._tier_named(rule.tier, f"{where}.tier", label + expression.text)
        if rule.escalate is not None:
            reason = f"escalated from {rule.tier}: low confidence"
            escalation = self._tier_named(rule.escalate, f"{where}.escalate", reason).route
            ready = _Ready(replace(ready.route, escalation=escalation), ready.window_tokens, ready.lacks)
        return expression.holds, ready

    def _names(self) -> dict[str, _Ready]:
        """Every model name that is not left to the rules. If two things share a name, the one that comes
        first in the list at the top of this file wins."""
        named: dict[str, _Ready] = {}
        providers = {target.provider for target in self._policy.targets.values()}
        for name, target in self._policy.targets.items():
            tier = next((t for t, targets in self._policy.tiers.items() if target in targets), "")
            pinned = _pinned(_ready(tier, (target,), PINNED))
            named[name] = pinned
            if target.model.partition("/")[0] not in providers:  # else it is that provider's
                named.setdefault(target.model, pinned)
        named.update(self._tiers)
        goals = dict(named)  # an alias may have the same name as another alias's meaning
        for alias, meaning in self._aliases.items():
            if not _chooses(meaning):
                named[alias] = self._alias(alias, meaning, goals)
        return named

    def _alias(self, alias: str, meaning: str, named: Mapping[str, _Ready]) -> _Ready:
        found = named.get(meaning)
        if found is None:
            known = (AUTO, *self._policy.tiers, *self._policy.targets)
            raise ConfigError(f"aliases.{alias}: {unknown('tier or target', meaning, known)}")
        reason = f"alias {alias} stands for {meaning}"
        return _Ready(replace(found.route, reason=reason), found.window_tokens)


def _chooses(meaning: str) -> bool:
    """Whether an alias for `meaning` leaves the choice to the rules."""
    return meaning == AUTO or meaning.startswith(ENDPOINT_PREFIX)


def _ready(tier: str, targets: tuple[Target, ...], reason: str) -> _Ready:
    if not targets:
        raise ConfigError(f"tiers.{tier}.targets: a tier needs at least one target")
    windows = (target.context_tokens_max or _NO_WINDOW for target in targets)
    lacks = frozenset.intersection(*(target.lacks for target in targets))
    return _Ready(Route(tier=tier, targets=targets, reason=reason), min(windows), lacks)


def _pinned(ready: _Ready) -> _Ready:
    return _Ready(replace(ready.route, pinned=True), ready.window_tokens)


def _some(ready: _Ready | None) -> _Ready:
    if ready is None:
        raise UnknownModel(
            "no tier is configured to choose from: name a model, or add [tiers.NAME]", param="model"
        )
    return ready


def fitting(route: Route, traits: Traits, sizes: TokenSizes | None, body: Json | None) -> Route:
    """`route` without the targets whose context window is surely too small, and those last where it probably
    is: a count that is none of ours may be off, and they say so themselves. Unchanged if none is large
    enough."""
    if len(route.targets) < 2:
        return route
    good, doubtful = list[Target](), list[Target]()
    small, last = list[str](), list[str]()
    needed = _NO_WINDOW
    for target in route.targets:
        window = target.context_tokens_max or _NO_WINDOW
        tokens, least, error = _expected(target, traits, sizes, body)
        if tokens <= window:
            good.append(target)
        elif least <= window:
            doubtful.append(target)
            rough = f"give or take {error:.0%}" if error < 1 else "a rough guess"
            last.append(f"{target.name} last: context window below {tokens} tokens, {rough}")
        else:
            small.append(target.name)
            needed = min(needed, least)
    if not good and not doubtful:
        return route
    told = [f"without {', '.join(small)}: context window below {needed} tokens"] if small else []
    told += last if good else []
    if not told:
        return route
    reason = "; ".join((route.reason, *told))
    changed: Route = replace(route, targets=(*good, *doubtful), reason=reason)
    return changed


def _expected(
    target: Target, traits: Traits, sizes: TokenSizes | None, body: Json | None
) -> tuple[int, int, float]:
    """Tokens of the prompt, how many it surely has, and the error as a share."""
    tokens = traits.input_tokens
    if sizes is None or target.context_tokens_max is None:
        return tokens, tokens, 0.0
    found = sizes.expected(target, tokens, traits.media_tokens, body, traits.language)
    return found.tokens, found.least, found.error_share


def _direct(config: DirectConfig) -> _Direct:
    where = f"answers.{config.name}"
    if not config.phrases and config.when is None:
        raise ConfigError(f"{where}: give phrases, when, or both")
    return _Direct(
        route=Route(tier="none", targets=(), reason=f"fixed answer {config.name}", fixed=config.text),
        endpoint=config.endpoint,
        holds=None if config.when is None else _expression(config.when, f"{where}.when").holds,
        phrases=frozenset(map(normalised, config.phrases)),
    )


def _expression(text: str, where: str) -> Expression:
    try:
        return Expression(text)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
