"""The measured score from which the first answer of a cascade is good enough, for each model.

`farthing calibrate cascade` writes it to `cascade-ENDPOINT.json` in the folder `certificates` of the state
directory. For each model separately: over the requests it answers first, including those that are escalated,
delivering answers that score at least the threshold loses at most `risk_max` of quality per request, with
confidence 1 - `delta`.
"""

from pathlib import Path

from msgspec import Struct

from farthing.guarantees.certificates import file

VERSION = 1
MADE_BY = "farthing calibrate cascade"


class CascadeScope(Struct, frozen=True, kw_only=True):
    """What produced the scores. A certificate says nothing about another scope."""

    check: str
    """Name of the check."""
    how: str
    """Its measure and settings."""
    cheap: str
    """The first tier."""
    expensive: str
    """The tier that is asked next."""
    target: str
    """First target of the expensive tier; quality was lost relative to its answers."""


class ModelThreshold(Struct, frozen=True, kw_only=True):
    """What was shown for one model."""

    threshold: float
    kept_share: float
    """Share of its answers that are not escalated."""
    n: int
    """Samples on which the threshold was tested."""
    lost: float
    """Quality lost, summed over these samples."""
    p_value: float
    audit_n: int
    audit_lost: float
    data_hash: str


class CascadeCertificate(Struct, frozen=True, kw_only=True):
    """The thresholds of one endpoint. A model without an entry is only observed."""

    version: int = VERSION
    endpoint: str
    risk_max: float
    delta: float
    """For each model separately."""
    models: dict[str, ModelThreshold]
    """By target."""
    scope: CascadeScope
    made_unix_s: float

    @property
    def thresholds(self) -> dict[str, float]:
        """By target."""
        return {target: shown.threshold for target, shown in self.models.items()}


def path(state_dir: Path, endpoint: str) -> Path:
    """Path of the certificate of `endpoint`."""
    return file.place(state_dir, "cascade", endpoint)


def save(where: Path, certificate: CascadeCertificate) -> None:
    """Write the certificate atomically.

    Raises:
        OSError: it cannot be written.
    """
    file.save(where, certificate)


def load(where: Path) -> CascadeCertificate | None:
    """The certificate in a file; None when there is no file.

    Raises:
        ConfigError: it cannot be read.
    """
    return file.load(where, CascadeCertificate, version=VERSION, made_by=MADE_BY)


def why_not(certificate: CascadeCertificate, scope: CascadeScope) -> list[str]:
    """Why the thresholds do not apply to scores of `scope`; empty: they do."""
    was = certificate.scope
    return _changed(
        ("the check", was.check, scope.check),
        ("its settings", was.how, scope.how),
        ("the first tier", was.cheap, scope.cheap),
    )


def why_unproven(certificate: CascadeCertificate, scope: CascadeScope, *, now_unix_s: float) -> list[str]:
    """Why the thresholds no longer carry a promise; empty: they do. They stay in use until others are
    measured: without a threshold every answer would be delivered."""
    was = certificate.scope
    reasons = _changed(
        ("the next tier", was.expensive, scope.expensive), ("its target", was.target, scope.target)
    )
    return [*reasons, *file.too_old(certificate.made_unix_s, now_unix_s)]


def _changed(*those: tuple[str, str, str]) -> list[str]:
    return [f"it was made with {name} {then}, now it is {now}" for name, then, now in those if then != now]
