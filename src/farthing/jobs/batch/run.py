"""Answer ahead in batches, where a provider has them: cheaper, within a day instead of at once.

    draft -> group -> hold the worst case -> write down -> intend -> upload -> wait -> conclude each line

A question takes the journey of any other, in two halves: `DraftCaller` ends the first where its call would
be, `LineCaller` begins the second with what came back. No batch is created twice: what is not known to have
been created is looked for at the provider, never sent again. The row that says that a line is done is
written before its receipt, so that there is never a second one.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from farthing.errors import FarthingError, Overloaded, ProviderError, ProviderTimeout, ProviderUnavailable
from farthing.jobs.batch.journal import DIRECTORY, Batch, BatchJournal, Line, OpenBatch
from farthing.jobs.batch.share import LINES_MIN, Question, Ready, allotted, chunks
from farthing.jobs.budget import Budget
from farthing.jobs.prewarm.gather import Ask
from farthing.jobs.runner import NO_SINK, JobRunner, Kept, note_request, text_of, within
from farthing.jobs.schedule import Answered
from farthing.models.batch_call import BatchDraft, DraftCaller, LineCaller
from farthing.pipeline.answer import answer
from farthing.pipeline.receipt_notes import note_error
from farthing.pipeline.steps import Steps
from farthing.protocols import BatchApi, BatchState, Outcome, Purpose
from farthing.types import Endpoint, Receipt, Request, Terms, replace

log = logging.getLogger("farthing.errands")

POLL_S_MIN, POLL_S_MAX, POLL_GROWTH = 1.0, 300.0, 1.6
LOST_S = 600.0  # a batch that nobody knows of so long after its creation failed was never created
GIVEN_UP_S = 172_800.0  # the provider promises a day
FETCHES_MAX = 20
READY_S = 60.0  # caches that take longer to come up will not
BUSY_LINES = 16  # read in one go


class Batches:
    """The batches of one process, those that an earlier one left behind among them."""

    def __init__(
        self,
        jobs: JobRunner,
        state_dir: Path,
        *,
        request: Callable[[Ask, str], Request],
        dealt: Callable[[Answered], None],
        clock: Callable[[], float],
        clock_unix_s: Callable[[], float],
        purpose: Purpose = "precompute",
        directory: str = DIRECTORY,
        heard: Callable[[Line, str | None, Receipt], None] | None = None,
    ) -> None:
        """`request` makes a request of a question and its id, or raises FarthingError; `dealt` hears of every
        line that is done, before its receipt is written, and must not raise; as `heard`, which has the text
        of the answer, None without one. `directory` has the journal, which is of one purpose."""
        self._jobs = jobs
        self._journal = BatchJournal(state_dir, directory)
        self._purpose = purpose
        self._heard = heard
        self._request = request
        self._dealt = dealt
        self._clock = clock
        self._clock_unix_s = clock_unix_s
        self._open: list[_Waiting] | None = None
        self.ready: Callable[[], bool] = lambda: True
        """Whether the caches can take answers: just after a start they may not."""
        self._ready_by_s = clock() + READY_S

    @property
    def open(self) -> "Sequence[_Waiting]":
        """Those that are under way. Read from the disk once; the lock must be ours."""
        if self._open is None:
            self._open = [_Waiting(one, self._clock()) for one in self._journal.read()]
        return self._open

    @property
    def keys(self) -> frozenset[str]:
        """Of the questions that are under way."""
        return frozenset(line.key for one in self.open for line in one.at.waiting)

    def hold(self, budget: Budget) -> None:
        """Hold in `budget` what may still be charged for questions that are under way."""
        for one in self.open:
            budget.hold(sum(line.worst_nusd for line in one.at.waiting))

    # -- going up -------------------------------------------------------------------------------------

    async def submit(self, questions: Sequence[Question], budget: Budget) -> frozenset[str]:
        """Send up what a batch can do and the budget can pay; the keys of what went. Those of a target with
        fewer than `LINES_MIN` stay."""
        steps = self._jobs.steps
        assert steps is not None, "background jobs run once there is a configuration"
        if not steps.caller.has_batch or len(questions) < LINES_MIN:
            return frozenset()
        groups: dict[str, list[tuple[Question, BatchDraft]]] = {}
        for question in questions:
            draft = await self._draft(question, steps, budget.left_nusd)
            if draft is not None:
                groups.setdefault(draft.target.name, []).append((question, draft))
            await asyncio.sleep(0)
        gone: set[str] = set()
        for group in groups.values():
            api = steps.caller.batch_api(group[0][1].target.provider)
            if api is None:
                continue
            for chunk in chunks(allotted(group, budget.left_nusd), api.answers_bytes_max):
                try:
                    await self._send(chunk, api, budget)
                except OSError as error:  # what cannot be written down does not go up
                    log.error("no batch: its journal cannot be written: %s", error)
                    return frozenset(gone)
                gone.update(ready.question.key for ready in chunk)
        return frozenset(gone)

    async def _draft(self, question: Question, steps: Steps, nusd: int) -> BatchDraft | None:
        """What would be sent; None: it is not for a batch, or its journey ends before a call. No receipt."""
        caller = DraftCaller(steps.caller)
        receipt = Receipt(request_id="", at_unix_s=self._clock_unix_s(), started_s=self._clock())
        try:
            request = within(_patient(self._request(question.ask, "")), nusd)
            aside = {"ledger": Kept(steps.ledger), "caller": caller, "semantic": None, "flights": None}
            await answer(request, msgspec.structs.replace(steps, **aside), receipt, NO_SINK)
        except FarthingError:
            return caller.draft
        return None

    async def _send(self, chunk: Sequence[Ready], api: BatchApi, budget: Budget) -> None:
        steps = self._jobs.steps
        assert steps is not None
        target = chunk[0].draft.target
        now_unix_s = self._clock_unix_s()
        lines, content = [], []
        for ready in chunk:
            line = Line(
                id=self._jobs.new_id(),
                key=ready.question.key,
                ask=ready.question.ask,
                worst_nusd=ready.worst_nusd,
                at_unix_s=now_unix_s,
                capped_by=ready.prompt.capped_by,
                note=ready.question.note,
            )
            lines.append(line)
            content.append(api.line(line.id, ready.prompt, target))
        batch = Batch(
            name=f"batch_{secrets.token_hex(12)}", target=target, lines=tuple(lines), at_unix_s=now_unix_s
        )
        begun = await asyncio.to_thread(self._journal.begin, batch)  # it waits for the disk
        waiting = _Waiting(begun, self._clock())
        self._open = [*self.open, waiting]
        budget.hold(sum(line.worst_nusd for line in lines))
        try:
            for line in lines:
                receipt = Receipt(request_id=line.id, at_unix_s=line.at_unix_s, started_s=self._clock())
                steps.ledger.intend(receipt, target.name)
            file_id = await api.upload(b"".join(content), batch.name)
        except (ProviderError, Overloaded) as error:  # nothing was created
            await self._end(waiting, {}, _as_failed(error), budget)
            return
        try:
            state = await api.create(file_id, batch.name)
        except ProviderError as error:
            if error.upstream_status is not None and error.upstream_status < 500:
                await self._end(waiting, {}, _as_failed(error), budget)
            else:
                log.warning(
                    "it is not known whether %s was created, so it is looked for: %s", batch.name, error
                )
            return
        await asyncio.to_thread(waiting.at.sent, state.id)
        log.info("%d questions went up in a batch to %s: %s", len(lines), target.name, state.id)

    # -- coming back ----------------------------------------------------------------------------------

    async def follow(self, budget: Budget, over: Callable[[], bool]) -> None:
        """Wait for every batch and conclude what has come, until there is none or `over` says so."""
        while self.open and not over():
            now_s = self._clock()
            for one in tuple(self.open) if self.ready() or now_s >= self._ready_by_s else ():
                if one.due_s <= now_s:
                    await self._ask(one, budget)
            await asyncio.sleep(POLL_S_MIN / 2 if self.open else 0)

    async def _ask(self, one: "_Waiting", budget: Budget) -> None:
        missing: Outcome | None = None
        found: dict[str, Outcome] = {}
        try:
            state = await self._state(one)
            if state is not None and state.ended:
                found = await self._fetched(one, state)
                missing = Outcome(error=_missing(state))
        except ProviderError as error:
            log.warning("batch %s: the next try is in %.0f s: %s", one.name, one.pause_s, error)
        age_s = self._clock_unix_s() - one.at.batch.at_unix_s
        if missing is None and one.unheard_of and age_s > LOST_S:
            missing = Outcome(error=ProviderUnavailable("the batch was never created"))
        if missing is None and (age_s > GIVEN_UP_S or one.fetches >= FETCHES_MAX):
            missing = Outcome(error=ProviderTimeout("the batch could not be read in time"), lost=True)
        if missing is None:
            one.later(self._clock())
        else:
            await self._end(one, found, missing, budget)

    async def _state(self, one: "_Waiting") -> BatchState | None:
        """How it is; None: the provider is gone from the configuration, or does not know of it."""
        steps = self._jobs.steps
        assert steps is not None
        provider = one.at.batch.target.provider
        api = steps.caller.batch_api(provider)
        if api is None:
            log.warning("batch %s waits: the provider %s has no batches any more", one.name, provider)
            return None
        if one.at.sent_id:
            return await api.state(one.at.sent_id)
        state = await api.find(one.name)
        one.unheard_of = state is None
        if state is not None:
            await asyncio.to_thread(one.at.sent, state.id)
        return state

    async def _fetched(self, one: "_Waiting", state: BatchState) -> dict[str, Outcome]:
        steps = self._jobs.steps
        assert steps is not None
        api = steps.caller.batch_api(one.at.batch.target.provider)
        assert api is not None, "it was just asked"
        one.fetches += 1
        wanted = frozenset(line.id for line in one.at.waiting)
        found: dict[str, Outcome] = {}
        for file_id in state.files:
            content = await api.content(file_id)
            for number, item in enumerate(api.outcomes(content, wanted)):
                if item is not None:
                    found.setdefault(*item)
                if number % BUSY_LINES == 0:
                    await asyncio.sleep(0)
        return found

    async def _end(
        self, one: "_Waiting", found: dict[str, Outcome], missing: Outcome, budget: Budget
    ) -> None:
        """Conclude every line that waits, and forget the batch."""
        for line in one.at.waiting:
            await self._conclude(one.at, line, found.pop(line.id, missing), budget)
            await asyncio.sleep(0)
            await self._jobs.quiet()
        one.at.close()
        self._open = [other for other in self.open if other is not one]

    async def _conclude(self, batch: OpenBatch, line: Line, outcome: Outcome, budget: Budget) -> None:
        """The second half of the journey, and the one receipt. Cut before its end, it leaves none."""
        steps = self._jobs.steps
        assert steps is not None
        receipt = Receipt(
            request_id=line.id,
            at_unix_s=line.at_unix_s,
            started_s=self._clock(),
            purpose=self._purpose,
            about=line.key,
        )
        kept = Kept(steps.ledger)
        text: str | None = None
        caller = LineCaller(steps.caller, batch.batch.target, outcome, capped_by=line.capped_by)
        try:
            request = _paid(_patient(self._request(line.ask, line.id)))
            note_request(receipt, request)
            aside = {"ledger": kept, "caller": caller, "flights": None, "confirmer": None}
            text = text_of(await answer(request, msgspec.structs.replace(steps, **aside), receipt, NO_SINK))
        except FarthingError as error:
            if not kept.recorded:
                note_error(receipt, error)
        except Exception:  # a bug in one answer must not take the receipts of the others with it
            log.exception("an answer of batch %s failed by a fault of ours", batch.batch.name)
        caller.tell(receipt, receipt.tier)
        steps.money.total(receipt)
        if self._heard is not None:
            self._heard(line, text, receipt)
        batch.dealt(line)
        self._jobs.done += receipt.error is None
        self._jobs.failed += receipt.error is not None
        budget.give_back(line.worst_nusd, receipt.cost_nusd)
        self._dealt(Answered(key=line.key, cost_nusd=receipt.cost_nusd, error=receipt.error))
        steps.ledger.record(receipt)


class _Waiting:
    """One open batch, and when it is asked for next."""

    def __init__(self, at: OpenBatch, now_s: float) -> None:
        self.at = at
        self.pause_s = POLL_S_MIN
        self.due_s = now_s + POLL_S_MIN
        self.fetches = 0
        self.unheard_of = False
        """The provider was asked whether there is such a batch, and said no."""

    @property
    def name(self) -> str:
        return self.at.batch.name

    def later(self, now_s: float) -> None:
        self.due_s = now_s + self.pause_s
        self.pause_s = min(POLL_S_MAX, self.pause_s * POLL_GROWTH)


def _patient(request: Request) -> Request:
    """`request`, one of ours, without a deadline: nobody waits for it."""
    return _under(replace(request, own=True), replace(request.endpoint.terms, deadline_s=None))


def _paid(request: Request) -> Request:
    """`request` once its answer is there: no limit of money keeps it out, and nothing stored replaces it."""
    paid = _under(request, replace(request.endpoint.terms, usd_max_nusd=None))
    exact = "off" if paid.endpoint.cache_exact == "off" else "refresh"
    return _with(paid, replace(paid.endpoint, cache_exact=exact))


def _under(request: Request, terms: Terms) -> Request:
    return _with(request, replace(request.endpoint, terms=terms))


def _with(request: Request, endpoint: Endpoint) -> Request:
    changed: Request = replace(request, endpoint=endpoint)
    return changed


def _as_failed(error: FarthingError) -> Outcome:
    return Outcome(error=error if isinstance(error, ProviderError) else ProviderUnavailable(str(error)))


def _missing(state: BatchState) -> ProviderError:
    if state.status == "expired":
        return ProviderTimeout("the batch expired before this question was answered")
    why = f": {state.why}" if state.why else ""
    return ProviderUnavailable(f"the batch ended ({state.status}) without an answer to this question{why}")
