"""Where a provider is: its address, the way there, the TLS to use and the limits of its connections."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from farthing.config.settings.proxy import Proxy, authority
from farthing.errors import ConfigError
from farthing.models.transport.trust import client_context


@dataclass(frozen=True, slots=True)
class HttpOrigin:
    """Compared by value, so that an unchanged provider keeps its connections over a reload. Two providers
    at one address have two names, and so their own connections and limits."""

    name: str
    host: str
    port: int
    tls: bool
    connections_max: int = 2_000
    wait_s: float = 2.0
    """How long one waits for a connection where all are in use."""
    connect_s: float = 2.0
    answer_bytes_max: int = 33_554_432
    ca_file: Path | None = None
    """Authorities to trust instead of the system's: a PEM file, or a directory as OpenSSL wants it."""
    proxy: Proxy | None = None
    client_cert_file: Path | None = None
    client_key_file: Path | None = None
    files_stamp_ns: int = 0
    """When one of these files was last changed: with other contents, it is another origin."""
    _contexts: list[ssl.SSLContext] = field(default_factory=list, repr=False, compare=False)
    _proxy_contexts: list[ssl.SSLContext] = field(default_factory=list, repr=False, compare=False)

    _hash: int = field(default=0, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        place = (self.name, self.host, self.port, self.tls)
        limits = (self.connections_max, self.wait_s, self.connect_s, self.answer_bytes_max)
        object.__setattr__(self, "_hash", hash((*place, *limits)))

    def __hash__(self) -> int:
        return self._hash  # asked for once a request

    def __str__(self) -> str:
        return f"{'https' if self.tls else 'http'}://{authority(self.host, self.port)}"

    @property
    def way(self) -> str:
        """The origin and the way to it, for people to read."""
        return str(self) if self.proxy is None else f"{self} through the proxy {self.proxy}"

    @property
    def form(self) -> str:
        """What stands before the path in a request line. A proxy is told the whole URL (RFC 9112, 3.2.2), and
        nothing where it only opens a tunnel."""
        if self.proxy is None or self.tls:
            return ""
        return f"http://{authority(self.host, self.port).removesuffix(':80')}"

    @property
    def place(self) -> tuple[str, int]:
        """The host and port to connect to: those of the proxy, if there is one."""
        return (self.host, self.port) if self.proxy is None else (self.proxy.host, self.proxy.port)

    def ssl_context(self) -> ssl.SSLContext | None:
        """The context that verifies the origin, created on first use; None: the origin is reached without
        TLS.

        Raises:
            OSError: a file cannot be read, or contains no certificate.
        """
        if not self.tls:
            return None
        if not self._contexts:
            self._contexts.append(client_context(self.ca_file, self.client_cert_file, self.client_key_file))
        return self._contexts[0]

    def proxy_ssl_context(self) -> ssl.SSLContext | None:
        """The context that verifies the proxy; None: the proxy is reached without TLS. It trusts the system's
        authorities besides `ca_file`, since that may be for the origin only.

        Raises:
            OSError: as for `ssl_context`.
        """
        if self.proxy is None or not self.proxy.tls:
            return None
        if not self._proxy_contexts:
            self._proxy_contexts.append(client_context(self.ca_file, more=True))
        return self._proxy_contexts[0]


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
