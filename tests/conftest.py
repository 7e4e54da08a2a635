"""Fixtures of the whole suite: providers that can misbehave, and a way to start gateways before them."""

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from tests.e2e.cgroup import limited
from tests.e2e.gateway import Running, running
from tests.faults.provider import FaultProvider

StartGateway = Callable[..., Running]
CHECKED = ("unit", "contract", "docs")
"""Folders of which `make check` runs all but what is slow."""
WORKERS_MAX = 16

settings.register_profile(
    "any machine", deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("at length", settings.get_profile("any machine"), max_examples=200)
settings.load_profile("any machine")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Of `-n auto`: two a core, for many tests wait rather than work. Of `-n logical`: one a core, for the
    fast tests, which seldom wait: each worker collects them all, in some seconds of its own."""
    a_core = 1 if config.option.numprocesses == "logical" else 2
    return min(a_core * (os.cpu_count() or 1), WORKERS_MAX)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--after-check", action="store_true", help="leave out what `make check` runs")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """After a check, files of which it ran all are not read: to collect thousands of tests takes seconds."""
    if not config.getoption("--after-check") or not collection_path.name.startswith("test_"):
        return None
    checked = _folder(collection_path) in CHECKED
    return True if checked and "mark.slow" not in collection_path.read_text() else None


def _folder(path: Path) -> str:
    return path.relative_to(Path(__file__).parent).parts[0]


def pytest_collection_finish() -> None:
    """What is collected stays: each full collection of the tests' garbage would look through all of it."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)  # first: else all wait for the last
    if not config.getoption("--after-check"):
        return
    done, left = list[pytest.Item](), list[pytest.Item]()
    for item in items:
        quick = item.get_closest_marker("slow") is None
        checked = quick and _folder(item.path) in CHECKED
        (done if checked else left).append(item)
    config.hook.pytest_deselected(items=done)
    items[:] = left


@pytest.fixture(autouse=True)
def no_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is printed here is as wide as it is in a file, whatever the terminal of the one who tests."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture(scope="module")
def upstream() -> Iterator[FaultProvider]:
    """The provider `a` of a module's gateways."""
    with FaultProvider() as provider:
        yield provider


@pytest.fixture(scope="module")
def second() -> Iterator[FaultProvider]:
    """The provider `b`, to fail over to."""
    with FaultProvider() as provider:
        yield provider


@pytest.fixture(scope="module")
def start_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartGateway]:
    """`start_gateway(config)` runs a gateway until the module's tests are over."""
    with ExitStack() as stack:

        def start(config: str, folder: Path | None = None, **env: str) -> Running:
            where = tmp_path_factory.mktemp("gateway") if folder is None else folder
            return stack.enter_context(running(config, where, env))

        yield start


@pytest.fixture
def memory_limit() -> Iterator[Callable[[Running, int], None]]:
    """`memory_limit(gateway, bytes)` has the system kill a gateway that takes more, where a memory cgroup can
    be made; where none can, the test looks at the memory alone."""
    with ExitStack() as stack:

        def limit(gateway: Running, limit_bytes: int) -> None:
            stack.enter_context(limited(gateway.process.pid, limit_bytes))

        yield limit
