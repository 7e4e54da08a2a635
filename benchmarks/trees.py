"""What a change costs: the gateways of several checkouts on one core, loaded in turn, second by second.

    python -m benchmarks.trees ../before . --bench ../shared/bench --turns 10

Two runs of the bench minutes apart differ by more than most changes do. Here all gateways stand ready on one
core, the bench's load generator and mock provider on the other, and each gets one second in turn; what is
printed is the median over the turns of the CPU per request, as a ratio to the first checkout's of that turn.
How a process happens to lie in memory makes 2 % by itself: `--starts` has all of them started anew so often.
Every checkout runs under this interpreter, so its dependencies must be those installed here.
"""

import argparse
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import machine

PORT, MOCK_PORT = 8960, 9200  # the mock's is the one in gateway.toml
READY_S = 15.0
Process = subprocess.Popen[bytes]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "trees", nargs="+", type=Path, help="checkouts; the first is what others are held against"
    )
    parser.add_argument("--bench", type=Path, default=Path("../shared/bench"))
    parser.add_argument("--turns", type=int, default=10, help="for each start")
    parser.add_argument("--starts", type=int, default=1)
    asked = parser.parse_args()
    if not (asked.bench / "load.c").is_file():
        sys.exit(f"{asked.bench}/load.c is not there: give --bench")
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps({"machine": machine(), **measure(asked, Path(folder))}, indent=1))


def measure(asked: argparse.Namespace, work: Path) -> dict[str, Any]:
    """CPU us per request of each checkout: the least, the median, and the median ratio to the first."""
    prepare(asked.bench, work)
    figures: list[list[float]] = [[] for _ in asked.trees]
    for _ in range(asked.starts):
        measure_once(asked.trees, asked.turns, work, figures)
    return {
        "trees": {
            str(tree): {
                "cpu_us_least": round(min(mine), 1),
                "cpu_us_median": round(statistics.median(mine), 1),
                "ratio_median": round(statistics.median(map(_ratio, mine, figures[0])), 3),
            }
            for tree, mine in zip(asked.trees, figures, strict=True)
        }
    }


def prepare(bench: Path, work: Path) -> None:
    """Put the load generator, the mock provider and what is asked into `work`."""
    for name in ("load", "mock"):
        subprocess.run(["gcc", "-O2", "-o", work / name, bench / f"{name}.c"], check=True)
    body = json.loads((bench / "body.json").read_bytes())
    body.pop("user", None)
    (work / "body.json").write_text(json.dumps(body | {"model": "gpt-4o-mini"}))


def measure_once(trees: list[Path], turns: int, work: Path, figures: list[list[float]]) -> None:
    """Add what each turn of one start took to `figures`."""
    started = [subprocess.Popen(["taskset", "-c", "1", work / "mock", "-p", str(MOCK_PORT)])]
    try:
        gateways = [start(tree.resolve(), PORT + place, work) for place, tree in enumerate(trees)]
        started += gateways
        for place in range(len(gateways)):
            await_port(PORT + place)
        for turn in range(turns + 1):
            for place, gateway in enumerate(gateways):
                figure = one_second(gateway, PORT + place, work)
                if turn:  # the first warms it up
                    figures[place].append(figure)
    finally:
        for process in started:
            process.terminate()
            process.wait(READY_S)


def start(tree: Path, port: int, work: Path, program: Sequence[str] = ("-m", "farthing")) -> Process:
    """Start `program`, the gateway of `tree`, on `port`."""
    env = os.environ | {"PYTHONPATH": str(tree / "src"), "XDG_STATE_HOME": str(work / f"state-{port}")}
    words = ["taskset", "-c", "0", sys.executable, *program, "serve"]
    words += ["--config", str(tree / "benchmarks" / "gateway.toml"), "--port", str(port)]
    return subprocess.Popen(words, cwd=tree, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def await_port(port: int) -> None:
    """Raises:
    TimeoutError: nobody listens on `port` after `READY_S`.
    """
    last_s = time.monotonic() + READY_S
    while time.monotonic() < last_s:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        time.sleep(0.05)
    raise TimeoutError(f"no gateway on port {port} after {READY_S:g} s")


def one_second(gateway: Process, port: int, work: Path) -> float:
    """CPU us per request of `gateway` under full load.

    Raises:
        RuntimeError: a request failed.
    """
    words = ["taskset", "-c", "1", str(work / "load"), "-p", str(port), "-u", "/v1/chat/completions"]
    words += ["-b", str(work / "body.json"), "-d", "1", "-w", "0", "-c", "64"]
    words += ["-H", "Authorization: Bearer sk-bench"]
    before_ns = cpu_ns(gateway)
    told = json.loads(subprocess.run(words, capture_output=True, check=True).stdout)
    if told["err"] or told["bad_status"] or told["conn_err"] or not told["ok"]:
        raise RuntimeError(f"the gateway on port {port} failed requests: {told}")
    return (cpu_ns(gateway) - before_ns) / 1000 / float(told["done"])


def cpu_ns(process: Process) -> int:
    """CPU time of the process's main thread, in which the journey runs; Linux counts it to the ns."""
    return int(Path(f"/proc/{process.pid}/schedstat").read_text().split()[0])


def _ratio(one: float, other: float) -> float:
    return one / other


if __name__ == "__main__":
    main()
