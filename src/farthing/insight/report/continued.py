"""What calls that went on with a broken stream gave, and what they cost."""

from msgspec import Struct

from farthing.insight.render.money import usd
from farthing.insight.render.rows import counted
from farthing.types import Receipt


class Continued(Struct, kw_only=True):
    """Calls that were asked to go on with an answer that broke off."""

    calls: int = 0
    ended: int = 0
    """Of `calls`, those that brought their answer to its end."""
    requests: int = 0
    cost_nusd: int = 0
    """What they cost, where that is known."""
    unpriced: int = 0
    """Calls of unknown cost."""

    def add(self, receipt: Receipt) -> None:
        before = self.calls
        for attempt in receipt.attempts:
            if attempt.continues:
                self.calls += 1
                self.ended += attempt.error is None
                self.cost_nusd += attempt.cost_nusd or 0
                self.unpriced += attempt.cost_nusd is None
        self.requests += self.calls > before


def told(continued: Continued) -> str:
    """One line of the report."""
    unknown = f", and {counted(continued.unpriced, 'call')} of unknown cost" if continued.unpriced else ""
    return (
        f"broken streams: {counted(continued.calls, 'call')} went on with the answers of "
        f"{counted(continued.requests, 'request')}, {continued.ended:,} of them to the end; they cost "
        f"{usd(continued.cost_nusd)}{unknown}"
    )
