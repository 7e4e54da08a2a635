"""Usage times price: what a call cost, could cost at most, and would have cost elsewhere.

Pure and exact. Tokens times pico-dollars are added up as integers, what multiplies them is a fraction, and
money is rounded once for each call, at the end of `cost_nusd`.
"""

import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec

from farthing.types import Price, Target, Usage

PUSD_PER_NUSD = 1_000
PUSD_PER_USD_PER_MILLION = 1_000_000
PUSD_PER_USD_PER_1000 = 1_000_000_000
HALF_NUSD_PUSD = PUSD_PER_NUSD // 2
BATCH = "batch"
MEDIA, CACHE_WRITE_LONG = "media", "cache_write_long"  # as `worst_case_nusd` names them
_SHORT, _LONG = ("cache_write_5m", "cache_write_30m"), ("cache_write_1h", "cache_write_12h")
_WAYS = frozenset({MEDIA, CACHE_WRITE_LONG})


def cost_nusd(price: Price | None, usage: Usage | None) -> int | None:
    """What a call with `usage` costs by `price`, rounded half up to the nano-dollar; None when either is
    None, or something that is charged for has no price (`unpriced` names it). What the provider itself says
    it charged is not looked at.

    Cached tokens are charged at the cached price, or in full when that is unknown; audio and images at their
    own price, or as text. Reasoning tokens are output tokens already. A count below zero, or more cached than
    there was input, is a provider's mistake and never lowers the cost.
    """
    if price is None or usage is None:
        return None
    if (
        usage.tier
        or usage.fees is not None
        or usage.region
        or usage.cache_write_5m_tokens
        or usage.cache_write_30m_tokens
        or usage.cache_write_1h_tokens
        or usage.cache_write_12h_tokens
        or usage.audio_input_tokens
        or usage.audio_output_tokens
        or usage.image_input_tokens
        or usage.image_output_tokens
        or usage.cached_audio_tokens
        or usage.cached_image_tokens
        or usage.passes is not None
        or price.reasoning_pusd is not None
    ):
        return _cost_of_classes(price, usage)
    tokens = usage.input_tokens
    if tokens < 0:
        tokens = 0
    cost_pusd = price.request_pusd + HALF_NUSD_PUSD
    while price.long is not None and price.long_over_tokens is not None and tokens > price.long_over_tokens:
        price = price.long
    cost_pusd += tokens * price.input_pusd
    cached_tokens = usage.cached_tokens
    if cached_tokens > 0 and price.cached_input_pusd is not None:
        cost_pusd -= min(cached_tokens, tokens) * (price.input_pusd - price.cached_input_pusd)
    output_tokens = usage.output_tokens
    if output_tokens > 0:
        cost_pusd += output_tokens * price.output_pusd
    return cost_pusd // PUSD_PER_NUSD


def flat_nusd(price: Price | None) -> int | None:
    """What any call costs by a price that is by the call alone, whatever is in it; None: it is not."""
    if price is None or price.input_pusd or price.output_pusd or price.tiers or price.factors:
        return None
    return (price.request_pusd + HALF_NUSD_PUSD) // PUSD_PER_NUSD


def _cost_of_classes(price: Price, usage: Usage) -> int | None:
    """As `cost_nusd`, for a usage with classes of tokens, a tier or a region of their own, fees, or several
    runs of a model."""
    if usage.passes is not None:
        return None if unpriced(price, usage) else _rounded(_exact_pusd(price, usage, _no_other))
    held, factor = _held(price, usage)
    fees_pusd = _fees_pusd(price, usage)
    if fees_pusd is None or _unpriced(price, held, usage):
        return None
    return _rounded(fees_pusd + (_input_pusd(held, usage) + _output_pusd(held, usage)) * factor)


def call_cost(
    target: Target, usage: Usage, target_of: Callable[[str], Target | None]
) -> tuple[int | None, tuple[str, ...]]:
    """What a call of `target` with `usage` costs, with what other models of the provider used in it, each at
    its own price, which `target_of` knows; and what of it has no price."""

    def price_of(model: str) -> Price | None:
        other = target_of(f"{target.provider}/{model}")
        return None if other is None else other.price

    missing = unpriced(target.price, usage, price_of)
    if missing or target.price is None:
        return None, missing
    return _rounded(_exact_pusd(target.price, usage, price_of)), ()


def _no_other(model: str) -> Price | None:
    return None


def _exact_pusd(price: Price, usage: Usage, price_of: Callable[[str], Price | None]) -> Fraction | int:
    """Of a usage all of which has a price."""
    fees_pusd = _fees_pusd(price, usage) or 0
    if usage.passes is None:
        return fees_pusd + _tokens_pusd(price, usage)
    return fees_pusd + sum(
        _tokens_pusd(held, one.usage)
        for one in usage.passes
        if (held := price_of(one.model) if one.model else price) is not None
    )


def _fees_pusd(price: Price, usage: Usage) -> int | None:
    """What the call costs by itself, and for the features used; None: one of these has no price."""
    fees_pusd = price.request_pusd
    for name, count in (usage.fees or {}).items():
        if name not in price.fees_pusd:
            return None
        fees_pusd += count * price.fees_pusd[name]
    return fees_pusd


def _tokens_pusd(price: Price, usage: Usage) -> Fraction | int:
    held, factor = _held(price, usage)
    return (_input_pusd(held, usage) + _output_pusd(held, usage)) * factor


def _rounded(pusd: Fraction | int) -> int:
    whole = pusd.denominator
    return (pusd.numerator + HALF_NUSD_PUSD * whole) // (PUSD_PER_NUSD * whole)


def unit_prices_usd(price: Price, usage: Usage) -> dict[str, Decimal]:
    """US dollars for a million tokens of each class that `usage` has, as `cost_nusd` charges them; fees are
    not among them."""
    held, factor = _held(price, usage)
    classes = {
        "in": (usage.input_tokens, held.input_pusd),
        "cached": (usage.cached_tokens, held.cached_input_pusd),
        "cache write": (usage.cache_write_5m_tokens + usage.cache_write_30m_tokens, held.cache_write_pusd),
        "long cache write": (
            usage.cache_write_1h_tokens + usage.cache_write_12h_tokens,
            held.cache_write_long_pusd,
        ),
        "audio in": (usage.audio_input_tokens, held.audio_input_pusd),
        "images in": (usage.image_input_tokens, held.image_input_pusd),
        "cached audio": (usage.cached_audio_tokens, held.cached_audio_pusd),
        "cached images": (usage.cached_image_tokens, held.cached_image_pusd),
        "out": (usage.output_tokens, held.output_pusd),
        "audio out": (usage.audio_output_tokens, held.audio_output_pusd),
        "images out": (usage.image_output_tokens, held.image_output_pusd),
        "reasoning": (usage.reasoning_tokens, held.reasoning_pusd),
    }
    whole = Fraction(factor)
    return {
        name: Decimal(pusd * whole.numerator) / Decimal(whole.denominator * PUSD_PER_USD_PER_MILLION)
        for name, (tokens, pusd) in classes.items()
        if tokens > 0 and pusd is not None
    }


def use_prices_usd(price: Price, usage: Usage) -> dict[str, Decimal]:
    """US dollars for a thousand uses of each thing but tokens that `usage` is charged for; `request`: the
    call itself."""
    held = {name: price.fees_pusd[name] for name in usage.fees or () if name in price.fees_pusd}
    if price.request_pusd:
        held["request"] = price.request_pusd
    return {name: Decimal(pusd) / Decimal(PUSD_PER_USD_PER_1000) for name, pusd in held.items()}


def _held(price: Price, usage: Usage) -> tuple[Price, Fraction | int]:
    """The price of the tier and the length that `usage` is charged by, and what multiplies it."""
    held = price
    factor: Fraction | int = 1
    if usage.tier in price.tiers:
        held = price.tiers[usage.tier]
    elif usage.tier in price.factors:
        factor = price.factors[usage.tier]
    elif usage.tier == BATCH:
        held = in_batch(price) or price
    if usage.region:
        factor = factor * price.factors.get(usage.region, 1)
    return _by_length(held, usage.input_tokens), factor


def _by_length(price: Price, tokens: int) -> Price:
    while price.long is not None and price.long_over_tokens is not None and tokens > price.long_over_tokens:
        price = price.long
    return price


def _input_pusd(price: Price, usage: Usage) -> int:
    """Of the input, class by class. Where the classes come to more than there is, the dearest are counted."""
    text_pusd = price.input_pusd
    left, of_classes, cost_pusd = max(0, usage.input_tokens), 0, 0
    priced = [
        (tokens, text_pusd if pusd is None else pusd)
        for tokens, pusd in _input_classes(price, usage)
        if tokens > 0
    ]
    for tokens, pusd in priced:
        of_classes += tokens
        cost_pusd += tokens * pusd
    if of_classes <= left:
        return cost_pusd + (left - of_classes) * text_pusd
    priced.sort(key=lambda one: one[1], reverse=True)
    cost_pusd = 0
    for tokens, pusd in priced:
        taken = min(tokens, left)
        left -= taken
        cost_pusd += taken * pusd
    return cost_pusd


def _input_classes(price: Price, usage: Usage) -> list[tuple[int, int | None]]:
    """Tokens of each class of input that has a price of its own, and that price."""
    cached_tokens, cached_pusd = usage.cached_tokens, price.cached_input_pusd
    classes = [
        (usage.cache_write_5m_tokens + usage.cache_write_30m_tokens, price.cache_write_pusd),
        (usage.cache_write_1h_tokens + usage.cache_write_12h_tokens, price.cache_write_long_pusd),
    ]
    if usage.audio_input_tokens or usage.image_input_tokens:
        classes.append((usage.audio_input_tokens, price.audio_input_pusd))
        classes.append((usage.image_input_tokens, price.image_input_pusd))
    if usage.cached_audio_tokens or usage.cached_image_tokens:
        cached_tokens -= usage.cached_audio_tokens + usage.cached_image_tokens
        classes.append((usage.cached_audio_tokens, _first(price.cached_audio_pusd, cached_pusd)))
        classes.append((usage.cached_image_tokens, _first(price.cached_image_pusd, cached_pusd)))
    classes.append((cached_tokens, cached_pusd))
    return classes


def _output_pusd(price: Price, usage: Usage) -> int:
    text_pusd = price.output_pusd
    left, cost_pusd = max(0, usage.output_tokens), 0
    if not (usage.audio_output_tokens or usage.image_output_tokens) and price.reasoning_pusd is None:
        return left * text_pusd
    for tokens, pusd in (
        (usage.audio_output_tokens, price.audio_output_pusd),
        (usage.image_output_tokens, price.image_output_pusd),
        (usage.reasoning_tokens, price.reasoning_pusd),
    ):
        taken = min(max(0, tokens), left)
        left -= taken
        cost_pusd += taken * (text_pusd if pusd is None else pusd)
    return cost_pusd + left * text_pusd


def _first(*pusd: int | None) -> int | None:
    return next((one for one in pusd if one is not None), None)


def unpriced(
    price: Price | None, usage: Usage, price_of: Callable[[str], Price | None] = _no_other
) -> tuple[str, ...]:
    """What of `usage` is charged for and has no price; empty when all has, and `("model",)` without `price`.

    A write to the prefix cache is dearer than its tokens at those who tell of it, by a factor of their own; a
    tier, a region or a fee may be anything: none of them is taken to be like something else. `price_of` knows
    the prices of other models that have a part in the call.
    """
    if price is None:
        return ("model",)
    found = [name for name in usage.fees or () if name not in price.fees_pusd]
    if usage.passes is None:
        return (*_unpriced(price, _held(price, usage)[0], usage), *found)
    for one in usage.passes:
        held = price_of(one.model) if one.model else price
        missing = ["tokens"] if held is None else _unpriced(held, _held(held, one.usage)[0], one.usage)
        found += [f"{one.model} {what}".strip() for what in missing]
    return tuple(dict.fromkeys(found))


def _unpriced(price: Price, held: Price, usage: Usage) -> list[str]:
    """As `unpriced`, of the tokens alone; `held` is the price of the tier and the length."""
    found = []
    if (
        usage.tier
        and usage.tier != BATCH
        and usage.tier not in price.tiers
        and usage.tier not in price.factors
    ):
        found.append(f"tier {usage.tier}")
    if usage.region and usage.region not in price.factors:
        found.append(usage.region)
    if held.cache_write_pusd is None:
        found += [life for life in _SHORT if getattr(usage, f"{life}_tokens") > 0]
    if held.cache_write_long_pusd is None:
        found += [life for life in _LONG if getattr(usage, f"{life}_tokens") > 0]
    if usage.cached_audio_tokens > 0 and held.cached_audio_pusd is None and held.audio_input_pusd is not None:
        found.append("cached_audio")
    if usage.cached_image_tokens > 0 and held.cached_image_pusd is None and held.image_input_pusd is not None:
        found.append("cached_images")
    return found


def baseline_nusd(price: Price | None, usage: Usage | None) -> int | None:
    """What another model would have charged for `usage`, by its `price`; None when that is unknown.

    What is the other provider's way is left out: a tier, a region and writes that this price does not know
    are taken as the standard tier and plain input, in one run, and what other models did is left out. A fee
    it does not know stays unknown.
    """
    cost = cost_nusd(price, usage)
    if cost is not None or price is None or usage is None:
        return cost
    return cost_nusd(
        price,
        Usage(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cached_tokens=usage.cached_tokens,
            audio_input_tokens=usage.audio_input_tokens,
            audio_output_tokens=usage.audio_output_tokens,
            image_input_tokens=usage.image_input_tokens,
            image_output_tokens=usage.image_output_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            fees=usage.fees,
        ),
    )


def in_batch(price: Price | None) -> Price | None:
    """`price` as a batch is charged: at the batch price where one is known, else as ever. Twice is once.

    What is read from a cache in a batch, or written to it, is charged in full, unless the whole tier `batch`
    is priced or has a factor.
    """
    if price is not None and BATCH in price.tiers:
        return msgspec.structs.replace(
            price.tiers[BATCH],
            factors=_but_batch(price.factors),
            fees_pusd=price.fees_pusd,
            request_pusd=price.request_pusd,
        )
    if price is not None and BATCH in price.factors:
        return _without_batch(scaled(price, price.factors[BATCH]))
    if price is None or (price.batch_input_pusd is None and price.batch_output_pusd is None):
        return price
    return msgspec.structs.replace(
        price,
        input_pusd=price.input_pusd if price.batch_input_pusd is None else price.batch_input_pusd,
        output_pusd=price.output_pusd if price.batch_output_pusd is None else price.batch_output_pusd,
        cached_input_pusd=None,
        long=in_batch(price.long),
    )


def _but_batch(factors: Mapping[str, Fraction]) -> dict[str, Fraction]:
    return {name: factor for name, factor in factors.items() if name != BATCH}


def _without_batch(price: Price) -> Price:
    factors = _but_batch(price.factors)
    return msgspec.structs.replace(price, batch_input_pusd=None, batch_output_pusd=None, factors=factors)


_TOKENS = tuple(
    name
    for name in Price.__struct_fields__
    if name.endswith("_pusd") and name not in ("request_pusd", "fees_pusd")
)
"""The prices of tokens."""


def scaled(price: Price, factor: Fraction) -> Price:
    """`price` with those of its tokens multiplied, to whole pico-dollars."""
    own: dict[str, Any] = {
        name: None if (pusd := getattr(price, name)) is None else round(pusd * factor) for name in _TOKENS
    }
    return msgspec.structs.replace(
        price,
        **own,
        long=None if price.long is None else scaled(price.long, factor),
        tiers={name: scaled(tier, factor) for name, tier in price.tiers.items()},
    )


def worst_case_nusd(
    price: Price | None,
    input_tokens_bound: int,
    output_tokens_max: int | None,
    dearer: frozenset[str] = frozenset(),
) -> int | None:
    """The most that a call within these bounds can cost, rounded up; None when unpriced or unbounded.

    Nothing is assumed to be cached, and every input token may be written to the provider's cache where
    that costs extra. `dearer` names what the client asked for beyond plain tokens: `media` (audio or images
    may be in it or come back), `cache_write_long`, a fee (`web_search`, one use), or a tier, speed or region
    as in `Price.tiers` and `Price.factors`. One that has no price makes the worst case unknown.
    """
    if price is None or output_tokens_max is None:
        return None
    offers, factor, fees_pusd = [price], Fraction(1), price.request_pusd
    for name in dearer - _WAYS:
        if name in price.tiers:
            offers.append(price.tiers[name])
        elif name in price.factors:
            factor *= max(Fraction(1), price.factors[name])
        elif name in price.fees_pusd:
            fees_pusd += price.fees_pusd[name]
        else:
            return None
    worst = 0
    for offer in offers:
        held: Price | None = offer
        while held is not None:
            input_pusd, output_pusd = _dearest(held, dearer)
            worst = max(worst, input_tokens_bound * input_pusd + output_tokens_max * output_pusd)
            over = held.long_over_tokens
            held = held.long if over is not None and input_tokens_bound > over else None
    return math.ceil((worst * factor + fees_pusd) / PUSD_PER_NUSD)


def _dearest(price: Price, dearer: frozenset[str]) -> tuple[int, int]:
    """The most that one token in and one out can cost."""
    input_pusd = max(price.input_pusd, price.cache_write_pusd or 0, price.cached_input_pusd or 0)
    output_pusd = max(price.output_pusd, price.reasoning_pusd or 0)
    if CACHE_WRITE_LONG in dearer:
        input_pusd = max(input_pusd, price.cache_write_long_pusd or 0)
    if MEDIA in dearer:
        input_pusd = max(input_pusd, price.audio_input_pusd or 0, price.image_input_pusd or 0)
        output_pusd = max(output_pusd, price.audio_output_pusd or 0, price.image_output_pusd or 0)
    return input_pusd, output_pusd
