"""What Messages says it counted, in our terms, and back.

`input_tokens` there leaves out what went by the prefix cache: ours holds it. In a stream `message_delta`
repeats the counts so far, so each that it names takes the place of the one before, and those it lacks stay.
Takes any JSON and never raises: a count that cannot be read counts nothing.
"""

import math
import re
from typing import Any

from farthing.types import Json, Usage

TOKENS_MAX = 1_000_000_000  # of one call; more is no count
STANDARD = frozenset({"", "standard", "standard_only", "default", "auto"})
NOWHERE = frozenset({"", "global", "not_available"})
FREE_USES = frozenset({"web_fetch", "tool_search"})  # of server tools whose tokens are all they cost
FEES_MAX = 16  # kinds of them
ITERATIONS_MAX = 1_000
OWN_COUNTS = frozenset({"message"})
"""Kinds of iterations whose tokens are in the totals."""
ADDED_COUNTS = frozenset({"compaction"})
"""Kinds whose tokens are not, at the price of the same model."""

_NO_NAME = re.compile(r"[^a-z0-9_]+")
_TOKENS = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
_PROMPT = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


def merged(before: Json, later: Any) -> Json:
    """The usage of a stream so far, after a later event. Where that counts a prompt of nothing, as servers do
    that tell the prompt at the start alone, what was told of the prompt stays."""
    if later.__class__ is not dict:
        return before
    if not before:
        return later
    told = {name: value for name, value in later.items() if value is not None}
    if not any([_count(told.get(name)) for name in _PROMPT]):
        for name in (*_PROMPT, "cache_creation"):
            told.pop(name, None)
    if "cache_creation_input_tokens" in told and "cache_creation" not in told:
        split = before.get("cache_creation")
        if isinstance(split, dict) and _split_sum(split) != _count(told["cache_creation_input_tokens"]):
            told["cache_creation"] = None  # a split of other counts than these
    return {**before, **told}


def read_usage(fields: Any) -> Usage | None:
    """The usage of an answer, or the merged one of a stream; None when it counts nothing. Marked `estimated`
    where one of the two counts is missing, or tokens of another model are among them."""
    if fields.__class__ is not dict:
        return None
    fresh, outputs, cached, written = [_count(fields.get(name)) for name in _TOKENS]
    long = short = 0
    split = fields.get("cache_creation")
    if split.__class__ is dict:
        short, long = (
            _count(split.get("ephemeral_5m_input_tokens")),
            _count(split.get("ephemeral_1h_input_tokens")),
        )
    short += max(0, written - short - long)
    estimated = False
    iterations = fields.get("iterations")
    if iterations.__class__ is list:
        for one in iterations[:ITERATIONS_MAX]:
            if one.__class__ is not dict:
                continue
            kind = one.get("type")
            if kind.__class__ is str and kind in OWN_COUNTS:
                continue
            if kind.__class__ is not str or kind not in ADDED_COUNTS:
                estimated = True
                continue
            more = [_count(one.get(name)) for name in _TOKENS]
            fresh, outputs, cached = fresh + more[0], outputs + more[1], cached + more[2]
            short += more[3]
    inputs = fresh + cached + short + long
    fees = _fees(fields.get("server_tool_use"))
    if not inputs and not outputs and fees is None:
        return None
    details = fields.get("output_tokens_details")
    thought = _count(details.get("thinking_tokens")) if details.__class__ is dict else 0
    return Usage(
        input_tokens=inputs,
        output_tokens=outputs,
        cached_tokens=cached,
        reasoning_tokens=min(thought, outputs),
        estimated=estimated or not inputs or not outputs,
        cache_write_5m_tokens=short,
        cache_write_1h_tokens=long,
        tier=_tier(fields),
        region=_region(fields.get("inference_geo")),
        fees=fees,
    )


def _tier(fields: Json) -> str:
    for name in ("speed", "service_tier"):
        said = fields.get(name)
        if said.__class__ is str and said not in STANDARD:
            word = _name(said)
            if word not in STANDARD:
                return word
    return ""


def _region(said: Any) -> str:
    if said.__class__ is not str or said.strip().lower() in NOWHERE:
        return ""
    return f"inference_geo_{_name(said)}"


def _fees(told: Any) -> dict[str, int] | None:
    """Uses of tools that the provider charges by the use."""
    if told.__class__ is not dict:
        return None
    used: dict[str, int] = {}
    for key, value in told.items():
        name, count = _name(key.removesuffix("_requests")), _count(value)
        if count and name not in FREE_USES and len(used) < FEES_MAX:
            used[name] = count
    return used or None


def _name(said: str) -> str:
    return _NO_NAME.sub("_", said.strip().lower()[:40]).strip("_")


def _split_sum(split: Json) -> int:
    return sum(map(_count, split.values()))


def _count(value: Any) -> int:
    if value.__class__ is float and 0 <= value < TOKENS_MAX:  # which NaN is not
        value = math.ceil(value)
    return value if value.__class__ is int and 0 <= value < TOKENS_MAX else 0
