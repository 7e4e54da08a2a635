"""OpenAI's wire form, both ways. The only file of the edge that knows its field names."""

from collections.abc import Callable, Collection, Mapping
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import Struct

from farthing.config import ENDPOINT_PREFIX, fault_of_name
from farthing.dialects.passing.operations import Passing
from farthing.edge.gate import ENDPOINT_HEADER, Gate
from farthing.edge.http.fields import convert
from farthing.edge.overflow import said_of
from farthing.errors import (
    FarthingError,
    Forbidden,
    InvalidRequest,
    NoProviderLeft,
    RequestError,
    UnknownModel,
)
from farthing.runtime.redact import NO_SECRETS, Redactor
from farthing.text.lenient_json import write_json
from farthing.text.media import measure
from farthing.types import Endpoint, Json, Operation, Request, Sent, Tenant, output_tokens_said, replace

ENDPOINT = ENDPOINT_HEADER.encode()
SESSION = b"x-farthing-session"
TASK = b"x-farthing-task"
CACHE_CONTROL = b"cache-control"
DOCUMENTS = b"x-farthing-documents"
DOCUMENTS_MAX = 64
TEXT_CHARS_MAX = 20_000
PASSED_CHARS_MAX = 2_048  # of one header that goes up
UNSEEN_BYTES_MAX = 16_384  # of a body beside the texts of its messages, before all of it is measured
NAMING_BYTES_MAX = 262_144  # of a body that is refused and looked at once more, for 1 ms at most
NAME_CHARS_KEPT = 200
WORDS_KNOWN_MAX = 4_096  # of clients' own words, which are mostly the same: each takes 15 us to look through
TOOLS_BYTES_MAX = 262_144  # as much as tools, and schemas of answers, may well have

Number = int | float

encode = msgspec.json.Encoder().encode


class _StreamOptions(Struct):
    include_usage: bool | None = None


class _Message(Struct):
    role: str
    content: str | list[Any] | None = None
    tool_calls: list[Any] | None = None


class _ChatBody(Struct):
    """The fields of a chat completion that are read here, so their type is checked. All others are carried
    unread, and whether they make sense is the provider's to say, in its own words."""

    model: str
    messages: list[_Message]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: Number | None = None
    max_completion_tokens: Number | None = None
    n: Number | None = None
    temperature: Number | None = None
    tools: list[dict[str, Any]] | None = None
    user: Any = None


class _EmbeddingsBody(Struct):
    model: str
    input: str | list[Any]
    user: Any = None


class _Named(Struct):
    model: str = ""


_decode_named = msgspec.json.Decoder(_Named).decode


class Asked(Struct, frozen=True, kw_only=True):
    """What the edge knows about a request besides its body."""

    id: str
    tenant: Tenant
    headers: Mapping[bytes, bytes]
    received_s: float
    body_bytes: int
    raw: bytes = b""
    """The body as sent, for a dialect that may be passed on unchanged."""
    query: bytes = b""
    """What follows the path."""
    previous: str = ""
    """The id of the stored response with which the body was completed; empty: none."""
    deployment: str = ""
    """The model named in the path, which wins over the body (Azure); empty: none."""


class _Heard(Struct, frozen=True, kw_only=True):
    """What the headers of a request say besides its endpoint."""

    session: str | None = None
    task_type: str | None = None
    documents: tuple[str, ...] = ()
    passed: tuple[tuple[str, str], ...] = ()


NOTHING_HEARD = _Heard()


class Homes(Struct, frozen=True):
    """Which providers have what is passed through."""

    first: Mapping[Operation, str] = {}
    """The first provider with an operation, for requests that name no model."""
    alone: Mapping[Operation, str] = {}
    """The only provider with an operation, for unknown models."""
    leads: Callable[[str], bool] = lambda model: True
    """Whether a name outside the configuration leads to a provider."""
    completes: Callable[[str], bool] = lambda model: False
    """Whether a model belongs to providers that have legacy completions."""


NO_HOMES = Homes()


class Reader:
    """Turns bodies into requests, under the endpoints of one configuration."""

    def __init__(
        self,
        endpoints: Mapping[str, Endpoint],
        default: Endpoint,
        user_key: bytes,
        *,
        names: Mapping[str, str] | None = None,
        passed: frozenset[bytes] = frozenset(),
        gate: Gate | None = None,
        redact: Redactor = NO_SECRETS,
        own: Collection[str] = (),
        homes: Homes = NO_HOMES,
    ) -> None:
        """`names`: every model name that is known, with the one to go on with: an alias of an endpoint is
        that endpoint, everything else itself. Others go on as they are. `passed` are the headers that go up
        to providers, names in lower case. `gate` says what may be asked for. `redact` knows the secrets that
        must not be written down; `own` are words of the configuration, which are no secrets. `homes`:
        which providers have what is passed through."""
        self._passed = passed
        self._heard = passed.union((SESSION, TASK, CACHE_CONTROL, DOCUMENTS))
        self._endpoints = endpoints
        self._default = default
        self._user_digest = blake2b(digest_size=8, key=user_key)
        self._names = {} if names is None else names
        self._folded = _only_ones(self._names)
        self._gate = Gate(self._names) if gate is None else gate
        self.redact = redact
        self._homes = homes
        self.completes = homes.completes
        self._own = {word: word for word in own}
        self._words = self._own.copy()
        """Clients' own words, each in the form that may be recorded."""

    def chat(self, body: Json, asked: Asked, tier: str | None = None) -> Request:
        """`tier` is asked for instead of a model.

        Raises:
            InvalidRequest: names the field and what it must be. UnknownModel, Forbidden: the endpoint, the
                model or the tier.
        """
        read = convert(body, _ChatBody, hint="" if "messages" in body else _hint(body))
        model = self._names.get(read.model) or self._spelled(read.model)
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
        said_max = read.max_tokens if read.max_completion_tokens is None else read.max_completion_tokens
        options, headers, tenant = read.stream_options, asked.headers, asked.tenant
        endpoint = self.endpoint(model, asked.headers, asked.tenant)
        if "models" in body or "fallbacks" in body:
            _refuse_further(body, tenant, endpoint)
        if body.get("store") is True:  # what another request was answered is not stored for this one
            endpoint = endpoint.asked_anew()
        heard = NOTHING_HEARD
        if not headers.keys().isdisjoint(self._heard):
            endpoint, heard = self._hear(endpoint, headers)
        tiers: tuple[str, ...] | None = None
        if tenant.scope is not None or endpoint.scope is not None or model not in self._names:
            tiers = self._gate.tiers(model, tier, tenant, endpoint)
        alias = "" if model == read.model else read.model
        return Request(
            id=asked.id,
            tenant=tenant,
            endpoint=endpoint,
            operation="chat",
            model=model,
            alias=alias,
            body={**body, "model": model} if alias else body,
            text=text,
            prompt_chars=chars,
            stream=bool(read.stream),
            include_usage=options is not None and bool(options.include_usage),
            output_tokens_max=None if said_max is None else output_tokens_said(said_max),
            session=heard.session,
            user="" if read.user is None else self.digest_user(read.user),
            task_type=heard.task_type,
            documents=heard.documents,
            received_s=asked.received_s,
            passed=heard.passed,
            media_tokens=media_tokens,
            tier=tier,
            tiers=tiers,
        )

    def _hear(self, endpoint: Endpoint, headers: Mapping[bytes, bytes]) -> tuple[Endpoint, "_Heard"]:
        """What headers say, and `endpoint` as they have it.

        Raises:
            InvalidRequest: one of them cannot be read.
        """
        if CACHE_CONTROL in headers:
            endpoint = _cached_as_asked(endpoint, headers[CACHE_CONTROL])
        return endpoint, _Heard(
            session=self.header_word(headers.get(SESSION)),
            task_type=self.header_word(headers.get(TASK)),
            documents=self.documents(_documents(headers[DOCUMENTS])) if DOCUMENTS in headers else (),
            passed=self.passed(headers),
        )

    def embeddings(self, body: Json, asked: Asked) -> Request:
        """Raises: as `chat`."""
        read = convert(body, _EmbeddingsBody)
        model = self._names.get(read.model)
        if model is None:
            model = self._spelled(read.model)
        found = measure(body)
        endpoint = self.endpoint(model, asked.headers, asked.tenant)
        if CACHE_CONTROL in asked.headers:
            endpoint = _cached_as_asked(endpoint, asked.headers[CACHE_CONTROL])
        tiers: tuple[str, ...] | None = None
        if asked.tenant.scope is not None or endpoint.scope is not None or model not in self._names:
            tiers = self._gate.tiers(model, None, asked.tenant, endpoint)
        alias = ""
        if model != read.model:
            alias, body = read.model, {**body, "model": model}
        return Request(
            id=asked.id,
            tenant=asked.tenant,
            endpoint=endpoint,
            operation="embeddings",
            model=model,
            alias=alias,
            body=body,
            text=_input_text(read.input),
            prompt_chars=found.chars,
            media_tokens=found.media_tokens,
            session=self.header_word(asked.headers.get(SESSION)),
            user="" if read.user is None else self.digest_user(read.user),
            task_type="embed",
            received_s=asked.received_s,
            passed=self.passed(asked.headers),
            tiers=tiers,
        )

    def to_pass(
        self,
        passing: Passing,
        sent: Sent,
        asked: Asked,
        *,
        said: str | None,
        text: str,
        chars: int,
        stream: bool,
    ) -> Request:
        """A request that is passed through, `sent`, for the model that it `said`; None: it leaves the model
        to the provider. `chars`: of all its texts, of which `text` is the beginning.

        Raises: as `chat`.
        """
        name = self._left_open(passing) if said is None else said
        model = self._names.get(name)
        if model is None:
            model = self._at_home(self._spelled(name), passing.operation)
        headers = asked.headers
        endpoint: Endpoint = replace(
            self.endpoint(model, asked.headers, asked.tenant), cache_exact="off", semantic=None
        )
        tiers: tuple[str, ...] | None = None
        if asked.tenant.scope is not None or endpoint.scope is not None or model not in self._names:
            tiers = self._gate.tiers(model, None, asked.tenant, endpoint)
        body = {**sent.body, "model": model}
        user = body.get("user")
        return Request(
            id=asked.id,
            tenant=asked.tenant,
            endpoint=endpoint,
            operation=passing.operation,
            model=model,
            alias=name if model != name else "",
            body=body,
            text=text,
            prompt_chars=chars,
            stream=stream,
            session=self.header_word(headers.get(SESSION)),
            user="" if user is None else self.digest_user(user),
            task_type=self.header_word(headers.get(TASK)),
            received_s=asked.received_s,
            passed=self.passed(headers),
            tiers=tiers,
            sent=sent if said is None else replace(sent, read=body),
        )

    def _at_home(self, model: str, operation: Operation) -> str:
        """A model that nothing knows, at the only provider that has the operation: price lists do not have
        all that draws, hears or speaks."""
        home = self._homes.alone.get(operation)
        if home is None or not model or "/" in model or model in self._names or self._homes.leads(model):
            return model
        return f"{home}/{model}"

    def _left_open(self, passing: Passing) -> str:
        """The model of a request that names none: what providers take then, by that name where the
        configuration knows it, else at the first provider that has the operation.

        Raises:
            InvalidRequest: such a request has to name one, or there is no such provider.
        """
        if not passing.model:
            raise InvalidRequest("`model` is missing: send it", param="model")
        if passing.model in self._names:
            return passing.model
        provider = self._homes.first.get(passing.operation)
        if provider is None:
            raise InvalidRequest(
                f"no provider is known to have {passing.operation}: name a model, or list it in `operations` "
                "of a provider",
                param="model",
            )
        return f"{provider}/{passing.model}"

    def as_written(self, said: str | None) -> str | None:
        """A client's own word as it may be written down: one that holds a key is known by its digest, as a
        user is, so that it still tells one from another."""
        if said is None:
            return None
        word = self._words.get(said)
        if word is None:
            word = self.digest_user(said) if self.redact.holds(said) else said
            if len(self._words) >= WORDS_KNOWN_MAX + len(self._own):
                self._words = self._own.copy()
            self._words[said] = word
        return word

    def header_word(self, raw: bytes | None) -> str | None:
        """A header value as a short name, by `as_written`; None when it is absent or empty.

        Raises:
            InvalidRequest: it is too long, or not printable.
        """
        return self.as_written(_word(raw))

    def documents(self, named: list[str]) -> tuple[str, ...]:
        """The documents of a request, by `as_written`.

        Raises:
            InvalidRequest: there are too many, or a name is none.
        """
        if len(named) > DOCUMENTS_MAX or any(len(name) > 200 or not name.isprintable() for name in named):
            raise InvalidRequest(
                f"documents: send at most {DOCUMENTS_MAX}, each `id` or `id@version` of at most 200 "
                "characters",
                param="documents",
            )
        return tuple(sorted({self.as_written(name) or name for name in named}))

    def _spelled(self, said: str) -> str:
        """The name to go on with for one that is not known as it is written. Letter case is overlooked where
        one known name alone is meant: an alias leads to its endpoint however it is written.

        Raises:
            InvalidRequest: it is empty. UnknownModel: it can be nobody's name.
        """
        fault = fault_of_name(said)
        if fault:
            hint = "" if said.strip() else ": name a model, a tier, `auto` or `farthing/ENDPOINT`"
            raise (UnknownModel if said else InvalidRequest)(f"`model` {fault}{hint}", param="model")
        if self.as_written(said) != said:
            raise InvalidRequest("`model` holds an API key: send the name of a model", param="model")
        return self._folded.get(said.casefold(), said)

    def passed(self, headers: Mapping[bytes, bytes]) -> tuple[tuple[str, str], ...]:
        """The headers that go up to providers.

        Raises:
            InvalidRequest: one is too long, or not printable.
        """
        found = []
        for name in sorted(self._passed.intersection(headers)):
            value = headers[name].decode("latin-1")
            if len(value) > PASSED_CHARS_MAX or not value.isprintable():
                raise InvalidRequest(
                    f"the header {name.decode()} is longer than {PASSED_CHARS_MAX} characters "
                    "or not printable"
                )
            found.append((name.decode(), value))
        return tuple(found)

    def endpoint(self, model: str, headers: Mapping[bytes, bytes], tenant: Tenant) -> Endpoint:
        """The endpoint of a request: bound by its key, else named by `model`, else by the header. Empty
        `model`: the request has none.

        Raises:
            UnknownModel: there is no endpoint of that name. Forbidden: the key is bound to another.
        """
        name: str | None = None
        param = "model"
        if model.startswith(ENDPOINT_PREFIX):
            name = model[len(ENDPOINT_PREFIX) :]
        elif ENDPOINT in headers:
            name, param = _word(headers[ENDPOINT]), ENDPOINT.decode()
            name = None if name is None else self.endpoint_named(name)
        return self.endpoint_for(name, tenant, param)

    def endpoint_for(self, name: str | None, tenant: Tenant, param: str) -> Endpoint:
        """The endpoint that a key is bound to, else the one of this name, which stood in `param`.

        Raises:
            UnknownModel: there is no endpoint of that name. Forbidden: the key is bound to another.
        """
        bound = tenant.endpoint
        if bound is not None:
            if name is not None and name != bound:
                raise Forbidden(f"this API key is for the endpoint `{bound}` only", param=param)
            name = bound
        if name is None:
            return self._default
        found = self._endpoints.get(name)
        if found is None:
            scope = tenant.scope
            told = [n for n in sorted(self._endpoints) if scope is None or ENDPOINT_PREFIX + n in scope.names]
            known = ", ".join(told) or ("none" if self._endpoints else "none is configured")
            raise UnknownModel(
                f"there is no endpoint `{self.redact.text(name)[:100]}`; known: {known}", param=param
            )
        return found

    def may_ask(self, model: str, tenant: Tenant) -> bool:
        """Whether a client of `tenant` may write `model`, a name as `GET /v1/models` has it."""
        goal = self._names.get(model, model)
        name = goal[len(ENDPOINT_PREFIX) :] if goal.startswith(ENDPOINT_PREFIX) else tenant.endpoint
        if tenant.endpoint not in (None, name):
            return False
        endpoint = self._default if name is None else self.named(name)
        return endpoint is not None and self._gate.may_ask(goal, tenant, endpoint)

    def model_said(self, raw: bytes) -> str:
        """What a body that is refused says for `model`, for its receipt; empty where that cannot be had."""
        if len(raw) > NAMING_BYTES_MAX:
            return ""
        try:
            return self.redact.text(_decode_named(raw).model)[:NAME_CHARS_KEPT]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return ""

    def endpoint_named(self, said: str) -> str:
        """The name of the endpoint that `said` means: its own, with or without `farthing/` in front, or an
        alias of it; `said` itself where it means none."""
        if said in self._endpoints:
            return said
        goal = self._names.get(said) or self._names.get(ENDPOINT_PREFIX + said, "")
        return goal[len(ENDPOINT_PREFIX) :] if goal.startswith(ENDPOINT_PREFIX) else said

    def named(self, name: str) -> Endpoint | None:
        """The endpoint of that name in this configuration; None if there is none."""
        return self._default if name == self._default.name else self._endpoints.get(name)

    def digest_user(self, user: Any) -> str:
        """A keyed digest of the user's name for the ledger, so that the name itself is stored nowhere."""
        digest = self._user_digest.copy()
        digest.update(user.encode("utf-8", "replace") if isinstance(user, str) else encode(user))
        return digest.hexdigest()


def _only_ones(names: Mapping[str, str]) -> dict[str, str]:
    """Names by their lower-case spelling; ambiguous spellings are left out."""
    folded: dict[str, str] = {}
    ambiguous = set()
    for name, goal in names.items():
        if folded.setdefault(name.casefold(), goal) != goal:
            ambiguous.add(name.casefold())
    return {name: goal for name, goal in folded.items() if name not in ambiguous}


def user_digest(user: str, key: bytes) -> str:
    """As `Reader.digest_user`, under the key of an installation."""
    return blake2b(user.encode("utf-8", "replace"), digest_size=8, key=key).hexdigest()


def _cached_as_asked(endpoint: Endpoint, said: bytes) -> Endpoint:
    """The endpoint for one request that says `cache-control`: `no-store` reads and keeps nothing,
    `no-cache` reads nothing. Other words change nothing."""
    words = {word.strip() for word in said.lower().split(b",")}
    if b"no-store" in words:
        return replace(endpoint, cache_exact="off", semantic=None)  # type: ignore[no-any-return]
    return endpoint.asked_anew() if b"no-cache" in words else endpoint


def _refuse_further(body: Json, tenant: Tenant, endpoint: Endpoint) -> None:
    """Raises:
    Forbidden: the request names models that its provider may answer with instead, and there is a list of what
        may be asked for: their names are the provider's own, so that nobody here can tell.
    """
    if tenant.scope is None and endpoint.scope is None:
        return
    field = "models" if "models" in body else "fallbacks"
    error = Forbidden(
        f"this API key may ask for some models only, and `{field}` names further ones: leave it out",
        param=field,
    )
    error.endpoint = endpoint.name
    raise error


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


def _hint(body: Json) -> str:
    """A hint for a body without messages."""
    return (
        ". What has `input` is written for Responses, which are at /v1/responses" if "input" in body else ""
    )


def _input_text(given: str | list[Any]) -> str:
    """The first text to embed; empty if there is none, as with token ids."""
    if isinstance(given, str):
        return given[:TEXT_CHARS_MAX]
    if given and given[0].__class__ is int:
        return ""
    return " ".join(item for item in given if item.__class__ is str)[:TEXT_CHARS_MAX]


def _parts(content: list[Any]) -> list[str]:
    texts = []
    for part in content:
        if isinstance(part, dict) and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif isinstance(part, str):
            texts.append(part)
    return texts


def _word(raw: bytes | None) -> str | None:
    """A header value as a short name; None if it is absent or empty."""
    if not raw:
        return None
    word = raw.decode("latin-1").strip()
    if len(word) > 200 or not word.isprintable():
        raise InvalidRequest(
            "a header that names a session, an agent, a task or an endpoint is longer than 200 characters "
            "or not printable"
        )
    return word or None


def _documents(raw: bytes) -> list[str]:
    """The documents named by `id@version, id`."""
    named = raw.decode("latin-1").split(",")
    return [name.strip() for name in named if name.strip()]


def returned_of(error: FarthingError) -> bytes:
    """Header lines of the provider whose refusal is passed on; else of the last one that answered."""
    if not isinstance(error, NoProviderLeft):
        return b""
    return next((failure.returned for failure in reversed(error.failures) if failure.returned), b"")


def error_body(error: FarthingError) -> bytes:
    """An OpenAI error object. The provider's own is passed on where one provider has the say."""
    return write_json({"error": error_object(error)})


def error_object(error: FarthingError) -> Json:
    """The error object in `error_body`."""
    said = said_of(error)
    if said is not None:
        return said
    param = error.param if isinstance(error, RequestError) else None
    code = error.code
    if isinstance(error, NoProviderLeft) and error.status == 429:
        code = "rate_limit_exceeded"
    return {"message": error.in_full, "type": error.kind, "param": param, "code": code}
