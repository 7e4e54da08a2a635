"""The Agents SDK in both its modes, LlamaIndex in three, `llm` in two and instructor in three: directly, and
through the gateway onto a provider of each dialect. They want other versions of OpenAI's package than the
tests use."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from tests.clients.responses_lab import KEY, WAYS, Json, Place, Way, place
from tests.e2e.gateway import ROOT
from tests.faults.truth import Call

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(300)]

PYTHON: Final = ROOT / ".venv" / "clients" / "bin" / "python"
SCRIPT: Final = Path(__file__).parent / "apart" / "ask_frameworks.py"
TOOLED: Final = ("agents", "agents chat", "llama-index like", "llama-index responses")
FILLING: Final = ("agents structured", "instructor tools", "instructor json", "instructor responses")
SAYING: Final = ("llm", "llama-index completes", "llm completes")
TEXT_ONLY: Final = frozenset({"llama-index completes", "llm completes"})


def follows(call: Call) -> str | None:
    """A model that uses the tool once."""
    body = call.body.decode()
    if "Use the tool" not in body:
        return None
    if "sunny in Oslo" in body:
        return "calls=0,say=It is sunny."
    return 'tool=weather,arguments={"city": "Oslo"}'


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place(tmp_path_factory.mktemp("frameworks"), on_call=follows) as found:
        yield found


def run(jobs: list[Json], folder: Path) -> list[Json]:
    """What they make of `jobs`."""
    assert PYTHON.exists(), "tools/install_clients.sh conformance makes it"
    ran = subprocess.run(
        [PYTHON, SCRIPT],
        input=json.dumps(jobs).encode(),
        capture_output=True,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "LLM_USER_PATH": str(folder)},
        timeout=240,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr.decode()
    found: list[Json] = json.loads(ran.stdout)
    return found


def job(there: Place, way: Way, client: str, streamed: bool, name: str = "gpt-4o-mini") -> dict[str, Any]:
    asked = {"client": client, "model": there.model(way, name), "streamed": streamed}
    return asked | {"base_url": there.base_url(way), "api_key": KEY}


def test_each_answers_as_it_does_directly(there: Place, tmp_path: Path) -> None:
    asked = [
        (way, client, streamed)
        for way in WAYS
        for client in (*TOOLED, *SAYING)
        for streamed in (False, True)
        if way != "direct" or client not in TEXT_ONLY  # the scripted provider has no completions
    ]
    found = run([job(there, *one) for one in asked], tmp_path)
    for (way, client, streamed), one in zip(asked, found, strict=True):
        said = "echo: hello" if client in SAYING else "It is sunny."
        if streamed and client.startswith("llama-index") and client in TOOLED:
            said = "echo: " + "What is the weather in Oslo? Use the tool weather."  # no tools are sent
        assert one == {"answer": said}, (way, client, streamed)


def test_an_object_is_filled(there: Place, tmp_path: Path) -> None:
    name = {"messages": "claude-sonnet-5"}
    asked = [
        (way, client, streamed)
        for way in WAYS
        for client in FILLING
        for streamed in (False, True)
        if client != "agents structured" or not streamed
    ]
    jobs = [job(there, *one, name.get(one[0], "gpt-4o-mini")) for one in asked]
    for what, one in zip(asked, run(jobs, tmp_path), strict=True):
        assert one == {"answer": {"name": "text", "people": 1}}, what
