"""The fault provider as a process of its own, for the time of a `with`."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STOP_S = 10.0
ROOT = Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True, slots=True)
class Spawned:
    base_url: str
    process: "subprocess.Popen[bytes]"


@contextmanager
def spawned(truth: Path, *arguments: str) -> Iterator[Spawned]:
    """Start the provider with `arguments` and end it by SIGTERM; `read_truth(truth)` knows its calls."""
    command = [sys.executable, "-m", "tests.faults.provider", "--truth", str(truth), *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield Spawned(json.loads(process.stdout.readline())["base_url"], process)
        finally:
            process.terminate()
            process.wait(STOP_S)
