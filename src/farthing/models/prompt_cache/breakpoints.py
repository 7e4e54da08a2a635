"""Marks for providers' prompt caches where the client set none and they are expected to pay.

A mark makes its provider write what stands before it, which costs `w` of plain input (1.25 for 5 minutes, 2
for an hour), so that a next prompt that begins alike reads it for `r` (0.1 or less). With `p`, the chance
that such a prompt comes in time, marking all of a prompt gains `p(w - r) - (w - 1)` of what it costs plain.
`p` is measured (`habits`) and taken at its lower bound. What is cached already is read for sure.

Two places are weighed: tools with the system prompt, which sessions share, and the end of the last turn,
behind which the next turn goes on. The account of `habits` bounds what wrong guesses can cost.
"""

from collections.abc import Callable, Collection, Hashable
from typing import Any, Final

from msgspec import Struct

from farthing.models.pricing.cost import CACHE_WRITE_LONG
from farthing.models.pricing.prompt_cache import written_tokens
from farthing.models.prompt_cache.habits import LIVES_S, Group, Habits, turn_of
from farthing.models.prompt_cache.keys import PromptKeys
from farthing.models.prompt_cache.outline import key_of, outline_of
from farthing.models.prompt_cache.sessions import Sent
from farthing.models.prompt_cache.terms import terms_of
from farthing.protocols import Capabilities, PromptCaches, SentPrompt
from farthing.types import CacheMarks, Price, Prompt, PromptCacheUse, Request, Target, Usage, replace

MARK: Final = "cache_control"
DEPTH_MAX: Final = 4
PUSD_PER_NUSD: Final = 1_000


class Rates(Struct, frozen=True):
    """What a token costs by how it is charged, as parts of a plain one."""

    read: float
    write: dict[str, float]
    """By life; one without a price is not there."""
    plain_pusd: int

    def extra_nusd(self, life: str, tokens: int) -> int:
        """What writing costs more than plain input."""
        return round(tokens * (self.write[life] - 1) * self.plain_pusd) // PUSD_PER_NUSD


class Choice(Struct, frozen=True):
    """Marks that may be set, and what they are expected to gain, in plain tokens."""

    gain: float
    marks: CacheMarks


class Preparer:
    """Implements `protocols.PromptPreparer`, for one configuration."""

    def __init__(
        self,
        habits: Habits,
        keys: PromptKeys,
        caches: PromptCaches,
        *,
        clock: Callable[[], float],
        marks: bool = True,
        keyed: bool = True,
        unlike_marks: Collection[str] = (),
        unlike_keyed: Collection[str] = (),
    ) -> None:
        """`habits` and `keys` outlive it. `marks` and `keyed`: whether prompts get marks and keys; `unlike_…`
        are the endpoints for which the contrary holds."""
        self._habits = habits
        self._keys = keys
        self._caches = caches
        self._clock = clock
        self._marks = marks
        self._keyed = keyed
        self._unlike_marks = frozenset(unlike_marks)
        self._unlike_keyed = frozenset(unlike_keyed)

    def prepared(self, request: Request, prompt: Prompt, target: Target, has: Capabilities) -> Prompt:
        """See `protocols.PromptPreparer`."""
        if request.operation != "chat" or request.own:
            return prompt
        if has.marks and self._may_mark(request):
            marks = self._chosen(request, prompt, target)
            if marks is not None:
                marked: Prompt = replace(prompt, marks=marks)
                return marked
        elif has.cache_key and self._keyed != (request.endpoint.name in self._unlike_keyed):
            key = self._keys.key(request, prompt, target)
            if key:
                keyed: Prompt = replace(prompt, cache_key=key)
                return keyed
        return prompt

    def sent(
        self, sent: SentPrompt | None, request: Request, target: Target, prompt: Prompt
    ) -> SentPrompt | None:
        """See `protocols.PromptPreparer`."""
        if not isinstance(sent, Sent) or not terms_of(target).marked or not self._may_mark(request):
            return sent
        group = self._habits.of(request.tenant.name, request.endpoint.name, target.name)
        return MarkedPrompt(sent, group, request, prompt)

    def _may_mark(self, request: Request) -> bool:
        return self._marks != (request.endpoint.name in self._unlike_marks)

    def _chosen(self, request: Request, prompt: Prompt, target: Target) -> CacheMarks | None:
        terms = terms_of(target)
        if not terms.marked:
            return None
        group = self._habits.find(request.tenant.name, request.endpoint.name, target.name)
        if group is None:
            return None
        least, tokens = terms.tokens_min or 1, round(prompt.input_tokens * group.counted)
        # where money is limited, what is held for a call must cover it: for short writes alone it does
        short = prompt.input_tokens_bound is not None and CACHE_WRITE_LONG not in prompt.dearer
        rates = rates_of(target.price, tokens, short=short) if tokens >= least else None
        if rates is None:
            return None
        now_s = self._clock()
        choices = list(self._choices(request, target, group, rates, tokens, least, now_s))
        choices.sort(key=lambda one: one.gain, reverse=True)
        plain_nusd = -(-tokens * rates.plain_pusd // PUSD_PER_NUSD)
        for one in choices:
            if one.gain > 0 and group.account.allows(one.marks.reserved_nusd, plain_nusd, now_s):
                return None if is_marked(prompt) else one.marks
        return None

    def _choices(
        self,
        request: Request,
        target: Target,
        group: Group,
        rates: Rates,
        tokens: int,
        least: int,
        now_s: float,
    ) -> "list[Choice]":
        outline = outline_of(request)
        found: list[Choice] = []
        known = group.prefixes.get((outline.tools, outline.system))
        begins, shared_life, held = 0, "", 0
        if known is not None and known.tokens >= least:
            begins = min(known.tokens, tokens)
            held = begins if known.until_s > now_s else 0
            for life, write in rates.write.items():
                if held and life != known.life:
                    continue
                chance = known.shares[life].near(group.shared[life].low)
                gain = _gain(rates.read, write, chance, begins, held)
                if gain > 0 and (not found or gain > found[0].gain):
                    shared_life = life
                    extra = rates.extra_nusd(life, begins - held)
                    found = [Choice(gain, CacheMarks(tools=life, system=life, reserved_nusd=extra))]
        warm = self._caches.warm(request, target)
        turn = turn_of(outline)
        last = group.open((key_of(request, outline), outline.question))
        cached = held if warm is None else max(held, min(warm.tokens, tokens))
        for life, write in rates.write.items():
            if warm is not None and last is not None and last.life not in ("", life):
                continue
            chance = group.followed[life, turn].low
            gain = _gain(rates.read, write, chance, tokens, cached)
            front = "1h" if "1h" in (life, shared_life) else life
            extra = rates.extra_nusd(front if not cached else life, tokens - cached)
            marks = CacheMarks(tools=front, system=front, turns=life, reserved_nusd=extra)
            found.append(Choice(gain, marks))
        return found


class MarkedPrompt:
    """Implements `protocols.SentPrompt`: what comes of a prompt is learnt from, and its marks are booked."""

    __slots__ = ("_booked_nusd", "_estimated", "_group", "_learnt", "_marks", "_request", "_sent")

    def __init__(self, sent: Sent, group: Group, request: Request, prompt: Prompt) -> None:
        self._sent = sent
        self._group = group
        self._request = request
        self._marks = prompt.marks
        self._estimated = prompt.input_tokens
        self._learnt = False
        self._booked_nusd = 0
        if prompt.marks is not None:
            self._book(-prompt.marks.reserved_nusd)

    def told(self, usage: Usage, price: Price | None) -> PromptCacheUse:
        """See `protocols.SentPrompt`."""
        use = self._sent.told(usage, price)
        if self._marks is not None and use.saved_nusd is not None:
            self._book(use.saved_nusd)
        if not self._learnt:
            self._learnt = True
            self._learn(usage)
        return use

    def failed(self, cost_nusd: int | None) -> None:
        """See `protocols.SentPrompt`."""
        if cost_nusd == 0:
            self._book(0)

    def _book(self, nusd: int) -> None:
        """Have `nusd` in the account for this call, in the place of what was booked for it before."""
        self._group.account.book(nusd - self._booked_nusd)
        self._booked_nusd = nusd

    def _learn(self, usage: Usage) -> None:
        call, marks, request = self._sent.call, self._marks, self._request
        if call is None:
            return
        outline, group = call.outline, self._group
        if not usage.estimated:
            group.count(self._estimated, usage.input_tokens)
        session = (key_of(request, outline), outline.question)
        beginning: Hashable = (outline.tools, outline.system)
        group.learn(session, beginning, call, self._sent.before, "" if marks is None else marks.turns)
        known = group.prefixes.get(beginning)
        if known is not None and marks is not None and (usage.cached_tokens or written_tokens(usage)):
            if known.until_s <= call.at_s:
                known.life = marks.system
            known.until_s = max(known.until_s, call.at_s + LIVES_S[known.life or "5m"])


def _gain(read: float, write: float, chance: float, tokens: int, cached: int) -> float:
    """What marking the end of `tokens`, of which `cached` are read for sure, is expected to gain."""
    return cached * (1 - read) + (tokens - cached) * (chance * (write - read) - (write - 1))


def rates_of(price: Price | None, tokens: int, *, short: bool = False) -> Rates | None:
    """What a prompt of `tokens` is charged by; None where it is not known or marks cannot pay. `short`: only
    the shorter life comes into question."""
    while price is not None and price.long is not None and tokens > (price.long_over_tokens or tokens):
        price = price.long
    if price is None or price.cached_input_pusd is None or price.input_pusd <= price.cached_input_pusd:
        return None
    prices = {"5m": price.cache_write_pusd, "1h": None if short else price.cache_write_long_pusd}
    write = {life: pusd / price.input_pusd for life, pusd in prices.items() if pusd is not None}
    return Rates(price.cached_input_pusd / price.input_pusd, write, price.input_pusd) if write else None


def is_marked(prompt: Prompt) -> bool:
    """Whether the client set a mark anywhere, or says itself what is to be read from a cache."""
    sent = prompt.sent
    body = prompt.body if sent is None or sent.dialect != "messages" or not sent.body else sent.body
    if MARK in body or "cached_content" in body or "cachedContent" in body:
        return True
    return any(_in_list(body.get(name), DEPTH_MAX) for name in ("system", "tools", "messages"))


def _in_list(values: Any, depth: int) -> bool:
    """Whether an object of a list, or one within it, is marked; the last ones are looked at first, where
    agents set their marks."""
    if values.__class__ is not list:
        return False
    for value in reversed(values):
        if value.__class__ is not dict:
            continue
        if MARK in value:
            return True
        if not depth:
            continue
        content = value.get("content")
        if content.__class__ is list and _in_list(content, depth - 1):
            return True
        if "tool_calls" in value and _in_list(value["tool_calls"], 0):
            return True
        if "function" in value and MARK in (value["function"] or ()):
            return True
    return False
