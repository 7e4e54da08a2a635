"""Batches of questions: what goes up together, what comes back, and what outlives a death."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.faults.provider import FaultProvider
from tests.faults.truth import Call
from tests.unit.models.providers.test_openai_provider import provider
from tests.wired import parts_in_memory

from farthing.brain.cache.semantic.store.entries import RequestTemplate
from farthing.config import JobsConfig, PrecomputeConfig, loads
from farthing.dialects.chat.usage import UNSAID
from farthing.jobs.batch import run as batch
from farthing.jobs.batch.journal import Batch, BatchJournal, Line
from farthing.jobs.batch.share import LINES_MAX, LINES_MIN, Question, allotted, chunks
from farthing.jobs.prewarm.gather import Ask, Stage
from farthing.jobs.prewarm.run import Precompute
from farthing.jobs.runner import JobRunner
from farthing.jobs.schedule import Record, window_of
from farthing.ledger.memory import MemoryLedger
from farthing.models.batch_call import OUTPUT_TOKENS_MIN, BatchDraft
from farthing.models.pricing.cost import cost_nusd, in_batch
from farthing.models.providers.openai.batch_file import (
    LINE_BYTES_MAX,
    outcomes,
    question_line,
    upload_form,
)
from farthing.stores.state.memory import MemoryState
from farthing.types import Price, Prompt, Receipt, Target, Tenant, Usage
from farthing.wiring.build import build

PRICE = Price(since="0000-00-00", input_pusd=1_000_000, output_pusd=2_000_000)
TARGET = Target(name="a/small", provider="a", model="small", price=PRICE)
WHOLE = {"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]}
USED = {"usage": {"prompt_tokens": 3, "completion_tokens": 4}}


def ask(question: str) -> Ask:
    body = {"model": "auto", "messages": [{"role": "user", "content": ""}]}
    recipe = RequestTemplate(tenant=Tenant(name="acme"), endpoint="faq", model="auto", body=body)
    return Ask(recipe=recipe, question=question, anew=False)


def drafts(
    count: int, *, tokens: int | None = None, cost_nusd: int | None = None
) -> list[tuple[Question, BatchDraft]]:
    found = []
    for i in range(count):
        prompt = Prompt(
            body={"model": "auto", "messages": [{"role": "user", "content": f"Question {i}"}]},
            input_tokens=10,
            input_tokens_bound=100,
            output_tokens_max=tokens,
            stream=False,
        )
        draft = BatchDraft(target=TARGET, prompt=prompt, left_nusd=10**15)
        found.append((Question(key=f"k{i}", ask=ask(f"Question {i}"), cost_nusd=cost_nusd), draft))
    return found


# -- what goes up together --------------------------------------------------------------------------


@given(
    count=st.integers(0, 60),
    left_nusd=st.integers(0, 40_000_000_000),
    tokens=st.none() | st.integers(1, 5_000),
    cost=st.none() | st.integers(0, 500_000_000),
)
def test_the_worst_cases_of_a_group_never_come_to_more_than_what_is_left(
    count: int, left_nusd: int, tokens: int | None, cost: int | None
) -> None:
    ready = allotted(drafts(count, tokens=tokens, cost_nusd=cost), left_nusd)
    assert not ready or LINES_MIN <= len(ready) <= count
    assert sum(one.worst_nusd for one in ready) <= left_nusd
    for one in ready:
        cap = one.prompt.output_tokens_max
        assert cap is not None, "without a cap nothing keeps the answer to what is held"
        assert one.worst_nusd == 100 * 1_000 + cap * 2_000  # nano-dollars
        assert cap >= min(tokens or OUTPUT_TOKENS_MIN, OUTPUT_TOKENS_MIN)


def test_where_the_money_is_too_little_for_all_the_first_half_goes_up() -> None:
    ready = allotted(drafts(40, cost_nusd=10_000_000), 500_000_000)
    assert [one.question.key for one in ready] == [f"k{i}" for i in range(20)]


def test_a_group_is_cut_into_files_that_keep_their_bounds_in_order() -> None:
    ready = allotted(drafts(1_100, tokens=100), 10**15)
    files = list(chunks(ready, 10**9))
    assert [len(file) for file in files] == [LINES_MAX, LINES_MAX, 100]
    assert [one.question.key for file in files for one in file] == [f"k{i}" for i in range(1_100)]
    assert max(len(file) for file in chunks(ready, 50_000)) == 50_000 // (100 * 8 + 4_096)


def test_a_batch_price_takes_the_place_of_the_normal_one_where_it_is_known() -> None:
    known = Price(since="0", input_pusd=1_000, output_pusd=2_000, cached_input_pusd=1, batch_input_pusd=400)
    usage = Usage(input_tokens=1_000, output_tokens=10, cached_tokens=900)
    assert cost_nusd(in_batch(known), usage) == (400 * 1_000 + 2_000 * 10) // 1_000
    assert in_batch(PRICE) is PRICE and in_batch(None) is None


# -- the files ----------------------------------------------------------------------------------------


def test_a_question_is_one_line_in_openais_form() -> None:
    raw = question_line("errand_1", b'{"model":"small","messages":[{"role":"user","content":"a\\nb"}]}')
    assert raw.count(b"\n") == 1 and raw.endswith(b"\n")
    line = json.loads(raw)
    assert (line["custom_id"], line["method"], line["url"]) == ("errand_1", "POST", "/v1/chat/completions")
    assert line["body"]["messages"][0]["content"] == "a\nb"


def test_the_form_carries_the_purpose_and_the_file_unchanged() -> None:
    kind, body = upload_form(b"one\r\ntwo\n", "name.jsonl", "xyz")
    assert kind == "multipart/form-data; boundary=xyz"
    parts = body.split(b"--xyz")
    assert parts[0] == b"" and parts[-1] == b"--\r\n" and len(parts) == 4
    assert b'name="purpose"\r\n\r\nbatch\r\n' in parts[1]
    assert parts[2].endswith(b"\r\n\r\none\r\ntwo\n\r\n") and b'filename="name.jsonl"' in parts[2]


def row(custom_id: Any = "r1", status: Any = 200, body: Any = None, error: Any = None) -> bytes:
    response = (
        None if status is None else {"status_code": status, "body": WHOLE | USED if body is None else body}
    )
    return json.dumps({"custom_id": custom_id, "response": response, "error": error}).encode()


def read(content: bytes, *wanted: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in outcomes(content, frozenset(wanted or ("r1",)), provider(), UNSAID):
        if item is not None:
            found.setdefault(*item)
    return found


def test_an_answer_is_read_with_its_usage() -> None:
    found = read(row())["r1"]
    assert found.reply.text == "yes" and found.error is None
    assert (found.usage.input_tokens, found.usage.output_tokens, found.status) == (3, 4, 200)


@pytest.mark.parametrize(
    ("line", "code", "used"),
    [
        (row(status=500, body={"error": {"message": "sorry"}}), "provider_unavailable", False),
        (row(status=400, body=USED), "provider_rejected", True),
        (row(status=429, body="slow down"), "provider_busy", False),
        (row(body=[]), "provider_unavailable", False),
        (row(body=USED), "provider_unavailable", True),
        (row(status=None, error={"code": "batch_expired", "message": "late"}), "provider_timeout", False),
        (row(status=None, error={"code": 7}), "provider_unavailable", False),
        (row(status=None), "provider_unavailable", False),
        (row()[:-1] + b',"spoilt":"\xff"}', "", True),
    ],
)
def test_a_line_that_failed_says_why_and_costs_what_it_says_it_used(
    line: bytes, code: str, used: bool
) -> None:
    found = read(line)["r1"]
    assert (found.error.code if found.error else "") == code
    assert (found.usage is not None) == used


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"\xff\xfe",
        b'{"custom_id":',
        row(custom_id=7),
        row(custom_id="another"),
        row(status="200"),
        b'{"custom_id":"r1","response":[]}',
        b'{"custom_id":"r1","error":"no"}',
        b"[" * 100_000,
        b'{"custom_id":"r1","error":{"message":"' + b"x" * LINE_BYTES_MAX + b'"}}',
    ],
)
def test_a_line_that_cannot_be_read_says_nothing_and_hides_no_other(line: bytes) -> None:
    assert not read(line)
    assert read(line + b"\n" + row() + b"\n" + line)["r1"].reply is not None


def test_of_two_lines_about_one_question_the_first_counts() -> None:
    assert read(row() + b"\n" + row(status=500, body={}))["r1"].reply is not None


@given(st.binary(max_size=400))
def test_no_bytes_make_reading_raise(raw: bytes) -> None:
    assert set(read(raw)) <= {"r1"}


# -- the journal --------------------------------------------------------------------------------------


def written(count: int = 3, name: str = "batch_1") -> Batch:
    lines = tuple(
        Line(id=f"r{i}", key=f"k{i}", ask=ask(f"Q{i}"), worst_nusd=5, at_unix_s=1.5) for i in range(count)
    )
    return Batch(name=name, target=TARGET, lines=lines, at_unix_s=1.5)


def test_a_successor_reads_what_was_under_way_and_what_is_done(tmp_path: Path) -> None:
    journal = BatchJournal(tmp_path)
    assert journal.read() == []
    first = journal.begin(written())
    (found,) = BatchJournal(tmp_path).read()
    assert found.batch == written() and found.sent_id == "" and len(found.waiting) == 3
    first.sent("batch_abc")
    first.mark_done(first.batch.lines[1])
    (found,) = BatchJournal(tmp_path).read()
    assert found.sent_id == "batch_abc" and [line.id for line in found.waiting] == ["r0", "r2"]
    first.close()
    assert BatchJournal(tmp_path).read() == []


def test_half_a_row_costs_that_row_and_a_file_that_is_none_is_left_alone(tmp_path: Path) -> None:
    journal = BatchJournal(tmp_path)
    journal.begin(written()).sent("batch_abc")
    with (tmp_path / "batches" / "batch_1.jsonl").open("ab") as file:
        file.write(b'{"row":"done","li')
    other = tmp_path / "batches" / "other.jsonl"
    other.write_bytes(b"\x00\xff{}\n")
    (found,) = journal.read()
    assert found.sent_id == "batch_abc" and len(found.waiting) == 3 and other.exists()


def test_the_questions_are_for_the_owner_alone(tmp_path: Path) -> None:
    BatchJournal(tmp_path).begin(written())
    assert (tmp_path / "batches" / "batch_1.jsonl").stat().st_mode & 0o077 == 0


# -- nights, with a provider that is real ---------------------------------------------------------------

CONFIG = """
[providers.a]
base_url = "{url}"
batch = true
[tiers.cheap]
targets = ["a/small"]
[endpoints.faq]
tier = "cheap"
[[prices]]
target = "a/small"
input = 1000
output = 2000
"""
NIGHT = datetime(2026, 3, 27, 1, 30)


class Nights:
    """The errands of one process under a wall clock that the test sets."""

    def __init__(self, folder: Path, faults: FaultProvider) -> None:
        self.now = NIGHT
        self.ledger = MemoryLedger()
        self.parts = parts_in_memory(self.ledger)
        config = JobsConfig(per_minute=60_000)
        self.jobs = JobRunner(
            config,
            busy=lambda: 0.0,
            clock=time.monotonic,
            clock_unix_s=lambda: self.now.timestamp(),
            state=MemoryState(),
        )
        serving = build(loads(CONFIG.format(url=faults.base_url), {}), self.parts)
        self.jobs.reconfigure(config, serving.steps)
        questions = folder / "questions.jsonl"
        rows = [json.dumps({"question": f"How much is {i}?", "endpoint": "faq"}) for i in range(12)]
        questions.write_text("\n".join(rows))
        self.folder = folder
        self.stage = Stage(
            config=PrecomputeConfig(at="01:00", until="05:00", usd_max=Decimal(99), file=questions),
            window=window_of("01:00", "05:00"),
            book=None,
            endpoint=serving.reader.named,
            tenants=None,
            exact_ttl_s=86_400.0,
        )
        self.ahead = self.process()

    def process(self) -> Precompute:
        """As a process that starts has it."""
        ahead = Precompute(
            self.jobs,
            self.folder,
            clock=time.monotonic,
            clock_unix_s=lambda: self.now.timestamp(),
            wall=lambda: self.now,
        )
        ahead.stage = self.stage
        assert ahead.lock.take()
        return ahead

    def succeed(self) -> None:
        """The process that ran is gone, and another one starts."""
        self.ahead.lock.release()
        self.ahead = self.process()

    @property
    def receipts(self) -> list[Receipt]:
        return [row for row in self.ledger.rows() if isinstance(row, Receipt)]

    async def until_asked(self, faults: FaultProvider, path: str, times: int) -> None:
        """Wait until the provider was asked so often, without a body, for a path that begins so."""
        while True:
            if sum(call.path.startswith(path) and not call.body for call in faults.calls) >= times:
                return
            await asyncio.sleep(0.01)

    async def until_receipts(self, count: int) -> None:
        while True:
            if len(self.receipts) >= count:
                return
            await asyncio.sleep(0)

    async def close(self) -> None:
        await self.jobs.aclose()
        self.ahead.lock.release()
        await self.parts.transport.aclose()


def on_nights(
    folder: Path,
    what: Callable[[Nights, FaultProvider], Awaitable[None]],
    on_call: Callable[[Call], str | None] | None = None,
) -> None:
    async def main(faults: FaultProvider) -> None:
        nights = Nights(folder, faults)
        nights.jobs.start()
        try:
            await asyncio.wait_for(what(nights, faults), 120)
        finally:
            await nights.close()

    with FaultProvider(on_call=on_call) as faults:
        asyncio.run(main(faults))


@pytest.fixture(autouse=True)
def _asks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "POLL_S_MIN", 0.02)


def test_what_is_not_back_when_the_hours_are_over_is_taken_the_next_night(tmp_path: Path) -> None:
    async def go(nights: Nights, faults: FaultProvider) -> None:
        run = asyncio.create_task(nights.ahead.run())
        await nights.until_asked(faults, "/v1/batches/batch_", 1)
        nights.now = NIGHT.replace(hour=5)
        record: Record = await run
        assert record.ended is not None
        assert (record.ended.reason, record.ended.waiting) == ("window", 12)
        assert not record.answered and not nights.receipts
        nights.now = NIGHT + timedelta(days=1)
        faults.desk.outcome = "completed"
        record = await nights.ahead.run()
        assert record.ended is not None and record.ended.reason == "done"
        assert len(record.answered) == len(nights.receipts) == 12
        assert record.began.planned == 0 and len(faults.desk.created) == 1
        truth = sum(
            call.prompt_tokens * 1_000_000 + call.completion_tokens * 2_000_000
            for call in faults.calls
            if call.batch
        )
        assert record.spent_nusd == sum(row.cost_nusd or 0 for row in nights.receipts) == truth

    on_nights(tmp_path, go)


def test_a_process_that_goes_in_the_middle_of_the_answers_leaves_the_rest_to_the_next(tmp_path: Path) -> None:
    async def go(nights: Nights, faults: FaultProvider) -> None:
        faults.desk.outcome = "completed"
        run = asyncio.create_task(nights.ahead.run())
        await nights.until_receipts(5)
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
        assert 5 <= len(nights.receipts) < 12
        nights.succeed()
        record = await nights.ahead.run()
        assert len(record.answered) == len(record.keys) == 12
        assert len(nights.receipts) == len({row.request_id for row in nights.receipts}) == 12
        assert {row.error for row in nights.receipts} == {None}
        assert len(faults.desk.created) == 1 and record.spent_nusd == sum(
            row.cost_nusd or 0 for row in nights.receipts
        )

    on_nights(tmp_path, go)


def test_a_batch_that_was_never_created_is_given_up_after_ten_minutes_and_costs_nothing(
    tmp_path: Path,
) -> None:
    def on_call(call: Call) -> str:
        return "status=500" if call.path == "/v1/batches" and call.body else ""

    async def go(nights: Nights, faults: FaultProvider) -> None:
        run = asyncio.create_task(nights.ahead.run())
        await nights.until_asked(faults, "/v1/batches", 2)
        assert not nights.receipts
        nights.now += timedelta(minutes=11)
        record: Record = await run
        assert len(record.answered) == len(nights.receipts) == 12 and record.spent_nusd == 0
        assert all("never created" in row.error_message for row in nights.receipts)
        assert sum(call.path == "/v1/batches" and bool(call.body) for call in faults.calls) == 1

    on_nights(tmp_path, go, on_call)


def test_where_nobody_says_whether_it_was_created_its_cost_is_unknown_and_not_nothing(tmp_path: Path) -> None:
    def on_call(call: Call) -> str:
        return "status=500" if call.path == "/v1/batches" else ""

    async def go(nights: Nights, faults: FaultProvider) -> None:
        run = asyncio.create_task(nights.ahead.run())
        await nights.until_asked(faults, "/v1/batches", 1)
        nights.now += timedelta(minutes=11)
        asked = sum(call.path == "/v1/batches" for call in faults.calls)
        await nights.until_asked(faults, "/v1/batches", asked + 1)
        assert not nights.receipts
        nights.now += timedelta(days=3)
        await run
        assert {row.cost_nusd for row in nights.receipts} == {None} and len(nights.receipts) == 12

    on_nights(tmp_path, go, on_call)


def test_a_batch_that_nobody_can_read_is_given_up_with_its_cost_unknown(tmp_path: Path) -> None:
    async def go(nights: Nights, faults: FaultProvider) -> None:
        run = asyncio.create_task(nights.ahead.run())
        await nights.until_asked(faults, "/v1/batches/batch_", 1)
        nights.now += timedelta(days=3)
        record: Record = await run
        assert len(nights.receipts) == 12
        assert {row.cost_nusd for row in nights.receipts} == {None}
        assert {row.error for row in record.answered} == {"no_provider_left"}

    on_nights(tmp_path, go)
