"""Whoever writes a step with an ordinary asyncio library is right: a probe behind each seam that waits, many
requests at once, each run as the server runs it, before a provider on a real socket. And whoever writes one
that does harm does it to that step of that request alone.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop
from tests.asking import ACME
from tests.e2e.test_promises import Collected, text_of
from tests.faults.provider import FaultProvider
from tests.foreign import (
    INSIDE,
    LEFT,
    REQUEST,
    ForeignAdvisor,
    ForeignCache,
    ForeignCheck,
    ForeignClassifier,
    ForeignConfirmer,
    ForeignEmbedder,
    ForeignInspector,
    ForeignPairModel,
    ForeignRouter,
    ForeignSemantic,
    ForeignStore,
    ForeignVerifier,
    Probe,
)
from tests.semantic import ON, Tally, in_english, said
from tests.wired import parts_in_memory

from farthing.brain.cache.exact import ExactCache
from farthing.brain.cache.semantic.cache import Limits, SemanticAnswers
from farthing.brain.cache.semantic.scope import Scopes
from farthing.brain.cache.semantic.store.entries_file import EntryStore
from farthing.brain.cache.semantic.store.state import SemanticCacheState
from farthing.brain.cache.semantic.verify.trained import TrainedVerifier
from farthing.config import loads
from farthing.edge.openai import Asked
from farthing.ledger.memory import MemoryLedger
from farthing.models.tokens.estimate import estimate_prompt
from farthing.pipeline.answer import answer
from farthing.pipeline.cascade import Cascade, Cascades
from farthing.pipeline.steps import Steps
from farthing.runtime.loop_batch import LoopBatch, RequestRunner, is_immediate
from farthing.stores.vector.partitions import PartitionedIndex
from farthing.types import Answer, Receipt, Request, replace
from farthing.wiring import routing
from farthing.wiring.build import build

CONFIG = """
[providers.a]
base_url = "{url}"
[tiers.cheap]
targets = ["a/first"]
[tiers.expensive]
targets = ["a/big"]
[endpoints.default.cascade]
first = "cheap"
then = "expensive"
[cache]
reuse = "{reuse}"
[route]
{route}
[brain]
timeout_s = {brain_s}
"""
RULES = 'default = "cheap"\nrules = []'
LLM = 'kind = "llm"\ndefault = "expensive"\nrules = []\nllm = { target = "a/first", cheap = "cheap" }'
MANY = 40
PATIENT_S = 60.0  # a loaded machine makes no step late
HIT = said("stored")


class Journeys:
    """One configuration, wired, and requests that take the journey at once, each in a runner."""

    def __init__(
        self, url: str, *, route: str = RULES, brain_s: float = PATIENT_S, reuse: str = "always"
    ) -> None:
        self.ledger = MemoryLedger(rows_max=100_000)
        self.parts = parts_in_memory(self.ledger)
        config = CONFIG.format(url=url, route=route, brain_s=brain_s, reuse=reuse)
        self.serving = build(loads(config, {}), self.parts)
        self.steps: Steps = self.serving.steps
        self.batch = LoopBatch(asyncio.get_running_loop())
        self.replies: dict[int, Answer | BaseException] = {}
        self.receipts: dict[int, Receipt] = {}
        self.similar = False
        """Whether the endpoint has a semantic cache."""
        self.state: SemanticCacheState | None = None
        self._count = 0
        self._done = asyncio.Condition()

    def request(self, text: str, **fields: Any) -> Request:
        now_s = time.monotonic()
        asked = Asked(id=f"r{self._count}", tenant=ACME, headers={}, received_s=now_s, body_bytes=99)
        body = {"model": "auto", "messages": [{"role": "user", "content": text}], **fields}
        request = self.serving.reader.chat(body, asked)
        if self.similar:
            request = replace(request, endpoint=replace(request.endpoint, semantic=ON))
        return request

    def begin(self, text: str | None = None, **fields: Any) -> tuple[int, RequestRunner]:
        """Start one request; its own text unless one is given."""
        self._count += 1
        number = self._count
        request = self.request(text or f"what is {number}", **fields)
        return number, self.batch.start(self._journey(number, request))

    async def _journey(self, number: int, request: Request) -> None:
        assert (REQUEST.get(), LEFT.get()) == (0, 0), "a context that another request had"
        REQUEST.set(number)
        receipt = Receipt(request_id=request.id, at_unix_s=time.time(), started_s=request.received_s)
        self.receipts[number] = receipt
        try:
            self.replies[number] = await answer(request, self.steps, receipt, Collected())
        except BaseException as error:  # noqa: BLE001  # looked at by the test
            self.replies[number] = error
        assert (REQUEST.get(), INSIDE.get()) == (number, "")
        asyncio.get_running_loop().call_soon(self._notify)

    def _notify(self) -> None:
        async def notify() -> None:
            async with self._done:
                self._done.notify_all()

        self._notifying = asyncio.ensure_future(notify())

    async def changed(self, changes: dict[str, Any]) -> None:
        """Put other steps in, and let a first request go, so that there is something near the next."""
        self.steps = msgspec.structs.replace(self.steps, **changes)
        if self.state is not None:
            await self.state.load()
        await self.ask()
        if self.state is not None:
            await self.state.written()

    @property
    def after_first(self) -> range:
        """Numbers of all but the first request."""
        return range(2, self._count + 1)

    async def ended(self) -> None:
        """Wait until all that were begun have ended."""
        async with asyncio.timeout(120), self._done:
            await self._done.wait_for(lambda: len(self.replies) == self._count)

    async def ask(self, text: str | None = None, **fields: Any) -> tuple[Answer | BaseException, Receipt]:
        number, _ = self.begin(text, **fields)
        await self.ended()
        return self.replies[number], self.receipts[number]


@asynccontextmanager
async def journeys(url: str, **settings: Any) -> AsyncIterator[Journeys]:
    made = Journeys(url, **settings)
    try:
        yield made
    finally:
        await made.parts.transport.aclose()
        if made.state is not None:
            await made.state.aclose()


def on_the_gateways_loop(work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


# -- a probe behind each seam ---------------------------------------------------------------------------


Change = Callable[[Journeys, Probe, Path], dict[str, Any]]


def semantic_answers(journey: Journeys, probe: Probe, path: Path, **parts: Any) -> dict[str, Any]:
    journey.similar = True
    embedder = parts.get("embedder") or ForeignEmbedder(_nothing)
    entries = EntryStore(path / "semantic.db", entries_max=10_000, bytes_max=10_000_000)
    journey.state = state = SemanticCacheState(
        entries, PartitionedIndex(embedder.dims, name=embedder.name), embedder
    )
    verifier = parts.get("verifier") or ForeignVerifier(_nothing)
    scopes = Scopes(embedder=embedder.name, language_of=in_english)
    return {
        "semantic": SemanticAnswers(
            state,
            scopes=scopes,
            verifier=verifier,
            bound=Tally(),
            limits=Limits(cosine_min=0.1),
            draw=lambda: 0.5,
        )
    }


async def _nothing(step: str) -> None:
    return None


def unsure(journey: Journeys, probe: Probe, path: Path) -> dict[str, Any]:
    journey.similar = True
    return {"semantic": ForeignSemantic(probe, HIT), "confirmer": ForeignConfirmer(probe, says=True)}


def checked(journey: Journeys, probe: Probe, path: Path) -> dict[str, Any]:
    cascade = Cascade(checks=(ForeignCheck(probe),), within_s=PATIENT_S)
    made = Cascades(
        {"default": cascade},
        target_of=lambda name: None,
        estimate_tokens=estimate_prompt,
        clock=time.monotonic,
    )
    return {"cascades": made}


def stored(journey: Journeys, probe: Probe, path: Path) -> dict[str, Any]:
    cache = journey.steps.cache
    assert isinstance(cache, ExactCache)
    store = ForeignStore(probe, cache._store)
    return {"cache": ExactCache(store, ttl_s=60, answer_bytes_max=10_000, keys=cache._keys)}


PROBED: dict[str, tuple[Change, tuple[str, ...]]] = {
    "Classifier": (lambda j, probe, _: {"classifier": ForeignClassifier(probe)}, ("classify",)),
    "ResponseCache": (lambda j, probe, _: {"cache": ForeignCache(probe, j.steps.cache)}, ("cache", "store")),
    "KeyValueStore": (stored, ("cache", "store")),
    "SemanticCache and Confirmer": (unsure, ("semantic", "confirm", "confirmed", "learn")),
    "Embedder": (lambda j, p, at: semantic_answers(j, p, at, embedder=ForeignEmbedder(p)), ("embed",)),
    "Verifier": (lambda j, p, at: semantic_answers(j, p, at, verifier=ForeignVerifier(p)), ("verify",)),
    "Router": (lambda j, probe, _: {"router": ForeignRouter(probe, j.steps.router)}, ("route",)),
    "AnswerCheck": (checked, ("check:foreign",)),
}


@pytest.mark.parametrize("seam", PROBED)
def test_a_step_written_for_asyncio_works_and_shares_nothing(
    seam: str, upstream: FaultProvider, tmp_path: Path
) -> None:
    change, steps = PROBED[seam]

    async def work() -> None:
        async with journeys(upstream.base_url) as journey:
            probe = Probe()
            await journey.changed(change(journey, probe, tmp_path))
            assert journey.steps.immediate == (seam == "AnswerCheck")
            for _ in range(MANY):
                journey.begin()
            await journey.ended()
            assert probe.faults == []
            for number, reply in journey.replies.items():
                assert isinstance(reply, Answer), reply
                assert text_of(reply) == f"echo: what is {number}"
                assert journey.receipts[number].skipped == {}
            for step in steps:
                assert {number for name, number in probe.seen if name == step} >= set(journey.after_first)

    on_the_gateways_loop(work())


def test_an_advisor_written_for_asyncio_works(
    upstream: FaultProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        probe = Probe()
        monkeypatch.setattr(routing, "build_advisor", lambda *given: ForeignAdvisor(probe))
        async with journeys(upstream.base_url, route=LLM) as journey:
            assert not is_immediate(journey.steps.router)
            assert not journey.steps.immediate
            for _ in range(MANY):
                journey.begin()
            await journey.ended()
            assert probe.faults == []
            assert [journey.receipts[number].skipped for number in journey.replies] == [{}] * MANY

    on_the_gateways_loop(work())


def test_a_wrapper_is_immediate_when_what_it_wraps_is(upstream: FaultProvider) -> None:
    async def work() -> None:
        async with journeys(upstream.base_url) as journey:
            assert journey.steps.immediate, "the shipped steps need no task"
            probe = Probe()
            assert not is_immediate(stored(journey, probe, Path())["cache"])
            model = ForeignPairModel(probe)
            model.name = TrainedVerifier(None)._weights.pair_model
            assert not is_immediate(TrainedVerifier(model))
            assert is_immediate(TrainedVerifier(None))

    on_the_gateways_loop(work())


@pytest.mark.parametrize("seam", PROBED)
def test_a_request_cancelled_half_way_through_a_step_ends_it_and_touches_no_other(
    seam: str, upstream: FaultProvider, tmp_path: Path
) -> None:
    change, _ = PROBED[seam]

    async def work() -> None:
        async with journeys(upstream.base_url) as journey:
            probe = Probe()
            await journey.changed(change(journey, probe, tmp_path))
            probe.half_way = asyncio.Semaphore(0)
            await probe.lock.acquire()  # so that all stop half-way through their first probed step
            begun = [journey.begin() for _ in range(MANY)]
            async with asyncio.timeout(60):
                for _ in range(MANY):
                    await probe.half_way.acquire()
            leaving = {number for number, _ in begun[::2]}
            for _, runner in begun[::2]:
                runner.cancel("client_gone")
            await asyncio.sleep(0.01)
            probe.lock.release()
            await journey.ended()
            assert probe.faults == []
            for number, _ in begun:
                receipt, reply = journey.receipts[number], journey.replies[number]
                if number in leaving:
                    assert isinstance(reply, asyncio.CancelledError) and receipt.error == "client_gone"
                else:
                    assert isinstance(reply, Answer) and receipt.skipped == {}
            assert {number for _, number in probe.cancelled} == leaving

    on_the_gateways_loop(work())


# -- hostile ones -----------------------------------------------------------------------------------------

BRAIN_S = 0.2


class Hostile:
    """What is wrong with one step while `on`. `waiting` is for what is awaited, `now` for what is not."""

    def __init__(self, how: str, step: str) -> None:
        self.how, self.step = how, step
        self.on = True
        self.leaked: list[asyncio.Future[None]] = []

    async def waiting(self, step: str) -> Any:
        if self.on and step == self.step and self.how == "slow":
            await asyncio.sleep(30)
        if self.on and step == self.step and self.how == "cancelled by another":
            gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_soon(gone.cancel)
            await gone
        return self.now(step)

    def now(self, step: str) -> Any:
        if not self.on or (step != self.step and (step, self.step) != ("route", "fallback")):
            return None
        if step == "route" != self.step:
            raise RuntimeError("so that there is a fallback")
        match self.how:
            case "raising":
                raise RuntimeError("broken on purpose")
            case "blocking":
                time.sleep(1.5 * BRAIN_S)
            case "leaking a task":
                self.leaked.append(asyncio.ensure_future(asyncio.sleep(3600)))
            case "setting context":
                LEFT.set(-1)
            case "cancelled":
                raise asyncio.CancelledError("by itself")
            case "returning the wrong type":
                return object()
        return None


def hostile_check(journey: Journeys, hostile: Hostile, path: Path) -> dict[str, Any]:
    cascade = Cascade(checks=(ForeignCheck(hostile.waiting),), within_s=BRAIN_S)
    made = Cascades(
        {"default": cascade},
        target_of=lambda name: None,
        estimate_tokens=estimate_prompt,
        clock=time.monotonic,
    )
    return {"cascades": made}


def hostile_inspector(journey: Journeys, hostile: Hostile, path: Path) -> dict[str, Any]:
    return {"inspector": ForeignInspector(hostile.now), "inspects": True}


def hostile_semantic(journey: Journeys, hostile: Hostile, path: Path) -> dict[str, Any]:
    journey.similar = True
    confirmer = ForeignConfirmer(hostile.waiting, says=hostile.step == "confirmed")
    return {
        "semantic": ForeignSemantic(hostile.waiting, HIT),
        "confirmer": confirmer,
        "router": ForeignRouter(hostile.waiting, journey.steps.router, hostile.now),
    }


def hostile_embedder(journey: Journeys, hostile: Hostile, path: Path) -> dict[str, Any]:
    return semantic_answers(journey, Probe(), path, embedder=ForeignEmbedder(hostile.waiting))


def hostile_verifier(journey: Journeys, hostile: Hostile, path: Path) -> dict[str, Any]:
    return semantic_answers(journey, Probe(), path, verifier=ForeignVerifier(hostile.waiting))


def hostile_cache(journey: Journeys, hostile: Hostile, path: Path) -> dict[str, Any]:
    return {"cache": ForeignCache(hostile.waiting, journey.steps.cache, hostile.now)}


def hostile_router(journey: Journeys, hostile: Hostile, path: Path) -> dict[str, Any]:
    return {"router": ForeignRouter(hostile.waiting, journey.steps.router, hostile.now)}


def hostile_store(journey: Journeys, hostile: Hostile, path: Path) -> dict[str, Any]:
    cache = journey.steps.cache
    assert isinstance(cache, ExactCache)
    store = ForeignStore(hostile.waiting, cache._store)
    return {"cache": ExactCache(store, ttl_s=60, answer_bytes_max=10_000, keys=cache._keys)}


def hostile_classifier(journey: Journeys, hostile: Hostile, path: Path) -> dict[str, Any]:
    return {"classifier": ForeignClassifier(hostile.waiting)}


Place = Callable[[Journeys, Hostile, Path], dict[str, Any]]
AWAITED: dict[str, tuple[Place, str]] = {
    "Classifier.classify": (hostile_classifier, "classify"),
    "ResponseCache.lookup": (hostile_cache, "cache"),
    "ResponseCache.store": (hostile_cache, "store"),
    "KeyValueStore.get": (hostile_store, "cache"),
    "KeyValueStore.set": (hostile_store, "store"),
    "SemanticCache.lookup": (hostile_semantic, "semantic"),
    "SemanticCache.store": (hostile_semantic, "learn"),
    "SemanticCache.confirmed": (hostile_semantic, "confirmed"),
    "Confirmer.confirm": (hostile_semantic, "confirm"),
    "Embedder.embed": (hostile_embedder, "embed"),
    "Verifier.verify": (hostile_verifier, "verify"),
    "Router.route": (hostile_router, "route"),
    "AnswerCheck.doubt": (hostile_check, "check:foreign"),
}
AT_ONCE: dict[str, tuple[Place, str]] = {
    "ResponseCache.key": (hostile_cache, "cache_key"),
    "Router.pins": (hostile_router, "pins"),
    "Router.answers": (hostile_semantic, "answers"),
    "Router.fallback": (hostile_router, "fallback"),
    "Inspector.asked": (hostile_inspector, "asked"),
    "Inspector.wants": (hostile_inspector, "wants"),
    "Inspector.inspect": (hostile_inspector, "inspect"),
}
WITHIN = {"embed": "semantic", "verify": "semantic"}
"""The step of the journey that asks it."""
RETURN_NOTHING = ("store", "learn", "confirmed", "asked", "inspect")
HARM = ("raising", "blocking", "leaking a task", "setting context", "cancelled", "returning the wrong type")
SKIPPED = ("slow", "raising", "cancelled", "cancelled by another", "returning the wrong type")
CASES = [(seam, how) for seam in AWAITED for how in ("slow", "cancelled by another", *HARM)]
CASES += [(seam, how) for seam in AT_ONCE for how in HARM]


@pytest.mark.parametrize(("seam", "how"), CASES)
def test_a_hostile_step_costs_that_step_alone(
    seam: str, how: str, upstream: FaultProvider, tmp_path: Path
) -> None:
    place, step = (AWAITED | AT_ONCE)[seam]

    async def work() -> None:
        reuse = "repeatable" if step == "pins" else "always"  # which is what it is asked for
        async with journeys(upstream.base_url, reuse=reuse) as journey:
            hostile = Hostile(how, step)
            hostile.on = False
            await journey.changed(place(journey, hostile, tmp_path))
            hostile.on = True
            if how in ("slow", "blocking"):
                journey.steps = msgspec.structs.replace(journey.steps, brain_timeout_s=BRAIN_S)
            reply, receipt = await journey.ask("what is a coin", user="u")
            assert isinstance(reply, Answer), reply
            said = text_of(reply)
            assert said == "echo: what is a coin" or (step == "confirmed" and said == "stored")
            assert receipt.status == 200
            named = WITHIN.get(step, step)
            if how in SKIPPED and not (how == "returning the wrong type" and step in RETURN_NOTHING):
                assert named in receipt.skipped
            elif step != "fallback" and (step, how) != ("verify", "blocking"):  # which had waited: it is late
                assert receipt.skipped == {}
            if how == "blocking" and seam in AWAITED:
                assert receipt.stage_ms[named] > BRAIN_S * 1000
            hostile.on = False
            journey.steps = msgspec.structs.replace(journey.steps, brain_timeout_s=PATIENT_S)
            reply, receipt = await journey.ask("what is next", user="v")
            assert isinstance(reply, Answer)
            assert receipt.skipped == {}

    on_the_gateways_loop(work())


@pytest.mark.parametrize("how", ["raising", "cancelled"])
@pytest.mark.parametrize("closed", ["contract", "guardrail"])
def test_what_fails_closed_lets_nothing_through_and_the_next_request_is_untouched(
    closed: str, how: str, upstream: FaultProvider
) -> None:
    class Closed:
        def __init__(self, contract: Any) -> None:
            self.contract = contract

        def reserve(self, request: Request, prompt: Any) -> Any:
            hostile.now("closed")
            return self.contract.reserve(request, prompt)

        def check(self, text: str) -> None:
            hostile.now("closed")

        def check_long(self, text: str) -> Any:
            yield hostile.now("closed")

    hostile = Hostile(how, "closed")

    async def work() -> None:
        async with journeys(upstream.base_url) as journey:
            made = Closed(journey.steps.contract)
            change = {"contract": made} if closed == "contract" else {"guardrails": (made,)}
            journey.steps = msgspec.structs.replace(journey.steps, **change)
            calls = len(upstream.calls)
            reply, receipt = await journey.ask("what is it")
            assert isinstance(reply, BaseException) and receipt.status != 200
            assert len(upstream.calls) == calls
            hostile.on = False
            reply, receipt = await journey.ask("what is it")
            assert isinstance(reply, Answer) and receipt.status == 200

    on_the_gateways_loop(work())


def test_a_step_that_blocks_or_fails_is_told_of_now_and_then_not_for_each_request(
    upstream: FaultProvider, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(how: str) -> None:
        async with journeys(upstream.base_url, brain_s=BRAIN_S) as journey:
            hostile = Hostile(how, "classify")
            journey.steps = msgspec.structs.replace(
                journey.steps, **hostile_classifier(journey, hostile, Path())
            )
            for _ in range(3):
                await journey.ask()

    caplog.set_level(logging.WARNING, "farthing.pipeline")
    on_the_gateways_loop(work("blocking"))
    on_the_gateways_loop(work("raising"))
    told = [record.getMessage() for record in caplog.records if record.name == "farthing.pipeline"]
    assert told == [
        "step classify blocked the event loop, which no time limit can end",
        "step classify skipped: RuntimeError: broken on purpose",
    ]
