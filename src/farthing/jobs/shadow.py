"""Ask the cheap tier what the expensive one has answered, and compare, to learn where cheap is good enough.

The client has its (expensive) answer before anything here begins. The cheap tier gets the same request, under
a contract of its own. Then the endpoint's checks test both answers or, if no check can decide, a judge
compares them (`preference`). The result is two signals in the ledger, one per tier, and one outcome for the
monitor of the endpoint's certificate. If the cheap tier's answer is incomplete or has no text, it is worse
than a complete one; if its provider failed, that says nothing about quality.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from msgspec import Struct

from farthing.errors import UnknownModel
from farthing.evaluation.feedback.verdicts import Case, Verdicts
from farthing.evaluation.judges.grade import Rubric
from farthing.evaluation.judges.preference import Outcome, Pair, Preference, conversation_of
from farthing.jobs.batch_judge import BatchJudge
from farthing.jobs.runner import JobRunner
from farthing.protocols import InternalRequest
from farthing.text import answer_text
from farthing.text.comparable import comparable
from farthing.types import CacheHit, Endpoint, Receipt, Request, Route, Terms, replace

log = logging.getLogger("farthing.errands")

ANSWER_S = 300.0  # nobody waits for it; the default time limit for a complete answer
CHECKING_MAX = 32  # pairs checked at once; a command may be slow
OWN_CUT = "limit:usd_max"  # the job's own money ran out: says nothing about the tier
_OF_THE_CLIENT = frozenset({"stream", "stream_options", "store"})
"""What only a client asks for: how it is answered, and that a provider keeps that for it."""


class PairChecks(Protocol):
    """The endpoints' checks that can decide on their own whether an answer is right."""

    def has(self, endpoint: str) -> bool:
        """Whether answers of that endpoint can be checked. Quick."""

    async def check(self, request: Request, text: str) -> Mapping[str, float | None]:
        """Quality of an answer from 0 to 1 by the name of each check; None: that check cannot decide.

        Must not raise.
        """


class Explored(Struct, frozen=True, kw_only=True):
    """One explored request, until both answers are compared."""

    request: Request
    client: Receipt
    """The client's receipt: its tier and target are the expensive ones."""
    cheap: str
    """The cheap tier."""
    text: str
    """Text of the expensive answer."""

    def case(self, shadow: Receipt) -> Case:
        """The case, with the receipt of the cheap call."""
        return Case(
            request_id=self.request.id,
            tenant=self.request.tenant.name,
            endpoint=self.request.endpoint.name,
            cheap=self.cheap,
            expensive=self.client.tier,
            cheap_target=shadow.target,
            expensive_target=self.client.target,
        )


class Explore:
    """Explores for the endpoints of one configuration. Belongs to one event loop."""

    def __init__(
        self,
        jobs: JobRunner,
        *,
        rubrics: Mapping[str, Rubric],
        checks: PairChecks | None,
        endpoint: Callable[[str], Endpoint | None],
        verdicts: Verdicts,
        clock: Callable[[], float],
        batch_judge: BatchJudge | None = None,
    ) -> None:
        """`rubrics` has the endpoints with a judge; `batch_judge` takes comparisons that may wait."""
        self._jobs = jobs
        self._rubrics = rubrics
        self._checks = checks
        self._endpoint = endpoint
        self._verdicts = verdicts
        self._clock = clock
        self._batch_judge = batch_judge
        self._preference = Preference(jobs, endpoint=endpoint, clock=clock)
        self._checking: set[asyncio.Task[None]] = set()

    def explore(self, request: Request, route: Route, answer: CacheHit, receipt: Receipt) -> bool:
        """Ask the tier of `route.shadow` and compare both answers. False: it will not happen (nobody can
        compare them, it is not plain text, or the queue is full). Quick; never raises."""
        text = answer_text.text_of(answer)
        if route.shadow is None or not text or not comparable(request) or not self._can_tell(request):
            return False
        explored = Explored(request=request, client=receipt, cheap=route.shadow.tier, text=text)

        def conclude(reply: str | None, shadow: Receipt) -> None:
            if reply is not None:
                self._compare(explored, reply, shadow)
            elif shadow.status == 200 and shadow.stop_reason != OWN_CUT:
                self._verdicts.whole(explored.case(shadow), shadow.stop_reason)
            else:
                self._nothing(explored.case(shadow), shadow.error or shadow.stop_reason)

        internal = InternalRequest(
            purpose="explore",
            about=request.id,
            request=self._shadow_of(request, explored.cheap),
            budget=self._jobs.daily,
            conclude=conclude,
        )
        if not self._jobs.submit(internal):
            return False
        if self._verdicts.audit is not None:
            self._verdicts.audit.opened(receipt)
        return True

    def _can_tell(self, request: Request) -> bool:
        name = request.endpoint.name
        return name in self._rubrics or (self._checks is not None and self._checks.has(name))

    def _shadow_of(self, request: Request, tier: str) -> Callable[[str], Request]:
        """Id -> the client's request, sent to `tier`, under the endpoint's configuration when the job
        runs."""

        def shadow(request_id: str) -> Request:
            endpoint = self._endpoint(request.endpoint.name)
            if endpoint is None:
                raise UnknownModel(f"the endpoint `{request.endpoint.name}` is gone")
            return shadow_of(request, tier, endpoint, request_id=request_id, now_s=self._clock())

        return shadow

    # -- which is better ---------------------------------------------------------------------------

    def _compare(self, explored: Explored, cheap: str, shadow: Receipt) -> None:
        if self._checks is not None and self._checks.has(explored.request.endpoint.name):
            if len(self._checking) >= CHECKING_MAX:
                self._nothing(explored.case(shadow), "checks_full")
                return
            task = asyncio.get_running_loop().create_task(self._check(explored, cheap, shadow, self._checks))
            self._checking.add(task)
            task.add_done_callback(self._checked)
        else:
            self._prefer(explored, cheap, shadow)

    async def _check(self, explored: Explored, cheap: str, shadow: Receipt, checks: PairChecks) -> None:
        """Check both answers; if no check can decide about both, a judge compares them."""
        of_cheap = await checks.check(explored.request, cheap)
        of_expensive = await checks.check(explored.request, explored.text)
        both = [
            (name, a, b)
            for name, a in of_cheap.items()
            if a is not None and (b := of_expensive.get(name)) is not None
        ]
        if not both:
            self._prefer(explored, cheap, shadow)
            return
        case = explored.case(shadow)
        for name, a, b in both:
            self._verdicts.compared(case, (a, b), "check", name)
        self._verdicts.end(case, max(0.0, min(b for _, _, b in both) - min(a for _, a, _ in both)))

    def _checked(self, task: "asyncio.Task[None]") -> None:
        self._checking.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("a check of an explored request failed by a fault of ours", exc_info=error)

    def _prefer(self, explored: Explored, cheap: str, shadow: Receipt) -> None:
        request, case = explored.request, explored.case(shadow)
        rubric = self._rubrics.get(request.endpoint.name)
        if answer_text.agree(cheap, explored.text):
            self._verdicts.preferred(case, Outcome(better="tie", consistent=None, why_not="the same words"))
            return
        if rubric is None:
            self._nothing(case, "no_check_could_tell")
            return
        pair = Pair(
            tenant=request.tenant,
            endpoint=request.endpoint.name,
            request_id=request.id,
            asked=conversation_of(request),
            one=cheap,
            other=explored.text,
            guide=rubric.guide,
        )
        if rubric.batch and self._batch_judge is not None and self._batch_judge.open:
            if not self._batch_judge.pair(case, pair, rubric.judge):
                self._nothing(case, "queue_full")
            return

        def record(outcome: Outcome) -> None:
            self._verdicts.preferred(case, outcome)

        self._preference.ask(pair, rubric.judge, record)

    def _nothing(self, case: Case, why: str) -> None:
        """Record that nobody could compare them, and why."""
        self._verdicts.preferred(case, Outcome(better=None, consistent=None, why_not=why))


def shadow_of(request: Request, tier: str, endpoint: Endpoint, *, request_id: str, now_s: float) -> Request:
    """`request` for `tier`: without caches, streaming or session, and with its own deadline. The client's
    output limit applies here too."""
    terms = Terms(
        deadline_s=ANSWER_S,
        input_tokens_max=endpoint.terms.input_tokens_max,
        output_tokens_max=endpoint.terms.output_tokens_max,
        on_limit="refuse",
    )
    shadow: Request = replace(
        request,
        id=request_id,
        endpoint=replace(endpoint, cache_exact="off", semantic=None, tier=None, terms=terms),
        body={name: value for name, value in request.body.items() if name not in _OF_THE_CLIENT},
        tier=tier,
        stream=False,
        include_usage=False,
        session=None,
        received_s=now_s,
    )
    return shadow
