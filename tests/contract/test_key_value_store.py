"""What every KeyValueStore does. A new store is one more line in STORES."""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farthing.errors import StoreError
from farthing.protocols import KeyValueStore
from farthing.stores.kv.memory import ENTRY_BYTES, MemoryStore
from farthing.stores.kv.sqlite import ROW_BYTES, SqliteStore
from farthing.wiring.foreign import Calls, ForeignStore

T = TypeVar("T")


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


Make = Callable[[Path, Clock, int, int], KeyValueStore]
STORES: dict[str, tuple[Make, int]] = {
    "memory": (lambda path, clock, n, b: MemoryStore(entries_max=n, bytes_max=b, clock=clock), ENTRY_BYTES),
    "sqlite": (
        lambda path, clock, n, b: SqliteStore(path / "kv.db", entries_max=n, bytes_max=b, clock=clock),
        ROW_BYTES,
    ),
    "a plug-in's": (
        lambda path, clock, n, b: ForeignStore(
            MemoryStore(entries_max=n, bytes_max=b, clock=clock), Calls("toy")
        ),
        ENTRY_BYTES,
    ),
}


class Case:
    """One implementation, its clock, and what it counts for an entry beside key and value."""

    def __init__(self, name: str, path: Path) -> None:
        self.make, self.entry_bytes = STORES[name]
        self.path = path
        self.clock = Clock()

    def run(self, work: Callable[[KeyValueStore], Awaitable[T]], entries: int = 100, size: int = 10**6) -> T:
        async def go() -> T:
            store = self.make(self.path, self.clock, entries, size)
            try:
                return await work(store)
            finally:
                await store.aclose()

        return asyncio.run(go())


@pytest.fixture(params=STORES)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    return Case(request.param, tmp_path)


def test_an_unknown_key_is_a_miss(case: Case) -> None:
    assert case.run(lambda store: store.get(b"nope")) is None


def test_a_value_comes_back_byte_for_byte_and_the_newest_one(case: Case) -> None:
    async def work(store: KeyValueStore) -> bytes | None:
        await store.set(b"k\x00", b"old", ttl_s=60)
        await store.set(b"k\x00", b"\x00\xff", ttl_s=60)
        return await store.get(b"k\x00")

    assert case.run(work) == b"\x00\xff"


def test_a_value_is_gone_when_its_time_is_over(case: Case) -> None:
    async def work(store: KeyValueStore) -> list[bytes | None]:
        await store.set(b"k", b"v", ttl_s=10)
        case.clock.now_s += 9.9
        before = await store.get(b"k")
        case.clock.now_s += 0.2
        return [before, await store.get(b"k")]

    assert case.run(work) == [b"v", None]


def test_without_time_to_live_nothing_is_kept_not_even_what_was_there(case: Case) -> None:
    async def work(store: KeyValueStore) -> bytes | None:
        await store.set(b"k", b"old", ttl_s=60)
        await store.set(b"k", b"new", ttl_s=0)
        return await store.get(b"k")

    assert case.run(work) is None


def test_the_entry_used_longest_ago_makes_room(case: Case) -> None:
    async def work(store: KeyValueStore) -> list[bytes | None]:
        for key in (b"a", b"b", b"c"):
            await store.set(key, key, ttl_s=60)
        await store.get(b"a")
        await store.set(b"d", b"d", ttl_s=60)
        return [await store.get(key) for key in (b"a", b"b", b"c", b"d")]

    assert case.run(work, entries=3) == [b"a", None, b"c", b"d"]


def test_bytes_are_bounded_too(case: Case) -> None:
    size = 3 * (1_001 + case.entry_bytes)

    async def work(store: KeyValueStore) -> list[bool]:
        for key in (b"a", b"b", b"c", b"d"):
            await store.set(key, b"v" * 1_000, ttl_s=60)
        return [await store.get(key) is not None for key in (b"a", b"b", b"c", b"d")]

    assert case.run(work, size=size) == [False, True, True, True]


def test_a_value_larger_than_the_whole_store_is_not_kept_and_pushes_nothing_out(case: Case) -> None:
    async def work(store: KeyValueStore) -> list[bytes | None]:
        await store.set(b"small", b"v", ttl_s=60)
        await store.set(b"large", b"old", ttl_s=60)
        await store.set(b"large", b"v" * 10_000, ttl_s=60)
        return [await store.get(b"small"), await store.get(b"large")]

    assert case.run(work, size=5_000) == [b"v", None]


def test_many_users_at_once_do_not_disturb_each_other(case: Case) -> None:
    async def work(store: KeyValueStore) -> bool:
        async def use(n: int) -> bool:
            key = f"k{n}".encode()
            await store.set(key, key, ttl_s=60)
            return await store.get(key) == key

        return all(await asyncio.gather(*(use(n) for n in range(50))))

    assert case.run(work)


def test_closing_twice_is_harmless(case: Case) -> None:
    async def work(store: KeyValueStore) -> None:
        await store.aclose()

    case.run(work)


_KEYS = st.sampled_from([b"a", b"b", b"c", b"d", b"e"])
_STEPS = st.lists(
    st.tuples(st.just("get"), _KEYS, st.just(0), st.just(0.0))
    | st.tuples(st.just("set"), _KEYS, st.integers(0, 400), st.floats(0.5, 20))
    | st.tuples(st.just("wait"), st.just(b""), st.just(0), st.floats(0.1, 10)),
    max_size=30,
)


@given(steps=_STEPS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_store_never_returns_what_was_not_set_and_keeps_what_fits(
    case: Case, steps: list[tuple[str, bytes, int, float]]
) -> None:
    """Against a model: an unbounded dict with expiry. Room for three entries of any size used here."""
    entries = 3
    model: dict[bytes, tuple[bytes, float]] = {}
    order: list[bytes] = []
    case.clock.now_s = 1_000.0

    async def work(store: KeyValueStore) -> None:
        for step, key, size, seconds in steps:
            if step == "wait":
                case.clock.now_s += seconds
                continue
            if step == "set":
                value = key * size
                await store.set(key, value, ttl_s=seconds)
                model[key] = (value, case.clock.now_s + seconds)
            else:
                found = await store.get(key)
                value, expires_s = model.get(key, (b"", 0.0))
                live = expires_s > case.clock.now_s
                assert found is None or (live and found == value)
                # At most three live entries: one of the three keys used last is always there.
                if live and key in order[-entries:]:
                    assert found == value
                if found is None:
                    continue
            if key in order:
                order.remove(key)
            order.append(key)

    with tempfile.TemporaryDirectory() as fresh:
        case.path = Path(fresh)
        case.run(work, entries=entries)


# -- what only a file can go through ----------------------------------------------------------------


def filed(path: Path) -> SqliteStore:
    return SqliteStore(path, entries_max=100, bytes_max=10**6)


def test_a_file_survives_a_restart_and_its_bounds_are_still_known(tmp_path: Path) -> None:
    async def write() -> None:
        store = SqliteStore(tmp_path / "kv.db", entries_max=3, bytes_max=10**6)
        for key in (b"a", b"b", b"c"):
            await store.set(key, key, ttl_s=60)
        await store.aclose()

    async def read() -> list[bytes | None]:
        store = SqliteStore(tmp_path / "kv.db", entries_max=3, bytes_max=10**6)
        await store.set(b"d", b"d", ttl_s=60)
        found = [await store.get(key) for key in (b"a", b"b", b"c", b"d")]
        await store.aclose()
        return found

    asyncio.run(write())
    assert asyncio.run(read()) == [None, b"b", b"c", b"d"]


@pytest.mark.parametrize("damage", ["no database", "damaged page"])
def test_a_damaged_file_is_set_aside_at_the_start_and_a_new_one_serves(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "kv.db"

    async def fill() -> None:
        store = filed(path)
        for n in range(50):
            await store.set(f"k{n}".encode(), b"v" * 3_000, ttl_s=60)
        await store.aclose()

    asyncio.run(fill())
    data = bytearray(path.read_bytes())
    data[0 if damage == "no database" else 4_096 :] = b"\xa5" * (len(data) - 4_096)
    path.write_bytes(data)

    async def use() -> bytes | None:
        store = filed(path)
        await store.set(b"k", b"v", ttl_s=60)
        found = await store.get(b"k")
        await store.aclose()
        return found

    assert asyncio.run(use()) == b"v"
    aside = [p for p in tmp_path.glob("kv.db.corrupt-*") if not p.name.endswith(("-wal", "-shm"))]
    assert len(aside) == 1


def test_a_file_locked_by_another_process_is_a_store_error_within_a_second(tmp_path: Path) -> None:
    async def go() -> float:
        store = filed(tmp_path / "kv.db")
        other = apsw.Connection(str(tmp_path / "kv.db"))
        other.execute("BEGIN IMMEDIATE")
        started_s = time.monotonic()
        with pytest.raises(StoreError):
            await store.set(b"k", b"v", ttl_s=60)
        took_s = time.monotonic() - started_s
        other.execute("ROLLBACK")
        other.close()
        await store.set(b"k", b"v", ttl_s=60)
        assert await store.get(b"k") == b"v"
        await store.aclose()
        return took_s

    assert asyncio.run(go()) < 1.0


def test_the_loop_goes_on_while_the_file_is_locked(tmp_path: Path) -> None:
    async def go() -> float:
        store = filed(tmp_path / "kv.db")
        other = apsw.Connection(str(tmp_path / "kv.db"))
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.ensure_future(store.set(b"k", b"v", ttl_s=60))
        longest_s, last_s = 0.0, time.monotonic()
        while not waiting.done():
            await asyncio.sleep(0.001)
            now_s = time.monotonic()
            longest_s, last_s = max(longest_s, now_s - last_s), now_s
        with pytest.raises(StoreError):
            await waiting
        other.close()
        await store.aclose()
        return longest_s

    assert asyncio.run(go()) < 0.2


def test_a_closed_file_is_a_store_error(tmp_path: Path) -> None:
    async def go() -> None:
        store = filed(tmp_path / "kv.db")
        await store.aclose()
        with pytest.raises(StoreError):
            await store.get(b"k")

    asyncio.run(go())


def test_a_file_that_cannot_be_made_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError):
        filed(tmp_path / "file" / "kv.db")
