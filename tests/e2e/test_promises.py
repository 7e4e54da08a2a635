"""The promises at the top of `pipeline/answer.py`, each by its words, with steps that break them on purpose.

The journey is wired as `app.build` wires it, before a provider on a real socket; one step at a time is
then replaced by one that fails, hangs or leaves.
"""

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest
from tests.asking import ACME
from tests.e2e.gateway import until
from tests.faults.provider import FaultProvider
from tests.wired import parts_in_memory

from farthing.config import loads
from farthing.edge.openai import Asked
from farthing.errors import ContractExceeded, FarthingError, NoProviderLeft, StoreError, StreamBroken
from farthing.ledger.memory import MemoryLedger
from farthing.ledger.rows import Intent
from farthing.pipeline.answer import answer
from farthing.pipeline.steps import Steps
from farthing.types import Answer, CacheHit, Json, Receipt, Request, Route, Traits
from farthing.wiring.build import build

CONFIG = """
[providers.a]
kind = "{dialect}"
base_url = "{url}"
api_key = "${{PROVIDER_KEY}}"
[tiers.cheap]
targets = ["a/first", "a/second"]
[endpoints.paid]
usd_max = 0.01
[endpoints.quick]
deadline_s = 5
[[prices]]
target = "a/first"
input = 1
output = 2
[[prices]]
target = "a/second"
input = 1
output = 2
[brain]
timeout_s = 0.2
"""


class Collected:
    """A sink that keeps what it is sent, and may have a client that leaves."""

    def __init__(self, leave: Callable[[], None] | None = None) -> None:
        self.sent = b""
        self._leave = leave

    def send(self, events: bytes) -> None:
        self.sent += events
        if self._leave is not None:
            self._leave()

    def when_writable(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        return None

    def outlive(self, left: Callable[[Callable[[], None]], bool]) -> None:
        return None

    def returned(self, lines: bytes) -> None:
        return None

    def closing(self, reply: Answer) -> Answer:
        return reply


class Journey:
    """One configuration, wired; `ask` sends one request through it."""

    def __init__(self, url: str, dialect: str) -> None:
        self.ledger = MemoryLedger()
        self.parts = parts_in_memory(self.ledger)
        config = loads(CONFIG.format(url=url, dialect=dialect), {"PROVIDER_KEY": "sk-of-the-tests"})
        serving = build(config, self.parts)
        self.steps: Steps = serving.steps
        self._reader = serving.reader

    def request(self, body: Json) -> Request:
        asked = Asked(
            id=f"r{time.monotonic_ns()}", tenant=ACME, headers={}, received_s=time.monotonic(), body_bytes=99
        )
        return self._reader.chat(body, asked)

    async def ask(
        self, text: str = "what is it", sink: Collected | None = None, **fields: Any
    ) -> tuple[Answer, Receipt, Collected]:
        body = {"model": "auto", "messages": [{"role": "user", "content": text}], **fields}
        request = self.request(body)
        receipt = Receipt(request_id=request.id, at_unix_s=time.time(), started_s=request.received_s)
        sink = sink or Collected()
        return await answer(request, self.steps, receipt, sink), receipt, sink

    @property
    def receipts(self) -> list[Receipt]:
        return [row for row in self.ledger.rows() if isinstance(row, Receipt)]

    @property
    def intents(self) -> list[Intent]:
        return [row for row in self.ledger.rows() if isinstance(row, Intent)]


@pytest.fixture(scope="module", params=["openai", "anthropic"])
def dialect(request: pytest.FixtureRequest) -> str:
    """What the provider speaks."""
    return str(request.param)


@pytest.fixture(scope="module")
def run(
    upstream: FaultProvider, dialect: str
) -> Callable[[Callable[[Journey], Coroutine[Any, Any, None]]], None]:
    def runner(what: Callable[[Journey], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            journey = Journey(upstream.base_url, dialect)
            try:
                await what(journey)
            finally:
                await journey.parts.transport.aclose()

        asyncio.run(main())
        # A call that was given up may still be on its way: it must not take the script of the next test.
        until(lambda: upstream.connections_open == 0)

    return runner


Run = Callable[[Callable[[Journey], Coroutine[Any, Any, None]]], None]


def text_of(reply: Answer) -> str:
    return str(json.loads(reply.body)["choices"][0]["message"]["content"])


# -- 1: the brain can make an answer cheaper or sooner, never absent ------------------------------------


async def fails() -> Any:
    raise StoreError("the step is broken")


async def is_a_bug() -> Any:
    raise ZeroDivisionError


async def hangs() -> Any:
    await asyncio.sleep(30)


class BadClassifier:
    def __init__(self, how: Callable[[], Any]) -> None:
        self._how = how

    async def classify(self, request: Request) -> Traits:
        return await self._how()  # type: ignore[no-any-return]


class BadRouter:
    def __init__(self, router: Any, how: Callable[[], Any]) -> None:
        self._router, self._how = router, how

    async def route(self, request: Request, traits: Traits) -> Route:
        return await self._how()  # type: ignore[no-any-return]

    def fallback(self, request: Request) -> Route:
        return self._router.fallback(request)  # type: ignore[no-any-return]

    def pins(self, request: Request) -> bool:
        return False


class BadCache:
    def __init__(self, cache: Any, how: Callable[[], Any], *, stores: bool) -> None:
        self._cache, self._how, self._stores = cache, how, stores

    def key(self, request: Request) -> bytes | None:
        return self._cache.key(request)  # type: ignore[no-any-return]

    async def lookup(self, key: bytes) -> CacheHit | None:
        return None if self._stores else await self._how()

    async def store(self, key: bytes, hit: CacheHit, *, ttl_s: float | None) -> None:
        await self._how()


BREAK: dict[str, Callable[[Steps, Callable[[], Any]], dict[str, Any]]] = {
    "classify": lambda steps, how: {"classifier": BadClassifier(how)},
    "route": lambda steps, how: {"router": BadRouter(steps.router, how)},
    "cache": lambda steps, how: {"cache": BadCache(steps.cache, how, stores=False)},
    "store": lambda steps, how: {"cache": BadCache(steps.cache, how, stores=True)},
}


@pytest.mark.parametrize("how", [fails, is_a_bug, hangs])
@pytest.mark.parametrize("step", BREAK)
@pytest.mark.parametrize("stream", [False, True])
def test_a_broken_or_slow_optional_step_changes_nothing_but_the_bill(
    run: Run, step: str, how: Callable[[], Any], stream: bool
) -> None:
    async def what(journey: Journey) -> None:
        journey.steps = msgspec.structs.replace(journey.steps, **BREAK[step](journey.steps, how))
        began_s = time.monotonic()
        reply, receipt, sink = await journey.ask(stream=stream)
        assert time.monotonic() - began_s < 25, "it hangs for 30 s"
        assert b"what" in sink.sent if stream else text_of(reply) == "echo: what is it"
        assert set(receipt.skipped) >= {step}
        assert receipt.status == 200 and journey.receipts == [receipt]

    run(what)


def test_all_optional_steps_together_have_one_time_budget(run: Run) -> None:
    async def what(journey: Journey) -> None:
        changes = BREAK["classify"](journey.steps, hangs) | BREAK["route"](journey.steps, hangs)
        changes |= BREAK["cache"](journey.steps, hangs)
        journey.steps = msgspec.structs.replace(journey.steps, **changes)
        _, receipt, _ = await journey.ask()
        assert sum(receipt.stage_ms.values()) < 600, "not four times the budget of 200"
        assert set(receipt.skipped) == {"classify", "cache", "route", "store"}

    run(what)


def test_in_strict_mode_a_broken_step_is_an_error(run: Run) -> None:
    async def what(journey: Journey) -> None:
        changes = BREAK["classify"](journey.steps, is_a_bug)
        journey.steps = msgspec.structs.replace(journey.steps, strict=True, **changes)
        with pytest.raises(ZeroDivisionError):
            await journey.ask()
        assert [(r.status, r.error) for r in journey.receipts] == [(500, "ZeroDivisionError")]

    run(what)


# -- 2: a failed provider is invisible until the first chunk is out, and told truthfully after it --------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", ["reset", "status=500", "status=429", "bad=html", "truncate=0"])
def test_a_failed_provider_is_invisible_until_the_first_chunk(
    run: Run, upstream: FaultProvider, fault: str, stream: bool
) -> None:
    async def what(journey: Journey) -> None:
        upstream.script(*[fault] * (2 if fault == "reset" else 1), "good")
        reply, receipt, sink = await journey.ask(stream=stream)
        assert b"what" in sink.sent if stream else text_of(reply) == "echo: what is it"
        assert receipt.target == "a/second" and receipt.attempts[0].error
        assert len(journey.intents) == receipt.calls == len(receipt.attempts)

    run(what)


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_its_client_cannot_be_told_is_no_success(run: Run, stream: bool) -> None:
    class Speechless(Collected):
        def closing(self, reply: Answer) -> Answer:
            raise StreamBroken("it cannot be told in this form")

    async def what(journey: Journey) -> None:
        for text in ("told once", "told once"):  # had from a provider, then from the cache
            with pytest.raises(StreamBroken):
                await journey.ask(text, Speechless(), stream=stream)
        first, again = journey.receipts
        assert (first.status, first.error) == (again.status, again.error) == (502, "stream_broken")
        assert first.cost_nusd and again.cache == "exact"

    run(what)


def test_a_failure_after_the_first_chunk_is_told(run: Run, upstream: FaultProvider) -> None:
    async def what(journey: Journey) -> None:
        upstream.script("gap=0.02,truncate=3,end=cut")
        sink = Collected()
        with pytest.raises(StreamBroken):
            await journey.ask("one two three four", sink, stream=True)
        assert b"echo:" in sink.sent and b"four" not in sink.sent
        (receipt,) = journey.receipts
        assert (receipt.status, receipt.error, receipt.attempts[0].error) == (
            502,
            "stream_broken",
            "stream_broken",
        )
        _again, second, _ = await journey.ask("one two three four")
        assert second.cache == "miss", "half an answer is never kept"

    run(what)


# -- 3: one request leaves exactly one receipt ------------------------------------------------------------


def test_success_and_error_leave_one_receipt_each(run: Run, upstream: FaultProvider) -> None:
    async def what(journey: Journey) -> None:
        asked: list[tuple[str, dict[str, Any]]] = [
            ("good", {}),
            ("status=400", {"model": "a/first"}),
            ("good", {"model": "farthing/paid", "stream": True}),
        ]
        for number, (script, fields) in enumerate(asked):
            upstream.script(script)
            try:
                await journey.ask(f"q{number}", **fields)
            except NoProviderLeft as error:
                assert error.status == 400
            assert len(journey.receipts) == number + 1
        assert [r.status for r in journey.receipts] == [200, 400, 200]

    run(what)


@pytest.mark.parametrize("stream", [False, True])
def test_a_disconnect_at_any_await_leaves_one_receipt_and_settles_the_hold(
    run: Run, upstream: FaultProvider, stream: bool
) -> None:
    async def what(journey: Journey) -> None:
        for turns in range(40):
            body_fields: dict[str, Any] = {"model": "farthing/paid", "stream": stream}
            task = asyncio.create_task(journey.ask(f"q{turns} {stream}", **body_fields))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel("client_gone")
            done, _ = await asyncio.wait([task], timeout=30)
            assert done, "it ends"
            expected = turns if turns else 0  # before its first turn it has not begun
            assert len(journey.receipts) == expected, turns
        assert {r.status for r in journey.receipts} <= {200, 499}
        assert len(journey.parts.flights) == 0, "nobody waits for a leader that left"
        called = {intent.request_id for intent in journey.intents}
        assert called <= {r.request_id for r in journey.receipts}

    run(what)


# -- 4: money is reserved before it is spent and settled exactly once --------------------------------------


def test_money_is_reserved_before_the_call_and_settled_once(run: Run, upstream: FaultProvider) -> None:
    async def what(journey: Journey) -> None:
        holds: list[Any] = []
        contract = journey.parts.contract

        class Watched:
            def __init__(self, hold: Any) -> None:
                self.hold = hold
                self.told: list[Any] = []

            left_s = property(lambda self: self.hold.left_s)
            left_nusd = property(lambda self: self.hold.left_nusd)
            left_calls = property(lambda self: self.hold.left_calls)

            def call(self, worst_case_nusd: int | None) -> None:
                assert not journey.intents or journey.intents[-1].request_id != "now"
                self.told.append(("call", worst_case_nusd, len(upstream.calls)))
                self.hold.call(worst_case_nusd)

            def release(self, worst_case_nusd: int | None, cost_nusd: int | None) -> None:
                self.told.append(("release", cost_nusd, len(upstream.calls)))
                self.hold.release(worst_case_nusd, cost_nusd)

            def settle(self, cost_nusd: int | None) -> None:
                self.told.append(("settle", cost_nusd, len(upstream.calls)))
                self.hold.settle(cost_nusd)

        class WatchedContract:
            def reserve(self, request: Request, prompt: Any) -> Any:
                holds.append(Watched(contract.reserve(request, prompt)))
                return holds[-1]

        journey.steps = msgspec.structs.replace(journey.steps, contract=WatchedContract())
        before = len(upstream.calls)
        upstream.script("status=500", "good", "status=400", "status=400")
        _, receipt, _ = await journey.ask("paid", model="farthing/paid")
        with pytest.raises(FarthingError):
            await journey.ask("refused", model="farthing/paid")
        good, bad = holds
        assert [(kind, seen - before) for kind, _, seen in good.told] == [
            ("call", 0),
            ("release", 1),
            ("call", 1),
            ("settle", 2),
        ]
        worst = good.told[0][1]
        assert receipt.cost_nusd is not None and worst is not None and 0 < receipt.cost_nusd <= worst
        assert good.told[-1][1] == receipt.cost_nusd
        assert [kind for kind, *_ in bad.told].count("settle") == 1 and bad.told[-1][1] == 0

    run(what)


def test_a_call_that_may_cost_too_much_is_not_made(run: Run, upstream: FaultProvider) -> None:
    async def what(journey: Journey) -> None:
        calls = len(upstream.calls)
        with pytest.raises(ContractExceeded) as refused:
            await journey.ask("x " * 20_000, model="farthing/paid")
        assert refused.value.limit == "usd_max" and len(upstream.calls) == calls
        assert journey.intents == [] and journey.receipts[0].cost_nusd == 0

    run(what)


# -- 5: what the client sent reaches the model ----------------------------------------------------------


def test_what_the_client_sent_reaches_the_model_field_by_field(
    run: Run, upstream: FaultProvider, dialect: str
) -> None:
    said: dict[str, Any] = {"temperature": 0.3, "stop": ["a"], "seed": 1}
    only_chat = {"odd": [{"x": None}], "logit_bias": {"5": 1}}
    if dialect == "openai":
        said |= only_chat
    sent_as = said if dialect == "openai" else {"temperature": 0.3, "stop_sequences": ["a"]}

    async def what(journey: Journey) -> None:
        for stream in (False, True):
            calls = len(upstream.calls)
            _, receipt, _ = await journey.ask(f"é {stream}", stream=stream, **said)
            sent = upstream.calls[calls].json
            for name, value in sent_as.items():
                assert sent[name] == value
            (message,) = sent["messages"]
            assert message["role"] == "user"
            assert message["content"] in (f"é {stream}", [{"type": "text", "text": f"é {stream}"}])
            assert receipt.attempts[0].left_out == ("" if dialect == "openai" else "seed")

    run(what)


def test_what_no_provider_has_a_word_for_is_refused_by_its_name_before_any_call(
    run: Run, upstream: FaultProvider, dialect: str
) -> None:
    async def what(journey: Journey) -> None:
        calls = len(upstream.calls)
        for stream in (False, True):
            asked = journey.ask(f"words {stream}", stream=stream, odd=[{"x": None}], logit_bias={"5": 1})
            if dialect == "openai":
                await asked
                continue
            with pytest.raises(NoProviderLeft, match="asked for `logit_bias` and `odd`: leave them out"):
                await asked
            assert journey.receipts[-1].cost_nusd == 0
        assert len(upstream.calls) - calls == (2 if dialect == "openai" else 0)

    run(what)
