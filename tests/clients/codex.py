"""The real Codex, as somebody would start it in a script: with a home of its own, nothing of the environment,
a made-up key and a provider on this machine."""

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
INSTALLED: Final = ROOT / ".venv" / "codex_cli"
COMMAND: Final = (
    str(ROOT / ".venv" / "bin" / "node"),
    str(INSTALLED / "node_modules" / "@openai" / "codex" / "bin" / "codex.js"),
)
LIMIT_S: Final = 120.0
CONFIG: Final = """
model = "{model}"
model_provider = "here"
check_for_update_on_startup = false
[analytics]
enabled = false
[model_providers.here]
name = "here"
base_url = "{base_url}"
env_key = "CLIENT_KEY"
wire_api = "responses"
{more}
"""


class Codex:
    """A run of it in a folder. `result` waits for its end."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    def result(self) -> list[Json]:
        """What it says of its run, event by event."""
        out, errors = self._process.communicate(timeout=LIMIT_S)
        events = [json.loads(line) for line in out.splitlines() if line.startswith(b"{")]
        assert events, (out, errors)
        return events

    def interrupt(self) -> None:
        """As Ctrl+C does: it and what it started."""
        os.killpg(self._process.pid, signal.SIGINT)
        self._process.communicate(timeout=LIMIT_S)


def said(events: list[Json]) -> str:
    """The last thing that it says to its user; empty: nothing."""
    texts = [one["item"]["text"] for one in events if one.get("item", {}).get("type") == "agent_message"]
    return texts[-1] if texts else ""


@contextmanager
def codex(
    prompt: str,
    base_url: str,
    model: str,
    folder: Path,
    *more: str,
    env: Mapping[str, str] | None = None,
    provider: str = "",
) -> Iterator[Codex]:
    """`base_url` with its version; `more`: options of its command line; `provider`: more lines of its
    configuration of the provider; `env` says the key, as `CLIENT_KEY`."""
    assert INSTALLED.exists(), "tools/install_clients.sh conformance installs it"
    home, work, temporary = folder / "home", folder / "work", folder / "tmp"
    for one in (home / ".codex", work, temporary):
        one.mkdir(parents=True, exist_ok=True)
    told = CONFIG.format(model=model, base_url=base_url, more=provider)
    (home / ".codex" / "config.toml").write_text(told)
    process = subprocess.Popen(
        [
            *COMMAND,
            "exec",
            "--skip-git-repo-check",
            "--json",
            "--dangerously-bypass-approvals-and-sandbox",  # its folder is thrown away
            *more,
            prompt,
        ],
        cwd=work,
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(home),
            "TMPDIR": str(temporary),
            "LANG": "C.UTF-8",
            **(env or {}),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield Codex(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdout, process.stderr):
            assert pipe is not None
            pipe.close()
