"""What sessions sent lately and where it is cached, in this process; and why a call was read or was not.

A session is what its client calls one, else a conversation that begins alike. Of each, the last prompts are
remembered by target and lane: as digests (`segments`), never as text. A provider's cache belongs to an
account rather than to a session, so a first call may be read too, and is then told as read.
"""

from collections.abc import Callable, Hashable
from typing import Final, Protocol

from farthing.models.pricing.prompt_cache import cache_money, written_tokens
from farthing.models.prompt_cache.backlog import Backlog
from farthing.models.prompt_cache.outline import Outline, goes_on, key_of, named_key, outline_of
from farthing.models.prompt_cache.segments import (
    BODY_BYTES_MAX,
    BODY_BYTES_MIN,
    MESSAGES,
    Reading,
    is_same,
    read,
)
from farthing.models.prompt_cache.shares import Shares
from farthing.models.prompt_cache.terms import CacheTerms, terms_of
from farthing.models.prompt_cache.why import Call, before_of, cached_tokens, finding, life_s
from farthing.protocols import PromptCall, SegmentSize, WarmPrefix
from farthing.types import Json, Price, PromptCacheUse, Request, Target, Usage

SESSIONS_MAX: Final = 10_000
BYTES_PER_TOKEN_MIN: Final = 2
"""A body has more bytes for each token of its prompt, in any script."""
SEGMENTS_TOTAL_MAX: Final = 1_000_000  # some 40 MB with their blocks
SESSION_SEGMENTS: Final = SEGMENTS_TOTAL_MAX // SESSIONS_MAX
"""What a session counts as at least."""
HELD_BYTES_MAX: Final = 1_048_576
"""Of a body that is held until its provider has told what it read."""
CALLS_MAX: Final = 6
"""Prompts that are remembered of one session: several agents may share its name, and targets take turns."""


def _now(work: Callable[[], object]) -> None:
    work()


class Session:
    """The last calls, the latest at the end."""

    __slots__ = ("calls", "until_s")

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.until_s = 0.0
        """Until when something of it is cached, as far as is known."""

    @property
    def weight(self) -> int:
        """Its segments, and those of a usual session where it has fewer."""
        return max(SESSION_SEGMENTS, sum([len(call.prefix.digests) for call in self.calls]))


class Learner(Protocol):
    """Who learns from a call, once it is remembered."""

    def learn(self, call: Call, before: Call | None, usage: Usage) -> None:
        """`before` is what it is compared with, of the same target."""


class MemoryPromptCaches:
    """Implements `protocols.PromptCaches`. Outlives a reload; belongs to one event loop.

    At most `sessions_max` sessions are remembered, of which one tenant takes no room from others while it
    has more than they. Prompts are read while their providers work on them, and remembered behind their
    answers (`backlog`); only what a receipt says is found out before that.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        sessions_max: int = SESSIONS_MAX,
        later: Callable[[Callable[[], object]], object] = _now,
        backlog: Backlog | None = None,
    ) -> None:
        """`clock` gives monotonic seconds. `later` runs a piece of work of about a millisecond soon, once
        others have had their turn."""
        self._clock = clock
        self.backlog = Backlog(later) if backlog is None else backlog
        self._sessions: Shares[Session] = Shares(sessions_max * SESSION_SEGMENTS)
        self._heads: Shares[float] = Shares(sessions_max)
        """When tools and a system prompt were last sent, by target and digest."""

    def sent(self, request: Request, target: Target, body: bytes, lane: str = "") -> "Sent | None":
        """See `protocols.PromptCaches`."""
        size = len(body)
        if size < BODY_BYTES_MIN or size > BODY_BYTES_MAX or request.operation != "chat" or request.own:
            return None
        terms = terms_of(target)
        if terms.tokens_min is not None and size < BYTES_PER_TOKEN_MIN * terms.tokens_min:
            return None
        sent = Sent(self, request, target, terms, lane, body, self._clock())
        return sent if self.backlog.add(sent, size) else None

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
        session = self.session(request.tenant.name, key_of(request, outline_of(request)))
        return () if session is None else tuple(map(_told, reversed(session.calls)))

    def _warm(self, request: Request) -> list[tuple[Call, WarmPrefix]]:
        if request.operation != "chat" or not self._sessions.weight:
            return []
        now_s = self._clock()
        outline = None
        key = named_key(request)
        if key is None:
            outline = outline_of(request)
            key = key_of(request, outline)
        session = self.session(request.tenant.name, key)
        if session is None or session.until_s <= now_s:
            return []
        if outline is None:
            outline = outline_of(request)
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

    def session(self, tenant: str, key: Hashable) -> Session | None:
        """What is remembered of a session; None: nothing."""
        return self._sessions.get(tenant, key)

    def begun(self, tenant: str, call: Call) -> int:
        """Tokens of the tools and system prompt of `call`, if the tenant sent the same to its target and they
        may still have been cached; else 0."""
        head = call.prefix.head
        sent_s = None if head is None else self._heads.get(tenant, (call.target, head))
        if sent_s is None or call.at_s - sent_s > call.life_s:
            return 0
        return call.prefix.tokens_before(MESSAGES + call.prefix.systems, 0, call.input_tokens)

    def remember(self, owner: tuple[str, Hashable], call: Call, instead: Call | None) -> None:
        """Add a call to a session, in the place of `instead` and of what it goes on from."""
        tenant, key = owner
        session = self._sessions.get(tenant, key)
        if session is None:
            session = Session()
        kept = [one for one in session.calls if one is not instead and not _goes_on(call, one)]
        session.calls = [*kept[-(CALLS_MAX - 1) :], call]
        session.until_s = max([one.at_s + one.life_s for one in session.calls])
        self._sessions.put(tenant, key, session, session.weight)
        head = call.prefix.head
        if head is not None:
            self._heads.put(tenant, (call.target, head), call.at_s)

    @property
    def size(self) -> int:
        """Sessions that are remembered."""
        return len(self._sessions)


class Sent:
    """Implements `protocols.SentPrompt`: from when it goes up until it is remembered."""

    __slots__ = (
        "_at_s",
        "_before",
        "_body",
        "_caches",
        "_call",
        "_instead",
        "_known",
        "_lane",
        "_outline",
        "_owner",
        "_reading",
        "_request",
        "_target",
        "_terms",
        "_usage",
        "learner",
    )

    _outline: Outline
    _owner: tuple[str, Hashable]

    def __init__(
        self,
        caches: MemoryPromptCaches,
        request: Request,
        target: Target,
        terms: CacheTerms,
        lane: str,
        body: bytes,
        at_s: float,
    ) -> None:
        self._caches = caches
        self._request: Request | None = request
        self._target = target
        self._terms = terms
        self._lane = lane
        self._body = body
        self._at_s = at_s
        self._before: Call | None = None
        self._reading: Reading | None = None
        self._call: Call | None = None
        self._instead: Call | None = None
        self._usage: Usage | None = None
        self._known: int | None = None
        self.learner: Learner | None = None
        """Who learns from it, if anybody does."""

    @property
    def request(self) -> Request | None:
        return self._request

    def go_on(self) -> bool:
        """See `backlog.Work`: reads it, and once its usage is known remembers it."""
        if self._request is not None:
            self._look(self._request)
        elif self._reading is not None and self._reading.go_on():
            return True
        elif self._usage is not None:
            self._remember()
            return False
        return self._reading is not None and not self._reading.done

    def failed(self, cost_nusd: int | None) -> None:
        """See `protocols.SentPrompt`."""
        self._body = b""

    def told(self, usage: Usage, price: Price | None) -> PromptCacheUse | None:
        """See `protocols.SentPrompt`."""
        if self._request is not None:
            self._look(self._request)
        reading, before = self._reading, self._before
        if reading is None:
            return None
        self._instead, self._usage = self._call, usage
        self._call = call = self._called(usage, reading)
        found = finding(call, before, usage, self._terms, self._parted, self._begun)
        missed = None
        if found.reusable_tokens is not None:  # of what was read, rounding may leave some
            missed = 0 if found.result == "read" else max(0, found.reusable_tokens - call.read_tokens)
        if found.result == "read" and call.read_tokens:
            self._body = b""  # its provider has proved what was known by samples
        self._caches.backlog.add(self)
        money = cache_money(price, usage, missed)
        known = found.result != "untold" and (not usage.estimated or _tells(usage))
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

    def _look(self, request: Request) -> None:
        """See which call this one goes on from, and begin to read it."""
        self._request = None
        outline = self._outline = outline_of(request)
        tenant = request.tenant.name
        key = key_of(request, outline)
        self._owner = tenant, key
        session = self._caches.session(tenant, key)
        prefix, proves = None, False
        if session is not None:
            before = before_of(session.calls, self._target.name, self._lane, outline)
            self._before = before
            if before is not None and before.target == self._target.name:
                prefix, proves = before.prefix, before.cached_tokens > 0
        body = self._body
        self._reading = reading = read(body, prefix, sampled=proves and len(body) <= HELD_BYTES_MAX)
        if reading is None or reading.sure:
            self._body = b""

    def _make_sure(self) -> None:
        """Have what is known of its bytes not from samples, where no provider proves them by reading them."""
        reading, before, body = self._reading, self._before, self._body
        if reading is None or reading.sure or before is None or self._call is None or not body:
            return
        self._body = b""
        if is_same(body, before.prefix):
            reading.sure = True
            return
        again = read(body)
        if again is not None:
            self._reading = again
            self._call.prefix = again.finished()

    def _parted(self) -> tuple[int, int] | None:
        """Where it differs from the call before."""
        self._make_sure()
        call, before = self._call, self._before
        assert call is not None and before is not None
        if self._reading is not None:
            self._reading.finished()
        return before.prefix.parted(call.prefix)

    def _begun(self) -> int:
        """What others had begun with before it, in tokens."""
        call = self._call
        assert call is not None
        if self._known is None:
            if self._reading is not None:
                self._reading.finished()
            self._known = self._caches.begun(self._owner[0], call)
        return self._known

    def _called(self, usage: Usage, reading: Reading) -> Call:
        before, written = self._before, written_tokens(usage)
        same = before if before is not None and before.target == self._target.name else None
        return Call(
            self._target.name,
            self._lane,
            self._outline,
            reading.prefix,
            self._at_s,
            None if before is None else self._at_s - before.at_s,
            usage.input_tokens,
            usage.cached_tokens,
            written,
            cached_tokens(usage, self._terms, same),
            life_s(usage, same, self._terms),
            usage.tier,
            written > 0 or (same is not None and same.writes),
        )

    def _remember(self) -> None:
        call, usage, before = self._call, self._usage, self._before
        if call is None or usage is None:
            return
        self._usage = None
        self._make_sure()
        self._caches.remember(self._owner, call, self._instead)
        if self.learner is not None:
            same = before if before is not None and before.target == call.target else None
            self.learner.learn(call, same, usage)


def saved_of(usage: Usage, price: Price | None) -> int | None:
    """As `PromptCacheUse.saved_nusd`."""
    known = _tells(usage) or not (usage.estimated or usage.cache_untold)
    return cache_money(price, usage, None).saved_nusd if known else None


def _tells(usage: Usage) -> bool:
    """Whether it says of anything that it was read or written."""
    return usage.cached_tokens > 0 or written_tokens(usage) > 0


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
    if before.tools != outline.tools:
        return 0
    if goes_on(before, outline, body["messages"]):
        return call.cached_tokens
    end = 1 if before.system != outline.system else MESSAGES + call.prefix.systems
    shared = call.prefix.tokens_before(end, 0, call.input_tokens)
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
