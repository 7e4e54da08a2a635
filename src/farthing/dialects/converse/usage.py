"""What Converse says it counted, in our terms.

`inputTokens` there leaves out what went by the prefix cache: ours holds it. Takes any JSON and never raises:
a count that cannot be read counts nothing.
"""

from typing import Any

from farthing.types import Json, Usage

TOKENS_MAX = 1_000_000_000  # of one call; more is no count
DETAILS_MAX = 100
_STANDARD = frozenset({"", "default", "standard"})


def read_usage(fields: Any, told: Json) -> Usage | None:
    """`fields` is the usage, `told` the answer or the event that it stands in, which says what ran; None when
    it counts nothing. Marked `estimated` where one of the two counts is missing."""
    if fields.__class__ is not dict:
        return None
    fresh, outputs = _count(fields.get("inputTokens")), _count(fields.get("outputTokens"))
    read, written = _count(fields.get("cacheReadInputTokens")), _count(fields.get("cacheWriteInputTokens"))
    hour = short = 0
    details = fields.get("cacheDetails")
    for one in details[:DETAILS_MAX] if details.__class__ is list else ():
        if one.__class__ is dict and one.get("ttl") == "1h":
            hour += _count(one.get("inputTokens"))
        elif one.__class__ is dict:
            short += _count(one.get("inputTokens"))
    short += max(0, written - short - hour)
    inputs = fresh + read + short + hour
    if not inputs and not outputs:
        return None
    return Usage(
        input_tokens=inputs,
        output_tokens=outputs,
        cached_tokens=read,
        estimated=not inputs or not outputs,
        cache_write_5m_tokens=short,
        cache_write_1h_tokens=hour,
        tier=_tier(told),
    )


def _tier(told: Json) -> str:
    """The service tier that ran, else the latency that was paid for; empty: the standard ones."""
    for field, name in (("serviceTier", "type"), ("performanceConfig", "latency")):
        held = told.get(field)
        said = held.get(name) if held.__class__ is dict else None
        if said.__class__ is str and said.lower() not in _STANDARD:
            return str(said)[:40].lower()
    return ""


def _count(value: Any) -> int:
    if value.__class__ is float and value.is_integer():
        value = int(value)
    return value if value.__class__ is int and 0 <= value < TOKENS_MAX else 0
