"""The cheap model's inputs for a pair: numbers from the words and from both vectors. Symmetric in the two."""

from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from farthing.brain.cache.semantic.verify.parse import Facts
from farthing.brain.cache.semantic.verify.rules import Finding, finding_of

if TYPE_CHECKING:
    from farthing.protocols import Vector

NAMES = (
    "cosine", "angle", "difference_max", "difference_top", "product_low", "product_spread",
    "jaccard_words", "jaccard_content", "contained_more", "contained_less", "left_over_most",
    "left_over_least", "long_left_over", "alike_left_over", "trigrams", "length_ratio", "length_gap",
    "words", "same_start", "in_order", "asks_same", "asks_differ", "asks_unknown", "rules",
    "negated_differ", "numbers_both", "names_both", "spans_differ", "same_end", "doubt",
)  # fmt: skip
"""The columns of `features`, in order."""


def features(
    a: Facts, b: Facts, u: "Vector", v: "Vector", *, finding: Finding | Literal["unknown"] | None = "unknown"
) -> NDArray[np.float32]:
    """One row of `NAMES`. The order of the two texts does not matter.

    `finding`: what the rules find, if already known.
    """
    if finding == "unknown":
        finding = finding_of(a, b)
    row = np.empty(len(NAMES), np.float32)
    row[:6] = _of_vectors(u, v)
    row[6:] = _of_words(a, b, finding)
    return row


def _of_vectors(u: "Vector", v: "Vector") -> tuple[float, float, float, float, float, float]:
    product = u * v
    cosine = float(product.sum())
    gap = np.abs(u - v)
    gap.sort()
    return (
        cosine,
        float(np.sqrt(max(0.0, 1.0 - cosine))),
        float(gap[-1]) * 5,
        float(gap[-16:].mean()) * 8,
        float(product.min()) * 50,
        float(product.std()) * 100,
    )


def _of_words(a: Facts, b: Facts, finding: Finding | None) -> list[float]:
    words_a, words_b = set(a.words), set(b.words)
    content_a, content_b = set(a.content), set(b.content)
    both = len(content_a & content_b)
    only_a, only_b = content_a - content_b, content_b - content_a
    shares = sorted((both / max(1, len(content_a)), both / max(1, len(content_b))))
    left = sorted((len(only_a), len(only_b)))
    trigrams_a, trigrams_b = _trigrams(a), _trigrams(b)
    one, two = len(a.words), len(b.words)
    asked = bool(a.asks and b.asks)
    return [
        len(words_a & words_b) / max(1, len(words_a | words_b)),
        both / max(1, len(content_a | content_b)),
        shares[1],
        shares[0],
        min(left[1], 6) / 3,
        min(left[0], 6) / 3,
        min(sum(map(len, only_a)) + sum(map(len, only_b)), 60) / 20,
        _alike(only_a, only_b),
        2 * len(trigrams_a & trigrams_b) / max(1, len(trigrams_a) + len(trigrams_b)),
        min(one, two) / max(1, one, two),
        min(abs(one - two), 10) / 5,
        min(one + two, 60) / 30,
        float(a.words[:2] == b.words[:2]),
        _in_order(a.content, b.content),
        float(asked and a.asks == b.asks),
        float(asked and a.asks != b.asks),
        float(not asked),
        float(finding is not None and finding.certain),
        float(a.negated != b.negated),
        float(bool(a.numbers and b.numbers)),
        float(bool(a.names and b.names)),
        float(a.spans != b.spans),
        float(a.words[-1:] == b.words[-1:]),
        float(finding is not None and not finding.certain),
    ]


def _trigrams(facts: Facts) -> set[str]:
    text = " " + " ".join(facts.words)[:300] + " "
    return {text[i : i + 3] for i in range(len(text) - 2)}


def _alike(one: set[str], two: set[str]) -> float:
    """The share of the left-over words that begin like one of the other's: typos and inflections."""
    if not one or not two:
        return 0.0
    starts = {word[:4] for word in two}
    return sum(word[:4] in starts for word in one) / max(len(one), len(two))


def _in_order(one: tuple[str, ...], two: tuple[str, ...]) -> float:
    """The share of adjacent words of one that are also adjacent in the other."""
    if len(one) < 2 or len(two) < 2:
        return float(one == two)
    pairs_one, pairs_two = set(pairwise(one)), set(pairwise(two))
    return 2 * len(pairs_one & pairs_two) / (len(pairs_one) + len(pairs_two))
