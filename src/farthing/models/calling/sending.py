"""Sends one call, and takes what its provider answers: a whole reply, or a stream that has begun."""

from collections.abc import Mapping

from farthing.config import ProviderConfig
from farthing.dialects.chat.answers.names import names_in
from farthing.dialects.passing.operations import PASSING
from farthing.errors import FarthingError, ProviderError, ProviderUnavailable, StreamBroken
from farthing.models.calling.context import CallContext
from farthing.models.calling.embeddings import had_in_parts
from farthing.models.calling.error_body import refusal
from farthing.models.calling.request import CallRequest, CallResult
from farthing.models.stream import SignsOfLife, Stream, Within
from farthing.models.way import Distances, note_head, note_told
from farthing.protocols import Exchange, PromptCaches, Provider, Reply, SentPrompt
from farthing.types import Attempt, Prompt, Target, choices_said

FIRST_BYTE_S = 60.0  # until an answer begins, and until a whole one is there, where another target waits
WHOLE_S = 300.0
ALONE_S = 600.0  # where none does: what the official SDKs wait
KEPT = frozenset({"", "precompute", "refresh"})
"""Purposes of requests whose answers a client gets, now or from a cache."""
TYPE_BYTES_MAX = 512


class Sending:
    """Sends the calls of one configuration."""

    def __init__(self, context: CallContext) -> None:
        self._context = context
        self._limits = context.limits
        self._transport = context.transport
        self._clock = context.clock
        self._telling = context.telling
        self.distances = Distances()
        """By provider."""

    async def sent(self, result: CallResult, call: CallRequest, prompt: Prompt, others: bool) -> None:
        """As `_send`. An exception in the provider's code counts as a failure of the provider, so another
        target may answer.

        Raises:
            ProviderError: it did not answer.
            FarthingError: as for `_send`.
        """
        try:
            await self._send(result, call, prompt, others)
        except FarthingError:
            raise
        except Exception as error:
            raise self._telling.of_fault(result.target, error) from error

    async def _send(self, result: CallResult, call: CallRequest, prompt: Prompt, others: bool) -> None:
        target = result.target
        provider = result.lane.provider
        limits = self._limits[target.provider]
        left_s = call.hold.left_s
        within_s = _within_s(limits, prompt.stream, left_s, others)
        request = call.request
        if request.operation == "embeddings" and await self._in_parts(result, call, prompt, within_s):
            return
        if provider.credentials is not None:
            asked_s = self._clock()
            result.credentials = await provider.credentials.ready(within_s)
            waited_s = self._clock() - asked_s
            within_s = max(0.0, within_s - waited_s)
            left_s = None if left_s is None else max(0.0, left_s - waited_s)
        head, body = provider.encode(prompt, target, request.operation, request.id, request.passed)
        caches = self._context.prompt_caches
        if caches is not None and call.otherwise != "skipped":
            result.prompt = self._note_sent(caches, result, call, prompt, body)
        began_s = self._clock()
        exchange = await self._transport.send(
            provider.origin, head, body, first_byte_s=within_s, whole=not prompt.stream
        )
        attempt = result.attempt
        attempt.status = status = exchange.status
        result.returned, attempt.upstream_id = provider.down(exchange.headers, request.id)
        note_head(attempt, exchange, self._clock() - began_s, provider.took(exchange.headers))
        if not 200 <= status < 300:
            raise await refusal(provider, exchange, prompt, result.returned)
        known = result.health.limits
        if result.together > known.high and result.begun > known.since:
            known.high = result.together
        if result.returned or not known.free:
            known.answered(exchange.headers, result.begun, prompt.input_tokens)
        passes = request.operation in PASSING
        if passes:
            result.returned += _type_line(exchange.headers)
        if prompt.stream:
            within = Within(
                first_s=began_s + within_s,
                whole_s=began_s + _within_s(limits, False, left_s, others),
                idle_s=limits.idle_s,
                end_s=began_s + limits.total_s,
                deadline_s=None if left_s is None or passes else began_s + left_s,
                bytes_max=limits.answer_bytes_max,
            )
            first_s = await self._open(result, call, exchange, within, others) - began_s
            attempt.ttft_ms = first_s * 1000
            if not passes:
                result.health.began(first_s, result.together)
            if not request.stream:  # gathered for a client that waits for all of it: it has seen nothing yet
                await _gathered(result)
        else:
            whole = await exchange.read(limits.answer_bytes_max)
            result.reply = provider.whole(exchange.headers, whole, prompt)
            self._note_reply(result, result.reply, call, self._clock() - began_s)
        self.distances.note(provider.name, attempt)

    async def _in_parts(self, result: CallResult, call: CallRequest, prompt: Prompt, within_s: float) -> bool:
        """As `had_in_parts`; False: one call takes all."""
        reply = await had_in_parts(self._context, result, call.request, prompt, within_s)
        if reply is None:
            return False
        self.note_names(result.attempt, call, result.target, reply.model, reply.fingerprint)
        return True

    def _note_sent(
        self, caches: PromptCaches, result: CallResult, call: CallRequest, prompt: Prompt, body: bytes
    ) -> SentPrompt | None:
        """As `PromptCaches.sent`, with what was done for its provider's prompt cache."""
        sent = caches.sent(call.request, result.target, body, result.attempt.lane)
        preparer = self._context.preparer
        if preparer is None:
            return sent
        return preparer.sent(sent, call.request, result.target, prompt)

    def _note_reply(self, result: CallResult, reply: Reply, call: CallRequest, took_s: float) -> None:
        """Note who made a whole answer, had after `took_s` seconds, and how long that took, as it says."""
        attempt, health = result.attempt, result.health
        attempt.ttft_ms = took_s * 1000
        if health.suspect and call.request.operation not in PASSING:
            health.had_whole(took_s)
        self.note_names(attempt, call, result.target, reply.model, reply.fingerprint)
        if attempt.provider_ms is None and (told_ms := reply.took_ms) is not None:
            note_told(attempt, took_s, told_ms)

    def note_names(
        self, attempt: Attempt, call: CallRequest, target: Target, model: str, fingerprint: str
    ) -> None:
        """Note what an answer names as its model. Where the client let its provider choose, that says nothing
        of the target."""
        names = self._context.providers[target.provider].capabilities.names_model
        if names is not None and not names(target.model):
            model = ""
        attempt.model, attempt.fingerprint = model, fingerprint
        models, body = self._context.models, call.request.body
        if models is not None and "models" not in body and "fallbacks" not in body:
            kept = call.receipt.purpose in KEPT
            endpoint = call.request.endpoint.name if kept else ""
            models.answered(target.name, target.model, endpoint, model, fingerprint, attempt.lane)

    async def _open(
        self, result: CallResult, call: CallRequest, exchange: Exchange, within: Within, others: bool
    ) -> float:
        """Wait until a streamed answer begins; the monotonic time when it does.

        Raises:
            ProviderError: it failed before that.
        """
        target = result.target
        signs = None if others else call.signs
        if signs is not None:
            signs.target = target.name
        event_bytes_max = self._limits[target.provider].event_bytes_max
        stream = result.stream = await _begun(
            exchange, result.lane.provider, event_bytes_max, call, within, signs
        )
        self.note_names(result.attempt, call, target, *names_in(stream.reader.first_payload))
        return stream.first_s


def _output_chunks_max(call: CallRequest) -> int | None:
    """The number of chunks that proves that a provider ignores the endpoint's output cap; None: there is no
    cap."""
    cap = call.request.endpoint.terms.output_tokens_max
    return None if cap is None else cap * choices_said(call.prompt.body)


def _within_s(limits: ProviderConfig, stream: bool, left_s: float | None, others: bool) -> float:
    """Seconds that an answer may take to begin (`stream`), or to be complete. If another target remains, it
    is left half of the time until the endpoint's deadline."""
    within_s = limits.first_byte_s if stream else limits.whole_s
    if within_s is None:
        within_s = (FIRST_BYTE_S if stream else WHOLE_S) if others else ALONE_S
    if left_s is None:
        return within_s
    return max(0.0, min(within_s, left_s / 2 if others else left_s))


async def _gathered(result: CallResult) -> None:
    """Wait for all of a stream.

    Raises:
        ProviderUnavailable: it broke.
    """
    assert result.stream is not None
    try:
        await result.stream.gather()
    except StreamBroken as error:
        raise ProviderUnavailable(str(error), said=error.said, words=error.words, again=True) from error


async def _begun(
    exchange: Exchange,
    provider: Provider,
    event_bytes_max: int,
    call: CallRequest,
    within: Within,
    signs: SignsOfLife | None,
) -> Stream:
    """Wait until the answer begins.

    Raises:
        ProviderError: it failed before that.
    """
    stream = Stream(
        exchange,
        within,
        provider.decoder(event_bytes_max, call.prompt, exchange.headers),
        choices=choices_said(call.prompt.body),
        keep_bytes_max=call.keep_bytes_max,
        output_chunks_max=_output_chunks_max(call),
        in_answer=provider.in_answer,
        signs=signs,
        sniffs=call.request.operation not in PASSING,
    )
    try:
        await stream.open()
    except ProviderError:
        stream.close()
        raise
    return stream


def _type_line(headers: Mapping[bytes, bytes]) -> bytes:
    """The header line that says what type a reply is of which goes to the client as it comes."""
    for name, value in headers.items():
        if name.lower() == b"content-type":
            if value and len(value) <= TYPE_BYTES_MAX and value.isascii() and value.decode().isprintable():
                return b"content-type: %b\r\n" % value
            break
    return b"content-type: application/octet-stream\r\n"
