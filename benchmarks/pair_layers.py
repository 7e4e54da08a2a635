"""The last layers of the pair model, fitted further to a file's own pairs. numpy alone.

The lower layers stay as they are shipped (int8, run by onnxruntime); what they make of a pair is read once
and kept in half precision. The layers above, and the head, are taken out of the shipped file as float32 and
fitted by AdamW (Loshchilov and Hutter 2019) on the cross-entropy.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farthing.brain.cache.semantic.verify.network import sigmoid

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Batch = tuple[Floats, Floats, Floats]
Named = dict[str, Floats]

LAYERS = (3, 4, 5)
"""Which of the pair model's six layers are fitted: the last ones."""
HEADS = 12
EPSILON = 1e-12
ROOT = (2 / np.pi) ** 0.5
FEATURES_SCALE = (10.0, 50.0)  # of |u - v| and u * v, as the pair model was trained


class Tokens:
    """What the layers below made of pairs, by the pair's number: a row for each token, in half precision."""

    def __init__(self) -> None:
        self._rows: dict[int, tuple[NDArray[np.float16], int]] = {}
        self.total = 0

    def __contains__(self, pair: int) -> bool:
        return pair in self._rows

    def add(self, pair: int, rows: NDArray[np.float16], first: int) -> None:
        """The rows of the first text are the `first` ones, the others are the second's."""
        self.total += len(rows)
        self._rows[pair] = rows, first

    def lengths(self, which: Ints) -> Ints:
        return np.array([len(self._rows[i][0]) for i in which.tolist()], np.int64)

    def batch(self, which: Ints) -> Batch:
        """Padded rows (n, tokens, width), and masks (n, tokens) of the first and of the second text."""
        found = [self._rows[i] for i in which.tolist()]
        longest = max(len(rows) for rows, _ in found)
        x = np.zeros((len(found), longest, found[0][0].shape[1]), np.float32)
        first, second = (np.zeros((len(found), longest), np.float32) for _ in "uv")
        for at, (rows, end) in enumerate(found):
            x[at, : len(rows)] = rows
            first[at, :end] = 1.0
            second[at, end : len(rows)] = 1.0
        return x, first, second


# -- forward and back, one step at a time ---------------------------------------------------------------


def _normalise(x: Floats, gamma: Floats, beta: Floats) -> tuple[Floats, tuple[Floats, Floats]]:
    x = x - x.mean(axis=-1, keepdims=True)
    pace = 1.0 / np.sqrt(np.einsum("...i,...i->...", x, x)[..., None] / x.shape[-1] + EPSILON)
    x *= pace
    return x * gamma + beta, (x, pace)


def _normalise_back(
    slope: Floats, kept: tuple[Floats, Floats], gamma: Floats
) -> tuple[Floats, Floats, Floats]:
    x, pace = kept
    flat, flat_x = slope.reshape(-1, x.shape[-1]), x.reshape(-1, x.shape[-1])
    of_gamma, of_beta = np.einsum("ij,ij->j", flat, flat_x), flat.sum(axis=0)
    slope = slope * gamma
    mean = slope.mean(axis=-1, keepdims=True)
    along = np.einsum("...i,...i->...", slope, x)[..., None] / x.shape[-1]
    slope -= mean
    slope -= x * along
    slope *= pace
    return slope, of_gamma, of_beta


def _gelu(x: Floats) -> tuple[Floats, Floats]:
    """The value and its slope, by the tanh form (Hendrycks and Gimpel 2016, section 2)."""
    value, bend = np.empty_like(x), np.empty_like(x)
    rows = max(1, 65_536 // x.shape[1])  # a block stays in the processor's cache through all steps
    for at in range(0, len(x), rows):
        some, turn, half = x[at : at + rows], bend[at : at + rows], value[at : at + rows]
        square = some * some
        np.multiply(square, np.float32(0.044715 * ROOT), out=turn)
        turn += np.float32(ROOT)
        turn *= some
        np.tanh(turn, out=turn)
        np.multiply(turn, np.float32(0.5), out=half)
        half += np.float32(0.5)
        square *= np.float32(3 * 0.044715 * ROOT)
        square += np.float32(ROOT)
        square *= some
        square *= np.float32(0.5)
        turn *= turn
        np.subtract(np.float32(1.0), turn, out=turn)
        turn *= square
        turn += half
        half *= some
    return value, bend


def _dropped(x: Floats, drop: float, rng: np.random.Generator | None) -> tuple[Floats, Floats | None]:
    if rng is None or not drop:
        return x, None
    kept = (rng.random(x.shape, np.float32) >= drop).astype(np.float32)
    kept *= np.float32(1 / (1 - drop))
    return x * kept, kept


def _layer(
    w: Named, n: int, x: Floats, wide: Floats, drop: float, rng: np.random.Generator | None
) -> tuple[Floats, Any]:
    """One layer of the encoder on (batch, tokens, width); `wide` is added to what attention gives a token."""
    batch, tokens, width = x.shape
    flat = x.reshape(-1, width)
    qkv = (flat @ w[f"{n}.qkv"] + w[f"{n}.qkv.bias"]).reshape(batch, tokens, 3, HEADS, width // HEADS)
    q, k, v = (np.ascontiguousarray(part) for part in qkv.transpose(2, 0, 3, 1, 4))
    weights = q @ np.ascontiguousarray(k.transpose(0, 1, 3, 2))
    weights *= np.float32((width // HEADS) ** -0.5)
    weights += wide
    weights -= weights.max(axis=-1, keepdims=True)
    np.exp(weights, out=weights)
    weights /= weights.sum(axis=-1, keepdims=True)
    seen = np.ascontiguousarray((weights @ v).transpose(0, 2, 1, 3)).reshape(-1, width)
    out, kept_out = _dropped(seen @ w[f"{n}.out"] + w[f"{n}.out.bias"], drop, rng)
    middle, kept_1 = _normalise(out + flat, w[f"{n}.norm1.gamma"], w[f"{n}.norm1.beta"])
    bent, bend = _gelu(middle @ w[f"{n}.up"] + w[f"{n}.up.bias"])
    down, kept_down = _dropped(bent @ w[f"{n}.down"] + w[f"{n}.down.bias"], drop, rng)
    end, kept_2 = _normalise(down + middle, w[f"{n}.norm2.gamma"], w[f"{n}.norm2.beta"])
    kept = (flat, q, k, v, weights, seen, kept_out, kept_1, middle, bent, bend, kept_down, kept_2)
    return end.reshape(x.shape), kept


def _linear_back(slopes: Named, name: str, given: Floats, slope: Floats) -> None:
    slopes[name] = given.T @ slope
    slopes[f"{name}.bias"] = slope.sum(axis=0)


def _layer_back(w: Named, n: int, slope: Floats, kept: Any, slopes: Named, *, below: bool) -> Floats:
    """Fill `slopes`; returns the slope of the input where `below` asks for it."""
    flat, q, k, v, weights, seen, kept_out, kept_1, middle, bent, bend, kept_down, kept_2 = kept
    batch, heads, tokens, part = q.shape
    slope = slope.reshape(flat.shape)
    slope, slopes[f"{n}.norm2.gamma"], slopes[f"{n}.norm2.beta"] = _normalise_back(
        slope, kept_2, w[f"{n}.norm2.gamma"]
    )
    down = slope if kept_down is None else slope * kept_down
    _linear_back(slopes, f"{n}.down", bent, down)
    up = down @ w[f"{n}.down"].T
    up *= bend
    _linear_back(slopes, f"{n}.up", middle, up)
    slope = slope + up @ w[f"{n}.up"].T
    slope, slopes[f"{n}.norm1.gamma"], slopes[f"{n}.norm1.beta"] = _normalise_back(
        slope, kept_1, w[f"{n}.norm1.gamma"]
    )
    out = slope if kept_out is None else slope * kept_out
    _linear_back(slopes, f"{n}.out", seen, out)
    of_seen = (out @ w[f"{n}.out"].T).reshape(batch, tokens, heads, part).transpose(0, 2, 1, 3)
    of_seen = np.ascontiguousarray(of_seen)
    of_v = np.ascontiguousarray(weights.transpose(0, 1, 3, 2)) @ of_seen
    of_weights = of_seen @ np.ascontiguousarray(v.transpose(0, 1, 3, 2))
    along: Floats = np.einsum("...i,...i->...", of_weights, weights)[..., None]
    of_weights -= along
    of_weights *= weights
    of_weights *= np.float32(part**-0.5)
    of_q = of_weights @ k
    of_k = np.ascontiguousarray(of_weights.transpose(0, 1, 3, 2)) @ q
    joined = np.stack([of_q, of_k, of_v]).transpose(1, 3, 0, 2, 4).reshape(-1, 3 * heads * part)
    _linear_back(slopes, f"{n}.qkv", flat, joined)
    if not below:
        return slope
    slope += joined @ w[f"{n}.qkv"].T
    return slope.reshape(batch, tokens, -1)


def _pooled(x: Floats, mask: Floats) -> tuple[Floats, Floats]:
    total = np.einsum("bt,btw->bw", mask, x)
    size = np.sqrt(np.einsum("bw,bw->b", total, total) + EPSILON)[:, None]
    return total / size, size


def _pooled_back(slope: Floats, unit: Floats, size: Floats, mask: Floats) -> Floats:
    slope = (slope - unit * np.einsum("bw,bw->b", slope, unit)[:, None]) / size
    return mask[:, :, None] * slope[:, None, :]


class PairLayers:
    """The layers `layers` (numbers from 0, the last ones of the model) and the head."""

    def __init__(self, weights: Named, layers: Sequence[int]) -> None:
        self.weights = weights
        self.layers = list(layers)

    def logits(self, tokens: Tokens, which: Ints, batch: int = 32) -> Floats:
        """In the order of `which`."""
        out = np.zeros(len(which), np.float32)
        order = np.argsort(tokens.lengths(which), kind="stable")
        for at in range(0, len(order), batch):
            part = order[at : at + batch]
            out[part] = self._forward(tokens.batch(which[part]), 0.0, None)[0]
        return out

    def _forward(self, given: Batch, drop: float, rng: np.random.Generator | None) -> tuple[Floats, Any]:
        x, first, second = given
        w, scale = self.weights, FEATURES_SCALE
        wide = ((first + second - np.float32(1.0)) * np.float32(1e4))[:, None, None, :]
        kept = []
        for n in self.layers:
            x, of_layer = _layer(w, n, x, wide, drop, rng)
            kept.append(of_layer)
        (u, u_size), (v, v_size) = _pooled(x, first), _pooled(x, second)
        gap = u - v
        features = np.hstack([x[:, 0], np.abs(gap) * scale[0], u * v * scale[1]])
        features, kept_in = _dropped(features, drop, rng)
        hidden, bend = _gelu(features @ w["head"] + w["head.bias"])
        logits: Floats = (hidden @ w["score"] + w["score.bias"])[:, 0]
        return logits, (kept, x.shape, u, u_size, v, v_size, gap, features, kept_in, hidden, bend)

    def slopes(
        self, given: Batch, labels: Floats, drop: float, rng: np.random.Generator | None
    ) -> tuple[float, Named]:
        """The mean cross-entropy of a batch and its gradient, by the names of the weights."""
        logits, (layers, shape, u, u_size, v, v_size, gap, features, kept_in, hidden, bend) = self._forward(
            given, drop, rng
        )
        w, found = self.weights, Named()
        error: Floats = ((sigmoid(logits) - labels) / np.float32(len(labels)))[:, None]
        _linear_back(found, "score", hidden, error)
        slope = error @ w["score"].T * bend
        _linear_back(found, "head", features, slope)
        slope = slope @ w["head"].T
        if kept_in is not None:
            slope *= kept_in
        of_first, of_gap, of_product = np.split(slope, 3, axis=1)
        of_gap = of_gap * np.sign(gap) * np.float32(FEATURES_SCALE[0])
        of_product = of_product * np.float32(FEATURES_SCALE[1])
        _, first, second = given
        back = _pooled_back(of_gap + of_product * v, u, u_size, first)
        back += _pooled_back(of_product * u - of_gap, v, v_size, second)
        back[:, 0] += of_first
        back = back.reshape(shape)
        for i in range(len(self.layers) - 1, -1, -1):
            back = _layer_back(w, self.layers[i], back, layers[i], found, below=i > 0)
        loss = float(np.mean(np.logaddexp(0, logits) - labels * logits))
        return loss, found


@dataclass(frozen=True, kw_only=True)
class Recipe:
    epochs: int = 2
    rate: float = 1e-4
    rate_head: float = 4e-4
    """Falls to nothing over the steps, after a rise over the first sixteenth; so does `rate`."""
    drop: float = 0.1
    smooth: float = 0.025
    """How much of a label is given to the other one: labels are wrong at times."""
    decay: float = 0.01
    batch: int = 32
    seed: int = 0


class _Adam:
    """AdamW's two means for each weight, and room to work in."""

    def __init__(self, weights: Named) -> None:
        self.first = {name: np.zeros_like(value) for name, value in weights.items()}
        self.second = {name: np.zeros_like(value) for name, value in weights.items()}
        self.spare = {name: np.empty_like(value) for name, value in weights.items()}
        self.steps = 0

    def step(self, weights: Named, slopes: Named, recipe: Recipe, share: float) -> None:
        """Change `weights` in place; the gradient is cut to length 1."""
        self.steps += 1
        size = float(np.sqrt(sum(float(np.vdot(slope, slope)) for slope in slopes.values())))
        cut = min(1.0, 1.0 / (size + 1e-6))
        for name, slope in slopes.items():
            pace = share * (recipe.rate_head if name.startswith(("head", "score")) else recipe.rate)
            value, m, s, spare = weights[name], self.first[name], self.second[name], self.spare[name]
            slope *= np.float32(cut)
            m *= np.float32(0.9)
            np.multiply(slope, np.float32(0.1), out=spare)
            m += spare
            s *= np.float32(0.999)
            np.multiply(slope, slope, out=spare)
            spare *= np.float32(0.001)
            s += spare
            np.sqrt(s, out=spare)
            spare *= np.float32((1 - 0.999**self.steps) ** -0.5)
            spare += np.float32(1e-8)
            np.divide(m, spare, out=spare)
            spare *= np.float32(pace / (1 - 0.9**self.steps))
            if value.ndim == 2:
                value *= np.float32(1 - pace * recipe.decay)
            value -= spare


def fitted(
    start: Named,
    layers: Sequence[int],
    tokens: Tokens,
    which: Ints,
    labels: Floats,
    recipe: Recipe,
    *,
    tell: Callable[[int, int, float], None] | None = None,
) -> PairLayers:
    """Fit from `start` on the pairs `which`, of which `labels` are. The same arguments, the same layers.

    `tell` is given each step, of how many, and its loss.
    """
    rng = np.random.default_rng(recipe.seed)
    model = PairLayers({name: value.copy() for name, value in start.items()}, layers)
    lengths = tokens.lengths(which)
    plan = [part for _ in range(recipe.epochs) for part in _plan(lengths, recipe.batch, rng)]
    adam, warm = _Adam(model.weights), max(1, len(plan) // 16)
    for step, part in enumerate(plan):
        target = labels[part] * np.float32(1 - 2 * recipe.smooth) + np.float32(recipe.smooth)
        loss, slopes = model.slopes(tokens.batch(which[part]), target, recipe.drop, rng)
        share = min((step + 1) / warm, (len(plan) - step) / max(1, len(plan) - warm))
        adam.step(model.weights, slopes, recipe, share)
        if tell:
            tell(step, len(plan), loss)
    return model


def _plan(lengths: Ints, batch: int, rng: np.random.Generator) -> list[Ints]:
    """Shuffled batches of alike length, so that little is padding."""
    order = rng.permutation(len(lengths))
    parts = []
    for at in range(0, len(order), batch * 40):
        some = order[at : at + batch * 40]
        some = some[np.argsort(lengths[some], kind="stable")]
        parts += [some[i : i + batch] for i in range(0, len(some), batch)]
    return [parts[i] for i in rng.permutation(len(parts)).tolist()]
