"""Passages for the endpoints that want them. See `answer` for the journey.

They are had before the cache is asked, and stand in the body from there on: so the keys of the exact cache,
the partitions of the semantic one and shared calls tell answers apart that were made from other passages.
"""

import asyncio
import logging
from time import perf_counter

from farthing.brain.compose import with_passages, without_passages
from farthing.errors import RetrievalFailed
from farthing.pipeline.steps import Retrieval, Steps
from farthing.runtime.loop_batch import in_task
from farthing.types import Passage, Passages, Receipt, Request, Traits, replace

log = logging.getLogger("farthing.retrieve")

CHARS_PER_TOKEN = 4
NOT_FOR = ("judge", "route", "explore")
"""Background jobs whose questions are about answers, or repeat a request whose passages they have."""


async def retrieved(
    request: Request, traits: Traits, steps: Steps, receipt: Receipt
) -> tuple[Request, Traits]:
    """`request` and `traits` with the passages of its endpoint, where it retrieves.

    In a time of its own, not the brain's: searching takes longer than deciding.

    Raises:
        RetrievalFailed: they are required, and could not be had.
    """
    retrieval = steps.retrievals.get(request.endpoint.name)
    if retrieval is None or request.operation != "chat" or receipt.purpose in NOT_FOR:
        return request, traits
    if request.own:
        request = _as_asked(request)
    began_s = perf_counter()
    try:
        await in_task()
        async with asyncio.timeout(retrieval.timeout_s):
            found = await retrieval.retriever.retrieve(request, traits)
    except Exception as error:
        if steps.strict:
            raise
        receipt.skipped["retrieve"] = type(error).__name__
        log.warning("endpoint %s: nothing retrieved: %s", request.endpoint.name, type(error).__name__)
        if retrieval.required:
            raise RetrievalFailed(
                f"the documents of the endpoint `{request.endpoint.name}` could not be read: try again later"
            ) from error
        return request, traits
    finally:
        receipt.retrieval_ms = (perf_counter() - began_s) * 1000
    chosen = _chosen(found, retrieval)
    if not chosen:
        return request, traits
    return _with(request, traits, chosen, receipt)


def _as_asked(request: Request) -> Request:
    """A request that is repeated, without the passages that it was answered from."""
    body = without_passages(request.body)
    if body is request.body:
        return request
    changed: Request = replace(request, body=body, retrieval=False, context_tokens=0, documents=())
    return changed


def _with(
    request: Request, traits: Traits, chosen: list[Passage], receipt: Receipt
) -> tuple[Request, Traits]:
    body = with_passages(request.body, chosen)
    if body is request.body:
        return request, traits
    tokens = sum(map(_tokens, chosen))
    sources = tuple(dict.fromkeys(one.source for one in chosen))
    receipt.rag_used, receipt.passages, receipt.sources = True, len(chosen), sources
    context_tokens = request.context_tokens + tokens
    changed = replace(
        request,
        body=body,
        prompt_chars=request.prompt_chars + sum(len(one.text) for one in chosen),
        retrieval=True,
        context_tokens=context_tokens,
        documents=tuple(sorted({*request.documents, *sources})),
    )
    told = replace(
        traits,
        retrieval=True,
        context_tokens=context_tokens,
        input_tokens=traits.input_tokens + tokens,
    )
    return changed, told


def _chosen(found: Passages, retrieval: Retrieval) -> list[Passage]:
    """The best passages that there is room for. One that is too long ends the list: what follows is worse."""
    left, chosen = retrieval.context_tokens_max, list[Passage]()
    for passage in found.passages[: retrieval.passages_max]:
        left -= _tokens(passage)
        if left < 0:
            break
        chosen.append(passage)
    return chosen


def _tokens(passage: Passage) -> int:
    return passage.tokens or 1 + len(passage.text) // CHARS_PER_TOKEN
