"""HTTP proxies for provider connections: how they are written, and which one the environment names.

A proxy's password is a secret: it is in an environment variable, either a standard one (`HTTPS_PROXY`, …) or
one that the key `proxy` names, and `Proxy` never shows it.
"""

import ipaddress
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from farthing.errors import ConfigError

NO_PROXY = "none"
"""Value of a provider's `proxy`: no proxy, whatever the environment says."""
EXAMPLE = "http://proxy.example:3128"


@dataclass(frozen=True, slots=True)
class Proxy:
    """The address of a proxy. Compared with its credentials, shown without them."""

    host: str
    port: int
    tls: bool
    """Whether the connection to the proxy itself uses TLS (`https://`)."""
    authorization: str = field(default="", repr=False)
    """Value of the header `proxy-authorization`; empty: not sent."""

    def __str__(self) -> str:
        return f"{'https' if self.tls else 'http'}://{authority(self.host, self.port)}"


def authority(host: str, port: int) -> str:
    """`host:port` as in a URL: an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_proxy(text: str) -> Proxy:
    """Parse the URL of a proxy; the default scheme is `http`. User and password are percent-encoded.

    Raises:
        ConfigError: it is not a proxy URL. The message repeats nothing that may be a password.
    """
    value = text.strip()
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        port = parts.port
    except ValueError:  # unbalanced brackets, or a port that is not a number
        raise ConfigError(f'is not the URL of a proxy; write "{EXAMPLE}"') from None
    if parts.scheme.startswith("socks"):
        raise ConfigError(
            f"is a {parts.scheme.upper()} proxy, which is not supported; name an HTTP proxy "
            f'("{EXAMPLE}"), or set proxy = "{NO_PROXY}" to use none'
        )
    host = parts.hostname
    if parts.scheme not in ("http", "https") or not host or not re.fullmatch(r"[a-z0-9._:%-]+", host):
        raise ConfigError(f'is not the URL of an HTTP proxy; write "{EXAMPLE}"')
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ConfigError(
            f'continues after the port; write "{EXAMPLE}", and / ? # of a password as %2F %3F %23'
        )
    authorization = ""
    if parts.username is not None or parts.password is not None:
        pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        authorization = f"Basic {b64encode(pair.encode()).decode()}"
    tls = parts.scheme == "https"
    return Proxy(host, port or (443 if tls else 80), tls, authorization)


def proxy_of_environment(env: Mapping[str, str], host: str, port: int, tls: bool) -> Proxy | None:
    """The environment's proxy for an origin; None: a direct connection.

    `https_proxy` or `http_proxy` by the origin's scheme, else `all_proxy`. A lower-case name wins over an
    upper-case one, even if it is empty. Never used for this machine itself, nor for origins in `no_proxy`.

    Raises:
        ConfigError: the variable does not contain an HTTP proxy.
    """
    if _is_local(host):
        return None
    for kind in ("https_proxy" if tls else "http_proxy", "all_proxy"):
        name = kind if kind in env else kind.upper()
        value = env.get(name, "").strip()
        if not value:
            continue
        if _is_exempt(env.get("no_proxy") or env.get("NO_PROXY", ""), host, port):
            return None
        try:
            return parse_proxy(value)
        except ConfigError as why:
            raise ConfigError(f"the environment variable {name} {why}") from None
    return None


def _is_local(host: str) -> bool:
    name = host.lower().rstrip(".")
    address = _address(name)
    if address is None:
        return name == "localhost" or name.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def _is_exempt(no_proxy: str, host: str, port: int) -> bool:
    """Whether `no_proxy` names the origin: `*`, a name including all subdomains (with or without a leading
    `.` or `*.`), an address or a network, each with or without a port."""
    name = host.lower().rstrip(".")
    address = _address(name)
    for entry in re.split(r"[,\s]+", no_proxy.lower()):
        if entry == "*":
            return True
        named, its_port = _split_port(entry)
        if not named or (its_port is not None and its_port != port):
            continue
        if address is not None:
            if _holds(named, address):
                return True
            continue
        named = named.removeprefix("*").removeprefix(".").rstrip(".")
        if named and (name == named or name.endswith(f".{named}")):
            return True
    return False


def _split_port(entry: str) -> tuple[str, int | None]:
    """An entry of `no_proxy` without brackets, and its port."""
    found = re.fullmatch(r"(?:\[(?P<v6>[^\]]+)\]|(?P<name>[^:]+))(?::(?P<port>\d+))?", entry)
    if found is None:
        return entry, None  # an IPv6 address or network without brackets
    port = found["port"]
    return found["v6"] or found["name"], None if port is None else int(port)


def _holds(named: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    try:
        return address in ipaddress.ip_network(named, strict=False)
    except ValueError:
        return False


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
