"""Warm the cache in batches where a provider has them: cheaper, but within a day instead of at once.

    draft -> group -> hold the worst case -> record -> intend -> upload -> wait -> conclude each line

A question passes through the normal pipeline in two halves: `DraftCaller` ends the first half where the call
would be made, and `LineCaller` starts the second half with the batch's answer. No batch is created twice: if
it is unknown whether one was created, it is looked up at the provider, never sent again. The row that marks a
line as done is written before its receipt, so that there is never a second receipt.
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
from farthing.jobs.prewarm.gather import Ask
from farthing.jobs.runner import NO_SINK, JobRunner, Kept, note_request, text_of, within
from farthing.jobs.schedule import Answered
from farthing.models.batch_call import BatchDraft, DraftCaller, LineCaller
from farthing.pipeline.answer import answer
from farthing.pipeline.receipt_notes import note_error
from farthing.pipeline.steps import Steps
from farthing.protocols import Allowance, BatchApi, BatchState, Budget, Outcome, Purpose
from farthing.types import Endpoint, Receipt, Request, Terms, replace

log = logging.getLogger("farthing.errands")

POLL_S_MIN, POLL_S_MAX, POLL_GROWTH = 1.0, 300.0, 1.6
LOST_S = 600.0  # a batch that is unknown this long after its creation failed was never created
GIVEN_UP_S = 172_800.0  # the provider promises a day
FETCHES_MAX = 20
READY_S = 60.0  # caches that take longer to become ready never will
BUSY_LINES = 16  # handled without a pause


class Batches:
    """The batches of one process, including those that an earlier process left behind."""

    def __init__(
        self,
        jobs: JobRunner,
        state_dir: Path,
        *,
        request: Callable[[Ask, str], Request],
        concluded: Callable[[Answered], None],
        clock: Callable[[], float],
        clock_unix_s: Callable[[], float],
        purpose: Purpose = "precompute",
        directory: str = DIRECTORY,
        replied: Callable[[Line, str | None, Receipt], None] | None = None,
    ) -> None:
        """`request` makes a request from a question and an id, or raises FarthingError. `concluded` is called
        for every finished line before its receipt is written, and must not raise; so is `replied`, with the
        text of the answer or None. `directory` has the journal, which serves one purpose only."""
        self._jobs = jobs
        self._journal = BatchJournal(state_dir, directory)
        self._purpose = purpose
        self._replied = replied
        self._request = request
        self._concluded = concluded
        self._clock = clock
        self._clock_unix_s = clock_unix_s
        self._open: list[_Waiting] | None = None
        self.ready: Callable[[], bool] = lambda: True
        """Whether the caches can store answers: not always so just after a start."""
        self._ready_by_s = clock() + READY_S

    @property
    def open(self) -> "Sequence[_Waiting]":
        """The batches in progress. Read from the disk once; the caller must hold the lock."""
        if self._open is None:
            self._open = [_Waiting(one, self._clock()) for one in self._journal.read()]
        return self._open

    @property
    def keys(self) -> frozenset[str]:
        """The keys of the questions in progress."""
        return frozenset(line.key for one in self.open for line in one.at.waiting)

    async def hold(self, budget: Budget) -> None:
        """Hold in `budget` what may still be charged for questions in progress."""
        for one in self.open:
            for line in one.at.waiting:
                await budget.hold(_allowance(line))

    # -- sending --------------------------------------------------------------------------------------

    async def submit(self, questions: Sequence[Question], budget: Budget) -> frozenset[str]:
        """Send the questions that a batch can answer and the budget can pay; returns their keys. A target's
        questions stay if they are fewer than `LINES_MIN`."""
        steps = self._jobs.steps
        assert steps is not None, "background jobs run once there is a configuration"
        if not steps.caller.has_batch or len(questions) < LINES_MIN:
            return frozenset()
        groups: dict[str, list[tuple[Question, BatchDraft]]] = {}
        for question in questions:
            draft = await self._draft(question, steps, await budget.left_nusd())
            if draft is not None:
                groups.setdefault(draft.target.name, []).append((question, draft))
            await asyncio.sleep(0)
        gone: set[str] = set()
        for group in groups.values():
            api = steps.caller.batch_api(group[0][1].target.provider)
            if api is None:
                continue
            for chunk in chunks(allotted(group, await budget.left_nusd()), api.answers_bytes_max):
                try:
                    await self._send(chunk, api, budget)
                except OSError as error:  # a batch that cannot be recorded is not sent
                    log.error("no batch: its journal cannot be written: %s", error)
                    return frozenset(gone)
                gone.update(ready.question.key for ready in chunk)
        return frozenset(gone)

    async def _draft(self, question: Question, steps: Steps, nusd: int) -> BatchDraft | None:
        """The request to send; None: it does not suit a batch, or ends before a call. Writes no receipt."""
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
        begun = await asyncio.to_thread(self._journal.begin, batch)  # waits for the disk
        waiting = _Waiting(begun, self._clock())
        self._open = [*self.open, waiting]
        for line in lines:
            await budget.hold(_allowance(line))
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
                    "it is unknown whether %s was created, so it will be looked up: %s", batch.name, error
                )
            return
        await asyncio.to_thread(waiting.at.sent, state.id)
        log.info("sent %d questions in a batch to %s: %s", len(lines), target.name, state.id)

    # -- receiving ------------------------------------------------------------------------------------

    async def follow(self, budget: Budget, over: Callable[[], bool]) -> None:
        """Wait for every batch and conclude its answers, until none is left or `over` returns True."""
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
            log.warning("batch %s: next try in %.0f s: %s", one.name, one.pause_s, error)
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
        """Its status; None: the provider is no longer configured, or does not know the batch."""
        steps = self._jobs.steps
        assert steps is not None
        provider = one.at.batch.target.provider
        api = steps.caller.batch_api(provider)
        if api is None:
            log.warning("batch %s waits: the provider %s no longer has batches", one.name, provider)
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
        assert api is not None, "the provider was just asked"
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
        """Conclude every waiting line, and remove the batch."""
        for line in one.at.waiting:
            await self._conclude(one.at, line, found.pop(line.id, missing), budget)
            await asyncio.sleep(0)
            await self._jobs.quiet()
        one.at.close()
        self._open = [other for other in self.open if other is not one]

    async def _conclude(self, batch: OpenBatch, line: Line, outcome: Outcome, budget: Budget) -> None:
        """The second half of the pipeline, and the one receipt. If cancelled before its end, it leaves
        none."""
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
        except Exception:  # a bug in one answer must not cost the receipts of the others
            log.exception("an answer of batch %s failed by a fault of ours", batch.batch.name)
        caller.tell(receipt, receipt.tier)
        steps.money.total(receipt)
        if self._replied is not None:
            self._replied(line, text, receipt)
        batch.mark_done(line)
        self._jobs.done += receipt.error is None
        self._jobs.failed += receipt.error is not None
        await budget.give_back(_allowance(line), receipt.cost_nusd)
        self._concluded(Answered(key=line.key, cost_nusd=receipt.cost_nusd, error=receipt.error))
        steps.ledger.record(receipt)


def _allowance(line: Line) -> Allowance:
    return Allowance(line.id, line.worst_nusd)


class _Waiting:
    """One open batch, and when to ask for it next."""

    def __init__(self, at: OpenBatch, now_s: float) -> None:
        self.at = at
        self.pause_s = POLL_S_MIN
        self.due_s = now_s + POLL_S_MIN
        self.fetches = 0
        self.unheard_of = False
        """Whether the provider was asked for the batch and did not know it."""

    @property
    def name(self) -> str:
        return self.at.batch.name

    def later(self, now_s: float) -> None:
        self.due_s = now_s + self.pause_s
        self.pause_s = min(POLL_S_MAX, self.pause_s * POLL_GROWTH)


def _patient(request: Request) -> Request:
    """`request`, an internal one, without a deadline: nobody waits for it."""
    return _under(replace(request, own=True), replace(request.endpoint.terms, deadline_s=None))


def _paid(request: Request) -> Request:
    """`request` once its answer is there: no money limit rejects it, and no stored answer replaces it."""
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
