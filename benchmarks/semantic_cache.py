"""Is a stored answer right for another question? Cosine, the shipped verifier and one fitted to the data.

    python -m benchmarks.semantic_cache                        all sets that are found in FARTHING_DATA
    python -m benchmarks.semantic_cache --pairs FILE [--train] [--json]

FILE has rows of `text_a`, `text_b`, `label`: JSON lines or TSV, also gzipped. Needs the extra `semantic`.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from benchmarks.pairs import BadPairs, Pairs, read, sick, split, stsb

try:
    import numpy as np

    from benchmarks.pair_attacks import altered_banking, attacks
    from benchmarks.pair_scores import COSINES, PROBABILITIES, Scored, at, report, wilson
    from benchmarks.pair_training import trained
    from farthing.brain.cache.semantic.verify.trained import Weights
    from farthing.errors import ConfigError
except ImportError as missing:
    sys.exit(f"{missing}: pip install 'farthing[semantic]'")

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("FARTHING_DATA", HERE.parent.parent / "shared" / "data"))
FIT_SHARE = 0.8
SPREAD = ("auc", "recall_at_precision_90", "recall_at_precision_95")
ENTAILED_SHARE = 0.46  # of SICK's entailed pairs; plain cosine serves as many at 0.9


def measure(pairs: Pairs, *, splits: int = 0) -> dict[str, Any]:
    """All figures of one set; `splits` is on how many splits a verifier is fitted and tested."""
    began = time.monotonic()
    weights = Weights.load()
    scored = Scored(pairs)
    labels = scored.labels
    if splits:
        scored.read_all()
    verifier = scored.shipped(weights)
    out: dict[str, Any] = {
        "name": pairs.name,
        "n": len(pairs),
        "positive": int(labels.sum()),
        "cosine": report(scored.cosine, labels, COSINES),
        "verifier": report(verifier, labels, PROBABILITIES)
        | {
            "default": at(verifier, labels, weights.thresholds.serve),
            "abstained": int(
                ((verifier >= weights.thresholds.abstain) & (verifier < weights.thresholds.serve)).sum()
            ),
        },
        "rules": _rules(scored),
    }
    if pairs.name.startswith("sick"):
        out["contradictions"] = {
            name: _contradictions(scores, pairs)
            for name, scores in (("cosine", scored.cosine), ("verifier", verifier))
        }
    elif len(set(pairs.kinds)) > 1:
        out["kinds"] = _kinds(scored.cosine >= 0.9, verifier >= weights.thresholds.serve, pairs)
    if splits:
        try:
            found = [_trained(scored, verifier, seed) for seed in range(1, splits + 1)]
            out["trained"] = found[0] | ({"splits": spread(found)} if splits > 1 else {})
        except BadPairs as error:
            out["not_trained"] = str(error)
    out["seconds"] = round(time.monotonic() - began, 1)
    return out


def _trained(scored: Scored, verifier: Any, seed: int) -> dict[str, Any]:
    first, second = split(scored.pairs, FIT_SHARE, seed)
    labels = scored.labels
    both = all(len(set(labels[side].tolist())) == 2 for side in (first, second))
    if len(first) < 50 or len(second) < 20 or not both:
        raise BadPairs("too few pairs of either label share no text: nothing can be fitted and tested")
    began = time.monotonic()
    scores = trained(scored, first, second)
    labels = labels[second]
    return {
        **report(scores, labels, PROBABILITIES),
        "n_fitted": len(first),
        "n": len(second),
        "fit_seconds": round(time.monotonic() - began, 1),
        "same_rows": {
            "cosine": report(scored.cosine[second], labels, ()),
            "verifier": report(verifier[second], labels, ()),
        },
    }


def spread(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and range over the splits, of the fitted verifier and of the cosine on the same rows."""

    def over(figures: list[dict[str, Any]]) -> dict[str, Any]:
        values = {name: [one[name] for one in figures] for name in SPREAD}
        return {
            name: {"mean": round(sum(v) / len(v), 4), "least": min(v), "most": max(v)}
            for name, v in values.items()
        }

    return {
        "n": len(found),
        "trained": over(found),
        "cosine": over([one["same_rows"]["cosine"] for one in found]),
    }


def _rules(scored: Scored) -> dict[str, Any]:
    """What the rules turn down: of the right pairs that is a loss, of the wrong ones their work."""
    turned = np.array([found is not None and found.certain for found in scored.findings])
    doubted = np.array([found is not None and not found.certain for found in scored.findings])
    ones, zeros = scored.labels == 1, scored.labels == 0
    counts: dict[str, int] = {}
    for found in scored.findings:
        if found and found.certain:
            counts[found.reason] = counts.get(found.reason, 0) + 1
    return {
        "right_turned_down": round(float(turned[ones].mean()), 4) if ones.any() else None,
        "wrong_turned_down": round(float(turned[zeros].mean()), 4) if zeros.any() else None,
        "right_doubted": round(float(doubted[ones].mean()), 4) if ones.any() else None,
        "wrong_doubted": round(float(doubted[zeros].mean()), 4) if zeros.any() else None,
        "reasons": dict(sorted(counts.items(), key=lambda item: -item[1])),
    }


def _contradictions(scores: Any, pairs: Pairs) -> dict[str, Any]:
    """At the threshold that serves 46 % of the entailed pairs: how many of the contradicted are served."""
    kinds = np.array(pairs.kinds)
    entailed = np.sort(scores[kinds == "entailment"])[::-1]
    threshold = float(entailed[max(0, round(ENTAILED_SHARE * len(entailed)) - 1)])
    served = scores >= threshold
    hits, of = int(served[kinds == "contradiction"].sum()), int((kinds == "contradiction").sum())
    return {
        "threshold": round(threshold, 5),
        "entailed_served": round(float(served[kinds == "entailment"].mean()), 4),
        "contradictions_served": round(hits / max(1, of), 4),
        "interval": [round(end, 4) for end in wilson(hits, of)],
        "neutral_served": round(float(served[kinds == "neutral"].mean()), 4),
    }


def _kinds(cosine: Any, verifier: Any, pairs: Pairs) -> dict[str, dict[str, Any]]:
    kinds = np.array(pairs.kinds)
    return {
        kind: {
            "n": int((kinds == kind).sum()),
            "right": bool(pairs.labels[int(np.argmax(kinds == kind))]),
            "cosine_090_served": round(float(cosine[kinds == kind].mean()), 4),
            "verifier_served": round(float(verifier[kinds == kind].mean()), 4),
        }
        for kind in sorted(set(pairs.kinds))
    }


def found_sets() -> list[Pairs]:
    """The sets at hand; says which are absent."""
    cache = DATA / "cache"
    sets: list[Pairs] = []
    for name, make in (
        ("qqp_pairs.jsonl.gz", read),
        ("sick_train.txt", sick),
        ("stsb_dev.tsv", stsb),
        ("banking77_train.csv", altered_banking),
    ):
        if (cache / name).is_file():
            sets.append(make(cache / name))
        else:
            print(f"{name} is not in {cache}: left out (set FARTHING_DATA)", file=sys.stderr)
    return [*sets, attacks()]


def of_file(path: Path, format: str | None, positive_over: float | None) -> Pairs:
    """A file by its flags, or, for SICK and the STS benchmark, by its name."""
    if format is None and positive_over is None:
        if path.name.lower().startswith("sick"):
            return sick(path)
        if path.name.lower().startswith("stsb"):
            return stsb(path)
    return read(path, format, positive_over)


def show(result: dict[str, Any]) -> None:
    print(
        f"\n{result['name']}: {result['n']} pairs, {result['positive']} of them right; {result['seconds']} s"
    )
    print(f"  {'':10} {'AUC':>6} {'recall at 90 %':>15} {'at 95 %':>8}  precision")
    deciders = [(name, result[name]) for name in ("cosine", "verifier")]
    if "trained" in result:
        same = result["trained"]["same_rows"]
        deciders += [
            ("- cosine", same["cosine"]),
            ("- verifier", same["verifier"]),
            ("- trained", result["trained"]),
        ]
    for name, one in deciders:
        at_90, at_95 = one["recall_at_precision_90"], one["recall_at_precision_95"]
        print(f"  {name:10} {one['auc']:6.3f} {at_90:15.3f} {at_95:8.3f}")
    if "trained" in result:
        print(f"  (rows marked - are {result['trained']['n']} pairs that share no text with what was fitted)")
        spread = result["trained"].get("splits", {})
        for name in ("cosine", "trained") if spread else ():
            auc, *recalls = (spread[name][key] for key in SPREAD)
            shown = ", ".join(f"{r['mean']:.3f} ({r['least']:.3f} to {r['most']:.3f})" for r in recalls)
            print(f"  {name} over {spread['n']} splits: AUC {auc['mean']:.3f}, recalls {shown}")
    if "not_trained" in result:
        print(f"  nothing is fitted: {result['not_trained']}")
    one = result["verifier"]["default"]
    if one["served"]:
        low, high = one["wrong_hit_interval"]
        serves = f"serves {one['served']}, recall {one['recall']:.3f}"
        print(f"  as shipped, from {one['threshold']:.3f}: {serves}, "
              f"wrong hits {one['wrong_hit_rate']:.3f} ({low:.3f} to {high:.3f})")  # fmt: skip
    else:
        print(f"  as shipped, from {one['threshold']:.3f}: serves nothing")
    for name, c in result.get("contradictions", {}).items():
        low, high = c["interval"]
        print(f"  {name}: {c['entailed_served']:.2f} of the entailed served, "
              f"{c['contradictions_served']:.4f} of the contradicted ({low:.4f} to {high:.4f})")  # fmt: skip
    for kind, k in result.get("kinds", {}).items():
        print(f"  {'same' if k['right'] else 'other':5} {kind:18} n {k['n']:5}  served: cosine 0.9 "
              f"{k['cosine_090_served']:.3f}, verifier {k['verifier_served']:.3f}")  # fmt: skip


def main() -> None:
    flags = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    flags.add_argument("--pairs", type=Path, help="rows of text_a, text_b, label")
    flags.add_argument("--sick", type=Path, help="a file of SICK")
    flags.add_argument("--sts", type=Path, help="a file of the STS benchmark")
    flags.add_argument("--format", choices=("jsonl", "tsv"))
    flags.add_argument(
        "--positive-over", type=float, help="labels are numbers; above this one a pair is right"
    )
    flags.add_argument("--train", action="store_true", help="also fit a verifier, on a split by text")
    flags.add_argument(
        "--splits", type=int, default=1, help="with --train: on how many splits; mean and range"
    )
    flags.add_argument("--rows", type=int, help="only the first so many rows")
    flags.add_argument("--json", action="store_true")
    flags.add_argument("--out", type=Path, help="write the figures there, too")
    args = flags.parse_args()
    try:
        if args.pairs:
            sets = [of_file(args.pairs, args.format, args.positive_over)]
        elif args.sick or args.sts:
            sets = [sick(args.sick)] if args.sick else [stsb(args.sts)]
        else:
            sets = found_sets()
        if args.rows:
            sets = [pairs.some(np.arange(min(args.rows, len(pairs)))) for pairs in sets]
        results = []
        splits = max(1, args.splits) if args.train else 0
        for pairs in sets:
            results.append(measure(pairs, splits=splits if pairs.name != "collision_attacks" else 0))
            if not args.json:
                show(results[-1])
    except (BadPairs, ConfigError) as error:
        sys.exit(str(error))
    whole = {"machine": machine()}
    body = results[0] | whole if len(results) == 1 else {"sets": results} | whole
    if args.out:
        args.out.write_text(json.dumps(body, indent=1) + "\n", "utf-8")
    if args.json:
        print(json.dumps(body, indent=1))


if __name__ == "__main__":
    main()
