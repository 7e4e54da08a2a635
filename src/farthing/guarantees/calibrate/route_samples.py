"""Judged samples for calibrating a router, from a file of JSON lines.

Each line is one request that both tiers answered:

    {"score": 0.93, "cheap": 1, "expensive": 1, "segment": {"task": "qa", "language": "de"},
     "request_id": "req-17", "propensity": 0.02, "at": "2026-11-20T09:30:00Z"}

`score` is the router's, higher where it trusts the cheap tier more. `cheap` and `expensive` are the quality
of the two answers, from 0 to 1. The other fields shown are optional; unknown fields are ignored.
"""

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from farthing.errors import FarthingError

SHOWN_MAX = 5


class BadSamples(FarthingError):
    """The file of samples is not usable."""

    code = "bad_samples"


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One request that both tiers answered, with the quality of both answers."""

    score: float
    cheap: float
    expensive: float
    segments: tuple[str, ...] = ()
    """Names of its kinds of traffic: `task=qa`."""
    key: str
    """Identifies the sample and decides which part of the split it belongs to."""
    weight: float = 1.0
    """How many requests it represents, up to a factor common to all samples."""


class Samples(msgspec.Struct, frozen=True, kw_only=True):
    """The samples of a file."""

    samples: list[Sample]
    repeated: int
    """Rows left out because their `request_id` occurred before."""
    early: int
    """Rows left out because they are older than the requested time, or have no time."""


class _Row(msgspec.Struct):
    score: float
    cheap: float
    expensive: float
    segment: str | dict[str, str] | None = None
    request_id: str | None = None
    weight: float | None = None
    propensity: float | None = None
    at: float | str | None = None


def read(path: Path, *, since_unix_s: float | None = None) -> Samples:
    """The samples of a file of JSON lines. Empty lines are skipped.

    Raises:
        BadSamples: the file or some rows cannot be read; the message names lines and reasons.
    """
    try:
        with path.open("rb") as lines:
            return parse(lines, name=str(path), since_unix_s=since_unix_s)
    except OSError as error:
        raise BadSamples(f"{path} cannot be read: {error.strerror}") from error


def parse(lines: Iterable[bytes], *, name: str = "samples", since_unix_s: float | None = None) -> Samples:
    """Like `read`, from lines."""
    samples: list[Sample] = []
    seen: set[str] = set()
    bad: list[str] = []
    repeated = early = 0
    decode = msgspec.json.Decoder(_Row).decode
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = decode(line)
            sample, at_unix_s = _checked(row, number)
        except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as why:
            bad.append(f"  line {number}: {why}")
            continue
        if since_unix_s is not None and (at_unix_s is None or at_unix_s < since_unix_s):
            early += 1
        elif row.request_id is not None and row.request_id in seen:
            repeated += 1
        else:
            seen.add(sample.key)
            samples.append(sample)
    if bad:
        more = [f"  and {len(bad) - SHOWN_MAX} more"] if len(bad) > SHOWN_MAX else []
        raise BadSamples("\n".join([f"{name} has rows that are not samples:", *bad[:SHOWN_MAX], *more]))
    return Samples(samples=samples, repeated=repeated, early=early)


def _checked(row: _Row, number: int) -> tuple[Sample, float | None]:
    """The sample and its time.

    Raises:
        ValueError: a value is not allowed; the message says which.
    """
    if not math.isfinite(row.score):
        raise ValueError(f"score is {row.score}, not a finite number")
    for name, quality in (("cheap", row.cheap), ("expensive", row.expensive)):
        if not 0 <= quality <= 1:
            raise ValueError(f"{name} is {quality:g}, but a quality is from 0 to 1")
    sample = Sample(
        score=row.score,
        cheap=row.cheap,
        expensive=row.expensive,
        segments=_segments(row.segment),
        key=f"#{number}" if row.request_id is None else row.request_id,
        weight=_weight(row),
    )
    return sample, _moment(row.at)


def _segments(given: str | dict[str, str] | None) -> tuple[str, ...]:
    if not given:
        return ()
    return (given,) if isinstance(given, str) else tuple(f"{kind}={name}" for kind, name in given.items())


def _weight(row: _Row) -> float:
    if row.weight is not None and row.propensity is not None:
        raise ValueError("weight and propensity mean the same: give only one of them")
    if row.propensity is not None:
        if not 0 < row.propensity <= 1:
            raise ValueError(f"propensity is {row.propensity:g}, but must be a probability above 0")
        return 1 / row.propensity
    weight = 1.0 if row.weight is None else row.weight
    if not (math.isfinite(weight) and weight > 0):
        raise ValueError(f"weight is {weight:g}, but must be a number above 0")
    return weight


def _moment(at: float | str | None) -> float | None:
    if at is None or isinstance(at, float):
        return at
    try:
        moment = datetime.fromisoformat(at)
    except ValueError as error:
        raise ValueError(f"at is {at[:40]!r}, neither Unix seconds nor an ISO 8601 time") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
