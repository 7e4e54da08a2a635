"""Aider, Cline and Continue edit a file: directly and through the gateway, for `auto` and for a named model,
onto a provider of each dialect. They speak chat completions. The provider is scripted, and says what a model
would."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

import pytest
from tests.clients.responses_lab import KEY, WAYS, Place, Way, place
from tests.e2e.gateway import ROOT
from tests.faults.truth import Call

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(300)]

BIN: Final = ROOT / ".venv" / "agents_cli" / "node_modules" / ".bin"
AIDER: Final = ROOT / ".venv" / "aider" / "bin" / "aider"
FILE: Final = "greeting.txt"
BEFORE, AFTER = "hello world\n", "hello moon\n"
EDIT: Final = "Replace world by moon in greeting.txt"
COMMAND: Final = f"sed -i s/world/moon/ {FILE}"
LIMIT_S: Final = 120.0
RESULTS: Final = ('"role": "tool"', "tool_result", "function_call_output")
TIERS: Final = """
[tiers.cheap]
targets = ["chat/cheaper"]
[tiers.expensive]
targets = ["chat/good"]
"""
CONTINUE: Final = """
name: here
version: 0.0.1
schema: v1
models:
  - name: here
    provider: openai
    model: {model}
    apiBase: {base_url}
    apiKey: {key}
    roles: [chat]
"""


def called(call: Call) -> str:
    """What a model does: the edit, with the tool that its agent has for commands, and then no more."""
    body = call.json
    said = json.dumps(body.get("messages") or body["input"])
    if any(mark in said for mark in RESULTS):
        return "calls=0,say=All done"
    names = {(tool.get("function") or tool)["name"] for tool in body.get("tools") or ()}
    if "Bash" in names:
        return f"tool=Bash,arguments={quote(json.dumps({'command': COMMAND}))}"
    if "run_commands" in names:
        return f"tool=run_commands,arguments={quote(json.dumps({'commands': [COMMAND]}))}"
    return f"say={quote(f'{FILE}{chr(10)}```{chr(10)}{AFTER}```{chr(10)}')}"


def aider(base_url: str, model: str, folder: Path) -> list[str]:
    return [
        *(str(AIDER), "--model", f"openai/{model}", "--edit-format", "whole", "--no-git", "--yes-always"),
        *("--no-check-update", "--no-show-model-warnings", "--analytics-disable"),
        *("--openai-api-base", base_url, "--openai-api-key", KEY, "--message", EDIT, FILE),
    ]


def cline(base_url: str, model: str, folder: Path) -> list[str]:
    command = str(BIN / "cline")
    made = [command, "auth", "-p", "openai", "-k", KEY, "-b", base_url, "-m", model]
    assert run(made, folder).returncode == 0
    return [command, "-P", "openai", "-m", model, "-k", KEY, "--json", EDIT]


def continues(base_url: str, model: str, folder: Path) -> list[str]:
    file = folder / "config.yaml"
    file.write_text(CONTINUE.format(model=model, base_url=base_url, key=KEY))
    return [str(BIN / "cn"), "--config", str(file), "--auto", "-p", EDIT]


AGENTS: Final[dict[str, Callable[[str, str, Path], list[str]]]] = {
    "aider": aider,
    "cline": cline,
    "continue": continues,
}


def run(command: list[str], folder: Path) -> "subprocess.CompletedProcess[bytes]":
    """To its end, with a home of its own and nothing of the environment."""
    process = subprocess.Popen(
        command,
        cwd=folder / "work",
        env={
            "PATH": f"{ROOT / '.venv' / 'bin'}:/usr/bin:/bin",
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder / "tmp"),
            "LANG": "C.UTF-8",
            "CONTINUE_TELEMETRY_ENABLED": "0",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        out, _ = process.communicate(timeout=LIMIT_S)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return subprocess.CompletedProcess(command, process.returncode, out)


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place(tmp_path_factory.mktemp("agents"), TIERS, on_call=called) as found:
        yield found


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("way", [*WAYS, "auto"])
def test_it_edits_a_file(there: Place, agent: str, way: Way, tmp_path: Path) -> None:
    for name in ("home", "work", "tmp"):
        (tmp_path / name).mkdir()
    file = tmp_path / "work" / FILE
    file.write_text(BEFORE)
    before = len(there.provider.calls)
    model = "auto" if way not in WAYS else there.model(way)
    ran = run(AGENTS[agent](there.base_url(way), model, tmp_path), tmp_path)
    assert file.read_text() == AFTER, ran.stdout.decode()
    calls = there.provider.calls[before:]
    assert calls and all(call.status == 200 for call in calls)
