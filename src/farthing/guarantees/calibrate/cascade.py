"""A certificate for the scores of a cascade's check, for each model by itself, or a refusal.

**What is promised**, of one model: of all requests that it answers first, those that are escalated included,
the mean loss of quality is at most epsilon, with confidence 1 - delta over the samples, when answers of the
threshold and more go out. The loss of an answer that goes out is by how much the dearer one is better,
nothing where it is not; one that is escalated loses nothing.

That is what `routing` certifies of a router, with the check's score in the place of the router's: the
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
    """Of the models that something was shown for; None: of none."""
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
    """What was found, in plain lines."""
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
