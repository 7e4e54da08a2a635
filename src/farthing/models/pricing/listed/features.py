"""What litellm's list says that models can and cannot do, and the dates in their names."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from farthing.models.pricing.listed.prices import compact, number

CLAUDE = re.compile(r"(?:^|[./])claude")

WORDS = {
    "vision": ("supports_vision", "supports_image_input"),
    "audio_in": ("supports_audio_input",),
    "audio_out": ("supports_audio_output",),
    "video": ("supports_video_input",),
    "documents": ("supports_pdf_input",),
    "tools": ("supports_function_calling",),
    "parallel_tools": ("supports_parallel_function_calling",),
    "tool_choice": ("supports_tool_choice",),
    "forced_tools": ("supports_forced_tool_use",),
    "structured_output": ("supports_response_schema",),
    "reasoning": ("supports_reasoning",),
    "adaptive_thinking": ("supports_adaptive_thinking",),
    "prompt_caching": ("supports_prompt_caching",),
    "sampling": ("supports_sampling_params",),
    "prefill": ("supports_assistant_prefill",),
    "system_in_place": ("supports_mid_conversation_system",),
    "web_search": ("supports_web_search",),
    "computer_use": ("supports_computer_use",),
}
"""What a model can, and the fields that say so."""
INPUTS = {"image": "vision", "audio": "audio_in", "video": "video"}
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_EFFORTS_OF_ALL = frozenset({"low", "medium", "high"})
_ENDPOINTS = {
    "/v1/chat/completions": "chat",
    "/v1/responses": "responses",
    "/v1/messages": "messages",
    "/v1/completions": "completions",
    "/v1/batch": "batch",
}
_OPENAI = re.compile(r"(?:ft:)?(?:chat|codex|computer-use|daybreak|gpt|o\d)")
_OPENAI_AT = frozenset({"openai", "azure"})
"""Where OpenAI's models stand. One that reasons wants `max_completion_tokens`, and no sampling parameters."""
_DATE = re.compile(r"20\d\d-[01]\d-[0-3]\d")
_RELEASES = (
    re.compile(r"[-@](?P<y>20[2-3]\d)-?(?P<m>0[1-9]|1[0-2])-?(?P<d>0[1-9]|[12]\d|3[01])(?!\d)"),
    re.compile(r"-(?P<m>0[1-9]|1[0-2])-(?P<y>20[2-3]\d)(?!\d)"),
    re.compile(r"stral-(?:[a-z]+-)*(?P<y>2[3-9])(?P<m>0[1-9]|1[0-2])(?!\d)"),
)
"""Dates in names: of a day, of a month, and of a month as Mistral writes it (`-2411`)."""


def said_of(row: Mapping[str, Any], name: str, provider: str, mode: str) -> dict[str, Any]:
    """What the list says that a model can and cannot do, and its dates. What it does not say is in neither:
    a model is not taken to lack what a list leaves out."""
    can, cannot = _words(row)
    if CLAUDE.search(name):
        _of_claude(row, can, cannot)
    if "tool_choice" in can and "forced_tools" not in cannot and not CLAUDE.search(name):
        can.add("forced_tools")
    elif "tool_choice" in cannot:
        cannot.add("forced_tools")
    levels = _efforts(row, "reasoning" in can)
    if levels == ():
        cannot.add("effort")
    if provider in _OPENAI_AT and _OPENAI.match(name) and "reasoning" in can | cannot:
        (can if "reasoning" in can else cannot).add("max_completion_tokens")
        if "reasoning" in can:
            cannot.add("sampling")
    least = number(row.get("prompt_cache_min_tokens"))
    retires = row.get("deprecation_date")
    endpoints = [_ENDPOINTS[one] for one in row.get("supported_endpoints") or () if one in _ENDPOINTS]
    if not endpoints and mode == "responses":
        endpoints = ["responses"]
    return compact(
        {
            "can": " ".join(sorted(can - {"tool_choice"})),
            "cannot": " ".join(sorted(cannot - can - {"tool_choice"})),
            "efforts": " ".join(levels or ()),
            "cache_min": least,
            "endpoints": " ".join(endpoints),
            "retires": retires if isinstance(retires, str) and _DATE.fullmatch(retires) else None,
        }
    )


def _words(row: Mapping[str, Any]) -> tuple[set[str], set[str]]:
    """What it says in so many words, and by the media that go in and come out."""
    can, cannot = set[str](), set[str]()
    for word, fields in WORDS.items():
        values = [row[field] for field in fields if isinstance(row.get(field), bool)]
        if values:
            (can if any(values) else cannot).add(word)
    inputs = row.get("supported_modalities")
    if isinstance(inputs, list) and "text" in inputs:
        for medium, word in INPUTS.items():
            (can if medium in inputs else cannot).add(word)
    if "audio" in (row.get("supported_output_modalities") or ()):
        can.add("audio_out")
    return can, cannot


def _of_claude(row: Mapping[str, Any], can: set[str], cannot: set[str]) -> None:
    """The list counts a tool that is demanded as structured output, which is none of the model's."""
    native = row.get("supports_bedrock_native_structured_output")
    if not isinstance(native, bool):
        native = row.get("supports_native_structured_output")
    can.discard("structured_output")
    cannot.discard("structured_output")
    if isinstance(native, bool):
        (can if native else cannot).add("structured_output")


def _efforts(row: Mapping[str, Any], reasons: bool) -> tuple[str, ...] | None:
    """The values of `reasoning_effort` that a model takes; None: not said."""
    levels = row.get("reasoning_effort_levels")
    if isinstance(levels, list):
        return tuple(one for one in EFFORTS if one in levels)
    said = {one: row.get(f"supports_{one}_reasoning_effort") for one in EFFORTS}
    if not reasons or not any(isinstance(value, bool) for value in said.values()):
        return None
    return tuple(one for one in EFFORTS if said[one] or (said[one] is None and one in _EFFORTS_OF_ALL))


def released_by(name: str) -> str | None:
    """The date in the name of a model, `2024-07-18` or `2024-11`; None: it has none."""
    for pattern in _RELEASES:
        found = pattern.search(name)
        if found is not None:
            parts = found.groupdict()
            year = parts["y"] if len(parts["y"]) == 4 else f"20{parts['y']}"
            return "-".join(filter(None, (year, parts["m"], parts.get("d"))))
    return None


def bare_name(name: str) -> str:
    """What names a model at any provider: without vendor, place, date and version of the service."""
    bare = name.lower().rpartition("/")[2].partition("@")[0]
    bare = re.sub(r"-v\d+(?::\d+\w*)?$", "", bare)
    bare = re.sub(r"^(?:[a-z-]+\.)+(?=[a-z])", "", bare)
    for pattern in _RELEASES:
        bare = pattern.sub(lambda found: found[0] if "stral" in found[0] else "", bare)
    return bare.partition(":")[0].replace(".", "-")


def with_releases(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """`rows` with the dates of their release: that in the name, else the earliest in a name of the same model
    at any provider."""
    found = list(rows)
    earliest: dict[str, str] = {}
    for row in found:
        date = released_by(row["model"])
        if date is not None and len(date) == 10:
            bare = bare_name(row["model"])
            earliest[bare] = min(date, earliest.get(bare, date))
    for row in found:
        date = released_by(row["model"]) or earliest.get(bare_name(row["model"]))
        if date is not None and row.get("operation") is None:
            row["released"] = date
    return found
