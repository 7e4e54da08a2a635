"""Never blocks the loop, never loses an acknowledged row."""

from typing import Protocol

from farthing.types import (
    Receipt,
    Signal,
)


class Ledger(Protocol):  # ledger: segments | memory
    def admit(self) -> None:
        """Ask, before anything is done for a request, whether its receipt will have room.

        Raises:
            Overloaded: it will not, and what cannot be written is not to be answered.
        """

    def intend(self, receipt: Receipt, target: str) -> None:
        """Make it known, before an upstream call, that it is about to be made.

        Survives the death of the process when it returns.

        Raises:
            Overloaded: the ledger has no room; the call must not be made.
        """

    def record(self, receipt: Receipt) -> None:
        """Write the one final row of a request, before its answer is acknowledged.

        Survives the death of the process when it returns. Where there is no room it waits in memory or is
        lost, both counted where a kill does not reach, if that is what the configuration wants.

        Raises:
            Overloaded: there is no room, and what cannot be written is not to be answered. Only for a
                request that was answered, of a client.
        """

    def signal(self, signal: Signal, *, acknowledged: bool = False) -> None:
        """Write one thing learned about an answer. As safe as a receipt once it returns, and where there is
        no room it waits or is lost, and is counted, as one.

        Raises:
            Overloaded: there is no room, and somebody is to be told that it is written (`acknowledged`).
        """

    async def aclose(self) -> None:
        """Make everything durable, then release. Safe to call twice."""
