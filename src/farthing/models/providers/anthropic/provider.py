"""Anthropic's Messages as an upstream. Bytes in, bytes out; no I/O.

A client of chat completions has its request read into the model of a conversation and written as Messages;
answers and events come back the same way (`dialects`). What Messages has no word for is named before the call
(`unsaid`). Going through their endpoint for OpenAI's dialect instead loses prompt caching, thinking with
signatures and several fields.

What a client of Messages sends goes up as it was sent but for the values that have to change (`edits`), with
its own version and betas, and its answer goes back as it comes.
"""

import re
from collections.abc import Mapping
from time import time
from typing import Annotated

import msgspec

from farthing.config import AnthropicProviderConfig, ProviderConfig
from farthing.dialects import faults
from farthing.dialects.chat.answers import answer_writer as chat_answer
from farthing.dialects.chat.answers.reply import EVENTS, ReplyReader, WholeReply
from farthing.dialects.chat.requests import request_reader as chat_request
from farthing.dialects.chat.usage import UsageForm
from farthing.dialects.conversation import Conversation
from farthing.dialects.events import BadAnswer, ProviderSaid
from farthing.dialects.messages.answers import answer_reader
from farthing.dialects.messages.answers.whole import assembled
from farthing.dialects.messages.errors import is_error, read_error
from farthing.dialects.messages.requests import request_reader as messages_request
from farthing.dialects.messages.requests import request_writer
from farthing.dialects.messages.usage import TOKENS_MAX
from farthing.dialects.responses.requests import request_reader as responses_request
from farthing.dialects.written import Written
from farthing.errors import KeyRejected, ProviderError, ProviderUnavailable
from farthing.models.providers import failures
from farthing.models.providers.anthropic import edits
from farthing.models.providers.anthropic.decoder import MessagesDecoder
from farthing.models.providers.anthropic.own import OwnDecoder
from farthing.models.providers.http import JSON, HttpProvider
from farthing.models.providers.translated import Translations
from farthing.models.transport.origin import HttpOrigin
from farthing.models.transport.passage import Passage
from farthing.protocols import ALL_SAID, BatchApi, Capabilities, Transport, Unsaid
from farthing.text.lenient_json import BOM, write_json
from farthing.types import Operation, Prompt, Sent, Target, replace

VERSION = "anthropic-version"
MESSAGES = "/v1/messages"
COUNT = "/v1/messages/count_tokens"
BETA = "?beta=true"
MODELS = "/v1/models?limit=1000"  # the most that one page has
USAGE = UsageForm(reasoning="inside")
"""Of the chat completions that are written here."""
COUNTED = frozenset(
    {"model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "cache_control"}
)
"""Fields of a request that its counting takes."""


class _Counted(msgspec.Struct):
    input_tokens: Annotated[int, msgspec.Meta(ge=0, lt=TOKENS_MAX)]


NAMES: dict[str, Mapping[str, str]] = {
    "messages": messages_request.NAMES,
    "responses": responses_request.NAMES,
}
"""What the dialects of clients call what the form of the pipeline has."""
_decode_counted = msgspec.json.Decoder(_Counted).decode
_CALL_ID = re.compile(r'"request_id"\s*:\s*"[\w-]{1,100}"')


class AnthropicProvider(HttpProvider):
    """One configured provider. See `protocols.Provider`."""

    def __init__(
        self,
        name: str,
        origin: HttpOrigin,
        config: AnthropicProviderConfig,
        *,
        path: str,
        passage: Passage | None = None,
    ) -> None:
        """`path` is that of its `base_url`, with `/v1` at its end or without.

        Raises:
            ValueError: a header has characters that HTTP does not allow.
        """
        key_lines = []
        if config.api_key is not None and config.auth == "x-api-key":
            key_lines.append(f"x-api-key: {config.api_key.value}")
        elif config.api_key is not None and config.auth == "bearer":
            key_lines.append(f"authorization: Bearer {config.api_key.value}")
        super().__init__(
            name, origin, config, path=path.removesuffix("/v1"), key_lines=key_lines, passage=passage
        )
        self.capabilities = Capabilities(operations=frozenset({"chat"}), counts_tokens=True)
        if not config.version.isprintable():
            raise ValueError(f"provider {name}: its version has characters that HTTP does not allow")
        fixed = VERSION in map(str.lower, config.headers)  # it is among the headers of every call
        self._version = b"" if fixed else f"{VERSION}: {config.version}\r\n".encode("latin-1")
        """The line for where the client has not said another."""
        self._heads = {
            (path, beta): self.head("POST", path + (BETA if beta else ""), JSON)
            for path in (MESSAGES, COUNT)
            for beta in (False, True)
        }
        self._replies = ReplyReader(USAGE, self.in_answer)
        self._translations = Translations(_anew, config.drop)

    def unsaid(self, prompt: Prompt, target: Target, operation: Operation) -> Unsaid:
        if operation != "chat":
            return Unsaid(operation=operation)
        sent = _as_sent(prompt)
        if sent is not None:
            gave_way = edits.gave_way(prompt, sent, target.model)
            return Unsaid(gave_way=gave_way) if gave_way else ALL_SAID
        return self._translations.unsaid(prompt, target)

    def encode(
        self,
        prompt: Prompt,
        target: Target,
        operation: Operation,
        request_id: str,
        passed: tuple[tuple[str, str], ...] = (),
    ) -> tuple[bytes, bytes]:
        head = b"%bx-request-id: %b\r\n" % (self._head(MESSAGES, prompt, passed), request_id.encode())
        sent = _as_sent(prompt)
        if sent is not None:
            return head, edits.written(sent, edits.changes(prompt, sent, target.model))
        return head, write_json(self._translations.body(prompt, target))

    def _head(self, path: str, prompt: Prompt, passed: tuple[tuple[str, str], ...]) -> bytes:
        """The head of a call with what passes of the client's headers. The version that a client of Messages
        names is its own word, as its betas are; that of another client is not."""
        sent = prompt.sent
        of_messages = sent is not None and sent.dialect == "messages"
        head = self._heads[path, sent is not None and of_messages and sent.beta]
        if not passed:
            return head + self._version
        told = of_messages and any([name == VERSION for name, _ in passed])
        up = self.passage.up(passed, None if of_messages else VERSION)
        return head + up if told else head + self._version + up

    def whole(self, headers: Mapping[bytes, bytes], body: bytes, prompt: Prompt | None = None) -> WholeReply:
        """Map a complete reply of status 200 to a chat completion.

        Raises:
            ProviderError: it is not an answer.
        """
        try:
            message = answer_reader.read(body)
        except ProviderSaid as error:
            raise self.in_answer(error.payload) from None
        except BadAnswer as error:
            if not body[:99].removeprefix(BOM).lstrip().startswith(EVENTS):
                raise ProviderUnavailable(f"the reply is no answer: {error}") from None
            body = self._of_events(body)
            message = answer_reader.read(body)
        told = chat_answer.write(
            message, request_id=message.id, created=int(time()), legacy_functions=_legacy(prompt)
        )
        reply = self._replies.read(told)
        if message.usage is not None:
            reply.usage = message.usage
        reply.whole_in_form = not answer_reader.is_opaque(message)
        if _is_own(prompt):
            reply.own = body
        return reply

    def _of_events(self, body: bytes) -> bytes:
        """The whole answer that a stream comes to, which nobody asked for and somebody paid.

        Raises:
            ProviderError: it is none, or not all of it.
        """
        decoder = MessagesDecoder(len(body) + 2, created=0)
        try:
            decoder.feed(body)
            decoder.end()
            told = assembled(body, len(body) + 2) if decoder.ended(1) else None
        except faults.ProviderSaid as error:
            raise self.in_answer(error.payload) from None
        except faults.BadStream as error:
            raise ProviderUnavailable(f"the reply is a stream, and broken: {error}") from None
        if told is None:
            raise ProviderUnavailable("the reply is a stream that ended without a stop_reason")
        return told

    def decoder(self, event_bytes_max: int, prompt: Prompt | None = None) -> MessagesDecoder:
        if _is_own(prompt):
            return OwnDecoder(event_bytes_max, created=int(time()))
        return MessagesDecoder(event_bytes_max, created=int(time()), legacy_functions=_legacy(prompt))

    def failure(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> ProviderError:
        return self._in_full(super().failure(status, headers, body), body)

    def in_answer(self, payload: bytes) -> ProviderError:
        error = failures.in_answer(self.name, payload, self.redact, read_error(payload).status)
        return self._in_full(error, payload)

    def _in_full(self, error: ProviderError, body: bytes) -> ProviderError:
        """With what a client of each dialect looks for: all the fields of chat completions, and the words as
        they came, if nothing in them is secret and they are an error of Messages."""
        if error.said is not None:
            error.said = {"message": "", "type": None, "param": None, "code": None, **error.said}
        if not isinstance(error, KeyRejected) and is_error(body) and self._may_be_seen(body):
            error.own = body
        return error

    def _may_be_seen(self, body: bytes) -> bool:
        """Whether an error says nothing of a key. The id that the provider gave the call may look like a
        short part of one."""
        text = body.decode("utf-8", "replace")
        bare = _CALL_ID.sub("", text)
        return self.redact.text(bare) == bare and not self.redact.holds(text)

    def list_head(self) -> bytes:
        return self.head("GET", MODELS) + self._version

    def count_call(
        self, prompt: Prompt, target: Target, request_id: str, passed: tuple[tuple[str, str], ...] = ()
    ) -> tuple[bytes, bytes] | None:
        head = self._head(COUNT, prompt, passed)
        sent = _as_sent(prompt)
        if sent is not None:
            return head, edits.written(sent, edits.counted(sent, target.model))
        body = {
            name: value for name, value in self._translations.body(prompt, target).items() if name in COUNTED
        }
        return head, write_json(body)

    def counted(self, body: bytes) -> int:
        try:
            return _decode_counted(body).input_tokens
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ProviderUnavailable(f"{self.name} told no count of tokens: {error}") from None

    def batch_api(self, transport: Transport, limits: ProviderConfig) -> BatchApi | None:
        """None: its batches are not used."""


def _is_own(prompt: Prompt | None) -> bool:
    """Whether the client reads what comes as it comes."""
    return prompt is not None and prompt.sent is not None and prompt.sent.dialect == "messages"


def _anew(prompt: Prompt, target: Target) -> Written:
    """A request that is not passed on as it was sent."""
    own = _is_own(prompt)
    said = _said(prompt)
    if prompt.capped_by is not None:
        said = replace(said, output_tokens_max=prompt.output_tokens_max)
    written = request_writer.translate(
        said, model=target.model, output_tokens_max=target.output_tokens_max, stream=prompt.stream
    )
    if own:
        edits.fit(written.body, prompt)
    return written


def _said(prompt: Prompt) -> Conversation:
    """The request by the names of its client."""
    dialect = "chat" if prompt.sent is None else prompt.sent.dialect
    names = NAMES.get(dialect)
    return chat_request.read(prompt.body) if names is None else chat_request.read(prompt.body, names, dialect)


def _as_sent(prompt: Prompt) -> Sent | None:
    """The request as its client sent it, in our dialect; None: it is in another, or was edited."""
    sent = prompt.sent
    own = sent is not None and sent.dialect == "messages" and sent.read is prompt.body
    return sent if own else None


def _legacy(prompt: Prompt | None) -> bool:
    """Whether the client told its tools as `functions`, so that it expects a call as `function_call`."""
    return prompt is not None and "functions" in prompt.body and not prompt.body.get("tools")
