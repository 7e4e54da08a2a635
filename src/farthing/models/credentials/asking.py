"""How issuers of credentials are asked: over the gateway's own transport, each call bounded in time and
size."""

from collections.abc import Callable, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

from msgspec import Struct

from farthing import __version__
from farthing.errors import KeyRejected, ProviderError, ProviderUnavailable
from farthing.models.transport.connection import header
from farthing.models.transport.origin import HttpOrigin
from farthing.protocols import Transport
from farthing.text.lenient_json import NotJson, read_json
from farthing.types import Json

FORM = "application/x-www-form-urlencoded"
REPLY_BYTES_MAX = 262_144
SKEW_S_MIN = 30.0
"""A wall clock that differs by less is right: a `Date` has whole seconds and was on its way."""
WORDS_CHARS_MAX = 300
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Issued(Struct, frozen=True):
    """A reply of an issuer."""

    status: int
    body: bytes
    date_unix_s: float | None
    """What its clock said; None: it said nothing."""

    @property
    def json(self) -> Json:
        """The object that it is; empty where it is none."""
        try:
            value = read_json(self.body)
        except NotJson:
            return {}
        return value if isinstance(value, dict) else {}


class Issuers:
    """Asks issuers for one provider, and knows how wrong this machine's wall clock is by what they say."""

    def __init__(
        self,
        name: str,
        transport: Transport,
        reach: Callable[[str, bool], HttpOrigin],
        clock_unix_s: Callable[[], float],
        learn: Callable[[str], None],
        clean: Callable[[str], str],
    ) -> None:
        """`name` is the provider's. `reach` tells how an address is reached, directly or by the proxy that
        the configuration names. `learn` has a secret kept out of logs and errors, which `clean` removes."""
        self.name = name
        self.learn = learn
        self._transport = transport
        self._reach = reach
        self._clock_unix_s = clock_unix_s
        self._clean = clean
        self.offset_s = 0.0
        """What to add to this machine's wall clock; 0 where it is right, or nobody has said."""

    def now_unix_s(self) -> float:
        """The time as issuers have it."""
        return self._clock_unix_s() + self.offset_s

    async def ask(
        self,
        method: str,
        url: str,
        form: Mapping[str, str] | bytes | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        content_type: str = FORM,
        accept: str = "application/json",
        direct: bool = False,
    ) -> Issued:
        """One call. `direct`: past any proxy, as the metadata of a machine wants it.

        Raises:
            ProviderError: it cannot be reached, or a header has characters that HTTP does not allow.
        """
        parts = urlsplit(url)
        origin = self._reach(f"{parts.scheme}://{parts.netloc}", direct)
        body = urlencode(form).encode() if isinstance(form, Mapping) else form or b""
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        if origin.port != (443 if origin.tls else 80):
            host = f"{host}:{origin.port}"
        path = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
        lines = [
            f"{method} {origin.form}{path} HTTP/1.1",
            f"host: {host}",
            f"user-agent: farthing/{__version__}",
        ]
        lines += ["accept-encoding: identity", f"accept: {accept}"]
        if form is not None:
            lines.append(f"content-type: {content_type}")
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if origin.form and origin.proxy is not None and origin.proxy.authorization:
            lines.append(f"proxy-authorization: {origin.proxy.authorization}")
        if not all(line.isascii() and line.isprintable() for line in lines):
            raise ProviderUnavailable(
                f"{self.name}: what the configuration or the environment gives for {origin} has characters "
                f"that "
                "HTTP does not allow; look for line breaks in it"
            )
        head = "".join(f"{line}\r\n" for line in lines).encode()
        exchange = await self._transport.send(origin, head, body, first_byte_s=30.0, whole=True)
        date = _unix_s(header(exchange.headers, b"date"))
        if date is not None:
            offset_s = date - self._clock_unix_s()
            self.offset_s = offset_s if abs(offset_s) >= SKEW_S_MIN else 0.0
        return Issued(exchange.status, await exchange.read(REPLY_BYTES_MAX), date)

    async def of_machine(self, method: str, url: str, headers: Mapping[str, str], fix: str) -> Issued:
        """One call of the metadata of a machine or container, past any proxy. `fix`: what to do if nobody is
        there.

        Raises:
            ProviderError: as for `ask`.
        """
        form = None if method == "GET" else b""
        try:
            return await self.ask(method, url, form, headers=headers, direct=True)
        except ProviderError as error:
            raise ProviderUnavailable(f"{self.name}: {fix} ({error})", again=True) from None

    def life_s(self, until_unix_s: float, issued: Issued) -> float:
        """How long what holds until a date holds, by the clock of whoever issued it where that is known."""
        return until_unix_s - (self.now_unix_s() if issued.date_unix_s is None else issued.date_unix_s)

    def refusal(self, who: str, issued: Issued, fixes: Mapping[str, str], fix: str) -> ProviderError:
        """What a reply means that is no success: that of OAuth 2.0 (RFC 6749, 5.2) and its like. `fixes`:
        what to do, by a word of the reply; `fix`: what where none fits."""
        said = issued.json
        error = said.get("error")
        inner = error if isinstance(error, dict) else {}
        code = (
            str(inner.get("status") or inner.get("code") or "")
            if inner
            else str(error or said.get("Code") or "")
        )
        words = inner.get("message") or said.get("error_description") or said.get("Message") or ""
        told = self._clean(" ".join(str(words).split())[:WORDS_CHARS_MAX])
        why = f" ({self._clean(code[:100])})" if code else ""
        help_ = next((way for word, way in fixes.items() if word in code or word in told), fix)
        message = f"{self.name}: {who} answered {issued.status}{why}; {help_}"
        if issued.status in (408, 425, 429) or issued.status >= 500:
            return ProviderUnavailable(
                f"{self.name}: {who} answered {issued.status}{why}", again=True, words=told
            )
        return KeyRejected(message, words=told)

    def misread(self, who: str) -> ProviderError:
        return ProviderUnavailable(f"{self.name}: {who} answered with something that is no token", again=True)


def _unix_s(date: bytes | None) -> float | None:
    if date is None:
        return None
    try:
        return parsedate_to_datetime(date.decode("latin-1")).timestamp()
    except (ValueError, OverflowError):
        return None


def unix_s(date: str) -> float:
    """A date of RFC 3339; 0 where it is none."""
    try:
        return datetime.fromisoformat(date).timestamp()
    except ValueError:
        return 0.0


def seconds(value: Any) -> float | None:
    """A number of seconds, which some issuers write as text; None: it is none."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if 0 <= found < 1e11 else None
