"""Whether a command that the endpoint names, such as a unit test, accepts an answer."""

import asyncio
from collections.abc import Sequence

from farthing.evaluation.checks import command
from farthing.evaluation.checks.threshold import NO_DOUBT, Unchecked
from farthing.protocols import Ask
from farthing.types import CandidateAnswer, CheckResult

AT_ONCE_MAX = 4  # over all requests; more would starve the gateway


class CommandCheck:
    """Implements `protocols.AnswerCheck`. Asks nobody, and starts a process per answer. One event loop."""

    def __init__(
        self, *, name: str, arguments: Sequence[str], timeout_s: float, memory_bytes_max: int
    ) -> None:
        self.name = name
        self._arguments = tuple(arguments)
        self._timeout_s = timeout_s
        self._memory_bytes_max = memory_bytes_max
        self._room = asyncio.Semaphore(AT_ONCE_MAX)

    async def doubt(self, draft: CandidateAnswer, ask: Ask) -> CheckResult:
        """See `protocols.AnswerCheck`.

        Raises:
            Unchecked: the command could not be started.
        """
        if draft.tool_calls:
            return NO_DOUBT
        async with self._room:
            ran = await command.run(
                self._arguments,
                draft.text,
                question=draft.request.text,
                timeout_s=self._timeout_s,
                memory_bytes_max=self._memory_bytes_max,
            )
        if ran.passed is None:
            raise Unchecked(ran.reason)
        return NO_DOUBT if ran.passed else CheckResult(reason=ran.reason)
