"""Builds what is sent to the client: from a reply, a stream, a cached or a fixed answer. Pure functions."""

from time import time

import msgspec

from farthing.dialects.chat.answers import answer_writer, completion
from farthing.dialects.chat.streams.event_reader import ALIVE, DONE
from farthing.errors import ContractExceeded, DeadlineExceeded, StreamBroken
from farthing.models import answer_facts
from farthing.models.calling.request import CallResult
from farthing.models.stream import Stream
from farthing.text.lenient_json import any_json, write_json
from farthing.types import Answer, CacheHit, Json, Receipt, Request, Usage, choices_said, saved_nusd

SIGN_OF_LIFE = ALIVE  # to a client whose answer takes long to begin
STOPPED = {"stop"}  # what a stream whose choices all ended by themselves gives for reasons

CHOICES_CLOSED_MAX = 128  # as many as OpenAI gives; who asks for a million gets no million of endings

_encode = msgspec.json.Encoder().encode


def from_hit(request: Request, hit: CacheHit) -> Answer | None:
    """The stored answer in the form this client asked for. None: the answer is unusual and has only one form,
    which is not this one."""
    try:
        return _from_hit(request, hit)
    except completion.NotChunks:
        return None


def _from_hit(request: Request, hit: CacheHit) -> Answer:
    if not request.stream:
        if not hit.streamed:
            return Answer(body=hit.body)
        return Answer(body=write_json(completion.assemble([hit.body], hit.usage_event)))
    if not hit.streamed:
        events = completion.explode(hit.body, include_usage=request.include_usage)
    elif request.include_usage and hit.usage_event is not None:
        events = b"%bdata: %b\n\n" % (hit.body, hit.usage_event)
    else:
        events = hit.body
    return Answer(body=events + DONE, stream=True)


def from_fixed(request: Request, text: str, usage: Usage) -> Answer:
    """An answer that no model gave."""
    body = completion.from_text(
        text, request_id=request.id, model="farthing/none", created=int(time()), usage=usage
    )
    if not request.stream:
        return Answer(body=body)
    return Answer(body=completion.explode(body, include_usage=request.include_usage) + DONE, stream=True)


def closing(request: Request, stream: Stream, receipt: Receipt) -> Answer:
    """The end of a relayed stream: the stop reason if a limit cut it, and the usage if the client asked for
    it."""
    parts: list[bytes] = []
    if stream.cut is not None:
        parts.append(
            completion.closing_chunk(
                stream.reader.first_payload,
                request_id=request.id,
                reason=f"limit:{stream.cut}",
                open_choices=_open_choices(request, stream),
            )
        )
    if request.include_usage and stream.reader.usage_event is not None:
        parts.append(_with_money(stream.reader.usage_event, receipt))
    parts.append(DONE)
    return Answer(body=b"".join(parts), stream=True, own=stream.own_end())


def closing_continued(request: Request, first: bytes | None, stream: Stream, receipt: Receipt) -> Answer:
    """As `closing`, of a stream that goes on with another, whose first chunk is `first`: the usage is that of
    both as one answer."""
    parts: list[bytes] = []
    if stream.cut is not None and not stream.reader.finished:
        reason = f"limit:{stream.cut}"
        parts.append(completion.closing_chunk(first, request_id=request.id, reason=reason))
    if request.include_usage and receipt.usage is not None:
        chunk = {**_head_of(first, request.id), "choices": [], "usage": answer_writer.usage_of(receipt.usage)}
        parts.append(_with_money(write_json(chunk), receipt))
    parts.append(DONE)
    return Answer(body=b"".join(parts), stream=True)


def _head_of(first: bytes | None, request_id: str) -> Json:
    """What all chunks of an answer have in common."""
    value = any_json(first) if first else None
    said = value if isinstance(value, dict) else {}
    return {
        "id": said.get("id") or f"chatcmpl-{request_id}",
        "object": "chat.completion.chunk",
        "created": said.get("created", 0),
        "model": said.get("model", ""),
    }


def _open_choices(request: Request, stream: Stream) -> list[int]:
    """The requested choices that have not ended by themselves, up to the number that any provider answers."""
    asked = min(choices_said(request.body), CHOICES_CLOSED_MAX)
    return [index for index in range(asked) if index not in stream.reader.finished]


def _with_money(payload: bytes, receipt: Receipt) -> bytes:
    """The usage chunk, with the cost figures that came too late for a header."""
    end = payload.rstrip()[:-1]
    return b'data: %b,"farthing":%b}\n\n' % (end, _encode(money_of(receipt)))


def money_of(receipt: Receipt) -> Json:
    """Cost and saving in US dollars as exact decimal strings, null if unknown; whether the token counts are
    estimates; the limit that cut the answer; and who went on with it after it broke off."""
    money: Json = {"cost_usd": usd(receipt.cost_nusd), "saved_usd": usd(saved_nusd(receipt))}
    if receipt.usage is not None and receipt.usage.estimated:
        money["usage"] = "estimated"
    if receipt.stop_reason.startswith("limit:"):
        money["stop_reason"] = receipt.stop_reason
    attempts = receipt.attempts
    if len(attempts) > 1 and attempts[-1].continues:
        money["continued_by"] = attempts[-1].target
    return money


def usd(nusd: int | None) -> str | None:
    """Nano-dollars as an exact decimal string of dollars; None when unknown."""
    if nusd is None:
        return None
    if 0 <= nusd < 1_000_000_000:
        return f"0.{nusd:09}"
    whole, rest = divmod(abs(nusd), 1_000_000_000)
    return f"{'-' if nusd < 0 else ''}{whole}.{rest:09d}"


def gathered(stream: Stream) -> Answer:
    """The whole answer of a stream that was gathered, with the reason when a limit cut it.

    Raises:
        ContractExceeded, DeadlineExceeded: it was cut before anything came. StreamBroken: what came is no
            answer.
    """
    block = stream.take_held()
    if stream.cut is not None and not block:
        if stream.cut == "deadline_s":
            raise DeadlineExceeded("the endpoint's deadline_s passed before the answer began")
        raise ContractExceeded(
            "a limit of the endpoint was reached before the answer began", limit=stream.cut
        )
    try:
        whole = completion.assemble([block], stream.reader.usage_event)
    except completion.NotChunks as error:
        raise StreamBroken(f"the provider's stream is not an answer: {error}") from None
    if stream.cut is not None:
        for choice in whole["choices"]:
            if not choice["finish_reason"]:
                choice["finish_reason"] = "length"
        whole["farthing"] = {"stop_reason": f"limit:{stream.cut}"}
    return Answer(body=write_json(whole), own=stream.own_whole(block))


def shorten_logprobs(request: Request, result: CallResult) -> None:
    """Reduce the logprobs of a complete answer to what its client asked for; the rest was for the checks."""
    theirs = None
    if request.body.get("logprobs") is True:
        top = request.body.get("top_logprobs")
        theirs = top if isinstance(top, int) else 0
    try:
        if result.reply is not None:
            body = completion.shorten_logprobs(result.reply.body, theirs)
            result.reply = result.reply.rewritten(body)
        elif result.stream is not None:
            result.stream.rewrite(lambda events: completion.shorten_logprobs_of_events(events, theirs))
    except completion.NotChunks:
        return  # JSON so odd that only parts of it can be read: it goes out as it came, as it always does


def complete(request: Request, result: CallResult) -> CacheHit | None:
    """The answer as waiting requests for the same receive it. None: it is not fit for them, because it was
    cut or broke off, the budget of one session ended it, it has no content, it is too large, or a part of
    it cannot be expressed in their form."""
    attempt, reply, stream = result.attempt, result.reply, result.stream
    if attempt.usage is None:
        return None
    if reply is not None:
        body, usage_event = reply.body, None
        finish_reason = reply.finish_reason or "stop"
    elif stream is None or stream.kept is None or stream.cut is not None or not _ended(request, stream):
        return None
    else:
        body, usage_event = b"".join(stream.kept), stream.reader.usage_event
        finish_reason = stream.reader.finish_reason or "stop"
    if not (reply.whole_in_form if reply is not None else stream is None or stream.reader.whole_in_form):
        return None
    if finish_reason == "length" and result.capped_by == "usd_max":
        return None
    if (
        request.operation == "chat"
        and not (reply is not None and reply.is_plain)
        and not answer_facts.says_something(request, body, streamed=stream is not None)
    ):
        return None
    return CacheHit(
        kind="exact",
        body=body,
        target=result.target.name,
        usage=attempt.usage,
        cost_nusd=attempt.cost_nusd,
        streamed=stream is not None,
        usage_event=usage_event,
        finish_reason=finish_reason,
    )


def may_be_kept(request: Request, result: CallResult, hit: CacheHit) -> bool:
    """Whether a complete answer may be served again later: every choice ended by itself, none calls a tool,
    and there is no error in it."""
    reply, stream = result.reply, result.stream
    if reply is not None:
        if reply.is_plain:
            return True
        stopped = reply.all_stopped
    else:
        stopped = stream is not None and set(stream.reader.finished.values()) == STOPPED
    return stopped and not (
        request.operation == "chat"
        and (
            answer_facts.calls_tools(request, hit.body, streamed=hit.streamed)
            or answer_facts.went_wrong(hit.body, streamed=hit.streamed)
        )
    )


def _ended(request: Request, stream: Stream) -> bool:
    """Whether every requested choice (`n`) ended."""
    reader = stream.reader
    return reader.done and len(reader.finished) >= choices_said(request.body)
