"""What each decider says of pairs, and how right it is: areas, recalls, rates with intervals."""

import asyncio
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.pairs import Pairs
from farthing.brain.cache.semantic.verify.features import NAMES, features
from farthing.brain.cache.semantic.verify.network import Network, fit, sigmoid
from farthing.brain.cache.semantic.verify.parse import parse
from farthing.brain.cache.semantic.verify.rules import CHARS_MAX, disagreement_of
from farthing.brain.cache.semantic.verify.trained import DISAGREED_MAX, Weights
from farthing.models.embed.onnx import OnnxEmbedder
from farthing.models.pair.onnx import OnnxPairModel

Floats = NDArray[np.float32]
Z = 1.959964
COSINES = (0.70, 0.75, 0.80, 0.85, 0.90, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99)
PROBABILITIES = (0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97, 0.98, 0.99)


class Scored:
    """Pairs with their vectors, features, and what the pair model says of them."""

    def __init__(self, pairs: Pairs) -> None:
        self.pairs = pairs
        self.labels = np.array(pairs.labels, np.int8)
        texts = sorted(set(pairs.a) | set(pairs.b))
        at = {text: i for i, text in enumerate(texts)}
        self.u_at = np.array([at[text] for text in pairs.a])
        self.v_at = np.array([at[text] for text in pairs.b])
        self.vectors = asyncio.run(_embed(texts))
        parsed = [parse(text) for text in texts]
        self.rows = np.empty((len(pairs), len(NAMES)), np.float32)
        self.reasons: list[str | None] = []
        for i, (u, v) in enumerate(zip(self.u_at.tolist(), self.v_at.tolist(), strict=True)):
            self.rows[i] = features(parsed[u], parsed[v], self.vectors[u], self.vectors[v])
            self.reasons.append(disagreement_of(parsed[u], parsed[v]))
        self.cosine: Floats = np.clip(self.rows[:, 0], -1, 1)
        self.read: Floats | None = None
        """The pair model's logit and vectors, once `read_both` has run."""

    def read_both(self, which: Sequence[int] | None = None) -> None:
        """Ask the pair model about the pairs `which`, or all; the others keep a logit of nothing."""
        chosen = list(range(len(self.pairs))) if which is None else list(which)
        found = asyncio.run(_read([(self.pairs.a[i], self.pairs.b[i]) for i in chosen]))
        if self.read is None:
            self.read = np.full((len(self.pairs), found.shape[1]), np.nan, np.float32)
        self.read[chosen] = found

    def shipped(self, weights: Weights) -> Floats:
        """The probability that `TrainedVerifier` gives each pair, step by step as it does."""
        cheap = weights.cheap_probabilities(self.rows)
        agreed = np.array([reason is None for reason in self.reasons])
        long = np.array(
            [max(len(a), len(b)) > CHARS_MAX for a, b in zip(self.pairs.a, self.pairs.b, strict=True)]
        )
        near = agreed & ~long & (cheap >= weights.doubt) & (cheap < weights.sure)
        missing = near if self.read is None else near & np.isnan(self.read[:, 0])
        if missing.any():
            self.read_both(np.flatnonzero(missing).tolist())
        out = np.where(agreed, cheap, np.minimum(cheap, np.float32(DISAGREED_MAX)))
        if near.any():
            assert self.read is not None
            out[near] = weights.final_probabilities(self.rows[near], self.read[near, 0])
        out[long] = DISAGREED_MAX
        same = np.array([a == b for a, b in zip(self.pairs.a, self.pairs.b, strict=True)])
        out[same] = 1.0
        return np.asarray(out, np.float32)


async def _embed(texts: Sequence[str]) -> Floats:
    embedder = OnnxEmbedder()
    parts = []
    for start in range(0, len(texts), 400):
        vectors, _ = await embedder.embed(texts[start : start + 400])
        parts.append(vectors)
        _tell(start, len(texts), "texts embedded")
    await embedder.aclose()
    return np.concatenate(parts)


async def _read(pairs: Sequence[tuple[str, str]]) -> Floats:
    model = OnnxPairModel()
    parts = []
    for start in range(0, len(pairs), 256):
        parts.append(await model.features(pairs[start : start + 256]))
        _tell(start, len(pairs), "pairs read")
    await model.aclose()
    return np.concatenate(parts)


_told_s = 0.0


def _tell(done: int, of: int, what: str) -> None:
    global _told_s
    if sys.stderr.isatty() and time.monotonic() - _told_s > 1:
        _told_s = time.monotonic()
        print(f"\r{done}/{of} {what}   ", end="", file=sys.stderr, flush=True)


# -- a verifier fitted to a file's own pairs ----------------------------------------------------------


def trained(scored: Scored, first: NDArray[np.int64], second: NDArray[np.int64], seeds: int = 3) -> Floats:
    """Probabilities for the rows `second` of networks fitted on the rows `first`; needs numpy alone.

    They read the frozen vectors of both models and the cheap features; a tenth of `first` calibrates.
    """
    if scored.read is None:
        scored.read_both()
    elif np.isnan(scored.read[:, 0]).any():
        scored.read_both(np.flatnonzero(np.isnan(scored.read[:, 0])).tolist())
    whole = wide(scored)
    labels = scored.labels.astype(np.float32)
    shuffled = np.random.default_rng(3).permutation(first)
    fitted, kept = shuffled[len(shuffled) // 10 :], shuffled[: len(shuffled) // 10]
    total = np.zeros(len(whole), np.float32)
    some = np.concatenate([kept, second])
    for seed in range(seeds):
        network = fit(
            whole[fitted],
            labels[fitted],
            hidden=512,
            epochs=12,
            rate=7e-4,
            decay=0.1,
            drop=0.5,
            batch=256,
            seed=seed,
        )
        total[some] += network.logits(whole[some]) / seeds
    slope: Network = fit(total[kept][:, None], labels[kept], epochs=40, rate=0.02, batch=64)
    return sigmoid(slope.logits(total[second][:, None]))


def wide(scored: Scored) -> Floats:
    """All that is known of each pair, symmetric: vectors, features, the pair model's last vectors."""
    assert scored.read is not None
    u, v = scored.vectors[scored.u_at], scored.vectors[scored.v_at]
    return np.concatenate([u + v, np.abs(u - v), u * v, scored.rows, scored.read], axis=1).astype(np.float32)


# -- measures -------------------------------------------------------------------------------------------


def wilson(hits: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927); of nothing, everything is possible."""
    if of == 0:
        return 0.0, 1.0
    p, z2 = hits / of, Z * Z
    middle = (p + z2 / (2 * of)) / (1 + z2 / of)
    half = Z / (1 + z2 / of) * ((p * (1 - p) / of + z2 / (4 * of * of)) ** 0.5)
    return max(0.0, middle - half), min(1.0, middle + half)


def auc(scores: Floats, labels: NDArray[np.int8]) -> float:
    """The chance that a right pair scores above a wrong one; ties count half."""
    order = np.argsort(scores, kind="stable")
    ranks = np.empty(len(scores))
    ranks[order] = np.arange(1, len(scores) + 1)
    values, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    mean = np.zeros(len(values))
    np.add.at(mean, inverse, ranks)
    ranks = (mean / counts)[inverse]
    ones = int(labels.sum())
    zeros = len(labels) - ones
    if not ones or not zeros:
        return float("nan")
    return float((ranks[labels == 1].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def recall_at(scores: Floats, labels: NDArray[np.int8], precision: float) -> tuple[float, float]:
    """The greatest recall at which the precision is reached, and its threshold; else (0, inf)."""
    order = np.argsort(-scores, kind="stable")
    right = np.cumsum(labels[order])
    served = np.arange(1, len(order) + 1)
    ends = np.append(scores[order][1:] != scores[order][:-1], True)  # a threshold takes all equal scores
    good = ends & (right / served >= precision)
    if not good.any() or not labels.sum():
        return 0.0, float("inf")
    last = int(np.flatnonzero(good)[-1])
    return float(right[last] / labels.sum()), float(scores[order[last]])


def at(scores: Floats, labels: NDArray[np.int8], threshold: float) -> dict[str, Any]:
    """What is served from a threshold on, how much of it is wrong, with 95 % intervals."""
    served = scores >= threshold
    hits, n = int(labels[served].sum()), int(served.sum())
    ones, zeros = int(labels.sum()), int((labels == 0).sum())
    wrong = n - hits
    return {
        "threshold": threshold,
        "served": n,
        "precision": round(hits / n, 4) if n else None,
        "precision_interval": _rounded(wilson(hits, n)),
        "recall": round(hits / ones, 4) if ones else None,
        "recall_interval": _rounded(wilson(hits, ones)),
        "wrong_hit_rate": round(wrong / n, 4) if n else None,
        "wrong_hit_interval": _rounded(wilson(wrong, n)),
        "negatives_served": round(wrong / zeros, 4) if zeros else None,
        "negatives_served_interval": _rounded(wilson(wrong, zeros)),
    }


def report(scores: Floats, labels: NDArray[np.int8], thresholds: Sequence[float]) -> dict[str, Any]:
    at_90, from_90 = recall_at(scores, labels, 0.90)
    at_95, from_95 = recall_at(scores, labels, 0.95)
    return {
        "auc": round(auc(scores, labels), 4),
        "recall_at_precision_90": round(at_90, 4),
        "recall_at_precision_95": round(at_95, 4),
        "threshold_at_precision_90": _finite(from_90),
        "threshold_at_precision_95": _finite(from_95),
        "curve": [at(scores, labels, threshold) for threshold in thresholds],
    }


def _finite(value: float) -> float | None:
    return round(value, 5) if np.isfinite(value) else None


def _rounded(interval: tuple[float, float]) -> list[float]:
    return [round(end, 4) for end in interval]
