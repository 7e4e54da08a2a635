"""Monitors how often an endpoint and each of its partitions is wrong, and trips when a bound is at risk.

For the semantic cache (`cache.semantic.bound`) a partition is a set of requests that may share answers, and
wrong means a false hit. For routing (`route.watch`) a partition is a segment of the traffic, and wrong means
a regression.

The input is the outcomes of audited requests: a random share while serving, every one while nothing is
served. For each endpoint, and for each partition with outcomes of its own, an e-process bets that the rate is
above `risk_max` (`e_process`). When the bet wins, the endpoint or partition *trips*: it no longer serves,
requests are answered the safe way, and what would have been served is still audited here, so that the
endpoint or partition can return. An endpoint that only observes is counted, not tested: it serves nothing
that could be at risk.

**False alarms.** If the rate is within `risk_max`, an endpoint trips wrongly with probability at most delta
(1 - confidence) between two returns. Half of delta is for the endpoint's own test; the other half is divided
over its partitions in the order of their first outcomes, where the k-th gets 1/(k (k + 1)) of it. However
many partitions there are, and whenever one looks, the sum stays delta.

**Returning** takes evidence of the opposite: the upper confidence bound over the fresh outcomes since the
trip must be within `risk_max`. The r-th return is tested at delta/(r (r + 1)), so that an endpoint at the
edge does not flap: for 1 % at 95 %, 409 outcomes that are all right, then 523. A certificate that is newer
than the trip also ends it.

**Suspension.** Where the model behind an answer changes, nothing that was measured before says anything of
it: the endpoint trips at once (`suspend`), audits that wait are dropped, and it returns as after any trip, on
outcomes since the change or on a certificate made after it.

**Late outcomes.** A judge decides minutes later, and only about answers whose words differ, so late outcomes
are worse than immediate ones, and a judge that was down delivers a burst of them. Outcomes with an audit id
are therefore tested in the order in which the audits were drawn. An audit that is still open after `wait_s`
is lost: it is no evidence for the alarm, and counts as wrong in the reported upper bound. Audits that wait
when the process ends are lost too, unless `outlives`: then they keep waiting in the next process.

**Small partitions** share the endpoint's evidence: a partition without outcomes of its own is served as its
endpoint is, on the strength of the certificate.

Sans-I/O: time is an argument of the constructor. One event loop; memory is bounded.
"""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping

import msgspec
from msgspec import Struct, field

from farthing.stats.e_process import Alarm, alternatives, new_alarm, upper, within

PARTITIONS_MAX = 2_000  # with evidence of their own, per endpoint; the least recently used is forgotten
TRIPPED_MAX = 200  # partitions tripped on their own; with more, the endpoint itself trips
WAITING_MAX = 512
WAIT_S = 900.0
RECENT = 60  # outcomes reported with a trip: the whole run may be long and good
RECENT_BITS = (1 << RECENT) - 1


class Terms(Struct, frozen=True, kw_only=True):
    """What an endpoint promises."""

    risk_max: float
    """Share of outcomes that may be wrong."""
    part_risk_max: float | None = None
    """The same for each partition; None: as the endpoint's."""
    confidence: float
    threshold: float | None = None
    """Score from which answers are served: evidence under one threshold says nothing about another."""
    serving: bool = True
    """False: it only observes."""


class Words(Struct, frozen=True, kw_only=True):
    """The wording of log lines."""

    log: logging.Logger
    subject: str
    """`the semantic cache of`, before the endpoint's name."""
    outcomes: str
    """`audited hits`."""
    trips: str
    returns: str
    part: str
    """`partition`, before its name."""
    parts: str
    name: Callable[[bytes], str]
    """Readable name of a partition."""


class Trial(Struct):
    """The outcomes of one endpoint or partition, and the evidence from them."""

    alarm: Alarm
    place: int = 0
    """The partition's number within its endpoint, from 1; 0 is the endpoint itself."""
    tested: int = 0
    """Outcomes since the start, or since the last return."""
    wrong: int = 0
    recent: int = 0
    """The last `RECENT` outcomes as bits, the newest in the lowest bit."""
    tripped_unix_s: float | None = field(default=None, name="retreated_unix_s")
    reason: str = ""
    fresh: int = 0
    """Outcomes since the trip."""
    fresh_wrong: int = 0
    returns: int = 0
    """Returns on fresh outcomes since the last certificate."""


class Waiting(Struct):
    """An audit that was drawn and whose outcome cannot be tested yet."""

    partitions: tuple[bytes, ...]
    wrong: bool | None
    """None: still open."""
    drawn_unix_s: float
    safe: bool = False
    """The outcome counts as right whatever it is; only whether there was one matters."""


class Watched(Struct):
    """Everything kept about one endpoint."""

    risk_max: float
    delta: float
    trial: Trial
    threshold: float | None = None
    serving: bool = True
    """False: it only observes, so outcomes are counted and nothing is tested."""
    partitions: OrderedDict[bytes, Trial] = field(default_factory=OrderedDict)
    """Most recently used last."""
    places: int = 0
    """Partitions that ever had an outcome."""
    tripped: set[bytes] = field(default_factory=set)
    waiting: OrderedDict[str, Waiting] = field(default_factory=OrderedDict)
    lost: int = 0
    certified_unix_s: float = 0.0
    part_risk_max: float | None = None
    suspended_unix_s: float = 0.0
    """Time of the last change for which it was suspended."""
    dropped: set[str] = field(default_factory=set)
    """Audits that were open then: their outcomes say nothing of what answers now."""

    def risk_max_of(self, trial: Trial) -> float:
        """The bound that `trial` is tested against: a partition may have another one than its endpoint."""
        return self.risk_max if self.part_risk_max is None or not trial.place else self.part_risk_max


class EndpointState(Struct, frozen=True, kw_only=True):
    """The state of one endpoint, for gauges and display."""

    risk_max: float = field(name="budget")
    confidence: float
    retreated: bool
    since_unix_s: float | None
    """Time of the trip."""
    reason: str
    audits: int
    """Outcomes since the start or the last return."""
    wrong: int
    open: int
    """Audits whose outcome is still awaited."""
    lost: int
    upper: float
    """Upper bound of the rate, at `confidence`; lost audits count as wrong. 1.0 without outcomes."""
    fresh: int
    """Outcomes since the trip."""
    partitions: int
    """Partitions with evidence of their own."""
    partitions_retreated: int


class ErrorRateMonitor:
    """An e-process for each endpoint and partition."""

    def __init__(
        self, words: Words, *, clock: Callable[[], float] = time.time, outlives: bool = False
    ) -> None:
        """`clock` gives Unix seconds; `outlives`: an outcome may arrive in a later process."""
        self._outlives = outlives
        self.words = words
        """The wording of log lines."""
        self._clock = clock
        self.wait_s = WAIT_S
        """Seconds after which an audit without an outcome is lost."""
        self.waiting_max = WAITING_MAX
        self._watched: dict[str, Watched] = {}
        self.changed = False
        """Whether anything changed since `dump`."""

    # -- terms --------------------------------------------------------------------------------------

    def hold_to(self, terms: Mapping[str, Terms], *, keep: Collection[str] = ()) -> None:
        """Set the terms of all watched endpoints. Endpoints without terms are forgotten, except those in
        `keep`, which stay as they are.

        Evidence against one `risk_max`, or under one threshold, says nothing about another: where they
        changed, the tests start over. A tripped endpoint stays tripped.
        """
        for endpoint in self._watched.keys() - terms.keys() - set(keep):
            del self._watched[endpoint]
            self.changed = True
        for endpoint, promised in terms.items():
            self._under(endpoint, promised)

    def _under(self, endpoint: str, terms: Terms) -> None:
        risk_max, part_risk_max, delta = terms.risk_max, terms.part_risk_max, 1 - terms.confidence
        watched = self._watched.get(endpoint)
        if watched is None:
            self.changed = True
            watched = Watched(
                risk_max, delta, Trial(new_alarm(risk_max)), terms.threshold, part_risk_max=part_risk_max
            )
            self._watched[endpoint] = watched
        watched.serving = terms.serving
        held = (watched.risk_max, watched.part_risk_max, watched.delta, watched.threshold)
        if held == (risk_max, part_risk_max, delta, terms.threshold):
            return
        self.changed = True
        watched.risk_max, watched.part_risk_max = risk_max, part_risk_max
        watched.delta, watched.threshold = delta, terms.threshold
        for trial in (watched.trial, *watched.partitions.values()):
            trial.alarm = new_alarm(watched.risk_max_of(trial))
            trial.tested = trial.wrong = trial.recent = trial.fresh = trial.fresh_wrong = 0

    def certified(self, endpoint: str, made_unix_s: float) -> None:
        """A certificate holds for `endpoint`; if it is newer than a trip, the trip ends."""
        watched = self._watched.get(endpoint)
        if watched is None or made_unix_s <= watched.certified_unix_s:
            return
        watched.certified_unix_s = made_unix_s
        self.changed = True
        for partition, trial in ((None, watched.trial), *watched.partitions.items()):
            since = trial.tripped_unix_s
            if since is not None and made_unix_s > since:
                self._come_back(endpoint, watched, trial, partition, "a new certificate")
            if since is None or made_unix_s > since:
                trial.returns = 0

    def suspend(self, endpoint: str, why: str, at_unix_s: float) -> bool:
        """Something changed at `at_unix_s` on which the certificate of `endpoint` rests: it trips, unless its
        certificate is newer, it has none, or it was suspended for this before. Returns whether it did."""
        watched = self._watched.get(endpoint)
        if watched is None or not watched.certified_unix_s:
            return False
        if at_unix_s <= max(watched.certified_unix_s, watched.suspended_unix_s):
            return False
        self.changed = True
        watched.suspended_unix_s = at_unix_s
        watched.dropped = {audit for audit, one in watched.waiting.items() if one.wrong is None}
        watched.waiting.clear()
        trial = watched.trial
        trial.tripped_unix_s, trial.reason = at_unix_s, why
        trial.fresh = trial.fresh_wrong = 0
        self._warn(endpoint, self.words.trips, None, why)
        return True

    def suspension(self, endpoint: str) -> str:
        """Why `endpoint` is suspended; empty: it is not, whether or not it has tripped."""
        watched = self._watched.get(endpoint)
        if watched is None or watched.trial.tripped_unix_s is None:
            return ""
        suspended = watched.trial.tripped_unix_s == watched.suspended_unix_s
        return watched.trial.reason if suspended else ""

    # -- outcomes -----------------------------------------------------------------------------------

    def allows(self, endpoint: str, partition: bytes) -> bool:
        watched = self._watched.get(endpoint)
        return (
            watched is not None and watched.trial.tripped_unix_s is None and partition not in watched.tripped
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

        With `audit`, None opens the audit, and a later call with the same id closes it: with the outcome, or
        with None if there will be none. An audit opened with `safe` counts as right whatever its outcome.
        Endpoints without terms are ignored."""
        watched = self._watched.get(endpoint)
        if watched is None:
            return
        self.changed = True
        waiting = watched.waiting
        if audit in watched.dropped:
            watched.dropped.discard(audit)
        elif audit in waiting:
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
        """The endpoint of an audit that is still open and not lost; None: there is no such audit."""
        return next((name for name, watched in self._watched.items() if audit in watched.waiting), None)

    def _release(self, endpoint: str, watched: Watched) -> None:
        """Test waiting outcomes in the order drawn, up to the first that is still open and not yet lost."""
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
        # neither the endpoint nor another partition serves what a tripped partition would have served
        tripped = [(trial, where) for trial, where in own if trial.tripped_unix_s is not None]
        tested: list[tuple[Trial, bytes | None]] = [*tripped] or [(watched.trial, None), *own]
        for trial, where in tested:
            if trial.tripped_unix_s is None:
                trial.tested += 1
                trial.wrong += wrong
                trial.recent = (trial.recent << 1 | wrong) & RECENT_BITS
                if not watched.serving:
                    continue
                bound = watched.risk_max_of(trial)
                trial.alarm.add(wrong, bound, alternatives(bound))
                allowed = watched.delta / 2 / (trial.place * (trial.place + 1) if trial.place else 1)
                if trial.alarm.value >= 1 / allowed:
                    self._trip(endpoint, watched, trial, where)
            else:
                trial.fresh += 1
                trial.fresh_wrong += wrong
                needed = watched.delta / ((trial.returns + 1) * (trial.returns + 2))
                if within(trial.fresh, trial.fresh_wrong, watched.risk_max_of(trial), needed):
                    trial.returns += 1
                    self._come_back(endpoint, watched, trial, where, "fresh audits")

    def _own(self, watched: Watched, partition: bytes) -> Trial:
        """The partition's own trial; a new one may displace the least recently used."""
        partitions = watched.partitions
        trial = partitions.get(partition)
        if trial is not None:
            partitions.move_to_end(partition)
            return trial
        if len(partitions) >= PARTITIONS_MAX:
            for oldest in partitions:
                if oldest not in watched.tripped:
                    del partitions[oldest]
                    break
        watched.places += 1
        trial = Trial(new_alarm(watched.part_risk_max or watched.risk_max), place=watched.places)
        partitions[partition] = trial
        return trial

    def _trip(self, endpoint: str, watched: Watched, trial: Trial, partition: bytes | None) -> None:
        trial.tripped_unix_s = self._clock()
        trial.fresh = trial.fresh_wrong = 0
        words = self.words
        trial.reason = (
            f"{trial.wrong} of {trial.tested} {words.outcomes} were wrong, "
            f"{trial.recent.bit_count()} of the last {min(RECENT, trial.tested)}; "
            f"the bound is {watched.risk_max_of(trial):.3g} at {1 - watched.delta:.3g}"
        )
        self._warn(endpoint, words.trips, partition, trial.reason)
        if partition is None:
            return
        watched.tripped.add(partition)
        if len(watched.tripped) > TRIPPED_MAX and watched.trial.tripped_unix_s is None:
            watched.trial.tripped_unix_s = self._clock()
            watched.trial.fresh = watched.trial.fresh_wrong = 0
            watched.trial.reason = f"{len(watched.tripped)} {words.parts} tripped"
            self._warn(endpoint, words.trips, None, watched.trial.reason)

    def _warn(self, endpoint: str, does: str, partition: bytes | None, why: str) -> None:
        words = self.words
        where = "" if partition is None else f" in {words.part} {words.name(partition)}"
        words.log.warning("%s %r %s%s: %s", words.subject, endpoint, does, where, why)

    def _come_back(
        self, endpoint: str, watched: Watched, trial: Trial, partition: bytes | None, why: str
    ) -> None:
        """Serve again; the tests start over, with the outcomes since the trip as the first counts."""
        trial.tripped_unix_s, trial.reason = None, ""
        trial.tested, trial.wrong = trial.fresh, trial.fresh_wrong
        trial.fresh = trial.fresh_wrong = trial.recent = 0
        trial.alarm = new_alarm(watched.risk_max_of(trial))
        if partition is not None:
            watched.tripped.discard(partition)
        self._warn(endpoint, self.words.returns, partition, why)

    # -- telling ------------------------------------------------------------------------------------

    def states(self) -> dict[str, EndpointState]:
        """The state of each watched endpoint."""
        return {endpoint: _state(watched) for endpoint, watched in self._watched.items()}

    # -- keeping ------------------------------------------------------------------------------------

    def dump(self) -> bytes:
        """The whole state as JSON. Names of partitions are digests."""
        self.changed = False
        return msgspec.json.encode(
            Kept(
                endpoints={
                    endpoint: _Kept(
                        risk_max=watched.risk_max,
                        delta=watched.delta,
                        trial=watched.trial,
                        threshold=watched.threshold,
                        partitions=[(name.hex(), trial) for name, trial in watched.partitions.items()],
                        places=watched.places,
                        lost=watched.lost + (0 if self._outlives else _open(watched)),
                        certified_unix_s=watched.certified_unix_s,
                        part_risk_max=watched.part_risk_max,
                        waiting=dict(watched.waiting) if self._outlives else {},
                        suspended_unix_s=watched.suspended_unix_s,
                    )
                    for endpoint, watched in self._watched.items()
                }
            )
        )

    def restore(self, data: bytes) -> None:
        """Restore the state from `dump`, before `hold_to`. Audits that were open are lost, or keep waiting.

        Raises:
            ValueError: `data` does not come from `dump`.
        """
        kept = msgspec.json.decode(data, type=Kept)
        if kept.version != VERSION:
            raise ValueError(f"version {kept.version}; this Farthing reads {VERSION}")
        for endpoint, one in kept.endpoints.items():
            rates = len(alternatives(one.risk_max))
            part_rates = len(alternatives(one.part_risk_max or one.risk_max))
            partitions = OrderedDict((bytes.fromhex(name), trial) for name, trial in one.partitions)
            parts_fit = all(len(trial.alarm.stakes) == part_rates for trial in partitions.values())
            if len(one.trial.alarm.stakes) != rates or not parts_fit:
                raise ValueError(f"the evidence about {endpoint!r} does not fit its bound")
            self._watched[endpoint] = Watched(
                risk_max=one.risk_max,
                delta=one.delta,
                trial=one.trial,
                threshold=one.threshold,
                partitions=partitions,
                places=one.places,
                tripped={n for n, trial in partitions.items() if trial.tripped_unix_s is not None},
                lost=one.lost,
                certified_unix_s=one.certified_unix_s,
                part_risk_max=one.part_risk_max,
                suspended_unix_s=one.suspended_unix_s,
            )
            self._watched[endpoint].waiting.update(one.waiting)


VERSION = 1


class _Kept(Struct, frozen=True, kw_only=True):
    risk_max: float = field(name="budget")
    delta: float
    trial: Trial
    threshold: float | None
    partitions: list[tuple[str, Trial]]
    places: int
    lost: int
    certified_unix_s: float
    part_risk_max: float | None = field(default=None, name="part_budget")
    waiting: dict[str, Waiting] = {}
    """By audit, in the order drawn."""
    suspended_unix_s: float = 0.0


class Kept(Struct, frozen=True, kw_only=True):
    """The content of the file."""

    version: int = VERSION
    endpoints: dict[str, _Kept]


def _open(watched: Watched) -> int:
    return sum(one.wrong is None for one in watched.waiting.values())


def _state(watched: Watched) -> EndpointState:
    trial = watched.trial
    retreated = trial.tripped_unix_s is not None
    count, wrong = (trial.fresh, trial.fresh_wrong) if retreated else (trial.tested, trial.wrong)
    return EndpointState(
        risk_max=watched.risk_max,
        confidence=1 - watched.delta,
        retreated=retreated,
        since_unix_s=trial.tripped_unix_s,
        reason=trial.reason,
        audits=trial.tested,
        wrong=trial.wrong,
        open=_open(watched),
        lost=watched.lost,
        upper=upper(count + watched.lost, wrong + watched.lost, watched.delta),
        fresh=trial.fresh,
        partitions=len(watched.partitions),
        partitions_retreated=len(watched.tripped),
    )
