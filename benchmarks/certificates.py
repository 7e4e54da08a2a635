"""Do certificates of routing keep their promise? Resampled judged requests against the known truth.

    python -m benchmarks.certificates [--json] [--trials 500]
                                            writes benchmarks/results/certificates.json

RouteLLM's answers to MMLU (Mixtral 8x7B as the cheap tier, GPT-4 as the expensive one) stand for the
traffic of an endpoint, less the three subjects whose answers were read wrongly. Each request has a score
from a model that never saw it: ridge regression on hashed words and features of the surface, in ten folds.
In each trial n requests are drawn, with replacement, so that the truth is known exactly: it is the loss over
the whole pool. `farthing calibrate route`'s certificate, all its splits taken out of the n, is then held
against it. The promise is broken when the true loss at the certified threshold is over epsilon; that may
happen in at most delta of the trials. Beside it naive tuning: the lowest threshold at which the n requests
themselves lose within epsilon.

`regression` counts requests that the cheap tier gets wrong and the expensive one right (exact binomial);
`net` sets those that only the cheap tier gets right against them (betting), a weaker promise.

Reads `routing/routellm_mmlu.jsonl.gz` in FARTHING_DATA (default ../shared/data), which is not in the
repository (lm-sys/RouteLLM, Apache-2.0). Needs numpy.
"""

import argparse
import gzip
import json
import os
import random
import re
import sys
import time
import zlib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.machine import machine
from farthing.guarantees.calibrate.route_samples import Sample
from farthing.guarantees.calibrate.routing import Aim, calibrate
from farthing.guarantees.certificates.routing import Harm, RouteScope
from farthing.stats.exact_tests import at_least

if TYPE_CHECKING:
    from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("FARTHING_DATA", HERE.parent.parent / "shared" / "data"))
DROPPED = ("high_school_mathematics", "elementary_mathematics", "college_mathematics")
CHEAP, EXPENSIVE = "mixtral_8x7b", "gpt4_1106"
EPSILONS = (0.02, 0.05)
DELTA = 0.10
SIZES = (300, 1_000, 3_000)
HARMS: tuple[Harm, ...] = ("regression", "net")
SCOPE = RouteScope(router="benchmark", cheap=CHEAP, expensive=EXPENSIVE, policy="")
FOLDS = 10
WORDS = 1_024  # places that words are hashed to
RIDGE = 300.0


# -- the score ----------------------------------------------------------------------------------------


def features(prompts: Sequence[str]) -> "NDArray[Any]":
    """Hashed words and pairs of words, and what the surface shows; one row each."""
    import numpy as np

    hashed = np.zeros((len(prompts), WORDS), dtype=np.float32)
    surface = np.zeros((len(prompts), 10), dtype=np.float32)
    for row, prompt in enumerate(prompts):
        words = re.findall(r"[a-z]+|\d+", prompt.lower())
        for token in {*words, *map(" ".join, pairwise(words))}:
            digest = zlib.crc32(token.encode())
            hashed[row, digest % WORDS] += 1.0 if digest & 0x80000000 else -1.0
        surface[row] = (
            len(words) ** 0.5,
            prompt.count("\n") ** 0.5,
            sum(c.isdigit() for c in prompt) / (len(prompt) + 1),
            sum(c in "+-*/=^<>()" for c in prompt) / (len(prompt) + 1),
            sum(c.isupper() for c in prompt) / (len(prompt) + 1),
            sum(map(len, words)) / (len(words) + 1),
            len(set(words)) / (len(words) + 1),
            prompt.count(","),
            "not" in words or "except" in words,
            prompt.count("?"),
        )
    hashed /= np.linalg.norm(hashed, axis=1, keepdims=True) + 1e-9
    surface = (surface - surface.mean(0)) / (surface.std(0) + 1e-9)
    return np.hstack([hashed * WORDS**0.5, surface * 4])


def out_of_fold(
    prompts: Sequence[str], harms: Sequence[int], *, seed: int, folds: int = FOLDS
) -> list[float]:
    """For each prompt, 1 less the predicted harm, of a model fitted to the other folds. Equal prompts are in
    one fold."""
    import numpy as np

    x, y = features(prompts), np.array(harms, dtype=np.float32)
    fold_of: dict[str, int] = {}
    chance = random.Random(seed)
    fold = np.array([fold_of.setdefault(prompt, chance.randrange(folds)) for prompt in prompts])
    grams = [x[fold == k].T @ x[fold == k] for k in range(folds)]
    whole = sum(grams)
    scores = np.zeros(len(prompts))
    for k in range(folds):
        out, rest = fold == k, fold != k
        mean = y[rest].mean()
        ridge = whole - grams[k] + RIDGE * WORDS**0.5 * np.eye(x.shape[1], dtype=np.float32)
        weights = np.linalg.solve(ridge, x[rest].T @ (y[rest] - mean))
        scores[out] = 1 - (mean + x[out] @ weights)
    return [float(score) for score in scores]


# -- the trials -----------------------------------------------------------------------------------------


class Truth:
    """The whole pool: what is lost, and what goes cheap, at any threshold."""

    def __init__(self, pool: Sequence[Sample], harm: Harm) -> None:
        self.harm: Harm = harm
        self._falling: list[tuple[float, float, float]] = []
        lost = 0.0
        ranked = sorted(pool, key=lambda one: -one.score)
        for count, one in enumerate(ranked, start=1):
            lost += loss_of(one, harm)
            if count == len(ranked) or ranked[count].score < one.score:
                self._falling.append((one.score, count / len(pool), lost / len(pool)))

    def at(self, threshold: float | None) -> tuple[float, float]:
        """Share that goes cheap, and loss per request. None: all expensive."""
        share = lost = 0.0
        if threshold is not None:
            low, high = 0, len(self._falling)
            while low < high:
                middle = (low + high) // 2
                if self._falling[middle][0] >= threshold:
                    low = middle + 1
                else:
                    high = middle
            if low:
                _, share, lost = self._falling[low - 1]
        return share, lost

    def possible(self, epsilon: float) -> float:
        """The largest share that can go cheap within epsilon."""
        return max((share for _, share, lost in self._falling if lost <= epsilon), default=0.0)


def loss_of(sample: Sample, harm: Harm) -> float:
    """Quality lost by sending it to the cheap tier."""
    loss = sample.expensive - sample.cheap
    return loss if harm == "net" else max(0.0, loss)


def naive(drawn: Sequence[Sample], epsilon: float, harm: Harm) -> float | None:
    """The lowest threshold at which the drawn requests themselves lose within epsilon."""
    found = None
    lost = 0.0
    ranked = sorted(drawn, key=lambda one: -one.score)
    for index, one in enumerate(ranked):
        lost += loss_of(one, harm)
        last_of_its_kind = index + 1 == len(ranked) or ranked[index + 1].score < one.score
        if last_of_its_kind and lost <= epsilon * len(drawn):
            found = one.score
    return found


def cells(
    pool: Sequence[Sample], *, count: int, seed: int, sizes: Sequence[int] = SIZES
) -> list[dict[str, Any]]:
    """Every size, epsilon and kind of harm: `count` trials each."""
    rows = []
    for harm in HARMS:
        truth = Truth(pool, harm)
        for n in sizes:
            chance = random.Random(f"{seed} {harm} {n}")
            draws = [draw(pool, n, chance) for _ in range(count)]
            rows += [cell(truth, draws, epsilon) for epsilon in EPSILONS]
    return rows


def draw(pool: Sequence[Sample], n: int, chance: random.Random) -> list[Sample]:
    """`n` requests with replacement, each with an id of its own, as independent requests have."""
    run = chance.getrandbits(64)
    return [
        Sample(score=one.score, cheap=one.cheap, expensive=one.expensive, key=f"{run}.{i}")
        for i, one in enumerate(chance.choices(pool, k=n))
    ]


def cell(truth: Truth, draws: Sequence[Sequence[Sample]], epsilon: float) -> dict[str, Any]:
    """One cell of the table."""
    n, harm = len(draws[0]), truth.harm
    aim = Aim(endpoint="mmlu", risk_max=epsilon, confidence=1 - DELTA, harm=harm)
    found = [calibrate(drawn, aim, scope=SCOPE, now_unix_s=0.0).certificate for drawn in draws]
    certified = [truth.at(None if one is None else one.threshold) for one in found]
    tuned = [truth.at(naive(drawn, epsilon, harm)) for drawn in draws]
    broken = sum(lost > epsilon for _, lost in certified)
    return {
        "harm": harm,
        "n": n,
        "epsilon": epsilon,
        "delta": DELTA,
        "possible": round(truth.possible(epsilon), 4),
        "certified": {
            "violated": broken / len(draws),
            "chance_if_exactly_delta": round(at_least(broken, len(draws), DELTA), 4),
            "given": sum(one is not None for one in found) / len(draws),
            "cheap_share": round(sum(share for share, _ in certified) / len(draws), 4),
            "lost": round(sum(lost for _, lost in certified) / len(draws), 5),
        },
        "naive": {
            "violated": sum(lost > epsilon for _, lost in tuned) / len(draws),
            "cheap_share": round(sum(share for share, _ in tuned) / len(draws), 4),
            "lost": round(sum(lost for _, lost in tuned) / len(draws), 5),
        },
    }


# -- the benchmark --------------------------------------------------------------------------------------


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of the data, less the subjects that are left out."""
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as lines:
        rows = [json.loads(line) for line in lines]
    return [row for row in rows if row["domain"] not in DROPPED]


def pool_of(rows: Sequence[dict[str, Any]], *, seed: int) -> list[Sample]:
    """The requests with their scores."""
    harms = [int(row[EXPENSIVE] > row[CHEAP]) for row in rows]
    scores = out_of_fold([row["prompt"] for row in rows], harms, seed=seed)
    return [
        Sample(score=score, cheap=float(row[CHEAP]), expensive=float(row[EXPENSIVE]), key=str(i))
        for i, (row, score) in enumerate(zip(rows, scores, strict=True))
    ]


def table(told: dict[str, Any]) -> list[str]:
    """For people."""
    lines = [
        f"{told['pool']:,} requests, {told['regressions']:.1%} of them lose by going cheap, "
        f"{told['trials']} trials, delta {DELTA:g}",
        "",
        "harm            n  epsilon  certified: broken  given  goes cheap  of     naive: broken  goes cheap",
    ]
    for row in told["cells"]:
        sure, tuned = row["certified"], row["naive"]
        lines.append(
            f"{row['harm']:<10}  {row['n']:>5,}  {row['epsilon']:>7.2f}  {sure['violated']:>17.3f}  "
            f"{sure['given']:>5.2f}  {sure['cheap_share']:>10.1%}  {row['possible']:<5.1%}  "
            f"{tuned['violated']:>13.3f}  {tuned['cheap_share']:>10.1%}"
        )
    kept = "kept" if told["kept"] else "BROKEN"
    return [*lines, "", f"violations at most delta in every cell: {kept}; {told['seconds']} s"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="Print the JSON instead of the table.")
    given = parser.parse_args()
    path = DATA / "routing" / "routellm_mmlu.jsonl.gz"
    if not path.exists():
        sys.exit(f"{path} is not there: name the folder of the data in FARTHING_DATA")
    started_s = time.perf_counter()
    rows = read(path)
    pool = pool_of(rows, seed=given.seed)
    found = cells(pool, count=given.trials, seed=given.seed)
    told = {
        "what": "certificates of routing against the truth",
        "machine": machine(),
        "data": path.name,
        "dropped": list(DROPPED),
        "pool": len(pool),
        "regressions": round(sum(loss_of(one, "regression") for one in pool) / len(pool), 4),
        "net": round(sum(loss_of(one, "net") for one in pool) / len(pool), 4),
        "trials": given.trials,
        "seed": given.seed,
        "cells": found,
        "naive_violated": [
            min(row["naive"]["violated"] for row in found),
            max(row["naive"]["violated"] for row in found),
        ],
        "kept": all(row["certified"]["violated"] <= DELTA for row in found),
        "seconds": round(time.perf_counter() - started_s, 1),
    }
    target = HERE / "results" / "certificates.json"
    target.write_text(json.dumps(told, indent=2) + "\n")
    print(json.dumps(told, indent=2) if given.json else "\n".join(table(told)))


if __name__ == "__main__":
    main()
