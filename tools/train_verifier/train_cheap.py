"""Fit the verifier's two small networks and its thresholds: `python train_cheap.py --pairs DIR [--out FILE]`.

The cheap network is fitted on the training pairs that the rules let pass. The final one adds the cosine and
the pair model's logit in a fixed proportion. One half of the held-out pairs (other meanings, other slots,
other texts) calibrates both, the other half gives the threshold. Runs with the project's own packages.
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "src"))

from farthing.brain.cache.semantic.verify.features import NAMES, features  # noqa: E402
from farthing.brain.cache.semantic.verify.network import Network, fit, sigmoid  # noqa: E402
from farthing.brain.cache.semantic.verify.parse import parse  # noqa: E402
from farthing.brain.cache.semantic.verify.rules import finding_of  # noqa: E402
from farthing.brain.cache.semantic.verify.trained import WEIGHTS, Weights, with_score  # noqa: E402
from farthing.models.embed.onnx import OnnxEmbedder  # noqa: E402
from farthing.models.pair.onnx import OnnxPairModel  # noqa: E402

Rows = NDArray[np.float32]
KEPT_BY_CHEAP = 0.99  # of the right pairs pass the first bound
COSINE_WEIGHT = 45.0
"""What a cosine higher by 1 counts, in logits of the pair model. Fitted on pairs that are made as the pair
model's own were, it would be under 10, and texts of another kind be ordered worse than by the cosine."""
COSINE_WEIGHT_CHEAP = 10.0
PRECISION = 0.99  # of what is served, on held-out hard negatives
ABSTAIN_MIN = 0.5


class Known:
    def __init__(self, path: Path, most: int) -> None:
        lines = path.read_text("utf-8").split("\n")
        self.pairs: list[dict[str, Any]] = [json.loads(line) for line in lines if line][:most]
        self.labels = np.array([pair["label"] for pair in self.pairs], np.float32)
        texts = sorted({pair[side] for pair in self.pairs for side in "ab"})
        vectors = dict(zip(texts, asyncio.run(_embed(texts)), strict=True))
        parsed = {text: parse(text) for text in texts}
        self.rows = np.stack(
            [features(parsed[p["a"]], parsed[p["b"]], vectors[p["a"]], vectors[p["b"]]) for p in self.pairs]
        )
        found = [finding_of(parsed[pair["a"]], parsed[pair["b"]]) for pair in self.pairs]
        self.passed = np.array([one is None or not one.certain for one in found])
        self.agreed = np.array([one is None for one in found])


async def _embed(texts: list[str]) -> list[Rows]:
    embedder = OnnxEmbedder()
    found: list[Rows] = []
    for at in range(0, len(texts), 400):
        found.extend((await embedder.embed(texts[at : at + 400]))[0])
    await embedder.aclose()
    return found


async def _scores(pairs: list[dict[str, Any]]) -> Rows:
    model = OnnxPairModel()
    found: list[float] = []
    for at in range(0, len(pairs), 200):
        found += await model.scores([(pair["a"], pair["b"]) for pair in pairs[at : at + 200]])
    await model.aclose()
    return np.array(found, np.float32)


def calibrated(network: Network, rows: Rows, labels: Rows) -> Network:
    """Platt's scaling, put into the last layer: the probability is right on these rows on average."""
    slope = fit(network.logits(rows)[:, None], labels, epochs=60, rate=0.02, batch=64)
    (factor, offset), weights, bias = slope.layers[0], *network.layers[-1]
    times = factor[:, 0] * slope.scale
    layers = [*network.layers[:-1], (weights * times, (bias - slope.mean) * times + offset)]
    return Network(network.mean, network.scale, layers)


def blend() -> Network:
    """The cosine and the pair model's logit in a fixed proportion, still to be calibrated."""
    nothing, same = np.zeros(2, np.float32), np.ones(2, np.float32)
    weights = np.array([[COSINE_WEIGHT], [1.0]], np.float32)
    return Network(nothing, same, [(weights, np.zeros(1, np.float32))])


def with_cosine(network: Network, weight: float) -> Network:
    """The network plus `weight` times the cosine: one hidden value more, which is never cut off at 0."""
    (first, bias), (last, end) = network.layers
    unit = np.zeros((len(first), 1), np.float32)
    unit[0] = 1.0
    steep = np.float32(weight) / network.scale[0]
    layers = [
        (np.hstack([first, unit]), np.append(bias, np.float32(8.0))),
        (np.vstack([last, [[steep]]]).astype(np.float32), end - 8 * steep),
    ]
    return Network(network.mean, network.scale, layers)


def threshold(probabilities: Rows, labels: Rows, precision: float) -> float:
    """The least from which on this share is right, counting one wrong pair more than were seen."""
    order = np.argsort(-probabilities)
    right = np.cumsum(labels[order])
    good = right / (np.arange(1, len(order) + 1) + 1) >= precision
    return float(probabilities[order[np.flatnonzero(good)[-1]]]) if good.any() else 1.0


def main() -> None:
    flags = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    flags.add_argument("--pairs", type=Path, required=True)
    flags.add_argument("--out", type=Path, default=WEIGHTS)
    flags.add_argument("--rows", type=int, default=16_000)
    args = flags.parse_args()
    held, train = Known(args.pairs / "held.jsonl", 100_000), Known(args.pairs / "train.jsonl", args.rows)
    rows, labels = train.rows[train.passed], train.labels[train.passed]
    cheap = fit(rows, labels, hidden=24, epochs=15, decay=0.01, seed=1)
    cheap = with_cosine(cheap, COSINE_WEIGHT_CHEAP)
    scores = asyncio.run(_scores(held.pairs))
    # Texts repeat between neighbours of the file no more than at random: it is shuffled.
    half = np.arange(len(held.labels)) % 2 == 0
    one, two = held.passed & half, held.agreed & ~half
    cheap = calibrated(cheap, held.rows[one], held.labels[one])
    wide = with_score(held.rows, scores)
    final = calibrated(blend(), wide[one & held.agreed], held.labels[one & held.agreed])
    quick = sigmoid(cheap.logits(held.rows))
    right = held.agreed & (held.labels == 1)
    doubt = float(np.quantile(quick[right], 1 - KEPT_BY_CHEAP))
    both = sigmoid(final.logits(wide))
    numbers = {
        "doubt": doubt,
        "sure": 0.999,
        "serve": threshold(both[two], held.labels[two], PRECISION),
        "abstain": ABSTAIN_MIN,
    }
    Weights(cheap, final, numbers, OnnxPairModel.name).save(args.out)
    serve = held.agreed & ~half & (both >= numbers["serve"])
    print(json.dumps(numbers | {
        "columns": len(NAMES),
        "rules_turn_down_right": float(1 - held.agreed[held.labels == 1].mean()),
        "rules_turn_down_wrong": float(1 - held.agreed[held.labels == 0].mean()),
        "pairs_read_by_both": float((quick[held.agreed] >= doubt).mean()),
        "recall": float(held.labels[serve].sum() / held.labels[~half].sum()),
        "precision": float(held.labels[serve].mean()),
    }, indent=1))  # fmt: skip


if __name__ == "__main__":
    main()
