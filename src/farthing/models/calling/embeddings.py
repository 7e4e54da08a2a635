"""Embeddings of more inputs than one call of their provider takes."""

from farthing.dialects.chat.embedded import NotVectors, entries_of, in_parts, one_answer
from farthing.errors import ProviderUnavailable
from farthing.models.calling.context import CallContext
from farthing.models.calling.error_body import refusal
from farthing.models.calling.request import CallResult
from farthing.models.way import note_head
from farthing.protocols import Reply
from farthing.types import Prompt, Request, Usage, replace


async def had_in_parts(
    context: CallContext, result: CallResult, request: Request, prompt: Prompt, within_s: float
) -> Reply | None:
    """Have embeddings of more inputs than one call takes, one part after the other. The reply to the last
    part; None: one call takes all.

    Raises:
        ProviderError: a part failed, so that there is no answer.
    """
    attempt, provider, clock = result.attempt, result.lane.provider, context.clock
    limits = context.limits[result.target.provider]
    parts = in_parts(prompt.body, provider.capabilities.inputs_max)
    if len(parts) == 1:
        return None
    end_s = clock() + within_s
    bodies: list[bytes] = []
    entries: list[bytes] = []
    for part in parts:
        asked = replace(prompt, body=part)
        if provider.credentials is not None:
            result.credentials = await provider.credentials.ready(max(0.0, end_s - clock()))
        head, body = provider.encode(asked, result.target, request.operation, request.id, request.passed)
        left_s = max(0.0, end_s - clock())
        exchange = await context.transport.send(provider.origin, head, body, first_byte_s=left_s, whole=True)
        attempt.status = exchange.status
        if not bodies:
            note_head(attempt, exchange, 0.0, None)
        result.returned, attempt.upstream_id = provider.down(exchange.headers, request.id)
        if not 200 <= exchange.status < 300:
            raise await refusal(provider, exchange, asked, result.returned)
        room_bytes = max(1, limits.answer_bytes_max - sum(map(len, bodies)))
        whole = await exchange.read(room_bytes, within_s=left_s)
        reply = provider.whole(exchange.headers, whole, asked)
        result.spent = _spent(result.spent, reply.usage)
        try:
            entries += entries_of(reply.body, len(part["input"]))
        except NotVectors as why:
            raise ProviderUnavailable(f"the reply is not one of embeddings: {why}") from None
        bodies.append(reply.body)
    result.reply = provider.whole({}, one_answer(bodies, entries), prompt)
    attempt.ttft_ms = (clock() - (end_s - within_s)) * 1000
    return reply


def _spent(before: Usage | None, usage: Usage | None) -> Usage | None:
    if before is None or usage is None:
        return usage if before is None else before
    added: Usage = replace(before, input_tokens=before.input_tokens + usage.input_tokens)
    return added
