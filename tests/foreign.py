"""Steps as somebody writes them who knows asyncio and nothing of this package: none says it is immediate."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from tests.semantic import HashedWords, SharedWords

from farthing.protocols import Ask, KeyValueStore, ResponseCache, Router
from farthing.types import (
    CacheHit,
    CacheLookup,
    CandidateAnswer,
    CheckResult,
    HitCandidate,
    Receipt,
    Request,
    Route,
    Traits,
    Verdict,
)

if TYPE_CHECKING:
    from farthing.protocols import Vector, Vectors

REQUEST: ContextVar[int] = ContextVar("request", default=0)
"""Set by the one who begins a request."""
INSIDE: ContextVar[str] = ContextVar("inside", default="")
"""Set by a step while it is at work, and taken back by its token."""
LEFT: ContextVar[int] = ContextVar("left", default=0)
"""Set by steps and never taken back: it must be seen by this request's own alone."""

Use = Callable[[str], Coroutine[Any, Any, Any]]
"""What an async method does first, given the name of its step."""


class Probe:
    """Does what ordinary libraries do: a timer within a time limit first of all, a lock, an event, a context
    variable and its token, a task group."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.half_way = asyncio.Semaphore(0)
        """Released by each that comes to the lock."""
        self.seen: list[tuple[str, int]] = []
        """Step and request, each time it came to its end."""
        self.cancelled: list[tuple[str, int]] = []
        self.faults: list[str] = []

    async def __call__(self, step: str) -> None:
        mine = REQUEST.get()
        try:
            async with asyncio.timeout(60):
                await asyncio.sleep(0.0005)
            self._is(LEFT.get() in (0, mine), step, "another's variable")
            LEFT.set(mine)
            token = INSIDE.set(f"{step} of {mine}")
            self.half_way.release()
            async with self.lock:
                await asyncio.sleep(0)
            event = asyncio.Event()
            asyncio.get_running_loop().call_later(0.0005, event.set)
            await event.wait()
            async with asyncio.TaskGroup() as group:
                child = group.create_task(self._child())
            self._is(child.result() == f"{step} of {mine}" == INSIDE.get(), step, "a child's variable")
            INSIDE.reset(token)
            self._is((REQUEST.get(), INSIDE.get()) == (mine, ""), step, "its own variable")
            self.seen.append((step, mine))
        except asyncio.CancelledError:
            self.cancelled.append((step, mine))
            raise
        except Exception as error:
            self.faults.append(f"{step}: {error!r}")
            raise

    async def _child(self) -> str:
        await asyncio.sleep(0)
        return INSIDE.get()

    def _is(self, right: bool, step: str, what: str) -> None:
        if not right:
            self.faults.append(f"{step}: {what}")


class ForeignClassifier:
    def __init__(self, use: Use) -> None:
        self.use = use

    async def classify(self, request: Request) -> Traits:
        return await self.use("classify") or Traits(language="en")


class ForeignStore:
    """A `KeyValueStore`."""

    def __init__(self, use: Use, store: KeyValueStore) -> None:
        self.use, self.store = use, store

    async def get(self, key: bytes) -> bytes | None:
        return await self.use("cache") or await self.store.get(key)

    async def set(self, key: bytes, value: bytes, *, ttl_s: float) -> None:
        await self.use("store")
        await self.store.set(key, value, ttl_s=ttl_s)

    async def aclose(self) -> None:
        await self.store.aclose()


class ForeignCache:
    """A `ResponseCache`; `now` comes before what does not wait."""

    def __init__(self, use: Use, cache: ResponseCache, now: Callable[[str], Any] = lambda step: None) -> None:
        self.use, self.cache, self.now = use, cache, now

    def key(self, request: Request) -> bytes | None:
        return self.now("cache_key") or self.cache.key(request)

    async def lookup(self, key: bytes) -> CacheHit | None:
        return await self.use("cache") or await self.cache.lookup(key)

    async def store(self, key: bytes, hit: CacheHit, *, ttl_s: float | None) -> None:
        await self.use("store")
        await self.cache.store(key, hit, ttl_s=ttl_s)


class ForeignSemantic:
    """A `SemanticCache` that is unsure of everything."""

    def __init__(self, use: Use, hit: CacheHit) -> None:
        self.use, self.hit = use, hit

    async def lookup(self, request: Request, receipt: Receipt) -> CacheLookup | None:
        found = await self.use("semantic")
        if found is not None:
            return found  # type: ignore[no-any-return]
        verdict = Verdict(outcome="abstain", probability=0.5, reason="a guess")
        candidate = HitCandidate(entry="s1", question=request.text, hit=self.hit, verdict=verdict)
        return CacheLookup(
            partition=b"p", question=request.text, vector=None, candidate=candidate, unsure=True
        )

    async def store(self, lookup: CacheLookup, request: Request, fresh: CacheHit, receipt: Receipt) -> None:
        await self.use("learn")

    async def confirmed(self, lookup: CacheLookup, request: Request) -> None:
        await self.use("confirmed")


class ForeignConfirmer:
    wait_s = 0.0

    def __init__(self, use: Use, says: bool = False) -> None:
        self.use, self.says = use, says

    async def confirm(self, request: Request, candidate: HitCandidate) -> bool | None:
        found = await self.use("confirm")
        return self.says if found is None else found


class ForeignRouter:
    wait_s = 0.0

    def __init__(self, use: Use, router: Router, now: Callable[[str], Any] = lambda step: None) -> None:
        self.use, self.router, self.now = use, router, now

    async def route(self, request: Request, traits: Traits) -> Route:
        return await self.use("route") or await self.router.route(request, traits)

    def fallback(self, request: Request) -> Route:
        return self.now("fallback") or self.router.fallback(request)

    def pins(self, request: Request) -> bool:
        found = self.now("pins")
        return self.router.pins(request) if found is None else found

    def answers(self, request: Request, traits: Traits) -> bool:
        found = self.now("answers")
        return self.router.answers(request, traits) if found is None else found


class ForeignAdvisor:
    def __init__(self, use: Use) -> None:
        self.use = use

    async def easy(self, request: Request) -> float | None:
        return await self.use("easy")  # type: ignore[no-any-return]


class ForeignInspector:
    def __init__(self, now: Callable[[str], Any]) -> None:
        self.now = now
        self.inspected = 0

    def asked(self, request: Request, receipt: Receipt) -> None:
        self.now("asked")

    def wants(self, request: Request, route: Route) -> bool:
        found = self.now("wants")
        return True if found is None else found

    def inspect(self, request: Request, route: Route, answer: CacheHit, receipt: Receipt) -> None:
        self.now("inspect")
        self.inspected += 1


class ForeignCheck:
    """An `AnswerCheck`."""

    def __init__(self, use: Use, name: str = "foreign") -> None:
        self.use, self.name = use, name

    async def doubt(self, draft: CandidateAnswer, ask: Ask) -> CheckResult:
        return await self.use(f"check:{self.name}") or CheckResult(reason=None)


class ForeignEmbedder(HashedWords):
    def __init__(self, use: Use) -> None:
        self.use = use

    async def embed(self, texts: Sequence[str]) -> "tuple[Vectors, Sequence[bool]]":
        return await self.use("embed") or await super().embed(texts)


class ForeignVerifier(SharedWords):
    def __init__(self, use: Use) -> None:
        self.use = use

    async def verify(
        self,
        asked: str,
        stored: str,
        asked_vector: "Vector",
        stored_vector: "Vector",
        *,
        language: str = "en",
    ) -> Verdict:
        found = await self.use("verify")
        return found or await super().verify(asked, stored, asked_vector, stored_vector, language=language)


class ForeignPairModel:
    name = "foreign"

    def __init__(self, use: Use) -> None:
        self.use = use

    async def scores(self, pairs: Sequence[tuple[str, str]]) -> Sequence[float]:
        await self.use("scores")
        return [0.0] * len(pairs)

    async def aclose(self) -> None:
        return None
