"""Every contract whose seam waits is run in a task and as the gateway runs it: see `conftest`."""

import ast
import asyncio
import inspect
from pathlib import Path

import pytest
from tests.contract.conftest import runs_coroutines

from farthing import protocols

HERE = Path(__file__).parent
FILES = sorted(path for path in HERE.glob("test_*.py") if path.name != Path(__file__).name)
OTHER_WAYS = {"run_until_complete", "Runner", "new_event_loop", "run_forever"}


def protocol_of(file: Path) -> type | None:
    """The Protocol that a file's name says."""
    wanted = file.stem.removeprefix("test_").replace("_", "")
    return next((one for name, one in vars(protocols).items() if name.lower() == wanted), None)


def test_a_task_is_there_or_not_as_the_case_says(how: str) -> None:
    async def in_a_task() -> bool:
        return asyncio.current_task() is not None

    assert asyncio.run(in_a_task()) == (how == "task")


def test_a_contract_that_fails_fails_either_way() -> None:
    async def fails() -> None:
        raise AssertionError("seen")

    with pytest.raises(AssertionError, match="seen"):
        asyncio.run(fails())


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_no_contract_of_a_seam_that_waits_escapes(file: Path) -> None:
    seam = protocol_of(file)
    waits = seam is not None and any(inspect.iscoroutinefunction(one) for one in vars(seam).values())
    assert runs_coroutines(file) or not waits
    for node in ast.walk(ast.parse(file.read_text())):
        name = getattr(node, "attr", None) or getattr(node, "name", None)
        assert name not in OTHER_WAYS, f"{file.name} runs coroutines by {name}, not by asyncio.run"
        if isinstance(node, ast.ImportFrom) and node.module == "asyncio":
            assert all(one.name != "run" for one in node.names), f"{file.name} takes asyncio.run away"


def test_every_contract_names_a_protocol() -> None:
    named = [file.stem for file in FILES if protocol_of(file) is None]
    assert named == ["test_hit_bound"]  # of `HitMonitor`, by the word of its certificate
