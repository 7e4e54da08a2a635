"""What every ResponseCache does. A new cache is one more line in CACHES."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.asking import asked

from farthing.brain.cache.exact import ExactCache
from farthing.brain.cache.keys import CacheKeys
from farthing.brain.cache.off import NoCache
from farthing.protocols import ResponseCache
from farthing.stores.kv.memory import MemoryStore
from farthing.stores.kv.sqlite import SqliteStore
from farthing.types import CacheHit, Tenant, Usage

KEYS = CacheKeys()
HIT = CacheHit(
    kind="exact",
    body=b'{"id":"c-1"}',
    target="openai/gpt-mini",
    usage=Usage(input_tokens=10, output_tokens=5, cached_tokens=2),
    cost_nusd=123,
)


def exact(store: MemoryStore | SqliteStore) -> ExactCache:
    return ExactCache(store, ttl_s=60, answer_bytes_max=1_000, keys=KEYS)


def in_memory() -> MemoryStore:
    return MemoryStore(entries_max=100, bytes_max=10**6)


CACHES: dict[str, Callable[[Path], ResponseCache]] = {
    "exact-memory": lambda path: exact(in_memory()),
    "exact-sqlite": lambda path: exact(SqliteStore(path / "kv.db", entries_max=100, bytes_max=10**6)),
    "off": lambda path: NoCache(),
    "off-with-keys": lambda path: NoCache(KEYS),
}
KEEPING = ("exact-memory", "exact-sqlite")


@pytest.fixture(params=CACHES)
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> ResponseCache:
    return CACHES[request.param](tmp_path)


@pytest.fixture(params=KEEPING)
def keeping(request: pytest.FixtureRequest, tmp_path: Path) -> ResponseCache:
    return CACHES[request.param](tmp_path)


def key_of(cache: ResponseCache, tenant: str = "acme") -> bytes:
    return cache.key(asked(tenant=Tenant(name=tenant))) or tenant.encode()


def test_a_key_is_the_same_each_time_and_never_shared_between_tenants(cache: ResponseCache) -> None:
    assert cache.key(asked()) == cache.key(asked())
    ours, theirs = cache.key(asked()), cache.key(asked(tenant=Tenant(name="other")))
    assert ours is None or ours != theirs


def test_what_was_never_stored_is_a_miss(cache: ResponseCache) -> None:
    assert asyncio.run(cache.lookup(key_of(cache))) is None


def test_storing_never_fails_and_what_comes_back_is_what_was_stored(cache: ResponseCache) -> None:
    async def go() -> CacheHit | None:
        await cache.store(key_of(cache), HIT, ttl_s=None)
        return await cache.lookup(key_of(cache))

    assert asyncio.run(go()) in (HIT, None)


def test_a_cache_that_keeps_answers_again_field_by_field(keeping: ResponseCache) -> None:
    async def go() -> list[CacheHit | None]:
        await keeping.store(key_of(keeping), HIT, ttl_s=None)
        return [await keeping.lookup(key_of(keeping)), await keeping.lookup(key_of(keeping, "other"))]

    assert asyncio.run(go()) == [HIT, None]


def test_an_unpriced_answer_stays_unpriced(keeping: ResponseCache) -> None:
    unpriced = CacheHit(kind="exact", body=b"{}", target="t/m", usage=Usage(), cost_nusd=None)

    async def go() -> CacheHit | None:
        await keeping.store(b"k", unpriced, ttl_s=None)
        return await keeping.lookup(b"k")

    assert asyncio.run(go()) == unpriced


def test_the_newer_answer_is_kept(keeping: ResponseCache) -> None:
    newer = CacheHit(kind="exact", body=b"newer", target="t/m", usage=Usage(), cost_nusd=1)

    async def go() -> CacheHit | None:
        await keeping.store(b"k", HIT, ttl_s=None)
        await keeping.store(b"k", newer, ttl_s=5)
        return await keeping.lookup(b"k")

    assert asyncio.run(go()) == newer


def test_an_answer_that_is_too_large_is_not_kept(keeping: ResponseCache) -> None:
    large = CacheHit(kind="exact", body=b"x" * 1_001, target="t/m", usage=Usage(), cost_nusd=1)

    async def go() -> CacheHit | None:
        await keeping.store(b"k", large, ttl_s=None)
        return await keeping.lookup(b"k")

    assert asyncio.run(go()) is None


def test_the_caches_own_time_to_live_holds_unless_the_endpoint_has_one() -> None:
    now_s = [0.0]
    store = MemoryStore(entries_max=10, bytes_max=10**6, clock=lambda: now_s[0])
    cache = exact(store)

    async def go() -> list[bool]:
        await cache.store(b"own", HIT, ttl_s=None)
        await cache.store(b"short", HIT, ttl_s=5)
        now_s[0] = 10.0
        found = [await cache.lookup(b"own") is not None, await cache.lookup(b"short") is not None]
        now_s[0] = 61.0
        return [*found, await cache.lookup(b"own") is not None]

    assert asyncio.run(go()) == [True, False, False]


@pytest.mark.parametrize("value", [b"", b"\xff\xff", b"\x80", b"\x81\xa4kind\xa5other"])
def test_an_entry_of_another_version_is_a_miss(value: bytes) -> None:
    store = in_memory()

    async def go() -> CacheHit | None:
        await store.set(b"k", value, ttl_s=60)
        return await exact(store).lookup(b"k")

    assert asyncio.run(go()) is None


def test_a_cache_that_is_off_has_keys_only_where_calls_are_to_be_shared() -> None:
    assert NoCache().key(asked()) is None
    assert NoCache(KEYS).key(asked()) == KEYS.key(asked())
