"""What `generateContent` says it counted (`usageMetadata`), in our terms.

Thoughts stand beside the candidates, and what tools put into the prompt beside the prompt; what was cached is
in it. In a stream each object repeats the counts so far. Takes any JSON and never raises: a count that cannot
be read counts nothing.
"""

from typing import Any

from farthing.dialects.chat.usage import TOKENS_MAX, UsageForm, read_fields
from farthing.dialects.gemini.models import abilities
from farthing.types import Json, Usage, replace

_FORM = UsageForm(reasoning="inside")  # of the counts once the thoughts are added
_COUNTS = (
    "promptTokenCount", "toolUsePromptTokenCount", "candidatesTokenCount", "thoughtsTokenCount",
    "cachedContentTokenCount", "totalTokenCount",
)  # fmt: skip
_DETAILS = (
    "promptTokensDetails", "candidatesTokensDetails", "cacheTokensDetails", "toolUsePromptTokensDetails",
)  # fmt: skip
_PLAIN = frozenset((*_COUNTS, *_DETAILS))
SEARCH = "web_search"
_SEARCHES = ("webSearchQueries", "imageSearchQueries")


def read_usage(told: Any) -> Usage | None:
    """The usage of an answer; None when it counts nothing. Marked `estimated` where one of the two counts is
    missing."""
    if told.__class__ is not dict:
        return None
    usage = _plain(told)
    return read_fields(told, _FORM) if usage is None else usage


def _plain(told: Json) -> Usage | None:
    """The usage of text alone, whose counts add up, as that of nearly every object of a stream: quicker by
    far. None: it takes a closer look."""
    if not told.keys() <= _PLAIN:
        return None
    counts = [told.get(name, 0) for name in _COUNTS]
    for count in counts:
        if count.__class__ is not int or not 0 <= count < TOKENS_MAX:
            return None
    for name in _DETAILS:
        details = told.get(name)
        if details is not None and not _is_text(details):
            return None
    prompt, tools, said, thought, cached, total = counts
    inputs, outputs = prompt + tools, said + thought
    if not inputs or not outputs or inputs + outputs != total or cached > inputs:
        return None
    return Usage(input_tokens=inputs, output_tokens=outputs, cached_tokens=cached, reasoning_tokens=thought)


def _is_text(details: Any) -> bool:
    """Whether the counts by modality are of text alone."""
    if details.__class__ is not list or len(details) != 1:
        return False
    return details[0].__class__ is dict and details[0].get("modality") == "TEXT"


def with_searches(usage: Usage, grounding: Json, model: str) -> Usage:
    """`usage` with the searches that the answer rests on, as they are charged: each query, and at models
    before Gemini 3 the request that has led to some."""
    queries = sum(len([one for one in _list(grounding.get(name)) if one]) for name in _SEARCHES)
    if not queries and not _list(grounding.get("groundingChunks")):
        return usage
    count = max(queries, 1) if abilities(model).charges_queries else 1
    found: Usage = replace(usage, fees={SEARCH: count})
    return found


def stated(usage: Usage) -> Usage:
    """The usage of an answer in which nothing was said: that no output is counted is a count."""
    if not usage.input_tokens or usage.output_tokens:
        return usage
    found: Usage = replace(usage, estimated=False)
    return found


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
