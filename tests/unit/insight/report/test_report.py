"""The report adds up: to the nano-dollar, part by part, and never shows what is unknown as nothing."""

import io
import json
import random
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from tests.pace import turns

from farthing.cli.main import cli
from farthing.insight.render.money import usd
from farthing.insight.report import aggregates
from farthing.insight.report.report import Report, build, render
from farthing.ledger.rows import Intent
from farthing.ledger.segments import SegmentLedger
from farthing.types import Attempt, PromptCacheUse, Receipt, Usage


def receipt(number: int, **changes: object) -> Receipt:
    fields: dict[str, object] = {
        "at_unix_s": float(number),
        "endpoint": "faq",
        "tier": "cheap",
        "cache": "miss",
        "status": 200,
        "calls": 1,
        "total_ms": float(number + 1),
        "usage": Usage(input_tokens=10, output_tokens=5),
        "cost_nusd": 1_000,
        "baseline_nusd": 4_000,
        "baseline_target": "x/big",
        **changes,
    }
    return Receipt(request_id=f"r{number}", started_s=0.0, **fields)  # type: ignore[arg-type]


def report_of(rows: list[Receipt | Intent], **terms: object) -> Report:
    return build(rows, since=None, until=2e9, **terms)  # type: ignore[arg-type]


def shown(report: Report) -> str:
    out = io.StringIO()
    render(report, Console(file=out, width=120, highlight=False))
    return out.getvalue()


amounts = st.one_of(st.none(), st.integers(-(10**13), 10**13))
receipts = st.builds(
    lambda number, endpoint, tier, cache, cost, baseline: receipt(
        number, endpoint=endpoint, tier=tier, cache=cache, cost_nusd=cost, baseline_nusd=baseline
    ),
    st.integers(0, 10**6),
    st.sampled_from(["faq", "chat"]),
    st.sampled_from(["cheap", "expensive", "none", ""]),
    st.sampled_from(["miss", "exact", "semantic", "coalesced", "off"]),
    amounts,
    amounts,
)


@settings(max_examples=100, deadline=None)
@given(st.lists(receipts, max_size=40))
def test_every_sum_is_exact_and_the_parts_of_the_saving_add_up_to_it(rows: list[Receipt]) -> None:
    report = report_of(list(rows))
    known = [row for row in rows if row.cost_nusd is not None and row.baseline_nusd is not None]
    savings = report.savings
    assert savings.saved_nusd == sum((row.baseline_nusd or 0) - (row.cost_nusd or 0) for row in known)
    assert savings.saved_nusd == savings.baseline_nusd - savings.cost_nusd
    parts = savings.parts
    assert parts.cache_nusd + parts.no_llm_nusd + parts.routing_nusd == savings.saved_nusd
    assert savings.requests + savings.not_comparable == len(rows) == report.requests
    cost_nusd = sum(row.cost_nusd or 0 for row in rows)
    for cells in (report.cells, report.endpoints, report.tiers, [report.total]):
        assert sum(cell.cost_nusd or 0 for cell in cells) == cost_nusd
        assert sum(cell.requests for cell in cells) == len(rows)
        assert sum(cell.unpriced for cell in cells) == sum(row.cost_nusd is None for row in rows)
        assert sum(cell.latency.count for cell in cells) == len(rows)


def test_each_saving_belongs_to_the_one_thing_that_caused_it() -> None:
    parts = report_of(
        [
            receipt(0, cache="exact", cost_nusd=0, baseline_nusd=100),
            receipt(1, cache="coalesced", cost_nusd=0, baseline_nusd=20),
            receipt(2, tier="none", cost_nusd=0, baseline_nusd=3_000),
            receipt(3, cost_nusd=10, baseline_nusd=40_010),
            receipt(4, tier="expensive", cost_nusd=9_000, baseline_nusd=2_000),
        ]
    ).savings.parts
    assert (parts.cache_nusd, parts.no_llm_nusd, parts.routing_nusd) == (120, 3_000, 40_000 - 7_000)


def test_a_net_loss_is_shown_as_one() -> None:
    report = report_of([receipt(number, cost_nusd=5_000_000, baseline_nusd=1) for number in range(3)])
    assert report.savings.saved_nusd == -14_999_997
    assert [one.saved_nusd for one in report.savings.per] == [
        -4_999_999_000,
        -499_999_900_000,
        -4_999_999_000_000,
    ]
    assert "Saved -$0.014999997" in shown(report)


def test_the_interval_covers_the_true_mean_as_often_as_it_says() -> None:
    rng = random.Random(7)
    covered = 0
    for _ in range(200):
        rows = [
            receipt(number, cost_nusd=0, baseline_nusd=int(rng.expovariate(1e-6))) for number in range(200)
        ]
        one = report_of(list(rows)).savings.per[0]
        assert one.low_nusd < one.saved_nusd < one.high_nusd
        covered += one.low_nusd <= 10**9 <= one.high_nusd  # 1,000 requests at a mean of 10**6
    assert 180 <= covered <= 199


def test_unpriced_and_unknown_outcomes_are_shown_as_such_and_not_as_nothing() -> None:
    gone = Intent(request_id="dead", target="a/b", attempt=1, at_unix_s=5.0)
    flying = Intent(request_id="alive", target="a/b", attempt=1, at_unix_s=6.0, live=True)
    answered = Intent(request_id="r0", target="a/b", attempt=1, at_unix_s=0.0)
    rows: list[Receipt | Intent] = [
        answered,
        receipt(0, cost_nusd=None),
        receipt(1, cost_nusd=None, usage=None),
        gone,
        flying,
    ]
    report = report_of(rows)
    assert (report.unknown_outcome, report.in_flight, report.total.unpriced) == (1, 1, 2)
    assert report.total.cost_per_1k_nusd is None
    assert report.total.tokens_unknown == 1
    text = shown(report)
    assert "cost unknown: 2 requests, " in text and "unknown outcome: 1 request " in text
    assert "in flight: 1 request\n" in text
    assert "$0" not in text
    assert "Savings: unknown" in text


def test_a_row_that_mixes_unpriced_and_refused_requests_never_reads_nought() -> None:
    refused = receipt(
        1, cost_nusd=0, baseline_nusd=None, calls=0, status=429, usage=None, error="rate_limited"
    )
    report = report_of([receipt(0, cost_nusd=None), refused])
    assert (report.total.cost_nusd, report.total.cost_per_1k_nusd) == (None, None)
    text = shown(report)
    assert "$0" not in text
    assert "unknown" in text


def test_a_sum_beside_which_something_is_unknown_is_the_least_that_it_came_to() -> None:
    report = report_of([receipt(0, cost_nusd=None), receipt(1, cost_nusd=2_500_000)])
    assert report.total.cost_nusd == 2_500_000
    text = shown(report)
    assert "≥ $0.002500" in text and "≥ $1.2500" in text


def test_calls_that_their_provider_charged_otherwise_are_told_of_by_target() -> None:
    def told(number: int, cost: int, ours: int | None) -> Receipt:
        attempt = Attempt(target="x/m", tier="cheap", started_ms=0.0, cost_nusd=cost, reckoned_nusd=ours)
        return receipt(number, cost_nusd=cost, attempts=[attempt])

    rows = [told(0, 2_000_000, 1_000_000), told(1, 1_009_000, 1_000_000), told(2, 3_000, None), receipt(3)]
    report = report_of([*rows, told(4, 4_000_000, 2_000_000)])
    (one,) = report.differing
    assert (one.target, one.calls, one.told_nusd, one.reckoned_nusd) == ("x/m", 2, 6_000_000, 3_000_000)
    assert "charged differently from the price: x/m, 2 calls: it says $0.006" in " ".join(
        shown(report).split()
    )


def test_cost_per_thousand_leaves_unpriced_requests_out_of_both_sides() -> None:
    report = report_of([receipt(0, cost_nusd=300), receipt(1, cost_nusd=None), receipt(2, cost_nusd=401)])
    assert report.total.cost_per_1k_nusd == 350_500


def test_quantiles_are_those_of_the_values_while_there_are_few() -> None:
    report = report_of([receipt(number, ttft_ms=None if number % 2 else 7.0) for number in range(200)])
    latency = report.total.latency
    assert (latency.p50, latency.p90, latency.p99, latency.max, latency.exact) == (
        100.0,
        180.0,
        198.0,
        200.0,
        True,
    )
    assert latency.average == 100.5
    assert report.total.ttft.count == 100 and report.total.ttft.p99 == 7.0
    assert not report.total.few


def test_quantiles_of_many_values_come_from_buckets_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aggregates, "EXACT_MAX", 1_000)
    rows = [receipt(number, endpoint="faq" if number % 3 else "chat") for number in range(2_400)]
    total = report_of(list(rows)).total
    assert not total.latency.exact
    assert total.latency.count == 2_400 and total.latency.max == 2_400.0
    assert total.latency.p50 is not None and abs(total.latency.p50 / 1_200 - 1) < 0.026
    assert total.latency.p99 is not None and abs(total.latency.p99 / 2_376 - 1) < 0.026
    assert "~" in shown(report_of(list(rows)))


def test_shares_rates_and_targets() -> None:
    rows = [
        receipt(0, total_ms=900.0),
        receipt(1, total_ms=1_100.0, status=502, error="provider_error", calls=3),
        receipt(2, tier="expensive", total_ms=5.0, cache="exact", calls=0),
        receipt(3, endpoint="chat", status=499, calls=0, cache_would_hit=True),
    ]
    report = report_of(list(rows), targets_s={"faq": 1.0})
    faq = next(cell for cell in report.endpoints if cell.endpoint == "faq")
    assert faq.within_target == 2 / 3 and faq.target_s == 1.0
    assert (faq.errors, faq.hits, faq.calls_per_request) == (1, 1, 4 / 3)
    cheap = next(cell for cell in report.cells if (cell.endpoint, cell.tier) == ("faq", "cheap"))
    assert cheap.share == 2 / 3 and cheap.few
    assert {(cell.tier, cell.share) for cell in report.tiers} == {("cheap", 0.75), ("expensive", 0.25)}
    assert (report.total.client_gone, report.total.errors, report.total.would_hit) == (1, 1, 1)
    assert next(cell for cell in report.endpoints if cell.endpoint == "chat").within_target is None
    assert "66.7% of 1 s" in shown(report)


def test_only_the_time_and_the_endpoint_asked_for() -> None:
    rows = [receipt(number, endpoint="faq" if number % 2 else "chat") for number in range(10)]
    report = build(list(rows), since=2.0, until=8.0, endpoint="faq")
    assert report.requests == 3
    assert [cell.endpoint for cell in report.cells] == ["faq"]


def test_an_empty_ledger_is_reported_as_empty() -> None:
    report = report_of([])
    assert report.requests == 0 and report.savings.per == []
    assert "0 requests" in shown(report)


def test_names_are_shown_as_they_are_and_never_as_markup() -> None:
    assert "[red]x" in shown(report_of([receipt(0, endpoint="[red]x", baseline_target="[b]y")]))


@pytest.mark.parametrize(
    ("nusd", "text"),
    [
        (0, "$0.00"),
        (1, "$0.000000001"),
        (-1_500_000_000, "-$1.50"),
        (1_234_567_891_234_567_891, "$1,234,567,891.234567891"),
        (10**9, "$1.00"),
    ],
)
def test_money_is_printed_to_the_nano_dollar(nusd: int, text: str) -> None:
    assert usd(nusd) == text


def test_rounded_money_that_is_not_zero_never_looks_like_it() -> None:
    assert usd(1_234_567_890, places=4) == "$1.2346"
    assert usd(-1_250_000_000_000, places=4) == "-$1,250.0000"
    assert usd(7, places=4) == "$0.000000007"


def test_the_command_reads_a_ledger_in_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    book = SegmentLedger(tmp_path)
    now_unix_s = time.time()
    for number in range(10):
        book.record(receipt(number, at_unix_s=now_unix_s - 60))
    book.record(receipt(11, at_unix_s=now_unix_s - 86_400))
    assert (
        cli.main(["report", "--ledger", str(tmp_path), "--since", "1h", "--json"], standalone_mode=False) == 0
    )
    told = json.loads(capsys.readouterr().out)
    assert told["requests"] == 10 and told["total"]["cost_nusd"] == 10_000
    assert cli.main(["report", "--ledger", str(tmp_path)], standalone_mode=False) == 0
    assert "Saved $0.000033" in capsys.readouterr().out
    book.close()


@pytest.mark.slow
def test_a_hundred_thousand_rows_are_read_and_summed_in_seconds(tmp_path: Path) -> None:
    book = SegmentLedger(tmp_path)
    for number in range(100_000):
        one = receipt(number)
        book.intend(one, "a/b")
        book.record(one)
    book.close()
    from farthing.insight.report.report import rows

    def read() -> None:
        assert build(rows(tmp_path, None), since=None, until=2e9).requests == 100_000

    assert turns(read, 1) < 300_000_000  # 60 million were measured: 1.2 s


def test_what_was_left_out_and_what_prompt_caches_did_is_counted_where_there_is_any() -> None:
    def attempt(left_out: str) -> Attempt:
        return Attempt(target="a/m", tier="cheap", started_ms=0.0, left_out=left_out)

    usage = Usage(input_tokens=90, output_tokens=5, cached_tokens=40, cache_write_5m_tokens=20)
    rows: list[Receipt | Intent] = [
        receipt(1, attempts=[attempt("temperature, seed"), attempt("seed")], usage=usage),
        receipt(2, attempts=[attempt("seed")]),
        receipt(3, cache="exact", usage=usage),
    ]
    found = report_of(rows)
    assert found.left_out == {"seed": 2, "temperature": 1}
    assert (found.total.cached_tokens, found.total.cache_write_tokens) == (40, 20)
    text = shown(found)
    assert "seed of 2, temperature of 1" in text and "40 tokens read and 20 written" in text
    plain = shown(report_of([receipt(1)]))
    assert "left out" not in plain and "prompt caches" not in plain


def test_calls_that_went_on_with_broken_streams_are_told_with_what_they_cost() -> None:
    def attempt(error: str | None, cost_nusd: int | None, *, continues: bool = True) -> Attempt:
        return Attempt(
            target="a/m", tier="cheap", started_ms=0.0, error=error, cost_nusd=cost_nusd, continues=continues
        )

    broke = attempt("connection_lost", 5_000, continues=False)
    rows: list[Receipt | Intent] = [
        receipt(1, attempts=[broke, attempt(None, 2_000_000)]),
        receipt(2, attempts=[broke, attempt("timeout", 1_000_000), attempt(None, None)]),
        receipt(3, attempts=[broke, attempt(None, 7, continues=False)]),
    ]
    found = report_of(rows).continued
    assert (found.requests, found.calls, found.ended, found.cost_nusd, found.unpriced) == (
        2,
        3,
        2,
        3_000_000,
        1,
    )
    text = " ".join(shown(report_of(rows)).split())
    assert "broken streams: 3 calls went on with the answers of 2 requests, 2 of them to the end" in text
    assert "they cost $0.003, and 1 call of unknown cost" in text
    assert "broken streams" not in shown(report_of(rows[2:]))


def test_what_marks_of_ours_saved_is_net_signed_and_beside_the_saving() -> None:
    def attempt(saved_nusd: int | None, written_nusd: int | None = 0, *, marked: bool = True) -> Attempt:
        use = PromptCacheUse(result="read", saved_nusd=saved_nusd, written_nusd=written_nusd, marked=marked)
        return Attempt(target="a/m", tier="cheap", started_ms=0.0, prompt_cache=use)

    wrote, read = attempt(-2_000_000, 2_000_000), attempt(7_000_000)
    rows: list[Receipt | Intent] = [
        receipt(1, attempts=[wrote]),
        receipt(2, attempts=[read, attempt(9_000_000, marked=False)]),
        receipt(3, attempts=[read, attempt(None, None)]),
    ]
    found = report_of(rows)
    marks = found.marks
    assert (marks.calls, marks.unknown, marks.saved_nusd, marks.written_nusd) == (3, 1, 12_000_000, 2_000_000)
    [per] = marks.per
    margin = round(1.959964 * 3_000_000 * 1_000)  # of -2, 7 and 7 a variance of 27, and of their mean 9
    assert (per.saved_nusd, per.low_nusd, per.high_nusd) == (
        4_000_000_000,
        4_000_000_000 - margin,
        4_000_000_000 + margin,
    )
    assert found.savings.saved_nusd == 3 * 3_000
    text = " ".join(shown(found).split())
    assert "marks of ours for prompt caches saved $0.012 net in 3 calls, per 1,000 calls $4.0000" in text
    assert "fewer than 100 calls: not reliable" in text
    assert "their writes, which are in it, cost $0.002; 1 call of unknown saving" in text
    assert "caches cost $0.002 net in 1 call; their" in " ".join(shown(report_of(rows[:1])).split())
    assert "marks of ours" not in shown(report_of([receipt(1, attempts=[attempt(1, marked=False)])]))


def test_no_line_ends_in_blanks() -> None:
    rows: list[Receipt | Intent] = [receipt(number, cost_nusd=None) for number in range(3)]
    for width in range(40, 120, 7):
        out = io.StringIO()
        render(report_of(rows), Console(file=out, width=width, highlight=False))
        notes = out.getvalue().partition("Savings")[2]
        assert notes and not [line for line in notes.splitlines() if line != line.rstrip()]


def test_requests_that_were_refused_are_not_said_to_have_an_unknown_cost() -> None:
    refused: dict[str, object] = {"calls": 0, "status": 400, "error": "cannot_say", "baseline_nusd": None}
    rows: list[Receipt | Intent] = [receipt(1, cost_nusd=0, **refused), receipt(2)]
    assert "not in the saving: 1 request that ended before any call" in shown(report_of(rows))
    rows.append(receipt(3, cost_nusd=None))
    assert "2 requests without a known cost or baseline, 1 of them ended before any call" in shown(
        report_of(rows)
    )
