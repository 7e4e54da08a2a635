"""Which names a key or an endpoint allows, resolved once per configuration.

    models    the names that clients write, exact or as `openai/*`; the meaning of a name counts too
    tiers     these tiers, their targets by name, and the choice among them
    both      everything that either allows
    tier      of an endpoint: like `tiers` for keys bound to it, if it has no `tiers`

A key that is bound to an endpoint may ask for what both allow. It may always ask for what the operator has
set at its endpoint: the endpoint itself and `auto`.
"""

from collections.abc import Callable, Mapping

from farthing.brain.route.rules import RulesRouter
from farthing.config import AUTO, ENDPOINT_PREFIX, EndpointConfig, KeyConfig
from farthing.types import Scope, Target

ANYTHING = "*"


class Scopes:
    """The allow-lists of one configuration."""

    def __init__(
        self,
        endpoints: Mapping[str, EndpointConfig],
        router: RulesRouter,
        find: Callable[[str], Target | None],
    ) -> None:
        """`find` gives the target for a name that `router` does not know."""
        self._endpoints = endpoints
        self._router = router
        self._find = find
        self._targets = {
            tier: frozenset(target.name for target in targets) for tier, targets in router.tiers.items()
        }

    def of_key(self, key: KeyConfig) -> Scope | None:
        """What a key may ask for; None: anything."""
        own = self._scope(key.models, key.tiers)
        if key.endpoint is None:
            return own
        endpoint = self._endpoints[key.endpoint]
        tiers = endpoint.tiers
        if tiers is None and endpoint.tier is not None:
            tiers = (endpoint.tier,)
        theirs = self._scope(endpoint.models, tiers, at=key.endpoint)
        return _both(own, theirs)

    def of_endpoint(self, name: str) -> Scope | None:
        """What anybody may ask for at an endpoint; None: anything."""
        endpoint = self._endpoints.get(name)
        return None if endpoint is None else self._scope(endpoint.models, endpoint.tiers, at=name)

    def _scope(
        self, models: tuple[str, ...] | None, tiers: tuple[str, ...] | None, *, at: str | None = None
    ) -> Scope | None:
        """`at`: the endpoint whose list it is."""
        if models is None and tiers is None:
            return None
        listed = models or ()
        begins = tuple(name.removesuffix(ANYTHING) for name in listed if name.endswith(ANYTHING))
        exact = frozenset(name for name in listed if not name.endswith(ANYTHING))
        exact |= {target.name for name in exact if (target := self._target(name)) is not None}
        allowed = {
            name
            for name in self._router.known_models()
            if self._listed(name, exact, begins) or self._within(name, tiers, at)
        }
        endpoints = map(self._router.endpoint_of, allowed)  # an alias counts as its endpoint
        allowed.update(ENDPOINT_PREFIX + one for one in endpoints if one is not None)
        by_name = frozenset(tier for tier in self._targets if tier in exact or tier.startswith(begins))
        return Scope(
            names=exact | allowed,
            begins=begins,
            opens=_at_providers(begins),
            named_tiers=by_name.union(tiers or ()),
            tiers=None if tiers is None or self._targets.keys() <= set(tiers) else tiers,
        )

    def _target(self, name: str) -> Target | None:
        """The one target that `name` means; None if it leaves a choice, or means none."""
        known = name in self._router.known_models()
        return self._router.target_of(name) if known else self._find(name)

    def _listed(self, name: str, exact: frozenset[str], begins: tuple[str, ...]) -> bool:
        """Whether a known name, or its meaning, is in the list."""
        meaning = self._router.meaning_of(name)
        target = self._router.target_of(name)
        candidates = (name, meaning) if target is None else (name, meaning, target.name)
        return any(one in exact or one.startswith(begins) for one in candidates)

    def _within(self, name: str, tiers: tuple[str, ...] | None, at: str | None) -> bool:
        """Whether a known name can lead only to `tiers`."""
        endpoint = self._router.endpoint_of(name)
        if self._router.meaning_of(name) == AUTO or endpoint is not None:
            if at is not None:
                return endpoint in (None, at)
            tier = None if endpoint is None else self._endpoints[endpoint].tier
            return tiers is not None and (tier is None or tier in tiers)
        if tiers is None:
            return False
        target = self._router.target_of(name)
        if target is not None:
            return any(target.name in self._targets[tier] for tier in tiers)
        return self._router.meaning_of(name) in tiers


def _both(one: Scope | None, other: Scope | None) -> Scope | None:
    """What both lists allow."""
    if one is None or other is None:
        return other if one is None else one
    tiers = one.tiers if other.tiers is None else other.tiers
    if one.tiers is not None and other.tiers is not None:
        tiers = tuple(tier for tier in one.tiers if tier in other.tiers)
    begins = _narrower(one.begins, other.begins)
    return Scope(
        names=_shared(one, other) | _shared(other, one),
        begins=begins,
        opens=_at_providers(begins),
        named_tiers=one.named_tiers & other.named_tiers,
        tiers=tiers,
    )


def _shared(one: Scope, other: Scope) -> frozenset[str]:
    return frozenset(name for name in one.names if name in other.names or name.startswith(other.begins))


def _at_providers(begins: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(one for one in begins if "/" in one)


def _narrower(some: tuple[str, ...], others: tuple[str, ...]) -> tuple[str, ...]:
    """The prefixes that both lists allow."""
    pairs = ((a, b) for a in some for b in others)
    return tuple(dict.fromkeys(max(a, b, key=len) for a, b in pairs if a.startswith(b) or b.startswith(a)))
