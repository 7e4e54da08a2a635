"""Question pairs from hand-written frames: wordings of one meaning, near relatives of each slot.

Positives are two wordings of one meaning with the same slots; negatives change the meaning (another line of
the section), the slot (a near relative), a modifier (`in India`), or the order of two slots.
"""

import random
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent


class Pair(NamedTuple):
    a: str
    b: str
    label: int
    kind: str


class Meaning(NamedTuple):
    section: str
    near_first: bool
    """Too close to the section's first meaning to be called another one."""
    wordings: list[str]


def sections(path: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    lines = found.setdefault("", [])
    for line in path.read_text("utf-8").split("\n"):
        if line.startswith("["):
            lines = found.setdefault(line.strip("[]"), [])
        elif line.strip() and not line.startswith("#"):
            lines.append(line)
    return found


def expand(wording: str, most: int = 6) -> list[str]:
    """All readings of `(a|b) c`, at most `most` of them, evenly picked."""
    parts = re.split(r"\(([^()]*\|[^()]*)\)", wording)
    options = [part.split("|") if i % 2 else [part] for i, part in enumerate(parts)]
    every = [re.sub(r" +", " ", "".join(choice)).strip() for choice in product(*options)]
    every = [re.sub(r" ([?,.:])", r"\1", text) for text in every]
    if len(every) <= most:
        return every
    return [every[i * len(every) // most] for i in range(most)]


def split_bars(line: str) -> list[str]:
    """Cut at the bars that are outside brackets."""
    out, depth, at = [], 0, 0
    for i, letter in enumerate(line):
        depth += (letter == "(") - (letter == ")")
        if letter == "|" and depth == 0:
            out.append(line[at:i])
            at = i + 1
    return [part.strip() for part in [*out, line[at:]] if part.strip()]


def meanings() -> dict[str, list[Meaning]]:
    out: dict[str, list[Meaning]] = {}
    for section, lines in sections(HERE / "frames.txt").items():
        for line in lines:
            wordings = [text for part in split_bars(line.lstrip("~")) for text in expand(part)]
            out.setdefault(section, []).append(Meaning(section, line.startswith("~"), wordings))
    return out


def slots() -> dict[str, list[list[list[str]]]]:
    """Section to rows of near relatives, each with its other names."""
    return {
        section: [[item.strip().split("=") for item in row.split(";")] for row in rows]
        for section, rows in sections(HERE / "slots.txt").items()
        if section
    }


def fill(wording: str, x: str, y: str = "") -> str:
    if re.search(r"(the|my|a|an|The|My|A) \{x\}", wording) and re.match(r"(the|my|a|an) ", x):
        x = x.split(" ", 1)[1]
    text = wording.replace("{x}", x).replace("{y}", y)
    text = re.sub(r"\b([Aa]) (?=[aeiouAEIO])", r"\1n ", text)
    text = re.sub(r"\b([Aa])n (?=[^aeiouAEIOU8])", r"\1 ", text)
    return text[0].upper() + text[1:]


def with_modifier(text: str, modifier: str, rng: random.Random) -> str:
    """Put the modifier before the question mark, or in front."""
    body = text.rstrip("?")
    end = "?" if text.endswith("?") else ""
    if rng.random() < 0.2:
        first = body[0].lower() + body[1:] if body.split(" ")[0] not in ("I", "I'm") else body
        return f"{modifier[0].upper()}{modifier[1:]}, {first}{end}"
    return f"{body} {modifier}{end}"


class Frames:
    """Draws pairs. `held` picks the held-out tenth of meanings and slot rows, else the rest."""

    def __init__(self, rng: random.Random, *, held: bool) -> None:
        self.rng = rng
        self.rows: dict[str, list[list[list[str]]]] = {}
        self.means: dict[str, list[Meaning]] = {}
        for name, rows in slots().items():
            self.rows[name] = [row for i, row in enumerate(rows) if (i % 8 == 5) == held] or rows
        for name, lines in meanings().items():
            if name:
                kept = [line for i, line in enumerate(lines) if (i % 7 == 4) == held]
                self.means[name] = kept
        self.sections = [name for name in self.means for _ in self.means[name]]

    def wording(self, meaning: Meaning, but: str = "") -> str:
        choices = [text for text in meaning.wordings if text != but] or meaning.wordings
        return self.rng.choice(choices)

    def modifier(self, but: str = "") -> tuple[str, list[str]]:
        row = self.rng.choice(self.rows["modifier"])
        item = self.rng.choice([item for item in row if item[0] != but] or row)
        return item[0], [other[0] for other in row if other is not item]

    def draw(self) -> Pair:
        rng = self.rng
        section = rng.choice(self.sections)
        meaning = rng.choice(self.means[section])
        row = rng.choice(self.rows[section])
        x = rng.choice(row)
        y = rng.choice([item for item in row if item is not x])
        first = self.wording(meaning)
        a = fill(first, rng.choice(x), rng.choice(y))
        pick = rng.random()
        if pick < 0.40:
            b = fill(self.wording(meaning, first), rng.choice(x), rng.choice(y))
            if rng.random() < 0.2:
                modifier, _ = self.modifier()
                return Pair(with_modifier(a, modifier, rng), with_modifier(b, modifier, rng), 1, "modifier")
            return Pair(a, b, 1, "wording")
        if section == "versus" and pick < 0.55:
            return self.swapped(meaning, a, x, y, first)
        if pick < 0.68:
            return self.other_meaning(section, meaning, a, x, y)
        if pick < 0.86:
            other = rng.choice([item for item in row if item is not x and item is not y] or [y])
            same_words = rng.random() < 0.5
            text = first if same_words else self.wording(meaning, first)
            return Pair(a, fill(text, rng.choice(other), rng.choice(y)), 0, "slot")
        modifier, siblings = self.modifier()
        b = fill(self.wording(meaning) if rng.random() < 0.5 else first, rng.choice(x), rng.choice(y))
        if rng.random() < 0.5:
            return Pair(a, with_modifier(b, modifier, rng), 0, "modifier")
        return Pair(
            with_modifier(a, modifier, rng), with_modifier(b, rng.choice(siblings), rng), 0, "modifier"
        )

    def swapped(self, meaning: Meaning, a: str, x: list[str], y: list[str], first: str) -> Pair:
        """Two slots turned round: the same for a difference, another question for `why is x better`."""
        ordered = any(
            word in meaning.wordings[0]
            for word in ("from {x}", "Why is", "cheaper", "cause", "replace", "worse")
        )
        b = fill(self.wording(meaning, first), self.rng.choice(y), self.rng.choice(x))
        if ordered and self.rng.random() < 0.5:
            b = fill(first, y[0], x[0])
        return Pair(a, b, 0 if ordered else 1, "order")

    def other_meaning(self, section: str, meaning: Meaning, a: str, x: list[str], y: list[str]) -> Pair:
        everything = self.means[section]
        others = [m for m in everything if m is not meaning]
        if meaning.near_first or meaning is everything[0]:
            others = [m for m in others if not m.near_first and m is not everything[0]]
        others = others or [m for m in everything if m is not meaning]
        other = self.rng.choice(others)
        return Pair(a, fill(self.wording(other), self.rng.choice(x), self.rng.choice(y)), 0, "meaning")


def frame_pairs(count: int, seed: int, *, held: bool = False) -> Iterator[Pair]:
    frames = Frames(random.Random(seed), held=held)
    made = 0
    while made < count:
        pair = frames.draw()
        if pair.a != pair.b:
            made += 1
            yield pair
