"""The small models that are fitted side by side and then weighted: each reads one part of a text.

    Linear      ridge over structure, or over the embedding
    Words       ridge over hashed words, by inverse document frequency
    Landmarks   ridge over a text's nearness to some training texts (Williams & Seeger 2001)
    Neighbours  the outcomes of the nearest training texts
    Trees       boosted oblivious trees over structure and embedding (as CatBoost: Prokhorenkova 2018)

All of them predict any number of outputs at once, by squared error, from rows prepared in the same way.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from farthing.brain.route.learned.features import WORDS_DIMS, Floats, Ints

Arrays: TypeAlias = Mapping[str, NDArray[Any]]

PENALTIES = (30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0, 30_000.0)
LANDMARKS_MAX = 512
LANDMARK_PARTS = 48  # principal components of the embedding used for the distance
LANDMARK_EMBEDDING, LANDMARK_STRUCTURE = 1.5, 0.1  # so that both weigh about the same in the distance
NEIGHBOURS_MAX = 4_096  # texts kept; a search for the nearest takes 0.1 ms
NEIGHBOUR_SHARPNESS = 8.0
TREES = 150
TREE_DEPTH = 3
TREE_RATE = 0.06
TREE_PENALTY = 20.0
TREE_FEATURES_SHARE = 0.3
TREE_PARTS = 24
BINS = 32
WORDS_ROUNDS = 25
WORDS_FREQUENCY_MIN = 3


class Rows(Struct, frozen=True):
    """Prepared rows: the input of all heads."""

    structure: Floats
    """Shape (n, features): mean 0 and variance 1 over the training data, clipped."""
    embedding: Floats | None
    """Shape (n, dims), scaled by one factor; None: no embeddings."""
    parts: Floats | None
    """Shape (n, parts): the embedding along its principal axes."""
    words: Sequence[Ints]


class Head(Protocol):
    def predict(self, rows: Rows) -> Floats:
        """Shape (n, outputs)."""

    def arrays(self) -> Arrays:
        """The parameters kept in the file; the constructor takes the same names."""


# -- ridge ------------------------------------------------------------------------------------------


def ridge(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Weights (features, outputs) and intercepts, with the penalty of least leave-one-out error per output.

    The errors come from one decomposition, without refitting (Allen 1974, PRESS).
    """
    mean = y.mean(axis=0)
    centre = x.mean(axis=0)
    moved = (x - centre).astype(np.float64)
    values, axes = np.linalg.eigh(moved.T @ moved)
    values = np.maximum(values, 0.0)
    turned = moved @ axes
    aims = turned.T @ (y - mean)
    squares = turned**2
    best = np.full(y.shape[1], np.inf)
    weights = np.zeros((x.shape[1], y.shape[1]))
    for penalty in PENALTIES:
        scale = 1.0 / (values + penalty)
        coefficients = scale[:, None] * aims
        leverage = np.minimum(squares @ scale + 1.0 / len(x), 0.999)
        errors = (y - mean - turned @ coefficients) / (1.0 - leverage)[:, None]
        loss = (errors**2).mean(axis=0)
        better = loss < best
        best = np.where(better, loss, best)
        weights[:, better] = (axes @ coefficients)[:, better]
    return weights.astype(np.float32), (mean - centre @ weights).astype(np.float32)


class Linear(Struct, frozen=True):
    """Ridge over one block of the rows."""

    block: NDArray[Any]
    """Name of the block: `structure` or `embedding`."""
    weights: Floats
    intercepts: Floats

    def predict(self, rows: Rows) -> Floats:
        x = rows.structure if str(self.block) == "structure" else rows.embedding
        assert x is not None
        found: Floats = x @ self.weights + self.intercepts
        return found

    def arrays(self) -> Arrays:
        return {"block": self.block, "weights": self.weights, "intercepts": self.intercepts}


def fit_structure(rows: Rows, y: Floats, chance: np.random.Generator) -> Linear:
    return Linear(np.array("structure"), *ridge(rows.structure, y))


def fit_embedding(rows: Rows, y: Floats, chance: np.random.Generator) -> Linear:
    assert rows.embedding is not None
    return Linear(np.array("embedding"), *ridge(rows.embedding, y))


# -- landmarks and neighbours -----------------------------------------------------------------------


def _place(rows: Rows) -> Floats:
    """A text's position, from embedding and structure."""
    structure = rows.structure * np.float32(LANDMARK_STRUCTURE)
    if rows.parts is None:
        return structure
    parts = rows.parts[:, :LANDMARK_PARTS] * np.float32(LANDMARK_EMBEDDING)
    return np.concatenate([parts, structure], axis=1)


class Landmarks(Struct, frozen=True):
    """Ridge over `exp(-distance**2)` to each landmark."""

    places: Floats
    lengths: Floats
    weights: Floats
    intercepts: Floats

    def predict(self, rows: Rows) -> Floats:
        found: Floats = nearness(_place(rows), self.places, self.lengths) @ self.weights + self.intercepts
        return found

    def arrays(self) -> Arrays:
        return {
            "places": self.places,
            "lengths": self.lengths,
            "weights": self.weights,
            "intercepts": self.intercepts,
        }


def nearness(x: Floats, places: Floats, lengths: Floats) -> Floats:
    """Shape (n, places). `lengths` are the squared lengths of `places`."""
    far = 2.0 * (x @ places.T)
    far -= np.einsum("ij,ij->i", x, x)[:, None]
    far -= lengths
    found: Floats = np.exp(np.minimum(far, 0.0, out=far), out=far)
    return found


def fit_landmarks(rows: Rows, y: Floats, chance: np.random.Generator) -> Landmarks:
    x = _place(rows)
    places = x[chance.choice(len(x), min(LANDMARKS_MAX, max(1, len(x) // 2)), replace=False)]
    lengths = np.einsum("ij,ij->i", places, places)
    near = nearness(x, places, lengths)
    spread = near.std(axis=0) + np.float32(1e-6)
    weights, intercepts = ridge(near / spread, y)
    return Landmarks(places, lengths, weights / spread[:, None], intercepts)


class Neighbours(Struct, frozen=True):
    """The mean outcome of the nearest texts, weighted by nearness."""

    places: Floats
    """Shape (texts, parts), each of length 1."""
    measured: Floats
    count: NDArray[np.int64]

    def predict(self, rows: Rows) -> Floats:
        assert rows.parts is not None
        out = np.empty((len(rows.parts), self.measured.shape[1]), np.float32)
        count = int(self.count)
        for start in range(0, len(out), 1_024):  # bounds the memory of the cosines
            cosines = _unit(rows.parts[start : start + 1_024]) @ self.places.T
            top = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
            weights = np.exp(NEIGHBOUR_SHARPNESS * (np.take_along_axis(cosines, top, axis=1) - 1.0))
            weights /= weights.sum(axis=1, keepdims=True)
            out[start : start + 1_024] = np.einsum("ij,ijk->ik", weights, self.measured[top])
        return out

    def arrays(self) -> Arrays:
        return {"places": self.places, "measured": self.measured, "count": self.count}


def _unit(x: Floats) -> Floats:
    found: Floats = x / (np.linalg.norm(x, axis=1, keepdims=True) + np.float32(1e-9))
    return found


def fit_neighbours(rows: Rows, y: Floats, chance: np.random.Generator) -> Neighbours:
    assert rows.parts is not None
    n = len(rows.parts)
    kept = np.sort(chance.choice(n, min(n, NEIGHBOURS_MAX), replace=False))
    count = min(len(kept), max(10, round(1.5 * len(kept) ** 0.5)))
    return Neighbours(_unit(rows.parts[kept]), y[kept].astype(np.float32), np.array(count))


# -- words ------------------------------------------------------------------------------------------


class Words(Struct, frozen=True):
    """Ridge over hashed words, weighted by rarity, every text normalised to length 1."""

    rarity: Floats
    """Shape (WORDS_DIMS,); 0: too rare in the training data to count."""
    weights: Floats
    """Shape (WORDS_DIMS, outputs), including rarity."""
    intercepts: Floats

    def predict(self, rows: Rows) -> Floats:
        out = np.empty((len(rows.words), len(self.intercepts)), np.float32)
        for index, words in enumerate(rows.words):
            rare = self.rarity[words]
            length = float(np.sqrt(rare @ rare)) or 1.0
            out[index] = self.weights[words].sum(axis=0) / length + self.intercepts
        return out

    def arrays(self) -> Arrays:
        return {"rarity": self.rarity, "weights": self.weights, "intercepts": self.intercepts}


def fit_words(rows: Rows, y: Floats, chance: np.random.Generator, *, texts_a_penalty: float = 600.0) -> Words:
    n = len(rows.words)
    lengths = np.array([len(words) for words in rows.words])
    columns = np.concatenate(rows.words) if n else np.empty(0, np.int32)
    places = np.repeat(np.arange(n), lengths)
    frequency = np.bincount(columns, minlength=WORDS_DIMS)
    rarity = np.where(frequency >= WORDS_FREQUENCY_MIN, np.log((n + 1) / (frequency + 1.0)), 0.0)
    kept = rarity[columns] > 0
    columns, places = columns[kept], places[kept]
    values = rarity[columns]
    values /= np.sqrt(np.bincount(places, values**2, minlength=n))[places]
    penalty = max(2.0, n / texts_a_penalty)

    def texts(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = np.bincount(places, values * weights[columns], n).astype(np.float64)
        return found

    def back(errors: NDArray[np.float64]) -> NDArray[np.float64]:
        found = np.bincount(columns, values * errors[places], WORDS_DIMS).astype(np.float64)
        return found

    weights = np.zeros((WORDS_DIMS, y.shape[1]))
    intercepts = y.mean(axis=0)
    for output in range(y.shape[1]):
        weights[:, output] = conjugate(
            lambda w: back(texts(w)) + penalty * w,
            back((y[:, output] - intercepts[output]).astype(np.float64)),
        )
    return Words(
        rarity.astype(np.float32),
        (rarity[:, None] * weights).astype(np.float32),
        intercepts.astype(np.float32),
    )


def conjugate(
    apply: Callable[[NDArray[np.float64]], NDArray[np.float64]], aim: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Solve `apply(x) = aim` approximately, by conjugate gradients. `apply` must be linear, symmetric and
    positive definite."""
    x = np.zeros_like(aim)
    left = aim.copy()
    way = left.copy()
    size = float(left @ left)
    enough = 1e-6 * size
    for _ in range(WORDS_ROUNDS):
        if size <= enough:
            break
        applied = apply(way)
        step = size / float(way @ applied)
        x += step * way
        left -= step * applied
        before, size = size, float(left @ left)
        way = left + (size / before) * way
    return x


# -- trees ------------------------------------------------------------------------------------------


def _columns(rows: Rows) -> Floats:
    if rows.parts is None:
        return rows.structure
    return np.concatenate([rows.structure, rows.parts[:, :TREE_PARTS]], axis=1)


class Trees(Struct, frozen=True):
    """Oblivious trees: all nodes of one depth test the same, so that a leaf is a binary number."""

    features: Ints
    """Shape (outputs * trees, depth)."""
    bounds: Floats
    leaves: Floats
    """Shape (outputs * trees, 2**depth)."""
    intercepts: Floats

    def predict(self, rows: Rows) -> Floats:
        x = _columns(rows)
        outputs = len(self.intercepts)
        bits = 1 << np.arange(self.features.shape[1])
        each = np.arange(len(self.leaves))
        out = np.empty((len(x), outputs), np.float32)
        for start in range(0, len(x), 256):
            asked = x[start : start + 256][:, self.features] > self.bounds
            found = self.leaves[each, asked @ bits]
            out[start : start + 256] = found.reshape(len(found), outputs, -1).sum(axis=2)
        return out + self.intercepts

    def arrays(self) -> Arrays:
        return {
            "features": self.features,
            "bounds": self.bounds,
            "leaves": self.leaves,
            "intercepts": self.intercepts,
        }


def fit_trees(rows: Rows, y: Floats, chance: np.random.Generator) -> Trees:
    x = _columns(rows)
    cuts = np.quantile(x, np.arange(1, BINS) / BINS, axis=0).astype(np.float32)
    codes = np.stack(
        [np.searchsorted(cuts[:, feature], x[:, feature]) for feature in range(x.shape[1])]
    ).astype(np.int16)
    fitted = [_boost(codes, cuts, y[:, output], chance) for output in range(y.shape[1])]
    features, bounds, leaves = (np.concatenate(parts) for parts in zip(*fitted, strict=True))
    return Trees(
        features.astype(np.int32),
        bounds.astype(np.float32),
        leaves.astype(np.float32),
        y.mean(axis=0).astype(np.float32),
    )


def _boost(
    codes: NDArray[np.int16], cuts: Floats, y: Floats, chance: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    errors = (y - y.mean()).astype(np.float64)
    features = np.zeros((TREES, TREE_DEPTH), np.int64)
    bounds = np.zeros((TREES, TREE_DEPTH))
    leaves = np.zeros((TREES, 2**TREE_DEPTH))
    tried_count = max(1, round(TREE_FEATURES_SHARE * len(codes)))
    for tree in range(TREES):
        tried = chance.choice(len(codes), tried_count, replace=False)
        nodes = np.zeros(len(errors), np.int64)
        for depth in range(TREE_DEPTH):
            feature, cut = _best_split(codes, tried, nodes, errors, 1 << depth)
            features[tree, depth], bounds[tree, depth] = feature, cuts[cut, feature]
            nodes |= (codes[feature] > cut).astype(np.int64) << depth
        count = np.bincount(nodes, minlength=2**TREE_DEPTH)
        total = np.bincount(nodes, errors, minlength=2**TREE_DEPTH)
        leaves[tree] = TREE_RATE * total / (count + TREE_PENALTY)
        errors -= leaves[tree][nodes]
    return features, bounds, leaves


def _best_split(
    codes: NDArray[np.int16], tried: NDArray[np.int64], nodes: NDArray[np.int64], errors: Any, node_count: int
) -> tuple[int, int]:
    """The feature and cut that explain most when every node is split by them."""
    best = (-1.0, int(tried[0]), 0)
    base = nodes * BINS
    size = node_count * BINS
    for feature in tried:
        slots = base + codes[feature]
        totals = np.bincount(slots, errors, minlength=size).reshape(node_count, BINS).cumsum(axis=1)
        counts = np.bincount(slots, minlength=size).reshape(node_count, BINS).cumsum(axis=1)
        low, high = totals[:, :-1], totals[:, -1:] - totals[:, :-1]
        low_count, high_count = counts[:, :-1], counts[:, -1:] - counts[:, :-1]
        gain = (low**2 / (low_count + TREE_PENALTY) + high**2 / (high_count + TREE_PENALTY)).sum(axis=0)
        cut = int(gain.argmax())
        if gain[cut] > best[0]:
            best = (float(gain[cut]), int(feature), cut)
    return best[1], best[2]


# -- all of them ------------------------------------------------------------------------------------

Fit: TypeAlias = Callable[[Rows, Floats, np.random.Generator], Head]

FITS: dict[str, Fit] = {
    "structure": fit_structure,
    "words": fit_words,
    "landmarks": fit_landmarks,
    "trees": fit_trees,
    "embedding": fit_embedding,
    "neighbours": fit_neighbours,
}
DEFAULT_HEADS = ("structure", "words", "landmarks", "trees")
"""The others added nothing to these in measurements; see docs/routing-learned.md."""
NEED_EMBEDDING = frozenset({"embedding", "neighbours"})
KINDS: dict[str, Callable[..., Head]] = {
    "structure": Linear,
    "words": Words,
    "landmarks": Landmarks,
    "trees": Trees,
    "embedding": Linear,
    "neighbours": Neighbours,
}
