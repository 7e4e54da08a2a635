"""Inspects answers after delivery: repeats, checks, judges, and what another tier would have answered.

Only connects the parts; each is a module of its own.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Protocol

from msgspec import Struct

from farthing.evaluation.checks.delivered import Checking, Checks
from farthing.evaluation.feedback.repeats import Repeats
from farthing.types import CacheHit, Receipt, Request, Route


class Explorer(Protocol):  # jobs: shadow
    def explore(self, request: Request, route: Route, answer: CacheHit, receipt: Receipt) -> bool:
        """Ask the tier of `route.shadow` too and compare both answers. False: it will not happen."""


class Grader(Protocol):  # evaluation/judges: grade
    def grade(self, request: Request, answer: CacheHit, receipt: Receipt) -> bool:
        """Have a judge grade the answer by itself. False: it will not happen."""


class Watched(Struct, frozen=True, kw_only=True):
    """What is inspected of one endpoint's answers."""

    reask_s: float = 0.0
    judge_share: float = 0.0
    check_share: float = 0.0

    @property
    def looks(self) -> bool:
        """Whether answers are inspected, apart from those that are explored."""
        return self.judge_share > 0 or self.check_share > 0


class Inspect:
    """Implements `protocols.Inspector` for one configuration."""

    def __init__(
        self,
        watched: Mapping[str, Watched],
        *,
        repeats: Repeats,
        checks: Checks,
        checking: Checking,
        explore: Explorer | None,
        grade: Grader | None,
    ) -> None:
        """`watched` by endpoint. `explore` and `grade` None: no budget, or nobody to ask."""
        self._reask_s = {name: one.reask_s for name, one in watched.items() if one.reask_s > 0}
        self._watched = {name: one for name, one in watched.items() if one.looks}
        self.looks = explore is not None or bool(self._watched)
        """Whether any answer is inspected; otherwise only repeats are noted."""
        self._repeats = repeats
        self._checks = checks
        self._checking = checking
        self._explore = explore
        self._grade = grade

    def asked(self, request: Request, receipt: Receipt) -> None:
        within_s = self._reask_s.get(request.endpoint.name)
        if within_s is not None:
            self._repeats.asked(request, receipt, within_s)

    def wants(self, request: Request, route: Route) -> bool:
        if request.operation != "chat":
            return False
        if route.shadow is not None and self._explore is not None:
            return True
        watched = self._watched.get(request.endpoint.name)
        return watched is not None and (self._judges(request, watched) or self._tests(request, watched))

    def inspect(self, request: Request, route: Route, answer: CacheHit, receipt: Receipt) -> None:
        """An explored answer is judged together with the other one, and not a second time by itself."""
        if (
            route.shadow is not None
            and self._explore is not None
            and self._explore.explore(request, route, answer, receipt)
        ):
            return
        watched = self._watched.get(request.endpoint.name)
        if watched is None:
            return
        if self._tests(request, watched):
            self._checking.submit(self._checks, request, answer, receipt)
        if self._grade is not None and self._judges(request, watched):
            self._grade.grade(request, answer, receipt)

    def _judges(self, request: Request, watched: Watched) -> bool:
        return drawn(request, b"judge") < watched.judge_share

    def _tests(self, request: Request, watched: Watched) -> bool:
        return drawn(request, b"check") < watched.check_share


def drawn(request: Request, purpose: bytes) -> float:
    """A number in [0, 1) that depends only on the request's id, which no client chooses, and `purpose`."""
    return int.from_bytes(blake2b(request.id.encode(), digest_size=8, person=purpose).digest()) / 2**64
