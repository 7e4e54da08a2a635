"""Amazon Bedrock as an upstream. Bytes in, bytes out; no I/O.

Claude is asked in Messages (`InvokeModel`), in which it can be told all that it can do; what a client of
Messages sends goes up as it was sent, and its answer goes back as it comes. All other models are asked in
Converse. What came tells which of the two an answer is.

Each call is signed for the region with keys of AWS, or sends an API key of Bedrock. AWS refuses a signature
whose time is off by minutes: where a refusal shows that this machine's clock is, calls are signed by AWS's.
"""

import dataclasses
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from functools import partial
from hashlib import sha256
from secrets import token_hex
from time import time
from typing import Annotated, Any
from urllib.parse import quote

import msgspec

from farthing.config import BedrockProviderConfig, ProviderConfig
from farthing.dialects.chat.answers.reply import WholeReply
from farthing.dialects.converse.answers.answer_reader import NOBODY, Asked
from farthing.dialects.converse.errors import as_error, exception_name
from farthing.dialects.converse.models import abilities, is_claude, without_place
from farthing.dialects.converse.names import own_name
from farthing.dialects.converse.requests import request_writer
from farthing.dialects.messages.errors import is_error, read_error
from farthing.dialects.messages.usage import TOKENS_MAX
from farthing.dialects.written import Written
from farthing.errors import KeyRejected, ProviderError, ProviderRejected, ProviderUnavailable
from farthing.models.providers import failures
from farthing.models.providers.anthropic import betas, edits
from farthing.models.providers.anthropic.elsewhere import BEDROCK
from farthing.models.providers.bedrock import claude
from farthing.models.providers.bedrock.form import form_for, is_messages
from farthing.models.providers.bedrock.own import OwnDecoder
from farthing.models.providers.bedrock.sigv4 import Signer
from farthing.models.providers.decoder import AnswerForm, TranslatingDecoder
from farthing.models.providers.http import JSON, host_of, key_lines
from farthing.models.providers.learnt import Lessons
from farthing.models.providers.translated import conversation_of, within_limit
from farthing.models.providers.translating import TranslatingProvider
from farthing.models.transport.connection import header
from farthing.models.transport.origin import HttpOrigin
from farthing.models.transport.passage import OF_MESSAGES, Passage
from farthing.protocols import ALL_SAID, AwsCredentials, BatchApi, Capabilities, Transport, Unsaid
from farthing.text.lenient_json import any_json, write_json
from farthing.types import Json, Operation, Prompt, Sent, Target

ERROR_TYPE = b"x-amzn-errortype"
RUNTIME = "bedrock-runtime."
"""How the names of hosts begin where models are called."""
OF_KEYS = frozenset({
    "AuthFailure", "ExpiredToken", "ExpiredTokenException", "IncompleteSignature",
    "IncompleteSignatureException", "InvalidClientTokenId", "InvalidSignatureException",
    "MissingAuthenticationToken", "MissingAuthenticationTokenException", "SignatureDoesNotMatch",
    "UnrecognizedClientException",
})  # fmt: skip
"""Refusals of the keys themselves; others are of what they may call."""
SKEWED = frozenset({
    "InvalidSignatureException", "RequestExpired", "RequestTimeTooSkewed", "SignatureDoesNotMatch",
})  # fmt: skip
"""Refusals that a clock which is off may cause."""
SKEW_S_MIN = 30.0
"""Less than this no service minds, and a reply takes its time."""
CORRECTED_S = 60.0
"""For so long after a correction, what was signed before it may still be refused."""
MODEL_FAILED = 424
"""AWS's status for a fault of the model's, which is none of the request's."""


class _Counted(msgspec.Struct):
    inputTokens: Annotated[int, msgspec.Meta(ge=0, lt=TOKENS_MAX)]


_decode_counted = msgspec.json.Decoder(_Counted).decode


class BedrockProvider(TranslatingProvider):
    """One configured provider. See `protocols.Provider`."""

    def __init__(
        self,
        name: str,
        origin: HttpOrigin,
        config: BedrockProviderConfig,
        *,
        path: str,
        passage: Passage | None = None,
        keys: AwsCredentials | None = None,
        lessons: Lessons | None = None,
        wall: Callable[[], float] = time,
    ) -> None:
        """`path` is that of its `base_url`. `keys` are what calls are signed with; None: they are not.
        `lessons` are what its targets were seen to refuse before. `wall` gives seconds since 1970.

        Raises:
            ValueError: a header has characters that HTTP does not allow.
        """
        auth = "aws" if config.signs else config.auth or "bearer"
        super().__init__(
            name,
            origin,
            config,
            path=path,
            key_lines=key_lines(config.api_key, auth),
            form=form_for(NOBODY),
            write=self._anew,
            passage=passage,
        )
        self.capabilities = Capabilities(
            operations=frozenset({"chat"}),
            counts_tokens=True,
            marks=True,
            names_model=is_claude,  # in Messages; Converse does not
        )
        self.credentials = self._keys = keys
        self._files = config.file_prefixes
        self._region = config.region
        self._signer = Signer(config.region, "bedrock")
        self._below = path
        self._host = host_of(origin)
        self._lists_at = _control_of(origin)
        own = ((name.lower(), value) for name, value in config.headers.items())
        self._amz = [(name, value) for name, value in own if name.startswith("x-amz-")]
        """Headers of the configuration that AWS wants signed."""
        known = claude.BETAS if config.betas is None else frozenset(config.betas)
        self._betas = betas.Betas(known, lessons)
        self._wall = wall
        self._ahead_s = 0.0
        """How far AWS's clock is ahead of ours, as far as it matters."""
        self._corrected_s = float("-inf")
        """When that was last found out, by our clock."""

    # -- what goes up ----------------------------------------------------------------------------------

    def unsaid(self, prompt: Prompt, target: Target, operation: Operation) -> Unsaid:
        if operation != "chat":
            return Unsaid(operation=operation)
        if not is_claude(target.model):
            return self._translations.unsaid(prompt, target)
        sent = self.as_sent(prompt)
        if sent is None:
            said = self._translations.unsaid(prompt, target)
        else:
            said = _unsaid_as_sent(prompt, sent, target.model)
        return self._betas.with_left_here(said, prompt, target.model)

    def encode(
        self,
        prompt: Prompt,
        target: Target,
        operation: Operation,
        request_id: str,
        passed: tuple[tuple[str, str], ...] = (),
    ) -> tuple[bytes, bytes]:
        if not is_claude(target.model):
            asked = self._translations.body(prompt, target)
            streams = prompt.stream and ("toolConfig" not in asked or abilities(target.model).streams_tools)
            call = "converse-stream" if streams else "converse"  # read as well in the place of a stream
            body = write_json(asked)
            return self._head(target.model, call, body, request_id, passed), body
        call = "invoke-with-response-stream" if prompt.stream else "invoke"
        sent = self.as_sent(prompt)
        if sent is None:
            told = self._translations.body(prompt, target)
            body = claude.encoded(told, self._betas.going_up(passed, prompt, told, target.model))
        else:
            asked_betas = self._betas.going_up(passed, prompt, sent.body, target.model)
            body = claude.body_as_sent(prompt, sent, target.model, asked_betas)
        head = self._head(target.model, call, body, request_id, passed)
        asks = prompt.body if sent is None else sent.body
        if not claude.IN_HEADERS.keys().isdisjoint(asks):
            head += claude.header_lines(asks).encode("latin-1")
        return head, body

    def learn(self, prompt: Prompt, target: Target, error: ProviderRejected) -> bool:
        if not is_claude(target.model):
            return super().learn(prompt, target, error)
        sent = self.as_sent(prompt)
        body = self._translations.body(prompt, target) if sent is None else sent.body
        return self._betas.learn(prompt, body, target.model, error)

    def _head(
        self, model: str, call: str, body: bytes, request_id: str, passed: tuple[tuple[str, str], ...] = ()
    ) -> bytes:
        """The head of a call of a model, signed."""
        head = self._proved("POST", f"/model/{quote(model, safe='')}/{call}", body)
        head += b"x-request-id: %b\r\n" % request_id.encode()
        return head + self.passage.up(passed, OF_MESSAGES) if passed else head

    def _proved(
        self, method: str, suffix: str, body: bytes, query: str = "", *, host: str | None = None
    ) -> bytes:
        """The head of a call, with what proves it. `host` takes the place of the provider's own."""
        told = JSON if body else None
        head = self.head(method, f"{suffix}?{query}" if query else suffix, told)
        if host is None:
            host = self._host
        elif host != self._host:
            head = head.replace(f"host: {self._host}\r\n".encode(), f"host: {host}\r\n".encode(), 1)
        keys = None if self._keys is None else self._keys.keys
        if keys is None:
            return head
        headers = [("host", host), *self._amz]
        if told is not None:
            headers.append(("content-type", told))
        pairs = [(name, value) for name, _, value in (one.partition("=") for one in query.split("&") if one)]
        lines = self._signer.lines(
            method,
            self._below + suffix,
            headers,
            sha256(body).hexdigest(),
            keys,
            self._wall() + self._ahead_s,
            pairs,
        )
        return head + lines.encode("latin-1")

    def _anew(self, prompt: Prompt, target: Target) -> Written:
        """A request that is not passed on as it was sent."""
        if is_claude(target.model):
            return claude.translate(prompt, target)
        said = within_limit(conversation_of(prompt), target)
        return request_writer.translate(said, model=target.model, provider=self.name, files=self._files)

    # -- what comes back -------------------------------------------------------------------------------

    def form_of(self, prompt: Prompt | None) -> AnswerForm:
        if prompt is None:
            return self.form
        model = prompt.body.get("model")
        return form_for(
            Asked(
                self.name,
                f"converse-{token_hex(12)}",
                model if isinstance(model, str) else "",
                partial(own_name, body=prompt.body),
                claude.tier_asked(prompt),
            )
        )

    def ran(self, headers: Mapping[bytes, bytes], prompt: Prompt | None) -> str | None:
        return claude.tier_ran(headers, prompt)

    def own_decoder(self, event_bytes_max: int) -> OwnDecoder:
        return OwnDecoder(self.form, event_bytes_max, created=int(time()))

    def _decoder(self, event_bytes_max: int, prompt: Prompt | None) -> TranslatingDecoder:
        if self.is_own(prompt):
            return OwnDecoder(self.form_of(prompt), event_bytes_max, created=int(time()))
        return super()._decoder(event_bytes_max, prompt)

    def whole(self, headers: Mapping[bytes, bytes], body: bytes, prompt: Prompt | None = None) -> WholeReply:
        reply = super().whole(headers, body, prompt)
        if reply.own is not None and not is_messages(reply.own):
            reply.own = None
        return reply

    def failure(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> ProviderError:
        name = exception_name((header(headers, ERROR_TYPE) or b"").decode("latin-1"))
        told = body if is_error(body) else as_error(name, body)
        if status == 403 and name in SKEWED and self._is_skewed(headers):
            off = "behind" if self._ahead_s > 0 else "ahead"
            return ProviderUnavailable(
                f"{self.name} refused the time of a signature: this machine's clock is {off} by "
                f"{abs(self._ahead_s):.0f} s; calls are signed by AWS's from now on, but set it",
                upstream_status=status,
                again=True,
            )
        if status == 401 or name in OF_KEYS:
            rejected = KeyRejected(
                f"{self.name} answered {status}: AWS refused the gateway's own credentials, or what they may "
                f"call; the operator has to look at providers.{self.name} and its rights",
                upstream_status=status,
            )
            rejected.told = name
            return rejected
        if status == MODEL_FAILED:
            status = 502
        error = failures.failure(self.name, status, headers, told, self.redact)
        text = body.decode("utf-8", "replace")
        if is_error(body) and self.redact.text(text) == text and not self.redact.holds(text):
            error.own = body
        return error

    def _is_skewed(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether our clock was off, which is corrected, so that the same call may be taken now."""
        now_s = self._wall()
        try:
            theirs = parsedate_to_datetime((header(headers, b"date") or b"").decode("latin-1")).timestamp()
        except (ValueError, OverflowError):
            return False
        if abs(theirs - now_s - self._ahead_s) > SKEW_S_MIN:
            self._ahead_s, self._corrected_s = theirs - now_s, now_s
            return True
        return now_s - self._corrected_s < CORRECTED_S

    def in_answer(self, payload: bytes) -> ProviderError:
        return failures.in_answer(self.name, payload, self.redact, read_error(payload).status)

    # -- what else it is asked -------------------------------------------------------------------------

    def list_head(self) -> bytes:
        return self._proved("GET", "/foundation-models", b"", host=host_of(self._lists_at))

    def list_calls(self) -> tuple[tuple[HttpOrigin, bytes], ...]:
        """Models that are called by their own id, and profiles by which the others are."""
        profiles = self._proved(
            "GET", "/inference-profiles", b"", "maxResults=1000", host=host_of(self._lists_at)
        )
        return (self._lists_at, self.list_head()), (self._lists_at, profiles)

    def listed(self, body: bytes) -> bytes:
        return write_json({"data": [{"id": name} for name in models_in(body)]})

    def count_call(
        self, prompt: Prompt, target: Target, request_id: str, passed: tuple[tuple[str, str], ...] = ()
    ) -> tuple[bytes, bytes] | None:
        """None for models whose tokens Bedrock does not count: all but Claude, and what an application's
        profile hides."""
        model = without_place(target.model)
        if not is_claude(model) or model.startswith("arn:"):
            return None
        sent = self.as_sent(prompt)
        if sent is None:
            told = self._translations.body(prompt, target)
            asked = claude.encoded(told, self._betas.going_up(passed, prompt, told, model))
        else:
            asked_betas = self._betas.going_up(passed, prompt, sent.body, model)
            asked = claude.counted_as_sent(sent, target.model, asked_betas)
        body = write_json({"input": {"invokeModel": {"body": b64encode(asked).decode()}}})
        return self._head(model, "count-tokens", body, request_id, passed), body

    def counted(self, body: bytes) -> int:
        try:
            return _decode_counted(body).inputTokens
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ProviderUnavailable(f"{self.name} told no count of tokens: {error}") from None

    def batch_api(self, transport: Transport, limits: ProviderConfig) -> BatchApi | None:
        """None: its batches are not used."""


def _unsaid_as_sent(prompt: Prompt, sent: Sent, model: str) -> Unsaid:
    """As `BedrockProvider.unsaid`, of a request for Claude that goes up as its client sent it."""
    found = claude.lacks(sent.body, link="image.source.url", file="image.source.file_id")
    gave_way = edits.gave_way(prompt, sent, model, BEDROCK)
    gave_way += tuple(name for name in claude.UNREAD if sent.body.get(name) is not None)
    if not found.names and not gave_way:
        return ALL_SAID
    return Unsaid(tuple(found.names), gave_way, found.reasons)


def _control_of(origin: HttpOrigin) -> HttpOrigin:
    """Where models are listed: beside where they are called at AWS, else there."""
    if not origin.host.startswith(RUNTIME):
        return origin
    return dataclasses.replace(
        origin, name=f"{origin.name}: models", host=f"bedrock.{origin.host.removeprefix(RUNTIME)}"
    )


def models_in(body: bytes) -> Iterator[str]:
    """What models that write are called by, in a list of models or of profiles."""
    value = any_json(body)
    told = value if isinstance(value, dict) else {}
    for model in _dicts(told.get("modelSummaries")):
        ways, writes = model.get("inferenceTypesSupported"), model.get("outputModalities")
        asked = not isinstance(ways, list) or "ON_DEMAND" in ways
        if asked and (not isinstance(writes, list) or "TEXT" in writes):
            yield str(model.get("modelId", ""))
    for profile in _dicts(told.get("inferenceProfileSummaries")):
        own = profile.get("type") == "APPLICATION"  # its id alone is not enough
        yield str(profile.get("inferenceProfileArn" if own else "inferenceProfileId", ""))


def _dicts(value: Any) -> list[Json]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
