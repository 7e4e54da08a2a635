"""Certify a threshold on the scores of a cascade's check for each model separately, or refuse.

**The promise**, per model: over all requests that the model answers first, including those that are
escalated, the mean loss of quality is at most epsilon, with confidence 1 - delta over the samples, when
answers that score at least the threshold are delivered. The loss of a delivered answer is how much better
the expensive answer is, or 0 if it is not better; an escalated request loses nothing.

This is what `routing` certifies for a router, with the check's score in place of the router's: the
same split, the same tests in the same fixed sequence, the same audit.
"""

from collections.abc import Mapping, Sequence

import msgspec

from farthing.guarantees.calibrate import routing
from farthing.guarantees.calibrate.route_samples import Sample
from farthing.guarantees.calibrate.routing import Calibration
from farthing.guarantees.certificates.cascade import CascadeCertificate, CascadeScope, ModelThreshold
from farthing.guarantees.certificates.routing import RouteScope


class CascadeCalibration(msgspec.Struct, frozen=True, kw_only=True):
    """What the samples of one endpoint show."""

    endpoint: str
    risk_max: float
    confidence: float
    certificate: CascadeCertificate | None
    """Covers the models for which a threshold was shown; None if there is no such model."""
    models: dict[str, Calibration]


def calibrate(
    samples: Mapping[str, Sequence[Sample]],
    *,
    endpoint: str,
    risk_max: float,
    confidence: float,
    scope: CascadeScope,
    now_unix_s: float,
) -> CascadeCalibration:
    """Certify for each model the lowest threshold that its samples allow, or say why not."""
    aim = routing.Aim(endpoint=endpoint, risk_max=risk_max, confidence=confidence)
    router = RouteScope(
        router=f"check {scope.check}", cheap=scope.cheap, expensive=scope.expensive, policy=""
    )
    found = {
        model: routing.calibrate(of, aim, scope=router, now_unix_s=now_unix_s)
        for model, of in sorted(samples.items())
    }
    shown = {model: _threshold(one) for model, one in found.items() if one.certificate is not None}
    certificate = None
    if shown:
        certificate = CascadeCertificate(
            endpoint=endpoint,
            risk_max=risk_max,
            delta=round(1 - confidence, 12),
            models=shown,
            scope=scope,
            made_unix_s=now_unix_s,
        )
    return CascadeCalibration(
        endpoint=endpoint, risk_max=risk_max, confidence=confidence, certificate=certificate, models=found
    )


def _threshold(found: Calibration) -> ModelThreshold:
    made = found.certificate
    assert made is not None
    return ModelThreshold(
        threshold=made.threshold,
        kept_share=made.cheap_share,
        n=made.n,
        lost=made.lost,
        p_value=made.p_value,
        audit_n=made.audit_n,
        audit_lost=made.audit_lost,
        data_hash=made.data_hash,
    )


def story(found: CascadeCalibration, scope: CascadeScope) -> list[str]:
    """The result as lines of plain text."""
    lines = [
        f"Cascade of {found.endpoint}: {scope.cheap}, then {scope.expensive} where {scope.check} "
        f"({scope.how}) doubts",
    ]
    for model, one in found.models.items():
        lines += [
            "",
            f"{model}: {one.samples:,} judged samples: {one.train:,} to train, {one.calibrate:,} to "
            f"calibrate, {one.audit:,} to audit",
        ]
        made = one.certificate
        if made is None:
            lines.append(f"  REFUSED: {one.refusal}")
            continue
        lines += [
            f"  CERTIFICATE: letting answers of score {made.threshold:.6g} and above go out loses at most "
            f"{found.risk_max:.3g} of quality per request, with confidence {found.confidence:.3g}",
            f"  goes out   {made.cheap_share:.1%} of its answers, the others are escalated",
            f"  shown by   {made.lost:.4g} lost of {made.n:,} ({made.test} test, p {made.p_value:.4f})",
            f"  audit      {made.audit_lost:.4g} lost of {made.audit_n:,} held back",
        ]
    return lines
