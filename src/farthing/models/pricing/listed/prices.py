"""Prices of litellm's list as the catalogue writes them: whole pico-dollars for one token."""

import re
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any

PUSD_PER_USD = Decimal(10) ** 12
PUSD_MAX = 1_000_000_000
RATES = {
    "in": "input_cost_per_token",
    "out": "output_cost_per_token",
    "cached": "cache_read_input_token_cost",
    "write": "cache_creation_input_token_cost",
    "audio_in": "input_cost_per_audio_token",
    "audio_out": "output_cost_per_audio_token",
    "image_in": "input_cost_per_image_token",
    "image_out": "output_cost_per_image_token",
    "cached_audio": "cache_read_input_audio_token_cost",
    "cached_image": "cache_read_input_image_token_cost",
    "reasoning": "output_cost_per_reasoning_token",
}
LONG_WRITES = ("above_1hr", "above_12hr")
TIERS = {"priority": "_priority", "flex": "_flex", "ultrafast": "_ultrafast", "batch": "_batches"}
PLACES = ("eu", "us")
OWN_FACTORS = {"us": "inference_geo_us", "fast": "fast"}


def pusd(usd: Decimal | int | None) -> int | None:
    """Pico-dollars for one token; None for unknown, zero and negative."""
    if usd is None or usd <= 0:
        return None
    return max(1, int((Decimal(usd) * PUSD_PER_USD).to_integral_value(ROUND_HALF_UP)))


def number(value: Any) -> int | None:
    return int(value) if isinstance(value, int | Decimal) and value > 0 else None


def compact(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if value not in (None, [], "")}


def litellm_price(row: dict[str, Any], name: str, operation: str) -> list[dict[str, Any]]:
    def rates(length: str = "", tier: str = "") -> dict[str, Any]:
        """Of prompts of one length in one tier; suffixes stand in this order."""
        found = {key: pusd(row.get(f"{field}{length}{tier}")) for key, field in RATES.items()}
        for life in LONG_WRITES:
            found["write_long"] = pusd(
                row.get(f"cache_creation_input_token_cost_{life}{length}{tier}")
            ) or found.get("write_long")
        if not tier:
            found["batch_in"] = pusd(row.get(f"input_cost_per_token{length}_batches"))
            found["batch_out"] = pusd(row.get(f"output_cost_per_token{length}_batches"))
        if operation == "embeddings":
            found |= {"out": 0, "batch_out": 0 if found.get("batch_in") else None}
        if found["audio_in"] == found["in"]:
            found["audio_in"] = None  # as text, which is what its absence says
        if found["reasoning"] == found["out"]:
            found["reasoning"] = None  # as output
        return compact(found)

    price = rates()
    if name.endswith(":free") and row.get("input_cost_per_token") == 0 == row.get("output_cost_per_token"):
        price = {"in": 0, "out": 0}
    if "in" not in price or "out" not in price:
        return []
    limits = sorted(
        {
            int(match[1])
            for key in row
            if (match := re.fullmatch(r"(?:in|out)put_cost_per_token_above_(\d+)k_tokens", key))
        },
        reverse=True,
    )
    price |= with_lengths(price, {limit: rates(f"_above_{limit}k_tokens") for limit in limits})
    tiers = {}
    for name, suffix in TIERS.items():
        tier = rates(tier=suffix)
        if name == "batch" and "cached" not in tier:
            continue  # it may be charged in full
        if "in" in tier and "out" in tier and "in" in price:
            longer = {limit: rates(f"_above_{limit}k_tokens", suffix) for limit in limits}
            tiers[name] = completed(with_lengths(tier, {n: r for n, r in longer.items() if r}), price)
    found, more = variants(price, tiers), extras(row)
    more["factors"] = {**found.get("factors", {}), **more["factors"]} or None
    return [price | found | compact(more)]


def with_lengths(price: dict[str, Any], longer: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """`price` with those of longer prompts nested in it; thresholds in thousands, highest first."""
    nested: dict[str, Any] = {}
    for thousands, rates in longer.items():
        tier = {key: price[key] for key in ("in", "out") if key in price} | rates
        nested = {"long_over": thousands * 1000, "long": tier | nested}
    return price | nested


def completed(tier: dict[str, Any], plain: dict[str, Any]) -> dict[str, Any]:
    """`tier` with what only `plain` lists, in proportion to the input."""
    ratio = Fraction(tier["in"], plain["in"])
    for key, rate in plain.items():
        if key == "long":
            tier["long_over"] = plain["long_over"]
            tier["long"] = completed(tier.get("long", scaled(rate, ratio)), rate)
        elif key in (*RATES, "write_long") and key not in tier:
            tier[key] = round(rate * ratio)
    return tier


def scaled(price: dict[str, Any], ratio: Fraction) -> dict[str, Any]:
    return {key: round(price[key] * ratio) for key in (*RATES, "write_long") if key in price}


def variants(plain: dict[str, Any], tiers: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The tiers as factors where they are, else as prices."""
    factors, prices = {}, {}
    for name, tier in tiers.items():
        ratio = Fraction(tier["in"], plain["in"])
        if (
            is_multiple(tier, plain, ratio)
            and len(str(decimal := Decimal(ratio.numerator) / ratio.denominator)) < 8
        ):
            factors[name] = str(decimal)
        else:
            prices[name] = tier
    return compact({"factors": factors or None, "tiers": prices or None})


def is_multiple(tier: dict[str, Any], plain: dict[str, Any], ratio: Fraction) -> bool:
    """Up to what the list rounds its prices to: a cent for a million tokens, where that is little."""
    for key, rate in plain.items():
        if key == "long":
            if not is_multiple(tier["long"], rate, ratio):
                return False
        elif key in (*RATES, "write_long") and abs(tier[key] - rate * ratio) > min(5_000, rate * ratio / 20):
            return False
    return True


def extras(row: dict[str, Any]) -> dict[str, Any]:
    """Fees by the use, and what multiplies a price."""
    searches = [pusd(usd) for usd in (row.get("search_context_cost_per_query") or {}).values()]
    own = row.get("provider_specific_entry") or {}
    factors = {OWN_FACTORS[key]: str(own[key]) for key in OWN_FACTORS if own.get(key, 1) != 1}
    for place in PLACES:
        if (uplift := row.get(f"regional_processing_uplift_multiplier_{place}", 1)) != 1:
            factors[f"processing_{place}"] = str(uplift)
    if (uplift := row.get("regional_endpoint_uplift_multiplier", 1)) != 1:
        factors["regional"] = str(uplift)
    fee = max((rate for rate in searches if rate), default=None)
    return {"fees": {"web_search": fee} if fee else None, "factors": factors}
