"""Responses with OpenAI's client for Node and with Vercel's AI SDK, whose default it is: directly, and
through the gateway onto a provider of each dialect."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from tests.clients.responses_lab import KEY, WAYS, Json, Place, place
from tests.faults.truth import Call

pytestmark = pytest.mark.timeout(120)

HERE: Final = Path(__file__).parent / "node"
FORMS: Final = {"whole": "echo: hello", "streamed": "echo: hello", "tool": "It is sunny."}


def follows(call: Call) -> str | None:
    """A model that uses the tool once, and counts alike in each dialect."""
    body = call.body.decode()
    if "Use the tool" not in body:
        return "prompt-tokens=50"
    if "sunny in Oslo" in body:
        return "prompt-tokens=50,calls=0,say=It is sunny."
    return 'prompt-tokens=50,tool=weather,arguments={"city": "Oslo"}'


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place(tmp_path_factory.mktemp("responses-node"), on_call=follows) as found:
        yield found


def run(jobs: list[Json]) -> list[Json]:
    """What the clients make of `jobs`."""
    node = Path(sys.executable).parent / "node"  # pinned in constraints-dev.txt
    ran = subprocess.run(
        [node, "responses.mjs"],
        cwd=HERE,
        input=json.dumps(jobs).encode(),
        capture_output=True,
        env={"PATH": os.environ["PATH"]},
        timeout=90,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr.decode()
    found: list[Json] = json.loads(ran.stdout)
    return found


@pytest.mark.parametrize("client", ["openai", pytest.param("ai", marks=pytest.mark.conformance)])
def test_it_answers_as_it_does_directly(there: Place, client: str) -> None:
    asked = [(way, form) for way in WAYS for form in (*FORMS, "object")]
    jobs = []
    for way, form in asked:
        name = "claude-sonnet-5" if way == "messages" else "good"
        job = {"client": client, "baseURL": there.base_url(way), "apiKey": KEY, "form": form}
        jobs.append(job | {"model": there.model(way, name)})
    found = dict(zip(asked, run(jobs), strict=True))
    for (way, form), one in found.items():
        assert "error" not in one, (way, form, one)
        if form == "object":
            assert json.loads(one["answer"]) == {"name": "text"}, (way, one)
        else:
            assert one["answer"] == FORMS[form], (way, form, one)
        if form in ("whole", "streamed"):
            assert one["usage"] == found["direct", form]["usage"] == [50, 2], (way, form, one)
