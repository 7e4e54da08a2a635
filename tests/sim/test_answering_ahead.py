"""Answering ahead under a virtual clock: quiet hours, restarts at any moment, clients who come first."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests import virtual
from tests.unit.jobs.test_runner import Bench

from farthing.config import JobsConfig, PrecomputeConfig
from farthing.jobs.prewarm import run
from farthing.jobs.prewarm.gather import Stage
from farthing.jobs.prewarm.run import Precompute
from farthing.jobs.schedule import Answered, Began, Ended, Row, window_of
from farthing.stores.state.memory import MemoryState
from farthing.types import Endpoint

NOON = datetime(2026, 3, 27, 12, 0)  # a clock change lies within the days after it, in much of Europe
HOUR_S = 3_600.0
DAY_S = 86_400.0
COUNT = 40


@pytest.fixture(autouse=True)
def _looks_twice_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look costs real time, however virtual the clock."""
    monkeypatch.setattr(run, "POLL_S", 30.0)


class Nights:
    """One state directory, and the processes that come and go on it."""

    def __init__(self, folder: Path, bench: Bench, *, at: str = "01:00", until: str = "05:00") -> None:
        self.bench = bench
        self.rows: list[tuple[datetime, Row]] = []
        self.folder = folder
        questions = folder / "questions.jsonl"
        listed = [{"question": f"How much is number {i}?", "endpoint": "faq"} for i in range(COUNT)]
        questions.write_text("\n".join(map(json.dumps, listed)))
        self.stage = Stage(
            config=PrecomputeConfig(at=at, until=until, usd_max=Decimal(1), file=questions),
            window=window_of(at, until),
            book=None,
            endpoint={"faq": Endpoint(name="faq", cache_ttl_s=DAY_S)}.get,
            tenants=None,
            exact_ttl_s=DAY_S,
        )
        self.process: asyncio.Task[None] | None = None

    def wall(self) -> datetime:
        return NOON + timedelta(seconds=asyncio.get_running_loop().time())

    def begin(self, seed: int = 1) -> None:
        """A process starts."""
        ahead = Precompute(
            self.bench.jobs,
            self.folder,
            clock=self.bench.clock,
            clock_unix_s=lambda: self.wall().timestamp(),
            wall=self.wall,
            draw=random.Random(seed),
            told=lambda row: self.rows.append((self.wall(), row)),
        )
        ahead.stage = self.stage

        async def live() -> None:
            try:
                await ahead.watch()
            finally:
                ahead.lock.release()

        self.process = asyncio.get_running_loop().create_task(live())

    async def end(self) -> None:
        """It dies; what it had queued dies with it."""
        assert self.process is not None
        self.process.cancel()
        await asyncio.gather(self.process, return_exceptions=True)
        await self.bench.jobs.aclose()
        config = self.bench.jobs.config
        self.bench.jobs = type(self.bench.jobs)(
            config,
            busy=lambda: self.bench.busy,
            clock=self.bench.clock,
            clock_unix_s=lambda: 0.0,
            state=MemoryState(),
        )
        self.bench.serve("from nine to five")
        self.bench.jobs.start()

    def of(self, kind: type) -> list[tuple[datetime, Any]]:
        return [(at, row) for at, row in self.rows if isinstance(row, kind)]


def nights(
    folder: Path, what: Callable[[Nights], Coroutine[Any, Any, None]], *, per_minute: int = 60, **hours: str
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        bench = Bench(JobsConfig(per_minute=per_minute), clock=loop.time)
        bench.jobs.start()
        one = Nights(folder, bench, **hours)
        try:
            await what(one)
        finally:
            await one.end()
            await bench.jobs.aclose()
            await bench.parts.transport.aclose()

    virtual.run(main())


def test_every_night_each_question_is_answered_once_within_the_hours(tmp_path: Path) -> None:
    async def go(night: Nights) -> None:
        night.begin()
        await asyncio.sleep(4 * DAY_S)
        assert [at.day for at, _ in night.of(Began)] == [28, 29, 30, 31]
        for at, _ in night.rows:
            assert 1 <= at.hour < 5
        assert set(Counter(row.key for _, row in night.of(Answered)).values()) == {4}
        assert len(night.bench.receipts) == 4 * COUNT
        assert [row.reason for _, row in night.of(Ended)] == ["done"] * 4

    nights(tmp_path, go)


def test_replicas_begin_at_different_times(tmp_path: Path) -> None:
    async def go(night: Nights) -> None:
        for seed in (1, 2):
            night.begin(seed)
            await asyncio.sleep(DAY_S)
            await night.end()
        (first, _), (second, _) = night.of(Began)
        assert first.time() != second.time()

    nights(tmp_path, go)


def test_a_run_stops_when_the_hours_are_over(tmp_path: Path) -> None:
    async def go(night: Nights) -> None:
        night.begin()
        await asyncio.sleep(DAY_S)
        ((ended, row),) = night.of(Ended)
        assert row.reason == "window"
        asked = [at for at, row in night.of(Answered) if row.error is None]
        assert 10 < len(asked) < COUNT
        assert max(asked) < NOON.replace(day=28, hour=1, minute=20)
        assert ended < NOON.replace(day=28, hour=1, minute=23)  # two waited for their turn, and were told

    nights(tmp_path, go, per_minute=1, at="01:00", until="01:20")


@pytest.mark.parametrize("seed", range(8))
def test_a_restart_at_any_moment_asks_nothing_twice_and_forgets_nothing(tmp_path: Path, seed: int) -> None:
    """What was under way when the process died may be asked again: it was paid for, but nobody noted it."""
    draw = random.Random(seed)

    async def go(night: Nights) -> None:
        cuts = sorted(12.5 * HOUR_S + draw.random() * 2.5 * HOUR_S for _ in range(5))
        night.begin(seed)
        for at_s in cuts:
            await asyncio.sleep(max(0.0, at_s - asyncio.get_running_loop().time()))
            await night.end()
            night.begin(seed)
        await asyncio.sleep(DAY_S - asyncio.get_running_loop().time())
        counted = Counter(row.key for _, row in night.of(Answered))
        assert len(counted) == COUNT and set(counted.values()) == {1}
        assert len(night.of(Began)) == 1 and [row.reason for _, row in night.of(Ended)] == ["done"]

    nights(tmp_path, go, per_minute=1)


def test_clients_come_first_even_in_quiet_hours(tmp_path: Path) -> None:
    async def go(night: Nights) -> None:
        night.begin()
        await asyncio.sleep(12 * HOUR_S)
        night.bench.busy = 0.9
        await asyncio.sleep(3 * HOUR_S)
        assert not night.of(Answered)
        night.bench.busy = 0.0
        await asyncio.sleep(HOUR_S)
        assert len(night.of(Answered)) == COUNT

    nights(tmp_path, go)


def test_two_processes_on_one_directory_do_the_work_once(tmp_path: Path) -> None:
    async def go(night: Nights) -> None:
        night.begin(1)
        first = night.process
        night.begin(2)
        await asyncio.sleep(2 * DAY_S)
        assert len(night.of(Began)) == 2
        assert first is not None
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await asyncio.sleep(DAY_S)
        assert len(night.of(Began)) == 3  # the other took over

    nights(tmp_path, go)
