"""The real Claude Code, as somebody would start it in a script: with a home of its own, nothing of the
environment, a key and a base URL on this machine, and what it sends of its own accord turned off."""

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.e2e.gateway import ROOT

Json = dict[str, Any]
INSTALLED: Final = ROOT / ".venv" / "claude_code"
COMMAND: Final = (
    str(ROOT / ".venv" / "bin" / "node"),
    str(INSTALLED / "node_modules" / "@anthropic-ai" / "claude-code" / "cli-wrapper.cjs"),
)
LIMIT_S: Final = 120.0


class Claude:
    """A run of it in a folder with one file. `result` waits for its end."""

    def __init__(self, process: "subprocess.Popen[bytes]", folder: Path) -> None:
        self._process = process
        self.folder = folder

    def result(self) -> Json:
        """What it says of its run, in its own words: `result`, `is_error`, `session_id`, `num_turns`.

        Raises:
            AssertionError: it ended without a word.
        """
        out, errors = self._process.communicate(timeout=LIMIT_S)
        assert out.startswith(b"{"), (out, errors)
        found: Json = json.loads(out)
        return found

    def interrupt(self) -> None:
        """As Ctrl+C does: it and what it started."""
        os.killpg(self._process.pid, signal.SIGINT)
        self._process.communicate(timeout=LIMIT_S)


@contextmanager
def claude(
    prompt: str, base_url: str, model: str, folder: Path, *more: str, env: Mapping[str, str] | None = None
) -> Iterator[Claude]:
    """`base_url` without a version; `more`: options of its command line; `env` says the key."""
    assert INSTALLED.exists(), "tools/install_clients.sh conformance installs it"
    home, work, temporary = folder / "home", folder / "work", folder / "tmp"
    for one in (home, work, temporary):
        one.mkdir(parents=True, exist_ok=True)
    told = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "LANG": "C.UTF-8",
        "ANTHROPIC_BASE_URL": base_url,
        "ANTHROPIC_MODEL": model,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "DISABLE_TELEMETRY": "1",
        "DISABLE_ERROR_REPORTING": "1",
    }
    process = subprocess.Popen(
        [*COMMAND, "-p", prompt, "--output-format", "json", "--permission-mode", "acceptEdits", *more],
        cwd=work,
        env={**told, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield Claude(process, work)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdout, process.stderr):
            assert pipe is not None
            pipe.close()
