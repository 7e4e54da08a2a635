"""What Farthing's own marks for prompt caches saved, net of what their writes cost."""

from fractions import Fraction
from math import sqrt

import msgspec

from farthing.insight.render.money import usd
from farthing.insight.render.rows import counted
from farthing.insight.report.aggregates import FEW, Z95, Interval
from farthing.types import Receipt

SCALE = 1_000


class MarkSavings(msgspec.Struct, frozen=True, kw_only=True):
    """Calls whose client marked nothing, and that went up with marks of ours: without them nothing would have
    been read or written."""

    calls: int = 0
    """Of known saving."""
    unknown: int = 0
    saved_nusd: int = 0
    """What the calls would have cost without marks, less what they cost: signed, with the cost of writes."""
    written_nusd: int = 0
    """What writes cost more than plain input; it is in `saved_nusd`."""
    per: list[Interval] = []
    few: bool = True


class MarkSums:
    def __init__(self) -> None:
        self._calls = self._unknown = self._saved_nusd = self._squares = self._written_nusd = 0

    def add(self, receipt: Receipt) -> None:
        for attempt in receipt.attempts:
            use = attempt.prompt_cache
            if use is None or not use.marked:
                continue
            if use.saved_nusd is None or use.written_nusd is None:
                self._unknown += 1
                continue
            self._calls += 1
            self._saved_nusd += use.saved_nusd
            self._squares += use.saved_nusd**2
            self._written_nusd += use.written_nusd

    def savings(self) -> MarkSavings:
        return MarkSavings(
            calls=self._calls,
            unknown=self._unknown,
            saved_nusd=self._saved_nusd,
            written_nusd=self._written_nusd,
            per=[self._per()] if self._calls > 1 else [],
            few=self._calls < FEW,
        )

    def _per(self) -> Interval:
        """Mean saving of a call, times `SCALE`."""
        count = self._calls
        variance = Fraction(self._squares * count - self._saved_nusd**2, count * (count - 1))
        mean = round(Fraction(self._saved_nusd * SCALE, count))
        margin = round(Z95 * sqrt(variance / count) * SCALE)
        return Interval(requests=SCALE, saved_nusd=mean, low_nusd=mean - margin, high_nusd=mean + margin)


def told(marks: MarkSavings) -> str:
    """One line of the report."""
    unknown = f"; {counted(marks.unknown, 'call')} of unknown saving" if marks.unknown else ""
    if not marks.calls:
        return f"marks of ours for prompt caches: what they saved is unknown{unknown}"
    verb = "saved" if marks.saved_nusd >= 0 else "cost"
    per = ""
    for one in marks.per:
        caution = f", fewer than {FEW} calls: not reliable" if marks.few else ""
        per = (
            f", per {one.requests:,} calls {usd(one.saved_nusd, places=4)} (95 %: "
            f"{usd(one.low_nusd, places=4)} to {usd(one.high_nusd, places=4)}{caution})"
        )
    return (
        f"marks of ours for prompt caches {verb} {usd(abs(marks.saved_nusd))} net in "
        f"{counted(marks.calls, 'call')}{per}; their writes, which are in it, cost {usd(marks.written_nusd)}"
        f"{unknown}; not in the saving above, whose baseline is counted with the same cache"
    )
