"""A complete answer as checks read it: text, tool calls, and the model's confidence. Pure functions."""

import math
from collections.abc import Sequence
from typing import Any, TypeGuard

from farthing.models.calling.request import CallResult
from farthing.text.lenient_json import NotJson, read_json
from farthing.types import CandidateAnswer, Json, Request


def draft_of(request: Request, result: CallResult) -> CandidateAnswer:
    """What `result` contains, as checks read it. Parts whose shape is not OpenAI's are left out."""
    whole: Any = None
    finish_reason: str | None = None
    if result.reply is not None:
        whole, finish_reason = _decoded(result.reply.body), result.reply.finish_reason
    elif result.stream is not None:
        whole, finish_reason = result.stream.held_whole(), result.stream.reader.finish_reason
    choice = _first(whole.get("choices")) if isinstance(whole, dict) else {}
    message = choice.get("message")
    message = message if isinstance(message, dict) else {}
    said = choice.get("logprobs")
    tokens = said.get("content") if isinstance(said, dict) else None
    logprobs, margins = _measures(tokens if isinstance(tokens, list) else ())
    return CandidateAnswer(
        request=request,
        target=result.target,
        text=_text(message.get("content")),
        finish_reason=finish_reason,
        logprobs=logprobs or None,
        margins=margins or None,
        tool_calls=_tool_calls(message),
    )


def _first(items: Any) -> Json:
    return items[0] if isinstance(items, list) and items and isinstance(items[0], dict) else {}


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else ()
    return "".join(str(part.get("text") or "") for part in parts if isinstance(part, dict))


def _tool_calls(message: Json) -> tuple[tuple[str, str], ...]:
    calls = message.get("tool_calls")
    functions = (
        [one.get("function") for one in calls if isinstance(one, dict)] if isinstance(calls, list) else []
    )
    found = [*functions, message.get("function_call")]
    return tuple(
        (str(one.get("name")), str(one.get("arguments") or "")) for one in found if isinstance(one, dict)
    )


def _measures(tokens: Sequence[Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The logprob of each token, and its margin over the next likely token where that is given."""
    logprobs: list[float] = []
    margins: list[float] = []
    for token in tokens:
        logprob = token.get("logprob") if isinstance(token, dict) else None
        if not _number(logprob):
            continue
        logprobs.append(min(0.0, logprob))
        top = token.get("top_logprobs")
        others = [
            one["logprob"]
            for one in (top if isinstance(top, list) else ())
            if isinstance(one, dict)
            and one.get("token") != token.get("token")
            and _number(one.get("logprob"))
        ]
        if others:
            margins.append(logprob - max(others))
    return tuple(logprobs), tuple(margins)


def _number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


def _decoded(body: bytes) -> Any:
    try:
        return read_json(body)
    except NotJson:  # only what accounting needs was read of it before
        return None
