"""Gather what is known about future questions, and plan: what was asked, its cost, and listed questions."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from farthing.brain.cache.semantic.store.entries import RequestTemplate
from farthing.brain.cache.semantic.store.query_counts import Counted, Counts, QueryCounts, key_of
from farthing.config import PrecomputeConfig
from farthing.jobs.budget import NUSD_PER_USD
from farthing.jobs.prewarm.listed import Listed, read_listed
from farthing.jobs.prewarm.plan import Candidate, Plan, plan
from farthing.jobs.schedule import Window
from farthing.types import Endpoint, Request, Target, Tenant

HORIZON_S = 86_400.0  # a run serves one day
SPANS_MAX = 3.0  # no forecast for longer than three times the counted span
CONTEXTS_MAX = 3  # in which a listed question is asked, the most used first

_encode = msgspec.msgpack.Encoder().encode


class Stage(Struct, frozen=True, kw_only=True):
    """What cache warming needs from one configuration."""

    config: PrecomputeConfig
    window: Window | None
    book: Path | None
    """The semantic cache's file; None: there is none, so nothing is counted."""
    endpoint: Callable[[str], Endpoint | None]
    """The endpoint of that name; None: it does not exist."""
    tenants: Mapping[str, Tenant] | None
    """Tenants that have a key; None: no key is needed, so anybody may ask."""
    exact_ttl_s: float
    batch_target: Callable[[Request], Awaitable[Target | None]] | None = None
    """The target of a question, if its provider has batches; None: no provider has."""


class Ask(Struct, frozen=True, kw_only=True):
    """One question of a plan, ready to be asked."""

    recipe: RequestTemplate
    question: str
    anew: bool
    """Its stored answer expires soon, so it must not be read."""


class Prepared(Struct, frozen=True, kw_only=True):
    """A plan, and how to carry it out."""

    plan: Plan
    asks: dict[str, Ask]
    """By the candidate's key."""
    counted_s: float | None
    """Length of the counted span; None: nothing was counted."""


async def prepare(
    stage: Stage,
    *,
    since_unix_s: float | None,
    clock_unix_s: Callable[[], float],
    endpoint: str | None = None,
    done: frozenset[str] = frozenset(),
    budget_nusd: int | None = None,
) -> Prepared:
    """Plan a run; nothing is spent or changed.

    `since_unix_s` is when the last run ended; `done` are the keys that this run has already answered.

    Raises:
        ConfigError: the list of questions cannot be read. StoreError: the counts cannot.
    """
    config = stage.config
    counts = Counts(questions=(), since_unix_s=None, now_unix_s=clock_unix_s(), recipes=())
    if stage.book is not None:
        book = QueryCounts(stage.book, clock_unix_s=clock_unix_s)
        try:
            counts = await book.counts(since_unix_s=since_unix_s, lasting_s=HORIZON_S)
        finally:
            await book.aclose()
    gathered = _Gathered(stage, counts, endpoint, done)
    if config.file is not None:
        for listed in read_listed(config.file):
            gathered.add_listed(listed)
    for counted in counts.questions:
        gathered.add_counted(counted)
    counted_s = None if counts.since_unix_s is None else max(1.0, counts.now_unix_s - counts.since_unix_s)
    planned = plan(
        gathered.candidates,
        counts=[counted.asks for counted in counts.questions],
        spans=1.0 if counted_s is None else min(SPANS_MAX, HORIZON_S / counted_s),
        budget_nusd=int(config.usd_max * NUSD_PER_USD) if budget_nusd is None else budget_nusd,
        questions_max=config.questions_max,
        seen_min=config.seen_min,
    )
    for reason, count in gathered.left_out.items():
        planned.left_out[reason] = planned.left_out.get(reason, 0) + count
    return Prepared(plan=planned, asks=gathered.asks, counted_s=counted_s)


class _Gathered:
    """Candidates, and why other questions are not candidates."""

    def __init__(self, stage: Stage, counts: Counts, only: str | None, done: frozenset[str]) -> None:
        self.candidates: list[Candidate] = []
        self.asks: dict[str, Ask] = {}
        self.left_out: dict[str, int] = {}
        self._stage = stage
        self._counts = counts
        self._only = only
        self._done = done
        self._by_key = {counted.key: counted for counted in counts.questions}
        costs: dict[str, list[int]] = {}
        for counted in counts.questions:
            if counted.cost_nusd is not None:
                costs.setdefault(counted.recipe.endpoint, []).append(counted.cost_nusd)
        self._mean_nusd = {name: sum(known) // len(known) for name, known in costs.items()}

    def add_counted(self, counted: Counted) -> None:
        expires_s = counted.expires_unix_s
        if expires_s is not None and expires_s > self._counts.now_unix_s + HORIZON_S:
            self._leave_out("answered already")
            return
        self._add(counted.recipe, counted.question, counted, "asked" if expires_s is None else "expiring")

    def add_listed(self, listed: Listed) -> None:
        recipes = self._contexts(listed)
        if not recipes:
            self._leave_out("listed for an unknown context: give tenant and system")
        for recipe in recipes:
            counted = self._by_key.get(key_of(_encode(recipe), listed.question))
            lasts = counted is not None and (counted.expires_unix_s or 0.0) > (
                self._counts.now_unix_s + HORIZON_S
            )
            if lasts:
                self._leave_out("answered already")
            else:
                self._add(recipe, listed.question, counted, "listed")

    def _add(
        self,
        recipe: RequestTemplate,
        question: str,
        counted: Counted | None,
        why: Literal["asked", "expiring", "listed"],
    ) -> None:
        key = key_of(_encode(recipe), question)
        endpoint = self._stage.endpoint(recipe.endpoint)
        tenants = self._stage.tenants
        if self._only is not None and recipe.endpoint != self._only:
            return
        if key in self._done:
            return
        if endpoint is None:
            self._leave_out("the endpoint is gone")
            return
        if tenants is not None and recipe.tenant.name not in tenants:
            self._leave_out("the tenant is gone")
            return
        probability = hit_probability(endpoint, self._stage.exact_ttl_s)
        if probability <= 0:
            self._leave_out("nothing would serve it")
            return
        cost_nusd = None if counted is None else counted.cost_nusd
        self.candidates.append(
            Candidate(
                key=key,
                endpoint=recipe.endpoint,
                question=question,
                why=why,
                asks=None if counted is None else counted.asks,
                cost_nusd=self._mean_nusd.get(recipe.endpoint) if cost_nusd is None else cost_nusd,
                hit_probability=probability,
            )
        )
        anew = counted is not None and counted.expires_unix_s is not None
        self.asks.setdefault(key, Ask(recipe=recipe, question=question, anew=anew))

    def _contexts(self, listed: Listed) -> list[RequestTemplate]:
        """The contexts in which to ask a listed question."""
        if listed.system is None:
            known = [
                recipe
                for recipe in self._counts.recipes
                if recipe.endpoint == listed.endpoint
                and (listed.tenant is None or recipe.tenant.name == listed.tenant)
                and _single(recipe)
            ]
            if known:
                return known[:CONTEXTS_MAX]
        tenants = self._stage.tenants
        name = listed.tenant or ("default" if tenants is None else None)
        if name is None:
            return []
        tenant = Tenant(name=name) if tenants is None else tenants.get(name, Tenant(name=name))
        messages = [] if listed.system is None else [{"role": "system", "content": listed.system}]
        model = "auto" if listed.endpoint == "default" else f"farthing/{listed.endpoint}"
        body = {"model": model, "messages": [*messages, {"role": "user", "content": ""}]}
        return [RequestTemplate(tenant=tenant, endpoint=listed.endpoint, model=model, body=body)]

    def _leave_out(self, reason: str) -> None:
        self.left_out[reason] = self.left_out.get(reason, 0) + 1


def _single(recipe: RequestTemplate) -> bool:
    """Whether the question stands alone: a listed question follows no conversation."""
    return sum(message.get("role") in ("user", "assistant") for message in recipe.body["messages"]) == 1


def hit_probability(endpoint: Endpoint, exact_ttl_s: float) -> float:
    """The probability that this very question gets the stored answer within the horizon: from the semantic
    cache except when audited, else from the exact cache as long as it keeps the answer."""
    semantic = endpoint.semantic
    if semantic is not None and semantic.mode == "on":
        return min(1.0, semantic.ttl_s / HORIZON_S) * (1 - semantic.audit_share)
    if endpoint.cache_exact in ("on", "refresh"):
        ttl_s = exact_ttl_s if endpoint.cache_ttl_s is None else endpoint.cache_ttl_s
        return min(1.0, ttl_s / HORIZON_S)
    return 0.0
