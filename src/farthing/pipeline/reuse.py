"""Serves answers that exist already: stored, to a similar question, or in progress for another request. See
`answer` for the journey."""

import time

import msgspec

from farthing.brain.cache.flight import Flight, Follower
from farthing.brain.cache.fresh import who_and_what
from farthing.brain.cache.texts import Texts
from farthing.models import answers
from farthing.models.broadcast import Broadcast
from farthing.models.calling.request import CallResult
from farthing.pipeline.guarded import answers_itself, cache_key
from farthing.pipeline.optional import optional
from farthing.pipeline.receipt_notes import note_end, note_hit, note_lookup
from farthing.pipeline.steps import Memory, Steps
from farthing.pipeline.texts import hit_of, keep_texts, known_texts
from farthing.protocols import (
    Confirmer,
    SemanticCache,
    Sink,
)
from farthing.types import Answer, CacheHit, CacheLookup, Receipt, Request, Traits


def recall(request: Request, memory: Memory, steps: Steps, receipt: Receipt) -> Request:
    """Compute the request's cache key into `memory`. Returns the request, changed to ask for a fresh answer
    if the same session or user repeats what was answered a moment ago. A retry by the client's SDK is not
    such a repetition."""
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
    """Serve the answer to an identical request, else that to a similar one; None: there is none.

    Raises:
        StreamBroken, ContractExceeded: another request's stream was followed, and broke or was cut.
    """
    if request.operation == "embeddings":
        memory.texts = await known_texts(request, memory, steps, receipt)
        if memory.texts is not None:
            return await reuse_texts(request, memory.texts, steps, receipt)
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


async def reuse_texts(request: Request, texts: Texts, steps: Steps, receipt: Receipt) -> Answer | None:
    """The answer where there is one to each text."""
    receipt.cache = "miss"
    hit = await hit_of(texts)
    if hit is None:
        return None
    receipt.cache, receipt.similarity = hit.kind, hit.similarity
    return serve_hit(request, hit, steps, receipt)


async def reuse_same(
    request: Request, key: bytes, sink: Sink, steps: Steps, receipt: Receipt
) -> CacheHit | Answer | Flight[Broadcast] | None:
    """Look for the answer to an identical request. Returns a stored answer, or the whole answer of a shared
    call; the last part of a shared stream that was followed; or the flight that this request leads and
    must land."""
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
    """The answer of another request's call: followed as a stream if this client wants one and there is one,
    otherwise returned when it is complete. None: there is nothing to share."""
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
    """Send all of another request's stream to this client, as it comes. The call is charged to that request;
    this one costs nothing.

    Raises:
        StreamBroken, ContractExceeded: as for the client of the other request.
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
    """Look for a stored answer to a similar question. Also returns the lookup, which `keep` needs."""
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
    """Ask a model whether the stored answer may be served. This has a time limit of its own rather than the
    brain's, since a request of such an endpoint waits for a model either way."""
    if lookup.candidate is None:
        return
    confirming = confirmer.confirm(request, lookup.candidate)
    if await optional("confirm", confirming, None, steps, receipt, bool):
        await optional("confirmed", semantic.confirmed(lookup, request), None, steps, receipt)


async def keep(
    request: Request, memory: Memory, result: CallResult, steps: Steps, receipt: Receipt
) -> CacheHit | None:
    """Store a complete answer for identical and similar requests. Returns the answer to share; None: it may
    not be given again. An answer that a check doubted, but that nothing better replaced, is shared with
    waiting requests but not stored."""
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
    """Give the answer to the requests that wait for it, before the leading client has received all of it:
    they must not wait for a slow reader."""
    flight = memory.flight
    if flight is not None and flight.live is not None:
        flight.land(memory.fresh)
        await flight.live.caught_up()


def land(memory: Memory, steps: Steps, receipt: Receipt) -> None:
    """Give the answer to the requests that wait for it, and remember who was given it. If the leading client
    had left and the call went on for the others, its receipt has the status of a client that left."""
    flight = memory.flight
    if flight is not None:
        flight.land(memory.fresh)
        if flight.orphaned and receipt.status == 200:
            receipt.status = 499
            receipt.stop_reason = receipt.error = "client_gone"
    if memory.asked is not None and receipt.status == 200:
        steps.given.note(memory.asked)


def serve_hit(request: Request, hit: CacheHit, steps: Steps, receipt: Receipt) -> Answer | None:
    """The stored answer as a reply. It costs nothing now, and its former cost is the baseline.

    None: it cannot be given in the form that this client asked for, and the request goes on as a cache
    miss.
    """
    reply = answers.from_hit(request, hit)
    if reply is None:
        receipt.skipped["cache"], receipt.cache, receipt.similarity = "NotChunks", "miss", None
        return None
    receipt.usage = hit.usage
    receipt.status, receipt.stop_reason = 200, hit.finish_reason
    note_hit(request, receipt, hit.target, steps)
    return reply
