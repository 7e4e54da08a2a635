"""How soon prompts of one kind are followed by another that begins alike, and whether marking them paid.

For each tenant, endpoint and target it is counted how many conversations were gone on with, and how many
prompts began as one before them, within each of the times for which a provider keeps what is marked. Nothing
has to be marked for that. Shares are known by their lower bound of 95 % confidence, and old calls fade.

What marks of ours cost and saved is an account: a write is debited when the call goes out, and what came of
it is booked when the provider tells its usage. See `Account` for what it allows.
"""

from collections import OrderedDict
from collections.abc import Hashable
from math import sqrt
from typing import Final, Literal

from msgspec import Struct

from farthing.models.prompt_cache.outline import NO_OUTLINE, Outline
from farthing.models.prompt_cache.refusals import Refusals
from farthing.models.prompt_cache.segments import MESSAGES
from farthing.models.prompt_cache.shares import Shares
from farthing.models.prompt_cache.why import Call
from farthing.stats.intervals import Z95

LIVES_S: Final = {"5m": 300.0, "1h": 3_600.0}
SURE_SHARE: Final = 0.97
"""Of a life, after which it is not counted on any more."""
CALLS_WEIGHED: Final = 32.0
COUNTS_WEIGHED: Final = 2.0
OPEN_MAX: Final = 1_000
PREFIXES_MAX: Final = 200
GROUPS_MAX: Final = 1_000
CHANCE_MIN: Final = 0.01
"""Below this no price makes a mark pay."""
CHANCE_KEPT: Final = 0.98
"""Of the best chance after each call: that of other beginnings than its own fades slowly."""
FORGIVEN_S: Final = 86_400.0
FIRST_MESSAGES_MAX: Final = 2
PRIOR_CALLS: Final = 3.0

Turn = Literal["first", "later"]


def turn_of(outline: Outline) -> Turn:
    """Whether a conversation begins: with a system prompt at most before its first question."""
    return "first" if outline.count <= FIRST_MESSAGES_MAX else "later"


class Share:
    """The share of calls of which something came true, the last ones counting most."""

    __slots__ = ("_hits", "_n", "low")

    def __init__(self) -> None:
        self._hits = 0.0
        self._n = 0.0
        self.low = 0.0
        """Its lower bound (Wilson); 0 where nothing is known."""

    def add(self, hit: bool) -> None:
        kept = 1.0 - 1.0 / CALLS_WEIGHED
        self._hits = hits = self._hits * kept + hit
        self._n = n = self._n * kept + 1.0
        share, square = hits / n, Z95 * Z95
        spread = Z95 * sqrt(max(0.0, share * (1.0 - share) / n + square / (4.0 * n * n)))
        self.low = max(0.0, (share + square / (2.0 * n) - spread) / (1.0 + square / n))

    def near(self, prior: float) -> float:
        """The share, of which `prior` was thought before as if `PRIOR_CALLS` had told it."""
        return (prior * PRIOR_CALLS + self._hits) / (PRIOR_CALLS + self._n)


class Open(Struct, frozen=True):
    """A call that no other has gone on from."""

    at_s: float
    turn: Turn
    life: str
    """For how long its end was marked; empty: it was not."""
    clear: int = 0
    """The first of its messages that are known to have no mark of the client."""
    outline: Outline = NO_OUTLINE
    cached_tokens: int = 0
    until_s: float = 0.0
    """Until when they stay."""


class Known(Struct):
    """Tools and a system prompt that calls began with."""

    digest: int
    tokens: int
    at_s: float
    shares: dict[str, Share]
    life: str = ""
    until_s: float = 0.0
    """Until when it stays with its provider, by our marks."""


STAKE = 0.9
"""Of a prompt: what is at stake is counted in estimated tokens, and the rest is for what they miss."""


class Account:
    """What marks saved, less what they cost, in nano-dollars.

    A write goes ahead if all that writes cost more and nothing has saved yet comes to no more than `STAKE` of
    what its own prompt costs plain. So one prompt is the most that marks can lose here in `FORGIVEN_S`,
    whatever the traffic does: what was saved before included, calls that are under way too.
    """

    __slots__ = ("_since_s", "balance_nusd")

    def __init__(self) -> None:
        self.balance_nusd = 0
        self._since_s: float | None = None
        """Since when the balance is below zero."""

    def allows(self, nusd: int, plain_nusd: int, now_s: float) -> bool:
        """Whether a write may go ahead that costs `nusd` more than plain input, of a prompt that costs
        `plain_nusd` plain."""
        if self.balance_nusd >= 0:
            self._since_s = None
        elif self._since_s is None:
            self._since_s = now_s
        elif now_s - self._since_s > FORGIVEN_S:
            self.balance_nusd, self._since_s = 0, None
        return self.balance_nusd - nusd >= -STAKE * plain_nusd

    def book(self, nusd: int) -> None:
        self.balance_nusd += nusd


class Group:
    """The calls of one tenant, endpoint and target."""

    __slots__ = (
        "_long",
        "_short",
        "account",
        "chance",
        "counted",
        "followed",
        "prefixes",
        "shared",
        "warm_until_s",
    )

    def __init__(self) -> None:
        self.followed: dict[tuple[str, Turn], Share] = {
            (life, turn): Share() for life in LIVES_S for turn in ("first", "later")
        }
        """Of conversations, those that were gone on with, by life and by whether it was their first turn."""
        self.shared = {life: Share() for life in LIVES_S}
        """Of calls, those whose tools and system prompt had been there before."""
        self.prefixes: OrderedDict[Hashable, Known] = OrderedDict()
        self._short: OrderedDict[Hashable, Open] = OrderedDict()
        self._long: OrderedDict[Hashable, Open] = OrderedDict()
        """Calls that may still be gone on from within each life, the oldest first."""
        self.account = Account()
        self.counted = 1.0
        """Tokens as the provider counts them, for one of our estimate."""
        self.chance = dict.fromkeys(LIVES_S, 0.0)
        """The best of all chances that are known, by life."""
        self.warm_until_s = 0.0
        """Until when any of its prompts stays with the provider."""

    def count(self, estimated: int, tokens: int) -> None:
        """Of a prompt that was estimated at so many tokens, and has so many."""
        if estimated > 0 and tokens > 0:
            self.counted += (tokens / estimated - self.counted) / COUNTS_WEIGHED

    def open(self, session: Hashable) -> Open | None:
        """The last call of a session, within the longest life."""
        return self._long.get(session)

    def learn(
        self, session: Hashable, beginning: Hashable, call: Call, before: Call | None, life: str | None
    ) -> None:
        """Of a call that was answered. `before` is what it is compared with, `life` for how long its end was
        marked (None: nothing of it was), `beginning` what its tools and system prompt are recognised by."""
        at_s = call.at_s
        self._expire(at_s)
        follows = before is not None and before.prefix.parted(call.prefix) is None
        for name, waiting in (("5m", self._short), ("1h", self._long)):
            last = waiting.pop(session, None)
            if last is not None:
                own = follows and before is not None and before.at_s == last.at_s
                hit = own and at_s - last.at_s < LIVES_S[name] * SURE_SHARE
                self.followed[name, last.turn].add(hit)
            clear = 0 if life is None else call.outline.count
            until_s = at_s + call.life_s
            outline = call.outline
            waiting[session] = Open(
                at_s, turn_of(outline), life or "", clear, outline, call.cached_tokens, until_s
            )
        known = self._learn_beginning(beginning, call)
        if call.cached_tokens:
            self.warm_until_s = max(self.warm_until_s, at_s + call.life_s)
        for name in LIVES_S:
            self.chance[name] = max(
                self.followed[name, "first"].low,
                self.followed[name, "later"].low,
                known.shares[name].near(self.shared[name].low),
                self.chance[name] * CHANCE_KEPT,
            )

    def _expire(self, now_s: float) -> None:
        """Count those that nobody went on from in time."""
        for name, waiting in (("5m", self._short), ("1h", self._long)):
            since_s = now_s - LIVES_S[name] * SURE_SHARE
            while waiting:
                first = next(iter(waiting))
                if waiting[first].at_s > since_s and len(waiting) < OPEN_MAX:
                    break
                self.followed[name, waiting.pop(first).turn].add(hit=False)

    def _learn_beginning(self, beginning: Hashable, call: Call) -> Known:
        end = MESSAGES + call.prefix.systems
        digest = hash(call.prefix.digests[:end].tobytes())
        known = self.prefixes.get(beginning)
        if known is None:
            if len(self.prefixes) >= PREFIXES_MAX:
                self.prefixes.popitem(last=False)
            known = Known(digest, 0, 0.0, {life: Share() for life in LIVES_S})
            self.prefixes[beginning] = known
            gap_s = None
        else:
            gap_s = call.at_s - known.at_s if known.digest == digest else None
            self.prefixes.move_to_end(beginning)
        for name, life_s in LIVES_S.items():
            hit = gap_s is not None and gap_s < life_s * SURE_SHARE
            self.shared[name].add(hit)
            known.shares[name].add(hit)
        if known.digest != digest:
            known.digest, known.until_s = digest, 0.0
        known.at_s = max(known.at_s, call.at_s)
        known.tokens = call.prefix.tokens_before(end, 0, call.input_tokens)
        return known


class Habits:
    """All groups, as many as `GROUPS_MAX`, which tenants share fairly. Outlives a reload; belongs to one
    event loop."""

    def __init__(self) -> None:
        self._groups: Shares[Group] = Shares(GROUPS_MAX)
        self.paying: set[tuple[str, str, str]] = set()
        """Tenant, endpoint and target of the groups in which marks may pay: for all others there is nothing
        to decide."""
        self.refusals = Refusals()

    def find(self, tenant: str, endpoint: str, target: str) -> Group | None:
        return self._groups.get(tenant, (endpoint, target))

    def note(self, tenant: str, endpoint: str, target: str, group: Group) -> None:
        """See whether marks may pay in a group that has learnt."""
        key = (tenant, endpoint, target)
        if max(group.chance.values()) < CHANCE_MIN:
            self.paying.discard(key)
        elif key not in self.paying:
            if len(self.paying) >= 2 * GROUPS_MAX:  # some are of groups that are gone
                self.paying = {one for one in self.paying if self.find(*one) is not None}
            self.paying.add(key)

    def of(self, tenant: str, endpoint: str, target: str) -> Group:
        key = (endpoint, target)
        group = self._groups.get(tenant, key)
        if group is None:
            group = Group()
            self._groups.put(tenant, key, group)
        else:
            self._groups.used(tenant, key)
        return group
