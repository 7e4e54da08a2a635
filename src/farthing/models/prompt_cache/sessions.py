"""What sessions sent lately and where it is cached, in this process; and why a call was read or was not.

A session is what its client calls one, else a conversation that begins alike. Of each, the last prompts are
remembered by target and lane: as digests (`segments`), never as text. A provider's cache belongs to an
account rather than to a session, so a first call may be read too, and is then told as read.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import partial
from typing import Final

from farthing.models.pricing.prompt_cache import cache_money, written_tokens
from farthing.models.prompt_cache.outline import Outline, key_of, outline_of, sample
from farthing.models.prompt_cache.segments import BODY_BYTES_MIN, MESSAGES, Reading, read
from farthing.models.prompt_cache.terms import terms_of
from farthing.models.prompt_cache.why import Call, before_of, cached_tokens, finding, life_s
from farthing.protocols import PromptCall, SegmentSize, WarmPrefix
from farthing.types import Json, Price, PromptCacheUse, Request, Target, Usage

SESSIONS_MAX: Final = 10_000
BYTES_PER_TOKEN_MIN: Final = 2
"""A body has more bytes for each token of its prompt, in any script."""
SEGMENTS_TOTAL_MAX: Final = 1_000_000  # some 40 MB with their blocks
CALLS_MAX: Final = 6
"""Prompts that are remembered of one session: several agents may share its name, and targets take turns."""


def _now(work: Callable[[], object]) -> None:
    work()


class Session:
    """The last calls, the latest at the end."""

    __slots__ = ("calls",)

    def __init__(self) -> None:
        self.calls: list[Call] = []

    @property
    def segments(self) -> int:
        return sum(len(call.prefix.digests) for call in self.calls)


class MemoryPromptCaches:
    """Implements `protocols.PromptCaches`. Outlives a reload; belongs to one event loop.

    At most `sessions_max` sessions are remembered, of which one tenant takes no room from others while it
    has more than they.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        sessions_max: int = SESSIONS_MAX,
        later: Callable[[Callable[[], object]], object] = _now,
    ) -> None:
        """`clock` gives monotonic seconds. `later` runs a piece of work of about a millisecond soon, once
        others have had their turn."""
        self._clock = clock
        self._later = later
        self._sessions_max = sessions_max
        self._tenants: dict[str, OrderedDict[Hashable, Session]] = {}
        self._sessions = 0
        self._segments = 0

    def sent(self, request: Request, target: Target, body: bytes, lane: str = "") -> "Sent | None":
        """See `protocols.PromptCaches`."""
        if len(body) < BODY_BYTES_MIN or request.operation != "chat" or request.own:
            return None
        if len(body) < BYTES_PER_TOKEN_MIN * (terms_of(target).tokens_min or 0):
            return None
        outline = outline_of(request)
        key = key_of(request, outline)
        session = self._find(request.tenant.name, key)
        before = before_of(session.calls, target.name, lane, outline) if session is not None else None
        same = before if before is not None and before.target == target.name else None
        reading = read(body, None if same is None else same.prefix)
        if reading is None:
            return None
        if not reading.done:
            self._later(partial(self._go_on, reading))
        return Sent(self, (request.tenant.name, key), target, lane, outline, reading, before, self._clock())

    def _go_on(self, reading: Reading) -> None:
        if reading.go_on():
            self._later(partial(self._go_on, reading))

    def warm(self, request: Request, target: Target) -> WarmPrefix | None:
        """See `protocols.PromptCaches`."""
        return next((one for one in self.warm_targets(request) if one.target == target.name), None)

    def warm_targets(self, request: Request) -> tuple[WarmPrefix, ...]:
        """See `protocols.PromptCaches`."""
        found: dict[str, WarmPrefix] = {}
        for call, warm in self._warm(request):
            held = found.get(call.target)
            if held is None or held.tokens < warm.tokens:
                found[call.target] = warm
        return tuple(found.values())

    def lane(self, request: Request, target: Target) -> str | None:
        """See `protocols.PromptCaches`."""
        warm = [(call, one) for call, one in self._warm(request) if call.target == target.name]
        return max(warm, key=lambda one: one[1].tokens)[0].lane if warm else None

    def calls(self, request: Request) -> tuple[PromptCall, ...]:
        """See `protocols.PromptCaches`."""
        session = self._find(request.tenant.name, key_of(request, outline_of(request)))
        return () if session is None else tuple(map(_told, reversed(session.calls)))

    def _warm(self, request: Request) -> list[tuple[Call, WarmPrefix]]:
        if request.operation != "chat" or not self._sessions:
            return []
        outline = outline_of(request)
        session = self._find(request.tenant.name, key_of(request, outline))
        if session is None:
            return []
        now_s = self._clock()
        found = []
        for call in reversed(session.calls):
            left_s = call.life_s - (now_s - call.at_s)
            tokens = _shared_tokens(call, outline, request.body) if left_s > 0 else 0
            if tokens > 0:
                whole = call.input_tokens * outline.chars // max(1, call.outline.chars)
                warm = WarmPrefix(
                    target=call.target,
                    tokens=tokens,
                    input_tokens=max(tokens, whole),
                    writes=call.writes,
                    life_s=left_s,
                )
                found.append((call, warm))
        return found

    def _find(self, tenant: str, key: Hashable) -> Session | None:
        sessions = self._tenants.get(tenant)
        return None if sessions is None else sessions.get(key)

    def remember(self, owner: tuple[str, Hashable], call: Call, instead: Call | None) -> None:
        """Add a call to a session, in the place of `instead` and of what it goes on from."""
        tenant, key = owner
        sessions = self._tenants.setdefault(tenant, OrderedDict())
        session = sessions.get(key)
        if session is None:
            session = sessions[key] = Session()
            self._sessions += 1
        sessions.move_to_end(key)
        self._segments -= session.segments
        kept = [one for one in session.calls if one is not instead and not _goes_on(call, one)]
        session.calls = [*kept[-(CALLS_MAX - 1) :], call]
        self._segments += session.segments
        while self._sessions > 1 and (
            self._sessions > self._sessions_max or self._segments > SEGMENTS_TOTAL_MAX
        ):
            self._forget()

    def _forget(self) -> None:
        """Forget the session of the tenant with most of them that was used longest ago."""
        tenant = max(self._tenants, key=lambda name: len(self._tenants[name]))
        _, session = self._tenants[tenant].popitem(last=False)
        self._sessions -= 1
        self._segments -= session.segments
        if not self._tenants[tenant]:
            del self._tenants[tenant]

    @property
    def size(self) -> int:
        """Sessions that are remembered."""
        return self._sessions


class Sent:
    """Implements `protocols.SentPrompt`."""

    __slots__ = (
        "_at_s",
        "_before",
        "_caches",
        "_call",
        "_lane",
        "_outline",
        "_owner",
        "_reading",
        "_target",
        "_terms",
    )

    def __init__(
        self,
        caches: MemoryPromptCaches,
        owner: tuple[str, Hashable],
        target: Target,
        lane: str,
        outline: Outline,
        reading: Reading,
        before: Call | None,
        at_s: float,
    ) -> None:
        """`before` is the call that this one is compared with."""
        self._caches = caches
        self._owner = owner
        self._target = target
        self._lane = lane
        self._outline = outline
        self._reading = reading
        self._before = before
        self._at_s = at_s
        self._terms = terms_of(target)
        self._call: Call | None = None

    @property
    def call(self) -> Call | None:
        """What is remembered of it; None: its usage is not known yet."""
        return self._call

    @property
    def before(self) -> Call | None:
        """The call of the same target that it is compared with."""
        before = self._before
        return before if before is not None and before.target == self._target.name else None

    def failed(self, cost_nusd: int | None) -> None:
        """See `protocols.SentPrompt`."""

    def told(self, usage: Usage, price: Price | None) -> PromptCacheUse:
        """See `protocols.SentPrompt`."""
        call, before = self._called(usage), self._before
        self._caches.remember(self._owner, call, self._call)
        self._call = call
        found = finding(call, before, usage, self._terms)
        missed = None
        if found.reusable_tokens is not None:  # of what was read, rounding may leave some
            missed = 0 if found.result == "read" else max(0, found.reusable_tokens - call.read_tokens)
        money = cache_money(price, usage, missed)
        known = not usage.estimated or call.read_tokens > 0 or call.written_tokens > 0
        switched = before is not None and before.target != call.target
        return PromptCacheUse(
            result=found.result,
            missed_tokens=missed,
            missed_nusd=money.missed_nusd,
            saved_nusd=money.saved_nusd if known else None,
            written_nusd=money.written_nusd if known else None,
            segment="" if found.place is None else call.prefix.label(found.place[0]),
            byte=None if found.place is None else found.place[1],
            idle_s=None if before is None or switched else round(call.at_s - before.at_s, 3),
            switched_from=before.target if before is not None and switched else "",
        )

    def _called(self, usage: Usage) -> Call:
        before, written = self._before, written_tokens(usage)
        same = before if before is not None and before.target == self._target.name else None
        return Call(
            target=self._target.name,
            lane=self._lane,
            outline=self._outline,
            prefix=self._reading.finished(),
            at_s=self._at_s,
            since_s=None if before is None else self._at_s - before.at_s,
            input_tokens=usage.input_tokens,
            read_tokens=usage.cached_tokens,
            written_tokens=written,
            cached_tokens=cached_tokens(usage, self._terms, same),
            life_s=life_s(usage, same, self._terms),
            tier=usage.tier,
            writes=written > 0 or (same is not None and same.writes),
        )


def _goes_on(call: Call, before: Call) -> bool:
    """Whether `before` need not be remembered beside `call`."""
    return (
        before.target == call.target
        and before.lane == call.lane
        and before.outline.goes_with(call.outline)
        and (before.outline.count <= call.outline.count or before.outline.question == call.outline.question)
    )


def _shared_tokens(call: Call, outline: Outline, body: Json) -> int:
    """Tokens of what a target has cached that stand at the beginning of a request."""
    if not call.cached_tokens or not call.outline.goes_with(outline) or not call.outline.count:
        return 0
    before = call.outline
    messages = body["messages"]
    if before.tools != outline.tools:
        return 0
    if before.system != outline.system:
        shared = call.prefix.tokens_before(1, 0, call.input_tokens)
    elif before.count <= outline.count and sample(messages[before.count - 1]) == before.last:
        return call.cached_tokens
    else:
        shared = call.prefix.tokens_before(MESSAGES + call.prefix.systems, 0, call.input_tokens)
    return min(shared, call.cached_tokens)


def _told(call: Call) -> PromptCall:
    prefix, total = call.prefix, max(1, sum(call.prefix.weights))
    sizes = tuple(
        SegmentSize(prefix.label(place), call.input_tokens * weight // total)
        for place, weight in enumerate(prefix.weights)
        if weight
    )
    return PromptCall(
        target=call.target,
        lane=call.lane,
        at_s=call.at_s,
        since_s=call.since_s,
        input_tokens=call.input_tokens,
        read_tokens=call.read_tokens,
        written_tokens=call.written_tokens,
        segments=sizes,
    )
