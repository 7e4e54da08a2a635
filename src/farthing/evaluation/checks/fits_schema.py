"""Whether an answer is the JSON that its request asked for: `response_format`, and tool arguments."""

import asyncio
from typing import Any

from farthing.evaluation.checks.schema import STEPS_MAX, check_json, schema_of
from farthing.evaluation.checks.threshold import NO_DOUBT
from farthing.protocols import Ask
from farthing.types import CandidateAnswer, CheckResult, Json

TOOL_CALLS_MAX = 64  # checked per answer


class SchemaCheck:
    """Implements `protocols.AnswerCheck`. Asks nobody; a schema is checked in a thread."""

    def __init__(self, *, name: str = "schema", schema: Any = None) -> None:
        """`schema` applies to every answer that is not a tool call; None: the request's own schema."""
        self.name = name
        self._schema = schema

    async def doubt(self, draft: CandidateAnswer, ask: Ask) -> CheckResult:
        """See `protocols.AnswerCheck`.

        Raises:
            CannotTell: the schema is invalid, or too expensive to check.
        """
        if draft.tool_calls:
            return await asyncio.to_thread(_of_calls, draft)
        schema = schema_of(draft.request) if self._schema is None else self._schema
        if schema is None:
            return NO_DOUBT
        return CheckResult(reason=await asyncio.to_thread(check_json, draft.text, schema))


def _of_calls(draft: CandidateAnswer) -> CheckResult:
    """The first tool call that does not fit the request's tools."""
    known = _parameters(draft.request.body)
    calls = draft.tool_calls[:TOOL_CALLS_MAX]
    steps_max = STEPS_MAX // len(calls)
    for name, arguments in calls:
        if name not in known:
            return CheckResult(reason="calls a tool that does not exist")
        fault = check_json(arguments or "{}", known[name], steps_max=steps_max)
        if fault is not None:
            return CheckResult(reason=f"arguments of a tool: {fault}")
    return NO_DOUBT


def _parameters(body: Json) -> dict[str, Any]:
    """The schema of the arguments of each tool in the request; None if it has none."""
    found: dict[str, Any] = {}
    functions = [tool.get("function") for tool in _listed(body.get("tools")) if isinstance(tool, dict)]
    for function in [*functions, *_listed(body.get("functions"))]:
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            found[function["name"]] = function.get("parameters")
    return found


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
