"""Judge in batches, in quiet hours: gradings and comparisons that may wait are collected and sent together,
at half the price, if the judge's provider has a batch interface.

Waiting calls are in `judging.jsonl` in the state directory, sent ones in `judging/` in the format of other
batches (`batch`), so that a restart continues with both; the subject of a verdict is stored with each line.
Of the processes that share a state directory, one does this; the others judge at once. Calls too few for a
batch are made one by one.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from farthing.brain.cache.semantic.store.entries import RequestTemplate, request_of
from farthing.errors import FarthingError, UnknownModel
from farthing.evaluation.feedback.verdicts import Case, Given, Verdicts
from farthing.evaluation.judges.preference import (
    Better,
    Outcome,
    Pair,
    better_of,
    preference,
    together,
)
from farthing.evaluation.judges.queue import note_no_verdict
from farthing.jobs.batch.journal import Line
from farthing.jobs.batch.run import Batches
from farthing.jobs.batch.share import Question
from farthing.jobs.prewarm.gather import Ask
from farthing.jobs.runner import JobRunner
from farthing.jobs.schedule import Answered, Lock, Window
from farthing.protocols import InternalRequest
from farthing.stores.atomic_write import write_whole
from farthing.stores.private import opener
from farthing.text.judge_prompt import Call, word_of
from farthing.types import Endpoint, Receipt, Request, Tenant, Terms, replace

log = logging.getLogger("farthing.errands")

WAITING, DIRECTORY, LOCK = "judging.jsonl", "judging", "judging.lock"
WAITING_MAX = 2_000  # some 10 MB of usual answers; more are not accepted
HALVES_MAX = 5_000
POLL_S = 2.0
FAILED_PAUSE_S = 60.0


class Note(Struct, frozen=True, kw_only=True):
    """The subject of a line, stored with it."""

    about: Case | Given
    words: tuple[str, ...]
    swapped: bool = False


class Waiting(Struct, frozen=True, kw_only=True):
    """One call of a judge that has not been sent."""

    key: str
    ask: Ask
    note: str


_encode = msgspec.json.Encoder().encode
_decode_note = msgspec.json.Decoder(Note).decode
_decode_waiting = msgspec.json.Decoder(Waiting).decode


class BatchJudge:
    """Collects and sends calls of judges. One per process and event loop."""

    def __init__(
        self,
        jobs: JobRunner,
        state_dir: Path,
        *,
        clock: Callable[[], float],
        clock_unix_s: Callable[[], float],
        wall: Callable[[], datetime] = datetime.now,
    ) -> None:
        """`wall` is the local time without a zone."""
        self.window: Window | None = None
        """The quiet hours; None: there are none, and nothing is collected."""
        self.endpoint: Callable[[str], Endpoint | None] = _no_endpoint
        self.verdicts: Verdicts | None = None
        """From the current configuration; nothing is collected before there is one."""
        self.dropped = 0
        """Calls dropped because there was no room, since the start."""
        self._jobs = jobs
        self._clock = clock
        self._wall = wall
        self._path = state_dir / WAITING
        self._lock = Lock(state_dir, LOCK)
        self._ready = False
        """Whether the lock is held and an earlier process's calls are read; before that, rows could be
        duplicated."""
        self._waiting: list[Waiting] = []
        self._halves: OrderedDict[tuple[str, str], Better | None] = OrderedDict()
        """Tenant and request of a pair -> the verdict in the order that came first."""
        self._sent_at: datetime | None = None
        """When the quiet hours of the last sending began."""
        self.batches = Batches(
            jobs,
            state_dir,
            request=self._request,
            concluded=_concluded,
            clock=clock,
            clock_unix_s=clock_unix_s,
            purpose="judge",
            directory=DIRECTORY,
            replied=self._replied,
        )

    # -- collecting --------------------------------------------------------------------------------

    @property
    def open(self) -> bool:
        """Whether calls that may wait should be left here."""
        return self._ready and self.window is not None and self.verdicts is not None

    @property
    def waiting(self) -> int:
        """Calls of judges that have not been sent."""
        return len(self._waiting)

    def pair(self, case: Case, pair: Pair, judge: str) -> bool:
        """Take a comparison, in both orders; False: there is no room. Quick."""
        rows = []
        for swapped in (False, True):
            call = preference(pair, swapped=swapped)
            note = Note(about=case, words=call.words, swapped=swapped)
            rows.append(
                _row(f"{pair.request_id}/{int(swapped)}", call, note, pair.tenant, pair.endpoint, judge)
            )
        return self._take(rows)

    def grade(self, given: Given, call: Call, tenant: Tenant, judge: str) -> bool:
        """Take the grading of one answer; False: there is no room. Quick."""
        note = Note(about=given, words=call.words)
        return self._take([_row(f"{given.request_id}/grade", call, note, tenant, given.endpoint, judge)])

    def _take(self, rows: list[Waiting]) -> bool:
        if len(self._waiting) + len(rows) > WAITING_MAX:
            self.dropped += len(rows)
            return False
        try:
            with open(self._path, "ab", opener=opener) as file:
                file.write(b"".join(_encode(row) + b"\n" for row in rows))
        except OSError as error:
            log.error(
                "%s cannot be written, so a restart would forget the calls that wait: %s", self._path, error
            )
        self._waiting += rows
        return True

    # -- sending -----------------------------------------------------------------------------------

    async def watch(self) -> None:
        """Send in the quiet hours and receive results, until cancelled."""
        while True:
            await asyncio.sleep(POLL_S)
            try:
                if await self._began():
                    await self.look()
            except (FarthingError, OSError) as error:
                log.error("judging in batches failed, next try in %.0f s: %s", FAILED_PAUSE_S, error)
                await asyncio.sleep(FAILED_PAUSE_S)

    async def _began(self) -> bool:
        """Whether this process does the work: it holds the lock, and has read an earlier process's calls."""
        if self._ready:
            return True
        if (
            self.verdicts is None
            or (self.window is None and not self._path.exists())
            or not self._lock.take()
        ):
            return False
        left = await asyncio.to_thread(_read, self._path)
        under_way = self.batches.keys
        await self.batches.hold(self._jobs.daily)
        self._waiting = [row for row in left if row.key not in under_way]
        self._ready = True
        return True

    async def look(self) -> None:
        """Send waiting calls if it is time, and follow batches in progress; the caller must hold the lock."""
        if self._waiting and self._due():
            self._sent_at = None if self.window is None else self.window.opened(self._wall())
            await self.send()
        if self.batches.open:
            await self.batches.follow(self._jobs.daily, lambda: bool(self._waiting) and self._due())

    def _due(self) -> bool:
        """Once in each of the quiet hours; at once if there are none any more."""
        if self.window is None:
            return True
        opened = self.window.opened(self._wall())
        return opened is not None and opened != self._sent_at

    async def send(self) -> None:
        """Send all waiting calls: in batches, and one by one where they are too few."""
        rows = list(self._waiting)
        questions = [Question(key=row.key, ask=row.ask, cost_nusd=None, note=row.note) for row in rows]
        gone = await self.batches.submit(questions, self._jobs.daily)
        self._waiting = [row for row in self._waiting if row.key not in gone]
        for row in [row for row in rows if row.key not in gone]:
            await self._jobs.room()
            if not self._jobs.submit(self._singly(row)):
                break
            self._waiting.remove(row)
        await self._rewrite()

    async def _rewrite(self) -> None:
        """Rewrite the file with the calls that wait, including those that arrive meanwhile."""
        written: list[Waiting] | None = None
        while written != self._waiting:
            written = list(self._waiting)
            await asyncio.to_thread(
                write_whole, self._path, b"".join(_encode(row) + b"\n" for row in written)
            )

    def _singly(self, row: Waiting) -> InternalRequest:
        def request(request_id: str) -> Request:
            return self._request(row.ask, request_id)

        def conclude(reply: str | None, receipt: Receipt) -> None:
            self._conclude(row.note, reply, receipt)

        return InternalRequest(
            purpose="judge",
            about=_decode_note(row.note).about.request_id,
            request=request,
            budget=self._jobs.daily,
            conclude=conclude,
        )

    def _request(self, ask: Ask, request_id: str) -> Request:
        """Raises:
        UnknownModel: its endpoint is gone.
        """
        endpoint = self.endpoint(ask.recipe.endpoint)
        if endpoint is None:
            raise UnknownModel(f"the endpoint `{ask.recipe.endpoint}` is gone")
        terms = Terms(deadline_s=60.0, calls_max=1, on_limit="refuse")
        endpoint = replace(endpoint, cache_exact="off", semantic=None, tier=None, terms=terms)
        return request_of(
            ask.recipe, ask.question, request_id=request_id, endpoint=endpoint, received_s=self._clock()
        )

    # -- receiving ---------------------------------------------------------------------------------

    def _replied(self, line: Line, reply: str | None, receipt: Receipt) -> None:
        self._conclude(line.note, reply, receipt)

    def _conclude(self, note: str, reply: str | None, receipt: Receipt) -> None:
        kept = _decode_note(note)
        receipt.about = kept.about.request_id
        call = Call(messages=[], words=kept.words)
        if word_of(call, reply) is None:
            note_no_verdict(receipt, reply)
        verdicts, why_not = self.verdicts, receipt.error or "no_verdict"
        if verdicts is None:
            return
        match kept.about:
            case Given() as given:
                grade = word_of(call, reply)
                quality = None if grade is None else grade / (len(kept.words) - 1)
                verdicts.graded(given, quality, receipt.target, why_not)
            case Case() as case:
                self._half(case, better_of(call, reply, swapped=kept.swapped), receipt, why_not)

    def _half(self, case: Case, better: Better | None, receipt: Receipt, why_not: str) -> None:
        """Record the verdict of one order of a pair; with the other order's, the pair is decided."""
        assert self.verdicts is not None
        key = (case.tenant, case.request_id)
        if key not in self._halves:
            self._halves[key] = better
            if len(self._halves) > HALVES_MAX:
                self._halves.popitem(last=False)  # its other order never arrived
            return
        verdict, consistent = together(self._halves.pop(key), better)
        reason = "" if verdict is not None else why_not
        self.verdicts.preferred(
            case, Outcome(better=verdict, consistent=consistent, by=receipt.target, why_not=reason)
        )

    def release(self) -> None:
        """Let another process continue the work. Safe to call twice."""
        self._ready = False
        self._lock.release()


def _row(key: str, call: Call, note: Note, tenant: Tenant, endpoint: str, judge: str) -> Waiting:
    body = call.body(judge)
    *first, last = call.messages
    recipe = RequestTemplate(
        tenant=tenant,
        endpoint=endpoint,
        model=judge,
        body={**body, "messages": [*first, {**last, "content": ""}]},
        task_type="judge",
    )
    ask = Ask(recipe=recipe, question=str(last["content"]), anew=True)
    return Waiting(key=key, ask=ask, note=_encode(note).decode())


def _read(path: Path) -> list[Waiting]:
    """The waiting calls in a file; invalid lines, such as an incomplete last one after a crash, are
    skipped."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    rows = []
    for line in lines:
        try:
            rows.append(_decode_waiting(line))
        except msgspec.MsgspecError:
            continue
    return rows[-WAITING_MAX:]


def _no_endpoint(name: str) -> Endpoint | None:
    return None


def _concluded(row: Answered) -> None:
    """Nothing to do: a line's result is in its receipt and in the signals."""
