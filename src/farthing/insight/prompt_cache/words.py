"""What became of one call at its provider's prompt cache, in words."""

from collections.abc import Iterator, Mapping
from typing import Final

from farthing.insight.render.money import usd
from farthing.models.pricing.prompt_cache import written_tokens
from farthing.types import PromptCacheResult, PromptCacheUse, Usage

REASONS: Final[Mapping[PromptCacheResult, str]] = {
    "read": "read as far as the session had sent it before",
    "first": "the first call of its session",
    "short": "the prompt is shorter than its provider caches",
    "unmarked": "nothing in the request is marked to be cached, and this provider caches nothing else",
    "changed": "the prompt changed in {segment}, within 1 KiB after byte {byte}",
    "model": "the session used {switched_from} before",
    "key": "the session went by another key or replica before",
    "idle": "not used for {idle_s:,.0f} s, longer than the provider keeps it",
    "untold": "unknown: the provider does not say what it read",
    "evicted": "the provider did not have it any more, for no reason that shows",
}
FIXES: Final[Mapping[PromptCacheResult, str]] = {
    "first": "share what every session begins with: tools and system prompt, the same for all",
    "short": "nothing to do, unless several short requests can be one",
    "unmarked": "set cache_control where the same beginning comes again in time, which "
    'prompt_cache.breakpoints = "auto" does at kind "anthropic"; what comes only once costs less unmarked',
    "changed": "keep tools and system prompt the same in each turn; put what changes (times, ids) last",
    "model": "let a session keep its model: prompt_cache.stay, or one tier for the endpoint",
    "key": "let a session keep its key and replica",
    "idle": "ask for the longer life (ttl 1h) where pauses are longer than five minutes",
    "untold": "have the provider tell it, as vLLM does with --enable-prompt-tokens-details",
    "evicted": "send prompt_cache_key where the provider has it; else nothing to do",
}
"""What helps, by reason."""


def reason(use: PromptCacheUse) -> str:
    """Why a call was read from its provider's prompt cache or was not."""
    if use.result == "model" and not use.switched_from:
        return "the session ran in another service tier or speed before"
    if use.result == "changed" and use.byte is None:
        return f"the prompt changed in {use.segment}"
    return REASONS[use.result].format(
        segment=use.segment, byte=use.byte, switched_from=use.switched_from, idle_s=use.idle_s or 0.0
    )


def told(use: PromptCacheUse, usage: Usage | None) -> str:
    """The line about one call."""
    return "; ".join((f"{_tokens(use, usage)}: {reason(use)}", *_money(use)))


def _tokens(use: PromptCacheUse, usage: Usage | None) -> str:
    if usage is None or use.result == "untold":
        return "tokens read unknown"
    written = written_tokens(usage)
    also = f", {written:,} written" if written else ""
    return f"{usage.cached_tokens:,} of {usage.input_tokens:,} tokens read{also}"


def _money(use: PromptCacheUse) -> Iterator[str]:
    saved = use.saved_nusd
    if saved is None:
        yield "what caching saved is unknown"
    elif saved or use.written_nusd:
        writes = f", its writes cost {usd(use.written_nusd)}" if use.written_nusd else ""
        yield f"caching {'saved' if saved >= 0 else 'cost'} {usd(abs(saved))}{writes}"
    if use.missed_tokens:
        cost = "at an unknown cost" if use.missed_nusd is None else f"for {usd(use.missed_nusd)} more"
        yield f"{use.missed_tokens:,} tokens missed {cost}"
