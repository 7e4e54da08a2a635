"""What is kept when there is no room for all, what goes on request, and what a crash leaves."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import apsw
import msgspec
import pytest
from tests.semantic import said

from farthing.brain.cache.semantic.store.entries import Entry, RequestTemplate, entry_id, entry_key
from farthing.brain.cache.semantic.store.entries_file import ROW_BYTES, EntryStore, priority
from farthing.brain.cache.semantic.store.invalidate import Selection, read_selection
from farthing.brain.cache.semantic.store.purge import Invalidations
from farthing.brain.cache.semantic.store.questions import Questions
from farthing.errors import InvalidRequest
from farthing.types import Tenant, replace

T = TypeVar("T")
NOW_S = 1_000_000.0
ROOT = Path(__file__).parents[6]


def entry(text: str, *, cost_nusd: int | None = 50_000, answer: str = "Yes.", **changes: object) -> Entry:
    made = Entry(
        partition=b"p" * 32,
        question=text,
        normalised=text.casefold(),
        vector=b"\0" * 16,
        answer=said(answer, cost_nusd=cost_nusd),
        endpoint="faq",
        tenant="acme",
        target="openai/gpt-x",
        created_unix_s=NOW_S,
        expires_unix_s=NOW_S + 3600,
        request_id=f"r-{text}",
    )
    changed: Entry = replace(made, **changes)
    return changed


def with_entry_store(
    path: Path,
    work: Callable[[EntryStore], Awaitable[T]],
    *,
    entries_max: int = 100,
    bytes_max: int = 10_000_000,
    clock: Callable[[], float] = lambda: NOW_S,
) -> T:
    async def run() -> T:
        entry_store = EntryStore(path, entries_max=entries_max, bytes_max=bytes_max, clock=clock)
        try:
            return await work(entry_store)
        finally:
            await entry_store.aclose()

    return asyncio.run(run())


async def put(entry_store: EntryStore, one: Entry, recipe: bytes | None = None) -> int | None:
    key, _ = await entry_store.put(one, recipe, per_user_hour_max=100)
    return key


async def there(entry_store: EntryStore, *texts: str) -> set[str]:
    heads = await entry_store.heads(b"p" * 32, range(1, 1000))
    return {head.question for head in heads.values()} & set(texts or {h.question for h in heads.values()})


# -- room -------------------------------------------------------------------------------------------


def test_what_is_dear_used_and_small_is_worth_most() -> None:
    base = priority(0.0, 1, 50_000, 1_000)
    assert priority(0.0, 2, 50_000, 1_000) > base < priority(0.0, 1, 90_000, 1_000)
    assert priority(0.0, 1, 50_000, 500) > base < priority(10.0, 1, 50_000, 1_000)


def test_the_cheapest_to_make_again_goes_first(tmp_path: Path) -> None:
    async def work(entry_store: EntryStore) -> None:
        for text, cost_nusd in (("a", 90_000), ("b", 10_000), ("c", 50_000)):
            await put(entry_store, entry(text, cost_nusd=cost_nusd))
        assert await put(entry_store, entry("d", cost_nusd=60_000)) is not None
        assert await there(entry_store) == {"a", "c", "d"}

    with_entry_store(tmp_path / "s.db", work, entries_max=3)


def test_an_answer_in_use_outlives_a_dearer_one_that_is_not(tmp_path: Path) -> None:
    async def work(entry_store: EntryStore) -> None:
        used = await put(entry_store, entry("used", cost_nusd=20_000))
        await put(entry_store, entry("unused", cost_nusd=50_000))
        assert used is not None
        for _ in range(5):
            await entry_store.hit(used)
        await put(entry_store, entry("new", cost_nusd=60_000))
        assert await there(entry_store) == {"used", "new"}

    with_entry_store(tmp_path / "s.db", work, entries_max=2)


def test_an_old_success_fades(tmp_path: Path) -> None:
    async def work(entry_store: EntryStore) -> None:
        old = await put(entry_store, entry("old", cost_nusd=20_000))
        assert old is not None
        for _ in range(3):
            await entry_store.hit(old)
        for number in range(12):
            await put(entry_store, entry(f"new {number}", cost_nusd=30_000))
        assert "old" not in await there(entry_store)

    with_entry_store(tmp_path / "s.db", work, entries_max=3)


def test_an_unpriced_answer_counts_as_one_of_mean_cost(tmp_path: Path) -> None:
    async def work(entry_store: EntryStore) -> None:
        await put(entry_store, entry("dear", cost_nusd=90_000))
        await put(entry_store, entry("poor", cost_nusd=10_000))
        await put(entry_store, entry("who knows", cost_nusd=None))
        await put(entry_store, entry("more", cost_nusd=80_000))
        assert await there(entry_store) == {"dear", "who knows", "more"}

    with_entry_store(tmp_path / "s.db", work, entries_max=3)


def test_bytes_are_bounded_too_and_what_has_expired_goes_first(tmp_path: Path) -> None:
    one_bytes = len(msgspec.msgpack.encode(said("x" * 3_000))) + ROW_BYTES

    async def work(entry_store: EntryStore) -> None:
        await put(entry_store, entry("gone", cost_nusd=900_000, answer="x" * 3_000, expires_unix_s=NOW_S - 1))
        await put(entry_store, entry("kept", cost_nusd=10_000, answer="x" * 3_000))
        await put(entry_store, entry("new", cost_nusd=10_000, answer="x" * 3_000))
        assert await there(entry_store) == {"kept", "new"}
        shown = await Invalidations(entry_store).show()
        assert shown["entries"] == 2 and shown["bytes"] <= int(2.5 * one_bytes)
        assert await put(entry_store, entry("too large", answer="x" * 30_000)) is None

    with_entry_store(tmp_path / "s.db", work, bytes_max=int(2.5 * one_bytes))


def test_totals_are_what_the_rows_add_up_to(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    recipe = msgspec.msgpack.encode(
        RequestTemplate(tenant=Tenant(name="acme"), endpoint="faq", model="auto", body={})
    )

    async def work(entry_store: EntryStore) -> None:
        for number in range(40):
            partition = bytes([number % 7]) * 32
            await put(entry_store, entry(f"q{number % 25}", answer="y" * number, partition=partition), recipe)
        await entry_store.judged(20, agrees=False, keep_doubted=False)
        await Questions(entry_store).note_asked({(b"z" * 32, "q"): (2, "Q", recipe)})

    with_entry_store(path, work, entries_max=20)
    db = apsw.Connection(str(path))
    (total,) = db.execute("SELECT entries, bytes, priced, cost_nusd FROM total")
    (rows,) = db.execute("SELECT count(*), sum(bytes), count(cost_nusd), sum(cost_nusd) FROM entries")
    (partitions,) = db.execute("SELECT sum(bytes) FROM partitions")
    assert total == (rows[0], rows[1] + partitions[0], rows[2], rows[3])
    (orphans,) = db.execute(
        "SELECT count(*) FROM partitions WHERE partition NOT IN (SELECT partition FROM entries)"
        " AND partition NOT IN (SELECT partition FROM asked)"
    )
    assert orphans == (0,)
    db.close()


def test_questions_that_were_only_asked_take_a_small_part_of_the_room(tmp_path: Path) -> None:
    async def work(entry_store: EntryStore) -> None:
        questions = Questions(entry_store)
        often = (b"p" * 32, "often")
        await questions.note_asked({often: (9, "Often?", b"recipe")})
        for start in range(0, 1_000, 100):
            await questions.note_asked(
                {(b"p" * 32, f"q{n}"): (1, f"Q{n}?", b"recipe") for n in range(start, start + 100)}
            )
        assert (await Invalidations(entry_store).show())["asked"] <= 110

    with_entry_store(tmp_path / "s.db", work, bytes_max=1_000_000)


def test_the_same_words_in_the_same_partition_are_one_entry(tmp_path: Path) -> None:
    async def work(entry_store: EntryStore) -> None:
        first = await put(entry_store, entry("a", answer="old"))
        second, removed = await entry_store.put(entry("a", answer="new"), None, per_user_hour_max=100)
        assert first is not None and second is not None
        assert second != first, "an id names one answer for ever"
        assert removed == [(first, b"p" * 32)]
        assert await entry_store.answer(first) is None

    with_entry_store(tmp_path / "s.db", work)


def test_ids_are_read_back() -> None:
    assert entry_key(entry_id(17)) == 17
    assert [entry_key(odd) for odd in ("", "e", "17", "x17", "e-1", "e1.5", "e" + "9" * 30)] == [None] * 7


# -- invalidation -----------------------------------------------------------------------------------


async def filled(entry_store: EntryStore) -> None:
    await put(entry_store, entry("a", documents=(("returns", "1"), ("terms", "")), tags=("shop",)))
    await put(entry_store, entry("b", tenant="other", documents=(("returns", "2"),), tags=("shop", "de")))
    await put(entry_store, entry("c", endpoint="sales", target="openai/gpt-y", policy="p2", user="u2"))
    await put(entry_store, entry("d", created_unix_s=NOW_S - 1_000, documents_version="2024-05"))


@pytest.mark.parametrize(
    ("selection", "fits"),
    [
        ({"document": "returns"}, "ab"),
        ({"document": "returns@1"}, "a"),
        ({"document": "terms"}, "a"),
        ({"document": "return"}, ""),
        ({"documents_version": "2024-05"}, "d"),
        ({"tenant": "other"}, "b"),
        ({"endpoint": "faq"}, "abd"),
        ({"endpoint": "faq", "tag": "de"}, "b"),
        ({"tag": "shop"}, "ab"),
        ({"tag": "sho"}, ""),
        ({"older_than_s": 500.0}, "d"),
        ({"model": "openai/gpt-y"}, "c"),
        ({"model": "gpt-y"}, "c"),
        ({"policy": "p2"}, "c"),
        ({"user": "u2"}, "c"),
        ({"request": "r-b"}, "b"),
        ({"entry": "e3"}, "c"),
        ({"everything": True}, "abcd"),
        ({"tenant": "' OR 1=1 --"}, ""),
    ],
)
def test_what_fits_is_shown_then_dropped_and_nothing_else(
    tmp_path: Path, selection: dict[str, object], fits: str
) -> None:
    async def work(entry_store: EntryStore) -> None:
        await filled(entry_store)
        wanted, invalidations = read_selection(selection), Invalidations(entry_store)
        found = await invalidations.find(wanted)
        assert found.entries == len(fits)
        assert {example["question"] for example in found.examples} == set(fits)
        assert await there(entry_store) == set("abcd"), "looking changes nothing"
        done = await invalidations.invalidate(wanted, who="jo", check=frozenset())
        assert (done.entries, done.bytes) == (found.entries, found.bytes)
        assert await there(entry_store) == set("abcd") - set(fits)
        (row,) = await invalidations.log(5)
        assert (row["who"], row["what"], row["dropped"]) == ("jo", selection, len(fits))

    with_entry_store(tmp_path / "s.db", work)


def test_endpoints_that_check_doubt_where_others_drop(tmp_path: Path) -> None:
    async def work(entry_store: EntryStore) -> None:
        await filled(entry_store)
        invalidations = Invalidations(entry_store)
        await invalidations.invalidate(Selection(everything=True), who="jo", check=frozenset({"sales"}))
        heads = await entry_store.heads(b"p" * 32, range(1, 10))
        assert {(head.question, head.trust) for head in heads.values()} == {("c", "doubted")}
        (row,) = await invalidations.log(5)
        assert (row["dropped"], row["doubted"]) == (3, 1)

    with_entry_store(tmp_path / "s.db", work)


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"everything": False},
        {"colour": "red"},
        {"tenant": 4},
        {"older_than_s": "1"},
        {"older_than_s": -1},  # older than the future is everything
    ],
)
def test_a_selection_by_nothing_or_by_what_is_not_known_is_refused(raw: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest):
        read_selection(raw)


def test_rows_that_another_process_drops_are_told_to_the_one_with_the_index(tmp_path: Path) -> None:
    path = tmp_path / "s.db"

    async def work(entry_store: EntryStore) -> None:
        await filled(entry_store)
        await entry_store.maintain()
        other = EntryStore(path, entries_max=100, bytes_max=10_000_000, clock=lambda: NOW_S)
        await Invalidations(other).invalidate(Selection(tag="shop"), who="jo", check=frozenset())
        await other.aclose()
        assert {key for key, _ in await entry_store.maintain()} == {1, 2}
        assert await entry_store.maintain() == []

    with_entry_store(path, work)


def test_doubted_entries_are_found_with_what_it_takes_to_ask_again(tmp_path: Path) -> None:
    recipe = RequestTemplate(tenant=Tenant(name="acme"), endpoint="faq", model="auto", body={"messages": []})

    async def work(entry_store: EntryStore) -> None:
        key = await put(entry_store, entry("a"), msgspec.msgpack.encode(recipe))
        assert key is not None
        assert await Questions(entry_store).doubted(5) == []
        await entry_store.judged(key, agrees=False, keep_doubted=True)
        (found,) = await Questions(entry_store).doubted(5)
        assert (found.entry, found.question, found.recipe) == (entry_id(key), "a", recipe)
        await entry_store.judged(key, agrees=True, keep_doubted=True)
        assert await Questions(entry_store).doubted(5) == []

    with_entry_store(tmp_path / "s.db", work)


# -- crashes ----------------------------------------------------------------------------------------

WRITER = """
import asyncio, sys
from pathlib import Path
from tests.unit.brain.cache.semantic.store.test_entries_file import entry, filled, put
from farthing.brain.cache.semantic.store.entries_file import EntryStore

async def main():
    shelf = EntryStore(Path(sys.argv[1]), entries_max=30, bytes_max=10_000_000, clock=lambda: 1_000_000.0)
    number = 0
    while True:
        number += 1
        text, documents = f"question {sys.argv[2]} {number}", (("d", str(number)),)
        one = entry(text, answer="x" * (number % 500), documents=documents)
        key = await put(shelf, one, b"recipe")
        await shelf.hit(key or 1)
        if number % 7 == 0:
            await shelf.judged(key or 1, agrees=False, keep_doubted=number % 2 == 0)
        if number == 5:
            print("writing", flush=True)

asyncio.run(main())
"""


def ids(db: apsw.Connection) -> list[int]:
    return [key for (key,) in db.execute("SELECT id FROM entries")]


@pytest.mark.slow
def test_after_kills_at_any_moment_the_file_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    for life in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(life)], stdout=subprocess.PIPE, env=environment
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"writing\n"
        time.sleep(0.02 * life)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()

        async def work(entry_store: EntryStore) -> None:
            rows = await entry_store.run(ids)
            heads = await entry_store.heads(b"p" * 32, rows)
            assert 0 < len(rows) <= 30 and set(heads) == set(rows)
            for key in heads:
                assert await entry_store.answer(key) is not None
            shown = await Invalidations(entry_store).show()
            assert shown["entries"] == len(rows)

        with_entry_store(path, work, entries_max=30)
        db = apsw.Connection(str(path))
        assert list(db.execute("PRAGMA integrity_check")) == [("ok",)]
        (documents,) = db.execute(
            "SELECT count(*) FROM documents WHERE entry NOT IN (SELECT id FROM entries)"
        )
        assert documents == (0,)
        db.close()
    assert not list(tmp_path.glob("*.corrupt*"))


# -- the command line -------------------------------------------------------------------------------


def test_the_command_line_shows_strangers_text_without_moving_the_cursor(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from farthing.cli.commands.cache import command

    path = tmp_path / "s.db"
    now_s = time.time()

    async def work(entry_store: EntryStore) -> None:
        await put(entry_store, entry("odd \x1b[2J text", created_unix_s=now_s, expires_unix_s=now_s + 60))

    with_entry_store(path, work, clock=lambda: now_s)
    shown = CliRunner().invoke(command, ["invalidate", "--endpoint", "faq", "--file", str(path)])
    assert shown.exit_code == 0
    assert "1 entries" in shown.output and "odd ?[2J text" in shown.output
    assert "nothing was changed" in shown.output
    asked = CliRunner().invoke(command, ["invalidate", "--file", str(path)])
    assert asked.exit_code != 0, "a selection by nothing means nothing"
    old = CliRunner().invoke(command, ["invalidate", "--older-than", "3x", "--file", str(path)])
    assert old.exit_code == 2 and "expected an age" in old.output
