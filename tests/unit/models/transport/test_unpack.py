"""Compressed replies, whatever the pieces they come in."""

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.errors import ProviderUnavailable
from farthing.models.transport.unpack import STEP_BYTES, Unpacker, unpacked

CAP = 1_000_000


def bare(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


PACKS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "bare": bare,
    "members": lambda data: gzip.compress(data[:3]) + gzip.compress(data[3:]),
    "padded": lambda data: gzip.compress(data) + bytes(7),
}


@given(st.binary(max_size=300), st.sampled_from(sorted(PACKS)), st.lists(st.integers(0, 400), max_size=12))
def test_every_way_to_cut_it_gives_the_same(data: bytes, how: str, cuts: list[int]) -> None:
    packed = PACKS[how](data)
    encoding = b"deflate" if how in ("deflate", "bare") else b"gzip"
    edges = [0, *sorted(min(cut, len(packed)) for cut in cuts), len(packed)]
    unpacker = Unpacker(encoding, CAP)
    out = []
    for start, end in pairwise(edges):
        out.append(unpacker.step(packed[start:end]))
        while unpacker.waiting:
            out.append(unpacker.step(b""))
    assert b"".join(out) == data and unpacker.ended
    assert asyncio.run(unpacked(packed, encoding, CAP)) == data


@given(st.binary(max_size=200), st.sampled_from([b"gzip", b"deflate"]))
def test_no_bytes_break_it_but_by_its_own_error(data: bytes, encoding: bytes) -> None:
    try:
        asyncio.run(unpacked(data, encoding, CAP))
    except ProviderUnavailable:
        return


def test_a_bomb_is_cut_at_the_cap_and_takes_little_memory() -> None:
    bomb = gzip.compress(bytes(200_000_000), 9)
    tracemalloc.start()
    with pytest.raises(ProviderUnavailable, match="larger than 1000000 bytes"):
        asyncio.run(unpacked(bomb, b"gzip", CAP))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < CAP + 4 * STEP_BYTES


@pytest.mark.parametrize("size", [STEP_BYTES - 1, STEP_BYTES, STEP_BYTES + 1, 3 * STEP_BYTES + 9])
def test_nothing_is_lost_where_a_step_ends(size: int) -> None:
    for pack, encoding in ((gzip.compress, b"gzip"), (zlib.compress, b"deflate"), (bare, b"deflate")):
        assert len(asyncio.run(unpacked(pack(bytes(size)), encoding, 10 * STEP_BYTES))) == size


def test_others_go_on_while_a_large_reply_is_unpacked() -> None:
    large = gzip.compress(bytes(20_000_000), 1)

    async def main() -> None:
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        beside = asyncio.create_task(others())
        assert len(await unpacked(large, b"gzip", 30_000_000)) == 20_000_000
        beside.cancel()
        assert turns >= 15

    asyncio.run(main())
