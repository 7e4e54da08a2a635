"""Run the gateway's own requests through the pipeline, behind those of clients.

A bounded queue and a few workers on the event loop. A worker starts a background job only while clients leave
capacity, and at an even pace; what does not fit in the queue is dropped, newest first, and counted. A reload
leaves the queue as it is: each background job uses the configuration of the moment it runs in.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable
from itertools import count
from pathlib import Path

import msgspec

from farthing.config import JobsConfig
from farthing.errors import BudgetExhausted, FarthingError
from farthing.jobs.daily_budget import DailyBudget
from farthing.jobs.spending import SpentFiles
from farthing.pipeline.answer import answer
from farthing.pipeline.receipt_notes import note_error
from farthing.pipeline.steps import Steps
from farthing.protocols import Allowance, InternalRequest, Ledger, StateStore
from farthing.runtime.loop_batch import is_immediate
from farthing.text.lenient_json import NotJson, read_json
from farthing.types import Answer, Receipt, Request, Signal

log = logging.getLogger("farthing.errands")

BUSY_PAUSE_S = 0.1  # between two checks for free capacity


class JobRunner:
    """The background jobs of one process."""

    def __init__(
        self,
        config: JobsConfig,
        *,
        busy: Callable[[], float],
        clock: Callable[[], float],
        clock_unix_s: Callable[[], float],
        state: StateStore,
        state_dir: Path | None = None,
    ) -> None:
        """`busy` gives the used share of the requests that may be in progress. The day's budget stands in
        `state`; `state_dir` keeps its spending too (None: a restart forgets what the store does)."""
        self.config = config
        self.steps: Steps | None = None
        """The pipeline of the current configuration; None until there is one."""
        spent = None if state_dir is None else SpentFiles(state_dir)
        self._id_prefix = f"errand_{int(clock_unix_s()):08x}{secrets.token_hex(4)}"
        self.daily = DailyBudget(
            config.usd_per_day,
            state=state,
            clock_unix_s=clock_unix_s,
            name=self._id_prefix,
            spent=spent,
        )
        """The budget of jobs without their own: judging and refreshing."""
        self.dropped = 0
        self.unpaid = 0
        """Jobs not run because their budget was empty; included in `failed`."""
        self.failed = 0
        """Jobs without a complete answer."""
        self.done = 0
        self._busy = busy
        self._clock = clock
        self._clock_unix_s = clock_unix_s
        self._queue: asyncio.Queue[InternalRequest] = (
            asyncio.Queue()
        )  # bounded by `submit`, because a reload may resize it
        self._workers: list[asyncio.Task[None]] = []
        self._at_once: set[asyncio.Task[None]] = set()
        self._running = 0
        self._next_at_s = 0.0
        self._stopping = False
        self._ids = count(1)

    def start(self) -> None:
        """Start running background jobs on the running loop."""
        for _ in range(self.config.at_once):
            self._workers.append(asyncio.get_running_loop().create_task(self._work()))

    def reconfigure(self, config: JobsConfig, steps: Steps) -> None:
        """Use `steps` and the new bounds from the next background job on; the number of workers stays."""
        if self._workers and config.at_once != len(self._workers):
            log.warning(
                "jobs.at_once has changed since the start and still has its old value: restart to apply it"
            )
        self.config = config
        self.steps = steps
        self.daily.resize(config.usd_per_day)

    def submit(self, internal: InternalRequest) -> bool:
        """Queue `internal`; False if the queue is full or closing: it will not run."""
        if self._stopping or self._queue.qsize() >= self.config.queue_max:
            self.dropped += 1
            return False
        self._queue.put_nowait(internal)
        return True

    async def room(self) -> None:
        """Wait until the queue has room for one more."""
        while True:
            if self._queue.qsize() < self.config.queue_max:
                return
            await asyncio.sleep(BUSY_PAUSE_S)

    def stop(self) -> None:
        """Start no more background jobs. Those in progress continue until `aclose`."""
        self._stopping = True

    async def aclose(self) -> None:
        """Cancel jobs in progress; each gets its receipt. Safe to call twice."""
        self._stopping = True
        workers, self._workers = self._workers, []
        workers += self._at_once
        for worker in workers:
            worker.cancel("draining")
        await asyncio.gather(*workers, return_exceptions=True)
        self.daily.close()

    def gauges(self) -> dict[str, float]:
        return {
            "jobs_queued": self._queue.qsize(),
            "jobs_running": self._running,
            "jobs_done": self.done,
            "jobs_failed": self.failed,
            "jobs_dropped": self.dropped,
            "jobs_unpaid": self.unpaid,
            "jobs_spent_today_usd": self.daily.spent_nusd / 1e9,
        }

    # -- running -------------------------------------------------------------------------------------

    async def _work(self) -> None:
        while True:
            internal = await self._queue.get()
            await self._turn()
            if self._stopping:
                continue
            try:
                await self.run(internal)
            except Exception:  # a bug in one background job must not stop the others; its receipt is written
                log.exception(
                    "a background job (%s for %s) failed by a fault of ours", internal.purpose, internal.about
                )

    async def _turn(self) -> None:
        """Wait for free capacity, and for the pace."""
        interval_s = 60.0 / self.config.per_minute
        now_s = self._clock()
        at_s = self._next_at_s = max(self._next_at_s + interval_s, now_s)
        if at_s > now_s:
            await asyncio.sleep(at_s - now_s)
        await self.quiet()

    async def quiet(self) -> None:
        """Wait until clients leave capacity, or the runner is closing."""
        while True:
            if self._stopping or self._busy() < self.config.busy_share:
                return
            await asyncio.sleep(BUSY_PAUSE_S)

    def begin(self, internal: InternalRequest) -> "asyncio.Task[None]":
        """Like `run`, in a task that `aclose` cancels like queued jobs."""
        task = asyncio.get_running_loop().create_task(self.run(internal))
        self._at_once.add(task)
        task.add_done_callback(self._at_once.discard)
        return task

    def new_id(self) -> str:
        """A new id for an internal request, unique across processes."""
        return f"{self._id_prefix}{next(self._ids):06x}"

    async def run(self, internal: InternalRequest) -> None:
        """Run `internal` at once, without queue, pace or regard for clients. Failures are in its receipt."""
        steps = self.steps
        assert steps is not None, "background jobs run once there is a configuration"
        receipt = Receipt(
            request_id=self.new_id(),
            at_unix_s=self._clock_unix_s(),
            started_s=self._clock(),
            purpose=internal.purpose,
            about=internal.about,
        )
        kept = Kept(steps.ledger)
        allowance: Allowance | None = None
        text: str | None = None
        self._running += 1
        try:
            request = msgspec.structs.replace(internal.request(receipt.request_id), own=True)
            note_request(receipt, request)
            allowance = await internal.budget.take(internal.shares or self.config.at_once)
            request = within(request, allowance.nusd)
            reply = await answer(request, msgspec.structs.replace(steps, ledger=kept), receipt, NO_SINK)
            text = text_of(reply)
            if internal.heard is not None:
                internal.heard(reply.body)
        except BudgetExhausted as error:
            self.unpaid += 1
            note_error(receipt, error)
        except FarthingError as error:
            if not kept.recorded:
                note_error(receipt, error)
        finally:
            self._running -= 1
            self.done += text is not None
            self.failed += text is None
            try:
                if allowance is not None:
                    await internal.budget.give_back(allowance, receipt.cost_nusd)
            finally:
                try:
                    internal.conclude(text, receipt)
                finally:
                    steps.ledger.record(receipt)


class Kept:
    """The ledger in the pipeline of one background job: its receipt is written after the job was concluded,
    so that the conclusion is part of the same row."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.immediate = is_immediate(ledger)
        self.recorded = False

    def admit(self) -> None:
        self._ledger.admit()

    def intend(self, receipt: Receipt, target: str) -> None:
        self._ledger.intend(receipt, target)

    def record(self, receipt: Receipt) -> None:
        self.recorded = True

    def signal(self, signal: Signal, *, acknowledged: bool = False) -> None:
        self._ledger.signal(signal, acknowledged=acknowledged)

    async def aclose(self) -> None:
        return None


class _NoSink:
    """Background jobs are not streamed."""

    def send(self, events: bytes) -> None:
        raise AssertionError("a background job is never streamed")

    def when_writable(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        return None

    def outlive(self, left: Callable[[Callable[[], None]], bool]) -> None:
        return None

    def returned(self, lines: bytes) -> None:
        return None

    def closing(self, reply: Answer) -> Answer:
        return reply


NO_SINK = _NoSink()


def text_of(reply: Answer) -> str | None:
    """The text of the first choice of a complete answer that ended normally; None if it has none."""
    try:
        choice = read_json(reply.body)["choices"][0]
        text = choice["message"]["content"]
    except (NotJson, LookupError, TypeError):
        return None
    return text if isinstance(text, str) and choice.get("finish_reason") in (None, "stop") else None


def note_request(receipt: Receipt, request: Request) -> None:
    receipt.tenant = request.tenant.name
    receipt.endpoint = request.endpoint.name
    receipt.operation = request.operation
    receipt.model_asked = request.alias or request.model


def within(request: Request, allowance_nusd: int) -> Request:
    """`request` under a contract that cannot spend more than `allowance_nusd`."""
    endpoint = request.endpoint
    own = endpoint.terms.usd_max_nusd
    usd_max_nusd = allowance_nusd if own is None else min(own, allowance_nusd)
    terms = msgspec.structs.replace(endpoint.terms, usd_max_nusd=usd_max_nusd)
    return msgspec.structs.replace(request, endpoint=msgspec.structs.replace(endpoint, terms=terms))
