"""The gateway's own requests, and their money."""

import asyncio
from collections.abc import Callable
from typing import Literal, Protocol

from msgspec import Struct

from farthing.types import (
    Receipt,
    Request,
)

Purpose = Literal["judge", "precompute", "refresh", "explore", "route"]


class Allowance(Struct, frozen=True):
    """Money that was handed out, until it is given back."""

    id: str
    """Unique among all processes that share the budget."""
    nusd: int


class Budget(Protocol):  # jobs: budget | daily_budget
    """Money for internal requests. Strict: what is handed out is never more than what is left."""

    async def take(self, share: int) -> Allowance:
        """Hand out one part of `share` of what is left; `give_back` must follow.

        Raises:
            BudgetExhausted: nothing is left, or nobody can say what is.
        """

    async def hold(self, allowance: Allowance) -> None:
        """Hand out `allowance`, whatever is left, for work under way; `give_back` must follow.
        Does not raise."""

    async def give_back(self, allowance: Allowance, cost_nusd: int | None) -> None:
        """Settle what was handed out. A cost nobody knows counts as all of it. Does not raise."""

    async def left_nusd(self) -> int:
        """The amount neither spent nor handed out; 0 where nobody can say. Does not raise."""


class InternalRequest(Struct, frozen=True, kw_only=True):
    """One request of the gateway's own, such as a question to a judge."""

    purpose: Purpose
    about: str
    """The request or entry it is for."""
    request: Callable[[str], Request]
    """Id -> what to ask, under the configuration of now; not streamed.

    Raises:
        FarthingError: it can no longer be asked (its endpoint is gone).
    """
    budget: Budget
    conclude: Callable[[str | None, Receipt], None]
    """Called once with the text of the answer, None when there is none, and the receipt before it is
    written. Must not raise and must not wait. Not called for what is dropped at the end of the process."""
    heard: Callable[[bytes], None] | None = None
    """Called before it with the whole answer as it came, where there is one. It must not raise either."""
    shares: int | None = None
    """It may spend one part in so many of what its budget has left; None: one in `jobs.at_once`."""


class InternalRequests(Protocol):  # jobs: runner
    """Runs internal requests: they take the journey of a client's request and leave a receipt each."""

    @property
    def daily(self) -> Budget:
        """For what has no budget of its own: judging, refreshing, confirming."""

    def submit(self, request: InternalRequest) -> bool:
        """Queue it behind the requests of clients; False: there is no room, it will not run."""

    def begin(self, request: InternalRequest) -> "asyncio.Task[None]":
        """Run it now, as somebody waits for it. The task does not raise for what a provider does."""
