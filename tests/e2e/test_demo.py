"""`farthing demo` as a person starts it, on few requests."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

import farthing

SOURCE = str(Path(farthing.__file__).parents[1])
COMMAND = [sys.executable, "-m", "farthing", "demo"]


def environment(home: Path) -> dict[str, str]:
    """No keys, no state of the user's; what the demo leaves behind is found in `home`."""
    return {"PYTHONPATH": SOURCE, "PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(home)}


def demo(home: Path, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *args],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=300,
        env={**environment(home), **env},
    )


def processes_of(home: Path) -> list[str]:
    """Commands whose environment has `home` as TMPDIR: the demo and what it started."""
    mark = f"TMPDIR={home}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append((entry / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # it ended meanwhile, or is not ours to read
    return found


class Told(NamedTuple):
    """One run on few requests, as most of these tests look at it."""

    home: Path
    stdout: str


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    home = tmp_path_factory.mktemp("home")
    ran = demo(home, "--requests", "120", "--seconds", "2")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return Told(home, ran.stdout)


@pytest.mark.slow
def test_it_ends_by_itself_with_the_report_and_leaves_nothing_behind(told: Told) -> None:
    screen = told.stdout.partition("120 of 120  ")[2].splitlines()[1:]
    assert screen[0].startswith("Saved $")
    assert "simulated-expensive/large" in screen[0] + screen[1]
    assert "120 of 120 right" in told.stdout
    assert len(screen) <= 24
    assert "Asked before in another spelling" not in told.stdout
    assert list(told.home.iterdir()) == []
    assert processes_of(told.home) == []


@pytest.mark.slow
def test_the_last_line_is_a_command_that_works_from_here(told: Told, tmp_path: Path) -> None:
    line = told.stdout.rstrip().splitlines()[-1].partition("#")[0]
    assert line.split()[-1] == "serve"
    asked = subprocess.run(
        f"{line.strip()} --help",
        shell=True,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(tmp_path),
    )
    assert asked.returncode == 0, asked.stderr
    assert "Run the gateway" in asked.stdout


@pytest.mark.conformance
def test_the_whole_report_is_there_for_who_asks_for_it(tmp_path: Path) -> None:
    told = demo(tmp_path, "--requests", "120", "--seconds", "2", "--report")
    assert told.returncode == 0, told.stdout + told.stderr
    assert "Latency, ms" in told.stdout
    assert "Asked before in another spelling" in told.stdout
    assert told.stdout.index("Latency, ms") < told.stdout.index("120 of 120 right")


@pytest.mark.slow
def test_with_the_extra_some_questions_get_the_answer_to_a_similar_one(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    told = demo(tmp_path, "--requests", "900", "--seconds", "14", "--json")
    assert told.returncode == 0, told.stdout + told.stderr
    outcome = json.loads(told.stdout)
    assert outcome["without_semantic"] is None
    looks = outcome["semantic_looks"]
    assert looks["count"] > 0 and looks["failed"] == 0
    if looks["late"] < looks["count"] / 2:  # else this machine is too busy for any budget, and it is told
        assert outcome["semantic_hits"] > 0
    assert outcome["semantic_hits_wrong"] <= 0.2 * outcome["semantic_hits"] + 2
    assert any(cell["endpoint"] == "support-faq" for cell in outcome["report"]["semantic"])


def test_without_the_extra_the_demo_says_so_and_goes_on(tmp_path: Path) -> None:
    hidden = tmp_path / "hide"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import importlib.util as util\n"
        "found = util.find_spec\n"
        "util.find_spec = lambda name, package=None: None if name == 'numkong' else found(name, package)\n"
    )
    told = demo(tmp_path, "--requests", "60", "--seconds", "1", PYTHONPATH=f"{hidden}:{SOURCE}")
    assert told.returncode == 0, told.stdout + told.stderr
    told_of = " ".join(told.stdout.split())
    assert "no semantic cache: numkong is not installed: pip install 'farthing[semantic]'" in told_of
    assert "60 of 60 right" in told_of


@pytest.mark.slow
def test_json_is_one_object_and_the_report_can_be_made_again_from_what_is_kept(tmp_path: Path) -> None:
    # A variable that would change the gateway is the gateway's own matter, not the demo's.
    told = demo(
        tmp_path, "--requests", "60", "--seconds", "1", "--json", "--keep", FARTHING__CACHE__EXACT="off"
    )
    assert told.returncode == 0, told.stdout + told.stderr
    outcome = json.loads(told.stdout)
    assert (outcome["ok"], outcome["simulated"], outcome["requests"], outcome["failed"]) == (
        True,
        True,
        60,
        0,
    )
    assert outcome["report"]["savings"]["saved_nusd"] > 0
    assert outcome["report"]["total"]["hits"] > 0
    ledger = Path(outcome["folder"]) / "ledger"
    report = subprocess.run(
        [*COMMAND[:-1], "report", "--since", "all", "--ledger", str(ledger), "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment(tmp_path),
    )
    again = json.loads(report.stdout)
    assert again["total"]["cost_nusd"] == outcome["report"]["total"]["cost_nusd"]


def test_ctrl_c_ends_it_and_everything_it_started(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "--requests", "1000", "--seconds", "60"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(tmp_path),
    )
    deadline_s = time.monotonic() + 120
    while len(processes_of(tmp_path)) < 3:  # itself, the simulated models, the gateway
        assert time.monotonic() < deadline_s and process.poll() is None
        time.sleep(0.05)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, stderr
    assert "stopped" in stderr and "Traceback" not in stderr
    assert processes_of(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
