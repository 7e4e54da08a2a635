"""A semantic cache for tests: real parts, the embedder and verifier being the simplest that work."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import numpy as np
from tests.asking import asked

from farthing.brain.cache.semantic.cache import Limits, SemanticAnswers
from farthing.brain.cache.semantic.scope import Scopes
from farthing.brain.cache.semantic.store.entries_file import EntryStore
from farthing.brain.cache.semantic.store.query_counts import Counted, QueryCounts
from farthing.brain.cache.semantic.store.state import SemanticCacheState
from farthing.protocols import AnswerJudge, HitMonitor
from farthing.stores.vector.partitions import PartitionedIndex
from farthing.types import CacheHit, CacheLookup, Endpoint, Receipt, Request, Semantics, Usage, Verdict

if TYPE_CHECKING:
    from farthing.protocols import Vector, Vectors

T = TypeVar("T")
ON = Semantics(mode="on", threshold=0.8, audit_share=0.0)


def in_english(question: str, heard: str) -> str:
    """Takes every question for English that the classifier heard no other language in."""
    return "en" if heard in ("", "unknown") else heard


UNREAD = "\u2603"


class HashedWords:
    """Counts words by their hash: wordings that share most of their words are near. `UNREAD` has no token."""

    name = "hashed-words/1"
    dims = 64
    tokens_max = 64

    async def embed(self, texts: Sequence[str]) -> "tuple[Vectors, Sequence[bool]]":
        rows = np.zeros((len(texts), self.dims), np.float32)
        cut = []
        for row, text in zip(rows, texts, strict=True):
            words = re.findall(r"\w+", text.casefold())
            cut.append(len(words) > self.tokens_max or UNREAD in text)
            for word in words[: self.tokens_max]:
                row[int.from_bytes(blake2b(word.encode(), digest_size=2).digest()) % self.dims] += 1
            row += 1e-3
            row /= np.sqrt(row @ row)
        return rows, cut

    async def aclose(self) -> None:
        return None


class SharedWords:
    """The share of words that two questions have in common; numbers must be the same."""

    async def verify(
        self,
        asked: str,
        stored: str,
        asked_vector: "Vector",
        stored_vector: "Vector",
        *,
        language: str = "en",
    ) -> Verdict:
        one, two = (set(re.findall(r"\w+", text.casefold())) for text in (asked, stored))
        if {w for w in one if w.isdigit()} != {w for w in two if w.isdigit()}:
            return Verdict(outcome="miss", probability=0.0, reason="numbers differ")
        share = len(one & two) / len(one | two)
        return Verdict(outcome="serve" if share >= 0.6 else "miss", probability=share, reason="words")


class Tally:
    """A bound that allows what it is told to, and writes down outcomes."""

    def __init__(self) -> None:
        self.allowing = True
        self.outcomes: list[tuple[str, bool | None, str]] = []

    def allows(self, endpoint: str, partition: bytes) -> bool:
        return self.allowing

    def note(self, endpoint: str, partition: bytes, wrong: bool | None, audit: str = "") -> None:
        self.outcomes.append((endpoint, wrong, audit))


def faq(terms: Semantics = ON, **changes: Any) -> Endpoint:
    return Endpoint(name="faq", semantic=terms, **changes)


def question(text: str, *, endpoint: Endpoint | None = None, **changes: Any) -> Request:
    return asked(text, endpoint=endpoint or faq(), **changes)


def said(text: str, *, cost_nusd: int | None = 50_000, target: str = "openai/gpt-x") -> CacheHit:
    """A whole answer of one choice."""
    body = {
        "id": "a-1",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
    }
    usage = Usage(input_tokens=10, output_tokens=20)
    return CacheHit(
        kind="exact", body=msgspec.json.encode(body), target=target, usage=usage, cost_nusd=cost_nusd
    )


def streamed(*pieces: str) -> CacheHit:
    """The same as events of a stream."""
    events = [{"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}]
    events += [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
    events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    body = b"".join(b"data: %b\n\n" % msgspec.json.encode(event) for event in events)
    return CacheHit(
        kind="exact", body=body, target="openai/gpt-x", usage=Usage(), cost_nusd=None, streamed=True
    )


def receipt(request_id: str = "r-1") -> Receipt:
    return Receipt(request_id=request_id, at_unix_s=0.0, started_s=0.0)


class Cache:
    """Holdings and a cache over them, with what a test needs at hand."""

    def __init__(self, cache_state: SemanticCacheState, answers: SemanticAnswers, bound: Tally) -> None:
        self.cache_state = cache_state
        self.answers = answers
        self.bound = bound

    async def lookup(self, request: Request, told: Receipt | None = None) -> CacheLookup | None:
        return await self.answers.lookup(request, told or receipt(request.id))

    async def ask(
        self, request: Request, fresh: CacheHit | str, told: Receipt | None = None
    ) -> CacheLookup | None:
        """Look, and learn the fresh answer where nothing was served, as the pipeline does."""
        lookup = await self.lookup(request)
        if lookup is not None and not lookup.serves:
            hit = said(fresh) if isinstance(fresh, str) else fresh
            await self.answers.store(lookup, request, hit, told or receipt(request.id))
            await self.cache_state.written()
        return lookup


async def counted(path: Path) -> tuple[Counted, ...]:
    """The questions in the cache's file, those asked most first, as answering ahead reads them."""
    book = QueryCounts(path)
    try:
        counts = await book.counts(since_unix_s=None, lasting_s=0.0)
    finally:
        await book.aclose()
    return tuple(sorted(counts.questions, key=lambda one: -one.asks))


def with_cache(
    path: Path,
    work: Callable[[Cache], Awaitable[T]],
    *,
    limits: Limits = Limits(cosine_min=0.3),  # noqa: B008  (frozen)
    draw: Callable[[], float] = lambda: 0.5,
    judge: AnswerJudge | None = None,
    bound: HitMonitor | None = None,
    clock: Callable[[], float] | None = None,
    room: tuple[int, int] = (1_000, 10_000_000),
) -> T:
    """Run `work` with a cache over the file at `path`, loaded as at a start and closed as at an end.

    `room` is for how many entries and bytes.
    """
    unix_s = clock or time.time

    async def run() -> T:
        embedder = HashedWords()
        entry_store = EntryStore(path, entries_max=room[0], bytes_max=room[1], clock=unix_s)
        cache_state = SemanticCacheState(
            entry_store, PartitionedIndex(embedder.dims, name=embedder.name), embedder
        )
        await cache_state.load()
        tally = Tally()
        answers = SemanticAnswers(
            cache_state,
            scopes=Scopes(embedder=embedder.name, language_of=in_english),
            verifier=SharedWords(),
            bound=bound or tally,
            limits=limits,
            draw=draw,
            judge=judge,
            clock=unix_s,
        )
        try:
            return await work(Cache(cache_state, answers, tally))
        finally:
            await cache_state.aclose()

    return asyncio.run(run())
