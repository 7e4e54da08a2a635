"""Certificates of routing as `farthing calibrate route` makes them, for tests of what they allow."""

import time
from typing import Any

from farthing.guarantees.certificates.routing import RouteCertificate, RouteScope, Segment
from farthing.types import replace

ROUTER = "planted/1"


def certificate(endpoint: str = "faq", **changes: Any) -> RouteCertificate:
    """From a score of 0.8 on the cheap tier may answer; made now, and of requests of any kind."""
    made: RouteCertificate = replace(
        RouteCertificate(
            endpoint=endpoint,
            threshold=0.8,
            cheap_share=0.4,
            harm="regression",
            test="binomial",
            risk_max=0.02,
            delta=0.1,
            n=2_000,
            lost=12.0,
            p_value=0.01,
            train_n=600,
            audit_n=450,
            audit_lost=3.0,
            grid=(0.9, 0.8),
            segment_risk_max=0.06,
            segments=(),
            scope=RouteScope(router=ROUTER, cheap="cheap", expensive="expensive", policy=""),
            made_unix_s=time.time(),
            data_hash="0" * 16,
        ),
        **changes,
    )
    return made


def segment(name: str, result: Any = "holds") -> Segment:
    return Segment(name=name, n=300, lost=0.0, cheap_share=0.4, upper=0.01, result=result, more_needed=None)
