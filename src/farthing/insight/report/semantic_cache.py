"""The semantic cache of each endpoint, from receipts: what it answered, how often wrongly, and its value.

A hit is false if an audit says that the fresh answer differs. Only would-be hits are audited; each is
answered afresh and compared, by words or by a judge whose verdict is a receipt of its own. Money and time are
net of embedding, of judging and other background jobs, and of lookups that found nothing. Unknown values are
None.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from farthing.insight.report.semantic_cache_state import Standing, Standings
from farthing.ledger.semantic_watch import ALARMS, BLOCK, Fallen, Watch, lookup_result
from farthing.stats.exact_tests import interval, upper
from farthing.types import Receipt, saved_nusd

METHOD = "Clopper-Pearson, 95 %"
ENTRIES_MAX = 200_000
OPEN_MAX = 200_000  # audits waiting for their judge
WITHOUT_LOOKUP = frozenset({"exact", "coalesced"})


class Audited(msgspec.Struct, frozen=True, kw_only=True):
    """Would-be hits that were compared with a fresh answer."""

    n: int
    wrong: int
    open: int
    """Not judged (yet); not part of any figure but `upper_with_open`."""
    rate: float | None
    low: float | None
    high: float | None
    method: str = METHOD
    upper_with_open: float | None
    """The one-sided bound if all open ones were wrong."""
    judged_by: list[str]
    """`words` if the texts agreed or nothing else decides; otherwise the judges' targets."""
    reworded: int
    """Of the wrong ones, those with other words that no judge read: they may mean the same."""


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """One UTC day, by arrival of the request or start of the background job."""

    day: str
    requests: int
    looks: int
    hits: int
    """Served."""
    would_hit: int
    """Could have been served: hits, audits, and what observe mode would have served."""
    audited: int
    wrong: int
    saved_nusd: int
    """Against the baseline."""
    spent_nusd: int
    """Embedding and background jobs."""


class SemanticAlarm(msgspec.Struct, frozen=True, kw_only=True):
    """The cache stopped helping, at the end of the reported period."""

    name: str
    share: float | None
    before: float | None
    advice: str


class SemanticCell(msgspec.Struct, frozen=True, kw_only=True):
    """The semantic cache of one endpoint."""

    endpoint: str
    requests: int
    looks: int
    results: dict[str, int]
    """Lookups by result."""
    reach: float | None
    """Share of the requests without an exact hit that were looked up."""
    hit_rate: float | None
    """Served, as a share of lookups."""
    would_hit_rate: float | None
    """Could have been served, as a share of lookups."""
    audited: Audited
    saved_nusd: int | None
    """Saving of the hits against the baseline, part of the report's savings. None: unknown for every hit."""
    avoided_nusd: int | None
    """Cost of the hits at the mean of this endpoint's fresh answers, minus their actual cost."""
    embedding_nusd: int
    jobs_nusd: dict[str, int]
    """Cost of the priced background jobs, by purpose."""
    unpriced: int
    """Hits and background jobs of unknown cost; not part of any sum."""
    net_nusd: int | None
    """Avoided cost, minus embedding for lookups without a hit, minus background jobs."""
    hit_ms: float | None
    """Mean time of a hit."""
    fresh_ms: float | None
    """Mean time of a fresh answer, including its lookup."""
    look_ms: float | None
    """Mean time of a lookup that served nothing."""
    net_saved_ms: float | None
    """Waiting saved by all hits, minus all lookups that served nothing."""
    entries: int | None
    """Distinct entries served; None if there were too many to count."""
    value_per_entry_nusd: int | None
    """Avoided cost per served entry."""
    days: list[Day]
    alarms: list[SemanticAlarm]
    standing: Standing | None
    """Certificate and monitor; None if the state directory is unknown."""


class _Day:
    __slots__ = ("audited", "hits", "looks", "requests", "saved_nusd", "spent_nusd", "would_hit", "wrong")

    def __init__(self) -> None:
        self.requests = self.looks = self.hits = self.would_hit = 0
        self.audited = self.wrong = self.saved_nusd = self.spent_nusd = 0


class _Mean:
    """A sum and its count."""

    __slots__ = ("count", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0

    def add(self, value: float) -> None:
        self.count += 1
        self.total += value

    @property
    def mean(self) -> float | None:
        return self.total / self.count if self.count else None


class _Sums:
    """One endpoint."""

    def __init__(self) -> None:
        self.used = False
        """Whether it had a lookup, or a background job of the cache."""
        self.results: dict[str, int] = {}
        self.reached, self.hit_ms, self.fresh_ms, self.look_ms = _Mean(), _Mean(), _Mean(), _Mean()
        self.fresh_nusd = _Mean()
        self.audited = self.wrong = self.unpriced = 0
        self.saved_nusd = self.compared = self.hits_nusd = self.embedding_nusd = self.idle_embedding_nusd = 0
        self.jobs_nusd: dict[str, int] = {}
        self.reworded = 0
        self.judges: set[str] = set()
        self.entries: set[int] = set()
        self.days: dict[str, _Day] = {}
        self.watch, self.reach = Watch(), Fallen()

    # -- a client's request -------------------------------------------------------------------------

    def add(self, receipt: Receipt) -> bool:
        """Take a request; returns whether its audit is still open."""
        day = self.days.setdefault(day_of(receipt.at_unix_s), _Day())
        day.requests += 1
        result = lookup_result(receipt)
        if receipt.cache not in WITHOUT_LOOKUP and receipt.status < 400:
            if result is not None or self.used:
                self.reach.add(result is not None)
            self.reached.add(result is not None)
        if receipt.calls and receipt.status == 200:
            self.fresh_ms.add(receipt.total_ms)
            if receipt.cost_nusd is not None:
                self.fresh_nusd.add(receipt.cost_nusd - receipt.embedding_nusd)
        if result is None:
            return False
        self.used = True
        self.watch.add(result)
        self.results[result] = self.results.get(result, 0) + 1
        day.looks += 1
        day.would_hit += result in ("served", "would_serve", "audited")
        day.spent_nusd += receipt.embedding_nusd
        self.embedding_nusd += receipt.embedding_nusd
        if result == "served":
            self._served(receipt, day)
        else:
            self.look_ms.add(receipt.stage_ms.get("semantic", 0.0))
            self.idle_embedding_nusd += receipt.embedding_nusd
        if result != "audited":
            return False
        if receipt.audit == "pending":
            return True
        differs = receipt.audit == "differs"
        self.reworded += differs
        self.judged(differs, "words", day_of(receipt.at_unix_s))
        return False

    def _served(self, receipt: Receipt, day: _Day) -> None:
        day.hits += 1
        self.hit_ms.add(receipt.total_ms)
        if len(self.entries) <= ENTRIES_MAX:
            self.entries.add(hash(receipt.cache_entry))
        self.hits_nusd += receipt.cost_nusd or 0
        saved = saved_nusd(receipt)
        if saved is None:
            self.unpriced += 1
        else:
            self.saved_nusd += saved
            self.compared += 1
            day.saved_nusd += saved

    def judged(self, wrong: bool, by: str, day: str) -> None:
        """Take the outcome of an audit, on the day of the request."""
        self.audited += 1
        self.wrong += wrong
        self.judges.add(by)
        self.days.setdefault(day, _Day()).audited += 1
        self.days[day].wrong += wrong

    # -- a background job ----------------------------------------------------------------------------------

    def add_job(self, receipt: Receipt) -> None:
        self.used = True
        cost_nusd = receipt.cost_nusd
        self.unpriced += cost_nusd is None
        self.jobs_nusd[receipt.purpose] = self.jobs_nusd.get(receipt.purpose, 0) + (cost_nusd or 0)
        self.days.setdefault(day_of(receipt.at_unix_s), _Day()).spent_nusd += cost_nusd or 0

    # -- results ------------------------------------------------------------------------------------

    def cell(self, endpoint: str, waiting: int, standing: Standing | None) -> SemanticCell:
        looks = sum(self.results.values())
        hits = self.results.get("served", 0)
        would = hits + self.results.get("would_serve", 0) + self.results.get("audited", 0)
        avoided = self._avoided(hits)
        net = None if avoided is None else avoided - self.idle_embedding_nusd - sum(self.jobs_nusd.values())
        entries = len(self.entries) if len(self.entries) <= ENTRIES_MAX else None
        return SemanticCell(
            endpoint=endpoint,
            requests=sum(day.requests for day in self.days.values()),
            looks=looks,
            results=dict(sorted(self.results.items())),
            reach=self.reached.mean,
            hit_rate=hits / looks if looks else None,
            would_hit_rate=would / looks if looks else None,
            audited=self._audits(waiting),
            saved_nusd=self.saved_nusd if self.compared or not hits else None,
            avoided_nusd=avoided,
            embedding_nusd=self.embedding_nusd,
            jobs_nusd=dict(sorted(self.jobs_nusd.items())),
            unpriced=self.unpriced,
            net_nusd=net,
            hit_ms=self.hit_ms.mean,
            fresh_ms=self.fresh_ms.mean,
            look_ms=self.look_ms.mean,
            net_saved_ms=self._saved_ms(hits),
            entries=entries,
            value_per_entry_nusd=None if avoided is None or not entries else round(avoided / entries),
            days=[_day_of(day, sums) for day, sums in sorted(self.days.items())],
            alarms=list(self._alarms(net, looks, hits)),
            standing=standing,
        )

    def _audits(self, waiting: int) -> Audited:
        n, wrong = self.audited, self.wrong
        bounds = interval(wrong, n)
        return Audited(
            n=n,
            wrong=wrong,
            open=waiting,
            rate=wrong / n if n else None,
            low=bounds[0] if bounds else None,
            high=bounds[1] if bounds else None,
            upper_with_open=upper(wrong + waiting, n + waiting, 0.95) if n + waiting else None,
            judged_by=sorted(self.judges),
            reworded=self.reworded,
        )

    def _avoided(self, hits: int) -> int | None:
        mean = self.fresh_nusd.mean
        if not hits:
            return 0
        return None if mean is None else round(mean * hits) - self.hits_nusd

    def _saved_ms(self, hits: int) -> float | None:
        """A hit saves a fresh answer without its lookup, and takes its own time."""
        fresh, hit = self.fresh_ms.mean, self.hit_ms.mean
        if not hits:
            return -self.look_ms.total if self.look_ms.count else None
        if fresh is None or hit is None:
            return None
        return hits * (fresh - (self.look_ms.mean or 0.0) - hit) - self.look_ms.total

    def _alarms(self, net: int | None, looks: int, hits: int) -> Iterator[SemanticAlarm]:
        falls = (
            ("reach", self.reach),
            ("coverage", self.watch.coverage),
            ("effect", self.watch.effect),
        )
        for name, fallen in falls:
            if fallen.active:
                yield SemanticAlarm(name=name, share=fallen.share, before=fallen.before, advice=ALARMS[name])
        failing = self.watch.failing
        if failing.active:
            yield SemanticAlarm(name="failing", share=failing.share, before=None, advice=ALARMS["failing"])
        if hits and looks >= BLOCK and net is not None and net < 0:
            yield SemanticAlarm(name="loss", share=None, before=None, advice=ALARMS["loss"])


def of_the_cache(receipt: Receipt) -> bool:
    """Whether a background job was for the semantic cache, not for quality or routing."""
    return receipt.purpose in ("precompute", "refresh") or (
        receipt.purpose == "judge" and bool(receipt.cache_entry)
    )


class SemanticSums:
    """All endpoints, in one pass over receipts in ledger order."""

    def __init__(self) -> None:
        self._sums: dict[str, _Sums] = {}
        self._open: dict[str, tuple[str, str]] = {}
        """Request whose audit waits for a judge -> its endpoint and day."""

    def add(self, receipt: Receipt) -> None:
        """Take the receipt of a request or of a background job. Jobs for other purposes do not count as its
        cost."""
        if receipt.purpose and not of_the_cache(receipt):
            return
        sums = self._sums.get(receipt.endpoint)
        if sums is None:
            sums = self._sums[receipt.endpoint] = _Sums()
        if not receipt.purpose:
            if sums.add(receipt):
                if len(self._open) >= OPEN_MAX:  # the oldest will not be judged any more
                    del self._open[next(iter(self._open))]
                self._open[receipt.request_id] = receipt.endpoint, day_of(receipt.at_unix_s)
            return
        sums.add_job(receipt)
        if receipt.purpose == "judge" and receipt.audit in ("agrees", "differs"):
            asked = self._open.pop(receipt.about, None)
            if asked is not None:
                by = receipt.target or "a judge"
                self._sums[asked[0]].judged(receipt.audit == "differs", by, asked[1])

    def cells(self, standings: Standings | None = None) -> list[SemanticCell]:
        """One per endpoint whose cache had lookups or background jobs, by name."""
        waiting: dict[str, int] = {}
        for endpoint, _ in self._open.values():
            waiting[endpoint] = waiting.get(endpoint, 0) + 1
        return [
            sums.cell(
                endpoint,
                waiting.get(endpoint, 0),
                None if standings is None else standings.of(endpoint),
            )
            for endpoint, sums in sorted(self._sums.items())
            if sums.used
        ]


def day_of(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d")


def _day_of(day: str, sums: _Day) -> Day:
    return Day(day=day, **{name: getattr(sums, name) for name in _Day.__slots__})
