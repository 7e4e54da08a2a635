"""Do certificates of the semantic cache keep their promise? Resampled audits against the known truth.

    python -m benchmarks.certificates_cache [--trials 200] [--pairs 12000]
                                            writes benchmarks/results/certificates_cache.json

A pool of question pairs with labels stands for the would-be hits of an endpoint; its rate of false hits at
each threshold is the truth. In each trial n audits are drawn from it, with replacement, and `farthing
calibrate cache`'s test picks a threshold or refuses. The promise is broken when the truth at the picked
threshold is over epsilon; that may happen in at most delta of the trials. Beside it: taking the lowest
threshold at which the audits themselves stay under epsilon, which is how thresholds are usually tuned.

Reads `cache/qqp_pairs.jsonl.gz` in FARTHING_DATA (default ../shared/data), which is not in the repository.
The scores are the share of common words, and, unless --lexical is given, those that need the extra
`semantic`: the cosine of the shipped embedder, the shipped verifier, and a verifier fitted to pairs that
share no text with the pool. The pool `stated` is made up, so that both epsilons can be reached.
"""

import argparse
import json
import os
import random
import re
import sys
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from benchmarks.pairs import Pairs, read, split
from farthing.guarantees.calibrate.semantic_cache import GRID, fixed_sequence
from farthing.stats.exact_tests import at_least

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("FARTHING_DATA", HERE.parent.parent / "shared" / "data"))
EPSILONS = (0.02, 0.05)
DELTAS = (0.05, 0.10)
AUDITS = (300, 1_000, 3_000)

Pool = list[tuple[float, bool]]
"""Would-be hits: the probability, and whether the hit is false."""


# -- one pool -----------------------------------------------------------------------------------------


def counts_of(pool: Sequence[tuple[float, bool]], grid: Sequence[float] = GRID) -> list[tuple[int, int]]:
    """At each threshold, safest first: how many reach it, and how many of those are false."""
    n, wrong = [0] * (len(grid) + 1), [0] * (len(grid) + 1)
    rising = grid[::-1]
    for score, false in pool:
        place = len(grid) - bisect_left(rising, score + 1e-12)  # the first threshold it reaches
        n[place] += 1
        wrong[place] += false
    out = []
    total = total_wrong = 0
    for index in range(len(grid)):
        total += n[index]
        total_wrong += wrong[index]
        out.append((total, total_wrong))
    return out


def naive(counts: Sequence[tuple[int, int]], epsilon: float) -> int | None:
    """The lowest threshold at which the audits themselves are within epsilon."""
    fit = [index for index, (n, wrong) in enumerate(counts) if n and wrong <= epsilon * n]
    return fit[-1] if fit else None


def trials(pool: Pool, *, audits: int, count: int, seed: int) -> list[dict[str, Any]]:
    """Draw `audits` from `pool` `count` times, and hold every promise against the truth."""
    chance = random.Random(seed)
    truth = [wrong / n if n else 0.0 for n, wrong in counts_of(pool)]
    reach = [n / len(pool) for n, _ in counts_of(pool)]
    drawn = [counts_of(chance.choices(pool, k=audits)) for _ in range(count)]
    rows = []
    for epsilon in EPSILONS:
        tuned = [naive(counts, epsilon) for counts in drawn]
        for delta in DELTAS:
            certified = [fixed_sequence(counts, epsilon, delta) for counts in drawn]
            violated = _violated(certified, truth, epsilon)
            rows.append(
                {
                    "audits": audits,
                    "epsilon": epsilon,
                    "delta": delta,
                    "possible": round(
                        max((r for r, t in zip(reach, truth, strict=True) if t <= epsilon), default=0.0), 4
                    ),
                    "certified": {
                        "violated": violated / count,
                        "chance_if_exactly_delta": round(at_least(violated, count, delta), 4),
                        "given": sum(one is not None for one in certified) / count,
                        "hits_kept": round(_kept(certified, reach), 4),
                    },
                    "naive": {
                        "violated": _violated(tuned, truth, epsilon) / count,
                        "given": sum(one is not None for one in tuned) / count,
                        "hits_kept": round(_kept(tuned, reach), 4),
                    },
                }
            )
    return rows


def _violated(picked: Sequence[int | None], truth: Sequence[float], epsilon: float) -> int:
    return sum(one is not None and truth[one] > epsilon for one in picked)


def _kept(picked: Sequence[int | None], reach: Sequence[float]) -> float:
    """Share of the pool that would be served, on average over the trials."""
    return sum(0.0 if one is None else reach[one] for one in picked) / len(picked)


# -- pools from pairs ---------------------------------------------------------------------------------


def pool_of(scores: Sequence[float], labels: Sequence[int]) -> Pool:
    """Those that the lowest threshold reaches."""
    return [(float(s), not right) for s, right in zip(scores, labels, strict=True) if s >= GRID[-1]]


def lexical(pairs: Pairs) -> list[float]:
    """Share of the words of both that are in both."""
    out = []
    for a, b in zip(pairs.a, pairs.b, strict=True):
        left, right = set(re.findall(r"\w+", a.lower())), set(re.findall(r"\w+", b.lower()))
        out.append(len(left & right) / max(1, len(left | right)))
    return out


def neural(pairs: Pairs) -> dict[str, Pool]:
    """Cosine, the shipped verifier, and one fitted to the half of the pairs that shares no text."""
    from benchmarks.pair_scores import Scored
    from benchmarks.pair_training import trained
    from farthing.brain.cache.semantic.verify.trained import Weights

    scored = Scored(pairs)
    first, second = split(pairs, 0.5, seed=1)
    held = scored.labels[second].tolist()
    return {
        "cosine": pool_of(scored.cosine[second].tolist(), held),
        "verifier": pool_of(scored.shipped(Weights.load())[second].tolist(), held),
        "trained": pool_of(trained(scored, first, second).tolist(), held),
    }


# -- the benchmark ------------------------------------------------------------------------------------


def run(pools: dict[str, Pool], *, count: int, seed: int) -> dict[str, Any]:
    """All settings on all pools, and the worst."""
    out: dict[str, Any] = {}
    for name, pool in pools.items():
        rows = [row for audits in AUDITS for row in trials(pool, audits=audits, count=count, seed=seed)]
        out[name] = {
            "pool": len(pool),
            "false": round(sum(false for _, false in pool) / len(pool), 4),
            "settings": rows,
            "naive_violated": [
                min(r["naive"]["violated"] for r in rows),
                max(r["naive"]["violated"] for r in rows),
            ],
            "certified_over_delta": max(round(r["certified"]["violated"] - r["delta"], 4) for r in rows),
        }
    return out


def stated() -> Pool:
    """A pool whose rate falls smoothly from 30 % to 0.4 %: both epsilons can be reached, by part of it."""
    chance = random.Random(5)
    scores = [0.5 + 0.4999 * chance.random() ** 0.5 for _ in range(20_000)]
    return [(score, chance.random() < 0.004 + 0.6 * (1 - score) ** 1.5) for score in scores]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--pairs", type=int, default=12_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lexical", action="store_true", help="Score by common words alone.")
    given = parser.parse_args()
    path = DATA / "cache" / "qqp_pairs.jsonl.gz"
    if not path.exists():
        sys.exit(f"{path} is not there: name the folder of the data in FARTHING_DATA")
    whole = read(path)
    rows = random.Random(given.seed).sample(range(len(whole)), min(given.pairs, len(whole)))
    import numpy as np

    pairs = whole.some(np.array(sorted(rows)))
    pools = {"stated": stated(), "words": pool_of(lexical(pairs), pairs.labels)}
    if not given.lexical:
        pools |= neural(pairs)
    told: dict[str, Any] = {
        "what": "certificates of the semantic cache against the truth",
        "machine": machine(),
        "data": path.name,
        "pairs": len(pairs),
        "trials": given.trials,
        "seed": given.seed,
        "pools": run(pools, count=given.trials, seed=given.seed),
    }
    target = HERE / "results" / "certificates_cache.json"
    target.write_text(json.dumps(told, indent=2) + "\n")
    for name, found in told["pools"].items():
        print(f"{name}: {found['pool']} would-be hits, {found['false']:.1%} of them false")
        for row in found["settings"]:
            sure, tuned = row["certified"], row["naive"]
            print(
                f"  n {row['audits']:>5}  epsilon {row['epsilon']:.2f}  delta {row['delta']:.2f}   "
                f"certified: violated {sure['violated']:.3f}, given {sure['given']:.2f}, "
                f"keeps {sure['hits_kept']:.1%} of {row['possible']:.1%}   "
                f"naive: violated {tuned['violated']:.3f}"
            )


if __name__ == "__main__":
    main()
