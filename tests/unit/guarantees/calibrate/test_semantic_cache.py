"""A certificate is given for what was shown, and refused with what is missing."""

import json
import random
import time
from bisect import bisect_right
from pathlib import Path
from typing import Any

import click
import pytest

from farthing.cli.main import cli
from farthing.errors import ConfigError
from farthing.guarantees.calibrate import audits as reading
from farthing.guarantees.calibrate import semantic_cache
from farthing.guarantees.calibrate.semantic_cache import (
    GRID,
    Aim,
    Calibration,
    UnknownEndpoint,
    first_tested,
    fixed_sequence,
)
from farthing.guarantees.certificates import semantic_cache as certificates
from farthing.guarantees.certificates.semantic_cache import Certificate, RunningScope, Scope, why_not
from farthing.ledger.segments import SegmentLedger
from farthing.stats.exact_tests import at_most
from farthing.types import Receipt

SCOPE = Scope(embedder="mini/int8", verifier="rules/1", cosine_min=0.7, partitioning=1)
RUNNING = RunningScope(scope=SCOPE, since_unix_s=0.0)
NOW = 2_000_000.0
DAY_S = 86_400.0


def would_hit(number: int, *, wrong: bool = False, **changes: object) -> Receipt:
    """A would-be hit in observe that was compared."""
    fields: dict[str, object] = {
        "at_unix_s": 1_000.0 + number,
        "endpoint": "faq",
        "cache": "miss",
        "cache_would_hit": True,
        "cache_entry": f"e{number}",
        "cache_probability": 0.96,
        "cache_language": "en",
        "similarity": 0.9,
        "audit": "differs" if wrong else "agrees",
        "stage_ms": {"semantic": 1.0},
        "status": 200,
        "calls": 1,
        "stop_reason": "stop",
        "policy": "p1",
        **changes,
    }
    return Receipt(request_id=f"r{number}", started_s=0.0, **fields)  # type: ignore[arg-type]


def judged(about: str, audit: str, at_unix_s: float = 5_000.0) -> Receipt:
    fields: dict[str, Any] = {"purpose": "judge", "about": about, "audit": audit, "target": "x/judge"}
    return Receipt(request_id=f"j{about}", at_unix_s=at_unix_s, started_s=0.0, endpoint="faq", **fields)


def calibrated(rows: list[Receipt], loss: float = 0.01, **terms: Any) -> Calibration:
    seen = reading.observe(
        rows,
        endpoint="faq",
        grid=GRID,
        since_unix_s=terms.pop("since_unix_s", 0.0),
        now_unix_s=NOW,
    )
    aim = Aim(endpoint="faq", risk_max=loss, confidence=terms.pop("confidence", 0.95))
    return semantic_cache.calibrate(seen, aim, running=terms.pop("running", RUNNING), now_unix_s=NOW)


def test_none_wrong_of_299_is_a_certificate_for_one_percent_and_298_is_refused() -> None:
    found = calibrated([would_hit(number) for number in range(299)])
    made = found.certificate
    assert made is not None and found.refusal == ""
    assert (made.threshold, made.n, made.wrong, made.entries) == (0.5, 299, 0, 299)
    assert made.upper <= made.risk_max == 0.01 and made.delta == 0.05
    assert made.upper_anytime > 0.01  # 299 are enough for one look, not for many
    assert made.scope == SCOPE and made.judged_by == ("words",) and made.policies == ("p1",)
    less = calibrated([would_hit(number) for number in range(298)])
    assert less.certificate is None and less.more_needed == 1
    assert "1 more audited hits are needed" in less.refusal and "299 with none wrong" in less.refusal


def test_the_lowest_threshold_that_holds_is_taken_and_no_lower_one() -> None:
    chance = random.Random(1)
    rows = [would_hit(number, cache_probability=0.991) for number in range(600)]
    rows += [
        would_hit(600 + number, cache_probability=0.9, wrong=chance.random() < 0.3) for number in range(300)
    ]
    found = calibrated(rows)
    assert found.certificate is not None and found.certificate.threshold == 0.92
    results = {step.threshold: step.result for step in found.steps}
    assert results[0.9925] == "too few" and results[0.99] == "holds" and results[0.92] == "holds"
    assert results[0.9] == "not shown" and results[0.875] == "not tested"


def test_what_is_not_safe_at_the_safest_threshold_is_refused() -> None:
    found = calibrated([would_hit(number, wrong=number % 20 == 0) for number in range(1_000)])
    assert found.certificate is None and found.more_needed is None
    assert "50 of 1000" in found.refusal and "not safe" in found.refusal


@pytest.mark.parametrize("same", [{"similarity": 0.9}, {"session": "s"}, {"user": "u"}])
def test_repetitions_count_once(same: dict[str, Any]) -> None:
    rows = [
        would_hit(number, cache_entry=f"e{number % 298}", **{"similarity": number / 1e4, **same})
        for number in range(900)
    ]
    found = calibrated(rows)
    assert max(step.n for step in found.steps) == 298
    assert found.certificate is None and found.more_needed == 1 and found.audits == 900


def test_one_wrong_repetition_makes_the_audit_wrong() -> None:
    rows = [would_hit(number) for number in range(400)]
    rows += [would_hit(1_000 + number, cache_entry=f"e{number}", wrong=number < 3) for number in range(400)]
    assert {(step.n, step.wrong) for step in calibrated(rows, loss=0.05).steps if step.n} == {(400, 3)}


def test_an_entry_that_everybody_asks_for_counts_five_times() -> None:
    rows = [
        would_hit(number, cache_entry="popular", similarity=0.8 + number / 1e4) for number in range(1_000)
    ]
    assert max(step.n for step in calibrated(rows).steps) == reading.ENTRY_MAX


def test_wrong_ones_that_are_asked_often_are_not_hidden_by_counting_them_once() -> None:
    rows = [would_hit(number) for number in range(1_000)]
    rows += [would_hit(2_000 + number, cache_entry="bad", wrong=True) for number in range(50)]
    found = calibrated(rows)
    assert found.certificate is None and "51" not in found.refusal
    assert "50 of all 1050" in found.refusal and "asked more often" in found.refusal


def test_the_judges_verdict_is_joined_and_named() -> None:
    rows = [would_hit(number) for number in range(300)]
    rows += [would_hit(1_000 + number, audit="pending") for number in range(100)]
    rows += [judged(f"r{1_000 + number}", "agrees") for number in range(100)]
    found = calibrated(rows)
    assert found.certificate is not None and found.certificate.n == 400
    assert found.certificate.judged_by == ("words", "x/judge")
    rows[-1] = judged(f"r{1_099}", "differs")
    assert calibrated(rows, loss=0.05).steps[-1].wrong == 1


def test_what_nobody_judged_counts_as_wrong() -> None:
    rows = [would_hit(number) for number in range(300)]
    rows += [would_hit(1_000, audit="pending"), would_hit(1_001, audit="")]
    found = calibrated(rows, loss=0.05)
    assert found.unjudged == 2 and found.steps[-1].wrong == 2


def test_an_answer_that_failed_is_no_audit() -> None:
    rows = [would_hit(number) for number in range(300)]
    rows += [would_hit(1_000, audit="", status=502, stop_reason="no_provider")]
    rows += [would_hit(1_001, audit="", skipped={"learn": "TimeoutError"})]
    assert calibrated(rows).audits == 300


def test_audits_of_another_scope_or_too_young_are_left_out() -> None:
    rows = [would_hit(number) for number in range(300)]
    rows += [would_hit(1_000, at_unix_s=NOW - 10, wrong=True)]
    found = calibrated(rows, since_unix_s=1_010.0)
    assert (found.audits, found.left_out) == (290, 11)
    assert found.more_needed == 9


def test_a_time_in_which_less_could_be_served_says_nothing_of_a_lower_threshold() -> None:
    """Under `p2` hits are served from 0.95 on and a share is audited: it saw nothing of what lies below."""
    served: dict[str, Any] = {"cache": "semantic", "audit": "", "cache_would_hit": False, "calls": 0}
    rows = [would_hit(number, policy="p2") for number in range(400)]
    rows += [would_hit(1_000 + n, policy="p2", **served) for n in range(4_000)]
    below: dict[str, Any] = {"policy": "p2", "cache_would_hit": False, "audit": "", "cache_probability": 0.8}
    rows += [would_hit(10_000 + n, **below) for n in range(500)]
    found = calibrated(rows)
    assert found.certificate is not None and found.certificate.threshold == 0.825
    rows += [would_hit(20_000 + n, policy="p1", cache_probability=0.8, wrong=n % 10 == 0) for n in range(400)]
    again = calibrated(rows)
    assert again.certificate is not None and again.certificate.threshold == 0.825
    at_08 = next(step for step in again.steps if step.threshold == 0.8)
    assert (at_08.n, at_08.wrong) == (400, 40)


@pytest.mark.slow
def test_a_last_fifth_that_contradicts_is_a_refusal() -> None:
    rows = [would_hit(number) for number in range(4_000)]
    rows += [would_hit(10_000 + number, wrong=number < 30) for number in range(600)]
    found = calibrated(rows)
    assert found.certificate is None and "something changed" in found.refusal


def test_nothing_known_is_refused_with_what_to_do() -> None:
    assert "mode" in calibrated([]).refusal and calibrated([]).more_needed == 299
    rows = [would_hit(number) for number in range(299)]
    assert "which embedder and verifier" in calibrated(rows, running=None).refusal
    low = calibrated([would_hit(number, cache_probability=0.3) for number in range(400)])
    assert low.certificate is None and "no audited hit reached 0.5" in low.refusal


def test_the_sequence_stops_at_the_first_that_is_not_shown() -> None:
    assert fixed_sequence([(10, 0), (299, 0), (400, 5), (500, 0)], 0.01, 0.05) == 1
    assert fixed_sequence([(299, 0), (2_000, 50), (9_000, 5)], 0.01, 0.05) is None
    assert fixed_sequence([(298, 0)], 0.01, 0.05) is None
    assert fixed_sequence([(299, 1), (600, 0)], 0.01, 0.05) is None


def test_the_sequence_begins_where_a_few_may_be_wrong_if_there_are_enough() -> None:
    counts = [(299, 0), (473, 1), (773, 3), (1_600, 3)]
    assert first_tested(counts, 0.01, 0.05) == 2  # 773 with 3 wrong is within 1 %, and less than half of all
    assert first_tested(counts[:3], 0.01, 0.05) == 0
    assert first_tested([(298, 0)], 0.01, 0.05) == 1


def test_a_certified_rate_is_over_the_loss_at_most_as_often_as_promised() -> None:
    """Known truth: the rate of false hits falls with the probability and crosses the loss inside the grid."""
    chance, loss, delta, violated, certified = random.Random(3), 0.05, 0.1, 0, 0
    scores = [0.5 + 0.5 * k / 200 for k in range(201)]
    wrong_at = [min(1.0, 0.3 * (1 - s) + 0.005) for s in scores]
    grid = GRID
    truth = []
    for threshold in grid:
        above = [w for s, w in zip(scores, wrong_at, strict=True) if s >= threshold]
        truth.append(sum(above) / len(above))
    assert truth[0] < loss < truth[-1]
    for _ in range(300):
        drawn = [chance.randrange(len(scores)) for _ in range(600)]
        outcomes = sorted(((scores[one], chance.random() < wrong_at[one]) for one in drawn), reverse=True)
        counts = []
        for threshold in grid:
            n = bisect_right(outcomes, -threshold, key=lambda outcome: -outcome[0])
            counts.append((n, sum(wrong for _, wrong in outcomes[:n])))
        last = fixed_sequence(counts, loss, delta)
        if last is not None:
            certified += 1
            violated += truth[last] > loss
    assert certified >= 150
    assert at_most(violated - 1, 300, delta) <= 0.99  # no more than delta allows, within 1 % of chance


# -- the certificate --------------------------------------------------------------------------------


def a_certificate(**changes: Any) -> Certificate:
    made = calibrated([would_hit(number) for number in range(350)]).certificate
    assert made is not None
    return Certificate(**{**{name: getattr(made, name) for name in made.__struct_fields__}, **changes})


def reasons(certificate: Certificate, **changes: Any) -> str:
    terms: dict[str, Any] = {
        "endpoint": "faq",
        "scope": SCOPE,
        "risk_max": 0.01,
        "confidence": 0.95,
        "now_unix_s": NOW,
        **changes,
    }
    return "; ".join(why_not(certificate, **terms))


def test_a_certificate_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = certificates.certificate_path(tmp_path, "a/b c")
    assert path.parent == tmp_path / "certificates"
    assert certificates.load(path) is None
    made = a_certificate()
    certificates.save(path, made)
    assert certificates.load(path) == made
    for damage in (b"{}", b"nonsense", path.read_bytes().replace(b'"version": 1', b'"version": 7')):
        path.write_bytes(damage)
        with pytest.raises(ConfigError, match="farthing calibrate cache"):
            certificates.load(path)


def test_a_certificate_holds_in_its_scope_alone() -> None:
    made = a_certificate()
    assert reasons(made) == ""
    other = {"embedder": "x", "verifier": "y", "cosine_min": 0.6, "partitioning": 2}
    for name, value in other.items():
        scope = Scope(**{**{field: getattr(SCOPE, field) for field in SCOPE.__struct_fields__}, name: value})
        assert name in reasons(made, scope=scope)
    higher = Scope(embedder="mini/int8", verifier="rules/1", cosine_min=0.8, partitioning=1)
    assert reasons(made, scope=higher) == ""
    assert "0.005 is configured" in reasons(made, risk_max=0.005)
    assert "0.99 is configured" in reasons(made, confidence=0.99)
    assert "days old" in reasons(made, now_unix_s=NOW + 91 * DAY_S)
    assert "in the future" in reasons(made, now_unix_s=NOW - 2 * DAY_S)
    assert "for the endpoint 'faq'" in reasons(made, endpoint="other")
    assert "threshold of 0 " in reasons(a_certificate(threshold=0.0))
    assert reasons(made, risk_max=0.05, confidence=0.9) == ""


def test_the_scope_is_noted_once_and_its_time_kept(tmp_path: Path) -> None:
    assert certificates.running_scope(tmp_path) is None
    certificates.note_scope(tmp_path, SCOPE, 5.0)
    certificates.note_scope(tmp_path, SCOPE, 9.0)
    assert certificates.running_scope(tmp_path) == RunningScope(scope=SCOPE, since_unix_s=5.0)
    other = Scope(embedder="b", verifier="rules/1", cosine_min=0.7, partitioning=1)
    certificates.note_scope(tmp_path, other, 12.0)
    assert certificates.running_scope(tmp_path) == RunningScope(scope=other, since_unix_s=12.0)


# -- the command ------------------------------------------------------------------------------------


def a_state(folder: Path, audits: int, scope: bool = True, language: str = "en") -> list[str]:
    """A ledger with that many audits, and the options that name it."""
    (folder / "farthing.toml").write_text(
        f'state_dir = "{folder}"\n[endpoints.faq.cache.semantic]\nmode = "observe"\nfalse_hits_max = 0.02\n'
    )
    began_unix_s = time.time() - DAY_S
    if scope:
        certificates.note_scope(folder, SCOPE, began_unix_s - 1)
    book = SegmentLedger(folder / "ledger")
    for number in range(audits):
        book.record(would_hit(number, at_unix_s=began_unix_s + number, cache_language=language))
    book.record(would_hit(99_999, endpoint="other", at_unix_s=began_unix_s))
    book.close()
    return ["--config", str(folder / "farthing.toml")]


def run(*words: str) -> object:
    return cli.main(["calibrate", "cache", *words], standalone_mode=False)


def test_audits_of_one_language_certify_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = a_state(tmp_path, 160, language="de")
    assert run("--endpoint", "faq", *where) == 1
    assert "REFUSED: 0 lookups" in capsys.readouterr().out
    assert run("--endpoint", "faq", "--language", "de", *where, "--apply") == 0
    assert "language de: 160 lookups" in capsys.readouterr().out
    assert certificates.load(certificates.certificate_path(tmp_path, "faq")) is None
    made = certificates.load(certificates.certificate_path(tmp_path, "faq", "de"))
    assert made is not None and (made.language, made.n) == ("de", 160)
    with pytest.raises(click.BadParameter):
        run("--endpoint", "faq", "--language", "../x", *where)


def test_the_command_prints_the_certificate_and_writes_it_when_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = a_state(tmp_path, 160)
    path = certificates.certificate_path(tmp_path, "faq")
    assert run("--endpoint", "faq", *where) == 0
    told = capsys.readouterr().out
    assert "CERTIFICATE: at 0.5 and above, at most 0.02 of the hits are false, with confidence 0.95" in told
    assert "0 wrong of 160 distinct audited hits" in told and "mini/int8" in told and "dry run" in told
    assert "as judged by words" in told
    assert not path.exists()
    assert run("--endpoint", "faq", *where, "--apply", "--json") == 0
    told_json = json.loads(capsys.readouterr().out)
    assert told_json["written"] is True and told_json["certificate"]["n"] == 160
    made = certificates.load(path)
    assert (
        made is not None and made.risk_max == 0.02 and made.data_hash == told_json["certificate"]["data_hash"]
    )


def test_the_command_refuses_with_what_is_missing_and_a_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = a_state(tmp_path, 160)
    assert run("--endpoint", "faq", *where, "--risk-max", "0.01", "--apply") == 1
    assert "REFUSED: 139 more audited hits are needed" in capsys.readouterr().out
    assert not certificates.certificate_path(tmp_path, "faq").exists()
    assert run("--endpoint", "faq", *where, "--since", "1h", "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert told["certificate"] is None and told["left_out"] == 160 and told["more_needed"] == 149


def test_the_command_needs_to_know_what_ran(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--endpoint", "faq", *a_state(tmp_path, 160, scope=False)) == 1
    assert "which embedder and verifier" in capsys.readouterr().out


def test_an_unknown_endpoint_and_a_missing_ledger_are_named(tmp_path: Path) -> None:
    where = a_state(tmp_path, 3)
    with pytest.raises(UnknownEndpoint, match=r"no endpoint 'fqa'.*faq, other"):
        run("--endpoint", "fqa", *where)
    with pytest.raises(ConfigError, match="no ledger"):
        run("--endpoint", "faq", "--ledger", str(tmp_path / "no"))
