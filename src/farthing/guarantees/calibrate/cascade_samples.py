"""Samples for calibrating the checks of a cascade, by model: from a file, or from the ledger.

A sample is one request that both tiers answered: the score that the check gave the first answer, and the
quality of both answers. A file has one sample per line, in the format of `route_samples`, optionally with a
`model`. In the ledger, samples are the explored requests: the background job's receipt holds the score of the
first tier's answer, and signals say which answer is better. They cover every request that was drawn for
exploration, whichever tier its router would have chosen.
"""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from farthing.guarantees.calibrate import route_samples
from farthing.guarantees.calibrate.explored import pair_of
from farthing.guarantees.calibrate.route_samples import BadSamples, Sample
from farthing.ledger.read import Row, read_all
from farthing.types import Receipt, Signal


class SampleFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Selects the samples to read."""

    endpoint: str
    check: str
    """Name of the check that produced the score."""
    cheap: str
    expensive: str
    target: str
    """The expensive tier's first target today. Answers of other targets are not samples."""
    model: str
    """Model assumed for rows of a file that name none."""


Gathered = dict[str, list[Sample]]
"""By model, `provider/model`."""


class _Model(msgspec.Struct):
    model: str | None = None


def from_file(path: Path, wanted: SampleFilter, *, since_unix_s: float | None) -> Gathered:
    """The samples of a file of JSON lines.

    Raises:
        BadSamples: it cannot be read, or rows of it cannot; the message names lines and reasons.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise BadSamples(f"{path} cannot be read: {error.strerror}") from error
    models = [_model(line) or wanted.model for line in lines]
    found: Gathered = {}
    for model in sorted(set(models)):
        # rows of other models become empty lines, so that error messages keep the original line numbers
        own = [line if of == model else b"" for line, of in zip(lines, models, strict=True)]
        samples = route_samples.parse(own, name=str(path), since_unix_s=since_unix_s).samples
        if samples:
            found[model] = [without_segments(one) for one in samples]
    return found


def _model(line: bytes) -> str | None:
    """The model that a line names. None for an invalid row, which is reported when it is parsed."""
    try:
        return msgspec.json.decode(line, type=_Model).model
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def without_segments(sample: Sample) -> Sample:
    """A cascade has no segments: what is shown must hold for everything that is checked."""
    return msgspec.structs.replace(sample, segments=())


def from_ledger(ledger: Path, wanted: SampleFilter, *, since_unix_s: float | None) -> Gathered:
    """The samples in a ledger directory.

    Raises:
        BadSamples: there are none.
    """
    return gather(read_all(ledger, since_unix_s), wanted)


def gather(rows: Iterable[Row], wanted: SampleFilter) -> Gathered:
    """Join `rows`, in any order.

    Raises:
        BadSamples: there is no sample.
    """
    scored: dict[tuple[str, str], Receipt] = {}
    weights: dict[tuple[str, str], float] = {}
    signals: dict[tuple[str, str], list[Signal]] = {}
    for row in rows:
        if isinstance(row, Signal):
            if row.other and row.source in ("judge", "check"):
                signals.setdefault((row.tenant, row.request_id), []).append(row)
        elif isinstance(row, Receipt) and row.endpoint == wanted.endpoint:
            explored = row.explored == wanted.cheap and not row.purpose and row.target == wanted.target
            if explored and 0.0 < row.propensity <= 1.0:
                weights[row.tenant, row.request_id] = 1 / row.propensity
            if row.check_by == wanted.check and row.check_score is not None:
                scored[row.tenant, row.about if row.purpose == "explore" else row.request_id] = row
    found: Gathered = {}
    for key, receipt in scored.items():
        pair = pair_of(signals.get(key, ()), wanted.cheap, wanted.expensive)
        model = answered_first(receipt, wanted.cheap)
        weight = weights.get(key)
        if pair is None or model is None or weight is None or receipt.check_score is None:
            continue
        sample = Sample(
            score=receipt.check_score,
            cheap=pair.cheap,
            expensive=pair.expensive,
            key=" ".join(key),
            weight=weight,
        )
        found.setdefault(model, []).append(sample)
    if not found:
        raise BadSamples(
            f"the ledger has no request of {wanted.endpoint!r} that {wanted.cheap} and {wanted.expensive} "
            f"({wanted.target}) both answered, with a score of the check {wanted.check!r} and a verdict on "
            "both: set quality.explore_share and wait until there are some, or give a file with --samples"
        )
    return found


def answered_first(receipt: Receipt, cheap: str) -> str | None:
    """The target whose answer was scored; None if that tier did not answer."""
    return next((one.target for one in receipt.attempts if one.tier == cheap and one.usage is not None), None)
