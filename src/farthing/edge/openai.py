"""OpenAI's wire form, both ways. At the edge, the only file that knows its field names."""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from farthing.errors import (
    FarthingError,
    Forbidden,
    InvalidRequest,
    NoProviderLeft,
    ProviderBusy,
    ProviderRejected,
    RequestError,
    UnknownModel,
)
from farthing.media import measure
from farthing.types import Endpoint, Json, Request, Tenant, replace

ENDPOINT_PREFIX = "farthing/"
SESSION = b"x-farthing-session"
TASK = b"x-farthing-task"
CACHE_CONTROL = b"cache-control"
DOCUMENTS = b"x-farthing-documents"
DOCUMENTS_MAX = 64
UNSEEN_BYTES_MAX = 16_384  # of a body beside the texts of its messages, before all of it is measured
TOOLS_BYTES_MAX = 262_144  # as much as tools, and schemas of answers, may well have
TOKENS_MAX = 100_000_000  # above any context window; a larger number is a mistake, often a negative one

Tokens = Annotated[int, Meta(ge=1, le=TOKENS_MAX)]
Number = int | float

encode = msgspec.json.Encoder().encode


class _StreamOptions(Struct):
    include_usage: bool | None = None


class _Message(Struct):
    role: str
    content: str | list[Any] | None = None
    name: str | None = None
    tool_calls: list[Any] | None = None


class _ChatBody(Struct):
    """The fields of a chat completion whose type is checked. All others are carried unread."""

    model: str
    messages: list[_Message]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    temperature: Number | None = None
    top_p: Number | None = None
    presence_penalty: Number | None = None
    frequency_penalty: Number | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0)] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    user: str | None = None
    metadata: dict[str, Any] | None = None


class _EmbeddingsBody(Struct):
    model: str
    input: str | list[Any]
    dimensions: Tokens | None = None
    encoding_format: str | None = None
    user: str | None = None


class Asked(Struct, frozen=True, kw_only=True):
    """What the edge knows of a request besides its body."""

    id: str
    tenant: Tenant
    headers: Mapping[bytes, bytes]
    received_s: float
    body_bytes: int


class Reader:
    """Turns bodies into requests, under the endpoints of one configuration."""

    def __init__(self, endpoints: Mapping[str, Endpoint], default: Endpoint, user_key: bytes) -> None:
        self._endpoints = endpoints
        self._default = default
        self._user_digest = blake2b(digest_size=8, key=user_key)

    def chat(self, body: Json, asked: Asked) -> Request:
        """Raises:
        InvalidRequest: names the field and what it must be. UnknownModel, Forbidden: the endpoint.
        """
        read = _convert(body, _ChatBody)
        if not read.model:
            raise InvalidRequest(
                "`model` is empty: name a model, a tier, `auto` or `farthing/ENDPOINT`", param="model"
            )
        if not read.messages:
            raise InvalidRequest("`messages` is empty: send at least one message", param="messages")
        text, chars, plain = _texts(read.messages)
        media_tokens = 0
        has_tools = read.tools is not None or body.get("functions") or body.get("response_format")
        if not plain or asked.body_bytes > 2 * chars + (TOOLS_BYTES_MAX if has_tools else UNSEEN_BYTES_MAX):
            found = measure(body)
            chars, media_tokens = found.chars, found.media_tokens
        elif has_tools:
            chars = max(chars, asked.body_bytes)  # near enough, and far quicker than to write them out again
        output_tokens_max = read.max_completion_tokens
        if output_tokens_max is None:
            output_tokens_max = read.max_tokens
        options = read.stream_options
        headers = asked.headers
        endpoint = self.endpoint(read.model, asked)
        if CACHE_CONTROL in headers:
            endpoint = _cached_as_asked(endpoint, headers[CACHE_CONTROL])
        return Request(
            id=asked.id,
            tenant=asked.tenant,
            endpoint=endpoint,
            operation="chat",
            model=read.model,
            body=body,
            text=text,
            prompt_chars=chars,
            stream=bool(read.stream),
            include_usage=options is not None and bool(options.include_usage),
            output_tokens_max=output_tokens_max,
            session=_word(headers[SESSION]) if SESSION in headers else None,
            user="" if read.user is None else self.digest_user(read.user),
            task_type=_word(headers[TASK]) if TASK in headers else None,
            documents=_documents(headers[DOCUMENTS]) if DOCUMENTS in headers else (),
            received_s=asked.received_s,
            media_tokens=media_tokens,
        )

    def embeddings(self, body: Json, asked: Asked) -> Request:
        """Raises: as `chat`."""
        read = _convert(body, _EmbeddingsBody)
        if not read.model or not read.input:
            name = "input" if read.model else "model"
            raise InvalidRequest(f"`{name}` is empty", param=name)
        texts = [read.input] if isinstance(read.input, str) else [t for t in read.input if isinstance(t, str)]
        found = measure(body)
        endpoint = self.endpoint(read.model, asked)
        if CACHE_CONTROL in asked.headers:
            endpoint = _cached_as_asked(endpoint, asked.headers[CACHE_CONTROL])
        return Request(
            id=asked.id,
            tenant=asked.tenant,
            endpoint=endpoint,
            operation="embeddings",
            model=read.model,
            body=body,
            text=" ".join(texts)[:20_000],
            prompt_chars=found.chars,
            media_tokens=found.media_tokens,
            session=_word(asked.headers.get(SESSION)),
            user="" if read.user is None else self.digest_user(read.user),
            task_type="embed",
            received_s=asked.received_s,
        )

    def endpoint(self, model: str, asked: Asked) -> Endpoint:
        """The endpoint of a request: bound by its key, else named by `model`, else by the header.

        Raises:
            UnknownModel: there is no endpoint of that name. Forbidden: the key is bound to another.
        """
        name: str | None = None
        if model.startswith(ENDPOINT_PREFIX):
            name = model[len(ENDPOINT_PREFIX) :]
        elif b"x-farthing-endpoint" in asked.headers:
            name = _word(asked.headers[b"x-farthing-endpoint"])
        bound = asked.tenant.endpoint
        if bound is not None:
            if name is not None and name != bound:
                raise Forbidden(f"this API key is for the endpoint `{bound}` only", param="model")
            name = bound
        if name is None:
            return self._default
        found = self._endpoints.get(name)
        if found is None:
            known = ", ".join(sorted(self._endpoints)) or "none is configured"
            raise UnknownModel(f"there is no endpoint `{name[:100]}`; known: {known}", param="model")
        return found

    def named(self, name: str) -> Endpoint | None:
        """The endpoint of that name as this configuration has it; None when there is none."""
        return self._default if name == self._default.name else self._endpoints.get(name)

    def digest_user(self, user: str) -> str:
        """Who asked, for the ledger: a keyed digest, so that the name itself is nowhere."""
        digest = self._user_digest.copy()
        digest.update(user.encode("utf-8", "replace"))
        return digest.hexdigest()


def user_digest(user: str, key: bytes) -> str:
    """As `Reader.digest_user`, under the key of an installation."""
    return blake2b(user.encode("utf-8", "replace"), digest_size=8, key=key).hexdigest()


def _cached_as_asked(endpoint: Endpoint, said: bytes) -> Endpoint:
    """The endpoint for one request that says `cache-control`: `no-store` reads and keeps nothing,
    `no-cache` reads nothing. Other words change nothing."""
    words = {word.strip() for word in said.lower().split(b",")}
    if b"no-store" in words:
        return replace(endpoint, cache_exact="off", semantic=None)  # type: ignore[no-any-return]
    if b"no-cache" in words:
        if endpoint.cache_exact == "on":
            endpoint = replace(endpoint, cache_exact="refresh")
        if endpoint.semantic is not None:
            endpoint = replace(endpoint, semantic=replace(endpoint.semantic, mode="observe", counted=False))
    return endpoint


def _convert(body: Json, kind: Any) -> Any:
    try:
        return msgspec.convert(body, kind)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$")
        field = path.rstrip("`").lstrip(".")
        if "missing required field" in what:
            missing = what.rpartition("field `")[2].rstrip("`")
            field = f"{field}.{missing}" if field else missing
            raise InvalidRequest(f"`{field}` is missing: send it", param=field) from None
        if "unknown field" in what and not field:
            unknown = what.rpartition("field `")[2].rstrip("`")[:100]
            known = ", ".join(kind.__struct_fields__)
            raise InvalidRequest(f"there is no field `{unknown}`; there is {known}", param=unknown) from None
        where = f"`{field}`" if field else "the body"
        raise InvalidRequest(f"{where}: {what[:1].lower()}{what[1:]}", param=field or None) from None


def _texts(messages: list[Any]) -> tuple[str, int, bool]:
    """The text of the last user message, the characters of all, and whether there is nothing but text."""
    chars = 0
    plain = True
    last: str | list[Any] | None = None
    for message in messages:
        content = message.content
        if content.__class__ is str:
            chars += len(content)
        elif content is not None:
            texts = _parts(content)
            chars += sum(len(text) for text in texts)
            plain = plain and len(texts) == len(content)
        if message.tool_calls:
            chars += len(encode(message.tool_calls))
        if message.role == "user":
            last = content
    if last is None:
        return "", chars, plain
    return last if isinstance(last, str) else "\n".join(_parts(last)), chars, plain


def _parts(content: list[Any]) -> list[str]:
    texts = []
    for part in content:
        if isinstance(part, dict) and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif isinstance(part, str):
            texts.append(part)
    return texts


def _word(raw: bytes | None) -> str | None:
    """A header value as a short name; None when it is absent or empty."""
    if not raw:
        return None
    word = raw.decode("latin-1").strip()
    if len(word) > 200 or not word.isprintable():
        raise InvalidRequest("an x-farthing header is longer than 200 characters or not printable")
    return word or None


def _documents(raw: bytes) -> tuple[str, ...]:
    """The documents named by `id@version, id`."""
    named = raw.decode("latin-1").split(",")
    return documents_of([name.strip() for name in named if name.strip()])


def documents_of(named: list[str]) -> tuple[str, ...]:
    """Raises:
    InvalidRequest: there are too many, or a name is none.
    """
    if len(named) > DOCUMENTS_MAX or any(len(name) > 200 or not name.isprintable() for name in named):
        raise InvalidRequest(
            f"documents: send at most {DOCUMENTS_MAX}, each `id` or `id@version` of at most 200 characters",
            param="documents",
        )
    return tuple(sorted(set(named)))


def retry_after_of(error: FarthingError) -> float | None:
    """Seconds after which another try makes sense; None when none does or nobody knows."""
    if isinstance(error, NoProviderLeft):
        waits = [f.retry_after_s for f in error.failures if isinstance(f, ProviderBusy)]
        known = [wait for wait in waits if wait is not None]
        return min(min(known), 60.0) if known else None
    return getattr(error, "retry_after_s", None)


def error_body(error: FarthingError) -> bytes:
    """An OpenAI error object. The provider's own is passed on when it refused the request itself."""
    if isinstance(error, NoProviderLeft) and error.failures:
        last = error.failures[-1]
        if isinstance(last, ProviderRejected) and last.body and error.status == last.upstream_status:
            passed_on = _provider_error(last.body)
            if passed_on is not None:
                return passed_on
    param = error.param if isinstance(error, RequestError) else None
    code = error.code
    if isinstance(error, NoProviderLeft) and error.status == 429:
        code = "rate_limit_exceeded"
    return encode({"error": {"message": str(error), "type": error.kind, "param": param, "code": code}})


def _provider_error(body: bytes) -> bytes | None:
    try:
        read = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return None
    error = read.get("error") if isinstance(read, dict) else None
    return encode({"error": error}) if isinstance(error, dict) and "message" in error else None
