"""Live totals of this process, updated by every receipt, in the Prometheus text format.

Labels come from the configuration (endpoints, tiers, targets) or from a fixed list, and each family is
bounded: beyond the bound everything is counted as `other`. Nothing is counted by tenant or user: such labels
would be unbounded, and would reveal who asks.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from decimal import Decimal
from typing import Final, Protocol

from farthing.ledger.gauges import ABOUT, UNTOLD
from farthing.ledger.lane_metrics import LaneMetrics
from farthing.ledger.route_metrics import RouteMetrics
from farthing.ledger.semantic_metrics import SemanticMetrics
from farthing.ledger.signal_metrics import SignalMetrics
from farthing.ledger.way_metrics import WayMetrics
from farthing.protocols import Ledger
from farthing.runtime.loop_batch import is_immediate
from farthing.stats.histogram import LogHistogram
from farthing.types import LEFT_FOR_NOW, Attempt, Receipt, Signal, differs

SERIES_MAX = 500  # label sets of one family
BATCH = 16  # finished requests that are counted together; waiting ones are cold in the cache when counted
OTHER = "other"
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

RENAMED = {
    "farthing_job_cost_usd_total": "farthing_errand_cost_usd_total",
    **{
        f"farthing_jobs_{name}": f"farthing_errands_{name}"
        for name in ("total", "queued", "running", "done", "failed", "dropped", "unpaid", "spent_today_usd")
    },
}
"""Metrics to their names in the last release, under which they are exported too."""

Gauges = Callable[[], Mapping[str, float]]


class _Count:
    """Requests that share endpoint, tier, cache kind and status class."""

    __slots__ = ("requests", "totals")

    def __init__(self, totals: "_Totals") -> None:
        self.requests = 0
        self.totals = totals
        """The totals of their endpoint and tier."""


class _Totals:
    """The usage of one endpoint in one tier."""

    __slots__ = (
        "cached_tokens",
        "cost_nusd",
        "duration",
        "input_tokens",
        "output_tokens",
        "overhead",
        "saved_nusd",
        "ttft",
        "unpriced",
    )

    def __init__(self) -> None:
        self.input_tokens = 0
        self.output_tokens = 0
        self.cached_tokens = 0
        self.cost_nusd = 0
        self.saved_nusd = 0
        self.unpriced = 0
        self.duration = LogHistogram()
        self.overhead = LogHistogram()
        self.ttft = LogHistogram()


class Watch(Protocol):  # guarantees/drift: detect
    """Receives what the counters count, and adds families of its own."""

    watches: bool
    """Whether it needs receipts."""

    def observe(self, receipt: Receipt) -> object:
        """Take one finished request."""

    def learn(self, signal: Signal) -> object:
        """Take one signal about an answer."""

    def families(self) -> Iterable[tuple[str, str, str, Iterable[tuple[dict[str, str], float]]]]:
        """Name, type, help text and labelled values."""


class Watched(Protocol):  # models/tokens: learned | guarantees/monitor: models
    """Adds families of its own."""

    def families(
        self, shown: Collection[str] | None
    ) -> Iterable[tuple[str, str, str, Iterable[tuple[dict[str, str], float]]]]:
        """Name, type, help text and labelled values, of the targets in `shown` alone; None: of all."""


class Metrics:
    """Counts receipts. Written and read on the event loop; nothing here waits."""

    def __init__(self, gauges: Gauges | None = None, drift: Watch | None = None) -> None:
        """`gauges` is called at each exposition for current values, by name without `farthing_`; `drift`
        receives every receipt and signal."""
        self._gauges = gauges
        self.targets: Collection[str] | None = None
        """Targets allowed as labels; others become `other`, because clients invent models. None: all."""
        self.semantic = SemanticMetrics()
        self.signals = SignalMetrics()
        self.routing = RouteMetrics()
        self.lanes = LaneMetrics()
        self.tokens: Watched | None = None
        """How providers' token counts compare with ours; None: nothing is learned of it."""
        self.models: Watched | None = None
        """Which models answer for targets; None: nobody knows."""
        self.way = WayMetrics()
        self._drift = drift
        self._counts: dict[tuple[str, str, str, int], _Count] = {}
        self._totals: dict[tuple[str, str], _Totals] = {}
        self._attempts: dict[tuple[str, str], int] = {}
        self._skipped: dict[tuple[str, str], int] = {}
        self._differs: dict[tuple[str, str], int] = {}

        self._finished: list[Receipt] = []
        """Not counted yet: counting a batch costs half as much as counting one by one."""

    # -- counting -----------------------------------------------------------------------------------

    def observe(self, receipt: Receipt) -> None:
        """Count one finished request or background job, at the latest at the next exposition."""
        finished = self._finished
        finished.append(receipt)
        if len(finished) >= BATCH:
            self._count_finished()

    def learned(self, signal: Signal) -> None:
        """Take one signal about an answer."""
        self.signals.learn(signal)
        if self._drift is not None:
            self._drift.learn(signal)

    def _count_finished(self) -> None:
        finished, self._finished = self._finished, []
        for receipt in finished:
            self._count(receipt)
        if self._drift is not None and self._drift.watches:
            for receipt in finished:
                self._drift.observe(receipt)

    def _count(self, receipt: Receipt) -> None:
        if receipt.purpose:
            self._observe_job(receipt)
            return
        if "semantic" in receipt.stage_ms:
            self.semantic.look(receipt)
        key = (receipt.endpoint, receipt.tier, receipt.cache, receipt.status // 100)
        count = self._counts.get(key) or self._new_count(*key)
        count.requests += 1
        self._count_attempts(receipt)
        for step, why in receipt.skipped.items():
            _count_new(self._skipped, (_skipped_as(step, why), ""))
        totals = count.totals
        totals.duration.add(receipt.total_ms)
        totals.overhead.add(receipt.overhead_ms)
        ttft_ms = receipt.ttft_ms
        if ttft_ms is not None:
            totals.ttft.add(ttft_ms)
        usage = receipt.usage
        if usage is not None:
            totals.input_tokens += usage.input_tokens
            totals.output_tokens += usage.output_tokens
            if usage.cached_tokens:
                totals.cached_tokens += usage.cached_tokens
        cost_nusd = receipt.cost_nusd
        if cost_nusd is None:
            totals.unpriced += 1
            return
        totals.cost_nusd += cost_nusd
        baseline_nusd = receipt.baseline_nusd
        if baseline_nusd is not None and baseline_nusd != cost_nusd:
            totals.saved_nusd += baseline_nusd - cost_nusd

    def _count_attempts(self, receipt: Receipt) -> None:
        attempts = receipt.attempts
        for attempt in attempts:
            outcome = (attempt.target, attempt.error or "ok")
            try:
                self._attempts[outcome] += 1
            except KeyError:
                self._new_attempt(*outcome)
            if attempt.reckoned_nusd is not None:
                self._count_differing_charge(attempt)
            if attempt.provider_ms is not None or attempt.connect_ms is not None:
                self.way.add(attempt)
            if attempt.continues:
                self.lanes.continued(self._shown(attempt.target), attempt)
            if attempt.lane:
                self.lanes.called(self._shown(attempt.target), attempt)
        if len(attempts) > 1:
            self.lanes.hedged(self._shown(attempts[0].target), receipt)

    def _observe_job(self, receipt: Receipt) -> None:
        """A background job is not a client's request, but its calls were made and its cost counts, also
        against the savings."""
        self.semantic.internal(receipt)
        self._count_attempts(receipt)
        key = (receipt.endpoint, receipt.tier)
        if len(self._totals) >= SERIES_MAX and key not in self._totals:
            key = (OTHER, OTHER)
        totals = self._totals.setdefault(key, _Totals())
        if receipt.usage is not None:
            totals.input_tokens += receipt.usage.input_tokens
            totals.output_tokens += receipt.usage.output_tokens
            totals.cached_tokens += receipt.usage.cached_tokens
        totals.unpriced += receipt.cost_nusd is None
        totals.cost_nusd += receipt.cost_nusd or 0
        totals.saved_nusd -= receipt.cost_nusd or 0

    def _new_count(self, endpoint: str, tier: str, cache: str, status: int) -> _Count:
        if len(self._counts) >= SERIES_MAX:
            endpoint = tier = OTHER
        key = (endpoint, tier, cache, status)
        if key not in self._counts:
            self._counts[key] = _Count(self._totals.setdefault((endpoint, tier), _Totals()))
        return self._counts[key]

    def _shown(self, target: str) -> str:
        """The label of a target."""
        return target if self.targets is None or target in self.targets else OTHER

    def _new_attempt(self, target: str, outcome: str) -> None:
        """Count an attempt of a new kind, or of an outcome with a detail."""
        kind = outcome.partition(":")[0]  # without the answer's own detail
        _count_new(self._attempts, (self._shown(target), kind))

    def _count_differing_charge(self, attempt: Attempt) -> None:
        """Count a call whose provider charged something else than our prices give."""
        if differs(attempt):
            known = self.targets is None or attempt.target in self.targets
            _count_new(self._differs, (attempt.target if known else OTHER, ""))

    def _lookups(self) -> dict[tuple[str, str], int]:
        found: dict[tuple[str, str], int] = {}
        for (endpoint, _, cache, _), count in self._counts.items():
            if cache != "off":
                found[endpoint, cache] = found.get((endpoint, cache), 0) + count.requests
        return found

    # -- showing ------------------------------------------------------------------------------------

    def exposition(self) -> bytes:
        """All families, for `GET /metrics`."""
        self._count_finished()
        lines = [*self._request_lines(), *self._money_lines(), *self._histogram_lines()]
        lines += _family(
            "farthing_upstream_attempts_total",
            "counter",
            "Calls of providers, by target and outcome.",
            ((_labels(target=target, outcome=outcome), n) for (target, outcome), n in self._attempts.items()),
        )
        lines += _family(
            "farthing_cache_lookups_total",
            "counter",
            "Cache lookups, by result.",
            ((_labels(endpoint=name, result=kind), n) for (name, kind), n in self._lookups().items()),
        )
        lines += _family(
            "farthing_skipped_steps_total",
            "counter",
            "Optional steps that failed or were late, and targets passed over, by why.",
            ((_labels(step=step), n) for (step, _), n in self._skipped.items()),
        )
        for name, kind, about, values in (
            *self.semantic.families(),
            *self.signals.families(),
            *self.routing.families(),
            *self.lanes.families(),
            *(() if self._drift is None else self._drift.families()),
            *(() if self.tokens is None else self.tokens.families(self.targets)),
            *(() if self.models is None else self.models.families(self.targets)),
            *self.way.families(self.targets),
        ):
            lines += _family(name, kind, about, ((_labels(**labels), value) for labels, value in values))
        for name, value in (self._gauges() if self._gauges is not None else {}).items():
            lines += _family(f"farthing_{name}", "gauge", ABOUT.get(name, UNTOLD), [("", value)])
        return ("\n".join(lines) + "\n").encode()

    def _request_lines(self) -> list[str]:
        return _family(
            "farthing_requests_total",
            "counter",
            "Finished requests.",
            (
                (_labels(endpoint=name, tier=tier, cache=cache, status=f"{status}xx"), count.requests)
                for (name, tier, cache, status), count in self._counts.items()
            ),
        )

    def _money_lines(self) -> list[str]:
        rows = [(_labels(endpoint=name, tier=tier), one) for (name, tier), one in self._totals.items()]
        tokens = [
            (_labels(endpoint=name, tier=tier, type=kind), count)
            for (name, tier), one in self._totals.items()
            for kind, count in (
                ("input", one.input_tokens),
                ("output", one.output_tokens),
                ("cached_input", one.cached_tokens),
            )
        ]
        return [
            *_family("farthing_tokens_total", "counter", "Tokens; cached input is part of input.", tokens),
            *_family(
                "farthing_cost_usd_total",
                "counter",
                "US dollars charged by providers, priced requests only.",
                ((labels, _usd(one.cost_nusd)) for labels, one in rows),
            ),
            *_family(
                "farthing_saved_usd_total",
                "gauge",  # signed: it falls when a request costs more than its baseline
                "US dollars saved against the declared baseline, where both are known.",
                ((labels, _usd(one.saved_nusd)) for labels, one in rows),
            ),
            *_family(
                "farthing_unpriced_requests_total",
                "counter",
                "Requests whose cost is unknown.",
                ((labels, one.unpriced) for labels, one in rows),
            ),
            *_family(
                "farthing_cost_differs_total",
                "counter",
                "Calls whose provider charged over 1 % more or less than our prices give.",
                ((_labels(target=target), count) for (target, _), count in self._differs.items()),
            ),
        ]

    def _histogram_lines(self) -> list[str]:
        rows = [(name, tier, one) for (name, tier), one in self._totals.items()]
        return [
            *_histograms(
                "farthing_request_duration_seconds",
                "From the last byte of the request to the last byte of the answer.",
                ((name, tier, one.duration) for name, tier, one in rows),
            ),
            *_histograms(
                "farthing_overhead_seconds",
                "The part of the duration that was not waiting for providers.",
                ((name, tier, one.overhead) for name, tier, one in rows),
            ),
            *_histograms(
                "farthing_time_to_first_token_seconds",
                "Until the first byte of the answer.",
                ((name, tier, one.ttft) for name, tier, one in rows),
            ),
        ]


class MeteredLedger:
    """A ledger whose receipts are counted as well."""

    def __init__(self, ledger: Ledger, metrics: Metrics) -> None:
        self._ledger = ledger
        self.immediate = is_immediate(ledger)
        self._record = ledger.record
        self._observe = metrics.observe
        self.admit = ledger.admit
        self.intend = ledger.intend
        self._signal = ledger.signal
        self._learned = metrics.learned

    def record(self, receipt: Receipt) -> None:
        try:
            self._record(receipt)
        finally:
            self._observe(receipt)

    def signal(self, signal: Signal, *, acknowledged: bool = False) -> None:
        self._signal(signal, acknowledged=acknowledged)
        self._learned(signal)

    async def aclose(self) -> None:
        await self._ledger.aclose()


# -- the text format --------------------------------------------------------------------------------


def _skipped_as(step: str, why: str) -> str:
    """The label of what was skipped: a target is none, so that of targets it is why."""
    if "/" not in step:
        return step
    code = why.partition(" ")[0]
    return code if code in LEFT_FOR_NOW else "cannot_say"


def _count_new(counts: dict[tuple[str, str], int], key: tuple[str, str]) -> None:
    """Count a key that may be new; beyond the bound, as `other`."""
    if key not in counts and len(counts) >= SERIES_MAX:
        key = (OTHER, key[1])
    counts[key] = counts.get(key, 0) + 1


def _family(
    name: str, kind: str, about: str, values: Iterable[tuple[str, int | float | Decimal]]
) -> list[str]:
    rows = [(labels, _number(value)) for labels, value in values]
    lines = [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]
    lines += [f"{name}{labels} {value}" for labels, value in rows]
    if (old := RENAMED.get(name)) is not None:
        lines += [f"# HELP {old} Deprecated, gone in the next release: use {name}.", f"# TYPE {old} {kind}"]
        lines += [f"{old}{labels} {value}" for labels, value in rows]
    return lines


def _histograms(name: str, about: str, values: Iterable[tuple[str, str, LogHistogram]]) -> list[str]:
    lines = [f"# HELP {name} {about}", f"# TYPE {name} histogram"]
    for endpoint, tier, histogram in values:
        for edge_ms, count in histogram.cumulative():
            lines.append(
                f"{name}_bucket{_labels(endpoint=endpoint, tier=tier, le=f'{edge_ms / 1e3:.4g}')} {count}"
            )
        labels = _labels(endpoint=endpoint, tier=tier)
        lines.append(f"{name}_bucket{_labels(endpoint=endpoint, tier=tier, le='+Inf')} {histogram.count}")
        lines.append(f"{name}_sum{labels} {_number(histogram.sum_ms / 1e3)}")
        lines.append(f"{name}_count{labels} {histogram.count}")
    return lines


def _labels(**values: str) -> str:
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in values.items()) + "}"


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: int | float | Decimal) -> str:
    return f"{value:f}" if isinstance(value, Decimal) else repr(value)


def _usd(nusd: int) -> Decimal:
    return Decimal(nusd).scaleb(-9)
