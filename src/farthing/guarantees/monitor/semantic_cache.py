"""Monitors the false-hit rate of each endpoint and partition, and stops serving where it is at risk.

An outcome is an audited would-be hit. `farthing.guarantees.monitor.error_rate` describes the tests, and how a
trip begins and ends. A tripped endpoint or partition answers from exact hits alone.
"""

import logging
import time
from collections.abc import Callable, Mapping

from farthing.guarantees.monitor.error_rate import ErrorRateMonitor, Terms, Words
from farthing.types import Semantics

WORDS = Words(
    log=logging.getLogger("farthing.cache"),
    subject="the semantic cache of",
    outcomes="audited hits",
    trips="has tripped the monitor and serves only exact hits",
    returns="serves again",
    part="partition",
    parts="partitions",
    name=lambda partition: partition.hex()[:16],
)


class SequentialBound(ErrorRateMonitor):
    """The `HitBound`: an e-process for each endpoint and partition."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives Unix seconds."""
        super().__init__(WORDS, clock=clock)

    def configure(self, terms: Mapping[str, Semantics]) -> None:
        """Set the bounds of all endpoints with a semantic cache, as `hold_to` does."""
        self.hold_to(
            {
                endpoint: Terms(
                    risk_max=semantics.risk_max,
                    confidence=semantics.confidence,
                    threshold=semantics.threshold,
                    serving=semantics.mode == "on",
                )
                for endpoint, semantics in terms.items()
            }
        )
