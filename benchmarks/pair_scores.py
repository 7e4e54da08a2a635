"""What each decider says of pairs, and how right it is: areas, recalls, rates with intervals."""

import asyncio
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.pairs import Pairs, split
from farthing.brain.cache.semantic.verify.features import NAMES, features
from farthing.brain.cache.semantic.verify.network import Network, fit, sigmoid
from farthing.brain.cache.semantic.verify.parse import parse
from farthing.brain.cache.semantic.verify.rules import CHARS_MAX, Finding, finding_of
from farthing.brain.cache.semantic.verify.trained import SCORE_MAX, TOO_LONG, Weights, weighed
from farthing.models.embed.onnx import OnnxEmbedder
from farthing.models.pair.onnx import OnnxPairModel

Floats = NDArray[np.float32]
Z = 1.959964
WIDE, NARROW = (512, 3), (384, 2)  # hidden width, and how many of each kind of network
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
        self.findings: list[Finding | None] = []
        """What the rules say of each pair."""
        for i, (u, v) in enumerate(zip(self.u_at.tolist(), self.v_at.tolist(), strict=True)):
            found = finding_of(parsed[u], parsed[v])
            self.rows[i] = features(parsed[u], parsed[v], self.vectors[u], self.vectors[v], finding=found)
            self.findings.append(found)
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
        weight = np.array([weighed(1.0, found) for found in self.findings], np.float32)
        passed = np.array([found is None or not found.certain for found in self.findings])
        cheap = cheap * weight
        long = np.array(
            [max(len(a), len(b)) > CHARS_MAX for a, b in zip(self.pairs.a, self.pairs.b, strict=True)]
        )
        near = passed & ~long & (cheap >= weights.doubt) & (cheap < weights.sure)
        missing = near if self.read is None else near & np.isnan(self.read[:, 0])
        if missing.any():
            self.read_both(np.flatnonzero(missing).tolist())
        out = cheap.copy()
        if near.any():
            assert self.read is not None
            out[near] = weights.final_probabilities(self.rows[near], self.read[near, 0]) * weight[near]
        out[long] = TOO_LONG
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


def trained(scored: Scored, first: NDArray[np.int64], second: NDArray[np.int64]) -> Floats:
    """Probabilities for the rows `second` of networks fitted on the rows `first`; needs numpy alone.

    Some read all that is known of a pair, some leave the pair model out but for its logit; their mean errs
    less than either. A tenth of `first`, which shares no text with the rest of it, calibrates.
    """
    if scored.read is None:
        scored.read_both()
    elif np.isnan(scored.read[:, 0]).any():
        scored.read_both(np.flatnonzero(np.isnan(scored.read[:, 0])).tolist())
    labels = scored.labels.astype(np.float32)
    inner, outer = split(scored.pairs.some(first), 0.9, 3)
    if len(set(scored.labels[first[outer]].tolist())) < 2:  # one long chain of texts: nothing else is left
        outer = inner
    fitted, kept = first[inner], first[outer]
    some = np.concatenate([kept, second])
    total = np.zeros(len(labels), np.float32)
    for rows, hidden, seeds in ((wide(scored), *WIDE), (without_pair_vectors(scored), *NARROW)):
        for seed in range(seeds):
            network = fit(
                rows[fitted],
                labels[fitted],
                hidden=hidden,
                epochs=12,
                rate=7e-4,
                decay=0.1,
                drop=0.5,
                batch=256,
                seed=seed,
            )
            total[some] += network.logits(rows[some]) / (WIDE[1] + NARROW[1])
    slope: Network = fit(total[kept][:, None], labels[kept], epochs=40, rate=0.02, batch=64)
    return sigmoid(slope.logits(total[second][:, None]))


def wide(scored: Scored) -> Floats:
    """All that is known of each pair, symmetric: vectors, features, the pair model's last vectors."""
    assert scored.read is not None
    return np.hstack([_both(scored), scored.rows, scored.read])


def without_pair_vectors(scored: Scored) -> Floats:
    """`wide`, but of the pair model only its logit, up to the bound that the verifier has for it."""
    assert scored.read is not None
    return np.hstack([_both(scored), scored.rows, np.clip(scored.read[:, :1], -8.0, SCORE_MAX)])


def _both(scored: Scored) -> Floats:
    u, v = scored.vectors[scored.u_at], scored.vectors[scored.v_at]
    return np.concatenate([u + v, np.abs(u - v), u * v], axis=1, dtype=np.float32)


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
