"""What it takes to have Farthing: installed size, distributions, time to help and to readiness, idle memory.

    python -m benchmarks.footprint [--out benchmarks/results/footprint.json]

CPU seconds are user and system time of the finished process, or of the gateway until it answers `/readyz`;
medians of five. Size and distributions are those of this environment that the core needs, itself included.
"""

import argparse
import importlib.metadata
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import farthing
from benchmarks.machine import machine

RUNS = 5
CONFIG = """
[providers.here]
base_url = "http://127.0.0.1:9/v1"
[tiers.cheap]
targets = ["here/small"]
[tiers.expensive]
targets = ["here/large"]
"""


def needed() -> dict[str, int]:
    """Distribution -> bytes on disk, for Farthing and all it requires here."""
    sizes: dict[str, int] = {}
    todo = ["farthing"]
    while todo:
        name = todo.pop()
        if name in sizes:
            continue
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        sizes[name] = sum(
            Path(str(file.locate())).stat().st_size for file in found.files or () if _there(file)
        )
        if name == "farthing":  # perhaps installed as a link to this tree
            package = Path(farthing.__file__).parent
            files = [path for path in package.rglob("*") if "__pycache__" not in path.parts]
            sizes[name] = sum(path.stat().st_size for path in files)
        for wanted in found.requires or ():
            if "extra ==" not in wanted:
                todo.append(re.split(r"[ ;<>=!~\[(]", wanted, maxsplit=1)[0].lower())
    return sizes


def _there(file: importlib.metadata.PackagePath) -> bool:
    return Path(str(file.locate())).is_file()


def help_cpu_s() -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "farthing", "--help"], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def start_and_idle() -> tuple[float, float]:
    """CPU seconds until ready, and MiB of resident memory a second later."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "farthing.toml"
        file.write_text(CONFIG)
        port = 8_971
        env = os.environ | {"XDG_STATE_HOME": folder}
        command = [sys.executable, "-m", "farthing", "serve", "--config", str(file), "--port", str(port)]
        quiet = subprocess.DEVNULL
        gateway = subprocess.Popen(command, env=env, stdout=quiet, stderr=quiet)
        try:
            until_s = time.monotonic() + 10
            while time.monotonic() < until_s:
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1):
                        break
                except OSError:
                    time.sleep(0.01)
            tasks = Path(f"/proc/{gateway.pid}/task").glob("*/schedstat")
            cpu_s = sum(int(task.read_text().split()[0]) for task in tasks) / 1e9
            time.sleep(1)
            status = Path(f"/proc/{gateway.pid}/status").read_text()
            found = re.search(r"VmRSS:\s+(\d+)", status)
            assert found is not None
            return cpu_s, int(found[1]) / 1024
        finally:
            gateway.terminate()
            gateway.wait(10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    sizes = needed()
    starts = [start_and_idle() for _ in range(RUNS)]
    result = {
        "machine": machine(),
        "distributions": len(sizes),
        "installed_mb": round(sum(sizes.values()) / 1e6, 1),
        "help_cpu_s": round(statistics.median(help_cpu_s() for _ in range(RUNS)), 3),
        "ready_cpu_s": round(statistics.median(cpu for cpu, _ in starts), 3),
        "idle_rss_mib": round(statistics.median(rss for _, rss in starts), 1),
        "sizes_mb": {name: round(size / 1e6, 1) for name, size in sorted(sizes.items())},
    }
    text = json.dumps(result, indent=1)
    print(text)
    if asked.out is not None:
        asked.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
