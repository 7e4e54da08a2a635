"""What every ledger promises: rows in order, none lost, none half there, refusal once it is closed."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from farthing.config import LedgerConfig
from farthing.errors import Overloaded
from farthing.ledger.memory import MemoryLedger
from farthing.ledger.metrics import MeteredLedger, Metrics
from farthing.ledger.read import Row, read
from farthing.ledger.rows import Intent
from farthing.ledger.segments import SegmentLedger
from farthing.protocols import Ledger
from farthing.types import Attempt, Receipt, Usage

Rows = Callable[[], list[Row]]


@pytest.fixture(params=["memory", "segments", "segments strict", "metered"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Ledger, Rows]]:
    match request.param:
        case "memory":
            memory = MemoryLedger()
            made: tuple[Ledger, Rows] = memory, lambda: list(memory.rows())
        case "segments":
            made = SegmentLedger(tmp_path), lambda: list(read(tmp_path))
        case "segments strict":
            made = SegmentLedger(tmp_path, LedgerConfig(strict=True)), lambda: list(read(tmp_path))
        case _:
            made = MeteredLedger(SegmentLedger(tmp_path), Metrics()), lambda: list(read(tmp_path))
    yield made
    asyncio.run(made[0].aclose())


def receipt(request_id: str, **changes: object) -> Receipt:
    fields: dict[str, object] = {"at_unix_s": 1_750_000_000.5, "started_s": 12.25, "status": 200, **changes}
    return Receipt(request_id=request_id, **fields)  # type: ignore[arg-type]


def test_rows_come_back_whole_and_in_the_order_they_were_written(ledger: tuple[Ledger, Rows]) -> None:
    book, rows = ledger
    used = Usage(input_tokens=10, output_tokens=5, cached_tokens=2, reasoning_tokens=1, estimated=True)
    attempt = Attempt(
        target="a/b", tier="cheap", started_ms=0.5, ttft_ms=2.0, total_ms=9.0, usage=used, cost_nusd=7
    )
    full = receipt(
        "one",
        usage=used,
        attempts=[attempt],
        calls=1,
        cost_nusd=None,
        baseline_nusd=-3,
        stage_ms={"classify": 0.25},
        skipped={"cache": "StoreError"},
        tenant="größe",
        cache="miss",
    )
    book.intend(receipt("one"), "a/b")
    book.record(full)
    book.record(receipt("two"))
    intent, first, second = rows()
    assert isinstance(intent, Intent)
    assert (intent.request_id, intent.target, intent.attempt) == ("one", "a/b", 1)
    assert first == full
    assert isinstance(first, Receipt) and first.attempts[0].usage == used
    assert second == receipt("two")


def test_an_intent_numbers_the_call_after_those_already_made(ledger: tuple[Ledger, Rows]) -> None:
    book, rows = ledger
    tried = receipt("one", attempts=[Attempt(target="a/b", tier="cheap", started_ms=0.0)])
    book.intend(tried, "c/d")
    (intent,) = rows()
    assert isinstance(intent, Intent)
    assert (intent.attempt, intent.target, intent.live) == (2, "c/d", True)


def test_a_row_is_there_as_soon_as_the_call_returns(ledger: tuple[Ledger, Rows]) -> None:
    book, rows = ledger
    for number in range(50):
        book.record(receipt(f"r{number}"))
        assert rows()[-1].request_id == f"r{number}"


def test_closing_twice_is_safe_and_a_closed_ledger_refuses_paid_calls(ledger: tuple[Ledger, Rows]) -> None:
    book, rows = ledger
    book.record(receipt("one"))
    asyncio.run(book.aclose())
    asyncio.run(book.aclose())
    with pytest.raises(Overloaded) as refused:
        book.intend(receipt("two"), "a/b")
    assert refused.value.code == "ledger_unavailable"
    book.record(receipt("two"))  # never raises
    assert [row.request_id for row in rows()] == ["one"]


def test_a_receipt_too_strange_for_the_disk_is_shortened_and_never_raises(
    ledger: tuple[Ledger, Rows],
) -> None:
    book, rows = ledger
    attempts = [Attempt(target="x" * 9_000, tier="t", started_ms=0.0, error="e" * 9_000) for _ in range(99)]
    strange = receipt(
        "one", tenant="\ud800", client_retry=10**30, error_message="m" * 10**6, attempts=attempts
    )
    book.record(strange)
    book.record(receipt("two"))
    first, second = rows()
    assert (first.request_id, second.request_id) == ("one", "two")
