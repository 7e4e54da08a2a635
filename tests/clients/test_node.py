"""Clients for Node meet failures, or leave: the same directly and through the gateway.

OpenAI's in every run, Vercel's AI SDK in those of `make conformance`.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from tests.clients.lab import Door, Lab, Outcome, Way, lab, told, worse
from tests.clients.scenarios import ONCE, SCENARIOS, Scenario
from tests.e2e.gateway import until

pytestmark = pytest.mark.timeout(120)

HERE = Path(__file__).parent / "node"
WAYS: Final[tuple[Way, ...]] = ("direct", "alone", "pair")
TRIED = (*ONCE, *(each for each in SCENARIOS if each.ends != "answers" and each.patience_s > 10))

Asked = tuple[Scenario, str, Way, int]


def run_node(script: str, jobs: list[dict[str, Any]]) -> list[Outcome]:
    """What the client of `script` makes of `jobs`."""
    assert (HERE / "node_modules" / "openai").is_dir(), "`make test` installs it: tools/install_clients.sh"
    node = Path(sys.executable).parent / "node"  # pinned in constraints-dev.txt
    ran = subprocess.run(
        [node, script],
        cwd=HERE,
        input=json.dumps(jobs).encode(),
        capture_output=True,
        env={"PATH": os.environ["PATH"]},
        timeout=90,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr.decode()
    outcomes = told(ran.stdout.decode())
    for outcome, job in zip(outcomes, jobs, strict=True):
        outcome.asked = job["text"]
    return outcomes


def job(door: Door, text: str, *, stream: bool, retries: int = 2, **more: Any) -> dict[str, Any]:
    asked = {"baseURL": door.base_url, "model": door.model, "text": text, "stream": stream}
    return asked | {"maxRetries": retries, "timeoutMs": 30_000, **more}


@pytest.fixture(scope="module", params=["ask.mjs", pytest.param("ai.mjs", marks=pytest.mark.conformance)])
def script(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(TRIED, tmp_path_factory.mktemp("openai-node")) as found:
        yield found


@pytest.fixture(scope="module")
def outcomes(place: Lab, script: str) -> dict[Asked, Outcome]:
    every: list[Asked] = [
        (scenario, form, way, retries)
        for scenario in TRIED
        for form in ("whole", "streamed")
        for way in WAYS
        for retries in (2, 0)
    ]
    jobs = []
    for scenario, form, way, retries in every:
        stream = form == "streamed"
        door = place.door(scenario, "streamed" if stream else "whole", way, f"{script}{retries}")
        jobs.append(job(door, place.question(), stream=stream, retries=retries))
    return dict(zip(every, run_node(script, jobs), strict=True))


@pytest.mark.parametrize("retries", [2, 0])
@pytest.mark.parametrize("way", ["alone", "pair"])
@pytest.mark.parametrize("form", ["whole", "streamed"])
@pytest.mark.parametrize("scenario", ONCE, ids=lambda each: each.slug)
def test_one_failure_is_nothing_to_the_client(
    outcomes: dict[Asked, Outcome], scenario: Scenario, form: str, way: Way, retries: int
) -> None:
    assert outcomes[scenario, form, "direct", retries].answered == bool(retries)
    outcome = outcomes[scenario, form, way, retries]
    assert outcome.answered or (not retries and scenario.by_the_clock), outcome


@pytest.mark.parametrize("retries", [2, 0])
@pytest.mark.parametrize("form", ["whole", "streamed"])
@pytest.mark.parametrize("scenario", TRIED[len(ONCE) :], ids=lambda each: each.slug)
def test_a_failure_that_lasts_is_told_no_worse_than_by_the_provider(
    outcomes: dict[Asked, Outcome], scenario: Scenario, form: str, retries: int
) -> None:
    direct = outcomes[scenario, form, "direct", retries]
    through = outcomes[scenario, form, "alone", retries]
    assert not direct.answered
    assert worse(direct, through) == ""


@pytest.mark.parametrize("way", WAYS)
def test_leaving_a_stream_ends_the_providers_work(place: Lab, script: str, way: Way) -> None:
    model = "fault:gap=0.05,n=500"
    door = Door(place.first.base_url, model)
    if way != "direct":
        door = Door(place.gateway.base_url, f"{'alone' if way == 'alone' else 'soon'}/{model}")
    question = place.question()
    (outcome,) = run_node(script, [job(door, question, stream=True, stopAfter=5)])
    assert outcome.error is None and outcome.text.startswith("echo: one")
    call = next(call for call in reversed(place.first.calls) if question.encode() in call.body)
    until(lambda: call.aborted)
    assert call.tokens_sent < 500
