"""Fixtures of the whole suite: providers that can misbehave, and a way to start gateways before them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.e2e.gateway import Running, running
from tests.faults.provider import FaultProvider

StartGateway = Callable[..., Running]


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
