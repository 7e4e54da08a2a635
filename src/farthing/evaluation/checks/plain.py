"""What the answer alone shows: empty, cut off, a refusal."""

from farthing.evaluation.checks.confidence import low_confidence
from farthing.evaluation.checks.threshold import NO_DOUBT
from farthing.protocols import Ask
from farthing.types import CandidateAnswer, CheckResult


class PlainCheck:
    """Implements `protocols.AnswerCheck`. Asks nobody."""

    def __init__(self, name: str = "plain") -> None:
        self.name = name

    async def doubt(self, draft: CandidateAnswer, ask: Ask) -> CheckResult:
        """See `protocols.AnswerCheck`. Uses logprobs only if the client itself asked for them: their value
        differs by model, and the check `logprobs` measures it."""
        if draft.tool_calls:
            return NO_DOUBT  # the calls are the answer; some providers end them with `stop`
        logprobs = draft.logprobs if draft.request.body.get("logprobs") is True else None
        finish_reason = draft.finish_reason
        if finish_reason == "length" and draft.request.output_tokens_max is not None:
            finish_reason = None  # the client's own limit, which applies to the expensive model too
        return CheckResult(reason=low_confidence(draft.text, finish_reason, logprobs))
