"""Questions whose difficulty is known, because it was planted: for tests of the learned router."""

import random
from collections.abc import Sequence
from functools import cache

import numpy as np

from farthing.brain.route.learned.features import Floats, read_all
from farthing.brain.route.learned.fit import Examples, Fitted, digest_of, fit

SUBJECTS = (
    *("river", "lamp", "garden", "engine", "window", "letter", "market", "bridge", "winter", "orchard"),
    *("kettle", "harbour", "violin", "ladder", "castle", "pepper", "magnet", "ribbon", "thunder", "pocket"),
    *("saddle", "button", "copper", "feather", "island", "marble", "needle", "ocean"),
)
MADE = "2026-01-01"


def questions(count: int, seed: int = 0) -> tuple[list[str], Floats]:
    """Texts, and whether each is hard: hard ones ask for a proof, and name more things."""
    chance = random.Random(seed)
    texts, hard = [], []
    for index in range(count):
        difficult = chance.random() < 0.5
        named = " ".join(chance.sample(SUBJECTS, 9 if difficult else 4))
        start = "Prove that this theorem holds for" if difficult else "What colour has"
        texts.append(f"{start} {named} number {index * 37}?")
        hard.append(difficult)
    return texts, np.array(hard, np.float32)


def outcomes_of(hard: Floats, seed: int = 0) -> Floats:
    """Shape (n, 2): the cheap model fails at 60 % of the hard ones, the expensive one at 10 % of all."""
    chance = np.random.default_rng(seed)
    draws = chance.random((len(hard), 2))
    cheap = draws[:, 0] > np.where(hard > 0, 0.6, 0.1)
    expensive = draws[:, 1] > 0.1
    found: Floats = np.stack([cheap, expensive], axis=1).astype(np.float32)
    return found


def examples_of(texts: Sequence[str], outcomes: Floats, vectors: Floats | None = None) -> Examples:
    return Examples(
        readings=read_all(texts),
        vectors=vectors,
        outcomes=outcomes,
        models=("cheap", "expensive"),
        digest=digest_of(texts, outcomes),
        embedder="" if vectors is None else "planted/1",
    )


@cache
def fitted(count: int = 400, heads: tuple[str, ...] = ("structure", "words")) -> Fitted:
    """Fitted to planted questions, without an embedder."""
    texts, hard = questions(count)
    return fit(examples_of(texts, outcomes_of(hard)), heads=heads, made=MADE)
