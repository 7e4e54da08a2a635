"""What Messages says it counted, in our terms, and back.

`input_tokens` there leaves out what went by the prefix cache: ours holds it. In a stream `message_delta`
repeats the counts so far, so each that it names takes the place of the one before, and those it lacks stay.
Takes any JSON and never raises: a count that cannot be read counts nothing.
"""

import math
import re
from typing import Any, NamedTuple

from farthing.types import Json, Pass, Usage

TOKENS_MAX = 1_000_000_000  # of one call; more is no count
STANDARD = frozenset({"", "standard", "standard_only", "default", "auto"})
NOWHERE = frozenset({"", "global", "not_available"})
FREE_USES = frozenset({"web_fetch", "tool_search"})  # of server tools whose tokens are all they cost
FEES_MAX = 16  # kinds of them
ITERATIONS_MAX = 1_000
FIELDS_MAX = 100  # of a usage; Anthropic has a dozen
RUNS_MAX = 16  # of models within one call that are kept apart, of each of three kinds
MODEL_CHARS_MAX = 100
_Counts = tuple[int, int, int, int, int]
_Run = tuple[str, _Counts]
"""Its model, empty for the one that was asked, and its counts."""
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
_METRICS = "amazon-bedrock-invocationMetrics"
_OF_METRICS = {
    "input_tokens": "inputTokenCount",
    "output_tokens": "outputTokenCount",
    "cache_read_input_tokens": "cacheReadInputTokenCount",
    "cache_creation_input_tokens": "cacheWriteInputTokenCount",
}
"""What Bedrock's metrics call the counts of a usage; the cache is no part of their input either."""
_FIELDS = (
    *_TOKENS, "cache_creation", "iterations", "output_tokens_details", "server_tool_use", "service_tier",
    "speed", "inference_geo",
)  # fmt: skip
"""All that is read."""


def merged(before: Json, later: Any) -> Json:
    """The usage of a stream so far, after a later event. Where that counts a prompt of nothing, as servers do
    that tell the prompt at the start alone, what was told of the prompt stays."""
    if later.__class__ is not dict:
        return before
    if len(before) + len(later) > FIELDS_MAX:  # names that nobody knows, more with each event
        later = {name: later[name] for name in _FIELDS if name in later}
    if not before:
        return dict(later)
    told = {name: value for name, value in later.items() if value is not None}
    if not any([_count(told.get(name)) for name in _PROMPT]):
        for name in (*_PROMPT, "cache_creation"):
            told.pop(name, None)
    if "cache_creation_input_tokens" in told and "cache_creation" not in told:
        split = before.get("cache_creation")
        if isinstance(split, dict) and _split_sum(split) != _count(told["cache_creation_input_tokens"]):
            told["cache_creation"] = None  # a split of other counts than these
    return {**before, **told}


def last_counts(event: Json, before: Json) -> Json:
    """What a `message_stop` counts: at Bedrock alone it has a usage, or metrics of its own, and they may be
    first to tell what went by the prefix cache. `before`: the counts so far, which metrics only fill up."""
    usage, metrics = event.get("usage"), event.get(_METRICS)
    told: Json = usage if usage.__class__ is dict else {}
    if metrics.__class__ is not dict:
        return told
    found = {
        name: metrics.get(theirs)
        for name, theirs in _OF_METRICS.items()
        if not _count(told.get(name)) and not _count(before.get(name)) and _count(metrics.get(theirs))
    }
    return {**told, **found}


class Runs(NamedTuple):
    """The runs of models within one call: in its totals, added to them, and of other models."""

    own: list[_Run]
    added: list[_Run]
    theirs: list[_Run]


def runs_of(iterations: Any) -> Runs | None:
    """The runs that a usage lists; None: it lists none."""
    if iterations.__class__ is not list:
        return None
    found = Runs([], [], [])
    for one in iterations[:ITERATIONS_MAX]:
        if one.__class__ is not dict:
            continue
        kind, counts = one.get("type"), _counts(one)
        if not any(counts):
            continue
        if kind.__class__ is str and kind in OWN_COUNTS:
            _add(found.own, ("", counts))
        elif kind.__class__ is str and kind in ADDED_COUNTS:
            _add(found.added, ("", counts))
        else:
            _add(found.theirs, (_model(one), counts))
    return found


def read_usage(fields: Any) -> Usage | None:
    """The usage of an answer; None when it counts nothing. Marked `estimated` where one of the two counts is
    missing. What another model used, an adviser or the one that stood in, is in `passes` alone."""
    if fields.__class__ is not dict:
        return None
    return usage_of(fields, runs_of(fields.get("iterations")))


def usage_of(fields: Json, listed: Runs | None) -> Usage | None:
    """As `read_usage`, of the merged usage of a stream, whose `iterations` are read already."""
    counts, runs = _counts(fields), None
    if listed is not None:
        counts, runs = _with_runs(counts, listed)
    fresh, outputs, cached, short, long = counts
    inputs = fresh + cached + short + long
    fees = _fees(fields.get("server_tool_use"))
    if not inputs and not outputs and fees is None and not runs:
        return None
    details = fields.get("output_tokens_details")
    thought = _count(details.get("thinking_tokens")) if details.__class__ is dict else 0
    tier, region = _tier(fields), _region(fields.get("inference_geo"))
    return Usage(
        input_tokens=inputs,
        output_tokens=outputs,
        cached_tokens=cached,
        reasoning_tokens=min(thought, outputs),
        estimated=not inputs or not outputs,
        cache_write_5m_tokens=short,
        cache_write_1h_tokens=long,
        tier=tier,
        region=region,
        fees=fees,
        passes=tuple(_pass(model, used, tier, region) for model, used in runs) if runs else None,
    )


def _with_runs(total: _Counts, listed: Runs) -> tuple[_Counts, list[_Run] | None]:
    """The counts of the model that was asked, and each run of a model; None: there was but one. What other
    models used is left out of the totals, or is in them, or is all of them: which, the sums tell."""
    own, added, theirs = listed
    told, others = _sum(*own), _sum(*theirs)
    if own and theirs and total in (others, _sum(("", told), ("", others))):
        total = told
    if any(total) and total != told:
        own = [("", total)]
    runs = [*own, *added, *theirs]
    return _sum(("", total), *added), runs if len(runs) > 1 or theirs else None


def _add(runs: list[_Run], run: _Run) -> None:
    """Add a run, or its counts to those of the same model where there are too many."""
    if len(runs) < RUNS_MAX:
        runs.append(run)
        return
    model, counts = run
    same = next((place for place, (name, _) in enumerate(runs) if name == model), -1)
    runs[same] = (model if runs[same][0] == model else "others", _sum(runs[same], ("", counts)))


def _sum(*runs: _Run) -> _Counts:
    fresh, outputs, cached, short, long = NOUGHT
    for _, one in runs:
        fresh, outputs, cached = fresh + one[0], outputs + one[1], cached + one[2]
        short, long = short + one[3], long + one[4]
    return fresh, outputs, cached, short, long


def _counts(fields: Json) -> _Counts:
    """Fresh input, output, read from the cache, written to it for 5 minutes, and for an hour."""
    fresh, outputs, cached, written = [_count(fields.get(name)) for name in _TOKENS]
    short = long = 0
    split = fields.get("cache_creation")
    if split.__class__ is dict:
        short = _count(split.get("ephemeral_5m_input_tokens"))
        long = _count(split.get("ephemeral_1h_input_tokens"))
    return fresh, outputs, cached, short + max(0, written - short - long), long


def _pass(model: str, counts: _Counts, tier: str, region: str) -> Pass:
    """Another model is in the same batch and region, and has a speed of its own."""
    fresh, outputs, cached, short, long = counts
    used = Usage(
        input_tokens=fresh + cached + short + long,
        output_tokens=outputs,
        cached_tokens=cached,
        cache_write_5m_tokens=short,
        cache_write_1h_tokens=long,
        tier=tier if not model or tier == BATCH else "",
        region=region,
    )
    return Pass(model=model, usage=used)


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
