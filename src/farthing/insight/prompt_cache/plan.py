"""The prompt-cache plan of an endpoint or a session: what share of the input was read from providers' prompt
caches, what was written and missed, why, what each cost, and what helps."""

from collections.abc import Iterator

import msgspec

from farthing.insight.prompt_cache.words import FIXES
from farthing.insight.render.money import at_least, usd
from farthing.insight.render.rows import counted
from farthing.models.pricing.prompt_cache import written_tokens
from farthing.types import Attempt, PromptCacheResult, Receipt

SEGMENTS_MAX = 8
NAMES: dict[PromptCacheResult, str] = {
    "first": "first call of a session",
    "short": "below the provider's minimum",
    "unmarked": "nothing marked to be cached",
    "changed": "prompt changed",
    "model": "model, tier or speed switched",
    "key": "key or replica switched",
    "idle": "idle too long",
    "untold": "provider tells nothing",
    "evicted": "gone, for no reason that shows",
}


class Miss(msgspec.Struct, frozen=True, kw_only=True):
    """Calls that were not read as far as they could have been, by one reason."""

    reason: PromptCacheResult
    calls: int
    tokens: int | None
    """Not read. None: unknown for all of them."""
    cost_nusd: int | None
    """More than if they had been read, of those whose price is known; None: none is."""
    cost_unknown: int
    """Calls whose cost is not in it."""
    segments: dict[str, int] = {}
    """Where prompts changed, `tools`, `system` or `messages`, with the number of calls."""
    fix: str


class PromptCachePlan(msgspec.Struct, frozen=True, kw_only=True):
    """What prompt caches did for the calls of an endpoint."""

    endpoint: str
    calls: int
    """That were measured."""
    not_measured: int
    """Calls with usage that were not: too short to be cached, or of an older version."""
    input_tokens: int
    """Of the measured calls whose provider tells what it read; so are the next."""
    read_tokens: int
    written_tokens: int
    new_tokens: int
    """Neither read nor missed: what its session had not sent before."""
    missed_tokens: int
    read_share: float | None
    """Share of `input_tokens`; None: there are none."""
    written_share: float | None
    missed_share: float | None
    saved_nusd: int | None
    """What caching saved against list prices without it, signed; None: unknown for all calls."""
    written_nusd: int | None
    """What writes cost more than plain input."""
    money_unknown: int
    """Calls that are in neither."""
    misses: list[Miss]
    """The most expensive first."""


class _Miss:
    def __init__(self) -> None:
        self.calls = self.tokens = self.cost_nusd = self.tokens_unknown = self.cost_unknown = 0
        self.segments: dict[str, int] = {}


class PlanSums:
    """Sums up calls."""

    def __init__(self) -> None:
        self.calls = self.not_measured = 0
        self._input = self._read = self._written = self._missed = 0
        self._saved_nusd = self._written_nusd = self._money_unknown = 0
        self._misses: dict[PromptCacheResult, _Miss] = {}

    def add(self, receipt: Receipt) -> None:
        """Add the calls of a request."""
        for attempt in receipt.attempts:
            if attempt.usage is not None and not attempt.tier.startswith("check:"):
                self._add(attempt)

    def _add(self, attempt: Attempt) -> None:
        use, usage = attempt.prompt_cache, attempt.usage
        if use is None or usage is None:
            self.not_measured += 1
            return
        self.calls += 1
        if use.saved_nusd is None or use.written_nusd is None:
            self._money_unknown += 1
        else:
            self._saved_nusd += use.saved_nusd
            self._written_nusd += use.written_nusd
        if use.result != "untold":
            self._input += usage.input_tokens
            self._read += usage.cached_tokens
            self._written += written_tokens(usage)
            self._missed += use.missed_tokens or 0
        if use.result == "read":
            return
        miss = self._misses.setdefault(use.result, _Miss())
        miss.calls += 1
        if use.missed_tokens is None:
            miss.tokens_unknown += 1
        miss.tokens += use.missed_tokens or 0
        if use.missed_nusd is None:
            miss.cost_unknown += 1
        miss.cost_nusd += use.missed_nusd or 0
        if use.segment:
            segment = "messages" if use.segment.startswith("message ") else use.segment
            if segment in miss.segments or len(miss.segments) < SEGMENTS_MAX:
                miss.segments[segment] = miss.segments.get(segment, 0) + 1

    def plan(self, endpoint: str) -> PromptCachePlan:
        known = self.calls > self._money_unknown
        misses = [_told(reason, one) for reason, one in self._misses.items()]
        return PromptCachePlan(
            endpoint=endpoint,
            calls=self.calls,
            not_measured=self.not_measured,
            input_tokens=self._input,
            read_tokens=self._read,
            written_tokens=self._written,
            new_tokens=max(0, self._input - self._read - self._missed),
            missed_tokens=self._missed,
            read_share=_share(self._read, self._input),
            written_share=_share(self._written, self._input),
            missed_share=_share(self._missed, self._input),
            saved_nusd=self._saved_nusd if known else None,
            written_nusd=self._written_nusd if known else None,
            money_unknown=self._money_unknown,
            misses=sorted(misses, key=lambda one: (-(one.cost_nusd or 0), -(one.tokens or 0), -one.calls)),
        )


def _told(reason: PromptCacheResult, one: _Miss) -> Miss:
    return Miss(
        reason=reason,
        calls=one.calls,
        tokens=None if one.tokens_unknown == one.calls else one.tokens,
        cost_nusd=None if one.cost_unknown == one.calls else one.cost_nusd,
        cost_unknown=one.cost_unknown,
        segments=dict(sorted(one.segments.items(), key=lambda item: -item[1])),
        fix=FIXES[reason],
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def lines(plan: PromptCachePlan) -> Iterator[str]:
    """A plan as text, what costs most first."""
    yield f"{plan.endpoint}: {_shares(plan)}; {_money(plan)}"
    for miss in plan.misses:
        where = ", ".join(f"{name} {count:,}" for name, count in miss.segments.items())
        why = NAMES[miss.reason] + (f" ({where})" if where else "")
        tokens = "tokens unknown" if miss.tokens is None else f"{miss.tokens:,} tokens"
        cost = at_least(miss.cost_nusd or 0, miss.cost_unknown)
        yield (
            f"  {why}: {counted(miss.calls, 'call')}, {tokens}, "
            f"{cost if cost == 'unknown' else f'{cost} more'}: {miss.fix}"
        )


def _shares(plan: PromptCachePlan) -> str:
    calls = counted(plan.calls, "call")
    if plan.read_share is None:
        return f"{calls}, of which providers do not tell what they read"
    return (
        f"of {plan.input_tokens:,} input tokens in {calls} {plan.read_share:.1%} were read, "
        f"{plan.written_share:.1%} written, {plan.missed_share:.1%} missed"
    )


def _money(plan: PromptCachePlan) -> str:
    if plan.saved_nusd is None:
        return "what caching saved is unknown"
    verb = "saved" if plan.saved_nusd >= 0 else "cost"
    without = f" ({counted(plan.money_unknown, 'call')} unknown)" if plan.money_unknown else ""
    writes = f", its writes cost {usd(plan.written_nusd)}" if plan.written_nusd else ""
    return f"caching {verb} {usd(abs(plan.saved_nusd))}{writes}{without}"
