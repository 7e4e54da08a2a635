"""Answer a question with the stored answer to an equivalent one, where that is safe enough.

    scope and language -> cacheability -> embed -> search -> verify -> allowed? -> drawn for an audit? ->
    serve and, after a fresh answer: compare -> trust or doubt -> store

Similarity only proposes candidates: the verifier reads both questions, the monitor says whether its
decisions have been right so far, and a share of would-be hits is answered afresh and compared. Every
content-dependent step before the search uses only the asker's own data, and the search sees one
partition, so neither an answer nor its timing reveals anything about another tenant's questions.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import Struct

from farthing.brain.cache.semantic.adapt import adapt, needs_adapting
from farthing.brain.cache.semantic.cacheability import unfit_answer, unfit_question
from farthing.brain.cache.semantic.scope import Scopes
from farthing.brain.cache.semantic.store.entries import Entry, Head, entry_id, entry_key
from farthing.brain.cache.semantic.store.state import SemanticCacheState
from farthing.brain.cache.semantic.store.vector_codec import narrowed, widened
from farthing.brain.cache.semantic.terms import in_language, is_watched, under
from farthing.errors import StoreError
from farthing.protocols import AnswerJudge, HitMonitor, Verifier
from farthing.text import answer_text
from farthing.text.phrase import normalised
from farthing.types import (
    CacheHit,
    CacheLookup,
    Comparison,
    HitCandidate,
    Receipt,
    Request,
    Semantics,
    Verdict,
    replace,
)

if TYPE_CHECKING:
    from farthing.protocols import Vectors

log = logging.getLogger("farthing.semantic")

T = TypeVar("T")

AT_ONCE_BYTES_MAX = 16_384  # parsed in well under a millisecond
SURE = 0.99  # a first candidate this good is taken without verifying the others


class Limits(Struct, frozen=True, kw_only=True):
    """Settings of one configuration that apply to all endpoints."""

    candidates_max: int = 4
    cosine_min: float = 0.7
    kept_per_user_hour_max: int = 100
    answer_bytes_max: int = 1_048_576
    check: frozenset[str] = frozenset()
    """Endpoints whose invalidated entries are doubted instead of dropped."""


class _Candidate(Struct, frozen=True):
    """A similar stored question, with the verifier's verdict."""

    head: Head
    cosine: float
    verdict: Verdict
    adapted: CacheHit | None = None


class SemanticAnswers:
    """Implements `protocols.SemanticCache`. One per configuration, over a state that outlives it.

    `draw` gives uniform numbers in [0, 1) for audits, `clock` gives Unix seconds; `nusd_of` gives the cost of
    embedding that many characters (None: embedding is free).
    """

    def __init__(
        self,
        cache_state: SemanticCacheState,
        *,
        scopes: Scopes,
        verifier: Verifier,
        bound: HitMonitor,
        limits: Limits,
        draw: Callable[[], float],
        judge: AnswerJudge | None = None,
        clock: Callable[[], float] = time.time,
        nusd_of: Callable[[int], int] | None = None,
    ) -> None:
        self._cache_state = cache_state
        self._scopes = scopes
        self._verifier = verifier
        self._bound = bound
        self._limits = limits
        self._draw = draw
        self._judge = judge
        self._clock = clock
        self._nusd_of = nusd_of
        self._ran_out: set[tuple[str, str]] = set()
        """Endpoints and languages whose certificate expired while it was in use."""

    # -- before a call --------------------------------------------------------------------------------

    async def lookup(self, request: Request, receipt: Receipt) -> CacheLookup | None:
        terms = request.endpoint.semantic
        if terms is None or not self._cache_state.ready:
            return None
        scope = self._scopes.scope(request, receipt.language)
        if scope is None or unfit_question(scope.question, terms) is not None:
            return None
        if _counts(request):
            self._cache_state.asked(scope.partition, normalised(scope.question), request)
        vectors, unread = await self._embed(scope.question, receipt)
        if unread[0]:
            return None  # the difference may be in what the vector leaves out
        terms = in_language(terms, scope.language)
        lookup = CacheLookup(
            partition=scope.partition,
            question=scope.question,
            vector=vectors[0],
            language=scope.language,
        )
        best = await self._best(lookup, request, terms)
        if best is not None:
            await self._propose(lookup, best, request, terms)
        return lookup

    async def _embed(self, question: str, receipt: Receipt) -> "tuple[Vectors, Sequence[bool]]":
        """The vector of `question`. Its cost is recorded even if nobody waits for it any more, since a remote
        model charges for what it computes. A failed embedding costs nothing.

        Raises:
            StoreError: the embedder failed.
        """
        owed_nusd = 0 if self._nusd_of is None else self._nusd_of(len(question))
        receipt.embedding_nusd += owed_nusd
        try:
            return await self._cache_state.embedder.embed([question])
        except StoreError:
            receipt.embedding_nusd -= owed_nusd
            raise

    async def _best(self, lookup: CacheLookup, request: Request, terms: Semantics) -> _Candidate | None:
        limits = self._limits
        near = await self._cache_state.near(
            lookup.partition, lookup.vector, limits.candidates_max, limits.cosine_min
        )
        near = [(kept, cosine) for head, cosine in near if (kept := self._current(head, request)) is not None]
        if not near:
            return None
        first = await self._candidate(lookup, *near[0], terms)
        if len(near) == 1 or (first.head.trust == "fresh" and first.verdict.probability >= SURE):
            return first
        others = await asyncio.gather(*(self._candidate(lookup, *one, terms) for one in near[1:]))
        return max((first, *others), key=lambda c: (c.head.trust == "fresh", c.verdict.probability))

    def _current(self, head: Head, request: Request) -> Head | None:
        """`head` as it may be proposed to `request`. If the request names another version of a document that
        the entry came from, the document was indexed again: the entry is dropped (None), or doubted."""
        if not _is_superseded(head.documents, request.documents):
            return head
        if request.endpoint.name not in self._limits.check:
            self._cache_state.judge(head.key, agrees=False, keep_doubted=False)
            return None
        if head.trust == "fresh":
            self._cache_state.doubt(head.key)
        doubted: Head = replace(head, trust="doubted")
        return doubted

    async def _candidate(
        self, lookup: CacheLookup, head: Head, cosine: float, terms: Semantics
    ) -> _Candidate:
        asked, stored, adapted = lookup.question, head.question, None
        if terms.adapt and needs_adapting(asked, stored, terms.adapt):
            answer = await self._cache_state.entry_store.answer(head.key)
            text = None if answer is None else answer_text.text_of(answer[0])
            filled = None if text is None else adapt(asked, stored, text, terms.adapt)
            if answer is not None and filled is not None:
                adapted = answer_text.with_text(answer[0], filled.answer)
            if filled is None or adapted is None:
                return _Candidate(
                    head, cosine, Verdict(outcome="miss", probability=0.0, reason="no template")
                )
            asked, stored = filled.asked, filled.stored
        verdict = await self._verifier.verify(
            asked, stored, lookup.vector, widened(head.vector), language=lookup.language
        )
        return _Candidate(head, cosine, under(verdict, terms), adapted)

    async def _propose(
        self, lookup: CacheLookup, best: _Candidate, request: Request, terms: Semantics
    ) -> None:
        """Put the best candidate into `lookup`, with its answer as it is now, and decide."""
        found = await self._cache_state.entry_store.answer(best.head.key)
        if found is None:
            return  # it was deleted between the two reads
        stored, trust = found
        verdict = best.verdict
        if "doubted" in (trust, best.head.trust):
            lookup.doubted = verdict.outcome == "serve"
            verdict = replace(verdict, outcome="miss", reason="doubted until a fresh answer agrees")
        hit = best.adapted or stored
        lookup.candidate = HitCandidate(
            entry=entry_id(best.head.key),
            question=best.head.question,
            hit=replace(hit, kind="semantic", similarity=best.cosine),
            verdict=verdict,
        )
        if verdict.outcome == "miss" or not self._may_serve(lookup, request, terms):
            return
        if verdict.outcome == "abstain":
            lookup.unsure = True
            return
        self._serve(lookup, terms)

    async def confirmed(self, lookup: CacheLookup, request: Request) -> None:
        terms, candidate = request.endpoint.semantic, lookup.candidate
        if not lookup.unsure or terms is None or candidate is None or not await self._still_there(candidate):
            return
        verdict = replace(candidate.verdict, outcome="serve", reason="confirmed by a model")
        lookup.candidate = replace(candidate, verdict=verdict)
        lookup.unsure, lookup.confirmed = False, True
        self._serve(lookup, terms)

    async def _still_there(self, candidate: HitCandidate) -> bool:
        """Whether it was neither dropped nor doubted while a model was asked to confirm it."""
        key = entry_key(candidate.entry)
        try:
            found = None if key is None else await self._cache_state.entry_store.answer(key)
        except StoreError as error:
            log.warning("semantic cache: a confirmed answer is not served: %s", error)
            return False
        return found is not None and found[1] == "fresh"

    def _serve(self, lookup: CacheLookup, terms: Semantics) -> None:
        """Serve the candidate, unless it is drawn for an audit."""
        assert lookup.candidate is not None, "a candidate to serve"
        key = entry_key(lookup.candidate.entry)
        if self._draw() < terms.audit_share:
            lookup.audited = True
        elif key is not None:
            lookup.serves = True
            self._cache_state.hit(key)

    def _may_serve(self, lookup: CacheLookup, request: Request, terms: Semantics) -> bool:
        return (
            terms.mode == "on"
            and terms.threshold is not None
            and request.endpoint.cache_exact != "refresh"
            and self._is_certified(request.endpoint.name, lookup.language, terms)
            and self._bound.allows(request.endpoint.name, lookup.partition)
        )

    def _is_certified(self, endpoint: str, language: str, terms: Semantics) -> bool:
        """Whether its certificate is still valid, not expired since it was read."""
        if terms.until_unix_s is None or self._clock() < terms.until_unix_s:
            return True
        if (endpoint, language) not in self._ran_out:
            self._ran_out.add((endpoint, language))
            log.warning(
                "the semantic cache of %r only observes in the language %s: its certificate expired;  "
                "run `farthing calibrate cache`",
                endpoint,
                language,
            )
        return False

    # -- after a call ---------------------------------------------------------------------------------

    async def store(self, lookup: CacheLookup, request: Request, fresh: CacheHit, receipt: Receipt) -> None:
        terms = request.endpoint.semantic
        if terms is None:
            return
        self._refreshed(lookup, receipt)
        candidate = lookup.candidate
        if candidate is not None and _compares(lookup, candidate):
            read = await _aside(len(fresh.body) + len(candidate.hit.body), _beside, fresh, candidate.hit)
            if read is None:
                return  # no text to store
            agrees = self._compare(lookup, candidate, read, request, receipt, terms)
            if agrees and not _asked_anew(request, candidate, lookup):
                return  # the stored answer says the same
        size = len(fresh.body) + len(fresh.usage_event or b"")
        if size <= self._limits.answer_bytes_max and not receipt.stop_reason.startswith("limit:"):
            language = receipt.language
            self._cache_state.queue(
                lambda: self._keep(lookup, request, fresh, language, terms),
                size_bytes=size + request.prompt_chars,
            )

    def _compare(
        self,
        lookup: CacheLookup,
        candidate: HitCandidate,
        read: "_Beside",
        request: Request,
        receipt: Receipt,
        terms: Semantics,
    ) -> bool | None:
        """Act on the comparison of the fresh answer with the candidate. None: a judge must decide, or had no
        room."""
        would_serve = candidate.verdict.outcome == "serve"
        counts = would_serve and _counts(request) and is_watched(terms, lookup.language)
        comparison = Comparison(
            entry=candidate.entry,
            partition=lookup.partition,
            tenant=request.tenant,
            endpoint=request.endpoint.name,
            request_id=request.id,
            asked=lookup.question,
            stored_question=candidate.question,
            fresh=read.fresh,
            stored=read.stored,
            counts=counts,
            documents=request.documents,
        )
        agrees = read.agree
        if not agrees and self._judge is not None:
            asked = self._judge.ask(comparison)
            if asked != "none":  # without a judge, different words count as a different answer
                self._wait_for(comparison, judged=asked == "queued")
                if would_serve and asked == "queued":
                    receipt.audit = "pending"
                return None
        self._conclude(comparison, agrees=agrees)
        if would_serve:
            receipt.audit = "agrees" if agrees else "differs"
        return agrees

    def _wait_for(self, comparison: Comparison, *, judged: bool) -> None:
        """Tell the monitor to expect an outcome; if no judge has room, that the outcome is lost."""
        noted = comparison
        for _ in range(0 if not noted.counts else 1 if judged else 2):
            self._bound.note(noted.endpoint, noted.partition, None, audit=noted.request_id)

    def _conclude(self, comparison: Comparison, *, agrees: bool, audit: str = "") -> None:
        if comparison.counts:
            self._bound.note(comparison.endpoint, comparison.partition, not agrees, audit=audit)
        key = entry_key(comparison.entry)
        if key is not None:
            self._cache_state.judge(
                key,
                agrees=agrees,
                keep_doubted=comparison.endpoint in self._limits.check,
                documents=dict(map(document_of, comparison.documents)),
            )

    def judged(self, comparison: Comparison, agrees: bool) -> None:
        """Take a judge's verdict on a comparison that was handed to it."""
        self._conclude(comparison, agrees=agrees, audit=comparison.request_id)

    def _refreshed(self, lookup: CacheLookup, receipt: Receipt) -> None:
        """Drop an entry that no lookup reaches any more, such as one of older documents, because its fresh
        answer is stored elsewhere now."""
        key = entry_key(receipt.about) if receipt.purpose == "refresh" else None
        if key is not None and (lookup.candidate is None or lookup.candidate.entry != receipt.about):
            self._cache_state.judge(key, agrees=False, keep_doubted=False)

    async def _keep(
        self, lookup: CacheLookup, request: Request, fresh: CacheHit, language: str, terms: Semantics
    ) -> None:
        """Store a fresh answer in the background, if it is fit for reuse.

        Raises:
            StoreError: it could not be written.
        """
        if not await _aside(len(fresh.body), _is_fit, fresh, lookup.question, terms):
            return
        now_s = self._clock()
        entry = Entry(
            partition=lookup.partition,
            question=lookup.question,
            normalised=normalised(lookup.question),
            vector=narrowed(lookup.vector),
            answer=fresh,
            endpoint=request.endpoint.name,
            tenant=request.tenant.name,
            language=language,
            target=fresh.target,
            policy=self._scopes.policy(request.endpoint.name),
            embedder=self._cache_state.embedder.name,
            documents_version=terms.documents,
            documents=tuple(document_of(document) for document in request.documents),
            tags=terms.tags,
            created_unix_s=now_s,
            expires_unix_s=now_s + terms.ttl_s,
            request_id=request.id,
            user=request.user,
        )
        await self._cache_state.keep(entry, request, per_user_hour_max=self._limits.kept_per_user_hour_max)


def _counts(request: Request) -> bool:
    terms = request.endpoint.semantic
    return terms is not None and terms.counted and request.endpoint.cache_exact != "refresh"


def _asked_anew(request: Request, candidate: HitCandidate, lookup: CacheLookup) -> bool:
    """Whether this very question was asked for a fresh answer, which then replaces the old one."""
    same = normalised(candidate.question) == normalised(lookup.question)
    return same and request.endpoint.cache_exact == "refresh"


async def _aside(size_bytes: int, work: Callable[..., T], *given: Any) -> T:
    """Run `work` on an answer of that size: large ones in a thread, so that they block nobody."""
    if size_bytes <= AT_ONCE_BYTES_MAX:
        return work(*given)
    return await asyncio.to_thread(work, *given)


class _Beside(Struct, frozen=True):
    """Two answers in the form in which they are compared."""

    fresh: str
    stored: str
    agree: bool


def _beside(fresh: CacheHit, stored: CacheHit) -> _Beside | None:
    """None: the fresh answer is not one plain text."""
    text = answer_text.text_of(fresh)
    if text is None:
        return None
    before = answer_text.text_of(stored) or ""
    return _Beside(text, before, answer_text.agree(text, before))


def _is_fit(fresh: CacheHit, question: str, terms: Semantics) -> bool:
    text = answer_text.text_of(fresh)
    return text is not None and unfit_answer(text, question, terms) is None


def _compares(lookup: CacheLookup, candidate: HitCandidate) -> bool:
    """Whether the candidate would have been served, or waits for trust, and was not served in the end."""
    return not lookup.serves and (lookup.doubted or candidate.verdict.outcome == "serve")


def _is_superseded(documents: tuple[tuple[str, str], ...], named: tuple[str, ...]) -> bool:
    """Whether another version of one of the documents is named, where both name a version."""
    if not documents or not named:
        return False
    now = dict(map(document_of, named))
    return any(version and now.get(name, "") not in ("", version) for name, version in documents)


def document_of(named: str) -> tuple[str, str]:
    """Id and version of a document as a client names it: `id@version` or `id`."""
    name, at, version = named.rpartition("@")
    return (name, version) if at and name else (named, "")
