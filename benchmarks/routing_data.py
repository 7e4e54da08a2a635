"""Rows for `benchmarks.routing`: prompts with what two models' answers were worth."""

import gzip
import zlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

ROWS_MIN = 200
LAG_MAX = 0.05
"""A slice where the strong model trails by more is likely a fault of the data."""
SLICE_ROWS_MIN = 20


class BadData(Exception):
    """The file or what was asked of it cannot be used; the message says why and what to do."""


class Data(Struct, frozen=True):
    prompts: tuple[str, ...]
    weak: NDArray[np.float32]
    strong: NDArray[np.float32]
    weak_cost: NDArray[np.float64]
    strong_cost: NDArray[np.float64]
    costs_assumed: bool
    slices: tuple[str, ...]
    dropped: int


class Wanted(Struct, frozen=True, kw_only=True):
    """Which columns to read and which rows to leave out."""

    weak: str
    strong: str
    slice: str = "domain"
    drop: tuple[str, ...] = ()
    weak_cost: str = ""
    strong_cost: str = ""
    assumed_costs: tuple[float, float] = (0.05, 1.0)


def read(path: Path, wanted: Wanted) -> Data:
    """Rows of a file of JSON lines, `.gz` or plain.

    Raises:
        BadData: the file is missing or damaged, a column is missing, a label is not 0 or 1, a slice to leave
            out is not there, or too few rows are left.
    """
    if wanted.weak == wanted.strong:
        raise BadData("--weak and --strong name the same column")
    rows = _rows(path)
    slices = [str(row.get(wanted.slice, "")) for row in rows]
    absent = sorted(set(wanted.drop) - set(slices))
    if absent:
        raise BadData(f"no row has {wanted.slice} {', '.join(absent)}, which --drop-slices names")
    kept = [index for index, name in enumerate(slices) if name not in wanted.drop]
    if len(kept) < ROWS_MIN:
        raise BadData(f"{len(kept)} rows are too few to tell anything: at least {ROWS_MIN}")
    prompts = [_prompt(rows[index], index) for index in kept]
    costs = [
        np.array([_cost(rows[index], index, column, assumed) for index in kept])
        for column, assumed in zip((wanted.weak_cost, wanted.strong_cost), wanted.assumed_costs, strict=True)
    ]
    return Data(
        prompts=tuple(prompts),
        weak=np.array([_label(rows[index], index, wanted.weak) for index in kept], np.float32),
        strong=np.array([_label(rows[index], index, wanted.strong) for index in kept], np.float32),
        weak_cost=costs[0],
        strong_cost=costs[1],
        costs_assumed=not (wanted.weak_cost and wanted.strong_cost),
        slices=tuple(slices[index] for index in kept),
        dropped=len(rows) - len(kept),
    )


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if path.suffix == ".gz" else raw
    except (OSError, EOFError, zlib.error) as error:
        raise BadData(f"cannot read {path}: {error}") from error
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    rows = []
    for number, line in enumerate(raw.split(b"\n"), 1):  # a prompt may hold other ends of lines
        if not line.strip():
            continue
        try:
            rows.append(decode(line))
        except msgspec.DecodeError as error:
            raise BadData(f"{path}, line {number}: {error}") from error
    if not rows:
        raise BadData(f"{path} has no rows")
    return rows


def _prompt(row: dict[str, Any], index: int) -> str:
    prompt = row.get("prompt")
    if not isinstance(prompt, str) or not prompt.strip():
        raise BadData(f"row {index + 1} has no text in `prompt`")
    return prompt


def _label(row: dict[str, Any], index: int, column: str) -> float:
    if column not in row:
        raise BadData(f"row {index + 1} has no column `{column}`; it has {', '.join(sorted(row)[:12])}")
    value = row[column]
    if isinstance(value, bool | int | float) and value in (0, 1):
        return float(value)
    raise BadData(f"row {index + 1}: `{column}` is {value!r}, and must be 0 or 1")


def _cost(row: dict[str, Any], index: int, column: str, assumed: float) -> float:
    if not column:
        return assumed
    value = row.get(column)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf"):
        return float(value)
    raise BadData(f"row {index + 1}: `{column}` is {value!r}, and must be a cost")


def lagging(data: Data) -> list[dict[str, Any]]:
    """Slices where the strong model trails the weak one by more than `LAG_MAX`, worst first."""
    found = []
    names = np.array(data.slices)
    for name in sorted(set(data.slices)):
        own = names == name
        gap = float((data.strong[own] - data.weak[own]).mean())
        if int(own.sum()) >= SLICE_ROWS_MIN and gap < -LAG_MAX:
            row = {"slice": name, "rows": int(own.sum()), "weak": round(float(data.weak[own].mean()), 4)}
            found.append({**row, "strong": round(float(data.strong[own].mean()), 4), "gap": round(gap, 4)})
    return sorted(found, key=lambda row: float(row["gap"]))
