"""Where a provider lives: an address, the TLS to use and the limits of its connections."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from farthing.errors import ConfigError


@dataclass(frozen=True, slots=True)
class HttpOrigin:
    """Compared by value, so that an unchanged provider keeps its connections over a reload. Two providers
    at one address have two names, and so their own connections and limits."""

    name: str
    host: str
    port: int
    tls: bool
    connections_max: int = 512
    connect_s: float = 2.0
    answer_bytes_max: int = 33_554_432
    ca_file: Path | None = None
    ca_stamp_ns: int = 0
    """When `ca_file` was last changed: with other authorities in it, it is another origin."""
    _contexts: list[ssl.SSLContext] = field(default_factory=list, repr=False, compare=False)

    _hash: int = field(default=0, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.name, self.host, self.port, self.tls)))

    def __hash__(self) -> int:
        return self._hash  # asked for once a request

    def __str__(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"

    def ssl_context(self) -> ssl.SSLContext | None:
        """The verifying context, made on first use (reading the system's authorities takes 20 ms)."""
        if not self.tls:
            return None
        if not self._contexts:
            context = ssl.create_default_context(cafile=None if self.ca_file is None else str(self.ca_file))
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            self._contexts.append(context)
        return self._contexts[0]


def parse_base_url(base_url: str) -> tuple[str, int, bool, str]:
    """Split into host, port, whether TLS, and the path without a closing slash.

    Raises:
        ConfigError: not an http or https URL, or with credentials, query or fragment in it.
    """
    parts = urlsplit(base_url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
        raise ConfigError(f'base_url "{base_url}" is not an http or https URL')
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigError(f'base_url "{base_url}" may not hold credentials, a query or a fragment')
    if any(ord(c) <= 32 or ord(c) > 126 for c in base_url):
        raise ConfigError(f'base_url "{base_url}" may hold printable ASCII only')
    tls = parts.scheme == "https"
    return parts.hostname, port or (443 if tls else 80), tls, parts.path.rstrip("/")
