"""How models are shown: a table of 80 columns, and JSON."""

from collections.abc import Sequence
from typing import Any

from farthing.models.pricing.catalogue import price_on
from farthing.types import NOTHING_SAID, Model

LETTERS = {
    "vision": "V",
    "audio_in": "A",
    "documents": "D",
    "tools": "T",
    "structured_output": "S",
    "reasoning": "R",
    "prompt_caching": "C",
}
LEGEND = "can: Vision, Audio, Documents, Tools, Structured output, Reasoning, Caching"
_CELLS = (("input", 8), ("output", 8), ("window", 7), ("can", 8), ("until", 11))


def table(models: Sequence[Model], width: int) -> list[str]:
    """A row for each model; a name too long for its column has a row of its own before the rest."""
    room = width - sum(size for _, size in _CELLS)
    head = f"{'$ per million tokens':<{room}}" + "".join(f"{name:>{size}}" for name, size in _CELLS)
    lines = [head]
    for model in models:
        name, cells = (
            f"{model.provider}/{model.model}",
            "".join(f"{value:>{size}}" for value, (_, size) in zip(_cells(model), _CELLS, strict=True)),
        )
        if len(name) >= room:
            lines.append(name)
            name = ""
        lines.append(f"{name:<{room}}{cells}".rstrip())
    return [*lines, LEGEND]


def _cells(model: Model) -> tuple[str, ...]:
    price = price_on(model)
    can = "".join(letter for word, letter in LETTERS.items() if word in model.features.can)
    unknown = "?" if model.features is NOTHING_SAID else "-"
    return (
        "?" if price is None else _usd(price.input_pusd),
        "?" if price is None else _usd(price.output_pusd),
        _tokens(model.context_tokens_max),
        can or unknown,
        model.retires or ("deprecated" if model.deprecated else ""),
    )


def _usd(pusd: int) -> str:
    return f"{pusd / 1e6:.4g}"


def _tokens(count: int | None) -> str:
    if count is None:
        return "?"
    return f"{count / 1e6:.3g}M" if count >= 1_000_000 else f"{count / 1e3:.4g}k"


def entry_of(model: Model) -> dict[str, Any]:
    price, features = price_on(model), model.features
    return {
        "name": f"{model.provider}/{model.model}",
        "provider": model.provider,
        "model": model.model,
        "operation": model.operation,
        "context_tokens_max": model.context_tokens_max,
        "output_tokens_max": model.output_tokens_max,
        "usd_per_million_tokens": price
        and {
            "input": price.input_pusd / 1e6,
            "output": price.output_pusd / 1e6,
            "cached_input": price.cached_input_pusd and price.cached_input_pusd / 1e6,
        },
        "can": sorted(features.can),
        "cannot": sorted(features.cannot),
        "efforts": features.efforts,
        "endpoints": features.endpoints,
        "cache_tokens_min": features.cache_tokens_min,
        "released": model.released or None,
        "retires": model.retires or None,
        "deprecated": model.deprecated,
        "sources": model.checked or None,
    }
