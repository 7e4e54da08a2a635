"""Durations counted in logarithmic buckets: any quantile within 2.5 %, in fixed memory, and mergeable."""

from bisect import bisect_left
from collections.abc import Sequence

GAMMA = 1.05  # each bucket ends 5 % above the one before; its middle is at most 2.5 % from any value in it
FLOOR_MS = 0.01  # faster values count as this
BUCKETS = 380  # 10 us times 1.05**379 is about 1,070 s; slower values count as that
EDGE_STEP = 14  # 1.05**14 is 1.98: a published bound for about every doubling

_ENDS_MS = [FLOOR_MS * GAMMA**index for index in range(BUCKETS - 1)]  # for all but the last, which has no end


class LogHistogram:
    """Counts of milliseconds: `counts[i]` has values up to `FLOOR_MS * GAMMA**i` and above the previous
    bound."""

    __slots__ = ("counts", "sum_ms")

    def __init__(self) -> None:
        self.counts = [0] * BUCKETS
        self.sum_ms = 0.0

    @property
    def count(self) -> int:
        return sum(self.counts)

    def add(self, value_ms: float) -> None:
        self.sum_ms += value_ms
        self.counts[bisect_left(_ENDS_MS, value_ms)] += 1

    def merge(self, other: "LogHistogram") -> None:
        self.counts = [mine + its for mine, its in zip(self.counts, other.counts, strict=True)]
        self.sum_ms += other.sum_ms

    def quantile_ms(self, share: float) -> float | None:
        """The value that `share` (0..1) of all values do not exceed; None without any."""
        count = self.count
        if not count:
            return None
        rank = max(1, round(share * count))
        below = 0
        for index, held in enumerate(self.counts):
            below += held
            if below >= rank:
                return FLOOR_MS * GAMMA ** (index - 0.5) if index else FLOOR_MS
        raise AssertionError("the buckets hold fewer values than were counted")

    def cumulative(self) -> Sequence[tuple[float, int]]:
        """Upper bounds in milliseconds, one per doubling, and how many values are at or below each."""
        edges = []
        below = 0
        for index, count in enumerate(self.counts):
            below += count
            if index % EDGE_STEP == 0:
                edges.append((FLOOR_MS * GAMMA**index, below))
        return edges
