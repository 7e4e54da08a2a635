"""Scored examples from a file of JSON lines: a prompt, and how good each model's answer was."""

import gzip
import math
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from farthing.brain.route.learned.features import Floats
from farthing.errors import FarthingError

SHOWN_MAX = 5


class BadExamples(FarthingError):
    """The file of examples is not usable."""

    code = "bad_examples"


class Scored(Struct, frozen=True):
    """The examples of a file."""

    texts: tuple[str, ...]
    outcomes: Floats
    """Shape (n, models), from 0 to 1."""


def read_examples(path: Path, models: Sequence[str]) -> Scored:
    """The rows of a file, `.gz` or plain: `prompt` and a number from 0 to 1 for each of `models`.

    Raises:
        BadExamples: the file or some rows cannot be read; the message names lines and reasons.
    """
    try:
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if path.suffix == ".gz" else raw
    except (OSError, EOFError, zlib.error) as error:
        raise BadExamples(f"{path} cannot be read: {error}") from error
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    texts: list[str] = []
    outcomes: list[list[float]] = []
    faults: list[str] = []
    for number, line in enumerate(raw.split(b"\n"), 1):  # a prompt may contain other line ends
        if not line.strip():
            continue
        try:
            text, values = _row(decode(line), models)
        except (msgspec.DecodeError, ValueError) as error:
            faults.append(f"line {number}: {error}")
            continue
        texts.append(text)
        outcomes.append(values)
    if faults:
        more = f"\n  and {len(faults) - SHOWN_MAX} more" if len(faults) > SHOWN_MAX else ""
        raise BadExamples("\n  ".join([f"{path} has rows that cannot be used:", *faults[:SHOWN_MAX]]) + more)
    if not texts:
        raise BadExamples(f"{path} has no rows")
    return Scored(tuple(texts), np.array(outcomes, np.float32))


def _row(row: dict[str, Any], models: Sequence[str]) -> tuple[str, list[float]]:
    text = row.get("prompt")
    if not isinstance(text, str) or not text.strip():
        raise ValueError("`prompt` must be a text that is not empty")
    values = []
    for name in models:
        value = row.get(name)
        if not isinstance(value, bool | int | float) or not math.isfinite(value) or not 0 <= value <= 1:
            raise ValueError(f"`{name}` must be a number from 0 to 1, but is {value!r}")
        values.append(float(value))
    return text, values
