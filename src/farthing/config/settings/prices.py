"""`[[prices]]`: an operator's prices for a target, and their faults."""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from farthing.config.settings.table import Table
from farthing.config.toml import Path as Where

REQUEST = "request"
"""The fee of every call, however little is in it."""
FEES = (
    REQUEST,
    "web_search",
    "x_search",
    "file_search",
    "document_search",
    "collections_search",
    "code_interpreter",
    "code_execution",
    "search_source",
    "citation_tokens",
    "audio_seconds",
    "characters",
    "images",
    "search_units",
)
"""Features that providers charge per use, by the names of `models/providers/usage`."""
PRICES = (
    *("input", "output", "cached_input", "input_audio", "output_audio", "input_image", "output_image"),
    *("cached_audio", "cached_image", "output_reasoning"),
    *(
        "cache_write_5m",
        "cache_write_30m",
        "cache_write_1h",
        "cache_write_12h",
        "batch_input",
        "batch_output",
    ),
    *FEES,
)
"""Names of what may cost nothing."""


class TokenPriceConfig(Table, frozen=True):
    """US dollars per million tokens, class by class."""

    input: Decimal
    output: Decimal
    cached_input: Decimal | None = None
    cache_write_5m: Decimal | None = None
    """Input written to the provider's prefix cache, by how long it stays there."""
    cache_write_30m: Decimal | None = None
    """A provider has one normal duration: this or `cache_write_5m`."""
    cache_write_1h: Decimal | None = None
    cache_write_12h: Decimal | None = None
    """A provider has one long duration: this or `cache_write_1h`."""
    input_audio: Decimal | None = None
    output_audio: Decimal | None = None
    input_image: Decimal | None = None
    output_image: Decimal | None = None
    cached_audio: Decimal | None = None
    """Input audio read from the prefix cache; None: unknown where `input_audio` is given, else as
    `cached_input`."""
    cached_image: Decimal | None = None
    output_reasoning: Decimal | None = None
    """Reasoning, where it is not charged as output."""


class TierPriceConfig(TokenPriceConfig, frozen=True, kw_only=True):
    """The price of one service tier, at every length of the prompt."""

    above: dict[str, TokenPriceConfig] = {}
    """By number of input tokens, including cached ones: in a longer prompt all tokens have these prices."""

    @classmethod
    def written(cls, table: dict[str, Any]) -> dict[str, Any]:
        """`above_200000_input = …` is `above.200000 = …`."""
        return _gathered(table, ("above", _ABOVE, dict))


class PriceConfig(TierPriceConfig, frozen=True, kw_only=True):
    """An operator's own price for a target, in US dollars per million tokens. Wins over the catalogue."""

    target: str
    batch_input: Decimal | None = None
    """Price in the provider's batch interface; None: as `input`."""
    batch_output: Decimal | None = None
    since: str = "0000-00-00"
    context_tokens_max: int | None = None
    output_tokens_max: int | None = None
    tiers: dict[str, TierPriceConfig] = {}
    """Other service tiers, by the provider's names (`priority`, `flex`)."""
    factors: dict[str, Decimal] = {}
    """Factors on all token prices for a tier, a speed or a region: `fast`, `inference_geo_us`."""
    per_1000: dict[str, Decimal] = {}
    """US dollars per thousand uses of a feature that is charged per use: `web_search`."""

    @classmethod
    def written(cls, table: dict[str, Any]) -> dict[str, Any]:
        """`priority = { … }` is `tiers.priority = { … }`, `fast_factor = 2` is `factors.fast = 2`, and
        `web_search_per_1000 = 10` is `per_1000.web_search = 10`."""
        return _gathered(
            super().written(table),
            ("tiers", _TIER, dict),
            ("factors", _FACTOR, object),
            ("per_1000", _PER_1000, object),
        )


_ABOVE = re.compile(r"above_(\d+)_input")
_TIER = re.compile(r"(priority|flex|fast|ultrafast|scale|batch)")
_FACTOR = re.compile(r"(\w+)_factor")
_PER_1000 = re.compile(r"(\w+)_per_1000")


def _gathered(table: dict[str, Any], *groups: tuple[str, re.Pattern[str], type]) -> dict[str, Any]:
    """`table` with keys that match a pattern, and have values of the type, moved into the table of that
    name."""
    found = dict(table)
    for name, pattern, kind in groups:
        for key, value in table.items():
            match = pattern.fullmatch(key)
            into = found.get(name, {})
            if match and isinstance(value, kind) and isinstance(into, dict) and match[1] not in into:
                found[name] = {**into, match[1]: value}
                del found[key]
    return found


def price_faults(price: PriceConfig, here: Where) -> Iterator[tuple[Where, str]]:
    """The faults of a price, which is at `here` in the file."""
    yield from _tier_faults(price, here)
    for name, tier in price.tiers.items():
        yield from _tier_faults(tier, (*here, "tiers", name))
    for name in price.per_1000:
        if name not in FEES:
            yield (*here, "per_1000", name), f"no provider reports such a fee; known: {', '.join(FEES)}"


def _tier_faults(price: TierPriceConfig, here: Where) -> Iterator[tuple[Where, str]]:
    for limit in price.above:
        if not re.fullmatch(r"[1-9]\d{0,8}", limit):
            yield (*here, "above", limit), "expected a number of tokens, as in above.200000"
    for one in (price, *price.above.values()):
        for name, other in (("cache_write_30m", "cache_write_5m"), ("cache_write_12h", "cache_write_1h")):
            if getattr(one, name) is not None and getattr(one, other) is not None:
                yield (*here, name), f"give this or {other}: a provider has one of the two"
