"""Queues questions to a judge as background jobs, paid from the daily budget."""

from collections.abc import Callable

from farthing.protocols import InternalRequest, InternalRequests
from farthing.text.judge_prompt import Call, asking
from farthing.types import Endpoint, Receipt, Tenant


class JudgeQueue:
    """The judges of one configuration share the background jobs, the endpoints and the clock."""

    def __init__(
        self,
        jobs: InternalRequests,
        *,
        endpoint: Callable[[str], Endpoint | None],
        clock: Callable[[], float],
    ) -> None:
        """`endpoint` gives the endpoint of a name, or None if it is gone; `clock` gives monotonic seconds."""
        self._jobs = jobs
        self._endpoint = endpoint
        self._clock = clock

    def submit(
        self,
        call: Call,
        *,
        about: str,
        tenant: Tenant,
        endpoint: str,
        judge: str,
        conclude: Callable[[str | None, Receipt], None],
    ) -> bool:
        """Ask the target `judge`; `about` is the id of the client's request. False: the queue is full."""
        return self._jobs.submit(
            InternalRequest(
                purpose="judge",
                about=about,
                request=asking(
                    call,
                    tenant=tenant,
                    name=endpoint,
                    endpoint=self._endpoint,
                    target=judge,
                    clock=self._clock,
                ),
                budget=self._jobs.daily,
                conclude=conclude,
            )
        )


def note_no_verdict(receipt: Receipt, reply: str | None) -> None:
    """Record in a judge's receipt that its reply decided nothing. The untrusted reply is left out."""
    if reply is not None:
        receipt.error = "no_verdict"
        receipt.error_message = f"{len(reply)} characters that are no verdict"
