"""Who may read what we keep: modes of what is made, and what is mended at a start."""

import asyncio
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from farthing.jobs.prewarm.run import Order, leave_order
from farthing.ledger.segments import SegmentLedger
from farthing.stores.atomic_write import write_whole
from farthing.stores.kv.sqlite import SqliteStore
from farthing.stores.private import make_directory, mend
from farthing.stores.user_key import user_key


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): stat.S_IMODE(path.lstat().st_mode)
        for path in (folder, *folder.rglob("*"))
    }


def open_ones(folder: Path) -> dict[str, int]:
    return {name: mode for name, mode in modes(folder).items() if mode & 0o077}


def test_what_is_made_is_readable_by_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    state = tmp_path / "state"

    async def main() -> None:
        user_key(state)
        write_whole(state / "certificates" / "scope.json", b"{}")
        leave_order(state, Order(id="1", endpoint=None))
        ledger = SegmentLedger(state / "ledger")
        store = SqliteStore(state / "cache.db", entries_max=10, bytes_max=10_000_000)
        await store.set(b"k", b"v", ttl_s=60.0)
        assert (state / "cache.db-wal").exists() and (state / "cache.db-shm").exists()
        assert not open_ones(state)
        await store.aclose()
        ledger.close()

    asyncio.run(main())
    assert not open_ones(state)


def old(folder: Path) -> Path:
    """As an earlier version left it."""
    for name in ("ledger/w0-00000001.seg", "cache.db", "cache.db-wal", "semantic.db-shm", "policies/a.json"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return folder


def test_what_an_earlier_version_left_open_is_closed(tmp_path: Path) -> None:
    state = old(tmp_path / "state")
    assert len(open_ones(state)) == 8
    assert mend(state, state / "ledger", [state / "semantic.db"]) == []
    assert not open_ones(state)
    assert modes(state)["."] == 0o700 and modes(state)["cache.db-wal"] == 0o600
    assert mend(tmp_path / "none", tmp_path / "none" / "ledger", []) == []


def test_a_directory_that_others_use_too_is_left_and_told_of(tmp_path: Path) -> None:
    state = old(tmp_path / "shared")
    (state / "notes.txt").write_text("of somebody")
    (told,) = mend(state, state / "ledger", [])
    assert "shared is open to other users (mode 755) and holds notes.txt beside ours: chmod 700" in told
    assert set(open_ones(state)) == {".", "notes.txt"}, "what is ours in it is closed all the same"
    os.unlink(state / "notes.txt")
    state.chmod(0o1777)
    (told,) = mend(state, state / "ledger", [])
    assert "the files of all users" in told


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    state = old(tmp_path / "state")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "theirs").write_text("")
    (state / "cache.db.corrupt-1").symlink_to(outside / "theirs")
    (state / "batches").symlink_to(outside)
    mend(state, state / "ledger", [])
    assert set(open_ones(outside)) == {".", "theirs"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_belongs_to_another_user_is_left_and_told_of(tmp_path: Path) -> None:
    state = old(tmp_path / "state")
    os.chown(state / "cache.db", 12_345, -1)
    (told,) = mend(state, state / "ledger", [])
    assert "cache.db belong" in told and "chown" in told
    assert set(open_ones(state)) == {"cache.db"}


def test_a_ledger_and_a_database_elsewhere_are_closed_too(tmp_path: Path) -> None:
    old(tmp_path / "elsewhere")
    database = tmp_path / "elsewhere" / "semantic.db"
    database.write_bytes(b"")
    make_directory(tmp_path / "state")
    assert mend(tmp_path / "state", tmp_path / "elsewhere" / "ledger", [database]) == []
    assert set(open_ones(tmp_path / "elsewhere")) == {
        ".", "cache.db", "cache.db-wal", "policies", "policies/a.json",
    }  # fmt: skip
