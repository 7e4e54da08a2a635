"""What Messages says it counted, in our terms, and back.

`input_tokens` there leaves out what went by the prefix cache: ours holds it. In a stream `message_delta`
repeats the counts so far, so each that it names takes the place of the one before, and those it lacks stay.
Takes any JSON and never raises: a count that cannot be read counts nothing.
"""

import math
import re
from typing import Any

from farthing.types import Json, Usage, replace

TOKENS_MAX = 1_000_000_000  # of one call; more is no count
STANDARD = frozenset({"", "standard", "standard_only", "default", "auto"})
NOWHERE = frozenset({"", "global", "not_available"})
FREE_USES = frozenset({"web_fetch", "tool_search"})  # of server tools whose tokens are all they cost
FEES_MAX = 16  # kinds of them
ITERATIONS_MAX = 1_000
OTHERS_MAX = 8  # models that have a part in one call
MODEL_CHARS_MAX = 100
_Counts = tuple[int, int, int, int, int]
NOUGHT: _Counts = (0, 0, 0, 0, 0)
BATCH = "batch"
OWN_COUNTS = frozenset({"message"})
"""Kinds of iterations whose tokens are in the totals."""
ADDED_COUNTS = frozenset({"compaction"})
"""Kinds whose tokens are not, at the price of the same model."""

_NO_NAME = re.compile(r"[^a-z0-9_]+")
_NUMBER = re.compile(r"\s*\d{1,15}(?:\.\d{0,15})?\s*", re.ASCII)
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
    where one of the two counts is missing. What another model used, an adviser or the one that stood in, is
    in `others`."""
    if fields.__class__ is not dict:
        return None
    counts, others = _counts(fields), None
    iterations = fields.get("iterations")
    if iterations.__class__ is list:
        counts, others = _with_iterations(counts, iterations)
    fresh, outputs, cached, short, long = counts
    inputs = fresh + cached + short + long
    fees = _fees(fields.get("server_tool_use"))
    if not inputs and not outputs and fees is None and not others:
        return None
    details = fields.get("output_tokens_details")
    thought = _count(details.get("thinking_tokens")) if details.__class__ is dict else 0
    return Usage(
        input_tokens=inputs,
        output_tokens=outputs,
        cached_tokens=cached,
        reasoning_tokens=min(thought, outputs),
        estimated=not inputs or not outputs,
        cache_write_5m_tokens=short,
        cache_write_1h_tokens=long,
        tier=(tier := _tier(fields)),
        region=(region := _region(fields.get("inference_geo"))),
        fees=fees,
        others=others and {name: _beside(used, tier, region) for name, used in others.items()},
    )


def _with_iterations(total: _Counts, iterations: list[Any]) -> tuple[_Counts, dict[str, Usage] | None]:
    """The counts of the model that was asked, and what each other one used. What other models used is
    left out of the totals, or is in them, or is all of them: which, the sums tell."""
    own = added = theirs = NOUGHT
    by_model: dict[str, _Counts] = {}
    for one in iterations[:ITERATIONS_MAX]:
        if one.__class__ is not dict:
            continue
        kind, counts = one.get("type"), _counts(one)
        if kind.__class__ is str and kind in OWN_COUNTS:
            own = _sum(own, counts)
        elif kind.__class__ is str and kind in ADDED_COUNTS:
            added = _sum(added, counts)
        elif any(counts):
            name = _model(one)
            name = name if name in by_model or len(by_model) < OTHERS_MAX else "others"
            by_model[name] = _sum(by_model.get(name, NOUGHT), counts)
            theirs = _sum(theirs, counts)
    if by_model and any(own) and total in (theirs, _sum(own, theirs)):
        total = own
    others = {name: _used(counts) for name, counts in by_model.items()}
    return _sum(total, added), others or None


def _sum(one: _Counts, other: _Counts) -> _Counts:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2], one[3] + other[3], one[4] + other[4]


def _counts(fields: Json) -> _Counts:
    """Fresh input, output, read from the cache, written to it for 5 minutes, and for an hour."""
    fresh, outputs, cached, written = [_count(fields.get(name)) for name in _TOKENS]
    short = long = 0
    split = fields.get("cache_creation")
    if split.__class__ is dict:
        short = _count(split.get("ephemeral_5m_input_tokens"))
        long = _count(split.get("ephemeral_1h_input_tokens"))
    return fresh, outputs, cached, short + max(0, written - short - long), long


def _used(counts: _Counts) -> Usage:
    fresh, outputs, cached, short, long = counts
    return Usage(
        input_tokens=fresh + cached + short + long,
        output_tokens=outputs,
        cached_tokens=cached,
        cache_write_5m_tokens=short,
        cache_write_1h_tokens=long,
    )


def _beside(used: Usage, tier: str, region: str) -> Usage:
    """What another model used is in the same batch and region, at a speed of its own."""
    if tier != BATCH and not region:
        return used
    told: Usage = replace(used, tier=tier if tier == BATCH else "", region=region)
    return told


def _model(iteration: Json) -> str:
    """What the tokens of an iteration are priced by: its model, else its kind, which has no price."""
    for name in ("model", "type"):
        said = iteration.get(name)
        if said.__class__ is str and said:
            return str(said)[:MODEL_CHARS_MAX]
    return "unnamed"


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
    if value.__class__ is str and _NUMBER.fullmatch(value):
        value = float(value)
    if value.__class__ is float and 0 <= value < TOKENS_MAX:  # which NaN is not
        value = math.ceil(value)
    return value if value.__class__ is int and 0 <= value < TOKENS_MAX else 0
