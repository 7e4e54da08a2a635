"""The benchmark of routing certificates holds them against a truth that it knows."""

import random

import pytest
from benchmarks.certificates import DELTA, Truth, cells, draw, naive

from farthing.guarantees.calibrate.route_samples import Sample
from farthing.guarantees.certificates.routing import Harm


def pool(n: int = 4_000) -> list[Sample]:
    chance = random.Random(1)
    rows = []
    for i in range(n):
        score = chance.random()
        harm, gain = chance.random() < 0.3 * (1 - score), chance.random() < 0.04
        rows.append(Sample(score=score, cheap=float(not harm), expensive=float(not gain), key=str(i)))
    return rows


def test_the_truth_is_that_of_the_pool() -> None:
    rows = pool(500)
    harms: tuple[Harm, ...] = ("regression", "net")
    for harm in harms:
        truth = Truth(rows, harm)
        assert truth.at(None) == (0.0, 0.0) and truth.at(2.0) == (0.0, 0.0)
        for threshold in (0.0, 0.31, rows[7].score):
            cheap = [one for one in rows if one.score >= threshold]
            lost = sum(
                (one.expensive - one.cheap) if harm == "net" else max(0.0, one.expensive - one.cheap)
                for one in cheap
            )
            assert truth.at(threshold) == pytest.approx((len(cheap) / 500, lost / 500))
        assert truth.possible(1.0) == 1.0


def test_naive_tuning_takes_the_lowest_threshold_that_looks_right() -> None:
    rows = [
        Sample(score=1 - i / 100, cheap=float(i not in (10, 20)), expensive=1.0, key=str(i))
        for i in range(100)
    ]
    assert naive(rows, 0.01, "regression") == pytest.approx(0.81)
    assert naive([Sample(score=1.0, cheap=0.0, expensive=1.0, key="x")], 0.5, "regression") is None


def test_drawn_requests_have_ids_of_their_own() -> None:
    drawn = draw(pool(10), 100, random.Random(1))
    assert len({one.key for one in drawn}) == 100


def test_certificates_keep_the_promise_that_naive_tuning_breaks() -> None:
    found = cells(pool(), count=40, seed=1, sizes=(600,))
    assert [(row["harm"], row["epsilon"]) for row in found] == [
        ("regression", 0.02),
        ("regression", 0.05),
        ("net", 0.02),
        ("net", 0.05),
    ]
    for row in found:
        assert row["certified"]["violated"] <= DELTA
        assert row["naive"]["violated"] > 0.25
        assert 0 < row["certified"]["cheap_share"] < row["possible"]


def test_the_score_of_a_prompt_is_from_a_model_that_never_saw_it() -> None:
    pytest.importorskip("numpy")
    from benchmarks.certificates import out_of_fold

    chance = random.Random(2)
    hard = [chance.random() < 0.5 for _ in range(600)]
    prompts = [f"{'prove the theorem' if h else 'name the capital'} {chance.randrange(10**6)}" for h in hard]
    told = out_of_fold(prompts, [int(h and chance.random() < 0.9) for h in hard], seed=1, folds=3)
    easy_mean = sum(s for s, h in zip(told, hard, strict=True) if not h) / hard.count(False)
    hard_mean = sum(s for s, h in zip(told, hard, strict=True) if h) / hard.count(True)
    assert easy_mean > hard_mean + 0.3
    noise = out_of_fold(prompts, [int(chance.random() < 0.3) for _ in hard], seed=1, folds=3)
    assert abs(sum(noise) / len(noise) - 0.7) < 0.05
