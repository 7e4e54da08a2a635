"""What is worth planning: counts from the semantic cache's file, lines of a list, and who may ask at all."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.semantic import Cache, faq, question, with_cache

from farthing.brain.cache.semantic.store.query_counts import QueryCounts
from farthing.config import PrecomputeConfig
from farthing.errors import ConfigError
from farthing.jobs.prewarm.gather import HORIZON_S, Prepared, Stage, hit_probability, prepare
from farthing.types import Endpoint, Semantics, Tenant

DAY = 86_400.0
ON = Endpoint(name="faq", semantic=Semantics(mode="on", threshold=0.9, audit_share=0.1))


def stage(folder: Path, *lines: dict[str, Any], **changes: Any) -> Stage:
    file = folder / "questions.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)) + "\n")
    fields: dict[str, Any] = {
        "config": PrecomputeConfig(file=file),
        "window": None,
        "book": None,
        "endpoint": {"faq": ON}.get,
        "tenants": None,
        "exact_ttl_s": DAY,
    }
    return Stage(**(fields | changes))


def planned(of: Stage, **changes: Any) -> Prepared:
    return asyncio.run(prepare(of, since_unix_s=None, clock_unix_s=time.time, **changes))


def asked_often(path: Path, counts: dict[str, int], clock: Callable[[], float] = time.time) -> None:
    """Questions that were asked so often, none of them answered."""

    async def work(cache: Cache) -> None:
        for text, count in counts.items():
            for _ in range(count):
                await cache.lookup(question(text))
        await cache.cache_state.maintain()

    with_cache(path, work, clock=clock)


def test_questions_are_asked_in_the_context_they_came_in(tmp_path: Path) -> None:
    book = tmp_path / "s.db"
    asked_often(book, {"When do you open?": 5, "Where are you?": 1})
    found = planned(stage(tmp_path, book=book, config=PrecomputeConfig()))
    assert found.plan.left_out == {"asked too seldom": 1, "price unknown": 1}
    listed = planned(stage(tmp_path, {"question": "Who are you?", "endpoint": "faq"}, book=book))
    ask = listed.asks[listed.plan.questions[0].candidate.key]
    assert ask.question == "Who are you?" and ask.recipe.tenant == question("x").tenant
    assert ask.recipe.body["messages"][-1] == {"role": "user", "content": ""}


def test_a_question_that_is_answered_until_tomorrow_is_not_asked_again(tmp_path: Path) -> None:
    book = tmp_path / "s.db"

    async def work(cache: Cache) -> None:
        for _ in range(5):
            await cache.ask(question("When do you open?", endpoint=faq()), "At nine.")
        await cache.cache_state.maintain()

    with_cache(book, work)
    found = planned(stage(tmp_path, {"question": "When do you open?", "endpoint": "faq"}, book=book))
    assert found.plan.questions == () and found.plan.left_out == {"answered already": 2}
    assert found.counted_s is not None


def test_counts_begin_anew_after_a_run_but_what_came_since_stays(tmp_path: Path) -> None:
    book, now = tmp_path / "s.db", [1_000.0]
    asked_often(book, {"old": 5}, clock=lambda: now[0])
    now[0] = 2_000.0
    asked_often(book, {"new": 3}, clock=lambda: now[0])

    async def go() -> dict[str, int]:
        counts = QueryCounts(book, clock_unix_s=lambda: now[0])
        await counts.begin_anew(1_500.0)
        found = await counts.counts(since_unix_s=1_500.0, lasting_s=HORIZON_S)
        await counts.aclose()
        return {one.question: one.asks for one in found.questions}

    assert asyncio.run(go()) == {"new": 3}


def test_a_list_for_an_endpoint_nobody_asked_at_needs_a_tenant_where_keys_are_asked_for(
    tmp_path: Path,
) -> None:
    line = {"question": "Who are you?", "endpoint": "faq"}
    acme = {"acme": Tenant(name="acme", plan="gold")}
    assert planned(stage(tmp_path, line, tenants=acme)).plan.questions == ()
    found = planned(stage(tmp_path, line | {"tenant": "acme", "system": "Be brief."}, tenants=acme))
    (ask,) = found.asks.values()
    assert ask.recipe.tenant == acme["acme"]
    assert [message["role"] for message in ask.recipe.body["messages"]] == ["system", "user"]


def test_money_is_spent_for_no_tenant_and_no_endpoint_that_is_gone(tmp_path: Path) -> None:
    lines = [
        {"question": "a", "endpoint": "faq", "tenant": "gone"},
        {"question": "b", "endpoint": "gone", "tenant": "acme"},
    ]
    found = planned(stage(tmp_path, *lines, tenants={"acme": Tenant(name="acme")}))
    assert found.plan.left_out == {"the tenant is gone": 1, "the endpoint is gone": 1}


def test_only_one_endpoints_questions_are_planned_when_that_is_asked_for(tmp_path: Path) -> None:
    line = {"question": "a", "endpoint": "faq"}
    assert len(planned(stage(tmp_path, line), endpoint="faq").plan.questions) == 1
    assert planned(stage(tmp_path, line), endpoint="other").plan.questions == ()


def test_what_no_cache_would_serve_is_not_bought(tmp_path: Path) -> None:
    observing = Endpoint(name="faq", cache_exact="off", semantic=Semantics(mode="observe"))
    found = planned(stage(tmp_path, {"question": "a", "endpoint": "faq"}, endpoint={"faq": observing}.get))
    assert found.plan.left_out == {"nothing would serve it": 1}


@pytest.mark.parametrize(
    ("endpoint", "probability"),
    [
        (ON, 0.9),
        (Endpoint(name="e", semantic=Semantics(mode="observe"), cache_ttl_s=DAY / 4), 0.25),
        (Endpoint(name="e", cache_ttl_s=10 * DAY), 1.0),
        (Endpoint(name="e", cache_exact="observe"), 0.0),
    ],
)
def test_an_answer_serves_as_long_as_its_cache_keeps_it(endpoint: Endpoint, probability: float) -> None:
    assert hit_probability(endpoint, DAY) == pytest.approx(probability)


@pytest.mark.parametrize("line", ["{", '{"question": "a"}', '{"question": " ", "endpoint": "faq"}', "\xff"])
def test_a_list_with_a_bad_line_is_refused_by_its_number(tmp_path: Path, line: str) -> None:
    of = stage(tmp_path, {"question": "good", "endpoint": "faq"})
    assert of.config.file is not None
    with of.config.file.open("ab") as file:
        file.write(b"\n" + line.encode("latin-1") + b"\n")
    with pytest.raises(ConfigError, match=r"questions\.jsonl:3"):
        planned(of)
