"""What an operation that is passed through used: tokens where its provider tells them, else what else it may
be charged by. Takes any JSON and never raises."""

from math import ceil
from typing import Any

from msgspec import Raw, Struct

from farthing.dialects.passing.operations import Passing
from farthing.types import Json, Usage

COUNT_MAX = 1_000_000_000_000
_INPUT = ("input_tokens", "prompt_tokens")
_OUTPUT = ("output_tokens", "completion_tokens")
_INPUT_DETAILS = ("input_tokens_details", "input_token_details", "prompt_tokens_details")
_OUTPUT_DETAILS = ("output_tokens_details", "output_token_details", "completion_tokens_details")


class Seen(Struct):
    """What is read of a whole answer, which may be megabytes of images."""

    usage: Any = None
    data: list[Raw] | None = None
    meta: Any = None
    duration: Any = None


def tokens_of(passing: Passing, told: Any) -> Usage | None:
    """What `told`, the `usage` of an answer, says. None: it tells no tokens."""
    if not isinstance(told, dict):
        return None
    given, made = _count(told, _INPUT), _count(told, _OUTPUT)
    if given is None and made is None:
        given = _count(told, ("total_tokens",))
    if given is None and made is None:
        return None
    given, made = given or 0, made or 0
    inner, outer = _details(told, _INPUT_DETAILS), _details(told, _OUTPUT_DETAILS)
    image_given = _part(inner, "image_tokens", given)
    audio_given = _part(inner, "audio_tokens", given - image_given)
    return Usage(
        input_tokens=given,
        output_tokens=made,
        cached_tokens=_part(inner, "cached_tokens", given - image_given - audio_given),
        audio_input_tokens=audio_given,
        audio_output_tokens=_made(passing, "audio", outer, made),
        image_input_tokens=image_given,
        image_output_tokens=_made(passing, "image", outer, made),
    )


def usage_of(passing: Passing, seen: Seen, asked: Json) -> Usage | None:
    """What a whole answer to `asked` used. None: nothing is told that could be charged for."""
    found = tokens_of(passing, seen.usage)
    return _by_the_use(_uses(passing, seen)) if found is None else found


def spoken(passing: Passing, asked: Json) -> Usage | None:
    """What is known of speech before it tells more: the characters to be read."""
    text = asked.get("input")
    return (
        _by_the_use({"characters": len(text)})
        if passing.output == "audio" and isinstance(text, str)
        else None
    )


def _uses(passing: Passing, seen: Seen) -> dict[str, int]:
    """Uses by the names of fees; empty: none that shows."""
    match passing.family:
        case "images":
            return {} if not seen.data else {"images": len(seen.data)}
        case "audio":
            told = seen.usage.get("seconds") if isinstance(seen.usage, dict) else seen.duration
            seconds = float(told) if isinstance(told, int | float) and 0 < told <= COUNT_MAX else 0.0
            return {"audio_seconds": ceil(seconds)} if seconds else {}
        case "rerank":
            billed = seen.meta.get("billed_units") if isinstance(seen.meta, dict) else None
            units = _count(billed, ("search_units",)) if isinstance(billed, dict) else None
            return {"search_units": units} if units else {}
        case _:
            return {}


def _by_the_use(uses: dict[str, int]) -> Usage | None:
    return Usage(fees=uses) if uses else None


def _made(passing: Passing, kind: str, details: Json, made: int) -> int:
    """How many tokens of output are of that kind: all of them where nothing else is told."""
    name = f"{kind}_tokens"
    if passing.output == kind and "text_tokens" not in details and name not in details:
        return made
    return _part(details, name, made)


def _count(told: Json, names: tuple[str, ...]) -> int | None:
    for name in names:
        value = told.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= COUNT_MAX:
            return value
    return None


def _details(told: Json, names: tuple[str, ...]) -> Json:
    return next((told[name] for name in names if isinstance(told.get(name), dict)), {})


def _part(details: Json, name: str, whole: int) -> int:
    """A part of `whole` that `details` tell; no more than that."""
    return min(_count(details, (name,)) or 0, whole)
