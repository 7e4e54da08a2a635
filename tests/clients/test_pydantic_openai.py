"""Pydantic AI's agents with its models of OpenAI, of chat completions and of Responses: directly, and through
the gateway onto a provider of each dialect."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final, TypeVar

import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, BinaryContent, NativeOutput, ToolOutput
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel, OpenAIResponsesModelSettings
from pydantic_ai.profiles.openai import openai_model_profile
from pydantic_ai.providers.openai import OpenAIProvider
from tests.clients.messages_lab import PIXEL, called
from tests.clients.responses_lab import KEY, WAYS, Place, Way, place
from tests.e2e.gateway import until
from tests.faults.responses import HIDDEN
from tests.faults.truth import Call

pytestmark = pytest.mark.timeout(120)

T = TypeVar("T")
MODELS: Final[dict[str, Any]] = {"chat": OpenAIChatModel, "responses": OpenAIResponsesModel}
LOOKED: Final = "the weather of Oslo and Bergen"
each_mode = pytest.mark.parametrize("mode", MODELS)
each_way = pytest.mark.parametrize("way", WAYS)


class Town(BaseModel):
    name: str
    people: int


def follows(call: Call) -> str | None:
    """A model that looks at two towns before it answers, where a tool lets it."""
    body = call.body.decode()
    if LOOKED not in body:
        return None
    if "sun over" in body:
        return "calls=0,say=rain and sun,reasoning=compare"
    return f"{called('weather', {'city': 'Oslo'})},calls=2,reasoning=look first"


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place(tmp_path_factory.mktemp("pydantic-openai"), on_call=follows) as found:
        yield found


def run(
    there: Place, way: Way, mode: str, name: str, journey: Callable[[Model], Coroutine[Any, Any, T]]
) -> T:
    async def travelled() -> T:
        async with AsyncOpenAI(base_url=there.base_url(way), api_key=KEY, max_retries=0) as client:
            provider = OpenAIProvider(openai_client=client)
            profile = openai_model_profile(name)  # what it knows of a model goes by the bare name
            return await journey(MODELS[mode](there.model(way, name), provider=provider, profile=profile))

    return asyncio.run(travelled())


@each_mode
@each_way
def test_a_text_and_its_usage(there: Place, way: Way, mode: str) -> None:
    async def journey(model: Model) -> tuple[str, int, int]:
        result = await Agent(model, instructions="Be brief.").run("one two three")
        return result.output, result.usage.input_tokens, result.usage.output_tokens

    assert run(there, way, mode, "fault:prompt-tokens=50", journey) == ("echo: one two three", 50, 4)


@each_mode
@each_way
def test_a_stream_comes_piece_by_piece(there: Place, way: Way, mode: str) -> None:
    async def journey(model: Model) -> list[str]:
        async with Agent(model).run_stream("one two three") as answer:
            return [piece async for piece in answer.stream_text(delta=True, debounce_by=None)]

    pieces = run(there, way, mode, "fault:gap=0.05", journey)
    assert "".join(pieces) == "echo: one two three" and len(pieces) == 4


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@each_mode
@each_way
def test_an_agent_looks_and_then_answers(there: Place, way: Way, mode: str, stream: bool) -> None:
    """What it thought goes back to a provider that hides it."""
    looked: list[str] = []
    before = len(there.provider.calls)

    def weather(city: str) -> str:
        looked.append(city)
        return f"sun over {city}"

    async def journey(model: Model) -> str:
        settings = OpenAIResponsesModelSettings(openai_reasoning_effort="high") if mode == "responses" else {}
        agent = Agent(model, tools=[weather], model_settings=settings)
        if not stream:
            return (await agent.run(LOOKED)).output
        async with agent.run_stream(LOOKED) as answer:
            return str(await answer.get_output())

    name = "o4-mini" if way != "messages" else "claude-sonnet-4-5"
    assert (run(there, way, mode, name, journey), looked) == ("rain and sun", ["Oslo", "Oslo"])
    last = there.provider.calls[before:][-1].body.decode()
    if mode == "responses" and way in ("direct", "own"):
        assert last.count(HIDDEN) == 1


@pytest.mark.parametrize("output", [ToolOutput(Town), NativeOutput(Town)], ids=["tool", "native"])
@each_mode
@each_way
def test_a_structured_answer(there: Place, way: Way, mode: str, output: Any) -> None:
    async def journey(model: Model) -> Any:
        return (await Agent(model, output_type=output).run("a town")).output

    name = "claude-sonnet-5" if way == "messages" else "gpt-4o"
    assert run(there, way, mode, name, journey) == Town(name="text", people=1)


@each_mode
@each_way
def test_a_picture_is_seen(there: Place, way: Way, mode: str) -> None:
    words = f"seen by {way} and {mode}"

    async def journey(model: Model) -> str:
        picture = BinaryContent.from_data_uri(f"data:image/png;base64,{PIXEL}")
        return (await Agent(model).run([words, picture])).output

    before = len(there.provider.calls)
    assert run(there, way, mode, "gpt-4o", journey) == f"echo: {words}"
    assert PIXEL.encode() in there.provider.calls[before:][-1].body


@each_way
def test_leaving_a_stream_ends_the_providers_work(there: Place, way: Way) -> None:
    before = len(there.provider.calls)

    async def journey(model: Model) -> None:
        async with Agent(model).run_stream("left") as answer:
            async for _ in answer.stream_text(delta=True, debounce_by=None):
                await answer.cancel()
                break

    run(there, way, "responses", "fault:gap=0.05,n=500", journey)
    (call,) = there.provider.calls[before:]
    until(lambda: call.aborted)
    assert call.tokens_sent < 500
