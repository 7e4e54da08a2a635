"""What second calls beside slow ones gave, and what they cost."""

from msgspec import Struct

from farthing.insight.render.money import usd
from farthing.insight.render.rows import counted
from farthing.types import HEDGE_LOST, Receipt


class Hedges(Struct, kw_only=True):
    """Second calls, and the calls of either kind that were dropped because the other began first."""

    calls: int = 0
    won: int = 0
    """Of `calls`, those that began to answer first."""
    wasted_nusd: int = 0
    """What the dropped calls cost, where that is known."""
    unpriced: int = 0
    """Dropped calls of unknown cost."""

    def add(self, receipt: Receipt) -> None:
        for attempt in receipt.attempts:
            if attempt.hedge:
                self.calls += 1
                self.won += attempt.error is None
            if attempt.error == HEDGE_LOST:
                self.wasted_nusd += attempt.cost_nusd or 0
                self.unpriced += attempt.cost_nusd is None


def told(hedges: Hedges) -> str:
    """One line of the report."""
    unknown = f", and {counted(hedges.unpriced, 'call')} of unknown cost" if hedges.unpriced else ""
    return (
        f"hedged: {counted(hedges.calls, 'second call')} beside slow ones, {hedges.won:,} of them began "
        f"first; the calls that were dropped for it cost {usd(hedges.wasted_nusd)}{unknown}"
    )
