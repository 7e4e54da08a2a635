"""Answers that are there already: kept, alike, or under way for another. See `answer` for the journey."""

import time

import msgspec

from farthing.brain.cache.flight import Flight, Follower
from farthing.brain.cache.fresh import who_and_what
from farthing.brain.cache.texts import Texts
from farthing.models import answers
from farthing.models.broadcast import Broadcast
from farthing.models.call import CallResult
from farthing.pipeline.guarded import answers_itself, cache_key
from farthing.pipeline.optional import optional
from farthing.pipeline.receipt_notes import note_end, note_hit, note_lookup
from farthing.pipeline.steps import Memory, Steps
from farthing.pipeline.texts import keep_texts, known_texts
from farthing.protocols import (
    Confirmer,
    SemanticCache,
    Sink,
)
from farthing.types import Answer, CacheHit, CacheLookup, Receipt, Request, Traits


def recall(request: Request, memory: Memory, steps: Steps, receipt: Receipt) -> Request:
    """Where the answer to `request` may lie. Returns `request`, for a fresh answer where the same session or
    user asks once more for what it was given a moment ago. What an SDK sends again was not given."""
    endpoint = request.endpoint
    memory.key = cache_key(request, steps, receipt)
    if memory.key is None and endpoint.semantic is None:
        return request
    asked = memory.asked = who_and_what(request, memory.key)
    if asked is None or receipt.client_retry or not steps.given.lately(asked, endpoint.cache_again_s):
        return request
    receipt.asked_anew = "again"
    return msgspec.structs.replace(request, endpoint=endpoint.asked_anew())


async def reuse(
    request: Request, traits: Traits, memory: Memory, sink: Sink, steps: Steps, receipt: Receipt
) -> Answer | None:
    """The answer to another request that stands for this one too: to the same, then to one that is alike.

    Raises:
        StreamBroken, ContractExceeded: another's stream was followed, and broke or was cut.
    """
    if request.operation == "embeddings":
        memory.texts = await known_texts(request, memory, steps, receipt)
        if memory.texts is not None:
            return reuse_texts(request, memory.texts, steps, receipt)
    found = None if memory.key is None else await reuse_same(request, memory.key, sink, steps, receipt)
    if isinstance(found, Answer):
        return found
    if isinstance(found, Flight):
        memory.flight, found = found, None
    if found is None and request.endpoint.semantic is not None:
        found, memory.lookup = await reuse_similar(request, traits, steps, receipt)
    if found is None:
        return None
    served = serve_hit(request, found, steps, receipt)
    if served is not None:
        memory.fresh = found  # for those who wait for the same answer
    return served


def reuse_texts(request: Request, texts: Texts, steps: Steps, receipt: Receipt) -> Answer | None:
    """The answer where there is one to each text."""
    receipt.cache = "miss"
    hit = texts.hit()
    if hit is None:
        return None
    receipt.cache, receipt.similarity = hit.kind, hit.similarity
    return serve_hit(request, hit, steps, receipt)


async def reuse_same(
    request: Request, key: bytes, sink: Sink, steps: Steps, receipt: Receipt
) -> CacheHit | Answer | Flight[Broadcast] | None:
    """Look for an answer that is there already or under way: a stored one, or the whole of a shared call; the
    end of one whose stream was followed; or the flight that this request leads, which must land."""
    mode = request.endpoint.cache_exact
    if mode == "refresh":
        receipt.cache = "miss"
        return None
    hit = await optional("cache", steps.cache.lookup(key), None, steps, receipt, CacheHit)
    if mode == "observe":
        receipt.cache_would_hit = hit is not None and not receipt.asked_anew
        return None
    if hit is not None:
        receipt.cache = hit.kind
        receipt.similarity = hit.similarity
        return hit
    receipt.cache = "miss"
    if steps.flights is None:
        return None
    place = steps.flights.join(key)
    if isinstance(place, Flight):
        sink.outlive(place.client_left)
        return place
    try:
        return await share(request, place, sink, steps, receipt)
    finally:
        place.leave()


async def share(
    request: Request, place: Follower[Broadcast], sink: Sink, steps: Steps, receipt: Receipt
) -> CacheHit | Answer | None:
    """The answer of a call that another request makes: as it comes where a stream is wanted and comes, else
    when it is whole. None: there is none to share."""
    found = await place.answer(live=request.stream)
    if isinstance(found, Broadcast):
        shared = found.open and (request.sent is None or found.tells_all(request.sent.dialect))
        return await follow(request, found, sink, steps, receipt) if shared else None
    if found is not None:
        receipt.cache = "coalesced"
    return found


async def follow(
    request: Request, broadcast: Broadcast, sink: Sink, steps: Steps, receipt: Receipt
) -> Answer:
    """Send on another request's stream, all of it, as it comes. It costs that one, and this one nothing.

    Raises:
        StreamBroken, ContractExceeded: as the other request's own client hears it.
    """
    result, stream = broadcast.result, broadcast.result.stream
    assert stream is not None, "a broadcast is of a stream"
    receipt.cache = "coalesced"
    note_hit(request, receipt, result.target.name, steps)
    receipt.ttft_ms = (time.monotonic() - receipt.started_s) * 1000
    await broadcast.follow(sink)
    receipt.usage = result.attempt.usage
    note_end(request, receipt, result)
    steps.money.total(receipt)  # what it would have cost goes out with the closing events
    return answers.closing(request, stream, receipt)


async def reuse_similar(
    request: Request, traits: Traits, steps: Steps, receipt: Receipt
) -> tuple[CacheHit | None, CacheLookup | None]:
    """Look for the answer to a question that asks the same in other words; the look is for `keep`."""
    if steps.semantic is None or answers_itself(request, traits, steps, receipt):
        return None, None  # what the configuration says itself is not replaced by what was said to another
    looking = steps.semantic.lookup(request, receipt)
    lookup = await optional("semantic", looking, None, steps, receipt, CacheLookup)
    if lookup is not None and lookup.unsure and steps.confirmer is not None:
        await confirm(request, lookup, steps.confirmer, steps.semantic, steps, receipt)
    return note_lookup(receipt, lookup), lookup


async def confirm(
    request: Request,
    lookup: CacheLookup,
    confirmer: Confirmer,
    semantic: SemanticCache,
    steps: Steps,
    receipt: Receipt,
) -> None:
    """Let a model say whether the stored answer may go out: in a time of its own, not the brain's, since the
    endpoint that wants this waits for a model either way."""
    if lookup.candidate is None:
        return
    confirming = confirmer.confirm(request, lookup.candidate)
    if await optional("confirm", confirming, None, steps, receipt, bool):
        await optional("confirmed", semantic.confirmed(lookup, request), None, steps, receipt)


async def keep(
    request: Request, memory: Memory, result: CallResult, steps: Steps, receipt: Receipt
) -> CacheHit | None:
    """Keep a complete answer for those who will ask the same or alike; None when it may not be given again.
    One that was doubted, and went out for want of a better, is shared with those who wait, not kept."""
    fresh = memory.fresh = answers.complete(request, result)
    if fresh is None or not answers.may_be_kept(request, result, fresh):
        return None
    if "escalate" in receipt.skipped:
        return fresh
    if memory.texts is not None:
        await keep_texts(request, memory.texts, result, steps, receipt)
        return fresh
    key, lookup = memory.key, memory.lookup
    if key is not None:
        keeping = steps.cache.store(key, fresh, ttl_s=request.endpoint.cache_ttl_s)
        await optional("store", keeping, None, steps, receipt)
    if lookup is not None and steps.semantic is not None:
        learning = steps.semantic.store(lookup, request, fresh, receipt)
        await optional("learn", learning, None, steps, receipt)
    return fresh


async def let_go(memory: Memory) -> None:
    """Give the answer to those who wait for it, before the client that led its call has taken all of it: how
    slowly that one reads is not theirs to wait for."""
    flight = memory.flight
    if flight is not None and flight.live is not None:
        flight.land(memory.fresh)
        await flight.live.caught_up()


def land(memory: Memory, steps: Steps, receipt: Receipt) -> None:
    """Give the answer to those who wait for it, and remember who was given it. Where the call went on for
    others after its own client had left, its receipt says so as of any that leaves."""
    flight = memory.flight
    if flight is not None:
        flight.land(memory.fresh)
        if flight.orphaned and receipt.status == 200:
            receipt.status = 499
            receipt.stop_reason = receipt.error = "client_gone"
    if memory.asked is not None and receipt.status == 200:
        steps.given.note(memory.asked)


def serve_hit(request: Request, hit: CacheHit, steps: Steps, receipt: Receipt) -> Answer | None:
    """The stored answer; it cost nothing now, and is compared with what it would have cost.

    None: it cannot be given in the form this client asked for, so the journey goes on as at a miss.
    """
    reply = answers.from_hit(request, hit)
    if reply is None:
        receipt.skipped["cache"], receipt.cache, receipt.similarity = "NotChunks", "miss", None
        return None
    receipt.usage = hit.usage
    receipt.status, receipt.stop_reason = 200, hit.finish_reason
    note_hit(request, receipt, hit.target, steps)
    return reply
