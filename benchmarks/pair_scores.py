"""What each decider says of pairs, and how right it is: areas, recalls, rates with intervals."""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.pair_file import with_output
from benchmarks.pair_layers import LAYERS, Tokens
from benchmarks.pairs import Pairs
from farthing.brain.cache.semantic.verify.features import NAMES, features
from farthing.brain.cache.semantic.verify.parse import parse
from farthing.brain.cache.semantic.verify.rules import CHARS_MAX, Finding, finding_of
from farthing.brain.cache.semantic.verify.trained import TOO_LONG, Weights, weighed
from farthing.models.embed.onnx import OnnxEmbedder
from farthing.models.embed.session import MODELS, open_session, open_tokenizer, read_tokens
from farthing.models.pair.onnx import TOKENS_MAX

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Z = 1.959964
DRAWS = 300
PAIR_WIDTH = 3 * 384  # of the pair model's last vectors
TOKENS_KEPT_MAX = 2_000_000  # 768 bytes each
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
        self.logits: Floats = np.full(len(pairs), np.nan, np.float32)
        """What the pair model says, of the pairs that it was asked about."""
        self._last = np.zeros((len(pairs), PAIR_WIDTH), np.float16)
        self.lengths = np.array([len(a) + len(b) for a, b in zip(pairs.a, pairs.b, strict=True)]) / 4 + 3
        """About how many tokens a pair has."""
        self.tokens = Tokens()
        """What its lower layers make of the tokens, of the pairs that were read with `tokens`."""

    def read_all(self) -> None:
        """Ask about every pair at once where the tokens of all may be kept: each is then read only once."""
        if self.lengths.sum() <= TOKENS_KEPT_MAX:
            self.read(np.arange(len(self.pairs)), tokens=True)

    def read(self, which: Ints, *, tokens: bool = False) -> None:
        """Ask the pair model about the pairs `which`, as far as that is not known."""
        missing = [i for i in which.tolist() if np.isnan(self.logits[i]) or (tokens and i not in self.tokens)]
        asked = [(self.pairs.a[i], self.pairs.b[i]) for i in missing]
        for i, (logit, last, rows, first) in zip(missing, _read(asked), strict=True):
            self.logits[i], self._last[i] = logit, last
            if tokens:
                self.tokens.add(i, rows, first)

    def last(self, which: Ints) -> Floats:
        """The pair model's last vectors, shape (n, PAIR_WIDTH); of pairs not read, zeros."""
        return self._last[which].astype(np.float32)

    def make_room(self) -> None:
        """Forget the tokens of a large file; of a small one they serve the next fit."""
        if self.tokens.total > TOKENS_KEPT_MAX:
            self.tokens = Tokens()

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
        out = cheap.copy()
        if near.any():
            self.read(np.flatnonzero(near))
            out[near] = weights.final_probabilities(self.rows[near], self.logits[near]) * weight[near]
        out[long] = TOO_LONG
        same = np.array([a == b for a, b in zip(self.pairs.a, self.pairs.b, strict=True)])
        out[same] = 1.0
        return np.asarray(out, np.float32)


def _threads() -> int:
    return min(4, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


async def _embed(texts: Sequence[str]) -> Floats:
    """Each embedder has a thread of its own; a text's vector depends on no other text."""
    vectors: Floats = np.empty((len(texts), 384), np.float32)
    starts = iter(range(0, len(texts), 400))

    async def work() -> None:
        embedder = OnnxEmbedder()
        for start in starts:
            vectors[start : start + 400], _ = await embedder.embed(texts[start : start + 400])
            _tell(start, len(texts), "texts embedded")
        await embedder.aclose()

    await asyncio.gather(*(work() for _ in range(_threads())))
    return vectors


Read = tuple[float, Floats, NDArray[np.float16], int]


def _read(pairs: Sequence[tuple[str, str]]) -> Iterator[Read]:
    """Of each pair: logit, last vectors, what enters the first of `LAYERS`, how long the first text is.

    Logits and vectors are those of `OnnxPairModel`, bit for bit, from the same file.
    """
    if not pairs:
        return
    tokenizer = open_tokenizer(MODELS / "minilm-l6.tokenizer.json")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pair.onnx"
        shipped = (MODELS / "minilm-pair.int8.onnx").read_bytes()
        file.write_bytes(with_output(shipped, f"layer{LAYERS[0] - 1}"))
        session = open_session(file)

    def one(pair: tuple[str, str]) -> Read:
        a, b = sorted(pair)
        ids, _ = read_tokens(tokenizer, a, TOKENS_MAX)
        more, _ = read_tokens(tokenizer, b, TOKENS_MAX)
        types = [0] * len(ids) + [1] * (len(more) - 1)
        given = {"ids": np.array([ids + more[1:]], np.int32), "types": np.array([types], np.int32)}
        logits, last, rows = session.run(None, given)
        return float(logits[0, 0]), last[0], rows[0].astype(np.float16), len(ids)

    with ThreadPoolExecutor(_threads()) as pool:
        for start in range(0, len(pairs), 256):
            yield from pool.map(one, pairs[start : start + 256])
            _tell(start, len(pairs), "pairs read")


_told_s = 0.0


def _tell(done: int, of: int, what: str) -> None:
    global _told_s
    if sys.stderr.isatty() and time.monotonic() - _told_s > 1:
        _told_s = time.monotonic()
        print(f"\r{done}/{of} {what}   ", end="", file=sys.stderr, flush=True)


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


def recall_intervals(scores: Floats, labels: NDArray[np.int8]) -> dict[float, tuple[float, float]]:
    """The 95 % intervals of `recall_at` at 90 and 95 %: percentiles of `DRAWS` draws of rows with return."""
    rng = np.random.default_rng(0)
    order = np.argsort(-scores, kind="stable")
    truth, n = labels[order].astype(np.int64), len(order)
    ends = np.append(scores[order][1:] != scores[order][:-1], True)
    found: dict[float, list[float]] = {0.90: [], 0.95: []}
    for _ in range(DRAWS):
        times = np.bincount(rng.integers(0, n, n), minlength=n)
        right, served = np.cumsum(times * truth), np.cumsum(times)
        for precision, recalls in found.items():
            good = np.flatnonzero(ends & (served > 0) & (right >= precision * served))
            recalls.append(float(right[good[-1]] / max(1, right[-1])) if len(good) else 0.0)
    return {p: (float(np.quantile(r, 0.025)), float(np.quantile(r, 0.975))) for p, r in found.items()}


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
    within = recall_intervals(scores, labels)
    return {
        "auc": round(auc(scores, labels), 4),
        "recall_at_precision_90": round(at_90, 4),
        "recall_at_precision_95": round(at_95, 4),
        "recall_at_precision_90_interval": _rounded(within[0.90]),
        "recall_at_precision_95_interval": _rounded(within[0.95]),
        "threshold_at_precision_90": _finite(from_90),
        "threshold_at_precision_95": _finite(from_95),
        "curve": [at(scores, labels, threshold) for threshold in thresholds],
    }


def _finite(value: float) -> float | None:
    return round(value, 5) if np.isfinite(value) else None


def _rounded(interval: tuple[float, float]) -> list[float]:
    return [round(end, 4) for end in interval]
