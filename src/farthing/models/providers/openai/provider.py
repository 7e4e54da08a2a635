"""Providers that speak OpenAI's wire form, which is most of them. Bytes in, bytes out; no I/O.

What goes up is the client's body, decoded once and encoded again field by field in the client's order
(so that what was checked is what is sent), with the target's model name and, for streams, a request for
the usage chunk. What comes back goes on byte for byte.

Of a client of Messages or Responses goes up what chat completions have words for (`lowered`); what they have
none for is named before the call (`unsaid`).
"""

from collections.abc import Mapping
from time import monotonic
from urllib.parse import quote

import msgspec

from farthing.config import OpenAIProviderConfig, ProviderConfig
from farthing.dialects.chat.answers.reply import ReplyReader
from farthing.dialects.chat.models import Abilities, abilities
from farthing.dialects.chat.requests.fitting import (
    SAMPLING,
    Learnt,
    fitted,
    name_limit,
)
from farthing.dialects.chat.requests.lowering import MORE_THAN_CHAT, lowered
from farthing.dialects.chat.streams.event_reader import EventReader
from farthing.dialects.faults import ProviderSaid
from farthing.dialects.gemini.signatures import unnamed_in
from farthing.dialects.passing.answers import PassedStream
from farthing.dialects.passing.answers import whole as passed_whole
from farthing.dialects.passing.operations import PASSING, passing_of
from farthing.dialects.passing.request import with_model
from farthing.dialects.written import Written
from farthing.errors import ProviderError, ProviderRejected, ProviderUnavailable
from farthing.models.providers.host import UNKNOWN_HOST, HostFacts
from farthing.models.providers.http import JSON, HttpProvider, key_lines, without_of
from farthing.models.providers.learnt import Lessons, refusal_of
from farthing.models.providers.openai.batch import OpenAIBatch
from farthing.models.providers.responses.provider import ResponsesProvider
from farthing.models.providers.translated import NAMES, Translations
from farthing.models.transport.origin import HttpOrigin
from farthing.models.transport.passage import Passage
from farthing.protocols import (
    ALL_SAID,
    BatchApi,
    BearerToken,
    Capabilities,
    Reply,
    StreamDecoder,
    Transport,
    Unsaid,
)
from farthing.types import Json, Operation, Prompt, Sent, Target

PATHS: dict[Operation, str] = {"chat": "/chat/completions", "embeddings": "/embeddings"}
"""Below the base URL; what is passed through has its path in its own table."""
CACHE_KEY = "prompt_cache_key"
MODEL_IN_PATH = "{model}"
"""In a `base_url`: where the path names the model, as Azure's deployments are named."""
DEPLOYMENT = "/deployments/{model}"
GOOGLES_HOSTS = ".googleapis.com"
"""What the names of Google's hosts end in."""

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
        passage: Passage | None = None,
        host: HostFacts = UNKNOWN_HOST,
        native: ResponsesProvider | None = None,
        token: BearerToken | None = None,
        lessons: Lessons | None = None,
    ) -> None:
        """`path` is that of its `base_url`. `native` speaks Responses with it for clients that do; None: it
        knows chat completions alone. `lessons` are what its targets were seen to refuse before.

        Raises:
            ValueError: a header has characters that HTTP does not allow.
        """
        super().__init__(
            name,
            origin,
            config,
            path=path,
            key_lines=key_lines(config.api_key, config.auth),
            passage=passage,
            query=f"api-version={quote(config.api_version, safe='')}" if config.api_version else "",
            token=token,
        )
        self._by_path = MODEL_IN_PATH in path
        self._is_googles = origin.host.endswith(GOOGLES_HOSTS)
        """It takes signatures of thoughts, and refuses those of others."""
        if self._by_path and config.batch:
            raise ValueError(f"provider {name}: batch = true needs a base_url without {MODEL_IN_PATH}")
        self.capabilities = Capabilities(
            operations=host.operations.union(PATHS),
            inputs_max=host.inputs_max,
            all_said=not host.quirks.any,
            batch=config.batch,
            choices=True,
            logprobs=True,
            stored_completions=host.stored_completions,
            counts_tokens=False,
            cache_key=host.cache_key,
        )
        self._native = native
        self._include_usage = config.include_usage
        self._list_from = host.list_from
        self._usage_form = host.usage_form
        self._replies = ReplyReader(host.usage_form, self.in_answer)
        self._quirks = host.quirks
        self._quirky = host.quirks.any
        self._lessons = Lessons(monotonic) if lessons is None else lessons
        self._may_drop = frozenset(config.drop)
        self._fitted: tuple[Json, str, Learnt, Written] | None = None
        """The last request that was made to fit: each is asked for what cannot be said of it just before it
        is encoded."""
        self._translations = Translations(self._lowered, config.drop)
        self._heads = {
            operation: self.lasting_head("POST", suffix, JSON) + b"x-request-id: "
            for operation, suffix in PATHS.items()
        }

    def unsaid(self, prompt: Prompt, target: Target, operation: Operation) -> Unsaid:
        """Nothing where the client speaks chat completions and named the model: its request goes up as it is.
        What the host or the model does not take, where the target was chosen for it."""
        if prompt.sent is None:
            asked, model = prompt.body["model"], target.model
            if asked == model or asked == target.name or operation != "chat":
                return ALL_SAID
            if self._is_plain(prompt.body, target):
                return ALL_SAID
            written = self._fit(prompt.body, target)
            if not (written.unsaid or written.yielded):
                return ALL_SAID
            return Unsaid(written.unsaid, written.yielded)
        native = self._native_for(prompt)
        if native is not None:
            return native.unsaid(prompt, target, operation)
        if operation not in self.capabilities.operations:
            return Unsaid(operation=operation)
        if prompt.sent.dialect not in MORE_THAN_CHAT:
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
        sent = prompt.sent
        if sent is not None:
            native = self._native_for(prompt)
            if native is not None:
                return native.encode(prompt, target, operation, request_id, passed)
            if operation in PASSING:
                return self._as_sent(sent, target, operation, request_id, passed)
        if sent is not None and sent.dialect in MORE_THAN_CHAT:
            body = self._translated(prompt, target)
        else:
            body = self._chat(prompt, target, operation)
        if prompt.cache_key and not self._refuses_key(target.model):
            body[CACHE_KEY] = prompt.cache_key
        if prompt.stream:
            body["stream"] = True
            if self._include_usage and self._takes_stream_options(target.model):
                body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
        head = b"%b%b\r\n" % (self._heads[operation], request_id.encode())
        if self._token is not None:
            head += self._token.line
        if self._by_path:
            head = _for_model(head, target.model)
        if passed:
            head += self.passage.up(passed, without_of(prompt))
        return head, _encode(body)

    @staticmethod
    def _is_chosen(prompt: Prompt, target: Target) -> bool:
        """Whether the gateway chose the target: the client named no model, or another."""
        asked = prompt.body["model"]
        return bool(asked != target.model and asked != target.name)

    def _chat(self, prompt: Prompt, target: Target, operation: Operation) -> Json:
        """The body of a client of chat completions: as it was sent to the model that it named, else made to
        fit."""
        model, body = target.model, prompt.body
        chosen = operation == "chat" and self._is_chosen(prompt, target)
        if chosen and not self._is_plain(body, target):
            body = self._fit(body, target).body
            self._fitted = None
            chosen = False
        body = body.copy()
        body["model"] = model
        if prompt.capped_by is not None or (chosen and "max_tokens" in body and _can(target).reasons):
            self._set_cap(body, target, prompt.output_tokens_max)
        elif self._lessons.known and operation == "chat":
            name_limit(body, self._lessons.of(model).limit)
        if self._is_googles and operation == "chat":
            body["messages"] = unnamed_in(body["messages"])
        return body

    def _is_plain(self, body: Json, target: Target) -> bool:
        """Whether at most the name of its limit has to be another: so it is with most requests."""
        if self._quirky or self._lessons.known:
            return False
        return not _can(target).fixed_sampling or SAMPLING.isdisjoint(body)

    def _fit(self, body: Json, target: Target) -> Written:
        """What `body` comes to at this host."""
        model = target.model
        learnt = self._lessons.of(model)
        last = self._fitted
        if last is not None and last[0] is body and last[1] == model and last[2] is learnt:
            return last[3]
        written = fitted(body, model, self._quirks, learnt, target.features)
        self._fitted = (body, model, learnt, written)
        return written

    def _refuses_key(self, model: str) -> bool:
        """Whether the target was seen to refuse a key for its prompt cache that its client had not sent."""
        return self._lessons.known and CACHE_KEY in self._lessons.of(model).refused

    def _takes_stream_options(self, model: str) -> bool:
        if not self._quirks.stream_options:
            return False
        return not self._lessons.known or "stream_options" not in self._lessons.of(model).refused

    def learn(self, prompt: Prompt, target: Target, error: ProviderRejected) -> bool:
        if "messages" not in prompt.body or passing_of(prompt) is not None:
            return False
        if prompt.sent is not None and self._native_for(prompt) is not None:
            return False
        model = target.model
        translates = prompt.sent is not None and prompt.sent.dialect in MORE_THAN_CHAT
        body = self._translations.body(prompt, target) if translates else prompt.body
        if prompt.cache_key and not self._refuses_key(model):
            refusal = refusal_of(error, {**body, CACHE_KEY: ""})
            if refusal is not None and refusal.field == CACHE_KEY:
                self._lessons.note(model, refusal)
                return True
        asks_usage = prompt.stream and self._include_usage and "stream_options" not in body
        refusal = refusal_of(error, {**body, "stream_options": {}} if asks_usage else body)
        if refusal is None or self._lessons.of(model).limit == refusal.field:
            return False
        self._lessons.note(model, refusal)
        if refusal.instead is not None or (asks_usage and refusal.field == "stream_options"):
            return True
        if not (translates or self._is_chosen(prompt, target)):
            return False  # the client named the model, and is told what it would be told directly
        written = fitted(body, model, self._quirks, self._lessons.of(model), target.features)
        return refusal.field not in written.body and self._may_drop.issuperset(written.unsaid)

    def _lowered(self, prompt: Prompt, target: Target) -> Written:
        """The body of a client of another dialect, made to fit."""
        dialect = "messages" if prompt.sent is None else prompt.sent.dialect
        written = lowered(prompt.body, model=target.model, dialect=dialect, listed=target.features)
        if self._is_plain(written.body, target):
            return written
        fit = self._fit(written.body, target)
        self._fitted = None
        names = NAMES.get(dialect, {})
        unsaid = (names.get(name, name) for name in fit.unsaid)
        yielded = (names.get(name, name) for name in fit.yielded)
        return Written(fit.body, (*written.unsaid, *unsaid), (*written.yielded, *yielded), written.reasons)

    def _as_sent(
        self,
        sent: Sent,
        target: Target,
        operation: Operation,
        request_id: str,
        passed: tuple[tuple[str, str], ...],
    ) -> tuple[bytes, bytes]:
        """Head and body of what goes up as its client sent it, but for the name of its model."""
        fields = self.head("POST", PASSING[operation].path, sent.content_type)
        if self._by_path:
            fields = _for_model(fields, target.model)
        head = b"%bx-request-id: %b\r\n%b" % (fields, request_id.encode(), self.passage.up(passed))
        return head, with_model(sent, target.model)

    def _translated(self, prompt: Prompt, target: Target) -> Json:
        """The body of a client of another dialect. The limit of output, which Messages demands, is at most
        what the model can give, and has the name that the model knows."""
        body = {**self._translations.body(prompt, target), "model": target.model}
        limit, most = prompt.output_tokens_max, target.output_tokens_max
        if limit is not None:
            self._set_cap(body, target, limit if most is None else min(limit, most))
        return body

    def whole(self, headers: Mapping[bytes, bytes], body: bytes, prompt: Prompt | None = None) -> Reply:
        if prompt is None or prompt.sent is None:
            return self._replies.read(body)
        native = self._native_for(prompt)
        if native is not None:
            return native.whole(headers, body, prompt)
        passing = passing_of(prompt)
        if passing is None:
            return self._replies.read(body)
        try:
            return passed_whole(passing, body, prompt.body)
        except ProviderSaid as error:
            raise self.in_answer(error.payload) from None

    def decoder(
        self,
        event_bytes_max: int,
        prompt: Prompt | None = None,
        headers: Mapping[bytes, bytes] | None = None,
    ) -> StreamDecoder:
        if prompt is None or prompt.sent is None:
            return EventReader(event_bytes_max, self._usage_form)
        native = self._native_for(prompt)
        if native is not None:
            return native.decoder(event_bytes_max, prompt, headers)
        passing = passing_of(prompt)
        if passing is None:
            return EventReader(event_bytes_max, self._usage_form)
        return PassedStream(passing, event_bytes_max, prompt.body)

    def _set_cap(self, body: Json, target: Target, cap: int | None) -> None:
        """Write the cap on the output under the name that the model or its host knows, in place.

        Reasoning models refuse `max_tokens`, most others know nothing else. Called when the cap is ours; what
        a client sends to a model it named stays as it is.
        """
        old = body.pop("max_tokens", None)
        new = body.pop("max_completion_tokens", None)
        if cap is None:
            cap = old if new is None else new
        if cap is None:
            return
        name = self._lessons.of(target.model).limit or self._quirks.limit
        if name is None:
            newer = _can(target).reasons or (old is None and new is not None)
            name = "max_completion_tokens" if newer else "max_tokens"
        body[name] = cap

    def _native_for(self, prompt: Prompt) -> ResponsesProvider | None:
        """What speaks with the provider in the client's own dialect; None: chat completions do."""
        native = self._native
        return None if native is None or not native.is_own(prompt) else self._known(native)

    def _known(self, native: ResponsesProvider) -> ResponsesProvider:
        """`native`, which removes the secrets that this provider does: more than its own key, once all
        providers are built."""
        native.redact = self.redact
        return native

    def in_answer(self, payload: bytes) -> ProviderError:
        native = self._native
        return super().in_answer(payload) if native is None else self._known(native).in_answer(payload)

    def list_head(self) -> bytes:
        ending, suffix = self._list_from
        if self._path.endswith(DEPLOYMENT):
            ending = DEPLOYMENT
        return self.head("GET", suffix, without=ending)

    def count_call(
        self, prompt: Prompt, target: Target, request_id: str, passed: tuple[tuple[str, str], ...] = ()
    ) -> None:
        """It has no interface that counts."""

    def counted(self, body: bytes) -> int:
        raise ProviderUnavailable(f"{self.name} does not count tokens")

    def batch_api(self, transport: Transport, limits: ProviderConfig) -> BatchApi | None:
        return OpenAIBatch(transport, self, self._usage_form, limits) if self.capabilities.batch else None


def _for_model(head: bytes, model: str) -> bytes:
    """The head of a call whose path names its model."""
    return head.replace(MODEL_IN_PATH.encode(), quote(model, safe="").encode(), 1)


def _can(target: Target) -> Abilities:
    return abilities(target.model, target.features)
