"""What `generateContent` says it counted (`usageMetadata`), in our terms.

Thoughts stand beside the candidates, and what tools put into the prompt beside the prompt; what was cached is
in it. In a stream each object repeats the counts so far. Takes any JSON and never raises: a count that cannot
be read counts nothing.
"""

from typing import Any

from farthing.dialects.chat.usage import UsageForm, read_fields, tier_of
from farthing.dialects.gemini.models import abilities
from farthing.types import Json, Usage, replace

_FORM = UsageForm(reasoning="inside")  # of the counts once the thoughts are added
SEARCH = "web_search"
_SEARCHES = ("webSearchQueries", "imageSearchQueries")


def read_usage(told: Any) -> Usage | None:
    """The usage of an answer; None when it counts nothing. Marked `estimated` where one of the two counts is
    missing."""
    return read_fields(told, _FORM) if told.__class__ is dict else None


def at_tier(usage: Usage, ran: str) -> Usage:
    """`usage` at the service tier that ran."""
    found: Usage = replace(usage, tier=tier_of(ran))
    return found


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
