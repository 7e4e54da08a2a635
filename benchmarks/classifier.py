"""How often each classifier is right about a request's task, on sources it was not trained on:

    python -m benchmarks.classifier [--mirror DIR] [--json]

For every source that the linear classifier is trained on, a model is trained without it and without what
the same people made (`tools/train_classifier/folds.py`); sources that are never trained on are told by the
shipped weights. The rules tell the same rows. Sets come from FARTHING_DATA; DIR has git clones,
`OWNER+NAME/repo`, of promptsource, BELLE, LogicKor and the Japanese Vicuna questions; what is not there is
named and left out. Needs numpy and PyYAML.
"""

import argparse
import json
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.brain import BODY, cost, request_of
from benchmarks.machine import machine
from farthing.brain.classify.linear import WEIGHTS, LinearClassifier
from farthing.brain.classify.rules import RulesClassifier
from farthing.brain.classify.signs import offers_tools, see
from farthing.types import UNKNOWN

try:
    from tools.train_classifier import fit, folds
    from tools.train_classifier.examples import Example
    from tools.train_classifier.sources import MEASURED, REPOSITORIES, TRAINED
except ImportError as missing:
    sys.exit(f"{missing}: pip install 'farthing[dev]'")

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("FARTHING_DATA", HERE.parent.parent / "shared" / "data"))
LANGUAGE_SOURCES = ("held_out", "belle", "vicuna_ja", "logickor", "rules_tests")


class Row(NamedTuple):
    """One example, the tasks that count as right, and what was told of it. `guess` is told at any price."""

    example: Example
    right: frozenset[str]
    guess: str
    told: str
    share: float
    rules: str


def figures(rows: Iterable[Row]) -> dict[str, Any]:
    """Accuracy of the best guess; how much is told, and how often that is right; the rules' accuracy."""
    rows = list(rows)
    told = [row for row in rows if row.told != UNKNOWN]
    return {
        "n": len(rows),
        "accuracy": _share(row.guess in row.right for row in rows),
        "unknown": _share(row.told == UNKNOWN for row in rows),
        "accuracy_told": _share(row.told in row.right for row in told),
        "rules": _share(row.rules in row.right for row in rows),
    }


def _share(hits: Iterable[bool]) -> float | None:
    hits = list(hits)
    return round(sum(hits) / len(hits), 4) if hits else None


def by_folds(data: Path, mirror: Path, head: dict[str, Any]) -> dict[str, list[Row]]:
    """Rows of the trained sources, told by models that saw neither them nor their kin."""
    sources = folds.trainable(data, mirror)
    told = folds.held_out(sources, folds.all_features(sources))
    rules = RulesClassifier()
    found = {}
    for name, (examples, scores) in told.items():
        shares = fit.shares_of(scores, head["temperature"])
        rows = []
        for example, share in zip(examples, shares, strict=True):
            best = int(share.argmax())
            rows.append(_row(example, fit.TASKS[best], float(share[best]), head["unknown_below"], rules))
        found[name] = rows
    return found


def by_shipped(
    data: Path, mirror: Path, shipped: LinearClassifier, head: dict[str, Any]
) -> dict[str, list[Row]]:
    """Rows of the sources that are only measured, told by the weights in the package."""
    rules = RulesClassifier()
    found = {}
    for name, examples in folds.measured(data, mirror).items():
        rows = []
        for example in examples:
            request = fit.request_of(example)
            shares = shipped.shares(see(request, rules.describe(request)), tools=offers_tools(request.body))
            best = max(shares)
            task = shipped.tasks[shares.index(best)]
            rows.append(_row(example, task, best, head["unknown_below"], rules))
        found[name] = rows
    return found


def _row(example: Example, task: str, share: float, least: float, rules: RulesClassifier) -> Row:
    said = rules.describe(fit.request_of(example)).task
    told = task if share >= least else UNKNOWN
    return Row(example, frozenset(example.task.split("|")), task, told, share, said)


def grouped(rows: Iterable[Row], key: Callable[[Row], str]) -> dict[str, Any]:
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return {name: figures(groups[name]) for name in sorted(groups)}


def macro(parts: dict[str, dict[str, Any]]) -> dict[str, float]:
    """The mean over sources, so that a large one does not decide."""
    names = ("accuracy", "unknown", "accuracy_told", "rules")
    return {
        name: round(sum(found) / len(found), 4)
        for name in names
        if (found := [part[name] for part in parts.values() if part[name] is not None])
    }


def calibration(rows: list[Row]) -> list[dict[str, Any]]:
    """What was claimed beside what was right, in five bands of confidence."""
    bands: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        bands[min(int(row.share * 5), 4)].append(row)
    return [
        {
            "claimed": round(sum(row.share for row in band) / len(band), 3),
            "right": _share(row.guess in row.right for row in band),
            "n": len(band),
        }
        for _, band in sorted(bands.items())
    ]


def cpu() -> dict[str, Any]:
    """Microseconds of one request: the chat body of `benchmarks.brain`, a short one, one in Chinese."""
    linear, rules = LinearClassifier(), RulesClassifier()
    short: dict[str, Any] = {"messages": [{"role": "user", "content": "Who wrote Don Quixote?"}]}
    chinese = {"messages": [{"role": "user", "content": "请把下面这段话翻译成英文。保持原来的语气。" * 20}]}
    asked: Any = BODY["messages"]
    long = {"messages": [{"role": "user", "content": asked[1]["content"] * 1_000}]}
    bodies = {
        "chat body of 1 KB": BODY,
        "four words": short,
        "400 Chinese characters": chinese,
        "500 KB": long,
    }
    return {
        name: {
            kind: cost(partial(one.describe, request_of(body)), calls=1_000)
            for kind, one in (("linear", linear), ("rules", rules))
        }
        for name, body in bodies.items()
    }


def report(data: Path, mirror: Path) -> dict[str, Any]:
    shipped = LinearClassifier()
    head = json.loads(WEIGHTS.read_bytes().partition(b"\n")[0])
    trained = by_folds(data, mirror, head)
    measured = by_shipped(data, mirror, shipped, head)
    sources = {name: figures(rows) for name, rows in {**trained, **measured}.items()}
    theirs = {name: part for name, part in sources.items() if name not in ("held_out", "rules_tests")}
    every = [row for rows in {**trained, **measured}.values() for row in rows]
    confused = Counter((row.example.task, row.guess) for row in every if row.guess not in row.right)
    languages = [row for name in LANGUAGE_SOURCES for row in measured.get(name, ())]
    wanted = {*TRAINED, *MEASURED, *REPOSITORIES}
    return {
        **machine(),
        "unknown_below": round(head["unknown_below"], 3),
        "missing": sorted(wanted - set(sources)),
        "left_out_in_training": sorted(trained),
        "never_trained_on": sorted(measured),
        "mean_of_sources_by_others": macro(theirs),
        "all_rows": figures(every),
        "sources": sources,
        "languages": grouped(languages, lambda row: row.example.language),
        "held_out_by_language": grouped(measured["held_out"], lambda row: row.example.language),
        "tasks": grouped(every, lambda row: row.example.task.split("|")[0]),
        "calibration": calibration(every),
        "confused": [[*pair, n] for pair, n in confused.most_common(15)],
        "cpu_us": cpu(),
    }


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--mirror", type=Path, default=DATA / "mirror")
    flags.add_argument("--json", action="store_true")
    args = flags.parse_args()
    if not (DATA / "tasks").is_dir():
        sys.exit(
            f"no data in {DATA}: set FARTHING_DATA to a folder with the sets that docs/classifier.md names"
        )
    found = report(DATA, args.mirror)
    if args.json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
        return
    for name in ("sources", "languages", "tasks"):
        print(f"\n{name:<22}{'n':>6}{'right':>8}{'unknown':>9}{'of told':>9}{'rules':>8}")
        for key, part in found[name].items():
            cells = [part[cell] for cell in ("accuracy", "unknown", "accuracy_told", "rules")]
            shown = "".join(f"{'-' if c is None else format(c, '.1%'):>9}" for c in cells)
            print(f"{key:<22}{part['n']:>6}{shown}")
    print("\nmean of sources by others", found["mean_of_sources_by_others"], "missing", found["missing"])


if __name__ == "__main__":
    main()
