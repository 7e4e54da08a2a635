"""The score from which a checked answer may go out is measured for each model, or refused; then applied."""

import json
import logging
import random
import time
from pathlib import Path
from typing import Any

import pytest

from farthing.cli.main import cli
from farthing.config import Config, ConsistencyCheckConfig, LogprobsCheckConfig, loads
from farthing.errors import ConfigError
from farthing.guarantees.calibrate.cascade import calibrate
from farthing.guarantees.calibrate.cascade_samples import SampleFilter, from_file, gather
from farthing.guarantees.calibrate.route_samples import BadSamples
from farthing.guarantees.certificates import cascade as certificates
from farthing.guarantees.certificates.cascade import CascadeScope, why_not, why_unproven
from farthing.guarantees.certificates.file import AGE_MAX_S
from farthing.guarantees.monitor.models import ModelWatch
from farthing.types import Attempt, Receipt, Signal, Target, Usage
from farthing.wiring.cascade import CascadeParts, build_cascades, cascade_scope, unproven_cascades

TOML = """
state_dir = "{state}"
[providers.a]
base_url = "http://127.0.0.1:9/v1"
[tiers.cheap]
targets = ["a/mini", "a/spare"]
[tiers.expensive]
targets = ["a/big"]
[endpoints.e.cascade]
first = "cheap"
then = "expensive"
[[endpoints.e.cascade.checks]]
kind = "logprobs"
[endpoints.plain.cascade]
first = "cheap"
then = "expensive"
[endpoints.none]
"""
SCOPE = CascadeScope(check="logprobs", how="mean", cheap="cheap", expensive="expensive", target="a/big")
WANTED = SampleFilter(
    endpoint="e", check="logprobs", cheap="cheap", expensive="expensive", target="a/big", model="a/mini"
)


def row(number: int, score: float, worse: bool, **more: Any) -> dict[str, Any]:
    return {"score": score, "cheap": int(not worse), "expensive": 1, "request_id": f"r{number}", **more}


def traffic(n: int, *, slope: float, seed: int = 1, **more: Any) -> list[dict[str, Any]]:
    """The first answer is wrong with a chance of `slope` * (1 - score)**2."""
    chance = random.Random(seed)
    scores = [chance.random() for _ in range(n)]
    return [row(i, s, chance.random() < slope * (1 - s) ** 2, **more) for i, s in enumerate(scores)]


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return path


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "farthing.toml"
    path.write_text(TOML.format(state=tmp_path / "state"))
    return path


# -- samples ----------------------------------------------------------------------------------------


def test_each_model_has_its_own_threshold_and_one_that_is_never_sure_enough_has_none(tmp_path: Path) -> None:
    rows = [
        *traffic(3000, slope=0.2),
        *traffic(3000, slope=0.9, seed=2, model="a/spare"),
        *traffic(40, slope=0.0, seed=3, model="a/new"),
    ]
    samples = from_file(written(tmp_path / "s.jsonl", rows), WANTED, since_unix_s=None)
    assert {model: len(of) for model, of in samples.items()} == {"a/mini": 3000, "a/spare": 3000, "a/new": 40}
    found = calibrate(samples, endpoint="e", risk_max=0.03, confidence=0.99, scope=SCOPE, now_unix_s=1.0)
    assert found.certificate is not None
    thresholds = found.certificate.thresholds
    assert set(thresholds) == {"a/mini", "a/spare"}
    assert thresholds["a/mini"] < thresholds["a/spare"], "who is wrong oftener has to be surer"
    for model, slope in (("a/mini", 0.2), ("a/spare", 0.9)):
        assert slope * (1 - thresholds[model]) ** 3 / 3 <= 0.03
    assert "are needed" in found.models["a/new"].refusal
    assert found.certificate.models["a/mini"].kept_share > 0.5


def test_a_row_that_is_no_sample_is_told_by_its_own_line(tmp_path: Path) -> None:
    rows = [
        row(1, 0.5, False, model="a/x"),
        row(2, 0.5, False),
        {"score": 2},
        row(3, 0.5, False, model="a/x"),
    ]
    with pytest.raises(BadSamples, match="line 3"):
        from_file(written(tmp_path / "s.jsonl", rows), WANTED, since_unix_s=None)
    with pytest.raises(BadSamples, match="cannot be read"):
        from_file(tmp_path / "none", WANTED, since_unix_s=None)


def rows_of_ledger(n: int) -> list[Receipt | Signal]:
    """Explored requests: the client's receipt, that of the errand with the score, two signals."""
    found: list[Receipt | Signal] = []
    for i in range(n):
        key, tenant = f"r{i}", "acme"
        usage = Usage(input_tokens=1, output_tokens=1)
        client = Receipt(request_id=key, at_unix_s=1.0, started_s=0.0, tenant=tenant, endpoint="e")
        client.explored, client.tier, client.propensity = "cheap", "expensive", 0.05
        client.target = "a/big"
        internal = Receipt(request_id=f"x{i}", at_unix_s=1.0, started_s=0.0, tenant=tenant, endpoint="e")
        internal.purpose, internal.about = "explore", key
        internal.check_score, internal.check_by = i / n, "logprobs"
        internal.attempts = [
            Attempt(target="a/mini", tier="cheap", started_ms=0.0, status=500),
            Attempt(target="a/spare", tier="cheap", started_ms=1.0, usage=usage),
            Attempt(target="a/mini", tier="check:consistency", started_ms=2.0, usage=usage),
        ]
        signals = [
            Signal(request_id=key, at_unix_s=2.0, source="judge", quality=quality, kind="pairwise", tier=tier,
                   other=other, tenant=tenant, endpoint="e", consistent=True)
            for tier, other, quality in (("cheap", "expensive", 0.5), ("expensive", "cheap", 0.5))
        ]  # fmt: skip
        found += [client, internal, *signals]
    return found


def test_the_ledgers_samples_are_explored_requests_with_a_score_and_a_verdict() -> None:
    found = gather(rows_of_ledger(10), WANTED)
    assert list(found) == ["a/spare"], "whose answer was scored"
    assert [one.score for one in found["a/spare"]] == [i / 10 for i in range(10)]
    assert {(one.cheap, one.expensive, one.weight, one.segments) for one in found["a/spare"]} == {
        (0.5, 0.5, 20.0, ())
    }


@pytest.mark.parametrize(
    "spoil",
    [
        {"tenant": "somebody else"},
        {"check_by": "consistency"},
        {"check_score": None},
        {"endpoint": "another"},
        {"about": "r999"},
    ],
)
def test_what_lacks_a_score_or_a_verdict_is_no_sample(spoil: dict[str, Any]) -> None:
    rows = rows_of_ledger(3)
    for one in rows:
        if isinstance(one, Receipt) and one.purpose:
            for name, value in spoil.items():
                setattr(one, name, value)
    with pytest.raises(BadSamples, match="explore_share"):
        gather(rows, WANTED)


def test_what_another_expensive_model_answered_is_no_sample_of_the_one_of_now() -> None:
    rows = rows_of_ledger(3)
    for one in rows[::4]:
        assert isinstance(one, Receipt)
        one.target = "a/older"
    with pytest.raises(BadSamples, match="a/big"):
        gather(rows, WANTED)


# -- the command, and what the gateway does with its file -----------------------------------------------


def run(*words: str) -> int:
    return int(cli.main(["calibrate", "cascade", *words], standalone_mode=False) or 0)


def test_the_command_writes_what_the_check_then_goes_by(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    samples = written(tmp_path / "s.jsonl", traffic(3000, slope=0.2))
    words = ["--endpoint", "e", "--risk-max", "0.03", "--samples", str(samples), "--config", str(config)]
    assert run(*words) == 0 and "dry run" in capsys.readouterr().out
    path = certificates.path(tmp_path / "state", "e")
    assert not path.exists()
    assert run(*words, "--apply", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["written"] and Path(told["file"]) == path
    made = certificates.load(path)
    assert (
        made is not None and made.thresholds["a/mini"] == told["certificate"]["models"]["a/mini"]["threshold"]
    )

    settings = loads(config.read_text(), {})
    with caplog.at_level(logging.WARNING):
        floor = floor_of(settings, tmp_path / "state")
    assert floor("a/mini") == made.thresholds["a/mini"] and floor("a/spare") is None
    assert "only observes a/spare" in caplog.text and "only observes a/mini" not in caplog.text


def floor_of(settings: Config, state_dir: Path) -> Any:
    def none(name: str) -> Target | None:
        return None

    cascades = build_cascades(settings, CascadeParts(state_dir), none)
    return cascades.of("e").measures[0]._floor.of  # type: ignore[attr-defined]


def test_a_certificate_of_another_check_setting_or_time_is_not_used(
    config: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    samples = written(tmp_path / "s.jsonl", traffic(3000, slope=0.2))
    run(
        "--endpoint", "e", "--risk-max", "0.03", "--samples", str(samples), "--config", str(config), "--apply"
    )
    changed = config.read_text().replace('kind = "logprobs"', 'kind = "logprobs"\nmeasure = "min"')
    assert floor_of(loads(changed, {}), tmp_path / "state")("a/mini") is None
    assert "its settings mean, now it is min" in caplog.text
    caplog.clear()
    dearer = config.read_text().replace('"a/big"', '"a/bigger"')
    floor = floor_of(loads(dearer, {}), tmp_path / "state")
    assert floor("a/mini") is not None, "without a threshold, all would go out"
    assert "promise nothing any more" in caplog.text and "its target a/big, now it is a/bigger" in caplog.text
    made = certificates.load(certificates.path(tmp_path / "state", "e"))
    assert made is not None
    assert why_not(made, SCOPE) == why_unproven(made, SCOPE, now_unix_s=made.made_unix_s) == []
    assert why_unproven(made, SCOPE, now_unix_s=made.made_unix_s + AGE_MAX_S + 1)


def test_after_a_change_of_model_the_alarm_and_each_start_say_that_its_thresholds_promise_nothing(
    config: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    samples = written(tmp_path / "s.jsonl", traffic(3000, slope=0.2))
    run(
        "--endpoint", "e", "--risk-max", "0.03", "--samples", str(samples), "--config", str(config), "--apply"
    )
    settings, parts = loads(config.read_text(), {}), CascadeParts(tmp_path / "state")
    for target, rests in (("a/mini", True), ("a/big", True), ("a/spare", False), ("a/other", False)):
        found = unproven_cascades(settings, parts, target)
        assert [one.startswith("the cascade of e, ") for one in found] == ([True] if rests else []), target
    other = loads(config.read_text().replace('kind = "logprobs"', 'kind = "logprobs"\nmeasure = "min"'), {})
    assert unproven_cascades(other, parts, "a/mini") == [], "its certificate is not used anyway"
    parts.models = ModelWatch(clock=time.time)
    for model in ("m-1", "m-2"):
        parts.models.answered("a/mini", "mini", "e", model, "")
    build_cascades(settings, parts, lambda name: None)
    assert "its thresholds decide, but promise nothing any more, calibrate again: since " in caplog.text
    assert "a/mini answers with another model, m-2 instead of m-1" in caplog.text


def test_too_few_samples_are_refused_with_how_many_are_needed(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = written(tmp_path / "s.jsonl", traffic(50, slope=0.2))
    assert (
        run("--endpoint", "e", "--risk-max", "0.02", "--samples", str(samples), "--config", str(config)) == 1
    )
    assert "REFUSED" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("endpoint", "why"), [("x", "no endpoint"), ("none", "no cascade"), ("plain", "no check")]
)
def test_an_endpoint_without_a_score_to_calibrate_is_named(config: Path, endpoint: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        run("--endpoint", endpoint, "--risk-max", "0.02", "--config", str(config), "--samples", str(config))


def test_the_scope_tells_settings_apart_that_change_scores() -> None:
    settings = loads(TOML.format(state="/tmp/x"), {})
    cascade = settings.endpoints["e"].cascade
    assert cascade is not None
    assert cascade_scope(settings, cascade, LogprobsCheckConfig()) == SCOPE
    kinds = [
        cascade_scope(settings, cascade, check)
        for check in (
            LogprobsCheckConfig(measure="margin"),
            ConsistencyCheckConfig(),
            ConsistencyCheckConfig(samples=4),
            ConsistencyCheckConfig(temperature=1.0),
        )
    ]
    assert len({(one.check, one.how) for one in [SCOPE, *kinds]}) == 5
