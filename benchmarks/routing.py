"""How well the learned router tells which questions need the strong model. Cross-validated.

    python -m benchmarks.routing --data FILE --weak COLUMN --strong COLUMN [--drop-slices A,B] [--json]
                                 [--slice domain] [--no-embedding] [--heads A,B] [--output FILE]
                                 [--weak-cost COLUMN|NUMBER --strong-cost COLUMN|NUMBER]

FILE has JSON lines (`.gz` too) with `prompt` and two columns of 0 and 1: whether the cheap and the strong
model's answer was right. Five folds, and again with other folds where rows are few; prompts that nearly
repeat each other are in one fold; the weights of the heads and their penalties are chosen within the training
folds alone. Prints APGR and CPT as RouteLLM defines them (see `routing_curve`), what it costs to keep 95 % of
the strong model's quality, beside always cheap, always expensive, a random mix and an oracle, and the slices
where the strong model trails by over 5 points, which usually means that answers were extracted wrongly.
Without costs the cheap model is taken to cost a twentieth.

Needs the extra `semantic`. With --no-embedding only the structure and the words of a prompt are read.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "2")  # before numpy is loaded

import numpy as np

from benchmarks.machine import machine
from benchmarks.routing_curve import Numbers, apgr, calls_at, cost, interval, means, quality, random_band
from benchmarks.routing_data import BadData, Data, Wanted, lagging, read
from farthing.brain.route.learned.features import Floats, excerpt, read_all
from farthing.brain.route.learned.fit import (
    FOLDS,
    Examples,
    cross_predict,
    digest_of,
    folds_of,
    groups_of,
    heads_for,
)
from farthing.brain.route.learned.heads import DEFAULT_HEADS
from farthing.errors import ConfigError

EMBED_AT_ONCE = 256
PROGRESS_S = 10.0
QUALITY_SHARE = 0.95
SEED = 0
PREDICTIONS, REPEATS_MAX = 5_000, 5
"""Small data are cross-validated several times, with other folds, and figures averaged: which rows fall into
which fold moves the APGR of 1,300 rows by 0.01."""


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


async def embed_all(prompts: Sequence[str]) -> Floats:
    """A vector of each prompt's `excerpt`, by the shipped embedder.

    Raises:
        ConfigError: a package is missing.
    """
    from farthing.models.embed.onnx import OnnxEmbedder

    embedder = OnnxEmbedder()
    began_s = told_s = time.monotonic()
    found = []
    try:
        for start in range(0, len(prompts), EMBED_AT_ONCE):
            texts = [excerpt(prompt) for prompt in prompts[start : start + EMBED_AT_ONCE]]
            vectors, _ = await embedder.embed(texts)
            found.append(vectors)
            now_s = time.monotonic()
            if now_s - told_s > PROGRESS_S:
                told_s = now_s
                done = start + len(vectors)
                whole_s = (now_s - began_s) / done * len(prompts)
                say(f"embedded {done} of {len(prompts)}, {whole_s:.0f} s in all")
    finally:
        await embedder.aclose()
    return np.concatenate(found)


def measure(
    data: Data,
    vectors: Floats | None,
    *,
    heads: Sequence[str] = DEFAULT_HEADS,
    progress: Callable[[str], None] = say,
) -> dict[str, Any]:
    """All that is printed, but for the machine.

    Raises:
        BadData: the strong model is not better, so there is no gap to recover.
        ValueError: a head is unknown.
    """
    gain = (data.strong - data.weak).astype(np.float64)
    if gain.sum() <= 0:
        raise BadData(
            f"the strong model is right in {data.strong.mean():.1%}, the weak one in {data.weak.mean():.1%}: "
            "there is no gap to recover"
        )
    used = heads_for(vectors is not None, heads)
    readings = read_all(data.prompts)
    outcomes = np.stack([data.weak, data.strong], axis=1)
    groups = groups_of(readings.words)
    examples = Examples(readings=readings, vectors=vectors, outcomes=outcomes, models=("weak", "strong"))
    scores, weights = [], []
    repeats = max(1, min(REPEATS_MAX, round(PREDICTIONS / len(gain))))
    for repeat in range(repeats):
        progress(f"cross-validation {repeat + 1} of {repeats}")
        folds = folds_of(groups, seed=SEED + repeat)
        outputs, weight = cross_predict(examples, folds, reference=1, heads=used, progress=progress)
        scores.append(outputs[:, 1].astype(np.float64))
        weights.append(weight[:, 1])
    return {
        "n": len(gain),
        "dropped": data.dropped,
        "groups": len(np.unique(groups)),
        "folds": FOLDS,
        "repeats": repeats,
        "seed": SEED,
        "digest": digest_of(data.prompts, outcomes),
        "embedding": vectors is not None,
        "head_weights": dict(zip(used, np.mean(weights, axis=0).round(3).tolist(), strict=True)),
        **figures(scores, data),
        "lagging_slices": lagging(data),
    }


def figures(scores: Sequence[Numbers], data: Data) -> dict[str, Any]:
    """APGR, CPT and costs, each the mean over `scores`, which are high where the strong model is worth it."""
    gain = (data.strong - data.weak).astype(np.float64)
    spread = interval(scores, gain)
    area, half, most = means(scores, gain)
    all_policies = [policies(score, data) for score in scores]
    return {
        "apgr": round(area, 4),
        "apgr_ci": _rounded(spread["apgr"]),
        "random_band": _rounded(random_band(gain)),
        "cpt50": round(half, 4),
        "cpt50_ci": _rounded(spread["cpt50"]),
        "cpt80": round(most, 4),
        "cpt80_ci": _rounded(spread["cpt80"]),
        "apgr_each": [round(apgr(score, gain), 4) for score in scores],
        "apgr_oracle": round(apgr(gain, gain), 4),
        "policies_at_95_percent": {
            name: {
                key: round(sum(one[name][key] for one in all_policies) / len(all_policies), 4) for key in row
            }
            for name, row in all_policies[0].items()
        },
        "costs_assumed": data.costs_assumed,
        "gap": round(float(gain.mean()), 4),
    }


def policies(score: Numbers, data: Data) -> dict[str, dict[str, float]]:
    """Quality, share of strong calls and cost, as a share of always asking the strong model."""
    gain = (data.strong - data.weak).astype(np.float64)
    n = len(score)
    whole = float(data.strong_cost.mean()) or 1.0
    found = {"always_cheap": _row(data.weak.mean(), 0.0, data.weak_cost.mean() / whole)}
    worth = gain / np.maximum(data.strong_cost - data.weak_cost, 1e-12)
    for name, one in (("routed", score), ("random_mix", np.zeros(n)), ("oracle", worth)):
        calls = calls_at(one, data.weak, data.strong, QUALITY_SHARE)
        price = data.weak_cost, data.strong_cost
        if name == "random_mix":  # every question is as likely as any other to be sent up
            price = np.full(n, data.weak_cost.mean()), np.full(n, data.strong_cost.mean())
        reached = quality(one, data.weak, data.strong)[calls]
        found[name] = _row(reached, calls / n, cost(one, *price)[calls] / whole)
    found["always_expensive"] = _row(data.strong.mean(), 1.0, 1.0)
    return found


def _row(reached: Any, calls: float, price: Any) -> dict[str, float]:
    return {
        "quality": round(float(reached), 4),
        "strong_calls": round(calls, 4),
        "cost": round(float(price), 4),
    }


def _rounded(pair: tuple[float, float]) -> list[float]:
    return [round(pair[0], 4), round(pair[1], 4)]


def show(found: dict[str, Any]) -> str:
    """The figures as text."""
    low, high = found["apgr_ci"]
    lines = [
        f"{found['n']} prompts in {found['groups']} groups, {found['dropped']} left out, "
        f"cross-validated {found['repeats']} x {found['folds']}; "
        f"the strong model leads by {found['gap']:.1%}",
        "",
        f"APGR   {found['apgr']:.3f}  [{low:.3f}, {high:.3f}]   random {found['random_band'][0]:.3f} to "
        f"{found['random_band'][1]:.3f}, oracle {found['apgr_oracle']:.3f}",
        f"CPT50  {found['cpt50']:.1%}  [{found['cpt50_ci'][0]:.1%}, {found['cpt50_ci'][1]:.1%}]",
        f"CPT80  {found['cpt80']:.1%}  [{found['cpt80_ci'][0]:.1%}, {found['cpt80_ci'][1]:.1%}]",
        "",
        "at 95 % of the strong model's quality" + (" (costs assumed)" if found["costs_assumed"] else ""),
        f"{'policy':18}{'quality':>9}{'strong calls':>14}{'cost':>8}",
    ]
    for name, row in found["policies_at_95_percent"].items():
        lines.append(
            f"{name.replace('_', ' '):18}{row['quality']:9.3f}{row['strong_calls']:14.1%}{row['cost']:8.1%}"
        )
    for row in found["lagging_slices"]:
        lines.append(
            f"look at the data: in {row['slice']!r} ({row['rows']} rows) the strong model is right in "
            f"{row['strong']:.1%}, the weak one in {row['weak']:.1%}"
        )
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.routing", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weak", required=True, help="column: was the cheap model's answer right")
    parser.add_argument("--strong", required=True, help="column: was the expensive model's answer right")
    parser.add_argument("--slice", default="domain", help="column that names a slice of the data")
    parser.add_argument("--drop-slices", default="", help="slices to leave out, with commas between")
    parser.add_argument("--weak-cost", default="", help="column or number")
    parser.add_argument("--strong-cost", default="", help="column or number")
    parser.add_argument("--heads", default=",".join(DEFAULT_HEADS), help="what is fitted and weighed")
    parser.add_argument("--no-embedding", action="store_true")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    parser.add_argument("--output", type=Path, help="write the JSON there too")
    return parser.parse_args()


def wanted_of(given: argparse.Namespace) -> Wanted:
    """Raises:
    BadData: one cost is given without the other, or a number is no cost.
    """
    if bool(given.weak_cost) != bool(given.strong_cost):
        raise BadData("give both --weak-cost and --strong-cost, or neither")
    columns, numbers = ["", ""], list(Wanted.__struct_defaults__[-1])
    for place, text in enumerate((given.weak_cost, given.strong_cost)):
        try:
            numbers[place] = float(text) if text else numbers[place]
        except ValueError:
            columns[place] = text
        if not 0 <= numbers[place] < float("inf"):
            raise BadData(f"{text} is no cost")
    return Wanted(
        weak=given.weak,
        strong=given.strong,
        slice=given.slice,
        drop=tuple(name.strip() for name in given.drop_slices.split(",") if name.strip()),
        weak_cost=columns[0],
        strong_cost=columns[1],
        assumed_costs=(numbers[0], numbers[1]),
    )


def main() -> None:
    given = arguments()
    began_s = time.monotonic()
    try:
        data = read(given.data, wanted_of(given))
        vectors = None if given.no_embedding else asyncio.run(embed_all(data.prompts))
        found = measure(data, vectors, heads=given.heads.split(","))
    except (BadData, ConfigError, ValueError) as error:
        say(f"benchmarks.routing: {error}")
        sys.exit(2)
    found = {
        "what": "the learned router, cross-validated",
        "machine": machine(),
        "data": given.data.name,
        "weak": given.weak,
        "strong": given.strong,
        "dropped_slices": given.drop_slices,
        **found,
        "seconds": round(time.monotonic() - began_s, 1),
    }
    text = json.dumps(found, indent=2, ensure_ascii=False)
    if given.output is not None:
        given.output.write_text(text + "\n", encoding="utf-8")
    print(text if given.json else show(found))


if __name__ == "__main__":
    main()
