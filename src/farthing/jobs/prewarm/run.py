"""Cache warming: answer questions before they are asked. Runs a plan within quiet hours and a budget,
once."""

import asyncio
import logging
import math
import os
import random
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from farthing.brain.cache.semantic.store.entries import request_of
from farthing.brain.cache.semantic.store.query_counts import QueryCounts
from farthing.errors import FarthingError, Overloaded, UnknownModel
from farthing.jobs.batch.run import Batches
from farthing.jobs.batch.share import Question
from farthing.jobs.budget import NUSD_PER_USD, Budget
from farthing.jobs.prewarm.gather import Ask, Prepared, Stage, prepare
from farthing.jobs.prewarm.plan import Planned
from farthing.jobs.runner import JobRunner
from farthing.jobs.schedule import ORDER, Answered, Began, Ended, Journal, Lock, Record, Window, due, resumes
from farthing.protocols import InternalRequest
from farthing.stores.private import opener
from farthing.types import Receipt, Request, replace

log = logging.getLogger("farthing.errands")

REFUSED_MAX = 3  # in a row for lack of money: what is left is too little for any
ROOM = 2  # a job starts only while its allowance is at least twice its expected cost
POLL_S = 2.0
FAILED_PAUSE_S = 60.0
JITTER_S_MAX = 600.0
ORDER_WAIT_S = 3_600.0  # for batches; later answers go to another run

_Reason = Literal["done", "window", "budget", "failed"]


class Order(Struct, frozen=True, kw_only=True):
    """A run that somebody ordered, whatever the hour."""

    id: str
    endpoint: str | None = None
    """Only questions of this endpoint; None: all."""


_decode_order = msgspec.json.Decoder(Order).decode


class Precompute:
    """Runs plans, by the clock and on order. One per process."""

    def __init__(
        self,
        jobs: JobRunner,
        state_dir: Path,
        *,
        clock: Callable[[], float],
        clock_unix_s: Callable[[], float],
        wall: Callable[[], datetime] = datetime.now,
        draw: random.Random | None = None,
        told: Callable[[Began | Answered | Ended], None] | None = None,
    ) -> None:
        """`wall` is the local time without a zone; `told` is called with every row of the journal."""
        self.stage: Stage | None = None
        self.journal = Journal(state_dir)
        self.lock = Lock(state_dir)
        self._jobs = jobs
        self._order_path = state_dir / ORDER
        self._clock = clock
        self._clock_unix_s = clock_unix_s
        self._wall = wall
        self._jitter = (random.Random() if draw is None else draw).random()  # spreads replicas
        self._told = told
        self.batches = Batches(
            jobs,
            state_dir,
            request=self._batched,
            concluded=self._concluded,
            clock=clock,
            clock_unix_s=clock_unix_s,
        )

    async def watch(self) -> None:
        """Run when it is time or somebody orders it, until cancelled. A failed run is logged."""
        last = self.journal.last()
        while True:
            try:
                if self.lock.take():
                    order = self._take_order()
                    if order is not None or self._due(last):
                        await self.run(order)
                        last = self.journal.last()
                    elif self._collects():
                        await self.collect()
                await asyncio.sleep(POLL_S)
            except (FarthingError, OSError) as error:
                log.error("cache warming failed, next try in %.0f s: %s", FAILED_PAUSE_S, error)
                await asyncio.sleep(FAILED_PAUSE_S)

    def _due(self, last: Record | None) -> bool:
        window = None if self.stage is None else self.stage.window
        if window is None:
            return False
        return due(window, self._wall(), last, self._jitter * min(JITTER_S_MAX, window.length_s() / 20))

    def _collects(self) -> bool:
        """Whether answers may arrive now that no run waits for."""
        window = None if self.stage is None else self.stage.window
        return bool(self.batches.open) and (window is None or window.left_s(self._wall()) > 0)

    async def collect(self) -> None:
        """Wait for batches in progress until the quiet hours end or somebody orders a run."""
        assert self.stage is not None and self.lock.held, "only the holder of the lock collects answers"
        budget = Budget(self.stage.config.usd_max)
        await self.batches.hold(budget)
        await self.batches.follow(budget, self._until(self.stage.window, wait_s=math.inf))

    async def run(self, order: Order | None = None) -> Record:
        """One run, from its plan to its end; the caller must hold the lock. Continues an interrupted run.

        Raises:
            ConfigError, StoreError: the plan cannot be made. OSError: the journal cannot be written.
        """
        stage = self.stage
        assert stage is not None and self.lock.held, "a run needs a configuration and the lock"
        last = self.journal.last()
        now = self._wall()
        opened = None if stage.window is None else stage.window.opened(now)
        goes_on = order is None and resumes(stage.window, now, last)
        done = last.keys if goes_on and last is not None else frozenset[str]()
        budget = Budget(stage.config.usd_max)
        budget.spent_nusd = last.spent_nusd if goes_on and last is not None else 0
        await self.batches.hold(budget)
        began_unix_s = self._clock_unix_s()
        counted_from = None if last is None or last.ended is None else last.began.at_unix_s
        prepared = await prepare(
            stage,
            since_unix_s=counted_from,
            clock_unix_s=self._clock_unix_s,
            endpoint=None if order is None else order.endpoint,
            done=done | self.batches.keys,
            budget_nusd=await budget.left_nusd(),
        )
        if not goes_on:
            row = Began(
                at_unix_s=began_unix_s,
                window="" if opened is None else opened.isoformat(),
                planned=len(prepared.plan.questions),
                cost_nusd=prepared.plan.cost_nusd,
                budget_nusd=budget.max_nusd,
                order="" if order is None else order.id,
            )
            self.journal.begin(row)
            self._tell(row)
        window = stage.window if order is None else None
        gone = await self.batches.submit(_questions(prepared), budget)
        singly = [one for one in prepared.plan.questions if one.candidate.key not in gone]
        reason = await self._answer(singly, prepared, stage, budget, window)
        wait_s = math.inf if order is None else ORDER_WAIT_S
        await self.batches.follow(budget, self._until(window, wait_s=wait_s))
        waiting = len(self.batches.keys)
        if waiting and reason == "done":
            reason = "window"
        if stage.book is not None and (order is None or order.endpoint is None):
            await self._count_anew(stage.book, began_unix_s)
        ended = Ended(at_unix_s=self._clock_unix_s(), reason=reason, waiting=waiting)
        self.journal.add(ended)
        self._tell(ended)
        record = self.journal.last()
        assert record is not None, "it was just written"
        log.info(
            "answered %d questions ahead for %.6f dollars; ended: %s",
            len(record.answered),
            record.spent_nusd / NUSD_PER_USD,
            reason,
        )
        return record

    def _until(self, window: Window | None, *, wait_s: float) -> Callable[[], bool]:
        """A condition that ends the wait for batches: the time is over, or an order is waiting."""
        until_s = self._clock() + wait_s

        def over() -> bool:
            shut = window is not None and window.left_s(self._wall()) <= 0
            return shut or self._clock() >= until_s or self._order_path.exists()

        return over

    def _batched(self, ask: Ask, request_id: str) -> Request:
        stage = self.stage
        assert stage is not None, "batches begin once there is a configuration"
        return request_for(ask, stage, request_id=request_id, received_s=self._clock())

    def _concluded(self, row: Answered) -> None:
        try:
            self.journal.add(row)
        except OSError as error:
            log.error("the journal of cache warming cannot be written: %s", error)
        self._tell(row)

    async def _answer(
        self,
        questions: Sequence[Planned],
        prepared: Prepared,
        stage: Stage,
        budget: Budget,
        window: Window | None,
    ) -> _Reason:
        """Ask these questions of the plan, a few at once; returns why it ended."""
        at_once = self._jobs.config.at_once
        slots = asyncio.Semaphore(at_once)
        refused: list[bool] = []
        """For each finished question: whether its contract had too little money for it."""
        reason: _Reason = "done"
        for one in questions:
            await slots.acquire()
            if window is not None and window.left_s(self._wall()) <= 0:
                reason = "window"
            elif await budget.left_nusd() // at_once < max(1, ROOM * (one.cost_nusd or 0)) or (
                len(refused) >= REFUSED_MAX and all(refused[-REFUSED_MAX:])
            ):
                reason = "budget"
            if reason != "done":
                slots.release()
                break

            def ended(receipt: Receipt) -> None:
                refused.append(receipt.stop_reason == "limit:usd_max")
                slots.release()

            internal = self._internal(one, prepared.asks[one.candidate.key], stage, budget, window, ended)
            await self._jobs.room()
            self._jobs.submit(internal)
        for _ in range(at_once):  # wait for those in progress
            await slots.acquire()
        return reason

    def _internal(
        self,
        one: Planned,
        ask: Ask,
        stage: Stage,
        budget: Budget,
        window: Window | None,
        ended: Callable[[Receipt], None],
    ) -> InternalRequest:
        def request(request_id: str) -> Request:
            current = self.stage or stage
            if window is not None and window.left_s(self._wall()) <= 0:
                raise Overloaded("the quiet hours are over")
            return request_for(ask, current, request_id=request_id, received_s=self._clock())

        def conclude(text: str | None, receipt: Receipt) -> None:
            try:
                self._concluded(
                    Answered(key=one.candidate.key, cost_nusd=receipt.cost_nusd, error=receipt.error)
                )
            finally:
                ended(receipt)

        return InternalRequest(
            purpose="precompute",
            about=one.candidate.key,
            request=request,
            budget=budget,
            conclude=conclude,
        )

    async def _count_anew(self, path: Path, before_unix_s: float) -> None:
        book = QueryCounts(path, clock_unix_s=self._clock_unix_s)
        try:
            await book.begin_anew(before_unix_s)
        finally:
            await book.aclose()

    def _take_order(self) -> Order | None:
        """Take the order from the state directory, and delete it there."""
        try:
            raw = self._order_path.read_bytes()
            self._order_path.unlink()
        except FileNotFoundError:
            return None
        try:
            return _decode_order(raw)
        except msgspec.MsgspecError:
            log.warning("%s is not a valid order and was deleted", self._order_path)
            return None

    def _tell(self, row: Began | Answered | Ended) -> None:
        if self._told is not None:
            self._told(row)


def _questions(prepared: Prepared) -> list[Question]:
    return [
        Question(key=one.candidate.key, ask=prepared.asks[one.candidate.key], cost_nusd=one.cost_nusd)
        for one in prepared.plan.questions
    ]


def request_for(ask: Ask, stage: Stage, *, request_id: str, received_s: float) -> Request:
    """`ask` as a request under the current configuration.

    Raises:
        UnknownModel: its endpoint is gone.
    """
    endpoint = stage.endpoint(ask.recipe.endpoint)
    if endpoint is None:
        raise UnknownModel(f"the endpoint `{ask.recipe.endpoint}` is gone")
    if endpoint.semantic is not None:
        endpoint = replace(endpoint, semantic=replace(endpoint.semantic, counted=False))
    if ask.anew:
        endpoint = replace(endpoint, cache_exact="refresh")
    return request_of(
        ask.recipe, ask.question, request_id=request_id, endpoint=endpoint, received_s=received_s
    )


def withdraw_order(state_dir: Path, order: Order) -> None:
    """Withdraw an order that no process has taken, because whoever gave it is gone."""
    path = state_dir / ORDER
    try:
        if path.read_bytes() == msgspec.json.encode(order):
            path.unlink(missing_ok=True)
    except OSError:
        return  # it was already taken, or cannot be deleted


def leave_order(state_dir: Path, order: Order) -> None:
    """Order a run from the process that holds the lock.

    Raises:
        OSError: the directory cannot be written to.
    """
    path = state_dir / ORDER
    new = path.with_suffix(".new")
    with open(new, "wb", opener=opener) as file:
        file.write(msgspec.json.encode(order))
    os.replace(new, path)
