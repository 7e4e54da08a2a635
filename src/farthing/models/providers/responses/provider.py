"""OpenAI's Responses as an upstream. Bytes in, bytes out; no I/O.

A client of another dialect has its request read into the model of a conversation and written as Responses;
answers and events come back the same way (`dialects`). What Responses has no word for is named before the
call (`unsaid`). Nothing is stored at the provider for such a client: reasoning travels with it, encrypted.

What a client of Responses sends goes up as it was sent but for the values that have to change (`edits`), and
its answer goes back as it comes.
"""

from collections.abc import Mapping
from functools import partial
from time import monotonic, time
from typing import Annotated

import msgspec

from farthing.config import OpenAIProviderConfig, ProviderConfig, ResponsesProviderConfig
from farthing.dialects.chat.usage import TOKENS_MAX
from farthing.dialects.responses.answers.answer_reader import Maker, is_opaque
from farthing.dialects.responses.requests import request_writer
from farthing.dialects.responses.streams.stream_reader import Reader
from farthing.dialects.written import Written
from farthing.errors import ProviderError, ProviderRejected, ProviderUnavailable
from farthing.models.providers import failures
from farthing.models.providers.decoder import AnswerForm
from farthing.models.providers.host import UNKNOWN_HOST, HostFacts
from farthing.models.providers.http import JSON, key_lines, without_of
from farthing.models.providers.learnt import Lessons, refusal_of
from farthing.models.providers.responses import edits
from farthing.models.providers.responses.makers import Makers
from farthing.models.providers.responses.own import OwnDecoder
from farthing.models.providers.translated import NAMES, conversation_of, within_limit
from farthing.models.providers.translating import TranslatingProvider, written
from farthing.models.transport.origin import HttpOrigin
from farthing.models.transport.passage import Passage
from farthing.protocols import BatchApi, BearerToken, Capabilities, Transport, Unsaid
from farthing.text.lenient_json import any_json, write_json
from farthing.types import Json, Operation, Prompt, Sent, Target, replace

RESPONSES = "/responses"
COMPACT = "/responses/compact"
COUNT = "/responses/input_tokens"
OUTPUT_TOKENS_MIN = 16
"""The lowest `max_output_tokens` that OpenAI takes."""
STATUSES = {
    "server_error": 500,
    "server_is_overloaded": 503,
    "slow_down": 503,
    "vector_store_timeout": 504,
}
"""The status that the code of a failed response stands for; any other is about the request, where it has
one."""
WRONG = frozenset({
    "bio_policy", "context_length_exceeded", "cyber_policy", "data_residency_mismatch", "empty_image_file",
    "failed_to_download_image", "image_content_policy_violation", "image_file_not_found",
    "image_file_too_large", "image_parse_error", "image_too_large", "image_too_small", "invalid_base64_image",
    "invalid_encrypted_content", "invalid_image", "invalid_image_format", "invalid_image_mode",
    "invalid_image_url", "invalid_prompt", "invalid_request_error", "misalignment_policy_violation",
    "unsupported_image_media_type",
})  # fmt: skip
"""Codes that say that the request is at fault."""


class _Counted(msgspec.Struct):
    input_tokens: Annotated[int, msgspec.Meta(ge=0, lt=TOKENS_MAX)]


_decode_counted = msgspec.json.Decoder(_Counted).decode
CACHE_KEY = "prompt_cache_key"


class ResponsesProvider(TranslatingProvider):
    """One configured provider. See `protocols.Provider`."""

    def __init__(
        self,
        name: str,
        origin: HttpOrigin,
        config: ResponsesProviderConfig | OpenAIProviderConfig,
        *,
        path: str,
        passage: Passage | None = None,
        host: HostFacts = UNKNOWN_HOST,
        makers: Makers | None = None,
        token: BearerToken | None = None,
        lessons: Lessons | None = None,
    ) -> None:
        """`path` is that of its `base_url`. `makers` remembers whose encrypted content is, `lessons` what its
        targets were seen to refuse before.

        Raises:
            ValueError: a header has characters that HTTP does not allow.
        """
        self._makers = Makers() if makers is None else makers
        self._lessons = Lessons(monotonic) if lessons is None else lessons
        self._may_drop = frozenset(config.drop)
        self._account = self._makers.account or name
        """What its encrypted content goes back to."""
        maker = Maker(
            self._account, replace(host.usage_form, reasoning="inside", write_life="30m"), self._made
        )
        super().__init__(
            name,
            origin,
            config,
            path=path,
            key_lines=key_lines(config.api_key, config.auth),
            form=AnswerForm(
                dialect="responses",
                reader=partial(Reader, maker=maker),
                read=maker.read,
                is_opaque=is_opaque,
            ),
            write=self._anew,
            passage=passage,
            token=token,
        )
        self.capabilities = Capabilities(
            operations=frozenset({"chat"}),
            output_tokens_min=OUTPUT_TOKENS_MIN,
            cache_key=host.cache_key,
            counts_tokens=True,
        )
        self._list_from = host.list_from
        self._heads = {
            path: self.lasting_head("POST", path, JSON) + b"x-request-id: "
            for path in (RESPONSES, COMPACT, COUNT)
        }
        self._input: tuple[Sent, edits.Input] | None = None
        """The last items that were looked at: each request is asked for what cannot be said of it just
        before it is encoded."""

    def is_own(self, prompt: Prompt | None) -> bool:
        """Whether the client reads what comes as it comes. Not where its request was edited: its tools have
        other names then."""
        return prompt is not None and self.as_sent(prompt) is not None

    def as_sent(self, prompt: Prompt) -> Sent | None:
        """As of any provider; None also where it goes on from a response that is stored here."""
        sent = super().as_sent(prompt)
        return None if sent is None or sent.body.get("previous_response_id") is not None else sent

    def unsaid(self, prompt: Prompt, target: Target, operation: Operation) -> Unsaid:
        if operation != "chat":
            return Unsaid(operation=operation)
        sent = self.as_sent(prompt)
        if sent is not None:
            return self._items(sent).unsaid
        return self._translations.unsaid(prompt, target)

    def encode(
        self,
        prompt: Prompt,
        target: Target,
        operation: Operation,
        request_id: str,
        passed: tuple[tuple[str, str], ...] = (),
    ) -> tuple[bytes, bytes]:
        sent = self.as_sent(prompt)
        if sent is None:
            body = self._translations.body(prompt, target)
            if prompt.cache_key and not self._refuses_key(target.model):
                body = {**body, CACHE_KEY: prompt.cache_key}
            return self._head(RESPONSES, prompt, request_id, passed), write_json(body)
        path = COMPACT if sent.compacts == "path" else RESPONSES
        changed = edits.changes(prompt, sent, target.model, self._items(sent))
        self._input = None
        if prompt.cache_key and not self._refuses_key(target.model):
            changed = {**changed, CACHE_KEY: prompt.cache_key}
        return self._head(path, prompt, request_id, passed), written(sent, changed)

    def _head(self, path: str, prompt: Prompt, request_id: str, passed: tuple[tuple[str, str], ...]) -> bytes:
        head = b"%b%b\r\n%b" % (self._heads[path], request_id.encode(), self.token_line)
        return head + self.passage.up(passed, without_of(prompt)) if passed else head

    def _items(self, sent: Sent) -> edits.Input:
        last = self._input
        if last is not None and last[0] is sent:
            return last[1]
        found = edits.read_input(sent, self._account, self._makers)
        if found is not edits.AS_SENT:
            self._input = (sent, found)
        return found

    def _made(self, item: Json) -> None:
        """Remember what only this provider can read."""
        held = item.get("encrypted_content")
        if isinstance(held, str) and held:
            self._makers.note(held, self._account)

    def _anew(self, prompt: Prompt, target: Target) -> Written:
        """A request that is not passed on as it was sent."""
        said = conversation_of(prompt)
        asked, settled = said.output_tokens_max, prompt.output_tokens_max
        raised = bool(asked) and settled is not None and settled > (asked or 0)
        if raised:
            said = replace(said, output_tokens_max=settled)
        written = request_writer.translate(
            within_limit(said, target),
            model=target.model,
            provider=self._account,
            stream=prompt.stream,
            listed=target.features,
        )
        if self._lessons.known:
            written = self._without_refused(written, prompt, target.model)
        if not raised:
            return written
        name = "max_completion_tokens" if "max_completion_tokens" in prompt.body else "max_tokens"
        name = said.names.get("output_tokens_max", name)
        return Written(written.body, written.unsaid, (*written.yielded, name), written.reasons)

    def _without_refused(self, written: Written, prompt: Prompt, model: str) -> Written:
        """Without the fields that the model was seen to refuse, by the names of the client."""
        refused = [name for name in self._lessons.of(model).refused if name in written.body]
        if not refused:
            return written
        names = NAMES.get("chat" if prompt.sent is None else prompt.sent.dialect, {})
        body = {name: value for name, value in written.body.items() if name not in refused}
        unsaid = (*written.unsaid, *(names.get(name, name) for name in sorted(refused)))
        return Written(body, unsaid, written.yielded, written.reasons)

    def learn(self, prompt: Prompt, target: Target, error: ProviderRejected) -> bool:
        """What is passed on as it was sent teaches only of what was added to it: its client is told."""
        if prompt.cache_key and not self._refuses_key(target.model):
            refusal = refusal_of(error, {CACHE_KEY: ""})
            if refusal is not None and refusal.field == CACHE_KEY:
                self._lessons.note(target.model, refusal)
                return True
        if self.as_sent(prompt) is not None:
            return False
        refusal = refusal_of(error, self._translations.body(prompt, target))
        if refusal is None or refusal.instead is not None or refusal.value is not None:
            return False
        self._lessons.note(target.model, refusal)
        unsaid = self._translations.unsaid(prompt, target)
        return self._may_drop.issuperset(unsaid.names)

    def _refuses_key(self, model: str) -> bool:
        """Whether the target was seen to refuse a key for its prompt cache that its client had not sent."""
        return self._lessons.known and CACHE_KEY in self._lessons.of(model).refused

    def own_decoder(self, event_bytes_max: int) -> OwnDecoder:
        return OwnDecoder(self.form, event_bytes_max, created=int(time()))

    def failure(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> ProviderError:
        return _in_full(super().failure(status, headers, body))

    def in_answer(self, payload: bytes) -> ProviderError:
        value = any_json(payload)
        error = value.get("error") if isinstance(value, dict) else None
        code = error.get("code") if isinstance(error, dict) else None
        status = None if not isinstance(code, str) else 400 if code in WRONG else STATUSES.get(code)
        return _in_full(failures.in_answer(self.name, payload, self.redact, status))

    def list_head(self) -> bytes:
        ending, suffix = self._list_from
        return self.head("GET", suffix, without=ending)

    def count_call(
        self, prompt: Prompt, target: Target, request_id: str, passed: tuple[tuple[str, str], ...] = ()
    ) -> tuple[bytes, bytes] | None:
        head = self._head(COUNT, prompt, request_id, passed)
        sent = self.as_sent(prompt)
        if sent is not None:
            changed = edits.counted(sent, target.model, self._items(sent))
            self._input = None
            return head, written(sent, changed)
        body = self._translations.body(prompt, target)
        return head, write_json({name: value for name, value in body.items() if name in edits.COUNTED})

    def counted(self, body: bytes) -> int:
        try:
            return _decode_counted(body).input_tokens
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ProviderUnavailable(f"{self.name} told no count of tokens: {error}") from None

    def batch_api(self, transport: Transport, limits: ProviderConfig) -> BatchApi | None:
        """None: its batches are not used."""


def _in_full(error: ProviderError) -> ProviderError:
    """With all the fields that a client looks for."""
    if error.said is not None:
        error.said = {"message": "", "type": None, "param": None, "code": None, **error.said}
    return error
