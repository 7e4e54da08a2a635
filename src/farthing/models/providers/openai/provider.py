"""Providers that speak OpenAI's wire form, which is most of them. Bytes in, bytes out; no I/O.

What goes up is the client's body, decoded once and encoded again field by field in the client's order
(so that what was checked is what is sent), with the target's model name and, for streams, a request for
the usage chunk. What comes back goes on byte for byte.

Of a client of Messages or Responses goes up what chat completions have words for (`lowered`); what they have
none for is named before the call (`unsaid`).
"""

from collections.abc import Mapping

import msgspec

from farthing.config import OpenAIProviderConfig, ProviderConfig
from farthing.dialects.chat.answers.reply import ReplyReader, WholeReply
from farthing.dialects.chat.models import abilities
from farthing.dialects.chat.requests.lowering import MORE_THAN_CHAT, lowered
from farthing.dialects.chat.streams.event_reader import EventReader
from farthing.dialects.chat.usage import UNSAID, UsageForm
from farthing.dialects.written import Written
from farthing.errors import ProviderUnavailable
from farthing.models.providers.http import JSON, HttpProvider, without_of
from farthing.models.providers.openai.batch import OpenAIBatch
from farthing.models.providers.translated import Translations
from farthing.models.transport.origin import HttpOrigin
from farthing.models.transport.passage import Passage
from farthing.protocols import ALL_SAID, BatchApi, Capabilities, Transport, Unsaid
from farthing.types import Json, Operation, Prompt, Target

PATHS: dict[Operation, str] = {"chat": "/chat/completions", "embeddings": "/embeddings"}
LIST_FROM = ("", "/models")

_encode = msgspec.json.Encoder().encode


class OpenAIProvider(HttpProvider):
    """One configured provider. See `protocols.Provider`."""

    def __init__(
        self,
        name: str,
        origin: HttpOrigin,
        config: OpenAIProviderConfig,
        *,
        path: str,
        list_from: tuple[str, str] = LIST_FROM,
        passage: Passage | None = None,
        usage_form: UsageForm = UNSAID,
    ) -> None:
        """`path` is that of its `base_url`. `list_from`: what to take off the end of it, and to put there
        instead, to ask for its models.

        Raises:
            ValueError: a header has characters that HTTP does not allow.
        """
        key_lines = []
        if config.api_key is not None and config.auth == "bearer":
            key_lines.append(f"authorization: Bearer {config.api_key.value}")
        elif config.api_key is not None and config.auth == "api-key":
            key_lines.append(f"api-key: {config.api_key.value}")
        super().__init__(name, origin, config, path=path, key_lines=key_lines, passage=passage)
        self.capabilities = Capabilities(
            operations=frozenset(PATHS),
            all_said=True,
            batch=config.batch,
            choices=True,
            logprobs=True,
            counts_tokens=False,
        )
        self._include_usage = config.include_usage
        self._list_from = list_from
        self._usage_form = usage_form
        self._replies = ReplyReader(usage_form, self.in_answer)
        self._translations = Translations(_lowered, config.drop)
        self._heads = {
            operation: self.head("POST", suffix, JSON) + b"x-request-id: "
            for operation, suffix in PATHS.items()
        }

    def unsaid(self, prompt: Prompt, target: Target, operation: Operation) -> Unsaid:
        """Nothing where the client speaks chat completions: its request goes up as it is."""
        if not _is_lowered(prompt):
            return ALL_SAID
        return self._translations.unsaid(prompt, target)

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
        if _is_lowered(prompt):
            body = self._translated(prompt, target)
        else:
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
            head += self.passage.up(passed, without_of(prompt))
        return head, _encode(body)

    def _translated(self, prompt: Prompt, target: Target) -> Json:
        """The body of a client of another dialect. The limit of output, which Messages demands, is at most
        what the model can give, and has the name that the model knows."""
        body = {**self._translations.body(prompt, target), "model": target.model}
        limit, most = prompt.output_tokens_max, target.output_tokens_max
        if limit is not None:
            _set_cap(body, target.model, limit if most is None else min(limit, most))
        return body

    def whole(self, headers: Mapping[bytes, bytes], body: bytes, prompt: Prompt | None = None) -> WholeReply:
        return self._replies.read(body)

    def decoder(self, event_bytes_max: int, prompt: Prompt | None = None) -> EventReader:
        return EventReader(event_bytes_max, self._usage_form)

    def list_head(self) -> bytes:
        ending, suffix = self._list_from
        return self.head("GET", suffix, without=ending)

    def count_call(
        self, prompt: Prompt, target: Target, request_id: str, passed: tuple[tuple[str, str], ...] = ()
    ) -> None:
        """It has no interface that counts."""

    def counted(self, body: bytes) -> int:
        raise ProviderUnavailable(f"{self.name} does not count tokens")

    def batch_api(self, transport: Transport, limits: ProviderConfig) -> BatchApi | None:
        return OpenAIBatch(transport, self, self._usage_form, limits) if self.capabilities.batch else None


def _reasons(model: str) -> bool:
    return abilities(model).reasons


def _lowered(prompt: Prompt, target: Target) -> Written:
    dialect = "messages" if prompt.sent is None else prompt.sent.dialect
    return lowered(prompt.body, model=target.model, dialect=dialect)


def _is_lowered(prompt: Prompt) -> bool:
    """Whether its client speaks a dialect that makes its body more than chat completions."""
    return prompt.sent is not None and prompt.sent.dialect in MORE_THAN_CHAT


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
