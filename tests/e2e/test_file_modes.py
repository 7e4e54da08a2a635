"""Every file of the state directory, at every start, is readable by the user of the gateway alone."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.gateway import Running, running, until
from tests.faults.provider import FaultProvider

LONG_S = 60.0


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def config(upstream: FaultProvider) -> str:
    return f"""
[providers.a]
base_url = "{upstream.base_url}"
auth = "none"
[tiers.cheap]
targets = ["a/m-1"]
[brain]
timeout_s = 5.0
[cache.store]
kind = "sqlite"
[endpoints.faq.cache.semantic]
mode = "observe"
"""


def open_ones(folder: Path) -> list[str]:
    found = []
    for path in (folder, *folder.rglob("*")):
        mode = stat.S_IMODE(path.lstat().st_mode)
        if mode & 0o077 or path.lstat().st_uid != os.geteuid():
            found.append(f"{mode:o} {path}")
    return found


def used(gateway: Running) -> None:
    gateway.chat(timeout_s=LONG_S)
    until(lambda: gateway.chat(timeout_s=LONG_S).headers["x-farthing-cache"] == "exact", LONG_S)
    assert (gateway.state / "cache.db-wal").exists() and (gateway.state / "cache.db-shm").exists()


def test_nobody_else_reads_what_the_gateway_keeps(upstream: FaultProvider, tmp_path: Path) -> None:
    with running(config(upstream), tmp_path) as gateway:
        used(gateway)
        assert open_ones(gateway.state) == []
        assert "open to other users" not in gateway.logged()
    assert len(list(gateway.state.rglob("*"))) > 4
    assert open_ones(gateway.state) == []
    for path in (gateway.state, *gateway.state.rglob("*")):  # as an earlier version left it
        path.chmod(0o755 if path.is_dir() else 0o644)
    with running(config(upstream), tmp_path) as gateway:
        assert open_ones(gateway.state) == []
        used(gateway)
        assert open_ones(gateway.state) == []
    assert open_ones(gateway.state) == []
    (gateway.state / "notes.txt").write_text("not of the gateway")
    gateway.state.chmod(0o755)
    with running(config(upstream), tmp_path) as gateway:
        assert f"chmod 700 {gateway.state}" in gateway.logged()
        assert stat.S_IMODE(gateway.state.stat().st_mode) == 0o755
