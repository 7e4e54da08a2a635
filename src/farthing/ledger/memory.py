"""A ledger in memory, for tests and for runs that need no history. It dies with the process."""

from collections import deque
from collections.abc import Iterator

from farthing.errors import Overloaded
from farthing.ledger.rows import Intent
from farthing.types import Receipt, Signal

ROWS_MAX = 100_000  # about 200 MB of receipts; the oldest are dropped first


class MemoryLedger:
    """Keeps the newest `rows_max` rows, in the order they were written."""

    def __init__(self, *, rows_max: int = ROWS_MAX) -> None:
        self._rows: deque[Intent | Receipt | Signal] = deque(maxlen=rows_max)
        self._closed = False
        self.lost = 0
        """Receipts and signals that came after `aclose`."""

    def admit(self) -> None:
        if self._closed:
            raise Overloaded("the ledger is closed", code="ledger_unavailable")

    def intend(self, receipt: Receipt, target: str) -> None:
        if self._closed:
            raise Overloaded("the ledger is closed", code="ledger_unavailable")
        self._rows.append(
            Intent(
                request_id=receipt.request_id,
                target=target,
                attempt=len(receipt.attempts) + 1,
                at_unix_s=receipt.at_unix_s,
                live=True,
            )
        )

    def record(self, receipt: Receipt) -> None:
        if self._closed:
            self.lost += 1
            return
        self._rows.append(receipt)

    def signal(self, signal: Signal, *, acknowledged: bool = False) -> None:
        if self._closed:
            if acknowledged:
                raise Overloaded("the ledger is closed", code="ledger_unavailable")
            self.lost += 1
            return
        self._rows.append(signal)

    def rows(self) -> Iterator[Intent | Receipt | Signal]:
        """Everything kept, oldest first, in the form of `read.read_all`."""
        return iter(tuple(self._rows))

    async def aclose(self) -> None:
        self._closed = True
