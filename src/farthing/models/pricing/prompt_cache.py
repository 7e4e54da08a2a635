"""What a provider's prompt cache saved, what writing to it cost, and what a miss cost. Pure, and exact as
`cost` is; None where something has no price."""

from collections.abc import Callable
from typing import NamedTuple

from farthing.models.pricing.cost import HALF_NUSD_PUSD, PUSD_PER_NUSD, cost_nusd
from farthing.types import Price, Usage, replace


class CacheMoney(NamedTuple):
    """Differences by list price, signed; None: unknown."""

    saved_nusd: int | None
    """What the call would have cost without a prompt cache, less what it cost: below zero where what it wrote
    cost more than what it read saved."""
    written_nusd: int | None
    """What its writes cost more than as plain input."""
    missed_nusd: int | None
    """What it cost more than if what was missed had been read. None, too, where it took several runs of a
    model, of which it is not known in which."""


def cache_money(price: Price | None, usage: Usage, missed_tokens: int | None) -> CacheMoney:
    """What the prompt cache did to the cost of a call with `usage`. `missed_tokens` of its input were not
    read and could have been; None: nobody knows."""
    if price is None:
        return CacheMoney(None, None, None)
    if not missed_tokens and (plain := _plain_money(price, usage, missed_tokens)) is not None:
        return plain
    return _differences(price, usage, missed_tokens)


def _differences(price: Price, usage: Usage, missed_tokens: int | None) -> CacheMoney:
    read, written = usage.cached_tokens, written_tokens(usage)
    if not read and not written and not missed_tokens:
        return CacheMoney(0, 0, missed_tokens)
    cost = cost_nusd(price, usage)
    saved = _less(cost_nusd(price, _changed(usage, _uncached)), cost) if read or written else 0
    dearer = _less(cost, cost_nusd(price, _changed(usage, _unwritten))) if written else 0
    missed = missed_tokens
    if missed_tokens:
        known = usage.passes is None
        missed = _less(cost, cost_nusd(price, _had_read(usage, missed_tokens))) if known else None
    return CacheMoney(saved, dearer, missed)


def _plain_money(price: Price, usage: Usage, missed_tokens: int | None) -> CacheMoney | None:
    """As `cache_money`, of text at one price of which nothing was missed, which is most calls, in a tenth of
    the time. None: it is not that."""
    if (
        usage.tier
        or usage.fees is not None
        or usage.region
        or usage.audio_input_tokens
        or usage.audio_output_tokens
        or usage.image_input_tokens
        or usage.image_output_tokens
        or usage.cached_audio_tokens
        or usage.cached_image_tokens
        or usage.passes is not None
        or price.reasoning_pusd is not None
        or price.long is not None
    ):
        return None
    read, text_pusd, read_pusd = usage.cached_tokens, price.input_pusd, price.cached_input_pusd
    short = usage.cache_write_5m_tokens + usage.cache_write_30m_tokens
    long = usage.cache_write_1h_tokens + usage.cache_write_12h_tokens
    if not read and not short and not long:
        return CacheMoney(0, 0, missed_tokens)
    short_pusd, long_pusd = price.cache_write_pusd, price.cache_write_long_pusd
    if (short and short_pusd is None) or (long and long_pusd is None) or read_pusd is None:
        return None
    if min(read, short, long) < 0 or read + short + long > usage.input_tokens:
        return None
    uncached_pusd = price.request_pusd + usage.input_tokens * text_pusd + HALF_NUSD_PUSD
    uncached_pusd += max(0, usage.output_tokens) * price.output_pusd
    unwritten_pusd = uncached_pusd - read * (text_pusd - read_pusd)
    cost_pusd = unwritten_pusd
    if short and short_pusd is not None:
        cost_pusd += short * (short_pusd - text_pusd)
    if long and long_pusd is not None:
        cost_pusd += long * (long_pusd - text_pusd)
    whole_nusd = cost_pusd // PUSD_PER_NUSD
    saved_nusd = uncached_pusd // PUSD_PER_NUSD - whole_nusd
    written_nusd = whole_nusd - unwritten_pusd // PUSD_PER_NUSD
    return CacheMoney(saved_nusd, written_nusd, missed_tokens)


def written_tokens(usage: Usage) -> int:
    return (
        usage.cache_write_5m_tokens
        + usage.cache_write_30m_tokens
        + usage.cache_write_1h_tokens
        + usage.cache_write_12h_tokens
    )


def _less(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one - other


def _changed(usage: Usage, change: Callable[[Usage], Usage]) -> Usage:
    """`usage` with a change to each of its runs of the model that was called."""
    if usage.passes is None:
        return change(usage)
    runs = tuple(one if one.model else replace(one, usage=change(one.usage)) for one in usage.passes)
    changed: Usage = replace(usage, passes=runs)
    return changed


def _unwritten(usage: Usage) -> Usage:
    changed: Usage = replace(
        usage,
        cache_write_5m_tokens=0,
        cache_write_30m_tokens=0,
        cache_write_1h_tokens=0,
        cache_write_12h_tokens=0,
    )
    return changed


def _uncached(usage: Usage) -> Usage:
    changed: Usage = replace(
        _unwritten(usage) if written_tokens(usage) else usage,
        cached_tokens=0,
        cached_audio_tokens=0,
        cached_image_tokens=0,
        audio_input_tokens=usage.audio_input_tokens + usage.cached_audio_tokens,
        image_input_tokens=usage.image_input_tokens + usage.cached_image_tokens,
    )
    return changed


def _had_read(usage: Usage, tokens: int) -> Usage:
    """What was written is what would have been read first: it was written because it was not there."""
    tokens = left = min(tokens, max(0, usage.input_tokens - usage.cached_tokens))
    changes: dict[str, int] = {"cached_tokens": usage.cached_tokens + tokens}
    for name in (
        "cache_write_5m_tokens",
        "cache_write_30m_tokens",
        "cache_write_1h_tokens",
        "cache_write_12h_tokens",
    ):
        held = getattr(usage, name)
        if held:
            changes[name] = held - min(left, held)
            left -= min(left, held)
    changed: Usage = replace(usage, **changes)
    return changed
