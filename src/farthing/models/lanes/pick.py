"""Which lane a call takes, where a provider has several: each is an address with a key. Sans-I/O: clock and
randomness are given.

A lane has a health of its own for each target, so what one key or address is refused for says nothing of the
others. Among those that may be called now:

1. One whose breaker is half open, or that was ejected and may be tried, is tried first, so that a lane that
   has recovered is soon used again.
2. A session stays where its prefix is warm, by its session id or `prompt_cache_key`. A new one goes where
   rendezvous hashing leads it, which is the same lane after a restart and in every gateway (Thaler and
   Ravishankar, "A Name-Based Mapping Scheme for Rendezvous", 1996).
   A request without either goes by the digest of its system text and tools, if these are long enough for a
   prefix cache, to an address and account: the keys of one account share its cache.
3. No lane gets much more than its share that way (Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing
   with Bounded Loads", 2018).
4. Otherwise of two at random the one with the least expected wait: calls in flight times the time that an
   answer takes there (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001).
"""

import math
import random
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from hashlib import blake2b

import msgspec
from msgspec import Struct

from farthing.config import CallConfig
from farthing.errors import KeyRejected, ProviderError, ProviderUnavailable
from farthing.models.health.health import Health
from farthing.models.health.outliers import reconsidered
from farthing.models.health.speed import OUTPUT_TOKENS
from farthing.models.retry import Failed
from farthing.protocols import Provider
from farthing.types import Request

LOAD_MAX = 1.5
"""How much of its equal share of the calls in flight a lane may get by affinity."""
LOAD_FREE = 8
"""So many calls at once are no crowd, whatever the others have."""
WARM_S = 300.0
"""How long a session stays where it was: most prefix caches keep a prefix for five minutes."""
WARM_MAX = 20_000
PREFIX_CHARS_MIN = 4_096
"""A shorter prefix is worth no affinity: most providers cache from 1,024 tokens on."""
JITTER = 0.1
"""So that lanes that are about equally good share the calls."""
KEY_REST_S = 60.0
"""How long a key rests that was refused, or whose account has no money left. Then it is tried again."""
_DIGEST_BYTES = 12

_encode = msgspec.json.Encoder().encode


class Place:
    """One address of a provider with one key: what the lanes of all its targets there have in common."""

    __slots__ = ("address", "home", "identity", "label", "provider", "region", "rests_until_s")

    def __init__(
        self,
        provider: Provider,
        *,
        label: str = "",
        address: str = "",
        account: str = "",
        region: str = "",
        identity: str = "",
    ) -> None:
        """`label` tells it from the provider's others and reveals no secret; empty: there is no other.
        `account` names whose key it is; those with one account at one address share what is cached there.
        `identity` is equal for equal addresses and keys, across reloads."""
        self.provider = provider
        self.label = label
        self.address = address
        self.home = f"{address} {account}"
        self.region = region
        self.identity = identity
        self.rests_until_s = 0.0
        """When its key is tried again after it was refused."""


class Lane:
    """One way to call one target."""

    __slots__ = ("_rests_until_s", "among", "health", "label", "place", "provider")

    def __init__(self, place: Place, health: Health, among: "Lanes | None" = None) -> None:
        self.place = place
        self.provider = place.provider
        self.health = health
        self.among = among
        """The lanes of its target; None: it is the only one."""
        self.label = place.label
        self._rests_until_s = 0.0
        """As its place's, where only this target may not be called with the key."""

    @property
    def in_flight(self) -> int:
        """Calls that it has now, streams to their end."""
        return self.health.limits.in_flight

    def has_room(self, tokens: int) -> bool:
        """Whether it may well be sent a call now whose prompt has so many tokens."""
        limits = self.health.limits
        return limits.free or not limits.is_out(tokens)

    @property
    def rests_until_s(self) -> float:
        """When its key is tried again after it was refused."""
        return max(self._rests_until_s, self.place.rests_until_s)

    def failed(self, error: ProviderError, now_s: float) -> None:
        """Let the key rest if it is the key that was refused; for this target alone, where that is what it
        has no right to. Its health hears of the failure besides."""
        if self.among is None:
            return
        if isinstance(error, KeyRejected) and error.lacks_right:
            self._rests_until_s = now_s + KEY_REST_S
        elif (isinstance(error, KeyRejected) and not error.renewed) or error.spent:
            self.place.rests_until_s = now_s + KEY_REST_S


class Warm:
    """Where the sessions of one provider were last, the least lately used forgotten first."""

    __slots__ = ("_at", "_most")

    def __init__(self, most: int = WARM_MAX) -> None:
        self._at: OrderedDict[tuple[str, str], tuple[str, float]] = OrderedDict()
        self._most = most

    def of(self, target: str, key: str, now_s: float) -> str:
        """The label of the lane that holds its prefix; empty: none does any more."""
        label, at_s = self._at.get((target, key), ("", 0.0))
        return label if now_s - at_s <= WARM_S else ""

    def note(self, target: str, key: str, label: str, now_s: float) -> None:
        self._at[target, key] = (label, now_s)
        self._at.move_to_end((target, key))
        if len(self._at) > self._most:
            self._at.popitem(last=False)


class Affinity(Struct, frozen=True):
    """What ties a request to a lane."""

    key: str
    by_session: bool
    """False: only what it begins with does, which other requests share."""


class Lanes:
    """The lanes of one target, two at least."""

    __slots__ = ("_clock", "_rand", "_target", "_warm", "all", "health", "homes")

    def __init__(
        self,
        target: str,
        places: Sequence[Place],
        health_of: Callable[[Place], Health],
        together: "HealthOfAll",
        warm: Warm,
        clock: Callable[[], float],
        rand: Callable[[], float] = random.random,
    ) -> None:
        """`together` becomes the health of the target as a whole."""
        self._target = target
        self._warm = warm
        self._clock = clock
        self._rand = rand
        self.all = tuple(Lane(place, health_of(place), self) for place in places)
        self.homes = len({place.home for place in places})
        self.health = together
        together.lanes = self.all

    def pick(
        self,
        affinity: Affinity | None = None,
        tokens: int = 0,
        *,
        tried: Collection[Health] = (),
        prefers: Callable[[Lane], bool] | None = None,
    ) -> Lane | None:
        """The lane for a call whose prompt has so many `tokens`; None: those that are not `tried` are all in
        a cooldown. Those that it `prefers` come first, where there are some; then those that have room."""
        now_s = self._clock()
        for one in self.all:
            if one.health.ejection.active:
                reconsidered(one.health, [other.health for other in self.all if other is not one])
        ready = [one for one in self.all if one.health not in tried and one.health.cooldown_s() <= 0]
        # a key that rests is better than none
        ready = [one for one in ready if one.rests_until_s <= now_s] or ready
        if prefers is not None and len(ready) > 1:
            ready = list(filter(prefers, ready)) or ready
        if len(ready) > 1:
            ready = [one for one in ready if one.has_room(tokens)] or ready
        if not ready:
            return None
        if len(ready) > 1:
            for one in ready:
                if one.health.is_open or one.health.ejection.active:
                    return one  # to see whether it is well again; its session goes on where it was
        found = self._chosen(ready, affinity, now_s)
        if affinity is not None and affinity.by_session:
            self._warm.note(self._target, affinity.key, found.label, now_s)
        return found

    def next_after(self, failed: Failed, affinity: Affinity | None, tried: Collection[Health]) -> Lane | None:
        """Another lane that may well answer what one has `failed` at; None: there is none, or it is the
        request that is at fault. What an address fails at all its keys do: asking it with the next of them
        would be a retry."""
        if _is_the_address(failed.error):
            sick = self._addresses_of((failed,))
            here = {one.health for one in self.all if one.place.address in sick}
            return self.pick(affinity, tried={*tried, *here})
        return self.pick(affinity, tried=tried) if _may_be_the_key(failed.error) else None

    def spares(self, failed: Failed, tried: Collection[Health]) -> bool:
        """Whether it was the key or its account that `failed`, and another key of the same address is not
        `tried` yet: to go through the keys is no retry."""
        if not (isinstance(failed.error, KeyRejected) or failed.error.spent):
            return False
        here = self._addresses_of((failed,))
        return any(one.place.address in here and one.health not in tried for one in self.all)

    def others(self, lane: Lane, barred: Collection[Health] = ()) -> bool:
        """Whether another address, of lanes that are not `barred`, could be called instead of that of
        `lane`."""
        elsewhere = [one.health for one in self._elsewhere(lane)]
        return any(health.cooldown_s() <= 0 for health in elsewhere if health not in barred)

    def beside(self, lane: Lane, tried: Collection[Health]) -> Lane | None:
        """The lane for a second call beside one that is slow: at another address if there is one."""
        here = {one.health for one in self.all if one.place.address == lane.place.address}
        return self.pick(tried={*tried, *here}) or self.pick(tried={*tried, lane.health})

    def left(self, failed: Sequence[Failed], barred: Collection[Health] = ()) -> list[Lane]:
        """Those that may be called where none is left that is well: those that have failed and may be asked
        again, and those that are neither asked nor `barred` at addresses that have not failed."""
        tried = {one.health for one in failed}
        here = [one for one in failed if one.health in {lane.health for lane in self.all}]
        sick = self._addresses_of([one for one in here if _is_the_address(one.error)])
        if any(not (_is_the_address(one.error) or _may_be_the_key(one.error)) for one in here):
            return [one for one in self.all if one.health in tried]  # the request is at fault
        fresh = [one for one in self.all if one.place.address not in sick and one.health not in barred]
        found = [one for one in self.all if one.health in tried or one in fresh]
        now_s = self._clock()
        return sorted(found, key=lambda one: (one.rests_until_s > now_s, one.in_flight))

    # -- within ------------------------------------------------------------------------------------

    def _addresses_of(self, failed: Collection[Failed]) -> set[str]:
        tried = {one.health for one in failed}
        return {one.place.address for one in self.all if one.health in tried}

    def _elsewhere(self, lane: Lane) -> list[Lane]:
        return [one for one in self.all if one.place.address != lane.place.address]

    def _chosen(self, ready: list[Lane], affinity: Affinity | None, now_s: float) -> Lane:
        if len(ready) == 1:
            return ready[0]
        if affinity is None:
            return self._least_wait(ready, now_s)
        share = (sum(one.in_flight for one in ready) + 1) / len(ready)
        most = max(LOAD_FREE, math.ceil(LOAD_MAX * share))
        roomy = [one for one in ready if one.in_flight < most]
        if not affinity.by_session:
            home = max({one.place.home for one in roomy}, key=lambda home: _score(affinity.key, home))
            return self._least_wait([one for one in roomy if one.place.home == home], now_s)
        warm = self._warm.of(self._target, affinity.key, now_s)
        for one in roomy:
            if one.label == warm:
                return one
        return max(roomy, key=lambda one: _score(affinity.key, one.place.identity))

    def _least_wait(self, ready: list[Lane], now_s: float) -> Lane:
        count = len(ready)
        if count == 1:
            return ready[0]
        rand = self._rand
        first = int(rand() * count)
        second = (first + 1 + int(rand() * (count - 1))) % count
        one, other = ready[first], ready[second]
        took_s, other_s = _took_s(one, now_s), _took_s(other, now_s)
        if took_s is None or other_s is None or one.place.address == other.place.address:
            took_s = other_s = 1.0  # what differs at one address is chance, and what is unknown is no slower
        wait_s = (one.in_flight + 1) * took_s * (1 + JITTER * rand())
        return one if wait_s <= (other.in_flight + 1) * other_s * (1 + JITTER * rand()) else other


class HealthOfAll(Health):
    """The health of a target that has several lanes, for whoever chooses among targets. What it learns of its
    own is its speed; the rest is its lanes'."""

    __slots__ = ("lanes",)

    def __init__(self, config: CallConfig, clock: Callable[[], float]) -> None:
        super().__init__(config, clock)
        self.lanes: tuple[Lane, ...] = ()

    def cooldown_s(self) -> float:
        return min((lane.health.cooldown_s() for lane in self.lanes), default=0.0)

    @property
    def is_open(self) -> bool:
        return all(lane.health.is_open for lane in self.lanes)

    def paused_s(self) -> float:
        return min((lane.health.paused_s() for lane in self.lanes), default=0.0)

    def failed_lately(self) -> tuple[int, float]:
        found = [lane.health.failed_lately() for lane in self.lanes]
        return min(found, key=lambda one: one[1], default=(0, 0.0))

    def cooldown_error(self, name: str) -> ProviderError:
        soonest = min(self.lanes, key=lambda lane: lane.health.cooldown_s(), default=None)
        return super().cooldown_error(name) if soonest is None else soonest.health.cooldown_error(name)


def affinity_of(request: Request, homes: int) -> Affinity | None:
    """What ties `request` to a lane of a provider with so many `homes`, each with a prefix cache of its own;
    None: nothing."""
    if request.session is not None:
        return Affinity(f"{request.tenant.name} {request.session}", by_session=True)
    named = request.body.get("prompt_cache_key")
    if isinstance(named, str) and named:
        return Affinity(f"{request.tenant.name} {named}", by_session=True)
    if homes < 2 or request.operation != "chat":
        return None
    prefix = _prefix_of(request)
    if len(prefix) < PREFIX_CHARS_MIN:
        return None
    return Affinity(blake2b(prefix, digest_size=_DIGEST_BYTES).hexdigest(), by_session=False)


def _may_be_the_key(error: ProviderError) -> bool:
    """Whether another key at the same address may succeed."""
    return isinstance(error, KeyRejected) or error.spent or error.upstream_status == 429


def _is_the_address(error: ProviderError) -> bool:
    """Whether the server failed: not the request, nor the key."""
    status = error.upstream_status
    if error.unasked:
        return False
    return status is None or status >= 500 or status == 408 or isinstance(error, ProviderUnavailable)


def _took_s(lane: Lane, now_s: float) -> float | None:
    return lane.health.speed.expected_s(OUTPUT_TOKENS, now_s)


def _score(key: str, name: str) -> bytes:
    return blake2b(f"{key}\0{name}".encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _prefix_of(request: Request) -> bytes:
    """Tools and system text, which come before all else and stay the same while a session goes on."""
    body = request.body
    stable = []
    for message in body.get("messages") or ():
        if not isinstance(message, dict) or message.get("role") not in ("system", "developer"):
            break
        stable.append(message.get("content"))
    try:
        return _encode((body.get("tools"), stable))
    except (TypeError, ValueError, RecursionError):
        return b""
