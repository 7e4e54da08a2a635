"""Pairs of texts with labels: reading any file of them, and splitting by text so that nothing leaks."""

import csv
import gzip
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TRUE = {"1", "true", "yes", "duplicate", "entailment", "paraphrase", "positive"}
FALSE = {"0", "false", "no", "not_duplicate", "contradiction", "neutral", "negative", "not_paraphrase"}
NAMES_A = ("text_a", "sentence1", "sentence_a", "question1", "question_1", "s1", "a")
NAMES_B = ("text_b", "sentence2", "sentence_b", "question2", "question_2", "s2", "b")
NAMES_LABEL = (
    "label",
    "is_duplicate",
    "duplicate",
    "score",
    "gold_label",
    "entailment_judgment",
    "relatedness_score",
)


class BadPairs(Exception):
    """The file is not what it should be; says where."""


@dataclass
class Pairs:
    name: str
    a: list[str] = field(default_factory=list)
    b: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    """What sort of pair each is; empty, or one for each."""

    def __len__(self) -> int:
        return len(self.labels)

    def add(self, a: str, b: str, label: int, kind: str = "") -> None:
        self.a.append(a)
        self.b.append(b)
        self.labels.append(label)
        self.kinds.append(kind)

    def some(self, rows: NDArray[np.int64]) -> "Pairs":
        at = rows.tolist()
        return Pairs(
            self.name,
            [self.a[i] for i in at],
            [self.b[i] for i in at],
            [self.labels[i] for i in at],
            [self.kinds[i] for i in at],
        )


def read(path: Path, format: str | None = None, positive_over: float | None = None) -> Pairs:
    """Rows of `text_a`, `text_b`, `label` (or the usual other names), as JSON lines or TSV, also gzipped.

    A line ends at `\\n` alone. Labels are 0/1 or their usual names, or numbers with `positive_over`.

    Raises:
        BadPairs: it cannot be read so; the message has the line.
    """
    text = _text(path)
    format = format or (
        "tsv" if path.name.removesuffix(".gz").endswith((".tsv", ".txt", ".csv")) else "jsonl"
    )
    rows = _json_rows(text, path) if format == "jsonl" else _tab_rows(text, path)
    pairs = Pairs(path.name.split(".")[0])
    for line, (a, b, label) in rows:
        pairs.add(a, b, _label(label, positive_over, f"{path.name}, line {line}"))
    if not pairs.labels:
        raise BadPairs(f"{path.name} has no pairs")
    if len(set(pairs.labels)) == 1:
        raise BadPairs(f"every pair of {path.name} has the label {pairs.labels[0]}; both are needed")
    return pairs


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
    except (OSError, EOFError) as error:
        raise BadPairs(f"{path} cannot be read: {error}") from error
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return raw.decode("utf-16", "replace")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def _json_rows(text: str, path: Path) -> Iterator[tuple[int, tuple[str, str, object]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise BadPairs(f"{path.name}, line {number} is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise BadPairs(f"{path.name}, line {number} is not an object")
        lower = {str(key).lower(): value for key, value in row.items()}
        found = [next((lower[name] for name in names if name in lower), None) for names in _WANTED]
        if not isinstance(found[0], str) or not isinstance(found[1], str) or found[2] is None:
            raise BadPairs(
                f"{path.name}, line {number} has no text_a, text_b and label; it has {sorted(row)}"
            )
        yield number, (found[0], found[1], found[2])


_WANTED = (NAMES_A, NAMES_B, NAMES_LABEL)


def _tab_rows(text: str, path: Path) -> Iterator[tuple[int, tuple[str, str, object]]]:
    separator = "\t" if "\t" in text.split("\n", 1)[0] else ","
    lines = text.split("\n")
    table: Iterator[list[str]]
    if separator == ",":
        table = csv.reader(line + "\n" for line in lines)
    else:
        table = (line.rstrip("\r").split("\t") for line in lines)
    columns: list[int] | None = None
    for number, row in enumerate(table, 1):
        if not any(cell.strip() for cell in row):
            continue
        if columns is None:
            lower = [cell.strip().lower() for cell in row]
            found = [next((lower.index(name) for name in names if name in lower), -1) for names in _WANTED]
            if min(found) >= 0:
                columns = found
                continue
            columns = [0, 1, 2]
        if len(row) <= max(columns):
            raise BadPairs(
                f"{path.name}, line {number} has {len(row)} columns; text_a, text_b and label are needed"
            )
        yield number, (row[columns[0]], row[columns[1]], row[columns[2]])


def _label(value: object, positive_over: float | None, where: str) -> int:
    if positive_over is not None:
        try:
            return int(float(str(value)) > positive_over)
        except ValueError as error:
            raise BadPairs(f"{where}: {value!r} is no number to compare with --positive-over") from error
    word = str(value).strip().lower()
    word = word.removesuffix(".0")
    if word in TRUE:
        return 1
    if word in FALSE:
        return 0
    raise BadPairs(f"{where}: the label {value!r} is neither 0 nor 1; give --positive-over for scores")


def sick(path: Path) -> Pairs:
    """SICK: entailed is the same, neutral and contradicted are not; `kinds` keep which."""
    pairs = Pairs("sick_train")
    lines = _text(path).split("\n")
    for number, line in enumerate(lines[1:], 2):
        cells = line.rstrip("\r").split("\t")
        if line.strip():
            if len(cells) < 5:
                raise BadPairs(f"{path.name}, line {number}: not SICK's five columns")
            pairs.add(cells[1], cells[2], int(cells[4] == "ENTAILMENT"), cells[4].lower())
    return pairs


def stsb(path: Path, positive_over: float = 3.99) -> Pairs:
    """The STS benchmark: from 4 of 5 on, the same."""
    pairs = Pairs("stsb_dev")
    for number, line in enumerate(_text(path).split("\n"), 1):
        cells = line.rstrip("\r").split("\t")
        if line.strip():
            if len(cells) < 7:
                raise BadPairs(f"{path.name}, line {number}: not the seven columns of the STS benchmark")
            pairs.add(cells[5], cells[6], _label(cells[4], positive_over, f"{path.name}, line {number}"))
    return pairs


def split(pairs: Pairs, share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row numbers to fit on and to test on, about `share` of the rows in the first.

    Rows that share a text, straight or through other rows, stay on one side: no text and no chain of texts is
    on both. Texts are compared without case and outer spaces.
    """
    parent: dict[str, str] = {}

    def root(text: str) -> str:
        while parent.setdefault(text, text) != text:
            parent[text] = parent[parent[text]]
            text = parent[text]
        return text

    keys = [(_key(a), _key(b)) for a, b in zip(pairs.a, pairs.b, strict=True)]
    for a, b in keys:
        one, two = root(a), root(b)
        if one != two:
            parent[one] = two
    groups: dict[str, list[int]] = {}
    for i, (a, _) in enumerate(keys):
        groups.setdefault(root(a), []).append(i)
    order = sorted(groups.values())
    random.Random(seed).shuffle(order)
    # The largest group first and for fitting: a chain of half the file would empty the test side.
    order.sort(key=lambda group: len(group) <= 0.05 * len(pairs))
    first: list[int] = []
    second: list[int] = []
    for group in order:
        (first if len(first) + len(group) <= share * len(pairs) or not first else second).extend(group)
    return np.array(sorted(first), np.int64), np.array(sorted(second), np.int64)


def _key(text: str) -> str:
    return " ".join(text.lower().split())
