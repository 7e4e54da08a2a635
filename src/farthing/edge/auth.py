"""Finds the tenant of a key by its full digest, in memory. No store, no I/O; keys themselves are not kept."""

import time
from collections.abc import Callable, Mapping, Sequence

from farthing.config import KeyConfig, key_digest, loopback
from farthing.edge.rate import Rate
from farthing.errors import Forbidden, Unauthenticated
from farthing.types import Scope, Tenant

KEY_CHARS_MAX = 256
DIGEST_SHOWN = len("b2:") + 8
"""Characters of a digest that tell keys apart, written as in the configuration so that they can be found
there."""
KEY_HEADERS = (b"x-api-key", b"api-key")
"""Headers whose whole value is a key."""
NO_KEY = "no API key: send `Authorization: Bearer YOUR_KEY` or `x-api-key: YOUR_KEY`"
KEYLESS = Tenant(name="default")
LOCAL_NAMES = frozenset({"", "127.0.0.1", "localhost", "::1", "host.docker.internal"})


class Keys:
    """The keys of one configuration. Without any, every request is the tenant `default`.

    With `local_only` and without keys, only names of this machine are answered to: any web page can make
    a browser ask the loopback address under the page's own name (DNS rebinding), and would spend our money.
    """

    def __init__(
        self,
        keys: Sequence[KeyConfig],
        *,
        local_only: bool = False,
        rates: dict[str, Rate] | None = None,
        scope_of: Callable[[KeyConfig], Scope | None] = lambda key: None,
    ) -> None:
        """`scope_of` says what a key may ask for. `rates` holds what each key has used of its allowance, by
        digest, and outlives a reload."""
        self._local_only = local_only
        self._tenants: dict[str, Tenant] = {}
        self._rates: dict[int, Rate] = {}
        known = {} if rates is None else rates
        for key in keys:
            digest = key.digest if key.key is None else key_digest(key.key.value)
            assert digest is not None, "the configuration has checked that there is one"
            tenant = Tenant(
                name=key.tenant,
                plan=key.plan,
                endpoint=key.endpoint,
                key=key.name or digest[:DIGEST_SHOWN],
                scope=scope_of(key),
            )
            self._tenants[digest] = tenant
            per_minute = key.requests_per_minute
            if per_minute is None:
                continue
            used = known.get(digest)
            if used is None or used.per_minute != per_minute:
                known[digest] = Rate(per_minute, time.monotonic, used)
            self._rates[id(tenant)] = known[digest]  # each key has a tenant object of its own
        for gone in known.keys() - self._tenants.keys():
            del known[gone]

    def rate(self, tenant: Tenant) -> Rate | None:
        """The allowance of the key that `tenant` came from; None when it has no limit."""
        return self._rates.get(id(tenant)) if self._rates else None

    def tenant(self, headers: Mapping[bytes, bytes]) -> Tenant:
        """Whom the request is from: `Authorization: Bearer KEY`, or `x-api-key`, or `api-key`. Of several,
        one good key is enough: some clients send a provider's beside ours.

        Raises:
            Unauthenticated: no key, or none that we know. Does not say which keys exist.
            Forbidden: no key is asked for, and the Host is a name that others gave to this machine.
        """
        tenants = self._tenants
        if not tenants:
            if self._local_only and not _is_local(headers.get(b"host", b"")):
                raise Forbidden(
                    "without API keys only localhost is answered to: ask that, or set server.hosts or keys"
                )
            return KEYLESS
        why = ""
        raw = headers.get(b"authorization")
        if raw is not None:
            if raw[:7].lower() == b"bearer ":
                tenant, why = self._of(raw[7:])
                if tenant is not None:
                    return tenant
            else:
                why = "the Authorization header must be `Bearer YOUR_KEY`"
        for name in KEY_HEADERS:
            raw = headers.get(name)
            if raw:
                tenant, why = self._of(raw)
                if tenant is not None:
                    return tenant
        raise Unauthenticated(why or NO_KEY)

    def _of(self, raw: bytes) -> tuple[Tenant | None, str]:
        """The tenant of that key; else why there is none."""
        key = raw.strip()
        if not key:
            return None, NO_KEY
        if len(key) > KEY_CHARS_MAX or not key.isascii():
            return None, "the API key is malformed"
        tenant = self._tenants.get(key_digest(key.decode("ascii")))
        if tenant is None:
            return None, "the API key is not known here: check it, or ask for one of this gateway"
        return tenant, ""

    def check_host(self, headers: Mapping[bytes, bytes]) -> None:
        """For what takes no key and is not for everybody.

        Raises:
            Forbidden: the Host is a name that others gave to this machine.
        """
        if self._local_only and not _is_local(headers.get(b"host", b"")):
            raise Forbidden("here only localhost is answered to: ask that, or set server.hosts")


def _is_local(host: bytes) -> bool:
    """Whether a Host header names this machine; a port is ignored."""
    name = host.decode("latin-1").lower()
    name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    return name in LOCAL_NAMES or name.endswith(".localhost") or loopback(name)


def named_tenant(tenant: Tenant, name: str | None) -> Tenant:
    """The tenant a request names for itself: free without keys, else it must be the key's.

    Raises:
        Forbidden: the key belongs to another tenant.
    """
    if name is None or name == tenant.name:
        return tenant
    if tenant is KEYLESS:
        return Tenant(name=name)
    raise Forbidden("metadata.tenant is not the tenant of this API key", param="metadata.tenant")
