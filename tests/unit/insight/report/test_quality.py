"""What `farthing quality` makes of the signals in a ledger, and what a certificate is worth with labels."""

import io
import json
import random
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tests.sampled import at_length

from farthing.cli.main import cli
from farthing.config import LedgerConfig
from farthing.guarantees.calibrate import labels as label_files
from farthing.guarantees.calibrate.labels import BadLabels, Labels
from farthing.guarantees.calibrate.route_samples import Sample
from farthing.guarantees.calibrate.routing import Aim, calibrate
from farthing.guarantees.certificates.routing import RouteScope
from farthing.insight.report import quality, report
from farthing.insight.route_calibration import story
from farthing.ledger.read import Row
from farthing.ledger.segments import SegmentLedger
from farthing.types import Receipt, Signal


def receipt(number: int, **changes: Any) -> Receipt:
    usual = {"at_unix_s": 10.0 + number, "started_s": 0.0, "tenant": "acme", "endpoint": "faq"}
    usual |= {"tier": "cheap", "status": 200, "cost_nusd": 1_000}
    return Receipt(**{"request_id": f"req_{number}", **usual, **changes})


def signal(number: int, source: str, value: float | None, **changes: Any) -> Signal:
    usual = {"at_unix_s": 20.0 + number, "source": source, "tenant": "acme", "endpoint": "faq"}
    return Signal(**{"request_id": f"req_{number}", "quality": value, **usual, **changes})


def found(rows: list[Row], labels: Labels | None = None, endpoint: str | None = None) -> quality.Quality:
    collector = quality.Collector(since=None, until=1e6, endpoint=endpoint)
    for row in rows:
        collector.take(row)
    return collector.joined(rows, labels)


def cells(of: quality.Quality) -> dict[tuple[str, str, str, str], quality.Learned]:
    return {(one.endpoint, one.tier, one.source, one.kind): one for one in of.learned}


# -- joining ----------------------------------------------------------------------------------------


def test_signals_are_counted_by_endpoint_tier_and_source_and_never_mixed() -> None:
    rows: list[Row] = [
        receipt(1),
        receipt(2),
        receipt(3, tier="expensive"),
        signal(1, "feedback", 1.0, kind="thumb"),
        signal(2, "feedback", 0.0, kind="thumb"),
        signal(3, "feedback", 0.5, kind="rating"),
        signal(1, "check", 1.0, kind="schema"),
        signal(2, "check", None, kind="schema"),
    ]
    by = cells(found(rows))
    thumbs = by["faq", "cheap", "feedback", "thumb"]
    assert (thumbs.n, thumbs.unknown, thumbs.requests) == (2, 0, 2)
    assert thumbs.quality is not None and thumbs.quality.mean == 0.5
    checked = by["faq", "cheap", "check", "schema"]
    assert (checked.n, checked.unknown) == (2, 1)
    assert checked.quality is not None and (checked.quality.n, checked.quality.mean) == (1, 1.0)
    assert ("faq", "expensive", "feedback", "rating") in by and len(by) == 3


def test_the_last_feedback_of_a_request_and_kind_counts() -> None:
    rows: list[Row] = [
        signal(1, "feedback", 0.0, kind="thumb", at_unix_s=30.0),
        receipt(1),
        signal(1, "feedback", 1.0, kind="thumb", at_unix_s=40.0),
        signal(1, "feedback", 0.2, kind="quality", at_unix_s=50.0),
    ]
    by = cells(found(rows))
    thumb = by["faq", "cheap", "feedback", "thumb"]
    assert thumb.n == 1 and thumb.quality is not None and thumb.quality.mean == 1.0
    assert ("faq", "cheap", "feedback", "quality") in by


def test_what_is_said_of_another_tenants_request_or_of_none_is_not_counted() -> None:
    rows: list[Row] = [
        receipt(1),
        receipt(2, status=500),
        receipt(3, purpose="judge"),
        signal(1, "feedback", 0.0, kind="thumb", tenant="rival"),
        signal(2, "reask", 0.25),
        signal(3, "feedback", 0.0, kind="thumb"),
        signal(9, "feedback", 0.0, kind="thumb"),
    ]
    of = found(rows)
    assert not of.learned and of.unmatched == 4


def test_an_id_that_another_tenant_has_too_takes_nothing_away() -> None:
    rows: list[Row] = [receipt(1, tenant="rival"), receipt(1), signal(1, "feedback", 1.0, kind="thumb")]
    of = found(rows)
    assert [one.n for one in of.learned] == [1] and of.unmatched == 0


def test_a_label_without_a_tier_is_of_the_answer_the_client_got_on_pairs_too() -> None:
    rows = [row for number in range(20) for row in pair(number, number % 2 / 1, True)]
    labels = {(f"req_{number}", ""): 1.0 for number in range(12)}
    expensive = cells(found(rows, labels))["faq", "expensive", "judge", "pairwise"]
    cheap = cells(found(rows, labels))["faq", "cheap", "judge", "pairwise"]
    assert expensive.corrected is not None and expensive.corrected.labels == 12
    assert cheap.corrected is None


def test_only_the_endpoint_asked_for_is_shown() -> None:
    rows: list[Row] = [
        receipt(1),
        receipt(2, endpoint="chat"),
        signal(1, "check", 1.0),
        signal(2, "check", 1.0),
    ]
    of = found(rows, endpoint="chat")
    assert [one.endpoint for one in of.learned] == ["chat"] and of.unmatched == 0


def test_repeats_are_a_share_of_requests_and_no_mean() -> None:
    rows: list[Row] = [*(receipt(n) for n in range(10)), signal(1, "reask", 0.25)]
    (one,) = found(rows).learned
    assert (one.n, one.requests, one.quality) == (1, 10, None)


def pair(number: int, cheap: float | None, consistent: bool | None) -> list[Row]:
    expensive = None if cheap is None else 1 - cheap
    said = {"kind": "pairwise", "consistent": consistent, "by": "a/judge"}
    return [
        receipt(number, tier="expensive", explored="cheap"),
        signal(number, "judge", cheap, tier="cheap", other="expensive", **said),
        signal(number, "judge", expensive, tier="expensive", other="cheap", **said),
    ]


def test_the_judges_consistency_counts_each_pair_once() -> None:
    rows = [row for n in range(8) for row in pair(n, 0.0 if n else 0.5, n > 1)]
    rows += pair(8, None, None)
    (judging,) = found(rows).judging
    assert (judging.pairs, judging.consistent, judging.unknown) == (8, 6, 1)
    assert judging.low < 0.75 < judging.high


def test_what_judging_costs_is_summed_from_its_receipts() -> None:
    rows: list[Row] = [
        receipt(1, purpose="judge", cost_nusd=300),
        receipt(2, purpose="judge", cost_nusd=None),
        receipt(3, purpose="explore", cost_nusd=500),
        receipt(4, purpose="precompute", cost_nusd=900),
    ]
    costs = [(one.purpose, one.calls, one.unpriced, one.cost_nusd) for one in found(rows).costs]
    assert costs == [("explore", 1, 0, 500), ("judge", 2, 1, 300)]


def test_labels_correct_a_judge_that_lets_bad_answers_pass() -> None:
    chance = random.Random(1)
    rows: list[Row] = []
    labels: dict[tuple[str, str], float] = {}
    for number in range(1_000):
        good = chance.random() < 0.6
        rows += [
            receipt(number),
            signal(number, "judge", float(good or chance.random() < 0.5), kind="rubric"),
        ]
        if number < 200:
            labels[f"req_{number}", "" if number % 2 else "cheap"] = float(good)
    (one,) = found(rows, labels).learned
    assert one.quality is not None and one.quality.low > 0.6
    assert one.corrected is not None and one.corrected_share is not None
    for corrected in (one.corrected, one.corrected_share):
        assert corrected.low < 0.6 < corrected.high and corrected.labels == 200
    (without,) = found(rows).learned
    assert without.corrected is None and without.corrected_share is None


# -- shown ------------------------------------------------------------------------------------------


def printed(of: quality.Quality) -> str:
    out = io.StringIO()
    quality.render(of, Console(file=out, width=120))
    return out.getvalue()


def test_the_tables_say_unknown_where_nothing_is_known() -> None:
    told = printed(found([receipt(1), signal(1, "check", None, kind="schema"), *pair(5, None, None)]))
    assert "check schema" in told and "unknown" in told and "no verdict on 1 pairs" in told
    assert "nothing is known" in printed(found([receipt(1)]))


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "ledger"
    written = SegmentLedger(path, LedgerConfig())
    for number in range(20):
        written.record(receipt(number))
        written.signal(signal(number, "feedback", float(number % 4 > 0), kind="thumb"))
    written.close()
    return path


def run(*words: str) -> int:
    return int(cli.main(args=list(words), standalone_mode=False) or 0)


def test_the_command_prints_the_same_as_json_and_as_a_table(
    ledger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("quality", "--ledger", str(ledger), "--since", "all", "--json") == 0
    (one,) = json.loads(capsys.readouterr().out)["learned"]
    assert (one["source"], one["kind"], one["n"], one["quality"]["mean"]) == ("feedback", "thumb", 20, 0.75)
    assert run("quality", "--ledger", str(ledger), "--since", "all") == 0
    assert "0.750" in capsys.readouterr().out


def test_the_report_has_a_line_for_each_source(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("report", "--ledger", str(ledger), "--since", "all") == 0
    assert "faq cheap, by feedback thumb: 0.750" in capsys.readouterr().out
    assert run("report", "--ledger", str(ledger), "--since", "all", "--json") == 0
    assert json.loads(capsys.readouterr().out)["quality"][0]["n"] == 20


def test_a_ledger_without_signals_is_read_once(tmp_path: Path) -> None:
    collector = quality.Collector(since=None, until=1e6)
    rows: list[Row] = [receipt(1), receipt(2)]
    built = report.build(collector.passing(rows), since=None, until=1e6)
    assert report.with_quality(built, collector, tmp_path / "not there") is built


# -- labels -----------------------------------------------------------------------------------------


def test_labels_are_read_and_what_is_none_is_named_by_its_line(tmp_path: Path) -> None:
    file = tmp_path / "labels.jsonl"
    file.write_text(
        '{"request_id": "req_1", "quality": 1, "tier": "cheap", "who": "kim"}\n\n'
        '{"request_id": "req_1", "quality": 0.5, "tier": "expensive"}\n'
        '{"request_id": "req_2", "quality": 0}\n{"request_id": "req_1", "quality": 0, "tier": "cheap"}\n'
    )
    labels = label_files.read(file)
    assert labels == {("req_1", "cheap"): 0.0, ("req_1", "expensive"): 0.5, ("req_2", ""): 0.0}
    assert label_files.pairs(labels, cheap="cheap", expensive="expensive") == {"req_1": (0.0, 0.5)}
    file.write_text('{"request_id": "req_1", "quality": 2}\n{"quality": 1}\n')
    with pytest.raises(BadLabels, match=r"(?s)line 1: quality is 2.*line 2: .*request_id"):
        label_files.read(file)
    with pytest.raises(BadLabels, match="cannot be read"):
        label_files.read(tmp_path / "none")


SCOPE = RouteScope(router="ridge/1", cheap="cheap", expensive="expensive", policy="")
AIM = Aim(endpoint="faq", risk_max=0.05, confidence=0.9)

Judged = tuple[list[Sample], dict[str, tuple[float, float]]]


def judged(seed: int, n: int, labelled: int, missed: float) -> Judged:
    """The cheap answer is worse, the likelier the lower the score; the judge misses some of that."""
    chance = random.Random(seed)
    samples, labels = [], {}
    for number in range(n):
        score = chance.random()
        worse = chance.random() < 0.5 * (1 - score)
        seen = worse and chance.random() > missed
        key = f"r{seed}-{number}"
        samples.append(Sample(score=score, cheap=1.0 - seen, expensive=1.0, key=key))
        if number < labelled:
            labels[key] = (1.0 - worse, 1.0)
    return samples, labels


def true_loss(threshold: float) -> float:
    return 0.25 * (1 - threshold) ** 2


@pytest.mark.slow
@at_length("trials", sample=60, full=200)
def test_with_labels_the_promise_is_kept_although_the_judge_is_lenient(trials: int) -> None:
    broken = broken_without = certified = 0
    for seed in range(trials):
        samples, labels = judged(seed, 700, 350, missed=0.5)
        made = calibrate(samples, AIM, scope=SCOPE, now_unix_s=0.0, labels=labels).certificate
        certified += made is not None
        broken += made is not None and true_loss(made.threshold) > AIM.risk_max
        alone = calibrate(samples, AIM, scope=SCOPE, now_unix_s=0.0).certificate
        broken_without += alone is not None and true_loss(alone.threshold) > AIM.risk_max
    assert broken / trials <= AIM.delta
    assert broken_without / trials > 0.8
    assert certified / trials > 0.5  # it is worth something, too


def test_too_few_labels_are_refused_and_the_story_says_whose_word_it_is() -> None:
    samples, labels = judged(1, 2_000, 1_000, missed=0.1)
    found_ = calibrate(samples, AIM, scope=SCOPE, now_unix_s=0.0, labels=labels)
    assert found_.certificate is not None and found_.certificate.labels == found_.labels > 500
    assert "according to people" in "\n".join(story(found_))
    few = dict(list(labels.items())[:10])
    refused = calibrate(samples, AIM, scope=SCOPE, now_unix_s=0.0, labels=few)
    assert refused.certificate is None and "label more" in refused.refusal
    assert "whose own errors the bound does not include" in "\n".join(
        story(calibrate(samples, AIM, scope=SCOPE, now_unix_s=0.0))
    )


def test_labels_fit_samples_of_the_ledger_whose_keys_name_the_tenant() -> None:
    samples, labels = judged(3, 500, 300, missed=0.1)
    named = [
        Sample(score=s.score, cheap=s.cheap, expensive=s.expensive, key=f"acme {s.key}") for s in samples
    ]
    assert calibrate(named, AIM, scope=SCOPE, now_unix_s=0.0, labels=labels).labels > 100


def test_the_command_takes_a_file_of_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples, labels = judged(4, 1_500, 800, missed=0.2)
    rows = [{"score": s.score, "cheap": s.cheap, "expensive": 1, "request_id": s.key} for s in samples]
    (tmp_path / "samples.jsonl").write_text("\n".join(map(json.dumps, rows)))
    said = [
        {"request_id": key, "tier": tier, "quality": value}
        for key, pair_ in labels.items()
        for tier, value in zip(("cheap", "expensive"), pair_, strict=True)
    ]
    (tmp_path / "labels.jsonl").write_text("\n".join(map(json.dumps, said)))
    words = ["calibrate", "route", "--endpoint", "faq", "--risk-max", "0.05", "--json"]
    words += ["--samples", str(tmp_path / "samples.jsonl"), "--labels", str(tmp_path / "labels.jsonl")]
    assert run(*words) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["labels"] == shown["certificate"]["labels"] > 400
