"""What a request may spend. Fails closed."""

from typing import Protocol

from farthing.types import (
    Prompt,
    Request,
)


class Hold(Protocol):
    """What one request may still use. Settled exactly once; settling again does nothing."""

    def call(self, worst_case_nusd: int | None) -> None:
        """Count one LLM call and hold its worst case, before it is made.

        Raises:
            ContractExceeded: `calls_max`, `usd_max` or the deadline would be passed.
        """

    def release(self, worst_case_nusd: int | None, cost_nusd: int | None) -> None:
        """A call that held so much is over, and cost so much: the rest is free at once. None on either side
        leaves it held until the request is settled."""

    @property
    def left_s(self) -> float | None:
        """Seconds to the deadline; None without one. Zero or less: passed."""

    @property
    def left_nusd(self) -> int | None:
        """Nano-dollars a further call may hold; None without a limit."""

    @property
    def left_calls(self) -> int | None:
        """Calls that may still be made; None without a limit."""

    def settle(self, cost_nusd: int | None) -> None:
        """Replace everything held by what the whole request spent, released calls included; None keeps the
        held worst case as spent."""


class Contract(Protocol):  # brain/contract: memory
    def reserve(self, request: Request, prompt: Prompt) -> Hold:
        """Check `request` against the terms of its endpoint and session, and open a hold.

        Raises:
            ContractExceeded: a limit is reached before anything was spent.
        """
