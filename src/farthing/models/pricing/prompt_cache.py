"""What a provider's prompt cache saved, what writing to it cost, and what a miss cost. Pure, and exact as
`cost` is; None where something has no price."""

from collections.abc import Callable

from farthing.models.pricing.cost import cost_nusd
from farthing.types import Price, Usage, replace


def saved_nusd(price: Price | None, usage: Usage) -> int | None:
    """What the call would have cost without a prompt cache, less what it cost: below zero where what it wrote
    cost more than what it read saved."""
    return _difference(price, _changed(usage, _uncached), usage)


def written_nusd(price: Price | None, usage: Usage) -> int | None:
    """What its writes cost more than as plain input."""
    return _difference(price, usage, _changed(usage, _unwritten))


def missed_nusd(price: Price | None, usage: Usage, tokens: int) -> int | None:
    """What the call cost more than if `tokens` of its input, which were not read, had been. None: also where
    it took several runs of a model, of which it is not known in which they were missed."""
    if usage.passes is not None:
        return None
    return _difference(price, usage, _had_read(usage, tokens))


def written_tokens(usage: Usage) -> int:
    return (
        usage.cache_write_5m_tokens
        + usage.cache_write_30m_tokens
        + usage.cache_write_1h_tokens
        + usage.cache_write_12h_tokens
    )


def _difference(price: Price | None, dearer: Usage, other: Usage) -> int | None:
    if dearer == other:
        return None if price is None else 0
    one, two = cost_nusd(price, dearer), cost_nusd(price, other)
    return None if one is None or two is None else one - two


def _changed(usage: Usage, change: Callable[[Usage], Usage]) -> Usage:
    """`usage` with a change to each of its runs of the model that was called."""
    if usage.passes is None:
        return change(usage)
    runs = tuple(one if one.model else replace(one, usage=change(one.usage)) for one in usage.passes)
    changed: Usage = replace(usage, passes=runs)
    return changed


def _unwritten(usage: Usage) -> Usage:
    if not written_tokens(usage):
        return usage
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
        _unwritten(usage),
        cached_tokens=0,
        cached_audio_tokens=0,
        cached_image_tokens=0,
        audio_input_tokens=usage.audio_input_tokens + usage.cached_audio_tokens,
        image_input_tokens=usage.image_input_tokens + usage.cached_image_tokens,
    )
    return changed


def _had_read(usage: Usage, tokens: int) -> Usage:
    """What was written is what would have been read first: it was written because it was not there."""
    tokens = min(tokens, max(0, usage.input_tokens - usage.cached_tokens))
    left = tokens
    changes: dict[str, int] = {"cached_tokens": usage.cached_tokens + tokens}
    for name in (
        "cache_write_5m_tokens",
        "cache_write_30m_tokens",
        "cache_write_1h_tokens",
        "cache_write_12h_tokens",
    ):
        taken = min(left, getattr(usage, name))
        changes[name] = getattr(usage, name) - taken
        left -= taken
    changed: Usage = replace(usage, **changes)
    return changed
