"""Embeddings of a list: only texts to which there is no answer yet go up. See `answer` for the journey, and
`brain/cache/texts` for what is kept of each.

A list that is handled so is not kept as a whole, and shares no call.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import msgspec

from farthing.brain.cache.texts import Texts
from farthing.dialects.chat.embedded import NotVectors
from farthing.errors import NoProviderLeft, ProviderUnavailable
from farthing.models.calling.request import CallResult
from farthing.pipeline.guarded import cache_key
from farthing.pipeline.optional import optional
from farthing.pipeline.steps import Memory, Steps
from farthing.protocols import Reply
from farthing.types import CacheHit, Receipt, Request, Target, Traits

T = TypeVar("T")

TEXTS_MAX = 1_024
"""Of a list; a longer one is kept as a whole. Of vectors of 1,536 numbers in base64 a text takes 3 us to look
for, 23 us to be kept, 50 us to be found and put beside others."""
LARGE_BYTES = 1_048_576  # of vectors that are put beside others: 13 ms
TURN = 32  # texts, between which others get a turn: about a millisecond


async def known_texts(request: Request, memory: Memory, steps: Steps, receipt: Receipt) -> Texts | None:
    """What there is of the texts of `request`; None: it is no list of texts, or is kept as a whole."""
    given = request.body.get("input")
    if given.__class__ is not list or not 1 < len(given) <= TEXTS_MAX or memory.key is None:
        return None
    if request.endpoint.cache_exact == "observe" or any([one.__class__ is not str for one in given]):
        return None
    looking = _look(request, given, steps, receipt)
    return await optional("cache", looking, None, steps, receipt, Texts)


async def _look(request: Request, given: list[str], steps: Steps, receipt: Receipt) -> Texts | None:
    keys = {}
    found = {}
    reads = request.endpoint.cache_exact == "on"
    for count, text in enumerate(dict.fromkeys(given), start=1):
        alone = msgspec.structs.replace(request, body={**request.body, "input": text})
        key = cache_key(alone, steps, receipt)
        if key is None:
            return None
        keys[text] = key
        hit = await steps.cache.lookup(key) if reads else None
        if hit is not None and not hit.streamed:
            found[text] = hit
        if count % TURN == 0:
            await asyncio.sleep(0)
    return Texts(given, keys, found, [text for text in keys if text not in found])


def for_missing(request: Request, traits: Traits, memory: Memory) -> tuple[Request, Traits]:
    """`request` for those of its texts that are not there yet; as it is where it has none that are."""
    return (request, traits) if memory.texts is None else memory.texts.narrowed(request, traits)


async def hit_of(texts: Texts) -> CacheHit | None:
    """The answer where there is one to each text."""
    if texts.missing:
        return None
    return await _aside(_found_bytes(texts), texts.hit)


async def with_found(reply: Reply, texts: Texts, target: Target) -> Reply:
    """`reply`, and the texts that were there beside it.

    Raises:
        NoProviderLeft: it does not have a vector for each text.
    """
    size = len(reply.body) + _found_bytes(texts)
    try:
        return reply.rewritten(await _aside(size, partial(texts.with_found, reply.body)))
    except NotVectors as why:
        error = ProviderUnavailable(f"the reply is not one of embeddings: {why}")
        error.target = target.name
        raise NoProviderLeft((error,)) from None


async def keep_texts(
    request: Request, texts: Texts, result: CallResult, steps: Steps, receipt: Receipt
) -> None:
    """Keep the answer to each text that went up."""
    attempt, reply = result.attempt, result.reply
    if reply is None or attempt.usage is None:
        return
    told = partial(texts.new_hits, reply.body, result.target.name, attempt.usage, attempt.cost_nusd)
    size = len(reply.body)

    async def keep() -> None:
        new = await _aside(size, lambda: list(told()))
        for count, (key, hit) in enumerate(new, start=1):
            await steps.cache.store(key, hit, ttl_s=request.endpoint.cache_ttl_s)
            if count % TURN == 0:
                await asyncio.sleep(0)

    await optional("store", keep(), None, steps, receipt)


def _found_bytes(texts: Texts) -> int:
    return sum([len(hit.body) for hit in texts.found.values()])


async def _aside(size_bytes: int, work: Callable[[], T]) -> T:
    """What `work` gives, which goes through so many bytes: of many in a thread, so that nobody else waits."""
    return await asyncio.to_thread(work) if size_bytes > LARGE_BYTES else work()
