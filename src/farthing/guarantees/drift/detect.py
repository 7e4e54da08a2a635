"""Detects when an endpoint's requests, answers or providers no longer match those a promise was measured on.

A `Reference` records the distribution of the traffic at that time: for each feature, how many requests fell
into each of a few bins. Bins are the most frequent labels or, for numbers, the deciles of that time. New
traffic is collected in blocks, and each block is compared with the reference, feature by feature:

*   significance: a chi-square test of both counts as two samples (Pearson 1900), with small bins merged;
*   effect size: the population stability index, the sum of (now - then) ln(now / then); by convention a value
    under 0.1 is no relevant change.

A feature alarms when chance alone would show this much in at most one of 1/`ALPHA` blocks, over all features
of the endpoint together, and the index is at least `PSI_MIN`. The bound is on the expected number of false
alarms, so it does not need independent blocks. Within a block only the first request of a session counts.
Latencies of neighbouring requests are always correlated, so a latency change must appear in two consecutive
blocks. Latency alarms when it rises, quality when it falls; the other features alarm in either direction.
"""

import logging
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from math import inf, nextafter
from math import log as ln
from typing import Final

from msgspec import Struct

from farthing.stats.exact_tests import chi_square_over
from farthing.types import Receipt, Signal

log = logging.getLogger("farthing.drift")

BLOCK = 500
SIGNAL_BLOCK = 60
"""Judged answers arrive about a hundred times more slowly."""
ALPHA = 0.001
PSI_MIN = 0.1
EXPECTED_MIN = 5.0  # expected requests of a block in a bin; below it the test's approximation fails
BINS = 10
LABELS_MAX = 24
TARGETS_MAX = 6
ENDPOINTS_MAX = 200
OTHER = "(other)"
QUALITY_EDGES = (0.25, 0.5, 0.75, 0.999)

WHAT_TO_DO: Final[Mapping[str, str]] = {
    "task_mix": "the tasks differ from those the routing was measured on: collect new judged samples "
    "(endpoints.X.quality.explore_share) and run `farthing calibrate route` again",
    "language": "the languages changed: check the certificate's segments, and calibrate again with "
    "samples of now",
    "length": "prompt lengths changed: look for a new template, tool or attachment; then calibrate again",
    "difficulty": "requests look harder or easier than before: calibrate again; until then the monitor "
    "decides",
    "score": "the router's scores changed, and its share of cheap traffic with them; fit and calibrate again",
    "latency": "a provider answers slower than before: see `farthing report --by model`; name another target "
    "in the tier, or where a router with scores routes, consider route.prefer",
    "quality": "judged quality fell: read some of the requests with `farthing explain`, roll back with "
    "`farthing policy rollback` if a policy changed, and calibrate again",
}
"""The advice for every alarm."""


class Shape(Struct, frozen=True, kw_only=True):
    """The distribution of one feature."""

    counts: dict[str, int]
    """By label, or by bin number."""
    edges: tuple[float, ...] = ()
    """Upper edges of all bins but the last, for a number; empty: labels."""

    def place(self, value: str | float) -> str:
        """The bin of `value`."""
        if isinstance(value, str):
            return value if value in self.counts else OTHER
        return str(bisect_left(self.edges, value))

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def sound(self) -> bool:
        """Whether values can be compared with it: something was counted, and the bins are numbered
        correctly."""
        bins = {str(place) for place in range(len(self.edges) + 1)}
        return (
            self.total > 0
            and min(self.counts.values()) >= 0
            and list(self.edges) == sorted(self.edges)
            and (not self.edges or self.counts.keys() <= bins)
        )


class Reference(Struct, frozen=True, kw_only=True):
    """The traffic of an endpoint at the time of a measurement."""

    version: int = 1
    endpoint: str
    made_unix_s: float
    since_unix_s: float
    until_unix_s: float
    n: int
    """Requests that count."""
    shapes: dict[str, Shape]
    """By feature; `latency` has one per target, `latency:TARGET`."""


class Compared(Struct, frozen=True, kw_only=True):
    """One feature now, compared with the reference."""

    feature: str
    n: int
    psi: float
    p_value: float
    """Probability of this difference or more if nothing changed."""
    moved: str
    """The bin that changed most, for display: `de 2.0% -> 31.0%`."""
    worse: bool
    """Slower, or of lower quality; always true for features without a better or worse."""


class State(Struct, frozen=True, kw_only=True):
    """The state of one feature of one endpoint."""

    active: bool
    last: Compared | None
    """For the last complete block."""


def name_of(feature: str) -> str:
    """The alarm's name: the feature without its target."""
    return feature.partition(":")[0]


def features(receipt: Receipt) -> Iterator[tuple[str, str | float]]:
    """The features of one client's request."""
    yield "task_mix", receipt.task_type
    yield "language", receipt.language
    yield "difficulty", receipt.complexity
    if receipt.usage is not None:
        yield "length", float(receipt.usage.input_tokens)
    if receipt.route_score is not None and receipt.route_by:
        yield "score", receipt.route_score
    for attempt in receipt.attempts:
        if attempt.error is None and attempt.ttft_ms is not None:
            yield f"latency:{attempt.target}", attempt.ttft_ms


def counts_for_drift(receipt: Receipt) -> bool:
    """Whether this is a client's request that was understood; background jobs and rejected requests do not
    count."""
    return not receipt.purpose and (receipt.status == 200 or receipt.status >= 499)


class Sessions:
    """Passes the first request of every session, in each block of passed requests."""

    def __init__(self, block: int) -> None:
        self._block = block
        self._let = 0
        self._seen: set[tuple[str, str]] = set()

    def new(self, receipt: Receipt) -> bool:
        if self._let >= self._block:
            self._let = 0
            self._seen.clear()
        if self._known(receipt):
            return False
        self._let += 1
        return True

    def _known(self, receipt: Receipt) -> bool:
        session = receipt.session or receipt.user
        if not session:
            return False
        key = (receipt.tenant, session)
        if key in self._seen:
            return True
        self._seen.add(key)
        return False


def compare(feature: str, then: Shape, now: Mapping[str, int]) -> Compared:
    """Compare the current counts, at least one in total, with the reference's."""
    n, n_then = sum(now.values()), then.total
    names = sorted(then.counts.keys() | now.keys())
    kept: list[tuple[str, int, int]] = []
    rest_then = rest_now = 0
    for name in names:
        was, is_now = then.counts.get(name, 0), now.get(name, 0)
        if name != OTHER and (was + is_now) * min(n, n_then) / (n + n_then) >= EXPECTED_MIN:
            kept.append((name, was, is_now))
        else:
            rest_then, rest_now = rest_then + was, rest_now + is_now
    if rest_then + rest_now:
        kept.append((OTHER, rest_then, rest_now))
    statistic = psi = 0.0
    moved, most = "", -1.0
    for name, was, is_now in kept:
        both = was + is_now
        for count, of in ((was, n_then), (is_now, n)):
            expected = both * of / (n + n_then)
            statistic += (count - expected) ** 2 / expected
        share_then, share_now = (was + 0.5) / (n_then + 0.5), (is_now + 0.5) / (n + 0.5)
        term = (share_now - share_then) * ln(share_now / share_then)
        psi += term
        if term > most:
            most, moved = term, f"{_bin_name(then, name)} {was / max(1, n_then):.1%} -> {is_now / n:.1%}"
    p_value = chi_square_over(statistic, len(kept) - 1) if len(kept) > 1 else 1.0
    return Compared(
        feature=feature, n=n, psi=psi, p_value=p_value, moved=moved, worse=_worse(feature, then, now)
    )


def _bin_name(shape: Shape, name: str) -> str:
    if not shape.edges or name == OTHER:
        return name
    place = int(name)
    if place == 0:
        return f"up to {shape.edges[0]:g}"
    if place == len(shape.edges):
        return f"over {shape.edges[-1]:g}"
    return f"{shape.edges[place - 1]:g} to {shape.edges[place]:g}"


def _worse(feature: str, then: Shape, now: Mapping[str, int]) -> bool:
    name = name_of(feature)
    if name not in ("latency", "quality") or not then.edges:
        return True

    def mean_bin(counts: Mapping[str, int]) -> float:
        return sum(int(place) * count for place, count in counts.items()) / max(1, sum(counts.values()))

    rises = mean_bin(now) > mean_bin(then.counts)
    return rises if name == "latency" else not rises


class _Feature:
    """One feature of one endpoint, block by block."""

    __slots__ = ("active", "counts", "gathered", "last", "over", "shape")

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.counts: dict[str, int] = {}
        self.gathered = 0
        self.last: Compared | None = None
        self.active = False
        self.over = 0

    def add(self, value: str | float) -> None:
        place = self.shape.place(value)
        self.counts[place] = self.counts.get(place, 0) + 1
        self.gathered += 1

    def close(self, feature: str, alpha: float) -> bool:
        """End the block; True if it starts an alarm."""
        found = self.last = compare(feature, self.shape, self.counts)
        self.counts, self.gathered = {}, 0
        self.over = self.over + 1 if found.worse and found.p_value <= alpha and found.psi >= PSI_MIN else 0
        before, self.active = self.active, self.over >= (2 if name_of(feature) == "latency" else 1)
        return self.active and not before


class EndpointDrift:
    """Compares one endpoint's features with its reference."""

    def __init__(self, reference: Reference, *, block: int = BLOCK) -> None:
        self.reference = reference
        self._features = {name: _Feature(shape) for name, shape in reference.shapes.items()}
        self._sessions = Sessions(block)
        self._block = block
        self._alpha = ALPHA / max(1, len(self._features))

    def observe(self, receipt: Receipt) -> list[Compared]:
        """Take one request; returns the alarms that it starts."""
        if not self._sessions.new(receipt):
            return []
        return [one for name, value in features(receipt) if (one := self._add(name, value, self._block))]

    def learn(self, quality: float) -> list[Compared]:
        """Take the judged quality of one answer; returns the alarms that it starts."""
        begun = self._add("quality", quality, min(self._block, SIGNAL_BLOCK))
        return [] if begun is None else [begun]

    def _add(self, name: str, value: str | float, block: int) -> Compared | None:
        feature = self._features.get(name)
        if feature is None:
            return None
        feature.add(value)
        if feature.gathered < block:
            return None
        return feature.last if feature.close(name, self._alpha) else None

    def states(self) -> dict[str, State]:
        """By feature."""
        return {name: State(active=one.active, last=one.last) for name, one in self._features.items()}


class DriftMonitor:
    """Watches every endpoint that has a reference. Runs on the event loop; nothing here waits."""

    def __init__(self, *, block: int = BLOCK) -> None:
        self.watches = False
        """Whether there is any reference."""
        self._block = block
        self._endpoints: dict[str, EndpointDrift] = {}

    def follow(self, references: Iterable[Reference]) -> None:
        """Watch these references; one already watched continues unless it changed."""
        watched: dict[str, EndpointDrift] = {}
        for reference in references:
            known = self._endpoints.get(reference.endpoint)
            if known is None or known.reference != reference:
                known = EndpointDrift(reference, block=self._block)
            if len(watched) < ENDPOINTS_MAX:
                watched[reference.endpoint] = known
        self._endpoints = watched
        self.watches = bool(watched)

    def observe(self, receipt: Receipt) -> list[Compared]:
        """Take one receipt of any endpoint; returns the alarms that it starts."""
        watched = self._endpoints.get(receipt.endpoint)
        if watched is None or not counts_for_drift(receipt):
            return []
        return _logged(receipt.endpoint, watched.observe(receipt))

    def learn(self, signal: Signal) -> list[Compared]:
        """Take a judge's verdict on an answer that a client received or could have received."""
        watched = self._endpoints.get(signal.endpoint)
        if watched is None or signal.source != "judge" or signal.quality is None or signal.kind != "rubric":
            return []
        return _logged(signal.endpoint, watched.learn(signal.quality))

    def families(self) -> Iterator[tuple[str, str, str, Iterable[tuple[dict[str, str], float]]]]:
        """Name, type, help text and labelled values, for the metrics."""
        states = [
            ({"endpoint": endpoint, "feature": feature}, state)
            for endpoint, features_of_it in self.states().items()
            for feature, state in features_of_it.items()
        ]
        yield (
            "farthing_drift_alarm",
            "gauge",
            "1 while a feature of the traffic differs from when the endpoint's promise was measured.",
            [(labels, int(state.active)) for labels, state in states],
        )
        yield (
            "farthing_drift_psi",
            "gauge",
            "Population stability index of the last complete block against the reference.",
            [(labels, state.last.psi) for labels, state in states if state.last is not None],
        )

    def states(self) -> dict[str, dict[str, State]]:
        """By endpoint and feature."""
        return {name: watched.states() for name, watched in self._endpoints.items()}


def _logged(endpoint: str, begun: list[Compared]) -> list[Compared]:
    """Log alarms that start."""
    for one in begun:
        what = WHAT_TO_DO[name_of(one.feature)]
        log.warning("%r drifts in %s (PSI %.2f, %s): %s", endpoint, one.feature, one.psi, one.moved, what)
    return begun


# -- the reference ----------------------------------------------------------------------------------


class Gathering:
    """Builds a reference from receipts and signals in their order; at most `values_max` values per
    feature."""

    def __init__(self, endpoint: str, *, block: int = BLOCK, values_max: int = 50_000) -> None:
        self._endpoint = endpoint
        self._block = block
        self._values_max = values_max
        self._values: dict[str, list[str | float]] = {}
        self._sessions = Sessions(block)
        self._n = 0
        self._first_unix_s = self._last_unix_s = 0.0

    def add(self, row: Receipt | Signal) -> None:
        """Take a row; rows of other endpoints are ignored."""
        if row.endpoint != self._endpoint:
            return
        if isinstance(row, Signal):
            if row.source == "judge" and row.kind == "rubric" and row.quality is not None:
                self._put("quality", row.quality)
            return
        if not counts_for_drift(row):
            return
        if not self._sessions.new(row):
            return
        self._first_unix_s = self._first_unix_s or row.at_unix_s
        self._last_unix_s = max(self._last_unix_s, row.at_unix_s)
        self._n += 1
        for name, value in features(row):
            self._put(name, value)

    def _put(self, name: str, value: str | float) -> None:
        values = self._values.setdefault(name, [])
        if len(values) < self._values_max:
            values.append(value)

    @property
    def n(self) -> int:
        """Requests that count, one for each session in a while."""
        return self._n

    def reference(self, now_unix_s: float) -> Reference | None:
        """The reference; None with fewer than two blocks of requests, which are too few."""
        if self._n < 2 * self._block:
            return None
        slow = sorted(
            (name for name in self._values if name.startswith("latency:")),
            key=lambda n: -len(self._values[n]),
        )
        dropped = set(slow[TARGETS_MAX:])
        shapes = {}
        for name, values in self._values.items():
            least = 2 * min(self._block, SIGNAL_BLOCK) if name == "quality" else 2 * self._block
            if name not in dropped and len(values) >= least:
                shapes[name] = _shape(name, values)
        return Reference(
            endpoint=self._endpoint,
            made_unix_s=now_unix_s,
            since_unix_s=self._first_unix_s,
            until_unix_s=self._last_unix_s,
            n=self._n,
            shapes=shapes,
        )

    def compared(self, reference: Reference) -> list[Compared]:
        """What was gathered, compared with `reference` feature by feature."""
        found = []
        for name, shape in reference.shapes.items():
            counts: dict[str, int] = {}
            for value in self._values.get(name, ()):
                place = shape.place(value)
                counts[place] = counts.get(place, 0) + 1
            if counts:
                found.append(compare(name, shape, counts))
        return found


def _shape(name: str, values: list[str | float]) -> Shape:
    edges: tuple[float, ...] = ()
    numbers = sorted(value for value in values if not isinstance(value, str))
    if name == "quality":
        edges = QUALITY_EDGES
    elif numbers:
        cuts = (numbers[len(numbers) * tenth // BINS] for tenth in range(1, BINS))
        edges = tuple(dict.fromkeys(cut for cut in cuts if cut < numbers[-1]))
        if not edges:  # nearly all values are equal: one bin for that value, one below and one above
            edges = (nextafter(numbers[-1], -inf), numbers[-1])
    counts: dict[str, int] = {}
    if edges or numbers:
        empty = Shape(counts={}, edges=edges)
        for value in numbers:
            counts[empty.place(value)] = counts.get(empty.place(value), 0) + 1
        return Shape(counts=counts, edges=edges)
    for label in values:
        counts[str(label)] = counts.get(str(label), 0) + 1
    common = sorted(counts, key=lambda label: -counts[label])
    kept = {label: counts[label] for label in common[:LABELS_MAX]}
    rest = sum(counts[label] for label in common[LABELS_MAX:])
    return Shape(counts={**kept, OTHER: rest} if rest else kept)
