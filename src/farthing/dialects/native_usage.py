"""The usage objects of Gemini and of Bedrock's Converse under the names of chat. Pure.

Proxies in front of them hand the object on as it came, in an answer of OpenAI's form. Both count otherwise:
Gemini's candidates leave out the thoughts and its prompt what tools put there, Converse's input leaves out
what went by the prefix cache.
"""

from collections.abc import Callable, Iterable
from typing import Any

Count = Callable[[Any], int | None]

_MODALITIES = {"TEXT": "text_tokens", "AUDIO": "audio_tokens", "IMAGE": "image_tokens"}
_TRAFFIC = "ON_DEMAND_"  # before the tier that ran; alone it is the standard one
DETAILS_MAX = 100


def of_gemini(told: dict[str, Any], count: Count) -> dict[str, Any]:
    """`usageMetadata` as chat would have told it."""
    prompt = (count(told.get("promptTokenCount")) or 0) + (count(told.get("toolUsePromptTokenCount")) or 0)
    thoughts = count(told.get("thoughtsTokenCount")) or 0
    output = (
        count(told.get("candidatesTokenCount")) or count(told.get("responseTokenCount")) or 0
    ) + thoughts
    total = count(told.get("totalTokenCount"))
    inputs = _modalities((told.get("promptTokensDetails"), told.get("toolUsePromptTokensDetails")), count)
    cached = _modalities((told.get("cacheTokensDetails"),), count)
    outputs = told.get("candidatesTokensDetails") or told.get("responseTokensDetails")
    traffic = told.get("trafficType")
    return {
        "prompt_tokens": prompt or None,
        "completion_tokens": output if output or "candidatesTokenCount" in told else None,
        "total_tokens": total,
        "prompt_tokens_details": {
            **inputs,
            "cached_tokens": told.get("cachedContentTokenCount"),
            "cached_tokens_details": cached,
        },
        "completion_tokens_details": {**_modalities((outputs,), count), "reasoning_tokens": thoughts},
        "service_tier": traffic.removeprefix(_TRAFFIC) if str(traffic).startswith(_TRAFFIC) else None,
    }


def of_converse(told: dict[str, Any], count: Count) -> dict[str, Any]:
    """Converse's `usage` as chat would have told it."""
    read = count(told.get("cacheReadInputTokens")) or 0
    written = count(told.get("cacheWriteInputTokens")) or 0
    fresh, output = count(told.get("inputTokens")), told.get("outputTokens")
    lives: dict[str, int] = {}
    details = told.get("cacheDetails")
    for one in details[:DETAILS_MAX] if isinstance(details, list) else ():
        if isinstance(one, dict) and isinstance(one.get("ttl"), str):
            name = f"ttl_{one['ttl']}"
            lives[name] = lives.get(name, 0) + (count(one.get("inputTokens")) or 0)
    written = max(written, sum(lives.values()))
    return {
        "prompt_tokens": (fresh or 0) + read + written or None,
        "completion_tokens": output,
        "prompt_tokens_details": {
            "cached_tokens": read,
            "cache_write_tokens": written,
            "cache_write_tokens_details": lives,
        },
    }


def _modalities(lists: Iterable[Any], count: Count) -> dict[str, int]:
    found: dict[str, int] = {}
    for listed in lists:
        for one in listed[:DETAILS_MAX] if isinstance(listed, list) else ():
            modality = one.get("modality") if isinstance(one, dict) else None
            name = _MODALITIES.get(modality) if isinstance(modality, str) else None
            if name is not None:
                found[name] = found.get(name, 0) + (count(one.get("tokenCount")) or 0)
    return found
