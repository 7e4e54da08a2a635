"""Instructor in its modes of Anthropic: directly, through the gateway, and through the gateway onto a
provider of chat completions. It wants an older client of Anthropic's than the other tests use, so that one
is tried too."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from tests.clients.messages_lab import FAILURES, KEY, THROUGH, WAYS, Json, Place, Way, called, place
from tests.e2e.gateway import ROOT
from tests.faults.truth import Call

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(180)]

PYTHON: Final = ROOT / ".venv" / "clients" / "bin" / "python"
SCRIPT: Final = Path(__file__).parent / "apart" / "ask_instructor.py"
TOWN: Final[Json] = {"name": "Oslo", "people": 700_000}
SMALL: Final[Json] = {"name": "Oslo", "people": 7}
MODES: Final = ("ANTHROPIC_TOOLS", "ANTHROPIC_REASONING_TOOLS", "ANTHROPIC_JSON", "ANTHROPIC_PARALLEL_TOOLS")
STREAMED: Final = {"ANTHROPIC_TOOLS": "of parts", "ANTHROPIC_JSON": "as text"}


def follows(call: Call) -> str | None:
    """A model that is told in the question's last word how to answer."""
    if not call.path.endswith(("/messages", "/completions")):
        return None
    asked = call.body.decode()
    for words, script in SCRIPTS.items():
        if words in asked:
            return script
    if "once more" in asked:  # what came back tells it what was wrong
        return called("Capital", TOWN if "a thousand people" in asked else SMALL)
    return None


SCRIPTS: Final = {
    "as text": "say=" + json.dumps(TOWN).replace(",", "%2C"),
    "of two": called("Town", TOWN) + ",calls=2",
    "of many": called("IterableTown", {"tasks": [TOWN, SMALL]}),
    "of one": called("Town", TOWN),
    "of parts": called("PartialTown", TOWN),
}


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place(tmp_path_factory.mktemp("instructor"), on_call=follows) as found:
        yield found


def run(jobs: list[Json]) -> list[Json]:
    """What instructor makes of `jobs`."""
    assert PYTHON.exists(), "tools/install_clients.sh conformance makes it"
    ran = subprocess.run(
        [PYTHON, SCRIPT],
        input=json.dumps(jobs).encode(),
        capture_output=True,
        env={"PATH": os.environ["PATH"]},
        timeout=150,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr.decode()
    found: list[Json] = json.loads(ran.stdout)
    return found


def job(there: Place, way: Way, mode: str, form: str, words: str, name: str = "good") -> Json:
    request: dict[str, Any] = {"model": there.model(way, name), "max_tokens": 1_000}
    if mode == "ANTHROPIC_REASONING_TOOLS":
        request |= {"max_tokens": 4_000, "thinking": {"type": "enabled", "budget_tokens": 2_000}}
    request["messages"] = [{"role": "user", "content": f"A town {words}"}]
    asked = {"base_url": there.base_url(way), "api_key": KEY, "mode": mode, "form": form}
    return asked | {"request": request}


def words_of(mode: str) -> str:
    return {"ANTHROPIC_JSON": "as text", "ANTHROPIC_PARALLEL_TOOLS": "of two"}.get(mode, "of one")


def test_every_mode_gets_its_object(there: Place) -> None:
    asked = [(way, mode, form) for way in WAYS for mode in MODES for form in ("whole", "async")]
    asked = [one for one in asked if one[1:] != ("ANTHROPIC_PARALLEL_TOOLS", "async")]
    found = run([job(there, way, mode, form, words_of(mode)) for way, mode, form in asked])
    for (way, mode, form), one in zip(asked, found, strict=True):
        wanted = [TOWN, TOWN] if mode == "ANTHROPIC_PARALLEL_TOOLS" else TOWN
        assert one == {"answer": wanted}, (way, mode, form)


def test_a_stream_fills_the_object(there: Place) -> None:
    asked = [(way, mode) for way in WAYS for mode in STREAMED]
    found = run([job(there, way, mode, "partial", STREAMED[mode]) for way, mode in asked])
    for one, what in zip(found, asked, strict=True):
        assert one == {"answer": TOWN}, what


def test_a_stream_of_objects(there: Place) -> None:
    found = run([job(there, way, "ANTHROPIC_TOOLS", "iterable", "of many") for way in WAYS])
    assert found == [{"answer": [TOWN, SMALL]}] * len(WAYS)


def test_what_does_not_fit_is_asked_for_once_more(there: Place) -> None:
    """The refused call goes back with an error of the tool for its result."""
    found = run([job(there, way, "ANTHROPIC_TOOLS", "retried", "once more") for way in WAYS])
    assert found == [{"answer": TOWN}] * len(WAYS)


def test_a_failure_raises_the_same(there: Place) -> None:
    asked: list[tuple[Any, Way]] = [(one, way) for one in FAILURES for way in WAYS]
    jobs = [
        job(there, way, "ANTHROPIC_TOOLS", "whole", "of one", f"fault:{one.script},seed={WAYS.index(way)}")
        for one, way in asked
    ]
    met = {(one.name, way): got["error"] for (one, way), got in zip(asked, run(jobs), strict=True)}
    for failure in FAILURES:
        direct = met[failure.name, "direct"]
        assert direct["status"] == failure.status
        for way in THROUGH:
            through = met[failure.name, way]
            assert through["status"] == (failure.through or failure.status)
            assert failure.through is not None or through["type"] == direct["type"]
