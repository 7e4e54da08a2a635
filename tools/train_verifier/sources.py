"""The natural texts: customer questions with intents, instructions; each under a licence that allows it."""

import csv
import json
import random
import re
from pathlib import Path

import numpy as np
from frames import Pair
from numpy.typing import NDArray
from perturb import alter, keep
from wordnet import WordNet


def intents(data: Path) -> dict[str, list[str]]:
    """Intent to texts, of BANKING77 (CC-BY-4.0) and CLINC150 (CC-BY-3.0); training parts only."""
    found: dict[str, list[str]] = {}
    with (data / "cache" / "banking77_train.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault("b:" + row["category"], []).append(" ".join(row["text"].split()))
    clinc = json.loads((data / "cache" / "clinc150_data_full.json").read_text("utf-8"))
    for text, intent in clinc["train"]:
        found.setdefault("c:" + intent, []).append(text)
    return found


def instructions(data: Path) -> list[str]:
    """Instructions of self-instruct and questions of Vicuna (Apache-2.0), CAsT 2019 (MIT)."""
    found: list[str] = []
    for name in (
        "self_instruct_seed_tasks.jsonl",
        "self_instruct_user_oriented.jsonl",
        "vicuna_question.jsonl",
    ):
        for line in (data / "tasks" / name).read_text("utf-8").split("\n"):
            if line.strip():
                row = json.loads(line)
                text = row.get("instruction") or row.get("text") or ""
                found.append(" ".join(text.split()))
    return [text for text in found if 3 <= len(text.split()) <= 30]


def rewritten(texts: list[str], count: int, seed: int, net: WordNet) -> list[Pair]:
    """Two surfaces of one text, or a text and what one small change makes of it."""
    rng = random.Random(seed)
    pairs: list[Pair] = []
    while len(pairs) < count:
        text = rng.choice(texts)
        if rng.random() < 0.4:
            a, b = keep(text, rng), keep(keep(text, rng), rng)
            if a != b:
                pairs.append(Pair(a, b, 1, "surface"))
            continue
        changed = alter(text, rng) if rng.random() < 0.7 else noun_swap(text, rng, net)
        if changed:
            pairs.append(
                Pair(keep(text, rng) if rng.random() < 0.7 else text, keep(changed[0], rng), 0, changed[1])
            )
    return pairs


def noun_swap(text: str, rng: random.Random, net: WordNet) -> tuple[str, str] | None:
    spots = [m for m in re.finditer(r"[a-z]{4,}", text) if m.group() in net.parent]
    rng.shuffle(spots)
    for m in spots:
        new = net.sibling(m.group(), rng)
        if new:
            return text[: m.start()] + new + text[m.end() :], "noun"
    return None


def intent_pairs(
    texts: list[str], intent: list[str], vectors: NDArray[np.float32], count: int, seed: int
) -> list[Pair]:
    """Near pairs of natural texts: of one intent and very near, the same; of two intents and near, not.

    An intent is wider than a question, so pairs of one intent that are only somewhat near are left out.
    """
    rng = random.Random(seed)
    pairs: list[Pair] = []
    order = list(range(len(texts)))
    rng.shuffle(order)
    for i in order:
        cosines = vectors @ vectors[i]
        near = np.argsort(-cosines)[1:60]
        same = [j for j in near if intent[j] == intent[i] and 0.80 < cosines[j] < 0.985]
        other = [j for j in near if intent[j] != intent[i] and cosines[j] > 0.45]
        for j in rng.sample(same, min(1, len(same))):
            pairs.append(Pair(texts[i], texts[j], 1, "intent"))
        for j in rng.sample(other[:12], min(1, len(other))):
            pairs.append(Pair(texts[i], texts[j], 0, "intent"))
        far = rng.randrange(len(texts))
        if rng.random() < 0.2 and intent[far] != intent[i]:
            pairs.append(Pair(texts[i], texts[far], 0, "far"))
        if len(pairs) >= count:
            break
    return pairs
