"""OpenAI's client for Python meets one failure, or leaves: the same directly and through the gateway.

With its default of two retries, and with none, where the gateway's own are all there is.
"""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest
from openai import AsyncOpenAI, OpenAI
from tests.clients.lab import Door, Lab, Outcome, Way, ask_async, lab, worse
from tests.clients.scenarios import ONCE, SCENARIOS, Scenario
from tests.e2e.gateway import until
from tests.faults.truth import Call
from tests.pace import BUSY_S

pytestmark = pytest.mark.timeout(120)

WAYS: Final[tuple[Way, ...]] = ("direct", "alone", "pair")
LASTING = tuple(each for each in SCENARIOS if each.ends == "fails" and each.streamed.startswith("status="))

Asked = tuple[Scenario, str, Way, int]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab((*ONCE, *LASTING), tmp_path_factory.mktemp("openai-python")) as found:
        yield found


def forms(scenarios: tuple[Scenario, ...]) -> list[Asked]:
    return [
        (scenario, form, way, retries)
        for retries in (2, 0)
        for scenario in scenarios
        for form in ("whole", "streamed")
        for way in WAYS
    ]


@pytest.fixture(scope="module")
def sync_outcomes(place: Lab) -> dict[Asked, Outcome]:
    def one(asked: Asked) -> Outcome:
        scenario, form, way, retries = asked
        stream = form == "streamed"
        door = place.door(scenario, "streamed" if stream else "whole", way, f"sync{retries}")
        return place.ask(door, stream=stream, max_retries=retries)

    every = forms((*ONCE, *LASTING))
    with ThreadPoolExecutor(16) as pool:
        return dict(zip(every, pool.map(one, every), strict=True))


@pytest.fixture(scope="module")
def async_outcomes(place: Lab) -> dict[Asked, Outcome]:
    async def journey() -> dict[Asked, Outcome]:
        found: dict[Asked, Outcome] = {}
        urls = {place.first.base_url, place.gateway.base_url}
        for retries in (2, 0):
            clients = {
                url: AsyncOpenAI(base_url=url, api_key="any", max_retries=retries, timeout=30.0)
                for url in urls
            }
            now = [asked for asked in forms(ONCE) if asked[3] == retries]
            asking = []
            for scenario, form, way, _ in now:
                stream = form == "streamed"
                door = place.door(scenario, "streamed" if stream else "whole", way, f"async{retries}")
                asking.append(ask_async(clients[door.base_url], door, place.question(), stream=stream))
            found |= dict(zip(now, await asyncio.gather(*asking), strict=True))
            for client in clients.values():
                await client.close()
        return found

    return asyncio.run(journey())


@pytest.mark.parametrize("way", ["alone", "pair"])
@pytest.mark.parametrize("form", ["whole", "streamed"])
@pytest.mark.parametrize("scenario", ONCE, ids=lambda each: each.slug)
class TestOneFailure:
    def test_is_nothing_to_a_client_that_retries(
        self, sync_outcomes: dict[Asked, Outcome], scenario: Scenario, form: str, way: Way
    ) -> None:
        assert sync_outcomes[scenario, form, "direct", 2].answered
        assert sync_outcomes[scenario, form, way, 2].answered, sync_outcomes[scenario, form, way, 2]

    def test_is_nothing_to_a_client_that_does_not_because_the_gateway_does(
        self, sync_outcomes: dict[Asked, Outcome], scenario: Scenario, form: str, way: Way
    ) -> None:
        assert not sync_outcomes[scenario, form, "direct", 0].answered
        outcome = sync_outcomes[scenario, form, way, 0]
        assert outcome.answered or scenario.by_the_clock, outcome

    @pytest.mark.parametrize("retries", [2, 0])
    def test_is_the_same_to_the_async_client(
        self, async_outcomes: dict[Asked, Outcome], scenario: Scenario, form: str, way: Way, retries: int
    ) -> None:
        assert async_outcomes[scenario, form, "direct", retries].answered == bool(retries)
        outcome = async_outcomes[scenario, form, way, retries]
        assert outcome.answered or (not retries and scenario.by_the_clock), outcome


@pytest.mark.parametrize("retries", [2, 0])
@pytest.mark.parametrize("form", ["whole", "streamed"])
@pytest.mark.parametrize("scenario", LASTING, ids=lambda each: each.slug)
def test_a_failure_that_lasts_raises_the_same_exception_with_the_providers_words(
    sync_outcomes: dict[Asked, Outcome], scenario: Scenario, form: str, retries: int
) -> None:
    direct = sync_outcomes[scenario, form, "direct", retries]
    through = sync_outcomes[scenario, form, "alone", retries]
    assert direct.error and through.error
    assert worse(direct, through) == ""


# -- leaving ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_leaving_a_stream_ends_the_providers_work(place: Lab, way: Way) -> None:
    door = Door(place.first.base_url, "fault:gap=0.05,n=500")
    if way != "direct":
        prefix = {"alone": "alone", "pair": "soon"}[way]
        door = Door(place.gateway.base_url, f"{prefix}/fault:gap=0.05,n=500")
    question = place.question()
    with OpenAI(base_url=door.base_url, api_key="any") as client:
        stream = client.chat.completions.create(
            model=door.model, messages=[{"role": "user", "content": question}], stream=True
        )
        for number, _ in enumerate(stream):
            if number == 5:
                break
        stream.close()
        left_s = time.monotonic()
        call = asked_of(place, question)
        until(lambda: call.aborted)
    assert call.tokens_sent < 500
    assert call.aborted_s is not None and call.aborted_s - left_s < BUSY_S


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("way", ["direct", "alone"])
def test_cancelling_the_task_of_the_async_client_ends_the_providers_work(
    place: Lab, way: Way, stream: bool
) -> None:
    door = Door(place.first.base_url, "fault:gap=0.05,n=500" if stream else "fault:hang")
    if way != "direct":
        door = Door(place.gateway.base_url, f"alone/{door.model}")
    question = place.question()

    async def journey() -> Call:
        async with AsyncOpenAI(base_url=door.base_url, api_key="any") as client:
            task = asyncio.create_task(ask_async(client, door, question, stream=stream))
            call = await asyncio.to_thread(asked_of, place, question)
            if stream:
                await asyncio.to_thread(until, lambda: call.tokens_sent > 2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.to_thread(until, lambda: call.aborted, 5.0)
            return call

    assert asyncio.run(journey()).tokens_sent < 500


def asked_of(place: Lab, question: str) -> Call:
    """The call of the provider that asks this; it may be on its way yet."""
    return until(
        lambda: next((call for call in reversed(place.first.calls) if question.encode() in call.body), None)
    )
