"""Why a prompt was read from its provider's cache, or was not, compared with the one before it."""

from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from farthing.models.pricing.prompt_cache import written_tokens
from farthing.models.prompt_cache.outline import ALIKE_MAX, Outline
from farthing.models.prompt_cache.segments import Prefix
from farthing.models.prompt_cache.terms import ASSUMED_LIFE_S, CacheTerms
from farthing.types import PromptCacheResult, Usage

SLACK_SHARE: Final = 0.02
SLACK_TOKENS: Final = 256
"""What may be missing of a prefix that counts as read: providers read whole blocks, and count tokens around
messages."""


class Call(Struct):
    """One prompt of a session. Not changed once it is remembered."""

    target: str
    lane: str
    outline: Outline
    prefix: Prefix
    at_s: float
    since_s: float | None
    input_tokens: int
    read_tokens: int
    written_tokens: int
    cached_tokens: int
    """What the next call can read of it."""
    life_s: float
    tier: str
    writes: bool
    """What is not read is written, at a price."""


class Finding(Struct, frozen=True):
    """What became of a prompt."""

    result: PromptCacheResult
    reusable_tokens: int | None
    """What could have been read. None: the provider does not tell what was."""
    place: tuple[int, int] | None = None
    """Where it differs from the one before: the segment and the byte in it."""


UNTOLD: Final = Finding("untold", None)


def finding(
    call: Call,
    before: Call | None,
    usage: Usage,
    terms: CacheTerms,
    parted: Callable[[], tuple[int, int] | None],
    begun: Callable[[], int],
) -> Finding:
    """What became of `call`, which goes on from `before`. `parted` finds where they differ, `begun` how many
    tokens of its beginning the tenant had sent in time in another session."""
    if not call.read_tokens and not call.written_tokens and _is_untold(usage, call, before, terms):
        return UNTOLD
    if before is None:
        return _of_first(call, terms, begun)
    own = before.target == call.target
    if own and terms.marked and not before.cached_tokens and not call.read_tokens:
        return _of_unmarked(call, before, terms, parted)
    reusable = min(before.cached_tokens if own else before.input_tokens, call.input_tokens)
    missed = reusable - call.read_tokens
    if not reusable and not call.read_tokens:
        return Finding("short", 0)  # the one before was
    if missed <= max(SLACK_TOKENS, terms.block_tokens * 2, int(reusable * SLACK_SHARE)):
        return Finding("read", reusable)
    if terms.tokens_min is not None and reusable < terms.tokens_min:
        return Finding("short", reusable)
    if not own:
        return Finding("model", reusable)
    if before.lane != call.lane:
        return Finding("key", reusable)
    return _of_miss(call, before, (reusable, missed), parted(), marked=terms.marked)


def _of_first(call: Call, terms: CacheTerms, begun: Callable[[], int]) -> Finding:
    """Of a prompt before which its session sent nothing: no more could be read of it than what others had
    begun with."""
    if call.read_tokens:
        return Finding("read", call.read_tokens)
    if _is_short(call.input_tokens, terms):
        return Finding("short", 0)
    known = min(begun(), call.input_tokens)
    if not known or _is_short(known, terms):
        return Finding("first", 0)
    unmarked = terms.marked and not call.written_tokens
    return Finding("unmarked" if unmarked else "first", known)


def _of_unmarked(
    call: Call, before: Call, terms: CacheTerms, parted: Callable[[], tuple[int, int] | None]
) -> Finding:
    """Of a prompt that goes on from one in which nothing was marked. A mark there could have saved what both
    begin with, up to the segment in which they differ, and for as long as any mark lasts."""
    if _is_short(call.input_tokens, terms):
        return Finding("short", 0)
    if call.written_tokens:
        return Finding("first", 0)
    life_s = terms.life_long_s or terms.life_s
    if life_s is not None and call.at_s - before.at_s > life_s:
        return Finding("idle", 0)
    place = parted()
    if place is None:
        return Finding("unmarked", min(before.input_tokens, call.input_tokens))
    shared = min(before.prefix.tokens_before(place[0], 0, before.input_tokens), call.input_tokens)
    if not shared or _is_short(shared, terms):
        return Finding("changed", 0, place)
    return Finding("unmarked", shared)


def _is_short(tokens: int, terms: CacheTerms) -> bool:
    return terms.tokens_min is not None and tokens < terms.tokens_min


def _of_miss(
    call: Call, before: Call, tokens: tuple[int, int], place: tuple[int, int] | None, *, marked: bool
) -> Finding:
    """Of a prompt that went the same way as the one before, from which it differs at `place`; `tokens` could
    have been read, and were missed. Where only marked places are cached (`marked`), a change also costs what
    stands between it and the mark before it."""
    reusable, missed = tokens
    away = call.at_s - before.at_s > before.life_s
    if place is not None and (call.read_tokens or not away):
        shared = before.prefix.tokens_before(*place, before.input_tokens)
        if marked or shared - call.read_tokens <= missed / 2:
            return Finding("changed", reusable, place)
    if away:
        return Finding("idle", reusable)
    return Finding("evicted" if call.tier == before.tier else "model", reusable)


def _is_untold(usage: Usage, call: Call, before: Call | None, terms: CacheTerms) -> bool:
    """Whether a zero may mean that the provider says nothing of its cache. Of one that has told of reads or
    writes in this session it does not."""
    if usage.estimated:
        return True
    if terms.tells and not usage.cache_untold:
        return False
    heard = before is not None and before.target == call.target
    return not (heard and before is not None and (before.read_tokens or before.written_tokens))


def before_of(calls: Sequence[Call], target: str, lane: str, outline: Outline) -> Call | None:
    """The call that one with `outline` goes on from: of the same conversation, best by the same lane of the
    same target. None: none is of the same conversation."""
    for call in reversed(calls):  # mostly the last one is it
        same = call.target == target and call.lane == lane and call.outline.count <= outline.count
        if same and call.outline.alike(outline) == ALIKE_MAX:
            return call
    alike = [call for call in reversed(calls) if call.outline.goes_with(outline)]
    if not alike:
        return None
    most = max(call.outline.alike(outline) for call in alike)
    best = [call for call in alike if call.outline.alike(outline) == most]
    for wanted in (
        [call for call in best if call.target == target and call.lane == lane],
        [call for call in alike if call.target == target and call.lane == lane],
        [call for call in alike if call.target == target],
        alike,
    ):
        shorter = [call for call in wanted if call.outline.count <= outline.count]
        if shorter or wanted:
            return (shorter or wanted)[0]
    return None


def life_s(usage: Usage, same: Call | None, terms: CacheTerms) -> float:
    """How long what a call wrote stays; what it only read stays as long as it did before."""
    if usage.cache_write_12h_tokens:
        return 43_200.0
    if usage.cache_write_1h_tokens:
        return 3_600.0
    if usage.cache_write_30m_tokens:
        return 1_800.0
    if usage.cache_write_5m_tokens:
        return 300.0
    return terms.life_s or ASSUMED_LIFE_S if same is None else same.life_s


def cached_tokens(usage: Usage, terms: CacheTerms, same: Call | None) -> int:
    """What the next call can read of one with `usage`. Of one that broke off before its provider told
    anything: what could be read before it, by `same`."""
    if usage.estimated and not usage.cached_tokens and not written_tokens(usage) and same is not None:
        return same.cached_tokens
    if terms.marked:
        return usage.cached_tokens + written_tokens(usage)
    cached = usage.input_tokens // terms.block_tokens * terms.block_tokens
    return 0 if terms.tokens_min is not None and cached < terms.tokens_min else cached
