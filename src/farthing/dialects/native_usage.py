"""Usage objects of forms of their own under the names of chat. Pure.

Proxies hand the object on as it came, in an answer of OpenAI's form. Each counts otherwise: Gemini's
candidates leave out the thoughts and its prompt what tools put there, Converse's input leaves out what went
by the prefix cache, Cohere charges other counts than its tokens, an image model writes no text.
"""

from collections.abc import Callable, Iterable
from typing import Any

Count = Callable[[Any], int | None]

_MODALITIES = {"TEXT": "text_tokens", "AUDIO": "audio_tokens", "IMAGE": "image_tokens"}
_TRAFFIC = "ON_DEMAND_"  # before the tier that ran; alone it is the standard one
_IMAGES = {"text_tokens", "image_tokens"}
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
            "cached_tokens": told.get("cachedContentTokenCount") or 0,  # a 0 is left out
            "cached_tokens_details": cached,
        },
        "completion_tokens_details": {**_modalities((outputs,), count), "reasoning_tokens": thoughts},
        "service_tier": traffic.removeprefix(_TRAFFIC) if isinstance(traffic, str) else None,
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


def of_cohere(told: dict[str, Any]) -> dict[str, Any]:
    """Cohere's `usage` as chat would have told it: what it charges is in `billed_units`."""
    units = told.get("billed_units")
    units = units if isinstance(units, dict) else {}
    tokens = told.get("tokens")
    return {
        **(tokens if isinstance(tokens, dict) else {}),
        **units,
        "num_search_queries": units.get("search_units"),
    }


def of_ollama(told: dict[str, Any]) -> dict[str, Any]:
    """Ollama's own counts as chat would have told them."""
    return {"prompt_tokens": told.get("prompt_eval_count"), "completion_tokens": told.get("eval_count")}


def of_images(told: dict[str, Any]) -> dict[str, Any]:
    """The `usage` of an image model as chat would have told it: what it writes is images, where it says no
    more of it."""
    return {**told, "output_tokens_details": {"image_tokens": told.get("output_tokens")}}


def is_of_images(told: dict[str, Any]) -> bool:
    """Whether a usage that tells text and images of the input, and nothing of the output, is an image
    model's: a model that writes text tells what was cached and what was thought."""
    details = told.get("input_tokens_details")
    return isinstance(details, dict) and details.keys() == _IMAGES and not told.get("output_tokens_details")


def _modalities(lists: Iterable[Any], count: Count) -> dict[str, int]:
    found: dict[str, int] = {}
    for listed in lists:
        for one in listed[:DETAILS_MAX] if isinstance(listed, list) else ():
            modality = one.get("modality") if isinstance(one, dict) else None
            name = _MODALITIES.get(modality) if isinstance(modality, str) else None
            if name is not None:
                found[name] = found.get(name, 0) + (count(one.get("tokenCount")) or 0)
    return found
