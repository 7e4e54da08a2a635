"""Anthropic's client for Node: the same directly, through the gateway, and through the gateway onto a
provider of chat completions that says the same."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.clients.messages_lab import (
    FAILURES,
    KEY,
    PRICED,
    SAID,
    THROUGH,
    WAYS,
    Failure,
    Json,
    Place,
    Scenario,
    Way,
    billed,
    comparable,
    place,
)
from tests.e2e.gateway import until

pytestmark = pytest.mark.timeout(120)

HERE = Path(__file__).parent / "node"
FORMS = ("whole", "streamed")


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place(tmp_path_factory.mktemp("anthropic-node")) as found:
        yield found


def run_node(jobs: list[Json]) -> list[Json]:
    """What the client makes of `jobs`."""
    assert (HERE / "node_modules" / "@anthropic-ai").is_dir(), "tools/install_clients.sh installs it"
    node = Path(sys.executable).parent / "node"  # pinned in constraints-dev.txt
    ran = subprocess.run(
        [node, "messages.mjs"],
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


def job(there: Place, way: Way, form: str, request: Json, **more: Any) -> Json:
    usual = {"baseURL": there.base_url(way), "apiKey": KEY, "form": form, "maxRetries": 0}
    return usual | {"request": request} | more


Asked = tuple[str, str, Way]


@pytest.fixture(scope="module")
def said(there: Place) -> dict[Asked, Json]:
    every: list[tuple[Scenario, str, Way]] = [
        (one, form, way) for one in SAID for form in FORMS for way in WAYS
    ]
    jobs = [job(there, way, form, one.request(there.model(way, one.model))) for one, form, way in every]
    keys = [(one.name, form, way) for one, form, way in every]
    return dict(zip(keys, run_node(jobs), strict=True))


@pytest.fixture(scope="module")
def met(there: Place) -> dict[Asked, Json]:
    every: list[tuple[Failure, str, Way]] = [
        (one, form, way) for one in FAILURES for form in FORMS for way in WAYS
    ]
    jobs = []
    for one, form, way in every:
        name = f"fault:{one.script},seed={WAYS.index(way)}{FORMS.index(form)}"
        jobs.append(job(there, way, form, Scenario("an error").request(there.model(way, name))))
    keys = [(one.name, form, way) for one, form, way in every]
    return dict(zip(keys, run_node(jobs), strict=True))


@pytest.mark.parametrize("way", THROUGH)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scenario", SAID, ids=lambda one: one.name)
def test_it_is_told_what_the_provider_says(
    said: dict[Asked, Json], scenario: Scenario, form: str, way: Way
) -> None:
    direct, through = (said[scenario.name, form, each].get("answer") for each in ("direct", way))
    assert direct is not None and through is not None, said[scenario.name, form, way]
    lost = scenario.lost_on_chat if way == "chat" else frozenset()
    assert comparable(through, lost) == comparable(direct, lost)
    assert billed(through) == billed(direct)
    if way == "own":
        assert through["usage"] == direct["usage"] and through["model"] == direct["model"]


@pytest.mark.parametrize("way", THROUGH)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("failure", FAILURES, ids=lambda one: one.name)
def test_a_failure_raises_the_same_with_the_providers_words(
    met: dict[Asked, Json], failure: Failure, form: str, way: Way
) -> None:
    direct, through = (met[failure.name, form, each]["error"] for each in ("direct", way))
    assert direct["status"] == failure.status
    assert through["status"] == (failure.through or failure.status)
    if failure.through is not None:
        return
    assert through["type"] == direct["type"]
    told, words = through["body"]["error"], direct["body"]["error"]
    assert told["type"] == words["type"]
    assert told["message"] == words["message"] if way == "own" else words["message"] in told["message"]


@pytest.mark.parametrize("way", THROUGH)
def test_one_failure_is_nothing_to_it(there: Place, way: Way) -> None:
    jobs = []
    for retries in (2, 0):
        for form in FORMS:
            name = f"fault:status=529,first=1,seed={retries}{FORMS.index(form)}{WAYS.index(way)}"
            request = Scenario("once").request(there.model(way, name))
            jobs.append(job(there, way, form, request, maxRetries=retries))
    for one in run_node(jobs):
        assert one["answer"]["content"][0]["text"] == "echo: what is once", one


@pytest.mark.parametrize("way", THROUGH)
@pytest.mark.parametrize("script", ["error=3,gap=0.02", "truncate=3,end=cut,gap=0.02"])
def test_a_stream_that_breaks_is_never_taken_for_a_whole_answer(there: Place, script: str, way: Way) -> None:
    request = Scenario("broken at once by a fault").request(there.model(way, f"fault:{script}"))
    (one,) = run_node([job(there, way, "streamed", request)])
    assert "answer" not in one, one


@pytest.mark.parametrize("way", WAYS)
def test_leaving_a_stream_ends_the_providers_work(there: Place, way: Way) -> None:
    before = len(there.gateway.receipts())
    request = Scenario(f"left {way}").request(there.model(way, "fault:gap=0.05,n=500"))
    run_node([job(there, way, "streamed", request, stopAfter=5)])
    call = there.asked(f"left {way}")
    until(lambda: call.aborted)
    assert call.tokens_sent < 500
    if way != "direct":
        assert there.gateway.next_receipt(before).stop_reason == "client_gone"


def test_tokens_are_counted_and_models_listed(there: Place) -> None:
    request: Json = {"messages": [{"role": "user", "content": "one two three four"}]}
    jobs = [job(there, way, "counted", request | {"model": there.model(way)}) for way in WAYS]
    direct, own, chat, listed = (one["answer"] for one in run_node([*jobs, job(there, "own", "listed", {})]))
    assert own == direct == {"input_tokens": 4}
    assert chat["input_tokens"] >= 4
    assert {f"{way}/{PRICED}" for way in THROUGH} <= {one["id"] for one in listed}
