"""Watches how often an endpoint, and each partition of it, is wrong, and retreats where a bound is at risk.

Of the semantic cache (`cache.semantic.bound`) a partition is what may share answers and wrong is a false
hit; of routing (`route.watch`) it is a segment of the traffic and wrong is a regression.

Outcomes of audited requests come in: a random share while serving, every one while nothing is served. For
each endpoint, and for each partition with outcomes of its own, an e-process bets that the rate is above its
budget (`e_process`). When it wins, the endpoint or the partition *retreats*: nothing is served there, what
would have been is answered the safe way and told here, and so it may come back. An endpoint that only
observes is counted, not tested: it serves nothing that could be at risk.

**False alarms.** With a rate within the budget, an endpoint retreats wrongly with probability at most delta
(1 - confidence) between two returns: half of delta is the endpoint's own test, half is divided over its
partitions in the order in which they had their first outcome, the k-th getting 1/(k (k + 1)) of it. However
many partitions there are, and whenever one looks, the sum stays delta.

**Coming back** takes evidence of the other kind: the upper confidence bound over the fresh outcomes since
the retreat must be within the budget, the r-th time at delta/(r (r + 1)), so that an endpoint at the edge
does not flap: for 1 % at 95 %, 409 outcomes that are all right, then 523. Or a certificate that is newer
than the retreat.

**Late outcomes.** A judge speaks minutes later, and only of answers whose words differ, so what comes late
is worse than what comes at once, and a judge that was down tells a burst of it. Outcomes with an audit id
are therefore tested in the order in which the audits were drawn; one that is still open after `wait_s` is
lost: it is no evidence for the alarm, and counts as wrong where the upper bound is told. What waits at the
end of the process is lost too, unless `outlives`: then it goes on waiting in the next.

**Small partitions** share the endpoint's evidence: a partition without outcomes of its own is served as its
endpoint is, on the certificate's word.

Sans-I/O: time is an argument of the constructor. One event loop; memory is bounded.
"""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping

import msgspec
from msgspec import Struct, field

from farthing.stats.e_process import Alarm, alternatives, new_alarm, upper, within

PARTITIONS_MAX = 2_000  # with evidence of their own, per endpoint; the one used longest ago is forgotten
RETREATED_MAX = 200  # partitions retreated alone; with more, the fault is the endpoint's
WAITING_MAX = 512
WAIT_S = 900.0
RECENT = 60  # outcomes told with a retreat: the whole run may be long and good
RECENT_BITS = (1 << RECENT) - 1


class Terms(Struct, frozen=True, kw_only=True):
    """What an endpoint promises."""

    budget: float
    """Share of outcomes that may be wrong."""
    part_budget: float | None = None
    """The same of each partition by itself; None: as the endpoint's."""
    confidence: float
    threshold: float | None = None
    """What was served from: evidence under one says nothing of another."""
    serving: bool = True
    """False: it observes."""


class Words(Struct, frozen=True, kw_only=True):
    """How people are told."""

    log: logging.Logger
    subject: str
    """`the semantic cache of`, before the endpoint's name."""
    outcomes: str
    """`audited hits`."""
    retreats: str
    returns: str
    part: str
    """`partition`, before its name."""
    parts: str
    name: Callable[[bytes], str]
    """Of a partition."""


class Trial(Struct):
    """Outcomes of one endpoint or partition, and what they are evidence of."""

    alarm: Alarm
    place: int = 0
    """Which partition of its endpoint this was, from 1 on; 0 is the endpoint itself."""
    tested: int = 0
    """Outcomes since the start, or since the last return."""
    wrong: int = 0
    recent: int = 0
    """The last `RECENT` outcomes as bits, the newest lowest."""
    retreated_unix_s: float | None = None
    reason: str = ""
    fresh: int = 0
    """Outcomes since the retreat."""
    fresh_wrong: int = 0
    returns: int = 0
    """Times it came back on fresh outcomes since the last certificate."""


class Waiting(Struct):
    """An audit that was drawn and whose outcome cannot be tested yet."""

    partitions: tuple[bytes, ...]
    wrong: bool | None
    """None: still open."""
    drawn_unix_s: float
    safe: bool = False
    """It is right whatever is said: it only has to be known that something could be said."""


class Watched(Struct):
    """Everything kept about one endpoint."""

    budget: float
    delta: float
    trial: Trial
    threshold: float | None = None
    serving: bool = True
    """False: it observes, so outcomes are counted and nothing is tested."""
    partitions: OrderedDict[bytes, Trial] = field(default_factory=OrderedDict)
    """The one used last at the end."""
    places: int = 0
    """Partitions that ever had an outcome."""
    retreated: set[bytes] = field(default_factory=set)
    waiting: OrderedDict[str, Waiting] = field(default_factory=OrderedDict)
    lost: int = 0
    certified_unix_s: float = 0.0
    part_budget: float | None = None

    def budget_of(self, trial: Trial) -> float:
        """What `trial` is tested against: a partition may have another budget than its endpoint."""
        return self.budget if self.part_budget is None or not trial.place else self.part_budget


class EndpointState(Struct, frozen=True, kw_only=True):
    """What there is to say of one endpoint, for gauges and people."""

    budget: float
    confidence: float
    retreated: bool
    since_unix_s: float | None
    """Of the retreat."""
    reason: str
    audits: int
    """Outcomes since the start or the last return."""
    wrong: int
    open: int
    """Audits whose outcome is awaited."""
    lost: int
    upper: float
    """Rate that is not exceeded, at `confidence`; lost audits count as wrong. 1.0 without outcomes."""
    fresh: int
    """Outcomes since the retreat."""
    partitions: int
    """With evidence of their own."""
    partitions_retreated: int


class ErrorRateMonitor:
    """An e-process for each endpoint and partition."""

    def __init__(
        self, words: Words, *, clock: Callable[[], float] = time.time, outlives: bool = False
    ) -> None:
        """`clock` tells Unix seconds; `outlives`: an outcome may come in a later process."""
        self._outlives = outlives
        self.words = words
        """How people are told of it."""
        self._clock = clock
        self.wait_s = WAIT_S
        """After which an audit without an outcome is lost."""
        self.waiting_max = WAITING_MAX
        self._watched: dict[str, Watched] = {}
        self.changed = False
        """Something happened since `dump`."""

    # -- terms --------------------------------------------------------------------------------------

    def hold_to(self, terms: Mapping[str, Terms], *, keep: Collection[str] = ()) -> None:
        """Take the budgets of all endpoints that are watched; others are forgotten, but for those to `keep`,
        which stay as they are.

        Evidence against one budget, or under one threshold, says nothing of another: where they changed,
        the tests begin anew. A retreat stays one.
        """
        for endpoint in self._watched.keys() - terms.keys() - set(keep):
            del self._watched[endpoint]
            self.changed = True
        for endpoint, promised in terms.items():
            self._under(endpoint, promised)

    def _under(self, endpoint: str, terms: Terms) -> None:
        budget, part_budget, delta = terms.budget, terms.part_budget, 1 - terms.confidence
        watched = self._watched.get(endpoint)
        if watched is None:
            self.changed = True
            watched = Watched(
                budget, delta, Trial(new_alarm(budget)), terms.threshold, part_budget=part_budget
            )
            self._watched[endpoint] = watched
        watched.serving = terms.serving
        held = (watched.budget, watched.part_budget, watched.delta, watched.threshold)
        if held == (budget, part_budget, delta, terms.threshold):
            return
        self.changed = True
        watched.budget, watched.part_budget = budget, part_budget
        watched.delta, watched.threshold = delta, terms.threshold
        for trial in (watched.trial, *watched.partitions.values()):
            trial.alarm = new_alarm(watched.budget_of(trial))
            trial.tested = trial.wrong = trial.recent = trial.fresh = trial.fresh_wrong = 0

    def certified(self, endpoint: str, made_unix_s: float) -> None:
        """A certificate holds for `endpoint`; one that is newer than a retreat ends it."""
        watched = self._watched.get(endpoint)
        if watched is None or made_unix_s <= watched.certified_unix_s:
            return
        watched.certified_unix_s = made_unix_s
        self.changed = True
        for partition, trial in ((None, watched.trial), *watched.partitions.items()):
            since = trial.retreated_unix_s
            if since is not None and made_unix_s > since:
                self._come_back(endpoint, watched, trial, partition, "a new certificate")
            if since is None or made_unix_s > since:
                trial.returns = 0

    # -- outcomes -----------------------------------------------------------------------------------

    def allows(self, endpoint: str, partition: bytes) -> bool:
        watched = self._watched.get(endpoint)
        return (
            watched is not None
            and watched.trial.retreated_unix_s is None
            and partition not in watched.retreated
        )

    def note(
        self,
        endpoint: str,
        partition: bytes,
        wrong: bool | None,
        audit: str = "",
        *,
        also: tuple[bytes, ...] = (),
        safe: bool = False,
    ) -> None:
        """Take one outcome, of `partition` and of `also`: it counts once in each, and once for the endpoint.

        With `audit`, None opens it, a later call with the same id closes it: with the outcome, or with None
        when there will be none; `safe` of an opened one: any outcome is a right one. Of an endpoint without
        terms nothing is kept."""
        watched = self._watched.get(endpoint)
        if watched is None:
            return
        self.changed = True
        waiting = watched.waiting
        if audit in waiting:
            if wrong is None:
                del waiting[audit]
                watched.lost += 1
            else:
                waiting[audit].wrong = wrong and not waiting[audit].safe
        elif wrong is None or waiting:
            now_unix_s = self._clock()
            waiting[audit or f"#{watched.trial.tested + len(waiting)}:{now_unix_s}"] = Waiting(
                (partition, *also), wrong, now_unix_s, safe
            )
        else:
            self._test(endpoint, watched, (partition, *also), wrong)
        self._release(endpoint, watched)

    def awaited(self, audit: str) -> str | None:
        """The endpoint of an audit that was opened and is neither closed nor lost; None: there is none."""
        return next((name for name, watched in self._watched.items() if audit in watched.waiting), None)

    def _release(self, endpoint: str, watched: Watched) -> None:
        """Test what waits, in the order drawn, up to the first that is still open and not yet lost."""
        waiting = watched.waiting
        lost_before_s = self._clock() - self.wait_s
        while waiting:
            first = next(iter(waiting))
            one = waiting[first]
            if one.wrong is not None:
                self._test(endpoint, watched, one.partitions, one.wrong)
            elif one.drawn_unix_s > lost_before_s and len(waiting) <= self.waiting_max:
                return
            else:
                watched.lost += 1
            del waiting[first]

    # -- testing ------------------------------------------------------------------------------------

    def _test(self, endpoint: str, watched: Watched, partitions: tuple[bytes, ...], wrong: bool) -> None:
        own = [(self._own(watched, partition), partition) for partition in partitions]
        # what a retreated partition would have served, neither its endpoint nor another partition does
        retreated = [(trial, where) for trial, where in own if trial.retreated_unix_s is not None]
        tested: list[tuple[Trial, bytes | None]] = [*retreated] or [(watched.trial, None), *own]
        for trial, where in tested:
            if trial.retreated_unix_s is None:
                trial.tested += 1
                trial.wrong += wrong
                trial.recent = (trial.recent << 1 | wrong) & RECENT_BITS
                if not watched.serving:
                    continue
                budget = watched.budget_of(trial)
                trial.alarm.add(wrong, budget, alternatives(budget))
                allowed = watched.delta / 2 / (trial.place * (trial.place + 1) if trial.place else 1)
                if trial.alarm.value >= 1 / allowed:
                    self._retreat(endpoint, watched, trial, where)
            else:
                trial.fresh += 1
                trial.fresh_wrong += wrong
                needed = watched.delta / ((trial.returns + 1) * (trial.returns + 2))
                if within(trial.fresh, trial.fresh_wrong, watched.budget_of(trial), needed):
                    trial.returns += 1
                    self._come_back(endpoint, watched, trial, where, "fresh audits")

    def _own(self, watched: Watched, partition: bytes) -> Trial:
        """The partition's own trial; room for a new one is made by forgetting the one used longest ago."""
        partitions = watched.partitions
        trial = partitions.get(partition)
        if trial is not None:
            partitions.move_to_end(partition)
            return trial
        if len(partitions) >= PARTITIONS_MAX:
            for oldest in partitions:
                if oldest not in watched.retreated:
                    del partitions[oldest]
                    break
        watched.places += 1
        trial = Trial(new_alarm(watched.part_budget or watched.budget), place=watched.places)
        partitions[partition] = trial
        return trial

    def _retreat(self, endpoint: str, watched: Watched, trial: Trial, partition: bytes | None) -> None:
        trial.retreated_unix_s = self._clock()
        trial.fresh = trial.fresh_wrong = 0
        words = self.words
        trial.reason = (
            f"{trial.wrong} of {trial.tested} {words.outcomes} were wrong, "
            f"{trial.recent.bit_count()} of the last {min(RECENT, trial.tested)}; "
            f"the budget is {watched.budget_of(trial):.3g} at {1 - watched.delta:.3g}"
        )
        self._warn(endpoint, words.retreats, partition, trial.reason)
        if partition is None:
            return
        watched.retreated.add(partition)
        if len(watched.retreated) > RETREATED_MAX and watched.trial.retreated_unix_s is None:
            watched.trial.retreated_unix_s = self._clock()
            watched.trial.fresh = watched.trial.fresh_wrong = 0
            watched.trial.reason = f"{len(watched.retreated)} {words.parts} tripped"
            self._warn(endpoint, words.retreats, None, watched.trial.reason)

    def _warn(self, endpoint: str, does: str, partition: bytes | None, why: str) -> None:
        words = self.words
        where = "" if partition is None else f" in {words.part} {words.name(partition)}"
        words.log.warning("%s %r %s%s: %s", words.subject, endpoint, does, where, why)

    def _come_back(
        self, endpoint: str, watched: Watched, trial: Trial, partition: bytes | None, why: str
    ) -> None:
        """Serve again; the tests begin anew, with what was learned in the retreat as the count."""
        trial.retreated_unix_s, trial.reason = None, ""
        trial.tested, trial.wrong = trial.fresh, trial.fresh_wrong
        trial.fresh = trial.fresh_wrong = trial.recent = 0
        trial.alarm = new_alarm(watched.budget_of(trial))
        if partition is not None:
            watched.retreated.discard(partition)
        self._warn(endpoint, self.words.returns, partition, why)

    # -- telling ------------------------------------------------------------------------------------

    def states(self) -> dict[str, EndpointState]:
        """One state for each endpoint that is watched."""
        return {endpoint: _state(watched) for endpoint, watched in self._watched.items()}

    # -- keeping ------------------------------------------------------------------------------------

    def dump(self) -> bytes:
        """Everything that is known, as JSON. The partitions' names are digests."""
        self.changed = False
        return msgspec.json.encode(
            Kept(
                endpoints={
                    endpoint: _Kept(
                        budget=watched.budget,
                        delta=watched.delta,
                        trial=watched.trial,
                        threshold=watched.threshold,
                        partitions=[(name.hex(), trial) for name, trial in watched.partitions.items()],
                        places=watched.places,
                        lost=watched.lost + (0 if self._outlives else _open(watched)),
                        certified_unix_s=watched.certified_unix_s,
                        part_budget=watched.part_budget,
                        waiting=dict(watched.waiting) if self._outlives else {},
                    )
                    for endpoint, watched in self._watched.items()
                }
            )
        )

    def restore(self, data: bytes) -> None:
        """Take back what `dump` gave, before `hold_to`. Audits that were open then are lost, or wait on.

        Raises:
            ValueError: it is nothing that `dump` gave.
        """
        kept = msgspec.json.decode(data, type=Kept)
        if kept.version != VERSION:
            raise ValueError(f"version {kept.version}; this Farthing reads {VERSION}")
        for endpoint, one in kept.endpoints.items():
            rates = len(alternatives(one.budget))
            part_rates = len(alternatives(one.part_budget or one.budget))
            partitions = OrderedDict((bytes.fromhex(name), trial) for name, trial in one.partitions)
            parts_fit = all(len(trial.alarm.stakes) == part_rates for trial in partitions.values())
            if len(one.trial.alarm.stakes) != rates or not parts_fit:
                raise ValueError(f"the evidence about {endpoint!r} does not fit its budget")
            self._watched[endpoint] = Watched(
                budget=one.budget,
                delta=one.delta,
                trial=one.trial,
                threshold=one.threshold,
                partitions=partitions,
                places=one.places,
                retreated={n for n, trial in partitions.items() if trial.retreated_unix_s is not None},
                lost=one.lost,
                certified_unix_s=one.certified_unix_s,
                part_budget=one.part_budget,
            )
            self._watched[endpoint].waiting.update(one.waiting)


VERSION = 1


class _Kept(Struct, frozen=True, kw_only=True):
    budget: float
    delta: float
    trial: Trial
    threshold: float | None
    partitions: list[tuple[str, Trial]]
    places: int
    lost: int
    certified_unix_s: float
    part_budget: float | None = None
    waiting: dict[str, Waiting] = {}
    """By audit, in the order drawn."""


class Kept(Struct, frozen=True, kw_only=True):
    """What lies in the file."""

    version: int = VERSION
    endpoints: dict[str, _Kept]


def _open(watched: Watched) -> int:
    return sum(one.wrong is None for one in watched.waiting.values())


def _state(watched: Watched) -> EndpointState:
    trial = watched.trial
    retreated = trial.retreated_unix_s is not None
    count, wrong = (trial.fresh, trial.fresh_wrong) if retreated else (trial.tested, trial.wrong)
    return EndpointState(
        budget=watched.budget,
        confidence=1 - watched.delta,
        retreated=retreated,
        since_unix_s=trial.retreated_unix_s,
        reason=trial.reason,
        audits=trial.tested,
        wrong=trial.wrong,
        open=_open(watched),
        lost=watched.lost,
        upper=upper(count + watched.lost, wrong + watched.lost, watched.delta),
        fresh=trial.fresh,
        partitions=len(watched.partitions),
        partitions_retreated=len(watched.retreated),
    )
