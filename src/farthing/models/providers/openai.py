"""Providers that speak OpenAI's wire form, which is most of them. Bytes in, bytes out; no I/O.

What goes up is the client's body, decoded once and encoded again field by field in the client's order
(so that what was checked is what is sent), with the target's model name and, for streams, a request for
the usage chunk. What comes back goes on byte for byte.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct

from farthing import __version__
from farthing.errors import ProviderError, ProviderUnavailable
from farthing.models.providers import failures
from farthing.models.providers.chunks import finish_of
from farthing.models.providers.completion import NotChunks, assemble
from farthing.models.providers.shown import cites, said_chars
from farthing.models.providers.sse import BadStream, EventReader, ProviderSaid
from farthing.models.providers.usage import UNSAID, Ordinary, UsageForm, of_ordinary, read_usage
from farthing.models.transport.origin import HttpOrigin
from farthing.models.transport.passage import Passage
from farthing.runtime.redact import Redactor
from farthing.text.lenient_json import BOM, NULL, NotJson, read_json, write_json
from farthing.types import Json, Operation, Prompt, Target, Usage

PATHS: dict[Operation, str] = {"chat": "/chat/completions", "embeddings": "/embeddings"}
REASONING_MODELS = ("gpt-5", "gpt-6", "o1", "o3", "o4")
ERROR_BODY_BYTES_MAX = 65_536
JSON = "application/json"
ODD_IN_A_ROW = 100  # answers: a provider that adds a field of its own to the usage adds it to all

EVENTS = (b"data:", b"event:", b":", b"id:", b"retry:")
"""How a stream begins that comes in answer to a request for a whole answer."""

_encode = msgspec.json.Encoder().encode


class _Message(Struct):
    content: Raw = NULL
    annotations: list[Raw] | None = None
    tool_calls: Raw = NULL
    function_call: Raw = NULL


class _Choice(Struct):
    finish_reason: str | None = None
    message: _Message | None = None
    logprobs: Raw = NULL
    error: Raw = NULL


class _Token(Struct):
    logprob: float


class _Logprobs(Struct):
    content: list[_Token] | None = None


class Fields(Struct):
    """What is read of a whole answer."""

    choices: list[_Choice] | None = None
    data: Raw = NULL
    service_tier: Raw = NULL
    error: Raw = NULL


class _Whole(Fields):
    usage: Raw = NULL


class _Quick(Fields):
    """As nearly all answers are: the usage is read on the way."""

    usage: Ordinary | None = None


_decode_whole = msgspec.json.Decoder(_Whole).decode
_decode_quick = msgspec.json.Decoder(_Quick).decode
_decode_logprobs = msgspec.json.Decoder(_Logprobs | None).decode
_decode_text = msgspec.json.Decoder(str).decode
_says = re.compile(rb'" *[^"\\\s]').match
_EMPTY = (b"null", b"[]")


class WholeReply:
    """A whole answer and what was read of it. See `protocols.Reply`."""

    __slots__ = ("_answer", "_choices", "_is_plain", "body", "finish_reason", "usage")

    def __init__(
        self, body: bytes, usage: Usage | None, answer: Fields, is_plain: bool | None = None
    ) -> None:
        """`is_plain`: as the property; None: it has yet to be found out."""
        self.body = body
        self.usage = usage
        self._answer = answer
        self._choices = choices = answer.choices
        self.finish_reason = choices[0].finish_reason if choices else None
        """Of the first choice."""
        self._is_plain = is_plain

    def rewritten(self, body: bytes) -> "WholeReply":
        """This reply with another body that says the same of what is read here."""
        return WholeReply(body, self.usage, self._answer, self._is_plain)

    @property
    def is_plain(self) -> bool:
        """Whether it is one choice of nothing but text, with no call, no error, and an end of its own. False
        says no more than that it takes a closer look."""
        found = self._is_plain
        if found is None:
            found = self._is_plain = _is_plain(self._answer)
        return found

    @property
    def all_stopped(self) -> bool:
        """Whether every choice ended by itself; one of which nothing is said did."""
        for choice in self._choices or ():
            if choice.finish_reason is not None and choice.finish_reason != "stop":
                return False
        return True

    @property
    def cites(self) -> bool:
        """Whether a choice names pages that were searched for, which may be charged for."""
        for choice in self._choices or ():
            if choice.message is not None and choice.message.annotations:
                return any(cites(bytes(one)) for one in choice.message.annotations)
        return False

    @property
    def logprobs(self) -> list[float] | None:
        """Of the tokens of the first choice; None when the provider gave none."""
        try:
            found = _decode_logprobs(self._choices[0].logprobs) if self._choices else None
        except msgspec.DecodeError:
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
        except msgspec.DecodeError:
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
        passage: Passage | None = None,
        usage_form: UsageForm = UNSAID,
    ) -> None:
        self.name = name
        self.usage_form = usage_form
        self.origin = origin
        self.passage = Passage() if passage is None else passage
        self._odd_left = 0
        """Answers yet to be read without trying how most have it: the last one that was tried was not so."""
        path = f"{origin.form}{path}"
        self._include_usage = include_usage
        self.redact = Redactor(() if api_key is None else (api_key,))
        self._own_key = b"\0" if not api_key else api_key.encode()  # no line of a head holds a NUL
        """Knows what no error may repeat."""
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
        if origin.form and origin.proxy is not None and origin.proxy.authorization:
            lines.append(f"proxy-authorization: {origin.proxy.authorization}")
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
        self,
        prompt: Prompt,
        target: Target,
        operation: Operation,
        request_id: str,
        passed: tuple[tuple[str, str], ...] = (),
    ) -> tuple[bytes, bytes]:
        """Return the head, without content-length and the blank line, and the body. `passed` are headers of
        the client, of which those go up that this provider is to get."""
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
        head = b"%b%b\r\n" % (self._heads[operation], request_id.encode())
        if passed:
            head += self.passage.up(passed)
        return head, _encode(body)

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
        except UnicodeDecodeError as error:
            raise ProviderUnavailable(f"the reply is not UTF-8: {error.reason}") from None
        if self._odd_left:
            self._odd_left -= 1
            return self._whole_oddly(body)
        try:
            quick = _decode_quick(body)
        except (msgspec.DecodeError, RecursionError):
            self._odd_left = ODD_IN_A_ROW
            return self._whole_oddly(body)
        told, tier = quick.usage, quick.service_tier
        usage = None
        if told is not None:
            operation: Operation = "chat" if quick.choices else "embeddings"
            usage = of_ordinary(told, self.usage_form, None if tier is NULL else tier, operation)
            if usage is None:
                return self._whole_oddly(body)
        self._refuse_empty(body, quick)
        return WholeReply(body, usage, quick)

    def _whole_oddly(self, body: bytes) -> WholeReply:
        """As `whole`, of a reply some side field of which is not as most have it."""
        is_plain: bool | None = None
        try:
            whole = _decode_whole(body)
        except (msgspec.DecodeError, RecursionError) as error:
            if body[:99].removeprefix(BOM).lstrip().startswith(EVENTS):
                body = self._of_events(body)
            whole, is_plain = (
                _loosely(body, str(error)),
                False,
            )  # what was left out is not known to be nothing
        self._refuse_empty(body, whole)
        usage = read_usage(
            whole.usage,
            self.usage_form,
            service_tier=None if whole.service_tier is NULL else whole.service_tier,
            operation="chat" if whole.choices else "embeddings",
        )
        return WholeReply(body, usage, whole, is_plain)

    def _refuse_empty(self, body: bytes, whole: Fields) -> None:
        """Raises:
        ProviderError: there is no answer in it, or one that failed.
        """
        choices = whole.choices
        if choices and choices[0].message is None:
            raise ProviderUnavailable("the reply has a choice without a message")
        if not choices and whole.data is NULL:
            if failures.has_words(failures.error_object(body)):
                raise self.in_answer(body)
            raise ProviderUnavailable("the reply has neither choices nor data")
        if choices and (choices[0].error is not NULL or choices[0].finish_reason in failures.FAILED_FINISHES):
            self._refuse_failed(body)

    def _refuse_failed(self, body: bytes) -> None:
        """Raises:
        ProviderError: the first choice ended by a failure, with nothing said.
        """
        choice = next(one for one in read_json(body)["choices"] if isinstance(one, dict))
        error = failures.failed_choice(choice)
        if error is not None and not said_chars(choice["message"]) and not choice["message"].get("audio"):
            raise self.in_answer(error)

    def _of_events(self, body: bytes) -> bytes:
        """The whole answer that a stream comes to, which nobody asked for and somebody paid.

        Raises:
            ProviderError: it is none, or not all of it.
        """
        reader = EventReader(len(body) + 2)
        try:
            events = reader.feed(body) + reader.end()
            if reader.ended(1):
                return write_json(assemble([events], reader.usage_event))
        except ProviderSaid as error:
            raise self.in_answer(error.payload) from None
        except (BadStream, NotChunks) as error:
            raise ProviderUnavailable(f"the reply is a stream, and broken: {error}") from None
        raise ProviderUnavailable("the reply is a stream that ended without a finish")

    def failure(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> ProviderError:
        """What a reply of another status than success means."""
        return failures.failure(self.name, status, headers, body, self.redact)

    def down(self, headers: Mapping[bytes, bytes], request_id: str) -> tuple[bytes, str]:
        """As `Passage.down`, without our key: good answers are not searched for more than that."""
        told, named = self.passage.down(headers, request_id)
        if told.find(self._own_key) >= 0:
            return self.redact.text(told.decode("latin-1")).encode("latin-1"), self.redact.text(named)
        return told, named

    def in_answer(self, payload: bytes) -> ProviderError:
        """What an error object means that came in place of an answer."""
        return failures.in_answer(self.name, payload, self.redact)


def _is_plain(answer: Fields) -> bool:
    choices = answer.choices
    if choices is None or len(choices) != 1:
        return False
    choice = choices[0]
    message = choice.message
    if message is None or choice.finish_reason != "stop" or _says(message.content) is None:
        return False
    calls, call = message.tool_calls, message.function_call
    if calls is NULL and call is NULL and choice.error is NULL and answer.error is NULL:
        return True
    return all(bytes(field) in _EMPTY for field in (calls, call, choice.error, answer.error))


def _loosely(body: bytes, why: str) -> _Whole:
    """A whole answer that has an odd side field, or is JSON as only a lenient parser reads it.

    Raises:
        ProviderUnavailable: it is no JSON object.
    """
    try:
        return _of_value(read_json(body))
    except (NotJson, RecursionError):
        raise ProviderUnavailable(f"the reply is not JSON: {why}") from None


def _of_value(value: Any) -> _Whole:
    if not isinstance(value, dict):
        raise ProviderUnavailable("the reply is JSON of another shape: not an object")
    choices, data, usage = value.get("choices"), value.get("data"), value.get("usage")
    tier, failed = value.get("service_tier"), value.get("error")
    return _Whole(
        choices=[_choice(one) for one in choices if isinstance(one, dict)]
        if isinstance(choices, list)
        else None,
        data=NULL if data is None else Raw(write_json(data)),
        usage=NULL if usage is None else Raw(write_json(usage)),
        service_tier=NULL if tier is None else Raw(write_json(tier)),
        error=NULL if failed is None else Raw(write_json(failed)),
    )


def _choice(value: Json) -> _Choice:
    message = value.get("message")
    held: _Message | None = None
    if isinstance(message, dict):
        cited = message.get("annotations")
        held = _Message(
            content=Raw(write_json(message.get("content"))),
            annotations=[Raw(write_json(one)) for one in cited] if isinstance(cited, list) else None,
            tool_calls=Raw(write_json(message.get("tool_calls"))),
            function_call=Raw(write_json(message.get("function_call"))),
        )
    return _Choice(
        finish_reason=finish_of(value.get("finish_reason")),
        message=held,
        logprobs=Raw(write_json(value.get("logprobs"))),
        error=Raw(write_json(value.get("error"))),
    )


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
