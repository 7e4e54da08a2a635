"""Which models and tiers a request may ask for: according to the lists of its key and endpoint and, for names
that the configuration does not know, according to what its providers pass through.

A request for a known name never comes here if neither its key nor its endpoint has a list.
"""

from collections.abc import Callable, Collection, Iterator, Mapping

from farthing.config import ENDPOINT_PREFIX
from farthing.errors import Forbidden, RequestError, UnknownModel
from farthing.types import DEFAULT_ENDPOINT, Endpoint, Scope, Tenant

ENDPOINT_HEADER = "x-farthing-endpoint"
NAME_CHARS_SHOWN = 100
NAMES_SHOWN_MAX = 10

Find = Callable[[str], tuple[str, bool]]
"""The target for a name that the configuration does not know, empty without one, and whether its provider
(without a target: any provider) passes such names through."""


def _anything(name: str) -> tuple[str, bool]:
    return "", True


class Gate:
    """Decides which names of one configuration a client may ask for."""

    def __init__(
        self, names: Mapping[str, str], choosing: frozenset[str] = frozenset(), find: Find = _anything
    ) -> None:
        """`names`: as of `Reader`. `choosing`: those of them that leave the choice to us, endpoints aside."""
        self._names = names
        self._choosing = choosing
        self._find = find

    def tiers(
        self, model: str, tier: str | None, tenant: Tenant, endpoint: Endpoint
    ) -> tuple[str, ...] | None:
        """The tiers among which may be chosen for a request; None: all. `tier` is asked for instead of a
        model.

        Raises:
            Forbidden: a list of the key or of the endpoint has no such name. UnknownModel: the configuration
                does not know it, and it may not be passed on.
        """
        try:
            return self._tiers(model, tier, tenant, endpoint)
        except RequestError as error:
            error.endpoint = endpoint.name
            raise

    def _tiers(
        self, model: str, tier: str | None, tenant: Tenant, endpoint: Endpoint
    ) -> tuple[str, ...] | None:
        scopes = [scope for scope in (tenant.scope, endpoint.scope) if scope is not None]
        if tier is not None:
            if all(tier in scope.named_tiers for scope in scopes):
                return None
            raise self._forbidden("tier", tier, scopes, "model_tier")
        name = model
        chooses = model in self._choosing
        if chooses and tenant.endpoint is None and endpoint.name != DEFAULT_ENDPOINT.name:
            name = ENDPOINT_PREFIX + endpoint.name  # that a header names is asked for as by its name
        target, passes = ("", False) if name in self._names else self._find(name)
        if not all(self._allows(scope, name, target) for scope in scopes):
            raise self._forbidden("model", name, scopes, "model" if name == model else ENDPOINT_HEADER)
        known = name in self._names or target in self._names
        if not known and not passes and not any(_consents(scope, target) for scope in scopes):
            raise UnknownModel(self._unknown(model, tenant, endpoint), param="model")
        return _choice(scopes, endpoint) if chooses or model.startswith(ENDPOINT_PREFIX) else None

    def may_ask(self, model: str, tenant: Tenant, endpoint: Endpoint) -> bool:
        """Whether `tiers` would raise nothing."""
        try:
            self.tiers(model, None, tenant, endpoint)
        except (Forbidden, UnknownModel):
            return False
        return True

    @staticmethod
    def _allows(scope: Scope, name: str, target: str) -> bool:
        names = scope.names
        if name in names or target in names:
            return True
        begins = scope.begins
        return bool(begins) and (name.startswith(begins) or (bool(target) and target.startswith(begins)))

    def _forbidden(self, what: str, name: str, scopes: Collection[Scope], param: str) -> Forbidden:
        if what == "tier":
            known = sorted(frozenset.intersection(*(scope.named_tiers for scope in scopes)))
        else:
            known = list(self._askable(scopes))
        return Forbidden(
            f"this API key or endpoint may not ask for the {what} `{name[:NAME_CHARS_SHOWN]}`; "
            f"it may ask for: {_listed(known)}",
            param=param,
        )

    def _askable(self, scopes: Collection[Scope]) -> Iterator[str]:
        """The names that lists allow, those known to the configuration first."""
        if not scopes:
            return
        for name in self._names:
            if all(self._allows(scope, name, "") for scope in scopes):
                yield name
        first, *others = scopes
        for name in sorted(first.names.difference(self._names)):
            if all(self._allows(scope, name, "") for scope in others):
                yield name
        for begin in first.begins:
            if all(begin.startswith(scope.begins) for scope in others):
                yield f"{begin}*"

    def _unknown(self, model: str, tenant: Tenant, endpoint: Endpoint) -> str:
        own = ENDPOINT_PREFIX + (tenant.endpoint or "")
        known = [
            name
            for name in self._names
            if tenant.endpoint is None or not name.startswith(ENDPOINT_PREFIX) or name == own
        ]
        return (
            f"there is no model `{model[:NAME_CHARS_SHOWN]}` here; known: {_listed(known)}. Others that a "
            "provider has can be asked for once the operator lists them in the provider's `models`, or sets "
            "`pass_through = true`"
        )


def _consents(scope: Scope, target: str) -> bool:
    """Whether a list names a provider's model that is configured nowhere else."""
    return bool(target) and (target in scope.names or target.startswith(scope.opens))


def _choice(scopes: Collection[Scope], endpoint: Endpoint) -> tuple[str, ...] | None:
    """The tiers that may be chosen.

    Raises:
        Forbidden: the lists of key and endpoint have none in common.
    """
    tiers: tuple[str, ...] | None = None
    for scope in scopes:
        if scope.tiers is not None:
            tiers = scope.tiers if tiers is None else tuple(one for one in tiers if one in scope.tiers)
    if tiers is None or endpoint.tier in tiers:  # the endpoint's tier is no choice
        return None
    if not tiers:
        raise Forbidden(
            f"this API key may use no tier of the endpoint `{endpoint.name}`: ask for another", param="model"
        )
    return tiers


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:NAMES_SHOWN_MAX]) or "nothing"
    return f"{shown}, and more in GET /v1/models" if len(names) > NAMES_SHOWN_MAX else shown
