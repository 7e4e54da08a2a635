"""What every benchmark prints beside its figures: the commit and the machine."""

import os
import platform
import subprocess
from pathlib import Path


def machine() -> dict[str, object]:
    """Commit (with `+` when the tree is changed), processor, cores and Python."""
    here = Path(__file__).parent
    commit = _git(here, "rev-parse", "--short=12", "HEAD")
    if commit and _git(here, "status", "--porcelain", "--untracked-files=no"):
        commit += "+"
    return {
        "commit": commit or "unknown",
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "kernel": platform.release().split("-")[0],
        "python": platform.python_version(),
    }


def _git(here: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )
