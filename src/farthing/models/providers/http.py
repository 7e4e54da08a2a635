"""What all hosted providers have in common: an address, fixed header lines, a key that nothing may repeat."""

from collections.abc import Iterable, Mapping

from farthing import __version__
from farthing.config import ProviderConfig, Secret
from farthing.errors import ProviderError, ProviderRejected
from farthing.models.providers import failures
from farthing.models.transport.connection import header
from farthing.models.transport.origin import HttpOrigin
from farthing.models.transport.passage import OF_MESSAGES, Passage
from farthing.protocols import BearerToken, Credentials
from farthing.runtime.redact import Redactor
from farthing.types import Prompt, Target

JSON = "application/json"
_KEYLESS = frozenset({"none", "entra", "google", "aws"})
"""Ways of proving a call that send no key."""
BEARER = len("authorization: Bearer ")


def without_of(prompt: Prompt) -> str | None:
    """How headers of the client begin that no provider of another dialect than the client's gets."""
    sent = prompt.sent
    return OF_MESSAGES if sent is not None and sent.dialect == "messages" else None


def key_lines(key: Secret | None, auth: str) -> list[str]:
    """The header lines that carry a key, as `auth` says: in a header of that name, or as a bearer token; none
    where there is none, or where calls are proved in another way."""
    if key is None or auth in _KEYLESS:
        return []
    return [f"authorization: Bearer {key.value}" if auth == "bearer" else f"{auth}: {key.value}"]


def host_of(origin: HttpOrigin) -> str:
    """The value of the header `host`."""
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    return host if origin.port == (443 if origin.tls else 80) else f"{host}:{origin.port}"


def word_in(headers: Mapping[bytes, bytes], name: bytes) -> str | None:
    """What a header of a reply says, in lower case; None: nothing."""
    said = header(headers, name)
    return (said.decode("latin-1").strip().lower() or None) if said else None


class HttpProvider:
    """The part of `protocols.Provider` that does not depend on a dialect."""

    def __init__(
        self,
        name: str,
        origin: HttpOrigin,
        config: ProviderConfig,
        *,
        path: str,
        key_lines: Iterable[str],
        passage: Passage | None = None,
        query: str = "",
        token: BearerToken | None = None,
    ) -> None:
        """`path` is that of its `base_url`. `key_lines`: the header lines that carry the key; none where it
        has none. `query`: what every call has behind its path. `token` is what it has in place of a key.

        Raises:
            ValueError: a header has characters that HTTP does not allow.
        """
        api_key = None if config.api_key is None else config.api_key.value
        self.name = name
        self.origin = origin
        self.passage = Passage() if passage is None else passage
        self.redact = Redactor(() if api_key is None else (api_key,))
        """Knows what no error may repeat."""
        self.credentials: Credentials | None = token
        self._token = token
        self._own_key = b"\0" if not api_key else api_key.encode()  # no line of a head holds a NUL
        lines = [
            f"host: {host_of(origin)}",
            f"user-agent: farthing/{__version__}",
            "accept-encoding: identity",
        ]
        lines += key_lines
        lines += [f"{key.lower()}: {value}" for key, value in config.headers.items()]
        if origin.form and origin.proxy is not None and origin.proxy.authorization:
            lines.append(f"proxy-authorization: {origin.proxy.authorization}")
        for line in lines:
            if not line.isprintable():
                raise ValueError(f"provider {name}: a header has characters that HTTP does not allow")
        self._path = f"{origin.form}{path}"
        self._query = query
        self._fields = "\r\n".join(lines)

    def head(self, method: str, suffix: str, content_type: str | None = None, *, without: str = "") -> bytes:
        """Request line and headers of a call of one of its interfaces, with our key, without content-length
        and the blank line. `without`: what to take off the end of its path before `suffix` is added."""
        return self.lasting_head(method, suffix, content_type, without=without) + self.token_line

    @property
    def token_line(self) -> bytes:
        """The header line with the token that is held now; empty where the key is fixed."""
        token = self._token
        return b"" if token is None else token.line

    def lasting_head(
        self, method: str, suffix: str, content_type: str | None = None, *, without: str = ""
    ) -> bytes:
        """As `head`, without a token, which changes."""
        path = f"{self._path.removesuffix(without)}{suffix}"
        if self._query and "api-version=" not in suffix:
            path += f"{'&' if '?' in suffix else '?'}{self._query}"
        told = "" if content_type is None else f"content-type: {content_type}\r\n"
        return f"{method} {path} HTTP/1.1\r\n{self._fields}\r\n{told}".encode("latin-1")

    def stored_head(self, method: str, below: str, content_type: str | None = None) -> bytes:
        """As `protocols.Provider`."""
        return self.head(method, f"/chat/completions{below}", content_type)

    def learn(self, prompt: Prompt, target: Target, error: ProviderRejected) -> bool:
        """Nothing: what it cannot be told is known before the call."""
        return False

    def list_head(self) -> bytes:
        return self.head("GET", "/models")

    def list_calls(self) -> tuple[tuple[HttpOrigin, bytes], ...]:
        return ((self.origin, self.list_head()),)

    def listed(self, body: bytes) -> bytes:
        return body

    def failure(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> ProviderError:
        return failures.failure(self.name, status, headers, body, self.redact)

    def in_answer(self, payload: bytes) -> ProviderError:
        return failures.in_answer(self.name, payload, self.redact)

    def took(self, headers: Mapping[bytes, bytes]) -> float | None:
        return self.passage.took(headers)

    def down(self, headers: Mapping[bytes, bytes], request_id: str) -> tuple[bytes, str]:
        """As `Passage.down`, without our key: good answers are not searched for more than that."""
        told, named = self.passage.down(headers, request_id)
        token = self._token
        own = self._own_key if token is None else token.line[BEARER:-2].partition(b"\r\n")[0] or b"\0"
        if told.find(own) >= 0:
            return self.redact.text(told.decode("latin-1")).encode("latin-1"), self.redact.text(named)
        return told, named
