"""Retrieves passages for the endpoints that are configured to. See `answer` for the journey.

The passages are retrieved before the cache is consulted and become part of the request body. The keys of
the exact cache, the partitions of the semantic cache and shared calls therefore separate answers made from
different passages.
"""

import logging
from collections.abc import Mapping

from farthing.brain.compose import with_passages, without_passages
from farthing.errors import RetrievalFailed
from farthing.pipeline.optional import optional
from farthing.pipeline.steps import Retrieval, Steps
from farthing.runtime.seldom import Tally
from farthing.types import Passage, Passages, Receipt, Request, Traits, replace

log = logging.getLogger("farthing.pipeline")

CHARS_PER_TOKEN = 4
NOT_FOR = ("judge", "route", "explore")
"""Background jobs whose questions are about answers, or repeat a request whose passages they have."""


NOTHING = Passages()


class _Patience:
    """See `optional.Patience`. Retrieval has a time limit of its own: it takes longer than a decision."""

    def __init__(self, retrieval: Retrieval, steps: Steps) -> None:
        self.blocks_s = retrieval.timeout_s
        self._steps = steps

    def time_left_s(self, name: str, stage_ms: Mapping[str, float]) -> float:
        return self.blocks_s

    def raises(self, name: str, error: Exception) -> bool:
        return self._steps.strict

    @property
    def told(self) -> Tally:
        return self._steps.told


async def retrieved(
    request: Request, traits: Traits, steps: Steps, receipt: Receipt
) -> tuple[Request, Traits]:
    """Return `request` and `traits` with the passages of its endpoint; unchanged if it retrieves none.

    Raises:
        RetrievalFailed: passages are required, and could not be retrieved or do not fit.
    """
    retrieval = steps.retrievals.get(request.endpoint.name)
    if retrieval is None or request.operation != "chat" or receipt.purpose in NOT_FOR:
        return request, traits
    if request.own:
        request = _as_asked(request)
    retrieving = retrieval.retriever.retrieve(request, traits)
    patience = _Patience(retrieval, steps)
    found = await optional("retrieve", retrieving, NOTHING, patience, receipt, Passages)
    receipt.retrieval_ms = receipt.stage_ms["retrieve"]
    if retrieval.required and "retrieve" in receipt.skipped:
        raise RetrievalFailed(
            f"the documents of the endpoint `{request.endpoint.name}` could not be read "
            f"({receipt.skipped['retrieve']}), and it does not answer without them; the log of the gateway "
            "says why"
        )
    chosen = _chosen(found, retrieval)
    if len(chosen) < min(len(found.passages), retrieval.passages_max):
        _tell_of_room(request.endpoint.name, found, chosen, retrieval, steps, receipt)
    if not chosen:
        return request, traits
    return _with(request, traits, chosen, receipt)


def _tell_of_room(
    endpoint: str,
    found: Passages,
    chosen: list[Passage],
    retrieval: Retrieval,
    steps: Steps,
    receipt: Receipt,
) -> None:
    """Record in the receipt, and now and then in the log, how many passages did not fit.

    Raises:
        RetrievalFailed: none fitted, and passages are required.
    """
    given = min(len(found.passages), retrieval.passages_max)
    receipt.passages_left_out = left_out = given - len(chosen)
    limit = f"endpoints.{endpoint}.retrieve.context_tokens_max = {retrieval.context_tokens_max}"
    unsaid = steps.told.unsaid(f"retrieve: no room: {endpoint}: {not chosen}")
    if unsaid is not None:
        more = f" ({unsaid} more since this was last said)" if unsaid else ""
        next_tokens = _tokens(found.passages[len(chosen)])
        log.warning(
            "%d of %d passages left out: %s has no room for the next one, of %d tokens; raise it, or "
            "retrieve shorter passages%s",
            left_out,
            given,
            limit,
            next_tokens,
            more,
        )
    if retrieval.required and not chosen:
        raise RetrievalFailed(
            f"the documents of the endpoint `{endpoint}` do not fit into its prompts, and it does not answer "
            "without them; the log of the gateway names the setting"
        )


def _as_asked(request: Request) -> Request:
    """The request without the passages of its first answer, for a request that is repeated."""
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
    """The best passages that fit into `context_tokens_max`. A passage that does not fit ends the list, since
    those after it are less relevant."""
    left, chosen = retrieval.context_tokens_max, list[Passage]()
    for passage in found.passages[: retrieval.passages_max]:
        left -= _tokens(passage)
        if left < 0:
            break
        chosen.append(passage)
    return chosen


def _tokens(passage: Passage) -> int:
    return passage.tokens or 1 + len(passage.text) // CHARS_PER_TOKEN
