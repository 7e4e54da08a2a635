"""What every ResponseStore does. A new store is one more line in STORES."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import apsw
import pytest
from tests.sampled import at_length

from farthing.errors import StoreError
from farthing.protocols import Held, ResponseStore, StoredResponse
from farthing.stores.responses.bounds import RESPONSE_BYTES, Bounds
from farthing.stores.responses.memory import MemoryResponses
from farthing.stores.responses.sqlite import SqliteResponses

T = TypeVar("T")
TTL_S = 60.0
FILE = "responses.db"
WORDS = b"a secret that nobody else has"


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


STORES: dict[str, Callable[[Path, Bounds, Clock], ResponseStore]] = {
    "memory": lambda folder, bounds, clock: MemoryResponses(bounds, clock),
    "sqlite": lambda folder, bounds, clock: SqliteResponses(folder / FILE, bounds, clock),
}


class Case:
    """One implementation and its clock."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self.clock = Clock()

    def make(
        self,
        responses: int = 100,
        size: int = 10**6,
        share: float = 1.0,
        largest: int = 10**6,
    ) -> ResponseStore:
        bounds = Bounds(
            responses_max=responses, bytes_max=size, tenant_share=share, response_bytes_max=largest
        )
        return STORES[self.name](self.folder, bounds, self.clock)

    def run(
        self,
        work: Callable[[ResponseStore], Awaitable[T]],
        responses: int = 100,
        size: int = 10**6,
        share: float = 1.0,
        largest: int = 10**6,
    ) -> T:
        async def go() -> T:
            store = self.make(responses, size, share, largest)
            try:
                return await work(store)
            finally:
                await store.aclose()
                await store.aclose()

        return asyncio.run(go())

    def one(self, id: str, tenant: str = "acme", size: int = 0, body: bytes = b"{}") -> StoredResponse:
        """A response; with `size` it counts for that many bytes."""
        items = b"i" * (size - RESPONSE_BYTES - len(body)) if size else b"[]"
        return StoredResponse(
            id=id,
            tenant=tenant,
            endpoint="chat",
            created_unix_s=self.clock.now_s,
            expires_unix_s=self.clock.now_s + TTL_S,
            body=body,
            items=items,
        )


@pytest.fixture(params=STORES)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    return Case(request.param, tmp_path)


@pytest.fixture
def sqlite(tmp_path: Path) -> Case:
    return Case("sqlite", tmp_path)


async def there(store: ResponseStore, *ids: str, tenant: str = "acme") -> list[bool]:
    return [await store.get(tenant, id) is not None for id in ids]


def test_a_response_comes_back_as_it_was(case: Case) -> None:
    wanted = case.one("resp_1", body=b'{"text": "\xc3\xa9\x00"}')

    async def work(store: ResponseStore) -> StoredResponse | None:
        await store.ready()
        assert await store.put(wanted)
        return await store.get("acme", "resp_1")

    assert case.run(work) == wanted


def test_an_unknown_a_foreign_a_deleted_and_an_expired_one_are_not_there(case: Case) -> None:
    async def work(store: ResponseStore) -> None:
        assert await store.get("acme", "resp_none") is None
        assert not await store.delete("acme", "resp_none")
        await store.put(case.one("resp_1"))
        await store.put(case.one("resp_2"))
        assert await store.get("other", "resp_1") is None
        assert not await store.delete("other", "resp_1")
        assert await there(store, "resp_1") == [True]
        assert await store.delete("acme", "resp_1")
        assert not await store.delete("acme", "resp_1")
        assert await there(store, "resp_1", "resp_2") == [False, True]
        case.clock.now_s += TTL_S - 0.1
        assert await there(store, "resp_2") == [True]
        case.clock.now_s += 0.1
        assert await there(store, "resp_2") == [False]
        assert not await store.delete("acme", "resp_2")

    case.run(work)


def test_two_tenants_may_have_one_id_each(case: Case) -> None:
    async def work(store: ResponseStore) -> list[bytes]:
        await store.put(case.one("resp_1", "acme", body=b"1"))
        await store.put(case.one("resp_1", "other", body=b"2"))
        await store.delete("acme", "resp_1")
        found = await store.get("other", "resp_1")
        return [] if found is None else [found.body]

    assert case.run(work) == [b"2"]


def test_to_put_the_same_twice_keeps_one(case: Case) -> None:
    async def work(store: ResponseStore) -> Held:
        for _ in range(3):
            assert await store.put(case.one("resp_1", size=1_000))
        return store.held

    assert case.run(work) == Held(responses=1, bytes=1_000)


def test_one_that_is_put_again_is_replaced_in_its_place(case: Case) -> None:
    async def work(store: ResponseStore) -> tuple[StoredResponse, ...] | None:
        for number in range(3):
            await store.put(case.one(f"resp_{number}", size=1_000))
        await store.put(case.one("resp_1", size=1_500, body=b"[1]"))
        assert store.held == Held(responses=3, bytes=3_500)
        assert await store.tenants() == {"acme": Held(responses=3, bytes=3_500)}
        return await store.page("acme", limit=9)

    found = case.run(work)
    assert found is not None
    assert [one.id for one in found] == ["resp_0", "resp_1", "resp_2"]
    assert found[1].body == b"[1]"


def test_those_of_a_tenant_are_paged_in_the_order_in_which_they_came(case: Case) -> None:
    async def ids(store: ResponseStore, after: str, limit: int, *, newest_first: bool) -> list[str] | None:
        found = await store.page("acme", after=after, limit=limit, newest_first=newest_first)
        return None if found is None else [one.id for one in found]

    async def work(store: ResponseStore) -> None:
        assert await ids(store, "", 5, newest_first=False) == []
        assert await ids(store, "resp_0", 5, newest_first=False) is None
        for number in range(6):
            await store.put(case.one(f"resp_{number}"))
            await store.put(case.one(f"foreign_{number}", "other"))
            case.clock.now_s -= 1.0
        assert await ids(store, "", 2, newest_first=False) == ["resp_0", "resp_1"]
        assert await ids(store, "resp_1", 3, newest_first=False) == ["resp_2", "resp_3", "resp_4"]
        assert await ids(store, "resp_5", 3, newest_first=False) == []
        assert await ids(store, "", 2, newest_first=True) == ["resp_5", "resp_4"]
        assert await ids(store, "resp_1", 9, newest_first=True) == ["resp_0"]
        assert await ids(store, "foreign_1", 9, newest_first=True) is None
        await store.delete("acme", "resp_3")
        assert await ids(store, "resp_2", 1, newest_first=False) == ["resp_4"]
        assert await ids(store, "resp_3", 1, newest_first=False) is None
        assert await store.page("acme", limit=1) == (await store.get("acme", "resp_0"),)

    case.run(work)


def test_no_page_has_what_has_expired(case: Case) -> None:
    async def work(store: ResponseStore) -> None:
        await store.put(case.one("resp_1"))
        case.clock.now_s += TTL_S / 2
        await store.put(case.one("resp_2"))
        case.clock.now_s += TTL_S / 2
        assert await store.page("acme", limit=9) == (await store.get("acme", "resp_2"),)
        assert await store.page("acme", after="resp_1", limit=9) is None

    case.run(work)


def test_what_has_expired_is_swept_and_counts_no_longer(case: Case) -> None:
    async def work(store: ResponseStore) -> None:
        for number in range(250):
            await store.put(case.one(f"resp_{number}", size=1_000))
        case.clock.now_s += TTL_S / 2
        await store.put(case.one("resp_late", size=1_000))
        case.clock.now_s += TTL_S / 2
        assert await store.sweep() == 250
        assert await store.sweep() == 0
        assert store.held == Held(responses=1, bytes=1_000)
        assert await there(store, "resp_late") == [True]

    case.run(work, responses=1_000)


def test_the_oldest_make_room_for_the_newest(case: Case) -> None:
    async def work(store: ResponseStore) -> list[bool]:
        for number in range(5):
            await store.put(case.one(f"resp_{number}"))
            assert await store.get("acme", "resp_0") is None or number < 3
        return await there(store, *(f"resp_{number}" for number in range(5)))

    assert case.run(work, responses=3) == [False, False, True, True, True]


def test_bytes_are_bounded_too(case: Case) -> None:
    async def work(store: ResponseStore) -> list[bool]:
        for number in range(5):
            await store.put(case.one(f"resp_{number}", size=1_000))
        await store.put(case.one("resp_large", size=2_500))
        assert store.held.bytes <= 3_000
        return await there(store, "resp_2", "resp_3", "resp_4", "resp_large")

    assert case.run(work, size=3_000) == [False, False, False, True]


def test_a_tenant_at_its_share_drops_its_own_and_nobody_elses(case: Case) -> None:
    async def work(store: ResponseStore) -> None:
        await store.put(case.one("resp_old", "other", size=1_000))
        for number in range(9):
            await store.put(case.one(f"resp_{number}", size=1_000))
        assert await there(store, "resp_old", tenant="other") == [True]
        assert await store.tenants() == {
            "acme": Held(responses=5, bytes=5_000),
            "other": Held(responses=1, bytes=1_000),
        }
        await store.put(case.one("resp_large", size=4_500))
        assert await there(store, "resp_7", "resp_8", "resp_large") == [False, False, True]

    case.run(work, responses=10, size=10_000, share=0.5)


def test_one_larger_than_may_be_kept_is_not_and_pushes_nothing_out(case: Case) -> None:
    async def work(store: ResponseStore) -> None:
        await store.put(case.one("resp_1", size=1_000))
        assert not await store.put(case.one("resp_2", size=5_001))
        assert not await store.put(case.one("resp_3", size=2_001))
        assert await there(store, "resp_1", "resp_2", "resp_3") == [True, False, False]
        assert await store.put(case.one("resp_4", size=2_000))

    case.run(work, size=10_000, share=0.5, largest=2_000)


def test_all_of_one_tenant_is_forgotten(case: Case) -> None:
    async def work(store: ResponseStore) -> None:
        for number in range(230):
            await store.put(case.one(f"resp_{number}"))
        await store.put(case.one("resp_1", "other"))
        assert await store.forget("acme") == 230
        assert await store.forget("acme") == 0
        assert store.held.responses == 1
        assert list(await store.tenants()) == ["other"]

    case.run(work, responses=1_000)


def test_a_clock_that_is_set_back_neither_loses_nor_keeps_the_wrong_ones(case: Case) -> None:
    async def work(store: ResponseStore) -> None:
        await store.put(case.one("resp_1"))
        case.clock.now_s -= 3_600
        await store.put(case.one("resp_2"))
        assert await there(store, "resp_1", "resp_2") == [True, True]
        await store.put(case.one("resp_3"))
        assert await there(store, "resp_1", "resp_2", "resp_3") == [False, True, True], "the oldest goes"
        case.clock.now_s += TTL_S
        assert await there(store, "resp_2") == [False]

    case.run(work, responses=2)


def test_many_at_once_do_not_disturb_each_other(case: Case) -> None:
    async def work(store: ResponseStore) -> Held:
        async def use(number: int) -> None:
            tenant, id = f"t{number % 3}", f"resp_{number}"
            assert await store.put(case.one(id, tenant, body=id.encode()))
            found = await store.get(tenant, id)
            assert found is not None
            assert found.body == id.encode()
            if number % 2:
                assert await store.delete(tenant, id)

        await asyncio.gather(*(use(number) for number in range(300)))
        return store.held

    assert case.run(work, responses=1_000).responses == 150


@pytest.mark.slow
@at_length("count", sample=2_000, full=10_000)
def test_far_more_than_fit_are_kept_within_the_bounds(case: Case, count: int) -> None:
    most = count // 5

    async def work(store: ResponseStore) -> None:
        for start in range(0, count, 500):
            numbers = range(start, start + 500)
            await asyncio.gather(
                *(store.put(case.one(f"resp_{number}", f"t{number % 7}")) for number in numbers)
            )
        assert store.held.responses == most
        assert await store.get("t0", "resp_0") is None
        last = count - 1
        assert await store.get(f"t{last % 7}", f"resp_{last}") is not None
        assert sum(one.responses for one in (await store.tenants()).values()) == most
        case.clock.now_s += TTL_S
        assert await store.sweep() == most
        assert store.held == Held()

    case.run(work, responses=most, size=10**9)


def test_a_closed_store_says_so(case: Case) -> None:
    async def work(store: ResponseStore) -> None:
        await store.put(case.one("resp_1"))
        await store.aclose()
        calls: tuple[Callable[[], Awaitable[object]], ...] = (
            lambda: store.ready(),
            lambda: store.put(case.one("resp_2")),
            lambda: store.get("acme", "resp_1"),
            lambda: store.delete("acme", "resp_1"),
            lambda: store.page("acme", limit=1),
            lambda: store.sweep(),
            lambda: store.forget("acme"),
            lambda: store.tenants(),
        )
        for call in calls:
            with pytest.raises(StoreError):
                await call()

    case.run(work)


# -- what is a file's alone -------------------------------------------------------------------------


def test_they_survive_a_restart_and_only_the_owner_can_read_them(sqlite: Case) -> None:
    sqlite.run(lambda store: store.put(sqlite.one("resp_1", body=WORDS)))
    assert WORDS in _contents(sqlite.folder)
    assert {path.stat().st_mode & 0o777 for path in sqlite.folder.iterdir()} == {0o600}

    async def work(store: ResponseStore) -> StoredResponse | None:
        return await store.get("acme", "resp_1")

    assert sqlite.run(work) == sqlite.one("resp_1", body=WORDS)


def test_no_file_is_made_before_something_is_kept(sqlite: Case) -> None:
    async def work(store: ResponseStore) -> None:
        assert await store.get("acme", "resp_1") is None
        assert not await store.delete("acme", "resp_1")
        assert await store.sweep() == 0
        assert await store.tenants() == {}

    sqlite.run(work)
    assert list(sqlite.folder.iterdir()) == []


@pytest.mark.parametrize("ending", ["deleted", "swept", "forgotten"])
def test_what_is_deleted_is_nowhere_in_the_files(sqlite: Case, ending: str) -> None:
    async def work(store: ResponseStore) -> None:
        await store.put(sqlite.one("resp_1", body=WORDS * 1_000))
        await store.put(sqlite.one("resp_2", "other"))
        assert WORDS in _contents(sqlite.folder)
        if ending == "deleted":
            assert await store.delete("acme", "resp_1")
        elif ending == "forgotten":
            assert await store.forget("acme") == 1
        else:
            sqlite.clock.now_s += TTL_S
            assert await store.sweep() == 2
        assert WORDS not in _contents(sqlite.folder)

    sqlite.run(work)


@pytest.mark.slow
def test_a_hundred_thousand_are_no_burden(sqlite: Case) -> None:
    count = 100_000

    async def work(store: ResponseStore) -> None:
        await store.put(sqlite.one("resp_0"))
        db = apsw.Connection(str(sqlite.folder / FILE))
        with db:
            db.execute(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
                " INSERT INTO responses (tenant, id, endpoint, created_s, expires_s, body, items, bytes)"
                " SELECT 't' || (i % 7), 'resp_' || i, 'chat', ?, ?, x'7b7d', x'5b5d', 516 FROM n",
                (count - 1, sqlite.clock.now_s, sqlite.clock.now_s + TTL_S),
            )
        db.close()
        for number in range(200):
            await store.put(sqlite.one(f"resp_new_{number}"))
            old = number + 1_000
            assert await store.get(f"t{old % 7}", f"resp_{old}") is not None
        assert store.held.responses == count, "the bound holds for rows of others too"
        assert await there(store, "resp_0") == [False]
        sqlite.clock.now_s += TTL_S
        assert await store.sweep() == count

    sqlite.run(work, responses=count, size=10**9)


def test_two_processes_see_each_others_responses(sqlite: Case) -> None:
    async def work(store: ResponseStore) -> None:
        other = sqlite.make()
        await store.put(sqlite.one("resp_1"))
        assert await there(other, "resp_1") == [True]
        await asyncio.gather(
            *(one.put(sqlite.one(f"resp_{n}")) for n in range(2, 40) for one in (store, other))
        )
        assert await other.delete("acme", "resp_1")
        assert await there(store, "resp_1", "resp_39") == [False, True]
        assert len(await there(other, *(f"resp_{n}" for n in range(2, 40)))) == 38
        await other.aclose()

    sqlite.run(work)


def test_a_damaged_file_is_set_aside_and_a_new_one_serves(
    sqlite: Case, caplog: pytest.LogCaptureFixture
) -> None:
    sqlite.run(lambda store: store.put(sqlite.one("resp_1", size=50_000)))
    file = sqlite.folder / FILE
    file.write_bytes(file.read_bytes()[:4_096] + os.urandom(40_000))

    async def work(store: ResponseStore) -> None:
        await store.ready()
        assert await store.get("acme", "resp_1") is None
        assert await store.put(sqlite.one("resp_2"))
        assert await there(store, "resp_2") == [True]

    sqlite.run(work)
    assert [path for path in sqlite.folder.iterdir() if ".corrupt-" in path.name]
    assert "was damaged" in caplog.text


def test_a_place_that_cannot_be_written_fails_until_it_can(sqlite: Case) -> None:
    blocked = sqlite.folder / "state"
    blocked.write_text("a file where a directory should be")
    bounds = Bounds(responses_max=10, bytes_max=10**6, response_bytes_max=10**6)

    async def work() -> None:
        store = SqliteResponses(blocked / FILE, bounds, sqlite.clock)
        for _ in range(2):
            with pytest.raises(StoreError):
                await store.ready()
            with pytest.raises(StoreError):
                await store.get("acme", "resp_1")
            with pytest.raises(StoreError):
                await store.sweep()
        blocked.unlink()
        await store.ready()
        assert await store.put(sqlite.one("resp_1"))
        await store.aclose()

    asyncio.run(work())


@pytest.mark.slow
def test_after_a_failed_write_it_is_ready_only_when_it_can_write_again(sqlite: Case) -> None:
    async def work(store: ResponseStore) -> None:
        await store.put(sqlite.one("resp_1"))
        other = apsw.Connection(str(sqlite.folder / FILE))
        other.execute("BEGIN IMMEDIATE")  # as a process that hangs
        began_s = time.monotonic()
        with pytest.raises(StoreError):
            await store.put(sqlite.one("resp_2"))
        assert time.monotonic() - began_s >= 1.0
        with pytest.raises(StoreError):
            await store.ready()
        assert await there(store, "resp_1", "resp_2") == [True, False], "it can still be read"
        other.execute("ROLLBACK")
        other.close()
        await store.ready()
        assert await store.put(sqlite.one("resp_2"))

    sqlite.run(work)


def test_a_full_disk_fails_the_write_and_loses_nothing_that_was_kept(sqlite: Case) -> None:
    async def work(store: ResponseStore) -> None:
        await store.put(sqlite.one("resp_1"))
        assert isinstance(store, SqliteResponses)
        pages = await store._run(lambda db: next(iter(db.execute("PRAGMA page_count")))[0])
        await store._run(lambda db: db.execute(f"PRAGMA max_page_count = {pages}").fetchall())
        with pytest.raises(StoreError, match="full"):
            await store.put(sqlite.one("resp_2", size=500_000))
        await store._run(lambda db: db.execute("PRAGMA max_page_count = 100000").fetchall())
        assert await there(store, "resp_1", "resp_2") == [True, False]
        await store.ready()
        assert await store.put(sqlite.one("resp_2", size=500_000))

    sqlite.run(work)


def _contents(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))
