"""Passes the results of comparing and grading answers to the ledger and to the monitor."""

from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from farthing.evaluation.judges.preference import QUALITIES, Outcome
from farthing.protocols import Ledger, RouteAudit
from farthing.types import Signal

DETAIL_CHARS_MAX = 200


class Case(Struct, frozen=True, kw_only=True, tag="pair"):
    """Two answers to one request, and which targets gave them. No text of either."""

    request_id: str
    """Of the client's request."""
    tenant: str
    endpoint: str
    cheap: str
    """The cheap answer's tier."""
    expensive: str
    cheap_target: str
    expensive_target: str


class Given(Struct, frozen=True, kw_only=True, tag="one"):
    """One answer that a client received."""

    request_id: str
    tenant: str
    endpoint: str
    target: str


class Verdicts:
    """Writes signals, and informs the monitor. Quick; never raises."""

    def __init__(
        self, ledger: Ledger, audit: RouteAudit | None, *, clock_unix_s: Callable[[], float]
    ) -> None:
        """`audit` None: there is no monitor."""
        self.audit = audit
        self._ledger = ledger
        self._clock_unix_s = clock_unix_s

    def preferred(self, case: Case, outcome: Outcome) -> None:
        """A judge's verdict on a pair, or why there is none."""
        qualities = (None, None) if outcome.better is None else QUALITIES[outcome.better]
        self.compared(case, qualities, "judge", "pairwise", outcome=outcome)
        self.end(case, _loss(qualities))

    def whole(self, case: Case, cut: str) -> None:
        """The cheap tier did not complete its answer; `cut` says why."""
        self.compared(case, (0.0, 1.0), "check", "complete", detail=cut)
        self.end(case, 1.0)

    def compared(
        self,
        case: Case,
        qualities: tuple[float | None, float | None],
        source: Literal["judge", "check"],
        kind: str,
        *,
        outcome: Outcome | None = None,
        detail: str = "",
    ) -> None:
        """Write both signals, the cheap tier's first; call `end` once for the pair afterwards."""
        sides = (
            (case.cheap, case.cheap_target, case.expensive),
            (case.expensive, case.expensive_target, case.cheap),
        )
        for (tier, target, other), quality in zip(sides, qualities, strict=True):
            self._ledger.signal(
                Signal(
                    request_id=case.request_id,
                    at_unix_s=self._clock_unix_s(),
                    source=source,
                    quality=quality,
                    kind=kind,
                    tier=tier,
                    target=target,
                    other=other,
                    by="" if outcome is None else outcome.by,
                    consistent=None if outcome is None else outcome.consistent,
                    tenant=case.tenant,
                    endpoint=case.endpoint,
                    detail=(detail if outcome is None else outcome.why_not)[:DETAIL_CHARS_MAX],
                )
            )

    def end(self, case: Case, loss: float | None) -> None:
        """The pair is finished. `loss` None: undecided."""
        if self.audit is not None:
            self.audit.lost(case.request_id, loss)

    def graded(self, given: Given, quality: float | None, by: str, why_not: str) -> None:
        """A judge's grade of one answer; None if the judge gave none."""
        self._ledger.signal(
            Signal(
                request_id=given.request_id,
                at_unix_s=self._clock_unix_s(),
                source="judge",
                quality=quality,
                kind="rubric",
                target=given.target,
                by=by,
                tenant=given.tenant,
                endpoint=given.endpoint,
                detail="" if quality is not None else why_not[:DETAIL_CHARS_MAX],
            )
        )


def _loss(qualities: tuple[float | None, float | None]) -> float | None:
    cheap, expensive = qualities
    return None if cheap is None or expensive is None else max(0.0, expensive - cheap)
