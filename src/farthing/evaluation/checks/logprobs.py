"""How confident a model was in the tokens of its answer.

Three measures, each from 0 to 1. Their value differs by model and task (Gupta et al., "Language Model
Cascades: Token-Level Uncertainty and Beyond", ICLR 2024, section 3: the mean and the minimum over tokens rank
answers differently), so no measure has a default threshold: it must be calibrated.
"""

from collections.abc import Sequence
from math import exp, isfinite
from typing import Literal

from farthing.evaluation.checks.threshold import NO_DOUBT, Floor, Unchecked
from farthing.protocols import Ask
from farthing.types import CandidateAnswer, CheckResult

Measure = Literal["mean", "min", "margin"]
ALTERNATIVES: dict[Measure, int] = {"mean": 0, "min": 0, "margin": 2}
"""`top_logprobs` that each measure needs from the provider."""


class LogprobsCheck:
    """Implements `protocols.AnswerCheck`. Asks nobody; the call must request logprobs beforehand."""

    def __init__(self, *, name: str, measure: Measure, floor: Floor) -> None:
        self.name = name
        self._measure: Measure = measure
        self._floor = floor

    async def doubt(self, draft: CandidateAnswer, ask: Ask) -> CheckResult:
        """See `protocols.AnswerCheck`.

        Raises:
            Unchecked: the provider gave no logprobs.
        """
        if draft.tool_calls or "tools" in draft.request.body:
            return NO_DOUBT
        score = measured(draft, self._measure)
        if score is None:
            raise Unchecked(f"{draft.target.name} gave no logprobs")
        return self._floor.judged(score, draft.target.name, f"{self._measure} of token probabilities")


def measured(draft: CandidateAnswer, measure: Measure) -> float | None:
    """The measure of a draft from 0 to 1; None if the provider gave no logprobs."""
    values = _usable(draft.margins if measure == "margin" else draft.logprobs)
    if not values:
        return None
    match measure:
        case "mean":
            return exp(sum(values) / len(values))
        case "min":
            return exp(min(values))
        case "margin":  # 1 - p2 / p1 of each token, 0 where another token was likelier than the chosen one
            return sum(1.0 - exp(-max(0.0, value)) for value in values) / len(values)


def _usable(values: Sequence[float] | None) -> list[float]:
    """Keep usable values: logprobs of at most 0, finite margins."""
    return [value for value in values or () if isfinite(value)]
