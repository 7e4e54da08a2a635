r"""Train the weights of `LinearClassifier` and set where it says `unknown`:

    python -m tools.train_classifier.train --data DIR --mirror DIR \
        --out src/farthing/data/models/task-linear.bin

`--data` has the sets of `sources.TRAINED`, `--mirror` a clone of promptsource. Temperature and threshold
come from held-out folds; the shipped weights from all sources. Same seeds, same file.
"""

import argparse
import json
import sys
from array import array
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tools.train_classifier.fit import FOR_TOOLS, GAINS, TASKS, Model, fit, shares_of, temperature_of
from tools.train_classifier.folds import Told, all_features, held_out, right, trainable, truth_of

from farthing.brain.classify.linear import LANES, pack

ROWS_MAX = 60_000
TARGET = 0.875  # of what is told at all, in the mean of held-out sources


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--data", type=Path, required=True)
    flags.add_argument("--mirror", type=Path, required=True)
    flags.add_argument("--out", type=Path, required=True)
    args = flags.parse_args()
    sources = trainable(args.data, args.mirror)
    rows = all_features(sources)
    temperature, least, said = calibrated(held_out(sources, rows))
    examples = [e for name in sources for e in sources[name]]
    flat = [r for name in sources for r in rows[name]]
    model = pruned(fit(examples, flat), Counter(key for row in flat for key, _ in row))
    scale = float(np.abs(model.weights).max()) / 127.0
    lanes = np.zeros((len(model.keys), LANES), np.int64)
    lanes[:, : len(TASKS)] = np.rint(model.weights / scale)
    head: dict[str, Any] = {
        "tasks": list(TASKS),
        "scale": scale / temperature,
        "temperature": temperature,
        "gains": list(GAINS),
        "for_tools": FOR_TOOLS / temperature,
        "unknown_below": least,
        "sources": {name: len(found) for name, found in sources.items()},
    }
    packed = pack(head, array("I", model.keys.tolist()), (lanes + 128).astype(np.uint8).tobytes())
    args.out.write_bytes(packed)
    print(json.dumps({**said, "rows": len(model.keys), "bytes": len(packed)}), file=sys.stderr)


def calibrated(told: dict[str, Told]) -> tuple[float, float, dict[str, float]]:
    """Temperature, the least share that is told, and what they give. Every source weighs the same."""
    examples = [e for source in told.values() for e in source.examples]
    scores = np.concatenate([source.scores for source in told.values()])
    weight = np.concatenate(
        [np.full(len(s.examples), 1.0 / len(s.examples), np.float32) for s in told.values()]
    )
    weight /= weight.mean()
    temperature = temperature_of(scores, truth_of(examples), weight)
    shares = shares_of(scores, temperature)
    correct = right(examples, [TASKS[n] for n in shares.argmax(axis=1)])
    best = shares.max(axis=1)
    least = next(
        (float(t) for t in np.arange(0.2, 0.9, 0.01) if _accuracy(best >= t, correct, weight) >= TARGET), 0.9
    )
    kept = best >= least
    return (
        temperature,
        least,
        {
            "temperature": temperature,
            "unknown_below": least,
            "accuracy": _accuracy(kept | ~kept, correct, weight),
            "accuracy_told": _accuracy(kept, correct, weight),
            "told": float((weight * kept).sum() / weight.sum()),
        },
    )


def _accuracy(kept: NDArray[np.bool_], correct: NDArray[np.bool_], weight: NDArray[np.float32]) -> float:
    return float((weight * kept * correct).sum() / max(float((weight * kept).sum()), 1e-9))


def pruned(model: Model, counts: "Counter[int]") -> Model:
    """The `ROWS_MAX` features that matter most: by the size of their weights and how often they occur."""
    centred = model.weights - model.weights.mean(axis=1, keepdims=True)
    often = np.sqrt(np.array([counts[int(key)] for key in model.keys], np.float32))
    order = np.argsort(-np.linalg.norm(centred, axis=1) * often, kind="stable")[:ROWS_MAX]
    order.sort()
    return Model(model.keys[order], centred[order])


if __name__ == "__main__":
    main()
