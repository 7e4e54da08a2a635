"""Reads litellm's price list (`model_prices_and_context_window.json`) as entries of ours.

Shared by `tools/build_catalogue.py` and `farthing models refresh`. What is taken for a slip is left out, as
that tool's documentation says: zero and absurd prices, models that are no text.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from msgspec import Struct

from farthing.models.pricing.bedrock import PLACES, REGIONAL_FACTOR
from farthing.models.pricing.listed.features import said_of
from farthing.models.pricing.listed.prices import PUSD_MAX, compact, litellm_price, number

PROVIDERS = {
    "openai": "openai",
    "anthropic": "anthropic",
    "gemini": "gemini",
    "groq": "groq",
    "mistral": "mistral",
    "deepseek": "deepseek",
    "openrouter": "openrouter",
    "together_ai": "together",
    "xai": "xai",
    "azure": "azure",
    "azure_ai": "azure",
    "bedrock": "bedrock",
    "bedrock_converse": "bedrock",
    "fireworks_ai": "fireworks",
    "fireworks_ai-embedding-models": "fireworks",
    "cerebras": "cerebras",
    "moonshot": "moonshot",
    "perplexity": "perplexity",
    "cohere": "cohere",
    "cohere_chat": "cohere",
    "deepinfra": "deepinfra",
    "novita": "novita",
    "baseten": "baseten",
    "minimax": "minimax",
    "zai": "zai",
    "ovhcloud": "ovhcloud",
}
VERTEX = "vertex_ai"
"""What its names of Vertex's publishers begin with."""
MODES = {"chat": "chat", "responses": "chat", "embedding": "embeddings"}
# A deployment's name does not tell its region, so of Azure only the global price is kept; a regional one is
# for the operator to state. Bedrock's regional prices differ by a factor (see `places`).
REGIONAL = re.compile(r"^(eu|us|global|global-standard|apac|[a-z]+-[a-z]+-\d|[a-z]+-gov-[a-z]+-\d)/")
NOT_TEXT = re.compile(
    r"whisper|tts|transcri|realtime|-image|audio|voice|moderation|-ocr|ocr-|rerank|-live|live-|orpheus|lyria|"
    r"translate|nano-banana|imagen|veo-|container|dall-e|sora|embedding-up-to|together-ai-|decider|sonic|"
    r"fireworks-ai-|canvas|stability|commitment|multimodalembedding|marengo",
    re.IGNORECASE,
)
# But these are chats that hear and speak, priced by tokens of audio.
HEARS = re.compile(r"(?:^|/)gpt-(?:4o-(?:mini-)?)?audio")
FIREWORKS = "accounts/fireworks/models/"


class Entry(Struct):
    """What one source says of one model. `exact`: the source names the model, not a family of names."""

    operation: str
    context: int | None
    output: int | None
    prices: list[dict[str, Any]]
    exact: bool = True
    more: dict[str, Any] = {}
    """What it can, and dates: further fields of the catalogue's row."""


Source = dict[tuple[str, str], Entry]


def not_text(name: str) -> bool:
    """Whether a name tells of a model that is no chat and embeds no text."""
    return bool(NOT_TEXT.search(name)) and not HEARS.search(name)


def believable(name: str, prices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    kept = [price for price in prices if max(price["in"], price["out"]) <= PUSD_MAX]
    if HEARS.search(name):
        kept = [price for price in kept if "audio_in" in price]  # as text it would be far too cheap
    for price in kept:
        if price.get("cached", 0) > price["in"]:
            del price["cached"]
        if price.get("tiers"):
            price["tiers"] = {n: t for n, t in price["tiers"].items() if max(t["in"], t["out"]) <= PUSD_MAX}
    return kept


def home_of(key: str, row: Mapping[str, Any]) -> tuple[str, str] | None:
    """The provider of a row of the list, and its name there; None: none that is known here."""
    listed = str(row.get("litellm_provider", ""))
    if listed.startswith(VERTEX):
        return "vertex", key.removeprefix(f"{VERTEX}/")
    provider = PROVIDERS.get(listed)
    if provider is None:
        return None
    name = key.removeprefix(f"{listed}/")
    if provider in ("azure", "bedrock") and REGIONAL.match(name):
        return None
    if provider == "bedrock":
        name = name.removeprefix("bedrock/").removeprefix("converse/")
        if "/" in name or "@" in name:
            return None
    if provider == "fireworks" and "/" not in name:
        name = FIREWORKS + name
    if provider == "perplexity":
        name = name.removeprefix("perplexity/")
    return provider, name


def read_list(rows: Mapping[str, Mapping[str, Any]]) -> Source:
    """The entries of the whole list. A row that is not understood is left out."""
    source: Source = {}
    # azure_ai after azure: the same name under both is an Azure OpenAI deployment. Prefixed names win.
    for key in sorted(
        rows, key=lambda key: (rows[key].get("litellm_provider") == "azure_ai", "/" not in key, key)
    ):
        row = rows[key]
        mode = str(row.get("mode", ""))
        operation, home = MODES.get(mode), home_of(key, row)
        if home is None or operation is None or not_text(home[1]):
            continue
        provider, name = home
        more = said_of(row, name, provider, mode)
        if operation != "chat":
            more = {field: value for field, value in more.items() if field == "retires"}
        source.setdefault(
            home,
            Entry(
                operation,
                number(row.get("max_input_tokens") or row.get("max_tokens")),
                number(row.get("max_output_tokens")) if operation == "chat" else None,
                litellm_price(dict(row), name, operation),
                more=more,
            ),
        )
    return source


def rows_of(source: Source) -> Iterator[dict[str, Any]]:
    """The rows of the catalogue that one source comes to, in order."""
    for (provider, name), entry in sorted(source.items(), key=lambda item: item[0]):
        yield compact(
            {
                "provider": provider,
                "model": name,
                "operation": "embeddings" if entry.operation == "embeddings" else None,
                "context": entry.context,
                "output": entry.output,
                "prices": believable(name, entry.prices),
                **entry.more,
            }
        )


def with_places(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """`rows` in which a model of Bedrock has the factor of those of its names that begin with a place, where
    the prices of all that are listed are the same multiple."""
    found = list(rows)
    by_name = {row["model"]: row for row in found if row["provider"] == "bedrock"}
    for name, row in by_name.items():
        base = by_name.get(f"global.{name}", row)
        multiples = [_factor(by_name.get(f"{place}.{name}"), base) for place in PLACES]
        known = {one for one in multiples if one is not None}
        if len(known) == 1 and row.get("prices"):
            factor, last = known.pop(), row["prices"][-1]
            said = str(Decimal(factor.numerator) / factor.denominator)
            last["factors"] = {**last.get("factors", {}), REGIONAL_FACTOR: said}
    return found


def _factor(row: dict[str, Any] | None, base: dict[str, Any]) -> Fraction | None:
    if row is None or not row.get("prices") or not base.get("prices"):
        return None
    one, other = row["prices"][-1], base["prices"][-1]
    if not other["in"] or not other["out"]:
        return None
    factors = {Fraction(round(Fraction(one[key], other[key]) * 100), 100) for key in ("in", "out")}
    return factors.pop() if len(factors) == 1 else None
