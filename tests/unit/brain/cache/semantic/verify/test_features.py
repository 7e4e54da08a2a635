"""The numbers that the cheap model reads, the networks, and where the thresholds put a pair."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.brain.cache.semantic.verify.features import NAMES, features
from farthing.brain.cache.semantic.verify.network import Network, fit, sigmoid
from farthing.brain.cache.semantic.verify.parse import parse
from farthing.brain.cache.semantic.verify.trained import DOUBTED_MAX, Thresholds, TrainedVerifier, Weights
from farthing.errors import ConfigError, StoreError
from farthing.types import Verdict

PAIR = ("How do I learn chess?", "What is the best way to learn chess?")


def unit(seed: int) -> np.ndarray:
    vector = np.random.default_rng(seed).standard_normal(384).astype(np.float32)
    return vector / np.linalg.norm(vector)


def near(vector: np.ndarray, seed: int, noise: float) -> np.ndarray:
    other = vector + noise * unit(seed)
    return (other / np.linalg.norm(other)).astype(np.float32)


@given(st.text(max_size=60), st.text(max_size=60))
def test_the_features_are_finite_and_the_same_from_both_sides(one: str, two: str) -> None:
    a, b, u, v = parse(one), parse(two), unit(1), unit(2)
    row = features(a, b, u, v)
    assert row.shape == (len(NAMES),)
    assert np.isfinite(row).all()
    assert np.array_equal(row, features(b, a, v, u))


def test_two_equal_texts_overlap_entirely() -> None:
    row = dict(zip(NAMES, features(parse(PAIR[0]), parse(PAIR[0]), unit(1), unit(1)), strict=True))
    assert row["cosine"] == pytest.approx(1, abs=1e-5)
    assert row["jaccard_words"] == row["jaccard_content"] == row["trigrams"] == row["same_start"] == 1
    assert row["left_over_most"] == row["rules"] == row["asks_differ"] == 0


def test_a_fitted_network_tells_apart_what_can_be_told_apart_and_again_the_same() -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((600, 3)).astype(np.float32)
    labels = (rows[:, 0] * rows[:, 1] > 0).astype(np.float32)  # no straight line does it
    network = fit(rows, labels, hidden=16, epochs=60, rate=1e-2, batch=64)
    right = (network.logits(rows) > 0) == (labels == 1)
    assert right.mean() > 0.93
    assert np.array_equal(
        network.logits(rows), fit(rows, labels, hidden=16, epochs=60, rate=1e-2, batch=64).logits(rows)
    )


def test_a_network_survives_being_written_down() -> None:
    rows = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    network = fit(rows, (rows[:, 0] > 0).astype(np.float32), hidden=4, epochs=2)
    assert np.array_equal(Network.of(network.arrays("x"), "x").logits(rows), network.logits(rows))
    with pytest.raises(KeyError):
        Network.of(network.arrays("x"), "y")


def test_a_sigmoid_never_overflows() -> None:
    with np.errstate(all="raise"):
        assert sigmoid(np.array([-1e9, 0, 1e9], np.float32)).tolist() == pytest.approx([0, 0.5, 1])


# -- thresholds -----------------------------------------------------------------------------------------


class Says:
    """A pair model that says what it is told."""

    name = "says"

    def __init__(self, score: float | None) -> None:
        self.score = score
        self.asked = 0

    async def scores(self, pairs: Sequence[tuple[str, str]]) -> Sequence[float]:
        self.asked += len(pairs)
        if self.score is None:
            raise StoreError("busy")
        return [self.score] * len(pairs)

    async def aclose(self) -> None:
        pass


def weights(cheap: float = 0.0, *, doubt: float = 0.1, sure: float = 0.99) -> Weights:
    """A cheap model that always gives the logit `cheap`, a final one that repeats the pair model's."""
    n = len(NAMES)
    zeros = np.zeros((n, 1), np.float32)
    first = Network(np.zeros(n, np.float32), np.ones(n, np.float32), [(zeros, np.full(1, cheap, np.float32))])
    pick = np.array([[0], [1]], np.float32)
    last = Network(np.zeros(2, np.float32), np.ones(2, np.float32), [(pick, np.zeros(1, np.float32))])
    numbers = {"doubt": doubt, "sure": sure, "serve": 0.9, "abstain": 0.5}
    return Weights(first, last, numbers, "says")


def decide(model: Says | None, given: Weights, pair: tuple[str, str] = PAIR) -> Verdict:
    verifier = TrainedVerifier(model, weights=given)
    return asyncio.run(verifier.verify(*pair, unit(1), near(unit(1), 2, 0.3)))


@pytest.mark.parametrize(("score", "outcome"), [(2.9, "serve"), (1.0, "abstain"), (-1.0, "miss")])
def test_two_thresholds_make_three_outcomes(score: float, outcome: str) -> None:
    verdict = decide(Says(score), weights())
    assert verdict.outcome == outcome
    assert verdict.probability == pytest.approx(1 / (1 + np.exp(-score)), abs=1e-4)


def test_a_far_pair_is_a_miss_without_asking_the_pair_model() -> None:
    model = Says(5.0)
    assert decide(model, weights(-5.0)).outcome == "miss"
    assert model.asked == 0


def test_a_pair_the_cheap_model_is_sure_of_is_served_without_asking_the_pair_model() -> None:
    model = Says(-5.0)
    assert decide(model, weights(6.0)).outcome == "serve"
    assert model.asked == 0


def test_what_the_rules_turn_down_is_a_miss_whatever_the_models_say() -> None:
    model = Says(9.0)
    verdict = decide(model, weights(9.0), ("What is 15% of 80?", "What is 16% of 80?"))
    assert (verdict.outcome, verdict.reason) == ("miss", "numbers differ")
    assert model.asked == 0


def test_what_the_rules_only_doubt_is_weighed_and_named() -> None:
    model = Says(2.0)
    pair = ("Does a cold drink hurt your throat?", "I am 30 and swallowing ice water aches, why?")
    verdict = decide(model, weights(2.0), pair)
    assert verdict.outcome == "abstain"
    assert verdict.probability == pytest.approx(DOUBTED_MAX / (1 + np.exp(-2.0)), abs=1e-4)
    assert verdict.reason.endswith("numbers differ")
    assert model.asked == 1


def test_what_the_rules_doubt_is_never_served_from_the_shipped_threshold() -> None:
    assert Weights.load().thresholds.serve > DOUBTED_MAX > Weights.load().thresholds.abstain


def test_a_nearer_pair_is_never_less_probable_for_what_the_pair_model_says() -> None:
    rows = np.zeros((50, len(NAMES)), np.float32)
    rows[:, 0] = np.linspace(0.3, 1, 50)
    for score in (-6.0, 0.0, 9.0):
        found = Weights.load().final_probabilities(rows, np.full(50, score, np.float32))
        assert (np.diff(found) > 0).all()


def test_a_column_that_never_varied_in_fitting_counts_for_nothing() -> None:
    rows = np.random.default_rng(1).standard_normal((400, 3)).astype(np.float32)
    rows[:, 2] = 1
    network = fit(rows, (rows[:, 0] > 0).astype(np.float32), hidden=4, epochs=3)
    other = rows.copy()
    other[:, 2] = -5
    assert np.array_equal(network.logits(rows), network.logits(other))


def test_the_same_text_is_served() -> None:
    assert decide(None, weights(-9.0), (PAIR[0], PAIR[0])).outcome == "serve"


def test_without_the_pair_model_the_best_outcome_is_to_abstain() -> None:
    assert decide(None, weights(3.0)).outcome == "abstain"
    assert decide(Says(None), weights(3.0)).outcome == "abstain"
    assert decide(None, weights(-1.0)).outcome == "miss"


def test_a_text_too_long_to_compare_is_not_judged() -> None:
    verdict = decide(Says(9.0), weights(), ("word " * 200, "word " * 200 + "more"))
    assert (verdict.outcome, verdict.reason) == ("abstain", "too long to compare")


def test_weights_survive_being_written_down_and_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    weights(0.7).save(path)
    again = Weights.load(path)
    rows = np.ones((2, len(NAMES)), np.float32)
    assert again.cheap_probabilities(rows)[0] == pytest.approx(float(sigmoid(np.array([0.7], np.float32))[0]))
    assert again.thresholds == Thresholds(serve=0.9, abstain=0.5)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ConfigError, match="cannot be loaded"):
        Weights.load(path)
    with pytest.raises(ConfigError, match="cannot be loaded"):
        Weights.load(tmp_path / "none.npz")


def test_weights_for_another_pair_model_are_refused() -> None:
    model = Says(1.0)
    model.name = "another"
    with pytest.raises(ConfigError, match="another"):
        TrainedVerifier(model, weights=weights())


def test_thresholds_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ConfigError, match="abstain <= serve"):
        TrainedVerifier(None, weights=weights(), thresholds=Thresholds(serve=0.5, abstain=0.6))


def test_the_shipped_weights_load_and_make_sense() -> None:
    shipped = Weights.load()
    assert 0 < shipped.doubt < shipped.thresholds.abstain <= shipped.thresholds.serve < 1
    assert shipped.thresholds.serve >= 0.8
