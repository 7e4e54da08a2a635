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
from functools import partial
from time import time
from typing import Annotated

import msgspec

from farthing.config import AnthropicProviderConfig, ProviderConfig, VertexProviderConfig
from farthing.dialects.messages.errors import is_error, read_error
from farthing.dialects.messages.requests import request_writer
from farthing.dialects.messages.usage import TOKENS_MAX
from farthing.dialects.written import Written
from farthing.errors import KeyRejected, ProviderError, ProviderRejected, ProviderUnavailable
from farthing.models.providers import failures
from farthing.models.providers.anthropic import edits, elsewhere, form
from farthing.models.providers.anthropic.betas import HEADER, Betas, of_messages, supported
from farthing.models.providers.anthropic.elsewhere import ANTHROPIC, Cloud, cloud_at
from farthing.models.providers.anthropic.own import OwnDecoder
from farthing.models.providers.http import JSON, key_lines
from farthing.models.providers.learnt import Lessons
from farthing.models.providers.translated import conversation_of
from farthing.models.providers.translating import TranslatingProvider, written
from farthing.models.transport.origin import HttpOrigin
from farthing.models.transport.passage import Passage
from farthing.protocols import ALL_SAID, BatchApi, BearerToken, Capabilities, Transport, Unsaid
from farthing.text.lenient_json import write_json
from farthing.types import Json, Operation, Prompt, Target, replace

VERSION = "anthropic-version"
MESSAGES = "/v1/messages"
COUNT = "/v1/messages/count_tokens"
BETA = "?beta=true"
MODELS = "/v1/models?limit=1000"  # the most that one page has
COUNTED = frozenset(
    {"model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "cache_control"}
)
"""Fields of a request that its counting takes."""


class _Counted(msgspec.Struct):
    input_tokens: Annotated[int, msgspec.Meta(ge=0, lt=TOKENS_MAX)]


_decode_counted = msgspec.json.Decoder(_Counted).decode
_CALL_ID = re.compile(r'"request_id"\s*:\s*"[\w-]{1,100}"')


class AnthropicProvider(TranslatingProvider):
    """One configured provider. See `protocols.Provider`."""

    def __init__(
        self,
        name: str,
        origin: HttpOrigin,
        config: AnthropicProviderConfig | VertexProviderConfig,
        *,
        path: str,
        passage: Passage | None = None,
        token: BearerToken | None = None,
        cloud: Cloud | None = None,
        lessons: Lessons | None = None,
    ) -> None:
        """`path` is that of its `base_url`, with `/v1` at its end or without. `cloud`: None: as its host
        tells. `lessons` are what its targets were seen to refuse before.

        Raises:
            ValueError: a header has characters that HTTP does not allow.
        """
        cloud = cloud_at(origin.host) if cloud is None else cloud
        self._cloud = cloud
        self._betas = None if cloud is ANTHROPIC else Betas(None, lessons)
        """None: a client is told itself which of them are refused."""
        super().__init__(
            name,
            origin,
            config,
            path=path.removesuffix("/v1"),
            key_lines=key_lines(config.api_key, config.auth),
            form=form.MESSAGES,
            write=partial(_anew, cloud=cloud),
            passage=passage,
            token=token,
        )
        self.capabilities = Capabilities(operations=frozenset({"chat"}), counts_tokens=True, marks=True)
        version = config.version if isinstance(config, AnthropicProviderConfig) else ""
        if not version.isprintable():
            raise ValueError(f"provider {name}: its version has characters that HTTP does not allow")
        fixed = VERSION in map(str.lower, config.headers)  # it is among the headers of every call
        self._version = b"" if fixed or not version else f"{VERSION}: {version}\r\n".encode("latin-1")
        """The line for where the client has not said another."""
        self._heads = {
            (path, beta): self.lasting_head("POST", path + (BETA if beta else ""), JSON)
            for path in (MESSAGES, COUNT)
            for beta in (False, True)
        }

    def unsaid(self, prompt: Prompt, target: Target, operation: Operation) -> Unsaid:
        if operation != "chat":
            return Unsaid(operation=operation)
        sent = self.as_sent(prompt)
        if sent is None:
            said = self._translations.unsaid(prompt, target)
        else:
            gave_way = edits.gave_way(prompt, sent, target.model, self._cloud)
            said = Unsaid(gave_way=gave_way) if gave_way else ALL_SAID
        return said if self._betas is None else self._betas.with_left_here(said, prompt, target.model)

    def encode(
        self,
        prompt: Prompt,
        target: Target,
        operation: Operation,
        request_id: str,
        passed: tuple[tuple[str, str], ...] = (),
    ) -> tuple[bytes, bytes]:
        sent = self.as_sent(prompt)
        kept = self._kept(passed, prompt, target.model)
        told = passed if kept is None else _with_betas(passed, kept)
        head = b"%bx-request-id: %b\r\n" % (self._head(MESSAGES, prompt, told), request_id.encode())
        if sent is not None:
            changed = edits.changes(prompt, sent, target.model, self._cloud)
            if kept is not None:
                changed = supported(sent, changed, kept)
            return head, edits.marked(written(sent, changed), prompt, target.model)
        return head, write_json(self._translations.body(prompt, target))

    def _kept(self, passed: tuple[tuple[str, str], ...], prompt: Prompt, model: str) -> list[str] | None:
        """The betas of a client of Messages that go up; None: all do."""
        found = self._betas
        if found is None or not found.are_refused or not of_messages(prompt):
            return None
        return found.going_up(passed, prompt, {}, model)

    def learn(self, prompt: Prompt, target: Target, error: ProviderRejected) -> bool:
        if self._betas is None:
            return super().learn(prompt, target, error)
        sent = self.as_sent(prompt)
        body = self._translations.body(prompt, target) if sent is None else sent.body
        return self._betas.learn(prompt, body, target.model, error)

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

    def own_decoder(self, event_bytes_max: int) -> OwnDecoder:
        return OwnDecoder(event_bytes_max, created=int(time()))

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
        kept = self._kept(passed, prompt, target.model)
        head = self._head(COUNT, prompt, passed if kept is None else _with_betas(passed, kept))
        sent = self.as_sent(prompt)
        if sent is not None:
            return head, written(sent, edits.counted(sent, target.model, self._cloud))
        return head, write_json(self.counted_of(prompt, target))

    def counted_of(self, prompt: Prompt, target: Target) -> Json:
        """A request that was translated, as its counting takes it."""
        body = self._translations.body(prompt, target)
        return {name: value for name, value in body.items() if name in COUNTED}

    def counted(self, body: bytes) -> int:
        try:
            return _decode_counted(body).input_tokens
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ProviderUnavailable(f"{self.name} told no count of tokens: {error}") from None

    def batch_api(self, transport: Transport, limits: ProviderConfig) -> BatchApi | None:
        """None: its batches are not used."""


def _with_betas(passed: tuple[tuple[str, str], ...], kept: list[str]) -> tuple[tuple[str, str], ...]:
    """`passed` with `kept` in the place of the betas that the client names."""
    others = tuple(pair for pair in passed if pair[0] != HEADER)
    return (*others, (HEADER, ",".join(kept))) if kept else others


def _anew(prompt: Prompt, target: Target, *, cloud: Cloud) -> Written:
    """A request that is not passed on as it was sent."""
    own = prompt.sent is not None and prompt.sent.dialect == "messages"
    said = conversation_of(prompt)
    translated = request_writer.translate(
        said,
        model=target.model,
        output_tokens_max=target.output_tokens_max,
        stream=prompt.stream,
        listed=target.features,
    )
    if own:
        edits.fit(translated.body, prompt)
    gone = elsewhere.fit(translated.body, target.model, cloud)
    return replace(translated, yielded=(*translated.yielded, *gone)) if gone else translated
