"""Whether a new configuration would open to strangers what the running one keeps closed."""

from farthing.config.checks import loopback
from farthing.config.settings.gateway import Config, KeyConfig
from farthing.config.settings.secret import key_digest

EVERYWHERE = frozenset({"0.0.0.0", "::", ""})


def opening(running: Config, proposed: Config) -> tuple[str, str] | None:
    """Why `proposed` must not replace `running` without a restart: a short name, and a message with the fix.
    None: it opens nothing, or explicitly intends to.

    A file that was truncated, emptied or written by a broken template looks like an intended change.
    """
    if proposed.server.allow_keyless:
        return None
    meant = "set server.allow_keyless = true if that is intended"
    if running.keys and not proposed.keys:
        return "keys_gone", f"no key is left, so everybody could spend your money; restore one, or {meant}"
    if running.server.hosts and not proposed.server.hosts:
        return "hosts_gone", f"server.hosts is gone, which rejected other names; restore it, or {meant}"
    gone = _scope_gone(running, proposed)
    if gone:
        return "scope_gone", f'{gone}; write the list (or "*") if more may be asked for, or {meant}'
    for name, endpoint in running.endpoints.items():
        now = proposed.endpoints.get(name)
        if now is not None and endpoint.residency and not now.residency:
            return (
                "scope_gone",
                f"the endpoint {name} would lose its residency, so that its texts could go anywhere; restart "
                "to apply it, or restore it",
            )
    before, after = running.server.host, proposed.server.host
    if (loopback(before) and not loopback(after)) or (after in EVERYWHERE and before not in EVERYWHERE):
        return (
            "host_widened",
            f"server.host was {before} and would be {after}, which more can reach; restart to apply it, "
            "or restore it",
        )
    return None


def _scope_gone(running: Config, proposed: Config) -> str:
    """Whose limit has disappeared although the key or endpoint remains; empty: nobody's."""
    after = {_digest(key): key for key in proposed.keys}
    for key in running.keys:
        same = after.get(_digest(key))
        if same is None:
            continue
        for limit in ("endpoint", "models", "tiers", "requests_per_minute"):
            if getattr(key, limit) is not None and getattr(same, limit) is None:
                return f"the key of {key.tenant} ({key.name or _digest(key)[:11]}) would lose its {limit}"
    for name, endpoint in running.endpoints.items():
        now = proposed.endpoints.get(name)
        for limit in ("tier", "models", "tiers"):
            if now is not None and getattr(endpoint, limit) is not None and getattr(now, limit) is None:
                return f"the endpoint {name} would lose its {limit}"
    return ""


def _digest(key: KeyConfig) -> str:
    return key_digest(key.key.value) if key.key is not None else key.digest or ""
