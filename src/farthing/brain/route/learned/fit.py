"""Fit a model from texts and outcomes, and predict out of fold.

Heads are weighted by their predictions for texts they were not fitted to (stacked generalisation: Wolpert
1992, Breiman 1996), with non-negative weights; a head that adds nothing is left out of the model.
Near-duplicate texts are always in the same fold, so that no text is predicted from its own copy.
"""

import datetime
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from itertools import combinations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from farthing.brain.route.learned.features import WORDS_DIMS, Floats, Ints, Readings
from farthing.brain.route.learned.heads import DEFAULT_HEADS, FITS, NEED_EMBEDDING, Head, Rows, ridge
from farthing.brain.route.learned.model import About, RouteModel, Space, combined
from farthing.types import replace

FOLDS = 5
EXAMPLES_MIN = 100
JOIN_EXAMPLES_MIN = 50
PARTS = 64
WEIGHT_PULL = 0.3  # of the mean square of a head's predictions
SAME_SHARE = 0.8
"""Two texts that share this much of their words and pairs of words are near-duplicates."""
COMMON_SHARES = (1.0, 0.5, 0.2, 0.05)
COMMON_TEXTS_MIN, TELLING_MIN = 50, 5
_BANDS, _BAND_ROWS = 20, 5  # two texts that share 0.8 collide in a band with probability 0.9996
_SEED = 20_240
_CLASSES = 10


class Examples(Struct, frozen=True, kw_only=True):
    """Texts with the quality of each model's answer."""

    readings: Readings
    vectors: Floats | None
    """Shape (n, dims), each of length 1; None: fit without embeddings."""
    outcomes: Floats
    """Shape (n, models), from 0 to 1."""
    models: tuple[str, ...]
    digest: str = ""
    """Digest of the texts and outcomes, from `digest_of`."""
    embedder: str = ""

    def take(self, rows: NDArray[np.int64]) -> "Examples":
        vectors = None if self.vectors is None else self.vectors[rows]
        taken: Examples = replace(
            self, readings=self.readings.take(rows), vectors=vectors, outcomes=self.outcomes[rows]
        )
        return taken


class Fitted(Struct, frozen=True):
    model: RouteModel
    held_out: Floats
    """Shape (n, models), in the order of `model.models`: each example's prediction by a model fitted without
    it."""


def digest_of(texts: Iterable[str], outcomes: Floats) -> str:
    """Identifies the data: equal data have equal digests."""
    found = blake2b(digest_size=12)
    for text in texts:
        found.update(text.encode(errors="replace") + b"\0")
    found.update(np.ascontiguousarray(outcomes, np.float32).tobytes())
    return found.hexdigest()


# -- folds ------------------------------------------------------------------------------------------


def groups_of(words: Sequence[Ints]) -> NDArray[np.int64]:
    """A group number for each text; near-duplicates have the same.

    Candidates by min-wise hashing in bands (Broder 1997), each verified; groups are transitive. Numbers do
    not distinguish texts: the same exercise with other figures is a near-duplicate. If a group would be
    larger than a fold, what most texts share is ignored, such as the examples that start every prompt of a
    data set; if it is still too large, what fewer and fewer texts share.
    """
    found = np.zeros(len(words), np.int64)
    for common_share in COMMON_SHARES:
        found = _grouped(_telling(words, common_share))
        if len(words) < COMMON_TEXTS_MIN or np.bincount(found).max() * FOLDS <= len(words):
            break
    return found


def _grouped(words: Sequence[Ints]) -> NDArray[np.int64]:
    n = len(words)
    parents = list(range(n))

    def root(one: int) -> int:
        while parents[one] != one:
            parents[one] = parents[parents[one]]
            one = parents[one]
        return one

    for left, right in _candidates(words):
        a, b = root(left), root(right)
        if a != b and _share(words[left], words[right]) >= SAME_SHARE:
            parents[b] = a
    return np.array([root(one) for one in range(n)], np.int64)


def _telling(words: Sequence[Ints], common_share: float) -> list[Ints]:
    """Drop what occurs in more than `common_share` of the texts; a text of which too little would remain is
    kept whole."""
    if len(words) < COMMON_TEXTS_MIN:
        return list(words)
    frequency = np.bincount(np.concatenate(words), minlength=WORDS_DIMS)
    rare = frequency <= common_share * len(words)
    left = [one[rare[one]] for one in words]
    return [few if len(few) >= TELLING_MIN else whole for few, whole in zip(left, words, strict=True)]


def _share(a: Ints, b: Ints) -> float:
    both = len(np.intersect1d(a, b, assume_unique=True))
    return both / max(1, len(a) + len(b) - both)


def _candidates(words: Sequence[Ints]) -> Iterable[tuple[int, int]]:
    """Each text with the first text of every band that it shares."""
    chance = np.random.default_rng(_SEED)
    filled = [index for index, one in enumerate(words) if len(one)]
    if not filled:
        return
    columns = np.concatenate([words[index] for index in filled])
    starts = np.concatenate([[0], np.cumsum([len(words[index]) for index in filled])[:-1]])
    for _ in range(_BANDS):
        lowest = [
            np.minimum.reduceat(chance.permutation(WORDS_DIMS).astype(np.uint64)[columns], starts)
            for _ in range(_BAND_ROWS)
        ]
        keys = sum((one << np.uint64(15 * place) for place, one in enumerate(lowest[:4])), lowest[4] * 31)
        _, first, slots = np.unique(keys, return_index=True, return_inverse=True)
        for place, slot in enumerate(slots.tolist()):
            if int(first[slot]) != place:
                yield filled[int(first[slot])], filled[place]


def folds_of(groups: NDArray[np.int64], count: int = FOLDS, seed: int = 0) -> NDArray[np.int64]:
    """A fold from 0 to `count` - 1 for each text, of about equal sizes; no group is split.

    Raises:
        ValueError: there are fewer groups than folds.
    """
    if len(np.unique(groups)) < count:
        raise ValueError(f"nearly all texts are near-duplicates: only {len(np.unique(groups))} differ")
    chance = np.random.default_rng(seed)
    _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = chance.permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]  # large groups first: even folds
    fold_of_group = np.empty(len(sizes), np.int64)
    filled = np.zeros(count)
    for one in order:
        fold = int(filled.argmin())
        fold_of_group[one] = fold
        filled[fold] += sizes[one]
    found: NDArray[np.int64] = fold_of_group[group]
    return found


# -- fitting ----------------------------------------------------------------------------------------


def fit_space(readings: Readings, vectors: Floats | None) -> Space:
    structure = readings.structure
    spread = structure.std(axis=0)
    scale = np.where(spread > 1e-6, 1.0 / np.maximum(spread, 1e-6), 0.0).astype(np.float32)
    none = np.empty(0, np.float32)
    if vectors is None:
        return Space(structure.mean(axis=0), scale, none, none, np.empty((0, 0), np.float32))
    mean = vectors.mean(axis=0)
    moved = (vectors - mean).astype(np.float64)
    _, axes = np.linalg.eigh(moved.T @ moved)
    parts = min(PARTS, vectors.shape[1])
    size = np.float32(1.0 / max(float(moved.std()), 1e-9))
    return Space(
        structure.mean(axis=0),
        scale,
        mean,
        np.full(vectors.shape[1], size, np.float32),
        np.ascontiguousarray(axes[:, ::-1][:, :parts], np.float32),
    )


def heads_for(embeds: bool, wanted: Sequence[str] = DEFAULT_HEADS) -> tuple[str, ...]:
    """The heads of `wanted` that can be fitted with or without embeddings.

    Raises:
        ValueError: a name is unknown, or none is left.
    """
    unknown = [name for name in wanted if name not in FITS]
    if unknown:
        raise ValueError(f"unknown head {unknown[0]}; known: {', '.join(FITS)}")
    left = tuple(name for name in FITS if name in wanted and (embeds or name not in NEED_EMBEDDING))
    if not left:
        raise ValueError(f"{', '.join(wanted)} cannot be fitted without embeddings")
    return left


def _fit_heads(examples: Examples, outputs: Floats, wanted: Sequence[str]) -> tuple[Space, dict[str, Head]]:
    space = fit_space(examples.readings, examples.vectors)
    rows = space.rows(examples.readings, examples.vectors)
    chance = np.random.default_rng(_SEED)
    return space, {name: FITS[name](rows, outputs, chance) for name in heads_for(space.embeds, wanted)}


def _predicted(heads: dict[str, Head], rows: Rows) -> Floats:
    return np.stack([head.predict(rows) for head in heads.values()], axis=1)


def outputs_of(outcomes: Floats, reference: int) -> Floats:
    """Shape (n, models): whether the reference is right, then how far each other model falls short of it."""
    first = outcomes[:, reference : reference + 1]
    others = np.delete(outcomes, reference, axis=1)
    found: Floats = np.concatenate([first, first - others], axis=1).astype(np.float32)
    return found


def weigh(predicted: Floats, outputs: Floats) -> tuple[Floats, Floats]:
    """Weights of the heads for each output, never negative, and intercepts, by least squares.

    `predicted` has shape (n, heads, outputs) and predicts texts that the heads were not fitted to. Weights
    are shrunk towards one common value, which stabilises them with few examples.
    """
    heads = predicted.shape[1]
    weights = np.zeros((heads, outputs.shape[1]))
    intercepts = np.zeros(outputs.shape[1])
    for output in range(outputs.shape[1]):
        x, y = predicted[:, :, output].astype(np.float64), outputs[:, output].astype(np.float64)
        mean, aim = x.mean(axis=0), y.mean()
        moved = x - mean
        gram = moved.T @ moved
        aims = moved.T @ (y - aim)
        common = max(
            0.0, float(aims.sum() / max(gram.sum(), 1e-12))
        )  # the best if all heads had equal weight
        pull = WEIGHT_PULL * np.trace(gram) / heads + 1e-9
        gram += np.eye(heads) * pull
        aims = aims + pull * common
        found = np.zeros(heads)
        for _ in range(300):  # coordinate descent; converges long before
            for head in range(heads):
                rest = aims[head] - gram[head] @ found + gram[head, head] * found[head]
                found[head] = max(0.0, rest / gram[head, head])
        weights[:, output] = found
        intercepts[output] = aim - mean @ found
    return weights.astype(np.float32), intercepts.astype(np.float32)


def fit(
    examples: Examples,
    *,
    groups: NDArray[np.int64] | None = None,
    heads: Sequence[str] = DEFAULT_HEADS,
    made: str | None = None,
    seed: int = 0,
) -> Fitted:
    """Fit a model. The same examples give the same model. `made` is the date to record; None: today.
    `groups` come from `groups_of`; None: they are computed.

    Raises:
        ValueError: there are too few examples, or the arrays do not fit each other.
    """
    _check(examples)
    if groups is None:
        groups = groups_of(examples.readings.words)
    folds = folds_of(groups, seed=seed)
    reference = int(examples.outcomes.mean(axis=0).argmax())
    outputs = outputs_of(examples.outcomes, reference)
    held: Floats | None = None
    for fold in range(FOLDS):
        train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        space, fitted = _fit_heads(examples.take(train), outputs[train], heads)
        tested = examples.take(test)
        predicted = _predicted(fitted, space.rows(tested.readings, tested.vectors))
        held = np.empty((len(folds), *predicted.shape[1:]), np.float32) if held is None else held
        held[test] = predicted
    assert held is not None
    weights, intercepts = weigh(held, outputs)
    space, fitted = _fit_heads(examples, outputs, heads)
    used = [index for index in range(len(fitted)) if weights[index].any()] or [0]
    names = list(fitted)
    order = (reference, *(index for index in range(len(examples.models)) if index != reference))
    model = RouteModel(
        about=About(
            embedder=examples.embedder if space.embeds else "",
            data=examples.digest,
            examples=len(folds),
            made=made or datetime.datetime.now(datetime.UTC).date().isoformat(),
        ),
        models=tuple(examples.models[index] for index in order),
        fitted=len(order),
        space=space,
        heads={names[index]: fitted[names[index]] for index in used},
        weights=weights[used],
        intercepts=intercepts,
        joined=np.zeros((len(used) * len(order) + 1, 0), np.float32),
        calibration_error=np.zeros(len(order), np.float32),
    )
    found = model.calibrated(held[:, used])
    error = calibration_error(found, examples.outcomes[:, list(order)])
    return Fitted(replace(model, calibration_error=error), found)


def _check(examples: Examples) -> None:
    n = len(examples.outcomes)
    if n < EXAMPLES_MIN:
        raise ValueError(f"{n} examples are too few: at least {EXAMPLES_MIN}")
    if examples.outcomes.shape != (n, len(examples.models)) or len(examples.models) < 2:
        raise ValueError("each example needs an outcome for each of at least two models")
    if len(examples.readings.words) != n or (examples.vectors is not None and len(examples.vectors) != n):
        raise ValueError("the numbers of texts, vectors and outcomes must be equal")
    if not ((examples.outcomes >= 0) & (examples.outcomes <= 1)).all():
        raise ValueError("outcomes must lie between 0 and 1")


def join(model: RouteModel, name: str, examples: Examples) -> RouteModel:
    """Add one model with only a few hundred examples to `model`: `examples.models` is that one alone.

    Its quality is predicted by ridge from the heads' predictions for the known models: questions that are
    hard for them tend to be hard for it too.

    Raises:
        ValueError: too few examples, or the name is taken.
    """
    n = len(examples.outcomes)
    if n < JOIN_EXAMPLES_MIN:
        raise ValueError(f"{n} examples are too few: at least {JOIN_EXAMPLES_MIN}")
    if name in model.models:
        raise ValueError(f"the model already contains {name}")
    predicted = model.predict(examples.readings, examples.vectors).reshape(n, -1)
    spread = predicted.std(axis=0) + np.float32(1e-6)
    weights, intercepts = ridge(predicted / spread, examples.outcomes[:, :1].astype(np.float32))
    column = np.concatenate([weights / spread[:, None], intercepts[None]])
    grown: RouteModel = replace(
        model, models=(*model.models, name), joined=np.concatenate([model.joined, column], axis=1)
    )
    found = grown.calibrated(predicted.reshape(n, len(model.heads), -1))[:, -1:]
    error = np.concatenate([model.calibration_error, calibration_error(found, examples.outcomes[:, :1])])
    done: RouteModel = replace(grown, calibration_error=error)
    return done


def calibration_error(found: Floats, outcomes: Floats) -> Floats:
    """Shape (models,): expected calibration error in ten classes of equal size."""
    out = np.zeros(found.shape[1])
    for column in range(found.shape[1]):
        for part in np.array_split(np.argsort(found[:, column], kind="stable"), _CLASSES):
            gap = found[part, column].mean() - outcomes[part, column].mean() if len(part) else 0.0
            out[column] += abs(gap) * len(part) / len(found)
    return out.astype(np.float32)


# -- out of fold ------------------------------------------------------------------------------------


def cross_predict(
    examples: Examples,
    folds: NDArray[np.int64],
    *,
    reference: int,
    heads: Sequence[str] = DEFAULT_HEADS,
    progress: Callable[[str], None] = lambda line: None,
) -> tuple[Floats, Floats]:
    """Predict each example with a model that was fitted, and whose heads were weighted, without its fold.

    Returns the outputs (see `outputs_of`), and the mean weight of each head for each output. Heads fitted
    without two folds serve for weighting both.
    """
    outputs = outputs_of(examples.outcomes, reference)
    count = int(folds.max()) + 1
    without: dict[frozenset[int], dict[int, Floats]] = {}
    pairs = [frozenset({fold}) for fold in range(count)] + [
        frozenset(pair) for pair in combinations(range(count), 2)
    ]
    for done, left_out in enumerate(pairs):
        train = np.flatnonzero(~np.isin(folds, list(left_out)))
        space, fitted = _fit_heads(examples.take(train), outputs[train], heads)
        without[left_out] = {}
        for fold in left_out:
            tested = examples.take(np.flatnonzero(folds == fold))
            without[left_out][fold] = _predicted(fitted, space.rows(tested.readings, tested.vectors))
        progress(f"fitted {done + 1} of {len(pairs)}")
    found = np.empty_like(outputs)
    all_weights = []
    for fold in range(count):
        others = [other for other in range(count) if other != fold]
        predicted = np.concatenate([without[frozenset({fold, other})][other] for other in others])
        truth = np.concatenate([outputs[folds == other] for other in others])
        weights, intercepts = weigh(predicted, truth)
        all_weights.append(weights)
        found[folds == fold] = combined(without[frozenset({fold})][fold], weights, intercepts)
    mean: Floats = np.mean(all_weights, axis=0)
    return found, mean
