"""Samples for a certificate, joined from the receipts and signals of a ledger."""

import json
from pathlib import Path
from typing import Any

import pytest

from farthing.cli.main import cli
from farthing.config import LedgerConfig
from farthing.guarantees.calibrate.explored import Gathered, SampleFilter, from_ledger, gather, pair_of
from farthing.guarantees.calibrate.route_samples import BadSamples
from farthing.guarantees.drift import references
from farthing.ledger.read import Row
from farthing.ledger.segments import SegmentLedger
from farthing.types import Receipt, Signal, replace

TIERS = ("cheap", "expensive")


def receipt(number: int, **changes: Any) -> Receipt:
    fields: dict[str, Any] = {
        "tenant": "acme",
        "endpoint": "faq",
        "tier": "expensive",
        "explored": "cheap",
        "route_score": 0.9,
        "route_by": "ridge/1",
        "propensity": 0.02,
        "task_type": "qa",
        "domain": "travel",
        "language": "de",
        "policy": "p1",
        "status": 200,
        "at_unix_s": float(number),
    }
    return Receipt(request_id=f"r{number}", started_s=0.0, **(fields | changes))


def told(number: int, cheap: float | None, expensive: float | None, **changes: Any) -> list[Signal]:
    fields: dict[str, Any] = {"source": "judge", "kind": "pairwise", "consistent": True, "tenant": "acme"}
    fields |= changes
    sides = (("cheap", "expensive", cheap), ("expensive", "cheap", expensive))
    return [
        Signal(request_id=f"r{number}", at_unix_s=1.0, quality=quality, tier=tier, other=other, **fields)
        for tier, other, quality in sides
    ]


def gathered(rows: list[Row], **wanted: Any) -> Gathered:
    return gather(rows, SampleFilter(endpoint="faq", **wanted))


def test_an_explored_request_with_signals_of_both_tiers_is_a_sample() -> None:
    found = gathered([receipt(1), *told(1, 0.0, 1.0)])
    (sample,) = found.samples
    assert (sample.score, sample.cheap, sample.expensive) == (0.9, 0.0, 1.0)
    assert sample.segments == ("task=qa", "domain=travel", "language=de")
    assert sample.weight == pytest.approx(50.0)
    assert (found.router, found.cheap, found.expensive, found.policy) == ("ridge/1", *TIERS, "p1")
    assert (found.explored, found.judged, found.inconsistent, found.left_out) == (1, 1, 0, {})


def test_the_order_of_the_rows_does_not_matter() -> None:
    rows: list[Row] = [receipt(1), *told(1, 0.0, 1.0), *told(2, 0.5, 0.5), receipt(2)]
    assert gathered(rows).samples == gathered(rows[::-1]).samples[::-1]


def test_what_was_left_out_is_counted_with_the_reason() -> None:
    rows: list[Row] = [
        receipt(1),
        receipt(2),
        *told(2, None, None),
        receipt(3, route_by="ridge/0"),
        *told(3, 1.0, 1.0),
        receipt(4, explored="local"),
        *told(4, 1.0, 1.0),
        receipt(5, route_score=None),
        *told(5, 1.0, 1.0),
        receipt(6),
        receipt(6, at_unix_s=6.5),
        *told(6, 1.0, 1.0),
        receipt(7),
        *told(7, 1.0, 1.0),
    ]
    found = gathered(rows)
    assert [sample.key for sample in found.samples] == ["acme r7"]
    assert found.left_out == {
        "no verdict": 2,
        "another router": 1,
        "other tiers": 1,
        "no score": 1,
        "its id was used again": 2,
    }
    assert found.explored == 8


def test_other_requests_endpoints_and_errands_are_no_part_of_it() -> None:
    rows: list[Row] = [
        receipt(1, explored=""),
        receipt(2, endpoint="other"),
        receipt(3, purpose="explore"),
        receipt(4),
        *(signal for number in range(1, 5) for signal in told(number, 1.0, 1.0)),
    ]
    assert [sample.key for sample in gathered(rows).samples] == ["acme r4"]


def test_a_signal_of_another_tenant_says_nothing() -> None:
    found = gathered([receipt(1), *told(1, 1.0, 1.0, tenant="rival")])
    assert found.left_out == {"no verdict": 1}


def test_what_people_and_retries_say_never_stands_in_for_the_pair() -> None:
    rows: list[Row] = [receipt(1)]
    rows += told(1, 1.0, 1.0, source="feedback", kind="thumb") + told(1, 0.25, 0.25, source="reask", kind="")
    alone = Signal(request_id="r1", at_unix_s=1.0, source="judge", quality=1.0, kind="rubric", tenant="acme")
    assert gathered([*rows, alone]).left_out == {"no verdict": 1}
    assert gathered([*rows, alone, *told(1, 0.0, 1.0)]).samples[0].cheap == 0.0


def test_checks_are_heard_before_the_judge_and_the_worst_of_them_counts() -> None:
    signals = [
        *told(1, 1.0, 0.0),
        *told(1, 1.0, 1.0, source="check", kind="schema", consistent=None),
        *told(1, 0.0, 1.0, source="check", kind="exact", consistent=None),
    ]
    found = pair_of(signals, *TIERS)
    assert found is not None and (found.cheap, found.expensive, found.consistent) == (0.0, 1.0, None)


def test_a_pair_needs_both_sides_and_these_tiers() -> None:
    cheap, expensive = told(1, 1.0, 1.0)
    assert pair_of([cheap], *TIERS) is None
    assert pair_of([cheap, expensive], "local", "expensive") is None
    assert pair_of([cheap, *told(1, None, 1.0)[1:]], *TIERS) is not None
    assert pair_of(told(1, None, 1.0), *TIERS) is None


def test_the_router_and_tiers_are_the_newest_unless_they_are_named() -> None:
    rows: list[Row] = [receipt(1, route_by="ridge/0"), *told(1, 1.0, 1.0), receipt(2), *told(2, 1.0, 1.0)]
    assert [sample.key for sample in gathered(rows).samples] == ["acme r2"]
    assert [sample.key for sample in gathered(rows, router="ridge/0").samples] == ["acme r1"]
    assert gathered(rows, cheap="local").left_out["other tiers"] == 1


def test_what_a_target_answered_that_its_tier_does_not_ask_first_now_is_left_out() -> None:
    rows: list[Row] = []
    answered = (("a/mini", "a/large"), ("a/nano", "a/large"), ("a/nano", "b/spare"))
    for number, (small, large) in enumerate(answered):
        rows.append(receipt(number, target=large))
        cheap, dear = told(number, 1.0, 1.0)
        rows += [replace(cheap, target=small), replace(dear, target=large)]
    now = {"cheap": "a/nano", "expensive": "a/large"}
    found = gathered(rows, targets=now)
    assert [sample.key for sample in found.samples] == ["acme r1"] and found.targets == now
    assert found.left_out == {"other targets": 2}
    unknown = gathered(rows)
    assert len(unknown.samples) == 3 and unknown.targets == {"cheap": "a/nano", "expensive": "b/spare"}


def test_nothing_explored_is_told() -> None:
    with pytest.raises(BadSamples, match="no request of 'faq' was explored"):
        gathered([receipt(1, explored="")])


def test_a_judge_that_turns_with_the_order_more_often_than_not_is_refused() -> None:
    """All its verdicts are ties, which would pass for answers as good as each other."""
    rows: list[Row] = []
    for number in range(40):
        rows += [receipt(number), *told(number, 0.5, 0.5, consistent=number % 4 == 0)]
    with pytest.raises(BadSamples, match="30 of 40 pairs"):
        gathered(rows)
    assert gathered([receipt(0), *told(0, 0.5, 0.5, consistent=False)]).inconsistent == 1


# -- the command --------------------------------------------------------------------------------------


def ledger_of(folder: Path, n: int, lost: int = 0) -> Path:
    """A ledger on disk with `n` explored requests, the cheap answer worse in the first `lost`."""
    book = SegmentLedger(folder / "ledger", LedgerConfig())
    for number in range(n):
        book.record(receipt(number, route_score=0.5 + 0.5 * number / n))
        for signal in told(number, *((0.0, 1.0) if number < lost else (0.5, 0.5))):
            book.signal(signal)
    book.close()
    return folder / "ledger"


def test_the_command_certifies_from_the_ledger(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--ledger", str(ledger_of(tmp_path, 900, lost=60))]
    aim = ["calibrate", "route", "--endpoint", "faq", "--risk-max", "0.02", *where]
    assert cli.main([*aim, "--json"], standalone_mode=False) == 0
    found = json.loads(capsys.readouterr().out)
    scope = found["certificate"]["scope"]
    assert (scope["router"], scope["cheap"], scope["expensive"]) == ("ridge/1", *TIERS)
    assert 0.5 < found["certificate"]["threshold"] < 0.6
    assert {one["name"] for one in found["certificate"]["segments"]} == {
        "task=qa",
        "domain=travel",
        "language=de",
    }
    assert cli.main(aim, standalone_mode=False) == 0
    assert "900 explored requests of the ledger" in capsys.readouterr().out


@pytest.mark.parametrize("others", [0, 2_000])
def test_applying_makes_the_traffic_of_the_samples_the_reference_for_drift(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], others: int
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    ledger = ledger_of(tmp_path, 900)
    book = SegmentLedger(ledger, LedgerConfig())
    for number in range(others):  # half of them after the last sample
        book.record(receipt(10_000 + number, at_unix_s=number * 0.9, explored=""))
    book.close()
    aim = ["calibrate", "route", "--endpoint", "faq", "--risk-max", "0.02", "--ledger", str(ledger)]
    assert cli.main(aim, standalone_mode=False) == 0
    path = references.place(tmp_path / "farthing", "faq")
    assert not path.exists()  # a dry run
    capsys.readouterr()
    assert cli.main([*aim, "--apply"], standalone_mode=False) == 0
    made = references.load(path)
    if not others:
        assert made is None and "no reference for drift: too few" in capsys.readouterr().out
        return
    assert made is not None and "the reference for drift" in capsys.readouterr().out
    assert made.since_unix_s <= 1.0 and made.until_unix_s == 899.0
    assert made.n == 900 + 999
    assert cli.main([*aim, "--risk-max", "0.03", "--apply", "--json"], standalone_mode=False) == 0
    assert json.loads(capsys.readouterr().out)["drift_reference"] == str(path)


def test_samples_that_may_be_no_fair_draw_are_told_of(tmp_path: Path) -> None:
    def told_of(folder: Path, silent: int, days: float) -> str:
        book = SegmentLedger(folder, LedgerConfig())
        for number in range(100):
            book.record(receipt(number, at_unix_s=days * 86_400 * number / 99))
            for signal in told(number, *((None, None) if number < silent else (0.5, 0.5))):
                book.signal(signal)
        book.close()
        return "\n".join(from_ledger(folder, SampleFilter(endpoint="faq"), since_unix_s=None).told)

    assert "CAREFUL" not in told_of(tmp_path / "a", 15, 80)
    assert "CAREFUL: 30 explored requests have no verdict" in told_of(tmp_path / "b", 30, 1)
    assert "CAREFUL: the samples span more than 90 days" in told_of(tmp_path / "c", 0, 100)


def test_a_ledger_without_explored_requests_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    where = ["--ledger", str(ledger_of(tmp_path, 0))]
    with pytest.raises(BadSamples, match="explore_share"):
        cli.main(
            ["calibrate", "route", "--endpoint", "faq", "--risk-max", "0.02", *where], standalone_mode=False
        )
