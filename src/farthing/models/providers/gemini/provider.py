"""Google's `generateContent` as an upstream. Bytes in, bytes out; no I/O.

Every client's request is read into the model of a conversation and written in Gemini's own form, which has
more than its endpoint for chat completions: thoughts with signatures, safety settings, content that is
cached. What it has no word for is named before the call (`unsaid`).
"""

from collections.abc import Mapping
from functools import partial
from typing import Annotated
from urllib.parse import quote

import msgspec

from farthing.config import GeminiProviderConfig, ProviderConfig, VertexProviderConfig
from farthing.dialects.chat.answers.reply import WholeReply
from farthing.dialects.chat.embedded import InputsMax
from farthing.dialects.chat.usage import TOKENS_MAX
from farthing.dialects.gemini.answers import answer_reader
from farthing.dialects.gemini.requests import request_writer
from farthing.dialects.gemini.streams.stream_reader import Reader
from farthing.dialects.written import Written
from farthing.errors import ProviderError, ProviderUnavailable
from farthing.models.providers.decoder import AnswerForm
from farthing.models.providers.gemini import vectors
from farthing.models.providers.gemini.signed import Signed
from farthing.models.providers.http import JSON, key_lines, without_of, word_in
from farthing.models.providers.translated import Translations, conversation_of, within_limit
from farthing.models.providers.translating import TranslatingProvider
from farthing.models.transport.origin import HttpOrigin
from farthing.models.transport.passage import Passage
from farthing.protocols import BatchApi, BearerToken, Capabilities, Transport, Unsaid
from farthing.text.lenient_json import write_json
from farthing.types import Json, Operation, Prompt, Target

VERSION = "/v1beta"
"""The path of a base URL that has none."""
MODELS = "/models?pageSize=1000"  # the most that one page has
TIER = b"x-gemini-service-tier"
"""Where a reply says which service tier ran."""
_PLACE = "{model}:{method}"
_NAMES = ":@.,-_~"


class _Counted(msgspec.Struct):
    totalTokens: Annotated[int, msgspec.Meta(ge=0, lt=TOKENS_MAX)]


_decode_counted = msgspec.json.Decoder(_Counted).decode


class GeminiProvider(TranslatingProvider):
    """One configured provider. See `protocols.Provider`."""

    def __init__(
        self,
        name: str,
        origin: HttpOrigin,
        config: GeminiProviderConfig | VertexProviderConfig,
        *,
        path: str,
        below: str = "",
        passage: Passage | None = None,
        token: BearerToken | None = None,
        account: str = "",
    ) -> None:
        """`path` is that of its `base_url`, `below` what is between it and `/models`. `account` is whose
        signatures it takes and gives out, where its keys are of several; empty: its own.

        Raises:
            ValueError: a header has characters that HTTP does not allow.
        """
        self._signed = Signed()
        self._signer = account or name
        self._files = config.file_prefixes
        form = AnswerForm(
            dialect="gemini",
            reader=partial(Reader, note=self._signed.note, provider=self._signer),
            read=partial(answer_reader.read, note=self._signed.note, provider=self._signer),
            is_opaque=answer_reader.is_opaque,
        )
        super().__init__(
            name,
            origin,
            config,
            path=path or VERSION,
            key_lines=key_lines(config.api_key, config.auth),
            form=form,
            write=self._anew,
            passage=passage,
            token=token,
        )
        self.capabilities = Capabilities(
            operations=frozenset({"chat", "embeddings"}),
            inputs_max=InputsMax(count=vectors.INPUTS_MAX),
            counts_tokens=True,
        )
        self._embeddings = Translations(_embedded, config.drop)
        self._head = self.lasting_head("POST", f"{below}/models/{_PLACE}", JSON)

    def unsaid(self, prompt: Prompt, target: Target, operation: Operation) -> Unsaid:
        if operation == "chat":
            return self._translations.unsaid(prompt, target)
        if operation in self.capabilities.operations:
            return self._embeddings.unsaid(prompt, target)
        return Unsaid(operation=operation)

    def encode(
        self,
        prompt: Prompt,
        target: Target,
        operation: Operation,
        request_id: str,
        passed: tuple[tuple[str, str], ...] = (),
    ) -> tuple[bytes, bytes]:
        if operation == "embeddings":
            head = self._head_of(target.model, "batchEmbedContents", request_id, prompt, passed)
            return head, write_json(self._embeddings.body(prompt, target))
        method = "streamGenerateContent?alt=sse" if prompt.stream else "generateContent"
        head = self._head_of(target.model, method, request_id, prompt, passed)
        return head, write_json(self._translations.body(prompt, target))

    def _head_of(
        self,
        model: str,
        method: str,
        request_id: str,
        prompt: Prompt,
        passed: tuple[tuple[str, str], ...],
    ) -> bytes:
        path = f"{quote(bare(model), safe=_NAMES)}:{method}"
        head = b"%b%bx-request-id: %b\r\n" % (
            self._head.replace(_PLACE.encode(), path.encode(), 1),
            self.token_line,
            request_id.encode(),
        )
        return head + self.passage.up(passed, without_of(prompt)) if passed else head

    def whole(self, headers: Mapping[bytes, bytes], body: bytes, prompt: Prompt | None = None) -> WholeReply:
        if prompt is not None and "input" in prompt.body and "messages" not in prompt.body:
            return self._replies.read(vectors.answer(body, prompt.body))
        return super().whole(headers, body, prompt)

    def ran(self, headers: Mapping[bytes, bytes], prompt: Prompt | None) -> str | None:
        return word_in(headers, TIER)

    def _anew(self, prompt: Prompt, target: Target) -> Written:
        said = within_limit(conversation_of(prompt), target)
        return request_writer.translate(
            said, model=target.model, provider=self._signer, known=self._signed.of, files=self._files
        )

    def failure(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> ProviderError:
        return _in_full(super().failure(status, headers, body))

    def in_answer(self, payload: bytes) -> ProviderError:
        return _in_full(super().in_answer(payload))

    def list_head(self) -> bytes:
        return self.head("GET", MODELS)

    def count_call(
        self, prompt: Prompt, target: Target, request_id: str, passed: tuple[tuple[str, str], ...] = ()
    ) -> tuple[bytes, bytes] | None:
        head = self._head_of(target.model, "countTokens", request_id, prompt, passed)
        return head, write_json(self._counted(self._translations.body(prompt, target), target.model))

    def _counted(self, body: Json, model: str) -> Json:
        """The body of a call that counts the tokens of `body`."""
        return {"generateContentRequest": {"model": f"models/{bare(model)}", **body}}

    def counted(self, body: bytes) -> int:
        try:
            return _decode_counted(body).totalTokens
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ProviderUnavailable(f"{self.name} told no count of tokens: {error}") from None

    def batch_api(self, transport: Transport, limits: ProviderConfig) -> BatchApi | None:
        """None: its batches are not used."""


def bare(model: str) -> str:
    """A model's name without what it is listed with."""
    return model.removeprefix("models/")


def _embedded(prompt: Prompt, target: Target) -> Written:
    return vectors.translate(prompt.body, f"models/{bare(target.model)}")


def _in_full(error: ProviderError) -> ProviderError:
    """With all the fields that clients of chat completions look for; Google calls the kind `status`."""
    if error.said is not None:
        kind = error.said.get("status")
        told = {"message": "", "type": kind, "param": None, "code": None}
        error.said = {**told, **error.said}
    return error
