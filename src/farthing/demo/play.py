"""Play the traffic of the demo against a gateway, check every answer, and read its ledger afterwards."""

import asyncio
import shutil
import tempfile
import textwrap
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from pathlib import Path

import msgspec
from msgspec import Struct, field

from farthing.demo import children, traffic, words
from farthing.demo.client import Client, Reply
from farthing.demo.upstream import TIERS, Bill, Tier
from farthing.insight.explain import request
from farthing.insight.report import report as reports
from farthing.insight.report.report import Report
from farthing.ledger.rows import Intent
from farthing.text.phrase import normalised
from farthing.types import Receipt

FAULTS_SHOWN_MAX = 5
TITLE_CHARS_MAX = 70
SHOW_S = 0.25
OBSERVED_SHARE = 0.4  # of the time, in which the semantic cache only says what it would have answered
LOOK = "semantic"  # what receipts call the step that looks into the semantic cache
WARM_UP = 80
WARM_UP_SETTLE_S = 1.0  # for the last look-ups of the warm-up; its answers are not waited for
LOOKS_MARGIN = 10  # times that what a look-up took in the warm-up it may take later


class Tally(Struct):
    """How far the demo is: what people see while they wait."""

    planned: int
    sent: int = 0
    done: int = 0
    failed: int = 0
    hits: int = 0
    similar: int = 0
    """Answered by the semantic cache."""
    wrong_hits: int = 0
    """Of those, with the answer to a question of another intent."""
    cost_usd: float = 0.0
    saved_usd: float = 0.0
    began_s: float = field(default_factory=time.monotonic)
    tiers: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def add(self, reply: Reply) -> None:
        self.done += 1
        self.hits += reply.cache in ("exact", "coalesced", "semantic")
        self.similar += reply.cache == "semantic"
        self.wrong_hits += reply.wrong_hit
        self.cost_usd += reply.cost_usd
        self.saved_usd += reply.saved_usd
        if reply.fault is not None:
            self.failed += 1
            if len(self.faults) < FAULTS_SHOWN_MAX:
                self.faults.append(f"{reply.request_id or 'no id'}: {reply.fault}")

    @property
    def hit_rate(self) -> float:
        return self.hits / self.done if self.done else 0.0

    @property
    def per_s(self) -> float:
        return self.done / max(time.monotonic() - self.began_s, 1e-9)


class Looks(Struct):
    """What became of the look-ups in the semantic cache."""

    count: int = 0
    late: int = 0
    """Given up, since the time of a request for optional steps was over."""
    failed: int = 0

    def counted(self, rows: Iterable[Intent | Receipt]) -> Iterator[Intent | Receipt]:
        """`rows` as they come, each looked at on its way."""
        for row in rows:
            if isinstance(row, Receipt) and not row.purpose and LOOK in row.stage_ms:
                fault = row.skipped.get(LOOK)
                self.count += 1
                self.late += fault == TimeoutError.__name__
                self.failed += fault not in (None, TimeoutError.__name__)
            yield row


class Sample(Struct, frozen=True):
    """One request to explain."""

    title: str
    request_id: str
    story: list[str]


class Played(Struct, frozen=True, kw_only=True):
    """What the demo came to."""

    tally: Tally
    took_s: float
    report: Report
    samples: list[Sample]
    complaints: list[str]
    """What does not add up, in sentences; empty when all does."""
    folder: Path
    without_semantic: str | None
    """Why there was no semantic cache; None when there was one."""
    observed_s: float
    """For how long it only observed."""
    brain_s: float
    """What all optional steps of one request might take, by what look-ups took before."""
    looks: Looks


Show = Callable[[Tally], None]


async def play(asks: list[traffic.Ask], folder: Path, show: Show) -> Played:
    """Start everything in `folder`, play `asks`, stop everything, and sum up.

    `show` is called some times a second. Cancelled, it leaves no process behind.

    Raises:
        DemoFailed: something did not start.
    """
    tenant_keys = children.keys()
    config, ledger = folder / "farthing.toml", folder / "ledger"
    tally, looks = Tally(planned=len(asks)), Looks()
    without = children.without_semantic()
    observed_s = OBSERVED_SHARE * asks[-1].at_s
    brain_s = children.BRAIN_S if without is not None else await _warmed_up(asks, folder)

    async with children.upstream(folder) as upstream:

        def configure(mode: children.SemanticMode) -> None:
            text = children.configuration(folder, upstream.ports, tenant_keys, mode, brain_s=brain_s)
            config.write_text(text, "utf-8")

        def turn_on() -> None:
            nonlocal brain_s
            if without is None:
                brain_s = max(brain_s, needed_s(_looks_ms(ledger)))
                configure("on")

        configure("off" if without is not None else "observe")
        async with children.gateway(config) as gateway:
            if without is None:
                await children.semantic_ready(gateway.port)
            tally.began_s = time.monotonic()
            async with _shown(tally, show), _later(observed_s, turn_on):
                replies = await _send(asks, Client(gateway.port), tenant_keys, tally)
            took_s = time.monotonic() - tally.began_s
    report = reports.build(
        looks.counted(reports.rows(ledger, None)),
        since=None,
        until=time.time() + 1.0,
        targets_s={traffic.ENDPOINT: children.TARGET_S},
    )
    return Played(
        tally=tally,
        took_s=took_s,
        report=report,
        samples=_samples(ledger, asks, replies),
        complaints=_complaints(tally, report, upstream.bill),
        folder=folder,
        without_semantic=without,
        observed_s=observed_s,
        brain_s=brain_s,
        looks=looks,
    )


async def _warmed_up(asks: list[traffic.Ask], folder: Path) -> float:
    """Seconds that optional steps need on this machine, as busy as it is now: some of `asks` are sent at
    their mean pace to a gateway of their own, below `folder`, and its look-ups timed."""
    folder = Path(tempfile.mkdtemp(prefix="warm-up-", dir=folder))
    config, tenant_keys = folder / "farthing.toml", children.keys()
    first = asks[:WARM_UP]
    gap_s = asks[-1].at_s / len(asks)
    paced = [msgspec.structs.replace(ask, at_s=index * gap_s) for index, ask in enumerate(first)]
    async with children.upstream(folder) as upstream:
        longest = children.configuration(
            folder, upstream.ports, tenant_keys, "observe", brain_s=children.BRAIN_S_MAX
        )
        config.write_text(longest, "utf-8")
        async with children.gateway(config) as gateway:
            await children.semantic_ready(gateway.port)
            with suppress(TimeoutError):
                async with asyncio.timeout(paced[-1].at_s + WARM_UP_SETTLE_S):
                    await _send(paced, Client(gateway.port), tenant_keys, Tally(planned=len(paced)))
    took_ms = _looks_ms(folder / "ledger")
    shutil.rmtree(folder)
    return needed_s(took_ms)


def _looks_ms(ledger: Path) -> list[float]:
    """How long the look-ups took whose receipts are in `ledger`; one that was given up, as long as it ran."""
    rows = reports.rows(ledger, None)
    return [row.stage_ms[LOOK] for row in rows if isinstance(row, Receipt) and LOOK in row.stage_ms]


def needed_s(looks_ms: list[float]) -> float:
    """Seconds to allow for look-ups where some took `looks_ms`: many times the slow ones, within bounds."""
    slow_ms = sorted(looks_ms)[len(looks_ms) * 9 // 10] if looks_ms else 0.0
    return round(min(max(LOOKS_MARGIN * slow_ms / 1000, children.BRAIN_S), children.BRAIN_S_MAX), 1)


@asynccontextmanager
async def _later(after_s: float, act: Callable[[], object]) -> AsyncIterator[None]:
    """Call `act` in a thread so many seconds into the block, unless that is over before."""

    async def wait() -> None:
        await asyncio.sleep(after_s)
        await asyncio.to_thread(act)

    task = asyncio.create_task(wait())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def _shown(tally: Tally, show: Show) -> AsyncIterator[None]:
    async def again() -> None:
        while True:
            await asyncio.sleep(SHOW_S)
            show(tally)

    task = asyncio.create_task(again())
    try:
        yield
    finally:
        task.cancel()
    show(tally)


async def _send(
    asks: list[traffic.Ask], client: Client, tenant_keys: dict[str, str], tally: Tally
) -> list[Reply]:
    """Send each request at its time, whatever became of those before it; replies in the same order."""

    async def one(ask: traffic.Ask) -> Reply:
        await asyncio.sleep(tally.began_s + ask.at_s - time.monotonic())
        tally.sent += 1
        reply = await client.ask(ask.body(), key=tenant_keys[ask.subject.tenant], stream=ask.stream)
        reply = checked(ask, reply)
        tally.add(reply)
        return reply

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(ask)) for ask in asks]
    finally:
        client.close()
    return [task.result() for task in tasks]


def checked(ask: traffic.Ask, reply: Reply) -> Reply:
    """`reply`, with a fault when its text is not an answer to what was asked; where that is the semantic
    cache's error, it is counted as such."""
    if reply.fault is not None or reply.text in right_answers(ask):
        return reply
    if reply.cache in ("semantic", "coalesced") and words.is_an_answer(reply.text):
        return msgspec.structs.replace(reply, wrong_hit=True)  # who waits for the same call shares its error
    fault = f"the wrong answer to {ask.text!r}: {reply.text[:80]!r}"
    return Reply(
        request_id=reply.request_id,
        tier=reply.tier,
        cache=reply.cache,
        text=reply.text,
        took_ms=reply.took_ms,
        fault=fault,
    )


def right_answers(ask: traffic.Ask) -> set[str]:
    """What may be answered: a fixed text, or what a model says to any question under the same cache key."""
    text = normalised(ask.text)
    if ask.subject.model != "auto":
        for fixed, phrases in traffic.FIXED.values():
            if text in map(normalised, phrases):
                return {fixed}
        for phrases in traffic.CACHE_KEYS.values():
            if text in map(normalised, phrases):
                return {words.answer(phrase) for phrase in phrases}
    return {words.answer(ask.text)}


def _complaints(tally: Tally, report: Report, bill: dict[str, Bill]) -> list[str]:
    """Whether client, ledger and simulated models tell the same story."""
    found: list[str] = []
    if tally.failed:
        found.append(f"{tally.failed:,} of {tally.done:,} requests failed: " + "; ".join(tally.faults))
    if report.requests != tally.done:
        found.append(f"the ledger has {report.requests:,} receipts for {tally.done:,} answers")
    calls = sum(one.calls for one in bill.values())
    if report.total.calls != calls:
        found.append(f"the ledger has {report.total.calls:,} calls, the simulated models counted {calls:,}")
    billed_nusd = sum(_billed_nusd(TIERS[name], one) for name, one in bill.items())
    if report.total.cost_nusd != billed_nusd:
        found.append(f"the ledger has {report.total.cost_nusd} nano-dollars, the bill is over {billed_nusd}")
    return found


def _billed_nusd(tier: Tier, bill: Bill) -> int:
    """A dollar per million tokens is 1,000 nano-dollars a token."""
    cost = bill.input_tokens * Decimal(tier.input_usd) + bill.output_tokens * Decimal(tier.output_usd)
    return int(cost * 1_000)


def _samples(ledger: Path, asks: list[traffic.Ask], replies: list[Reply]) -> list[Sample]:
    """Three requests worth a look: one respelt and found, one kept from the cheap tier, one without LLM."""
    found: dict[str, Sample] = {}
    for ask, reply in zip(asks, replies, strict=True):
        title = _worth(ask, reply)
        if title is not None and title not in found and reply.fault is None:
            row = request.find(ledger, reply.request_id)
            if isinstance(row, Receipt):
                asked = f"{title}: {textwrap.shorten(ask.text, TITLE_CHARS_MAX, placeholder='…')!r}"
                found[title] = Sample(asked, reply.request_id, request.story(row))
    return list(found.values())


def _worth(ask: traffic.Ask, reply: Reply) -> str | None:
    if reply.cache == "exact" and ask.text != ask.subject.text:
        return "Asked before in another spelling"
    if reply.tier == "expensive" and any(word in ask.text for word in traffic.CARE_WORDS):
        return "Too delicate for the cheap tier"
    if reply.tier == "none":
        return "Answered without a model"
    return None
