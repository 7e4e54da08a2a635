"""Whether an answer contains a pattern that the endpoint requires, or one that it forbids."""

import re

from farthing.evaluation.checks.regex import Searcher
from farthing.evaluation.checks.threshold import NO_DOUBT, Unchecked
from farthing.protocols import Ask
from farthing.types import CandidateAnswer, CheckResult


class RegexCheck:
    """Implements `protocols.AnswerCheck`. Asks nobody."""

    def __init__(self, searcher: Searcher, *, name: str, pattern: re.Pattern[str], absent: bool) -> None:
        self.name = name
        self._searcher = searcher
        self._pattern = pattern
        self._absent = absent

    async def doubt(self, draft: CandidateAnswer, ask: Ask) -> CheckResult:
        """See `protocols.AnswerCheck`.

        Raises:
            Unchecked: the search took too long.
        """
        if draft.tool_calls:
            return NO_DOUBT
        found = await self._searcher.found(self._pattern, draft.text)
        if found is None:
            raise Unchecked("the search took too long")
        if found is self._absent:
            return CheckResult(reason="the pattern is found" if found else "the pattern is not found")
        return NO_DOUBT
