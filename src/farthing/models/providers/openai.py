"""Providers that speak OpenAI's wire form, which is most of them. Bytes in, bytes out; no I/O.

What goes up is the client's body, decoded once and encoded again field by field in the client's order
(so that what was checked is what is sent), with the target's model name and, for streams, a request for
the usage chunk. What comes back goes on byte for byte.
"""

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from time import time

import msgspec
from msgspec import Raw, Struct

from farthing import __version__
from farthing.errors import (
    ProviderBusy,
    ProviderError,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
)
from farthing.models.providers.usage import UNSAID, UsageForm, read_usage
from farthing.models.transport.connection import header
from farthing.models.transport.origin import HttpOrigin
from farthing.types import Json, Operation, Prompt, Target, Usage

PATHS: dict[Operation, str] = {"chat": "/chat/completions", "embeddings": "/embeddings"}
REASONING_MODELS = ("gpt-5", "gpt-6", "o1", "o3", "o4")
ERROR_BODY_BYTES_MAX = 65_536
JSON = "application/json"

_encode = msgspec.json.Encoder().encode


NULL = Raw(b"null")


class _Message(Struct):
    content: Raw = NULL


class _Choice(Struct):
    finish_reason: str | None = None
    message: _Message | None = None
    logprobs: Raw = NULL


class _Token(Struct):
    logprob: float


class _Logprobs(Struct):
    content: list[_Token] | None = None


class _Whole(Struct):
    choices: list[_Choice] | None = None
    data: Raw = NULL
    usage: Raw = NULL
    service_tier: Raw = NULL


class _Error(Struct):
    message: str = ""
    code: str | int | None = None


class _ErrorBody(Struct):
    error: _Error | str | None = None
    message: str = ""


_decode_whole = msgspec.json.Decoder(_Whole).decode
_decode_error = msgspec.json.Decoder(_ErrorBody).decode
_decode_logprobs = msgspec.json.Decoder(_Logprobs | None).decode
_decode_text = msgspec.json.Decoder(str).decode


class WholeReply:
    """A whole answer and what was read of it. See `protocols.Reply`."""

    __slots__ = ("_choices", "body", "finish_reason", "usage")

    def __init__(self, body: bytes, usage: Usage | None, choices: list[_Choice] | None) -> None:
        self.body = body
        self.usage = usage
        self.finish_reason = choices[0].finish_reason if choices else None
        """Of the first choice."""
        self._choices = choices

    def rewritten(self, body: bytes) -> "WholeReply":
        """This reply with another body that says the same of what is read here."""
        return WholeReply(body, self.usage, self._choices)

    @property
    def all_stopped(self) -> bool:
        """Whether every choice ended by itself; one of which nothing is said did."""
        for choice in self._choices or ():
            if choice.finish_reason is not None and choice.finish_reason != "stop":
                return False
        return True

    @property
    def logprobs(self) -> list[float] | None:
        """Of the tokens of the first choice; None when the provider gave none."""
        try:
            found = _decode_logprobs(self._choices[0].logprobs) if self._choices else None
        except msgspec.ValidationError:
            return None
        return None if found is None or not found.content else [token.logprob for token in found.content]

    @property
    def text(self) -> str:
        """The text of the first choice; empty when it has none (a tool call, a list of parts)."""
        message = self._choices[0].message if self._choices else None
        if message is None:
            return ""
        try:
            return _decode_text(message.content)
        except msgspec.ValidationError:
            return ""


class OpenAIProvider:
    """One configured provider. See `protocols.Provider`."""

    def __init__(
        self,
        name: str,
        origin: HttpOrigin,
        *,
        path: str,
        api_key: str | None,
        auth: str,
        headers: dict[str, str],
        include_usage: bool,
        usage_form: UsageForm = UNSAID,
    ) -> None:
        self.name = name
        self.usage_form = usage_form
        self.origin = origin
        self._include_usage = include_usage
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        if origin.port != (443 if origin.tls else 80):
            host = f"{host}:{origin.port}"
        lines = [f"host: {host}", f"user-agent: farthing/{__version__}"]
        lines += ["accept-encoding: identity"]
        if api_key is not None and auth == "bearer":
            lines.append(f"authorization: Bearer {api_key}")
        elif api_key is not None and auth == "api-key":
            lines.append(f"api-key: {api_key}")
        lines += [f"{key.lower()}: {value}" for key, value in headers.items()]
        for line in lines:
            if not line.isprintable():
                raise ValueError(f"provider {name}: a header has characters that HTTP does not allow")
        fields = "\r\n".join(lines)
        self._path = path
        self._fields = fields
        self._heads = {
            operation: (
                f"POST {path}{suffix} HTTP/1.1\r\n{fields}\r\ncontent-type: {JSON}\r\nx-request-id: "
            ).encode("latin-1")
            for operation, suffix in PATHS.items()
        }

    def encode(
        self, prompt: Prompt, target: Target, operation: Operation, request_id: str
    ) -> tuple[bytes, bytes]:
        """Return the head, without content-length and the blank line, and the body."""
        body = prompt.body.copy()
        asked, model = body["model"], target.model
        body["model"] = model
        if prompt.capped_by is not None or (
            "max_tokens" in body and asked != model and asked != target.name and _reasons(model)
        ):
            _set_cap(body, model, prompt.output_tokens_max)
        if prompt.stream:
            body["stream"] = True
            if self._include_usage:
                body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
        return b"%b%b\r\n" % (self._heads[operation], request_id.encode()), _encode(body)

    def head(self, method: str, suffix: str, content_type: str | None = None) -> bytes:
        """The head of a call of another interface of the same provider, with our key, as `encode` has it."""
        told = "" if content_type is None else f"content-type: {content_type}\r\n"
        return f"{method} {self._path}{suffix} HTTP/1.1\r\n{self._fields}\r\n{told}".encode("latin-1")

    def whole(self, headers: Mapping[bytes, bytes], body: bytes) -> WholeReply:
        """Map a complete reply of status 200.

        Raises:
            ProviderUnavailable: it is not an answer.
        """
        try:
            if not body.isascii():
                body.decode()  # the parser looks only into the strings that are read
            whole = _decode_whole(body)
        except UnicodeDecodeError as error:
            self.check_encoding(headers)  # what is compressed is no text: say which of the two it is
            raise ProviderUnavailable(f"the reply is not UTF-8: {error.reason}") from None
        except msgspec.ValidationError as error:
            raise ProviderUnavailable(f"the reply is JSON of another shape: {error}") from None
        except msgspec.DecodeError as error:
            raise ProviderUnavailable(f"the reply is not JSON: {error}") from None
        choices = whole.choices
        if not choices and whole.data is NULL:
            raise ProviderUnavailable("the reply has neither choices nor data")
        usage = read_usage(
            whole.usage,
            self.usage_form,
            service_tier=None if whole.service_tier is NULL else whole.service_tier,
            operation="chat" if choices else "embeddings",
        )
        return WholeReply(body, usage, choices)

    def check_encoding(self, headers: Mapping[bytes, bytes]) -> None:
        """Raises:
        ProviderUnavailable: the reply is compressed although `identity` was asked for; unpacking what
            nobody asked for is how a small reply becomes a large one.
        """
        value = header(headers, b"content-encoding")
        if value is not None and value.lower() != b"identity":
            encoding = value[:40].decode("latin-1")
            raise ProviderUnavailable(f"the reply is compressed ({encoding}) although identity was asked")

    def failure(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> ProviderError:
        """What a reply of another status than 200 means."""
        if status in (401, 403):  # its words may hold a part of our key
            return ProviderRejected(
                f"{self.name} answered {status}: it refused the gateway's own key", upstream_status=status
            )
        message = f"{self.name} answered {status}{_message_of(body)}"
        body = body[:ERROR_BODY_BYTES_MAX]
        if status == 429:
            return ProviderBusy(
                message, retry_after_s=retry_after_s(headers), upstream_status=status, body=body
            )
        if status in (408, 504):
            return ProviderTimeout(message, upstream_status=status, body=body)
        if 400 <= status < 500:
            return ProviderRejected(message, upstream_status=status, body=body)
        return ProviderUnavailable(message, upstream_status=status, body=body)


def _reasons(model: str) -> bool:
    return model.rpartition("/")[2].startswith(REASONING_MODELS)


def _set_cap(body: Json, model: str, cap: int | None) -> None:
    """Write the cap on the output under the name `model` knows, in place.

    Reasoning models refuse `max_tokens`, most others know nothing else. Called when the cap is ours or
    the model is; what a client sends to a model it named stays as it is.
    """
    old = body.pop("max_tokens", None)
    new = body.pop("max_completion_tokens", None)
    if cap is None:
        cap = old if new is None else new
    if cap is not None:
        body[
            "max_completion_tokens" if _reasons(model) or (old is None and new is not None) else "max_tokens"
        ] = cap


def _message_of(body: bytes) -> str:
    """The provider's own words, for our message; empty when there are none we can read."""
    try:
        read = _decode_error(body)
    except msgspec.DecodeError:
        return ""
    error = read.error
    words = error if isinstance(error, str) else error.message if error is not None else read.message
    words = " ".join(words.split())[:500]
    return f": {words}" if words else ""


def retry_after_s(headers: Mapping[bytes, bytes], now_unix_s: float | None = None) -> float | None:
    """Seconds a 429 asks us to wait: `retry-after-ms`, or `retry-after` in seconds or as a date.

    None when there is none, or it makes no sense (negative, not a number, in the past).
    """
    raw_ms = header(headers, b"retry-after-ms")
    raw = header(headers, b"retry-after")
    try:
        if raw_ms is not None:
            seconds = float(raw_ms) / 1000
        elif raw is None:
            return None
        else:
            seconds = float(raw)
    except ValueError:
        try:
            when = parsedate_to_datetime((raw or b"").decode("latin-1"))
        except ValueError:
            return None
        seconds = when.timestamp() - (time() if now_unix_s is None else now_unix_s)
    return seconds if 0 <= seconds < float("inf") else None
