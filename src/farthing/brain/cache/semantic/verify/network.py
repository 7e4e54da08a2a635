"""A small neural network on rows of numbers, and its training. numpy only."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]


class Network:
    """Standardised inputs, hidden layers, one logit. `layers` are (weights, bias), the last of width 1."""

    def __init__(self, mean: Rows, scale: Rows, layers: Sequence[tuple[Rows, Rows]]) -> None:
        self.mean = mean
        self.scale = scale
        self.layers: list[tuple[Rows, Rows]] = list(layers)

    def logits(self, rows: Rows) -> Rows:
        """Shape (n,) from (n, columns)."""
        x: Rows = (rows - self.mean) * self.scale
        np.clip(x, -8.0, 8.0, out=x)
        for i, (weights, bias) in enumerate(self.layers):
            x = x @ weights + bias
            if i + 1 < len(self.layers):
                np.maximum(x, 0.0, out=x)
        return x[:, 0]

    def arrays(self, prefix: str) -> dict[str, Rows]:
        """Its parameters by name, for `numpy.savez`."""
        named = {f"{prefix}.mean": self.mean, f"{prefix}.scale": self.scale}
        for i, (weights, bias) in enumerate(self.layers):
            named |= {f"{prefix}.{i}.weights": weights, f"{prefix}.{i}.bias": bias}
        return {name: np.asarray(value, np.float32) for name, value in named.items()}

    @classmethod
    def of(cls, arrays: Mapping[str, Any], prefix: str) -> "Network":
        """The inverse of `arrays`.

        Raises:
            KeyError: a part of it is missing.
        """
        layers: list[tuple[Rows, Rows]] = []
        while f"{prefix}.{len(layers)}.weights" in arrays:
            i = len(layers)
            layers.append((arrays[f"{prefix}.{i}.weights"], arrays[f"{prefix}.{i}.bias"]))
        if not layers:
            raise KeyError(f"{prefix}.0.weights")
        return cls(arrays[f"{prefix}.mean"], arrays[f"{prefix}.scale"], layers)


def sigmoid(logits: Rows) -> Rows:
    """The logistic function; never overflows."""
    clipped = np.clip(logits, -40.0, 40.0)
    return np.asarray(1.0 / (1.0 + np.exp(-clipped)), np.float32)


def fit(
    rows: Rows,
    labels: Rows,
    *,
    hidden: int = 0,
    epochs: int = 20,
    rate: float = 2e-3,
    decay: float = 1e-3,
    drop: float = 0.0,
    batch: int = 128,
    seed: int = 0,
) -> Network:
    """Fit by Adam on the cross-entropy, the learning rate falling to 0. Deterministic.

    `hidden` 0 is a logistic regression; constant columns have no effect. `decay` is decoupled (AdamW); `drop`
    is the dropout share of inputs and of hidden values.
    """
    rng = np.random.default_rng(seed)
    mean = rows.mean(axis=0).astype(np.float32)
    spread = rows.std(axis=0)
    varies = spread > 1e-6
    scale = np.where(varies, 1.0 / np.where(varies, spread, 1.0), 0.0).astype(np.float32)
    widths = [rows.shape[1], *([hidden] if hidden else []), 1]
    layers = [
        (
            (rng.standard_normal((n, m)) * (np.sqrt(2.0 / n) if m > 1 else 0.01)).astype(np.float32),
            np.zeros(m, np.float32),
        )
        for n, m in pairwise(widths)
    ]
    network = Network(mean, scale, layers)
    values = [value for layer in layers for value in layer]
    first = [np.zeros_like(value) for value in values]
    second = [np.zeros_like(value) for value in values]
    steps, step = epochs * -(-len(rows) // batch), 0
    for _ in range(epochs):
        order = rng.permutation(len(rows))
        for at in range(0, len(rows), batch):
            part = order[at : at + batch]
            step += 1
            slopes = _slopes(network, rows[part], labels[part], drop, rng)
            pace = rate * min(1.0, (steps - step + 1) / steps)
            for value, slope, m, s in zip(values, slopes, first, second, strict=True):
                m += 0.1 * (slope - m)
                s += 0.001 * (slope * slope - s)
                value -= pace * (m / (1 - 0.9**step)) / (np.sqrt(s / (1 - 0.999**step)) + 1e-8)
                if value.ndim == 2:
                    value -= pace * decay * value
    return network


def _slopes(network: Network, rows: Rows, labels: Rows, drop: float, rng: np.random.Generator) -> list[Rows]:
    """The gradient of the mean cross-entropy, in the order weights, bias of each layer."""
    x: Rows = np.clip((rows - network.mean) * network.scale, -8.0, 8.0)
    inputs = []
    for i, (weights, bias) in enumerate(network.layers):
        if drop:
            kept = rng.random(x.shape, np.float32) >= drop
            x = x * (kept.astype(np.float32) / np.float32(1 - drop))
        inputs.append(x)
        x = x @ weights + bias
        if i + 1 < len(network.layers):
            x = np.maximum(x, 0.0)
    error: Rows = ((sigmoid(x[:, 0]) - labels) / np.float32(len(rows)))[:, None].astype(np.float32)
    slopes: list[Rows] = []
    for i in range(len(network.layers) - 1, -1, -1):
        slopes = [inputs[i].T @ error, error.sum(axis=0), *slopes]
        if i:
            error = (error @ network.layers[i][0].T) * (inputs[i] > 0)
    return slopes
