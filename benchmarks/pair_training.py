"""A verifier fitted to a file's own pairs: what such a fit would reach on texts that it has not seen.

Four judges are weighed against each other on pairs that none of them was fitted to:

- small networks on all that is known of a pair (`wide`), and on that without the pair model's vectors;
- the pair model itself, its last layers fitted further (`pair_layers`);
- the cosine;
- the fixed blend of the cosine and the pair model's logit that ships.

With few pairs the first two are poor, and the weights say so: then it is the last two that decide.
Needs numpy alone; a file of more than `FITTED_MAX` pairs takes no longer to fit to than one of so many.
"""

import numpy as np
from numpy.typing import NDArray

from benchmarks.pair_file import shipped
from benchmarks.pair_layers import LAYERS, PairLayers, Recipe, fitted
from benchmarks.pair_scores import Floats, Ints, Scored
from benchmarks.pairs import split
from farthing.brain.cache.semantic.verify.network import Network, fit, sigmoid
from farthing.brain.cache.semantic.verify.trained import SCORE_MAX, Weights, with_score
from farthing.models.embed.session import MODELS

WIDE, NARROW = (512, 2), (384, 2)  # hidden width, and how many of each kind of network
FITTED_MAX = 50_000
"""On how many pairs the networks and the layers are fitted; a larger file gives a random part."""
TOKENS_FITTED_MAX = 1_500_000
"""The same for the layers, by tokens (about four characters): they set time and memory."""
FEW = 5_000
"""With fewer pairs a tenth of them says too little: several parts are left out in turn."""
TURNS = 2
STEPS_MIN = 200
EPOCHS_MAX = 4
STEPS_ENOUGH = 600
"""Steps of an epoch from which one suffices: another takes as long again."""
AT_ONCE = 4_096
JUDGES = 4
TRUST = 4.0
"""How many pairs the standing weights of the judges count for."""
STANDING = np.array([0.5, 0.5, 0.25, 0.5], np.float32)


def trained(scored: Scored, first: Ints, second: Ints) -> Floats:
    """Probabilities for the rows `second` of a verifier fitted on the rows `first`.

    The rows on which the judges are weighed are some of `first`, and share no text with those the judges are
    fitted to there. Where there are too few for that, it is the fixed blend that ships. The same rows give
    the same probabilities.
    """
    labels = scored.labels.astype(np.float32)
    few = len(first) < FEW
    held: list[tuple[Floats, Floats]] = []
    judged: Floats | None = None
    for turn in range(TURNS if few else 1):
        inner, outer = split(scored.pairs.some(first), 0.8 if few else 0.9, 3 + turn)
        fitted_on, kept = first[inner], first[outer]
        if not _both(labels[kept]) or not _both(labels[fitted_on]):
            continue  # one long chain of texts: nothing else is left
        found = judges(scored, fitted_on, kept if few else np.concatenate([kept, second]))
        held.append((found[: len(kept)], labels[kept]))
        if not few:
            judged = found[len(kept) :]
    if not held:
        scored.read(second)
        return sigmoid(_shipped(scored, second))
    if judged is None:
        judged = judges(scored, first, second)
    seen, truth = (np.concatenate(parts) for parts in zip(*held, strict=True))
    mean, scale = seen.mean(axis=0), 1.0 / np.maximum(seen.std(axis=0), 1e-6)
    weights, bias = weighed_up((seen - mean) * scale, truth)
    return sigmoid(np.asarray((judged - mean) * scale @ weights + bias, np.float32))


def _both(labels: Floats) -> bool:
    return len(labels) >= 20 and 0 < float(labels.sum()) < len(labels)


def judges(scored: Scored, first: Ints, second: Ints) -> Floats:
    """What each judge says of the rows `second`, fitted on the rows `first`; shape (n, JUDGES)."""
    if len(first) > FITTED_MAX:
        first = np.sort(np.random.default_rng(0).choice(first, FITTED_MAX, replace=False))
    labels = scored.labels.astype(np.float32)[first]
    out = np.zeros((len(second), JUDGES), np.float32)
    networks = _networks(scored, first, labels)
    layers = _layers(scored, first, labels)
    for at in range(0, len(second), AT_ONCE):
        some = second[at : at + AT_ONCE]
        scored.read(some, tokens=True)
        for known, kind in (
            (wide(scored, some), networks[0]),
            (without_pair_vectors(scored, some), networks[1]),
        ):
            for network in kind:
                out[at : at + len(some), 0] += network.logits(known)
        out[at : at + len(some), 1] = layers.logits(scored.tokens, some)
        out[at : at + len(some), 2] = scored.cosine[some]
        out[at : at + len(some), 3] = _shipped(scored, some)
        scored.make_room()
    return out


def _shipped(scored: Scored, which: Ints) -> Floats:
    """The calibrated logit of the fixed blend, without the rules."""
    return Weights.load().final.logits(with_score(scored.rows[which], scored.logits[which]))


def _networks(scored: Scored, first: Ints, labels: Floats) -> tuple[list[Network], list[Network]]:
    scored.read(first)
    found: tuple[list[Network], list[Network]] = ([], [])
    for kind, (known, (hidden, seeds)) in enumerate(
        ((wide(scored, first), WIDE), (without_pair_vectors(scored, first), NARROW))
    ):
        for seed in range(seeds):
            found[kind].append(
                fit(known, labels, hidden=hidden, epochs=12, rate=7e-4, decay=0.1, drop=0.5,
                    batch=256, seed=seed)
            )  # fmt: skip
    return found


def _layers(scored: Scored, first: Ints, labels: Floats) -> PairLayers:
    tokens = scored.lengths[first]
    order = np.random.default_rng(1).permutation(len(first))
    some = np.sort(order[np.cumsum(tokens[order]) <= TOKENS_FITTED_MAX])
    scored.read(first[some], tokens=True)
    steps = -(-len(some) // Recipe.batch)
    epochs = 1 if steps >= STEPS_ENOUGH else max(Recipe.epochs, min(EPOCHS_MAX, -(-STEPS_MIN // steps)))
    recipe = Recipe(epochs=epochs)
    start = shipped((MODELS / "minilm-pair.int8.onnx").read_bytes(), LAYERS)
    return fitted(start, LAYERS, scored.tokens, first[some], labels[some], recipe)


def weighed_up(judged: Floats, labels: Floats) -> tuple[Floats, float]:
    """A logistic regression with weights of 0 and more, drawn to `STANDING`: what each judge counts."""
    weights, bias = STANDING.astype(np.float64), 0.0
    n, rate = len(labels), 0.5
    for _ in range(2_000):
        error = 1.0 / (1.0 + np.exp(-np.clip(judged @ weights + bias, -40, 40))) - labels
        slope = (judged.T @ error + TRUST * (weights - STANDING)) / n
        weights = np.maximum(weights - rate * slope, 0.0)
        bias -= rate * float(error.mean())
    return weights.astype(np.float32), bias


def wide(scored: Scored, which: Ints) -> Floats:
    """All that is known of each pair, symmetric: vectors, features, the pair model's last vectors."""
    logits = scored.logits[which][:, None]
    return np.hstack([_vectors(scored, which), scored.rows[which], logits, scored.last(which)])


def without_pair_vectors(scored: Scored, which: Ints) -> Floats:
    """`wide`, but of the pair model only its logit, up to the bound that the verifier has for it."""
    logits = np.clip(scored.logits[which], -8.0, SCORE_MAX)[:, None]
    return np.hstack([_vectors(scored, which), scored.rows[which], logits])


def _vectors(scored: Scored, which: Ints) -> NDArray[np.float32]:
    u, v = scored.vectors[scored.u_at[which]], scored.vectors[scored.v_at[which]]
    return np.concatenate([u + v, np.abs(u - v), u * v], axis=1, dtype=np.float32)
