"""Judging in batches, in the quiet hours: what waits, what goes up, what outlives a death, what it costs."""

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from benchmarks.judge import shown_in
from tests.asking import asked
from tests.faults.provider import FaultProvider
from tests.faults.truth import Call
from tests.wired import parts_in_memory

from farthing.config import JobsConfig, loads
from farthing.errors import ConfigError
from farthing.evaluation.feedback.verdicts import Verdicts
from farthing.evaluation.judges.grade import Grade, Rubric
from farthing.jobs import batch_judge
from farthing.jobs.batch import run
from farthing.jobs.batch_judge import BatchJudge
from farthing.jobs.runner import JobRunner
from farthing.jobs.schedule import window_of
from farthing.jobs.shadow import Explore
from farthing.ledger.memory import MemoryLedger
from farthing.stores.state.memory import MemoryState
from farthing.types import CacheHit, Receipt, Request, Route, Signal, Target, Usage
from farthing.wiring.build import build

CONFIG = """
[providers.a]
base_url = "{url}"
batch = true
[tiers.cheap]
targets = ["a/small"]
[tiers.expensive]
targets = ["a/large"]
[endpoints.faq]
[[prices]]
target = "a/small"
input = 1
output = 2
[[prices]]
target = "a/judge"
input = 10
output = 20
batch_input = 5
batch_output = 10
"""
RIGHT, WRONG = "It is green.", "It is a right angle."
DAY, NIGHT = datetime(2026, 5, 4, 12, 0), datetime(2026, 5, 5, 3, 0)
RUBRIC = Rubric(judge="a/judge", batch=True)


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_judge, "POLL_S", 0.02)
    monkeypatch.setattr(run, "POLL_S_MIN", 0.02)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(120):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)


def says(call: Call) -> str:
    """The small model is wrong, and the judge knows."""
    if not call.model:
        return ""  # a file or a batch
    if call.model == "small":
        return f"say={quote(WRONG)}"
    messages = call.json["messages"]
    code = messages[1]["content"].partition("[request ")[2].partition("]")[0]
    if "[answer one" not in messages[1]["content"]:
        return f"say={quote(f'4-{code}')}"
    return f"say={quote(('FIRST' if RIGHT in shown_in(messages).one else 'SECOND') + f'-{code}')}"


class Life:
    """What one process has, over a state directory and a ledger that outlive it."""

    def __init__(self, url: str, state: Path, ledger: MemoryLedger, jobs: JobsConfig | None = None) -> None:
        self.ledger = ledger
        self.now = DAY
        self.parts = parts_in_memory(ledger)
        config = jobs or JobsConfig(per_minute=60_000, usd_per_day=Decimal(50))
        self.jobs = JobRunner(
            config, busy=lambda: 0.0, clock=time.monotonic, clock_unix_s=time.time, state=MemoryState()
        )
        serving = build(loads(CONFIG.format(url=url), {}), self.parts)
        self.endpoint = serving.reader.named
        self.jobs.reconfigure(config, serving.steps)
        self.desk = BatchJudge(
            self.jobs, state, clock=time.monotonic, clock_unix_s=time.time, wall=lambda: self.now
        )
        verdicts = Verdicts(ledger, None, clock_unix_s=time.time)
        self.desk.window = window_of("02:00", "05:00")
        self.desk.endpoint = self.endpoint
        self.desk.verdicts = verdicts
        given: dict[str, Any] = {
            "rubrics": {"faq": RUBRIC},
            "endpoint": self.endpoint,
            "verdicts": verdicts,
            "clock": time.monotonic,
            "batch_judge": self.desk,
        }
        self.explorer = Explore(self.jobs, checks=None, **given)
        self.grader = Grade(self.jobs, **given)
        self.watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self.jobs.start()
        self.watching = asyncio.get_running_loop().create_task(self.desk.watch())
        await until(lambda: self.desk.open)

    async def end(self) -> None:
        if self.watching is not None:
            self.watching.cancel()
            await asyncio.gather(self.watching, return_exceptions=True)
        self.desk.release()
        await self.jobs.aclose()
        await self.parts.transport.aclose()

    def request(self, number: int) -> Request:
        endpoint = self.endpoint("faq")
        assert endpoint is not None
        return asked(f"What colour has number {number}?", id=f"req_{number}", endpoint=endpoint)

    def explore(self, count: int, first: int = 0) -> None:
        for number in range(first, first + count):
            assert self.explorer.explore(self.request(number), ROUTE, HIT, client(number))

    def grade(self, number: int) -> None:
        assert self.grader.grade(self.request(number), HIT, client(number))

    @property
    def receipts(self) -> list[Receipt]:
        return [row for row in self.ledger.rows() if isinstance(row, Receipt)]

    @property
    def judged(self) -> list[Receipt]:
        return [row for row in self.receipts if row.purpose == "judge"]

    @property
    def signals(self) -> list[Signal]:
        return [row for row in self.ledger.rows() if isinstance(row, Signal)]


SMALL, LARGE = (Target(name=f"a/{name}", provider="a", model=name) for name in ("small", "large"))
ROUTE = Route(
    tier="expensive",
    targets=(LARGE,),
    reason="explored",
    shadow=Route(tier="cheap", targets=(SMALL,), reason="cheap"),
)
CHOICE = {"index": 0, "message": {"role": "assistant", "content": RIGHT}, "finish_reason": "stop"}
HIT = CacheHit(
    kind="exact",
    body=json.dumps({"choices": [CHOICE]}).encode(),
    target="a/large",
    usage=Usage(),
    cost_nusd=1,
)


def client(number: int) -> Receipt:
    return Receipt(
        request_id=f"req_{number}", at_unix_s=1.0, started_s=1.0, tier="expensive", target="a/large"
    )


def truth_nusd(provider: FaultProvider) -> int:
    price = {("small", False): (1, 2), ("judge", False): (10, 20), ("judge", True): (5, 10)}
    calls = [call for call in provider.calls if call.path.endswith("/chat/completions")]
    return sum(
        1_000 * (call.prompt_tokens * price[call.model, bool(call.batch)][0])
        + 1_000 * (call.completion_tokens * price[call.model, bool(call.batch)][1])
        for call in calls
    )


def lived(
    state: Path, what: Callable[[Callable[..., Life], FaultProvider], Coroutine[Any, Any, None]]
) -> None:
    """Run `what`, which is given a way to begin a life; all of them end, and the ledger adds up."""
    ledger, lives = MemoryLedger(), list[Life]()

    async def main(provider: FaultProvider) -> None:
        def begin(**changes: Any) -> Life:
            lives.append(Life(provider.base_url, state, ledger, **changes))
            return lives[-1]

        try:
            await what(begin, provider)
        finally:
            for life in lives:
                await life.end()

    with FaultProvider(on_call=says) as provider:
        provider.desk.outcome = "completed"
        asyncio.run(main(provider))
        spent = sum(row.cost_nusd or 0 for row in ledger.rows() if isinstance(row, Receipt))
        assert spent == truth_nusd(provider)


def test_by_day_comparisons_wait_and_at_night_they_go_up_together(tmp_path: Path) -> None:
    async def go(begin: Callable[..., Life], provider: FaultProvider) -> None:
        life = begin()
        await life.start()
        life.explore(6)
        life.grade(90)
        await until(lambda: len(life.receipts) == 6)
        await asyncio.sleep(0.2)
        assert not life.signals and not provider.desk.created
        assert len((tmp_path / "judging.jsonl").read_text().splitlines()) == 13
        life.now = NIGHT
        await until(lambda: len(life.signals) == 13)
        assert len(provider.desk.created) == 1
        pairs = [one for one in life.signals if one.kind == "pairwise"]
        assert {(one.tier, one.quality, one.consistent, one.by) for one in pairs} == {
            ("cheap", 0.0, True, "a/judge"),
            ("expensive", 1.0, True, "a/judge"),
        }
        assert {one.request_id for one in pairs} == {f"req_{number}" for number in range(6)}
        assert {(one.target, one.other) for one in pairs} == {("a/small", "expensive"), ("a/large", "cheap")}
        (graded,) = [one for one in life.signals if one.kind == "rubric"]
        assert (graded.request_id, graded.quality, graded.target) == ("req_90", 0.75, "a/large")
        await until(lambda: len(life.judged) == 13)
        assert sorted(row.about for row in life.judged) == sorted(
            [f"req_{n // 2}" for n in range(12)] + ["req_90"]
        )
        assert (tmp_path / "judging.jsonl").read_text() == ""

    lived(tmp_path, go)


def test_too_few_for_a_batch_are_asked_singly(tmp_path: Path) -> None:
    async def go(begin: Callable[..., Life], provider: FaultProvider) -> None:
        life = begin()
        await life.start()
        life.explore(2)
        await until(lambda: len(life.receipts) == 2)
        life.now = NIGHT
        await until(lambda: len(life.signals) == 4)
        assert not provider.desk.created and {one.quality for one in life.signals} == {0.0, 1.0}
        await until(lambda: len(life.judged) == 4)

    lived(tmp_path, go)


def test_what_waits_outlives_the_process(tmp_path: Path) -> None:
    async def go(begin: Callable[..., Life], provider: FaultProvider) -> None:
        first = begin()
        await first.start()
        first.explore(6)
        await until(lambda: len(first.receipts) == 6)
        await asyncio.sleep(0.05)
        await first.end()
        second = begin()
        second.now = NIGHT
        await second.start()
        await until(lambda: len(second.signals) == 12)
        assert len(provider.desk.created) == 1

    lived(tmp_path, go)


def test_what_went_up_is_taken_by_whoever_comes_after_and_asked_once(tmp_path: Path) -> None:
    async def go(begin: Callable[..., Life], provider: FaultProvider) -> None:
        provider.desk.outcome = None
        first = begin()
        await first.start()
        first.explore(6)
        await until(lambda: len(first.receipts) == 6)
        first.now = NIGHT
        await until(lambda: bool(provider.desk.created))
        await asyncio.sleep(0.1)
        await first.end()
        provider.desk.outcome = "completed"
        second = begin()
        await second.start()  # by day: what is under way is followed at any hour
        await until(lambda: len(second.signals) == 12)
        assert len(provider.desk.created) == 1
        assert {(one.quality, one.consistent) for one in second.signals} == {(0.0, True), (1.0, True)}

    lived(tmp_path, go)


def test_a_batch_that_fails_is_no_verdict_for_any_of_them(tmp_path: Path) -> None:
    async def go(begin: Callable[..., Life], provider: FaultProvider) -> None:
        provider.desk.outcome = "failed"
        life = begin()
        await life.start()
        life.explore(5)
        await until(lambda: len(life.receipts) == 5)
        life.now = NIGHT
        await until(lambda: len(life.signals) == 10)
        assert {one.quality for one in life.signals} == {None}
        await until(lambda: len(life.judged) == 10)
        assert all(row.error for row in life.judged)

    lived(tmp_path, go)


def test_a_second_process_on_the_same_state_judges_at_once(tmp_path: Path) -> None:
    async def go(begin: Callable[..., Life], provider: FaultProvider) -> None:
        first = begin()
        await first.start()
        other = begin()
        other.jobs.start()
        other.watching = asyncio.get_running_loop().create_task(other.desk.watch())
        await until(lambda: first.desk.open)
        await asyncio.sleep(0.1)
        assert not other.desk.open
        other.explore(1)
        await until(lambda: len(other.signals) == 2)
        assert not provider.desk.created

    lived(tmp_path, go)


def test_what_finds_no_room_is_no_verdict_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_judge, "WAITING_MAX", 3)

    async def go(begin: Callable[..., Life], provider: FaultProvider) -> None:
        life = begin()
        await life.start()
        life.explore(2)
        await until(lambda: len(life.signals) == 2)
        assert {(one.quality, one.detail) for one in life.signals} == {(None, "queue_full")}
        assert life.desk.dropped == 2

    lived(tmp_path, go)


@pytest.mark.parametrize(
    ("batches", "hours", "said"),
    [
        ("", 'at = "02:00"\nuntil = "05:00"', "the provider of a/judge needs batch = true"),
        ("batch = true", "", "give the quiet hours"),
    ],
)
def test_batches_need_a_provider_that_has_them_and_hours(batches: str, hours: str, said: str) -> None:
    async def go() -> None:
        text = f"""
[providers.a]
base_url = "http://127.0.0.1:9/v1"
{batches}
[tiers.cheap]
targets = ["a/small"]
[precompute]
{hours}
[endpoints.faq.quality]
judge = "a/judge"
judge_batch = true
"""
        from farthing.types import replace
        from farthing.wiring.quality import QualityParts

        ledger = MemoryLedger()
        parts = replace(parts_in_memory(ledger), quality=QualityParts(ledger))
        with pytest.raises(ConfigError, match=said):
            build(loads(text, {}), parts)

    asyncio.run(go())
