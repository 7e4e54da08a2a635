"""A whole chat completion: its bytes, and the few fields of it that accounting, caching and checks need.

Most answers are in the usual shape and read by a typed decoder in one go. What it refuses is read value by
value, so that an odd side field costs nobody an answer.
"""

import re
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw, Struct

from farthing.dialects.chat.answers.completion import NotChunks, assemble
from farthing.dialects.chat.answers.names import shown_name
from farthing.dialects.chat.answers.shown import cites, said_chars
from farthing.dialects.chat.streams.chunks import finish_of
from farthing.dialects.chat.streams.event_reader import EventReader
from farthing.dialects.chat.usage import Ordinary, UsageForm, of_ordinary, read_usage
from farthing.dialects.errors import FAILED_FINISHES, error_object, failed_choice, has_words
from farthing.dialects.faults import BadStream, ProviderSaid
from farthing.errors import ProviderError, ProviderUnavailable
from farthing.text.lenient_json import BOM, NULL, NotJson, read_json, write_json
from farthing.types import Json, Operation, Usage

ODD_IN_A_ROW = 100  # answers: a provider that adds a field of its own to the usage adds it to all

EVENTS = (b"data:", b"event:", b":", b"id:", b"retry:")
"""How a stream begins that comes in answer to a request for a whole answer."""


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


class _Times(Struct):
    """Cerebras' account of a call, in seconds."""

    total_time: float | None = None


class Fields(Struct):
    """What is read of a whole answer."""

    choices: list[_Choice] | None = None
    data: Raw = NULL
    service_tier: Raw = NULL
    error: Raw = NULL
    model: str | None = None
    system_fingerprint: str | None = None
    time_info: _Times | None = None


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

    __slots__ = ("_answer", "_choices", "_is_plain", "body", "finish_reason", "own", "usage", "whole_in_form")

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
        self.own: bytes | None = None
        """As `protocols.Reply`; set by who has read it from another form."""
        self.whole_in_form = True

    def rewritten(self, body: bytes) -> "WholeReply":
        """This reply with another body that says the same of what is read here."""
        if body == self.body:
            return self
        reply = WholeReply(body, self.usage, self._answer, self._is_plain)
        reply.whole_in_form = self.whole_in_form
        return reply

    @property
    def is_plain(self) -> bool:
        """Whether it is one choice of nothing but text, with no call, no error, and an end of its own. False
        says no more than that it takes a closer look."""
        found = self._is_plain
        if found is None:
            found = self._is_plain = _is_plain(self._answer)
        return found

    @property
    def model(self) -> str:
        """What it says it was made by; empty: it does not say."""
        return shown_name(self._answer.model)

    @property
    def fingerprint(self) -> str:
        """Its `system_fingerprint`; empty: it has none."""
        return shown_name(self._answer.system_fingerprint)

    @property
    def took_ms(self) -> float | None:
        """How long its provider worked on it, waiting included, as its body says; None: it does not say."""
        answer = self._answer
        if isinstance(answer, _Quick) and answer.usage is not None and answer.usage.total_time is not None:
            return (answer.usage.total_time + (answer.usage.queue_time or 0.0)) * 1000
        times = answer.time_info
        return None if times is None or times.total_time is None else times.total_time * 1000

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


class ReplyReader:
    """Reads the whole answers of one provider."""

    __slots__ = ("_in_answer", "_odd_left", "_usage_form")

    def __init__(self, usage_form: UsageForm, in_answer: Callable[[bytes], ProviderError]) -> None:
        """`in_answer`: what an error of the provider's means that comes in place of an answer."""
        self._usage_form = usage_form
        self._in_answer = in_answer
        self._odd_left = 0
        """Answers to read value by value at once: the last typed attempt failed."""

    def read(self, body: bytes) -> WholeReply:
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
            return self._oddly(body)
        try:
            quick = _decode_quick(body)
        except (msgspec.DecodeError, RecursionError):
            self._odd_left = ODD_IN_A_ROW
            return self._oddly(body)
        told, tier = quick.usage, quick.service_tier
        usage = None
        if told is not None:
            operation: Operation = "chat" if quick.choices else "embeddings"
            usage = of_ordinary(told, self._usage_form, None if tier is NULL else tier, operation)
            if usage is None:
                return self._oddly(body)
        self._refuse_empty(body, quick, usage)
        return WholeReply(body, usage, quick)

    def _oddly(self, body: bytes) -> WholeReply:
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
        usage = read_usage(
            whole.usage,
            self._usage_form,
            service_tier=None if whole.service_tier is NULL else whole.service_tier,
            operation="chat" if whole.choices else "embeddings",
        )
        self._refuse_empty(body, whole, usage)
        return WholeReply(body, usage, whole, is_plain)

    def _refuse_empty(self, body: bytes, whole: Fields, usage: Usage | None) -> None:
        """Raises:
        ProviderError: there is no answer in it, or one that failed.
        """
        choices = whole.choices
        if choices and choices[0].message is None:
            raise ProviderUnavailable("the reply has a choice without a message")
        if not choices and whole.data is NULL:
            if has_words(error_object(body)):
                raise self._in_answer(body)
            raise ProviderUnavailable("the reply has neither choices nor data")
        if choices and (choices[0].error is not NULL or choices[0].finish_reason in FAILED_FINISHES):
            self._refuse_failed(body, usage)

    def _refuse_failed(self, body: bytes, usage: Usage | None) -> None:
        """Raises:
        ProviderError: the first choice ended by a failure, with nothing said.
        """
        choice = next(one for one in read_json(body)["choices"] if isinstance(one, dict))
        error = failed_choice(choice)
        if error is not None and not said_chars(choice["message"]) and not choice["message"].get("audio"):
            raise self._failed(error, usage)

    def _failed(self, payload: bytes, usage: Usage | None) -> ProviderError:
        """The error `payload` in an answer that cost `usage`; None: that is not said."""
        error = self._in_answer(payload)
        error.counted = usage
        return error

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
            raise self._failed(error.payload, error.usage) from None
        except (BadStream, NotChunks) as error:
            raise ProviderUnavailable(f"the reply is a stream, and broken: {error}") from None
        raise ProviderUnavailable("the reply is a stream that ended without a finish")


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
    model, fingerprint = value.get("model"), value.get("system_fingerprint")
    return _Whole(
        choices=[_choice(one) for one in choices if isinstance(one, dict)]
        if isinstance(choices, list)
        else None,
        data=NULL if data is None else Raw(write_json(data)),
        usage=NULL if usage is None else Raw(write_json(usage)),
        service_tier=NULL if tier is None else Raw(write_json(tier)),
        error=NULL if failed is None else Raw(write_json(failed)),
        model=model if isinstance(model, str) else None,
        system_fingerprint=fingerprint if isinstance(fingerprint, str) else None,
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
