"""Labels that people gave to answers, from a file of JSON lines; they measure the judge.

    {"request_id": "req_…", "quality": 1, "tier": "cheap"}

`quality` is from 0 to 1. `tier` says whose answer was labelled where several tiers answered the request;
without it, the label concerns the answer that the client received. Other fields are ignored. If a label
occurs twice, the last one counts. To correct a judge, the requests must be a random sample of those judged.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from farthing.errors import FarthingError

SHOWN_MAX = 5

Labels = Mapping[tuple[str, str], float]
"""Request and tier (empty: the answer that the client received) -> quality."""


class BadLabels(FarthingError):
    """The file of labels is not usable."""

    code = "bad_labels"


class _Row(msgspec.Struct):
    request_id: str
    quality: float
    tier: str = ""


def read(path: Path) -> Labels:
    """The labels of a file. Empty lines are skipped.

    Raises:
        BadLabels: the file or some rows cannot be read; the message names lines and reasons.
    """
    try:
        with path.open("rb") as lines:
            return parse(lines, name=str(path))
    except OSError as error:
        raise BadLabels(f"{path} cannot be read: {error.strerror}") from error


def parse(lines: Iterable[bytes], *, name: str = "labels") -> Labels:
    """Like `read`, from lines."""
    decode = msgspec.json.Decoder(_Row).decode
    found: dict[tuple[str, str], float] = {}
    bad: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = decode(line)
            if not 0 <= row.quality <= 1:
                raise ValueError(f"quality is {row.quality:g}, but must be from 0 to 1")
        except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as why:
            bad.append(f"  line {number}: {why}")
            continue
        found[row.request_id, row.tier] = row.quality
    if bad:
        more = [f"  and {len(bad) - SHOWN_MAX} more"] if len(bad) > SHOWN_MAX else []
        raise BadLabels("\n".join([f"{name} has rows that are not labels:", *bad[:SHOWN_MAX], *more]))
    return found


def pairs(labels: Labels, *, cheap: str, expensive: str) -> dict[str, tuple[float, float]]:
    """Requests whose two answers people both labelled, with the quality of the cheap and the expensive
    one."""
    return {
        request: (quality, labels[request, expensive])
        for (request, tier), quality in labels.items()
        if tier == cheap and (request, expensive) in labels
    }
