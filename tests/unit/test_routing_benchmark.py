"""The arithmetic of `benchmarks.routing`, on curves small enough to work out by hand."""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.routing import figures, policies
from benchmarks.routing_curve import (
    apgr,
    calls_at,
    calls_to_recover,
    cost,
    interval,
    quality,
    random_band,
    recovered,
)
from benchmarks.routing_data import BadData, Data, Wanted, lagging, read
from numpy.typing import NDArray
from tests.planted import outcomes_of, questions

WEAK = np.array([1.0, 0.0, 0.0, 1.0])
STRONG = np.array([1.0, 1.0, 1.0, 0.0])
GAIN = STRONG - WEAK  # 0, 1, 1, -1
WANTED = Wanted(weak="small", strong="large")


def test_a_score_that_knows_recovers_the_gap_with_the_fewest_calls() -> None:
    score = np.array([0.5, 0.9, 0.8, 0.1])
    assert recovered(score, GAIN).tolist() == [0, 1, 2, 2, 1]
    assert apgr(score, GAIN) == pytest.approx((0.5 + 1.5 + 2 + 1.5) / 4)
    assert calls_to_recover(score, GAIN, 0.5) == 0.25
    assert calls_to_recover(score, GAIN, 0.8) == 0.25


def test_a_score_that_errs_recovers_it_last() -> None:
    score = np.array([0.5, 0.1, 0.2, 0.9])
    assert recovered(score, GAIN).tolist() == [0, -1, -1, 0, 1]
    assert apgr(score, GAIN) == pytest.approx((-0.5 - 1 - 0.5 + 0.5) / 4)
    assert calls_to_recover(score, GAIN, 0.5) == 1.0


def test_questions_of_equal_score_count_alike() -> None:
    assert recovered(np.zeros(4), GAIN).tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert apgr(np.zeros(4), GAIN) == pytest.approx(0.5)
    assert calls_to_recover(np.zeros(4), GAIN, 0.8) == 1.0
    assert calls_to_recover(np.zeros(4), GAIN, 0.75) == 0.75


def test_quality_and_cost_go_from_the_weak_model_to_the_strong() -> None:
    score = np.array([0.5, 0.9, 0.8, 0.1])
    assert quality(score, WEAK, STRONG).tolist() == [0.5, 0.75, 1.0, 1.0, 0.75]
    assert calls_at(score, WEAK, STRONG, 0.95) == 1
    assert cost(score, np.full(4, 1.0), np.array([4.0, 2.0, 3.0, 5.0])).tolist() == [1, 1.25, 1.75, 2.5, 3.5]


def test_the_random_band_is_about_a_half_and_the_interval_holds_the_figure() -> None:
    chance = np.random.default_rng(0)
    gain = (chance.random(500) < 0.3).astype(float)
    low, high = random_band(gain, draws=200)
    assert 0.44 < low < 0.5 < high < 0.56
    score = gain + chance.normal(size=500)
    found = interval([score], gain, draws=200)
    assert found["apgr"][0] < apgr(score, gain) < found["apgr"][1]
    assert high < found["apgr"][0]


def data_of(weak: NDArray[Any], strong: NDArray[Any], slices: tuple[str, ...] = ()) -> Data:
    n = len(weak)
    return Data(
        prompts=("?",) * n,
        weak=weak.astype(np.float32),
        strong=strong.astype(np.float32),
        weak_cost=np.full(n, 0.1),
        strong_cost=np.full(n, 1.0),
        costs_assumed=True,
        slices=slices or ("",) * n,
        dropped=0,
    )


def test_policies_are_compared_at_the_same_quality() -> None:
    weak, strong = np.tile(WEAK, 50), np.tile(STRONG, 50)
    found = policies(np.tile([0.5, 0.9, 0.8, 0.1], 50), data_of(weak, strong))
    assert found["always_cheap"] == {"quality": 0.5, "strong_calls": 0.0, "cost": 0.1}
    assert found["always_expensive"] == {"quality": 0.75, "strong_calls": 1.0, "cost": 1.0}
    assert found["routed"]["strong_calls"] == pytest.approx(0.215)
    assert found["oracle"]["strong_calls"] == pytest.approx(0.215)
    assert found["random_mix"]["strong_calls"] == pytest.approx(0.85)
    assert found["random_mix"]["cost"] == pytest.approx(0.1 + 0.9 * 0.85)


def test_figures_are_means_over_repeated_cross_validations() -> None:
    weak, strong = np.tile(WEAK, 50), np.tile(STRONG, 50)
    good, bad = np.tile([0.5, 0.9, 0.8, 0.1], 50), np.tile([0.5, 0.1, 0.2, 0.9], 50)
    found = figures([good, bad], data_of(weak, strong))
    assert found["apgr"] == pytest.approx(sum(found["apgr_each"]) / 2, abs=1e-4)
    assert found["apgr_each"][0] > 1 > 0 > found["apgr_each"][1]


def test_slices_where_the_strong_model_trails_are_named() -> None:
    weak = np.array([1.0] * 30 + [0.0] * 30)
    strong = np.array([1.0] * 28 + [0.0] * 2 + [1.0] * 30)
    found = lagging(data_of(weak, strong, ("odd",) * 30 + ("sound",) * 30))
    assert [row["slice"] for row in found] == ["odd"]
    assert found[0]["gap"] == pytest.approx(-2 / 30, abs=1e-4)
    near = np.array([1.0] * 39 + [0.0] + [1.0] * 30)
    assert lagging(data_of(np.ones(70), near, ("a",) * 40 + ("b",) * 30)) == []


# -- the file ---------------------------------------------------------------------------------------


def written(path: Path, rows: list[dict[str, object]]) -> Path:
    raw = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


def rows(count: int = 240, **more: object) -> list[dict[str, object]]:
    return [
        {
            "prompt": f"question\u2028{index}",
            "small": index % 2,
            "large": 1,
            "domain": f"d{index % 3}",
            **more,
        }
        for index in range(count)
    ]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_rows_end_at_line_feeds_alone(tmp_path: Path, name: str) -> None:
    data = read(written(tmp_path / name, rows()), WANTED)
    assert len(data.prompts) == 240 and data.prompts[1] == "question\u20281"
    assert data.costs_assumed and data.weak.sum() == 120


def test_slices_can_be_left_out_and_costs_read(tmp_path: Path) -> None:
    path = written(tmp_path / "rows.jsonl", rows(330, price=0.5))
    data = read(
        path, Wanted(weak="small", strong="large", drop=("d1",), weak_cost="price", strong_cost="price")
    )
    assert len(data.prompts) == 220 and data.dropped == 110 and "d1" not in data.slices
    assert not data.costs_assumed and (data.strong_cost == 0.5).all()


@pytest.mark.parametrize(
    ("change", "wanted", "message"),
    [
        ({}, Wanted(weak="tiny", strong="large"), "no column `tiny`"),
        ({"small": 0.5}, WANTED, "must be 0 or 1"),
        ({"small": "1"}, WANTED, "must be 0 or 1"),
        ({"small": None}, WANTED, "must be 0 or 1"),
        ({"prompt": " "}, WANTED, "no text in `prompt`"),
        ({}, Wanted(weak="small", strong="small"), "same column"),
        ({}, Wanted(weak="small", strong="large", drop=("d9",)), "d9"),
        ({}, Wanted(weak="small", strong="large", weak_cost="x", strong_cost="x"), "must be a cost"),
    ],
)
def test_what_cannot_be_used_is_told(
    tmp_path: Path, change: dict[str, object], wanted: Wanted, message: str
) -> None:
    with pytest.raises(BadData, match=message):
        read(written(tmp_path / "rows.jsonl", rows(240, **change)), wanted)


def test_broken_files_and_too_few_rows_are_told_of(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="cannot read"):
        read(tmp_path / "absent.jsonl", WANTED)
    with pytest.raises(BadData, match="too few"):
        read(written(tmp_path / "few.jsonl", rows(50)), WANTED)
    bad = tmp_path / "bad.jsonl"
    bad.write_bytes(b'{"prompt": "a"}\n{"prompt"\n')
    with pytest.raises(BadData, match="line 2"):
        read(bad, WANTED)
    torn = tmp_path / "torn.jsonl.gz"
    torn.write_bytes(gzip.compress(b"{}\n" * 1_000)[:20])
    with pytest.raises(BadData, match="cannot read"):
        read(torn, WANTED)


@pytest.mark.slow
def test_the_command_prints_json_or_a_clear_error(tmp_path: Path) -> None:
    texts, hard = questions(240)
    outcomes = outcomes_of(hard).astype(int).tolist()
    made = [
        {"prompt": text, "small": weak, "large": strong}
        for text, (weak, strong) in zip(texts, outcomes, strict=True)
    ]
    path = written(tmp_path / "rows.jsonl", made)
    command = [sys.executable, "-m", "benchmarks.routing", "--data", str(path), "--weak", "small", "--json"]
    options = ["--no-embedding", "--heads", "structure,words"]
    done = subprocess.run(
        [*command, "--strong", "large", *options], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert {"n", "apgr", "apgr_ci", "random_band", "cpt50", "cpt80"} <= set(found)
    assert found["n"] == 240 and found["apgr_ci"][0] > found["random_band"][1]
    failed = subprocess.run([*command, "--strong", "absent"], capture_output=True, text=True, check=False)
    assert failed.returncode == 2 and "no column `absent`" in failed.stderr and not failed.stdout
