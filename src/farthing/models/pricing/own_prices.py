"""The operator's own prices: turns `[[prices]]` of the configuration into catalogue entries.

Dollars per million tokens, or per thousand uses, become whole pico-dollars for one.
"""

import datetime
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

from farthing.config import PriceConfig, TierPriceConfig, TokenPriceConfig
from farthing.config.settings.prices import REQUEST
from farthing.errors import ConfigError
from farthing.types import Model, Price, replace

PUSD_PER_USD_PER_MILLION = 1_000_000
PUSD_PER_USD_PER_THOUSAND = 1_000_000_000


def target_of(item: PriceConfig) -> tuple[str, str]:
    """The provider and the model that `item` prices.

    Raises:
        ConfigError: its target is not `provider/model`.
    """
    provider, _, model = item.target.partition("/")
    if not provider or not model:
        raise ConfigError(f'prices: target "{item.target}" is not written "provider/model"')
    return provider, model


def overridden(listed: Model, name: str, items: Sequence[PriceConfig]) -> Model:
    """`listed`, with the prices of `items` from their first days on.

    Raises:
        ConfigError: a price is negative or a date is invalid.
    """
    own = sorted((_own_price(item) for item in items), key=lambda price: price.since)
    before = tuple(price for price in listed.prices if price.since < own[0].since)
    context, output = listed.context_tokens_max, listed.output_tokens_max
    for item in items:
        context = item.context_tokens_max or context
        output = item.output_tokens_max or output
    found: Model = replace(
        listed,
        model=name,
        context_tokens_max=context,
        output_tokens_max=output,
        prices=(*before, *own),
    )
    return found


def _own_price(item: PriceConfig) -> Price:
    since = item.since
    if since != "0000-00-00":
        try:
            since = datetime.date.fromisoformat(item.since).isoformat()
        except ValueError:
            raise ConfigError(f'prices: since = "{item.since}" of {item.target} is not a date') from None
    of = item.target
    price = _tier_price(item, since, of)
    fees = {
        name: _whole(of, f"per_1000.{name}", usd, PUSD_PER_USD_PER_THOUSAND)
        for name, usd in item.per_1000.items()
    }
    return Price(
        **{name: getattr(price, name) for name in price.__struct_fields__ if name not in _OF_THE_WHOLE},
        batch_input_pusd=_pusd(of, "batch_input", item.batch_input),
        batch_output_pusd=_pusd(of, "batch_output", item.batch_output),
        tiers={name: _tier_price(tier, since, of) for name, tier in item.tiers.items()},
        factors={name: Fraction(factor) for name, factor in item.factors.items()},
        request_pusd=fees.pop(REQUEST, 0),
        fees_pusd=fees,
    )


_OF_THE_WHOLE = frozenset(
    {"batch_input_pusd", "batch_output_pusd", "tiers", "factors", "request_pusd", "fees_pusd"}
)


def _tier_price(item: TierPriceConfig, since: str, of: str) -> Price:
    """The price of one tier, its longer prompts nested from the shortest limit to the longest."""
    price = _token_price(item, since, of, over=None, long=None)
    long: Price | None = None
    over: int | None = None
    for limit in sorted(map(int, item.above), reverse=True):
        long = _token_price(item.above[str(limit)], since, of, over=over, long=long)
        over = limit
    return _token_price(item, since, of, over=over, long=long) if long is not None else price


def _token_price(
    item: TokenPriceConfig, since: str, of: str, *, over: int | None, long: Price | None
) -> Price:
    def pusd(*names: str) -> int | None:
        given = [name for name in names if getattr(item, name) is not None]
        return _pusd(of, given[0], getattr(item, given[0])) if given else None

    return Price(
        since=since,
        input_pusd=_whole(of, "input", item.input, PUSD_PER_USD_PER_MILLION),
        output_pusd=_whole(of, "output", item.output, PUSD_PER_USD_PER_MILLION),
        cached_input_pusd=pusd("cached_input"),
        cache_write_pusd=pusd("cache_write_5m", "cache_write_30m"),
        cache_write_long_pusd=pusd("cache_write_1h", "cache_write_12h"),
        audio_input_pusd=pusd("input_audio"),
        audio_output_pusd=pusd("output_audio"),
        image_input_pusd=pusd("input_image"),
        image_output_pusd=pusd("output_image"),
        cached_audio_pusd=pusd("cached_audio"),
        cached_image_pusd=pusd("cached_image"),
        reasoning_pusd=pusd("output_reasoning"),
        long_over_tokens=over,
        long=long,
    )


def _pusd(of: str, key: str, usd_per_million: Decimal | None) -> int | None:
    return None if usd_per_million is None else _whole(of, key, usd_per_million, PUSD_PER_USD_PER_MILLION)


def _whole(of: str, key: str, usd: Decimal, pusd_per_usd: int) -> int:
    if not usd.is_finite() or usd < 0:
        raise ConfigError(f"prices: {key} = {usd} of {of} must be 0 or more")
    return int((usd * pusd_per_usd).to_integral_value(ROUND_HALF_UP))
