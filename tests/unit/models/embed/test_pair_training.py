"""A verifier fitted to a file's own pairs: right in its sums, the same again, safe where pairs are few."""

import asyncio
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.sampled import at_length

pytest.importorskip("onnxruntime")

from benchmarks.pair_file import shipped, with_output
from benchmarks.pair_layers import LAYERS, PairLayers, Recipe, Tokens, fitted
from benchmarks.pair_scores import Scored, auc, recall_at, recall_intervals
from benchmarks.pair_training import JUDGES, STANDING, trained, weighed_up
from benchmarks.pairs import Pairs
from benchmarks.semantic_cache import measure, show

from farthing.models.embed.session import MODELS, open_session
from farthing.models.pair.onnx import OnnxPairModel

MODEL = (MODELS / "minilm-pair.int8.onnx").read_bytes()
THINGS = ("card", "parcel", "refund", "loan", "invoice", "password", "ticket", "account", "meal", "garden")


def made(n: int, seed: int = 0) -> Pairs:
    """Two wordings of a question about one thing, or about two."""
    rng, pairs = random.Random(seed), Pairs("made")
    for i in range(n):
        one, two = rng.sample(THINGS, 2)
        label = i % 2
        pairs.add(f"How do I get my {one} number {i}?", f"What gets me a {one if label else two} {i}?", label)
    return pairs


def small(seed: int = 0) -> tuple[PairLayers, Tokens]:
    """Layers of the right shapes with random numbers in double precision, and tokens of three pairs."""
    rng, tokens = np.random.default_rng(seed), Tokens()
    weights: dict[str, Any] = {
        name: (value + 0.02 * rng.standard_normal(value.shape)).astype(np.float64)
        for name, value in shipped(MODEL, [5]).items()
    }
    for i, (length, first) in enumerate([(5, 3), (8, 2), (4, 2)]):
        tokens.add(i, rng.standard_normal((length, 384)).astype(np.float16), first)
    return PairLayers(weights, [5]), tokens


@pytest.mark.slow
def test_the_slopes_of_the_layers_are_those_of_their_loss() -> None:
    model, tokens = small()
    given, labels = tokens.batch(np.arange(3)), np.array([1, 0, 1], np.float32)
    _, slopes = model.slopes(given, labels, 0.0, None)
    rng = np.random.default_rng(1)
    assert slopes.keys() == model.weights.keys()
    for name, value in model.weights.items():
        along, step = rng.standard_normal(value.shape), 1e-5
        value += step * along
        more, _ = model.slopes(given, labels, 0.0, None)
        value -= 2 * step * along
        less, _ = model.slopes(given, labels, 0.0, None)
        value += step * along
        assert float((slopes[name] * along).sum()) == pytest.approx(
            (more - less) / (2 * step), rel=0.01, abs=1e-4
        )


def test_padding_and_neighbours_change_no_score() -> None:
    model, tokens = small()
    together = model.logits(tokens, np.array([0, 1, 2]))
    alone = [float(model.logits(tokens, np.array([i]))[0]) for i in range(3)]
    assert together.tolist() == pytest.approx(alone, abs=1e-4)


def test_the_layers_taken_from_the_shipped_file_score_as_it_does() -> None:
    scored = Scored(made(12))
    every = np.arange(12)
    scored.read(every, tokens=True)
    layers = PairLayers(shipped(MODEL, LAYERS), LAYERS)
    # The file computes in int8, the layers in float32.
    assert np.abs(layers.logits(scored.tokens, every) - scored.logits).max() < 0.5

    async def asked() -> np.ndarray:
        model = OnnxPairModel()
        found = await model.features(list(zip(scored.pairs.a, scored.pairs.b, strict=True)))
        await model.aclose()
        return found

    found = asyncio.run(asked())
    assert np.array_equal(found[:, 0], scored.logits)
    assert np.allclose(found[:, 1:], scored.last(every), atol=0.02)


@pytest.mark.slow
def test_what_is_read_of_the_file_judges_as_the_file_does(tmp_path: Path) -> None:
    more = tmp_path / "more.onnx"
    more.write_bytes(with_output(MODEL, "layer3"))
    outputs = open_session(more).get_outputs()
    assert [one.name for one in outputs] == ["logits", "features", "layer3"]
    scored = Scored(made(64))
    every = np.arange(64)
    scored.read(every, tokens=True)
    labels = scored.labels.astype(np.float32)
    unfitted = fitted(shipped(MODEL, [4, 5]), [4, 5], scored.tokens, every, labels, Recipe(epochs=0))
    # The file rounds its products to eight bits, what is read of it does not.
    assert np.corrcoef(unfitted.logits(scored.tokens, every), scored.logits)[0, 1] > 0.98


@pytest.mark.slow
def test_fitting_lowers_the_loss_leaves_the_start_alone_and_is_the_same_again() -> None:
    scored = Scored(made(64))
    every, labels = np.arange(64), scored.labels.astype(np.float32)
    scored.read(every, tokens=True)
    start = shipped(MODEL, [5])
    before = {name: value.copy() for name, value in start.items()}
    losses: list[float] = []
    first = fitted(
        start,
        [5],
        scored.tokens,
        every,
        labels,
        Recipe(epochs=4),
        tell=lambda _, __, loss: losses.append(loss),
    )
    again = fitted(start, [5], scored.tokens, every, labels, Recipe(epochs=4))
    assert np.mean(losses[-2:]) < np.mean(losses[:2])
    assert all(np.array_equal(before[name], start[name]) for name in start)
    assert np.array_equal(first.logits(scored.tokens, every), again.logits(scored.tokens, every))


@pytest.mark.slow
@at_length("pairs", sample=24, full=100)  # the sample is too small to weigh the judges
def test_a_fitted_verifier_orders_new_pairs_and_falls_back_where_pairs_are_few(pairs: int) -> None:
    scored = Scored(made(140))
    second = np.arange(100, 140)
    found = trained(scored, np.arange(pairs), second)
    assert found.shape == (40,) and np.isfinite(found).all() and 0 <= found.min() <= found.max() <= 1
    assert auc(found, scored.labels[second]) > (0.7 if pairs < 100 else 0.9)


def test_judges_are_weighed_by_what_they_know() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random(2_000) < 0.4).astype(np.float32)
    seen = rng.standard_normal((2_000, JUDGES)).astype(np.float32)
    seen[:, 2] += 2.5 * labels
    seen[:, 0] -= labels  # worse than none
    weights, _ = weighed_up(seen, labels)
    assert weights[2] > 1.0 and weights[0] == 0.0 and weights[1] < 0.2
    few, _ = weighed_up(seen[:4], labels[:4])
    assert np.abs(few - STANDING).max() < np.abs(weights - STANDING).max()


def test_the_interval_of_a_recall_holds_it_and_narrows_with_rows() -> None:
    rng = np.random.default_rng(0)
    widths = []
    for n in (400, 8_000):
        labels = (rng.random(n) < 0.4).astype(np.int8)
        scores = (labels * 1.5 + rng.standard_normal(n)).astype(np.float32)
        low, high = recall_intervals(scores, labels)[0.90]
        assert low <= recall_at(scores, labels, 0.90)[0] <= high
        widths.append(high - low)
    assert widths[1] < widths[0]


def test_where_no_split_by_text_is_possible_the_other_figures_are_still_told() -> None:
    pairs = Pairs("star")
    for i in range(60):
        pairs.add("How do I pay?", f"How do I pay {THINGS[i % 10]} {i}?", i % 2)
    told = measure(pairs, splits=1)
    assert "trained" not in told and "share no text" in told["not_trained"]
    assert told["n"] == 60 and 0 <= told["cosine"]["auc"] <= 1
    show(told | {"seconds": 0.0})
