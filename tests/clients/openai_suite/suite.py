"""Runs the tests of OpenAI's package for Python against an address, and tells what came of each.

They lie in the package's source distribution alone, which `tools/install_clients.sh` fetches at the version
that is installed (Apache-2.0; nothing of them is in this repository).
"""

import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as Tree
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = Path(sys.prefix, "openai-python")
RESOURCES: Final = "tests/api_resources"
RUN_S: Final = 1200.0
OPTIONS: Final = (
    "-c", "/dev/null", "--rootdir", ".", "-p", "no:cacheprovider", "-q", "--tb=short",
    "-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=session",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of one test."""

    name: str
    """`chat/test_completions.py::TestCompletions::test_method_create_overload_1[loose]`"""
    passed: bool
    why: str
    """What failed, in a line or two; empty: nothing did."""

    @property
    def case(self) -> str:
        """The test whoever asks: without `Async`, and without how strictly or over what client."""
        return self.name.partition("[")[0].replace("::TestAsync", "::Test")


def run(base_url: str, files: Iterable[str], chosen: str = "") -> dict[str, Ran]:
    """Every test of `files` that `chosen` (pytest's `-k`) selects, by its name.

    Raises:
        RuntimeError: the tests could not be run.
    """
    assert FOLDER.is_dir(), "`make test` installs them: tools/install_clients.sh"
    with tempfile.NamedTemporaryFile(suffix=".xml") as report:
        command = [sys.executable, "-m", "pytest", *OPTIONS, f"--junitxml={report.name}", "-k", chosen]
        ran = subprocess.run(
            [*command, *(f"{RESOURCES}/{file}" for file in files)],
            cwd=FOLDER,
            env={"PATH": os.environ["PATH"], "TEST_API_BASE_URL": base_url, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            timeout=RUN_S,
            check=False,
        )
        if ran.returncode not in (0, 1):
            raise RuntimeError(f"{ran.stdout.decode()[-4000:]}\n{ran.stderr.decode()[-4000:]}")
        return {each.name: each for each in map(_read, Tree.parse(report.name).iter("testcase"))}


def _read(case: Tree.Element) -> Ran:
    module, _, group = case.attrib["classname"].rpartition(".")
    file = module.removeprefix("tests.api_resources.").replace(".", "/") + ".py"
    failures = [found for kind in ("failure", "error", "skipped") for found in case.findall(kind)]
    why = failures[0].get("message", "no reason").strip() if failures else ""
    return Ran(f"{file}::{group}::{case.attrib['name']}", not failures, why)
