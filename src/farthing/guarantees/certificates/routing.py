"""What lets a router send requests to the cheap tier: a measured bound on the quality that this loses.

`farthing calibrate route` writes it to `route-ENDPOINT.json` in the folder `certificates` of the state
directory. It covers all requests of the endpoint together, including those that stay with the expensive
tier: sending the certified part to the cheap tier loses at most `risk_max` of quality per request.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Literal

from msgspec import Struct

from farthing.guarantees.certificates import file

VERSION = 1
MADE_BY = "farthing calibrate route"

Harm = Literal["regression", "net"]
"""`regression`: how much worse the cheap answer is where it is worse, nothing where it is better. `net`:
better answers make up for worse ones, which is a weaker promise."""


Verdict = Literal["holds", "not shown", "hurt", "excluded"]


class RouteScope(Struct, frozen=True, kw_only=True):
    """What the samples measured. A certificate says nothing about another scope."""

    router: str
    """Name and version of the router that gave the scores."""
    cheap: str
    """The cheap tier."""
    expensive: str
    policy: str
    """Configuration version at the time, for information: it covers prices and keys, so another version does
    not end the certificate. Empty: unknown."""


class Segment(Struct, frozen=True, kw_only=True):
    """One kind of traffic: `task=qa`, `domain=law`, `language=de`, or a name that the samples define."""

    name: str
    n: int
    """Samples that count, calibration and audit together."""
    lost: float
    """Quality lost at the threshold, summed over these samples."""
    cheap_share: float
    upper: float
    """Upper bound of its own loss per request, at the confidence; 1.0 if it has too few samples."""
    result: Verdict
    """`holds`: within the limit of a segment. `not shown`: too few samples to say. `hurt`: over it, which
    chance does not explain. `excluded`: all of it stays with the expensive tier."""
    more_needed: int | None
    """With `not shown`: further samples of the same kind that would show it; None: no number would."""


class RouteCertificate(Struct, frozen=True, kw_only=True):
    """With confidence 1 - delta, the loss per request of the endpoint is at most `risk_max`."""

    version: int = VERSION
    endpoint: str
    threshold: float
    """Score from which requests go to the cheap tier, except in excluded segments."""
    cheap_share: float
    """Share of the counted samples."""
    harm: Harm
    test: Literal["binomial", "betting"]
    risk_max: float
    delta: float
    n: int
    """Samples on which the threshold was tested."""
    lost: float
    """Quality lost, summed over these samples."""
    p_value: float
    """Probability of this result or a better one if the loss were over `risk_max`; at most `delta`. For one
    look."""
    train_n: int
    """Samples that chose the grid, the excluded segments and the bets, and count for nothing else."""
    audit_n: int
    """Samples used only afterwards, for the audit."""
    audit_lost: float
    grid: tuple[float, ...]
    """Thresholds fixed before the tested samples were seen, safest first; tested in this order."""
    segment_risk_max: float
    """Loss per request that no segment may be shown to exceed."""
    segments: tuple[Segment, ...]
    scope: RouteScope
    made_unix_s: float
    data_hash: str
    """Digest of the samples."""
    labels: int = 0
    """Samples among `n` that people labelled too, so that the bound is on the loss according to them; `lost`
    is the judge's in any case. 0: the bound rests on the judge alone."""

    @property
    def excluded(self) -> frozenset[str]:
        return frozenset(one.name for one in self.segments if one.result == "excluded")


def goes_cheap(certificate: RouteCertificate, score: float, segments: Collection[str]) -> bool:
    """Whether a request with this score and these segments may go to the cheap tier.

    False if the samples had segments but none of these: such a request was not measured.
    """
    return score >= certificate.threshold and not _unfit(certificate, segments)


def uncovered(certificate: RouteCertificate, segments: Collection[str]) -> str:
    """Which segments keep a request from the cheap tier whatever its score, in words; empty: none does."""
    unfit = _unfit(certificate, segments)
    excluded = sorted(unfit & certificate.excluded)
    if excluded:
        return f"{', '.join(excluded)} stays there"
    return f"{', '.join(sorted(unfit)) or 'nothing known of it'} was not measured" if unfit else ""


def _unfit(certificate: RouteCertificate, segments: Collection[str]) -> set[str]:
    """The segments that are excluded, or that the samples did not contain although they contained others of
    that kind. Kinds that the samples never name are ignored; if the samples name no kind of `segments`, all
    are unfit."""
    if not certificate.segments:
        return set()
    known = {one.name for one in certificate.segments}
    kinds = {name.partition("=")[0] for name in known}
    asked = [name for name in segments if name.partition("=")[0] in kinds]
    if not asked:
        return set(segments) or {""}
    return {name for name in asked if name not in known or name in certificate.excluded}


def segments_of(task: str, domain: str, language: str) -> tuple[str, str, str]:
    """The kinds of traffic that a request belongs to, from its traits or its receipt."""
    return f"task={task}", f"domain={domain}", f"language={language}"


def certificate_path(state_dir: Path, endpoint: str) -> Path:
    """Path of the certificate of `endpoint`."""
    return file.place(state_dir, "route", endpoint)


def save(path: Path, certificate: RouteCertificate) -> None:
    """Write the certificate atomically.

    Raises:
        OSError: it cannot be written.
    """
    file.save(path, certificate)


def load(path: Path) -> RouteCertificate | None:
    """The certificate in a file; None if there is no file.

    Raises:
        ConfigError: it cannot be read.
    """
    return file.load(path, RouteCertificate, version=VERSION, made_by=MADE_BY)


def why_not(
    certificate: RouteCertificate, *, scope: RouteScope, risk_max: float, confidence: float, now_unix_s: float
) -> list[str]:
    """Why the certificate does not let its endpoint use the cheap tier; empty: it does."""
    was = certificate.scope
    reasons = [
        f"it was made with {name} {then}, now it is {now}"
        for name, then, now in (
            ("router", was.router, scope.router),
            ("the cheap tier", was.cheap, scope.cheap),
            ("the expensive tier", was.expensive, scope.expensive),
        )
        if then != now
    ]
    if risk_max < certificate.risk_max:
        reasons.append(f"it bounds the loss by {certificate.risk_max:.3g}, but {risk_max:g} is configured")
    if confidence > 1 - certificate.delta + 1e-12:
        reasons.append(f"its confidence is {1 - certificate.delta:g}, but {confidence:g} is configured")
    return [*reasons, *file.too_old(certificate.made_unix_s, now_unix_s)]
