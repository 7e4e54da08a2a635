"""Multinomial logistic regression over hashed features, with numpy alone: AdaGrad on minibatches, ridge,
seeded. The model it makes is the one `LinearClassifier` computes, up to rounding."""

from collections import Counter
from collections.abc import Sequence
from math import sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tools.train_classifier.examples import TOOLS, Example

from farthing.brain.classify.linear import LANES
from farthing.brain.classify.rules import RulesClassifier
from farthing.brain.classify.signs import see
from farthing.types import DEFAULT_ENDPOINT, Request, Tenant

TASKS = (
    "qa", "faq", "summarise", "classify", "tag", "sentiment", "extract", "translate", "rewrite", "code",
    "reason", "creative", "chat", "agent_step", "other",
)  # fmt: skip
assert len(TASKS) <= LANES
_TENANT = Tenant(name="training")
_RULES = RulesClassifier()


def request_of(example: Example) -> Request:
    """The request a client would make of it."""
    messages = [{"role": "user", "content": example.text}]
    if example.system:
        messages.insert(0, {"role": "system", "content": example.system})
    body: dict[str, Any] = {"model": "auto", "messages": messages}
    if example.tools:
        body["tools"] = TOOLS
    return Request(
        id="r",
        tenant=_TENANT,
        endpoint=DEFAULT_ENDPOINT,
        operation="chat",
        model="auto",
        body=body,
        text=example.text,
        prompt_chars=len(example.text) + len(example.system),
    )


GAINS = (4.0, 8.0, 5.0)
"""How much the words near an edge, all words, and those of the system prompt count."""
FOR_TOOLS = 4.0
"""Added to the score of `agent_step` where tools are offered. Set by hand: sets with tools are agents'."""
Features = list[tuple[int, float]]


def features(example: Example) -> Features:
    """Hashes with their values: 1 for a sign; for the words of a group 1 / sqrt(size)."""
    request = request_of(example)
    seen = see(request, _RULES.describe(request))
    found = dict.fromkeys(seen.signs, 1.0)
    for group, gain in zip(seen[1:], GAINS, strict=True):
        if group:
            found.update(dict.fromkeys(group, gain / sqrt(len(group))))
    return list(found.items())


class Model(NamedTuple):
    """`weights[row]` are those of feature `keys[row]`, for each of `TASKS`."""

    keys: NDArray[np.uint32]
    weights: NDArray[np.float32]

    def scores(self, rows: Sequence[Features]) -> NDArray[np.float32]:
        at = {int(key): n for n, key in enumerate(self.keys)}
        out = np.zeros((len(rows), len(TASKS)), np.float32)
        for n, row in enumerate(rows):
            kept = [(at[key], value) for key, value in row if key in at]
            if kept:
                index, values = zip(*kept, strict=True)
                out[n] = np.array(values, np.float32) @ self.weights[list(index)]
        return out


def importance(examples: Sequence[Example]) -> NDArray[np.float32]:
    """A source counts by the root of its size, and a task within it likewise, so that none drowns another."""
    sources = Counter((e.source, e.language) for e in examples)
    cells = Counter((e.source, e.language, e.task) for e in examples)
    weights = [
        sqrt(sources[e.source, e.language]) / cells[e.source, e.language, e.task] ** 0.75 for e in examples
    ]
    array: NDArray[np.float32] = np.array(weights, np.float32)
    array /= array.mean()
    return array


def fit(
    examples: Sequence[Example],
    rows: Sequence[Features],
    *,
    seed: int = 3,
    epochs: int = 12,
    rate: float = 0.12,
    ridge: float = 2e-5,
    least_count: int = 3,
    hidden: float = 0.3,
) -> Model:
    """Train. Features seen in fewer than `least_count` examples are left out; `hidden` is the share of
    features dropped at random for each example and epoch, so that no single word is relied upon."""
    counts = Counter(key for row in rows for key, _ in row)
    keys = np.array(sorted(key for key, count in counts.items() if count >= least_count), np.uint32)
    at = {int(key): n for n, key in enumerate(keys)}
    kept = [[(at[key], value) for key, value in row if key in at] for row in rows]
    starts = np.cumsum([0, *map(len, kept)])
    index = np.array([n for row in kept for n, _ in row], np.int64)
    values = np.array([value for row in kept for _, value in row], np.float32)
    truth = np.array([TASKS.index(e.task.split("|")[0]) for e in examples])
    weight = importance(examples)
    rng = np.random.default_rng(seed)
    weights = np.zeros((len(keys), len(TASKS)), np.float32)
    squares = np.full_like(weights, 1e-3)
    for epoch in range(epochs):
        step = rate * (1.0 - epoch / epochs) + rate * 0.05
        order = rng.permutation(len(examples))
        for batch in np.array_split(order, max(len(order) // 128, 1)):
            spans = [np.arange(starts[n], starts[n + 1]) for n in batch]
            flat = np.concatenate(spans)
            owner = np.repeat(np.arange(len(batch)), [len(span) for span in spans])
            here = index[flat]
            value = values[flat] * (rng.random(len(flat)) >= hidden) / (1.0 - hidden)
            used, local = np.unique(here, return_inverse=True)
            dense = np.zeros((len(batch), len(used)), np.float32)
            dense[owner, local] = value
            scores = dense @ weights[used]
            scores -= scores.max(axis=1, keepdims=True)
            shares = np.exp(scores)
            shares /= shares.sum(axis=1, keepdims=True)
            shares[np.arange(len(batch)), truth[batch]] -= 1.0
            shares *= weight[batch, None]
            gradient = dense.T @ shares / len(batch) + ridge * weights[used]
            squares[used] += gradient * gradient
            weights[used] -= step * gradient / np.sqrt(squares[used])
    return Model(keys, weights)


def shares_of(scores: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    raised = np.exp((scores - scores.max(axis=1, keepdims=True)) / temperature)
    shares: NDArray[np.float32] = raised / raised.sum(axis=1, keepdims=True)
    return shares


def temperature_of(
    scores: NDArray[np.float32], truth: NDArray[np.int64], weight: NDArray[np.float32]
) -> float:
    """The temperature under which what is said of held-out rows is most likely."""
    options = np.geomspace(0.4, 6.0, 60)
    at = np.arange(len(truth))
    losses = [-(weight * np.log(shares_of(scores, t)[at, truth] + 1e-9)).mean() for t in options]
    return float(options[int(np.argmin(losses))])
