"""A router's certificate is given for what was shown, and refused with what is missing."""

import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from farthing.cli.main import cli
from farthing.errors import ConfigError
from farthing.guarantees.calibrate.route_samples import BadSamples, Sample, parse
from farthing.guarantees.calibrate.routing import Aim, Calibration, calibrate, split, thinned
from farthing.guarantees.certificates import routing as certificates
from farthing.guarantees.certificates.file import AGE_MAX_S
from farthing.guarantees.certificates.routing import RouteCertificate, RouteScope, goes_cheap, why_not
from farthing.insight.route_calibration import story

SCOPE = RouteScope(router="ridge/1", cheap="small", expensive="large", policy="")
NOW = 2_000_000.0


def sample(number: int, *, score: float = 0.9, worse: float = 0.0, **changes: Any) -> Sample:
    return Sample(**{"score": score, "cheap": 1 - worse, "expensive": 1.0, "key": f"r{number}", **changes})


def traffic(n: int, *, seed: int = 1, grade: float = 1.0) -> list[Sample]:
    """The cheap answer is worse by `grade`, the likelier the lower the score."""
    chance = random.Random(seed)
    scores = [chance.random() for _ in range(n)]
    return [
        sample(seed * 1_000_000 + i, score=s, worse=grade * (chance.random() < 0.4 * (1 - s) ** 1.5))
        for i, s in enumerate(scores)
    ]


def true_loss(threshold: float, grade: float = 1.0) -> float:
    return grade * 0.4 * float((1 - threshold) ** 2.5) / 2.5


def calibrated(samples: list[Sample], loss: float = 0.02, **terms: Any) -> Calibration:
    aim = Aim(endpoint="faq", risk_max=loss, confidence=terms.pop("confidence", 0.9), **terms)
    return calibrate(samples, aim, scope=SCOPE, now_unix_s=NOW)


# -- the promise --------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("grade", "test"), [(1.0, "binomial"), (0.5, "betting")])
def test_the_true_loss_is_over_epsilon_in_at_most_delta_of_the_certificates(grade: float, test: str) -> None:
    trials, broken, shares = 250, 0, []
    for seed in range(trials):
        made = calibrated(traffic(800, seed=seed, grade=grade)).certificate
        if made is not None:
            assert made.test == test
            broken += true_loss(made.threshold, grade) > 0.02
            shares.append(1 - made.threshold)
    assert broken / trials <= 0.1
    assert sum(shares) / trials > 0.15  # it is worth something, too


def test_a_net_loss_counts_what_is_gained() -> None:
    chance = random.Random(5)
    rows = []
    for i in range(3_000):
        gains, loses = chance.random() < 0.10, chance.random() < 0.10
        rows.append(sample(i, cheap=float(not loses), expensive=float(not gains)))
    assert calibrated(rows).certificate is None
    made = calibrated(rows, harm="net", loss=0.05).certificate
    assert made is not None and made.harm == "net" and made.cheap_share == 1.0


def test_thresholds_hold_up_to_the_first_that_is_not_shown() -> None:
    found = calibrated(traffic(3_000))
    results = [step.result for step in found.steps]
    held = results.index("not shown")
    assert results[:held] == ["holds"] * held and held > 5
    assert results[held + 1 :] == ["not tested"] * (len(results) - held - 1)
    assert found.steps[0].threshold is None and found.steps[0].lost == 0
    made = found.certificate
    assert made is not None and made.threshold == found.steps[held - 1].threshold == made.grid[held - 2]
    assert made.p_value <= 0.1 and made.lost <= 0.02 * made.n
    shares = [step.cheap_share for step in found.steps]
    assert shares == sorted(shares) and shares[-1] > 0.99


def test_the_grid_comes_from_the_train_part_alone() -> None:
    rows = traffic(1_000)
    train, tested, audit = split(rows)
    assert len(train) + len(tested) + len(audit) == 1_000
    assert 150 < len(train) < 250 and 600 < len(tested) < 700
    spoilt = [msgspec.structs.replace(one, cheap=0.0) for one in tested]
    first, second = calibrated(rows), calibrated([*train, *spoilt, *audit])
    assert [s.threshold for s in first.steps] == [s.threshold for s in second.steps]
    assert first.certificate is not None
    assert second.certificate is None or second.certificate.cheap_share < 0.02


def test_a_sample_is_in_the_same_part_whatever_the_others_are() -> None:
    rows = traffic(500)
    whole, half = split(rows), split(rows[::2])
    for part, smaller in zip(whole, half, strict=True):
        assert {one.key for one in smaller} <= {one.key for one in part}


def test_the_same_samples_give_the_same_certificate_in_any_order() -> None:
    rows = traffic(1_000)
    assert calibrated(rows).certificate == calibrated(rows[::-1]).certificate
    changed = [msgspec.structs.replace(rows[0], score=0.123), *rows[1:]]
    made, other = calibrated(rows).certificate, calibrated(changed).certificate
    assert made is not None and other is not None and made.data_hash != other.data_hash


def test_samples_of_uneven_propensity_are_thinned_to_an_even_draw() -> None:
    rows = [sample(i, weight=1.0 if i % 2 else 4.0) for i in range(4_000)]
    left = thinned(rows)
    light = sum(one.weight == 1.0 for one in left)
    assert sum(one.weight == 4.0 for one in left) == 2_000 and 420 < light < 580
    assert calibrated(rows).counted == len(left)


# -- refusals -----------------------------------------------------------------------------------------


def test_too_few_samples_are_refused_with_how_many_more_are_needed() -> None:
    found = calibrated([sample(i) for i in range(100)])
    assert found.certificate is None and found.more_needed is not None
    assert "at least 114 are needed" in found.refusal and str(found.more_needed) in found.refusal
    more = calibrated([sample(i) for i in range(100 + found.more_needed + 20)])
    assert more.certificate is not None and more.certificate.cheap_share == 1.0


def test_no_samples_at_all_are_refused() -> None:
    found = calibrated([])
    assert found.certificate is None and found.more_needed is not None and found.more_needed >= 114


def test_a_useless_score_is_refused_and_no_number_is_promised() -> None:
    chance = random.Random(9)
    rows = [
        sample(i, score=round(chance.random(), 1), worse=float(chance.random() < 0.5)) for i in range(2_000)
    ]
    found = calibrated(rows)
    assert found.certificate is None and found.more_needed is None
    assert "not good enough" in found.refusal and found.steps[1].result == "not shown"


def test_what_is_nearly_shown_is_refused_with_a_number_that_would_do() -> None:
    # every score alike and 1.5 % lost, so the first step is the whole
    rows = [sample(i, worse=float(i % 67 == 0)) for i in range(600)]
    found = calibrated(rows)
    assert found.certificate is None and found.more_needed is not None
    n = 600 + int(found.more_needed * 1.6)
    assert calibrated([sample(i, worse=float(i % 67 == 0)) for i in range(n)]).certificate is not None


def test_an_audit_part_that_contradicts_is_a_refusal() -> None:
    rows = [sample(i) for i in range(3_000)]
    audit = {one.key for one in split(rows)[2]}
    found = calibrated([msgspec.structs.replace(one, cheap=float(one.key not in audit)) for one in rows])
    assert found.certificate is None and "held back for the audit" in found.refusal


# -- segments -----------------------------------------------------------------------------------------


def mixed(n: int, bad: float, share: float = 0.1, seed: int = 4) -> list[Sample]:
    """Cheap answers to `task=code`, `share` of the traffic, are worse at rate `bad`, to the rest never."""
    chance = random.Random(seed)
    rows = []
    for i in range(n):
        code = chance.random() < share
        worse = float(code and chance.random() < bad)
        segment = ("task=code",) if code else ("task=qa",)
        rows.append(sample(i, score=chance.random(), worse=worse, segments=segment))
    return rows


def test_a_segment_that_is_badly_hurt_is_excluded_and_the_rest_goes_cheap() -> None:
    found = calibrated(mixed(3_000, bad=0.6))
    made = found.certificate
    assert made is not None and made.excluded == {"task=code"}
    assert made.cheap_share > 0.85 and made.lost == 0
    segments = {one.name: one for one in made.segments}
    assert segments["task=code"].cheap_share == 0 and segments["task=qa"].result == "holds"
    assert not goes_cheap(made, 2.0, ["task=code"]) and goes_cheap(made, 2.0, ["task=qa"])
    assert not goes_cheap(made, 2.0, ["task=never seen"]) and not goes_cheap(made, 2.0, [])
    assert not goes_cheap(made, made.threshold - 1e-9, ["task=qa"])


def test_a_segment_hurt_only_where_the_train_part_did_not_see_it_is_a_refusal() -> None:
    rows = mixed(4_000, bad=0.0, share=0.05)
    train = {one.key for one in split(rows)[0]}
    hurt = [
        msgspec.structs.replace(one, cheap=float(i % 4 != 0))
        if one.segments == ("task=code",) and one.key not in train
        else one
        for i, one in enumerate(rows)
    ]
    found = calibrated(hurt)
    assert found.certificate is None and "task=code" in found.refusal and "--exclude" in found.refusal
    assert {one.name: one.result for one in found.segments}["task=code"] == "hurt"
    by_hand = calibrated(hurt, exclude=frozenset({"task=code"}))
    assert by_hand.certificate is not None and by_hand.certificate.excluded == {"task=code"}


def test_a_segment_with_few_samples_says_how_many_it_needs() -> None:
    rows = [sample(i, segments=("language=de",) if i < 20 else ("language=en",)) for i in range(1_000)]
    made = calibrated(rows).certificate
    assert made is not None
    german = next(one for one in made.segments if one.name == "language=de")
    assert german.result == "not shown" and german.more_needed is not None and german.upper > 0.06
    assert next(one for one in made.segments if one.name == "language=en").result == "holds"


def test_when_every_segment_is_excluded_there_is_nothing_to_certify() -> None:
    found = calibrated(mixed(1_000, bad=0.0), exclude=frozenset({"task=code", "task=qa"}))
    assert found.certificate is None and "nothing to certify" in found.refusal and "task=qa" in found.refusal


# -- the file of samples ------------------------------------------------------------------------------


def lines(*rows: Any) -> list[bytes]:
    return [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]


GOOD: dict[str, Any] = {"score": 0.5, "cheap": 1, "expensive": 0.5}


def test_rows_are_read_with_all_they_may_have() -> None:
    read = parse(
        lines(
            {**GOOD, "segment": {"task": "qa", "language": "de"}, "request_id": "a", "propensity": 0.25},
            b"",
            {**GOOD, "segment": "law", "weight": 3, "prompt": "not looked at"},
            {**GOOD, "request_id": "a", "cheap": 0},
        )
    )
    first, second = read.samples
    assert first.segments == ("task=qa", "language=de") and first.weight == 4.0 and first.key == "a"
    assert second.segments == ("law",) and second.weight == 3.0 and second.key == "#3"
    assert (read.repeated, read.early) == (1, 0)


def test_since_leaves_out_what_is_earlier_or_has_no_time() -> None:
    rows = lines({**GOOD, "at": 50.0}, {**GOOD, "at": "1970-01-01T00:02:00Z"}, {**GOOD, "at": 170}, GOOD)
    read = parse(rows, since_unix_s=100.0)
    assert len(read.samples) == 2 and read.early == 2


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"{", "truncated"),
        (b"[]", "object"),
        (b'{"score": 1, "cheap": 1, "expensive": 1}\xff', "JSON"),
        ({"score": 0.5, "cheap": 1}, "expensive"),
        ({**GOOD, "score": "high"}, "score"),
        ({**GOOD, "cheap": 1.5}, "cheap is 1.5, but a quality is from 0 to 1"),
        ({**GOOD, "expensive": -1}, "expensive is -1"),
        ({**GOOD, "cheap": None}, "cheap"),
        ({**GOOD, "weight": 0}, "weight is 0"),
        ({**GOOD, "propensity": 0}, "propensity is 0"),
        ({**GOOD, "propensity": 0.5, "weight": 2}, "give only one of them"),
        ({**GOOD, "at": "yesterday"}, "neither Unix seconds nor an ISO 8601 time"),
        ({**GOOD, "segment": 7}, "segment"),
    ],
)
def test_a_bad_row_is_named_by_its_line_and_its_reason(row: Any, reason: str) -> None:
    with pytest.raises(BadSamples) as caught:
        parse(lines(GOOD, row))
    assert "line 2:" in str(caught.value) and reason in str(caught.value)


def test_of_many_bad_rows_the_first_are_told() -> None:
    with pytest.raises(BadSamples, match="and 15 more"):
        parse(lines(*[{**GOOD, "cheap": 2}] * 20))


# -- the certificate ----------------------------------------------------------------------------------


def made() -> RouteCertificate:
    certificate = calibrated(traffic(1_000)).certificate
    assert certificate is not None
    return certificate


def test_a_certificate_survives_its_file(tmp_path: Path) -> None:
    path = certificates.certificate_path(tmp_path, "a/b")
    assert path == tmp_path / "certificates" / "route-a%2Fb.json"
    assert certificates.load(path) is None
    certificates.save(path, made())
    assert certificates.load(path) == made()


@pytest.mark.parametrize("text", ["{", '{"version": 1}', ""])
def test_what_is_no_certificate_is_said_to_be_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ConfigError, match="farthing calibrate route"):
        certificates.load(tmp_path / "x.json")


def test_another_version_is_refused(tmp_path: Path) -> None:
    certificates.save(tmp_path / "x.json", msgspec.structs.replace(made(), version=2))
    with pytest.raises(ConfigError, match="version 2"):
        certificates.load(tmp_path / "x.json")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"risk_max": 0.03}, None),
        ({"risk_max": 0.01}, "0.01 is configured"),
        ({"confidence": 0.95}, "0.95 is configured"),
        ({"now_unix_s": NOW + AGE_MAX_S + 86_400}, "91 days old"),
        ({"scope": msgspec.structs.replace(SCOPE, router="ridge/2")}, "router ridge/1, now it is ridge/2"),
        ({"scope": msgspec.structs.replace(SCOPE, cheap="tiny")}, "cheap tier small"),
        ({"scope": msgspec.structs.replace(SCOPE, expensive="huge")}, "expensive tier large"),
        ({"scope": msgspec.structs.replace(SCOPE, policy="abc")}, None),
    ],
)
def test_a_certificate_holds_in_its_scope_alone(changes: dict[str, Any], reason: str | None) -> None:
    terms: dict[str, Any] = {
        "scope": SCOPE,
        "risk_max": 0.02,
        "confidence": 0.9,
        "now_unix_s": NOW,
        **changes,
    }
    reasons = why_not(made(), **terms)
    assert reasons == [] if reason is None else len(reasons) == 1 and reason in reasons[0]


# -- the command --------------------------------------------------------------------------------------


def written(tmp_path: Path, samples: list[Sample]) -> str:
    path = tmp_path / "samples.jsonl"
    rows = [
        {"score": s.score, "cheap": s.cheap, "expensive": s.expensive, "request_id": s.key} for s in samples
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


def run(*words: str) -> int:
    status = cli.main(args=["calibrate", "route", *words], standalone_mode=False)
    assert isinstance(status, int)
    return status


def test_the_command_prints_a_certificate_and_writes_it_only_when_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    path = certificates.certificate_path(tmp_path / "farthing", "faq")
    words = ["--endpoint", "faq", "--risk-max", "0.02", "--samples", written(tmp_path, traffic(1_500))]
    assert run(*words) == 0
    told = capsys.readouterr().out
    assert "CERTIFICATE" in told and "dry run" in told and not path.exists()
    assert (
        run(*words, "--apply", "--json", "--cheap", "small", "--expensive", "large", "--router", "r/1") == 0
    )
    shown = json.loads(capsys.readouterr().out)
    kept = certificates.load(path)
    assert kept is not None and shown["written"] and shown["certificate"]["threshold"] == kept.threshold
    assert kept.scope == RouteScope(router="r/1", cheap="small", expensive="large", policy="")


def test_the_command_refuses_with_a_status_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    words = [
        "--endpoint",
        "faq",
        "--risk-max",
        "0.02",
        "--samples",
        written(tmp_path, traffic(60)),
        "--apply",
    ]
    assert run(*words) == 1
    assert "REFUSED" in capsys.readouterr().out
    assert not certificates.certificate_path(tmp_path / "farthing", "faq").exists()
    assert run(*words, "--json") == 1
    assert json.loads(capsys.readouterr().out)["more_needed"] > 50


def test_the_command_says_which_names_the_configuration_lacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "farthing.toml"
    config.write_text('[providers.p]\nbase_url = "http://127.0.0.1:1"\n[tiers.small]\ntargets = ["p/m"]\n')
    words = ["--risk-max", "0.02", "--samples", written(tmp_path, traffic(60)), "--config", str(config)]
    with pytest.raises(ConfigError, match="no endpoint 'faq'"):
        run("--endpoint", "faq", *words)
    with pytest.raises(ConfigError, match="no tier 'large'; there are small"):
        run("--endpoint", "default", "--cheap", "small", "--expensive", "large", *words)


def test_a_file_that_is_not_there_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(BadSamples, match="cannot be read"):
        run("--endpoint", "faq", "--risk-max", "0.02", "--samples", str(tmp_path / "none.jsonl"))


def test_the_story_names_what_is_excluded_and_what_was_thinned() -> None:
    rows = [msgspec.structs.replace(one, weight=1.0 + (i % 2)) for i, one in enumerate(mixed(4_000, bad=0.6))]
    told = "\n".join(story(calibrated(rows)))
    assert "excluded   task=code" in told and "thinned out by weight" in told and "all expensive" in told
