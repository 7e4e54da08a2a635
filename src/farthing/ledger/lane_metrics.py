"""Calls by the address and key that they took, second calls beside slow ones, and those that go on with what
broke off, for the metrics."""

from collections.abc import Iterable, Iterator
from decimal import Decimal

from farthing.types import HEDGE_LOST, Attempt, Receipt

Values = Iterable[tuple[dict[str, str], int | float | Decimal]]
SERIES_MAX = 500
OTHER = "other"


class LaneMetrics:
    """Counters by target; who counts says by which name the target may be shown."""

    def __init__(self) -> None:
        self._lanes: dict[tuple[str, str, str], int] = {}
        self._hedges: dict[tuple[str, str], int] = {}
        self._wasted_nusd: dict[str, int] = {}
        self._continued: dict[tuple[str, str], int] = {}

    def called(self, target: str, attempt: Attempt) -> None:
        """Count a call of a target that has several lanes."""
        key = (target, attempt.lane, (attempt.error or "ok").partition(":")[0])
        if key not in self._lanes and len(self._lanes) >= SERIES_MAX:
            key = (OTHER, OTHER, key[2])
        self._lanes[key] = self._lanes.get(key, 0) + 1

    def hedged(self, target: str, receipt: Receipt) -> None:
        """Count the second call of `receipt`, if it has one, and what was wasted by it."""
        if target not in self._wasted_nusd and len(self._wasted_nusd) >= SERIES_MAX:
            target = OTHER
        for attempt in receipt.attempts:
            if attempt.hedge:
                lost = attempt.error == HEDGE_LOST
                result = "won" if attempt.error is None else "lost" if lost else "failed"
                self._hedges[target, result] = self._hedges.get((target, result), 0) + 1
                self._wasted_nusd.setdefault(target, 0)
            if attempt.error == HEDGE_LOST:
                self._wasted_nusd[target] = self._wasted_nusd.get(target, 0) + (attempt.cost_nusd or 0)

    def continued(self, target: str, attempt: Attempt) -> None:
        """Count a call that was to go on with an answer that had broken off."""
        error = attempt.error
        result = "completed" if error is None else "broke" if attempt.ttft_ms is not None else "failed"
        if (target, result) not in self._continued and len(self._continued) >= SERIES_MAX:
            target = OTHER
        self._continued[target, result] = self._continued.get((target, result), 0) + 1

    def families(self) -> Iterator[tuple[str, str, str, Values]]:
        """Name, type, help text and labelled values."""
        yield (
            "farthing_lane_attempts_total",
            "counter",
            "Calls of targets that have several addresses or keys, by which was taken and outcome.",
            [
                ({"target": target, "lane": lane, "outcome": outcome}, count)
                for (target, lane, outcome), count in self._lanes.items()
            ],
        )
        yield (
            "farthing_hedges_total",
            "counter",
            "Second calls beside one that was slow to begin, by whether they began first.",
            [
                ({"target": target, "result": result}, count)
                for (target, result), count in self._hedges.items()
            ],
        )
        yield (
            "farthing_hedge_waste_usd_total",
            "counter",
            "US dollars charged for calls that were dropped because the other began first.",
            [({"target": target}, Decimal(nusd).scaleb(-9)) for target, nusd in self._wasted_nusd.items()],
        )
        yield (
            "farthing_stream_continuations_total",
            "counter",
            "Calls that were to go on with a stream that had broken off, by what came of them.",
            [
                ({"target": target, "result": result}, count)
                for (target, result), count in self._continued.items()
            ],
        )
