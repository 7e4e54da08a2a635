"""Doubted entries are asked again by the gateway itself: those that were of use, and none over and over."""

import asyncio
from pathlib import Path

from tests.semantic import Cache, faq, question, with_cache
from tests.unit.jobs.test_runner import NO_WAIT, Bench, until

from farthing.brain.cache.semantic.store.invalidate import Selection
from farthing.jobs.refresh import AGAIN_S, Refresh
from farthing.types import Endpoint

ASKED = "when do you open"
ANSWER = "from nine to five"


async def doubted(cache: Cache, *, hits: int) -> None:
    """One entry that was hit so often, and is doubted."""
    await cache.ask(question(ASKED), ANSWER)
    for _ in range(hits):
        lookup = await cache.lookup(question(ASKED))
        assert lookup is not None and lookup.serves
    await cache.cache_state.written()
    await cache.cache_state.maintain()
    await cache.cache_state.invalidations.invalidate(
        Selection(endpoint="faq"), who="a test", check=frozenset({"faq"})
    )
    assert len(await cache.cache_state.questions.doubted(10)) == 1


def refresh_on(bench: Bench, cache: Cache, now: list[float], endpoint: Endpoint | None = None) -> Refresh:
    return Refresh(
        bench.jobs,
        lambda: cache.cache_state.questions,
        endpoint={"faq": endpoint or faq()}.get,
        clock=lambda: now[0],
    )


def test_an_entry_that_was_of_use_is_asked_again_once_an_hour(tmp_path: Path) -> None:
    async def work(cache: Cache) -> None:
        await doubted(cache, hits=2)
        bench, now = Bench(NO_WAIT), [0.0]
        refresh = refresh_on(bench, cache, now)
        assert [await refresh.look(), await refresh.look()] == [1, 0]
        now[0] += AGAIN_S
        assert await refresh.look() == 1
        bench.jobs.start()
        await until(lambda: len(bench.receipts) == 2)
        assert {(row.purpose, row.about) for row in bench.receipts} == {("refresh", "e1")}
        await bench.jobs.aclose()
        await bench.parts.transport.aclose()

    with_cache(tmp_path / "s.db", work)


def test_an_entry_nobody_used_waits_for_the_next_who_asks(tmp_path: Path) -> None:
    async def work(cache: Cache) -> None:
        await doubted(cache, hits=0)
        bench = Bench(NO_WAIT)
        assert await refresh_on(bench, cache, [0.0]).look() == 0
        await bench.parts.transport.aclose()

    with_cache(tmp_path / "s.db", work)


def test_nothing_is_asked_for_an_endpoint_whose_semantic_cache_is_off_or_gone(tmp_path: Path) -> None:
    async def work(cache: Cache) -> None:
        await doubted(cache, hits=2)
        bench = Bench(NO_WAIT)
        assert await refresh_on(bench, cache, [0.0], Endpoint(name="faq")).look() == 0
        gone = Refresh(bench.jobs, lambda: None, endpoint=lambda name: None, clock=lambda: 0.0)
        assert await gone.look() == 0
        await asyncio.sleep(0)
        await bench.parts.transport.aclose()

    with_cache(tmp_path / "s.db", work)


def test_a_fresh_answer_that_was_asked_for_takes_the_old_ones_place_and_its_hits(tmp_path: Path) -> None:
    now = [1_000.0]

    async def work(cache: Cache) -> None:
        await cache.ask(question(ASKED), ANSWER)
        await cache.lookup(question(ASKED))
        await cache.cache_state.written()
        await cache.cache_state.maintain()
        now[0] += 600_000.0  # of the week that it is kept
        anew = faq(cache_exact="refresh")
        lookup = await cache.ask(question(ASKED, endpoint=anew), ANSWER)
        assert lookup is not None and not lookup.serves
        now[0] += 600_000.0
        lookup = await cache.lookup(question(ASKED))
        assert lookup is not None and lookup.serves
        await cache.cache_state.written()
        await cache.cache_state.maintain()
        (told,) = (await cache.cache_state.invalidations.find(Selection(endpoint="faq"))).examples
        assert told["hits"] == 2

    with_cache(tmp_path / "s.db", work, clock=lambda: now[0])
