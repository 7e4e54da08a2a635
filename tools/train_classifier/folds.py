"""Sources in folds: each fold's rows are told by a model that saw none of its sources, nor another set by
the same people."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tools.train_classifier.examples import Example, framed, written
from tools.train_classifier.fit import FOR_TOOLS, TASKS, Features, features, fit
from tools.train_classifier.sources import MEASURED, REPOSITORIES, TRAINED

FOLDS = (
    ("self_instruct_seed", "self_instruct_user"),
    ("clinc150", "banking77", "cast"),
    ("vicuna", "mt_bench", "ifeval"),
    ("gsm8k", "bfcl", "promptsource"),
)
OWN = ("written", "framed")


class Told(NamedTuple):
    """What a model that never saw their source said of some examples: a score for each of `TASKS`."""

    examples: list[Example]
    scores: NDArray[np.float32]


def trainable(data: Path, mirror: Path) -> dict[str, list[Example]]:
    """Every source that may be trained on and is found. `mirror` has clones, `OWNER+NAME/repo`."""
    found = {"written": written(), "framed": framed()}
    found |= {name: load(data) for name, load in TRAINED.items()}
    repo = _repo(mirror, REPOSITORIES["promptsource"][0])
    if repo.exists():
        found["promptsource"] = REPOSITORIES["promptsource"][1](repo)
    return found


def measured(data: Path, mirror: Path) -> dict[str, list[Example]]:
    """Every source that is never trained on and is found."""
    found = {name: load(data) for name, load in MEASURED.items()}
    for name, (slug, load) in REPOSITORIES.items():
        if name != "promptsource" and _repo(mirror, slug).exists():
            found[name] = load(_repo(mirror, slug))
    return found


def _repo(mirror: Path, slug: str) -> Path:
    return mirror / slug.replace("/", "+") / "repo"


def held_out(sources: Mapping[str, list[Example]], rows: Mapping[str, list[Features]]) -> dict[str, Told]:
    """Train once for each fold, without it, and tell its sources."""
    told: dict[str, Told] = {}
    for fold in FOLDS:
        kept = [name for name in sources if name not in fold]
        model = fit([e for name in kept for e in sources[name]], [r for name in kept for r in rows[name]])
        for name in fold:
            if name in sources:
                scores = model.scores(rows[name])
                tools = np.array([example.tools for example in sources[name]])
                scores[tools, TASKS.index("agent_step")] += FOR_TOOLS
                told[name] = Told(sources[name], scores)
    return told


def all_features(sources: Mapping[str, list[Example]]) -> dict[str, list[Features]]:
    return {name: [features(example) for example in examples] for name, examples in sources.items()}


def truth_of(examples: list[Example]) -> NDArray[np.int64]:
    return np.array([TASKS.index(example.task.split("|")[0]) for example in examples])


def right(examples: list[Example], tasks: list[str]) -> NDArray[np.bool_]:
    return np.array([task in e.task.split("|") for e, task in zip(examples, tasks, strict=True)])
