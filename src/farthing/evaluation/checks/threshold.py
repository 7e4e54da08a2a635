"""What the checks share that give an answer a score: from which score on it is good enough, and for whom."""

from collections.abc import Mapping

from msgspec import Struct

from farthing.types import CheckResult


class Unchecked(Exception):
    """The check could not be made: nothing is known. The message says why."""


class Floor(Struct, frozen=True, kw_only=True):
    """The score below which answers are doubted."""

    everywhere: float | None = None
    """For every model; wins over `models`."""
    models: Mapping[str, float] = {}
    """By target, as they were measured. A model that is not here is only observed."""

    def of(self, target: str) -> float | None:
        """None: answers of `target` are never doubted for their score."""
        return self.models.get(target) if self.everywhere is None else self.everywhere

    def judged(self, score: float, target: str, what: str) -> CheckResult:
        """The doubt that `score` comes to; `what` is its name in the reason."""
        floor = self.of(target)
        if floor is None or score >= floor:
            return CheckResult(reason=None, score=score)
        return CheckResult(reason=f"{what} {score:.3f}, under {floor:.3f}", score=score)


NO_DOUBT = CheckResult(reason=None)
