"""What is forgotten is gone from every cache, holds up nobody, and costs no other file."""

import asyncio
import threading
import time
from pathlib import Path

import apsw
import pytest
from click.testing import CliRunner
from tests.asking import asked
from tests.semantic import ON, Cache, counted, faq, question, receipt, said, with_cache

from farthing.brain.cache.keys import CacheKeys
from farthing.brain.cache.semantic.store.admin import SemanticCacheAdmin
from farthing.brain.cache.semantic.store.entries_file import EntryStore, one
from farthing.brain.cache.semantic.store.invalidate import Selection
from farthing.brain.cache.semantic.store.purge import AT_ONCE, Invalidations
from farthing.brain.cache.semantic.store.query_counts import QueryCounts
from farthing.brain.cache.semantic.store.state import SemanticCacheState
from farthing.cli.commands.cache import command
from farthing.errors import StoreError
from farthing.stores.vector.partitions import PartitionedIndex
from farthing.types import Endpoint, Tenant, replace

BODY = {"model": "auto", "messages": [{"role": "user", "content": "May I return it?"}]}


# -- the exact cache forgets with it ------------------------------------------------------------------


def test_an_answer_from_another_version_of_a_document_has_another_exact_key() -> None:
    keys = CacheKeys()
    plain, old, new = (
        keys.key(asked(body=BODY, documents=documents)) for documents in ((), ("returns@1",), ("returns@2",))
    )
    assert len({plain, old, new}) == 3
    versions = [faq(replace(ON, documents=version)) for version in ("", "2024-05", "2024-06")]
    assert len({keys.key(asked(body=BODY, endpoint=endpoint)) for endpoint in versions}) == 3


def test_the_terms_of_the_semantic_cache_alone_change_no_exact_key() -> None:
    keys = CacheKeys(forgotten=lambda endpoint: 0)
    without = keys.key(asked(body=BODY, endpoint=Endpoint(name="faq")))
    assert keys.key(asked(body=BODY, endpoint=faq())) == without


def test_an_invalidation_moves_the_exact_keys_of_its_endpoint_and_of_no_other(tmp_path: Path) -> None:
    async def work(cache: Cache) -> None:
        invalidations = cache.cache_state.invalidations
        keys = CacheKeys(forgotten=invalidations.forgotten)
        mine, others = (
            asked(body=BODY, endpoint=Endpoint(name=name, semantic=ON)) for name in ("faq", "shop")
        )
        before, other = keys.key(mine), keys.key(others)
        admin = SemanticCacheAdmin(invalidations)
        await admin.invalidate({"endpoint": "faq"}, apply=False, who="jo")
        assert keys.key(mine) == before, "a dry run changes nothing"
        await admin.invalidate({"endpoint": "faq"}, apply=True, who="jo")
        first = keys.key(mine)
        assert first != before and keys.key(others) == other
        beside = EntryStore(tmp_path / "s.db", entries_max=10, bytes_max=10_000, beside=True)
        await Invalidations(beside).invalidate(Selection(document="returns"), who="jo", check=frozenset())
        await beside.aclose()
        await cache.cache_state.maintain()  # as it is done every two seconds
        assert keys.key(mine) not in (before, first) and keys.key(others) != other

    with_cache(tmp_path / "s.db", work)


# -- nobody waits -----------------------------------------------------------------------------------


def test_the_loop_has_its_turns_while_thousands_are_forgotten(tmp_path: Path) -> None:
    count = 3_000

    async def work(cache: Cache) -> None:
        cache_state = cache.cache_state
        lookup = await cache.lookup(question("How do I pay?"))
        assert lookup is not None
        for key in range(1, count + 1):
            cache_state._index.add(b"p%d" % (key % 50), key, lookup.vector)
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(others())
        await cache_state._forget([(key, b"p%d" % (key % 50)) for key in range(1, count + 1)])
        task.cancel()
        assert len(cache_state._index) == 0
        assert turns >= count // 50

    with_cache(tmp_path / "s.db", work)


def test_a_file_that_cannot_be_read_at_the_start_is_read_when_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("farthing.brain.cache.semantic.store.state.AGAIN_S", 0.05)

    async def work(cache: Cache) -> None:
        cache_state = cache.cache_state
        await cache.ask(question("How do I pay?"), "By card.")
        cache_state.ready = False
        other = apsw.Connection(str(tmp_path / "s.db"))  # one library, so that its locks are seen
        other.execute("ALTER TABLE gone RENAME TO away")
        cache_state.start()
        await asyncio.sleep(0.5)
        assert cache_state.gauges()["semantic_ready"] == 0
        other.execute("ALTER TABLE away RENAME TO gone")
        other.execute("BEGIN IMMEDIATE")  # one that writes is no reason to wait
        async with asyncio.timeout(60):
            while not cache_state.ready:  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.02)
        other.close()
        lookup = await cache.lookup(question("How do I pay?"))
        assert lookup is not None and lookup.serves

    with_cache(tmp_path / "s.db", work)


def test_no_look_waits_for_what_reads_every_entry(tmp_path: Path) -> None:
    async def work(cache: Cache) -> None:
        cache_state = cache.cache_state
        await cache.ask(question("How do I pay?"), "By card.")
        go_on = threading.Event()
        reading = asyncio.create_task(cache_state.entry_store.read_aside(lambda db: go_on.wait(60)))
        await asyncio.sleep(0.05)
        lookup = await cache.lookup(question("How do I pay?"))
        assert lookup is not None and lookup.serves and not reading.done()
        go_on.set()
        assert await reading is True
        held = asyncio.create_task(cache_state.entry_store.run(lambda db: go_on.wait(60)))
        go_on.clear()
        await asyncio.sleep(0.05)
        admin = SemanticCacheAdmin(cache_state.invalidations)
        assert (await admin.show())["entries"] == 1
        assert (await admin.invalidate({"endpoint": "faq"}, apply=False, who="jo"))["entries"] == 1
        assert await cache_state.questions.doubted(10) == []
        assert not held.done(), "none of the three went through the thread of the look-ups"
        go_on.set()
        await held

    with_cache(tmp_path / "s.db", work)


def test_a_look_has_its_turn_while_much_is_invalidated(tmp_path: Path) -> None:
    count = 10 * AT_ONCE

    async def work(cache: Cache) -> None:
        for number in range(count):
            await cache.ask(question(f"Where is page {number}?", user=f"u{number}"), f"On shelf {number}.")
        await cache.cache_state.written()
        admin = SemanticCacheAdmin(cache.cache_state.invalidations)
        dropping = asyncio.create_task(admin.invalidate({"endpoint": "faq"}, apply=True, who="jo"))
        left = []
        while not dropping.done():
            left.append(
                await cache.cache_state.entry_store.run(lambda db: one(db, "SELECT count(*) FROM entries"))
            )
        assert len({number for number in left if 0 < number < count}) > 3, left
        assert (await dropping)["entries"] == count
        (row,) = await cache.cache_state.invalidations.log(10)
        assert (row["dropped"], row["doubted"]) == (count, 0)

    with_cache(tmp_path / "s.db", work)


def test_an_answer_that_waits_for_the_disk_is_invalidated_too(tmp_path: Path) -> None:
    """It was given before, and must not be served after."""

    async def work(cache: Cache) -> None:
        state = cache.cache_state
        go_on = threading.Event()
        held = asyncio.create_task(state.entry_store.run(lambda db: go_on.wait(60)))
        asks = question("Where is the library?")
        lookup = await cache.lookup(asks)
        assert lookup is not None
        await cache.answers.store(lookup, asks, said("In the north wing."), receipt())
        admin = SemanticCacheAdmin(state.invalidations, written=state.written)
        asked = asyncio.create_task(admin.invalidate({"endpoint": "faq"}, apply=True, who="jo"))
        await asyncio.sleep(0.05)
        go_on.set()
        await held
        assert (await asked)["entries"] == 1
        await state.written()
        assert await state.entry_store.run(lambda db: one(db, "SELECT count(*) FROM entries")) == 0

    with_cache(tmp_path / "s.db", work)


def test_what_waits_for_the_disk_is_bounded_by_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("farthing.brain.cache.semantic.store.state.PENDING_BYTES_MAX", 100_000)

    async def work(cache: Cache) -> None:
        cache_state = cache.cache_state
        go_on = threading.Event()
        held = asyncio.create_task(cache_state.entry_store.run(lambda db: go_on.wait(60)))
        looks = [(n, await cache.lookup(question(f"What is on page {n}?"))) for n in range(6)]
        for number, lookup in looks:
            assert lookup is not None
            asks = question(f"What is on page {number}?")
            await cache.answers.store(lookup, asks, said("x" * 30_000), receipt())
        assert cache_state.lost == 3, "three of them are all that fits"
        go_on.set()
        await held
        await cache_state.written()
        assert (await cache_state.invalidations.show())["entries"] == 3
        await cache.ask(question("Is one alone too large?"), "x" * 200_000)
        assert (await cache_state.invalidations.show())["entries"] == 4, "there is room again, also for that"
        assert cache_state.lost == 3

    with_cache(tmp_path / "s.db", work)


# -- several processes on one file --------------------------------------------------------------------


def beside(cache: Cache, path: Path) -> SemanticCacheState:
    """What another process has on the same file."""
    embedder = cache.cache_state.embedder
    entry_store = EntryStore(path, entries_max=1_000, bytes_max=10_000_000)
    return SemanticCacheState(entry_store, PartitionedIndex(embedder.dims, name=embedder.name), embedder)


def test_processes_on_one_file_learn_what_the_others_keep_and_drop(tmp_path: Path) -> None:
    path = tmp_path / "s.db"

    async def work(cache: Cache) -> None:
        first, second = cache.cache_state, beside(cache, path)
        await second.load()
        for number in range(3):
            await cache.ask(question(f"How do I pay bill {number}?"), "By card.")
        await second.maintain()
        assert len(second._index) == 3
        cache.answers._cache_state = second
        lookup = await cache.lookup(question("How do I pay bill 1?"))
        assert lookup is not None and lookup.serves
        await cache.ask(question("How tall is a giraffe?"), "Five metres.")
        await second.written()
        await second.maintain()  # its own is not taken for another's
        await first.maintain()
        assert len(first._index) == len(second._index) == 4
        await first.invalidations.invalidate(
            Selection(entry=lookup.candidate.entry if lookup.candidate else ""), who="jo", check=frozenset()
        )
        for one_of_them in (first, second):  # neither takes the news from the other
            await one_of_them.maintain()
            assert len(one_of_them._index) == 3
        await second.aclose()

    with_cache(path, work)


def test_a_number_in_the_index_opens_no_other_partition(tmp_path: Path) -> None:
    async def work(cache: Cache) -> None:
        await cache.ask(question("How do I pay?"), "By card.")
        other = question("How do I pay?", tenant=Tenant(name="other"))
        lookup = await cache.lookup(other)
        assert lookup is not None and lookup.candidate is None
        cache.cache_state._index.add(lookup.partition, 1, lookup.vector)  # as after a file was set aside
        again = await cache.lookup(other)
        assert again is not None and again.candidate is None

    with_cache(tmp_path / "s.db", work)


# -- who did not ask by chance ------------------------------------------------------------------------


def test_who_wants_a_fresh_answer_tells_nothing_to_the_bound_without_an_exact_cache_either(
    tmp_path: Path,
) -> None:
    fresh = faq(replace(ON, mode="observe", counted=False), cache_exact="off")

    async def work(cache: Cache) -> None:
        await cache.ask(question("How do I pay?"), "By card.")
        lookup = await cache.ask(question("How do I pay?", endpoint=fresh), "By cheque.")
        assert lookup is not None and not lookup.serves
        assert cache.bound.outcomes == []
        await cache.cache_state.maintain()
        (row,) = await counted(tmp_path / "s.db")
        assert row.asks == 1, "nor is it an ask that answering ahead should count"

    with_cache(tmp_path / "s.db", work)


def test_nothing_is_served_any_more_when_the_certificate_runs_out_in_a_running_gateway(
    tmp_path: Path,
) -> None:
    now = [1_000.0]
    certified = faq(replace(ON, until_unix_s=2_000.0))

    async def work(cache: Cache) -> None:
        await cache.ask(question("How do I pay?", endpoint=certified), "By card.")
        lookup = await cache.lookup(question("How do I pay?", endpoint=certified))
        assert lookup is not None and lookup.serves
        now[0] = 2_000.0
        lookup = await cache.lookup(question("How do I pay?", endpoint=certified))
        assert lookup is not None and not lookup.serves and lookup.candidate is not None

    with_cache(tmp_path / "s.db", work, clock=lambda: now[0])


# -- files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["show"], ["log"], ["invalidate", "--all", "--apply"]])
def test_a_command_never_touches_a_file_that_is_something_else(tmp_path: Path, words: list[str]) -> None:
    file = tmp_path / "notes.txt"
    file.write_bytes(b"These are my notes, and no database at all. " * 50)
    file.chmod(0o644)
    held = file.read_bytes()
    done = CliRunner().invoke(command, [*words, "--file", str(file)])
    assert done.exit_code != 0
    assert isinstance(done.exception, StoreError) and "notes.txt" in str(done.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    assert file.read_bytes() == held and file.stat().st_mode & 0o777 == 0o644


def test_counting_beside_a_gateway_never_sets_its_file_aside(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    path.write_bytes(b"damaged" * 1_000)
    with pytest.raises(StoreError):
        QueryCounts(path)
    assert [one.name for one in tmp_path.iterdir()] == ["s.db"]


def test_a_command_reads_beside_a_gateway_that_writes(tmp_path: Path) -> None:
    path = tmp_path / "s.db"

    async def work(cache: Cache) -> None:
        await cache.ask(question("How do I pay?"), said("By card."))
        shown = await asyncio.to_thread(CliRunner().invoke, command, ["show", "--file", str(path)])
        assert shown.exit_code == 0 and shown.stdout.startswith("1 entries")
        began_s = time.monotonic()
        told = await asyncio.to_thread(
            CliRunner().invoke, command, ["invalidate", "--all", "--apply", "--file", str(path)]
        )
        assert told.exit_code == 0 and time.monotonic() - began_s < 5
        lookup = await cache.lookup(question("How do I pay?"))
        assert lookup is not None and lookup.candidate is None

    with_cache(path, work)
