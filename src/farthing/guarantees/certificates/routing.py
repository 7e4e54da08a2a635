"""What lets a router send requests to the cheap tier: a measured bound on what that costs in quality.

`farthing calibrate route` makes one: `route-ENDPOINT.json` in the folder `certificates` of the state
directory. It speaks of all requests of the endpoint together, those that stay with the expensive tier
included: sending the certified part to the cheap tier loses at most `risk_max` of quality per request.
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
    """What the samples were of. Of another scope nothing was measured."""

    router: str
    """Name and version of what gave the scores."""
    cheap: str
    """Tier."""
    expensive: str
    policy: str
    """Version of the configuration of then, for people: prices and keys are in it, so another one does not
    end the certificate. Empty: not known."""


class Segment(Struct, frozen=True, kw_only=True):
    """One kind of traffic: `task=qa`, `domain=law`, `language=de`, or a name of the samples' own."""

    name: str
    n: int
    """Samples that count, of the calibration and the audit together."""
    lost: float
    """Quality lost, summed over them, at the threshold."""
    cheap_share: float
    upper: float
    """Of its loss per request, by itself, at the confidence; 1.0 where it has too few samples."""
    result: Verdict
    """`holds`: within the limit of a segment. `not shown`: too few samples to say. `hurt`: over it, which
    chance does not explain. `excluded`: all of it stays with the expensive tier."""
    more_needed: int | None
    """Of `not shown`: further samples that would show it, were they as these; None: no number would."""


class RouteCertificate(Struct, frozen=True, kw_only=True):
    """With confidence 1 - delta, the loss per request of the endpoint is at most `risk_max`."""

    version: int = VERSION
    endpoint: str
    threshold: float
    """Score from which requests go to the cheap tier, but for excluded segments."""
    cheap_share: float
    """Of the samples that count."""
    harm: Harm
    test: Literal["binomial", "betting"]
    risk_max: float
    delta: float
    n: int
    """Samples that the threshold was tested on."""
    lost: float
    """Quality lost, summed over them."""
    p_value: float
    """Chance of what was seen or better, were the loss over `risk_max`; at most `delta`. For one look."""
    train_n: int
    """Samples that chose the grid, the excluded segments and the bets, and count for nothing else."""
    audit_n: int
    """Samples that were looked at afterwards only."""
    audit_lost: float
    grid: tuple[float, ...]
    """Thresholds fixed before the tested samples were looked at, safest first; tested in this order."""
    segment_risk_max: float
    """Loss per request that no segment may be shown to exceed."""
    segments: tuple[Segment, ...]
    scope: RouteScope
    made_unix_s: float
    data_hash: str
    """Digest of the samples."""
    labels: int = 0
    """Samples among `n` that people looked at too, so that the bound is on the loss as they see it; `lost` is
    as judged all the same. 0: the judge's word was taken."""

    @property
    def excluded(self) -> frozenset[str]:
        return frozenset(one.name for one in self.segments if one.result == "excluded")


def goes_cheap(certificate: RouteCertificate, score: float, segments: Collection[str]) -> bool:
    """Whether a request of this score and these segments is one that may go to the cheap tier.

    One that is of no segment the samples had, though they had some, was not measured, and is not.
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
    """The segments that were excluded, or that the samples did not have, though others of their kind. Of a
    kind that the samples say nothing of nothing is asked; where they know no kind of them, all are unfit."""
    if not certificate.segments:
        return set()
    known = {one.name for one in certificate.segments}
    kinds = {name.partition("=")[0] for name in known}
    asked = [name for name in segments if name.partition("=")[0] in kinds]
    if not asked:
        return set(segments) or {""}
    return {name for name in asked if name not in known or name in certificate.excluded}


def segments_of(task: str, domain: str, language: str) -> tuple[str, str, str]:
    """The kinds of traffic that a request is of, by the words of its traits or its receipt."""
    return f"task={task}", f"domain={domain}", f"language={language}"


def certificate_path(state_dir: Path, endpoint: str) -> Path:
    """Where the certificate of `endpoint` lies."""
    return file.place(state_dir, "route", endpoint)


def save(path: Path, certificate: RouteCertificate) -> None:
    """Write the certificate, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    file.save(path, certificate)


def load(path: Path) -> RouteCertificate | None:
    """The certificate in a file; None when there is no file.

    Raises:
        ConfigError: it cannot be read.
    """
    return file.load(path, RouteCertificate, version=VERSION, made_by=MADE_BY)


def why_not(
    certificate: RouteCertificate, *, scope: RouteScope, risk_max: float, confidence: float, now_unix_s: float
) -> list[str]:
    """Why the certificate does not let its endpoint choose the cheap tier; empty: it does."""
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
        reasons.append(f"it bounds the loss by {certificate.risk_max:.3g}, {risk_max:g} is wanted")
    if confidence > 1 - certificate.delta + 1e-12:
        reasons.append(f"its confidence is {1 - certificate.delta:g}, {confidence:g} is wanted")
    return [*reasons, *file.too_old(certificate.made_unix_s, now_unix_s)]
