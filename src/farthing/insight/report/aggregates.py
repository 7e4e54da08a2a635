"""The sums behind the report: one object per row, updated receipt by receipt.

Memory does not grow with the number of receipts: single durations are kept only while there are few.
"""

from array import array
from fractions import Fraction
from math import sqrt

import msgspec

from farthing.stats.histogram import LogHistogram
from farthing.types import Receipt, saved_nusd

EXACT_MAX = 100_000  # values up to which quantiles are exact; beyond, log buckets (2.5 %)
BASELINES_MAX = 5  # without a price, listed by name
FEW = 100  # requests below which a row is marked: its P99 is a single request
Z95 = 1.959964
SCALES = (1_000, 100_000, 1_000_000)
ALL = "all"
HITS = frozenset({"exact", "semantic", "coalesced"})


class Quantiles(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds; None if nothing was measured."""

    count: int
    average: float | None
    p50: float | None
    p90: float | None
    p99: float | None
    max: float | None
    exact: bool
    """False: from log buckets, within 2.5 %."""


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """Requests of one endpoint that ended in one tier; `all` is the total over endpoints or tiers."""

    endpoint: str
    tier: str
    requests: int
    share: float
    """Share of its endpoint's requests."""
    few: bool
    """Fewer than `FEW` requests: the quantiles are unreliable."""
    errors: int
    """Responses with a status of 400 or more; clients that left (499) are counted separately."""
    client_gone: int
    unpriced: int
    """Requests of unknown cost; not part of any sum of money."""
    cost_nusd: int | None
    """Total of the priced requests, a lower bound for all. None if some are unpriced and the others cost
    nothing: then 0 would be misleading."""
    cost_per_1k_nusd: int | None
    """Per 1,000 priced requests, to the nano-dollar; None if none was priced, or if `cost_nusd` is None."""
    latency: Quantiles
    ttft: Quantiles
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    """Of the input, read from providers' prompt caches."""
    cache_write_tokens: int
    """Of the input, written to them."""
    tokens_unknown: int
    """Requests without any usage although a call was made."""
    calls: int
    calls_per_request: float
    hits: int
    hit_rate: float
    would_hit: int
    """Requests that the cache would have answered if it did not only observe."""
    target_s: float | None
    within_target: float | None
    """Share of requests that took at most `target_s`; None without a target."""


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """The sources of a saving. Each request belongs to exactly one, so they add up to the total."""

    cache_nusd: int
    """Answered from the cache, or by a call that an identical request was already making."""
    no_llm_nusd: int
    """Answered without any LLM: the tier `none`."""
    routing_nusd: int
    """Everything else: the difference between the called targets and the baseline. Negative if repairs,
    retries and escalations cost more than the cheaper targets saved."""
    jobs_nusd: int = 0
    """Cost of the gateway's background jobs, so zero or less: judging, exploring, routing advice, cache
    warming, refreshing."""


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """The saving per that many requests like these, with its 95 % interval."""

    requests: int
    saved_nusd: int
    low_nusd: int
    high_nusd: int


class Savings(msgspec.Struct, frozen=True, kw_only=True):
    """Cost against the declared baseline, signed and net, over requests where both are known."""

    requests: int
    not_comparable: int
    """Requests of unknown cost or baseline; not part of any sum here."""
    nothing_called: int
    """Of these, requests that ended in an error before any call."""
    baseline_targets: list[str]
    baseline_nusd: int
    cost_nusd: int
    saved_nusd: int
    saved_share: float | None
    """Share of the baseline; None if that is zero."""
    parts: Parts
    per: list[Interval]
    method: str
    few: bool
    jobs: int = 0
    """Background jobs; not counted as requests."""
    jobs_unpriced: int = 0
    """Background jobs of unknown cost; not part of any sum here."""
    baselines_unpriced: list[str] = []
    """Baselines without a price for what requests used, whose requests are therefore not comparable; at most
    `BASELINES_MAX`."""


def failed(receipt: Receipt) -> bool:
    """Whether the client got an error. A client that left (499) did not wait for its answer."""
    return receipt.status != 499 and (receipt.status >= 400 or receipt.error is not None)


# -- sums -------------------------------------------------------------------------------------------


class _Durations:
    """Exact while there are few, in log buckets beyond `exact_max`."""

    def __init__(self, exact_max: int) -> None:
        self._exact_max = exact_max
        self._values = array("d")
        self._buckets: LogHistogram | None = None
        self._count = 0
        self._sum_ms = 0.0
        self._max_ms = 0.0

    def add(self, value_ms: float) -> None:
        self._count += 1
        self._sum_ms += value_ms
        if value_ms > self._max_ms:
            self._max_ms = value_ms
        if self._buckets is not None:
            self._buckets.add(value_ms)
            return
        self._values.append(value_ms)
        if len(self._values) >= self._exact_max:
            self._to_buckets()

    def merge(self, other: "_Durations") -> None:
        self._count += other._count
        self._sum_ms += other._sum_ms
        self._max_ms = max(self._max_ms, other._max_ms)
        self._values.extend(other._values)
        if other._buckets is not None or len(self._values) >= self._exact_max or self._buckets is not None:
            buckets = self._to_buckets()
            if other._buckets is not None:
                buckets.merge(other._buckets)

    def _to_buckets(self) -> LogHistogram:
        self._buckets = self._buckets or LogHistogram()
        for value_ms in self._values:
            self._buckets.add(value_ms)
        self._values = array("d")
        return self._buckets

    def quantiles(self) -> Quantiles:
        if not self._count:
            return Quantiles(count=0, average=None, p50=None, p90=None, p99=None, max=None, exact=True)
        if self._buckets is None:
            ordered = sorted(self._values)
            p50, p90, p99 = (ordered[_rank(share, len(ordered)) - 1] for share in (50, 90, 99))
        else:
            found = [self._buckets.quantile_ms(share / 100) for share in (50, 90, 99)]
            p50, p90, p99 = (min(value or 0.0, self._max_ms) for value in found)
        return Quantiles(
            count=self._count,
            average=self._sum_ms / self._count,
            p50=p50,
            p90=p90,
            p99=p99,
            max=self._max_ms,
            exact=self._buckets is None,
        )


def _rank(percent: int, count: int) -> int:
    """Nearest rank: the smallest count that covers at least `percent` of the values."""
    return max(1, -(-percent * count // 100))


class Sums:
    """Requests of one row of the report."""

    def __init__(self, target_s: float | None, exact_max: int | None = None) -> None:
        """`exact_max` is the number of durations up to which quantiles are exact; None: `EXACT_MAX`."""
        self.target_s = target_s
        self.requests = self.errors = self.client_gone = self.unpriced = 0
        self.cached_tokens = self.cache_write_tokens = 0
        self.cost_nusd = self.input_tokens = self.output_tokens = self.tokens_unknown = 0
        self.calls = self.hits = self.would_hit = self.within = 0
        self.latency = _Durations(exact_max or EXACT_MAX)
        self.ttft = _Durations(exact_max or EXACT_MAX)

    def add(self, receipt: Receipt) -> None:
        self.requests += 1
        if receipt.status == 499:
            self.client_gone += 1
        elif failed(receipt):
            self.errors += 1
        if receipt.cost_nusd is None:
            self.unpriced += 1
        else:
            self.cost_nusd += receipt.cost_nusd
        usage = receipt.usage
        if usage is not None:
            self.input_tokens += usage.input_tokens
            self.output_tokens += usage.output_tokens
            if receipt.cache not in HITS:
                self.cached_tokens += usage.cached_tokens
                self.cache_write_tokens += (
                    usage.cache_write_5m_tokens
                    + usage.cache_write_30m_tokens
                    + usage.cache_write_1h_tokens
                    + usage.cache_write_12h_tokens
                )
        elif receipt.calls:
            self.tokens_unknown += 1
        self.calls += receipt.calls
        self.hits += receipt.cache in HITS
        self.would_hit += receipt.cache_would_hit
        self.within += self.target_s is not None and receipt.total_ms <= self.target_s * 1e3
        self.latency.add(receipt.total_ms)
        if receipt.ttft_ms is not None:
            self.ttft.add(receipt.ttft_ms)

    def merge(self, other: "Sums") -> None:
        for name in _SUMMED:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.latency.merge(other.latency)
        self.ttft.merge(other.ttft)

    def cell(self, endpoint: str, tier: str, of_requests: int) -> Cell:
        requests = self.requests
        cost_nusd = None if self.unpriced and not self.cost_nusd else self.cost_nusd
        return Cell(
            endpoint=endpoint,
            tier=tier,
            requests=requests,
            share=_share(requests, of_requests),
            few=requests < FEW,
            errors=self.errors,
            client_gone=self.client_gone,
            unpriced=self.unpriced,
            cost_nusd=cost_nusd,
            cost_per_1k_nusd=None if cost_nusd is None else _per(cost_nusd, requests - self.unpriced, 1_000),
            latency=self.latency.quantiles(),
            ttft=self.ttft.quantiles(),
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            cached_tokens=self.cached_tokens,
            cache_write_tokens=self.cache_write_tokens,
            tokens_unknown=self.tokens_unknown,
            calls=self.calls,
            calls_per_request=_share(self.calls, requests),
            hits=self.hits,
            hit_rate=_share(self.hits, requests),
            would_hit=self.would_hit,
            target_s=self.target_s,
            within_target=None if self.target_s is None else _share(self.within, requests),
        )


_SUMMED = (
    "requests",
    "errors",
    "client_gone",
    "unpriced",
    "cost_nusd",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "tokens_unknown",
    "calls",
    "hits",
    "would_hit",
    "within",
)


class SavingSums:
    """The saving against the baseline, where both are known."""

    def __init__(self) -> None:
        self.requests = self.not_comparable = self.nothing_called = 0
        self.baseline_nusd = self.cost_nusd = 0
        self.saved_nusd = self.squares = 0
        self.cache_nusd = self.no_llm_nusd = self.routing_nusd = 0
        self.targets: set[str] = set()
        self.unpriced: set[str] = set()
        """Baselines of unknown cost, whose requests are not comparable."""
        self.jobs = self.jobs_unpriced = self.jobs_nusd = 0

    def add(self, receipt: Receipt) -> None:
        saved = saved_nusd(receipt)
        if saved is None or receipt.baseline_nusd is None or receipt.cost_nusd is None:
            self.not_comparable += 1
            self.nothing_called += failed(receipt) and not receipt.calls
            unpriced = receipt.usage is not None and receipt.baseline_nusd is None and receipt.baseline_target
            if unpriced and len(self.unpriced) < BASELINES_MAX:
                self.unpriced.add(unpriced)
            return
        self.requests += 1
        self.baseline_nusd += receipt.baseline_nusd
        self.cost_nusd += receipt.cost_nusd
        self.saved_nusd += saved
        self.squares += saved * saved
        if receipt.baseline_target:
            self.targets.add(receipt.baseline_target)
        if receipt.cache in HITS:
            self.cache_nusd += saved
        elif receipt.tier == "none":
            self.no_llm_nusd += saved
        else:
            self.routing_nusd += saved

    def add_job(self, receipt: Receipt) -> None:
        """Background jobs of the gateway reduce the saving."""
        self.jobs += 1
        if receipt.cost_nusd is None:
            self.jobs_unpriced += 1
        else:
            self.jobs_nusd += receipt.cost_nusd

    def savings(self) -> Savings:
        saved = self.saved_nusd - self.jobs_nusd
        return Savings(
            requests=self.requests,
            not_comparable=self.not_comparable,
            nothing_called=self.nothing_called,
            baseline_targets=sorted(self.targets),
            baselines_unpriced=sorted(self.unpriced),
            baseline_nusd=self.baseline_nusd,
            cost_nusd=self.cost_nusd + self.jobs_nusd,
            saved_nusd=saved,
            saved_share=saved / self.baseline_nusd if self.baseline_nusd else None,
            parts=Parts(
                cache_nusd=self.cache_nusd,
                no_llm_nusd=self.no_llm_nusd,
                routing_nusd=self.routing_nusd,
                jobs_nusd=-self.jobs_nusd,
            ),
            per=[self._per(scale) for scale in SCALES] if self.requests > 1 else [],
            method="normal approximation over the savings of single requests, 95 %",
            few=self.requests < FEW,
            jobs=self.jobs,
            jobs_unpriced=self.jobs_unpriced,
        )

    def _per(self, scale: int) -> Interval:
        """Mean saving per request, minus its share of the background jobs, times `scale`; the interval is the
        mean's."""
        count = self.requests
        variance = Fraction(self.squares * count - self.saved_nusd**2, count * (count - 1))
        mean = Fraction(self.saved_nusd - self.jobs_nusd, count)
        margin = round(Z95 * sqrt(variance / count) * scale)
        return Interval(
            requests=scale,
            saved_nusd=round(mean * scale),
            low_nusd=round(mean * scale) - margin,
            high_nusd=round(mean * scale) + margin,
        )


def _per(total_nusd: int, count: int, scale: int) -> int | None:
    return round(Fraction(total_nusd * scale, count)) if count else None


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
