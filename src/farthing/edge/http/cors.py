"""Which web pages may call: cross-origin resource sharing (the Fetch standard), by `server.cors_origins`.

A page of a listed origin may read every answer of the routes that take a key, errors and refusals included.
Credentials of the browser are never allowed: a key goes into `authorization`, where no page gets it unasked.
"""

from collections.abc import Mapping

ANY = "*"
PREFLIGHT_S = 7_200  # the longest that browsers keep one
SAFE_CHARS = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~, "

EXPOSED = (  # by name for browsers that do not know `*`
    b"*, x-request-id, request-id, x-farthing-tier, x-farthing-model, x-farthing-cache, x-farthing-reason, "
    b"x-farthing-cost-usd, x-farthing-saved-usd, x-farthing-stop, x-farthing-stored, x-farthing-left-out, "
    b"x-should-retry, retry-after, retry-after-ms, x-ratelimit-limit-requests, "
    b"x-ratelimit-remaining-requests, x-ratelimit-reset-requests"
)
_ALLOWED = b"access-control-allow-origin: %b\r\naccess-control-expose-headers: " + EXPOSED + b"\r\n"


class Cors:
    """The origins of one configuration. A browser spells them in lower case and with no slash at the end."""

    __slots__ = ("_named", "_others")

    def __init__(self, origins: tuple[str, ...]) -> None:
        named = {
            origin.lower().rstrip("/").encode("latin-1", "replace") for origin in origins if origin != ANY
        }
        vary = b"vary: origin\r\n"
        self._named = {origin: _ALLOWED % origin + vary for origin in named}
        self._others = _ALLOWED % b"*" if ANY in origins else vary

    def lines(self, origin: bytes | None) -> bytes:
        """The header lines of every answer to a page of `origin`, or to none."""
        return self._others if origin is None else self._named.get(origin, self._others)

    def allows(self, origin: bytes) -> bool:
        return origin in self._named or self._others.startswith(b"access")

    def preflight(self, headers: Mapping[bytes, bytes]) -> bytes:
        """The lines, beside those of `lines`, that let a page go on. Its origin has to be allowed.

        The headers it wants to send are granted as it names them: `*` would not cover `authorization`. A
        machine of a private network is opened to origins that are listed by name, not to any.
        """
        lines = [
            b"access-control-allow-methods: GET, HEAD, POST, DELETE\r\naccess-control-max-age: %d\r\n"
            % PREFLIGHT_S,
            b"vary: origin, access-control-request-headers, access-control-request-private-network\r\n",
        ]
        wanted = headers.get(b"access-control-request-headers", b"")
        if wanted and not wanted.strip(SAFE_CHARS):
            lines.append(b"access-control-allow-headers: %b\r\n" % wanted)
        private = headers.get(b"access-control-request-private-network") == b"true"
        if private and headers.get(b"origin") in self._named:
            lines.append(b"access-control-allow-private-network: true\r\n")
        return b"".join(lines)


def cors_of(origins: tuple[str, ...]) -> Cors | None:
    """The policy for `origins`; None: no page of another site is answered."""
    return Cors(origins) if origins else None
