"""The threshold that checks with a score share: from which score an answer is good enough, per model."""

from collections.abc import Mapping

from msgspec import Struct

from farthing.types import CheckResult


class Unchecked(Exception):
    """The check could not be made, so nothing is known. The message says why."""


class Floor(Struct, frozen=True, kw_only=True):
    """The score below which answers are doubted."""

    everywhere: float | None = None
    """For every model; wins over `models`."""
    models: Mapping[str, float] = {}
    """By target, as measured. A model that is absent is only observed."""

    def of(self, target: str) -> float | None:
        """None: the score never makes answers of `target` doubtful."""
        return self.models.get(target) if self.everywhere is None else self.everywhere

    def judged(self, score: float, target: str, what: str) -> CheckResult:
        """The result for `score`; `what` names the score in the reason."""
        floor = self.of(target)
        if floor is None or score >= floor:
            return CheckResult(reason=None, score=score)
        return CheckResult(reason=f"{what} {score:.3f}, under {floor:.3f}", score=score)


NO_DOUBT = CheckResult(reason=None)
