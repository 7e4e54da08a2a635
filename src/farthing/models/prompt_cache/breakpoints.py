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

from farthing.errors import ProviderRejected
from farthing.models.pricing.cost import CACHE_WRITE_LONG
from farthing.models.pricing.prompt_cache import written_tokens
from farthing.models.prompt_cache.habits import LIVES_S, Group, Habits, Open, turn_of
from farthing.models.prompt_cache.keys import PromptKeys
from farthing.models.prompt_cache.outline import goes_on, key_of, outline_of
from farthing.models.prompt_cache.sessions import Sent, saved_of
from farthing.models.prompt_cache.terms import terms_of
from farthing.models.prompt_cache.why import Call
from farthing.protocols import Capabilities, PromptCaches, SentPrompt
from farthing.types import CacheMarks, Price, Prompt, PromptCacheUse, Request, Target, Usage, replace

MARK: Final = "cache_control"
DEPTH_MAX: Final = 4
PUSD_PER_NUSD: Final = 1_000
RATES_MAX: Final = 1_000
CLEAR_BUT: Final = 4
"""Messages at the end that are looked at again for marks of the client."""


class Rates(Struct, frozen=True):
    """What a token costs by how it is charged, as parts of a plain one."""

    read: float
    write: dict[str, float]
    """By life; one without a price is not there."""
    plain_pusd: int

    def extra_nusd(self, life: str, tokens: int) -> int:
        """What writing costs more than plain input."""
        return round(tokens * (self.write[life] - 1) * self.plain_pusd) // PUSD_PER_NUSD


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
        self._rates: dict[tuple[str, bool], tuple[Price, Rates | None]] = {}

    def prepared(self, request: Request, prompt: Prompt, target: Target, has: Capabilities) -> Prompt:
        """See `protocols.PromptPreparer`."""
        if request.operation != "chat" or request.own:
            return prompt
        if has.marks:
            paying = self._habits.paying
            if not paying or (request.tenant.name, request.endpoint.name, target.name) not in paying:
                return prompt
            marks = self._chosen(request, prompt, target) if self._may_mark(request) else None
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
        measured = isinstance(sent, Sent)
        if not (measured or prompt.marks is not None) or not terms_of(target).marked:
            return sent
        if not self._may_mark(request):
            return sent
        own = sent if isinstance(sent, Sent) else None
        return MarkedPrompt(own, self._habits, target.name, request, prompt)

    def refused(self, request: Request, prompt: Prompt, target: Target, error: ProviderRejected) -> bool:
        """See `protocols.PromptPreparer`."""
        if prompt.marks is None:
            return False
        return self._habits.refusals.note(request.tenant.name, target.name, error, self._clock())

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
        if tokens < least:
            return None
        # where money is limited, what is held for a call must cover it: for short writes alone it does
        short = prompt.input_tokens_bound is not None and CACHE_WRITE_LONG not in prompt.dearer
        rates = self._rates_of(target, tokens, short=short)
        if rates is None:
            return None
        now_s = self._clock()
        if now_s >= group.warm_until_s and not any(
            [group.chance[life] * (write - rates.read) > write - 1 for life, write in rates.write.items()]
        ):
            return None
        if self._habits.refusals.holds(request.tenant.name, target.name, now_s):
            return None
        weighed = Weighed(request, target, group, rates, tokens, least, now_s)
        choices = weighed.choices(self._caches)
        plain_nusd = -(-tokens * rates.plain_pusd // PUSD_PER_NUSD)
        for gain, marks in choices:
            if gain > 0 and group.account.allows(marks.reserved_nusd, plain_nusd, now_s):
                return None if is_marked(prompt, weighed.clear) else marks
        return None

    def _rates_of(self, target: Target, tokens: int, *, short: bool) -> Rates | None:
        """As `rates_of`, remembered by target where it does not depend on the tokens."""
        price = target.price
        if price is None or price.long is not None:
            return rates_of(price, tokens, short=short)
        held = self._rates.get((target.name, short))
        if held is None or held[0] is not price:
            if len(self._rates) >= RATES_MAX:
                self._rates.clear()
            held = self._rates[target.name, short] = (price, rates_of(price, tokens, short=short))
        return held[1]


class Weighed:
    """What marking one prompt is expected to gain."""

    __slots__ = (
        "_group",
        "_least",
        "_now_s",
        "_outline",
        "_rates",
        "_request",
        "_target",
        "_tokens",
        "clear",
    )

    def __init__(
        self,
        request: Request,
        target: Target,
        group: Group,
        rates: Rates,
        tokens: int,
        least: int,
        now_s: float,
    ) -> None:
        self._request = request
        self._target = target
        self._group = group
        self._rates = rates
        self._tokens = tokens
        self._least = least
        self._now_s = now_s
        self._outline = outline_of(request)
        self.clear = 0
        """Of its messages, the first that are known to have no marks."""

    def choices(self, caches: PromptCaches) -> list[tuple[float, CacheMarks]]:
        """Marks that may be set and what each gains, in plain tokens, the best first."""
        life, held, found = self._beginning()
        group, rates, tokens, outline = self._group, self._rates, self._tokens, self._outline
        turn = turn_of(outline)
        last = group.open((key_of(self._request, outline), outline.question))
        warm_tokens = self._warm_tokens(last, caches)
        cached = max(held, min(warm_tokens, tokens))
        keeps = "" if not warm_tokens or last is None else last.life
        self.clear = 0 if last is None else max(0, last.clear - CLEAR_BUT)
        for own, write in rates.write.items():
            if keeps and own != keeps:
                continue
            gain = _gain(rates.read, write, group.followed[own, turn].low, tokens, cached)
            if gain <= 0:
                continue
            front = "1h" if "1h" in (own, life) else own
            extra = rates.extra_nusd(front if not cached else own, tokens - cached)
            found.append((gain, CacheMarks(tools=front, system=front, turns=own, reserved_nusd=extra)))
        found.sort(key=_first, reverse=True)
        return found

    def _warm_tokens(self, last: Open | None, caches: PromptCaches) -> int:
        """What the target has cached of its session, whose last call there is `last`."""
        if self._now_s >= self._group.warm_until_s:
            return 0
        messages = self._request.body.get("messages")
        if last is not None and messages.__class__ is list and goes_on(last.outline, self._outline, messages):
            return last.cached_tokens if self._now_s < last.until_s else 0
        warm = caches.warm(self._request, self._target)
        return 0 if warm is None else warm.tokens

    def _beginning(self) -> tuple[str, int, list[tuple[float, CacheMarks]]]:
        """Of tools and system prompt: for how long they are best marked, how many of their tokens are cached,
        and marks on them alone."""
        group, rates, outline = self._group, self._rates, self._outline
        known = group.prefixes.get((outline.tools, outline.system))
        if known is None or known.tokens < self._least:
            return "", 0, []
        begins = min(known.tokens, self._tokens)
        held = begins if known.until_s > self._now_s else 0
        best, best_life = 0.0, ""
        for life, write in rates.write.items():
            if held and life != known.life:
                continue
            chance = known.shares[life].near(group.shared[life].low)
            gain = _gain(rates.read, write, chance, begins, held)
            if gain > best:
                best, best_life = gain, life
        if not best_life:
            return "", held, []
        extra = rates.extra_nusd(best_life, begins - held)
        marks = CacheMarks(tools=best_life, system=best_life, reserved_nusd=extra)
        return best_life, held, [(best, marks)]


def _first(one: tuple[float, CacheMarks]) -> float:
    return one[0]


class MarkedPrompt:
    """Implements `protocols.SentPrompt`: what comes of a prompt is learnt from, and its marks are booked,
    whether or not it is measured."""

    __slots__ = (
        "_booked_nusd",
        "_estimated",
        "_group",
        "_habits",
        "_learnt",
        "_marks",
        "_request",
        "_sent",
        "_target",
    )

    def __init__(
        self, sent: Sent | None, habits: Habits, target: str, request: Request, prompt: Prompt
    ) -> None:
        """`sent` measures it; None: nothing does."""
        self._sent = sent
        self._habits = habits
        self._target = target
        self._group = habits.of(request.tenant.name, request.endpoint.name, target)
        self._request = request
        self._marks = prompt.marks
        self._estimated = prompt.input_tokens
        self._learnt = False
        self._booked_nusd = 0
        if sent is not None:
            sent.learner = self
        if prompt.marks is not None:
            self._book(-prompt.marks.reserved_nusd)

    def told(self, usage: Usage, price: Price | None) -> PromptCacheUse | None:
        """See `protocols.SentPrompt`."""
        use = None if self._sent is None else self._sent.told(usage, price)
        if self._marks is not None:
            saved_nusd = saved_of(usage, price) if use is None else use.saved_nusd
            if saved_nusd is not None:
                self._book(saved_nusd)
            if use is not None:
                marked: PromptCacheUse = replace(use, marked=True)
                return marked
        return use

    def failed(self, cost_nusd: int | None) -> None:
        """See `protocols.SentPrompt`."""
        if self._sent is not None:
            self._sent.failed(cost_nusd)
        if cost_nusd == 0:
            self._book(0)

    def _book(self, nusd: int) -> None:
        """Have `nusd` in the account for this call, in the place of what was booked for it before."""
        self._group.account.book(nusd - self._booked_nusd)
        self._booked_nusd = nusd

    def learn(self, call: Call, before: Call | None, usage: Usage) -> None:
        """See `sessions.Learner`. Of a call that is told of twice, the first word counts."""
        if self._learnt:
            return
        self._learnt = True
        outline, group, marks = call.outline, self._group, self._marks
        if not usage.estimated:
            group.count(self._estimated, usage.input_tokens)
        session = (key_of(self._request, outline), outline.question)
        beginning: Hashable = (outline.tools, outline.system)
        group.learn(session, beginning, call, before, None if marks is None else marks.turns)
        self._habits.note(self._request.tenant.name, self._request.endpoint.name, self._target, group)
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


def is_marked(prompt: Prompt, clear: int = 0) -> bool:
    """Whether the client set a mark anywhere, or says itself what is to be read from a cache. The first
    `clear` messages are known to have none."""
    sent = prompt.sent
    body = prompt.body if sent is None or sent.dialect != "messages" or not sent.body else sent.body
    if MARK in body or "cached_content" in body or "cachedContent" in body:
        return True
    messages = body.get("messages")
    if clear and messages.__class__ is list:
        messages = messages[clear:]
    return any([_in_list(one, DEPTH_MAX) for one in (body.get("system"), body.get("tools"), messages)])


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
