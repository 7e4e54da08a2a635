"""Whether a configuration would open to strangers what the one that runs keeps shut."""

from farthing.config.checks import loopback
from farthing.config.knobs import Config

EVERYWHERE = frozenset({"0.0.0.0", "::", ""})


def opening(running: Config, anew: Config) -> tuple[str, str] | None:
    """Why `anew` must not take the place of `running` without a restart: a short name, and words with the
    fix. None: it opens nothing, or says that it is meant.

    A file that was cut, emptied or written by a broken template looks like one that asks for this.
    """
    if anew.server.allow_keyless:
        return None
    meant = "set server.allow_keyless = true where that is meant"
    if running.keys and not anew.keys:
        return "keys_gone", f"no key is left, and everybody could spend your money; put one back, or {meant}"
    if running.server.hosts and not anew.server.hosts:
        return "hosts_gone", f"server.hosts is gone, which kept other names out; put it back, or {meant}"
    before, after = running.server.host, anew.server.host
    if (loopback(before) and not loopback(after)) or (after in EVERYWHERE and before not in EVERYWHERE):
        return (
            "host_widened",
            f"server.host was {before} and would be {after}, which more can reach; restart for that, or put "
            "it back",
        )
    return None
